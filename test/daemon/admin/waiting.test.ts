/** Calls that wait for a restore, or a restore for them, and whose caller does not wait so long. */

import { request } from 'node:http';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { ADMIN_CALLS_PER_TENANT_MAX } from '../../../contract/limits.ts';
import { StoreEpoch } from '../../../contract/store-epoch.ts';
import { Changeover } from '../../../daemon/changeover.ts';
import { deployOf } from '../store/support.ts';
import { until } from '../../e2e/world.ts';
import { startApi } from './api.ts';
import type { Api } from './api.ts';

const JSON_TYPE = { 'content-type': 'application/json' };
const BACKUP_TYPE = { 'content-type': 'application/vnd.sqlite3' };

async function tokenOf(api: Api, scope: string, tenant?: string): Promise<string> {
  const { json } = await api.ask('POST', `/v1/tokens${tenant === undefined ? '' : '?tenant='
    + tenant}`, { body: JSON.stringify({ name: 'ci', scope }), headers: JSON_TYPE });
  return String(json['secret']);
}

interface Sent { readonly closed: Promise<void>; destroy(): void }

function send(api: Api, method: string, path: string, token: string, more: {
  readonly body?: Uint8Array; readonly headers?: Record<string, string>;
} = {}): Sent {
  const call = request({
    port: api.port, host: '127.0.0.1', method, path, agent: false,
    headers: { ...JSON_TYPE, authorization: `Bearer ${token}`, ...more.headers },
  });
  const closed = new Promise<void>((done) => {
    call.on('close', done).on('error', () => done());
  });
  call.end(more.body ?? '{"A":"b"}');
  return { closed, destroy: () => call.destroy() };
}

t.test('calls whose caller went away while they waited take no place and do nothing', async (t) => {
  const epoch = new StoreEpoch();
  const changeover = new Changeover({
    epoch, guestsGone: () => Promise.resolve(), recall() {}, onFault: (error) => { throw error; },
  });
  let waiting = 0;
  const { enter } = changeover;
  changeover.enter = (name, cut) => {
    waiting += 1;
    return enter.call(changeover, name, cut);
  };
  const api = await startApi(t, [], { changeover });
  await api.ask('POST', '/v1/tenants', { body: '{"name":"acme"}', headers: JSON_TYPE });
  const token = await tokenOf(api, 'deploy', 'acme');
  const tenant = api.parts.store.getTenant('acme');
  const { app } = await api.parts.store.saveDeploy(deployOf(tenant?.id ?? 0, 'shop', 'module'));
  waiting = 0;
  const over = Promise.withResolvers<void>();
  const changing = changeover.change(() => over.promise);
  const calls = Array.from({ length: ADMIN_CALLS_PER_TENANT_MAX },
    () => send(api, 'PATCH', '/v1/apps/shop/env', token));
  await until('all wait', () => waiting === calls.length);
  for (const call of calls) call.destroy();
  await Promise.all(calls.map(({ closed }) => closed));
  await new Promise((done) => { setTimeout(done, 100); });
  over.resolve();
  await changing;
  t.equal((await api.ask('GET', '/v1/apps', { token })).status, 200, 'the places are free');
  t.equal(api.parts.store.environment.env(app.id).size, 0, 'nothing was changed for them');
  t.same(api.faults, []);
});

for (const what of ['its caller went away', 'its token was revoked']) {
  t.test(`a restore is not carried out when ${what} meanwhile`, async (t) => {
    const ready = Promise.withResolvers<void>();
    const go = Promise.withResolvers<void>();
    const api = await startApi(t, [], {
      beforeExchange() {
        ready.resolve();
        return go.promise;
      },
    });
    const file = join(t.testdir(), 'backup.db');
    const token = await tokenOf(api, 'admin');
    await api.parts.store.backup(file);
    await api.parts.store.saveDeploy(deployOf(api.parts.tenant.id, 'since', 'module'));
    const body = readFileSync(file);
    const headers = { ...BACKUP_TYPE, 'content-length': String(body.length) };
    const call = send(api, 'POST', '/v1/restore', token, { body, headers });
    await ready.promise;
    if (what === 'its caller went away') call.destroy();
    else {
      const { json } = await api.ask('GET', '/v1/tokens');
      for (const { id } of json['tokens'] as { id: number }[]) {
        await api.ask('DELETE', `/v1/tokens/${id}`);
      }
    }
    await new Promise((done) => { setTimeout(done, 100); });
    go.resolve();
    await call.closed;
    await until('the staged file is gone', () =>
      readdirSync(api.parts.folder).every((name) => !name.startsWith('restore-')));
    t.equal(api.parts.store.epoch.value, 0);
    t.not(api.parts.store.getApp('since'), null);
    t.same(api.faults, []);
  });
}
