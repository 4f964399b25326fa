/**
 * Key-value stores as guests see them: reads straight from the database through the worker's own
 * read-only connection, writes as commands to the store's writer. A write that was acknowledged is
 * seen by every later read: the writer answers after the commit, and each read here is a
 * transaction of its own.
 */

import { WardianError } from '../../../contract/errors.ts';
import { keyRange } from '../../../contract/keys.ts';
import {
  KV_KEY_BYTES_MAX, KV_LIST_MAX, KV_TTL_MS_MAX, KV_VALUE_BYTES_MAX,
} from '../../../contract/limits.ts';
import type { StoreCommand } from '../../../contract/messages.ts';
import { SELECT_KV_ENTRY, SELECT_KV_KEYS, SELECT_KV_VALUE } from '../../../contract/schema.ts';
import type { DatabaseReader } from '../database.ts';
import type { Acknowledged, WriterChannel } from './channel.ts';
import type {
  KeyValueEntry, KeyValuePage, KeyValueStore, KeyValueWritten, PutMode,
} from '../types.ts';

function bad(message: string): WardianError {
  return new WardianError('bad_hostcall', message);
}

function checkKey(key: Uint8Array): void {
  if (key.length >= 1 && key.length <= KV_KEY_BYTES_MAX) return;
  throw bad(`a key has 1 to ${KV_KEY_BYTES_MAX} bytes, this one has ${key.length}`);
}

function checkValue(value: Uint8Array): void {
  if (value.length <= KV_VALUE_BYTES_MAX) return;
  throw bad(`a value has at most ${KV_VALUE_BYTES_MAX} bytes, this one has ${value.length}`);
}

/** What the command says of it: nothing for null. */
function timeToLive(ttlMs: number | null): { readonly ttlMs?: number } {
  if (ttlMs === null) return {};
  if (Number.isSafeInteger(ttlMs) && ttlMs >= 1 && ttlMs <= KV_TTL_MS_MAX) return { ttlMs };
  throw bad(`a time to live has 1 to ${KV_TTL_MS_MAX} milliseconds`);
}

/** For a command that the writer carried out: the parts of its answer that may be left out. */
function written(reply: Acknowledged): KeyValueWritten {
  return { absent: reply.absent, stored: reply.stored ?? true, revision: reply.revision ?? 0 };
}

export class SqliteKeyValueStore implements KeyValueStore {
  readonly #reader: DatabaseReader;
  readonly #channel: WriterChannel;

  /** Writes go to the database that the reader reads, or are refused. */
  constructor(reader: DatabaseReader, channel: WriterChannel) {
    this.#reader = reader;
    this.#channel = channel;
  }

  get(storeId: number, key: Uint8Array): Uint8Array | null {
    checkKey(key);
    const row = this.#reader.row(SELECT_KV_VALUE, storeId, key);
    return row === undefined ? null : row['value'] as Uint8Array;
  }

  entry(storeId: number, key: Uint8Array): KeyValueEntry | null {
    checkKey(key);
    const row = this.#reader.row(SELECT_KV_ENTRY, storeId, key);
    if (row === undefined) return null;
    return { value: row['value'] as Uint8Array, revision: Number(row['revision']) };
  }

  list(
    storeId: number, prefix: Uint8Array, after: Uint8Array | null, count: number,
  ): KeyValuePage {
    if (Math.max(prefix.length, after?.length ?? 0) > KV_KEY_BYTES_MAX) {
      throw bad(`a key has at most ${KV_KEY_BYTES_MAX} bytes`);
    }
    if (!(count >= 1 && count <= KV_LIST_MAX)) throw bad(`a page has 1 to ${KV_LIST_MAX} keys`);
    const { from, before } = keyRange(prefix, after);
    // One more than asked for tells whether there are more.
    const keys = this.#reader.rows(SELECT_KV_KEYS, storeId, from, before, count + 1)
      .map((row) => row['key'] as Uint8Array);
    return { keys: keys.slice(0, count), more: keys.length > count };
  }

  async put(
    storeId: number, key: Uint8Array, value: Uint8Array, mode: PutMode,
    ttlMs: number | null = null,
  ): Promise<KeyValueWritten> {
    checkKey(key);
    checkValue(value);
    return written(await this.#send(
      { op: 'kv_put', storeId, key, value, mode, ...timeToLive(ttlMs) }));
  }

  async compareAndSet(
    storeId: number, key: Uint8Array, revision: number, value: Uint8Array | null,
    ttlMs: number | null = null,
  ): Promise<KeyValueWritten> {
    checkKey(key);
    if (value !== null) checkValue(value);
    if (!Number.isSafeInteger(revision) || revision < 0) throw bad('not a revision');
    return written(await this.#send(
      { op: 'kv_compare', storeId, key, revision, value, ...timeToLive(ttlMs) }));
  }

  async increment(
    storeId: number, key: Uint8Array, delta: bigint,
  ): Promise<{ readonly absent: boolean; readonly sum: bigint }> {
    checkKey(key);
    const { absent, value } = await this.#send(
      { op: 'kv_increment', storeId, key, delta: BigInt.asIntN(64, delta) });
    if (value === undefined) throw new WardianError('store_failed', 'the store answered no sum');
    return { absent, sum: value };
  }

  async delete(storeId: number, key: Uint8Array): Promise<boolean> {
    checkKey(key);
    return !(await this.#send({ op: 'kv_delete', storeId, key })).absent;
  }

  #send(command: StoreCommand): Promise<Acknowledged> {
    return this.#channel.send(command, this.#reader.at);
  }
}
