/** A growing byte buffer that writes the WebAssembly binary format. */

const UTF8 = new TextEncoder();
/** The most that a LEB128 of 64 bits takes. */
const LEB_BYTES_MAX = 10;
const INT32_MAX = 2 ** 31 - 1;

/**
 * The next three write into room that the caller has reserved, and answer where they ended. Short
 * forms come first, in 32-bit arithmetic: in code that is not hot yet divisions of other numbers
 * make garbage.
 */
export function putU32(bytes: Uint8Array, from: number, value: number): number {
  let at = from;
  let rest = value;
  while (rest > INT32_MAX) {
    bytes[at++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  while (rest >= 0x80) {
    bytes[at++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  bytes[at] = rest;
  return at + 1;
}

/** A signed LEB128; `value` is an exact integer. */
export function putSigned(bytes: Uint8Array, from: number, value: number): number {
  let at = from;
  let rest = value;
  while (rest > INT32_MAX || rest < -INT32_MAX) {
    bytes[at++] = (((rest % 0x80) + 0x80) % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  while (rest >= 0x40 || rest < -0x40) {
    bytes[at++] = (rest & 0x7f) | 0x80;
    rest >>= 7;
  }
  bytes[at] = rest & 0x7f;
  return at + 1;
}

/** An instruction that has one index behind its opcode. */
export function putIndexed(bytes: Uint8Array, from: number, opcode: number, index: number): number {
  bytes[from] = opcode;
  if (index >= 0x80) return putU32(bytes, from + 1, index);
  bytes[from + 1] = index;
  return from + 2;
}

export class Writer {
  bytes: Uint8Array;
  length = 0;

  constructor(capacity = 256) {
    this.bytes = new Uint8Array(capacity);
  }

  reserve(more: number): void {
    const needed = this.length + more;
    if (needed <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, this.bytes.length * 2));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
  }

  u8(byte: number): void {
    if (this.length === this.bytes.length) this.reserve(1);
    this.bytes[this.length++] = byte;
  }

  u32(value: number): void {
    this.reserve(LEB_BYTES_MAX);
    this.length = putU32(this.bytes, this.length, value);
  }

  signed(value: number): void {
    this.reserve(LEB_BYTES_MAX);
    this.length = putSigned(this.bytes, this.length, value);
  }

  /**
   * Copies `source[from, to)`. Short runs are copied by hand: a subarray costs more than they do.
   */
  copy(source: Uint8Array, from: number, to: number): void {
    const count = to - from;
    this.reserve(count);
    if (count > 96) {
      this.bytes.set(source.subarray(from, to), this.length);
    } else {
      const bytes = this.bytes;
      let at = this.length;
      for (let i = from; i < to; i++) bytes[at++] = source[i]!;
    }
    this.length += count;
  }

  append(other: Writer): void {
    this.copy(other.bytes, 0, other.length);
  }

  list(values: readonly number[]): void {
    for (const value of values) this.u8(value);
  }

  /** A name or any byte string with its length in front. */
  name(text: string): void {
    const raw = UTF8.encode(text);
    this.u32(raw.length);
    this.copy(raw, 0, raw.length);
  }

  /** `other`, preceded by its length. */
  sized(other: Writer): void {
    this.u32(other.length);
    this.append(other);
  }

  take(): Uint8Array {
    return this.bytes.slice(0, this.length);
  }
}
