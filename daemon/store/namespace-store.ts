/**
 * Namespaces and their entries as the admin API and the CLI need them. Guests read through their
 * worker's own connection and write through its own port; this is the operator's way in.
 */

import type { Namespace } from '../../contract/deployment.ts';
import { WardianError } from '../../contract/errors.ts';
import { keyRange } from '../../contract/keys.ts';
import { KV_LIST_MAX } from '../../contract/limits.ts';
import type { StoreCommand } from '../../contract/messages.ts';
import { SELECT_BINDINGS, SELECT_KV_ENTRY, SELECT_KV_KEYS } from '../../contract/schema.ts';
import type { Changed, RouteChange } from './commands.ts';
import type { KvOutcome } from './kv.ts';
import { boundsOf } from './query.ts';
import type { Page, Query } from './query.ts';
import { NAMESPACE_COLUMNS, namespaceFrom } from './records.ts';
import type { Row } from './records.ts';
import type { WriterThread } from './writer-thread.ts';

export interface KvEntry {
  readonly value: Uint8Array;
  readonly revision: number;
  readonly expiresAtMs: number | null;
}

export interface KvKey {
  readonly key: Uint8Array;
  /** Of the value. */
  readonly byteLength: number;
  readonly revision: number;
  readonly expiresAtMs: number | null;
}

export interface KvPage {
  readonly keys: readonly KvKey[];
  /** `after` of the next page; null: this was the last. */
  readonly next: Uint8Array | null;
}

/** A namespace under an app's name for it. */
export interface Binding {
  readonly name: string;
  readonly namespace: string;
}

export interface BindingPage {
  readonly limit?: number;
  /** The name of the last one of the page before. */
  readonly after?: string;
}

function expiry(row: Row): number | null {
  return row.expires_at_ms === null ? null : Number(row.expires_at_ms);
}

export class NamespaceStore {
  readonly #query: Query;
  readonly #writer: WriterThread;

  constructor(query: Query, writer: WriterThread) {
    this.#query = query;
    this.#writer = writer;
  }

  /** Throws WardianError `conflict` when the tenant has one of that name, or `quota_exceeded`. */
  create(tenantId: number, name: string): Promise<Namespace> {
    return this.#writer.control({ op: 'create_namespace', tenantId, name });
  }

  /** Answers with the apps that were bound to it. */
  delete(namespaceId: number): Promise<readonly RouteChange[]> {
    return this.#writer.control({ op: 'delete_namespace', namespaceId });
  }

  /** The app then knows the namespace as `name`. Both must be of one tenant. */
  bind(appId: number, name: string, namespaceId: number): Promise<Changed> {
    return this.#writer.control({ op: 'bind_namespace', appId, name, namespaceId });
  }

  unbind(appId: number, name: string): Promise<Changed> {
    return this.#writer.control({ op: 'bind_namespace', appId, name, namespaceId: null });
  }

  get(tenantId: number, name: string): Namespace | null {
    const row = this.#query.row(
      `SELECT ${NAMESPACE_COLUMNS} FROM kv_store WHERE tenant_id = ? AND name = ?`,
      tenantId, name);
    return row === null ? null : namespaceFrom(row);
  }

  list(tenantId: number, page: Page = {}): readonly Namespace[] {
    return this.#query.rows(
      `SELECT ${NAMESPACE_COLUMNS} FROM kv_store
       WHERE tenant_id = ? AND name IS NOT NULL AND id > ? ORDER BY id LIMIT ?`,
      tenantId, ...boundsOf(page),
    ).map(namespaceFrom);
  }

  /** Name in the app → id of the namespace. */
  bindings(appId: number): ReadonlyMap<string, number> {
    return new Map(this.#query.rows(SELECT_BINDINGS, appId)
      .map((row) => [String(row.name), Number(row.store_id)]));
  }

  /** The same with the namespaces' names, in the order of the app's names for them. */
  listBindings(appId: number, { limit, after = '' }: BindingPage = {}): readonly Binding[] {
    const [, count] = boundsOf(limit === undefined ? {} : { limit });
    return this.#query.rows(`
      SELECT binding.name, kv_store.name AS namespace
      FROM binding JOIN kv_store ON kv_store.id = binding.store_id
      WHERE app_id = ? AND binding.name > ? ORDER BY binding.name LIMIT ?`, appId, after, count,
    ).map((row) => ({ name: String(row.name), namespace: String(row.namespace) }));
  }

  /** `storeId` is a namespace's id, or an app's for the app's own store. */
  read(storeId: number, key: Uint8Array): KvEntry | null {
    const row = this.#query.row(SELECT_KV_ENTRY, storeId, key);
    if (row === null) return null;
    return {
      value: row.value as Uint8Array, revision: Number(row.revision), expiresAtMs: expiry(row),
    };
  }

  /** Keys that begin with `prefix`, in byte order; `after` is `next` of the page before. */
  keys(
    storeId: number, prefix: Uint8Array, after: Uint8Array | null = null, limit = KV_LIST_MAX,
  ): KvPage {
    if (!Number.isSafeInteger(limit) || limit < 1 || limit > KV_LIST_MAX) {
      throw new WardianError('bad_argument', `a page has 1 to ${KV_LIST_MAX} keys`);
    }
    const { from, before } = keyRange(prefix, after);
    const rows = this.#query.rows(SELECT_KV_KEYS, storeId, from, before, limit + 1);
    const keys = rows.slice(0, limit).map((row): KvKey => ({
      key: row.key as Uint8Array,
      byteLength: Number(row.size),
      revision: Number(row.revision),
      expiresAtMs: expiry(row),
    }));
    return { keys, next: rows.length > limit ? keys.at(-1)?.key ?? null : null };
  }

  /** Any command of the key-value store. Throws WardianError as the reply to a guest would say. */
  write(command: StoreCommand): Promise<KvOutcome> {
    return this.#writer.kv(command);
  }
}
