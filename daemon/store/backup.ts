/**
 * A thread that writes a backup while the store serves: one snapshot of the database, compacted,
 * into a file that appears under its name only when it is whole and on the disk.
 */

import { randomUUID } from 'node:crypto';
import { closeSync, linkSync, openSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';

import { STORE_BUSY_TIMEOUT_MS } from '../../contract/limits.ts';
import { syncPath } from '../sync.ts';
import { storeFailure } from './failure.ts';

export interface BackupSettings {
  readonly databasePath: string;
  readonly target: string;
}

export type BackupReply =
  | { readonly byteLength: number }
  | { readonly code: import('../../contract/errors.ts').ErrorCode; readonly message: string };

/** Throws when the target exists. */
function backUp({ databasePath, target }: BackupSettings): number {
  const part = `${target}.${randomUUID()}.part`;
  try {
    // SQLite writes into the empty file and so keeps its mode.
    closeSync(openSync(part, 'wx', 0o600));
    const database = new DatabaseSync(databasePath, {
      readOnly: true, timeout: STORE_BUSY_TIMEOUT_MS,
    });
    try {
      database.prepare('VACUUM INTO ?').run(part);
    } finally {
      database.close();
    }
    syncPath(part);
    linkSync(part, target);
    syncPath(dirname(target));
    return statSync(target).size;
  } finally {
    rmSync(part, { force: true });
  }
}

if (!isMainThread && parentPort !== null) {
  const settings = workerData as BackupSettings;
  let reply: BackupReply;
  try {
    reply = { byteLength: backUp(settings) };
  } catch (error) {
    const { code, message } = storeFailure(error, settings.target);
    reply = { code, message };
  }
  parentPort.postMessage(reply, []);
}
