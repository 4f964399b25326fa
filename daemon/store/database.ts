/**
 * Opens the database for writing: permissions, pragmas, migrations, and the check that what is on
 * the disk is ours and whole. Everything that is wrong ends in one WardianError whose message names
 * the file and the reason: `store_unusable` when another start would find the same, `store_failed`
 * or `disk_full` when it might not.
 */

import { closeSync, openSync, statSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import { WardianError } from '../../contract/errors.ts';
import { STORE_BUSY_TIMEOUT_MS, STORE_FULL_CHECK_BYTES_MAX } from '../../contract/limits.ts';
import { APPLICATION_ID, MIGRATIONS } from '../../contract/schema.ts';
import { syncPath } from '../sync.ts';
import { CONTROL_TABLES, findingsOf } from './check.ts';
import { storeFailure } from './failure.ts';
import { misshapen } from './shape.ts';

/** `full` survives a power cut: every commit is synced. `process` survives `kill -9` only. */
export type Durability = 'full' | 'process';

export const DURABILITIES: readonly Durability[] = ['full', 'process'];

/** Pages in the write-ahead log before a commit moves them to the database. */
const CHECKPOINT_PAGES = 2_000;
/**
 * Pages that the writer keeps: SQLite's 2 MB hold the pages of some 15,000 small entries, and of
 * more each commit read some again from the file.
 */
const CACHE_KIB = 16 * 1_024;
/** The log's file is cut back to this after a large transaction. */
const LOG_BYTES_KEPT = 16 * 1024 * 1024;

function pragma(database: DatabaseSync, name: string): number {
  const row = database.prepare(`PRAGMA ${name}`).get();
  return Number(row === undefined ? 0 : Object.values(row)[0]);
}

function assertOurs(database: DatabaseSync, file: string, known: number): number {
  const version = pragma(database, 'user_version');
  const tables = Number(database.prepare('SELECT count(*) AS n FROM sqlite_schema').get()?.n);
  const ours = pragma(database, 'application_id') === APPLICATION_ID;
  if (version === 0 && tables === 0) return 0;
  if (!ours || version <= 0) {
    throw new WardianError('store_unusable', `${file} is not a Wardian database`);
  }
  if (version > known) {
    throw new WardianError(
      'store_unusable',
      `${file} was written by a newer Wardian (its schema is ${version}, this one knows ${known})`,
    );
  }
  return version;
}

function quickCheck(database: DatabaseSync, path: string, whole: boolean): void {
  const [finding] = findingsOf(database, basename(path), whole ? null : CONTROL_TABLES);
  if (finding !== undefined) throw new WardianError('store_unusable', finding);
}

/**
 * Each migration and its new `user_version` are one transaction. Foreign keys are off meanwhile, so
 * that tables can be rebuilt, and are checked before the commit.
 */
export function migrate(
  database: DatabaseSync, file: string, migrations: readonly string[],
): void {
  let version = assertOurs(database, file, migrations.length);
  database.exec('PRAGMA foreign_keys = OFF');
  for (const sql of migrations.slice(version)) {
    database.exec('BEGIN IMMEDIATE');
    try {
      database.exec(sql);
      const orphan = database.prepare('PRAGMA foreign_key_check').get();
      if (orphan !== undefined) {
        const reason = `migration ${version + 1} leaves orphans in ${String(orphan.table)}`;
        throw new WardianError('store_failed', `${file}: ${reason}`);
      }
      version += 1;
      database.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${version}`);
      database.exec('COMMIT');
    } catch (error) {
      if (database.isTransaction) database.exec('ROLLBACK');
      throw error;
    }
  }
  database.exec('PRAGMA foreign_keys = ON');
}

/** The read-only connection that any thread may have. Throws WardianError `store_failed`. */
export function openForReading(path: string): DatabaseSync {
  try {
    return new DatabaseSync(path, { readOnly: true, timeout: STORE_BUSY_TIMEOUT_MS });
  } catch (error) {
    throw storeFailure(error, path);
  }
}

/** The writer's connection. Throws WardianError as above. */
export function openForWriting(
  path: string, durability: Durability, migrations: readonly string[] = MIGRATIONS,
  fullCheckBytesMax = STORE_FULL_CHECK_BYTES_MAX,
): DatabaseSync {
  let database: DatabaseSync | null = null;
  try {
    const finding = misshapen(path);
    if (finding !== null) {
      throw new WardianError('store_unusable', `${basename(path)} is damaged: ${finding}`);
    }
    // SQLite would create the file readable by all; its log files take the mode of this one.
    closeSync(openSync(path, 'a', 0o600));
    database = new DatabaseSync(path, { timeout: STORE_BUSY_TIMEOUT_MS });
    database.exec(`
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = ${durability === 'full' ? 'FULL' : 'NORMAL'};
      PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES};
      PRAGMA journal_size_limit = ${LOG_BYTES_KEPT};
      PRAGMA cache_size = -${CACHE_KIB};
      PRAGMA temp_store = MEMORY`);
    quickCheck(database, path, statSync(path).size <= fullCheckBytesMax);
    migrate(database, basename(path), migrations);
    syncPath(dirname(path));
    return database;
  } catch (error) {
    if (database?.isOpen) database.close();
    throw storeFailure(error, path);
  }
}
