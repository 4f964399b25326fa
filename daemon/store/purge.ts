/**
 * Removes what nobody can read any more: entries of removed stores and expired entries, in steps of
 * a few milliseconds, so that no tenant's million keys hold up the others' writes.
 */

import type { DatabaseSync, StatementSync } from 'node:sqlite';

const STEP_MS = 5;
/** Entries that one statement removes; a large value costs a read of each of its pages. */
const ROWS_PER_STATEMENT = 16;

export class Purge {
  readonly #nextStore: StatementSync;
  readonly #removeEntries: StatementSync;
  readonly #removeStore: StatementSync;
  readonly #removeExpired: StatementSync;
  readonly #charge: StatementSync;
  #due = true;

  constructor(database: DatabaseSync) {
    this.#nextStore = database.prepare('SELECT store_id FROM kv_garbage LIMIT 1');
    this.#removeEntries = database.prepare(`
      DELETE FROM kv WHERE rowid IN (
        SELECT rowid FROM kv WHERE store_id = ? LIMIT ${ROWS_PER_STATEMENT})`);
    this.#removeStore = database.prepare('DELETE FROM kv_garbage WHERE store_id = ?');
    this.#removeExpired = database.prepare(`
      DELETE FROM kv WHERE rowid IN (
        SELECT rowid FROM kv WHERE expires_at_ms <= ? LIMIT ${ROWS_PER_STATEMENT})
      RETURNING store_id, length(key) + length(value) AS bytes`);
    this.#charge = database.prepare(`
      UPDATE kv_store SET keys = keys - 1, bytes = bytes - ?, revision = revision + 1
      WHERE id = ?`);
  }

  /** True while there may be more to remove. */
  get due(): boolean {
    return this.#due;
  }

  wake(): void {
    this.#due = true;
  }

  pause(): void {
    this.#due = false;
  }

  /** Inside a transaction of its own, with no usage held in memory. */
  step(nowMs: number): void {
    const endAt = performance.now() + STEP_MS;
    do {
      if (!this.#removeSome(nowMs)) {
        this.#due = false;
        return;
      }
    } while (performance.now() < endAt);
  }

  /** False when there was nothing left. */
  #removeSome(nowMs: number): boolean {
    const storeId = this.#nextStore.get()?.store_id;
    if (storeId !== undefined && storeId !== null) {
      const { changes } = this.#removeEntries.run(storeId);
      if (Number(changes) < ROWS_PER_STATEMENT) this.#removeStore.run(storeId);
      return true;
    }
    const expired = this.#removeExpired.all(nowMs);
    for (const row of expired) this.#charge.run(Number(row.bytes), Number(row.store_id));
    return expired.length > 0;
  }
}
