/**
 * The cost of an instance, in process: what a worker does for each request of the Rust hello while
 * 63 other guests are open and wait, each memory zeroed after its reply; the same for 64 guests of
 * which each yields once, so that all are open at once; and what a guest that waits takes. No
 * sockets, no threads.
 *
 *   node test/bench/instance.ts [--seconds 60] [--json]
 *
 * `ratio` is what was measured by what is aimed at (p50 10 µs, p99 50 µs, 32 KiB): up to 1 is well.
 */

import { readFileSync } from 'node:fs';
import { PerformanceObserver } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { KIB } from '../../contract/limits.ts';
import type { Failure } from '../../contract/messages.ts';
import type { GuestRun } from '../../pool/instance.ts';
import type { Served } from '../../pool/module-cache.ts';
import { sleeping } from '../pool/guests.ts';
import { createThread, turn } from '../pool/thread.ts';
import { World } from '../pool/world.ts';

const { values: options } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' }, json: { type: 'boolean', default: false },
  },
});
const SECONDS = Number(options.seconds);
const IN_FLIGHT = 64;
const WAITING = 2_000;
const WARM_UP_TURNS = 500;
const TARGET_P50_US = 10;
const TARGET_P99_US = 50;
const TARGET_WAITING_BYTES = 32 * KIB;
const HELLO = new URL('../../guests/examples/hello-rust/hello-rust.wasm', import.meta.url);
const ENDED: Failure = { code: 'client_closed', message: '', backtrace: [], lastHostcall: null };

const world = new World();
const thread = createThread(world);
const { memories } = thread;

function run(served: Served): GuestRun {
  const one = thread.arrive(served);
  one.begin(served);
  return one;
}

const at = (sorted: Float64Array, share: number): number =>
  sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)] ?? 0;

/** Asks one after another; each runs to its end at once. */
async function oneByOne(served: Served, done: (run: GuestRun) => void): Promise<void> {
  for (let index = 0; index < IN_FLIGHT; index += 1) {
    done(run(served));
    memories.clean();
  }
  await turn();
}

/** All are open before the first ends. */
async function allAtOnce(served: Served, done: (run: GuestRun) => void): Promise<void> {
  const runs = Array.from({ length: IN_FLIGHT }, () => run(served));
  while (runs.some(({ reply }) => reply === null)) await turn();
  for (const one of runs) done(one);
  memories.clean();
}

async function measureInstances(served: Served, burst: typeof oneByOne, seconds: number) {
  const create: number[] = [];
  const whole: number[] = [];
  let collecting = 0;
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) collecting += entry.duration;
  });
  for (let warm = 0; warm < WARM_UP_TURNS; warm += 1) await burst(served, () => undefined);
  observer.observe({ entryTypes: ['gc'] });
  const freshBefore = memories.freshCount;
  const begunAt = performance.now();
  const cpuBefore = process.cpuUsage();
  while (performance.now() - begunAt < seconds * 1_000) {
    await burst(served, ({ reply }) => {
      if (reply?.status !== 200) throw new Error(reply?.failure?.message ?? 'no answer');
      create.push(reply.usage.instantiateUs);
      whole.push(reply.usage.instantiateUs + reply.usage.runUs);
    });
  }
  const tookMs = performance.now() - begunAt;
  const { user, system } = process.cpuUsage(cpuBefore);
  await turn();
  observer.disconnect();
  const sortedCreate = Float64Array.from(create).toSorted();
  const sortedWhole = Float64Array.from(whole).toSorted();
  return {
    requests: create.length,
    per_second: create.length / tookMs * 1_000,
    create_p50_us: at(sortedCreate, 0.5),
    create_p99_us: at(sortedCreate, 0.99),
    create_max_us: at(sortedCreate, 1),
    whole_p50_us: at(sortedWhole, 0.5),
    whole_p99_us: at(sortedWhole, 0.99),
    cpu_us: (user + system) / create.length,
    gc_share: collecting / tookMs,
    fresh_memories: memories.freshCount - freshBefore,
  };
}

/** The Rust hello, with the other guests open. */
async function measureHello() {
  const waiting = await thread.load(world.deploy(sleeping(3_600_000)));
  const held = Array.from({ length: IN_FLIGHT - 1 }, () => run(waiting));
  const served = await thread.load(world.deploy(readFileSync(HELLO)));
  const measured = await measureInstances(served, oneByOne, SECONDS);
  for (const one of held) one.kill(ENDED);
  await turn();
  return measured;
}

/** A guest that yields once; a tenth of the time will do. */
async function measureYielding() {
  const served = await thread.load(world.deploy(sleeping(0)));
  return measureInstances(served, allAtOnce, SECONDS / 10);
}

/** Resident bytes for each of many guests that wait, beyond the page of memory each touched. */
async function measureWaiting() {
  const served = await thread.load(world.deploy(sleeping(600_000)));
  run(served).kill(ENDED);
  await turn();
  const before = process.memoryUsage.rss();
  const runs = Array.from({ length: WAITING }, () => run(served));
  await turn();
  const touched = 4 * KIB;
  const each = (process.memoryUsage.rss() - before) / WAITING;
  for (const one of runs) one.kill(ENDED);
  await turn();
  if (runs.some((one) => one.reply === null)) throw new Error('a killed guest did not end');
  return { waiting: WAITING, resident_bytes: Math.round(each), beyond_touched: each - touched };
}

const instance = await measureHello();
const yielding = await measureYielding();
const waiting = await measureWaiting();
const ratio = {
  create_p50: instance.create_p50_us / TARGET_P50_US,
  create_p99: instance.create_p99_us / TARGET_P99_US,
  waiting_bytes: waiting.beyond_touched / TARGET_WAITING_BYTES,
};
if (options.json) {
  console.log(JSON.stringify({ ratio, instance, yielding, waiting }));
} else {
  console.table({ hello: instance, yielding });
  console.table(waiting);
  console.table(ratio);
}
await thread.close();
world.remove();
