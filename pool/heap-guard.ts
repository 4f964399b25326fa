/**
 * What guests keep on the heap of their thread: tables, which are counted, and exceptions, which
 * cannot be. A heap that is full ends its thread, or the process when the thread does not notice in
 * time; so no guest begins or goes on while little of it is left.
 */

import { getHeapStatistics } from 'node:v8';
import { WardianError } from '../contract/errors.ts';
import {
  HEAP_ADMISSION_SHARE, LIVE_TABLE_BYTES_MAX, TABLE_ENTRY_BYTES,
} from '../contract/limits.ts';

/**
 * How old a look at the heap may be. One takes about 10 µs; in this time a guest that throws one
 * exception after the other keeps less than 2 MB of them.
 */
const LOOK_INTERVAL_MS = 5;

export interface HeapState {
  readonly usedBytes: number;
  readonly limitBytes: number;
}

function heapState(): HeapState {
  const { used_heap_size: usedBytes, heap_size_limit: limitBytes } = getHeapStatistics();
  return { usedBytes, limitBytes };
}

export class HeapGuard {
  readonly #look: () => HeapState;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #full = false;
  /** Tables of the instances that live. */
  tableBytes = 0;

  constructor(look: () => HeapState = heapState) {
    this.#look = look;
  }

  /** Throws WardianError `overloaded` while too little of the heap is left for a guest to run. */
  admit(now: number): void {
    if (now - this.#lookedAt >= LOOK_INTERVAL_MS) {
      this.#lookedAt = now;
      const { usedBytes, limitBytes } = this.#look();
      this.#full = usedBytes > limitBytes * HEAP_ADMISSION_SHARE;
    }
    if (this.#full) throw new WardianError('overloaded', 'guests have filled the thread\'s heap');
  }

  /**
   * Counts the tables of an instance to be, until `release` is called with what this answers.
   * Throws WardianError `overloaded` when those of all instances would be too large.
   */
  hold(entries: number): number {
    const bytes = entries * TABLE_ENTRY_BYTES;
    if (this.tableBytes + bytes > LIVE_TABLE_BYTES_MAX) {
      throw new WardianError('overloaded', `tables of ${this.tableBytes} bytes exist, the most `
        + `that may is ${LIVE_TABLE_BYTES_MAX}`);
    }
    this.tableBytes += bytes;
    return bytes;
  }

  release(bytes: number): void {
    this.tableBytes -= bytes;
  }
}
