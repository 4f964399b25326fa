/**
 * Commands on an app's environment and secrets. Secrets arrive sealed: neither the writer nor the
 * database ever holds one in the clear.
 */

import { WardianError } from '../../contract/errors.ts';
import {
  ENV_BYTES_MAX, ENV_VALUE_BYTES_MAX, SECRETS_PER_APP_MAX, SECRET_VALUE_BYTES_MAX,
  SECRET_VERSIONS_KEPT, SECRET_VERSIONS_WAITING_MAX,
} from '../../contract/limits.ts';
import type { Changed, CommandOf, ControlResults } from './commands.ts';
import { changed, newGeneration } from './context.ts';
import type { ControlContext } from './context.ts';
import { assertTime, assertVariable } from './names.ts';
import { SECRET_COLUMNS, secretVersionFrom } from './records.ts';

const KEY_ID = /^[0-9a-f]{16}$/;
/** Nonce and tag. */
const SEAL_BYTES = 28;

export function setEnv(
  context: ControlContext, { appId, values }: CommandOf<'set_env'>,
): Changed {
  const { database } = context;
  changed(context, appId);
  const remove = database.prepare('DELETE FROM env WHERE app_id = ? AND name = ?');
  const put = database.prepare(`
    INSERT INTO env (app_id, name, value) VALUES (?, ?, ?)
    ON CONFLICT (app_id, name) DO UPDATE SET value = excluded.value`);
  for (const [name, value] of Object.entries(values)) {
    assertVariable(name);
    if (value === null) {
      remove.run(appId, name);
      continue;
    }
    if (typeof value !== 'string' || Buffer.byteLength(value) > ENV_VALUE_BYTES_MAX) {
      throw new WardianError('bad_argument', `a value has at most ${ENV_VALUE_BYTES_MAX} bytes`);
    }
    // Guests read them as C strings; SQLite's own functions end at a NUL as well.
    if (value.includes('\0')) throw new WardianError('bad_argument', 'a value has no NUL');
    put.run(appId, name, value);
  }
  const { bytes } = database.prepare(`
    SELECT coalesce(sum(octet_length(name) + octet_length(value) + 2), 0) AS bytes
    FROM env WHERE app_id = ?`).get(appId) as { bytes: number };
  if (bytes > ENV_BYTES_MAX) {
    throw new WardianError('quota_exceeded', `an environment has at most ${ENV_BYTES_MAX} bytes`);
  }
  newGeneration(database, appId);
  return changed(context, appId);
}

function assertSealed(keyId: string, sealed: Uint8Array): void {
  const length = sealed.byteLength;
  if (KEY_ID.test(keyId) && length >= SEAL_BYTES && length <= SEAL_BYTES + SECRET_VALUE_BYTES_MAX) {
    return;
  }
  throw new WardianError(
    'bad_argument', `a secret has at most ${SECRET_VALUE_BYTES_MAX} bytes`);
}

/** What was in effect goes but for the newest few; what is in effect or will be stays. */
function removeOldVersions({ database, nowMs }: ControlContext, appId: number, name: string): void {
  const waiting = database.prepare(`
    SELECT count(*) AS n FROM secret WHERE app_id = ? AND name = ? AND effective_at_ms > ?`,
  ).get(appId, name, nowMs);
  if (Number(waiting?.n) > SECRET_VERSIONS_WAITING_MAX) {
    throw new WardianError('quota_exceeded',
      `at most ${SECRET_VERSIONS_WAITING_MAX} values of a secret wait for their time`);
  }
  database.prepare(`
    DELETE FROM secret WHERE app_id = $app AND name = $name AND effective_at_ms <= $now
      AND id NOT IN (
        SELECT id FROM secret WHERE app_id = $app AND name = $name AND effective_at_ms <= $now
        ORDER BY number DESC LIMIT $keep)
      AND id IS NOT (
        SELECT id FROM secret WHERE app_id = $app AND name = $name AND effective_at_ms <= $now
        ORDER BY effective_at_ms DESC, number DESC LIMIT 1)`,
  ).run({ app: appId, name, keep: SECRET_VERSIONS_KEPT, now: nowMs });
}

export function putSecret(
  context: ControlContext, { appId, secret }: CommandOf<'put_secret'>,
): ControlResults['put_secret'] {
  const { database, nowMs } = context;
  const { name, keyId, sealed, effectiveAtMs } = secret;
  assertVariable(name);
  assertTime(effectiveAtMs);
  assertSealed(keyId, sealed);
  changed(context, appId);
  const row = database.prepare(`
    INSERT INTO secret (app_id, name, number, key_id, sealed, effective_at_ms, created_at_ms)
    VALUES ($app, $name,
      1 + max(
        (SELECT secret_floor FROM app WHERE id = $app),
        (SELECT coalesce(max(number), 0) FROM secret WHERE app_id = $app AND name = $name)),
      $key, $sealed, $effective, $now)
    RETURNING ${SECRET_COLUMNS}`,
  ).get({
    app: appId, name, key: keyId, sealed, effective: effectiveAtMs ?? nowMs, now: nowMs,
  });
  const counted = database.prepare('SELECT count(DISTINCT name) AS n FROM secret WHERE app_id = ?')
    .get(appId);
  if (Number(counted?.n) > SECRETS_PER_APP_MAX) {
    throw new WardianError('quota_exceeded', `an app has at most ${SECRETS_PER_APP_MAX} secrets`);
  }
  removeOldVersions(context, appId, name);
  newGeneration(database, appId);
  return { ...changed(context, appId), version: secretVersionFrom(row ?? {}) };
}

export function deleteSecret(
  context: ControlContext, { appId, name }: CommandOf<'delete_secret'>,
): Changed {
  changed(context, appId);
  context.database.prepare(`
    UPDATE app SET secret_floor = max(secret_floor, coalesce(
      (SELECT max(number) FROM secret WHERE app_id = app.id AND name = ?), 0)) WHERE id = ?`,
  ).run(name, appId);
  const { changes } = context.database.prepare('DELETE FROM secret WHERE app_id = ? AND name = ?')
    .run(appId, name);
  if (changes === 0) throw new WardianError('not_found', 'the app has no such secret');
  newGeneration(context.database, appId);
  return changed(context, appId);
}

/** The same values under another key. Answers how many were there still. */
export function resealSecrets(
  { database }: ControlContext, { secrets }: CommandOf<'reseal_secrets'>,
): number {
  const update = database.prepare('UPDATE secret SET key_id = ?, sealed = ? WHERE id = ?');
  let resealed = 0;
  for (const { id, keyId, sealed } of secrets) {
    assertSealed(keyId, sealed);
    resealed += Number(update.run(keyId, sealed, id).changes);
  }
  return resealed;
}
