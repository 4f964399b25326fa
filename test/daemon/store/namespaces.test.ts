/**
 * Namespaces and what the key-value store does beyond Terrarium's: compare, increment, time to
 * live, lists by prefix, tenants' quotas, bindings.
 */

import { DatabaseSync } from 'node:sqlite';
import t from 'tap';

import { keyRange } from '../../../contract/keys.ts';
import { KV_TTL_MS_MAX } from '../../../contract/limits.ts';
import type { StoreCommand } from '../../../contract/messages.ts';
import { WorkerPort, bytes, deployed, said, testStore, text } from './support.ts';

async function opened(t: Parameters<typeof testStore>[0]) {
  const store = await testStore(t);
  const { app } = await deployed(store, 'hello');
  const { id: storeId } = await store.namespaces.create(app.tenantId, 'data');
  const worker = new WorkerPort(store);
  t.teardown(async () => worker.close());
  const read = (key: string) => {
    const entry = store.namespaces.read(storeId, bytes(key));
    return entry === null ? null : { ...entry, value: text(entry.value) };
  };
  const compare = (key: string, revision: number, value: string | null, ttlMs?: number) =>
    worker.send({
      op: 'kv_compare', storeId, key: bytes(key), revision,
      value: value === null ? null : bytes(value), ...(ttlMs === undefined ? {} : { ttlMs }),
    });
  const increment = (key: string, delta: bigint) =>
    worker.send({ op: 'kv_increment', storeId, key: bytes(key), delta });
  return { store, app, storeId, worker, read, compare, increment };
}

t.test('namespaces belong to a tenant, by name', async (t) => {
  const { store, app, storeId } = await opened(t);
  const other = await store.ensureTenant('other');
  await t.rejects(store.namespaces.create(app.tenantId, 'data'), { code: 'conflict' });
  const theirs = await store.namespaces.create(other.id, 'data');
  t.not(theirs.id, storeId, 'another tenant\'s namespace of the same name is another one');
  for (const name of ['', '../x', 'a b', '-a', 'x'.repeat(65)]) {
    await t.rejects(store.namespaces.create(other.id, name), { code: 'bad_name' });
  }
  t.match(store.namespaces.get(app.tenantId, 'data'), { id: storeId, keys: 0, bytes: 0 });
  t.equal(store.namespaces.get(other.id, 'nothing'), null);
  await store.namespaces.write({
    op: 'kv_put', storeId, key: bytes('k'), value: bytes('value'), mode: 'always',
  });
  t.same(store.namespaces.list(app.tenantId).map(({ name, keys, bytes: used }) =>
    ({ name, keys, used })), [{ name: 'data', keys: 1, used: 6 }]);

  await store.tenants.change(other.id, { quotas: { namespaces: 2 } });
  await store.namespaces.create(other.id, 'second');
  await t.rejects(store.namespaces.create(other.id, 'third'), { code: 'quota_exceeded' });
});

t.test('ids of apps and namespaces never meet', async (t) => {
  const { store, app, storeId } = await opened(t);
  const next = await deployed(store, 'next');
  t.equal(new Set([app.id, storeId, next.app.id]).size, 3);
  await t.rejects(store.namespaces.delete(app.id), { code: 'not_found' },
    'an app\'s own store is no namespace');
  await t.rejects(store.deleteApp(storeId), { code: 'not_found' });
});

t.test('bindings: an app knows a namespace of its tenant by a name', async (t) => {
  const { store, app, storeId } = await opened(t);
  const bound = await store.namespaces.bind(app.id, 'DATA', storeId);
  t.ok(bound.app.generation > app.generation, 'workers read it anew');
  t.same(store.namespaces.bindings(app.id), new Map([['DATA', storeId]]));
  const foreign = await deployed(store, 'foreign', 'other');
  await t.rejects(store.namespaces.bind(foreign.app.id, 'DATA', storeId), { code: 'not_found' },
    'another tenant\'s namespace cannot be bound, nor told from one that is not there');
  await t.rejects(store.namespaces.bind(app.id, 'OWN', foreign.app.id), { code: 'not_found' });
  await t.rejects(store.namespaces.bind(app.id, 'OTHER', 999), { code: 'not_found' });
  await t.rejects(store.namespaces.unbind(app.id, 'NOTHING'), { code: 'not_found' });

  const second = await store.namespaces.create(app.tenantId, 'second');
  await store.namespaces.bind(app.id, 'DATA', second.id);
  t.same(store.namespaces.bindings(app.id), new Map([['DATA', second.id]]), 'bound anew');
  const changes = await store.namespaces.delete(second.id);
  t.same(changes.map((change) => change.appId), [app.id]);
  t.same(store.namespaces.bindings(app.id), new Map());
  await store.namespaces.bind(app.id, 'DATA', storeId);
  await store.namespaces.unbind(app.id, 'DATA');
  t.same(store.namespaces.bindings(app.id), new Map());
});

t.test('a namespace outlives apps; its entries go with it', async (t) => {
  const { store, app, storeId, worker, read } = await opened(t);
  await store.namespaces.bind(app.id, 'DATA', storeId);
  await worker.put(storeId, 'k', 'kept');
  await store.deleteApp(app.id);
  t.match(read('k'), { value: 'kept' });
  await store.namespaces.delete(storeId);
  t.equal(said(await worker.put(storeId, 'k', 'late')), 'not_found');
  while (read('k') !== null) await new Promise((resolve) => setTimeout(resolve, 5));
  t.pass('purged');
});

t.test('compare: only over the revision that was read', async (t) => {
  const { worker, storeId, read, compare } = await opened(t);
  t.match(await compare('k', 5, 'x'), { ok: true, stored: false, revision: 0, absent: true });
  t.match(await compare('k', 0, 'one'), { ok: true, stored: true, absent: true });
  const first = read('k')?.revision ?? 0;
  t.ok(first > 0);
  t.match(await compare('k', 0, 'two'), { stored: false, revision: first, absent: false });
  t.match(read('k'), { value: 'one' });
  t.match(await compare('k', first, 'two'), { stored: true });
  t.match(await compare('k', first, 'three'), { stored: false }, 'the same revision is past');

  // Deleted and put again with the same value: the old revision never comes back.
  const second = read('k')?.revision ?? 0;
  t.match(await compare('k', second, null), { stored: true, revision: 0 });
  t.equal(read('k'), null);
  await worker.put(storeId, 'k', 'two');
  t.match(await compare('k', second, 'stale'), { stored: false });
  t.match(read('k'), { value: 'two' });
  t.match(await worker.put(storeId, 'k', 'x', 'absent'), { stored: false });
});

t.test('compare from several ports: a counter loses nothing', async (t) => {
  const { store, storeId, read } = await opened(t);
  const ports = Array.from({ length: 4 }, () => new WorkerPort(store));
  t.teardown(async () => ports.forEach((port) => port.close()));
  let lost = 0;
  await Promise.all(ports.map(async (port) => {
    for (let done = 0; done < 50;) {
      const entry = read('n');
      const reply = await port.send({
        op: 'kv_compare', storeId, key: bytes('n'), revision: entry?.revision ?? 0,
        value: bytes(`${Number(entry?.value ?? 0) + 1}`),
      });
      if (reply.ok && reply.stored === true) done += 1;
      else lost += 1;
    }
  }));
  t.match(read('n'), { value: '200' });
  t.comment(`${lost} attempts came too late`);
});

t.test('increment: exact over 64 bits', async (t) => {
  const { worker, storeId, read, increment } = await opened(t);
  t.match(await increment('n', 1n), { ok: true, value: 1n, absent: true, stored: true });
  t.match(await increment('n', -5n), { value: -4n, absent: false });
  t.match(read('n'), { value: '-4' });
  await worker.put(storeId, 'n', '9223372036854775806');
  t.match(await increment('n', 1n), { value: 9223372036854775807n });
  t.equal(said(await increment('n', 1n)), 'bad_argument', 'it does not wrap');
  t.match(read('n'), { value: '9223372036854775807' });
  await worker.put(storeId, 'n', '-9223372036854775808');
  t.equal(said(await increment('n', -1n)), 'bad_argument');
  for (const value of ['', 'x', '1.5', '0x10', ' 1', '1\n', '+1', '9'.repeat(20), '1'.repeat(99)]) {
    await worker.put(storeId, 'n', value);
    t.equal(said(await increment('n', 1n)), 'bad_argument', JSON.stringify(value));
    t.match(read('n'), { value }, 'and the value is as it was');
  }
  const replies = await Promise.all(Array.from({ length: 100 }, () => increment('m', 1n)));
  t.equal(new Set(replies.map((reply) => reply.ok && reply.value)).size, 100);
  t.match(read('m'), { value: '100' });
});

t.test('time to live: of a put, kept by append and increment, ended by a plain put', async (t) => {
  const { store, worker, storeId, read, compare, increment } = await opened(t);
  const put = (key: string, value: string, mode: 'always' | 'append', ttlMs?: number) =>
    worker.send({
      op: 'kv_put', storeId, key: bytes(key), value: bytes(value), mode,
      ...(ttlMs === undefined ? {} : { ttlMs }),
    });
  const before = Date.now();
  await put('k', '1', 'always', 60_000);
  const expiresAtMs = read('k')?.expiresAtMs ?? 0;
  t.ok(expiresAtMs >= before + 60_000 && expiresAtMs <= Date.now() + 60_000);
  await put('k', '2', 'append');
  t.equal(read('k')?.expiresAtMs, expiresAtMs);
  await increment('k', 1n);
  t.match(read('k'), { value: '13', expiresAtMs });
  await put('k', '0', 'append', 90_000);
  t.ok((read('k')?.expiresAtMs ?? 0) > expiresAtMs, 'an append may set a new one');
  await put('k', 'x', 'always');
  t.equal(read('k')?.expiresAtMs, null);
  await compare('k', read('k')?.revision ?? 0, 'y', 60_000);
  t.ok((read('k')?.expiresAtMs ?? 0) > 0);

  await put('brief', 'x', 'always', 30);
  while (read('brief') !== null) await new Promise((resolve) => setTimeout(resolve, 5));
  t.match(await compare('brief', 0, 'again'), { stored: true, absent: true },
    'absent to a compare');
  await put('brief', 'x', 'always', 1);
  await new Promise((resolve) => setTimeout(resolve, 5));
  t.match(await increment('brief', 1n), { value: 1n, absent: true }, 'and to an increment');
  t.equal(read('brief')?.expiresAtMs, null, 'what expired leaves no time to live behind');

  for (const ttlMs of [0, -1, 1.5, Number.NaN, KV_TTL_MS_MAX + 1]) {
    t.equal(said(await put('k', 'x', 'always', ttlMs)), 'bad_argument', `${ttlMs}`);
  }
  await Promise.all(Array.from({ length: 300 }, (_, n) => put(`t${n}`, 'v', 'always', 1)));
  const usage = () => store.namespaces.list(1)[0];
  while (usage()?.keys !== 2) await new Promise((resolve) => setTimeout(resolve, 20));
  t.match(usage(), { keys: 2, bytes: 'k'.length + 1 + 'brief'.length + 1 });
});

t.test('lists by prefix come in pages, in byte order', async (t) => {
  const { store, worker, storeId } = await opened(t);
  const names = ['a', 'b', 'b/1', 'b/2', 'b/\u00ff', 'b0', 'c', ''];
  await Promise.all(names.map((name) => worker.put(storeId, name, name)));
  for (const key of [[0xff], [0xff, 0xff], [0xff, 0xfe]]) {
    await worker.send({
      op: 'kv_put', storeId, key: Uint8Array.from(key), value: bytes('v'), mode: 'always',
    });
  }
  await worker.send({
    op: 'kv_put', storeId, key: bytes('b/expired'), value: bytes('v'), mode: 'always', ttlMs: 1,
  });
  await new Promise((resolve) => setTimeout(resolve, 5));
  const list = (prefix: Uint8Array | string, limit = 1_000): string[] => {
    const found: string[] = [];
    let after: Uint8Array | null = null;
    do {
      const page = store.namespaces.keys(
        storeId, typeof prefix === 'string' ? bytes(prefix) : prefix, after, limit);
      t.ok(page.keys.length <= limit);
      found.push(...page.keys.map(({ key }) => Buffer.from(key).toString('latin1')));
      after = page.next;
    } while (after !== null);
    return found;
  };
  const latin = (name: string): string => Buffer.from(name).toString('latin1');
  const all = [
    ...names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))).map(latin),
    '\u00ff', '\u00ff\u00fe', '\u00ff\u00ff',
  ];
  for (const limit of [1, 2, 3, 1_000]) {
    t.same(list('', limit), all, `pages of ${limit}`);
    t.same(list('b/', limit), ['b/1', 'b/2', latin('b/\u00ff')]);
    t.same(list(Uint8Array.of(0xff), limit), ['\u00ff', '\u00ff\u00fe', '\u00ff\u00ff']);
    t.same(list('nothing', limit), []);
  }
  const other = await store.namespaces.create(1, 'other');
  t.same(store.namespaces.keys(other.id, bytes('')).keys, [], 'no key of another store');
  t.throws(() => store.namespaces.keys(storeId, bytes(''), null, 0), { code: 'bad_argument' });
  t.throws(() => store.namespaces.keys(storeId, bytes(''), null, 1_001), { code: 'bad_argument' });
});

t.test('ranges: a cursor cannot leave its prefix', async (t) => {
  const range = (prefix: number[], after: number[] | null) => {
    const { from, before } = keyRange(
      Uint8Array.from(prefix), after === null ? null : Uint8Array.from(after));
    return [[...from], before.length > 2_000 ? 'all' : [...before]];
  };
  t.same(range([], null), [[], 'all']);
  t.same(range([1, 2], null), [[1, 2], [1, 3]]);
  t.same(range([1, 0xff], null), [[1, 0xff], [2]]);
  t.same(range([0xff, 0xff], null), [[0xff, 0xff], 'all']);
  t.same(range([1, 2], [1, 2, 9]), [[1, 2, 9, 0], [1, 3]]);
  t.same(range([1, 2], [0]), [[1, 2], [1, 3]], 'before the prefix: the first page');
  t.same(range([1, 2], [9]), [[9, 0], [1, 3]], 'behind it: an empty page');
});

t.test('quotas of the tenant bound every store', async (t) => {
  const { store, app, storeId, worker } = await opened(t);
  const quotas = { storeKeys: 2, storeBytes: 20, valueBytes: 10 };
  await store.tenants.change(app.tenantId, { quotas });
  t.match(store.tenants.quotas(app.tenantId), quotas);
  for (const id of [storeId, app.id]) {
    t.equal(said(await worker.put(id, 'a', 'x'.repeat(11))), 'bad_argument');
    t.equal(said(await worker.put(id, 'a', 'x'.repeat(10))), 'absent');
    t.equal(said(await worker.put(id, 'a', 'x', 'append')), 'bad_argument');
    t.equal(said(await worker.put(id, 'b', 'x'.repeat(9))), 'storage_full');
    t.equal(said(await worker.put(id, 'b', 'x')), 'absent');
    t.equal(said(await worker.put(id, 'c', '')), 'storage_full');
  }
  await store.tenants.change(app.tenantId, { quotas: {} });
  t.equal(said(await worker.put(storeId, 'c', 'x'.repeat(100))), 'absent', 'back to the default');
  const bad = store.tenants.change(app.tenantId, { quotas: { valueBytes: 1e9 } });
  await t.rejects(bad, { code: 'bad_argument' });
  const unknown = store.tenants.change(app.tenantId, { quotas: { wings: 2 } as object });
  await t.rejects(unknown, { code: 'bad_argument' });
});

t.test('malformed commands of the new kinds', async (t) => {
  const { storeId, worker } = await opened(t);
  const key = bytes('k');
  const malformed: unknown[] = [
    { op: 'kv_compare', storeId, key, revision: -1, value: key },
    { op: 'kv_compare', storeId, key, revision: '0', value: key },
    { op: 'kv_compare', storeId, key, revision: 0, value: 7 },
    { op: 'kv_compare', storeId, key, revision: 0.5, value: key },
    { op: 'kv_compare', storeId, key, revision: 0 },
    { op: 'kv_increment', storeId, key, delta: 1 },
    { op: 'kv_increment', storeId, key, delta: 2n ** 63n },
    { op: 'kv_increment', storeId, key },
  ];
  for (const command of malformed) {
    t.equal(said(await worker.send(command as StoreCommand)), 'bad_argument');
  }
});

t.test('a database of the first schema gains the rest', async (t) => {
  const { openForWriting } = await import('../../../daemon/store/database.ts');
  const { MIGRATIONS } = await import('../../../contract/schema.ts');
  const { openStore } = await import('../../../daemon/store/store.ts');
  const dataFolder = t.testdir();
  const old = openForWriting(`${dataFolder}/wardian.db`, 'process', MIGRATIONS.slice(0, 1));
  old.exec(`INSERT INTO tenant (id, name, created_at_ms) VALUES (1, 'acme', 0);
    INSERT INTO kv_store (id, tenant_id, created_at_ms, keys, bytes) VALUES (1, 1, 0, 1, 2);
    INSERT INTO kv (store_id, key, value) VALUES (1, x'6b', x'76')`);
  old.close();
  const store = await openStore({ dataFolder });
  t.equal(text(store.namespaces.read(1, bytes('k'))?.value ?? null), 'v');
  t.match(store.tenants.quotas(1), { namespaces: 100 });
  await store.namespaces.create(1, 'data');
  await store.close();
  const database = new DatabaseSync(store.databasePath, { readOnly: true });
  t.equal(database.prepare('PRAGMA user_version').get()?.user_version, MIGRATIONS.length);
  database.close();
});
