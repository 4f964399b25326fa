/**
 * Reads the WebAssembly binary format with every access checked. Malformed input is a
 * `WardianError` that names the section and the byte offset; nothing else is ever thrown.
 */
import { WardianError, type ErrorCode } from '../../contract/errors.ts';

export class Reader {
  readonly bytes: Uint8Array;
  pos: number;
  end: number;
  /** What the message calls the place, for example `code section`. */
  place: string;
  /** Where it is a function's body: its index; otherwise -1. */
  functionIndex = -1;

  constructor(bytes: Uint8Array, pos = 0, end = bytes.length, place = 'module') {
    this.bytes = bytes;
    this.pos = pos;
    this.end = end;
    this.place = place;
  }

  fail(what: string, offset = this.pos): never {
    return this.refuse('malformed_module', what, offset);
  }

  refuse(code: ErrorCode, what: string, offset = this.pos): never {
    const place = this.functionIndex < 0 ? this.place
      : `${this.place}, function ${this.functionIndex}`;
    throw new WardianError(code, `${place}: ${what} (offset ${offset})`);
  }

  /** Refuses with the limit and the value found. */
  atMost(found: number, limit: number, what: string): void {
    if (found > limit) this.refuse('module_limit', `${what}: ${found}, the limit is ${limit}`);
  }

  u8(): number {
    if (this.pos >= this.end) this.fail('unexpected end');
    return this.bytes[this.pos++]!;
  }

  skip(count: number): void {
    if (count > this.end - this.pos) this.fail('unexpected end', this.end);
    this.pos += count;
  }

  u32(): number {
    const first = this.u8();
    if (first < 0x80) return first;
    return this.u32Rest(first & 0x7f);
  }

  private u32Rest(low: number): number {
    let value = low;
    for (let shift = 7; shift < 28; shift += 7) {
      const byte = this.u8();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    const byte = this.u8();
    if (byte > 0x0f) this.fail('integer too large', this.pos - 1);
    return value + byte * 2 ** 28;
  }

  /** A signed LEB128 of at most 33 bits, as block types and heap types are written. */
  s33(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.u8();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) {
        const signed = (byte & 0x40) !== 0 ? value - 2 ** (shift + 7) : value;
        if (signed >= 2 ** 32 || signed < -(2 ** 32)) this.fail('integer too large', this.pos - 1);
        return signed;
      }
    }
    return this.fail('integer too long');
  }

  /** Passes over a LEB128 of at most `bytes` bytes whose value does not matter here. */
  skipLeb(bytes: number): void {
    for (let count = 0; count < bytes; count++) {
      if (this.u8() < 0x80) return;
    }
    this.fail('integer too long');
  }

  /** A vector's length; an element takes at least one byte, so a longer one is malformed. */
  count(what: string, limit: number): number {
    const at = this.pos;
    const found = this.u32();
    if (found > limit) {
      this.refuse('module_limit', `too many ${what}: ${found}, the limit is ${limit}`, at);
    }
    if (found > this.end - this.pos) this.fail(`${found} ${what} do not fit`, at);
    return found;
  }

  /** A name: its length, then UTF-8, which must be well formed. */
  name(): string {
    const at = this.pos;
    const length = this.u32();
    if (length > this.end - this.pos) this.fail('name runs past the end', at);
    const raw = this.bytes.subarray(this.pos, this.pos + length);
    this.pos += length;
    try {
      return UTF8.decode(raw);
    } catch {
      return this.fail('name is not UTF-8', at);
    }
  }
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
