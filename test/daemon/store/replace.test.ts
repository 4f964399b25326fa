/**
 * A backup that takes the database's place while the store is open: for readers and writers of
 * both, for what is refused, and for a process that is killed at each step.
 */

import { spawnSync } from 'node:child_process';
import {
  copyFileSync, existsSync, readFileSync, readdirSync, statSync, writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { Test } from 'tap';

import { KeyRing } from '../../../contract/key-ring.ts';
import { StoreEpoch, openedOnce } from '../../../contract/store-epoch.ts';
import { exchange, stagedName } from '../../../daemon/store/exchange.ts';
import { readGivenOut } from '../../../daemon/store/given-out.ts';
import { Query } from '../../../daemon/store/query.ts';
import { openStore } from '../../../daemon/store/store.ts';
import type { Store } from '../../../daemon/store/store.ts';
import { WorkerPort, bytes, deployOf, deployed, said, text } from './support.ts';

const KEY = new Uint8Array(32).fill(5);
const OTHER_KEY = new Uint8Array(32).fill(6);
const RING = KeyRing.of([KEY]).memory;
const CHILD = fileURLToPath(new URL('./fixtures/exchange-child.ts', import.meta.url));

interface World {
  readonly folder: string;
  readonly store: Store;
  readonly appId: number;
  /** A copy of the backup in the data folder, as it would be staged. */
  stage(): string;
}

let staged = 0;

/** A store with a backup of a state before the present one. */
async function setUp(t: Test): Promise<World> {
  const folder = join(t.testdir(), 'data');
  const backup = join(folder, '..', 'backup.db');
  const store = await openStore({ dataFolder: folder, secretKeys: [KEY] });
  t.teardown(() => store.close());
  const { app } = await deployed(store, 'hello');
  await store.environment.putSecret(app.id, 'KEY', bytes('one'));
  await write(store, app.id, 'old');
  await store.backup(backup);
  await write(store, app.id, 'new');
  await store.saveDeploy(deployOf(app.tenantId, 'hello', 'second'));
  await deployed(store, 'since');
  return {
    folder, store, appId: app.id,
    stage() {
      staged += 1;
      const file = join(folder, stagedName(`00000000-0000-4000-8000-${100_000_000_000 + staged}`));
      copyFileSync(backup, file);
      return file;
    },
  };
}

const write = (store: Store, storeId: number, value: string) => store.namespaces.write({
  op: 'kv_put', storeId, key: bytes('a'), value: bytes(value), mode: 'always',
});
const read = (store: Store, storeId: number): string | null =>
  text(store.namespaces.read(storeId, bytes('a'))?.value ?? null);

const keptIn = (folder: string): string[] =>
  readdirSync(folder).filter((name) => name.includes('.before-restore-'));

const KV = 'SELECT value FROM kv WHERE store_id = ?';

t.test('readers of the old database read on in it, and writes are of the new one', async (t) => {
  const { folder, store, appId, stage } = await setUp(t);
  const worker = new WorkerPort(store);
  t.teardown(() => worker.close());
  const before = store.stats();
  const old = openedOnce(store.databasePath, 5_000);
  const file = stage();
  t.match(await store.checkStaged(file, RING), { apps: 1, tenants: 1, unopened: new Map() });
  t.equal(store.epoch.value, 0);
  const { kept, warnings } = await store.replace(file);
  t.equal(store.epoch.value, 2);
  t.same(warnings, []);
  t.ok(kept !== null && existsSync(kept));
  t.notOk(existsSync(file), 'it has the name of the database now');

  t.equal(store.getApp('since'), null);
  t.equal(read(store, appId), 'old');
  t.equal(text(store.environment.secret(appId, 'KEY')), 'one');
  t.equal(text(old.prepare(KV).get(appId)?.['value'] as Uint8Array), 'new');
  const stale = await worker.put(appId, 'a', 'of a guest of before');
  t.match(stale, { ok: false, code: 'store_failed', message: /restored from a backup/ });
  worker.epoch = 2;
  t.equal(said(await worker.put(appId, 'b', 'fresh')), 'absent');
  const third = await store.saveDeploy(deployOf(1, 'hello', 'third'));
  t.equal(third.version.number, 3, 'numbers go on');
  t.ok((await store.stats()).commits > (await before).commits, 'counts go on');

  // The last reader of the old file must not take the new one's log with it.
  const log = statSync(`${store.databasePath}-wal`);
  t.ok(log.size > 0);
  old.close();
  t.equal(statSync(`${store.databasePath}-wal`).ino, log.ino);
  await store.close();
  const again = await openStore({ dataFolder: folder, secretKeys: [KEY] });
  t.teardown(() => again.close());
  t.match(again.listVersions(appId).map(({ number }) => number), [1, 3]);
  t.equal(text(again.namespaces.read(appId, bytes('b'))?.value ?? null), 'fresh');
  const left = readdirSync(folder).filter((name) => name.startsWith('restore-'));
  t.same(left, []);
});

t.test('one after the other, and connections that are opened meanwhile', async (t) => {
  const { store, appId, stage } = await setUp(t);
  const epoch = new StoreEpoch(store.epoch.memory);
  for (let round = 1; round <= 5; round += 1) {
    await write(store, appId, `round ${round}`);
    const file = stage();
    await store.checkStaged(file, RING);
    const replacing = store.replace(file);
    await replacing;
    const { opened, at } = epoch.open(() => openedOnce(store.databasePath, 5_000));
    t.equal(at, 2 * round);
    t.equal(text(opened.prepare(KV).get(appId)?.['value'] as Uint8Array), 'old');
    opened.close();
  }
});

t.test('a database that is read at length is left in place', async (t) => {
  const { folder, store, appId, stage } = await setUp(t);
  const reader = new DatabaseSync(store.databasePath, { readOnly: true });
  reader.exec('BEGIN');
  reader.prepare('SELECT count(*) FROM kv').get();
  const file = stage();
  await store.checkStaged(file, RING);
  await t.rejects(store.replace(file), { code: 'conflict', message: /read at length/ });
  reader.close();
  t.equal(read(store, appId), 'new');
  await write(store, appId, 'newer');
  t.equal(read(store, appId), 'newer', 'and goes on');
  const worker = new WorkerPort(store);
  t.equal(store.epoch.value, 0);
  t.equal(said(await worker.put(appId, 'a', 'x')), 'present', 'for guests that run, too');
  t.same(keptIn(folder), []);
  worker.close();
});

t.test('what cannot take its place is told, each by its name', async (t) => {
  const { store, stage } = await setUp(t);
  const refuse = async (what: string, change: (file: string) => void, expected: RegExp) => {
    const file = stage();
    change(file);
    await t.rejects(store.checkStaged(file, RING), {
      code: 'store_unusable', message: expected,
    }, what);
  };
  const run = (sql: string) => (file: string): void => {
    const database = new DatabaseSync(file, { enableForeignKeyConstraints: false });
    database.exec(sql);
    database.close();
  };
  await refuse('words', (file) => writeFileSync(file, 'only words'.repeat(200)), /not a database/);
  await refuse('cut', (file) => {
    writeFileSync(file, readFileSync(file).subarray(0, 20_480));
  }, /the backup is damaged/);
  await refuse('newer', run('PRAGMA user_version = 999'),
    /the backup was written by a newer Wardian \(its schema is 999/);
  await refuse('foreign', run('PRAGMA application_id = 1'), /the backup is not a Wardian database/);
  const zero = 'SET bytes = zeroblob(3)';
  await refuse('a module', run(`UPDATE module ${zero}`), /the module [0-9a-f]{64} is/);
  await refuse('a build', run(`UPDATE artifact ${zero}`), /the artifact [0-9a-f]{64} is/);
  await refuse('orphans', run('DELETE FROM tenant'), /the table \w+ has orphans/);
  const sealed = stage();
  const found = await store.checkStaged(sealed, KeyRing.of([OTHER_KEY]).memory);
  t.same([...found.unopened.values()], [1]);
  const older = stage();
  writeFileSync(older, '');
  const database = new DatabaseSync(older, { enableForeignKeyConstraints: false });
  database.exec(readFileSync(new URL('./fixtures/schema-2.sql', import.meta.url), 'utf8'));
  database.close();
  t.match(await store.checkStaged(older, RING), { schema: 2, tenants: 2, tokensBack: [1] });
  await store.replace(older);
  t.not(store.getApp('shop'), null, 'an older one is migrated');
});

t.test('what fails before the new one has the name is undone, then it is done', (t) => {
  const folder = t.testdir({
    'wardian.db': 'old', 'wardian.db-wal': 'log', 'wardian.db-shm': 'index', staged: 'new',
  });
  const path = join(folder, 'wardian.db');
  const staged = join(folder, 'staged');
  const failAt = (at: string) => (step: string): void => {
    if (step === at) throw new Error(`failed when ${at}`);
  };
  for (const step of ['kept', 'logs moved']) {
    t.throws(() => exchange(path, staged, failAt(step)), { message: `failed when ${step}` });
    t.same(readdirSync(folder).toSorted(),
      ['staged', 'wardian.db', 'wardian.db-shm', 'wardian.db-wal']);
    t.equal(readFileSync(path, 'utf8'), 'old');
    t.equal(readFileSync(`${path}-wal`, 'utf8'), 'log');
  }
  const { kept, warnings } = exchange(path, staged, failAt('renamed'));
  t.match(warnings, [/could not be synced \(failed when renamed\)/]);
  t.equal(readFileSync(path, 'utf8'), 'new');
  t.equal(readFileSync(kept ?? '', 'utf8'), 'old');
  t.equal(readFileSync(`${kept}-wal`, 'utf8'), 'log');
  t.end();
});

t.test('a log whose database is gone is not taken for the new one\'s', async (t) => {
  const folder = t.testdir({ 'wardian.db-wal': 'log', 'wardian.db-shm': 'index', staged: 'new' });
  const path = join(folder, 'wardian.db');
  t.equal(exchange(path, join(folder, 'staged')).kept, null);
  t.equal(readFileSync(path, 'utf8'), 'new');
  const [name, index, log, ...rest] = readdirSync(folder).toSorted();
  t.match([name, index, log, rest], ['wardian.db', /before-restore-.*-shm$/, /-wal$/, []]);
  t.equal(readFileSync(join(folder, log ?? ''), 'utf8'), 'log', 'and not thrown away');
});

t.test('nothing that was given out is known of what is no database', (t) => {
  const path = join(t.testdir({ 'wardian.db': 'only words'.repeat(200) }), 'wardian.db');
  const { found, warnings, unread } = readGivenOut(path);
  t.same(found, []);
  t.match(unread, /not a database/);
  t.match(warnings, [/cannot be read/]);
  t.end();
});

t.test('a database that cannot be opened for a moment is read once it can', (t) => {
  let opened = 0;
  const query = new Query(new DatabaseSync(':memory:'), 'wardian.db');
  query.reopen(() => {
    opened += 1;
    if (opened === 1) throw new Error('not yet');
    return new DatabaseSync(':memory:');
  });
  t.throws(() => query.row('SELECT 1 AS one'), { code: 'store_failed' });
  t.match(query.row('SELECT 1 AS one'), { one: 1 });
  t.match(query.row('SELECT 2 AS two'), { two: 2 });
  t.equal(opened, 2);
  query.close();
  t.throws(() => query.row('SELECT 1'), { message: 'the store is closed' });
  t.end();
});

const STEPS = ['staged', 'kept', 'logs moved', 'renamed', 'done'];

for (const step of STEPS) {
  t.test(`killed when it is ${step}: the old database or the new one, whole`, async (t) => {
    const { folder, store, appId, stage } = await setUp(t);
    const file = stage();
    await store.checkStaged(file, RING);
    await store.close();
    const { signal, stderr } = spawnSync(process.execPath, [
      '--disable-warning=ExperimentalWarning', CHILD, folder, file, step,
    ], { encoding: 'utf8', timeout: 60_000 });
    t.equal(signal, 'SIGKILL', stderr);
    const again = await openStore({ dataFolder: folder, secretKeys: [KEY] });
    t.teardown(() => again.close());
    const isNew = step === 'renamed' || step === 'done';
    t.equal(read(again, appId), isNew ? 'old' : 'new');
    t.equal(again.getApp('since') === null, isNew);
    const check = new DatabaseSync(again.databasePath, { readOnly: true });
    t.equal(check.prepare('PRAGMA integrity_check').get()?.['integrity_check'], 'ok');
    check.close();
    t.equal(keptIn(folder).length, isNew ? 1 : 0, 'the old one is kept, the present one is not');
    const next = await again.saveDeploy(deployOf(1, 'hello', 'next'));
    t.equal(next.version.number, 3, 'numbers go on from either');
  });
}
