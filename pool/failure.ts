/**
 * What became of a guest whose call ended with something thrown: one `Failure`, for the client to
 * read. Whatever the host decided before (a panic, a kill, a bad hostcall) is in `guest.failure`
 * and is not asked here.
 */

import type { ErrorCode } from '../contract/errors.ts';
import { WardianError } from '../contract/errors.ts';
import { WASM_PAGE_BYTES, type RequestLimits } from '../contract/limits.ts';
import type { Failure } from '../contract/messages.ts';
import { DISPATCHER_NAME } from '../contract/reserved.ts';
import { guestFrames } from '../hostcalls/index.ts';

/** What the instance says about the guest at its end. */
export interface Remains {
  readonly limits: RequestLimits;
  /** Units left, negative when they ran out; null when there is no instance. */
  readonly fuelLeft: number | null;
  /** Pages that the last refused `memory.grow` asked for in all; 0 when none was refused. */
  readonly refusedPages: number;
  /** The memory's maximum in pages. */
  readonly maximumPages: number;
  readonly tableBytes: number;
  readonly lastHostcall: string | null;
}

/** V8's messages of traps, and what they are called in the specification's words. */
const TRAP_KINDS: readonly (readonly [RegExp, string])[] = [
  [/^unreachable/, 'unreachable executed'],
  [/^memory access out of bounds/, 'out-of-bounds memory access'],
  [/^divide by zero/, 'integer division by zero'],
  [/^remainder by zero/, 'integer remainder by zero'],
  [/^divide result unrepresentable/, 'integer overflow'],
  [/^float unrepresentable in integer range/, 'invalid conversion to integer'],
  [/^null function or function signature mismatch/, 'indirect call of another type, or of null'],
  [/^table index is out of bounds/, 'out-of-bounds table access'],
  [/^table access out of bounds/, 'out-of-bounds table access'],
  [/^dereferencing a null pointer/, 'null reference'],
  [/data segment .*out of bounds/, 'a data segment is out of bounds of the memory'],
  [/table initializer .*out of bounds/, 'an element segment is out of bounds of its table'],
  [/^element segment out of bounds/, 'an element segment is out of bounds'],
];

/** A call through a table that was made a list traps in a function of ours. */
function isMisdirected(message: string, backtrace: readonly string[]): boolean {
  return message === 'unreachable' && backtrace[0]?.startsWith(`${DISPATCHER_NAME}@`) === true;
}

/** A trap in the words of the specification; V8's own words for one that is not in the table. */
export function trapKind(message: string): string {
  for (const [pattern, kind] of TRAP_KINDS) if (pattern.test(message)) return kind;
  return message;
}

function fuelMessage(limits: RequestLimits): string {
  return `used ${limits.fuel} of ${limits.fuel} units of fuel per request`;
}

function memoryMessage(remains: Remains): string {
  const wanted = remains.refusedPages * WASM_PAGE_BYTES;
  const most = remains.maximumPages * WASM_PAGE_BYTES;
  const beside = remains.tableBytes === 0 ? '' : ` beside ${remains.tableBytes} bytes of tables`;
  return `wanted ${wanted} bytes of memory, the most it may have${beside} is ${most}`;
}

/** `in name at 0x1a2`, or nothing without a frame. */
function place(backtrace: readonly string[]): string {
  const innermost = backtrace[0];
  if (innermost === undefined) return '';
  const at = innermost.lastIndexOf('@');
  return ` in ${innermost.slice(0, at)} at ${innermost.slice(at + 1)}`;
}

function codeAndMessage(
  error: unknown, remains: Remains, backtrace: readonly string[],
): readonly [ErrorCode, string] {
  const misdirected = error instanceof Error && isMisdirected(error.message, backtrace);
  const where = place(misdirected ? backtrace.slice(1) : backtrace);
  if (remains.fuelLeft !== null && remains.fuelLeft < 0) {
    return ['out_of_fuel', fuelMessage(remains.limits) + where];
  }
  if (error instanceof WebAssembly.Exception) {
    return ['guest_exception', `an exception that no handler caught${where}`];
  }
  if (error instanceof WebAssembly.SuspendError) {
    return ['bad_hostcall', `a hostcall that waits, called where the guest cannot wait${where}`];
  }
  if (error instanceof WebAssembly.RuntimeError) {
    const kind = misdirected
      ? 'an indirect call of an index outside of the table, or of a function of another type'
      : trapKind(error.message);
    if (remains.refusedPages > 0) {
      return ['out_of_memory', `${memoryMessage(remains)}; it then trapped: ${kind}${where}`];
    }
    return ['guest_trap', kind + where];
  }
  if (error instanceof RangeError) {
    if (error.message.startsWith('Maximum call stack')) {
      return ['stack_overflow', `no stack left${where}`];
    }
    if (/could not allocate|out of memory/i.test(error.message)) {
      return ['out_of_memory', 'the memory or the tables it declares cannot be had now'];
    }
  }
  if (error instanceof WardianError) return [error.code, error.message];
  return ['internal', 'an internal error'];
}

/** Classifies what was thrown by, or on behalf of, a guest. Never throws. */
export function classify(error: unknown, remains: Remains): Failure {
  const backtrace = error instanceof Error ? guestFrames(error) : [];
  const [code, message] = codeAndMessage(error, remains, backtrace);
  const failure = { code, message, backtrace, lastHostcall: remains.lastHostcall };
  return mayHideFuel(error, remains) ? { ...failure, fuelIsAtLeast: true } : failure;
}

/**
 * A guest's function that keeps its fuel in a local writes it back before `unreachable`, but not
 * before any other instruction that traps.
 */
function mayHideFuel(error: unknown, { fuelLeft }: Remains): boolean {
  return error instanceof WebAssembly.RuntimeError && fuelLeft !== null && fuelLeft >= 0
    && !error.message.startsWith('unreachable');
}

/** A failure without a guest's stack. */
export function failureOf(
  code: ErrorCode, message: string, lastHostcall: string | null = null,
): Failure {
  return { code, message, backtrace: [], lastHostcall };
}
