/**
 * What comes first: the first response after a deploy of about 300 KB of code, the first after it
 * fell out of the modules' cache, the first after a restart, and how long a daemon with 1,000
 * stored deployments takes from its start to `ready`.
 *
 *   node test/bench/cold.ts [--json] [--deploys 15] [--deployments 1000] [--boots 5]
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { startDaemon } from '../harness/daemon.ts';
import type { Daemon } from '../harness/daemon.ts';
import { median } from './load.ts';
import { deployMany, largeModule } from './many.ts';

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    deploys: { type: 'string', default: '15' },
    deployments: { type: 'string', default: '1000' },
    boots: { type: 'string', default: '5' },
  },
});
const DEPLOYS = Number(values.deploys);
const DEPLOYMENTS = Number(values.deployments);
const MODULE_BYTES = 300 * 1_024;
/** Room for one module of 300 KB: two that alternate evict each other. */
const SMALL_CACHE_BYTES = 1_048_576;
const READY_MAX_MS = 2_000;
const FIRST_MAX_MS = 50;

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begunAt = performance.now();
  await work();
  return performance.now() - begunAt;
}

async function first(daemon: Daemon, label: string): Promise<number> {
  return timed(async () => {
    const { status, text } = await daemon.ask(`${label}.localhost`);
    if (status !== 200) throw new Error(`${label}: ${status} ${text}`);
  });
}

interface AfterDeploy {
  readonly moduleBytes: number;
  readonly deployMs: number[];
  readonly firstMs: number[];
  readonly secondMs: number[];
  readonly evictedMs: number[];
  readonly restartedMs: number[];
}

/** One thread and a small cache: a module's second request on the same thread is a hit. */
async function afterDeploys(): Promise<AfterDeploy> {
  const data = mkdtempSync(join(tmpdir(), 'wardian-cold-'));
  const flags = [
    '--threads', '1', '--module-cache-bytes', String(SMALL_CACHE_BYTES), '--access-log', 'false',
  ];
  const deployMs: number[] = [];
  const firstMs: number[] = [];
  const secondMs: number[] = [];
  const evictedMs: number[] = [];
  const restartedMs: number[] = [];
  let moduleBytes = 0;
  let daemon = await startDaemon({ data, flags });
  try {
    await daemon.deploy('warm-up', largeModule(MODULE_BYTES, DEPLOYS));
    await first(daemon, 'warm-up');
    for (let number = 0; number < DEPLOYS; number += 1) {
      const wasm = largeModule(MODULE_BYTES, number);
      moduleBytes = wasm.length;
      deployMs.push(await timed(() => daemon.deploy(`large-${number}`, wasm)));
      firstMs.push(await first(daemon, `large-${number}`));
      secondMs.push(await first(daemon, `large-${number}`));
    }
    for (let number = 0; number < DEPLOYS; number += 1) {
      evictedMs.push(await first(daemon, `large-${number}`));
    }
    for (let number = 0; number < Number(values.boots); number += 1) {
      await daemon.stop();
      daemon = await startDaemon({ data, flags });
      restartedMs.push(await first(daemon, `large-${number}`));
    }
  } finally {
    await daemon.stop();
    rmSync(data, { recursive: true, force: true });
  }
  return { moduleBytes, deployMs, firstMs, secondMs, evictedMs, restartedMs };
}

interface Boots {
  readonly emptyMs: number[];
  readonly fullMs: number[];
  readonly firstMs: number[];
}

/** Boots with an empty store and with many deployments, in turns. */
async function boots(): Promise<Boots> {
  const full = mkdtempSync(join(tmpdir(), 'wardian-cold-'));
  const emptyMs: number[] = [];
  const fullMs: number[] = [];
  const firstMs: number[] = [];
  try {
    const seeding = await startDaemon({ data: full });
    await deployMany(seeding, 'hello-as', DEPLOYMENTS);
    await seeding.stop();
    for (let number = 0; number < Number(values.boots); number += 1) {
      let daemon: Daemon | undefined;
      emptyMs.push(await timed(async () => { daemon = await startDaemon(); }));
      await daemon?.stop();
      fullMs.push(await timed(async () => { daemon = await startDaemon({ data: full }); }));
      if (daemon === undefined) throw new Error('no daemon');
      firstMs.push(await first(daemon, `app-${number}`));
      await daemon.stop();
    }
  } finally {
    rmSync(full, { recursive: true, force: true });
  }
  return { emptyMs, fullMs, firstMs };
}

const deploys = await afterDeploys();
const booted = await boots();
const result = {
  ratio: {
    first_to_limit: median(deploys.firstMs) / FIRST_MAX_MS,
    boot_to_limit: median(booted.fullMs) / READY_MAX_MS,
  },
  module_bytes: deploys.moduleBytes,
  deploy_ms: median(deploys.deployMs),
  first_after_deploy_ms: median(deploys.firstMs),
  deploy_to_first_response_ms: median(
    deploys.deployMs.map((took, index) => took + (deploys.firstMs[index] ?? Number.NaN))),
  second_ms: median(deploys.secondMs),
  first_after_eviction_ms: median(deploys.evictedMs),
  first_after_restart_ms: median(deploys.restartedMs),
  deployments: DEPLOYMENTS,
  boot_ms: median(booted.fullMs),
  boot_empty_ms: median(booted.emptyMs),
  first_after_boot_ms: median(booted.firstMs),
};
if (values.json) console.log(JSON.stringify(result));
else console.dir(result);
