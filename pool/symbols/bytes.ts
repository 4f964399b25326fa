/** A little-endian reader over bytes of strangers: whatever lies behind the end is an error. */

export class ByteReader {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  at: number;
  readonly end: number;

  constructor(bytes: Uint8Array, at = 0, end = bytes.length) {
    if (at < 0 || end > bytes.length || at > end) throw new RangeError('outside of the section');
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = at;
    this.end = end;
  }

  /** Moves over `count` bytes and answers where they began. */
  skip(count: number): number {
    const from = this.at;
    if (!(count >= 0) || count > this.end - from) throw new RangeError('past the end');
    this.at = from + count;
    return from;
  }

  u8(): number {
    return this.#view.getUint8(this.skip(1));
  }

  i8(): number {
    return this.#view.getInt8(this.skip(1));
  }

  u16(): number {
    return this.#view.getUint16(this.skip(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.skip(4), true);
  }

  /** Exact up to 2^53, which no offset of a module reaches. */
  u64(): number {
    return Number(this.#view.getBigUint64(this.skip(8), true));
  }

  /** An unsigned LEB128; values beyond 2^53 lose their low bits. */
  uleb(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
  }

  sleb(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      scale *= 0x80;
      if (byte >= 0x80) continue;
      return (byte & 0x40) === 0 ? value : value - scale;
    }
  }

  /** Moves behind the next NUL and answers where the string before it begins. */
  skipString(): number {
    const from = this.at;
    const nul = this.bytes.indexOf(0, from);
    if (nul < 0 || nul >= this.end) throw new RangeError('a string without an end');
    this.at = nul + 1;
    return from;
  }
}
