/**
 * Throughput with 1, 2 and 4 threads, and with 1, 100 and 1,000 deployments asked in turns: once
 * with a cache of modules in which all fit, once with one that is smaller than the set. Runs
 * alternate, medians are printed; processor time for a request stands beside each.
 *
 *   node test/bench/scaling.ts [--json] [--rounds 5] [--seconds 3] [--deployments 1000]
 */

import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { startDaemon } from '../harness/daemon.ts';
import type { Daemon } from '../harness/daemon.ts';
import { measure, median } from './load.ts';
import { deployMany } from './many.ts';
import { processorMs, servingPid } from './processor.ts';

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    connections: { type: 'string', default: '64' },
    deployments: { type: 'string', default: '1000' },
    guest: { type: 'string', default: 'hello-as' },
    threads: { type: 'string', default: '1,2,4' },
  },
});
const SECONDS = Number(values.seconds);
const DEPLOYMENTS = Number(values.deployments);
const MIB = 1_048_576;
/** Room for a thousand Rust hellos, of which each counts 1.3 MiB. */
const ROOMY_CACHE = String(2_048 * MIB);
/** Room for about a tenth of a thousand small modules, in both threads together. */
const TIGHT_CACHE = String(24 * MIB);
const SOME = 100;
const WARM_UP_SECONDS = 3;
const WARM_UP_TURNS_MAX = 25;
const CHEAPER = 0.97;
const VAIN_TURNS = 3;

interface Case {
  readonly name: string;
  readonly daemon: Daemon;
  readonly hosts: readonly string[];
  readonly perSecond: number[];
  readonly processorUs: number[];
  errors: number;
}

async function run(one: Case, seconds = SECONDS): Promise<void> {
  const pid = servingPid(one.daemon);
  const before = processorMs(pid);
  const { requestsPerSecond, errors } = await measure({
    port: one.daemon.port, host: one.hosts[0] ?? '', hosts: one.hosts,
    connections: Number(values.connections), seconds,
  });
  one.perSecond.push(requestsPerSecond);
  one.processorUs.push((processorMs(pid) - before) * 1_000 / (requestsPerSecond * seconds));
  one.errors += errors;
}

/**
 * Runs each case until three runs in a row take no less processor time for a request than the best
 * before: every module on every thread has been asked for then, and V8's second tier, which
 * compiles a function once it was called often, is through with all of them. A thousand modules
 * take half a minute, and twice that on a slow machine.
 */
async function warmUp(cases: readonly Case[]): Promise<void> {
  for (const one of cases) {
    let best = Number.POSITIVE_INFINITY;
    let vain = 0;
    for (let turn = 0; turn < WARM_UP_TURNS_MAX && vain < VAIN_TURNS; turn += 1) {
      await run(one, WARM_UP_SECONDS);
      const last = one.processorUs.at(-1) ?? 0;
      vain = last < best * CHEAPER ? 0 : vain + 1;
      best = Math.min(best, last);
    }
    one.perSecond.length = 0;
    one.processorUs.length = 0;
    one.errors = 0;
  }
}

async function main(): Promise<void> {
  const data = mkdtempSync(join(tmpdir(), 'wardian-scaling-'));
  const copy = `${data}-copy`;
  const daemons: Daemon[] = [];
  const cases: Case[] = [];
  const start = async (threads: string, cache: string, folder?: string): Promise<Daemon> => {
    const daemon = await startDaemon({
      flags: ['--access-log', 'false', '--threads', threads, '--module-cache-bytes', cache],
      ...(folder === undefined ? {} : { data: folder }),
    });
    daemons.push(daemon);
    return daemon;
  };
  const add = (name: string, daemon: Daemon, hosts: readonly string[]): void => {
    cases.push({ name, daemon, hosts, perSecond: [], processorUs: [], errors: 0 });
  };
  try {
    for (const threads of values.threads.split(',')) {
      const daemon = await start(threads, ROOMY_CACHE);
      add(`threads_${threads}`, daemon, await deployMany(daemon, values.guest, 1));
    }
    const first = await start('2', ROOMY_CACHE, data);
    const hosts = await deployMany(first, values.guest, DEPLOYMENTS);
    await first.stop();
    daemons.splice(daemons.indexOf(first), 1);
    cpSync(data, copy, { recursive: true });
    const roomy = await start('2', ROOMY_CACHE, data);
    const tight = await start('2', TIGHT_CACHE, copy);
    for (const count of [1, SOME, DEPLOYMENTS]) {
      add(`deployments_${count}`, roomy, hosts.slice(0, count));
      add(`deployments_${count}_small_cache`, tight, hosts.slice(0, count));
    }
    await warmUp(cases);
    for (let round = 0; round < Number(values.rounds); round += 1) {
      for (const one of round % 2 === 0 ? cases : cases.toReversed()) await run(one);
    }
  } finally {
    for (const daemon of daemons) await daemon.stop();
    rmSync(data, { recursive: true, force: true });
    rmSync(copy, { recursive: true, force: true });
  }
  report(cases);
}

function report(cases: readonly Case[]): void {
  const rate = (name: string): number =>
    median(cases.find((one) => one.name === name)?.perSecond ?? []);
  const [fewest = '1', ...more] = values.threads.split(',');
  const ratio: Record<string, number> = {};
  for (const threads of more) {
    ratio[`threads_${threads}`] = rate(`threads_${threads}`) / rate(`threads_${fewest}`);
  }
  for (const count of [SOME, DEPLOYMENTS]) {
    for (const cache of ['', '_small_cache']) {
      ratio[`deployments_${count}${cache}`] = rate(`deployments_${count}${cache}`)
        / rate(`deployments_1${cache}`);
    }
  }
  const result = {
    ratio,
    requests_per_second: Object.fromEntries(cases.map(({ name }) => [name, rate(name)])),
    processor_us: Object.fromEntries(
      cases.map(({ name, processorUs }) => [name, median(processorUs)])),
    errors: cases.reduce((sum, { errors }) => sum + errors, 0),
  };
  if (values.json) console.log(JSON.stringify(result));
  else console.dir(result);
}

await main();
