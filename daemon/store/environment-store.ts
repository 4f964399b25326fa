/**
 * Environment variables and secrets of apps. Secrets are sealed here, before they go anywhere; the
 * key comes from whoever opens the store and is never written to the database.
 */

import type { ListedSecret, SecretVersion } from '../../contract/deployment.ts';
import { WardianError } from '../../contract/errors.ts';
import { SECRET_VALUE_BYTES_MAX } from '../../contract/limits.ts';
import { SELECT_ENV, SELECT_SECRET } from '../../contract/schema.ts';
import { SECRET_KEY_BYTES, openSecret, sealSecret, secretKeyId } from '../../contract/sealed.ts';
import type { Changed } from './commands.ts';
import { boundsOf } from './query.ts';
import type { Query } from './query.ts';
import { SECRET_COLUMNS, secretVersionFrom } from './records.ts';
import type { Row } from './records.ts';
import type { WriterThread } from './writer-thread.ts';

/** Secrets that one command seals anew at most. */
const RESEAL_MAX = 100;

export interface SecretPage {
  readonly limit?: number;
  /** The last one of the page before. */
  readonly after?: { readonly name: string; readonly number: number };
}

export interface Rotation {
  readonly resealed: number;
  /** Values that could not be opened and stay as they are, by the key that sealed them. */
  readonly unopened: ReadonlyMap<string, number>;
}

/** A key by its id, never the key itself. */
export interface KeyUse {
  readonly keyId: string;
  /** It is the one that seals. */
  readonly active: boolean;
  /** False: what it sealed cannot be opened here. */
  readonly present: boolean;
  /** Values of secrets that it seals. */
  readonly values: number;
}

/** Throws WardianError `bad_argument` for a key of the wrong length. */
function keysById(keys: readonly Uint8Array[]): ReadonlyMap<string, Uint8Array> {
  for (const key of keys) {
    if (key.byteLength === SECRET_KEY_BYTES) continue;
    throw new WardianError('bad_argument', `a secrets key has ${SECRET_KEY_BYTES} bytes`);
  }
  return new Map(keys.map((key) => [secretKeyId(key), key]));
}

export class EnvironmentStore {
  readonly #query: Query;
  readonly #writer: WriterThread;
  /** Key id → key; the first one seals, all of them open. */
  #keys: ReadonlyMap<string, Uint8Array>;

  /** Throws WardianError `bad_argument` for a key of the wrong length. */
  constructor(query: Query, writer: WriterThread, keys: readonly Uint8Array[]) {
    this.#query = query;
    this.#writer = writer;
    this.#keys = keysById(keys);
  }

  /** It seals from now on. Whoever opens secrets must have it already. */
  addKey(key: Uint8Array): void {
    this.#keys = keysById([key, ...this.#keys.values()]);
  }

  /** Null removes a variable; those that are not named stay. */
  setEnv(appId: number, values: Readonly<Record<string, string | null>>): Promise<Changed> {
    return this.#writer.control({ op: 'set_env', appId, values });
  }

  env(appId: number): ReadonlyMap<string, string> {
    return new Map(this.#query.rows(SELECT_ENV, appId)
      .map((row) => [String(row.name), String(row.value)]));
  }

  /** A new version of the secret, in effect from `effectiveAtMs` on, or at once. */
  async putSecret(
    appId: number, name: string, value: Uint8Array, effectiveAtMs: number | null = null,
  ): Promise<Changed & { readonly version: SecretVersion }> {
    if (value.byteLength > SECRET_VALUE_BYTES_MAX) {
      throw new WardianError(
        'bad_argument', `a secret has at most ${SECRET_VALUE_BYTES_MAX} bytes`);
    }
    const [keyId, key] = this.#sealingKey();
    const sealed = sealSecret(key, appId, name, value);
    return await this.#writer.control({
      op: 'put_secret', appId, secret: { name, keyId, sealed, effectiveAtMs },
    });
  }

  deleteSecret(appId: number, name: string): Promise<Changed> {
    return this.#writer.control({ op: 'delete_secret', appId, name });
  }

  /** Versions of secrets of the app by name and number, without the values, in pages. */
  listSecrets(appId: number, page: SecretPage = {}, nowMs = Date.now()): readonly ListedSecret[] {
    const { name = '', number = 0 } = page.after ?? {};
    const [, limit] = boundsOf(page.limit === undefined ? {} : { limit: page.limit });
    return this.#query.rows(`
      SELECT ${SECRET_COLUMNS}, id IS (
        SELECT id FROM secret AS other
        WHERE other.app_id = secret.app_id AND other.name = secret.name
          AND effective_at_ms <= ?
        ORDER BY effective_at_ms DESC, number DESC LIMIT 1) AS active
      FROM secret WHERE app_id = ? AND (name, number) > (?, ?) ORDER BY name, number LIMIT ?`,
    nowMs, appId, name, number, limit,
    ).map((row) => ({ ...secretVersionFrom(row), active: row.active === 1 }));
  }

  /** The value in effect, or null. Throws WardianError `store_failed` when no key opens it. */
  secret(appId: number, name: string, nowMs: number = Date.now()): Uint8Array | null {
    const row = this.#query.row(SELECT_SECRET, appId, name, nowMs);
    if (row === null) return null;
    return this.#open(appId, name, String(row.key_id), row.sealed as Uint8Array);
  }

  /**
   * Seals everything that another key sealed with the first one; afterwards the others can go,
   * apart from those that still seal something: see `keys`.
   */
  async rotate(): Promise<Rotation> {
    const [keyId, key] = this.#sealingKey();
    const unopened = new Map<string, number>();
    let resealed = 0;
    for (let after = 0; ;) {
      const rows = this.#query.rows(`
        SELECT id, app_id, name, key_id, sealed FROM secret WHERE key_id <> ? AND id > ?
        ORDER BY id LIMIT ?`, keyId, after, RESEAL_MAX);
      if (rows.length === 0) return { resealed, unopened };
      const secrets = rows.flatMap((row) => {
        const sealed = this.#resealed(row, key);
        if (sealed !== null) return [{ id: Number(row.id), keyId, sealed }];
        const other = String(row.key_id);
        unopened.set(other, (unopened.get(other) ?? 0) + 1);
        return [];
      });
      if (secrets.length > 0) {
        resealed += await this.#writer.control({ op: 'reseal_secrets', secrets });
      }
      after = Number(rows.at(-1)?.id);
    }
  }

  /** Every key that is here or still seals something; the active one first. */
  keys(): readonly KeyUse[] {
    const values = new Map(
      this.#query.rows('SELECT key_id, count(*) AS n FROM secret GROUP BY key_id ORDER BY key_id')
        .map((row) => [String(row.key_id), Number(row.n)]));
    const [active] = this.#keys.keys();
    return [...new Set([...this.#keys.keys(), ...values.keys()])].map((keyId) => ({
      keyId, active: keyId === active, present: this.#keys.has(keyId),
      values: values.get(keyId) ?? 0,
    }));
  }

  /** Null for what no key opens: another's damage must not keep the rest under an old key. */
  #resealed(row: Row, key: Uint8Array): Uint8Array | null {
    const appId = Number(row.app_id);
    const name = String(row.name);
    try {
      return sealSecret(
        key, appId, name, this.#open(appId, name, String(row.key_id), row.sealed as Uint8Array));
    } catch (error) {
      if (error instanceof WardianError && error.code === 'store_failed') return null;
      throw error;
    }
  }

  #sealingKey(): readonly [id: string, key: Uint8Array] {
    for (const entry of this.#keys) return entry;
    throw new WardianError('store_failed', 'there is no key for secrets');
  }

  #open(appId: number, name: string, keyId: string, sealed: Uint8Array): Uint8Array {
    const key = this.#keys.get(keyId);
    if (key !== undefined) return openSecret(key, appId, name, sealed);
    throw new WardianError('store_failed', `the key ${keyId} of a secret is not there`);
  }
}
