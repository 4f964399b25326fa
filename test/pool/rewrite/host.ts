/**
 * The smallest host that can run a rewritten module, and text to wasm, for the tests of this
 * folder.
 */
import loadWabt from 'wabt';
import * as reserved from '../../../contract/reserved.ts';
import {
  rewrite, type RewriteOptions, type RewriteResult,
} from '../../../pool/rewrite/index.ts';

const wabt = await loadWabt();

const FEATURES = {
  exceptions: true, mutable_globals: true, sat_float_to_int: true, sign_extension: true, simd: true,
  multi_value: true, tail_call: true, bulk_memory: true, reference_types: true,
  extended_const: true, relaxed_simd: true, function_references: true, memory64: true,
  multi_memory: true, threads: true,
};

/** Assembles WAT; `check: false` lets invalid modules through. */
export function wat(text: string, check = true): Uint8Array<ArrayBuffer> {
  const parsed = wabt.parseWat('test.wat', text, FEATURES);
  try {
    if (check) parsed.validate();
    return new Uint8Array(parsed.toBinary({ write_debug_names: true }).buffer);
  } finally {
    parsed.destroy();
  }
}

export type Call = (...values: unknown[]) => unknown;

export interface Guest {
  result: RewriteResult;
  memory: WebAssembly.Memory | null;
  table: WebAssembly.Table | undefined;
  exports: Record<string, unknown>;
  call: (name: string, ...values: unknown[]) => unknown;
  /** What a call used. */
  cost: (name: string, ...values: unknown[]) => number;
  fuel: () => bigint;
  setFuel: (fuel: bigint) => void;
  pages: () => number;
}

export interface HostOptions extends Partial<RewriteOptions> {
  fuelUnits?: bigint;
  /** Import functions; each gets the context first. */
  imports?: Record<string, Record<string, Call>>;
  memory?: WebAssembly.Memory;
  context?: number;
  /** Leave the start function to the test. */
  start?: boolean;
}

export const PLENTY = 1n << 40n;
const MIB = 2 ** 20;

/** Rewrites and instantiates a module; the memory is made as the pool would make it. */
export function guest(source: Uint8Array, options: HostOptions = {}): Guest {
  const result = rewrite(source, { memoryBytesMax: 64 * MIB, ...options });
  const module = new WebAssembly.Module(result.bytes as Uint8Array<ArrayBuffer>);
  const memory = result.memory === null ? null : options.memory ?? new WebAssembly.Memory({
    initial: result.memory.initialPages, maximum: result.memory.maximumPages,
  });
  const imports: Record<string, Record<string, unknown>> = { ...options.imports };
  if (memory !== null) {
    imports[reserved.HOST_MODULE] = {
      ...options.imports?.[reserved.HOST_MODULE], [reserved.MEMORY_IMPORT]: memory,
    };
  }
  const instance = new WebAssembly.Instance(module, imports as WebAssembly.Imports);
  const exports = instance.exports as Record<string, unknown>;
  const fuel = exports[reserved.FUEL_EXPORT] as WebAssembly.Global;
  const call = (name: string, ...values: unknown[]): unknown =>
    (exports[name] as Call)(...values);
  fuel.value = options.fuelUnits ?? PLENTY;
  const context = exports[reserved.CONTEXT_EXPORT] as WebAssembly.Global;
  context.value = options.context ?? 0;
  if (result.hasStart && options.start !== false) call(reserved.START_EXPORT);
  return {
    result, memory, exports, call,
    table: exports[reserved.TABLE_EXPORT] as WebAssembly.Table | undefined,
    cost: (name, ...values) => {
      const before = fuel.value;
      call(name, ...values);
      return Number(before - fuel.value);
    },
    fuel: () => fuel.value,
    setFuel: (units) => {
      fuel.value = units;
    },
    pages: () => (exports[reserved.PAGES_EXPORT] as WebAssembly.Global).value,
  };
}

/** Runs `action` and answers the error that it must throw. */
export function thrown(action: () => unknown): Error {
  try {
    action();
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}
