/**
 * How fast large bodies flow through, in both directions, next to a plain proxy on node:http: the
 * same upstream and the same client, alternating in one run, medians printed. Also the processor
 * time of both, which other work on the machine disturbs less, and how much memory the daemon takes
 * while it does.
 *
 * usage: node test/bench/streaming.ts [--json] [--rounds 3] [--mib 256] [--engine net]
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import {
  MIB, relayGuest, startStreamUpstream, transfer, uploadGuest, watchMemory,
} from '../e2e/streams.ts';
import { startDaemon } from '../harness/daemon.ts';
import { median } from './load.ts';
import { processorMs, servingPid } from './processor.ts';

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '3' },
    mib: { type: 'string', default: '256' },
    engine: { type: 'string', default: 'net' },
  },
});
const bytes = Number(values.mib) * MIB;

type Direction = 'down' | 'up';
const DIRECTIONS: readonly Direction[] = ['down', 'up'];

interface Contestant {
  readonly name: string;
  readonly pid: number;
  readonly port: number;
  /** Bytes a second, and processor seconds for each gibibyte. */
  readonly rates: Record<Direction, number[]>;
  readonly processor: Record<Direction, number[]>;
  stop(): Promise<unknown>;
}

const empty = (): Record<Direction, number[]> => ({ down: [], up: [] });

async function startProxy(upstream: string): Promise<Contestant> {
  const script = fileURLToPath(new URL('peers/proxy.js', import.meta.url));
  const child = spawn(process.execPath, [script, upstream], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = await once(child.stdout, 'data') as [Buffer];
  return {
    name: 'node:http', pid: child.pid ?? 0, port: Number(line.toString()), rates: empty(),
    processor: empty(),
    async stop() {
      child.kill();
      await once(child, 'exit');
    },
  };
}

async function startWardian(upstream: string): Promise<Contestant> {
  const daemon = await startDaemon({
    flags: ['--engine', values.engine, '--egress-allow', '127.0.0.0/8'],
  });
  await daemon.deploy('down', relayGuest(`${upstream}/down?bytes=${bytes}`));
  await daemon.deploy('up', uploadGuest(`${upstream}/up`));
  return {
    name: 'wardian', pid: servingPid(daemon), port: daemon.port, rates: empty(),
    processor: empty(), stop: () => daemon.stop(),
  };
}

async function measure(one: Contestant, direction: Direction): Promise<void> {
  const spentBefore = processorMs(one.pid);
  const began = performance.now();
  const done = await transfer(one.port, `${direction}.localhost`, direction === 'down'
    ? { path: `/down?bytes=${bytes}` } : { path: '/up', upload: bytes });
  const seconds = (performance.now() - began) / 1_000;
  const whole = direction === 'down' ? done.bytes === bytes : done.text === String(bytes);
  if (!whole) throw new Error(`${one.name} ${direction}: ${JSON.stringify(done)}`);
  one.rates[direction].push(bytes / seconds);
  one.processor[direction].push(
    (processorMs(one.pid) - spentBefore) / 1_000 * 1_024 * MIB / bytes);
}

function report(own: Contestant, peer: Contestant, grownMib: number): void {
  const by = (value: (one: Contestant, direction: Direction) => number) =>
    Object.fromEntries([own, peer].flatMap((one) => DIRECTIONS.map(
      (direction) => [`${one.name} ${direction}`, value(one, direction)])));
  const ratio = Object.fromEntries(DIRECTIONS.map((direction) => [
    `node:http ${direction}`, median(own.rates[direction]) / median(peer.rates[direction]),
  ]));
  const rates = by((one, direction) => median(one.rates[direction]) / MIB);
  const processor = by((one, direction) => median(one.processor[direction]));
  if (values.json) {
    console.log(JSON.stringify({
      ratio, mib_per_second: rates, processor_seconds_per_gib: processor,
      memory_growth_mib: grownMib,
    }));
    return;
  }
  console.log(`${values.rounds} rounds of ${values.mib} MiB each way, medians`);
  for (const name of Object.keys(rates)) {
    console.log(`${name.padEnd(16)} ${rates[name]?.toFixed(0).padStart(6)} MiB/s   `
      + `${processor[name]?.toFixed(2).padStart(6)} s of processor time for each GiB`);
  }
  for (const [name, value] of Object.entries(ratio)) {
    console.log(`wardian / ${name}: ${value.toFixed(2)}`);
  }
  console.log(`the daemon's memory grew by ${grownMib.toFixed(0)} MiB at its peak`);
}

async function main(): Promise<void> {
  const upstream = await startStreamUpstream();
  const started: Contestant[] = [];
  try {
    const own = await startWardian(upstream.url);
    started.push(own);
    const peer = await startProxy(upstream.url);
    started.push(peer);
    for (const one of started) {
      for (const direction of DIRECTIONS) await measure(one, direction);
      for (const direction of DIRECTIONS) {
        one.rates[direction].length = 0;
        one.processor[direction].length = 0;
      }
    }
    const memory = watchMemory(own.pid);
    for (let round = 0; round < Number(values.rounds); round += 1) {
      for (const direction of DIRECTIONS) {
        for (const one of started) await measure(one, direction);
      }
    }
    report(own, peer, memory.stop() / MIB);
  } finally {
    for (const one of started) await one.stop();
    await upstream.close();
  }
}

await main();
