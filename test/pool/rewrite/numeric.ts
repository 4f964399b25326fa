/**
 * The numeric instructions, each with its opcode, its types, its cost and what it does, written
 * from the specification and the table of docs/fuel.md, without the rewriter's tables. 64-bit
 * integers are signed bigints; NaNs have no bits here, so whoever looks at the bits of a float has
 * to make it a number first.
 */
export type NumType = 'i32' | 'i64' | 'f32' | 'f64';
export type Value = number | bigint;

/** Thrown by an instruction that traps. */
export class Trapped extends Error {}

export interface Numeric {
  name: string;
  code: readonly number[];
  takes: readonly NumType[];
  gives: NumType;
  cost: number;
  /** Traps for some of its operands. */
  traps: boolean;
  run: (...values: never[]) => Value;
}

const FLOAT = 4;
const DIVISION = 16;

export const NUMERIC: Numeric[] = [];

function add(
  code: number | readonly number[], name: string, takes: readonly NumType[], gives: NumType,
  run: (...values: never[]) => Value, cost = 1, traps = false,
): void {
  NUMERIC.push({
    name, code: typeof code === 'number' ? [code] : code, takes, gives, cost, traps, run,
  });
}

function trap(): never {
  throw new Trapped();
}

function bitLength(value: bigint): number {
  return value === 0n ? 0 : value.toString(2).length;
}

function ones(value: bigint): number {
  return value.toString(2).replaceAll('0', '').length;
}

function trailingZeros(value: bigint, width: number): number {
  return value === 0n ? width : bitLength(value & -value) - 1;
}

/** Both widths alike, computed with bigints, of which the result takes the low bits. */
function integers(type: 'i32' | 'i64', base: number, comparisons: number): void {
  const width = type === 'i32' ? 32 : 64;
  const signed = (value: Value): bigint => BigInt.asIntN(width, BigInt(value));
  const unsigned = (value: Value): bigint => BigInt.asUintN(width, BigInt(value));
  const result = (value: bigint): Value => (width === 32 ? Number(signed(value)) : signed(value));
  const count = (value: Value): bigint => unsigned(value) % BigInt(width);
  const lowest = -(1n << BigInt(width - 1));
  const compare = (at: number, name: string, run: (a: bigint, b: bigint) => boolean): void =>
    add(comparisons + at, `${type}.${name}`, [type, type], 'i32',
      ((a: Value, b: Value) => Number(run(signed(a), signed(b)))) as Numeric['run']);
  add(comparisons, `${type}.eqz`, [type], 'i32', ((a: Value) =>
    Number(unsigned(a) === 0n)) as Numeric['run']);
  compare(1, 'eq', (a, b) => a === b);
  compare(2, 'ne', (a, b) => a !== b);
  compare(3, 'lt_s', (a, b) => a < b);
  compare(4, 'lt_u', (a, b) => unsigned(a) < unsigned(b));
  compare(5, 'gt_s', (a, b) => a > b);
  compare(6, 'gt_u', (a, b) => unsigned(a) > unsigned(b));
  compare(7, 'le_s', (a, b) => a <= b);
  compare(8, 'le_u', (a, b) => unsigned(a) <= unsigned(b));
  compare(9, 'ge_s', (a, b) => a >= b);
  compare(10, 'ge_u', (a, b) => unsigned(a) >= unsigned(b));
  const one = (at: number, name: string, run: (a: bigint) => bigint): void =>
    add(base + at, `${type}.${name}`, [type], type,
      ((a: Value) => result(run(unsigned(a)))) as Numeric['run']);
  one(0, 'clz', (a) => BigInt(width - bitLength(a)));
  one(1, 'ctz', (a) => BigInt(trailingZeros(a, width)));
  one(2, 'popcnt', (a) => BigInt(ones(a)));
  const two = (
    at: number, name: string, run: (a: bigint, b: bigint) => bigint, divides = false,
  ): void => add(base + at, `${type}.${name}`, [type, type], type,
    ((a: Value, b: Value) => {
      if (divides && unsigned(b) === 0n) trap();
      return result(run(signed(a), signed(b)));
    }) as Numeric['run'], divides ? DIVISION : 1, divides);
  two(3, 'add', (a, b) => a + b);
  two(4, 'sub', (a, b) => a - b);
  two(5, 'mul', (a, b) => a * b);
  two(6, 'div_s', (a, b) => (a === lowest && b === -1n ? trap() : a / b), true);
  two(7, 'div_u', (a, b) => unsigned(a) / unsigned(b), true);
  two(8, 'rem_s', (a, b) => a % b, true);
  two(9, 'rem_u', (a, b) => unsigned(a) % unsigned(b), true);
  two(10, 'and', (a, b) => a & b);
  two(11, 'or', (a, b) => a | b);
  two(12, 'xor', (a, b) => a ^ b);
  two(13, 'shl', (a, b) => a << count(b));
  two(14, 'shr_s', (a, b) => a >> count(b));
  two(15, 'shr_u', (a, b) => unsigned(a) >> count(b));
  const rotate = (a: bigint, by: bigint): bigint =>
    (unsigned(a) << by) | (unsigned(a) >> (BigInt(width) - by));
  two(16, 'rotl', (a, b) => rotate(a, count(b)));
  two(17, 'rotr', (a, b) => rotate(a, count(-b)));
}

/** To the even neighbour where two are as near. */
function nearest(value: number): number {
  const floor = Math.floor(value);
  const above = value - floor;
  if (!Number.isFinite(value) || above === 0) return value;
  const rounded = above < 0.5 || (above === 0.5 && floor % 2 === 0) ? floor : floor + 1;
  return rounded === 0 && value < 0 ? -0 : rounded;
}

const isNegative = (value: number): boolean => value < 0 || Object.is(value, -0);

/** 32-bit results are rounded from 64-bit ones, which is exact for these. */
function floats(type: 'f32' | 'f64', base: number, comparisons: number): void {
  const round = type === 'f32' ? Math.fround : (value: number): number => value;
  const compare = (at: number, name: string, run: (a: number, b: number) => boolean): void =>
    add(comparisons + at, `${type}.${name}`, [type, type], 'i32',
      (a: number, b: number) => Number(run(a, b)));
  compare(0, 'eq', (a, b) => a === b);
  compare(1, 'ne', (a, b) => a !== b);
  compare(2, 'lt', (a, b) => a < b);
  compare(3, 'gt', (a, b) => a > b);
  compare(4, 'le', (a, b) => a <= b);
  compare(5, 'ge', (a, b) => a >= b);
  const one = (at: number, name: string, run: (a: number) => number, cost = FLOAT): void =>
    add(base + at, `${type}.${name}`, [type], type, (a: number) => round(run(a)), cost);
  one(0, 'abs', Math.abs);
  one(1, 'neg', (a) => -a);
  one(2, 'ceil', Math.ceil);
  one(3, 'floor', Math.floor);
  one(4, 'trunc', Math.trunc);
  one(5, 'nearest', nearest);
  one(6, 'sqrt', Math.sqrt, DIVISION);
  const two = (
    at: number, name: string, run: (a: number, b: number) => number, cost = FLOAT,
  ): void => add(base + at, `${type}.${name}`, [type, type], type,
    (a: number, b: number) => round(run(a, b)), cost);
  two(7, 'add', (a, b) => a + b);
  two(8, 'sub', (a, b) => a - b);
  two(9, 'mul', (a, b) => a * b);
  two(10, 'div', (a, b) => a / b, DIVISION);
  two(11, 'min', (a, b) => Math.min(a, b));
  two(12, 'max', (a, b) => Math.max(a, b));
  two(13, 'copysign', (a, b) => (isNegative(a) === isNegative(b) ? a : -a));
}

/** A 64-bit integer as a float of 32 bits: one rounding, not two. */
function toFloat32(value: bigint): number {
  const magnitude = value < 0n ? -value : value;
  const excess = BigInt(Math.max(bitLength(magnitude) - 53, 0));
  let kept = magnitude >> excess;
  if (kept << excess !== magnitude) kept |= 1n;
  const rounded = Math.fround(Number(kept) * 2 ** Number(excess));
  return value < 0n ? -rounded : rounded;
}

const RANGE = {
  i32s: [-(2n ** 31n), 2n ** 31n - 1n], i32u: [0n, 2n ** 32n - 1n],
  i64s: [-(2n ** 63n), 2n ** 63n - 1n], i64u: [0n, 2n ** 64n - 1n],
} as const;

function toInteger(
  value: number, type: 'i32' | 'i64', sign: 's' | 'u', saturates: boolean,
): Value {
  const [least, most] = RANGE[`${type}${sign}`];
  let whole = 0n;
  if (Number.isNaN(value)) {
    if (!saturates) trap();
  } else if (!Number.isFinite(value)) {
    if (!saturates) trap();
    whole = value < 0 ? least : most;
  } else {
    whole = BigInt(Math.trunc(value));
    if (whole < least || whole > most) {
      if (!saturates) trap();
      whole = whole < least ? least : most;
    }
  }
  return type === 'i32' ? Number(BigInt.asIntN(32, whole)) : BigInt.asIntN(64, whole);
}

function truncations(): void {
  const codes = { i32: 0xa8, i64: 0xae };
  for (const type of ['i32', 'i64'] as const) {
    for (const from of ['f32', 'f64'] as const) {
      for (const sign of ['s', 'u'] as const) {
        const at = (from === 'f64' ? 2 : 0) + (sign === 'u' ? 1 : 0);
        add(codes[type] + at, `${type}.trunc_${from}_${sign}`, [from], type,
          (value: number) => toInteger(value, type, sign, false), FLOAT, true);
        add([0xfc, (type === 'i64' ? 4 : 0) + at], `${type}.trunc_sat_${from}_${sign}`, [from],
          type, (value: number) => toInteger(value, type, sign, true), FLOAT);
      }
    }
  }
}

function conversions(): void {
  add(0xa7, 'i32.wrap_i64', ['i64'], 'i32', (a: bigint) => Number(BigInt.asIntN(32, a)));
  add(0xac, 'i64.extend_i32_s', ['i32'], 'i64', (a: number) => BigInt(a));
  add(0xad, 'i64.extend_i32_u', ['i32'], 'i64', (a: number) => BigInt(a >>> 0));
  const unsigned = (a: bigint): bigint => BigInt.asUintN(64, a);
  const convert = (
    code: number, name: string, from: NumType, to: NumType, run: (...values: never[]) => Value,
  ): void => add(code, name, [from], to, run, FLOAT);
  convert(0xb2, 'f32.convert_i32_s', 'i32', 'f32', (a: number) => Math.fround(a));
  convert(0xb3, 'f32.convert_i32_u', 'i32', 'f32', (a: number) => Math.fround(a >>> 0));
  convert(0xb4, 'f32.convert_i64_s', 'i64', 'f32', toFloat32);
  convert(0xb5, 'f32.convert_i64_u', 'i64', 'f32', (a: bigint) => toFloat32(unsigned(a)));
  convert(0xb6, 'f32.demote_f64', 'f64', 'f32', (a: number) => Math.fround(a));
  convert(0xb7, 'f64.convert_i32_s', 'i32', 'f64', (a: number) => a);
  convert(0xb8, 'f64.convert_i32_u', 'i32', 'f64', (a: number) => a >>> 0);
  convert(0xb9, 'f64.convert_i64_s', 'i64', 'f64', (a: bigint) => Number(a));
  convert(0xba, 'f64.convert_i64_u', 'i64', 'f64', (a: bigint) => Number(unsigned(a)));
  convert(0xbb, 'f64.promote_f32', 'f32', 'f64', (a: number) => a);
  const view = new DataView(new ArrayBuffer(8));
  add(0xbc, 'i32.reinterpret_f32', ['f32'], 'i32', (a: number) => {
    view.setFloat32(0, a);
    return view.getInt32(0);
  });
  add(0xbd, 'i64.reinterpret_f64', ['f64'], 'i64', (a: number) => {
    view.setFloat64(0, a);
    return view.getBigInt64(0);
  });
  add(0xbe, 'f32.reinterpret_i32', ['i32'], 'f32', (a: number) => {
    view.setInt32(0, a);
    return view.getFloat32(0);
  });
  add(0xbf, 'f64.reinterpret_i64', ['i64'], 'f64', (a: bigint) => {
    view.setBigInt64(0, a);
    return view.getFloat64(0);
  });
  for (const [at, bits] of [8, 16].entries()) {
    add(0xc0 + at, `i32.extend${bits}_s`, ['i32'], 'i32',
      (a: number) => Number(BigInt.asIntN(bits, BigInt(a))));
  }
  for (const [at, bits] of [8, 16, 32].entries()) {
    add(0xc2 + at, `i64.extend${bits}_s`, ['i64'], 'i64', (a: bigint) => BigInt.asIntN(bits, a));
  }
}

integers('i32', 0x67, 0x45);
integers('i64', 0x79, 0x50);
floats('f32', 0x8b, 0x5b);
floats('f64', 0x99, 0x61);
truncations();
conversions();

/** A load or store, by its opcode: the type on the stack, and what it is in memory. */
export interface Access {
  code: number;
  type: NumType;
  bytes: 1 | 2 | 4 | 8;
  signed: boolean;
}

const access = (
  code: number, type: NumType, bytes: Access['bytes'], signed = true,
): Access => ({ code, type, bytes, signed });

export const LOADS: readonly Access[] = [
  access(0x28, 'i32', 4), access(0x29, 'i64', 8), access(0x2a, 'f32', 4), access(0x2b, 'f64', 8),
  access(0x2c, 'i32', 1), access(0x2d, 'i32', 1, false), access(0x2e, 'i32', 2),
  access(0x2f, 'i32', 2, false), access(0x30, 'i64', 1), access(0x31, 'i64', 1, false),
  access(0x32, 'i64', 2), access(0x33, 'i64', 2, false), access(0x34, 'i64', 4),
  access(0x35, 'i64', 4, false),
];
export const STORES: readonly Access[] = [
  access(0x36, 'i32', 4), access(0x37, 'i64', 8), access(0x38, 'f32', 4), access(0x39, 'f64', 8),
  access(0x3a, 'i32', 1), access(0x3b, 'i32', 2), access(0x3c, 'i64', 1), access(0x3d, 'i64', 2),
  access(0x3e, 'i64', 4),
];

export function load({ type, bytes, signed }: Access, memory: DataView, at: number): Value {
  if (type === 'f32') return memory.getFloat32(at, true);
  if (type === 'f64') return memory.getFloat64(at, true);
  let raw = 0n;
  for (let i = bytes - 1; i >= 0; i--) raw = (raw << 8n) | BigInt(memory.getUint8(at + i));
  if (signed) raw = BigInt.asIntN(bytes * 8, raw);
  return type === 'i32' ? Number(BigInt.asIntN(32, raw)) : BigInt.asIntN(64, raw);
}

export function store({ type, bytes }: Access, memory: DataView, at: number, value: Value): void {
  if (type === 'f32') return memory.setFloat32(at, value as number, true);
  if (type === 'f64') return memory.setFloat64(at, value as number, true);
  const raw = BigInt.asUintN(bytes * 8, BigInt(value));
  for (let i = 0; i < bytes; i++) memory.setUint8(at + i, Number((raw >> BigInt(8 * i)) & 0xffn));
}
