/**
 * A place in which a script runs: plain (V8 alone) or rewritten (every module through the rewriter,
 * with a host as small as possible). Both answer outcomes as text, so that they can be compared.
 */
import { DISPATCHER_NAME } from '../../../contract/reserved.ts';
import { WardianError } from '../../../contract/errors.ts';
import * as reserved from '../../../contract/reserved.ts';
import { rewrite, type RewriteResult, type ValType } from '../../../pool/rewrite/index.ts';
import { callWithVectors, usesVectors } from './vector-adapter.ts';
import { argument, show, type Action, type Value } from './wast-script.ts';

const GIB = 2 ** 30;
export const FUEL = 2n ** 61n;

export interface Outcome {
  /** `return`, `trap`, `exception`, `exhaustion`, `link`, `invalid`, `refused`, `skipped`. */
  kind: string;
  detail: string;
  value?: unknown;
}

interface Instance {
  exports: Record<string, unknown>;
  types: Map<string, { params: ValType[]; results: ValType[] }>;
}

export interface World {
  readonly instances: Map<string, Instance | Outcome>;
  current: Instance | Outcome;
  instantiate: (bytes: Uint8Array) => Instance;
}

export function outcomeOf(error: unknown): Outcome {
  if (error instanceof WardianError) {
    return error.code === 'unsupported_feature' || error.code === 'module_limit'
      ? { kind: 'refused', detail: error.message } : { kind: 'invalid', detail: error.message };
  }
  if (error instanceof WebAssembly.CompileError) return { kind: 'invalid', detail: error.message };
  if (error instanceof WebAssembly.LinkError || error instanceof TypeError) {
    return { kind: 'link', detail: '' };
  }
  if (error instanceof WebAssembly.RuntimeError) return { kind: 'trap', detail: trapDetail(error) };
  if (error instanceof RangeError) return { kind: 'exhaustion', detail: '' };
  if (error instanceof WebAssembly.Exception) return { kind: 'exception', detail: '' };
  throw error;
}

/** Calls through a table that was made a list trap in the dispatcher, for whichever reason. */
function trapDetail(error: WebAssembly.RuntimeError): string {
  const { message } = error;
  if (/^table index is out of bounds|^null function or function signature/.test(message)) {
    return 'indirect call';
  }
  const innermost = /^\s+at (.*)$/m.exec(error.stack ?? '')?.[1] ?? '';
  return message === 'unreachable' && innermost.includes(DISPATCHER_NAME)
    ? 'indirect call' : message;
}

function spectest(): Instance {
  const nothing = (): void => undefined;
  const names = ['print', 'print_i32', 'print_i64', 'print_f32', 'print_f64', 'print_i32_f32',
    'print_f64_f64'];
  const types = new Map<string, { params: ValType[]; results: ValType[] }>();
  for (const name of names) {
    types.set(name, { params: name.split('_').slice(1) as ValType[], results: [] });
  }
  const global = (value: string, init: number | bigint): WebAssembly.Global =>
    new WebAssembly.Global({ value: value as 'i32', mutable: false }, init as number);
  return {
    types,
    exports: {
      ...Object.fromEntries(names.map((name) => [name, nothing])),
      global_i32: global('i32', 666), global_i64: global('i64', 666n),
      global_f32: global('f32', 666.6), global_f64: global('f64', 666.6),
      table: new WebAssembly.Table({ initial: 10, maximum: 20, element: 'anyfunc' }),
      memory: new WebAssembly.Memory({ initial: 1, maximum: 2 }),
    },
  };
}

abstract class BaseWorld implements World {
  readonly instances = new Map<string, Instance | Outcome>([['spectest', spectest()]]);
  current: Instance | Outcome = { kind: 'skipped', detail: 'no module yet' };
  abstract instantiate(bytes: Uint8Array): Instance;

  protected lookUp(module: string, name: string): unknown {
    const from = this.instances.get(module);
    if (from === undefined || 'kind' in from) throw new WebAssembly.LinkError('unknown module');
    if (!(name in from.exports)) throw new WebAssembly.LinkError('unknown import');
    return from.exports[name];
  }
}

export class PlainWorld extends BaseWorld {
  instantiate(bytes: Uint8Array): Instance {
    const module = new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>);
    const imports: Record<string, Record<string, unknown>> = {};
    for (const { module: from, name } of WebAssembly.Module.imports(module)) {
      (imports[from] ??= {})[name] = this.lookUp(from, name);
    }
    const instance = new WebAssembly.Instance(module, imports as WebAssembly.Imports);
    return { exports: instance.exports, types: new Map() };
  }
}

export class RewrittenWorld extends BaseWorld {
  readonly virtualMemory: boolean;

  /** Memories that several modules share and grow need `memory.size` to be the real one. */
  constructor(virtualMemory: boolean) {
    super();
    this.virtualMemory = virtualMemory;
  }

  instantiate(bytes: Uint8Array): Instance {
    const result = rewrite(bytes, {
      memoryBytesMax: 4 * GIB, tableEntriesMax: 10_000_000, virtualMemory: this.virtualMemory,
    });
    const module = new WebAssembly.Module(result.bytes as Uint8Array<ArrayBuffer>);
    const instance = new WebAssembly.Instance(module, this.imports(result));
    const exports: Record<string, unknown> = { ...instance.exports };
    (exports[reserved.FUEL_EXPORT] as WebAssembly.Global).value = FUEL;
    const start = exports[reserved.START_EXPORT];
    if (typeof start === 'function') start();
    const types = new Map<string, { params: ValType[]; results: ValType[] }>();
    for (const { name, kind, params, results } of result.exports) {
      if (kind === 'func') types.set(name, { params: params!, results: results! });
    }
    return { exports, types };
  }

  private imports(result: RewriteResult): WebAssembly.Imports {
    const imports: Record<string, Record<string, unknown>> = {};
    let memory: unknown = null;
    for (const { module, name, kind, params, results } of result.imports) {
      const found = this.lookUp(module, name);
      if (kind === 'memory') {
        memory = found;
        continue;
      }
      (imports[module] ??= {})[name] = kind === 'func'
        ? this.withoutContext(module, name, found, params!, results!) : found;
    }
    if (result.memory !== null) {
      const { initialPages: initial, maximumPages } = result.memory;
      memory ??= new WebAssembly.Memory({ initial, maximum: Math.min(maximumPages, 16_384) });
      imports[reserved.HOST_MODULE] = { [reserved.MEMORY_IMPORT]: memory };
    }
    return imports as WebAssembly.Imports;
  }

  /** The link check that V8 would do, then a function that drops the context. */
  private withoutContext(
    module: string, name: string, found: unknown, params: ValType[], results: ValType[],
  ): unknown {
    if (typeof found !== 'function') throw new WebAssembly.LinkError('not a function');
    const from = this.instances.get(module);
    const type = from !== undefined && 'types' in from ? from.types.get(name) : undefined;
    if (type !== undefined && (type.params.join() !== params.join()
      || type.results.join() !== results.join())) {
      throw new WebAssembly.LinkError('incompatible import type');
    }
    return (_context: number, ...values: unknown[]): unknown => Reflect.apply(found, null, values);
  }
}

/** Performs a script's action in a world. */
export function act(world: World, action: Action, expected: readonly Value[]): Outcome {
  const instance = action.module === undefined
    ? world.current : world.instances.get(`$${action.module.replace(/^\$/, '')}`);
  if (instance === undefined) return { kind: 'skipped', detail: 'no such module' };
  if ('kind' in instance) return { kind: 'skipped', detail: instance.detail };
  const field = instance.exports[action.field];
  try {
    if (action.type === 'get') return returned((field as WebAssembly.Global).value);
    const parameters = action.args ?? [];
    const callee = field as (...values: unknown[]) => unknown;
    if (usesVectors([...parameters, ...expected])) {
      return returned(callWithVectors(callee, parameters, expected));
    }
    return returned(callee(...parameters.map(argument)));
  } catch (error) {
    return outcomeOf(error);
  }
}

function returned(value: unknown): Outcome {
  return { kind: 'return', detail: show(value), value };
}
