/** Runs a guest on the in-test host, rewritten as the daemon would, in a fresh instance. */

import {
  CALL_EXPORT,
  CONTEXT_EXPORT,
  FUEL_EXPORT,
  HOST_MODULE,
  MEMORY_IMPORT,
  PAGES_EXPORT,
  START_EXPORT,
  TABLE_EXPORT,
} from '../../contract/reserved.ts';
import { rewrite } from '../../pool/rewrite/index.ts';
import { Host } from './hostcalls.ts';
import type { Answer, GuestRequest, Hostcalls, World } from './hostcalls.ts';
import { createMemoryAccess } from './memory.ts';
import type { Caller } from './memory.ts';
import { createWasi } from './wasi.ts';

const MEMORY_BYTES_MAX = 64 * 1024 * 1024;
const CONTEXT = 7;

/** The imports of the rewritten module: each takes the instance's context first. */
function withContext(functions: Hostcalls): Hostcalls {
  return Object.fromEntries(
    Object.entries(functions).map(([name, call]) => [
      name,
      (context: number, ...args: number[]) => {
        if (context !== CONTEXT) throw new Error(`${name} was called with context ${context}`);
        return call(...args);
      },
    ]),
  );
}

/** A table that nothing changes has become a function. */
function callerOf(exports: WebAssembly.Exports): Caller | null {
  const table = exports[TABLE_EXPORT] as WebAssembly.Table | undefined;
  if (table === undefined) return (exports[CALL_EXPORT] as Caller | undefined) ?? null;
  return (argument, index) => (table.get(index) as (argument: number) => number)(argument);
}

/** Runs the guest once, or several times in one instance to see whether its memory holds out. */
export function runGuest(
  source: Uint8Array,
  request: GuestRequest,
  world: World,
  times = 1,
): Answer {
  const rewritten = rewrite(source, { memoryBytesMax: MEMORY_BYTES_MAX });
  if (rewritten.memory === null) throw new Error('the guest has no memory');
  const { initialPages, maximumPages } = rewritten.memory;
  const memory = new WebAssembly.Memory({ initial: initialPages, maximum: maximumPages });
  const access = createMemoryAccess(memory);
  const host = new Host(request, world, access);
  const module = new WebAssembly.Module(rewritten.bytes);
  const { exports } = new WebAssembly.Instance(module, {
    env: withContext(host.hostcalls()),
    wasi_snapshot_preview1: withContext(createWasi(access, host.log)),
    [HOST_MODULE]: { [MEMORY_IMPORT]: memory },
  });
  const global = (name: string): WebAssembly.Global => exports[name] as WebAssembly.Global;
  global(FUEL_EXPORT).value = 10n ** 12n;
  global(CONTEXT_EXPORT).value = CONTEXT;
  global(PAGES_EXPORT).value = initialPages;
  access.setCaller(callerOf(exports));
  (exports[START_EXPORT] as (() => void) | undefined)?.();
  for (let i = 0; i < times; i += 1) {
    host.begin();
    (exports['run'] as () => void)();
  }
  return {
    status: host.status,
    headers: host.headers,
    body: host.body,
    log: host.log,
    pages: global(PAGES_EXPORT).value as number,
  };
}
