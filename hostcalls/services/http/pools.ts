/**
 * Connection pools to upstreams, one per tenant and origin: connections are reused, but never
 * between tenants. Kept in the order of use and closed when idle, when a tenant has too many, or
 * when there are too many in all.
 */

import { Pool } from 'undici';
import type { Dispatcher } from 'undici';
import { LRUCache } from 'lru-cache';
import {
  UPSTREAM_CONNECTIONS_MAX,
  UPSTREAM_HEADER_BYTES_MAX,
  UPSTREAM_KEEP_ALIVE_MAX_MS,
  UPSTREAM_KEEP_ALIVE_MS,
  UPSTREAM_ORIGINS_MAX,
  UPSTREAM_ORIGINS_PER_TENANT_MAX,
  UPSTREAM_POOL_IDLE_MS,
} from '../../../contract/limits.ts';
import { createConnector } from '../egress/connector.ts';
import type { LookupAll, SocketCount } from '../egress/connector.ts';
import { UpstreamError } from '../errors.ts';
import type { EgressPolicy } from '../egress/policy.ts';

export interface PoolsOptions {
  readonly policy: EgressPolicy;
  readonly lookup: LookupAll;
  readonly ca?: string | undefined;
  readonly idleMs?: number;
}

interface TenantPools {
  readonly sockets: SocketCount;
  readonly origins: Set<string>;
}

function portOf(url: URL): number {
  if (url.port !== '') return Number(url.port);
  return url.protocol === 'https:' ? 443 : 80;
}

export class UpstreamPool {
  readonly key: string;
  readonly tenantId: number;
  readonly #pool: Pool;
  /** Exchanges that ended well: above none, a connection may be an old one. */
  completed = 0;
  active = 0;
  usedAt = performance.now();

  constructor(key: string, tenantId: number, pool: Pool) {
    this.key = key;
    this.tenantId = tenantId;
    this.#pool = pool;
  }

  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    this.#pool.dispatch(options, handler);
  }

  /** Lets what is under way finish. */
  async close(): Promise<void> {
    await this.#pool.close();
  }

  async destroy(): Promise<void> {
    await this.#pool.destroy();
  }
}

export class UpstreamPools {
  readonly #options: PoolsOptions;
  readonly #idleMs: number;
  readonly #tenants = new Map<number, TenantPools>();
  /** Out of use but not yet closed: their last exchanges are under way. */
  readonly #closing = new Set<UpstreamPool>();
  readonly #pools = new LRUCache<string, UpstreamPool>({
    max: UPSTREAM_ORIGINS_MAX,
    dispose: (pool) => this.#retire(pool),
  });
  #sweeper: NodeJS.Timeout | null = null;
  #destroyed = false;

  constructor(options: PoolsOptions) {
    this.#options = options;
    this.#idleMs = options.idleMs ?? UPSTREAM_POOL_IDLE_MS;
  }

  get size(): number {
    return this.#pools.size;
  }

  /** Connections of a tenant that are open or being opened. */
  socketsOf(tenantId: number): number {
    return this.#tenants.get(tenantId)?.sockets.open ?? 0;
  }

  get(tenantId: number, url: URL): UpstreamPool {
    const key = `${tenantId} ${url.origin}`;
    const pool = this.#pools.get(key) ?? this.#create(key, tenantId, url);
    pool.usedAt = performance.now();
    return pool;
  }

  async destroy(): Promise<void> {
    this.#destroyed = true;
    if (this.#sweeper !== null) clearInterval(this.#sweeper);
    this.#pools.clear();
    await Promise.all([...this.#closing].map((pool) => pool.destroy()));
  }

  #create(key: string, tenantId: number, url: URL): UpstreamPool {
    if (this.#destroyed) throw new UpstreamError('aborted', 'this worker is closing');
    let tenant = this.#tenants.get(tenantId);
    if (tenant === undefined) {
      tenant = { sockets: { open: 0 }, origins: new Set() };
      this.#tenants.set(tenantId, tenant);
    }
    if (tenant.origins.size >= UPSTREAM_ORIGINS_PER_TENANT_MAX) this.#evictOf(tenant);
    const connect = createConnector({
      ...this.#options,
      tenantId,
      sockets: tenant.sockets,
      port: portOf(url),
    });
    const pool = new UpstreamPool(
      key,
      tenantId,
      new Pool(url.origin, {
        connect,
        connections: UPSTREAM_CONNECTIONS_MAX,
        allowH2: false,
        pipelining: 1,
        maxHeaderSize: UPSTREAM_HEADER_BYTES_MAX,
        keepAliveTimeout: UPSTREAM_KEEP_ALIVE_MS,
        keepAliveMaxTimeout: UPSTREAM_KEEP_ALIVE_MAX_MS,
        // One limit over head and body together is kept by the subrequest itself.
        headersTimeout: 0,
        bodyTimeout: 0,
      }),
    );
    tenant.origins.add(key);
    this.#pools.set(key, pool);
    this.#sweeper ??= setInterval(() => this.#sweep(), this.#idleMs / 2).unref();
    return pool;
  }

  /** Drops the tenant's least recently used pool. */
  #evictOf(tenant: TenantPools): void {
    for (const key of this.#pools.rkeys()) {
      if (!tenant.origins.has(key)) continue;
      this.#pools.delete(key);
      return;
    }
  }

  #sweep(): void {
    const before = performance.now() - this.#idleMs;
    for (const key of Array.from(this.#pools.rkeys())) {
      const pool = this.#pools.peek(key);
      if (pool?.active === 0 && pool.usedAt < before) this.#pools.delete(key);
    }
    for (const [tenantId, tenant] of this.#tenants) {
      const unused = tenant.origins.size === 0 && tenant.sockets.open === 0;
      if (unused) this.#tenants.delete(tenantId);
    }
    if (this.#pools.size > 0 || this.#tenants.size > 0 || this.#sweeper === null) return;
    clearInterval(this.#sweeper);
    this.#sweeper = null;
  }

  #retire(pool: UpstreamPool): void {
    this.#tenants.get(pool.tenantId)?.origins.delete(pool.key);
    this.#closing.add(pool);
    const closed = (): void => {
      this.#closing.delete(pool);
    };
    pool.close().then(closed, closed);
  }
}
