/**
 * Rows of modules and artifacts, one of whose pages may be damaged. Where the chain of its bytes is
 * broken, SQLite can neither read the row nor replace nor remove it, and refuses every further
 * change of a transaction that has tried; so another connection looks at the chain first. What the
 * row should hold is stored beside it, and a row that nobody needs any more stays where it is.
 *
 *   whole ──a page is damaged──▶ broken ──saveBlob──▶ mended (`bytesOf` finds the new bytes)
 */

import { DatabaseSync } from 'node:sqlite';

import { STORE_BUSY_TIMEOUT_MS } from '../../contract/limits.ts';
import { isDamage } from './failure.ts';

type BlobTable = 'module' | 'artifact';

/** Looks at rows as the last commit left them. Close it. */
export class BlobProbe {
  readonly #path: string | null;
  #reader: DatabaseSync | null = null;

  constructor(database: DatabaseSync) {
    this.#path = database.location();
  }

  /** Whether the row is there and SQLite cannot get to its end: the last column is behind all. */
  isBroken(table: BlobTable, hash: string): boolean {
    if (this.#path === null) return false;
    this.#reader ??= new DatabaseSync(
      this.#path, { readOnly: true, timeout: STORE_BUSY_TIMEOUT_MS });
    try {
      this.#reader.prepare(`SELECT created_at_ms FROM ${table} WHERE hash = ?`).get(hash);
      return false;
    } catch (error) {
      if (isDamage(error)) return true;
      throw error;
    }
  }

  close(): void {
    this.#reader?.close();
  }
}

/** Whether there is such a row; the index alone tells. */
function isKnown(database: DatabaseSync, table: BlobTable, hash: string): boolean {
  return database.prepare(`SELECT 1 FROM ${table} WHERE hash = ?`).get(hash) !== undefined;
}

/**
 * Runs `save`, which writes the row, or stores its bytes beside the row that cannot be written;
 * then it answers false.
 */
export function saveBlob(
  database: DatabaseSync, table: BlobTable, hash: string, bytes: Uint8Array, save: () => void,
): boolean {
  let isBroken = false;
  if (isKnown(database, table, hash)) {
    const probe = new BlobProbe(database);
    try {
      isBroken = probe.isBroken(table, hash);
    } finally {
      probe.close();
    }
  }
  if (!isBroken) {
    save();
    return true;
  }
  database.prepare('INSERT OR REPLACE INTO mended (hash, bytes) VALUES (?, ?)').run(hash, bytes);
  return false;
}

/**
 * Removes the row, unless something needs it or it is broken. Answers how many went. To look for
 * what is broken is to read the whole of it: of most rows, the indexes tell that they stay.
 */
export function removeBlob(
  database: DatabaseSync, probe: Pick<BlobProbe, 'isBroken'>, table: BlobTable, hash: string,
): number {
  const isNeeded = (by: 'version' | 'artifact'): boolean => database.prepare(
    `SELECT 1 FROM ${by} WHERE ${table}_hash = ? LIMIT 1`).get(hash) !== undefined;
  if (isNeeded('version')) return 0;
  database.prepare('DELETE FROM mended WHERE hash = ?').run(hash);
  if (table === 'artifact') {
    database.prepare('DELETE FROM mended_artifact WHERE hash = ?').run(hash);
  }
  if (table === 'module' && isNeeded('artifact')) return 0;
  if (probe.isBroken(table, hash)) return 0;
  return Number(database.prepare(`DELETE FROM ${table} WHERE hash = ?`).run(hash).changes);
}
