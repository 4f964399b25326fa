/**
 * V8's settings for the workers. Flags hold for the whole process and are read when an isolate
 * starts or a module is compiled: they are set before the first worker starts. The measurements are
 * in `docs/rationale.md`.
 */

import { totalmem } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import { MIB } from '../contract/limits.ts';

const FLAGS: readonly string[] = [
  // Functions are compiled when first called: a guest of 100 KB of which a request runs a tenth is
  // ready ten times sooner. The builder has tried to compile all of it by then.
  '--wasm-lazy-compilation',
  // Code of the first tier looks for interrupts, `terminate()` among them, at function entries and
  // when a function's budget of executed bytes is used up; at the end of a loop it does not. A loop
  // around a slow instruction uses its budget slowly: with V8's 13,000,000 a loop of 16 MiB fills
  // went on for more than 8 s after `terminate()`, with 20,000 for 90 ms.
  '--wasm-tiering-budget=20000',
  // V8 counts the whole module as memory of each instance of it, and starts a collection for every
  // 64 MiB of such "external" memory: for a module of 145 KB every 500 requests, for one of 1 MB
  // every 70. With this flag it counts against the limit of the heap as a whole, which adapts: five
  // times fewer collections, 35 µs of processor time for a request instead of 53.
  '--external-memory-accounted-in-global-limit',
];

/** The stack of a worker, on which hostcalls run; guests that can wait have stacks of their own. */
export const WORKER_STACK_MIB = 4;

/**
 * The heap of a worker, for modules, services and the host's side of guests; guest memory is not in
 * it. A worker that wants more dies alone; without the limit the process would.
 */
const WORKER_HEAP_MIB = 1_024;

/**
 * With a limit of 2 GiB or more V8 lets a heap grow to four times what lives in it before it
 * collects, below that to 1.6 times. Of a worker's 14 MB there were 20 collections in eight seconds
 * of load, and 46 with the lower limit.
 */
const ROOMY_WORKER_HEAP_MIB = 2_048;

/** The limit of each of `threads` heaps: the roomy one if all take half the machine at most. */
export function workerHeapMib(threads: number, machineBytes = memoryOfMachine()): number {
  const roomy = threads * ROOMY_WORKER_HEAP_MIB * MIB <= machineBytes / 2;
  return roomy ? ROOMY_WORKER_HEAP_MIB : WORKER_HEAP_MIB;
}

/** What this process may use: the machine's memory, or less where a container has a limit. */
function memoryOfMachine(): number {
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}

let set = false;

export function setV8Flags(): void {
  if (set) return;
  set = true;
  for (const flag of FLAGS) setFlagsFromString(flag);
}
