/**
 * The key-value commands, applied inside the writer's transaction. The usage of each store is held
 * in memory while a commit is filled and written back once at its end, so that the quotas are exact
 * and a put costs one read and one write.
 */

import type { DatabaseSync, StatementSync } from 'node:sqlite';

import type { TenantQuotas } from '../../contract/deployment.ts';
import { WardianError } from '../../contract/errors.ts';
import type { StoreCommand } from '../../contract/messages.ts';
import { valueTooLarge } from './kv-check.ts';
import { quotasFrom } from './records.ts';

interface StoreState {
  readonly id: number;
  readonly tenantId: number;
  readonly quotas: TenantQuotas;
  keys: number;
  bytes: number;
  revision: number;
  changed: boolean;
}

/** What is there under a key, expired or not. */
interface Entry {
  readonly rowid: number;
  readonly size: number;
  readonly revision: number;
  readonly expiresAtMs: number | null;
  readonly expired: boolean;
}

export interface KvOutcome {
  /** True when the key was absent before. */
  readonly absent: boolean;
  /** False when a condition did not hold. */
  readonly stored: boolean;
  /** Of the entry now; 0 when it is absent. */
  readonly revision: number;
  readonly value?: bigint;
  /** Bytes read and written, for the bound of the commit. */
  readonly costBytes: number;
}

type PutCommand = Extract<StoreCommand, { readonly op: 'kv_put' }>;
type CompareCommand = Extract<StoreCommand, { readonly op: 'kv_compare' }>;
type IncrementCommand = Extract<StoreCommand, { readonly op: 'kv_increment' }>;

/** A key of one store in one transaction, and the live entry under it, if any. */
interface Place {
  readonly state: StoreState;
  readonly key: Uint8Array;
  readonly entry: Entry | null;
  readonly live: Entry | null;
  readonly nowMs: number;
}

/** States kept between commits; past this they are read again. */
const STATES_MAX = 10_000;
const WHOLE_NUMBER = /^-?\d{1,19}$/;

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const both = new Uint8Array(first.byteLength + second.byteLength);
  both.set(first);
  both.set(second, first.byteLength);
  return both;
}

export class KvTable {
  readonly #states = new Map<number, StoreState>();
  readonly #selectStore: StatementSync;
  readonly #selectEntry: StatementSync;
  readonly #selectValue: StatementSync;
  readonly #insert: StatementSync;
  readonly #update: StatementSync;
  readonly #remove: StatementSync;
  readonly #writeUsage: StatementSync;

  constructor(database: DatabaseSync) {
    this.#selectStore = database.prepare(
      `SELECT tenant_id, keys, bytes, revision, quotas
       FROM kv_store JOIN tenant ON tenant.id = kv_store.tenant_id WHERE kv_store.id = ?`);
    this.#selectEntry = database.prepare(`
      SELECT rowid, length(value) AS size, revision, expires_at_ms
      FROM kv WHERE store_id = ? AND key = ?`);
    this.#selectValue = database.prepare('SELECT value FROM kv WHERE rowid = ?');
    this.#insert = database.prepare(
      'INSERT INTO kv (store_id, key, revision, expires_at_ms, value) VALUES (?, ?, ?, ?, ?)');
    this.#update = database.prepare(
      'UPDATE kv SET revision = ?, expires_at_ms = ?, value = ? WHERE rowid = ?');
    this.#remove = database.prepare('DELETE FROM kv WHERE rowid = ?');
    this.#writeUsage = database.prepare(
      'UPDATE kv_store SET keys = ?, bytes = ?, revision = ? WHERE id = ?');
  }

  /** The owner of a store, or null when there is no such store. */
  tenantOf(storeId: number): number | null {
    return this.#state(storeId)?.tenantId ?? null;
  }

  /** Inside the transaction. Throws WardianError when refused: nothing is changed then. */
  apply(command: StoreCommand, nowMs: number): KvOutcome {
    const state = this.#state(command.storeId);
    if (state === null) throw new WardianError('not_found', 'the store is gone');
    const entry = this.#entry(command.storeId, command.key, nowMs);
    const live = entry === null || entry.expired ? null : entry;
    const place: Place = { state, key: command.key, entry, live, nowMs };
    switch (command.op) {
      case 'kv_put':
        return this.#applyPut(place, command);
      case 'kv_compare':
        return this.#applyCompare(place, command);
      case 'kv_increment':
        return this.#applyIncrement(place, command);
      case 'kv_delete':
        return this.#delete(place);
    }
  }

  #applyPut(place: Place, { mode, value, ttlMs }: PutCommand): KvOutcome {
    const { live, nowMs } = place;
    if (mode === 'absent' && live !== null) return unchanged(live);
    const expiresAtMs = ttlMs === undefined ? null : nowMs + ttlMs;
    if (mode !== 'append' || live === null) return this.#put(place, value, expiresAtMs);
    const { valueBytes } = place.state.quotas;
    if (live.size + value.byteLength > valueBytes) throw valueTooLarge(valueBytes);
    return this.#put(
      place, joined(this.#valueOf(live), value), expiresAtMs ?? live.expiresAtMs);
  }

  #applyCompare(place: Place, { revision, value, ttlMs }: CompareCommand): KvOutcome {
    const { live, nowMs } = place;
    if (revision !== (live?.revision ?? 0)) return unchanged(live);
    if (value === null) return this.#delete(place);
    return this.#put(place, value, ttlMs === undefined ? null : nowMs + ttlMs);
  }

  #applyIncrement(place: Place, { delta }: IncrementCommand): KvOutcome {
    const { live } = place;
    const sum = (live === null ? 0n : wholeNumber(this.#numberText(live))) + delta;
    if (sum !== BigInt.asIntN(64, sum)) {
      throw new WardianError('bad_argument', 'the sum is not a number of 64 bits');
    }
    const text = new Uint8Array(Buffer.from(sum.toString()));
    return { ...this.#put(place, text, live?.expiresAtMs ?? null), value: sum };
  }

  /** The text of a number; longer than one is not read at all. */
  #numberText(entry: Entry): string {
    return entry.size > 20 ? '' : Buffer.from(this.#valueOf(entry)).toString('latin1');
  }

  #valueOf(entry: Entry): Uint8Array {
    return this.#selectValue.get(entry.rowid)?.value as Uint8Array;
  }

  /** Inside the transaction, as its last step: what changed in memory goes to the tables. */
  flush(): void {
    for (const state of this.#states.values()) {
      if (!state.changed) continue;
      this.#writeUsage.run(state.keys, state.bytes, state.revision, state.id);
      state.changed = false;
    }
    if (this.#states.size > STATES_MAX) this.#states.clear();
  }

  /** After a rollback, or when stores were made or removed. Call `flush` first to keep changes. */
  forget(): void {
    this.#states.clear();
  }

  #state(storeId: number): StoreState | null {
    const known = this.#states.get(storeId);
    if (known !== undefined) return known;
    const row = this.#selectStore.get(storeId);
    if (row === undefined) return null;
    const state: StoreState = {
      id: storeId,
      tenantId: Number(row.tenant_id),
      quotas: quotasFrom(row.quotas),
      keys: Number(row.keys),
      bytes: Number(row.bytes),
      revision: Number(row.revision),
      changed: false,
    };
    this.#states.set(storeId, state);
    return state;
  }

  #entry(storeId: number, key: Uint8Array, nowMs: number): Entry | null {
    const row = this.#selectEntry.get(storeId, key);
    if (row === undefined) return null;
    const expiresAtMs = row.expires_at_ms === null ? null : Number(row.expires_at_ms);
    return {
      rowid: Number(row.rowid),
      size: Number(row.size),
      revision: Number(row.revision),
      expiresAtMs,
      expired: expiresAtMs !== null && expiresAtMs <= nowMs,
    };
  }

  /** An expired entry is replaced in place, and counts as absent. */
  #put(place: Place, value: Uint8Array, expiresAtMs: number | null): KvOutcome {
    const { state, key, entry, live } = place;
    const { storeBytes, storeKeys, valueBytes } = state.quotas;
    if (value.byteLength > valueBytes) throw valueTooLarge(valueBytes);
    const added = value.byteLength + (entry === null ? key.byteLength : -entry.size);
    if (added > 0 && state.bytes + added > storeBytes) {
      throw new WardianError('storage_full', `a store holds at most ${storeBytes} bytes`);
    }
    if (entry === null && state.keys + 1 > storeKeys) {
      throw new WardianError('storage_full', `a store holds at most ${storeKeys} keys`);
    }
    const revision = state.revision + 1;
    if (entry === null) this.#insert.run(state.id, key, revision, expiresAtMs, value);
    else this.#update.run(revision, expiresAtMs, value, entry.rowid);
    state.revision = revision;
    state.keys += entry === null ? 1 : 0;
    state.bytes += added;
    state.changed = true;
    const costBytes = (entry?.size ?? 0) + value.byteLength;
    return { absent: live === null, stored: true, revision, costBytes };
  }

  #delete({ state, key, entry, live }: Place): KvOutcome {
    const costBytes = entry?.size ?? 0;
    if (entry !== null) {
      this.#remove.run(entry.rowid);
      state.revision += 1;
      state.keys -= 1;
      state.bytes -= key.byteLength + entry.size;
      state.changed = true;
    }
    return { absent: live === null, stored: true, revision: 0, costBytes };
  }
}

function unchanged(live: Entry | null): KvOutcome {
  return { absent: live === null, stored: false, revision: live?.revision ?? 0, costBytes: 0 };
}

function wholeNumber(text: string): bigint {
  if (WHOLE_NUMBER.test(text)) return BigInt(text);
  throw new WardianError('bad_argument', 'the value is not a whole number in decimal text');
}
