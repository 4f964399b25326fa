/**
 * Commands on namespaces: key-value stores that a tenant owns, and the names under which its apps
 * know them.
 */

import type { Namespace } from '../../contract/deployment.ts';
import { WardianError } from '../../contract/errors.ts';
import { BINDINGS_PER_APP_MAX, NAMESPACE_NAME_LENGTH_MAX } from '../../contract/limits.ts';
import type { Changed, CommandOf, RouteChange } from './commands.ts';
import { assertQuota, changed, newGeneration, requireTenant } from './context.ts';
import type { ControlContext } from './context.ts';
import { assertName } from './names.ts';
import { NAMESPACE_COLUMNS, namespaceFrom } from './records.ts';
import { removeStores } from './removal.ts';
import { routeOf } from './routes.ts';

export function createNamespace(
  { database, nowMs }: ControlContext, { tenantId, name }: CommandOf<'create_namespace'>,
): Namespace {
  assertName(name, 'a namespace\'s name', NAMESPACE_NAME_LENGTH_MAX);
  requireTenant(database, tenantId);
  assertQuota(database, tenantId, 'namespaces');
  const row = database.prepare(`
    INSERT INTO kv_store (tenant_id, name, created_at_ms) VALUES (?, ?, ?)
    ON CONFLICT DO NOTHING RETURNING ${NAMESPACE_COLUMNS}`).get(tenantId, name, nowMs);
  if (row === undefined) {
    throw new WardianError('conflict', `there is a namespace ${name} already`);
  }
  return namespaceFrom(row);
}

/** Answers with the apps that were bound to it. */
export function deleteNamespace(
  { database, limits }: ControlContext, { namespaceId }: CommandOf<'delete_namespace'>,
): RouteChange[] {
  const row = database.prepare('SELECT id FROM kv_store WHERE id = ? AND name IS NOT NULL')
    .get(namespaceId);
  if (row === undefined) throw new WardianError('not_found', 'no such namespace');
  const bound = database.prepare('SELECT DISTINCT app_id FROM binding WHERE store_id = ?')
    .all(namespaceId).map((binding) => Number(binding.app_id));
  removeStores(database, 'id', namespaceId);
  for (const appId of bound) newGeneration(database, appId);
  return bound.map((appId) => routeOf(database, appId, limits));
}

export function bindNamespace(
  context: ControlContext, { appId, name, namespaceId }: CommandOf<'bind_namespace'>,
): Changed {
  const { database } = context;
  assertName(name, 'a binding\'s name', NAMESPACE_NAME_LENGTH_MAX);
  const { app } = changed(context, appId);
  if (namespaceId === null) {
    const { changes } = database.prepare('DELETE FROM binding WHERE app_id = ? AND name = ?')
      .run(appId, name);
    if (changes === 0) throw new WardianError('not_found', 'the app has no such binding');
  } else {
    // Another tenant's namespace is not there, as far as this one can tell.
    const row = database.prepare(
      'SELECT id FROM kv_store WHERE id = ? AND tenant_id = ? AND name IS NOT NULL',
    ).get(namespaceId, app.tenantId);
    if (row === undefined) throw new WardianError('not_found', 'no such namespace');
    database.prepare(`
      INSERT INTO binding (app_id, name, store_id) VALUES (?, ?, ?)
      ON CONFLICT (app_id, name) DO UPDATE SET store_id = excluded.store_id`,
    ).run(appId, name, namespaceId);
    const counted = database.prepare('SELECT count(*) AS n FROM binding WHERE app_id = ?')
      .get(appId);
    if (Number(counted?.n) > BINDINGS_PER_APP_MAX) {
      throw new WardianError(
        'quota_exceeded', `an app has at most ${BINDINGS_PER_APP_MAX} bindings`);
    }
  }
  newGeneration(database, appId);
  return changed(context, appId);
}
