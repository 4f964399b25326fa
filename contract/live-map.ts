/**
 * A map for what comes and goes with every request. V8's own `Map` makes a new table whenever many
 * entries have come and gone, and links each old table to its successor for the sake of iterators.
 * Once a full collection has moved a table to the old generation, that chain keeps all later tables
 * alive until the next one, and with each of them every entry that was in it: whatever such a map
 * has held then becomes old, and scavenges take thirty times as long (`docs/rationale.md`).
 * Here entries are taken out in place: open addressing, linear probing, no traces of the deleted.
 */

import { randomBytes } from 'node:crypto';

const SLOTS_MIN = 64;
/** Grown when more of the slots than one in so many are taken; shrunk when far fewer are. */
const GROW_SHARE = 2;
const SHRINK_SHARE = 16;
const FREE = -1;
/** 2^32 divided by the golden ratio: neighbours are spread, whichever bits are looked at. */
const SPREAD = 0x9e37_79b1;
/** The first multiplier of MurmurHash3's finalizer. */
const MIX = 0x85eb_ca6b;
const MIX_SHIFT = 15;
const HASH_BITS = 32;
/** Clients decide which requests stay: nobody shall know whose keys share a home. */
const SEED = randomBytes(4).readInt32LE();

function vacant<T>(slots: number): (T | undefined)[] {
  return Array.from({ length: slots }, () => undefined);
}

/** Keys are whole numbers from 0 to 2^53 - 1. */
export class LiveMap<T> {
  #keys = new Float64Array(SLOTS_MIN).fill(FREE);
  #values = vacant<T>(SLOTS_MIN);
  #mask = SLOTS_MIN - 1;
  #shift = HASH_BITS - Math.log2(SLOTS_MIN);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(key: number): T | undefined {
    // What a free slot holds is undefined.
    return this.#values[this.#slotOf(key)];
  }

  has(key: number): boolean {
    return this.#keys[this.#slotOf(key)] !== FREE;
  }

  /** Throws RangeError for a key that is no whole number from 0 on. */
  set(key: number, value: T): void {
    if (!Number.isSafeInteger(key) || key < 0) {
      throw new RangeError(`${key} is no key of a LiveMap`);
    }
    let slot = this.#slotOf(key);
    if (this.#keys[slot] === FREE) {
      if ((this.#size + 1) * GROW_SHARE > this.#keys.length) {
        this.#resize(this.#keys.length * 2);
        slot = this.#slotOf(key);
      }
      this.#keys[slot] = key;
      this.#size += 1;
    }
    this.#values[slot] = value;
  }

  /** Whether it was there. */
  delete(key: number): boolean {
    const slot = this.#slotOf(key);
    if (this.#keys[slot] === FREE) return false;
    this.#vacate(slot);
    this.#size -= 1;
    const slots = this.#keys.length;
    if (slots > SLOTS_MIN && this.#size * SHRINK_SHARE < slots) this.#resize(slots / 2);
    return true;
  }

  clear(): void {
    this.#size = 0;
    this.#resize(SLOTS_MIN);
  }

  /** What is there now, in no order: what comes or goes meanwhile changes nothing. */
  values(): T[] {
    const found: T[] = [];
    this.#keys.forEach((key, slot) => {
      if (key !== FREE) found.push(this.#values[slot] as T);
    });
    return found;
  }

  /** Where the key is, or the free slot where it would be put. */
  #slotOf(key: number): number {
    let slot = this.#home(key);
    while (this.#keys[slot] !== key && this.#keys[slot] !== FREE) slot = (slot + 1) & this.#mask;
    return slot;
  }

  /** Of the key's lower 32 bits: those that are alive together were given out one after another. */
  #home(key: number): number {
    const spread = Math.imul(key ^ SEED, SPREAD);
    return Math.imul(spread ^ (spread >>> MIX_SHIFT), MIX) >>> this.#shift;
  }

  /** Those behind it that had to give way to it move up, so that no search ends too early. */
  #vacate(slot: number): void {
    let free = slot;
    for (let next = (slot + 1) & this.#mask; ; next = (next + 1) & this.#mask) {
      const key = this.#keys[next] as number;
      if (key === FREE) break;
      const away = (next - this.#home(key)) & this.#mask;
      if (away < ((next - free) & this.#mask)) continue;
      this.#keys[free] = key;
      this.#values[free] = this.#values[next];
      free = next;
    }
    this.#keys[free] = FREE;
    this.#values[free] = undefined;
  }

  #resize(slots: number): void {
    const keys = this.#keys;
    const values = this.#values;
    this.#keys = new Float64Array(slots).fill(FREE);
    this.#values = vacant<T>(slots);
    this.#mask = slots - 1;
    this.#shift = HASH_BITS - Math.log2(slots);
    if (this.#size === 0) return;
    keys.forEach((key, from) => {
      if (key === FREE) return;
      const slot = this.#slotOf(key);
      this.#keys[slot] = key;
      this.#values[slot] = values[from];
    });
  }
}
