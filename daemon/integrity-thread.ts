/**
 * A thread that reads artifacts and takes their hashes, so that the main thread neither reads nor
 * hashes megabytes. Given hashes to check, or none for everything that serves and for the tables
 * that are too large to be checked before the start; answers with those whose bytes are not what
 * their hash says, or cannot be read at all.
 */

import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import type { StatementSync } from 'node:sqlite';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';

import { STORE_BUSY_TIMEOUT_MS } from '../contract/limits.ts';
import { bytesOf } from '../contract/schema.ts';
import { StoreEpoch, openedOnce } from '../contract/store-epoch.ts';
import { findingsOf, LATER_TABLES } from './store/check.ts';
import { isDamage } from './store/failure.ts';

export interface IntegrityTask {
  readonly databasePath: string;
  /** The memory of a `StoreEpoch`. */
  readonly epoch: SharedArrayBuffer;
  /** Null: of every version that serves. */
  readonly hashes: readonly string[] | null;
}

export interface IntegrityReply {
  readonly checked: number;
  readonly damaged: readonly string[];
  /** What is wrong in tables, a line each. */
  readonly findings: readonly string[];
}

const SELECT_SERVING = `
  SELECT DISTINCT artifact_hash FROM version
  WHERE id IN (SELECT active_version_id FROM app) OR id IN (SELECT version_id FROM split)`;

/** A damaged page of one module says nothing of the others. */
function isWhole(select: StatementSync, hash: string): boolean {
  try {
    const row = select.get(hash);
    if (row === undefined) return false;
    return createHash('sha256').update(row['bytes'] as Uint8Array).digest('hex') === hash;
  } catch (error) {
    if (isDamage(error)) return false;
    throw error;
  }
}

function check({ databasePath, epoch, hashes }: IntegrityTask): IntegrityReply {
  const { opened: database } = new StoreEpoch(epoch)
    .open(() => openedOnce(databasePath, STORE_BUSY_TIMEOUT_MS));
  try {
    const wanted = hashes
      ?? database.prepare(SELECT_SERVING).all().map((row) => String(row['artifact_hash']));
    const select = database.prepare(
      `SELECT ${bytesOf('artifact')} AS bytes FROM artifact WHERE hash = ?`);
    return {
      checked: wanted.length,
      damaged: wanted.filter((hash) => !isWhole(select, hash)),
      findings: hashes === null ? findingsOf(database, basename(databasePath), LATER_TABLES) : [],
    };
  } finally {
    database.close();
  }
}

if (!isMainThread && parentPort !== null) {
  parentPort.postMessage(check(workerData as IntegrityTask), []);
}
