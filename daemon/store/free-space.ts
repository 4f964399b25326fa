/**
 * The watermark: while the disk still has room for the log of a few commits, what would grow the
 * database is refused, so that deletes, reads and everything else on the machine go on.
 */

import { statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import type { DatabaseSync, StatementSync } from 'node:sqlite';

import { WardianError } from '../../contract/errors.ts';

/** Of the watermark: this much must be free whatever the database could reuse, for the log. */
const LOG_SHARE = 4;

export class FreeSpace {
  readonly #folder: string;
  readonly #bytesMin: number;
  readonly #freePages: StatementSync;
  readonly #pageBytes: number;
  #diskBytes = Number.POSITIVE_INFINITY;
  #reusableBytes = 0;

  constructor(database: DatabaseSync, databasePath: string, bytesMin: number) {
    this.#folder = dirname(databasePath);
    this.#bytesMin = bytesMin;
    this.#freePages = database.prepare('PRAGMA freelist_count');
    this.#pageBytes = Number(database.prepare('PRAGMA page_size').get()?.page_size);
  }

  /** Looks anew; before each transaction (some microseconds). */
  look(): void {
    if (this.#bytesMin === 0) return;
    const { bavail, bsize } = statfsSync(this.#folder);
    this.#diskBytes = bavail * bsize;
    this.#reusableBytes = Number(this.#freePages.get()?.freelist_count) * this.#pageBytes;
  }

  /** Throws WardianError `disk_full` when `bytes` more would go below the watermark. */
  assertRoomFor(bytes: number): void {
    const room = this.#diskBytes + this.#reusableBytes - bytes;
    if (room >= this.#bytesMin && this.#diskBytes >= this.#bytesMin / LOG_SHARE) return;
    throw new WardianError('disk_full', 'the disk is nearly full: only what frees space is done');
  }
}
