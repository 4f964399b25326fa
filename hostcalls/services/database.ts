/**
 * This thread's read-only connection to the database, for everything that is read while guests run.
 * Each read is a transaction of its own: it sees every commit that was acknowledged before.
 */

import { DatabaseSync } from 'node:sqlite';
import type { SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite';
import { WardianError } from '../../contract/errors.ts';
import { StoreEpoch, openedOnce } from '../../contract/store-epoch.ts';

export type Row = Readonly<Record<string, SQLOutputValue>>;

/**
 * A reader waits so long for a lock that only recovery and schema changes take: in WAL mode nothing
 * else blocks it.
 */
const BUSY_TIMEOUT_MS = 1_000;

export class DatabaseReader {
  /** Epoch of the database that it reads: it never reads another one's. */
  at: number;
  readonly #path: string;
  readonly #epoch: StoreEpoch;
  readonly #statements = new Map<string, StatementSync>();
  #database: DatabaseSync | null = null;
  #closed = false;

  constructor(path: string, epoch = new StoreEpoch()) {
    this.#path = path;
    this.#epoch = epoch;
    this.at = epoch.value;
  }

  /** At once rather than with the first read: whoever reads later reads of the same database. */
  open(): void {
    const { opened, at } = this.#open();
    this.#database = opened;
    this.at = at;
  }

  /** Throws WardianError `store_failed`. */
  row(sql: string, ...values: SQLInputValue[]): Row | undefined {
    return this.#read(sql, (statement) => statement.get(...values));
  }

  /** Throws WardianError `store_failed`. */
  rows(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.#read(sql, (statement) => statement.all(...values));
  }

  close(): void {
    this.#closed = true;
    this.#disconnect();
  }

  #read<T>(sql: string, read: (statement: StatementSync) => T): T {
    if (this.#closed) throw new WardianError('store_failed', 'the store is closed');
    try {
      return read(this.#statement(sql));
    } catch (cause) {
      if (cause instanceof WardianError) throw cause;
      // A connection that failed once may be of a file that was replaced: the next read opens it
      // anew.
      this.#disconnect();
      throw new WardianError('store_failed', 'the store could not be read', { cause });
    }
  }

  /**
   * The database is made by the daemon's writer, perhaps after this thread started: it is opened
   * when first read.
   */
  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      this.#database ??= this.#connect();
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #open(): { readonly opened: DatabaseSync; readonly at: number } {
    return this.#epoch.open(() => openedOnce(this.#path, BUSY_TIMEOUT_MS));
  }

  #connect(): DatabaseSync {
    const { opened, at } = this.#open();
    if (at === this.at) return opened;
    opened.close();
    throw new WardianError(
      'store_failed', 'the store was restored from a backup while this request ran: ask again');
  }

  #disconnect(): void {
    const database = this.#database;
    this.#database = null;
    this.#statements.clear();
    if (database?.isOpen === true) database.close();
  }
}
