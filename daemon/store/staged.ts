/**
 * Checks a copy of a backup before it takes the place of the database: whole, ours, of no newer
 * Wardian (one of an older is migrated), every module what its hash says, every secret opened by
 * the keys that are here. Runs in a thread of its own while the daemon serves.
 */

import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';

import type { ErrorCode } from '../../contract/errors.ts';
import { WardianError } from '../../contract/errors.ts';
import { KeyRing } from '../../contract/key-ring.ts';
import { STORE_BUSY_TIMEOUT_MS } from '../../contract/limits.ts';
import { bytesOf } from '../../contract/schema.ts';
import { openSecret } from '../../contract/sealed.ts';
import { openForWriting } from './database.ts';
import { storeFailure } from './failure.ts';

export interface StagedSettings {
  readonly staged: string;
  /** The database that is in use, to tell which tokens come back; it is only read. */
  readonly current: string;
  /** The memory of a `KeyRing`. */
  readonly keys: SharedArrayBuffer;
}

export interface Staged {
  readonly apps: number;
  readonly tenants: number;
  /** What the backup had before it was migrated. */
  readonly schema: number;
  /** Values of secrets that no key here opens, by the id of the key that sealed them. */
  readonly unopened: ReadonlyMap<string, number>;
  /** Ids of tokens that are not valid now and will be. */
  readonly tokensBack: readonly number[];
}

export type StagedReply =
  | { readonly staged: Staged }
  | { readonly code: ErrorCode; readonly message: string };

const damaged = (what: string): WardianError =>
  new WardianError('store_unusable', `the backup is damaged: ${what.slice(0, 200)}`);

export const count = (database: DatabaseSync, table: 'app' | 'tenant'): number =>
  Number(database.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.['n']);

/** Every page and index. Throws WardianError `store_unusable`. Answers the schema's number. */
export function checkWhole(path: string): number {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    const row = database.prepare('PRAGMA integrity_check(1)').get();
    const finding = row === undefined ? 'no answer' : String(Object.values(row)[0]);
    if (finding !== 'ok') throw damaged(finding);
    return Number(database.prepare('PRAGMA user_version').get()?.['user_version']);
  } finally {
    database.close();
  }
}

function checkModules(database: DatabaseSync): void {
  for (const table of ['module', 'artifact'] as const) {
    const select = database.prepare(`SELECT hash, ${bytesOf(table)} AS bytes FROM ${table}`);
    for (const { hash, bytes } of select.iterate()) {
      if (createHash('sha256').update(bytes as Uint8Array).digest('hex') === hash) continue;
      throw damaged(`the ${table} ${String(hash)} is not what its hash says`);
    }
  }
  const orphan = database.prepare('PRAGMA foreign_key_check').get();
  if (orphan !== undefined) throw damaged(`the table ${String(orphan['table'])} has orphans`);
}

function unopenedSecrets(database: DatabaseSync, keys: KeyRing): Map<string, number> {
  const unopened = new Map<string, number>();
  const rows = database.prepare('SELECT app_id, name, key_id, sealed FROM secret').iterate();
  for (const row of rows) {
    const keyId = String(row['key_id']);
    const key = keys.find(keyId);
    try {
      if (key !== null) {
        openSecret(key, Number(row['app_id']), String(row['name']), row['sealed'] as Uint8Array);
        continue;
      }
    } catch (error) {
      if (!(error instanceof WardianError)) throw error;
    }
    unopened.set(keyId, (unopened.get(keyId) ?? 0) + 1);
  }
  return unopened;
}

/** Both are small tables: there are a thousand tokens for each tenant at most. */
function tokensBack(database: DatabaseSync, current: string): number[] {
  const other = new DatabaseSync(current, { readOnly: true, timeout: STORE_BUSY_TIMEOUT_MS });
  try {
    const valid = new Set(
      other.prepare('SELECT hash FROM token').all().map((row) => String(row['hash'])));
    return database.prepare(
      'SELECT id, hash FROM token WHERE expires_at_ms IS NULL OR expires_at_ms > ? ORDER BY id')
      .all(Date.now()).filter((row) => !valid.has(String(row['hash'])))
      .map((row) => Number(row['id']));
  } finally {
    other.close();
  }
}

/**
 * Leaves the copy closed, migrated and without a log. Throws WardianError `store_unusable` for what
 * is no whole backup of this or an older Wardian, `store_failed`, `disk_full`.
 */
export function checkStaged({ staged, current, keys }: StagedSettings): Staged {
  const schema = checkWhole(staged);
  const database = openForWriting(staged, 'full');
  try {
    checkModules(database);
    const found = {
      schema, apps: count(database, 'app'), tenants: count(database, 'tenant'),
      unopened: unopenedSecrets(database, new KeyRing(keys)),
      tokensBack: tokensBack(database, current),
    };
    database.exec('PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE');
    return found;
  } finally {
    database.close();
  }
}

if (!isMainThread && parentPort !== null) {
  const settings = workerData as StagedSettings;
  let reply: StagedReply;
  try {
    reply = { staged: checkStaged(settings) };
  } catch (error) {
    const { code, message } = storeFailure(error, settings.staged);
    reply = { code, message: message.replaceAll(basename(settings.staged), 'the backup') };
  }
  parentPort.postMessage(reply, []);
}
