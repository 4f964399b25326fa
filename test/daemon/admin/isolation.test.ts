/**
 * Every route of the admin API tried with tokens that must not pass: none, an expired one, one of
 * too narrow a scope, and another tenant's for what this tenant has. The routes come from the table
 * that serves: a new one without a sample here fails.
 */

import t from 'tap';
import type { Test } from 'tap';

import type { AdminRoute } from '../../../daemon/admin/route.ts';
import { guest } from '../deploy/parts.ts';
import { at, startApi } from './api.ts';
import type { Answer, Api } from './api.ts';

const JSON_TYPE = 'application/json';
const BYTES = 'application/octet-stream';
const FAILURE_ID = '0123456789ab';

/** Known once a world has started. */
let acmeId = 0;

/** Routes of other parts, of the shapes that they have. */
const OTHERS: readonly AdminRoute[] = [{
  method: 'GET', path: '/v1/failures/{id}', summary: 'One failure', answer: { status: 200 },
  errors: [],
  handle: () => ({
    status: 200, json: { id: FAILURE_ID, tenantId: acmeId, tenant: 'acme', app: 'shop' },
  }),
}, {
  method: 'GET', path: '/v1/top', summary: 'All apps', answer: { status: 200 }, errors: [],
  handle: () => ({ status: 200, json: { apps: ['shop'] } }),
}];

interface Sample {
  readonly body?: string | Uint8Array;
  readonly type?: string;
  readonly query?: string;
}

const body = (value: unknown): Sample => ({ body: JSON.stringify(value), type: JSON_TYPE });
const module = await guest(77);

const entries = (path: string): Record<string, Sample> => ({
  [`GET ${path}/entries`]: {},
  [`GET ${path}/entry`]: { query: '?key=greeting' },
  [`PUT ${path}/entry`]: { query: '?key=greeting', body: 'stolen', type: BYTES },
  [`DELETE ${path}/entry`]: { query: '?key=greeting' },
  [`GET ${path}/export`]: {},
  [`POST ${path}/import`]: {
    body: '{"key":"greeting","value":"stolen"}\n', type: 'application/x-ndjson',
  },
});

/** What each route is asked, by method and path. */
const SAMPLES: Readonly<Record<string, Sample>> = {
  'GET /v1/tenants': {},
  'POST /v1/tenants': body({ name: 'third' }),
  'GET /v1/tenants/{tenant}': {},
  'PATCH /v1/tenants/{tenant}': body({ suspended: true }),
  'DELETE /v1/tenants/{tenant}': {},
  'GET /v1/tokens': {},
  'POST /v1/tokens': body({ name: 'more', scope: 'admin' }),
  'DELETE /v1/tokens/{id}': {},
  'POST /v1/apps/{label}/deploys': { body: module, type: 'application/wasm' },
  'GET /v1/apps': {},
  'GET /v1/apps/{label}': {},
  'PATCH /v1/apps/{label}': body({ debug: true }),
  'DELETE /v1/apps/{label}': {},
  'PUT /v1/apps/{label}/hosts/{host}': {},
  'DELETE /v1/apps/{label}/hosts/{host}': {},
  'GET /v1/apps/{label}/versions': {},
  'GET /v1/apps/{label}/versions/{number}': {},
  'POST /v1/apps/{label}/rollback': body({ version: 1 }),
  'PUT /v1/apps/{label}/split': body({ shares: [{ version: 1, weight: 100 }] }),
  'GET /v1/apps/{label}/env': {},
  'PATCH /v1/apps/{label}/env': body({ COLOR: 'stolen' }),
  'GET /v1/apps/{label}/secrets': {},
  'PUT /v1/apps/{label}/secrets/{name}': { body: 'stolen', type: BYTES },
  'DELETE /v1/apps/{label}/secrets/{name}': {},
  'GET /v1/secrets/keys': {},
  'POST /v1/secrets/rotate': {},
  'PUT /v1/secrets/key': { body: 'ab'.repeat(32), type: BYTES },
  'POST /v1/restore': { body: 'stolen', type: 'application/vnd.sqlite3' },
  'GET /v1/namespaces': {},
  'POST /v1/namespaces': body({ name: 'fresh' }),
  'GET /v1/namespaces/{namespace}': {},
  'DELETE /v1/namespaces/{namespace}': {},
  'GET /v1/apps/{label}/bindings': {},
  'PUT /v1/apps/{label}/bindings/{binding}': body({ namespace: 'vault' }),
  'DELETE /v1/apps/{label}/bindings/{binding}': {},
  ...entries('/v1/namespaces/{namespace}'),
  ...entries('/v1/apps/{label}/store'),
  'GET /v1/backup': {},
  'GET /v1/failures/{id}': {},
  'GET /v1/top': {},
};

/** Names are the node's, not a tenant's: that one is taken cannot be hidden from who wants it. */
const TAKEN = 'POST /v1/apps/{label}/deploys';

interface World {
  readonly api: Api;
  readonly acmeToken: number;
  /** Tokens by tenant and scope. */
  readonly tokens: Readonly<Record<string, string>>;
}

async function tokenFor(api: Api, tenant: string, scope: string): Promise<Record<string, unknown>> {
  const { status, json } = await api.ask('POST', '/v1/tokens', {
    headers: { 'wardian-tenant': tenant, 'content-type': JSON_TYPE },
    body: JSON.stringify({ name: `${tenant}-${scope}`, scope }),
  });
  if (status !== 201) throw new Error(`no token: ${JSON.stringify(json)}`);
  return json;
}

/** Two tenants; `acme` has one of everything. */
async function startWorld(t: Test): Promise<World> {
  const api = await startApi(t, OTHERS);
  const json = (value: unknown, token?: string) => ({
    body: JSON.stringify(value), headers: { 'content-type': JSON_TYPE },
    ...(token === undefined ? {} : { token }),
  });
  for (const name of ['acme', 'rival']) await api.ask('POST', '/v1/tenants', json({ name }));
  acmeId = api.parts.store.getTenant('acme')?.id ?? 0;
  const tokens: Record<string, string> = {};
  let acmeToken = 0;
  for (const tenant of ['acme', 'rival']) {
    for (const scope of ['read', 'deploy', 'admin']) {
      const made = await tokenFor(api, tenant, scope);
      tokens[`${tenant} ${scope}`] = String(made['secret']);
      if (tenant === 'acme') acmeToken = Number(made['id']);
    }
  }
  const token = tokens['acme admin'] ?? '';
  const done = async (method: string, path: string, sample: Sample): Promise<void> => {
    const answer = await api.ask(method, path, {
      token, ...(sample.body === undefined ? {} : { body: sample.body }),
      headers: sample.type === undefined ? {} : { 'content-type': sample.type },
    });
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.text}`);
  };
  for (const number of [1, 2]) {
    await done('POST', '/v1/apps/shop/deploys', {
      body: await guest(number), type: 'application/wasm',
    });
  }
  await done('PUT', '/v1/apps/shop/hosts/shop.example.com', {});
  await done('PATCH', '/v1/apps/shop/env', body({ COLOR: 'green' }));
  await done('PUT', '/v1/apps/shop/secrets/PASSWORD', { body: 'hunter2', type: BYTES });
  await done('POST', '/v1/namespaces', body({ name: 'vault' }));
  await done('PUT', '/v1/apps/shop/bindings/BOX', body({ namespace: 'vault' }));
  await done('PUT', '/v1/namespaces/vault/entry?key=greeting', { body: 'hello', type: BYTES });
  await done('PUT', '/v1/apps/shop/store/entry?key=greeting', { body: 'hello', type: BYTES });
  return { api, acmeToken, tokens };
}

const nameOf = ({ method, path }: AdminRoute): string => `${method} ${path}`;

/** `disguise` changes what stands for the parameter of that name. */
function pathFor(
  world: World, route: AdminRoute, name = '', disguise = (value: string): string => value,
): string {
  const values: Readonly<Record<string, string>> = {
    label: 'shop', host: 'shop.example.com', number: '1', name: 'PASSWORD', namespace: 'vault',
    binding: 'BOX', tenant: 'acme',
    id: route.path.includes('tokens') ? String(world.acmeToken) : FAILURE_ID,
  };
  return route.path.replaceAll(/\{(\w+)\}/g, (_, parameter: string) => {
    const value = values[parameter];
    if (value === undefined) throw new Error(`no sample for {${parameter}} of ${route.path}`);
    return parameter === name ? disguise(value) : value;
  });
}

function ask(
  world: World, route: AdminRoute, token: string | null, headers: Record<string, string> = {},
  path = pathFor(world, route),
): Promise<Answer> {
  const sample = SAMPLES[nameOf(route)];
  if (sample === undefined) throw new Error(`no sample for ${nameOf(route)}`);
  return world.api.ask(route.method, `${path}${sample.query ?? ''}`, {
    token, ...(sample.body === undefined ? {} : { body: sample.body }),
    headers: {
      ...headers, ...(sample.type === undefined ? {} : { 'content-type': sample.type }),
    },
  });
}

const guarded = ({ api }: World): readonly AdminRoute[] =>
  api.routes.filter(({ path }) => path.startsWith('/v1/'));

/** All that acme can see of itself. */
async function stateOf(world: World): Promise<string> {
  const token = world.tokens['acme admin'] ?? '';
  const parts: string[] = [];
  for (const route of guarded(world)) {
    if (route.method !== 'GET' || route.access?.operator === true) continue;
    // When a token was used changes by looking.
    if (route.path === '/v1/tokens' || route.access === undefined) continue;
    const { status, text } = await ask(world, route, token);
    parts.push(`${nameOf(route)} ${status} ${text}`);
  }
  return parts.join('\n');
}

t.setTimeout(120_000);

t.test('every guarded route has a sample, and a scope or the operator alone', async (t) => {
  const world = await startWorld(t);
  t.same(guarded(world).map(nameOf).toSorted(), Object.keys(SAMPLES).toSorted());
  for (const route of guarded(world)) {
    t.ok(route.access !== undefined || OTHERS.some(({ path }) => path === route.path),
      `${nameOf(route)} says who may call it`);
  }
});

t.test('no route answers without a token that is there and has not expired', async (t) => {
  const world = await startWorld(t);
  const { parts } = world.api;
  const acme = parts.store.getTenant('acme');
  const { secret } = await parts.store.tenants.createToken({
    tenantId: acme?.id ?? 0, name: 'late', scope: 'admin', expiresAtMs: Date.now() - 1,
  });
  for (const route of guarded(world)) {
    t.equal((await ask(world, route, null)).status, 401, nameOf(route));
  }
  t.equal((await world.api.ask('GET', '/v1/apps', { token: secret })).status, 401);
  const revoked = world.tokens['acme admin'] ?? '';
  t.equal((await world.api.ask('DELETE', `/v1/tokens/${world.acmeToken}`, {
    token: revoked,
  })).status, 204, 'it revokes itself');
  t.equal((await world.api.ask('GET', '/v1/apps', { token: revoked })).status, 401);
});

t.test('another tenant\'s token finds nothing of this tenant\'s, on any route', async (t) => {
  const world = await startWorld(t);
  const before = await stateOf(world);
  t.match(before, 'hello', 'acme sees its own');
  const one = await world.api.ask('GET', `/v1/failures/${FAILURE_ID}`, {
    token: world.tokens['acme read'] ?? '',
  });
  t.equal(one.status, 200, 'and its failures');
  for (const route of guarded(world)) {
    const name = nameOf(route);
    const { status, text } = await ask(world, route, world.tokens['rival admin'] ?? '');
    const isOperators = route.access?.operator === true || name === 'GET /v1/top';
    if (isOperators) t.equal(status, 403, name);
    else if (name === TAKEN) t.equal(status, 409, name);
    else if (route.path.includes('{')) t.equal(status, 404, `${name}: ${text}`);
    else t.ok(status < 300, `${name} works on the caller's own: ${status}`);
    // What the caller said itself may stand in the refusal.
    const said = text.replace('there is no tenant acme', '');
    if (name !== TAKEN) t.notMatch(said, /acme|"shop"|hunter2|green|hello/, name);
  }
  t.equal(await stateOf(world), before, 'nothing of acme has changed');
  t.same(world.api.faults, []);
});

t.test('naming another tenant does not help, and tells nothing', async (t) => {
  const world = await startWorld(t);
  for (const route of guarded(world)) {
    const token = world.tokens['rival admin'] ?? '';
    const there = await ask(world, route, token, { 'wardian-tenant': 'acme' });
    const notThere = await ask(world, route, token, { 'wardian-tenant': 'nobody' });
    t.equal(there.status, 404, nameOf(route));
    t.equal(there.text.replaceAll('acme', 'nobody'), notThere.text, 'the same words for both');
  }
});

const encoded = (value: string, percent: string): string =>
  [...value].map((char) => percent + char.charCodeAt(0).toString(16)).join('');

/** Spellings of a name, which one part might take for it and another for something else. */
const DISGUISES: Readonly<Record<string, (value: string) => string>> = {
  'percent-encoded': (value) => encoded(value, '%'),
  'encoded twice': (value) => encoded(value, '%25'),
  'after an own one': (value) => `mine/../${value}`,
  'after an own one, encoded': (value) => `mine%2F..%2F${value}`,
  'below': (value) => `..%2F${value}`,
  'with dots': (value) => `./${value}`,
  'and back': (value) => `${value}%2F..`,
  'with a NUL': (value) => `${value}%00`,
  'with a NUL and an own one': (value) => `mine%00${value}`,
  'in capitals': (value) => value.toUpperCase(),
  'with a dot at the end': (value) => `${value}.`,
  'with a space': (value) => `%20${value}`,
  'with a parameter': (value) => `${value};tenant=acme`,
  'with a slash before': (value) => `/${value}`,
  'with a backslash': (value) => `mine%5C..%5C${value}`,
  'with a wildcard': () => '*',
  'as a pattern of SQL': () => '%25',
  'as an expression of SQL': (value) => `x'%20OR%20'1'='1'%20OR%20'${value}`,
  'broken': (value) => `${value}%C0%AF`,
};

/** Whole targets that might find the route by another way. */
const DETOURS: readonly ((path: string) => string)[] = [
  (path) => `/${path}`, (path) => `/.${path}`, (path) => `*${path}`, (path) => `${path}/`,
  (path) => `/v1/..${path}`, (path) => path.replace('/v1/', '/v1//'),
  (path) => path.replace('/v1/', '/v1/tenants/acme/'), (path) => path.replace('/v1/', '/v1%2F'),
];

t.test('no spelling of a path leads to another tenant', async (t) => {
  const world = await startWorld(t);
  const token = world.tokens['rival admin'] ?? '';
  await world.api.ask('POST', '/v1/apps/mine/deploys', {
    token, body: module, headers: { 'content-type': 'application/wasm' },
  });
  const before = await stateOf(world);
  const refused = async (route: AdminRoute, path: string): Promise<void> => {
    const { status, text } = await ask(world, route, token, {}, path);
    const allowed = [400, 401, 403, 404, 405, ...(nameOf(route) === TAKEN ? [409] : [])];
    const shown = text.replaceAll(/"detail":"there is no [^"]*"/g, '');
    if (!allowed.includes(status) || /hunter2|green|hello/.test(shown)) {
      t.fail(`${route.method} ${path}: ${status} ${text}`);
    }
  };
  let tried = 0;
  for (const route of guarded(world)) {
    for (const [, name = ''] of route.path.matchAll(/\{(\w+)\}/g)) {
      const paths = Object.values(DISGUISES)
        .map((disguise) => pathFor(world, route, name, disguise));
      await Promise.all(paths.map((path) => refused(route, path)));
      tried += paths.length;
    }
    if (!route.path.includes('{')) continue;
    await Promise.all(DETOURS.map((detour) => refused(route, detour(pathFor(world, route)))));
    tried += DETOURS.length;
  }
  t.ok(tried > 500, `${tried} paths`);
  t.equal(await stateOf(world), before, 'nothing of acme has changed');
  t.same(world.api.faults, []);
});

t.test('a query or a second header names no other tenant', async (t) => {
  const world = await startWorld(t);
  const token = world.tokens['rival admin'] ?? '';
  const before = await stateOf(world);
  for (const route of guarded(world)) {
    if (!route.path.includes('{')) continue;
    const sample = SAMPLES[nameOf(route)]?.query ?? '';
    for (const query of ['tenant=acme', 'wardian-tenant=acme', 'tenant=rival&tenant=acme']) {
      const path = `${pathFor(world, route)}${sample === '' ? '?' : `${sample}&`}${query}`;
      const { status } = await world.api.ask(route.method, path, { token });
      t.ok(status >= 400 && status < 500, `${route.method} ${path}: ${status}`);
    }
    const { status } = await ask(world, route, token, { 'wardian-tenant': 'rival, acme' });
    t.ok(status >= 400 && status < 500, `${nameOf(route)} with two tenants: ${status}`);
  }
  t.equal(await stateOf(world), before, 'nothing of acme has changed');
});

t.test('a scope allows what it says and no more', async (t) => {
  const world = await startWorld(t);
  const rank: Readonly<Record<string, number>> = { read: 0, deploy: 1, admin: 2 };
  for (const scope of ['read', 'deploy']) {
    for (const route of guarded(world)) {
      const needed = route.access?.scope ?? 'read';
      if ((rank[needed] ?? 0) <= (rank[scope] ?? 0)) continue;
      const { status, json } = await ask(world, route, world.tokens[`acme ${scope}`] ?? '');
      t.same([status, json['code']], [403, 'forbidden'], `${nameOf(route)} with ${scope}`);
    }
  }
});

t.test('a suspended tenant sees and changes nothing', async (t) => {
  const world = await startWorld(t);
  const { api } = world;
  const suspended = await api.ask('PATCH', '/v1/tenants/acme', {
    body: '{"suspended":true}', headers: { 'content-type': JSON_TYPE },
  });
  t.match(suspended.json, { suspended: true });
  t.equal(api.parts.router.find('shop.localhost')?.suspended, true, 'its apps know it at once');
  for (const route of guarded(world)) {
    if (route.access?.scope === 'read' || route.access === undefined) continue;
    const { status } = await ask(world, route, world.tokens['acme admin'] ?? '');
    t.equal(status, 403, nameOf(route));
  }
});

t.test('hosts, namespaces and names of another tenant cannot be taken', async (t) => {
  const world = await startWorld(t);
  const { api } = world;
  const token = world.tokens['rival admin'] ?? '';
  await api.ask('POST', '/v1/apps/mine/deploys', {
    token, body: module, headers: { 'content-type': 'application/wasm' },
  });
  const code = async (method: string, path: string, value?: unknown): Promise<unknown> => {
    const sent = value === undefined ? {}
      : { body: JSON.stringify(value), headers: { 'content-type': JSON_TYPE } };
    return (await api.ask(method, path, { token, ...sent })).json['code'];
  };
  t.equal(await code('PUT', '/v1/apps/mine/hosts/shop.example.com'), 'conflict');
  t.equal(await code('PUT', '/v1/apps/mine/bindings/X', { namespace: 'vault' }), 'not_found');
  t.match((await api.ask('GET', '/v1/tenants', { token })).json, { tenants: [{ name: 'rival' }] });
  const listed = at((await api.ask('GET', '/v1/tenants', { token })).json, 'tenants');
  t.equal(Object.keys(listed).length, 1);
});
