/**
 * The key-value commands through the writer thread: semantics, quotas, several ports at once,
 * commands that are malformed, and usage that stays exact.
 */

import { DatabaseSync } from 'node:sqlite';
import t from 'tap';

import {
  KV_KEY_BYTES_MAX, KV_STORE_BYTES_MAX, KV_STORE_KEYS_MAX, KV_VALUE_BYTES_MAX,
} from '../../../contract/limits.ts';
import type { StoreCommand } from '../../../contract/messages.ts';
import { SELECT_KV_VALUE } from '../../../contract/schema.ts';
import type { Store } from '../../../daemon/store/store.ts';
import { WorkerPort, bytes, deployed, said, testStore, text } from './support.ts';

/** Reads as a worker does: its own read-only connection and the shared query. */
function readerOf(t: { teardown(end: () => void): void }, store: Store) {
  const database = new DatabaseSync(store.databasePath, { readOnly: true });
  t.teardown(() => database.close());
  const select = database.prepare(SELECT_KV_VALUE);
  return {
    database,
    get: (storeId: number, key: string): string | null =>
      text((select.get(storeId, bytes(key))?.value ?? null) as Uint8Array | null),
    /** What the tables say is used, and what is. */
    usage(storeId: number) {
      const said = database.prepare('SELECT keys, bytes FROM kv_store WHERE id = ?').get(storeId);
      const is = database.prepare(`
        SELECT count(*) AS keys, coalesce(sum(length(key) + length(value)), 0) AS bytes
        FROM kv WHERE store_id = ?`).get(storeId);
      return { said: { ...said }, is: { ...is } };
    },
  };
}


async function opened(t: Parameters<typeof testStore>[0]) {
  const store = await testStore(t);
  const { app } = await deployed(store, 'hello');
  const worker = new WorkerPort(store);
  t.teardown(async () => worker.close());
  return { store, storeId: app.id, worker };
}

t.test('put always, if absent, append, and delete', async (t) => {
  const { store, storeId, worker } = await opened(t);
  const { get, usage } = readerOf(t, store);
  const put = async (...args: [string, string, ('always' | 'absent' | 'append')?]) =>
    said(await worker.put(storeId, ...args));

  t.equal(get(storeId, 'k'), null);
  t.equal(await put('k', 'one'), 'absent');
  t.equal(get(storeId, 'k'), 'one');
  t.equal(await put('k', 'three'), 'present', 'always replaces');
  t.equal(get(storeId, 'k'), 'three');
  t.equal(await put('k', 'four', 'absent'), 'present', 'absent leaves what is there');
  t.equal(get(storeId, 'k'), 'three');
  t.equal(await put('new', 'five', 'absent'), 'absent');
  t.equal(get(storeId, 'new'), 'five');
  t.equal(await put('k', '!', 'append'), 'present');
  t.equal(get(storeId, 'k'), 'three!');
  t.equal(await put('log', 'first', 'append'), 'absent', 'append inserts');
  t.equal(await put('', '', 'always'), 'absent', 'an empty key and value are a key and a value');
  t.equal(get(storeId, ''), '');
  t.same(usage(storeId).said, { keys: 4, bytes: 7 + 7 + 8 });
  t.same(usage(storeId).said, usage(storeId).is);
  t.equal(said(await worker.delete(storeId, 'k')), 'present');
  t.equal(said(await worker.delete(storeId, 'k')), 'absent');
  t.equal(get(storeId, 'k'), null);
  t.same(usage(storeId).said, { keys: 3, bytes: 15 });
  t.same(usage(storeId).said, usage(storeId).is);
});

t.test('keys and values are bytes, kept exactly', async (t) => {
  const { store, storeId, worker } = await opened(t);
  const { database } = readerOf(t, store);
  const all = Uint8Array.from({ length: 256 }, (_, n) => n);
  await worker.send({ op: 'kv_put', storeId, key: all, value: all, mode: 'always' });
  await worker.send({ op: 'kv_put', storeId, key: all, value: all, mode: 'append' });
  const row = database.prepare('SELECT key, value FROM kv').get();
  t.same(Buffer.from(row?.key as Uint8Array), Buffer.from(all));
  t.same(Buffer.from(row?.value as Uint8Array), Buffer.concat([all, all]));
});

t.test('stores are apart: the same key, another app', async (t) => {
  const { store, storeId, worker } = await opened(t);
  const other = await deployed(store, 'other', 'tenant-2');
  const { get } = readerOf(t, store);
  await worker.put(storeId, 'k', 'mine');
  t.equal(get(other.app.id, 'k'), null);
  t.equal(said(await worker.delete(other.app.id, 'k')), 'absent');
  t.equal(get(storeId, 'k'), 'mine');
});

t.test('appends of several ports at once: none is lost, none is torn', async (t) => {
  const { store, storeId } = await opened(t);
  const { get, usage } = readerOf(t, store);
  const ports = Array.from({ length: 4 }, () => new WorkerPort(store));
  t.teardown(async () => ports.forEach((port) => port.close()));
  const replies = await Promise.all(ports.flatMap((port, number) =>
    Array.from({ length: 250 }, () => port.put(storeId, 'log', `${number}`.repeat(8), 'append'))));
  t.equal(replies.filter((reply) => said(reply) === 'absent').length, 1, 'one of them was first');
  const log = get(storeId, 'log') ?? '';
  t.equal(log.length, 1_000 * 8);
  t.match(log, /^(0{8}|1{8}|2{8}|3{8})+$/);
  t.same(usage(storeId).said, usage(storeId).is);
  const { commits, commands, largestCommit } = await store.stats();
  t.ok(largestCommit > 1 && commits < commands, `${commands} commands in ${commits} commits`);
});

t.test('insert-if-absent of several ports at once: exactly one wins', async (t) => {
  const { store, storeId } = await opened(t);
  const ports = Array.from({ length: 4 }, () => new WorkerPort(store));
  t.teardown(async () => ports.forEach((port) => port.close()));
  for (let round = 0; round < 20; round += 1) {
    const replies = await Promise.all(
      ports.map((port, n) => port.put(storeId, `lock ${round}`, `${n}`, 'absent')));
    t.equal(replies.filter((reply) => said(reply) === 'absent').length, 1);
  }
});

t.test('a random history ends as a map does, with exact usage', async (t) => {
  const { store, storeId, worker } = await opened(t);
  const { get, usage } = readerOf(t, store);
  const model = new Map<string, string>();
  let seed = 12_345;
  const random = (below: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor(seed / 65_536) % below;
  };
  const replies: Promise<string>[] = [];
  const expected: string[] = [];
  for (let n = 0; n < 3_000; n += 1) {
    const key = `key ${random(40)}`;
    const value = 'v'.repeat(random(50));
    const mode = (['always', 'absent', 'append', 'delete'] as const)[random(4)] ?? 'delete';
    const before = model.get(key);
    expected.push(before === undefined ? 'absent' : 'present');
    if (mode === 'delete') {
      model.delete(key);
      replies.push(worker.delete(storeId, key).then(said));
      continue;
    }
    if (mode === 'append') model.set(key, `${before ?? ''}${value}`);
    else if (mode === 'always' || before === undefined) model.set(key, value);
    replies.push(worker.put(storeId, key, value, mode).then(said));
  }
  t.same(await Promise.all(replies), expected);
  for (let n = 0; n < 40; n += 1) t.equal(get(storeId, `key ${n}`), model.get(`key ${n}`) ?? null);
  t.same(usage(storeId).said, usage(storeId).is);
});

t.test('quotas: a full store refuses what would grow it, and nothing else', async (t) => {
  const { store, storeId, worker } = await opened(t);
  const { usage } = readerOf(t, store);
  await worker.put(storeId, 'k', '12345');
  const other = await deployed(store, 'other');
  const tamper = new DatabaseSync(store.databasePath, { timeout: 5_000 });
  // As if other entries took the rest; the next control command makes the writer read it anew.
  tamper.prepare('UPDATE kv_store SET bytes = ? WHERE id = ?').run(KV_STORE_BYTES_MAX - 3, storeId);
  tamper.close();
  await store.ensureTenant('acme');
  t.equal(said(await worker.put(storeId, 'k', '123456789')), 'storage_full');
  t.equal(said(await worker.put(storeId, 'k', '6789', 'append')), 'storage_full');
  t.equal(said(await worker.put(storeId, 'n', 'new')), 'storage_full');
  t.equal(said(await worker.put(storeId, 'k', '678', 'append')), 'present', 'up to the last byte');
  t.equal(said(await worker.put(storeId, 'k', '1')), 'present', 'smaller is fine');
  t.equal(said(await worker.put(other.app.id, 'k', 'v')), 'absent', 'another store is not full');
  t.equal(usage(storeId).said.bytes, KV_STORE_BYTES_MAX - 7);
  t.equal(said(await worker.delete(storeId, 'k')), 'present');

  const again = new DatabaseSync(store.databasePath, { timeout: 5_000 });
  again.prepare('UPDATE kv_store SET bytes = 0, keys = ? WHERE id = ?')
    .run(KV_STORE_KEYS_MAX - 1, storeId);
  again.close();
  await store.ensureTenant('acme');
  t.equal(said(await worker.put(storeId, 'last', 'v')), 'absent');
  t.equal(said(await worker.put(storeId, 'more', 'v')), 'storage_full');
  t.equal(said(await worker.put(storeId, 'last', 'w')), 'present');
});

t.test('a value at its largest, and one byte more', async (t) => {
  const { store, storeId, worker } = await opened(t);
  const { usage } = readerOf(t, store);
  const largest = new Uint8Array(KV_VALUE_BYTES_MAX).fill(7);
  const tooLarge = new Uint8Array(KV_VALUE_BYTES_MAX + 1);
  t.equal(said(await worker.put(storeId, 'big', largest)), 'absent');
  t.equal(said(await worker.put(storeId, 'big', 'x', 'append')), 'bad_argument');
  t.equal(said(await worker.put(storeId, 'big', tooLarge)), 'bad_argument');
  t.equal(said(await worker.put(storeId, 'k'.repeat(KV_KEY_BYTES_MAX), 'v')), 'absent');
  t.equal(said(await worker.put(storeId, 'k'.repeat(KV_KEY_BYTES_MAX + 1), 'v')), 'bad_argument');
  t.same(usage(storeId).said, {
    keys: 2, bytes: 3 + KV_VALUE_BYTES_MAX + KV_KEY_BYTES_MAX + 1,
  });
});

t.test('malformed commands are refused, whatever they hold, and the writer goes on', async (t) => {
  const { storeId, worker } = await opened(t);
  const key = bytes('k');
  const malformed: unknown[] = [
    { op: 'kv_put', storeId, key: 7, value: key, mode: 'always' },
    { op: 'kv_put', storeId, key, value: null, mode: 'always' },
    { op: 'kv_put', storeId, key, value: [7], mode: 'always' },
    { op: 'kv_put', storeId, key, value: key, mode: 'maybe' },
    { op: 'kv_put', storeId: 1.5, key, value: key, mode: 'always' },
    { op: 'kv_put', storeId: '1', key, value: key, mode: 'always' },
    { op: 'kv_delete', storeId },
    { op: 'kv_delete', storeId: null, key },
    { op: 'delete_app', appId: storeId, storeId, key },
    { op: 'constructor', storeId, key },
    {},
  ];
  for (const command of malformed) {
    const reply = await worker.send(command as StoreCommand);
    t.equal(said(reply), 'bad_argument', JSON.stringify(command));
  }
  const put = ['kv_put', storeId, 'k', 'v', 'always', undefined];
  for (let count = 0; count < 5; count += 1) {
    t.equal(said(await worker.sendValues(put.slice(0, count))), 'bad_argument', `${count} values`);
  }
  t.equal(said(await worker.sendValues([null, storeId, 'k', 'v', 'always', null])), 'bad_argument');
  t.equal(said(await worker.sendValues(['kv_put', storeId, {}, 'v', 'always', null])),
    'bad_argument');
  t.equal(said(await worker.sendValues(
    ['kv_put', storeId, 'k'.repeat(KV_KEY_BYTES_MAX + 1), 'v', 'always', undefined],
  )), 'bad_argument');
  for (const unknown of [0, -1, storeId + 1, Number.MAX_SAFE_INTEGER]) {
    t.equal(said(await worker.put(unknown, 'k', 'v')), 'not_found', `store ${unknown}`);
  }
  for (const message of ['not a request', null, {}, [], ['x', ...put], [1.5, ...put]]) {
    worker.port.postMessage(message, []);
  }
  t.equal(said(await worker.put(storeId, 'k', 'v')), 'absent');
});

t.test('commands that came in one message are answered in one, each with its own', async (t) => {
  const { store, storeId, worker } = await opened(t);
  const { get } = readerOf(t, store);
  const put = (key: Uint8Array, value: Uint8Array): StoreCommand =>
    ({ op: 'kv_put', storeId, key, value, mode: 'always' });
  const every = Uint8Array.from({ length: 256 }, (_, n) => n);
  const before = worker.messages;
  const replies = await worker.sendTogether([
    put(bytes('a'), bytes('1')),
    put(bytes('b'), new Uint8Array(100_000).fill(7)),
    { op: 'kv_increment', storeId, key: bytes('a'), delta: 41n },
    { op: 'kv_compare', storeId, key: bytes('a'), revision: 1, value: null },
    { op: 'kv_increment', storeId, key: bytes('b'), delta: 1n },
    { op: 'kv_delete', storeId, key: bytes('none') },
    put(every, every),
    put(bytes('empty'), new Uint8Array()),
    put(bytes('a'), bytes('x'.repeat(2_049))),
  ]);
  t.same(replies.map((reply) => (reply.ok
    ? [reply.absent, reply.stored, reply.revision, reply.value] : reply.code)), [
    [true, true, 1, undefined],
    [true, true, 2, undefined],
    [false, true, 3, 42n],
    [false, false, 3, undefined],
    'bad_argument',
    [true, true, 0, undefined],
    [true, true, 4, undefined],
    [true, true, 5, undefined],
    [false, true, 6, undefined],
  ]);
  t.equal(worker.messages - before, 1);
  t.equal(get(storeId, 'a'), 'x'.repeat(2_049));
  t.equal(get(storeId, 'b')?.length, 100_000);
  t.equal(get(storeId, 'empty'), '');
  const database = new DatabaseSync(store.databasePath, { readOnly: true });
  t.same(new Uint8Array(database.prepare('SELECT value FROM kv WHERE key = ?')
    .get(every)?.['value'] as Uint8Array), every, 'every byte survives as text');
  database.close();
});

t.test('expired entries are absent to readers and to writers, and are purged', async (t) => {
  const { store, storeId, worker } = await opened(t);
  const { get, usage } = readerOf(t, store);
  for (const key of ['a', 'b', 'c', 'd']) await worker.put(storeId, key, 'old');
  const tamper = new DatabaseSync(store.databasePath, { timeout: 5_000 });
  tamper.exec('UPDATE kv SET expires_at_ms = 1');
  tamper.close();
  t.equal(get(storeId, 'a'), null);
  const replies = await Promise.all([
    worker.put(storeId, 'a', 'new', 'absent'), worker.put(storeId, 'b', 'new', 'append'),
    worker.delete(storeId, 'c'),
  ]);
  t.same(replies.map(said), ['absent', 'absent', 'absent']);
  t.equal(get(storeId, 'a'), 'new');
  t.equal(get(storeId, 'b'), 'new', 'appended to nothing');
  while (usage(storeId).is.keys !== 2) await new Promise((resolve) => setTimeout(resolve, 20));
  t.same(usage(storeId).said, { keys: 2, bytes: 8 });
});

t.test('a port that closes does not disturb the others', async (t) => {
  const { store, storeId, worker } = await opened(t);
  const dying = new WorkerPort(store);
  const last = dying.put(storeId, 'dying', 'v');
  dying.close();
  t.equal(said(await worker.put(storeId, 'k', 'v')), 'absent');
  await Promise.race([last, Promise.resolve()]);
  await store.tenants.change(1, { suspended: false });
  t.equal(said(await worker.put(storeId, 'k', 'w')), 'present');
});
