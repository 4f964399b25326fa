/**
 * The key-value store as guests have it, through a running daemon: gets and durable puts per second
 * and their p99, each in a request of its own and many in one request, next to the same work on
 * Redis with `appendfsync always`: the same keys, values, connections and disk, alternating in one
 * run, medians printed. And how long one get takes inside the worker, by the guest's own clock.
 *
 * usage: node test/bench/kv.ts [--json] [--rounds 5] [--seconds 3] [--connections 64]
 * [--folder <where both keep their data>]
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { Client, assemble } from '../e2e/world.ts';
import { startDaemon } from '../harness/daemon.ts';
import type { Daemon } from '../harness/daemon.ts';
import { measure, median } from './load.ts';
import { redisMissing, startRedis } from './redis.ts';
import type { Rate } from './redis.ts';

const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    connections: { type: 'string', default: '64' },
    folder: { type: 'string', default: tmpdir() },
  },
});
const ROUNDS = Number(options.rounds);
const SECONDS = Number(options.seconds);
const CONNECTIONS = Number(options.connections);
const KEYS = 10_000;
const VALUE_BYTES = 100;
const WORK = { connections: CONNECTIONS, keys: KEYS, valueBytes: VALUE_BYTES };
/** In one request; the default limit is 1,000 operations. */
const GETS = 900;
const PUTS = 10;
/** Before another try, after a request was refused. */
const REFUSED_MS = 100;

/** One operation on the key at 64, whose 16 bytes are `key:` and twelve digits. */
const OPERATIONS = {
  get: `(i32.eq (call $get (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 0)
    (i32.const 64) (i32.const 16)) (i32.const 1))`,
  put: `(i32.ge_s (call $put (i32.const 0) (i32.const 0) (i32.const 64) (i32.const 16)
    (i32.const 128) (i32.const ${VALUE_BYTES}) (i64.const 0)) (i32.const 0))`,
};

/**
 * Does the operation `count` times on random keys; traps when one fails. Answers with the
 * nanoseconds that each took, as u32.
 */
function guest(operation: keyof typeof OPERATIONS, count: number): Uint8Array {
  const digit = (place: number): string => `
    (i32.store8 offset=${79 - place} (i32.const 0) (i32.add (i32.const 48)
      (i32.rem_u (i32.div_u (local.get $key) (i32.const ${10 ** place})) (i32.const 10))))`;
  return assemble(`(module
    (import "env" "hostcall_init_mm" (func $init (param i32 i32)))
    (import "env" "hostcall_kv_get" (func $get (param i32 i32 i32 i32 i32 i32) (result i32)))
    (import "env" "hostcall_kv_put"
      (func $put (param i32 i32 i32 i32 i32 i32 i64) (result i32)))
    (import "env" "hostcall_resp_set_body" (func $body (param i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "clock_time_get"
      (func $clock (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (memory 1) (table 3 funcref) (elem (i32.const 1) $malloc $free)
    (data (i32.const 64) "key:000000000000") (data (i32.const 128) "${'v'.repeat(VALUE_BYTES)}")
    (func $malloc (param i32) (result i32) (i32.const 1024)) (func $free (param i32))
    (func $now (result i64)
      (drop (call $clock (i32.const 1) (i64.const 0) (i32.const 16))) (i64.load (i32.const 16)))
    (func (export "run") (local $n i32) (local $seed i32) (local $key i32) (local $from i64)
      (call $init (i32.const 1) (i32.const 2))
      (drop (call $random (i32.const 32) (i32.const 4)))
      (local.set $seed (i32.load (i32.const 32)))
      (loop $again
        (local.set $seed (i32.add
          (i32.mul (local.get $seed) (i32.const 1664525)) (i32.const 1013904223)))
        (local.set $key (i32.rem_u
          (i32.shr_u (local.get $seed) (i32.const 8)) (i32.const ${KEYS})))
        ${[0, 1, 2, 3].map(digit).join('')}
        (local.set $from (call $now))
        (if (i32.eqz ${OPERATIONS[operation]}) (then unreachable))
        (i32.store offset=8192 (i32.shl (local.get $n) (i32.const 2))
          (i32.wrap_i64 (i64.sub (call $now) (local.get $from))))
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (br_if $again (i32.lt_u (local.get $n) (i32.const ${count}))))
      (drop (call $body (i32.const 0) (i32.const 8192) (i32.const ${4 * count})))))`);
}

const quantile = (sorted: Uint32Array, share: number): number =>
  (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN) / 1e6;

/** Requests that failed or were given up, by host. */
const failed = new Map<string, number>();

/** Requests of many operations each, over all connections; the times are the guests'. */
async function measureMany(daemon: Daemon, host: string, count: number): Promise<Rate> {
  const client = new Client(daemon.port, CONNECTIONS);
  const bodies: Buffer[] = [];
  const from = performance.now();
  const end = from + SECONDS * 1_000;
  await Promise.all(Array.from({ length: CONNECTIONS }, async () => {
    while (performance.now() < end) {
      const { status, body } = await client.ask(host);
      // On a machine that is busy with other things, 64 requests may be more than it can do.
      if (status === 503) {
        failed.set(host, (failed.get(host) ?? 0) + 1);
        await sleep(REFUSED_MS);
        continue;
      }
      if (status !== 200 || body.length !== 4 * count) throw new Error(`${status} ${String(body)}`);
      bodies.push(body);
    }
  }));
  const seconds = (performance.now() - from) / 1_000;
  client.close();
  const times = new Uint32Array(new Uint8Array(Buffer.concat(bodies)).buffer).sort();
  return {
    perSecond: times.length / seconds, p50Ms: quantile(times, 0.5), p99Ms: quantile(times, 0.99),
  };
}

/** Requests of one operation each; the times are the client's. */
async function measureAlone(daemon: Daemon, host: string): Promise<Rate> {
  const load = { port: daemon.port, host, connections: CONNECTIONS, seconds: SECONDS };
  const { requestsPerSecond, p50Ms, p99Ms, errors } = await measure(load);
  failed.set(host, (failed.get(host) ?? 0) + errors);
  return { perSecond: requestsPerSecond, p50Ms, p99Ms };
}

const APPS = {
  'get-many': guest('get', GETS),
  'get-one': guest('get', 1),
  'put-many': guest('put', PUTS),
  'put-one': guest('put', 1),
};

async function startWardian(data: string): Promise<Daemon> {
  const flags = ['--access-log', 'false', '--durability', 'full'];
  const daemon = await startDaemon({ data, flags, keepLog: false });
  const entries = Array.from({ length: KEYS }, (_, n) => JSON.stringify({
    key: `key:${String(n).padStart(12, '0')}`, value: 'v'.repeat(VALUE_BYTES),
  })).join('\n');
  for (const [label, module] of Object.entries(APPS)) {
    await daemon.deploy(label, module);
    const { status, text } = await daemon.admin('POST', `/v1/apps/${label}/store/import`, {
      body: `${entries}\n`, headers: { 'content-type': 'application/x-ndjson' },
    });
    if (status !== 200) throw new Error(`import: ${status} ${text}`);
  }
  return daemon;
}

interface Series {
  readonly name: string;
  readonly rates: Rate[];
  measure(): Promise<Rate>;
}

/** In the order in which each round goes through them: ours and Redis's in turns. */
function seriesOf(daemon: Daemon, redis: Awaited<ReturnType<typeof startRedis>> | null): Series[] {
  const series = (name: string, work: () => Promise<Rate>): Series =>
    ({ name, rates: [], measure: work });
  const ofRedis = (test: 'get' | 'set', name: string): Series[] =>
    redis === null ? [] : [series(name, () => redis.measure(test, WORK, SECONDS))];
  return [
    series('get', () => measureMany(daemon, 'get-many.localhost', GETS)),
    ...ofRedis('get', 'redis get'),
    series('get, one per request', () => measureAlone(daemon, 'get-one.localhost')),
    series('put', () => measureMany(daemon, 'put-many.localhost', PUTS)),
    ...ofRedis('set', 'redis put'),
    series('put, one per request', () => measureAlone(daemon, 'put-one.localhost')),
  ];
}

function report(all: readonly Series[], skipped: string | null): void {
  const of = (name: string, value: keyof Rate): number =>
    median(all.find((one) => one.name === name)?.rates.map((rate) => rate[value]) ?? []);
  const ratio = skipped !== null ? {} : {
    gets: of('get', 'perSecond') / of('redis get', 'perSecond'),
    gets_one_per_request: of('get, one per request', 'perSecond') / of('redis get', 'perSecond'),
    puts: of('put', 'perSecond') / of('redis put', 'perSecond'),
    puts_one_per_request: of('put, one per request', 'perSecond') / of('redis put', 'perSecond'),
  };
  const inWorker = { p50: of('get', 'p50Ms') * 1_000, p99: of('get', 'p99Ms') * 1_000 };
  if (options.json) {
    const perName = (value: keyof Rate): Record<string, number> =>
      Object.fromEntries(all.map(({ name }) => [name, of(name, value)]));
    console.log(JSON.stringify({
      ratio, ...(skipped === null ? {} : { skipped }), get_us_in_worker: inWorker,
      errors: Object.fromEntries(failed),
      per_second: perName('perSecond'), p50_ms: perName('p50Ms'), p99_ms: perName('p99Ms'),
    }));
    return;
  }
  console.log(`${CONNECTIONS} connections, ${KEYS} keys, values of ${VALUE_BYTES} bytes, `
    + `medians of ${ROUNDS} rounds of ${SECONDS} s; "get" ${GETS} and "put" ${PUTS} to a request, `
    + 'timed by the guest; the others by the client');
  for (const { name } of all) {
    console.log(`${name.padEnd(22)} ${of(name, 'perSecond').toFixed(0).padStart(8)} /s   `
      + `p50 ${of(name, 'p50Ms').toFixed(4)} ms   p99 ${of(name, 'p99Ms').toFixed(4)} ms`);
  }
  for (const [name, value] of Object.entries(ratio)) {
    console.log(`${name}, wardian / redis: ${value.toFixed(2)}`);
  }
  for (const [host, count] of failed) console.log(`errors of ${host}: ${count}`);
  console.log(`a get inside the worker: p50 ${inWorker.p50.toFixed(1)} us, `
    + `p99 ${inWorker.p99.toFixed(1)} us`);
}

async function main(): Promise<void> {
  const skipped = redisMissing();
  if (skipped !== null) console.error(`not compared with Redis: ${skipped}`);
  const folder = mkdtempSync(join(options.folder, 'wardian-bench-kv-'));
  const stops: (() => Promise<unknown>)[] = [];
  try {
    const redis = skipped === null ? await startRedis(join(folder, 'redis')) : null;
    if (redis !== null) stops.push(() => redis.stop());
    const daemon = await startWardian(join(folder, 'wardian'));
    stops.push(() => daemon.stop());
    await redis?.fill(WORK);
    const all = seriesOf(daemon, redis);
    // One of each before what counts: code is compiled, files have grown.
    for (const one of all) await one.measure();
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const one of all) one.rates.push(await one.measure());
    }
    report(all, skipped);
  } finally {
    for (const stop of stops.toReversed()) await stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

await main();
