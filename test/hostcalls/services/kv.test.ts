/**
 * The worker's side of the key-value store: reads from a real database, writes over a real channel.
 */

import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { MessageChannel } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import t from 'tap';
import type { Test } from 'tap';
import { KV_KEY_BYTES_MAX, KV_VALUE_BYTES_MAX } from '../../../contract/limits.ts';
import type { StoreReply, StoreRequest } from '../../../contract/messages.ts';
import {
  STORE_REQUEST_VALUES, putStoreReply, takeStoreRequest,
} from '../../../contract/store-wire.ts';
import type { StoreWire } from '../../../contract/store-wire.ts';
import { MIGRATIONS } from '../../../contract/schema.ts';
import { DatabaseReader } from '../../../hostcalls/services/database.ts';
import { WriterChannel } from '../../../hostcalls/services/kv/channel.ts';
import { SqliteKeyValueStore } from '../../../hostcalls/services/kv/store.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (value: Uint8Array | null): string | null =>
  value === null ? null : Buffer.from(value).toString();

function receive(port: MessagePort, take: (request: StoreRequest) => void): void {
  port.on('message', (wire: StoreWire) => {
    for (let at = 0; at < wire.length; at += STORE_REQUEST_VALUES) {
      const request = takeStoreRequest(wire, at);
      if (request !== null) take(request);
    }
  });
}

function answer(port: MessagePort, ...replies: StoreReply[]): void {
  const wire: StoreWire = [];
  for (const reply of replies) putStoreReply(wire, reply);
  port.postMessage(wire);
}

/** As little of a writer as the protocol needs: commits each command, then answers. */
function writer(path: string, port: MessagePort, requests: StoreRequest[]): DatabaseSync {
  const database = new DatabaseSync(path);
  database.exec('PRAGMA journal_mode = WAL');
  for (const migration of MIGRATIONS) database.exec(migration);
  const find = database.prepare('SELECT value FROM kv WHERE store_id = ? AND key = ?');
  const put = database.prepare('INSERT OR REPLACE INTO kv (store_id, key, value) VALUES (?, ?, ?)');
  const remove = database.prepare('DELETE FROM kv WHERE store_id = ? AND key = ?');
  receive(port, ({ id, command, epoch }) => {
    requests.push({ id, command, epoch });
    const old = find.get(command.storeId, command.key)?.['value'] as Uint8Array | undefined;
    if (command.op === 'kv_delete') {
      remove.run(command.storeId, command.key);
    } else if (command.op !== 'kv_put') {
      throw new Error(`not a command of this ABI: ${command.op}`);
    } else if (command.mode === 'append') {
      const value = Buffer.concat([old ?? new Uint8Array(), command.value]);
      put.run(command.storeId, command.key, value);
    } else if (command.mode === 'always' || old === undefined) {
      put.run(command.storeId, command.key, command.value);
    }
    answer(port, { id, ok: true, absent: old === undefined });
  });
  return database;
}

function setUp(t: Test, start = true, now?: () => number) {
  const path = join(t.testdir({}), 'wardian.db');
  const { port1, port2 } = new MessageChannel();
  const requests: StoreRequest[] = [];
  const reader = new DatabaseReader(path);
  const database = start ? writer(path, port1, requests) : null;
  const channel = new WriterChannel(port2, now);
  const store = new SqliteKeyValueStore(reader, channel);
  t.teardown(() => {
    channel.close();
    reader.close();
    database?.close();
    port1.close();
  });
  return { path, port1, requests, channel, store, reader, database };
}

t.test('what was written is read, by store and key', async (t) => {
  const { store } = setUp(t);
  t.equal(store.get(1, bytes('key')), null);
  t.equal((await store.put(1, bytes('key'), bytes('one'), 'always')).absent, true);
  t.equal(text(store.get(1, bytes('key'))), 'one');
  t.equal((await store.put(1, bytes('key'), bytes('two'), 'always')).absent, false);
  t.equal((await store.put(1, bytes('key'), bytes('three'), 'absent')).absent, false);
  t.equal(text(store.get(1, bytes('key'))), 'two');
  t.equal((await store.put(1, bytes('key'), bytes('+'), 'append')).absent, false);
  t.equal(text(store.get(1, bytes('key'))), 'two+');
  t.equal(store.get(2, bytes('key')), null, 'another store has its own');
  t.equal((await store.put(1, bytes('empty'), new Uint8Array(), 'always')).absent, true);
  t.equal(store.get(1, bytes('empty'))?.length, 0);
  t.equal(await store.delete(1, bytes('key')), true);
  t.equal(await store.delete(1, bytes('key')), false);
  t.equal(store.get(1, bytes('key')), null);
  const binary = Uint8Array.from({ length: 256 }, (_, index) => index);
  await store.put(1, binary, binary, 'always');
  t.same(store.get(1, binary), binary);
});

t.test('keys and values have bounds, checked before anything is sent', async (t) => {
  const { store, requests } = setUp(t);
  const longKey = new Uint8Array(KV_KEY_BYTES_MAX + 1);
  const refused = (work: Promise<unknown>) => t.rejects(work, /a (key|value) has/);
  for (const key of [new Uint8Array(), longKey]) {
    t.throws(() => store.get(1, key), /a key has 1 to/);
    await refused(store.put(1, key, bytes('x'), 'always'));
    await refused(store.delete(1, key));
  }
  await refused(store.put(1, bytes('k'), new Uint8Array(KV_VALUE_BYTES_MAX + 1), 'append'));
  t.same(requests, []);
  const key = new Uint8Array(KV_KEY_BYTES_MAX).fill(1);
  await store.put(1, key, new Uint8Array(KV_VALUE_BYTES_MAX).fill(2), 'always');
  t.equal(store.get(1, key)?.length, KV_VALUE_BYTES_MAX);
});

t.test('views of guest memory are copied, and the memory stays with the guest', async (t) => {
  const { store, requests } = setUp(t);
  const memory = new WebAssembly.Memory({ initial: 4 });
  const view = new Uint8Array(memory.buffer);
  view.fill(7);
  const key = view.subarray(0, 3);
  const value = view.subarray(100, 40_100);
  const work = store.put(1, key, value, 'always');
  view.fill(9);
  await work;
  t.equal(memory.buffer.byteLength, 4 * 65_536, 'it was not transferred');
  const [sent] = requests;
  t.equal(sent?.command.key.byteLength, 3);
  t.equal(
    sent?.command.op === 'kv_put' ? sent.command.value.buffer.byteLength : null, 40_000,
    'and not cloned as a whole');
  const stored = store.get(1, new Uint8Array([7, 7, 7]));
  t.ok(stored?.length === 40_000 && stored.every((byte) => byte === 7));
});

t.test('what is written in one turn leaves in one message, a long turn apart', async (t) => {
  // A clock that stands: how fast this machine is must not matter.
  const { store, channel, port1 } = setUp(t, false, () => 5_000);
  const sizes: number[] = [];
  port1.on('message', (wire: StoreWire) => {
    const ids: number[] = [];
    for (let at = 0; at < wire.length; at += STORE_REQUEST_VALUES) {
      ids.push(takeStoreRequest(wire, at)?.id ?? 0);
    }
    sizes.push(ids.length);
    answer(port1, ...ids.map((id): StoreReply => ({ id, ok: true, absent: true })));
  });
  const put = (key: string) => store.put(1, bytes(key), bytes('v'), 'always');
  await Promise.all(['a', 'b', 'c'].map(put));
  t.same(sizes, [3]);
  // Answered together they go on together: each of them in a microtask of its own.
  await Promise.all(['a', 'b', 'c'].map(async (key) => {
    await put(key);
    await put(key);
  }));
  t.same(sizes, [3, 3, 3]);
  const first = put('a');
  channel.sendDue(4_000);
  const second = put('b');
  channel.sendDue(6_000);
  const third = put('c');
  await Promise.all([first, second, third]);
  t.same(sizes, [3, 3, 3, 2, 1], 'what was due did not wait for the end of the turn');
});

t.test('answers come in any order, and failures are typed', async (t) => {
  const { store, port1 } = setUp(t, false);
  const held: number[] = [];
  receive(port1, ({ id }) => {
    held.push(id);
    if (held.length < 3) return;
    answer(port1, { id: 9_999, ok: true, absent: true });
    answer(
      port1, { id: held[2] ?? 0, ok: true, absent: true },
      { id: held[0] ?? 0, ok: false, code: 'storage_full', message: 'full' });
    answer(port1, { id: held[1] ?? 0, ok: true, absent: false });
  });
  const works = ['a', 'b', 'c'].map((key) => store.put(1, bytes(key), bytes('v'), 'always'));
  const [first, second, third] = await Promise.allSettled(works);
  t.match(first, { status: 'rejected', reason: { code: 'storage_full', message: 'full' } });
  t.match(second, { status: 'fulfilled', value: { absent: false } });
  t.match(third, { status: 'fulfilled', value: { absent: true } });
});

t.test('the database may come after the worker', async (t) => {
  const { path, port1, store } = setUp(t, false);
  const read = (): string => {
    try {
      return text(store.get(1, bytes('k'))) ?? 'none';
    } catch (error) {
      return (error as { code: string }).code;
    }
  };
  t.equal(read(), 'store_failed');
  const database = writer(path, port1, []);
  t.teardown(() => database.close());
  t.equal(read(), 'none');
  await store.put(1, bytes('k'), bytes('v'), 'always');
  t.equal(read(), 'v');
});

t.test('a read does not wait for a write under way', async (t) => {
  const { store, database } = setUp(t);
  await store.put(1, bytes('k'), bytes('old'), 'always');
  database?.exec('BEGIN IMMEDIATE');
  database?.prepare('UPDATE kv SET value = ?').run(bytes('new'));
  t.equal(text(store.get(1, bytes('k'))), 'old');
  database?.exec('COMMIT');
  t.equal(text(store.get(1, bytes('k'))), 'new');
});

t.test('the connection cannot write', async (t) => {
  const { path } = setUp(t);
  const reader = new DatabaseSync(path, { readOnly: true });
  t.throws(() => reader.exec('DELETE FROM kv'), /readonly/);
  reader.close();
});

t.test('when the writer or the worker goes, waiting writes fail', async (t) => {
  const one = setUp(t, false);
  const lost = one.store.put(1, bytes('k'), bytes('v'), 'always');
  one.port1.close();
  await t.rejects(lost, /the store did not answer/);
  await t.rejects(one.store.put(1, bytes('k'), bytes('v'), 'always'), /the store is closed/);
  const two = setUp(t, false);
  const cut = two.store.delete(1, bytes('k'));
  two.channel.close();
  two.reader.close();
  await t.rejects(cut, /the store did not answer/);
  t.throws(() => two.store.get(1, bytes('k')), /the store is closed/);
});
