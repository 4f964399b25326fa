/**
 * Traces end to end: a real daemon, an upstream that tells what it was told, a collector that reads
 * what is exported; then without a collector, and with one that takes nothing.
 */

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import type { Test } from 'tap';

import { parseTraceparent } from '../../contract/trace.ts';
import { assemble, example, until } from '../e2e/world.ts';
import { fetching } from '../grafana/guests.ts';
import { startDaemon } from '../harness/daemon.ts';
import type { Daemon } from '../harness/daemon.ts';
import { tracesUrl, Traces } from '../../ops/traces/service.ts';
import { Redaction } from '../../ops/redact.ts';
import { startCollector } from './otlp.ts';
import type { CollectedSpan } from './otlp.ts';
import { parse, valueOf } from './exposition.ts';
import { recordOf } from './record.ts';

const [SERVER, CLIENT, INTERNAL] = [2, 3, 1];
const ERROR = 2;
const TRACE = '0af7651916cd43dd8448eb211c80319c';
const CALLER = 'b7ad6b7169203331';

interface Upstream {
  readonly url: string;
  readonly seen: { readonly path: string; readonly parent: string; readonly state: string }[];
}

/** Redirects once from `/`. */
async function openUpstream(t: Test): Promise<Upstream> {
  const seen: { path: string; parent: string; state: string }[] = [];
  const server = createServer((request, response) => {
    const { traceparent = '', tracestate = '' } = request.headers;
    seen.push({
      path: request.url ?? '', parent: String(traceparent), state: String(tracestate) });
    if (request.url === '/') response.writeHead(302, { location: '/landed' }).end();
    else response.end('from upstream');
  });
  server.listen(0, '127.0.0.1');
  await new Promise((done) => { server.once('listening', done); });
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, seen };
}

async function metricsOf(daemon: Daemon) {
  return parse((await daemon.admin('GET', '/metrics')).text, false);
}

async function spansCounted(daemon: Daemon, outcome: string): Promise<number> {
  return valueOf(await metricsOf(daemon), 'wardian_trace_spans_total', { outcome }) ?? 0;
}

async function start(t: Test, upstream: Upstream, flags: readonly string[]): Promise<Daemon> {
  const daemon = await startDaemon({
    flags: ['--threads', '1', '--egress-allow', '127.0.0.0/8', ...flags] });
  t.teardown(() => daemon.stop());
  await daemon.deploy('relay', assemble(fetching(upstream.url, 1)));
  await daemon.deploy('visits', example('visits'));
  await daemon.deploy('panic', example('panic'));
  return daemon;
}

const incoming = (flags: string) => ({
  traceparent: `00-${TRACE}-${CALLER}-${flags}`, tracestate: 'vendor=1',
});

t.test('a request, its phases, its waits and its subrequests are spans of one trace', async (t) => {
  const upstream = await openUpstream(t);
  const collector = await startCollector(t);
  const daemon = await start(t, upstream, [
    '--otlp-endpoint', collector.url, '--otlp-headers', 'authorization=Bearer hunter2,x-a=b=c',
    '--trace-sample', '0', '--log-redact', 'client',
  ]);
  await daemon.ask('relay.localhost', '/path?token=hunter2', { headers: incoming('01') });
  await daemon.ask('visits.localhost', '/', { headers: incoming('01') });
  await daemon.ask('panic.localhost', '/', { headers: incoming('01') });
  await daemon.ask('relay.localhost', '/unsampled', { headers: incoming('00') });
  await daemon.ask('relay.localhost', '/begun-here');
  await until('the spans are exported', () =>
    collector.spans.filter(({ kind }) => kind === SERVER).length === 3);
  const { spans } = collector;
  const [{ path, headers } = { path: '', headers: {} }] = collector.asked;
  t.equal(path, '/v1/traces');
  t.equal(headers['authorization'], 'Bearer hunter2');
  t.equal(headers['x-a'], 'b=c');
  t.ok(spans.every(({ traceId }) => traceId === TRACE), 'only what the caller samples');
  t.equal(new Set(spans.map(({ spanId }) => spanId)).size, spans.length, 'each has its id');
  t.match(spans[0]?.resource, { 'service.name': 'wardian', 'service.version': /^\d/ });
  for (const { name, startNs, endNs } of spans) t.ok(endNs >= startNs, `${name}: its times`);

  const root = spans.find(({ name }) => name === 'GET relay') as CollectedSpan;
  t.match(root, { parentId: CALLER, kind: SERVER, statusCode: 0, attributes: {
    'http.request.method': 'GET', 'http.response.status_code': 200, 'url.path': '/path',
    'wardian.tenant': 'local', 'wardian.app': 'relay', 'wardian.version': 1,
    'client.address': '[redacted]', 'server.address': 'relay.localhost',
  } });
  const under = (parent: CollectedSpan): CollectedSpan[] =>
    spans.filter(({ parentId }) => parentId === parent.spanId);
  t.strictSame(under(root).map(({ name }) => name), ['queue', 'instance', 'run']);
  t.ok(under(root).every(({ kind }) => kind === INTERNAL));
  const run = under(root).find(({ name }) => name === 'run') as CollectedSpan;
  const within = under(run);
  t.match(within.filter(({ kind }) => kind === INTERNAL), [{ name: 'hostcall_req_send' }]);
  const hops = within.filter(({ kind }) => kind === CLIENT);
  t.strictSame(hops.map(({ attributes }) => attributes['http.response.status_code']), [302, 200]);
  t.strictSame(hops.map(({ attributes }) => attributes['url.full']),
    [upstream.url, `${upstream.url}landed`]);
  t.strictSame(upstream.seen.slice(0, 2).map(({ parent }) => parseTraceparent(parent)?.spanId),
    hops.map(({ spanId }) => spanId), 'each upstream was told the span of its hop');
  t.ok(upstream.seen.slice(0, 2).every(({ state }) => state === 'vendor=1'));
  t.notMatch(JSON.stringify(spans, (_, value: unknown) =>
    (typeof value === 'bigint' ? String(value) : value)), 'hunter2');

  const visits = spans.find(({ name }) => name === 'GET visits') as CollectedSpan;
  t.match(under(under(visits).find(({ name }) => name === 'run') as CollectedSpan)
    .map(({ name }) => name), [/^hostcall_kvstore_/]);
  t.match(spans.find(({ name }) => name === 'GET panic'),
    { statusCode: ERROR, attributes: { 'error.type': 'guest_panic' } });

  const [unsampled, begun] = [upstream.seen[2], upstream.seen[4]];
  t.match(parseTraceparent(unsampled?.parent ?? ''), { traceId: TRACE, sampled: false });
  t.not(parseTraceparent(unsampled?.parent ?? '')?.spanId, CALLER, 'our span is in between');
  t.match(parseTraceparent(begun?.parent ?? ''), { sampled: false });
  t.not(parseTraceparent(begun?.parent ?? '')?.traceId, TRACE);
  t.equal(await spansCounted(daemon, 'exported'), spans.length);
  const line = daemon.log.find((one) => one['target'] === '/unsampled');
  t.equal(line?.['traceId'], TRACE, 'lines of the log name the trace');
  const { text } = await daemon.admin('GET', '/v1/failures');
  const { failures } = JSON.parse(text) as { failures: { id: string }[] };
  t.match((await daemon.admin('GET', `/v1/failures/${failures[0]?.id ?? ''}`)).text,
    `"traceId":"${TRACE}"`);
});

t.test('a caller that is not trusted is not believed, nor sampled for its asking', async (t) => {
  const upstream = await openUpstream(t);
  const collector = await startCollector(t);
  const daemon = await start(t, upstream, [
    '--otlp-endpoint', `${collector.url}/base/`, '--trace-sample', '1',
    '--trace-trust-incoming', 'false',
  ]);
  await daemon.ask('relay.localhost', '/', { headers: incoming('00') });
  await until('the spans are exported', () => collector.spans.length >= 5);
  t.equal(collector.asked[0]?.path, '/base/v1/traces');
  const root = collector.spans.find(({ kind }) => kind === SERVER);
  t.not(root?.traceId, TRACE);
  t.equal(root?.parentId, '');
  t.ok(upstream.seen.every(({ parent, state }) =>
    parseTraceparent(parent)?.traceId === root?.traceId && state === ''));
});

t.test('without a collector the trace is passed on, and nothing else happens', async (t) => {
  const upstream = await openUpstream(t);
  const daemon = await start(t, upstream, []);
  await daemon.ask('relay.localhost', '/', { headers: incoming('01') });
  await daemon.ask('relay.localhost', '/');
  await daemon.ask('relay.localhost', '/', { headers: { traceparent: 'nonsense' } });
  const passed = { parent: incoming('01').traceparent, state: 'vendor=1' };
  t.match(upstream.seen, [
    { path: '/', ...passed }, { path: '/landed', ...passed },
    { parent: '', state: '' }, { parent: '' }, { parent: '' }, { parent: '' },
  ]);
  t.equal(await spansCounted(daemon, 'exported'), 0);
  t.notOk(daemon.log.some((line) => 'traceId' in line));
});

t.test('a collector that refuses costs the spans alone, and is told of once', async (t) => {
  const upstream = await openUpstream(t);
  const collector = await startCollector(t);
  collector.status = 400;
  const daemon = await start(t, upstream,
    ['--otlp-endpoint', collector.url, '--trace-sample', '1']);
  for (let count = 0; count < 3; count += 1) {
    t.equal((await daemon.ask('visits.localhost')).status, 200);
    await until('the batch failed', async () =>
      (await spansCounted(daemon, 'failed')) > count * 4);
  }
  const said = daemon.log.filter(({ msg }) => msg === 'no traces for now');
  t.equal(said.length, 1);
  t.match(said[0], { err: { message: /traces are not exported/ } });
});

t.test('what is gathered is exported when the daemon ends', async (t) => {
  const collector = await startCollector(t);
  const daemon = await startDaemon({
    flags: ['--threads', '1', '--otlp-endpoint', collector.url, '--trace-sample', '1'] });
  await daemon.deploy('visits', example('visits'));
  await daemon.ask('visits.localhost');
  await daemon.stop();
  t.ok(collector.spans.some(({ name }) => name === 'GET visits'));
});

t.test('too many that wait are dropped, and counted', async (t) => {
  const counts = { exported: 0, failed: 0, dropped: 0 };
  const failures: string[] = [];
  const traces = new Traces({
    endpoint: 'http://127.0.0.1:1', headers: [], version: '1', instance: 'x',
    redaction: new Redaction([]),
    onSpans: (outcome, count) => { counts[outcome] += count; },
    onFailure: ({ message }) => failures.push(message),
  });
  const trace = {
    traceId: TRACE, spanId: CALLER, parentId: null, sampled: true, state: '',
  };
  const all = 6_000;
  for (let count = 0; count < all; count += 1) {
    traces.request({ ...recordOf(), usage: null, trace });
    traces.request({ ...recordOf(), trace: { ...trace, sampled: false } });
    traces.request(recordOf());
  }
  const waiting = 4_096;
  t.equal(counts.dropped, (all - waiting) * 2, 'two spans each');
  await traces.close();
  t.equal(counts.exported, 0);
  t.equal(counts.failed + counts.dropped, all * 2, 'every span has an outcome');
});

t.test('the address of a collector', async (t) => {
  t.equal(tracesUrl('http://c:4318'), 'http://c:4318/v1/traces');
  t.equal(tracesUrl('https://c/otlp/'), 'https://c/otlp/v1/traces');
  t.equal(tracesUrl('https://c/v1/traces'), 'https://c/v1/traces');
});
