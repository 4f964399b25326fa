/**
 * The store's writer: durable puts per second from four ports at rising numbers of puts in flight,
 * the size of the groups that share a sync, and the latency of one put; then gets as a worker makes
 * them. `--json` prints one object; `--durability process` leaves the syncs out.
 *
 *   node test/bench/store.ts [--json] [--durability full|process] [--seconds 3]
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { parseArgs } from 'node:util';

import { SELECT_KV_VALUE } from '../../contract/schema.ts';
import { openStore } from '../../daemon/store/store.ts';
import type { Durability, Store } from '../../daemon/store/store.ts';
import { WorkerPort, bytes, deployed } from '../daemon/store/support.ts';

const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    durability: { type: 'string', default: 'full' },
    seconds: { type: 'string', default: '3' },
    folder: { type: 'string', default: '.' },
  },
});
const SECONDS = Number(options.seconds);
const PORTS = 4;
const VALUE_BYTES = 100;
const KEYS = 10_000;

interface PutResult {
  readonly inFlight: number;
  readonly putsPerSecond: number;
  readonly putsPerCommit: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

async function measurePuts(store: Store, storeId: number, inFlight: number): Promise<PutResult> {
  const ports = Array.from({ length: PORTS }, () => new WorkerPort(store));
  const value = new Uint8Array(VALUE_BYTES).fill(7);
  const times: number[] = [];
  const endAt = performance.now() + SECONDS * 1_000;
  const before = await store.stats();
  const startedAt = performance.now();
  let next = 0;
  const client = async (port: WorkerPort): Promise<void> => {
    while (performance.now() < endAt) {
      const sentAt = performance.now();
      next += 1;
      const reply = await port.put(storeId, `key ${next % KEYS}`, value);
      if (!reply.ok) throw new Error(reply.message);
      times.push(performance.now() - sentAt);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, (_, n) =>
    client(ports[n % PORTS] as WorkerPort)));
  const seconds = (performance.now() - startedAt) / 1_000;
  const after = await store.stats();
  for (const port of ports) port.close();
  times.sort((a, b) => a - b);
  return {
    inFlight,
    putsPerSecond: Math.round(times.length / seconds),
    putsPerCommit: Number((times.length / (after.commits - before.commits)).toFixed(1)),
    p50Us: Math.round(quantile(times, 0.5) * 1_000),
    p99Us: Math.round(quantile(times, 0.99) * 1_000),
  };
}

function measureGets(path: string, storeId: number): { p50Us: number; p99Us: number } {
  const database = new DatabaseSync(path, { readOnly: true });
  const select = database.prepare(SELECT_KV_VALUE);
  const times: number[] = [];
  for (let n = 0; n < 50_000; n += 1) {
    const key = bytes(`key ${(n * 7_919) % KEYS}`);
    const startedAt = performance.now();
    select.get(storeId, key);
    times.push(performance.now() - startedAt);
  }
  database.close();
  times.sort((a, b) => a - b);
  const rounded = (share: number): number => Number((quantile(times, share) * 1_000).toFixed(1));
  return { p50Us: rounded(0.5), p99Us: rounded(0.99) };
}

const folder = mkdtempSync(join(options.folder, '.bench-store-'));
const durability = options.durability as Durability;
const store = await openStore({ dataFolder: folder, durability });
try {
  const { app } = await deployed(store, 'bench');
  const puts: PutResult[] = [];
  for (const inFlight of [1, 4, 16, 64, 256, 1_024]) {
    const result = await measurePuts(store, app.id, inFlight);
    puts.push(result);
    if (options.json) continue;
    console.log(`${durability}, ${PORTS} ports, ${result.inFlight} in flight: `
      + `${result.putsPerSecond} puts/s, ${result.putsPerCommit} puts per commit, `
      + `p50 ${result.p50Us} us, p99 ${result.p99Us} us`);
  }
  const get = measureGets(store.databasePath, app.id);
  if (options.json) console.log(JSON.stringify({ durability, ports: PORTS, puts, get }));
  else console.log(`get: p50 ${get.p50Us} us, p99 ${get.p99Us} us`);
} finally {
  await store.close();
  rmSync(folder, { recursive: true, force: true });
}
