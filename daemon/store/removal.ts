/**
 * Commands that remove: apps, old versions, and what only they used. A command removes so much at
 * most and says when there is more, so that no commit takes long.
 */

import type { DatabaseSync, StatementSync } from 'node:sqlite';

import { WardianError } from '../../contract/errors.ts';
import { VERSION_GRACE_MS } from '../../contract/limits.ts';
import { BlobProbe, removeBlob } from './blobs.ts';
import type { Collected, CommandOf, Expired, Removed } from './commands.ts';
import type { ControlContext } from './context.ts';
import { assertTime } from './names.ts';

/** Apps or versions that one command removes at most: others wait for the commit. */
const REMOVALS_MAX = 100;

/** Removes those of the artifacts that no version needs, then those of the modules. */
function removeBlobs(
  database: DatabaseSync, artifacts: Iterable<string>, modules: Iterable<string>,
): { artifacts: number; modules: number } {
  const removed = { artifacts: 0, modules: 0 };
  const probe = new BlobProbe(database);
  try {
    for (const hash of artifacts) {
      removed.artifacts += removeBlob(database, probe, 'artifact', hash);
    }
    for (const hash of modules) removed.modules += removeBlob(database, probe, 'module', hash);
  } finally {
    probe.close();
  }
  return removed;
}

/** The stores are gone at once; their entries are purged later, a few at a time. */
export function removeStores(
  database: DatabaseSync, column: 'id' | 'tenant_id', value: number,
): void {
  database.prepare(
    `INSERT INTO kv_garbage (store_id) SELECT id FROM kv_store WHERE ${column} = ?`).run(value);
  database.prepare(`DELETE FROM kv_store WHERE ${column} = ?`).run(value);
}

export function deleteApp(
  { database }: ControlContext, { appId }: CommandOf<'delete_app'>,
): Removed {
  const app = database.prepare('SELECT label FROM app WHERE id = ?').get(appId);
  if (app === undefined) throw new WardianError('not_found', 'no such app');
  const versions = database.prepare(
    'SELECT id, module_hash, artifact_hash FROM version WHERE app_id = ?').all(appId);
  database.prepare('DELETE FROM split WHERE app_id = ?').run(appId);
  database.prepare('DELETE FROM app WHERE id = ?').run(appId);
  removeStores(database, 'id', appId);
  removeBlobs(
    database,
    new Set(versions.map((row) => String(row.artifact_hash))),
    new Set(versions.map((row) => String(row.module_hash))),
  );
  return { appId, label: String(app.label), versionIds: versions.map((row) => Number(row.id)) };
}

/** `select` takes a value and a count, and answers with ids of apps. */
export function removeApps(
  context: ControlContext, select: StatementSync, value: number,
): Expired {
  const rows = select.all(value, REMOVALS_MAX + 1);
  const removed = rows.slice(0, REMOVALS_MAX)
    .map((row) => deleteApp(context, { op: 'delete_app', appId: Number(row.id) }));
  return { removed, more: rows.length > REMOVALS_MAX };
}

export function expireApps(
  context: ControlContext, { nowMs }: CommandOf<'expire_apps'>,
): Expired {
  assertTime(nowMs);
  return removeApps(context, context.database.prepare(
    'SELECT id FROM app WHERE expires_at_ms <= ? ORDER BY expires_at_ms LIMIT ?'), nowMs);
}

export function collectGarbage(
  { database, nowMs }: ControlContext, { keepVersions }: CommandOf<'collect_garbage'>,
): Collected {
  if (!Number.isSafeInteger(keepVersions) || keepVersions < 1) {
    throw new WardianError('bad_argument', 'at least one version is kept');
  }
  const rows = database.prepare(`
    SELECT version.id, version.module_hash, version.artifact_hash
    FROM version JOIN app ON app.id = version.app_id
    WHERE version.id IS NOT app.active_version_id
      AND version.id NOT IN (SELECT version_id FROM split)
      AND app.activated_at_ms <= $before AND version.created_at_ms <= $before
      AND (SELECT count(*) FROM version AS newer
           WHERE newer.app_id = version.app_id AND newer.number > version.number) >= $keep
    ORDER BY version.id LIMIT $limit`,
  ).all({ before: nowMs - VERSION_GRACE_MS, keep: keepVersions, limit: REMOVALS_MAX + 1 });
  const victims = rows.slice(0, REMOVALS_MAX);
  const remove = database.prepare('DELETE FROM version WHERE id = ?');
  for (const row of victims) remove.run(Number(row.id));
  const counts = removeBlobs(
    database,
    new Set(victims.map((row) => String(row.artifact_hash))),
    new Set(victims.map((row) => String(row.module_hash))),
  );
  const versionIds = victims.map((row) => Number(row.id));
  return { ...counts, versionIds, more: rows.length > REMOVALS_MAX };
}
