/**
 * The numbers by which hostcalls find their guest. Imports are built once per worker, so each call
 * brings the number that the pool put into the instance's `wardian:context` global.
 *
 * A number is a slot and, above it, how often the slot was given out: an instance that outlives its
 * request (a suspended one resumes a microtask after it was killed) finds nothing under its old
 * number, not another's guest.
 */

const SLOT_BITS = 16;
const SLOTS_MAX = 1 << SLOT_BITS;
const SLOT_MASK = SLOTS_MAX - 1;
/** Numbers stay positive i32. */
const GENERATION_MASK = 0x7fff;

export class Contexts<T extends { readonly context: number }> {
  readonly #slots: (T | null)[] = [];
  readonly #generations: number[] = [];
  readonly #free: number[] = [];
  openCount = 0;

  /** A number for a new guest; `place` must follow. */
  reserve(): number {
    let slot = this.#free.pop();
    if (slot === undefined) {
      slot = this.#slots.length;
      if (slot === SLOTS_MAX) throw new Error(`more than ${SLOTS_MAX} guests at once`);
      this.#slots.push(null);
      this.#generations.push(0);
    }
    const generation = (this.#generations[slot]! + 1) & GENERATION_MASK;
    this.#generations[slot] = generation;
    return generation << SLOT_BITS | slot;
  }

  place(guest: T): void {
    this.#slots[guest.context & SLOT_MASK] = guest;
    this.openCount++;
  }

  find(context: number): T | null {
    const guest = this.#slots[context & SLOT_MASK];
    return guest === undefined || guest === null || guest.context !== context ? null : guest;
  }

  release(guest: T): void {
    const slot = guest.context & SLOT_MASK;
    if (this.#slots[slot] !== guest) return;
    this.#slots[slot] = null;
    this.#free.push(slot);
    this.openCount--;
  }
}
