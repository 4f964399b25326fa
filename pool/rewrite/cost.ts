/**
 * What every instruction costs, in fuel units. `docs/fuel.md` explains the table; a change of any
 * number here changes `COST_TABLE_VERSION`, which is part of the key under which rewritten modules
 * are kept. Set so that nothing a guest can repeat takes much longer for a unit than the rest:
 * measured with loops of single instructions, in optimised code.
 */

import type { ValType } from './valtypes.ts';

export const COST_TABLE_VERSION = 2;

/** A function entered: this, plus one unit for every `LOCALS_PER_UNIT` declared locals. */
export const ENTRY_COST = 4;
/** 40,000 locals take 10 µs to clear. */
export const LOCALS_PER_UNIT = 2;
/** Every turn of a loop. */
export const LOOP_COST = 1;
export const CALL_COST = 8;
export const CALL_INDIRECT_COST = 16;
/** A hostcall, in addition to the call; what it copies is charged by the host. */
export const HOSTCALL_COST = 200;
/** 110 to 140 ns where the handler is near, 37 ns for every frame in between. */
export const THROW_COST = 2_000;
/**
 * What is thrown stays on the worker's heap while the guest refers to it: 50 to 80 bytes, paid with
 * `THROW_COST`, and 8 for each word of its values: 16 units a byte.
 */
export const THROWN_WORD_COST = 128;
export const BULK_MEMORY_COST = 64;
/** Bulk memory instructions: a unit for every 2 ** this bytes, rounded down; 26 bytes take 1 ns. */
export const BULK_BYTES_SHIFT = 3;
export const BULK_TABLE_COST = 64;
/** An entry of a table written: 23 ns to fill it, 37 to copy it, 65 to grow it. */
export const TABLE_ENTRY_COST = 128;
/** An entry of a table that a module declares, empty at first: 50 ns, collection left out. */
export const TABLE_SLOT_COST = 64;
export const TABLE_GET_COST = 8;
export const TABLE_SET_COST = 100;
export const MEMORY_GROW_COST = 2_000;
/** 26 µs with the first touch of its sixteen pages of the machine. */
export const PAGE_COST = 32_768;
export const TABLE_GROW_COST = 500;
export const DROP_SEGMENT_COST = 16;
/**
 * Instantiation, which the host charges ahead, for each of the module's: an import takes 480 ns, a
 * tag 50, a function 9, a global that holds a function's reference 33.
 */
export const SEGMENT_COST = 64;
export const IMPORT_COST = 480;
export const TAG_COST = 64;
export const FUNCTION_COST = 8;
export const GLOBAL_COST = 32;
/** 4 ns each, when one waits for the other. */
const DIVISION_COST = 16;
/** 1 ns, when one waits for the other; with denormal numbers 26 to 40, see docs/fuel.md. */
const FLOAT_COST = 4;
/** 4.8 ns for a saturating truncation to unsigned numbers. */
const VECTOR_FLOAT_COST = 5;
/** Behind 0xfd: arithmetic, rounding and conversions of floats, relaxed ones included. */
const VECTOR_FLOATS = [
  [0x5e, 0x5f], [0x67, 0x6a], [0x74, 0x75], [0x7a, 0x7a], [0x94, 0x94], [0xe0, 0xff],
  [0x101, 0x108], [0x10d, 0x110],
] as const;

/** Costs of the one-byte opcodes; what depends on an index is added by the scan. */
export const COST = new Uint16Array(256);
/** Costs behind the prefix 0xfc. */
export const COST_FC = new Uint16Array(18);
/** Costs behind the prefix 0xfd (SIMD). */
export const COST_FD = new Uint8Array(0x114);

function fill(from: number, to: number, cost: number): void {
  COST.fill(cost, from, to + 1);
}

/** Free: nop, block, loop, try, else, end, drop, unreachable, local.get, constants, try_table. */
function fillControl(): void {
  fill(0x04, 0x04, 1); // if
  fill(0x08, 0x0a, THROW_COST); // throw, rethrow, throw_ref
  fill(0x0c, 0x0d, 1); // br, br_if
  fill(0x0e, 0x0e, 2); // br_table
  fill(0x0f, 0x0f, 1); // return
  fill(0x10, 0x10, CALL_COST);
  fill(0x11, 0x11, CALL_INDIRECT_COST);
  fill(0x12, 0x12, CALL_COST);
  fill(0x13, 0x15, CALL_INDIRECT_COST); // return_call_indirect, call_ref, return_call_ref
}

function fillPlain(): void {
  fill(0x1b, 0x1c, 1); // select
  fill(0x21, 0x22, 1); // local.set, local.tee
  fill(0x23, 0x24, 1); // global.get, global.set
  fill(0x25, 0x25, TABLE_GET_COST);
  fill(0x26, 0x26, TABLE_SET_COST);
  fill(0x28, 0x3e, 2); // loads and stores
  fill(0x3f, 0x3f, 1); // memory.size
  fill(0x40, 0x40, MEMORY_GROW_COST);
  fill(0x45, 0x8a, 1); // comparisons (floats' too), integer arithmetic
  fill(0x6d, 0x70, DIVISION_COST); // i32
  fill(0x7f, 0x82, DIVISION_COST); // i64
  fill(0x8b, 0xa6, FLOAT_COST); // float arithmetic
  for (const opcode of [0x91, 0x95, 0x9f, 0xa3]) fill(opcode, opcode, DIVISION_COST); // sqrt, div
  fill(0xa7, 0xa7, 1); // i32.wrap_i64
  fill(0xa8, 0xbb, FLOAT_COST); // conversions from and to floats
  fill(0xac, 0xad, 1); // i64.extend_i32
  fill(0xbc, 0xc4, 1); // reinterpretation, sign extension
  fill(0xd0, 0xd6, 1); // references
  fill(0xd2, 0xd2, 4); // ref.func
}

function fillPrefixed(): void {
  COST_FC.fill(FLOAT_COST, 0, 8); // saturating truncation
  for (const bulk of [8, 10, 11]) COST_FC[bulk] = BULK_MEMORY_COST;
  for (const drop of [9, 13]) COST_FC[drop] = DROP_SEGMENT_COST;
  for (const bulk of [12, 14, 17]) COST_FC[bulk] = BULK_TABLE_COST;
  COST_FC[15] = TABLE_GROW_COST;
  COST_FC[16] = 1; // table.size
  COST_FD.fill(2);
  for (const [from, to] of VECTOR_FLOATS) COST_FD.fill(VECTOR_FLOAT_COST, from, to + 1);
  COST_FD[0x0c] = 0; // v128.const
  for (const slow of [0xe3, 0xe7, 0xef, 0xf3]) COST_FD[slow] = DIVISION_COST; // sqrt, div
  COST_FD[0xd5] = 8; // i64x2.mul
}

fillControl();
fillPlain();
fillPrefixed();

/** Numbers are kept in halves of 16 bits, each in a word of its own. */
export function thrownCost(type: ValType): number {
  const words = { i32: 2, f32: 2, i64: 4, f64: 4, v128: 8 }[type as string] ?? 1;
  return words * THROWN_WORD_COST;
}
