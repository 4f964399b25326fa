/**
 * A hostcall as data, and the one wrapper around all of them: it finds the guest by the context
 * number, refuses ended guests, counts, sets what copies cost, and turns every error into a trap
 * that no guest handler can catch.
 */

import { BadArgument } from './memory.ts';
import type { Contexts } from './contexts.ts';
import type { GuestState } from './guest.ts';
import { genuineTrap } from './trap.ts';

export type WasmType = 'i32' | 'i64' | 'f32' | 'f64';
type Value<T extends WasmType> = T extends 'i64' ? bigint : number;

export interface Parameter<T extends WasmType = WasmType> {
  readonly name: string;
  readonly type: T;
  /** For the documentation: what it is. */
  readonly is: string;
}

type Arguments<P extends readonly Parameter[]> = { readonly [K in keyof P]: Value<P[K]['type']> };
type Result<R extends WasmType | null> = R extends WasmType ? Value<R> : void;

/**
 * Units of fuel per byte that a hostcall copies: text is looked at and converted, bulk is only
 * copied.
 */
export const FUEL_PER_BYTE_TEXT = 1;
export const FUEL_PER_BYTE_BULK = 0.125;

/** What a hostcall leaves in memory; the documentation draws each once. */
export type MemoryPicture =
  'text' | 'slices' | 'handle' | 'number' | 'nanos' | 'fdstat' | 'events';

interface Description<P extends readonly Parameter[], R extends WasmType | null> {
  readonly name: string;
  readonly parameters: P;
  readonly result: R;
  readonly fuelPerByte: number;
  /** The sum in the request's usage that its time belongs to. */
  readonly times?: 'kvMs' | 'dnsMs';
  /** For the documentation: what it does. */
  readonly does: string;
  /** For the documentation: each error value and what it means. */
  readonly errors: string;
  /** It reads the request's body piece by piece: a guest that has it gets large bodies so. */
  readonly streamsBody?: boolean;
  /** For the documentation: what the guest's memory looks like afterwards. */
  readonly memory?: MemoryPicture;
}

interface Immediate<P extends readonly Parameter[], R extends WasmType | null>
  extends Description<P, R> {
  readonly waits: false;
  readonly run: (guest: GuestState, ...args: Arguments<P>) => Result<R>;
}

interface Waiting<P extends readonly Parameter[], R extends WasmType | null>
  extends Description<P, R> {
  /** It may suspend the guest. It need not: a result that is no promise is returned at once. */
  readonly waits: true;
  readonly run: (guest: GuestState, ...args: Arguments<P>) => Result<R> | Promise<Result<R>>;
}

export interface Hostcall extends Description<readonly Parameter[], WasmType | null> {
  readonly waits: boolean;
  readonly run: (guest: GuestState, ...args: (number | bigint)[]) => unknown;
}

export function hostcall<const P extends readonly Parameter[], R extends WasmType | null>(
  definition: Immediate<P, R> | Waiting<P, R>,
): Hostcall {
  return definition as unknown as Hostcall;
}

type Argument = number | bigint;
type Import = (context: number, ...args: Argument[]) => unknown;

/** Finds the guest and counts the call. Throws what no guest can catch. */
function enter(contexts: Contexts<GuestState>, context: number, called: Hostcall): GuestState {
  const guest = contexts.find(context);
  if (guest === null || guest.ended) throw genuineTrap();
  guest.current = called;
  guest.meter.fuelPerByte = called.fuelPerByte;
  try {
    guest.meter.countHostcall();
    if (called.waits && guest.allocator.busy) {
      throw new BadArgument('malloc', 'called a hostcall that can wait');
    }
  } catch (error) {
    throw guest.failed(error);
  }
  return guest;
}

/** Adds what the call itself takes; a wait adds its own time when it is over. */
function timed(run: Hostcall['run'], times: 'kvMs' | 'dnsMs'): Hostcall['run'] {
  return (guest, ...args) => {
    const since = performance.now();
    try {
      return run(guest, ...args);
    } finally {
      guest.meter.usage[times] += performance.now() - since;
    }
  };
}

/**
 * The import of `called`: its context number, then its parameters. One function for each number of
 * parameters: rest parameters would cost an array for every call.
 */
function bindArity(contexts: Contexts<GuestState>, called: Hostcall): Import {
  const run = called.times === undefined ? called.run : timed(called.run, called.times);
  switch (called.parameters.length) {
    case 0: return (context) => {
      const guest = enter(contexts, context, called);
      try { return run(guest); } catch (error) { throw guest.failed(error); }
    };
    case 1: return (context, a) => {
      const guest = enter(contexts, context, called);
      try { return run(guest, a!); } catch (error) { throw guest.failed(error); }
    };
    case 2: return (context, a, b) => {
      const guest = enter(contexts, context, called);
      try { return run(guest, a!, b!); } catch (error) { throw guest.failed(error); }
    };
    case 3: return (context, a, b, c) => {
      const guest = enter(contexts, context, called);
      try { return run(guest, a!, b!, c!); } catch (error) { throw guest.failed(error); }
    };
    case 4: return (context, a, b, c, d) => {
      const guest = enter(contexts, context, called);
      try { return run(guest, a!, b!, c!, d!); } catch (error) { throw guest.failed(error); }
    };
    case 5: return (context, a, b, c, d, e) => {
      const guest = enter(contexts, context, called);
      try { return run(guest, a!, b!, c!, d!, e!); } catch (error) { throw guest.failed(error); }
    };
    case 6: return (context, a, b, c, d, e, f) => {
      const guest = enter(contexts, context, called);
      try {
        return run(guest, a!, b!, c!, d!, e!, f!);
      } catch (error) { throw guest.failed(error); }
    };
    default: return (context, ...args) => {
      const guest = enter(contexts, context, called);
      try { return run(guest, ...args); } catch (error) { throw guest.failed(error); }
    };
  }
}

type Gate = (
  context: number, number: number,
  a: number, b: number, c: number, d: number, e: number, f: number,
) => unknown;

/** What a module imports for all of `numbered`, which it calls by number. */
export function bindGate(
  contexts: Contexts<GuestState>, numbered: readonly Hostcall[],
): Gate {
  const bound = numbered.map((called) => bindArity(contexts, called));
  return (context, number, a, b, c, d, e, f) => {
    const call = bound[number];
    // A constant of the rewriter's own: of a newer Wardian's, if it is not there.
    if (call === undefined) throw genuineTrap();
    return call(context, a, b, c, d, e, f);
  };
}

/** What a module imports for `called`. */
export function bindHostcall(contexts: Contexts<GuestState>, called: Hostcall): unknown {
  const bound = bindArity(contexts, called);
  return called.waits ? new WebAssembly.Suspending(bound) : bound;
}

/** `(i32 i32) -> i32`, as the ABI's documents write it. */
export function signature(parameters: readonly string[], results: readonly string[]): string {
  const result = results.length === 1 ? results[0]! : `(${results.join(' ')})`;
  return `(${parameters.join(' ')}) -> ${result}`;
}

export function hostcallSignature(called: Hostcall): string {
  return signature(called.parameters.map((parameter) => parameter.type),
    called.result === null ? [] : [called.result]);
}
