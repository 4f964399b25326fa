/**
 * Saving a deploy: module, artifact, app and version in one transaction, so that a crash leaves the
 * old version or the new one. Blobs are addressed by the SHA-256 of their bytes, taken here; what
 * is stored under a hash but differs from it (a damaged page) is mended by the next deploy.
 */

import { createHash } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';

import { APP_SETTINGS_DEFAULT } from '../../contract/deployment.ts';
import { WardianError } from '../../contract/errors.ts';
import { MODULE_BYTES_MAX } from '../../contract/limits.ts';
import type { RequestLimits } from '../../contract/limits.ts';
import { SELECT_ARTIFACT_OF } from '../../contract/schema.ts';
import { BlobProbe, removeBlob, saveBlob } from './blobs.ts';
import { assertQuota, newGeneration, requireTenant } from './context.ts';
import type { ControlContext } from './context.ts';
import type { CommandOf, Deploy, Deployed, RouteChange } from './commands.ts';
import { findKept, keepDeploy } from './deploy-keys.ts';
import { assertLabel, assertSettings, assertTime } from './names.ts';
import { APP_COLUMNS, VERSION_COLUMNS, appFrom, settingsFrom, versionFrom } from './records.ts';
import { routeOf } from './routes.ts';
import { settingsAfter } from './settings.ts';

/** A rewritten module may be larger than its source: metering adds instructions. */
const ARTIFACT_BYTES_MAX = 4 * MODULE_BYTES_MAX;
const REWRITE_KEY_LENGTH_MAX = 256;
const FACTS_LENGTH_MAX = 64 * 1024;

const LANGUAGES: readonly string[] = ['wasm', 'wat', 'assemblyscript', 'c', 'rust'];

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function assertDeploy(deploy: Deploy): void {
  assertLabel(deploy.label);
  assertSettings(deploy.settings ?? {});
  if (deploy.expiresAtMs !== undefined) assertTime(deploy.expiresAtMs);
  if (!LANGUAGES.includes(deploy.language)) {
    throw new WardianError('bad_argument', 'not a language that is deployed');
  }
  if (deploy.module.byteLength > MODULE_BYTES_MAX) {
    throw new WardianError('module_too_large', `a module has at most ${MODULE_BYTES_MAX} bytes`);
  }
  if (deploy.artifact !== null && deploy.artifact.bytes.byteLength > ARTIFACT_BYTES_MAX) {
    throw new WardianError('module_too_large', 'the rewritten module is too large');
  }
  if (deploy.rewriteKey.length > REWRITE_KEY_LENGTH_MAX) {
    throw new WardianError('bad_argument', 'the rewrite key is too long');
  }
}

function saveModule(database: DatabaseSync, deploy: Deploy, nowMs: number): string {
  const hash = sha256(deploy.module);
  if (deploy.moduleHash !== undefined && deploy.moduleHash !== hash) {
    throw new WardianError('bad_upload', 'the module is not the one that was announced');
  }
  const save = database.prepare(`
    INSERT INTO module (hash, bytes, created_at_ms) VALUES (?, ?, ?)
    ON CONFLICT (hash) DO UPDATE SET bytes = excluded.bytes WHERE bytes IS NOT excluded.bytes`);
  saveBlob(database, 'module', hash, deploy.module, () => save.run(hash, deploy.module, nowMs));
  return hash;
}

const MEND_ARTIFACT = `
  INSERT INTO mended_artifact (hash, module_hash, rewrite_key, facts)
  VALUES ($hash, $moduleHash, $key, $facts)
  ON CONFLICT (hash) DO UPDATE SET module_hash = excluded.module_hash,
    rewrite_key = excluded.rewrite_key, facts = coalesce(excluded.facts, mended_artifact.facts)`;

/**
 * Takes the key from any other artifact: of a rewriter that answers differently under the same key,
 * the newest word counts. False when a row that cannot be written still has it.
 */
function freeKey(
  database: DatabaseSync, moduleHash: string, key: string, hash: string,
): boolean {
  database.prepare(`
    UPDATE mended_artifact SET rewrite_key = 'replaced:' || hash
    WHERE module_hash = ? AND rewrite_key = ? AND hash <> ?`).run(moduleHash, key, hash);
  const row = database.prepare(
    'SELECT hash FROM artifact WHERE module_hash = ? AND rewrite_key = ? AND hash <> ?',
  ).get(moduleHash, key, hash);
  if (row === undefined) return true;
  const other = String(row.hash);
  const probe = new BlobProbe(database);
  try {
    if (!probe.isBroken('artifact', other)) {
      database.prepare(`UPDATE artifact SET rewrite_key = 'replaced:' || hash WHERE hash = ?`)
        .run(other);
      return true;
    }
  } finally {
    probe.close();
  }
  // Another key may count for it already.
  if (database.prepare('SELECT 1 FROM mended_artifact WHERE hash = ?').get(other) === undefined) {
    database.prepare(MEND_ARTIFACT)
      .run({ hash: other, moduleHash, key: `replaced:${other}`, facts: null });
  }
  return false;
}

function saveArtifact(
  database: DatabaseSync, deploy: Pick<Deploy, 'artifact' | 'rewriteKey'>, moduleHash: string,
  nowMs: number,
): string {
  if (deploy.artifact === null) {
    const row = database.prepare(SELECT_ARTIFACT_OF).get(moduleHash, deploy.rewriteKey);
    if (row === undefined) {
      throw new WardianError('conflict', 'the stored build is gone: build again');
    }
    return String(row.hash);
  }
  const { bytes } = deploy.artifact;
  const facts = JSON.stringify(deploy.artifact.facts);
  if (facts.length > FACTS_LENGTH_MAX) {
    throw new WardianError('bad_argument', 'the facts of the module are too long');
  }
  const hash = sha256(bytes);
  const isFree = freeKey(database, moduleHash, deploy.rewriteKey, hash);
  const mended = { hash, moduleHash, key: deploy.rewriteKey, facts };
  const stored = isFree ? deploy.rewriteKey : `beside:${hash}`;
  // The same bytes under another key: a rewriter whose newer version changed nothing here.
  const save = database.prepare(`
    INSERT INTO artifact (hash, module_hash, rewrite_key, facts, bytes, created_at_ms)
    VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (hash) DO UPDATE SET module_hash = excluded.module_hash,
      rewrite_key = excluded.rewrite_key, facts = excluded.facts, bytes = excluded.bytes`);
  const isSaved = saveBlob(database, 'artifact', hash, bytes, () =>
    save.run(hash, moduleHash, stored, facts, bytes, nowMs));
  if (isSaved && isFree) {
    database.prepare('DELETE FROM mended_artifact WHERE hash = ?').run(hash);
  } else {
    database.prepare(MEND_ARTIFACT).run(mended);
  }
  return hash;
}

/** The id of the tenant's app under the label, made if need be. */
function saveApp(database: DatabaseSync, deploy: Deploy, nowMs: number): number {
  const row = database.prepare('SELECT id, tenant_id FROM app WHERE label = ?').get(deploy.label);
  if (row !== undefined) {
    if (row.tenant_id !== deploy.tenantId) {
      throw new WardianError('conflict', `the name ${deploy.label} is taken`);
    }
    const appId = Number(row.id);
    changeApp(database, appId, deploy);
    return appId;
  }
  assertQuota(database, deploy.tenantId, 'apps');
  const appId = Number(database.prepare(
    'INSERT INTO kv_store (tenant_id, created_at_ms) VALUES (?, ?)',
  ).run(deploy.tenantId, nowMs).lastInsertRowid);
  const settings = JSON.stringify(settingsAfter(APP_SETTINGS_DEFAULT, deploy.settings ?? {}));
  database.prepare(`
    INSERT INTO app (id, tenant_id, label, settings, expires_at_ms, created_at_ms)
    VALUES (?, ?, ?, ?, ?, ?)`,
  ).run(appId, deploy.tenantId, deploy.label, settings, deploy.expiresAtMs ?? null, nowMs);
  return appId;
}

/** Merges what is given and starts a new generation. */
export function changeApp(
  database: DatabaseSync, appId: number, change: Pick<Deploy, 'settings' | 'expiresAtMs'>,
): void {
  if (change.settings !== undefined) {
    const row = database.prepare('SELECT settings FROM app WHERE id = ?').get(appId);
    database.prepare('UPDATE app SET settings = ? WHERE id = ?').run(
      JSON.stringify(settingsAfter(settingsFrom(row?.settings), change.settings)), appId);
  }
  if (change.expiresAtMs !== undefined) {
    database.prepare('UPDATE app SET expires_at_ms = ? WHERE id = ?')
      .run(change.expiresAtMs, appId);
  }
  newGeneration(database, appId);
}

/** The version serves all requests from now on: a split ends. */
export function activate(
  database: DatabaseSync, appId: number, versionId: number, nowMs: number,
): void {
  database.prepare('DELETE FROM split WHERE app_id = ?').run(appId);
  database.prepare('UPDATE app SET active_version_id = ?, activated_at_ms = ? WHERE id = ?')
    .run(versionId, nowMs, appId);
  noteServing(database, versionId, nowMs);
}

/** A rollback goes to what has served before. */
export function noteServing(database: DatabaseSync, versionId: number, nowMs: number): void {
  database.prepare('UPDATE version SET served_at_ms = ? WHERE id = ?').run(nowMs, versionId);
}

/** What a deploy under the same key has made, as it is now. */
function deployedBefore(
  database: DatabaseSync, versionId: number, limits: RequestLimits,
): Deployed {
  const version = versionFrom(
    database.prepare(`SELECT ${VERSION_COLUMNS} FROM version WHERE id = ?`).get(versionId) ?? {});
  const app = appFrom(
    database.prepare(`SELECT ${APP_COLUMNS} FROM app WHERE id = ?`).get(version.appId) ?? {});
  return { ...routeOf(database, app.id, limits), app, version };
}

export function saveDeploy({ database, limits, nowMs }: ControlContext, deploy: Deploy): Deployed {
  assertDeploy(deploy);
  if (requireTenant(database, deploy.tenantId).suspended) {
    throw new WardianError('tenant_suspended', 'this tenant is suspended');
  }
  const kept = findKept(database, deploy, nowMs);
  if (kept !== null) return deployedBefore(database, kept, limits);
  const moduleHash = saveModule(database, deploy, nowMs);
  const artifactHash = saveArtifact(database, deploy, moduleHash, nowMs);
  const appId = saveApp(database, deploy, nowMs);
  const { last_number: number } = database.prepare(
    'UPDATE app SET last_number = last_number + 1 WHERE id = ? RETURNING last_number',
  ).get(appId) as { last_number: number };
  const serves = deploy.activate !== false || number === 1;
  const version = versionFrom(database.prepare(`
    INSERT INTO version
      (app_id, number, module_hash, artifact_hash, language, created_at_ms, served_at_ms)
    VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING ${VERSION_COLUMNS}`,
  ).get(
    appId, number, moduleHash, artifactHash, deploy.language, nowMs, serves ? nowMs : null) ?? {});
  if (serves) activate(database, appId, version.id, nowMs);
  keepDeploy(database, deploy, version, nowMs);
  const app = appFrom(
    database.prepare(`SELECT ${APP_COLUMNS} FROM app WHERE id = ?`).get(appId) ?? {});
  return { ...routeOf(database, appId, limits), app, version };
}

/** Every version of the artifact serves the new one from now on; the old one goes. */
export function replaceArtifact(
  context: ControlContext, command: CommandOf<'replace_artifact'>,
): { readonly changes: readonly RouteChange[] } {
  const { database, limits, nowMs } = context;
  const { hash: old, moduleHash } = command;
  const hash = saveArtifact(database, command, moduleHash, nowMs);
  if (hash === old) return { changes: [] };
  const apps = database.prepare(
    'SELECT DISTINCT app_id FROM version WHERE artifact_hash = ?').all(old);
  database.prepare('UPDATE version SET artifact_hash = ? WHERE artifact_hash = ?').run(hash, old);
  const probe = new BlobProbe(database);
  try {
    removeBlob(database, probe, 'artifact', old);
  } finally {
    probe.close();
  }
  const ids = apps.map((row) => Number(row.app_id));
  for (const id of ids) newGeneration(database, id);
  return { changes: ids.map((id) => routeOf(database, id, limits)) };
}
