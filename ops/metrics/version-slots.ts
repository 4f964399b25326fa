/**
 * Which versions of an app are counted apart: the few that were asked for last, in slots of the
 * app's row. The number of a slot's version is in shared memory beside its counts, for the thread
 * that renders.
 *
 *   free ──a version is asked for──▶ taken ──none is free, and asked for longest ago──▶ another's
 */

import { VERSIONS_WIDTH, VERSION_SLOTS, VERSION_WIDTH } from './layout.ts';
import type { MetricMemory } from './layout.ts';

export class VersionSlots {
  readonly #numbers: Float64Array;
  /** When each slot was last asked for, as a count of such events. */
  readonly #asked: Float64Array;
  /** The slot of each row that was asked for last: most often it is asked for again. */
  readonly #last: Uint32Array;
  #clock = 0;

  constructor(memory: MetricMemory) {
    this.#numbers = memory.versions;
    const slots = memory.versions.length / VERSION_WIDTH;
    this.#asked = new Float64Array(slots);
    this.#last = Uint32Array.from(
      { length: slots / VERSION_SLOTS }, (_, row) => row * VERSION_SLOTS);
  }

  /** Where the counts of a version begin, in the row with this number. */
  find(row: number, version: number): number {
    const last = this.#last[row] as number;
    if (this.#numbers[last * VERSION_WIDTH] === version) return last * VERSION_WIDTH;
    return this.#search(row, version);
  }

  #search(row: number, version: number): number {
    const first = row * VERSION_SLOTS;
    let slot = first;
    let oldest = first;
    const end = first + VERSION_SLOTS;
    while (slot < end && this.#numbers[slot * VERSION_WIDTH] !== version) {
      if ((this.#asked[slot] as number) < (this.#asked[oldest] as number)) oldest = slot;
      slot += 1;
    }
    if (slot === end) {
      slot = oldest;
      const at = slot * VERSION_WIDTH;
      this.#numbers.fill(0, at, at + VERSION_WIDTH);
      this.#numbers[at] = version;
    }
    this.#clock += 1;
    this.#asked[slot] = this.#clock;
    this.#last[row] = slot;
    return slot * VERSION_WIDTH;
  }

  /** All counts of a row, for when it is given to another app. */
  take(row: number): Float64Array {
    const at = row * VERSIONS_WIDTH;
    const counts = this.#numbers.slice(at, at + VERSIONS_WIDTH);
    this.#numbers.fill(0, at, at + VERSIONS_WIDTH);
    this.#asked.fill(0, row * VERSION_SLOTS, (row + 1) * VERSION_SLOTS);
    return counts;
  }

  /** What `take` took, in the row that its app has now. */
  give(row: number, counts: Float64Array): void {
    this.#numbers.set(counts, row * VERSIONS_WIDTH);
  }
}
