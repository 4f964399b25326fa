/**
 * How many threads hold a module, and what all that they hold counts together. V8 keeps one copy of
 * what it compiles of the same bytes, for all threads together, so each counts its part of it, and
 * all of it when it is the only one. The numbers lie in memory that the threads share; each thread
 * also has a row of what it holds itself, by which the main thread takes back what one held that
 * has ended.
 *
 *   row of a thread:  free ──first module──▶ owned ──thread gone──▶ free
 *
 * Modules are told apart by a keyed hash, so that nobody can choose bytes that count as another's.
 * Two of them seldom share a place and then seem to have more holders than they have: beside 1,000
 * modules that others hold one in 130, beside 10,000 one in 14.
 */

import { createHash, randomBytes } from 'node:crypto';
import { KIB } from '../contract/limits.ts';

/** A power of two. */
const PLACES = 1 << 17;
const KEY_BYTES = 16;
const WORD = Int32Array.BYTES_PER_ELEMENT;
/** Threads that have ended are seen to a little after those that take their places have begun. */
const ROWS_PER_THREAD = 2;

/*
 * Key, number of changes, holders by place, then of each row its owner and what it counts, in KiB,
 * and at last the rows, a byte by place.
 */
const CHANGES = KEY_BYTES / WORD;
const HOLDERS = CHANGES + 1;
const OWNERS = HOLDERS + PLACES;
const NOBODY = 0;

/** The memory of the `ModuleHolders` of so many threads that serve at a time. */
export function sharedHolders(threads: number): SharedArrayBuffer {
  const rows = threads * ROWS_PER_THREAD;
  const buffer = new SharedArrayBuffer(OWNERS * WORD + rows * (2 * WORD + PLACES));
  new Uint8Array(buffer, 0, KEY_BYTES).set(randomBytes(KEY_BYTES));
  return buffer;
}

/** A thread's view, or the main thread's. */
export class ModuleHolders {
  readonly #owner: number;
  readonly #key: Buffer;
  readonly #changes: Int32Array;
  readonly #holders: Int32Array;
  readonly #owners: Int32Array;
  readonly #countedKib: Int32Array;
  readonly #rows: Uint8Array;
  #at = -1;
  #row: Uint8Array | null = null;

  constructor(buffer: SharedArrayBuffer, threadId: number) {
    this.#owner = threadId + 1;
    const rows = (buffer.byteLength - OWNERS * WORD) / (2 * WORD + PLACES);
    this.#key = Buffer.from(new Uint8Array(buffer, 0, KEY_BYTES));
    this.#changes = new Int32Array(buffer, CHANGES * WORD, 1);
    this.#holders = new Int32Array(buffer, HOLDERS * WORD, PLACES);
    this.#owners = new Int32Array(buffer, OWNERS * WORD, rows);
    this.#countedKib = new Int32Array(buffer, (OWNERS + rows) * WORD, rows);
    this.#rows = new Uint8Array(buffer, (OWNERS + 2 * rows) * WORD);
  }

  /** Another number whenever a thread has taken a module or let one go. */
  get changes(): number {
    return Atomics.load(this.#changes, 0);
  }

  /** Where a module is counted, by the hash of its bytes. */
  placeOf(hash: string): number {
    return createHash('sha256').update(this.#key).update(hash).digest().readUInt32LE() % PLACES;
  }

  /** Threads that hold the module; 1 at least, as one does that asks. */
  count(place: number): number {
    return Math.max(Atomics.load(this.#holders, place), 1);
  }

  /** This thread holds it from now on. With no row free others count too much, never too little. */
  add(place: number): void {
    this.#row ??= this.#claim();
    if (this.#row === null) return;
    // A thread that ends between the two leaves others to count too much, too.
    this.#row[place]! += 1;
    if (this.#row[place] === 1) this.#tell(place, 1);
  }

  /** Of one that was added. */
  remove(place: number): void {
    // One that came while no row was free was never counted.
    if (this.#row === null || this.#row[place] === 0) return;
    if (this.#row[place] === 1) this.#tell(place, -1);
    this.#row[place]! -= 1;
  }

  /** What all that this thread holds counts. */
  publish(bytes: number): void {
    if (this.#at >= 0) Atomics.store(this.#countedKib, this.#at, Math.ceil(bytes / KIB));
  }

  /** What all threads have published, in bytes; Infinity for a thread that has no row. */
  get publishedBytes(): number {
    if (this.#at < 0) return Number.POSITIVE_INFINITY;
    let kib = 0;
    for (let row = 0; row < this.#countedKib.length; row += 1) {
      kib += Atomics.load(this.#countedKib, row);
    }
    return kib * KIB;
  }

  /** Main thread: the thread has ended, and holds nothing any more. */
  release(threadId: number): void {
    const row = this.#owners.indexOf(threadId + 1);
    if (row < 0) return;
    const held = this.#rowAt(row);
    for (let place = 0; place < PLACES; place += 1) {
      if (held[place] === 0) continue;
      held[place] = 0;
      this.#tell(place, -1);
    }
    Atomics.store(this.#countedKib, row, 0);
    Atomics.store(this.#owners, row, NOBODY);
  }

  #tell(place: number, change: 1 | -1): void {
    Atomics.add(this.#holders, place, change);
    Atomics.add(this.#changes, 0, 1);
  }

  #claim(): Uint8Array | null {
    for (let row = 0; row < this.#owners.length; row += 1) {
      const owner = Atomics.compareExchange(this.#owners, row, NOBODY, this.#owner);
      if (owner !== NOBODY) continue;
      this.#at = row;
      return this.#rowAt(row);
    }
    return null;
  }

  #rowAt(row: number): Uint8Array {
    return this.#rows.subarray(row * PLACES, (row + 1) * PLACES);
  }
}
