/**
 * Watching a real daemon over its real sockets: metrics in both formats after every kind of
 * outcome, one line per request, the log over the admin API and the command line, failure reports.
 */

import { execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import t from 'tap';

import { skipOutsideCi } from '../harness/tools.ts';

import { startDaemon } from '../harness/daemon.ts';
import type { Daemon } from '../harness/daemon.ts';
import { parse, promtool, valueOf } from './exposition.ts';
import type { Family } from './exposition.ts';

const LAUNCHER = fileURLToPath(new URL('../../bin/wardian.js', import.meta.url));
const OPEN = 'application/openmetrics-text;version=1.0.0,text/plain;q=0.5';
const example = (name: string): Buffer =>
  readFileSync(new URL(`../../guests/examples/${name}/${name}.wasm`, import.meta.url));

const daemon = await startDaemon({ flags: [
  '--threads', '1', '--access-log-sample', '1', '--log-redact', 'x-customer',
] });
t.teardown(() => daemon.stop());
for (const name of ['hello-rust', 'panic', 'visits', 'echo']) {
  await daemon.deploy(name, example(name));
}

async function metrics(open = false): Promise<Map<string, Family>> {
  const headers: Record<string, string> = open ? { accept: OPEN } : {};
  const request = { headers: { authorization: '', ...headers } };
  const answer = await daemon.admin('GET', '/metrics', request);
  t.equal(answer.status, 200);
  t.match(answer.headers['content-type'], open ? 'application/openmetrics-text' : 'text/plain');
  return parse(answer.text, open);
}

/** Lines are written some milliseconds after their request. */
async function eventually<T>(look: () => T | undefined): Promise<T> {
  const until = performance.now() + 10_000;
  for (;;) {
    const found = look();
    if (found !== undefined) return found;
    if (performance.now() > until) throw new Error('it did not come');
    await new Promise((done) => { setTimeout(done, 20); });
  }
}

const lineOf = (one: Daemon, path: string): Promise<Record<string, unknown>> =>
  eventually(() => one.log.find((line) => line['target'] === path));

interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const cliArguments = (words: readonly string[]): string[] => [
  LAUNCHER, '--admin-url', `http://127.0.0.1:${daemon.adminPort}`, '--data', daemon.data, ...words,
];

function wardian(...words: string[]): Promise<Run> {
  return new Promise((done) => {
    execFile(process.execPath, cliArguments(words), (error, stdout, stderr) => {
      done({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

t.test('metrics count what happened, in both formats', async (t) => {
  const before = await metrics();
  for (let index = 0; index < 5; index += 1) await daemon.ask('hello-rust.localhost');
  for (let index = 0; index < 3; index += 1) await daemon.ask('panic.localhost');
  await daemon.ask('visits.localhost');
  await daemon.ask('nobody.localhost');
  for (const open of [false, true]) {
    const after = await metrics(open);
    const grown = (name: string, labels: Record<string, string> = {}): number =>
      (valueOf(after, name, labels) ?? Number.NaN) - (valueOf(before, name, labels) ?? 0);
    t.equal(grown('wardian_requests_total', { class: '2xx' }), 6);
    t.equal(grown('wardian_requests_total', { class: '5xx' }), 3);
    t.equal(grown('wardian_requests_total', { class: '4xx' }), 1);
    t.equal(grown('wardian_request_failures_total', { reason: 'guest_panic' }), 3);
    t.equal(grown('wardian_request_failures_total', { reason: 'unknown_host' }), 1);
    t.equal(grown('wardian_app_requests_total', { app: 'hello-rust', class: '2xx' }), 5);
    t.equal(grown('wardian_app_failures_total', { app: 'panic', reason: 'guest_panic' }), 3);
    t.equal(grown('wardian_request_phase_seconds_count', { phase: 'run' }), 9);
    t.ok(grown('wardian_guest_kv_operations_total') > 0);
    t.ok(grown('wardian_app_kv_operations_total', { app: 'visits' }) > 0);
    const fresh = grown('wardian_guest_instances_total', { mode: 'fresh' });
    t.equal(fresh + grown('wardian_guest_instances_total', { mode: 'recycled' }), 9);
    t.ok((valueOf(after, 'wardian_app_memory_peak_bytes', { app: 'panic' }) ?? 0) >= 65_536);
    t.equal(valueOf(after, 'wardian_deploys_total', { outcome: 'done' }), 4);
    t.equal(valueOf(after, 'wardian_workers'), 1);
    t.equal(valueOf(after, 'wardian_apps'), 4);
    t.equal(valueOf(after, 'wardian_ready'), 1);
    t.ok((valueOf(after, 'wardian_store_commits_total') ?? 0) > 0);
    t.ok((valueOf(after, 'process_resident_memory_bytes') ?? 0) > 1e7);
    t.ok((valueOf(after, 'wardian_module_cache_modules') ?? 0) >= 1);
    t.ok((valueOf(after, 'wardian_deploy_stage_seconds_count', { stage: 'compiling' }) ?? 0) >= 4);
    if (process.platform === 'linux') {
      t.ok((valueOf(after, 'wardian_memory_mappings') ?? 0) > 10);
    }
  }
  const { text } = await daemon.admin('GET', '/metrics');
  const said = promtool(text);
  if (said === null) skipOutsideCi(t, 'promtool is not installed');
  else t.equal(said, '', 'promtool check metrics has nothing to say');
});

t.test('metrics are compressed for who takes that', async (t) => {
  const answer = await daemon.admin('GET', '/metrics', { headers: { 'accept-encoding': 'gzip' } });
  t.equal(answer.headers['content-encoding'], 'gzip');
  t.ok(parse(gunzipSync(answer.body).toString(), false).size > 50);
});

t.test('a deploy that is refused is counted with its reason', async (t) => {
  await t.rejects(daemon.deploy('broken', Buffer.from('no wasm')));
  const after = await metrics();
  t.equal(valueOf(after, 'wardian_deploys_total', { outcome: 'refused' }), 1);
  t.equal(valueOf(after, 'wardian_deploy_failures_total', { reason: 'not_wasm' }), 1);
  t.equal(valueOf(after, 'wardian_deploys_under_way'), 0);
});

t.test('each request is a line, without secrets', async (t) => {
  await daemon.ask('echo.localhost', '/line?token=hunter2&a=1', { method: 'POST', body: 'abc' });
  const line = await lineOf(daemon, '/line?token=[redacted]&a=1');
  t.match(line, {
    level: 30, kind: 'request', method: 'POST', host: `echo.localhost`, status: 200,
    outcome: 'ok', tenant: 'local', app: 'echo', version: 1, requestBytes: 3,
  });
  const numbers = ['totalMs', 'routeMs', 'queueMs', 'respondMs', 'runUs', 'fuel', 'memoryBytes'];
  for (const field of numbers) {
    t.type(line[field], 'number', field);
  }
  t.equal(daemon.log.filter((one) => one['requestId'] === line['requestId'] &&
    one['kind'] === 'request').length, 1);
});

t.test('failures are reported over the API and the command line', async (t) => {
  await daemon.ask('panic.localhost', '/why', {
    headers: { cookie: 'id=hunter2', 'x-customer': 'hunter2', 'user-agent': 'probe/1' },
  });
  const list = await wardian('failures', 'list', '--app', 'panic', '--json');
  t.equal(list.code, 0, list.stderr);
  const { failures } = JSON.parse(list.stdout) as { failures: { id: string; message: string }[] };
  const found = failures.find(({ message }) => message.includes('/why'));
  t.ok(found, 'the panic with its message');
  const show = await wardian('failures', 'show', found?.id ?? '');
  t.match(show.stdout, /guest_panic in panic@1 of local: .*\/why/);
  t.match(show.stdout, /last hostcall: hostcall_panic_hook/);
  t.match(show.stdout, /core::panicking::panic_fmt at 0x[0-9a-f]+/, 'names, demangled');
  t.match(show.stdout, /user-agent: probe\/1/);
  t.match(show.stdout, /fuel \d+ of \d+, memory \d+ of \d+ bytes/);
  t.notMatch(show.stdout, 'hunter2');
  t.equal((await wardian('failures', 'show', '000000000000')).code, 1);
  t.match((await wardian('failures', 'list')).stdout, /ID +APP +COUNT +CODE/);
  const naked = await daemon.admin('GET', '/v1/failures', { headers: { authorization: '' } });
  t.equal(naked.status, 401);
});

t.test('wardian logs shows the recent past, filtered', async (t) => {
  await daemon.ask('echo.localhost', '/past');
  await lineOf(daemon, '/past');
  const words = ['logs', 'echo', '--since', '10m', '--search', '/past', '--kind', 'request'];
  const run = await wardian(...words);
  t.equal(run.code, 0, run.stderr);
  const lines = run.stdout.trim().split('\n').map((line) => JSON.parse(line) as { app: string });
  t.equal(lines.length, 1);
  t.match(lines[0], { app: 'echo', target: '/past' });
  const errors = await wardian('logs', '--status', '5xx', '--format', 'pretty');
  t.match(errors.stdout, /500 {2}GET panic\.localhost/);
  t.notMatch(errors.stdout, 'echo.localhost');
  t.equal((await wardian('logs', '--sampling-rate', '7')).code, 2);
  t.equal((await daemon.admin('GET', '/v1/logs?status=banana')).status, 400);
});

t.test('wardian tail follows live, and ends with its reader', async (t) => {
  const words = cliArguments(['tail', 'echo', '--format', 'json', '--kind', 'request']);
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  child.stdout.on('data', (chunk: Buffer) => { out += String(chunk); });
  const followed = async (): Promise<number | undefined> =>
    valueOf(await metrics(), 'wardian_log_followers');
  while ((await followed()) !== 1) await new Promise((done) => { setTimeout(done, 50); });
  await daemon.ask('hello-rust.localhost', '/not-this');
  await daemon.ask('echo.localhost', '/live');
  await eventually(() => (out.includes('/live') ? true : undefined));
  t.notMatch(out, '/not-this');
  t.match(JSON.parse(out.trim().split('\n').at(-1) ?? ''), { target: '/live', app: 'echo' });
  child.kill('SIGTERM');
  await new Promise((done) => { child.once('exit', done); });
  while ((await followed()) !== 0) await new Promise((done) => { setTimeout(done, 50); });
  t.pass('the daemon sees that it has gone');
});

t.test('wardian top', async (t) => {
  for (let index = 0; index < 10; index += 1) await daemon.ask('hello-rust.localhost');
  const run = await wardian('top', '--interval', '0.1', '--count', '2');
  t.equal(run.code, 0, run.stderr);
  t.match(run.stdout, /in flight 0 .*workers 1 /);
  t.match(run.stdout, /TENANT +APP +VERSION +REQ\/S +P50 MS +P99 MS +FUEL\/S/);
  t.match(run.stdout, /local +hello-rust +1 /);
  const tenants = await wardian('top', '--interval', '0.1', '--count', '1', '--by', 'tenant');
  t.match(tenants.stdout, /TENANT +APPS .*\nlocal +\d apps/);
  t.equal((await wardian('top', '--by', 'colour')).code, 2);
  t.equal((await wardian('top', '--interval', 'soon')).code, 2);
});

t.test('sampling leaves lines out, counts them, and keeps failures', async (t) => {
  const other = await startDaemon({ flags: ['--threads', '1', '--access-log-sample', '0'] });
  t.teardown(() => other.stop());
  await other.deploy('echo', example('echo'));
  await other.deploy('panic', example('panic'));
  for (let index = 0; index < 5; index += 1) await other.ask('echo.localhost', '/sampled');
  await other.ask('panic.localhost', '/kept');
  await lineOf(other, '/kept');
  t.notOk(other.log.some((line) => line['target'] === '/sampled'));
  const { text } = await other.admin('GET', '/metrics');
  t.match(text, 'wardian_log_lines_dropped_total{reason="sample"} 5');
});

t.test('a reader of standard output that goes away costs nothing but the lines', async (t) => {
  const other = await startDaemon({ flags: ['--threads', '1'] });
  t.teardown(() => other.stop());
  await other.deploy('echo', example('echo'));
  other.child.stdout?.destroy();
  for (let index = 0; index < 20; index += 1) {
    t.equal((await other.ask('echo.localhost', `/${index}`)).status, 200);
    await new Promise((done) => { setTimeout(done, 15); });
  }
  const kept = await other.admin('GET', '/v1/logs?search=/19&kind=request');
  t.match(kept.text, '"target":"/19"', 'the recent lines are still there');
});
