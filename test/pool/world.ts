/**
 * A pool over a database of its own: guests are given as WAT, rewritten and inspected as a deploy
 * would, and stored with the contract's schema. Nothing of the daemon takes part.
 */

import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { MessagePort } from 'node:worker_threads';
import wabt from 'wabt';
import { KeyRing } from '../../contract/key-ring.ts';
import type { AppSettings, ModuleFacts } from '../../contract/deployment.ts';
import { MIB, REQUEST_LIMITS_DEFAULT, type RequestLimits } from '../../contract/limits.ts';
import type { GuestLogLine, ReplyMessage, RequestMessage } from '../../contract/messages.ts';
import { WORKER_NICENESS } from '../../contract/niceness.ts';
import { MIGRATIONS } from '../../contract/schema.ts';
import { HOSTCALL_NUMBERS } from '../../hostcalls/numbers.ts';
import { inspectModule } from '../../hostcalls/index.ts';
import { createPool, type Pool, type PoolOptions } from '../../pool/pool.ts';
import { rewrite } from '../../pool/rewrite/index.ts';

const parser = await wabt();

const FEATURES = {
  bulk_memory: true, reference_types: true, exceptions: true, multi_value: true,
  mutable_globals: true, sat_float_to_int: true, sign_extension: true, simd: true,
};

/** Holds for every guest here: a request gets its answer or a failure, never more time. */
const DEADLINE_MS = 20_000;

/** As the builder does: other exports would cost at every instantiation. */
const ENTRIES: ReadonlySet<string> = new Set(['run']);

export function assemble(wat: string, names = true): Uint8Array {
  const module = parser.parseWat('guest.wat', wat, FEATURES);
  try {
    return new Uint8Array(module.toBinary({ write_debug_names: names }).buffer);
  } finally {
    module.destroy();
  }
}

export interface Deployed {
  readonly versionId: number;
  readonly artifactHash: string;
}

/** The tables that a worker reads, filled by hand. */
export class World {
  readonly folder = mkdtempSync(join(tmpdir(), 'wardian-pool-'));
  readonly databasePath = join(this.folder, 'wardian.db');
  readonly database = new DatabaseSync(this.databasePath);
  #versions = 0;
  #tenants = 1;

  constructor() {
    this.database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF');
    for (const migration of MIGRATIONS) this.database.exec(migration);
    this.database.exec("INSERT INTO tenant (id, name, created_at_ms) VALUES (1, 'tenant', 0)");
  }

  /** A tenant beside the first, whose id is 1. */
  addTenant(): number {
    const id = ++this.#tenants;
    this.database.prepare('INSERT INTO tenant (id, name, created_at_ms) VALUES (?, ?, 0)')
      .run(id, `tenant-${id}`);
    return id;
  }

  /** An app of its own with one version. */
  deploy(
    source: string | Uint8Array, settings: Partial<AppSettings> = {}, tenantId = 1,
  ): Deployed {
    const module = typeof source === 'string' ? assemble(source) : source;
    const rewritten = rewrite(module, {
      memoryBytesMax: 128 * MIB, keepExports: ENTRIES, numbers: HOSTCALL_NUMBERS,
    });
    const { abi, entry, suspends, violations } = inspectModule(
      rewritten.imports, rewritten.exports);
    if (violations[0] !== undefined) throw new Error(violations[0].message);
    const facts: ModuleFacts = {
      abi, entry, suspends, memory: rewritten.memory, tableEntries: rewritten.tableEntries,
      hasStart: rewritten.hasStart, hasTable: rewritten.hasTable,
      listedEntries: rewritten.listedEntries,
      fuelAtInstantiation: rewritten.fuelAtInstantiation,
    };
    return this.store(module, rewritten.bytes, facts, settings, tenantId);
  }

  store(
    module: Uint8Array, artifact: Uint8Array, facts: ModuleFacts,
    settings: Partial<AppSettings> = {}, tenantId = 1,
  ): Deployed {
    const id = ++this.#versions;
    const hash = createHash('sha256').update(module).digest('hex');
    const artifactHash = createHash('sha256').update(artifact).digest('hex');
    const run = (sql: string, ...values: (string | number | Uint8Array)[]): void => {
      this.database.prepare(sql).run(...values);
    };
    run('INSERT OR IGNORE INTO module (hash, bytes, created_at_ms) VALUES (?, ?, 0)', hash, module);
    run(`INSERT OR IGNORE INTO artifact
      (hash, module_hash, rewrite_key, facts, bytes, created_at_ms) VALUES (?, ?, 'key', ?, ?, 0)`,
      artifactHash, hash, JSON.stringify(facts), artifact);
    run('INSERT INTO app (id, tenant_id, label, settings, created_at_ms) VALUES (?, ?, ?, ?, 0)',
      id, tenantId, `app-${id}`, JSON.stringify(settings));
    run(`INSERT INTO version
      (id, app_id, number, module_hash, artifact_hash, language, created_at_ms)
      VALUES (?, ?, 1, ?, ?, 'wat', 0)`, id, id, hash, artifactHash);
    return { versionId: id, artifactHash };
  }

  /** Changes an app's settings as the store does: with a new generation. */
  change(versionId: number, settings: Partial<AppSettings>): number {
    this.database.prepare(
      'UPDATE app SET settings = ?, generation = generation + 1 WHERE id = ?',
    ).run(JSON.stringify(settings), versionId);
    const row = this.database.prepare('SELECT generation FROM app WHERE id = ?').get(versionId);
    return Number(row?.['generation']);
  }

  remove(): void {
    this.database.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export interface TestPool {
  readonly pool: Pool;
  readonly logs: GuestLogLine[];
  readonly lost: { readonly reason: string; readonly requests: number }[];
  readonly internalErrors: string[];
  readonly storePorts: MessagePort[];
  ask(
    deployed: Deployed, request?: Partial<RequestMessage>, returned?: () => void,
  ): Promise<ReplyMessage>;
  /** The sequence of the request asked last. */
  readonly lastSequence: () => number;
}

export interface TestPoolOptions {
  readonly threads?: number;
  readonly start?: PoolOptions['threads'];
  readonly limits?: Partial<RequestLimits>;
  readonly moduleCacheBytesMax?: number;
  readonly memoryPoolBytesMax?: number;
  readonly guestsPerWorkerMax?: number;
  readonly niceness?: number;
  readonly egressAllow?: readonly string[];
  readonly secretKeys?: readonly Uint8Array[];
  /** The memory of a `StoreEpoch`. */
  readonly storeEpoch?: SharedArrayBuffer;
}

interface Teardown { teardown(handler: () => unknown): void }

export async function startPool(
  t: Teardown, world: World, given: TestPoolOptions = {},
): Promise<TestPool> {
  const logs: GuestLogLine[] = [];
  const lost: { reason: string; requests: number }[] = [];
  const internalErrors: string[] = [];
  const storePorts: MessagePort[] = [];
  const options: PoolOptions = {
    settings: {
      databasePath: world.databasePath,
      limits: { ...REQUEST_LIMITS_DEFAULT, ...given.limits },
      moduleCacheBytesMax: given.moduleCacheBytesMax ?? 64 * MIB,
      memoryPoolBytesMax: given.memoryPoolBytesMax ?? 64 * MIB,
      guestsPerWorkerMax: given.guestsPerWorkerMax ?? 1_000,
      niceness: given.niceness ?? WORKER_NICENESS,
      threads: given.threads ?? 1,
      egressAllow: given.egressAllow ?? [],
      dnsServers: [],
      secretKeys: KeyRing.of(given.secretKeys ?? []).memory,
      ...(given.storeEpoch === undefined ? {} : { storeEpoch: given.storeEpoch }),
    },
    onStorePort: (port) => {
      port.unref();
      storePorts.push(port);
    },
    onLogs: (lines) => logs.push(...lines),
    onWorkerLost: (reason, requests) => lost.push({ reason, requests }),
    onInternalError: (text) => internalErrors.push(text),
    ...(given.start === undefined ? {} : { threads: given.start }),
  };
  const pool = await createPool(options);
  t.teardown(() => pool.close());
  let sequence = 0;
  const ask: TestPool['ask'] = (deployed, request = {}, returned) =>
    pool.run({
      sequence: ++sequence, requestId: `request-${sequence}`, versionId: deployed.versionId,
      generation: 1, method: 'GET', target: '/', host: 'app.localhost', headers: [], body: null,
      clientAddress: '127.0.0.1', secure: false, deadlineAt: dueIn(DEADLINE_MS),
      streamed: false, ...request,
    }, returned);
  return { pool, logs, lost, internalErrors, storePorts, ask, lastSequence: () => sequence };
}

/** A deadline so many milliseconds from now. */
export function dueIn(milliseconds: number): number {
  return performance.timeOrigin + performance.now() + milliseconds;
}

export async function until(
  holds: () => boolean, what: string, patienceMs = 10_000,
): Promise<void> {
  const giveUpAt = performance.now() + patienceMs;
  while (!holds()) {
    if (performance.now() > giveUpAt) throw new Error(`not within ${patienceMs} ms: ${what}`);
    await new Promise((done) => { setTimeout(done, 5); });
  }
}
