/**
 * Rows into records, for the writer and for the readers: tenants, apps, versions and the rest.
 * JSON columns are checked like any other input: a file can be edited or damaged.
 */

import type { SQLOutputValue } from 'node:sqlite';

import { APP_SETTINGS_DEFAULT, TENANT_QUOTAS_DEFAULT } from '../../contract/deployment.ts';
import type {
  App, AppSettings, Language, Namespace, SecretVersion, Tenant, TenantQuotas, Token, Version,
} from '../../contract/deployment.ts';
import { REQUEST_LIMITS_DEFAULT } from '../../contract/limits.ts';
import type { RequestLimits } from '../../contract/limits.ts';

export type Row = Record<string, SQLOutputValue>;

function parsed(text: SQLOutputValue | undefined): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(String(text));
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // Not JSON: what we wrote was, so the row is damaged; the defaults hold.
  }
  return {};
}

/** Those of `value` that are limits and numbers; anything else is left out. */
export function limitsFrom(value: unknown): Partial<RequestLimits> {
  const limits: Record<string, number> = {};
  if (typeof value !== 'object' || value === null) return limits;
  for (const [name, limit] of Object.entries(value)) {
    if (!Object.hasOwn(REQUEST_LIMITS_DEFAULT, name)) continue;
    if (Number.isSafeInteger(limit) && limit >= 0) limits[name] = limit;
  }
  return limits;
}

export function limitsFromText(text: SQLOutputValue | undefined): Partial<RequestLimits> {
  return limitsFrom(parsed(text));
}

/** The operator's, overridden by those of the tenant. */
export function quotasFrom(text: SQLOutputValue | undefined): TenantQuotas {
  const quotas: Record<string, number> = { ...TENANT_QUOTAS_DEFAULT };
  for (const [name, quota] of Object.entries(parsed(text))) {
    if (!Object.hasOwn(TENANT_QUOTAS_DEFAULT, name)) continue;
    if (Number.isSafeInteger(quota) && Number(quota) >= 0) quotas[name] = Number(quota);
  }
  return quotas as unknown as TenantQuotas;
}

export function settingsFrom(text: SQLOutputValue | undefined): AppSettings {
  const { limits, debug, recycleMemory, sticky } = parsed(text);
  return {
    limits: limitsFrom(limits),
    debug: typeof debug === 'boolean' ? debug : APP_SETTINGS_DEFAULT.debug,
    recycleMemory: typeof recycleMemory === 'boolean'
      ? recycleMemory : APP_SETTINGS_DEFAULT.recycleMemory,
    ...stickyFrom(sticky),
  };
}

function stickyFrom(value: unknown): Pick<AppSettings, 'sticky'> {
  if (typeof value !== 'object' || value === null) return {};
  const { by, name } = value as { by?: unknown; name?: unknown };
  if (by === 'cookie') return { sticky: { by } };
  return by === 'header' && typeof name === 'string' ? { sticky: { by, name } } : {};
}

function nullable(value: SQLOutputValue | undefined): number | null {
  return value === null || value === undefined ? null : Number(value);
}

export const TENANT_COLUMNS = 'id, name, suspended, limits';

export function tenantFrom(row: Row): Tenant {
  return {
    id: Number(row.id),
    name: String(row.name),
    suspended: row.suspended !== 0,
    limits: limitsFromText(row.limits),
  };
}

export const APP_COLUMNS = `id, tenant_id, label, settings, active_version_id, expires_at_ms,
  generation, created_at_ms`;

export function appFrom(row: Row): App {
  return {
    id: Number(row.id),
    tenantId: Number(row.tenant_id),
    label: String(row.label),
    settings: settingsFrom(row.settings),
    activeVersionId: nullable(row.active_version_id),
    expiresAtMs: nullable(row.expires_at_ms),
    createdAtMs: Number(row.created_at_ms),
    generation: Number(row.generation),
  };
}

export const VERSION_COLUMNS = `id, app_id, number, module_hash, artifact_hash, language,
  created_at_ms, served_at_ms`;

export function versionFrom(row: Row): Version {
  return {
    id: Number(row.id),
    appId: Number(row.app_id),
    number: Number(row.number),
    moduleHash: String(row.module_hash),
    artifactHash: String(row.artifact_hash),
    language: String(row.language) as Language,
    createdAtMs: Number(row.created_at_ms),
    servedAtMs: nullable(row.served_at_ms),
  };
}

export const NAMESPACE_COLUMNS = 'id, tenant_id, name, keys, bytes, created_at_ms';

export function namespaceFrom(row: Row): Namespace {
  return {
    id: Number(row.id),
    tenantId: Number(row.tenant_id),
    name: String(row.name),
    keys: Number(row.keys),
    bytes: Number(row.bytes),
    createdAtMs: Number(row.created_at_ms),
  };
}

export const TOKEN_COLUMNS = `id, tenant_id, name, scope, created_at_ms, expires_at_ms,
  last_used_at_ms`;

/** An unknown scope, as of a damaged row, allows least. */
export function tokenFrom(row: Row): Token {
  const scope = row.scope === 'admin' || row.scope === 'deploy' ? row.scope : 'read';
  return {
    id: Number(row.id),
    tenantId: nullable(row.tenant_id),
    name: String(row.name),
    scope,
    createdAtMs: Number(row.created_at_ms),
    expiresAtMs: nullable(row.expires_at_ms),
    lastUsedAtMs: nullable(row.last_used_at_ms),
  };
}

export const SECRET_COLUMNS = 'name, number, effective_at_ms, created_at_ms';

export function secretVersionFrom(row: Row): SecretVersion {
  return {
    name: String(row.name),
    number: Number(row.number),
    effectiveAtMs: Number(row.effective_at_ms),
    createdAtMs: Number(row.created_at_ms),
  };
}
