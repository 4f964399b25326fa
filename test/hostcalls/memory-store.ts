/** Key-value stores in memory, for tests of hostcalls: they answer as the real ones do. */

import { WardianError } from '../../contract/errors.ts';
import type {
  KeyValueEntry, KeyValuePage, KeyValueStore, KeyValueWritten, PutMode,
} from '../../hostcalls/services/index.ts';

interface MemoryEntry {
  readonly value: Uint8Array;
  readonly revision: number;
  readonly ttlMs: number | null;
}

/** Stores in memory: what the stores themselves guarantee is tested where they are. */
export class MemoryStore implements KeyValueStore {
  readonly entries = new Map<string, MemoryEntry>();
  #revision = 0;

  /** What is under a key, as text. */
  text(storeId: number, key: string): string | null {
    const entry = this.#find(storeId, Buffer.from(key));
    return entry === null ? null : Buffer.from(entry.value).toString('latin1');
  }

  ttl(storeId: number, key: string): number | null {
    return this.#find(storeId, Buffer.from(key))?.ttlMs ?? null;
  }

  #find(storeId: number, key: Uint8Array): MemoryEntry | null {
    return this.entries.get(`${storeId}:${Buffer.from(key).toString('latin1')}`) ?? null;
  }

  #set(
    storeId: number, key: Uint8Array, value: Uint8Array, ttlMs: number | null,
  ): KeyValueWritten {
    const absent = this.#find(storeId, key) === null;
    const revision = ++this.#revision;
    this.entries.set(`${storeId}:${Buffer.from(key).toString('latin1')}`,
      { value, revision, ttlMs });
    return { absent, stored: true, revision };
  }

  get(storeId: number, key: Uint8Array): Uint8Array | null {
    return this.#find(storeId, key)?.value ?? null;
  }

  entry(storeId: number, key: Uint8Array): KeyValueEntry | null {
    return this.#find(storeId, key);
  }

  list(
    storeId: number, prefix: Uint8Array, after: Uint8Array | null, count: number,
  ): KeyValuePage {
    const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
    const start = `${storeId}:`;
    const keys = [...this.entries.keys()]
      .filter((name) => name.startsWith(start + text(prefix)))
      .map((name) => name.slice(start.length))
      .filter((name) => after === null || name > text(after))
      .toSorted();
    const page = keys.slice(0, count).map((name) => new Uint8Array(Buffer.from(name, 'latin1')));
    return { keys: page, more: keys.length > count };
  }

  async put(
    storeId: number, key: Uint8Array, value: Uint8Array, mode: PutMode,
    ttlMs: number | null = null,
  ): Promise<KeyValueWritten> {
    const old = this.#find(storeId, key);
    if (mode === 'absent' && old !== null) {
      return { absent: false, stored: false, revision: old.revision };
    }
    if (mode !== 'append' || old === null) return this.#set(storeId, key, value, ttlMs);
    return this.#set(storeId, key, Buffer.concat([old.value, value]), ttlMs ?? old.ttlMs);
  }

  async compareAndSet(
    storeId: number, key: Uint8Array, revision: number, value: Uint8Array | null,
    ttlMs: number | null = null,
  ): Promise<KeyValueWritten> {
    const old = this.#find(storeId, key);
    const absent = old === null;
    if (revision !== (old?.revision ?? 0)) {
      return { absent, stored: false, revision: old?.revision ?? 0 };
    }
    if (value !== null) return this.#set(storeId, key, value, ttlMs);
    await this.delete(storeId, key);
    return { absent, stored: true, revision: 0 };
  }

  async increment(
    storeId: number, key: Uint8Array, delta: bigint,
  ): Promise<{ absent: boolean; sum: bigint }> {
    const old = this.#find(storeId, key);
    const text = old === null ? '0' : Buffer.from(old.value).toString('latin1');
    if (!/^-?\d+$/.test(text)) throw new WardianError('bad_argument', 'not a whole number');
    const sum = BigInt(text) + delta;
    this.#set(storeId, key, Buffer.from(`${sum}`), old?.ttlMs ?? null);
    return { absent: old === null, sum };
  }

  async delete(storeId: number, key: Uint8Array): Promise<boolean> {
    return this.entries.delete(`${storeId}:${Buffer.from(key).toString('latin1')}`);
  }
}
