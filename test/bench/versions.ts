/**
 * Processor time for a request of the Rust hello, of versions that take turns: checkouts of this
 * repository, or one checkout with other flags. It hardly depends on what else the machine does,
 * and so decides what is kept.
 *
 * usage: node test/bench/versions.ts [--json] [--rounds 7] [--seconds 2] [--connections 64]
 *        [--threads 1] <variant> <variant> …
 *
 * A variant is a name, then what it is made of: `base`, `now=../other-checkout`,
 * `small=.,--max-semi-space-size=4`. Flags are Node's.
 */

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';

import { startDaemon, type Daemon } from '../harness/daemon.ts';
import { measure, median } from './load.ts';
import { processorMs, residentBytes, servingPid, threadTimes } from './processor.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '7' },
    seconds: { type: 'string', default: '2' },
    connections: { type: 'string', default: '64' },
    threads: { type: 'string', default: '1' },
  },
});
const guest = readFileSync(
  new URL('../../guests/examples/hello-rust/hello-rust.wasm', import.meta.url));
const host = 'hello.localhost';
const connections = Number(values.connections);

const COLUMNS = ['main', 'worker', 'v8', 'sum', 'rate', 'p99'] as const;
type Column = typeof COLUMNS[number];
type Sample = Record<Column, number>;

interface Variant {
  readonly name: string;
  readonly daemon: Daemon;
  readonly pid: number;
  readonly samples: Sample[];
}

async function start(text: string): Promise<Variant> {
  const [name, folder, nodeFlags] = parseVariant(text);
  const daemon = await startDaemon({
    flags: ['--access-log', 'false', '--threads', values.threads], keepLog: false, nodeFlags,
    ...(folder === '' ? {} : { root: resolve(folder) }),
  });
  await daemon.deploy('hello', guest);
  return { name, daemon, pid: servingPid(daemon), samples: [] };
}

/** Name, folder (empty: this one) and flags of Node, which may hold a `=` of their own. */
function parseVariant(text: string): [string, string, string[]] {
  const at = text.indexOf('=');
  if (at < 0) return [text, '', []];
  const [folder = '', ...flags] = text.slice(at + 1).split(',');
  return [text.slice(0, at), folder, flags];
}

async function sample({ daemon, pid, samples }: Variant): Promise<void> {
  const seconds = Number(values.seconds);
  const before = threadTimes(pid);
  const wholeBefore = processorMs(pid);
  const { requestsPerSecond, p99Ms, errors } = await measure(
    { port: daemon.port, host, connections, seconds });
  const after = threadTimes(pid);
  const requests = requestsPerSecond * seconds;
  if (errors > 0 || requests === 0) throw new Error(`${errors} errors, ${requests} requests`);
  const each = (ms: number): number => ms * 1_000 / requests;
  samples.push({
    main: each(after.main - before.main), worker: each(after.worker - before.worker),
    v8: each(after.v8 - before.v8), sum: each(processorMs(pid) - wholeBefore),
    rate: requestsPerSecond, p99: p99Ms,
  });
}

function report(variants: readonly Variant[]): void {
  const results = variants.map(({ name, pid, samples }) => {
    const of = (column: Column): number => median(samples.map((one) => one[column]));
    const least = Math.min(...samples.map((one) => one.sum));
    return {
      name, ...Object.fromEntries(COLUMNS.map((column) => [column, of(column)])), least,
      resident_mib: residentBytes(pid) / 2 ** 20,
    };
  });
  const base = results[0] as unknown as Sample;
  const ratio = Object.fromEntries(results.map((one) =>
    [one.name, (one as unknown as Sample).sum / base.sum]));
  if (values.json) {
    console.log(JSON.stringify({ ratio, variants: results }));
    return;
  }
  console.log(
    `µs of processor time for a request, medians of ${values.rounds}; ratio to the first`);
  for (const one of results) {
    const { name, ...numbers } = one;
    const cells = Object.entries(numbers).map(([column, value]) => `${column} ${value.toFixed(1)}`);
    console.log(`${name.padEnd(16)} ${ratio[name]?.toFixed(3)}  ${cells.join('  ')}`);
  }
}

async function main(): Promise<void> {
  const variants: Variant[] = [];
  try {
    for (const text of positionals) variants.push(await start(text));
    for (const { daemon: { port } } of variants) {
      await measure({ port, host, connections, seconds: 4 });
    }
    for (let round = 0; round < Number(values.rounds); round += 1) {
      for (const variant of variants) await sample(variant);
    }
    report(variants);
  } finally {
    for (const { daemon } of variants) await daemon.stop();
  }
}

await main();
