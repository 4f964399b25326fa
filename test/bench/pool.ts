/**
 * The pool without sockets: requests of the Rust hello from the main thread to workers and back, so
 * many in flight; what the listener, routing and admission cost comes on top.
 *
 * usage: node test/bench/pool.ts [--json] [--rounds 5] [--seconds 2] [--in-flight 64]
 *        [--threads 1,2]
 *
 * `ratio` is the throughput by that with the first number of threads.
 */

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

import { World, startPool, type Deployed, type TestPool } from '../pool/world.ts';
import { median } from './load.ts';

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
    'in-flight': { type: 'string', default: '64' },
    threads: { type: 'string', default: '1,2' },
  },
});
const IN_FLIGHT = Number(values['in-flight']);
const WARM_UP_MS = 3_000;
const HELLO = new URL('../../guests/examples/hello-rust/hello-rust.wasm', import.meta.url);

interface Sample {
  readonly perSecond: number;
  /** Of the whole process. */
  readonly processorUs: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

interface Contestant {
  readonly threads: number;
  readonly test: TestPool;
  readonly deployed: Deployed;
  readonly samples: Sample[];
}

async function measure({ test, deployed }: Contestant, ms: number): Promise<Sample> {
  const times: number[] = [];
  const begunAt = performance.now();
  const before = process.cpuUsage();
  const fly = async (): Promise<void> => {
    let askedAt = performance.now();
    while (askedAt - begunAt < ms) {
      const { status, failure } = await test.ask(deployed);
      if (status !== 200) throw new Error(failure?.message ?? `status ${status}`);
      const now = performance.now();
      times.push((now - askedAt) * 1_000);
      askedAt = now;
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, fly));
  const seconds = (performance.now() - begunAt) / 1_000;
  const { user, system } = process.cpuUsage(before);
  times.sort((a, b) => a - b);
  const at = (share: number): number => times[Math.floor(times.length * share)] ?? Number.NaN;
  return {
    perSecond: times.length / seconds, processorUs: (user + system) / times.length,
    p50Us: at(0.5), p99Us: at(0.99),
  };
}

function report(contestants: readonly Contestant[]): void {
  const rows = contestants.map(({ threads, samples }) => {
    const of = (key: keyof Sample): number => median(samples.map((sample) => sample[key]));
    return {
      threads, per_second: of('perSecond'), processor_us: of('processorUs'), p50_us: of('p50Us'),
      p99_us: of('p99Us'),
    };
  });
  const ratio = Object.fromEntries(rows.map((row) =>
    [`threads_${row.threads}`, row.per_second / (rows[0]?.per_second ?? Number.NaN)]));
  if (values.json) console.log(JSON.stringify({ ratio, in_flight: IN_FLIGHT, pool: rows }));
  else {
    console.table(rows);
    console.table(ratio);
  }
}

const ends: (() => unknown)[] = [];
const world = new World();
try {
  const deployed = world.deploy(readFileSync(HELLO));
  const contestants: Contestant[] = [];
  for (const threads of values.threads.split(',').map(Number)) {
    const test = await startPool({ teardown: (end) => ends.push(end) }, world, { threads });
    contestants.push({ threads, test, deployed, samples: [] });
  }
  for (const one of contestants) await measure(one, WARM_UP_MS);
  for (let round = 0; round < Number(values.rounds); round += 1) {
    for (const one of contestants) {
      one.samples.push(await measure(one, Number(values.seconds) * 1_000));
    }
  }
  report(contestants);
} finally {
  for (const end of ends) await end();
  world.remove();
}
