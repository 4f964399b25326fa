/**
 * The guest's memory as the in-test host sees it: every access is inside or throws, and what the
 * host hands over goes through the guest's own allocator, filled with `?` first.
 */

export type Caller = (argument: number, index: number) => number;

export interface MemoryAccess {
  /** How an entry of the guest's table is called. */
  setCaller(caller: Caller | null): void;
  setAllocator(malloc: number, free: number): void;
  take(address: number, length: number): Buffer;
  text(address: number, length: number): string;
  takeI32s(address: number, count: number): number[];
  takeList(address: number, count: number): Buffer[];
  writeU32(address: number, value: number): void;
  writeU64(address: number, value: bigint): void;
  write(address: number, bytes: Uint8Array): void;
  /** Stores address and length of a copy; 0 and 0 for nothing, unless even nothing is `found`. */
  give(out: number, lengthOut: number, bytes: Buffer, found?: boolean): void;
  giveList(out: number, countOut: number, list: readonly Buffer[]): void;
}

const SLICE_BYTES = 8;

export function createMemoryAccess(memory: WebAssembly.Memory): MemoryAccess {
  let caller: Caller | null = null;
  let mallocIndex: number | null = null;

  const bytes = (address: number, length: number): Buffer => {
    const start = address >>> 0;
    const end = start + (length >>> 0);
    if (end > memory.buffer.byteLength) throw new RangeError(`${start}..${end} is outside`);
    return Buffer.from(memory.buffer, start, length >>> 0);
  };

  /** A block one byte longer than asked for, which ends in NUL. */
  const allocate = (length: number): number => {
    if (mallocIndex === null) throw new Error('hostcall_init_mm was not called');
    if (caller === null) throw new Error('the guest has no table');
    const address = caller(length + 1, mallocIndex);
    if (address === 0) throw new Error(`malloc(${length + 1}) failed`);
    bytes(address, length + 1).fill('?');
    bytes(address + length, 1).fill(0);
    return address;
  };

  const copyIn = (content: Buffer): number => {
    const address = allocate(content.length);
    content.copy(bytes(address, content.length));
    return address;
  };

  const access: MemoryAccess = {
    setCaller: (found) => {
      caller = found;
    },
    setAllocator: (malloc, free) => {
      if (malloc === free) throw new Error('malloc and free are the same function');
      mallocIndex = malloc;
    },
    take: (address, length) => Buffer.from(bytes(address, length)),
    text: (address, length) =>
      new TextDecoder('utf-8', { fatal: true }).decode(bytes(address, length)),
    takeI32s: (address, count) =>
      Array.from({ length: count }, (_, i) => bytes(address + i * 4, 4).readInt32LE()),
    takeList: (address, count) =>
      Array.from({ length: count }, (_, i) => {
        const slice = bytes(address + i * SLICE_BYTES, SLICE_BYTES);
        return access.take(slice.readUInt32LE(0), slice.readUInt32LE(4));
      }),
    writeU32: (address, value) => void bytes(address, 4).writeUInt32LE(value >>> 0),
    writeU64: (address, value) =>
      void bytes(address, 8).writeBigUInt64LE(BigInt.asUintN(64, value)),
    write: (address, content) => bytes(address, content.length).set(content),
    give: (out, lengthOut, content, found = content.length > 0) => {
      const address = found ? copyIn(content) : 0;
      access.writeU32(out, address);
      access.writeU32(lengthOut, content.length);
    },
    giveList: (out, countOut, list) => {
      const array = list.length === 0 ? 0 : allocate(list.length * SLICE_BYTES);
      for (const [i, content] of list.entries()) {
        const address = copyIn(content);
        access.writeU32(array + i * SLICE_BYTES, address);
        access.writeU32(array + i * SLICE_BYTES + 4, content.length);
      }
      access.writeU32(out, array);
      access.writeU32(countOut, list.length);
    },
  };
  return access;
}
