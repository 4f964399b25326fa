/** What the routes of tenants, tokens, settings, shares, secrets and entries do, route by route. */

import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';

import { REQUEST_LIMITS_DEFAULT } from '../../../contract/limits.ts';
import { openStore } from '../../../daemon/store/store.ts';
import { guest } from '../deploy/parts.ts';
import { at, events, startApi } from './api.ts';
import type { Answer, Api, Ask, Json } from './api.ts';

const JSON_TYPE = 'application/json';
const BYTES = 'application/octet-stream';

const send = (api: Api, method: string, path: string, value: unknown, ask: Ask = {}) =>
  api.ask(method, path, {
    ...ask, body: JSON.stringify(value), headers: { 'content-type': JSON_TYPE, ...ask.headers },
  });
const outcome = ({ status, json }: Answer): unknown[] => [status, json['code'], json['detail']];

async function withApp(t: Test, versions = 1): Promise<Api> {
  const api = await startApi(t);
  for (let number = 1; number <= versions; number += 1) {
    await api.deploy('shop', await guest(number));
  }
  return api;
}

t.test('tenants: made, limited, listed, suspended, removed', async (t) => {
  const api = await startApi(t);
  const made = await send(api, 'POST', '/v1/tenants', {
    name: 'acme', limits: { fuel: 5_000 }, quotas: { apps: 1 },
  });
  t.equal(made.status, 201);
  t.match(made.json, {
    name: 'acme', suspended: false, limits: { fuel: 5_000 }, quotas: { apps: 1 },
  });
  t.equal((await send(api, 'POST', '/v1/tenants', { name: 'acme' })).status, 409);
  t.equal((await send(api, 'POST', '/v1/tenants', { name: 'No Name' })).status, 400);
  t.equal((await send(api, 'POST', '/v1/tenants', { name: 'x', limits: { fuel: 1 } })).status, 400);
  const limits = { fuel: null, hostcalls: 10 };
  const changed = await send(api, 'PATCH', '/v1/tenants/acme', {
    limits, quotas: { namespaces: 2 },
  });
  t.same(changed.json['limits'], { hostcalls: 10 });
  t.match(changed.json['quotas'], { apps: 1, namespaces: 2 });
  const taken = await send(api, 'PATCH', '/v1/tenants/acme', { quotas: { apps: null } });
  t.not(at(taken.json, 'quotas')['apps'], 1, 'the default again');

  await send(api, 'POST', '/v1/tenants', { name: 'later' });
  const page = await api.ask('GET', '/v1/tenants?limit=1');
  const next = String(page.json['next']);
  t.match((await api.ask('GET', `/v1/tenants?after=${next}`)).json, {
    tenants: [{ name: 'acme' }, { name: 'later' }], next: null,
  });
  t.equal((await api.ask('DELETE', '/v1/tenants/default')).status, 409, 'the node\'s own');

  const as = { headers: { 'wardian-tenant': 'acme', 'content-type': 'application/wasm' } };
  await api.ask('POST', '/v1/apps/mine/deploys', { ...as, body: await guest(5) });
  t.match((await api.ask('GET', '/v1/apps/mine')).json, { tenant: 'acme' });
  t.match((await api.ask('GET', '/v1/apps?tenant=later')).json, { apps: [] });
  t.equal((await api.ask('DELETE', '/v1/tenants/acme')).status, 204);
  t.same(api.removed, ['mine']);
  t.equal((await api.ask('GET', '/v1/apps/mine')).status, 404);
});

t.test('tokens: shown once, hashed, used, expired, revoked', async (t) => {
  const api = await startApi(t);
  await send(api, 'POST', '/v1/tenants', { name: 'acme' });
  const made = await send(api, 'POST', '/v1/tokens?tenant=acme', {
    name: 'ci', scope: 'read', lifeSeconds: 3_600,
  });
  t.equal(made.status, 201);
  const { secret, id, expiresAt } = made.json;
  t.match(secret, /^wdn_[\w-]{43}$/);
  t.ok(Math.abs(Date.parse(String(expiresAt)) - Date.now() - 3_600_000) < 60_000);
  const token = String(secret);
  t.equal((await api.ask('GET', '/v1/apps', { token })).status, 200);
  const listed = await api.ask('GET', '/v1/tokens?tenant=acme');
  t.notMatch(listed.text, token.slice(4));
  t.match(listed.json, { tokens: [{ id, tenant: 'acme', name: 'ci', scope: 'read' }] });
  t.type(at(listed.json, 'tokens', '0')['lastUsedAt'], 'string', 'its use was noted');
  t.match((await api.ask('GET', '/v1/tokens')).json, { tokens: [] }, 'the operator has none');
  t.equal((await api.ask('DELETE', `/v1/tokens/${String(id)}`)).status, 404, 'not the operator\'s');
  t.equal((await api.ask('DELETE', `/v1/tokens/${String(id)}?tenant=acme`)).status, 204);
  t.equal((await api.ask('GET', '/v1/apps', { token })).status, 401);
  const operators = await send(api, 'POST', '/v1/tokens', { name: 'watch', scope: 'read' });
  const watch = String(operators.json['secret']);
  t.match((await api.ask('GET', '/v1/tenants', { token: watch })).json, { tenants: [{}, {}] });
  t.same((await send(api, 'POST', '/v1/tenants', { name: 'x' }, { token: watch })).status, 403);
  t.match(outcome(await send(api, 'POST', '/v1/tokens', { name: 'a b', scope: 'read' })),
    [400, 'bad_name']);
});

t.test('settings change one at a time, limits stay below the tenant\'s', async (t) => {
  const api = await withApp(t);
  const set = (value: unknown) => send(api, 'PATCH', '/v1/apps/shop', value);
  t.match((await set({ debug: true })).json, { settings: { debug: true, recycleMemory: true } });
  t.match((await set({ limits: { fuel: 5_000 } })).json, {
    settings: { debug: true, limits: { fuel: 5_000 } },
  });
  const { limits, debug } = api.parts.router.find('shop.localhost') ?? {};
  t.same([limits?.fuel, debug], [5_000, true]);
  const most = REQUEST_LIMITS_DEFAULT.fuel;
  t.same(outcome(await set({ limits: { fuel: most + 1 } })), [
    400, 'bad_argument', `limits.fuel: this tenant may have at most ${most}`,
  ]);
  t.equal((await set({ limits: { color: 1 } })).status, 400);
  const mortal = await set({ limits: { fuel: null }, lifeSeconds: 60 });
  t.match(mortal.json['settings'], { limits: {} });
  t.match((await api.ask('GET', '/v1/apps/shop')).json, { expiresAt: /Z$/ });
  t.match((await set({ lifeSeconds: null })).json, { expiresAt: null });
  await Promise.all([
    set({ limits: { hostcalls: 7 } }), set({ debug: false }), set({ recycleMemory: false }),
    set({ sticky: { by: 'header', name: 'X-User' } }),
  ]);
  t.match((await api.ask('GET', '/v1/apps/shop')).json['settings'], {
    limits: { hostcalls: 7 }, debug: false, recycleMemory: false,
    sticky: { by: 'header', name: 'x-user' },
  }, 'none of four at once is lost');
});

t.test('what is changed while a deploy is built stays, whatever the deploy changes', async (t) => {
  const api = await withApp(t);
  const set = (value: unknown) => send(api, 'PATCH', '/v1/apps/shop', value);
  // Answers at the first stage; the build goes on.
  const deploying = await fetch(
    `http://127.0.0.1:${api.port}/v1/apps/shop/deploys?debug=true`, {
      method: 'POST', body: Buffer.from(await guest(2)),
      headers: { authorization: `Bearer ${api.token}`, 'content-type': 'application/wasm' },
    });
  t.equal((await set({ limits: { fuel: 5_000 } })).status, 200);
  t.match(await deploying.text(), /"stage":"done"/);
  t.same(api.parts.store.getApp('shop')?.settings, {
    limits: { fuel: 5_000 }, debug: true, recycleMemory: true,
  });
});

t.test('versions: shares, previews, the one before', async (t) => {
  const api = await withApp(t, 3);
  const { router } = api.parts;
  const split = (value: unknown) => send(api, 'PUT', '/v1/apps/shop/split', value);
  const shares = [{ version: 1, weight: 90 }, { version: 3, weight: 10 }];
  t.match((await split({ shares, sticky: { by: 'cookie' } })).json, {
    activeVersion: 1, split: shares, settings: { sticky: { by: 'cookie' } },
  });
  t.match(router.find('shop.localhost'), {
    split: [{ weight: 90 }, { weight: 10 }], sticky: { by: 'cookie' },
  });
  t.match((await api.ask('GET', '/v1/apps/shop/versions/3')).json, {
    number: 3, active: false, share: 10, previewUrl: 'http://3--shop.localhost:8080/',
  });
  t.same(outcome(await split({ shares: [{ version: 9, weight: 100 }] })),
    [404, 'not_found', 'shop has no version 9']);
  t.equal((await split({ shares: [{ version: 1, weight: 90 }] })).status, 400);
  t.equal((await split({ shares: [] })).status, 400);
  const half = { shares: [{ version: 1, weight: 90 }], sticky: { by: 'header', name: 'x-user' } };
  t.equal((await split(half)).status, 400);
  t.match((await api.ask('GET', '/v1/apps/shop')).json, {
    split: shares, settings: { sticky: { by: 'cookie' } },
  }, 'a refused change of shares changes nothing else either');
  t.match((await send(api, 'POST', '/v1/apps/shop/rollback', { version: 3 })).json, {
    activeVersion: 3, split: [],
  });
  t.match((await send(api, 'POST', '/v1/apps/shop/rollback', {})).json, { activeVersion: 2 });
  const waiting = await api.deploy('shop', await guest(4), '?activate=false&debug=true');
  t.match(events(waiting).at(-1), {
    stage: 'done', app: { activeVersion: 2, settings: { debug: true } },
    version: { number: 4, share: 0 },
  });
  await api.deploy('shop', await guest(5));
  t.match((await send(api, 'POST', '/v1/apps/shop/rollback', {})).json, { activeVersion: 3 },
    'the fourth has never served');
  t.same((await api.ask('GET', '/v1/apps/shop/versions/4')).json['servedAt'], null);
  await split({ shares: [{ version: 4, weight: 10 }, { version: 3, weight: 90 }] });
  t.type((await api.ask('GET', '/v1/apps/shop/versions/4')).json['servedAt'], 'string');
  await send(api, 'POST', '/v1/apps/shop/rollback', { version: 5 });
  t.match((await send(api, 'POST', '/v1/apps/shop/rollback', {})).json, { activeVersion: 4 });
  await send(api, 'POST', '/v1/apps/shop/rollback', { version: 2 });
  t.match((await api.ask('GET', '/v1/apps/shop/versions?limit=2&after=1')).json, {
    versions: [{ number: 2, share: 100 }, { number: 3 }], next: 3,
  });
});

t.test('an idempotency key makes one deploy of many', async (t) => {
  const api = await startApi(t);
  const module = await guest(1);
  const deploy = (key: string, body: Uint8Array, ask: Ask = {}) =>
    api.ask('POST', '/v1/apps/once/deploys', {
      ...ask, body, headers: { 'content-type': 'application/wasm', 'idempotency-key': key },
    });
  const [first, second] = await Promise.all([deploy('k1', module), deploy('k1', module)]);
  const third = await deploy('k1', module);
  for (const answer of [first, second, third]) {
    t.match(events(answer).at(-1), { stage: 'done', version: { number: 1 } });
  }
  t.equal(events(third).length, 1, 'the result alone');
  t.match(outcome(await deploy('k1', await guest(2))), [409, 'conflict']);
  t.match(events(await deploy('k2', module)).at(-1), { version: { number: 2 } });
  t.match(outcome(await deploy('has space', module)), [400, 'bad_argument']);
  const broken = Buffer.from('<html>');
  t.match(events(await deploy('k3', broken)).at(-1), { stage: 'failed' });
  t.match(events(await deploy('k3', module)).at(-1), { stage: 'done' }, 'a failure is not kept');
  const operators = await send(api, 'POST', '/v1/tokens', { name: 'other', scope: 'deploy' });
  const token = String(operators.json['secret']);
  t.match(events(await deploy('k1', module, { token })).at(-1), { version: { number: 4 } },
    'keys of different tokens have nothing to do with each other');
  const { store } = api.parts;
  const appId = store.getApp('once')?.id ?? 0;
  await store.setActiveVersion(appId, store.listVersions(appId)[0]?.id ?? 0);
  t.match(events(await deploy('k2', module)).at(-1), {
    version: { number: 2, active: false }, app: { activeVersion: 1 },
  }, 'what was done since is not undone');
  t.equal((await api.ask('DELETE', '/v1/apps/once')).status, 204);
  t.match(events(await deploy('k1', module)).at(-1), { version: { number: 1 } });
  t.not(store.getApp('once')?.id, appId, 'what is gone is made anew');
});

t.test('environment: set, taken away, bounded, and a new generation each time', async (t) => {
  const api = await withApp(t);
  const before = api.parts.router.find('shop.localhost')?.generation ?? 0;
  const set = (value: unknown) => send(api, 'PATCH', '/v1/apps/shop/env', value);
  t.same((await set({ COLOR: 'green', B: '' })).json, { env: { B: '', COLOR: 'green' } });
  t.same((await set({ COLOR: null })).json, { env: { B: '' } });
  t.equal((api.parts.router.find('shop.localhost')?.generation ?? 0) - before, 2);
  for (const bad of [{ '1A': 'x' }, { 'A-B': 'x' }, { A: 1 }, { A: 'x\0y' }, { '': 'x' }, []]) {
    t.equal((await set(bad)).status, 400, JSON.stringify(bad));
  }
  t.same((await api.ask('GET', '/v1/apps/shop/env')).json, { env: { B: '' } });
});

t.test('secrets: put, versioned, listed without values, removed', async (t) => {
  const api = await withApp(t);
  const put = (value: string, query = '') => api.ask('PUT', `/v1/apps/shop/secrets/KEY${query}`, {
    body: value, headers: { 'content-type': BYTES },
  });
  t.match((await put('hunter2')).json, { name: 'KEY', number: 1, active: true });
  const future = new Date(Date.now() + 3_600_000).toISOString();
  t.match((await put('hunter3', `?effective_at=${future}`)).json, {
    number: 2, active: false, effectiveAt: future,
  });
  const listed = await api.ask('GET', '/v1/apps/shop/secrets');
  t.notMatch(listed.text, /hunter/);
  t.match(listed.json, { secrets: [{ number: 1, active: true }, { number: 2, active: false }] });
  const app = api.parts.store.getApp('shop');
  const value = api.parts.store.environment.secret(app?.id ?? 0, 'KEY');
  t.equal(Buffer.from(value ?? []).toString(), 'hunter2');
  const rotated = await api.ask('POST', '/v1/secrets/rotate');
  t.match(rotated.json, { keyId: /^[0-9a-f]{16}$/, resealed: 2, unopened: 0 });
  t.match((await api.ask('GET', '/v1/secrets/keys')).json, {
    keys: [{ keyId: rotated.json['keyId'], active: true, values: 2 }, { values: 0 }],
  });
  t.equal(Buffer.from(api.parts.store.environment.secret(app?.id ?? 0, 'KEY') ?? []).toString(),
    'hunter2', 'and all goes on');
  t.match(outcome(await put('x'.repeat(40_000))), [413, 'body_too_large']);
  t.match(outcome(await put('x', '?effective_at=soon')), [400, 'bad_argument']);
  t.equal((await api.ask('DELETE', '/v1/apps/shop/secrets/KEY')).status, 204);
  t.equal((await api.ask('DELETE', '/v1/apps/shop/secrets/KEY')).status, 404);
  t.same(api.faults, []);
});

t.test('namespaces and bindings', async (t) => {
  const api = await withApp(t);
  t.equal((await send(api, 'POST', '/v1/namespaces', { name: 'box' })).status, 201);
  t.equal((await send(api, 'POST', '/v1/namespaces', { name: 'box' })).status, 409);
  const bound = await send(api, 'PUT', '/v1/apps/shop/bindings/BOX', { namespace: 'box' });
  t.same(bound.json, { bindings: { BOX: 'box' }, next: null });
  t.equal((await send(api, 'PUT', '/v1/apps/shop/bindings/X', { namespace: 'no' })).status, 404);
  t.same((await api.ask('DELETE', '/v1/apps/shop/bindings/BOX')).json, {
    bindings: {}, next: null,
  });
  t.equal((await api.ask('DELETE', '/v1/apps/shop/bindings/BOX')).status, 404);
  await send(api, 'PUT', '/v1/apps/shop/bindings/BOX', { namespace: 'box' });
  t.equal((await api.ask('DELETE', '/v1/namespaces/box')).status, 204);
  t.same((await api.ask('GET', '/v1/apps/shop/bindings')).json, { bindings: {}, next: null });
});

/** The pages of a list, one entry each, until there are no more. */
async function pagesOf(api: Api, path: string): Promise<Json[]> {
  const pages: Json[] = [];
  for (let after = ''; ;) {
    const { json } = await api.ask('GET', `${path}?limit=1${after}`);
    pages.push(json);
    if (json['next'] === null) return pages;
    after = `&after=${String(json['next'])}`;
  }
}

t.test('secrets and bindings come in pages, in the order of their names', async (t) => {
  const api = await withApp(t);
  for (const name of ['B', 'A', 'B', 'A_1']) {
    await api.ask('PUT', `/v1/apps/shop/secrets/${name}`, {
      body: 'value', headers: { 'content-type': BYTES },
    });
  }
  const secrets = await pagesOf(api, '/v1/apps/shop/secrets');
  t.match(secrets, [
    { secrets: [{ name: 'A', number: 1, active: true }] },
    { secrets: [{ name: 'A_1', number: 1, active: true }] },
    { secrets: [{ name: 'B', number: 1, active: false }] },
    { secrets: [{ name: 'B', number: 2, active: true }] },
    { secrets: [] },
  ]);
  t.equal((await api.ask('GET', '/v1/apps/shop/secrets?after=7')).status, 400);
  await send(api, 'POST', '/v1/namespaces', { name: 'box' });
  for (const name of ['TWO', 'ONE']) {
    await send(api, 'PUT', `/v1/apps/shop/bindings/${name}`, { namespace: 'box' });
  }
  t.same(await pagesOf(api, '/v1/apps/shop/bindings'), [
    { bindings: { ONE: 'box' }, next: 'ONE' }, { bindings: { TWO: 'box' }, next: 'TWO' },
    { bindings: {}, next: null },
  ]);
});

t.test('entries: bytes in and out, conditions, pages', async (t) => {
  const api = await withApp(t);
  await send(api, 'POST', '/v1/namespaces', { name: 'box' });
  const path = '/v1/namespaces/box';
  const put = (query: string, body: Uint8Array | string) =>
    api.ask('PUT', `${path}/entry?${query}`, { body, headers: { 'content-type': BYTES } });
  const get = async (query: string): Promise<unknown[]> => {
    const answer = await api.ask('GET', `${path}/entry?${query}`);
    return [answer.status, answer.text, answer.headers['wardian-revision']];
  };
  t.same((await put('key=..%2Fa', 'one')).json, { revision: 1 });
  t.same(await get('key=..%2Fa'), [200, 'one', '1'], 'a key is no path');
  t.same((await put('key64=_w', 'bytes')).json, { revision: 2 });
  t.same(await get('key64=_w'), [200, 'bytes', '2']);
  t.equal((await get('key=%EF%BF%BD'))[0], 404, 'what is no UTF-8 is not taken for its substitute');
  t.match(outcome(await put('key=a&key64=YQ', 'x')), [400, 'bad_argument']);
  t.match(outcome(await put('', 'x')), [400, 'bad_argument', 'give key or key64']);
  t.match(outcome(await put('key=..%2Fa&mode=absent', 'x')), [409, 'conflict']);
  t.match(outcome(await put('key=..%2Fa&if_revision=9', 'x')), [409, 'conflict']);
  t.equal((await put('key=..%2Fa&if_revision=1', 'two')).status, 200);
  t.equal((await put('key=..%2Fa&mode=append', '!')).status, 200);
  t.equal((await get('key=..%2Fa'))[1], 'two!');
  await put('key=user:1&ttl_seconds=60', 'a');
  await put('key=user:2', 'b');
  const page = await api.ask('GET', `${path}/entries?prefix=user:&limit=1`);
  t.match(page.json, { entries: [{ key: 'user:1', bytes: 1, expiresAt: /Z$/ }], next: /./ });
  const rest = await api.ask(
    'GET', `${path}/entries?prefix=user:&after=${String(page.json['next'])}`);
  t.match(rest.json, { entries: [{ key: 'user:2', expiresAt: null }], next: null });
  t.match(at((await api.ask('GET', `${path}/entries`)).json, 'entries', '3'), { key64: '_w' });
  t.equal((await api.ask('DELETE', `${path}/entry?key=user:1`)).status, 204);
  t.equal((await api.ask('DELETE', `${path}/entry?key=user:1`)).status, 404);
});

t.test('what is exported can be imported, whatever the bytes', async (t) => {
  const api = await withApp(t);
  for (const name of ['from', 'to']) await send(api, 'POST', '/v1/namespaces', { name });
  const store = api.parts.store.namespaces;
  const storeId = store.get(api.parts.tenant.id, 'from')?.id ?? 0;
  const every = Uint8Array.from({ length: 256 }, (_, byte) => byte);
  for (let index = 0; index < 250; index += 1) {
    const value = index % 2 === 0 ? every : Buffer.from(`\ufeffvalue ${index}`);
    await store.write({
      op: 'kv_put', storeId, mode: 'always', value: new Uint8Array(value),
      key: new Uint8Array([index, 0, 10]), ...(index === 7 ? { ttlMs: 60_000 } : {}),
    });
  }
  const exported = await api.ask('GET', '/v1/namespaces/from/export');
  t.equal(exported.text.trim().split('\n').length, 250);
  const load = (body: string) => api.ask('POST', '/v1/namespaces/to/import', {
    body, headers: { 'content-type': 'application/x-ndjson' },
  });
  t.same((await load(exported.text)).json, { imported: 250 });
  const again = await api.ask('GET', '/v1/namespaces/to/export');
  const plain = (text: string): string => text.replaceAll(/"expiresAt":"[^"]*"/g, '"expires"');
  t.equal(plain(again.text), plain(exported.text));
  t.match(again.text, /"expiresAt":"20/);
  t.match(outcome(await load('{"key":"a","value":"b"}\n\n{"key":"c"}\n')), [
    400, 'bad_argument', 'line 3: give value or value64',
  ]);
  t.match(outcome(await load('{"key":"a","value":"b"}\nnonsense')), [
    400, 'bad_argument', /^line 2: /,
  ]);
  t.equal((await api.ask('GET', '/v1/namespaces/to/entry?key=a')).status, 404, 'nothing half done');
});

t.test('a backup while serving is a database of all of it', async (t) => {
  const api = await withApp(t);
  const port = api.port;
  const answer = await fetch(`http://127.0.0.1:${port}/v1/backup`, {
    headers: { authorization: `Bearer ${api.token}` },
  });
  t.equal(answer.status, 200);
  const folder = t.testdir();
  writeFileSync(join(folder, 'wardian.db'), Buffer.from(await answer.arrayBuffer()));
  const restored = await openStore({ dataFolder: folder });
  t.equal(restored.getApp('shop')?.label, 'shop');
  await restored.close();
  t.notOk(readdirSync(api.parts.folder).some((name) => name.startsWith('backup-')));
});
