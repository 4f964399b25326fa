/**
 * The one way to guest memory. Every access is checked against the memory's size as the guest sees
 * it (the memory itself may be larger, since memories are recycled), and every copy is paid for
 * before it is made.
 *
 * Views are not kept across calls: `memory.grow` detaches the buffer, which then reads as empty and
 * swallows writes. A detached view has length 0, so `#view` notices it for the price of one
 * comparison.
 */

import { WASM_PAGE_BYTES } from '../contract/limits.ts';
import { WardianError } from '../contract/errors.ts';
import type { Meter } from './meter.ts';

/**
 * A hostcall's argument that ends the guest; the wrapper puts the hostcall's name before the
 * message.
 */
export class BadArgument extends WardianError {
  constructor(argument: string, problem: string) {
    super('bad_hostcall', `${argument}: ${problem}`);
    this.name = 'BadArgument';
  }
}

/**
 * What `Buffer` has and its types leave out: conversions without the dispatch on an encoding's
 * name.
 */
interface ByteView extends Buffer {
  latin1Slice(start: number, end: number): string;
  utf8Slice(start: number, end: number): string;
  ucs2Slice(start: number, end: number): string;
  latin1Write(text: string, offset: number, length: number): number;
}

const NO_BYTES = Buffer.alloc(0) as ByteView;
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
/** Up to this length a look at each character costs less than calling the decoder. */
const LOOKED_AT_BYTES_MAX = 64;
// oxlint-disable-next-line no-control-regex
const ASCII = /^[\0-\x7f]*$/;

export class GuestMemory {
  readonly #meter: Meter;
  #memory: WebAssembly.Memory | null = null;
  #pages: WebAssembly.Global | null = null;
  #buffer: ByteView = NO_BYTES;
  /**
   * What the guest may address, as last read. Memories never shrink, so an access below it needs no
   * new look.
   */
  #sizeBytes = 0;

  constructor(meter: Meter) {
    this.#meter = meter;
  }

  /** `bytes` is a view of the whole memory, if there is one already. */
  attach(
    memory: WebAssembly.Memory | null, pages: WebAssembly.Global | null, bytes: Buffer | null,
  ): void {
    this.#memory = memory;
    this.#pages = pages;
    if (bytes !== null) this.#buffer = bytes as ByteView;
  }

  detach(): void {
    this.#memory = null;
    this.#pages = null;
    this.#buffer = NO_BYTES;
    this.#sizeBytes = 0;
  }

  /** Bytes the guest can address now. */
  get sizeBytes(): number {
    if (this.#memory === null) return 0;
    const visible = this.#pages === null
      ? this.#memory.buffer.byteLength : (this.#pages.value as number) * WASM_PAGE_BYTES;
    this.#sizeBytes = visible;
    return visible;
  }

  /**
   * Throws BadArgument unless `length` bytes at `pointer` (both as wasm gave them) are within the
   * memory.
   */
  check(pointer: number, length: number, argument: string): void {
    const end = (pointer >>> 0) + (length >>> 0);
    if (end <= this.#sizeBytes || end <= this.sizeBytes) return;
    throw new BadArgument(argument, `${length >>> 0} bytes at ${pointer >>> 0} are outside of the `
      + `guest's memory of ${this.#sizeBytes} bytes`);
  }

  /** True if `length` bytes at `pointer` are within the memory. */
  holds(pointer: number, length: number): boolean {
    const end = (pointer >>> 0) + (length >>> 0);
    return end <= this.#sizeBytes || end <= this.sizeBytes;
  }

  get #view(): ByteView {
    if (this.#buffer.length === 0 && this.#memory !== null) {
      this.#buffer = Buffer.from(this.#memory.buffer) as Buffer as ByteView;
    }
    return this.#buffer;
  }

  readU32(pointer: number, argument: string): number {
    this.check(pointer, 4, argument);
    return this.#view.readUInt32LE(pointer >>> 0);
  }

  readU64(pointer: number, argument: string): bigint {
    this.check(pointer, 8, argument);
    return this.#view.readBigUInt64LE(pointer >>> 0);
  }

  writeU8(pointer: number, value: number, argument: string): void {
    this.check(pointer, 1, argument);
    this.#view[pointer >>> 0] = value;
  }

  writeU16(pointer: number, value: number, argument: string): void {
    this.check(pointer, 2, argument);
    this.#view.writeUInt16LE(value & 0xffff, pointer >>> 0);
  }

  writeU32(pointer: number, value: number, argument: string): void {
    this.check(pointer, 4, argument);
    this.#view.writeUInt32LE(value >>> 0, pointer >>> 0);
  }

  writeU64(pointer: number, value: bigint, argument: string): void {
    this.check(pointer, 8, argument);
    this.#view.writeBigUInt64LE(BigInt.asUintN(64, value), pointer >>> 0);
  }

  /** The host's own copy: it stays as it is whatever the guest does, and may be transferred. */
  copy(pointer: number, length: number, argument: string): Uint8Array {
    this.check(pointer, length, argument);
    this.#meter.charge(length >>> 0);
    const start = pointer >>> 0;
    return Uint8Array.prototype.slice.call(this.#view, start, start + (length >>> 0));
  }

  /**
   * As `copy`, for what stays small and is never handed over: it may be a part of a buffer that
   * others are in, which needs no memory of its own.
   */
  copySmall(pointer: number, length: number, argument: string): Uint8Array {
    this.check(pointer, length, argument);
    this.#meter.charge(length >>> 0);
    const start = pointer >>> 0;
    const bytes = Buffer.allocUnsafe(length >>> 0);
    this.#view.copy(bytes, 0, start, start + bytes.length);
    return bytes;
  }

  /** Bytes before the first NUL, of at most `most`; fewer where the memory ends. Not charged. */
  lengthToNul(pointer: number, most: number, argument: string): number {
    this.check(pointer, 1, argument);
    const start = pointer >>> 0;
    const text = this.#view.subarray(start, Math.min(start + most, this.sizeBytes));
    const nul = text.indexOf(0);
    return nul < 0 ? text.length : nul;
  }

  /** Bytes as a string of one character per byte. */
  latin1(pointer: number, length: number, argument: string): string {
    this.check(pointer, length, argument);
    this.#meter.charge(length >>> 0);
    const start = pointer >>> 0;
    return this.#view.latin1Slice(start, start + (length >>> 0));
  }

  /** Null if the bytes are not UTF-8. */
  utf8(pointer: number, length: number, argument: string): string | null {
    this.check(pointer, length, argument);
    this.#meter.charge(length >>> 0);
    const start = pointer >>> 0;
    if (length >>> 0 <= LOOKED_AT_BYTES_MAX) {
      const text = this.#view.latin1Slice(start, start + (length >>> 0));
      if (ASCII.test(text)) return text;
    }
    try {
      return UTF8.decode(this.#view.subarray(start, start + (length >>> 0)));
    } catch (error) {
      if (error instanceof TypeError) return null;
      throw error;
    }
  }

  /** Text for people: what is not UTF-8 becomes replacement characters. */
  text(pointer: number, length: number, argument: string): string {
    this.check(pointer, length, argument);
    this.#meter.charge(length >>> 0);
    const start = pointer >>> 0;
    return this.#view.utf8Slice(start, start + (length >>> 0));
  }

  utf16(pointer: number, length: number, argument: string): string {
    this.check(pointer, length, argument);
    this.#meter.charge(length >>> 0);
    const start = pointer >>> 0;
    return this.#view.ucs2Slice(start, start + (length >>> 0));
  }

  write(pointer: number, bytes: Uint8Array, argument: string): void {
    this.check(pointer, bytes.length, argument);
    this.#meter.charge(bytes.length);
    this.#view.set(bytes, pointer >>> 0);
  }

  /** Writes a string of one character per byte. */
  writeLatin1(pointer: number, text: string, argument: string): void {
    this.check(pointer, text.length, argument);
    this.#meter.charge(text.length);
    this.#view.latin1Write(text, pointer >>> 0, text.length);
  }

  /** Lets `use` read or write bytes in place. It must not call the guest, nor keep the view. */
  lend(pointer: number, length: number, argument: string, use: (bytes: Uint8Array) => void): void {
    this.check(pointer, length, argument);
    this.#meter.charge(length >>> 0);
    const start = pointer >>> 0;
    use(this.#view.subarray(start, start + (length >>> 0)));
  }
}
