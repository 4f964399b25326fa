/** Value types: how they are read, and the names by which the host sees them. */
import { Reader } from './reader.ts';

export type ValType =
  | 'i32' | 'i64' | 'f32' | 'f64' | 'v128' | 'funcref' | 'externref' | 'exnref' | 'ref'
  | 'ref exn';

/** True of every type that can refer to an exception. */
export const isException = (type: ValType): boolean => type === 'exnref' || type === 'ref exn';

/** True of the types that take one byte: all but those that name a heap type. */
export const isOneByte = (type: ValType): boolean => !type.startsWith('ref');

export interface FuncType {
  params: ValType[];
  results: ValType[];
  /** Where the type stands in the source, from behind the parameter count on. */
  paramsFrom: number;
  to: number;
}

const GC_HEAP_TYPES: Readonly<Record<number, string>> = {
  0x6e: 'any', 0x6d: 'eq', 0x6c: 'i31', 0x6b: 'struct', 0x6a: 'array',
  0x71: 'none', 0x72: 'noextern', 0x73: 'nofunc', 0x74: 'noexn',
};

const NUMBER_TYPES: Readonly<Record<number, ValType>> = {
  0x7f: 'i32', 0x7e: 'i64', 0x7d: 'f32', 0x7c: 'f64', 0x7b: 'v128',
  0x70: 'funcref', 0x6f: 'externref', 0x69: 'exnref',
};

function refuseGc(reader: Reader, name: string): never {
  return reader.refuse('unsupported_feature', `GC types are not supported: ${name}`,
    reader.pos - 1);
}

const EXN = 0x69;

/** Reads a heap type: `func`, `extern`, `exn` or a type index. Answers whether it is `exn`. */
export function heapType(reader: Reader): boolean {
  const at = reader.pos;
  const value = reader.s33();
  if (value >= 0) return false;
  const byte = value + 0x80;
  if (byte === 0x70 || byte === 0x6f || byte === EXN) return byte === EXN;
  const gc = GC_HEAP_TYPES[byte];
  if (gc !== undefined) refuseGc(reader, gc);
  return reader.fail('unknown heap type', at);
}

export function valType(reader: Reader): ValType {
  const at = reader.pos;
  const byte = reader.u8();
  const known = NUMBER_TYPES[byte];
  if (known !== undefined) return known;
  if (byte === 0x63 || byte === 0x64) {
    return heapType(reader) ? 'ref exn' : 'ref';
  }
  const gc = GC_HEAP_TYPES[byte];
  if (gc !== undefined) refuseGc(reader, gc);
  return reader.fail(`unknown value type 0x${byte.toString(16)}`, at);
}

/** A reference type; V8 refuses any other value type where one is wanted, and so does this. */
export function refType(reader: Reader): ValType {
  const at = reader.pos;
  const type = valType(reader);
  if (type.includes('ref')) return type;
  return reader.fail('a reference type is wanted', at);
}
