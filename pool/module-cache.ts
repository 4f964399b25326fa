/**
 * The versions that a worker can serve at once: compiled modules, and under each version's number
 * what a request of it needs. Versions are immutable, so nothing here is ever refreshed but limits,
 * settings, environment and bindings, which the generation tells.
 *
 *   version ──▶ Served ──▶ CompiledModule ◀── (apps that deploy the same bytes share it)
 */

import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { LRUCache } from 'lru-cache';
import {
  APP_SETTINGS_DEFAULT, resolveLimits, type AppSettings, type ModuleFacts,
} from '../contract/deployment.ts';
import { WardianError } from '../contract/errors.ts';
import {
  SERVED_ENVIRONMENT_BYTES_MAX, SERVED_VERSIONS_MAX, STORE_BUSY_TIMEOUT_MS,
  TABLE_ENTRY_BYTES, type RequestLimits,
} from '../contract/limits.ts';
import { StoreEpoch, openedOnce } from '../contract/store-epoch.ts';
import { SELECT_BINDINGS, SELECT_ENV, SELECT_SERVED_VERSION } from '../contract/schema.ts';
import type { GuestOwner } from '../hostcalls/index.ts';
import { CompiledModules, type CompiledModule } from './compiled-modules.ts';
import { pagesOf } from './memory-pool.ts';
import type { ModuleHolders } from './module-holders.ts';

/** All that a request needs of its version, looked up once. */
export interface Served {
  readonly compiled: CompiledModule;
  readonly facts: ModuleFacts;
  readonly owner: GuestOwner;
  readonly limits: RequestLimits;
  readonly recycleMemory: boolean;
  /** The fuel global's first value: the limit less what instantiation costs. */
  readonly fuelAtStart: bigint;
  /** The memory's maximum under the limits of now, in pages. */
  readonly maximumPages: number;
  /** What its tables take of `limits.memoryBytes`. */
  readonly tableBytes: number;
  /** No request with a generation up to this one asks the database again. */
  readonly generation: number;
  /** How long beginning one of its guests takes the thread, on average; NaN until one has begun. */
  turnMs: number;
}

export interface ModuleCacheOptions {
  readonly databasePath: string;
  readonly limits: RequestLimits;
  /** Of the compiled modules of all threads. */
  readonly bytesMax: number;
  readonly threads: number;
  readonly holders: ModuleHolders;
  /** Absent: the database is never replaced. */
  readonly epoch?: StoreEpoch;
}

/** Roughly what a version takes, and each entry of its environment and bindings, text aside. */
const BYTES_PER_VERSION = 1_024;
const BYTES_PER_ENTRY = 64;

interface Row {
  readonly app_id: number;
  readonly tenant_id: number;
  readonly label: string;
  readonly settings: string;
  readonly generation: number;
  readonly tenant_limits: string;
  readonly artifact_hash: string;
  readonly facts: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export class ModuleCache {
  readonly #options: ModuleCacheOptions;
  #database: DatabaseSync;
  #select: StatementSync;
  #selectEnv: StatementSync;
  #selectBindings: StatementSync;
  /** Ids of versions mean nothing in another epoch; hashes of modules do. */
  epoch: number;
  readonly modules: CompiledModules;
  readonly #served = new LRUCache<number, Served>({
    max: SERVED_VERSIONS_MAX,
    maxSize: SERVED_ENVIRONMENT_BYTES_MAX,
    sizeCalculation: ({ owner }) => ownerBytes(owner),
    dispose: (served, versionId) => served.compiled.versions.delete(versionId),
  });
  readonly #loading = new Map<string, Promise<Served>>();
  readonly #compiling = new Map<string, Promise<CompiledModule>>();
  hits = 0;
  misses = 0;

  /** Throws when the database cannot be opened. */
  constructor(options: ModuleCacheOptions) {
    this.#options = options;
    const { opened, at } = this.#open();
    this.epoch = at;
    this.#database = opened;
    this.#select = opened.prepare(SELECT_SERVED_VERSION);
    this.#selectEnv = opened.prepare(SELECT_ENV);
    this.#selectBindings = opened.prepare(SELECT_BINDINGS);
    this.modules = new CompiledModules(
      options.bytesMax, options.threads, options.holders, ({ versions }) => {
        for (const versionId of versions) this.#served.delete(versionId);
      });
  }

  #open(): { readonly opened: DatabaseSync; readonly at: number } {
    const { databasePath, epoch = new StoreEpoch() } = this.#options;
    return epoch.open(() => openedOnce(databasePath, STORE_BUSY_TIMEOUT_MS));
  }

  /** A backup has taken the database's place. Guests that have their version keep it. */
  renew(): void {
    const { opened, at } = this.#open();
    this.#database.close();
    this.#database = opened;
    this.#select = opened.prepare(SELECT_SERVED_VERSION);
    this.#selectEnv = opened.prepare(SELECT_ENV);
    this.#selectBindings = opened.prepare(SELECT_BINDINGS);
    this.#served.clear();
    this.#loading.clear();
    this.epoch = at;
  }

  /** The version if it is here; null if it must be loaded. */
  get(versionId: number, generation: number): Served | null {
    const served = this.#served.get(versionId);
    if (served === undefined || served.generation < generation) return null;
    // The lookup keeps the module young.
    this.modules.get(served.compiled.hash);
    this.hits += 1;
    return served;
  }

  /** Loads a version; callers that come meanwhile share the load. Rejects with WardianError. */
  load(versionId: number, generation: number): Promise<Served> {
    const key = `${this.epoch}:${versionId}:${generation}`;
    let loading = this.#loading.get(key);
    if (loading === undefined) {
      this.misses += 1;
      loading = this.#load(versionId, generation)
        .catch((error: unknown) => { throw unavailable(error); })
        .finally(() => this.#loading.delete(key));
      this.#loading.set(key, loading);
    }
    return loading;
  }

  forget(versionId: number): void {
    this.#served.delete(versionId);
  }

  close(): void {
    this.#served.clear();
    this.modules.clear();
    this.#database.close();
  }

  async #load(versionId: number, generation: number): Promise<Served> {
    const row = this.#select.get(versionId) as unknown as Row | undefined;
    if (row === undefined) {
      throw new WardianError('module_unavailable', `version ${versionId} is not stored`);
    }
    const owner = this.#owner(row, versionId);
    const { epoch } = this;
    const compiled = this.modules.get(row.artifact_hash) ?? await this.#compile(row);
    const served = servedVersion(row, compiled, owner, generation, this.#options.limits);
    // The number is another version's by now, or nobody's.
    if (this.epoch !== epoch) return served;
    this.#served.set(versionId, served);
    compiled.versions.add(versionId);
    return served;
  }

  /**
   * Environment and bindings are read after the row: what changed in between came with a generation
   * of its own, which brings the next request here again.
   */
  #owner(row: Row, versionId: number): GuestOwner {
    const environment = this.#selectEnv.all(row.app_id)
      .map((variable) => [String(variable['name']), String(variable['value'])] as const);
    const namespaces = this.#selectBindings.all(row.app_id)
      .map((binding) => [String(binding['name']), Number(binding['store_id'])] as const);
    return {
      tenantId: row.tenant_id, appId: row.app_id, versionId, label: row.label,
      environment: new Map(environment), namespaces: new Map(namespaces),
    };
  }

  #compile(row: Row): Promise<CompiledModule> {
    const hash = row.artifact_hash;
    let compiling = this.#compiling.get(hash);
    if (compiling === undefined) {
      compiling = this.modules.compile(hash, row.bytes)
        .finally(() => this.#compiling.delete(hash));
      this.#compiling.set(hash, compiling);
    }
    return compiling;
  }
}

/** What its app makes a version take. */
function ownerBytes({ environment, namespaces }: GuestOwner): number {
  let bytes = BYTES_PER_VERSION;
  // WASI's copy counted too.
  for (const [name, value] of environment) {
    bytes += BYTES_PER_ENTRY + 3 * (name.length + value.length);
  }
  for (const name of namespaces.keys()) bytes += BYTES_PER_ENTRY + name.length;
  return bytes;
}

function servedVersion(
  row: Row, compiled: CompiledModule, owner: GuestOwner, generation: number,
  operatorLimits: RequestLimits,
): Served {
  const settings = { ...APP_SETTINGS_DEFAULT, ...JSON.parse(row.settings) as Partial<AppSettings> };
  const tenantLimits = JSON.parse(row.tenant_limits) as Partial<RequestLimits>;
  const limits = resolveLimits(operatorLimits, tenantLimits, settings.limits);
  const facts = JSON.parse(row.facts) as ModuleFacts;
  const tableBytes = facts.tableEntries * TABLE_ENTRY_BYTES;
  return {
    compiled,
    facts,
    owner,
    limits,
    recycleMemory: settings.recycleMemory,
    fuelAtStart: BigInt(limits.fuel) - BigInt(facts.fuelAtInstantiation),
    maximumPages: Math.min(
      facts.memory?.maximumPages ?? 0, pagesOf(limits.memoryBytes - tableBytes)),
    tableBytes,
    // A reader may be behind the router for a moment; the higher number ends the asking.
    generation: Math.max(row.generation, generation),
    turnMs: Number.NaN,
  };
}

/** Every reason why a version cannot be served, in words for the client. */
function unavailable(error: unknown): WardianError {
  if (error instanceof WardianError) return error;
  const message = error instanceof WebAssembly.CompileError
    ? 'the stored module does not compile' : 'the stored module cannot be read';
  return new WardianError('module_unavailable', message, { cause: error });
}
