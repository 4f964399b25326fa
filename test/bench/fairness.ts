/**
 * One tenant floods, another asks at a steady pace: how its p99 compares with its quiet value. The
 * flood's guests are cheap (Rust hello), heavy (a loop of a tenth of a second) or waiting (on an
 * upstream that takes a second). Quiet and floods alternate, medians are printed. The load
 * generator has its share of the same processors; what the same flood of another server of this
 * machine costs is measured beside it.
 *
 *   node test/bench/fairness.ts [--json] [--rounds 3] [--seconds 20] [--floods cheap,heavy,waiting]
 */

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';

import { computing } from '../e2e/world.ts';
import { startDaemon } from '../harness/daemon.ts';
import type { Daemon } from '../harness/daemon.ts';
import { measure, median } from './load.ts';
import type { LoadResult } from './load.ts';
import { pace } from './paced.ts';
import type { PacedResult } from './paced.ts';

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '3' },
    /** For each latency: 200 requests a second, so 20 s put 40 requests above its p99. */
    seconds: { type: 'string', default: '20' },
    threads: { type: 'string', default: '2' },
    floods: { type: 'string', default: 'cheap,heavy,waiting' },
  },
});
const SECONDS = Number(values.seconds);
const PER_SECOND = 200;
/** The flood begins before the other tenant's latency is looked at, and ends after. */
const MARGIN_S = 1;
const HEAVY_TURNS = 100_000_000;
const UPSTREAM_MS = 1_000;

type FloodName = 'cheap' | 'heavy' | 'waiting';

const CONNECTIONS: Record<FloodName, number> = { cheap: 256, heavy: 100, waiting: 512 };

const example = (name: string): Buffer =>
  readFileSync(new URL(`../../guests/examples/${name}/${name}.wasm`, import.meta.url));

const MODULES: Record<FloodName, () => Uint8Array> = {
  cheap: () => example('hello-rust'),
  heavy: () => computing(HEAVY_TURNS),
  waiting: () => example('proxy'),
};

function isFlood(name: string): name is FloodName {
  return name in CONNECTIONS;
}

async function deployAs(
  daemon: Daemon, tenant: string, label: string, module: Uint8Array,
): Promise<void> {
  await daemon.admin('POST', '/v1/tenants', {
    body: JSON.stringify({ name: tenant }), headers: { 'content-type': 'application/json' },
  });
  const { text } = await daemon.admin('POST', `/v1/apps/${label}/deploys`, {
    body: Buffer.from(module),
    headers: { 'content-type': 'application/wasm', 'wardian-tenant': tenant },
  });
  if (!text.includes('"done"')) throw new Error(`deploy of ${label}: ${text}`);
}

const quietly = (port: number): Promise<PacedResult> =>
  pace({ port, host: 'quiet.localhost', perSecond: PER_SECOND, seconds: SECONDS });

/** The quiet tenant's latency on one daemon while a flood runs on a daemon, the same or another. */
async function beside(
  port: number, floodPort: number, name: FloodName, path: string,
): Promise<{ quiet: PacedResult; flood: LoadResult }> {
  const flooding = measure({
    port: floodPort, host: `${name}.localhost`, path, connections: CONNECTIONS[name],
    seconds: SECONDS + 2 * MARGIN_S,
  });
  await new Promise((done) => { setTimeout(done, MARGIN_S * 1_000); });
  const quiet = await quietly(port);
  return { quiet, flood: await flooding };
}

interface Pair {
  readonly quiet: PacedResult;
  readonly besideFlood: PacedResult;
  readonly besideOther: PacedResult;
  readonly flood: LoadResult;
}

function summary(pairs: readonly Pair[]) {
  const of = (value: (pair: Pair) => number): number => median(pairs.map(value));
  return {
    p99_ms: {
      quiet: of(({ quiet }) => quiet.p99Ms),
      beside_flood: of(({ besideFlood }) => besideFlood.p99Ms),
      beside_flood_of_other_process: of(({ besideOther }) => besideOther.p99Ms),
    },
    p50_ms: {
      quiet: of(({ quiet }) => quiet.p50Ms),
      beside_flood: of(({ besideFlood }) => besideFlood.p50Ms),
      beside_flood_of_other_process: of(({ besideOther }) => besideOther.p50Ms),
    },
    quiet_requests: of(({ besideFlood }) => besideFlood.requests),
    quiet_errors: pairs.reduce(
      (sum, { quiet, besideFlood }) => sum + quiet.errors + besideFlood.errors, 0),
    flood_requests_per_second: of(({ flood }) => flood.requestsPerSecond),
    flood_p50_ms: of(({ flood }) => flood.p50Ms),
    flood_errors: of(({ flood }) => flood.errors),
  };
}

function report(found: ReadonlyMap<FloodName, readonly Pair[]>): void {
  const ratio: Record<string, number> = {};
  const floods: Record<string, ReturnType<typeof summary>> = {};
  for (const [name, pairs] of found) {
    const of = (value: (pair: Pair) => number): number => median(pairs.map(value));
    ratio[`${name}_p99`] = of(({ quiet, besideFlood }) => besideFlood.p99Ms / quiet.p99Ms);
    ratio[`${name}_p99_to_other_process`] = of(
      ({ besideOther, besideFlood }) => besideFlood.p99Ms / besideOther.p99Ms);
    floods[name] = summary(pairs);
  }
  const result = { ratio, floods };
  if (values.json) console.log(JSON.stringify(result));
  else console.dir(result, { depth: 4 });
}

async function startWith(names: readonly FloodName[]): Promise<Daemon> {
  const daemon = await startDaemon({ flags: [
    '--threads', values.threads, '--access-log', 'false', '--egress-allow', '127.0.0.0/8',
  ] });
  await deployAs(daemon, 'one', 'quiet', example('hello-rust'));
  for (const name of names) await deployAs(daemon, 'two', name, MODULES[name]());
  await measure({ port: daemon.port, host: 'quiet.localhost', connections: 64, seconds: 3 });
  return daemon;
}

async function main(): Promise<void> {
  const names = values.floods.split(',').filter(isFlood);
  const upstream = new Worker(
    new URL('./slow-upstream.ts', import.meta.url), { workerData: UPSTREAM_MS });
  const [port] = await once(upstream, 'message') as [number];
  const path = `/?url=http://127.0.0.1:${port}/`;
  const daemons: Daemon[] = [];
  const found = new Map<FloodName, Pair[]>(names.map((name) => [name, []]));
  try {
    for (let count = 0; count < 2; count += 1) daemons.push(await startWith(names));
    const [daemon, other] = daemons as [Daemon, Daemon];
    for (let count = 0; count < Number(values.rounds); count += 1) {
      for (const name of names) {
        const quiet = await quietly(daemon.port);
        const same = await beside(daemon.port, daemon.port, name, path);
        const elsewhere = await beside(daemon.port, other.port, name, path);
        found.get(name)?.push({
          quiet, besideFlood: same.quiet, besideOther: elsewhere.quiet, flood: same.flood,
        });
      }
    }
    report(found);
  } finally {
    for (const daemon of daemons) await daemon.stop();
    await upstream.terminate();
  }
}

await main();
