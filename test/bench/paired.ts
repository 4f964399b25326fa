/**
 * What a change saves in a worker: checkouts of this repository in one process, a few requests of
 * the Rust hello in each in turns, so that whatever else the machine does befalls all of them. The
 * lower quantiles tell differences of a percent where whole daemons differ by ten from run to run.
 * Messages between threads are not in it.
 *
 * usage: node test/bench/paired.ts [--json] [--seconds 20] <checkout> <checkout> …
 *
 * Checkouts are folders; the first is what the others are compared with.
 */

import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

import type * as threads from '../pool/thread.ts';
import type * as worlds from '../pool/world.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    seconds: { type: 'string', default: '20' },
  },
});
const BATCH = 16;
const WARM_UP_MS = 3_000;
const SHARES = [0.1, 0.25, 0.5] as const;
const HELLO = readFileSync(
  new URL('../../guests/examples/hello-rust/hello-rust.wasm', import.meta.url));

interface Variant {
  readonly folder: string;
  /** One request, to its end. */
  readonly ask: () => number;
  readonly close: () => Promise<void>;
  /** Microseconds for a request, of each batch. */
  readonly times: number[];
}

async function load(folder: string): Promise<Variant> {
  const from = (path: string): string => pathToFileURL(join(resolve(folder), path)).href;
  const { createThread } = await import(from('test/pool/thread.ts')) as typeof threads;
  const { World } = await import(from('test/pool/world.ts')) as typeof worlds;
  const world = new World();
  const thread = createThread(world);
  const served = await thread.load(world.deploy(HELLO));
  return {
    folder,
    times: [],
    ask() {
      const run = thread.arrive(served);
      run.begin(served);
      thread.memories.clean();
      return run.reply?.status ?? 0;
    },
    async close() {
      await thread.close();
      world.remove();
    },
  };
}

function measure({ ask }: Variant): number {
  const begunAt = performance.now();
  for (let index = 0; index < BATCH; index += 1) {
    if (ask() !== 200) throw new Error('a guest failed');
  }
  return (performance.now() - begunAt) / BATCH * 1_000;
}

const variants: Variant[] = [];
for (const folder of positionals) variants.push(await load(folder));
const begunAt = performance.now();
const endsAt = begunAt + WARM_UP_MS + Number(values.seconds) * 1_000;
for (let turn = 0; performance.now() < endsAt; turn += 1) {
  const isWarm = performance.now() - begunAt > WARM_UP_MS;
  // Each goes first as often as the others: who follows finds the processor's cache as it is left.
  for (let step = 0; step < variants.length; step += 1) {
    const variant = variants[(turn + step) % variants.length]!;
    const took = measure(variant);
    if (isWarm) variant.times.push(took);
  }
  await new Promise((done) => { setImmediate(done); });
}
const results = variants.map(({ folder, times }) => {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor(sorted.length * share)] ?? Number.NaN;
  return { folder, p10_us: at(SHARES[0]), p25_us: at(SHARES[1]), p50_us: at(SHARES[2]) };
});
const base = results[0];
const ratio = Object.fromEntries(
  results.map(({ folder, p25_us }) => [folder, p25_us / (base?.p25_us ?? Number.NaN)]));
if (values.json) console.log(JSON.stringify({ ratio, variants: results }));
else {
  console.table(results);
  console.table(ratio);
}
for (const { close } of variants) await close();
