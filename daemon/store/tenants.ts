/**
 * Commands on tenants and tokens. A token is stored as the SHA-256 of its text; who holds the
 * database cannot use it.
 */

import type { Tenant, TenantQuotas, Token } from '../../contract/deployment.ts';
import { WardianError } from '../../contract/errors.ts';
import { TOKENS_PER_TENANT_MAX, TOKEN_NAME_LENGTH_MAX } from '../../contract/limits.ts';
import type { RequestLimits } from '../../contract/limits.ts';
import type { CommandOf, ControlResults, Expired } from './commands.ts';
import type { ControlContext } from './context.ts';
import { requireTenant } from './context.ts';
import { assertLimits, assertName, assertQuotas, assertTenantName, assertTime } from './names.ts';
import { TENANT_COLUMNS, TOKEN_COLUMNS, tenantFrom, tokenFrom } from './records.ts';
import { removeApps, removeStores } from './removal.ts';
import { routeOf } from './routes.ts';

const SCOPES: readonly string[] = ['read', 'deploy', 'admin'];
const HASH = /^[0-9a-f]{64}$/;
/** `last_used_at_ms` is to the minute: not every call of the admin API is to be a write. */
const USE_PRECISION_MS = 60_000;

/** Made with the limits and quotas, or there already and left as it is. */
function insertTenant(
  { database, nowMs }: ControlContext, name: string,
  limits: Partial<RequestLimits>, quotas: Partial<TenantQuotas>,
): { readonly tenant: Tenant; readonly isNew: boolean } {
  assertTenantName(name);
  assertLimits(limits);
  assertQuotas(quotas);
  const { changes } = database.prepare(`
    INSERT INTO tenant (name, limits, quotas, created_at_ms) VALUES (?, ?, ?, ?)
    ON CONFLICT DO NOTHING`,
  ).run(name, JSON.stringify(limits), JSON.stringify(quotas), nowMs);
  const row = database.prepare(`SELECT ${TENANT_COLUMNS} FROM tenant WHERE name = ?`).get(name);
  return { tenant: tenantFrom(row ?? {}), isNew: changes !== 0 };
}

export function ensureTenant(
  context: ControlContext, { name }: CommandOf<'ensure_tenant'>,
): Tenant {
  return insertTenant(context, name, {}, {}).tenant;
}

export function createTenant(
  context: ControlContext, { name, limits = {}, quotas = {} }: CommandOf<'create_tenant'>,
): Tenant {
  const { tenant, isNew } = insertTenant(context, name, limits, quotas);
  if (isNew) return tenant;
  throw new WardianError('conflict', `there is a tenant ${name} already`);
}

export function changeTenant(
  context: ControlContext, command: CommandOf<'change_tenant'>,
): ControlResults['change_tenant'] {
  const { database } = context;
  const { tenantId, suspended, limits, quotas } = command;
  requireTenant(database, tenantId);
  const set = (column: string, value: string | number): void => {
    database.prepare(`UPDATE tenant SET ${column} = ? WHERE id = ?`).run(value, tenantId);
  };
  if (suspended !== undefined) set('suspended', suspended ? 1 : 0);
  if (limits !== undefined) {
    assertLimits(limits);
    set('limits', JSON.stringify(limits));
  }
  if (quotas !== undefined) {
    assertQuotas(quotas);
    set('quotas', JSON.stringify(quotas));
  }
  const apps = database.prepare(
    'UPDATE app SET generation = generation + 1 WHERE tenant_id = ? RETURNING id').all(tenantId);
  const changes = apps.map((row) => routeOf(database, Number(row.id), context.limits));
  return { tenant: requireTenant(database, tenantId), changes };
}

/** Suspends it, then removes its apps, some in each command; at last its stores and itself. */
export function deleteTenant(
  context: ControlContext, { tenantId }: CommandOf<'delete_tenant'>,
): Expired {
  const { database } = context;
  requireTenant(database, tenantId);
  database.prepare('UPDATE tenant SET suspended = 1 WHERE id = ?').run(tenantId);
  database.prepare('DELETE FROM token WHERE tenant_id = ?').run(tenantId);
  const expired = removeApps(
    context, database.prepare('SELECT id FROM app WHERE tenant_id = ? LIMIT ?'), tenantId);
  if (expired.more) return expired;
  removeStores(database, 'tenant_id', tenantId);
  database.prepare('DELETE FROM tenant WHERE id = ?').run(tenantId);
  return expired;
}

export function createToken(
  { database, nowMs }: ControlContext, { token }: CommandOf<'create_token'>,
): Token {
  const { tenantId, name, scope, expiresAtMs, hash } = token;
  assertName(name, 'a token\'s name', TOKEN_NAME_LENGTH_MAX);
  assertTime(expiresAtMs);
  if (!SCOPES.includes(scope)) throw new WardianError('bad_argument', 'not a scope of a token');
  if (!HASH.test(hash)) throw new WardianError('bad_argument', 'not the hash of a token');
  if (tenantId !== null) requireTenant(database, tenantId);
  const counted = database.prepare('SELECT count(*) AS n FROM token WHERE tenant_id IS ?')
    .get(tenantId);
  if (Number(counted?.n) >= TOKENS_PER_TENANT_MAX) {
    throw new WardianError(
      'quota_exceeded', `a tenant may have at most ${TOKENS_PER_TENANT_MAX} tokens`);
  }
  const row = database.prepare(`
    INSERT INTO token (tenant_id, name, scope, hash, created_at_ms, expires_at_ms)
    VALUES (?, ?, ?, ?, ?, ?) RETURNING ${TOKEN_COLUMNS}`,
  ).get(tenantId, name, scope, hash, nowMs, expiresAtMs);
  return tokenFrom(row ?? {});
}

export function revokeToken(
  { database }: ControlContext, { tokenId }: CommandOf<'revoke_token'>,
): null {
  const { changes } = database.prepare('DELETE FROM token WHERE id = ?').run(tokenId);
  if (changes === 0) throw new WardianError('not_found', 'no such token');
  return null;
}

/** Of a token that was revoked meanwhile, nothing is left to note. */
export function noteTokenUse(
  { database, nowMs }: ControlContext, { tokenId }: CommandOf<'use_token'>,
): null {
  database.prepare(`
    UPDATE token SET last_used_at_ms = ?
    WHERE id = ? AND (last_used_at_ms IS NULL OR last_used_at_ms <= ?)`,
  ).run(nowMs, tokenId, nowMs - USE_PRECISION_MS);
  return null;
}
