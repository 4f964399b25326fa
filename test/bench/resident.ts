/**
 * What a deployment takes of memory while it is served: resident bytes of the process beyond those
 * with one deployment under the same load, for each further one, beside the bytes that the cache of
 * modules counts for it in all threads together. Guests: two small examples, and modules of 300 KB
 * of which a request runs a tenth, or everything. What is looked at is the second of two loads.
 *
 *   node test/bench/resident.ts [--json] [--deployments 300] [--seconds 10]
 */

import { parseArgs } from 'node:util';

import { startDaemon } from '../harness/daemon.ts';
import type { Daemon } from '../harness/daemon.ts';
import { measure } from './load.ts';
import { deployEach, deployMany, largeModule } from './many.ts';
import { residentBytes, servingPid } from './processor.ts';

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    deployments: { type: 'string', default: '300' },
    seconds: { type: 'string', default: '10' },
  },
});
const DEPLOYMENTS = Number(values.deployments);
const SECONDS = Number(values.seconds);
const KIB = 1_024;
const LARGE_BYTES = 300 * KIB;
const ROOMY_CACHE = String(16 * 1_024 * 1_024 * KIB);

const GUESTS: Record<string, (daemon: Daemon) => Promise<string[]>> = {
  'hello-as': (daemon) => deployMany(daemon, 'hello-as', DEPLOYMENTS),
  'hello-rust': (daemon) => deployMany(daemon, 'hello-rust', DEPLOYMENTS),
  large_tenth: (daemon) =>
    deployEach(daemon, DEPLOYMENTS, (number) => largeModule(LARGE_BYTES, number)),
  large_whole: (daemon) =>
    deployEach(daemon, DEPLOYMENTS, (number) => largeModule(LARGE_BYTES, number, 1)),
};

interface Taken { readonly residentKib: number; readonly countedKib: number }

async function countedBytes(daemon: Daemon): Promise<number> {
  const { text } = await daemon.admin('GET', '/metrics');
  const match = /^wardian_module_cache_bytes (\d+)/m.exec(text);
  if (match === null) throw new Error('the daemon does not tell the bytes of its modules');
  return Number(match[1]);
}

async function take(deploy: (daemon: Daemon) => Promise<string[]>): Promise<Taken> {
  const daemon = await startDaemon({
    flags: ['--access-log', 'false', '--threads', '2', '--module-cache-bytes', ROOMY_CACHE],
  });
  try {
    const hosts = await deploy(daemon);
    const pid = servingPid(daemon);
    const load = async (asked: readonly string[]): Promise<[number, number]> => {
      const { errors } = await measure({
        port: daemon.port, host: asked[0] ?? '', hosts: asked, connections: 64, seconds: SECONDS,
      });
      if (errors > 0) throw new Error(`${errors} requests failed`);
      return [residentBytes(pid), await countedBytes(daemon)];
    };
    const [residentOfOne, countedOfOne] = await load(hosts.slice(0, 1));
    await load(hosts);
    const [resident, counted] = await load(hosts);
    const others = (hosts.length - 1) * KIB;
    return {
      residentKib: (resident - residentOfOne) / others,
      countedKib: (counted - countedOfOne) / others,
    };
  } finally {
    await daemon.stop();
  }
}

async function main(): Promise<void> {
  const entries: [string, Taken][] = [];
  for (const [name, deploy] of Object.entries(GUESTS)) entries.push([name, await take(deploy)]);
  const of = (pick: (taken: Taken) => number): Record<string, number> =>
    Object.fromEntries(entries.map(([name, taken]) => [name, pick(taken)]));
  const result = {
    ratio: of(({ residentKib, countedKib }) => countedKib / residentKib),
    resident_kib: of(({ residentKib }) => residentKib),
    counted_kib: of(({ countedKib }) => countedKib),
  };
  if (values.json) console.log(JSON.stringify(result));
  else console.dir(result);
}

await main();
