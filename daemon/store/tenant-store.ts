/**
 * Tenants and tokens as the admin API needs them. A token is shown once, when it is made; what is
 * kept is its hash. 256 random bits need no slow hash, and a look-up by hash tells nothing to who
 * measures its time: the hash of a guess cannot be steered towards the hash of a token.
 */

import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

import type { Tenant, TenantQuotas, Token } from '../../contract/deployment.ts';
import type { RequestLimits } from '../../contract/limits.ts';
import type { Expired, NewToken, Removed, RouteChange } from './commands.ts';
import { boundsOf } from './query.ts';
import type { Page, Query } from './query.ts';
import {
  TENANT_COLUMNS, TOKEN_COLUMNS, quotasFrom, tenantFrom, tokenFrom,
} from './records.ts';
import type { WriterThread } from './writer-thread.ts';

/** Tells a token from other secrets, for scanners of repositories. */
const TOKEN_PREFIX = 'wdn_';
const TOKEN_PATTERN = /^wdn_[A-Za-z0-9_-]{43}$/;
const USE_PRECISION_MS = 60_000;

function hashOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

export interface TenantChange {
  readonly suspended?: boolean;
  /** Replaces all of the tenant's own limits. */
  readonly limits?: Partial<RequestLimits>;
  /** Replaces all of the tenant's own quotas. */
  readonly quotas?: Partial<TenantQuotas>;
}

export class TenantStore {
  readonly #query: Query;
  readonly #writer: WriterThread;

  constructor(query: Query, writer: WriterThread) {
    this.#query = query;
    this.#writer = writer;
  }

  /** With limits and quotas of its own. Throws WardianError `conflict` for a name that is taken. */
  create(name: string, own: Pick<TenantChange, 'limits' | 'quotas'> = {}): Promise<Tenant> {
    return this.#writer.control({ op: 'create_tenant', name, ...own });
  }

  /** Answers with the routes of all its apps. */
  change(
    tenantId: number, change: TenantChange,
  ): Promise<{ readonly tenant: Tenant; readonly changes: readonly RouteChange[] }> {
    return this.#writer.control({ op: 'change_tenant', tenantId, ...change });
  }

  /** Removes the tenant with all it has. It is suspended meanwhile. */
  async delete(tenantId: number): Promise<readonly Removed[]> {
    const removed: Removed[] = [];
    for (let more = true; more;) {
      const step: Expired = await this.#writer.control({ op: 'delete_tenant', tenantId });
      removed.push(...step.removed);
      more = step.more;
    }
    return removed;
  }

  get(tenantId: number): Tenant | null {
    const row = this.#query.row(`SELECT ${TENANT_COLUMNS} FROM tenant WHERE id = ?`, tenantId);
    return row === null ? null : tenantFrom(row);
  }

  list(page: Page = {}): readonly Tenant[] {
    return this.#query.rows(
      `SELECT ${TENANT_COLUMNS} FROM tenant WHERE id > ? ORDER BY id LIMIT ?`, ...boundsOf(page),
    ).map(tenantFrom);
  }

  /** The operator's defaults, overridden by the tenant's own. */
  quotas(tenantId: number): TenantQuotas {
    return quotasFrom(this.#query.row('SELECT quotas FROM tenant WHERE id = ?', tenantId)?.quotas);
  }

  /** `secret` is the token itself; it is not kept and cannot be had again. */
  async createToken(
    token: Omit<NewToken, 'hash'>,
  ): Promise<{ readonly token: Token; readonly secret: string }> {
    const secret = TOKEN_PREFIX + randomBytes(32).toString('base64url');
    const kept = await this.#writer.control({
      op: 'create_token', token: { ...token, hash: hashOf(secret) },
    });
    return { token: kept, secret };
  }

  async revokeToken(tokenId: number): Promise<void> {
    await this.#writer.control({ op: 'revoke_token', tokenId });
  }

  /** Of one tenant, or the operator's own when `tenantId` is null. */
  listTokens(tenantId: number | null, page: Page = {}): readonly Token[] {
    return this.#query.rows(
      `SELECT ${TOKEN_COLUMNS} FROM token WHERE tenant_id IS ? AND id > ? ORDER BY id LIMIT ?`,
      tenantId, ...boundsOf(page),
    ).map(tokenFrom);
  }

  /** The token that `secret` is; null when there is none, or it has expired. */
  authenticate(secret: string, nowMs: number = Date.now()): Token | null {
    if (!TOKEN_PATTERN.test(secret)) return null;
    const hash = hashOf(secret);
    const row = this.#query.row(`SELECT ${TOKEN_COLUMNS}, hash FROM token WHERE hash = ?`, hash);
    if (row === null || !timingSafeEqual(Buffer.from(String(row.hash)), Buffer.from(hash))) {
      return null;
    }
    const token = tokenFrom(row);
    return token.expiresAtMs !== null && token.expiresAtMs <= nowMs ? null : token;
  }

  /** Notes that a token was used, once a minute at most. */
  async noteUse(token: Token, nowMs: number = Date.now()): Promise<void> {
    if (token.lastUsedAtMs !== null && nowMs - token.lastUsedAtMs < USE_PRECISION_MS) return;
    await this.#writer.control({ op: 'use_token', tokenId: token.id });
  }
}
