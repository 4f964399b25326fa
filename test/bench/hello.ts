/**
 * Requests per second and latency of the Rust hello on Wardian, on each listener engine that loads,
 * next to workerd and deno: the same guest, the same load, alternating in one run, medians printed.
 *
 * usage: node test/bench/hello.ts [--json] [--rounds 5] [--seconds 4] [--connections 64] [--peers
 * workerd,deno]
 */

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

import { loadHyperExpress } from '../../daemon/listen/uws-engine.ts';
import { startDaemon } from '../harness/daemon.ts';
import { hasWrk, measure, median } from './load.ts';
import type { LoadResult } from './load.ts';
import { installPeers, startPeer } from './peers.ts';
import type { PeerName } from './peers.ts';

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '4' },
    connections: { type: 'string', default: '64' },
    peers: { type: 'string', default: 'workerd,deno' },
    engines: { type: 'string', default: 'net,uwebsockets,node' },
  },
});
const peers = values.peers.split(',').filter((name) => name !== '') as PeerName[];
const guest = new URL('../../guests/examples/hello-rust/hello-rust.wasm', import.meta.url);

/** What stands behind each setting of the engine; the first one measured is the default's. */
const ENGINE_NAMES: Readonly<Record<string, string>> = {
  net: 'node:net',
  uwebsockets: 'hyper-express',
  node: 'node:http',
};

interface Contestant {
  readonly name: string;
  readonly port: number;
  readonly host: string;
  readonly results: LoadResult[];
  stop(): Promise<unknown>;
}

/** The daemon refuses to start on an engine that is named and does not load. */
function enginesThatLoad(): string[] {
  const engines = values.engines.split(',').filter((name) => name !== '');
  const loaded = loadHyperExpress();
  if (typeof loaded !== 'string') return engines;
  if (engines.includes('uwebsockets')) process.stderr.write(`hyper-express left out: ${loaded}\n`);
  return engines.filter((name) => name !== 'uwebsockets');
}

async function startWardian(engine: string): Promise<Contestant> {
  const daemon = await startDaemon({ flags: ['--engine', engine, '--access-log', 'false'] });
  await daemon.deploy('hello', readFileSync(guest));
  return {
    name: `wardian (${ENGINE_NAMES[engine] ?? engine})`,
    port: daemon.port,
    host: 'hello.localhost',
    results: [],
    stop: () => daemon.stop(),
  };
}

async function main(): Promise<void> {
  installPeers(peers);
  const engines = enginesThatLoad();
  const contestants: Contestant[] = [];
  try {
    for (const engine of engines) contestants.push(await startWardian(engine));
    for (const name of peers) {
      const peer = await startPeer(name, readFileSync(guest));
      contestants.push({
        name,
        port: peer.port,
        host: 'hello.localhost',
        results: [],
        stop: () => peer.stop(),
      });
    }
    const load = { connections: Number(values.connections), seconds: Number(values.seconds) };
    for (const { port, host } of contestants) await measure({ port, host, ...load, seconds: 2 });
    for (let round = 0; round < Number(values.rounds); round += 1) {
      for (const { port, host, results } of contestants)
        results.push(await measure({ port, host, ...load }));
    }
  } finally {
    for (const contestant of contestants) await contestant.stop();
  }
  report(contestants);
}

const rate = (one: Contestant): number =>
  median(one.results.map((result) => result.requestsPerSecond));
const p99 = (one: Contestant): number => median(one.results.map((result) => result.p99Ms));
const p50 = (one: Contestant): number => median(one.results.map((result) => result.p50Ms));

interface Ratios {
  readonly name: string;
  readonly ratio: Record<string, number>;
}

/** Of requests per second, to each peer; and of p99, to the peer with the lower one. */
function ratios(own: readonly Contestant[], others: readonly Contestant[]): Ratios[] {
  const betterP99 = Math.min(...others.map(p99));
  return own.map((one) => ({
    name: one.name,
    ratio: {
      ...Object.fromEntries(others.map((other) => [other.name, rate(one) / rate(other)])),
      ...(others.length === 0 ? {} : { p99_to_better_peer: p99(one) / betterP99 }),
    },
  }));
}

const errorsOf = (one: Contestant): number =>
  one.results.reduce((sum, result) => sum + result.errors, 0);

function report(contestants: readonly Contestant[]): void {
  const own = contestants.filter((one) => one.name.startsWith('wardian'));
  const others = contestants.filter((one) => !one.name.startsWith('wardian'));
  const byEngine = ratios(own, others);
  const perName = (value: (one: Contestant) => number): Record<string, number> =>
    Object.fromEntries(contestants.map((one) => [one.name, value(one)]));
  if (values.json) {
    console.log(
      JSON.stringify({
        ratio: byEngine[0]?.ratio,
        ratio_by_engine: Object.fromEntries(byEngine.map(({ name, ratio }) => [name, ratio])),
        requests_per_second: perName(rate),
        p50_ms: perName(p50),
        p99_ms: perName(p99),
        errors: perName(errorsOf),
      }),
    );
    return;
  }
  const generator = hasWrk ? 'wrk' : 'own load generator';
  console.log(
    `${values.connections} connections, ${values.rounds} rounds of ${values.seconds} s, ` +
      `${generator}, medians`,
  );
  for (const one of contestants) {
    console.log(
      `${one.name.padEnd(24)} ${rate(one).toFixed(0).padStart(7)} req/s   ` +
        `p50 ${p50(one).toFixed(2).padStart(7)} ms   p99 ${p99(one).toFixed(2).padStart(7)} ms   ` +
        `errors ${errorsOf(one)}`,
    );
  }
  for (const { name, ratio } of byEngine) {
    for (const [peer, value] of Object.entries(ratio)) {
      console.log(`${name} / ${peer}: ${value.toFixed(2)}`);
    }
  }
}

await main();
