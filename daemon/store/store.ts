/**
 * The main thread's handle on the store: changes go to the writer thread and resolve once they are
 * committed; reads use a read-only connection of their own and see every change that has resolved.
 *
 *   opening ──ready──▶ open ──close──▶ closed
 *      └── unfit ──▶ rejected    └── the writer dies ──▶ failed: calls reject, `onFailure` is told
 */

import { mkdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';

import type { SettingsChange, Tenant } from '../../contract/deployment.ts';
import { entryUrl } from '../../contract/entry.ts';
import { WardianError } from '../../contract/errors.ts';
import { REQUEST_LIMITS_DEFAULT, STORE_FREE_BYTES_MIN } from '../../contract/limits.ts';
import type { RequestLimits } from '../../contract/limits.ts';
import { DATABASE_FILE } from '../../contract/schema.ts';
import { StoreEpoch } from '../../contract/store-epoch.ts';
import { answerOf } from '../thread-answer.ts';
import type {
  Changed, Collected, CommandOf, Deploy, Deployed, Expired, Removed, Replaced,
  RouteChange, WriterStats,
} from './commands.ts';
import type { BackupReply, BackupSettings } from './backup.ts';
import { openForReading } from './database.ts';
import type { Durability } from './database.ts';
import { EnvironmentStore } from './environment-store.ts';
import { takeBackKept } from './exchange.ts';
import { storeFailure } from './failure.ts';
import { lockFolder } from './lock.ts';
import type { FolderLock } from './lock.ts';
import { NamespaceStore } from './namespace-store.ts';
import { Query } from './query.ts';
import { StoreReader } from './reader.ts';
import type { Staged, StagedReply, StagedSettings } from './staged.ts';
import { TenantStore } from './tenant-store.ts';
import { startWriter } from './writer-thread.ts';
import type { WriterThread } from './writer-thread.ts';

export type { Deploy, Deployed, RouteChange } from './commands.ts';
export type { Durability } from './database.ts';
export type { KvEntry, KvKey, KvPage } from './namespace-store.ts';

export interface StoreOptions {
  readonly dataFolder: string;
  /** Default `full`. */
  readonly durability?: Durability;
  /** The operator's limits, from which those of routes are resolved. */
  readonly limits?: RequestLimits;
  /** Free bytes below which writes are refused; default STORE_FREE_BYTES_MIN, 0 for none. */
  readonly freeBytesMin?: number;
  /** 32 bytes each: the first one seals secrets, all of them open. Default: no secrets. */
  readonly secretKeys?: readonly Uint8Array[];
  /** The writer thread has died: nothing can be written any more until the process restarts. */
  readonly onFailure?: (error: WardianError) => void;
}

function prepareFolder(dataFolder: string): string {
  try {
    mkdirSync(dataFolder, { recursive: true, mode: 0o700 });
    return realpathSync(dataFolder);
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown';
    throw new WardianError(
      'store_failed', `the data folder ${dataFolder} cannot be made: ${code}`, { cause });
  }
}

/**
 * Throws WardianError `store_failed`, `store_unusable` or `disk_full`, with one line that names the
 * file.
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const folder = prepareFolder(options.dataFolder);
  const databasePath = join(folder, DATABASE_FILE);
  const limits = options.limits ?? REQUEST_LIMITS_DEFAULT;
  const durability = options.durability ?? 'full';
  const freeBytesMin = options.freeBytesMin ?? STORE_FREE_BYTES_MIN;
  const lock = lockFolder(folder);
  let writer: WriterThread | null = null;
  let query: Query | null = null;
  try {
    const settings = { databasePath, durability, limits, freeBytesMin };
    takeBackKept(databasePath);
    writer = await startWriter(settings, options.onFailure);
    query = new Query(openForReading(databasePath), databasePath);
    return new Store({
      databasePath, lock, writer, query, limits, freeBytesMin, keys: options.secretKeys ?? [],
    });
  } catch (error) {
    query?.close();
    await writer?.close();
    lock.release();
    throw storeFailure(error, databasePath);
  }
}

interface StoreParts {
  readonly databasePath: string;
  readonly lock: FolderLock;
  readonly writer: WriterThread;
  readonly query: Query;
  readonly limits: RequestLimits;
  readonly freeBytesMin: number;
  readonly keys: readonly Uint8Array[];
}

/** Reads are those of `StoreReader`, synchronous and short; changes are promises. */
export class Store extends StoreReader {
  readonly databasePath: string;
  /** The watermark of free space; 0 for none. */
  readonly freeBytesMin: number;
  /** Of the database that is in use, for everybody who opens it. */
  readonly epoch = new StoreEpoch();
  readonly tenants: TenantStore;
  readonly namespaces: NamespaceStore;
  readonly environment: EnvironmentStore;
  readonly #lock: FolderLock;
  readonly #writer: WriterThread;
  readonly #query: Query;

  constructor(parts: StoreParts) {
    const { databasePath, lock, writer, query, limits, keys } = parts;
    super(query, limits);
    this.databasePath = databasePath;
    this.freeBytesMin = parts.freeBytesMin;
    this.tenants = new TenantStore(query, writer);
    this.namespaces = new NamespaceStore(query, writer);
    this.environment = new EnvironmentStore(query, writer, keys);
    this.#lock = lock;
    this.#writer = writer;
    this.#query = query;
  }

  /** The tenant of that name, made if need be. */
  ensureTenant(name: string): Promise<Tenant> {
    return this.#writer.control({ op: 'ensure_tenant', name });
  }

  /**
   * Stores module, artifact and a new version of the app, and makes it serve, in one transaction.
   * Throws WardianError `conflict` when the label is another tenant's or the build is gone.
   */
  saveDeploy(deploy: Deploy): Promise<Deployed> {
    // Copied and moved: a view would take the whole buffer behind it along, an upload's for one.
    const module = new Uint8Array(deploy.module);
    const bytes = new Uint8Array(deploy.artifact?.bytes ?? []);
    const artifact = deploy.artifact === null ? null : { ...deploy.artifact, bytes };
    return this.#writer.control(
      { op: 'save_deploy', deploy: { ...deploy, module, artifact } },
      [module.buffer, bytes.buffer]);
  }

  /** Gives every version of an artifact what a newer rewriter made of the same module. */
  replaceArtifact(
    replacement: Omit<CommandOf<'replace_artifact'>, 'op'>,
  ): Promise<{ readonly changes: readonly RouteChange[] }> {
    return this.#writer.control({ op: 'replace_artifact', ...replacement });
  }

  changeApp(
    appId: number, change: { settings?: SettingsChange; expiresAtMs?: number | null },
  ): Promise<Changed> {
    return this.#writer.control({ op: 'change_app', appId, ...change });
  }

  /** Promotes or rolls back. Throws WardianError `not_found` for a version of another app. */
  setActiveVersion(appId: number, versionId: number): Promise<Changed> {
    return this.#writer.control({ op: 'set_active_version', appId, versionId });
  }

  /**
   * Several versions at once: 1 to 10 shares in per cent, 100 in all. It ends with the next deploy
   * or `setActiveVersion`. Settings change with it or not at all. Throws WardianError
   * `bad_argument`, `not_found`.
   */
  setSplit(
    appId: number, shares: readonly { readonly versionId: number; readonly weight: number }[],
    settings: SettingsChange = {},
  ): Promise<Changed> {
    return this.#writer.control({ op: 'set_split', appId, shares, settings });
  }

  /** Removes the app, its versions, hosts and store, and what only they used. */
  deleteApp(appId: number): Promise<Removed> {
    return this.#writer.control({ op: 'delete_app', appId });
  }

  addHost(appId: number, host: string): Promise<Changed> {
    return this.#writer.control({ op: 'add_host', appId, host });
  }

  removeHost(appId: number, host: string): Promise<Changed> {
    return this.#writer.control({ op: 'remove_host', appId, host });
  }

  /** Removes every app whose time has come, a hundred in each transaction. */
  async expireApps(nowMs: number): Promise<readonly Removed[]> {
    const removed: Removed[] = [];
    for (let more = true; more;) {
      const expired: Expired = await this.#writer.control({ op: 'expire_apps', nowMs });
      removed.push(...expired.removed);
      more = expired.more;
    }
    return removed;
  }

  /** Keeps the newest `keepVersions` of each app and the active one; answers what went. */
  async garbageCollect(keepVersions: number): Promise<Omit<Collected, 'more'>> {
    const versionIds: number[] = [];
    let artifacts = 0;
    let modules = 0;
    for (let more = true; more;) {
      const collected: Collected =
        await this.#writer.control({ op: 'collect_garbage', keepVersions });
      versionIds.push(...collected.versionIds);
      artifacts += collected.artifacts;
      modules += collected.modules;
      more = collected.more;
    }
    return { versionIds, artifacts, modules };
  }

  /** Hands a pool worker's end of its store channel to the writer. The port is transferred. */
  attachWorker(port: MessagePort): void {
    this.#writer.attach(port);
  }

  /**
   * Writes all of it as it is now to a new file, while everything goes on, and answers with the
   * file's size. Secrets stay sealed. Throws WardianError `store_failed`, `disk_full`; nothing is
   * left behind then.
   */
  async backup(target: string): Promise<number> {
    const workerData: BackupSettings = { databasePath: this.databasePath, target };
    const worker = new Worker(
      entryUrl('./backup', import.meta.url), { workerData, name: 'wardian-backup' });
    const reply = await answerOf<BackupReply>(worker, 'the backup');
    if ('byteLength' in reply) return reply.byteLength;
    throw new WardianError(reply.code, reply.message);
  }

  stats(): Promise<WriterStats> {
    return this.#writer.stats();
  }

  /**
   * Looks whether the file can take the database's place, and migrates it where it is older. Throws
   * WardianError `store_unusable` when it cannot.
   */
  async checkStaged(staged: string, keys: SharedArrayBuffer): Promise<Staged> {
    const workerData: StagedSettings = { staged, current: this.databasePath, keys };
    const worker = new Worker(
      entryUrl('./staged', import.meta.url), { workerData, name: 'wardian-restore' });
    const reply = await answerOf<StagedReply>(worker, 'the restore');
    if ('staged' in reply) return reply.staged;
    throw new WardianError(reply.code, reply.message);
  }

  /**
   * Puts a staged database in the place of this one, in a few milliseconds: nobody may be at work
   * with ids of it, or must look at the epoch first. The old one stays beside. Throws WardianError
   * `conflict`, `store_failed`, `disk_full`; this database is then in use as before, of the same
   * epoch. An epoch that has gone on all the same says to load anew what is known of it.
   */
  async replace(staged: string): Promise<Replaced> {
    const { epoch, databasePath } = this;
    let isUntouched = false;
    epoch.begin();
    try {
      const answer = await this.#writer.replace(staged, epoch.value + 1);
      if (!('code' in answer)) return answer;
      ({ isUntouched } = answer);
      throw new WardianError(answer.code, answer.message);
    } finally {
      if (isUntouched) {
        epoch.cancel();
      } else {
        this.#query.reopen(() => openForReading(databasePath));
        epoch.end();
      }
    }
  }

  /** Commits what has arrived, then lets go of the folder. Later calls reject. */
  async close(): Promise<void> {
    try {
      await this.#writer.close();
    } finally {
      this.#query.close();
      this.#lock.release();
    }
  }
}
