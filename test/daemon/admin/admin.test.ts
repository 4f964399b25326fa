/** The admin API over real sockets: who is let in, what is refused, and what each route does. */

import { connect } from 'node:net';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { loadAdminToken, TOKEN_FILE } from '../../../daemon/admin/token.ts';
import { assemble, guest, text } from '../deploy/parts.ts';
import { at, events, startApi, tarOf } from './api.ts';
import type { Api, Ask } from './api.ts';

t.test('health, readiness and the description need no token', async (t) => {
  const api = await startApi(t);
  t.same((await api.ask('GET', '/healthz', { token: null })).json, {
    status: 'ok', version: '1.2.3',
  });
  const ready = await api.ask('GET', '/readyz', { token: null });
  t.same([ready.status, ready.json], [200, { ready: true, reason: null }]);
  api.notReady = 'draining';
  const draining = await api.ask('GET', '/readyz', { token: null });
  t.same([draining.status, draining.json], [503, { ready: false, reason: 'draining' }]);
  const head = await api.ask('HEAD', '/healthz', { token: null });
  t.same([head.status, head.text], [200, '']);

  const { json: description } = await api.ask('GET', '/openapi.json', { token: null });
  t.match(description, { openapi: '3.1.0', info: { version: '1.2.3' } });
  const paths = new Set(api.routes.map(({ path }) => path));
  t.same(Object.keys(at(description, 'paths')).toSorted(), [...paths].toSorted());
  const rollback = at(description, 'paths', '/v1/apps/{label}/rollback', 'post');
  t.same(at(rollback, 'requestBody', 'content', 'application/json', 'schema'), {
    type: 'object', additionalProperties: false, properties: {
      version: {
        type: 'integer', minimum: 1, maximum: Number.MAX_SAFE_INTEGER,
        description: 'Absent: the newest before the one that serves which has served',
      },
    },
  });
  t.same(rollback['security'], [{ token: [] }]);
  t.match(at(rollback, 'parameters', '0'), { name: 'label', in: 'path', required: true });
  t.match(at(rollback, 'responses', '404')['description'], /not_found/);
});

t.test('the token', async (t) => {
  const api = await startApi(t);
  t.equal(statSync(join(api.parts.folder, TOKEN_FILE)).mode & 0o777, 0o600);
  t.equal(loadAdminToken(api.parts.folder), api.token, 'it stays');
  const refused = await api.ask('GET', '/v1/apps', { token: null });
  t.equal(refused.status, 401);
  t.equal(refused.headers['www-authenticate'], 'Bearer');
  t.equal(refused.headers['content-type'], 'application/problem+json');
  t.same(refused.json, {
    type: 'urn:wardian:error:unauthorized', title: 'no valid token', status: 401,
    code: 'unauthorized', detail: 'send the token: Authorization: Bearer <token>',
  });
  for (const path of ['/v1/apps', '/v1/nothing', '/v1/apps/hello']) {
    t.equal((await api.ask('GET', path, { token: `${api.token}x` })).status, 401, path);
  }
  const basic = { authorization: `Basic ${api.token}` };
  t.equal((await api.ask('GET', '/v1/apps', { token: null, headers: basic })).status, 401);
  const statuses: number[] = [];
  for (let attempt = 0; attempt < 10; attempt += 1) {
    statuses.push((await api.ask('GET', '/v1/apps', { token: 'wrong' })).status);
  }
  t.same(statuses, [401, 401, 401, 401, 401, 401, 401, 429, 429, 429]);
  const late = await api.ask('GET', '/v1/apps', { token: 'wrong' });
  t.match([late.json['code'], late.headers['retry-after']], ['too_many_attempts', '10']);
  t.equal((await api.ask('GET', '/v1/apps')).status, 200, 'the right one still passes');
});

t.test('names of other machines are refused: a page may have made them resolve here', async (t) => {
  const api = await startApi(t);
  const statusFor = async (host: string): Promise<number> =>
    (await api.ask('GET', '/healthz', { headers: { host } })).status;
  for (const host of ['evil.example', 'evil.example:9090', 'localhost.evil.example', 'x']) {
    t.equal(await statusFor(host), 403, host);
  }
  for (const host of [
    'localhost', 'LOCALHOST:9090', '127.0.0.1', '[::1]:9090', '10.0.0.1:1', 'admin.example.com',
  ]) {
    t.equal(await statusFor(host), 200, host);
  }
  const { headers } = await api.ask('GET', '/healthz', { headers: { origin: 'http://a.example' } });
  t.equal(headers['access-control-allow-origin'], undefined);
});

t.test('wrong paths, methods and inputs', async (t) => {
  const api = await startApi(t);
  const problem = async (method: string, path: string, options?: Ask) => {
    const { status, json } = await api.ask(method, path, options);
    return [status, json['code'], json['detail']];
  };
  t.same(await problem('GET', '/nothing'), [404, 'not_found', 'there is no /nothing']);
  t.same(await problem('GET', '/v1/apps/'), [400, 'bad_argument',
    'label: Too small: expected string to have >=1 characters']);
  const wrong = await api.ask('PUT', '/v1/apps/hello');
  t.same([wrong.status, wrong.headers.allow], [405, 'GET, PATCH, DELETE']);
  t.match(await problem('GET', '/v1/apps/%zz'), [400, 'bad_argument', /percent/]);
  t.match(await problem('GET', '/v1/apps/a%2Fb'), [400, 'bad_argument', /^label: /]);
  t.match(await problem('GET', '/v1/apps/Hello'), [400, 'bad_argument', /^label: /]);
  t.same(await problem('GET', '/v1/apps/hello'), [404, 'not_found', 'there is no app hello']);
  t.match(await problem('GET', '/v1/apps?limit=0'), [400, 'bad_argument', /^query\.limit: /]);
  t.match(await problem('GET', '/v1/apps?limit=1&limit=2'), [400, 'bad_argument', /given twice/]);
  t.match(await problem('GET', '/v1/apps?color=red'), [400, 'bad_argument', /^query/]);
  const json = { 'content-type': 'application/json' };
  const rollback = '/v1/apps/hello/rollback';
  t.match(await problem('POST', rollback, { body: '{}' }), [400, 'bad_argument', /content-type/]);
  t.match(await problem('POST', rollback, { body: '{', headers: json }), [
    400, 'bad_argument', 'the body is not JSON']);
  t.match(await problem('POST', rollback, { body: '{"version":"1"}', headers: json }), [
    400, 'bad_argument', /^body\.version: /]);
  t.match(await problem('POST', rollback, { body: ' '.repeat(70_000), headers: json }), [
    413, 'body_too_large']);
  t.same(api.faults, []);
});

t.test('a deploy tells its stages, then its result', async (t) => {
  const api = await startApi(t);
  const answer = await api.deploy('hello', await guest(1));
  t.equal(answer.status, 200);
  t.equal(answer.headers['content-type'], 'application/x-ndjson');
  const lines = events(answer);
  t.same(lines.slice(0, -1), [
    { stage: 'uploaded', message: 'Upload complete, waiting for build...' },
    { stage: 'building', message: 'Building...' },
    { stage: 'compiling', message: 'Generating machine code...' },
    { stage: 'deploying', message: 'Deploying...' },
  ]);
  const url = 'http://hello.localhost:8080/';
  t.match(lines.at(-1), {
    stage: 'done', message: `Deploy complete: ${url}`, url, warnings: [],
    app: { label: 'hello', url, activeVersion: 1, hosts: [], expiresAt: null },
    version: { number: 1, active: true, language: 'wasm', moduleHash: /^[0-9a-f]{64}$/ },
  });
  t.equal(api.parts.router.find('hello.localhost')?.versionNumber, 1);

  const tar = await tarOf({ 'hello.wat': '(module (func (export "run")))' });
  const sources = await api.deploy('hello', tar, '?life_seconds=60', 'application/x-tar');
  t.match(events(sources).at(-1), { stage: 'done', version: { number: 2, language: 'wat' } });
  const expiresAt = String(at(events(sources).at(-1), 'app')['expiresAt']);
  t.ok(Math.abs(Date.parse(expiresAt) - Date.now() - 60_000) < 30_000, expiresAt);
});

t.test('a deploy that fails says so in its last line, with the compiler\'s words', async (t) => {
  const api = await startApi(t);
  const tar = await tarOf({ 'a.wat': '(module (func (export "run") (x)))' });
  const last = events(await api.deploy('bad', tar, '', 'application/x-tar')).at(-1);
  t.match(last, {
    stage: 'failed', error: {
      code: 'build_failed', output: /a\.wat:1:/,
      message: 'the source does not build: a.wat is not valid WebAssembly text',
    },
  });
  t.match(events(await api.deploy('bad', text('<html>'))).at(-1), {
    stage: 'failed', error: { code: 'not_wasm' },
  });
  t.match(events(await api.deploy('bad', await assemble('(module)'))).at(-1), {
    error: { code: 'missing_export' },
  });
  t.same((await api.ask('GET', '/v1/apps')).json, { apps: [], next: null });
});

t.test('a deploy that is refused before it begins has a status of its own', async (t) => {
  const api = await startApi(t);
  const module = await guest(1);
  const refused = async (...args: Parameters<Api['deploy']>) => {
    const { status, json } = await api.deploy(...args);
    return [status, json['code']];
  };
  t.same(await refused('admin', module), [400, 'bad_name']);
  t.same(await refused('a--b', module), [400, 'bad_name']);
  t.same(await refused('a', module, '?language=cobol'), [400, 'bad_argument']);
  t.same(await refused('a', module, '', 'text/plain'), [400, 'bad_upload']);
  t.same(await refused('a', text('no tar'), '', 'application/x-tar'), [400, 'bad_upload']);
  const notes = await tarOf({ 'notes.txt': 'hi' });
  t.same(await refused('a', notes, '', 'application/x-tar'), [422, 'unknown_language']);
  const huge = await api.ask('POST', '/v1/apps/a/deploys', {
    headers: { 'content-type': 'application/wasm', 'content-length': String(2 ** 30) }, body: 'x',
  }).catch((error: NodeJS.ErrnoException) => error);
  t.match(huge, { status: 413, json: { code: 'body_too_large' } });
  t.same(api.faults, []);
});

t.test('apps, versions, rollback, hosts, removal', async (t) => {
  const api = await startApi(t);
  for (const number of [1, 2]) await api.deploy('shop', await guest(number));
  await api.deploy('blog', await guest(1));
  const { json: list } = await api.ask('GET', '/v1/apps');
  t.match(list, { apps: [{ label: 'shop', activeVersion: 2 }, { label: 'blog' }], next: null });
  const { json: page } = await api.ask('GET', '/v1/apps?limit=1');
  t.equal(at(page, 'apps')['length'], 1);
  const { json: rest } = await api.ask('GET', `/v1/apps?limit=1&after=${String(page['next'])}`);
  t.match(rest['apps'], [{ label: 'blog' }]);

  const json = { 'content-type': 'application/json' };
  const back = await api.ask('POST', '/v1/apps/shop/rollback', {
    body: '{"version":1}', headers: json,
  });
  t.match([back.status, back.json], [200, { label: 'shop', activeVersion: 1 }]);
  t.equal(api.parts.router.find('shop.localhost')?.versionNumber, 1);
  t.match((await api.ask('GET', '/v1/apps/shop/versions')).json, {
    versions: [{ number: 1, active: true }, { number: 2, active: false }], next: null,
  });
  t.match((await api.ask('POST', '/v1/apps/shop/rollback', {
    body: '{"version":3}', headers: json,
  })).json, { code: 'not_found', detail: 'shop has no version 3' });

  const host = await api.ask('PUT', '/v1/apps/shop/hosts/Shop.Example.COM');
  t.match([host.status, host.json], [200, { hosts: ['shop.example.com'] }]);
  t.equal(api.parts.router.find('shop.example.com')?.label, 'shop');
  t.match((await api.ask('PUT', '/v1/apps/blog/hosts/shop.example.com')).json, {
    code: 'conflict',
  });
  for (const own of ['base.example', 'x.base.example']) {
    t.match((await api.ask('PUT', `/v1/apps/blog/hosts/${own}`)).json, { code: 'bad_name' }, own);
  }
  for (const bad of ['localhost', 'a..b', '-a.example', 'a.example:80', 'ä.example']) {
    t.match((await api.ask('PUT', `/v1/apps/blog/hosts/${encodeURIComponent(bad)}`)).json, {
      code: 'bad_argument',
    }, bad);
  }
  t.match((await api.ask('DELETE', '/v1/apps/shop/hosts/shop.example.com')).json, { hosts: [] });
  t.equal(api.parts.router.find('shop.example.com'), undefined);

  const removed = await api.ask('DELETE', '/v1/apps/shop');
  t.same([removed.status, removed.text], [204, '']);
  t.same(api.removed, ['shop']);
  t.equal((await api.ask('GET', '/v1/apps/shop')).status, 404);
});

t.test('faults of ours tell nothing, and other parts add routes', async (t) => {
  const api = await startApi(t, [{
    method: 'GET', path: '/metrics', summary: 'Metrics', answer: { status: 200 }, errors: [],
    handle: () => ({ status: 200, text: 'up 1\n', contentType: 'text/plain' }),
  }, {
    method: 'GET', path: '/v1/broken', summary: 'Fails', answer: { status: 200 }, errors: [],
    handle: () => {
      throw new Error('secret words');
    },
  }]);
  t.equal((await api.ask('GET', '/metrics', { token: null })).text, 'up 1\n');
  const broken = await api.ask('GET', '/v1/broken');
  t.match([broken.status, broken.json['code']], [500, 'internal']);
  t.notMatch(broken.text, /secret/);
  t.match(api.faults, [{ message: 'secret words' }]);
});

t.test('a client that goes away in the middle ends its deploy', async (t) => {
  const api = await startApi(t);
  const body = await guest(1);
  const socket = connect(api.port, '127.0.0.1');
  socket.write(`POST /v1/apps/gone/deploys HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${
    api.token}\r\nContent-Type: application/wasm\r\nContent-Length: ${body.length}\r\n\r\n`);
  socket.write(body);
  await new Promise((resolve) => socket.once('data', resolve));
  socket.destroy();
  while (api.parts.builders.load.running > 0) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  t.same(api.faults, []);
});
