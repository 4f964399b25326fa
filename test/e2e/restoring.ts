/** What the tests of restoring have in common: a daemon with a backup of a state before its own. */

import type { Test } from 'tap';

import { environmentWith, wardian } from '../harness/command.ts';
import type { Run } from '../harness/command.ts';
import type { Daemon } from '../harness/daemon.ts';
import { assemble, textGuest, writing } from './world.ts';

/** Answers with its letter and the value of `state` in its store. */
export const telling = (letter: string): Uint8Array => assemble(`(module
  (import "env" "hostcall_init_mm" (func $init (param i32 i32)))
  (import "env" "hostcall_kv_get" (func $get (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "hostcall_resp_set_body" (func $body (param i32 i32 i32) (result i32)))
  (memory 1) (data (i32.const 16) "state") (data (i32.const 1023) "${letter}")
  (table 3 funcref) (elem (i32.const 1) $malloc $free)
  (func $malloc (param i32) (result i32) (i32.const 1024)) (func $free (param i32))
  (func (export "run") (call $init (i32.const 1) (i32.const 2))
    (drop (call $get (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 16)
      (i32.const 5)))
    (drop (call $body (i32.const 0) (i32.const 1023)
      (i32.add (i32.const 1) (i32.load (i32.const 4)))))))`);

export type Cli = (words: string) => Promise<Run>;

type Settings = Readonly<Record<string, string>>;

export const cliOf = (daemon: Daemon, more: Settings = {}): Cli => (words) =>
  wardian(words.split(' '), {
    environment: environmentWith({
      // Its data folder may be a disk that nobody else sees.
      WARDIAN_DATA: daemon.data, WARDIAN_TOKEN: daemon.token,
      WARDIAN_ADMIN_URL: `http://127.0.0.1:${daemon.adminPort}`,
      ...more,
    }),
  });

export async function ok(t: Test, run: Promise<Run>, what = ''): Promise<string> {
  const { code, stdout, stderr } = await run;
  t.equal(code, 0, `${what} ${stderr}`);
  return stdout.trim();
}

export async function setState(daemon: Daemon, value: string): Promise<void> {
  const { status, text } = await daemon.admin('PUT', '/v1/apps/told/store/entry?key=state', {
    body: value, headers: { 'content-type': 'application/octet-stream' },
  });
  if (status >= 300) throw new Error(text);
}

/** In the backup `told` answers `kold`, afterwards `nnew`. */
export async function backedUp(t: Test, daemon: Daemon, file: string): Promise<void> {
  await daemon.deploy('told', telling('k'));
  await daemon.deploy('writer', writing(100));
  await setState(daemon, 'old');
  await ok(t, cliOf(daemon)(`backup ${file}`));
  await daemon.deploy('told', telling('n'));
  await setState(daemon, 'new');
  await daemon.deploy('since', textGuest('since'));
}

export const told = async (daemon: Daemon): Promise<string> =>
  (await daemon.ask('told.localhost')).text;
