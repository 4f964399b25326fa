/** What one tenant's calls of the admin API leave to the others, and to the guests being served. */

import { request } from 'node:http';
import type { ClientRequest } from 'node:http';
import t from 'tap';

import { ADMIN_CALLS_PER_TENANT_MAX } from '../../../contract/limits.ts';
import { deployOf } from '../store/support.ts';
import { until } from '../../e2e/world.ts';
import { at, startApi } from './api.ts';
import type { Api } from './api.ts';

const JSON_TYPE = { 'content-type': 'application/json' };

async function tokenOf(api: Api, tenant: string): Promise<string> {
  await api.ask('POST', '/v1/tenants', {
    body: JSON.stringify({ name: tenant }), headers: JSON_TYPE,
  });
  const { json } = await api.ask('POST', `/v1/tokens?tenant=${tenant}`, {
    body: JSON.stringify({ name: 'ci', scope: 'deploy' }), headers: JSON_TYPE,
  });
  return String(json['secret']);
}

/** A call whose body does not end. */
function hang({ port }: Api, token: string): ClientRequest {
  const call = request({
    port, host: '127.0.0.1', method: 'PATCH', path: '/v1/apps/none/env', agent: false,
    headers: { ...JSON_TYPE, authorization: `Bearer ${token}`, 'transfer-encoding': 'chunked' },
  });
  call.on('error', () => {
    // It is cut off when the test ends.
  });
  call.flushHeaders();
  return call;
}

t.test('calls under way are bounded for each tenant', async (t) => {
  const api = await startApi(t);
  const [loud, quiet] = [await tokenOf(api, 'loud'), await tokenOf(api, 'quiet')];
  const calls = Array.from({ length: ADMIN_CALLS_PER_TENANT_MAX }, () => hang(api, loud));
  const list = (token: string) => api.ask('GET', '/v1/apps', { token });
  await until('all are under way', async () => (await list(loud)).status !== 200);
  t.match((await list(loud)).json, { code: 'tenant_overloaded' });
  t.equal((await list(quiet)).status, 200);
  t.equal((await list(api.token)).status, 200, 'nor is the operator kept out');
  for (const call of calls) call.destroy();
  await until('they are gone', async () => (await list(loud)).status === 200);
  t.same(api.faults, []);
});

t.test('a long list of apps lets others have their turn', async (t) => {
  const api = await startApi(t);
  const { store, tenant } = api.parts;
  const apps = 160;
  for (let n = 0; n < apps; n += 1) {
    await store.saveDeploy(deployOf(tenant.id, `app-${n}`, 'the same module'));
  }
  const list = api.routes.find(({ path, method }) => path === '/v1/apps' && method === 'GET');
  if (list === undefined) throw new Error('no such route');
  let turns = 0;
  let counting = true;
  const count = (): void => {
    turns += 1;
    if (counting) setImmediate(count);
  };
  setImmediate(count);
  const answer = await list.handle({
    caller: { key: 'local', operator: true, scope: 'admin', tenant: null },
    query: { limit: 1_000, after: 0 },
  } as unknown as Parameters<typeof list.handle>[0]);
  counting = false;
  t.equal((at(answer, 'json', 'apps') as unknown as unknown[]).length, apps);
  t.ok(turns >= 8, `${turns} turns of the event loop meanwhile`);
});
