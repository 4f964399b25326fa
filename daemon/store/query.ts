/**
 * The main thread's read-only connection: short queries over indexed columns, lists in pages, and
 * errors as the table has them.
 */

import type { DatabaseSync, SQLInputValue } from 'node:sqlite';

import { WardianError } from '../../contract/errors.ts';
import { storeFailure } from './failure.ts';
import { prepared } from './prepared.ts';
import type { Row } from './records.ts';

export const PAGE_MAX = 1_000;

export interface Page {
  /** Of these at most; 1 to 1,000, default 1,000. */
  readonly limit?: number;
  /** The id of the last one of the page before. */
  readonly after?: number;
}

export function boundsOf({ limit = PAGE_MAX, after = 0 }: Page): [after: number, limit: number] {
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > PAGE_MAX) {
    throw new WardianError('bad_argument', `a page has 1 to ${PAGE_MAX} entries`);
  }
  if (!Number.isSafeInteger(after)) throw new WardianError('bad_argument', 'not a page');
  return [after, limit];
}

export class Query {
  #database: DatabaseSync;
  /** Opens what is to be read from now on; null: nothing. */
  #open: (() => DatabaseSync) | null = null;
  readonly #path: string;

  constructor(database: DatabaseSync, path: string) {
    this.#database = database;
    this.#path = path;
  }

  /** Throws WardianError for whatever `query` throws, and when the store is closed. */
  read<T>(query: (database: DatabaseSync) => T): T {
    const isOpen = this.#database.isOpen;
    if (!isOpen && this.#open === null) {
      throw new WardianError('store_failed', 'the store is closed');
    }
    try {
      if (!isOpen && this.#open !== null) this.#database = this.#open();
      return query(this.#database);
    } catch (error) {
      throw storeFailure(error, this.#path);
    }
  }

  row(sql: string, ...values: SQLInputValue[]): Row | null {
    return this.read((database) => prepared(database, sql).get(...values) ?? null);
  }

  rows(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.read((database) => prepared(database, sql).all(...values));
  }

  /** Reads from what `open` opens from now on: each read tries until it can be opened. */
  reopen(open: () => DatabaseSync): void {
    this.close();
    this.#open = open;
  }

  close(): void {
    this.#open = null;
    if (this.#database.isOpen) this.#database.close();
  }
}
