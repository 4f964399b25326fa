/** Damaged modules: found at start and when asked for, replaced by an earlier version, mended. */

import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import t from 'tap';
import type { Test } from 'tap';

import type { Route } from '../../contract/deployment.ts';
import type { WardianError } from '../../contract/errors.ts';
import { Integrity } from '../../daemon/integrity.ts';
import { createRouter } from '../../daemon/router.ts';
import { openStore } from '../../daemon/store/store.ts';
import type { Deployed, RouteChange, Store } from '../../daemon/store/store.ts';
import { FACTS, deployOf } from './store/support.ts';

interface World {
  readonly store: Store;
  readonly integrity: Integrity;
  readonly messages: string[];
  readonly versions: readonly Deployed[];
  readonly route: () => Route | undefined;
  /** Flips a byte of a version's artifact, behind everybody's back. */
  damage(number: number): void;
  apply(change: Deployed): void;
}

async function world(t: Test, versions = 3): Promise<World> {
  const folder = t.testdir();
  const store = await openStore({ dataFolder: folder, durability: 'process' });
  t.teardown(() => store.close());
  const { id } = await store.ensureTenant('acme');
  const made: Deployed[] = [];
  for (let number = 1; number <= versions; number += 1) {
    made.push(await store.saveDeploy(deployOf(id, 'hello', `module ${number}`)));
  }
  const router = createRouter('localhost');
  const messages: string[] = [];
  const onRoute = (change: { appId: number; route: Route | null }): void => {
    const { route } = integrity.apply({ ...change, customHosts: [] });
    if (route !== null) router.set(route, []);
  };
  const integrity = new Integrity({
    store, onRoute, onDamage: (error: WardianError) => messages.push(error.message),
  });
  for (const change of store.loadRoutes()) onRoute(change);
  return {
    store, integrity, messages, versions: made, apply: onRoute,
    route: () => router.find('hello.localhost'),
    damage(number) {
      const database = new DatabaseSync(join(folder, 'wardian.db'), { timeout: 5_000 });
      database.prepare('UPDATE artifact SET bytes = ? WHERE hash = ?')
        .run(Buffer.from('not what it was'), made[number - 1]?.version.artifactHash ?? '');
      database.close();
    },
  };
}

const apps = ({ versions }: World) => () => versions.slice(0, 1);

t.test('whole modules are left alone', async (t) => {
  const w = await world(t);
  await w.integrity.checkAll(apps(w));
  t.equal(w.route()?.versionNumber, 3);
  t.same(w.messages, []);
});

t.test('the newest whole version before a damaged one serves', async (t) => {
  const w = await world(t);
  w.damage(3);
  await w.integrity.checkAll(apps(w));
  t.equal(w.route()?.versionNumber, 2);
  t.equal(w.route()?.versionId, w.versions[1]?.version.id);
  t.same(w.messages, ['hello@3: the stored module is damaged; version 2 serves instead']);
  w.apply(await w.store.environment.setEnv(w.versions[0]?.app.id ?? 0, { A: 'b' }) as Deployed);
  t.equal(w.route()?.versionNumber, 2, 'a change of the app does not bring it back');
});

t.test('one that has never served does not begin to', async (t) => {
  const w = await world(t, 1);
  const { tenantId } = w.versions[0]?.app ?? { tenantId: 0 };
  await w.store.saveDeploy({ ...deployOf(tenantId, 'hello', 'waiting'), activate: false });
  const third = await w.store.saveDeploy(deployOf(tenantId, 'hello', 'module 3'));
  w.apply(third);
  const database = new DatabaseSync(w.store.databasePath, { timeout: 5_000 });
  database.prepare('UPDATE artifact SET bytes = ? WHERE hash = ?')
    .run(Buffer.from('not what it was'), third.version.artifactHash);
  database.close();
  await w.integrity.checkAll(apps(w));
  t.equal(w.route()?.versionNumber, 1);
});

t.test('earlier ones are looked at before they serve', async (t) => {
  const w = await world(t);
  w.damage(3);
  w.damage(2);
  await w.integrity.checkAll(apps(w));
  t.equal(w.route()?.versionNumber, 1);
});

/** Overwrites bytes of the file itself, where `content` begins on its page or a given way in. */
function scribble(path: string, content: Buffer, into: 'pointer' | 'content'): void {
  const database = new DatabaseSync(path, { timeout: 5_000 });
  database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  database.close();
  const at = readFileSync(path).indexOf(content.subarray(20_000, 20_100));
  if (at < 0) throw new Error('the content is not in the file');
  const handle = openSync(path, 'r+');
  // An overflow page begins with the number of the next one.
  if (into === 'pointer') writeSync(handle, Buffer.alloc(4, 0xff), 0, 4, at - at % 4_096);
  else writeSync(handle, Buffer.of((content[20_000] ?? 0) ^ 1), 0, 1, at);
  closeSync(handle);
}

t.test('a module whose pages cannot be read is one damaged module among others', async (t) => {
  const folder = t.testdir();
  const store = await openStore({ dataFolder: folder, durability: 'process' });
  t.teardown(() => store.close());
  const { id } = await store.ensureTenant('acme');
  const serves = new Map<string, number | undefined>();
  const onRoute = (change: RouteChange): void => {
    const { route } = integrity.apply(change);
    serves.set(route?.label ?? '', route?.versionNumber);
  };
  const messages: string[] = [];
  const integrity = new Integrity({ store, onRoute, onDamage: (e) => messages.push(e.message) });
  const newest = new Map<string, Buffer>();
  for (const label of ['a', 'b', 'c']) {
    for (const version of [1, 2]) {
      const content = randomBytes(64 * 1_024);
      const deploy = deployOf(id, label, `${label} ${version}`);
      const bytes = new Uint8Array(content);
      onRoute(await store.saveDeploy({ ...deploy, artifact: { bytes, facts: FACTS } }));
      newest.set(label, content);
    }
  }
  scribble(store.databasePath, newest.get('a') ?? Buffer.of(), 'pointer');
  scribble(store.databasePath, newest.get('b') ?? Buffer.of(), 'content');
  await integrity.checkAll(() => store.listApps().map((app) => ({ appId: app.id })));
  t.same([...serves], [['a', 1], ['b', 1], ['c', 2]]);
  t.equal(messages.length, 2);
});

t.test('damage in tables that are looked at while serving is told', async (t) => {
  const w = await world(t);
  const value = randomBytes(30_000).toString('base64').slice(0, 30_000);
  await w.store.environment.setEnv(w.versions[0]?.app.id ?? 0, { LARGE: value });
  scribble(w.store.databasePath, Buffer.from(value), 'pointer');
  await w.integrity.checkAll(apps(w));
  t.match(w.messages, [/^wardian\.db is damaged: /]);
});

t.test('with nothing whole, the version stays, and the operator is told', async (t) => {
  const w = await world(t, 1);
  w.damage(1);
  await w.integrity.checkAll(apps(w));
  t.equal(w.route()?.versionNumber, 1);
  t.match(w.messages, [/there is no whole version/]);
});

t.test('one that a worker could not load is looked at, and not again at once', async (t) => {
  const w = await world(t);
  const route = w.route();
  if (route === undefined) throw new Error('no route');
  const now = Date.now();
  await w.integrity.suspect(route, now);
  t.equal(w.route()?.versionNumber, 3, 'it is whole: something else was wrong');
  w.damage(3);
  await w.integrity.suspect(route, now + 1_000);
  t.equal(w.route()?.versionNumber, 3, 'too soon');
  await w.integrity.suspect(route, now + 60_000);
  t.equal(w.route()?.versionNumber, 2);
});

t.test('a share of a damaged version goes to the one that serves the most', async (t) => {
  const w = await world(t);
  const ids = w.versions.map(({ version }) => version.id);
  w.apply(await w.store.setSplit(w.versions[0]?.app.id ?? 0, [
    { versionId: ids[1] ?? 0, weight: 60 }, { versionId: ids[2] ?? 0, weight: 40 },
  ]) as Deployed);
  t.equal(w.route()?.split?.length, 2);
  w.damage(3);
  await w.integrity.checkAll(apps(w));
  t.equal(w.route()?.split, undefined);
  t.equal(w.route()?.versionNumber, 2);
});

t.test('once its bytes are written anew, it serves again', async (t) => {
  const w = await world(t);
  w.damage(3);
  await w.integrity.checkAll(apps(w));
  const hash = w.versions[2]?.version.artifactHash ?? '';
  t.ok(w.integrity.isDamaged(hash));
  const { id } = await w.store.ensureTenant('acme');
  // Another app deploys the same module.
  await w.store.saveDeploy(deployOf(id, 'other', 'module 3'));
  w.integrity.mended(hash);
  t.equal(w.route()?.versionNumber, 3);
});

t.test('what a restore overtakes says nothing of the new database', async (t) => {
  const w = await world(t);
  const restored = (): void => {
    w.store.epoch.begin();
    w.integrity.forget();
    w.store.epoch.end();
  };
  const hashes = w.versions.map(({ version }) => version.artifactHash);
  w.damage(3);
  w.damage(2);
  const checking = w.integrity.checkAll(apps(w));
  restored();
  await checking;
  t.notOk(w.integrity.isDamaged(hashes[2] ?? ''), 'while all are checked');

  const { listServedBefore } = w.store;
  w.store.listServedBefore = (...given) => {
    restored();
    w.store.listServedBefore = listServedBefore;
    return listServedBefore.apply(w.store, given);
  };
  await w.integrity.checkAll(apps(w));
  t.same(hashes.map((hash) => w.integrity.isDamaged(hash)), [false, false, false],
    'while one is found that is whole');
  t.equal(w.route()?.versionNumber, 3, 'no route of before');
  t.same(w.messages, []);
});
