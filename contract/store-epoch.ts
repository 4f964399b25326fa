/**
 * Counts how often the database was replaced by a backup while the daemon serves, in memory that
 * all threads share. Ids of one epoch mean nothing in another: whoever holds a connection, a row or
 * a request of an older one must not take it to the newer database.
 *
 *   0 ──begin──▶ 1 (being replaced) ──end──▶ 2 ──begin──▶ 3 …
 *   └◀──cancel──┘ (it failed: the database is the one it was)
 *
 * Files are found by their names: a connection whose log was opened after its database was replaced
 * would read one with the other. `open` makes sure that both are of one epoch.
 */

import { DatabaseSync } from 'node:sqlite';

import { WardianError } from './errors.ts';

const BYTES = 4;
const LOOK_MS = 50;
/** A replacement takes milliseconds; one that takes so long will not end. */
const PATIENCE_MS = 30_000;

/** A read-only connection that has read once, and so has its log open as well. */
export function openedOnce(path: string, timeoutMs: number): DatabaseSync {
  const database = new DatabaseSync(path, { readOnly: true, timeout: timeoutMs });
  try {
    database.prepare('SELECT count(*) FROM sqlite_schema').get();
  } catch (error) {
    database.close();
    throw error;
  }
  return database;
}

export class StoreEpoch {
  readonly memory: SharedArrayBuffer;
  readonly #count: Int32Array;

  constructor(memory = new SharedArrayBuffer(BYTES)) {
    this.memory = memory;
    this.#count = new Int32Array(memory);
  }

  /** Even: the database is whole. Odd: it is being replaced. */
  get value(): number {
    return Atomics.load(this.#count, 0);
  }

  /** On the main thread alone, like `end` and `cancel`. */
  begin(): void {
    Atomics.add(this.#count, 0, 1);
  }

  end(): void {
    Atomics.add(this.#count, 0, 1);
    Atomics.notify(this.#count, 0);
  }

  cancel(): void {
    Atomics.sub(this.#count, 0, 1);
    Atomics.notify(this.#count, 0);
  }

  /**
   * What `open` opens, and of which epoch it is. `open` must also read once. Waits while the
   * database is being replaced, so not for the thread that does that. Throws WardianError
   * `store_failed` when that has no end, and what `open` throws.
   */
  open<T extends { close(): void }>(open: () => T): { readonly opened: T; readonly at: number } {
    const giveUpAt = performance.now() + PATIENCE_MS;
    for (;;) {
      const at = this.value;
      if (at % 2 === 0) {
        const opened = open();
        if (this.value === at) return { opened, at };
        opened.close();
      } else if (performance.now() > giveUpAt) {
        throw new WardianError('store_failed', 'the store is being replaced by a backup');
      } else {
        Atomics.wait(this.#count, 0, at, LOOK_MS);
      }
    }
  }
}
