/**
 * `wardian restore` as a daemon that serves is asked for it: sends the backup to the admin API,
 * which checks it from end to end before anything changes.
 */

import { createReadStream, openSync, closeSync, fstatSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';

import { callApi, CliError, findDaemon } from './client.ts';
import type { ConnectionFlags } from './client.ts';
import { escapeControls } from '../escape.ts';
import { done } from './output.ts';
import type { JsonFlag } from './output.ts';
import { seconds } from './words.ts';

interface RestoreFlags extends ConnectionFlags, JsonFlag {
  readonly yes?: boolean;
  readonly acceptMissingKeys?: boolean;
  readonly wait?: number;
}

interface Restored {
  readonly apps: number;
  readonly tenants: number;
  readonly kept: string | null;
  readonly warnings: readonly string[];
}

const BACKUP_TYPE = 'application/vnd.sqlite3';
const WORD = 'restore';
/** The daemon reads and checks all of a backup before it waits for what is under way. */
const CHECK_MS_MAX = 3_600_000;
const WAIT_S_DEFAULT = 10;

/** In one place for the program that carries it out and for the one that completes it. */
export function describeRestore(command: Command): Command {
  return command
    .description('put a backup in the place of everything stored, while serving or stopped')
    .argument('<file>', 'what wardian backup has written')
    .option('--admin-url <url>', "the daemon's admin API (WARDIAN_ADMIN_URL)")
    .option('--data <folder>', "the daemon's data folder (WARDIAN_DATA; default: ./.wardian)")
    .option('--yes', 'do not ask; a daemon that serves is asked for it only after that')
    .option('--wait <time>', 'for deploys and other changes under way (default: 10s)', seconds)
    .option('--accept-missing-keys', 'although some secrets will not open with the keys here')
    .option('--json', 'print JSON')
    .addHelpText('after', `
Where a daemon holds the data folder, or only its address is given, it restores while it serves. A
daemon at that address which serves another folder refuses, unless --admin-url names it. Requests
wait for a moment, guests that run go on, the tokens of the backup are valid afterwards and the
token in the data folder still is. Where none does, the folder's database is replaced here.

The backup is checked before anything is touched, and the database that was there stays beside it.
Secrets open only with the keys that sealed them: restore the file secrets-key as well.`);
}

function sizeOf(file: string): number {
  let handle: number;
  try {
    handle = openSync(file, 'r');
  } catch (error) {
    throw new CliError(
      `${file} cannot be read: ${(error as NodeJS.ErrnoException).code ?? 'unknown'}`, 2);
  }
  try {
    const stats = fstatSync(handle);
    if (stats.isFile() && stats.size > 0) return stats.size;
    throw new CliError(`${file} is no backup: it is ${stats.isFile() ? 'empty' : 'no file'}`, 2);
  } finally {
    closeSync(handle);
  }
}

async function confirm(adminUrl: string): Promise<void> {
  const what = `everything that is stored at ${adminUrl} is replaced by the backup`;
  if (!process.stdin.isTTY) throw new CliError(`${what}: add --yes`, 2);
  const asking = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const typed = await asking.question(`${what}; type ${WORD} to go on: `);
    if (typed.trim() !== WORD) throw new CliError('nothing was changed', 2);
  } finally {
    asking.close();
  }
}

/** `folder`: the daemon refuses when it serves another one; null: it does not look. */
export async function restoreLive(
  file: string, flags: RestoreFlags, folder: string | null,
): Promise<void> {
  const daemon = findDaemon(flags, process.env);
  const size = sizeOf(file);
  if (flags.yes !== true) await confirm(daemon.adminUrl);
  const restored = await callApi(daemon, {
    method: 'POST', path: '/v1/restore', body: createReadStream(file), contentType: BACKUP_TYPE,
    headers: { 'content-length': String(size) },
    patienceMs: CHECK_MS_MAX + (flags.wait ?? WAIT_S_DEFAULT) * 1_000,
    query: {
      folder: folder ?? undefined,
      missing_keys: flags.acceptMissingKeys === true ? 'accept' : undefined,
      wait_seconds: flags.wait === undefined ? undefined : String(flags.wait),
    },
  }) as Restored;
  const { apps, tenants, kept, warnings } = restored;
  for (const warning of warnings) process.stderr.write(`warning: ${escapeControls(warning)}\n`);
  const beside = kept === null ? '' : `; what was there is ${kept} in its data folder`;
  done(restored, flags, `restored ${apps} apps of ${tenants} tenants${beside}`);
}
