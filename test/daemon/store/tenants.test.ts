/**
 * Tenants, tokens, shares of versions, environment and secrets.
 */

import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import t from 'tap';

import {
  ENV_BYTES_MAX, ENV_VALUE_BYTES_MAX, SECRET_VALUE_BYTES_MAX, SECRET_VERSIONS_KEPT,
  SECRET_VERSIONS_WAITING_MAX,
} from '../../../contract/limits.ts';
import { openSecret, sealSecret, secretKeyId } from '../../../contract/sealed.ts';
import { openStore } from '../../../daemon/store/store.ts';
import { WorkerPort, bytes, deployOf, deployed, said, testStore, text } from './support.ts';

const KEY = randomBytes(32);

t.test('tenants: made once, listed, suspended, deleted with all they have', async (t) => {
  const store = await testStore(t, { secretKeys: [KEY] });
  const tenant = await store.tenants.create('acme');
  await t.rejects(store.tenants.create('acme'), { code: 'conflict' });
  const a = await deployed(store, 'a');
  const other = await deployed(store, 'other', 'other');
  const space = await store.namespaces.create(tenant.id, 'data');
  await store.namespaces.bind(a.app.id, 'DATA', space.id);
  await store.addHost(a.app.id, 'a.example');
  await store.environment.setEnv(a.app.id, { NAME: 'value' });
  await store.environment.putSecret(a.app.id, 'KEY', bytes('s'));
  await store.tenants.createToken(
    { tenantId: tenant.id, name: 't', scope: 'read', expiresAtMs: null });
  for (let n = 0; n < 120; n += 1) {
    await store.saveDeploy(deployOf(tenant.id, `app-${n}`, `source ${n % 3}`));
  }
  const worker = new WorkerPort(store);
  t.teardown(async () => worker.close());
  await worker.put(space.id, 'k', 'v');
  t.same(store.tenants.list().map(({ name }) => name), ['acme', 'other']);
  t.same(store.tenants.get(tenant.id), tenant);

  await store.tenants.change(tenant.id, { suspended: true });
  const refused = store.saveDeploy(deployOf(tenant.id, 'a', 'x'));
  await t.rejects(refused, { code: 'tenant_suspended' });

  const removed = await store.tenants.delete(tenant.id);
  t.equal(removed.length, 121);
  t.same(store.tenants.list().map(({ name }) => name), ['other']);
  t.same(store.listApps().map(({ id }) => id), [other.app.id]);
  t.equal(said(await worker.put(space.id, 'k', 'v')), 'not_found');
  await t.rejects(store.tenants.delete(tenant.id), { code: 'not_found' });
  const database = new DatabaseSync(store.databasePath, { readOnly: true });
  for (const table of ['token', 'binding', 'env', 'secret', 'host']) {
    t.equal(database.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.n, 0, table);
  }
  t.equal(database.prepare('SELECT count(*) AS n FROM kv_store').get()?.n, 1);
  t.equal(database.prepare('SELECT count(*) AS n FROM module').get()?.n, 1);
  database.close();
});

t.test('a tenant has its limits from the first moment', async (t) => {
  const store = await testStore(t);
  const before = await store.stats();
  const bounded = await store.tenants.create('bounded', {
    limits: { fuel: 7_000 }, quotas: { apps: 3 },
  });
  t.equal((await store.stats()).commands, before.commands + 1, 'with its limits, or not at all');
  t.same(bounded.limits, { fuel: 7_000 });
  t.equal(store.tenants.quotas(bounded.id).apps, 3);
  const odd = store.tenants.create('odd', { quotas: { apps: -1 } });
  await t.rejects(odd, { code: 'bad_argument' });
  t.equal(store.getTenant('odd'), null);
});

t.test('a tenant may have so many apps', async (t) => {
  const store = await testStore(t);
  const { id } = await store.ensureTenant('acme');
  await store.tenants.change(id, { quotas: { apps: 1 } });
  await store.saveDeploy(deployOf(id, 'a', 'x'));
  await t.rejects(store.saveDeploy(deployOf(id, 'b', 'x')), { code: 'quota_exceeded' });
  await store.saveDeploy(deployOf(id, 'a', 'y'));
});

t.test('tokens: shown once, kept hashed, with scope, expiry and last use', async (t) => {
  const store = await testStore(t);
  const { id } = await store.ensureTenant('acme');
  const made = await store.tenants.createToken(
    { tenantId: id, name: 'ci', scope: 'deploy', expiresAtMs: 2e12 });
  t.match(made.secret, /^wdn_[A-Za-z0-9_-]{43}$/);
  t.match(made.token, { tenantId: id, name: 'ci', scope: 'deploy', lastUsedAtMs: null });
  t.same(store.tenants.authenticate(made.secret), made.token);
  t.equal(store.tenants.authenticate(made.secret, 2e12), null, 'expired');
  t.equal(store.tenants.authenticate(`${made.secret}x`), null);
  for (const guess of ['', 'wdn_', made.secret.slice(0, -1), `wdn_${'A'.repeat(43)}`, '\0']) {
    t.equal(store.tenants.authenticate(guess), null);
  }
  const operator = await store.tenants.createToken(
    { tenantId: null, name: 'root', scope: 'admin', expiresAtMs: null });
  t.same(store.tenants.listTokens(id), [made.token], 'a tenant sees its own');
  t.same(store.tenants.listTokens(null), [operator.token]);
  for (const [text, secret] of [['tenant', made.secret], ['operator', operator.secret]] as const) {
    for (const file of ['wardian.db', 'wardian.db-wal']) {
      const path = store.databasePath.replace(/wardian\.db$/, file);
      t.notOk(readFileSync(path).includes(secret), `${text}'s token is not in ${file}`);
    }
  }

  await store.tenants.noteUse(made.token, Date.now());
  const used = store.tenants.authenticate(made.secret);
  t.ok((used?.lastUsedAtMs ?? 0) > Date.now() - 60_000);
  const { commands } = await store.stats();
  if (used !== null) await store.tenants.noteUse(used);
  t.equal((await store.stats()).commands, commands, 'not a write for every call');

  await store.tenants.revokeToken(made.token.id);
  t.equal(store.tenants.authenticate(made.secret), null);
  await t.rejects(store.tenants.revokeToken(made.token.id), { code: 'not_found' });
  const bad = { tenantId: id, name: 'x', scope: 'root' as 'admin', expiresAtMs: null };
  await t.rejects(store.tenants.createToken(bad), { code: 'bad_argument' });
  await t.rejects(
    store.tenants.createToken({ tenantId: 99, name: 'x', scope: 'read', expiresAtMs: null }),
    { code: 'not_found' });
});

t.test('shares of versions', async (t) => {
  const store = await testStore(t);
  const { id } = await store.ensureTenant('acme');
  const [one, two, three] = await Promise.all(
    ['1', '2', '3'].map((source) => store.saveDeploy(deployOf(id, 'a', source))));
  const foreign = await deployed(store, 'foreign', 'other');
  if (one === undefined || two === undefined || three === undefined) throw new Error('no deploys');
  const share = (deploy: typeof one, weight: number) => ({ versionId: deploy.version.id, weight });
  const appId = one.app.id;

  const split = await store.setSplit(appId, [share(two, 10), share(one, 90)]);
  t.match(split.route, { versionNumber: 1 }, 'the largest share is the active version');
  t.same(split.route?.split, [
    { versionId: one.version.id, versionNumber: 1, weight: 90, streamsBody: false },
    { versionId: two.version.id, versionNumber: 2, weight: 10, streamsBody: false },
  ]);
  t.same(store.loadRoutes().find((entry) => entry.appId === appId)?.route, split.route);
  for (const shares of [
    [], [share(one, 99)], [share(one, 50), share(two, 51)], [share(one, 100), share(two, 0)],
    [share(one, 50), share(one, 50)], [share(one, 50.5), share(two, 49.5)],
    [share(one, -10), share(two, 110)],
  ]) {
    await t.rejects(store.setSplit(appId, shares), { code: 'bad_argument' });
  }
  const theirs = store.setSplit(appId, [share(one, 50), share(foreign, 50)]);
  await t.rejects(theirs, { code: 'not_found' });
  t.same(store.routeOf(appId).route, split.route, 'what was refused changed nothing');

  const tamper = new DatabaseSync(store.databasePath, { timeout: 5_000 });
  tamper.exec('UPDATE app SET activated_at_ms = 0; UPDATE version SET created_at_ms = 0');
  tamper.close();
  t.same((await store.garbageCollect(1)).versionIds, [], 'what has a share is kept');
  t.equal((await store.setSplit(appId, [share(three, 100)])).route?.split, undefined);
  await store.setSplit(appId, [share(three, 60), share(one, 40)]);
  t.equal((await store.saveDeploy(deployOf(id, 'a', '4'))).route?.split, undefined,
    'a deploy ends it');
  await store.setSplit(appId, [share(three, 60), share(one, 40)]);
  await store.deleteApp(appId);
  t.equal(store.getApp('a'), null);
});

t.test('a version has a route of its own, for previews', async (t) => {
  const store = await testStore(t);
  const first = await deployed(store, 'a');
  await store.saveDeploy(
    { ...deployOf(first.app.tenantId, 'a', 'two'), expiresAtMs: 2e12, activate: false });
  t.match(store.routeOfVersion('a', 2), { versionNumber: 2, label: 'a', appId: first.app.id });
  t.match(store.routeOfVersion('a', 1), { versionNumber: 1 });
  for (const [label, number] of [['a', 3], ['b', 1], ['a', 0], ['a', -1]] as const) {
    t.equal(store.routeOfVersion(label, number), null);
  }
  t.equal(store.routeOfVersion('a', 1, 2e12), null, 'an expired app has none');
});

t.test('environment: set, replaced, unset; bounded; with a new generation', async (t) => {
  const store = await testStore(t);
  const { app } = await deployed(store, 'a');
  const set = await store.environment.setEnv(app.id, { A: '1', B: 'zwei ü', _c: '' });
  t.ok(set.app.generation > app.generation);
  t.same(store.environment.env(app.id), new Map([['A', '1'], ['B', 'zwei ü'], ['_c', '']]));
  await store.environment.setEnv(app.id, { A: '2', B: null, NOTHING: null });
  t.same(store.environment.env(app.id), new Map([['A', '2'], ['_c', '']]));
  for (const name of ['', '1A', 'A-B', 'A B', 'A=B', 'é', 'x'.repeat(129)]) {
    await t.rejects(store.environment.setEnv(app.id, { [name]: 'v' }), { code: 'bad_name' });
  }
  for (const value of ['a\0b', 'x'.repeat(ENV_VALUE_BYTES_MAX + 1), 7 as unknown as string]) {
    await t.rejects(store.environment.setEnv(app.id, { A: value }), { code: 'bad_argument' });
  }
  const large = Object.fromEntries(
    Array.from({ length: ENV_BYTES_MAX / ENV_VALUE_BYTES_MAX }, (_, n) =>
      [`V${n}`, 'x'.repeat(ENV_VALUE_BYTES_MAX)]));
  await t.rejects(store.environment.setEnv(app.id, large), { code: 'quota_exceeded' });
  t.same(store.environment.env(app.id), new Map([['A', '2'], ['_c', '']]), 'all or nothing');
  await t.rejects(store.environment.setEnv(999, { A: '1' }), { code: 'not_found' });
});

t.test('secrets: sealed, versioned, in effect from a time on', async (t) => {
  const store = await testStore(t, { secretKeys: [KEY] });
  const { app } = await deployed(store, 'a');
  const value = 'correct horse battery staple';
  const put = await store.environment.putSecret(app.id, 'TOKEN', bytes(value));
  t.match(put.version, { name: 'TOKEN', number: 1 });
  t.ok(put.app.generation > app.generation);
  t.equal(text(store.environment.secret(app.id, 'TOKEN')), value);
  for (const file of ['wardian.db', 'wardian.db-wal']) {
    const path = store.databasePath.replace(/wardian\.db$/, file);
    t.notOk(readFileSync(path).includes(value), `not in ${file}`);
    t.notOk(readFileSync(path).includes(KEY), 'nor is the key');
  }

  await store.environment.putSecret(app.id, 'TOKEN', bytes('later'), Date.now() + 60_000);
  t.equal(text(store.environment.secret(app.id, 'TOKEN')), value, 'not in effect yet');
  t.equal(text(store.environment.secret(app.id, 'TOKEN', Date.now() + 61_000)), 'later');
  await store.environment.putSecret(app.id, 'TOKEN', bytes('now'));
  t.equal(text(store.environment.secret(app.id, 'TOKEN')), 'now');
  t.same(store.environment.listSecrets(app.id).map(({ number }) => number), [1, 2, 3]);
  t.equal(store.environment.secret(app.id, 'OTHER'), null);

  const year = Date.now() + 365 * 86_400_000;
  await store.environment.putSecret(app.id, 'TOKEN', bytes('in a year'), year);
  for (let n = 0; n < 20; n += 1) {
    await store.environment.putSecret(app.id, 'TOKEN', bytes(`${n}`));
  }
  t.equal(text(store.environment.secret(app.id, 'TOKEN')), '19');
  t.equal(text(store.environment.secret(app.id, 'TOKEN', year)), 'in a year',
    'a value that waits for its time is there when it comes');
  t.equal(store.environment.listSecrets(app.id).length, SECRET_VERSIONS_KEPT + 2);
  for (let n = 2; n < SECRET_VERSIONS_WAITING_MAX; n += 1) {
    await store.environment.putSecret(app.id, 'TOKEN', bytes(`${n}`), year + n);
  }
  const tooMany = store.environment.putSecret(app.id, 'TOKEN', bytes('one more'), year);
  await t.rejects(tooMany, { code: 'quota_exceeded' });
  t.equal(text(store.environment.secret(app.id, 'TOKEN')), '19', 'the one in effect is kept');

  const tooLarge = new Uint8Array(SECRET_VALUE_BYTES_MAX + 1);
  await t.rejects(store.environment.putSecret(app.id, 'A', tooLarge), { code: 'bad_argument' });
  await t.rejects(store.environment.putSecret(app.id, 'A-B', bytes('v')), { code: 'bad_name' });
  await t.rejects(store.environment.putSecret(999, 'A', bytes('v')), { code: 'not_found' });
  await store.environment.deleteSecret(app.id, 'TOKEN');
  t.equal(store.environment.secret(app.id, 'TOKEN'), null);
  await t.rejects(store.environment.deleteSecret(app.id, 'TOKEN'), { code: 'not_found' });
  const { version } = await store.environment.putSecret(app.id, 'TOKEN', bytes('again'));
  t.ok(version.number > 24, 'no number comes again');
});

t.test('a sealed value opens for its key, app and name alone', async (t) => {
  const sealed = sealSecret(KEY, 1, 'A', bytes('value'));
  t.equal(text(openSecret(KEY, 1, 'A', sealed)), 'value');
  t.not(Buffer.compare(sealed, sealSecret(KEY, 1, 'A', bytes('value'))), 0, 'a fresh nonce');
  const flipped = sealed.slice();
  flipped[flipped.length - 1] = (flipped.at(-1) ?? 0) ^ 1;
  const wrong: [Uint8Array, number, string, Uint8Array][] = [
    [randomBytes(32), 1, 'A', sealed], [KEY, 2, 'A', sealed], [KEY, 1, 'B', sealed],
    [KEY, 1, 'A', flipped], [KEY, 1, 'A', sealed.subarray(0, 20)], [KEY, 1, 'A', new Uint8Array()],
  ];
  for (const args of wrong) {
    t.throws(() => openSecret(...args), { code: 'store_failed', message: /cannot be decrypted/ });
  }
  t.match(secretKeyId(KEY), /^[0-9a-f]{16}$/);
});

t.test('what no key opens does not keep the rest under an old key', async (t) => {
  const dataFolder = t.testdir();
  const lost = randomBytes(32);
  const next = randomBytes(32);
  for (const key of [lost, KEY]) {
    const store = await openStore({ dataFolder, secretKeys: [key] });
    const { app } = await deployed(store, 'a');
    for (let n = 0; n < 130; n += 1) {
      await store.environment.putSecret(app.id, `S${n % 100}`, bytes(`value ${n}`));
    }
    await store.close();
  }
  const store = await openStore({ dataFolder, secretKeys: [next, KEY] });
  t.teardown(() => store.close());
  const { resealed, unopened } = await store.environment.rotate();
  t.equal(resealed, 130);
  t.same([...unopened], [[secretKeyId(lost), 130]]);
  t.same(store.environment.keys(), [
    { keyId: secretKeyId(next), active: true, present: true, values: 130 },
    { keyId: secretKeyId(KEY), active: false, present: true, values: 0 },
    { keyId: secretKeyId(lost), active: false, present: false, values: 130 },
  ]);
  const { id } = store.getApp('a') ?? { id: 0 };
  t.equal(text(store.environment.secret(id, 'S99')), 'value 99');
});

t.test('the key of secrets rotates', async (t) => {
  const dataFolder = t.testdir();
  const next = randomBytes(32);
  const first = await openStore({ dataFolder, secretKeys: [KEY] });
  const { app } = await deployed(first, 'a');
  for (let n = 0; n < 120; n += 1) {
    await first.environment.putSecret(app.id, `S${n}`, bytes(`value ${n}`));
  }
  await first.close();

  const without = await openStore({ dataFolder });
  t.throws(() => without.environment.secret(app.id, 'S1'), { code: 'store_failed' });
  const unsealed = without.environment.putSecret(app.id, 'X', bytes('v'));
  await t.rejects(unsealed, { message: /no key/ });
  await without.close();

  const both = await openStore({ dataFolder, secretKeys: [next, KEY] });
  t.equal(text(both.environment.secret(app.id, 'S1')), 'value 1', 'the old key still opens');
  t.match(await both.environment.rotate(), { resealed: 120 });
  t.match(await both.environment.rotate(), { resealed: 0 });
  t.same(both.environment.keys(), [
    { keyId: secretKeyId(next), active: true, present: true, values: 120 },
    { keyId: secretKeyId(KEY), active: false, present: true, values: 0 },
  ]);
  await both.close();

  const last = await openStore({ dataFolder, secretKeys: [next] });
  t.teardown(() => last.close());
  for (const n of [0, 60, 119]) {
    t.equal(text(last.environment.secret(app.id, `S${n}`)), `value ${n}`);
  }
  const short = openStore({ dataFolder: t.testdir(), secretKeys: [randomBytes(16)] });
  await t.rejects(short, { code: 'bad_argument' });
});
