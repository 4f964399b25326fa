/**
 * A disk that fills up under a running daemon: what writes is answered 507 before the disk is full,
 * reads and requests go on, nothing that was acknowledged is lost, and removals make room again.
 */

import t from 'tap';

import { SMALL_DISKS } from '../harness/daemon.ts';
import type { Daemon, HttpAnswer } from '../harness/daemon.ts';
import { assemble, startFor, textGuest, writing } from './world.ts';

const MIB = 1024 * 1024;
/** The watermark is 64 MiB; the rest is for data and log. */
const DISK_BYTES = 192 * MIB;
const VALUE = Buffer.alloc(MIB, 'v');
/** More than fit on the disk. */
const VALUES_MAX = 200;

/** Answers with the length of the value of `k0`, in thousands of bytes, plus 200. */
const READER = assemble(`(module
  (import "env" "hostcall_init_mm" (func $init (param i32 i32)))
  (import "env" "hostcall_kv_get" (func $get (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "hostcall_resp_set_response_code" (func $status (param i32 i32) (result i32)))
  (memory 32) (data (i32.const 16) "k0") (table 3 funcref) (elem (i32.const 1) $malloc $free)
  (func $malloc (param i32) (result i32) (i32.const 1024)) (func $free (param i32))
  (func (export "run") (call $init (i32.const 1) (i32.const 2))
    (drop (call $get (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 16)
      (i32.const 2)))
    (drop (call $status (i32.const 0) (i32.add (i32.const 200)
      (i32.div_u (i32.load (i32.const 4)) (i32.const 10000)))))))`);

function put(daemon: Daemon, app: string, key: string): Promise<HttpAnswer> {
  return daemon.admin('PUT', `/v1/apps/${app}/store/entry?key=${key}`, {
    body: VALUE, headers: { 'content-type': 'application/octet-stream' },
  });
}

/** Puts until one is refused. Answers how many were acknowledged, and the refusal. */
async function fill(daemon: Daemon): Promise<{ stored: number; refusal: HttpAnswer }> {
  for (let stored = 0; stored < VALUES_MAX; stored += 1) {
    const answer = await put(daemon, 'reader', `k${stored}`);
    if (answer.status >= 300) return { stored, refusal: answer };
  }
  throw new Error(`${VALUES_MAX} values fitted`);
}

t.test('with a disk nearly full, writes are answered 507 and all else goes on', SMALL_DISKS,
  async (t) => {
    const daemon = await startFor(t, {
      data: t.testdir(), diskBytes: DISK_BYTES, flags: ['--durability', 'process'],
    });
    await daemon.deploy('reader', READER);
    await daemon.deploy('writer', writing(1_000));
    t.equal((await daemon.ask('writer.localhost')).status, 200, 'guests write');

    const { stored, refusal } = await fill(daemon);
    t.ok(stored >= 10, `${stored} values fitted`);
    t.equal(refusal.status, 507);
    t.match(refusal.headers, {
      'content-type': 'application/problem+json', 'wardian-error': 'disk_full',
    });
    t.match(JSON.parse(refusal.text), { status: 507, code: 'disk_full' });

    const imported = await daemon.admin('POST', '/v1/apps/reader/store/import', {
      body: `${JSON.stringify({ key: 'more', value: 'v'.repeat(200_000) })}\n`,
      headers: { 'content-type': 'application/x-ndjson' },
    });
    t.equal(imported.status, 507, 'an import');
    const deployed = await daemon.admin('POST', '/v1/apps/fresh/deploys', {
      body: Buffer.from(textGuest('too late')), headers: { 'content-type': 'application/wasm' },
    });
    t.match(deployed.text, /"disk_full"/, 'a deploy says why');
    t.equal((await daemon.admin('GET', '/v1/apps/fresh')).status, 404, 'and nothing of it is left');
    t.equal((await daemon.ask('writer.localhost')).status, 206, 'guests are told, and live on');

    for (const key of ['k0', `k${stored - 1}`]) {
      const read = await daemon.admin('GET', `/v1/apps/reader/store/entry?key=${key}`);
      t.ok(read.status === 200 && read.body.equals(VALUE), `${key} can be read`);
    }
    t.equal((await daemon.ask('reader.localhost')).status, 200 + Math.floor(MIB / 10_000),
      'guests read');
    t.equal((await daemon.admin('GET', '/v1/apps')).status, 200);
    t.equal((await daemon.admin('GET', '/readyz')).status, 200, 'it serves');

    for (let n = 1; n < stored; n += 1) {
      const gone = await daemon.admin('DELETE', `/v1/apps/reader/store/entry?key=k${n}`);
      if (gone.status !== 204) t.fail(`deleting k${n}: ${gone.status} ${gone.text}`);
    }
    t.equal((await put(daemon, 'reader', 'again')).status, 200, 'there is room again');
    t.equal((await daemon.ask('writer.localhost')).status, 200);
    await daemon.deploy('fresh', textGuest('in time'));
    t.equal((await daemon.ask('fresh.localhost')).text, 'in time');
    t.equal(await daemon.stop(), 0);
  });
