/** Metrics without a daemon: the table, counting, folding of apps, both formats, the thread. */

import { gunzipSync } from 'node:zlib';
import t from 'tap';

import { skipOutsideCi } from '../harness/tools.ts';

import { accessLine } from '../../ops/access-log.ts';
import { METRICS, OTHER } from '../../ops/metrics.ts';
import type { MetricDefinition } from '../../ops/metrics.ts';
import { Exposition } from '../../ops/metrics/exposition.ts';
import { APP_WIDTH, createMetricMemory, offsetOf, seriesOf } from '../../ops/metrics/layout.ts';
import { Recorder } from '../../ops/metrics/recorder.ts';
import { Renderer } from '../../ops/metrics/renderer.ts';
import { memoryLimit } from '../../ops/metrics/runtime.ts';
import { Metrics } from '../../ops/metrics/service.ts';
import { SlowSource } from '../../ops/metrics/slow-source.ts';
import type { RecordRoute, RequestRecord } from '../../ops/record.ts';
import { Redaction } from '../../ops/redact.ts';
import { formatOf, takesGzip } from '../../ops/routes.ts';
import { parse, promtool, valueOf } from './exposition.ts';
import { recordOf } from './record.ts';

const table: readonly MetricDefinition[] = METRICS;

const namesOf = (recorder: Recorder) => ({
  rows: recorder.apps.names(), workers: 2,
  info: { wardian_build_info: { version: '1', node: 'a"b\\c\nd', v8: '', listener: '' } },
});

t.test('the table keeps the conventions', async (t) => {
  const names = new Set<string>();
  for (const metric of table) {
    t.notOk(names.has(metric.name), `${metric.name} once`);
    names.add(metric.name);
    t.match(metric.name, /^(wardian|process)_[a-z0-9_]+$/);
    t.equal(metric.name.endsWith('_total'), metric.type === 'counter', metric.name);
    t.match(metric.help, /\S[.]$/, `${metric.name} has a help that is a sentence`);
    const base = metric.name.replace(/_total$/, '');
    if (metric.unit !== '') t.ok(new RegExp(`_${metric.unit}(_max)?$`).test(base), metric.name);
    const { buckets } = metric;
    t.equal(buckets !== undefined, metric.type === 'histogram', metric.name);
    t.strictSame(buckets, buckets?.toSorted((a, b) => a - b), `${metric.name}: buckets rise`);
    const series = seriesOf(metric).map((one) => JSON.stringify(one));
    t.equal(new Set(series).size, series.length, `${metric.name} has each series once`);
  }
});

t.test('both formats are right to the letter', async (t) => {
  const memory = createMetricMemory(3, 2);
  const recorder = new Recorder(memory);
  for (const app of ['a', 'b', 'q"\\\n', 'd', 'e']) {
    recorder.request(recordOf({ app }));
    recorder.request(recordOf({ app, status: 500, code: 'guest_trap' }));
  }
  recorder.refusal({
    code: 'bad_request', status: 400, requestId: '', clientAddress: '', message: '',
  });
  const exposition = new Exposition(memory);
  for (const format of ['prometheus', 'openmetrics'] as const) {
    const text = await exposition.render(format, namesOf(recorder));
    const families = parse(text, format === 'openmetrics');
    t.equal(families.size, table.length, format);
    t.equal(valueOf(families, 'wardian_requests_total', { class: '2xx' }), 5);
    t.equal(valueOf(families, 'wardian_requests_total', { class: '5xx' }), 5);
    t.equal(valueOf(families, 'wardian_app_requests_total', { app: 'q"\\\n', class: '2xx' }), 1);
    t.equal(valueOf(families, 'wardian_app_requests_total', { app: OTHER, class: '2xx' }), 2);
    t.equal(valueOf(families, 'wardian_app_failures_total', { app: 'a', reason: 'guest_trap' }), 1);
    t.equal(
      valueOf(families, 'wardian_app_failures_total', { app: 'a', reason: 'deadline' }), 0,
      'there before it happens, so that rate() sees it');
    const version = { app: 'a', version: '3' };
    t.equal(valueOf(families, 'wardian_app_version_requests_total', version), 2);
    t.equal(valueOf(families, 'wardian_app_version_failures_total', version), 1);
    t.equal(valueOf(families, 'wardian_listener_refusals_total', { reason: 'bad_request' }), 1);
    t.equal(valueOf(families, 'wardian_build_info', { node: 'a"b\\c\nd' }), 1);
    t.equal(valueOf(families, 'wardian_request_phase_seconds_count', { phase: 'total' }), 10);
    t.equal(valueOf(families, 'wardian_request_phase_seconds_bucket',
      { phase: 'instantiate', le: '0.00005' }), 0, '60 microseconds');
    t.equal(valueOf(families, 'wardian_request_phase_seconds_bucket',
      { phase: 'instantiate', le: '0.0001' }), 10);
  }
  const said = promtool(await exposition.render('prometheus', namesOf(recorder)));
  if (said === null) skipOutsideCi(t, 'promtool is not installed');
  else t.equal(said, '', 'promtool check metrics has nothing to say');
});

t.test('phases add up to the total', async (t) => {
  const memory = createMetricMemory(1, 1);
  const recorder = new Recorder(memory);
  for (let index = 0; index < 100; index += 1) recorder.request(recordOf({ app: 'a' }));
  const text = await new Exposition(memory).render('prometheus', namesOf(recorder));
  const families = parse(text, false);
  const sum = (phase: string): number =>
    valueOf(families, 'wardian_request_phase_seconds_sum', { phase }) ?? Number.NaN;
  const parts = ['route', 'queue', 'transfer', 'instantiate', 'run', 'respond'].map(sum);
  const whole = parts.reduce((all, part) => all + part, 0);
  t.ok(Math.abs(whole - sum('total')) < 1e-9, `${whole} is ${sum('total')}`);
});

t.test('phases add up to the total however a request ends', async (t) => {
  const base = recordOf({ app: 'a' });
  const { receivedAt } = base;
  const ended = { failure: null, usage: null, answeredAt: receivedAt + 50 };
  const cases: [string, Partial<RequestRecord>, string][] = [
    ['lost with its thread', { ...ended, status: 502, code: 'worker_lost',
      repliedAt: receivedAt + 49 }, 'transfer'],
    ['left while it was queued', { ...ended, status: 499, code: 'client_closed', dispatchedAt: 0,
      repliedAt: 0 }, 'queue'],
    ['refused by admission, at once or after a wait', { ...ended, status: 503, code: 'overloaded',
      dispatchedAt: 0,
      repliedAt: 0 }, 'queue'],
    ['refused as its tenant is suspended', { ...ended, status: 503, code: 'tenant_suspended',
      dispatchedAt: 0, repliedAt: 0 }, 'respond'],
    ['too late when its turn came', { ...ended, status: 503, code: 'overloaded', repliedAt: 0,
      dispatchedAt: receivedAt + 49 }, 'queue'],
    ['answered by the daemon', { ...ended, status: 200, code: null, route: null, dispatchedAt: 0,
      repliedAt: 0 }, 'respond'],
  ];
  for (const [what, change, longest] of cases) {
    const memory = createMetricMemory(1, 1);
    const recorder = new Recorder(memory);
    const record = { ...base, ...change };
    recorder.request(record);
    const text = await new Exposition(memory).render('prometheus', namesOf(recorder));
    const families = parse(text, false);
    const sum = (phase: string): number =>
      valueOf(families, 'wardian_request_phase_seconds_sum', { phase }) ?? Number.NaN;
    const parts = ['route', 'queue', 'transfer', 'instantiate', 'run', 'respond'].map(sum);
    const whole = parts.reduce((all, part) => all + part, 0);
    t.ok(Math.abs(whole - 0.05) < 1e-9, `${what}: ${whole} s of 0.05`);
    t.ok(sum(longest) > 0.045, `${what}: it is ${longest}`);
    const line = JSON.parse(accessLine(record, new Redaction([]))) as Record<string, number>;
    const ms = ['routeMs', 'queueMs', 'transferMs', 'respondMs'].map((name) => line[name] ?? 0);
    t.ok(Math.abs(ms.reduce((all, part) => all + part, 0) - 50) < 0.01, `${what}: in its line`);
    t.ok((line[`${longest}Ms`] ?? 0) > 45, what);
  }
});

t.test('series of apps are bounded, and only ever grow', async (t) => {
  const memory = createMetricMemory(4, 1);
  const recorder = new Recorder(memory);
  const exposition = new Exposition(memory);
  let before = new Map<string, number>();
  let random = 42;
  const next = (): number => {
    random = (Math.imul(random, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return random / 0x8000_0000;
  };
  let sent = 0;
  for (let round = 0; round < 60; round += 1) {
    // A different few of 40 apps are busy in each round.
    for (let index = 0; index < 200; index += 1) {
      const app = next() < 0.7 ? (round * 3 + Math.floor(next() * 3)) % 40 : next() * 40;
      recorder.request(recordOf({ app: `app-${Math.floor(app)}` }));
      sent += 1;
    }
    recorder.apps.rank();
    const families = parse(await exposition.render('prometheus', namesOf(recorder)), false);
    const now = new Map<string, number>();
    for (const { labels, value } of families.get('wardian_app_requests_total')?.samples ?? []) {
      now.set(JSON.stringify(labels), value);
    }
    t.equal(now.size, 5 * 4, 'four apps and all others');
    for (const [labels, value] of now) {
      if (value < (before.get(labels) ?? 0)) t.fail(`${labels} fell to ${value}`);
    }
    // Series that are hidden now may come back: they are held to what they were.
    before = new Map([...before, ...now]);
  }
  t.ok(recorder.apps.foldings > 10, `${recorder.apps.foldings} foldings`);
  const other = memory.apps[offsetOf('wardian_app_requests_total', { class: '2xx' })] ?? 0;
  const folded = memory.process[offsetOf('wardian_app_requests_folded_total')];
  t.equal(folded, other, 'what was folded is counted');
  const total = memory.process[offsetOf('wardian_requests_total', { class: '2xx' })];
  t.equal(total, sent);
});

t.test('an app that was deleted and deployed again goes on', async (t) => {
  const recorder = new Recorder(createMetricMemory(2, 1));
  recorder.request(recordOf({ app: 'a', appId: 1 }));
  recorder.request(recordOf({ app: 'a', appId: 2 }));
  t.equal(recorder.apps.owning, 1);
});

t.test('an app has series from its deploy on, until it is removed', async (t) => {
  const memory = createMetricMemory(2, 1);
  const recorder = new Recorder(memory);
  const exposition = new Exposition(memory);
  const families = async () =>
    parse(await exposition.render('prometheus', namesOf(recorder)), false);
  const app = (label: string, appId: number, versionNumber = 1) =>
    ({ tenantName: 'local', appId, label, versionNumber });
  const { apps } = recorder;
  apps.deployed(app('a', 501));
  apps.deployed({ ...app('b', 502, 4), split: [{ versionNumber: 3 }, { versionNumber: 4 }] });
  apps.deployed(app('c', 503));
  const reason = 'guest_trap';
  let now = await families();
  t.equal(valueOf(now, 'wardian_app_failures_total', { app: 'a', reason }), 0);
  t.equal(valueOf(now, 'wardian_app_version', { app: 'b' }), 4);
  t.equal(valueOf(now, 'wardian_app_version_requests_total', { app: 'b', version: '3' }), 0);
  t.equal(valueOf(now, 'wardian_app_version', { app: 'c' }), undefined, 'no row is free');
  const inFlight = recordOf({ app: 'a', appId: 501 });
  recorder.request(inFlight);
  apps.removed(501);
  recorder.request(inFlight);
  recorder.request(recordOf({ app: 'c', appId: 503 }));
  apps.rank();
  now = await families();
  t.equal(valueOf(now, 'wardian_app_requests_total', { app: 'a' }), undefined, 'it is gone');
  t.equal(valueOf(now, 'wardian_app_requests_total', { app: 'c', class: '2xx' }), 0,
    'its row went to one that was among the others');
  t.equal(valueOf(now, 'wardian_app_version', { app: 'b' }), 4, 'who moved keeps its numbers');
  apps.removed(503);
  apps.rank();
  apps.deployed(app('a', 504, 1));
  now = await families();
  t.equal(valueOf(now, 'wardian_app_requests_total', { app: 'a' }), 2, 'it goes on when back');
  apps.removed(502);
  apps.deployed(app('b', 502, 5));
  apps.rank();
  now = await families();
  t.equal(valueOf(now, 'wardian_app_version', { app: 'b' }), 5, 'the same app serves again');
  for (let id = 1_000; id < 3_000; id += 1) {
    apps.deployed(app('a', id));
    apps.removed(id);
  }
  t.equal(apps.owning + apps.folded, 3, 'deploys and removals leave nothing behind');
});

t.test('under a split the gauge keeps still, and versions are told apart', async (t) => {
  const memory = createMetricMemory(2, 1);
  const recorder = new Recorder(memory);
  const route = recordOf({ app: 'split', appId: 601 }).route as RecordRoute;
  recorder.apps.deployed(
    { ...route, versionNumber: 2, split: [{ versionNumber: 1 }, { versionNumber: 2 }] });
  const served = (versionNumber: number, status: number): RequestRecord =>
    ({ ...recordOf({ app: 'split', appId: 601, status }), route: { ...route, versionNumber } });
  for (let round = 0; round < 10; round += 1) {
    recorder.request(served(1, 200));
    recorder.request(served(2, round < 4 ? 500 : 200));
    const text = await new Exposition(memory).render('prometheus', namesOf(recorder));
    const now = parse(text, false);
    t.equal(valueOf(now, 'wardian_app_version', { app: 'split' }), 2);
    const of = (name: string, version: string): number | undefined =>
      valueOf(now, `wardian_app_version_${name}_total`, { app: 'split', version });
    t.equal(of('requests', '1'), round + 1);
    t.equal(of('failures', '1'), 0);
    t.equal(of('failures', '2'), Math.min(4, round + 1));
  }
  for (let version = 3; version < 100; version += 1) recorder.request(served(version, 200));
  const text = await new Exposition(memory).render('prometheus', namesOf(recorder));
  const { samples } = parse(text, false).get('wardian_app_version_requests_total') ?? {};
  t.equal(samples?.length, 8, 'preview hosts cannot make more series');
  t.strictSame(new Set(samples?.map(({ labels }) => labels['version'])),
    new Set(['92', '93', '94', '95', '96', '97', '98', '99']), 'those asked for last');
});

t.test("an app's peak of memory is not another's when its row is", async (t) => {
  const memory = createMetricMemory(1, 1);
  const recorder = new Recorder(memory);
  recorder.request(recordOf({ app: 'large', memoryBytes: 9e6 }));
  for (let count = 0; count < 10; count += 1) {
    recorder.request(recordOf({ app: 'small', memoryBytes: 1e5 }));
  }
  recorder.apps.rank();
  t.strictSame(recorder.apps.names().map(({ app }) => app), [OTHER, 'small']);
  recorder.sinkPeaks();
  const peak = offsetOf('wardian_app_memory_peak_bytes');
  t.equal(memory.apps[APP_WIDTH + peak], 0, 'nothing of it has been seen in its own row');
  recorder.request(recordOf({ app: 'small', memoryBytes: 1e5 }));
  t.equal(memory.apps[APP_WIDTH + peak], 1e5);
});

t.test('a scrape does not wait for a part that hangs, fails, or comes back', async (t) => {
  const told: [string, boolean][] = [];
  const source = new SlowSource((error, isFirst) => {
    told.push([(error as Error).message, isFirst]);
  }, 30);
  let release = (): void => {};
  let asked = 0;
  const hangs = (): Promise<void> => {
    asked += 1;
    return new Promise((done) => { release = done; });
  };
  await source.collect(hangs);
  await source.collect(hangs);
  t.equal(asked, 1, 'who hangs is not asked again');
  t.strictSame(told, [['no answer within 30 ms', true], ['no answer within 30 ms', false]]);
  release();
  await source.collect(() => Promise.resolve());
  await source.collect(() => Promise.reject(new Error('gone')));
  await source.collect(() => { throw new Error('at once'); });
  await source.collect(() => Promise.resolve());
  await source.collect(() => Promise.reject(new Error('again')));
  t.strictSame(told.slice(2), [['gone', true], ['at once', false], ['again', true]]);
});

t.test('metrics are there while the store is not', async (t) => {
  const failed: string[] = [];
  const maxima = {
    threads: 1, guestsInFlight: 1, queueLength: 1, moduleCacheBytes: 1, memoryPoolBytes: 1,
  };
  const metrics = new Metrics({
    apps: 1, maxima, info: {}, onCollectFailure: (source) => failed.push(source),
  });
  t.teardown(() => metrics.close());
  metrics.connect({
    pool: {
      stats: () => ({
        threads: 1, restarts: 0, relays: { request: 3, answer: 5 }, workers: [],
      }),
    },
    admission: { inFlight: 7, queued: 0, shed: 0 },
    store: {
      databasePath: '/nowhere/at/all', stats: () => Promise.reject(new Error('the writer is gone')),
    },
    router: { size: 1 }, connections: () => 1, isReady: () => true,
  });
  const now = parse(Buffer.from(await metrics.text('prometheus')).toString(), false);
  t.equal(valueOf(now, 'wardian_guests_in_flight'), 7);
  t.equal(valueOf(now, 'wardian_relays_open', { direction: 'request' }), 3);
  t.equal(valueOf(now, 'wardian_relays_open', { direction: 'answer' }), 5);
  t.equal(valueOf(now, 'wardian_collect_failures_total', { source: 'store' }), 1);
  t.equal(valueOf(now, 'wardian_collect_failures_total', { source: 'disk' }), 1);
  await metrics.text('prometheus');
  t.strictSame(failed.toSorted(), ['disk', 'store'], 'said once');
  if (process.platform === 'linux') {
    t.ok((valueOf(now, 'wardian_memory_mappings') ?? 0) > 10, 'read by the other thread');
    t.ok((valueOf(now, 'process_open_fds') ?? 0) > 3);
  }
});

t.test('the memory limit is that of the control group, if it has one', async (t) => {
  t.equal(memoryLimit(1e9, 8e9), 1e9);
  t.equal(memoryLimit(0, 8e9), 8e9, 'the system does not know');
  t.equal(memoryLimit(2 ** 63, 8e9), 8e9, 'how version 1 says that there is none');
});

t.test('peaks of memory sink after a minute or two', async (t) => {
  const memory = createMetricMemory(2, 1);
  const recorder = new Recorder(memory);
  recorder.request(recordOf({ app: 'a', memoryBytes: 9e6 }));
  const at = recorder.apps.find({ tenantName: 'local', appId: 1, label: 'a' }).at +
    offsetOf('wardian_app_memory_peak_bytes');
  recorder.sinkPeaks();
  recorder.request(recordOf({ app: 'a', memoryBytes: 1e6 }));
  t.equal(memory.apps[at], 9e6, 'still shown in the next minute');
  recorder.sinkPeaks();
  t.equal(memory.apps[at], 1e6);
  recorder.sinkPeaks();
  t.equal(memory.apps[at], 0);
});

t.test('the thread renders what this one would, and scrapes share it', async (t) => {
  const memory = createMetricMemory(3, 2);
  const recorder = new Recorder(memory);
  for (const app of ['a', 'b', 'c', 'd']) recorder.request(recordOf({ app }));
  const renderer = new Renderer(memory);
  t.teardown(() => renderer.close());
  const first = () => namesOf(recorder);
  const scrapes = [1, 2].map(() => renderer.render('prometheus', false, first));
  t.ok(renderer.busy, 'rows keep their names meanwhile');
  const [one, two] = await Promise.all(scrapes);
  t.equal(one, two, 'two scrapes at one time are one rendering');
  // The thread reads some numbers anew for each rendering: compare with what it has left.
  const here = () => new Exposition(memory).render('prometheus', first());
  t.equal(Buffer.from(one ?? []).toString(), await here());
  t.notOk(renderer.busy);
  const zipped = await renderer.render('prometheus', true, first);
  t.equal(gunzipSync(zipped).toString(), await here());
  recorder.request(recordOf({ app: 'late' }));
  const info = { wardian_build_info: { version: '2' } };
  const later = () => ({ rows: recorder.apps.names(), workers: 2, info });
  for (const app of ['late', 'a']) {
    const text = Buffer.from(await renderer.render('prometheus', false, later)).toString();
    t.equal(text, await new Exposition(memory).render('prometheus', later()), app);
    recorder.apps.find({ tenantName: 'local', appId: 99, label: 'late' }).recent = 1_000;
    recorder.apps.rank();
  }
  const names = recorder.apps.names().map(({ app }) => app);
  t.ok(names.includes('late'), 'it took a row meanwhile, and the thread learnt its name');
});

t.test('the format follows accept', async (t) => {
  const cases: [string | undefined, string][] = [
    [undefined, 'prometheus'], ['', 'prometheus'], ['*/*', 'prometheus'],
    ['text/plain', 'prometheus'], ['application/openmetrics-text', 'openmetrics'],
    ['application/openmetrics-text; version=1.0.0; charset=utf-8, text/plain;q=0.5', 'openmetrics'],
    ['application/openmetrics-text;q=0.1, text/plain;q=0.5', 'prometheus'],
    ['application/openmetrics-text;version=9.9.9', 'prometheus'],
    ['application/openmetrics-text;version=1.0.0;q=0.75,application/openmetrics-text;' +
      'version=0.0.1;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1', 'openmetrics'],
    ['application/openmetrics-text;q=nonsense', 'prometheus'],
  ];
  for (const [accept, format] of cases) t.equal(formatOf(accept), format, accept ?? 'none');
});

t.test('compression follows accept-encoding', async (t) => {
  for (const yes of ['gzip', 'deflate, GZIP;q=0.5', 'gzip;q=1.0']) t.ok(takesGzip(yes), yes);
  for (const no of [undefined, '', 'br', 'gzip;q=0', 'gzip; q=0.0']) {
    t.notOk(takesGzip(no), no ?? 'none');
  }
});
