/**
 * Puts the daemon together: store, pool, router, deploys, listeners; and takes it apart again, in
 * the order that loses nothing.
 *
 *   starting ──▶ serving ──stop──▶ draining ──▶ stopped
 */

import { readFileSync, statSync } from 'node:fs';

import { PACKAGE_ROOT } from '../contract/entry.ts';
import type { Route, Tenant } from '../contract/deployment.ts';
import { WardianError } from '../contract/errors.ts';
import {
  RUNNABLE_PER_THREAD, STORE_FULL_CHECK_BYTES_MAX, placesMax,
} from '../contract/limits.ts';
import type { GuestLogLine, WorkerSettings } from '../contract/messages.ts';
import { createPool } from '../pool/pool.ts';
import type { Pool } from '../pool/pool.ts';
import { createAdmin } from './admin/admin.ts';
import type { Restore } from './admin/restore.ts';
import type { AdminRoute } from './admin/route.ts';
import { closeAdmin, listenAdmin } from './admin/server.ts';
import { loadAdminToken } from './admin/token.ts';
import { createAdmission } from './admission.ts';
import type { Admission } from './admission.ts';
import type { Changeover } from './changeover.ts';
import { ConfigError } from './config.ts';
import type { Config } from './config.ts';
import { openDataFolder } from './data-folder.ts';
import type { DeployPipeline, DeployWatch } from './deploy/pipeline.ts';
import { SourceLines } from './deploy/source-lines.ts';
import { Terrctl } from './deploy/terrctl.ts';
import { createDispatcher, createPlanner } from './dispatch.ts';
import type { DispatchParts } from './dispatch.ts';
import type { RequestRecord } from './request-record.ts';
import { Integrity } from './integrity.ts';
import { listen } from './listen/listener.ts';
import type { DrainResult, Listener, Refusal } from './listen/listener.ts';
import { openPipeline } from './open-pipeline.ts';
import type { Building } from './open-pipeline.ts';
import { Readiness } from './readiness.ts';
import { createChangeover, createRestorer } from './restored.ts';
import type { RestoreRecord } from './restored.ts';
import { createRouter } from './router.ts';
import type { Router } from './router.ts';
import { loadSecretKeys } from './secrets-key.ts';
import type { SecretKeys } from './secrets-key.ts';
import { openStore } from './store/store.ts';
import type { RouteChange, Store } from './store/store.ts';
import { tracingOf } from './tracing.ts';
import { startUpkeep } from './upkeep.ts';
import type { Upkeep } from './upkeep.ts';

/** What the daemon tells whoever watches it. */
export interface Observer {
  request(record: RequestRecord): void;
  refusal(refusal: Refusal): void;
  guestLines(lines: readonly GuestLogLine[]): void;
  workerLost(reason: string, requests: number): void;
  /** An error of ours. */
  fault(error: unknown): void;
  /** A deploy begins. */
  deploy(): DeployWatch;
  /** An app serves from now on, or serves otherwise. */
  route(route: Route): void;
  /** It serves no more, until there is a route again. */
  appRemoved(appId: number): void;
  /** It is gone for good. */
  appDeleted(appId: number): void;
  /** A backup has taken the place of everything that was stored. */
  restored(record: RestoreRecord): void;
}

export interface ServeOptions {
  readonly config: Config;
  readonly observer: Observer;
  /** Further routes of the admin API, made once the parts are there. */
  readonly routes?: (parts: DaemonParts) => readonly AdminRoute[];
}

export interface DaemonParts {
  readonly store: Store;
  readonly pool: Pool;
  readonly router: Router;
  readonly admission: Admission;
  readonly pipeline: DeployPipeline;
  readonly sourceLines: SourceLines;
  /** Who owns what is deployed with the local admin token. */
  readonly tenant: Tenant;
  /** Who owns sandboxes. */
  readonly sandboxTenant: Tenant;
  readonly urlOf: (label: string) => string;
}

export interface Daemon extends DaemonParts {
  readonly listener: Listener;
  readonly adminPort: number;
  /** What the operator should do before the next start; '' for nothing. */
  readonly note: string;
  /** Null when requests can be served; otherwise why not. */
  notReady(): string | null;
  /** Stops accepting, answers what is in flight within `drain_ms`, closes everything. */
  stop(): Promise<DrainResult>;
}

/** An address that cannot be had. The message is one line for the operator. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
}

/** Engines by the names that the setting has for them. */
const ENGINES = {
  auto: 'auto',
  net: 'node:net',
  uwebsockets: 'uwebsockets',
  node: 'node:http',
} as const;

const LOCAL_TENANT = 'local';
const SANDBOX_TENANT = 'sandbox';
const OWN_TENANTS = [LOCAL_TENANT, SANDBOX_TENANT];
const ADMIN_GRACE_MS = 2_000;

/** What to do on the way down, in the order of the way up. */
type Stops = (() => unknown)[];

async function unwind(stops: Stops): Promise<void> {
  for (const stop of stops.splice(0).toReversed()) await stop();
}

function workerSettings(
  config: Config, { databasePath, epoch }: Store, secretKeys: SharedArrayBuffer,
): WorkerSettings {
  return {
    databasePath,
    storeEpoch: epoch.memory,
    secretKeys,
    limits: config.limits,
    moduleCacheBytesMax: config.module_cache_bytes,
    memoryPoolBytesMax: Math.floor(config.memory_pool_bytes / config.threads),
    guestsPerWorkerMax: placesMax(config.guests_in_flight),
    threads: config.threads,
    niceness: config.niceness,
    egressAllow: config.egress_allow,
    dnsServers: config.dns_servers,
  };
}

/** Where apps answer, for people: scheme and port of the public URL, or of the listener. */
function urlMaker(config: Config, port: () => number): (label: string) => string {
  const base = config.public_url === '' ? null : new URL(config.public_url);
  return (label) => {
    const given = base === null ? String(port()) : base.port;
    const shown = given === '' || (base === null && given === '80') ? '' : `:${given}`;
    return `${base?.protocol ?? 'http:'}//${label}.${config.base_domain}${shown}/`;
  };
}

/** What the listeners and the admin API need beside the parts that others see. */
interface OpenParts extends DaemonParts {
  readonly building: Building;
  readonly integrity: Integrity;
  readonly secretKeys: SecretKeys;
  readonly changeover: Changeover;
  readonly onRoute: (change: RouteChange) => void;
}

function openRouter(
  { config, observer }: ServeOptions, store: Store,
): Pick<OpenParts, 'router' | 'integrity' | 'onRoute'> {
  const router = createRouter(
    config.base_domain, (label, number) => store.routeOfVersion(label, number),
    (appId) => store.lastNumberOf(appId));
  const onRoute = (change: RouteChange): void => {
    const { appId, route, customHosts } = integrity.apply(change);
    if (route === null) {
      router.remove(appId);
      observer.appRemoved(appId);
    } else {
      router.set(route, customHosts);
      observer.route(route);
    }
  };
  const integrity = new Integrity({ store, onRoute, onDamage: (error) => observer.fault(error) });
  for (const change of store.loadRoutes()) onRoute(change);
  return { router, integrity, onRoute };
}

/** Store, pool, router and deploys: everything but the listeners. */
async function openParts(
  options: ServeOptions,
  stops: Stops,
  { port, readiness }: { readonly port: () => number; readonly readiness: Readiness },
): Promise<OpenParts> {
  const { config, observer } = options;
  openDataFolder(config.data);
  const secretKeys = loadSecretKeys(config.data, process.env);
  const store = await openStore({
    dataFolder: config.data,
    durability: config.durability,
    limits: config.limits,
    freeBytesMin: config.disk_free_bytes,
    onFailure(error) {
      readiness.failed('the store cannot be written: restart the daemon');
      observer.fault(error);
    },
    secretKeys: secretKeys.keys,
  });
  stops.push(() => store.close());
  const tenant = await store.ensureTenant(LOCAL_TENANT);
  const sandboxTenant = await store.ensureTenant(SANDBOX_TENANT);
  const pool = await createPool({
    settings: workerSettings(config, store, secretKeys.ring.memory),
    onStorePort: (channel) => store.attachWorker(channel),
    onLogs: (lines) => observer.guestLines(lines),
    onWorkerLost: (reason, requests) => observer.workerLost(reason, requests),
    onInternalError: (text) => observer.fault(text),
    shared: () => admission.isShared(performance.now()),
  });
  stops.push(() => pool.close());
  const routing = openRouter(options, store);
  const admission: Admission = createAdmission(
    {
      tenantInFlightMax: config.guests_in_flight,
      inFlightMax: placesMax(config.guests_in_flight),
      threads: config.threads,
      window: config.threads * RUNNABLE_PER_THREAD,
      tenantQueueMax: config.queue_length,
      queueMax: placesMax(config.queue_length),
      queueMs: config.queue_ms,
      tenantMax: config.tenant_requests,
    },
    pool,
  );
  const urlOf = urlMaker(config, port);
  const { pipeline, building } = openPipeline(
    { config, store, urlOf, ...routing, watch: () => observer.deploy() }, stops);
  const sourceLines = new SourceLines({
    store, builders: building.builders, onFault: (error) => observer.fault(error),
  });
  return {
    store, pool, admission, pipeline, sourceLines, building, tenant, sandboxTenant, urlOf,
    secretKeys,
    changeover: createChangeover(store, pool, admission, (error) => observer.fault(error)),
    ...routing,
  };
}

function forgetVersions({ router, pool }: DaemonParts, versionIds: readonly number[]): void {
  router.forgetPreviews();
  for (const versionId of versionIds) pool.forget(versionId);
}

function forget(
  parts: DaemonParts,
  { observer }: ServeOptions,
  removed: { readonly appId: number; readonly versionIds: readonly number[] },
): void {
  parts.router.remove(removed.appId);
  observer.appDeleted(removed.appId);
  forgetVersions(parts, removed.versionIds);
}

/** Ids of before a restore may be another tenant's. Throws WardianError `store_failed`. */
function ownTenant({ store }: DaemonParts, name: string): Tenant {
  const tenant = store.getTenant(name);
  if (tenant !== null) return tenant;
  throw new WardianError('store_failed', `the tenant ${name} is missing: restart the daemon`);
}

function packageVersion(): string {
  const text = readFileSync(new URL('package.json', PACKAGE_ROOT), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

function restorer(options: ServeOptions, parts: OpenParts, upkeep: Upkeep): Restore {
  return createRestorer({
    ...parts,
    ownTenants: OWN_TENANTS,
    onAppDeleted: (appId) => options.observer.appDeleted(appId),
    onRestored: (record) => options.observer.restored(record),
    afterwards: () => upkeep.catchUp(),
  });
}

async function openAdmin(
  options: ServeOptions,
  parts: OpenParts,
  restore: Restore,
  notReady: () => string | null,
  stops: Stops,
): Promise<number> {
  const { config, observer } = options;
  const ownHosts = new Set([config.base_domain, ...config.sandbox_hosts]);
  const server = createAdmin({
    ...parts,
    limits: config.limits,
    dataFolder: config.data,
    protectedTenants: new Set(OWN_TENANTS),
    restore,
    durableKeys: () => parts.secretKeys.durable(),
    addSecretsKey: () => parts.secretKeys.addNext(),
    giveSecretsKey: (text) => parts.secretKeys.addGiven(text),
    tenant: () => ownTenant(parts, LOCAL_TENANT),
    token: loadAdminToken(config.data),
    version: packageVersion(),
    notReady,
    onFault: (error) => observer.fault(error),
    onRemove: (removed) => forget(parts, options, removed),
    isOwnHost: (host) => ownHosts.has(host) || host.endsWith(`.${config.base_domain}`),
    hosts: config.admin_hosts,
    routes: options.routes?.(parts) ?? [],
  });
  const port = await listenAdmin(server, config.admin.host, config.admin.port);
  stops.push(() => closeAdmin(server, ADMIN_GRACE_MS));
  return port;
}

/**
 * The Terrarium deploy protocol on the base domain and its own hosts, where the operator allows it.
 */
function sandbox(
  { config, observer }: ServeOptions, parts: OpenParts,
): Pick<DispatchParts, 'platform' | 'isPlatformHost'> {
  if (!config.sandbox) return { platform: () => null, isPlatformHost: () => false };
  const hosts = new Set([config.base_domain, ...config.sandbox_hosts]);
  const terrctl = new Terrctl({
    ...parts,
    tenant: () => ownTenant(parts, SANDBOX_TENANT),
    onFault: (error) => observer.fault(error),
  });
  return {
    platform: (request, host) => (hosts.has(host) ? terrctl.handle(request) : null),
    isPlatformHost: (host) => hosts.has(host),
  };
}

function openListener(options: ServeOptions, parts: OpenParts): Promise<Listener> {
  const { config, observer } = options;
  const dispatchParts: DispatchParts = {
    ...parts,
    ...sandbox(options, parts),
    observe: (record) => observer.request(record),
    onFault: (error) => observer.fault(error),
    tracing: tracingOf(config),
    onUnavailable(route) {
      parts.integrity.suspect(route).catch((error: unknown) => observer.fault(error));
    },
  };
  return listen(
    {
      ...config.listen,
      limits: {
        headerBytes: config.header_bytes,
        bodyBytes: config.body_bytes,
        halfClosedMs: config.half_closed_ms,
      },
      engine: ENGINES[config.engine],
      onRefusal: (refusal) => observer.refusal(refusal),
      onHead: createPlanner(dispatchParts),
      gatheredBytes: config.gathered_bytes,
    },
    createDispatcher(dispatchParts),
  );
}

function openUpkeep(options: ServeOptions, parts: OpenParts): Upkeep {
  const { config, observer } = options;
  return startUpkeep({
    store: parts.store,
    changeover: parts.changeover,
    onResealed: (used) => parts.secretKeys.settle(used),
    keepVersions: config.keep_versions,
    outdated: {
      ...parts.building,
      limits: config.limits,
      onRoute: parts.onRoute,
      onRefused: (hash, error) => observer.fault(
        new WardianError(error.code, `module ${hash} is not rewritten anew: ${error.message}`)),
    },
    onRemove: (removed) => forget(parts, options, removed),
    onCollect: (versionIds) => forgetVersions(parts, versionIds),
    onFault: (error) => observer.fault(error),
  });
}

/** Looks at all modules that serve; of a large database in the background. */
async function checkModules({ observer }: ServeOptions, parts: OpenParts): Promise<void> {
  const checked = parts.integrity.checkAll(() => parts.router.routes())
    .catch((error: unknown) => observer.fault(error));
  if (statSync(parts.store.databasePath).size <= STORE_FULL_CHECK_BYTES_MAX) await checked;
}

function listenError(error: unknown, config: Config): unknown {
  const { code, message, syscall, hostname } = error as NodeJS.ErrnoException & {
    readonly hostname?: string;
  };
  if (syscall === 'getaddrinfo') {
    const name = hostname === config.listen.host ? 'listen' : 'admin';
    return new ConfigError(
      `setting ${name}: ${JSON.stringify(hostname)}: no such host (${code})`, { cause: error });
  }
  return syscall === 'listen' || code === 'EADDRINUSE' || code === 'EACCES'
    ? new ListenError(message.replace(/^listen /, ''), { cause: error })
    : error;
}

/**
 * Starts everything. Throws WardianError, ListenError or ConfigError, one line each, and leaves
 * nothing behind.
 */
export async function serve(options: ServeOptions): Promise<Daemon> {
  const stops: Stops = [];
  let listener: Listener | null = null;
  let stopping = false;
  const readiness = new Readiness();
  const notReady = (): string | null => readiness.notReady();
  try {
    const parts = await openParts(options, stops, {
      port: () => listener?.address.port ?? 0, readiness,
    });
    const upkeep = openUpkeep(options, parts);
    stops.push(() => upkeep.stop());
    await checkModules(options, parts);
    const restore = restorer(options, parts, upkeep);
    const adminPort = await openAdmin(options, parts, restore, notReady, stops);
    const opened = await openListener(options, parts);
    listener = opened;
    readiness.serving();
    return {
      ...parts,
      listener: opened,
      adminPort,
      note: parts.secretKeys.note,
      notReady,
      async stop() {
        if (stopping) return { finished: 0, cut: 0 };
        stopping = true;
        readiness.draining();
        const drained = await opened.drain(options.config.drain_ms);
        await unwind(stops);
        return drained;
      },
    };
  } catch (error) {
    await unwind(stops);
    throw listenError(error, options.config);
  }
}
