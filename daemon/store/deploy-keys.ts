/**
 * Deploys that are done once: the key is stored in the transaction that stores the version, so that
 * a daemon which is killed before it has answered knows at the next attempt what it has done.
 */

import type { DatabaseSync } from 'node:sqlite';

import type { Version } from '../../contract/deployment.ts';
import { WardianError } from '../../contract/errors.ts';
import {
  BUILD_OUTPUT_BYTES_MAX, DEPLOY_KEYS_KEPT_MS, DEPLOY_KEYS_PER_TENANT_MAX,
} from '../../contract/limits.ts';
import type { Deploy, DeployKey } from './commands.ts';
import type { Row } from './records.ts';

const HASH = /^[0-9a-f]{64}$/;

/** Parameters: tenant's id, key, when the oldest that counts was made. */
export const SELECT_DEPLOY_KEY = `
  SELECT fingerprint, number, version_id, warnings FROM deploy_key
  WHERE tenant_id = ? AND key = ? AND created_at_ms > ?`;

export interface KeptDeploy {
  readonly versionId: number;
  readonly warnings: readonly string[];
}

/**
 * Throws WardianError `conflict` when the key was used for something else, and when what it made
 * was collected since: there is nothing to answer with, and a second deploy is not what was asked.
 */
export function keptFrom(row: Row, { fingerprint }: DeployKey): KeptDeploy {
  if (row.fingerprint !== fingerprint) {
    throw new WardianError('conflict', 'this idempotency key was used for another deploy');
  }
  if (row.version_id === null) {
    throw new WardianError('conflict', 'this idempotency key has made version '
      + `${Number(row.number)}, which was collected since: nothing is deployed again`);
  }
  const warnings: unknown = JSON.parse(String(row.warnings));
  return {
    versionId: Number(row.version_id),
    warnings: Array.isArray(warnings) ? warnings.map(String) : [],
  };
}

/** The version that an earlier deploy under the key has made, or null. */
export function findKept(
  database: DatabaseSync, { tenantId, once }: Deploy, nowMs: number,
): number | null {
  if (once === undefined) return null;
  if (!HASH.test(once.key) || !HASH.test(once.fingerprint)) {
    throw new WardianError('bad_argument', 'an idempotency key is kept as its hash');
  }
  const row = database.prepare(SELECT_DEPLOY_KEY)
    .get(tenantId, once.key, nowMs - DEPLOY_KEYS_KEPT_MS);
  return row === undefined ? null : keptFrom(row, once).versionId;
}

/** Also lets go of keys that are too old or, of one tenant, too many. */
export function keepDeploy(
  database: DatabaseSync, { tenantId, once }: Deploy,
  { id, appId, number }: Pick<Version, 'id' | 'appId' | 'number'>, nowMs: number,
): void {
  if (once === undefined) return;
  database.prepare('DELETE FROM deploy_key WHERE tenant_id = ? AND created_at_ms <= ?')
    .run(tenantId, nowMs - DEPLOY_KEYS_KEPT_MS);
  database.prepare(`
    DELETE FROM deploy_key WHERE tenant_id = $tenant AND key IN (
      SELECT key FROM deploy_key WHERE tenant_id = $tenant
      ORDER BY created_at_ms DESC LIMIT -1 OFFSET $kept)`,
  ).run({ tenant: tenantId, kept: DEPLOY_KEYS_PER_TENANT_MAX - 1 });
  const warnings = JSON.stringify(once.warnings);
  database.prepare(`
    INSERT INTO deploy_key
      (tenant_id, key, fingerprint, app_id, number, version_id, warnings, created_at_ms)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
  ).run(
    tenantId, once.key, once.fingerprint, appId, number, id,
    Buffer.byteLength(warnings) > BUILD_OUTPUT_BYTES_MAX ? '[]' : warnings, nowMs);
}
