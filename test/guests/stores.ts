/**
 * `hostcall_kv_*` for one guest, written from the description in docs/hostcalls.md and nothing of
 * the daemon's. Times to live are kept and never come.
 */

import type { Hostcalls } from './hostcalls.ts';
import type { MemoryAccess } from './memory.ts';

export interface Kept {
  readonly value: Buffer;
  readonly revision: bigint;
  readonly ttlMs: bigint;
}

/** One key-value store; outlives requests. */
export class TestStore {
  readonly entries = new Map<string, Kept>();
  #revision = 0n;

  put(key: string, value: Buffer, ttlMs: bigint): bigint {
    this.#revision += 1n;
    this.entries.set(key, { value, revision: this.#revision, ttlMs });
    return this.#revision;
  }
}

const [INVALID, NOT_A_NUMBER] = [-1, -4];
const FIRST_HANDLE = 5_000;

class Stores {
  readonly #namespaces: ReadonlyMap<string, TestStore>;
  readonly #names: string[] = [];

  constructor(namespaces: ReadonlyMap<string, TestStore>) {
    this.#namespaces = namespaces;
  }

  open(name: string): number {
    if (name === '' || !this.#namespaces.has(name)) return INVALID;
    if (!this.#names.includes(name)) this.#names.push(name);
    return FIRST_HANDLE + this.#names.indexOf(name);
  }

  find(handle: number): TestStore | null {
    const name = handle === 0 ? '' : this.#names[handle - FIRST_HANDLE];
    return name === undefined ? null : this.#namespaces.get(name) ?? null;
  }
}

/** i64 arguments arrive as BigInt. */
type Argument = number & bigint;
type Call = (store: TestStore, key: string, ...rest: Argument[]) => number;

export function storeHostcalls(
  namespaces: ReadonlyMap<string, TestStore>, memory: MemoryAccess, log: string[],
): Hostcalls {
  const stores = new Stores(namespaces);
  /** For calls that begin with a store and a key. */
  const on = (call: Call) => (handle: number, key: number, length: number, ...rest: number[]) => {
    const store = stores.find(handle);
    if (store === null || length < 1 || length > 2_048) {
      log.push('refused');
      return INVALID;
    }
    return call(store, memory.take(key, length).toString('latin1'), ...rest as Argument[]);
  };
  const note = (out: number, revision: bigint): void => {
    if (out !== 0) memory.writeU64(out, revision);
  };
  /** Calls whose first argument is an out-pointer. */
  const giving = (call: (out: number) => Call) => (out: number, ...rest: number[]) =>
    on(call(out))(...rest as [number, number, number]);
  const revisionOf = (store: TestStore, key: string): bigint =>
    store.entries.get(key)?.revision ?? 0n;
  return {
    hostcall_kv_open: (name, length) => stores.open(memory.text(name, length)),
    hostcall_kv_get: (out, length, revision, ...rest) => on((store, key) => {
      const entry = store.entries.get(key);
      memory.give(out, length, entry?.value ?? Buffer.alloc(0), entry !== undefined);
      note(revision, entry?.revision ?? 0n);
      return entry === undefined ? 0 : 1;
    })(...rest as [number, number, number]),
    hostcall_kv_put: giving((out) => (store, key, value, length, ttl) => {
      const absent = !store.entries.has(key);
      note(out, store.put(key, memory.take(value, length), ttl));
      return absent ? 1 : 0;
    }),
    hostcall_kv_insert: giving((out) => (store, key, value, length, ttl) => {
      const absent = !store.entries.has(key);
      if (absent) store.put(key, memory.take(value, length), ttl);
      note(out, revisionOf(store, key));
      return absent ? 1 : 0;
    }),
    hostcall_kv_append: giving((out) => (store, key, value, length, ttl) => {
      const old = store.entries.get(key);
      const joined = Buffer.concat([old?.value ?? Buffer.alloc(0), memory.take(value, length)]);
      note(out, store.put(key, joined, ttl === 0n ? old?.ttlMs ?? 0n : ttl));
      return old === undefined ? 1 : 0;
    }),
    hostcall_kv_compare_and_set: giving((out) => (store, key, revision, value, length, ttl) => {
      const same = revisionOf(store, key) === revision;
      if (same) store.put(key, memory.take(value, length), ttl);
      note(out, revisionOf(store, key));
      return same ? 1 : 0;
    }),
    hostcall_kv_compare_and_delete: on((store, key, revision) => {
      const same = revisionOf(store, key) === revision;
      if (same) store.entries.delete(key);
      return same ? 1 : 0;
    }),
    hostcall_kv_increment: giving((out) => (store, key, delta) => {
      const old = store.entries.get(key);
      const text = old?.value.toString() ?? '0';
      if (!/^-?\d+$/.test(text)) return NOT_A_NUMBER;
      const sum = BigInt(text) + delta;
      store.put(key, Buffer.from(sum.toString()), old?.ttlMs ?? 0n);
      note(out, sum);
      return old === undefined ? 1 : 0;
    }),
    hostcall_kv_delete: on((store, key) => store.entries.delete(key) ? 1 : 0),
    hostcall_kv_list: (out, count, handle, prefix, prefixLength, cursor, cursorLength, limit) => {
      const store = stores.find(handle);
      if (store === null) return INVALID;
      const start = memory.take(prefix, prefixLength).toString('latin1');
      const after = memory.take(cursor, cursorLength).toString('latin1');
      const keys = [...store.entries.keys()].toSorted()
        .filter((key) => key.startsWith(start) && key > after);
      const most = limit === 0 ? 1_000 : limit;
      memory.giveList(out, count, keys.slice(0, most).map((key) => Buffer.from(key, 'latin1')));
      return keys.length > most ? 1 : 0;
    },
  };
}
