/**
 * The control plane: tenants, deploys, versions, routes, hosts, expiry and collection.
 */

import { createHash } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import t from 'tap';

import { REQUEST_LIMITS_DEFAULT } from '../../../contract/limits.ts';
import { openStore } from '../../../daemon/store/store.ts';
import { FACTS, WorkerPort, bytes, deployOf, deployed, said, testStore } from './support.ts';

const hash = (source: string): string => createHash('sha256').update(source).digest('hex');

function count(path: string, table: string): number {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    return Number(database.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.n);
  } finally {
    database.close();
  }
}

t.test('a deploy makes version 1, the next one version 2, and both are kept', async (t) => {
  const store = await testStore(t);
  const tenant = await store.ensureTenant('acme');
  t.same(await store.ensureTenant('acme'), tenant, 'a tenant is made once');

  const first = await store.saveDeploy(deployOf(tenant.id, 'hello', 'one'));
  t.equal(first.version.number, 1);
  t.equal(first.version.moduleHash, hash('one'));
  t.equal(first.version.artifactHash, hash('rewritten one'));
  t.match(first.route, {
    tenantId: tenant.id, tenantName: 'acme', appId: first.app.id, label: 'hello',
    versionId: first.version.id, versionNumber: 1, debug: false, suspended: false,
    limits: REQUEST_LIMITS_DEFAULT,
  });

  const second = await store.saveDeploy(deployOf(tenant.id, 'hello', 'two'));
  t.equal(second.version.number, 2);
  t.equal(second.app.id, first.app.id);
  t.equal(second.app.activeVersionId, second.version.id);
  t.ok(second.app.generation > first.app.generation, 'a new generation');
  t.same(store.listVersions(first.app.id), [first.version, second.version]);
  t.same(store.getApp('hello'), second.app);
  t.equal(store.getApp('nobody'), null);

  const back = await store.setActiveVersion(first.app.id, first.version.id);
  t.equal(back.route?.versionNumber, 1, 'rolled back');
  t.ok(back.app.generation > second.app.generation);
  const third = await store.saveDeploy(
    { ...deployOf(tenant.id, 'hello', 'three'), activate: false });
  t.equal(third.version.number, 3);
  t.equal(third.route?.versionNumber, 1, 'stored, but not serving yet');
});

t.test('routes, settings and versions survive a restart', async (t) => {
  const dataFolder = t.testdir();
  const store = await openStore({ dataFolder });
  const { app } = await deployed(store, 'hello');
  const settings = { limits: { fuel: 500, memoryBytes: 9e15 }, debug: true, recycleMemory: false };
  await store.changeApp(app.id, { settings });
  const { app: changedApp } = await store.addHost(app.id, 'www.example.com');
  const expected = store.loadRoutes();
  await store.close();
  await t.rejects(store.ensureTenant('late'), { code: 'store_failed', message: /closed/ });
  t.throws(() => store.listApps(), { code: 'store_failed' });

  const again = await openStore({ dataFolder });
  t.teardown(() => again.close());
  t.same(again.loadRoutes(), expected);
  t.match(expected, [{
    appId: app.id,
    customHosts: ['www.example.com'],
    route: {
      debug: true,
      limits: { fuel: 500, memoryBytes: REQUEST_LIMITS_DEFAULT.memoryBytes },
    },
  }], 'an app narrows the operator\'s limits and cannot widen them');
  t.same(again.getApp('hello'), changedApp);
});

t.test('a label of another tenant is taken, and nothing says by whom', async (t) => {
  const store = await testStore(t);
  await deployed(store, 'hello', 'acme-secret-name');
  const other = await store.ensureTenant('other');
  const refused = store.saveDeploy(deployOf(other.id, 'hello', 'mine'));
  await t.rejects(refused, { code: 'conflict', message: 'the name hello is taken' });
  t.equal(count(store.databasePath, 'module'), 1, 'nothing of it was stored');
});

t.test('names and limits are checked before anything is stored', async (t) => {
  const store = await testStore(t);
  const { id } = await store.ensureTenant('acme');
  for (const label of ['', '-a', 'a-', 'A', 'a.b', 'a_b', 'a--b', '1--a', 'x'.repeat(64), 'é']) {
    const refused = store.saveDeploy(deployOf(id, label, 'x'));
    await t.rejects(refused, { code: 'bad_name' }, JSON.stringify(label));
  }
  for (const name of ['', '../x', 'a b', 'x'.repeat(65)]) {
    await t.rejects(store.ensureTenant(name), { code: 'bad_name' }, JSON.stringify(name));
  }
  await t.rejects(store.saveDeploy(deployOf(id + 1, 'a', 'x')), { code: 'not_found' });
  const limits = { fuel: -1 };
  const settings = { limits, debug: false, recycleMemory: true };
  const negative = store.saveDeploy({ ...deployOf(id, 'a', 'x'), settings });
  await t.rejects(negative, { code: 'bad_argument' });
  const unknown = store.tenants.change(id, { limits: { wings: 2 } as object });
  await t.rejects(unknown, { code: 'bad_argument', message: /wings is not a limit/ });
  const wrongHash = store.saveDeploy({ ...deployOf(id, 'a', 'x'), moduleHash: hash('y') });
  await t.rejects(wrongHash, { code: 'bad_upload' });
  t.equal(count(store.databasePath, 'module'), 0, 'no command left anything behind');
  t.equal(count(store.databasePath, 'app'), 0);
});

t.test('the build cache: a stored artifact serves the same module again', async (t) => {
  const store = await testStore(t);
  const { id } = await store.ensureTenant('acme');
  t.equal(store.findArtifact(hash('one'), 'rewriter 1'), null);
  const gone = store.saveDeploy({ ...deployOf(id, 'a', 'one'), artifact: null });
  await t.rejects(gone, { code: 'conflict', message: /build again/ });

  const first = await store.saveDeploy(deployOf(id, 'a', 'one'));
  const found = store.findArtifact(hash('one'), 'rewriter 1');
  t.same(found, { hash: first.version.artifactHash, facts: FACTS, byteLength: 13 });
  const second = await store.saveDeploy({ ...deployOf(id, 'b', 'one'), artifact: null });
  t.equal(second.version.artifactHash, first.version.artifactHash);
  t.equal(count(store.databasePath, 'artifact'), 1);

  // A newer rewriter whose output is the same, then one that differs under the same key.
  await store.saveDeploy({ ...deployOf(id, 'a', 'one'), rewriteKey: 'rewriter 2' });
  t.equal(store.findArtifact(hash('one'), 'rewriter 2')?.hash, first.version.artifactHash);
  const artifact = { bytes: bytes('other bytes'), facts: FACTS };
  const replaced = await store.saveDeploy(
    { ...deployOf(id, 'a', 'one'), rewriteKey: 'rewriter 2', artifact });
  t.equal(store.findArtifact(hash('one'), 'rewriter 2')?.hash, replaced.version.artifactHash);
  t.equal(store.getVersion(second.version.id)?.artifactHash, first.version.artifactHash);
});

t.test('a deploy under a key is done once, whatever becomes of the daemon', async (t) => {
  const dataFolder = t.testdir();
  const once = (key: string, fingerprint: string) => ({
    once: { key: hash(key), fingerprint: hash(fingerprint), warnings: ['a warning'] },
  });
  const first = await openStore({ dataFolder });
  const { id } = await first.ensureTenant('acme');
  const deploy = { ...deployOf(id, 'shop', 'module'), ...once('k1', 'shop') };
  const { version } = await first.saveDeploy(deploy);
  t.equal((await first.saveDeploy(deploy)).version.id, version.id);
  await first.close();

  const store = await openStore({ dataFolder });
  t.teardown(() => store.close());
  const again = await store.saveDeploy(deploy);
  t.same(again.version, version);
  t.equal(store.listVersions(again.app.id).length, 1);
  t.same(store.findDeploy(id, deploy.once), { versionId: version.id, warnings: ['a warning'] });
  t.equal(store.findDeploy(id, once('k2', 'shop').once), null);
  const other = { ...deployOf(id, 'shop', 'other'), ...once('k1', 'other') };
  await t.rejects(store.saveDeploy(other), { code: 'conflict' });
  t.throws(() => store.findDeploy(id, other.once), { code: 'conflict' });
  const day = 24 * 3_600_000 + 60_000;
  t.equal(store.findDeploy(id, deploy.once, Date.now() + day), null, 'for a day');
  const { id: rival } = await store.ensureTenant('rival');
  t.equal(store.findDeploy(rival, deploy.once), null);
});

t.test('a key whose version was collected does not deploy a second time', async (t) => {
  const store = await testStore(t);
  const { id } = await store.ensureTenant('acme');
  const once = { key: hash('k1'), fingerprint: hash('first'), warnings: [] };
  const first = { ...deployOf(id, 'shop', 'module 1'), once };
  const { version } = await store.saveDeploy(first);
  const { app } = await store.saveDeploy(deployOf(id, 'shop', 'module 2'));
  const database = new DatabaseSync(store.databasePath, { timeout: 5_000 });
  database.exec('UPDATE app SET activated_at_ms = 0; UPDATE version SET created_at_ms = 0');
  database.close();
  t.same((await store.garbageCollect(1)).versionIds, [version.id]);
  const refused = { code: 'conflict', message: /version 1, which was collected/ };
  await t.rejects(store.saveDeploy(first), refused);
  t.throws(() => store.findDeploy(id, once), refused);
  t.equal(store.lastNumberOf(app.id), 2, 'nothing was deployed');
  await store.deleteApp(app.id);
  t.equal((await store.saveDeploy(first)).version.number, 1, 'a removed app is made anew');
});

t.test('a damaged blob is mended by the next deploy of the same bytes', async (t) => {
  const dataFolder = t.testdir();
  const store = await openStore({ dataFolder });
  await deployed(store, 'hello');
  await store.close();
  const database = new DatabaseSync(store.databasePath);
  database.exec(`UPDATE module SET bytes = x'00'; UPDATE artifact SET bytes = x'00'`);
  database.close();

  const again = await openStore({ dataFolder });
  t.teardown(() => again.close());
  const { version } = await deployed(again, 'hello');
  const reader = new DatabaseSync(again.databasePath, { readOnly: true });
  const row = reader.prepare('SELECT bytes FROM artifact').get();
  reader.close();
  t.equal(createHash('sha256').update(row?.bytes as Uint8Array).digest('hex'),
    version.artifactHash);
});

t.test('custom hosts belong to one app', async (t) => {
  const store = await testStore(t);
  const a = await deployed(store, 'a');
  const b = await deployed(store, 'b', 'other');
  const added = await store.addHost(a.app.id, 'www.example.com');
  t.same(added.customHosts, ['www.example.com']);
  t.ok(added.app.generation > a.app.generation);
  t.same((await store.addHost(a.app.id, 'www.example.com')).customHosts, added.customHosts);
  await t.rejects(store.addHost(b.app.id, 'www.example.com'), { code: 'conflict' });
  await t.rejects(store.removeHost(b.app.id, 'www.example.com'), { code: 'not_found' });
  for (const host of ['', 'A.example', 'a..b', 'a:80', '-a.b', `${'x'.repeat(64)}.com`]) {
    await t.rejects(store.addHost(a.app.id, host), { code: 'bad_name' }, JSON.stringify(host));
  }
  await t.rejects(store.addHost(999, 'a.example'), { code: 'not_found' });
  t.same((await store.removeHost(a.app.id, 'www.example.com')).customHosts, []);
  t.same((await store.addHost(b.app.id, 'www.example.com')).customHosts, ['www.example.com']);
});

t.test('versions of another app cannot be activated', async (t) => {
  const store = await testStore(t);
  const a = await deployed(store, 'a');
  const b = await deployed(store, 'b', 'other');
  await t.rejects(store.setActiveVersion(a.app.id, b.version.id), { code: 'not_found' });
  await t.rejects(store.setActiveVersion(999, a.version.id), { code: 'not_found' });
});

t.test('a tenant that changes gives all its apps a new generation', async (t) => {
  const store = await testStore(t);
  const a = await deployed(store, 'a');
  await deployed(store, 'b');
  await deployed(store, 'c', 'other');
  const { tenant, changes } = await store.tenants.change(
    a.app.tenantId, { suspended: true, limits: { fuel: 7 } });
  t.ok(tenant.suspended);
  t.same(changes.map((change) => change.route?.label), ['a', 'b']);
  for (const { route } of changes) {
    t.match(route, { suspended: true, limits: { fuel: 7 } });
    t.equal(route?.generation, a.app.generation + 1);
  }
});

t.test('deleting an app removes what only it used', async (t) => {
  const store = await testStore(t);
  const a = await deployed(store, 'a');
  const shared = await store.saveDeploy(deployOf(a.app.tenantId, 'a', 'shared'));
  const b = await store.saveDeploy(deployOf(a.app.tenantId, 'b', 'shared'));
  await store.addHost(a.app.id, 'a.example');
  const removed = await store.deleteApp(a.app.id);
  t.same(removed, {
    appId: a.app.id, label: 'a', versionIds: [a.version.id, shared.version.id],
  });
  t.equal(store.getApp('a'), null);
  t.equal(store.routeOf(a.app.id).route, null);
  t.equal(count(store.databasePath, 'host'), 0);
  t.same(store.loadRoutes().map((entry) => entry.appId), [b.app.id]);
  t.equal(count(store.databasePath, 'artifact'), 1, 'b still needs the shared one');
  t.equal(count(store.databasePath, 'module'), 1);
  await t.rejects(store.deleteApp(a.app.id), { code: 'not_found' });
  const anew = await deployed(store, 'a');
  t.ok(anew.app.id > b.app.id, 'ids are not used twice');
  t.ok(anew.version.id > b.version.id);
});

t.test('expiry removes the app with its store', async (t) => {
  const store = await testStore(t);
  const { id } = await store.ensureTenant('acme');
  const doomed = await store.saveDeploy({ ...deployOf(id, 'brief', 'x'), expiresAtMs: 2e12 });
  const kept = await store.saveDeploy({ ...deployOf(id, 'kept', 'y'), expiresAtMs: null });
  const worker = new WorkerPort(store);
  t.teardown(async () => worker.close());
  for (let n = 0; n < 100; n += 1) await worker.put(doomed.app.id, `key ${n}`, 'value');
  await worker.put(kept.app.id, 'key', 'value');

  t.same(await store.expireApps(2e12 - 1), []);
  t.same(store.loadRoutes(2e12).map((entry) => entry.appId), [kept.app.id],
    'what has expired is not served, removed or not');
  t.same(await store.expireApps(2e12), [
    { appId: doomed.app.id, label: 'brief', versionIds: [doomed.version.id] }]);
  t.equal(said(await worker.put(doomed.app.id, 'key', 'late')), 'not_found');
  t.equal(said(await worker.delete(doomed.app.id, 'key')), 'not_found');
  while (count(store.databasePath, 'kv_garbage') > 0) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  t.equal(count(store.databasePath, 'kv'), 1, 'its entries are gone, the other app\'s is not');

  for (let n = 0; n < 150; n += 1) {
    await store.saveDeploy({ ...deployOf(id, `brief-${n}`, 'x'), expiresAtMs: 1 });
  }
  const removed = await store.expireApps(Date.now());
  t.equal(removed.length, 150, 'more than one transaction takes');
});

t.test('collection keeps the newest versions and the active one', async (t) => {
  const store = await testStore(t);
  const { id } = await store.ensureTenant('acme');
  const made = [];
  for (let n = 0; n < 6; n += 1) {
    made.push(await store.saveDeploy(deployOf(id, 'hello', `source ${n}`)));
  }
  const appId = made[0]?.app.id ?? 0;
  await store.setActiveVersion(appId, made[1]?.version.id ?? 0);
  await t.rejects(store.garbageCollect(0), { code: 'bad_argument' });
  t.same((await store.garbageCollect(2)).versionIds, [], 'too soon after the promotion');

  const database = new DatabaseSync(store.databasePath, { timeout: 5_000 });
  database.exec('UPDATE app SET activated_at_ms = 0; UPDATE version SET created_at_ms = 0');
  database.close();
  t.same(await store.garbageCollect(2), {
    versionIds: [made[0]?.version.id, made[2]?.version.id, made[3]?.version.id],
    artifacts: 3,
    modules: 3,
  });
  t.same(store.listVersions(appId).map((version) => version.number), [2, 5, 6]);
  const next = await store.saveDeploy(deployOf(id, 'hello', 'source 0'));
  t.equal(next.version.number, 7, 'numbers are not used twice');
});

t.test('lists come in pages', async (t) => {
  const store = await testStore(t);
  for (const label of ['a', 'b', 'c']) await deployed(store, label);
  await deployed(store, 'd', 'other');
  const tenantId = store.getTenant('acme')?.id ?? 0;
  const first = store.listApps(tenantId, { limit: 2 });
  t.same(first.map((app) => app.label), ['a', 'b']);
  const rest = store.listApps(tenantId, { after: first.at(-1)?.id ?? 0 });
  t.same(rest.map((app) => app.label), ['c'], 'and no app of another tenant');
  t.equal(store.listApps().length, 4);
  t.throws(() => store.listApps(null, { limit: 1_001 }), { code: 'bad_argument' });
  t.throws(() => store.listApps(null, { limit: Number.NaN }), { code: 'bad_argument' });
});

t.test('a thousand apps load in two queries', async (t) => {
  const store = await testStore(t);
  const { id } = await store.ensureTenant('acme');
  const deploys = Array.from({ length: 1_000 }, (_, n) =>
    store.saveDeploy(deployOf(id, `app-${n}`, `source ${n % 10}`)));
  await Promise.all(deploys);
  const startedAt = performance.now();
  const routes = store.loadRoutes();
  t.comment(`loaded in ${(performance.now() - startedAt).toFixed(1)} ms`);
  t.equal(routes.length, 1_000);
  t.equal(new Set(routes.map((entry) => entry.route?.label)).size, 1_000);
  const { commits, commands } = await store.stats();
  t.ok(commits < commands, `${commands} commands shared ${commits} commits`);
});
