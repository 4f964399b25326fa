/**
 * The keys of secrets in memory that all threads share. The main thread adds one, and from then on
 * every worker opens what it sealed: no message has to arrive before the first such value does.
 *
 *   count (4 bytes) | key 0 | key 1 | …
 *
 * A key is written before the count that makes it visible, and is never changed after.
 */

import { WardianError } from './errors.ts';
import { SECRET_KEY_BYTES, secretKeyId } from './sealed.ts';

/** More than there are in the file of keys: those that were taken out stay until the end. */
const KEYS_MAX = 64;
const COUNT_BYTES = 4;

export class KeyRing {
  readonly memory: SharedArrayBuffer;
  readonly #count: Int32Array;
  readonly #known = new Map<string, Uint8Array>();
  #seen = 0;

  constructor(memory = new SharedArrayBuffer(COUNT_BYTES + KEYS_MAX * SECRET_KEY_BYTES)) {
    this.memory = memory;
    this.#count = new Int32Array(memory, 0, 1);
  }

  static of(keys: readonly Uint8Array[]): KeyRing {
    const ring = new KeyRing();
    for (const key of keys) ring.add(key);
    return ring;
  }

  get isFull(): boolean {
    return Atomics.load(this.#count, 0) >= KEYS_MAX;
  }

  /** On one thread alone. Throws WardianError `bad_argument`, `conflict` when it is full. */
  add(key: Uint8Array): void {
    if (key.byteLength !== SECRET_KEY_BYTES) {
      throw new WardianError('bad_argument', `a secrets key has ${SECRET_KEY_BYTES} bytes`);
    }
    if (this.isFull) throw new WardianError('conflict', 'too many keys of secrets: restart');
    const count = Atomics.load(this.#count, 0);
    new Uint8Array(this.memory, COUNT_BYTES + count * SECRET_KEY_BYTES, SECRET_KEY_BYTES).set(key);
    Atomics.store(this.#count, 0, count + 1);
  }

  /** The key of that id, or null. */
  find(keyId: string): Uint8Array | null {
    const known = this.#known.get(keyId);
    if (known !== undefined) return known;
    for (const count = Atomics.load(this.#count, 0); this.#seen < count; this.#seen += 1) {
      const at = COUNT_BYTES + this.#seen * SECRET_KEY_BYTES;
      const key = new Uint8Array(this.memory, at, SECRET_KEY_BYTES).slice();
      this.#known.set(secretKeyId(key), key);
    }
    return this.#known.get(keyId) ?? null;
  }
}
