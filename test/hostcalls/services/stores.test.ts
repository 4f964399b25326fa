/**
 * The services of a worker over the daemon's own store: every operation of a namespace, quotas,
 * times to live, and secrets, as guests get them.
 */

import { MessageChannel } from 'node:worker_threads';
import t from 'tap';
import type { Test } from 'tap';
import { KV_LIST_MAX } from '../../../contract/limits.ts';
import { openStore } from '../../../daemon/store/store.ts';
import type { Store } from '../../../daemon/store/store.ts';
import { DatabaseReader } from '../../../hostcalls/services/database.ts';
import { WriterChannel } from '../../../hostcalls/services/kv/channel.ts';
import { SqliteKeyValueStore } from '../../../hostcalls/services/kv/store.ts';
import { KeyRing } from '../../../contract/key-ring.ts';
import { SealedSecrets } from '../../../hostcalls/services/secrets.ts';
import { deployed } from '../../daemon/store/support.ts';

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const text = (value: Uint8Array | null | undefined): string | null =>
  value === null || value === undefined ? null : Buffer.from(value).toString();
const KEYS = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];

interface World {
  readonly store: Store;
  readonly reader: DatabaseReader;
  readonly kv: SqliteKeyValueStore;
}

const opened = (reader: DatabaseReader, keys: readonly Uint8Array[]): SealedSecrets =>
  new SealedSecrets(reader, KeyRing.of(keys));

async function setUp(t: Test, secretKeys: readonly Uint8Array[] = KEYS): Promise<World> {
  const store = await openStore({ dataFolder: t.testdir(), durability: 'process', secretKeys });
  const { port1, port2 } = new MessageChannel();
  store.attachWorker(port2);
  const reader = new DatabaseReader(store.databasePath);
  const channel = new WriterChannel(port1);
  const kv = new SqliteKeyValueStore(reader, channel);
  t.teardown(async () => {
    channel.close();
    reader.close();
    await store.close();
  });
  return { store, reader, kv };
}

t.test('revisions: what a write answers is what reads tell and comparisons take', async (t) => {
  const { store, kv } = await setUp(t);
  const { appId } = await deployed(store, 'one');
  const key = bytes('k');
  const first = await kv.put(appId, key, bytes('a'), 'absent');
  t.match(first, { absent: true, stored: true });
  t.same(kv.entry(appId, key), { value: bytes('a'), revision: first.revision });
  t.same(await kv.put(appId, key, bytes('b'), 'absent'),
    { absent: false, stored: false, revision: first.revision });
  const second = await kv.compareAndSet(appId, key, first.revision, bytes('b'));
  t.equal(second.stored, true);
  t.same(await kv.compareAndSet(appId, key, first.revision, bytes('c')),
    { absent: false, stored: false, revision: second.revision });
  t.equal(text(kv.get(appId, key)), 'b');
  t.equal((await kv.compareAndSet(appId, key, first.revision, null)).stored, false);
  t.match(await kv.compareAndSet(appId, key, second.revision, null), { stored: true, revision: 0 });
  t.equal(kv.entry(appId, key), null);
  const third = await kv.compareAndSet(appId, key, 0, bytes('d'));
  t.ok(third.stored && third.revision > second.revision, 'a revision never returns');
});

t.test('increments add up whoever makes them, and refuse what is no number', async (t) => {
  const { store, kv } = await setUp(t);
  const { appId } = await deployed(store, 'one');
  const sums = await Promise.all(Array.from({ length: 50 }, () =>
    kv.increment(appId, bytes('n'), 3n)));
  t.equal(sums.filter(({ absent }) => absent).length, 1);
  t.equal(text(kv.get(appId, bytes('n'))), '150');
  t.same(await kv.increment(appId, bytes('n'), -151n), { absent: false, sum: -1n });
  await kv.put(appId, bytes('t'), bytes('ten'), 'always');
  await t.rejects(kv.increment(appId, bytes('t'), 1n), { code: 'bad_argument' });
  await kv.put(appId, bytes('m'), bytes('9223372036854775807'), 'always');
  await t.rejects(kv.increment(appId, bytes('m'), 1n), { code: 'bad_argument' });
});

t.test('pages: prefixes, cursors, and keys of all bytes', async (t) => {
  const { store, kv } = await setUp(t);
  const { appId } = await deployed(store, 'one');
  const keys = [[0], [97], [97, 0], [97, 1], [97, 255], [97, 255, 255], [98], [255], [255, 255]]
    .map((key) => new Uint8Array(key));
  await Promise.all(keys.map((key) => kv.put(appId, key, new Uint8Array(), 'always')));
  for (const [prefix, length] of [[[], 9], [[97], 5], [[97, 255], 2], [[255], 2], [[99], 0]]) {
    const found: Uint8Array[] = [];
    for (let after: Uint8Array | null = null, more = true; more;) {
      // A Buffer, as the guest's memory gives it.
      const page = kv.list(appId, Buffer.from(prefix as number[]), after, 2);
      found.push(...page.keys);
      more = page.more;
      after = page.keys.at(-1) ?? null;
    }
    t.same(found, keys.filter((key) => (prefix as number[]).every((one, at) => key[at] === one)));
    t.equal(found.length, length);
  }
  t.throws(() => kv.list(appId, bytes(''), null, KV_LIST_MAX + 1), { code: 'bad_hostcall' });
  t.throws(() => kv.list(appId, bytes(''), null, 0), { code: 'bad_hostcall' });
});

t.test('an entry whose time is over is absent to every operation', async (t) => {
  const { store, kv } = await setUp(t);
  const { appId } = await deployed(store, 'one');
  const key = bytes('k');
  await kv.put(appId, key, bytes('5'), 'always', 40);
  await kv.put(appId, bytes('long'), bytes('6'), 'always', 3_600_000);
  t.equal(text(kv.get(appId, bytes('long'))), '6');
  while (kv.get(appId, key) !== null) await new Promise((done) => { setTimeout(done, 10); });
  t.equal(kv.entry(appId, key), null);
  t.same(kv.list(appId, bytes(''), null, 10).keys.map(text), ['long']);
  t.equal(await kv.delete(appId, key), false);
  await kv.put(appId, key, bytes('7'), 'always', 1);
  while (kv.get(appId, key) !== null) await new Promise((done) => { setTimeout(done, 10); });
  t.same(await kv.increment(appId, key, 1n), { absent: true, sum: 1n });
  await t.rejects(kv.put(appId, key, bytes('8'), 'always', 0), /a time to live has 1 to/);
});

t.test('quotas of the tenant: keys, bytes, values', async (t) => {
  const { store, kv } = await setUp(t);
  const { id } = await store.ensureTenant('acme');
  await store.tenants.change(id, { quotas: { storeKeys: 2, storeBytes: 60, valueBytes: 40 } });
  const { id: namespace } = await store.namespaces.create(id, 'shared');
  const put = (key: string, size: number) =>
    kv.put(namespace, bytes(key), new Uint8Array(size), 'always');
  await t.rejects(put('a', 41), { code: 'bad_argument', message: /at most 40 bytes/ });
  await put('a', 30);
  await t.rejects(put('b', 30), { code: 'storage_full', message: /at most 60 bytes/ });
  await put('b', 1);
  await t.rejects(put('c', 1), { code: 'storage_full', message: /at most 2 keys/ });
  await t.rejects(kv.put(namespace, bytes('a'), new Uint8Array(11), 'append'),
    { code: 'bad_argument' });
  t.equal(kv.get(namespace, bytes('a'))?.length, 30, 'what was refused has changed nothing');
  await store.namespaces.delete(namespace);
  await t.rejects(put('a', 1), { code: 'not_found' });
});

t.test('secrets: the value in effect, for the app that has it', async (t) => {
  const { store, reader } = await setUp(t);
  const one = await deployed(store, 'one');
  const other = await deployed(store, 'other', 'rival');
  const ring = KeyRing.of(KEYS);
  const secrets = new SealedSecrets(reader, ring);
  t.equal(secrets.get(one.appId, 'KEY'), null);
  await store.environment.putSecret(one.appId, 'KEY', bytes('first'));
  t.equal(text(secrets.get(one.appId, 'KEY')), 'first');
  t.equal(secrets.get(other.appId, 'KEY'), null);
  t.equal(secrets.get(one.appId, 'key'), null);
  const next = new Uint8Array(32).fill(77);
  ring.add(next);
  store.environment.addKey(next);
  await store.environment.rotate();
  t.equal(text(secrets.get(one.appId, 'KEY')), 'first', 'under a key that was added since');
  const soon = Date.now() + 80;
  await store.environment.putSecret(one.appId, 'KEY', bytes('second'), soon);
  await store.environment.putSecret(one.appId, 'KEY', bytes('later'), soon + 3_600_000);
  if (Date.now() < soon) t.equal(text(secrets.get(one.appId, 'KEY')), 'first');
  while (Date.now() <= soon) await new Promise((done) => { setTimeout(done, 10); });
  t.equal(text(secrets.get(one.appId, 'KEY')), 'second', 'without anybody telling the worker');
  await store.environment.deleteSecret(one.appId, 'KEY');
  t.equal(secrets.get(one.appId, 'KEY'), null);
});

t.test('secrets: a rotated key, a key that is not there, a row of another app', async (t) => {
  const { store, reader } = await setUp(t, [KEYS[1]!, KEYS[0]!]);
  const { appId } = await deployed(store, 'one');
  const { appId: thief } = await deployed(store, 'two');
  await store.environment.putSecret(appId, 'KEY', bytes('value'));
  t.equal(text(opened(reader, KEYS).get(appId, 'KEY')), 'value', 'any key opens');
  const without = opened(reader, [KEYS[0]!]);
  t.throws(() => without.get(appId, 'KEY'), { code: 'store_failed' });
  t.throws(() => opened(reader, []).get(appId, 'KEY'), { code: 'store_failed' });
  const { DatabaseSync } = await import('node:sqlite');
  const database = new DatabaseSync(store.databasePath);
  database.prepare('UPDATE secret SET app_id = ?').run(thief);
  database.close();
  t.throws(() => opened(reader, KEYS).get(thief, 'KEY'), {
    code: 'store_failed', message: 'a secret cannot be decrypted',
  });
});
