/**
 * Gathers a body that comes in pieces of any size. They are copied together as they come, so that a
 * body of a million tiny chunks costs its bytes and not a million objects. Less than a small block
 * is taken beyond what has come, so that what is counted is what is held. What comes out owns its
 * memory to the last byte: it can be handed to a worker without a copy, and with nothing besides.
 */

const BLOCK_BYTES_MIN = 4 * 1_024;

export class BodyGatherer {
  /** All but the last are full. */
  #blocks: Uint8Array[] = [];
  /** Bytes of the last block that are not used yet. */
  #free = 0;
  length = 0;

  push(piece: Uint8Array): void {
    this.length += piece.length;
    const fits = Math.min(this.#free, piece.length);
    this.#put(piece.subarray(0, fits));
    if (fits === piece.length) return;
    const rest = piece.subarray(fits);
    this.#free = Math.max(BLOCK_BYTES_MIN, rest.length);
    this.#blocks.push(new Uint8Array(this.#free));
    this.#put(rest);
  }

  /** No longer than what is free. */
  #put(bytes: Uint8Array): void {
    const last = this.#blocks.at(-1);
    last?.set(bytes, last.length - this.#free);
    this.#free -= bytes.length;
  }

  /** The whole, or null when there was nothing; empty afterwards. */
  take(): Uint8Array<ArrayBuffer> | null {
    const { length } = this;
    const blocks = this.#blocks;
    this.clear();
    const [first] = blocks;
    if (first === undefined || length === 0) return null;
    if (first.length === length) return first as Uint8Array<ArrayBuffer>;
    const whole = new Uint8Array(length);
    let at = 0;
    for (const block of blocks) {
      whole.set(at + block.length > length ? block.subarray(0, length - at) : block, at);
      at += block.length;
    }
    return whole;
  }

  clear(): void {
    this.#blocks = [];
    this.#free = 0;
    this.length = 0;
  }
}
