/**
 * What every command of the control plane works with, and the steps that several of them share.
 */

import type { DatabaseSync } from 'node:sqlite';

import type { Tenant } from '../../contract/deployment.ts';
import { WardianError } from '../../contract/errors.ts';
import type { RequestLimits } from '../../contract/limits.ts';
import type { Changed } from './commands.ts';
import { APP_COLUMNS, TENANT_COLUMNS, appFrom, quotasFrom, tenantFrom } from './records.ts';
import { routeOf } from './routes.ts';

export interface ControlContext {
  readonly database: DatabaseSync;
  /** The operator's defaults, for the routes that commands answer with. */
  readonly limits: RequestLimits;
  readonly nowMs: number;
}

export function requireTenant(database: DatabaseSync, tenantId: number): Tenant {
  const row = database.prepare(`SELECT ${TENANT_COLUMNS} FROM tenant WHERE id = ?`).get(tenantId);
  if (row === undefined) throw new WardianError('not_found', 'no such tenant');
  return tenantFrom(row);
}

/** Throws WardianError `quota_exceeded` when the tenant has as many of them as it may. */
export function assertQuota(
  database: DatabaseSync, tenantId: number, quota: 'apps' | 'namespaces',
): void {
  const row = database.prepare('SELECT quotas FROM tenant WHERE id = ?').get(tenantId);
  const max = quotasFrom(row?.quotas)[quota];
  const counted = database.prepare(quota === 'apps'
    ? 'SELECT count(*) AS n FROM app WHERE tenant_id = ?'
    : 'SELECT count(*) AS n FROM kv_store WHERE tenant_id = ? AND name IS NOT NULL').get(tenantId);
  if (Number(counted?.n) < max) return;
  throw new WardianError('quota_exceeded', `this tenant may have at most ${max} ${quota}`);
}

/** The app as it is now. Throws WardianError `not_found`. */
export function changed({ database, limits }: ControlContext, appId: number): Changed {
  const row = database.prepare(`SELECT ${APP_COLUMNS} FROM app WHERE id = ?`).get(appId);
  if (row === undefined) throw new WardianError('not_found', 'no such app');
  return { ...routeOf(database, appId, limits), app: appFrom(row) };
}

/** Workers and the router hold what they loaded of an app until its generation changes. */
export function newGeneration(database: DatabaseSync, appId: number): void {
  database.prepare('UPDATE app SET generation = generation + 1 WHERE id = ?').run(appId);
}
