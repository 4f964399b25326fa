/**
 * Puts a backup in the place of a data folder's database, while no daemon serves from it. The
 * backup is checked before anything is touched; the database that was there is kept beside it. Ids
 * go on from the higher of both: one that was given out since the backup names nothing, never
 * something else.
 *
 *   checked copy, migrated ──▶ sequences raised ──▶ synced ──▶ exchanged
 */

import { randomUUID } from 'node:crypto';
import { chmodSync, copyFileSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { WardianError } from '../../contract/errors.ts';
import { DATABASE_FILE } from '../../contract/schema.ts';
import { openForWriting } from './database.ts';
import { exchange, removeStaged, stagedName, takeBackKept } from './exchange.ts';
import { storeFailure } from './failure.ts';
import { raiseTo, readGivenOut } from './given-out.ts';
import { lockFolder } from './lock.ts';
import { checkWhole, count } from './staged.ts';

export interface Restored {
  readonly apps: number;
  readonly tenants: number;
  /** Where the database that was there is now, or null. */
  readonly kept: string | null;
  /** What of that could not be read, one line each. */
  readonly warnings: readonly string[];
}

function prepare(backup: string, part: string, current: string): Omit<Restored, 'kept'> {
  copyFileSync(backup, part);
  chmodSync(part, 0o600);
  checkWhole(part);
  // Migrates a backup of an older Wardian as a start would.
  const database = openForWriting(part, 'full');
  try {
    const givenOut = existsSync(current) ? readGivenOut(current) : { found: [], warnings: [] };
    raiseTo(database, givenOut);
    const counts = { apps: count(database, 'app'), tenants: count(database, 'tenant') };
    database.exec('PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE');
    return { ...counts, warnings: givenOut.warnings };
  } finally {
    database.close();
  }
}

/**
 * Throws WardianError `store_failed` or `disk_full`, one line; the folder then is as it was.
 * `store_failed` also while a daemon serves from the folder.
 */
export function restore(backup: string, dataFolder: string): Restored {
  mkdirSync(dataFolder, { recursive: true, mode: 0o700 });
  const path = join(dataFolder, DATABASE_FILE);
  const part = join(dataFolder, stagedName(randomUUID()));
  const lock = lockFolder(dataFolder);
  try {
    takeBackKept(path);
    const counts = prepare(backup, part, path);
    const { kept, warnings } = exchange(path, part);
    return { ...counts, kept, warnings: [...counts.warnings, ...warnings] };
  } catch (error) {
    const failure = storeFailure(error, backup);
    if (failure.code !== 'store_unusable') throw failure;
    // The backup is: the folder is as it was.
    throw new WardianError('store_failed', failure.message, { cause: error });
  } finally {
    removeStaged(part);
    lock.release();
  }
}
