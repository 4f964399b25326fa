/** Failure reports: grouped, counted, bounded, without secrets; and what the CLI makes of them. */

import t from 'tap';

import { demangle } from '../../ops/cli/demangle.ts';
import { frameText, placeText } from '../../ops/cli/failures.ts';
import { quantile, ratesOf, topText } from '../../ops/cli/top.ts';
import { Failures } from '../../ops/failures.ts';
import { Redaction } from '../../ops/redact.ts';
import { recordOf } from './record.ts';

const failuresOf = () => new Failures(new Redaction([]));

t.test('the same failure is one group, another is another', async (t) => {
  const failures = failuresOf();
  const trap = { status: 500, code: 'guest_trap' as const };
  for (let index = 0; index < 10; index += 1) {
    failures.request(recordOf({ ...trap, message: `index ${index} at 0x${index}` }));
  }
  failures.request(recordOf({ ...trap, backtrace: ['elsewhere@0x1'] }));
  failures.request(recordOf({ ...trap, app: 'other' }));
  failures.request(recordOf({ status: 503, code: 'out_of_fuel' }));
  failures.request(recordOf({ status: 404, code: 'unknown_host' }));
  failures.request(recordOf({ status: 499, code: 'client_closed' }));
  failures.request(recordOf());
  const all = failures.list({});
  t.equal(all.length, 4);
  t.strictSame(all.map(({ count }) => count).toSorted((a, b) => a - b), [1, 1, 1, 10]);
  t.equal(failures.list({ app: 'other' }).length, 1);
  t.equal(failures.list({ code: 'out_of_fuel' }).length, 1);
  t.equal(failures.list({ tenant: 'nobody' }).length, 0);
});

t.test('a panic that quotes its request is one group; without frames messages count', async (t) => {
  const failures = failuresOf();
  for (let index = 0; index < 60; index += 1) {
    const who = 'abcdefgh'.slice(index % 8);
    const record = recordOf({ status: 500, code: 'guest_panic', message: `no user ${who}` });
    failures.request(record);
  }
  const [group] = failures.list({});
  t.equal(failures.list({}).length, 1);
  t.equal(group?.count, 60);
  t.equal(failures.forgotten, 0);
  const bare = { status: 503, code: 'deadline' as const, backtrace: [] };
  failures.request(recordOf({ ...bare, message: 'waiting in hostcall_req_send' }));
  failures.request(recordOf({ ...bare, message: 'waiting in hostcall_kvstore_get' }));
  t.equal(failures.list({ code: 'deadline' }).length, 2);
});

t.test('the last hostcall is that of the latest message', async (t) => {
  const failures = failuresOf();
  const first = recordOf({ status: 500, code: 'guest_trap', message: 'first' });
  failures.request(first);
  const failure = { ...first.failure, message: 'second', lastHostcall: 'hostcall_debug' };
  failures.request({ ...first, failure } as typeof first);
  t.match(failures.list({})[0], { message: 'second', lastHostcall: 'hostcall_debug', count: 2 });
});

t.test('a report says what happened, without secrets', async (t) => {
  const failures = failuresOf();
  failures.request(recordOf({
    status: 500, code: 'guest_trap', message: 'unreachable executed', target: '/a?token=hunter2',
    headers: ['authorization', 'Bearer hunter2', 'cookie', 'id=hunter2', 'accept', 'text/html'],
  }));
  const [group] = failures.list({});
  const report = failures.get(group?.id ?? '');
  t.match(report, {
    tenant: 'local', app: 'app', version: 3, code: 'guest_trap', message: 'unreachable executed',
    backtrace: ['inner@0x12', 'outer@0x34'], lastHostcall: 'hostcall_resp_set_body', count: 1,
    samples: [{
      method: 'GET', status: 500, fuel: 12_345, fuelLimit: 1e9, memoryBytes: 131_072,
      memoryLimitBytes: 128e6, hostcalls: 3, runMs: 0.5, headers: [
        ['authorization', '[redacted]'], ['cookie', '[redacted]'], ['accept', 'text/html'],
      ],
    }],
  });
  t.notMatch(JSON.stringify(report), 'hunter2');
  t.equal(failures.get('000000000000'), null);
});

t.test('lines of the source are asked for once, and shown', async (t) => {
  const failures = failuresOf();
  const asked: (readonly number[])[] = [];
  const line = { source: 'src/lib.rs', line: 42, column: 7 };
  failures.connect(async (_version, offsets) => {
    asked.push(offsets);
    return [line, null];
  });
  for (let index = 0; index < 3; index += 1) {
    failures.request(recordOf({ status: 500, code: 'guest_trap' }));
  }
  await new Promise((done) => { setImmediate(done); });
  t.strictSame(asked, [[0x12, 0x34]]);
  const [group] = failures.list({});
  t.strictSame(group?.lines, [line, null]);
  t.equal(placeText('inner@0x12', line), 'inner at src/lib.rs:42:7 (0x12)');
  t.equal(placeText('outer@0x34', null), 'outer at 0x34');
});

t.test('one app cannot fill the store, and what goes is counted', async (t) => {
  const failures = failuresOf();
  failures.request(recordOf({ app: 'quiet', status: 500, code: 'guest_trap' }));
  for (let index = 0; index < 500; index += 1) {
    const backtrace = Array.from({ length: 100 }, (_, at) => `f${index}${'x'.repeat(500)}@${at}`);
    failures.request(recordOf({
      app: 'noisy', status: 500, code: 'guest_trap', backtrace, message: 'm'.repeat(100_000),
    }));
  }
  t.equal(failures.list({ app: 'noisy' }).length, 50);
  t.equal(failures.list({ app: 'quiet' }).length, 1);
  t.equal(failures.forgotten, 450);
  const [group] = failures.list({ app: 'noisy' });
  t.ok(JSON.stringify(group).length < 40_000, 'a report is bounded');
});

t.test('names of Rust are shown as they were written', async (t) => {
  const cases: [string, string][] = [
    ['_ZN4core9panicking9panic_fmt17h9ec1c8305a7da9aeE', 'core::panicking::panic_fmt'],
    ['_ZN10http_guest5panic28_$u7b$$u7b$closure$u7d$$u7d$17h4f0c5e2c6d0acae7E',
      'http_guest::panic::{{closure}}'],
    ['_ZN4core3ptr28drop_in_place$LT$$u5b$u8$u5d$$GT$17h0123456789abcdefE',
      '_ZN4core3ptr28drop_in_place$LT$$u5b$u8$u5d$$GT$17h0123456789abcdefE'],
    ['run', 'run'], ['_ZNE', '_ZNE'], ['_ZN99xE', '_ZN99xE'], ['_ZN1$E', '$'],
    ['_ZN5$u1b$E', '$u1b$'],
  ];
  for (const [name, expected] of cases) t.equal(demangle(name), expected);
  t.equal(frameText('_ZN1a1bE@0x1f'), 'a::b at 0x1f');
});

t.test('top makes rates and quantiles of two looks', async (t) => {
  t.equal(quantile([0, 10, 0], [0.001, 0.002], 0.5), 1.5);
  t.ok(Number.isNaN(quantile([0, 0], [1], 0.5)));
  t.equal(quantile([0, 0, 5], [0.001, 0.002], 0.99), 2);
  const app = (name: string, requests: number, traps: number) => ({
    tenant: 'local', app: name, version: 2, requests, serverErrors: traps, fuel: requests * 100,
    failures: { guest_trap: traps }, runSeconds: 1, memoryPeakBytes: 1e6, memoryLimitBytes: 1e8,
    subrequests: 0, kvOperations: 0, latency: [requests, 0, 0], versions: [],
  });
  const view = (atMs: number, apps: ReturnType<typeof app>[], startedAtMs = 1) =>
    ({
      atMs, startedAtMs, apps, buckets: [0.001, 0.01],
      node: { inFlight: 1, shed: 0, cpuSeconds: 1 },
    });
  const before = view(0, [app('a', 100, 0), app('b', 50, 0)]);
  const now = view(2_000, [app('a', 300, 100), app('b', 1_050, 0), app('back', 10_000, 0)]);
  const rates = ratesOf(now, before, 'rate');
  t.match(rates, [
    { app: 'b', rate: 500, failures: 0 },
    { app: 'a', rate: 100, failures: 50, failureShare: 0.5, reason: 'guest_trap', fuel: 10_000 },
  ]);
  t.equal(rates.length, 2, 'an app that has its row again brings old counts: not in this view');
  t.equal(ratesOf(now, before, 'failures')[0]?.app, 'a');
  const text = topText(now, before, 'rate', 24, 120);
  t.match(text, /TENANT +APP +VERSION +REQ\/S/);
  t.match(text, /local +a +2 +100\.0/);
  const restarted = ratesOf(view(3_000, [app('a', 5, 0)], 2), now, 'rate');
  t.equal(restarted[0]?.rate, 5, 'counters of a new daemon start anew');
});

t.test('top tells versions apart, and sums up tenants', async (t) => {
  const app = (tenant: string, name: string, one: number, two: number, peak: number) => ({
    tenant, app: name, version: 2, requests: one + two, serverErrors: 0, fuel: one * 10,
    versions: [
      { version: 1, requests: one, failures: 0 }, { version: 2, requests: two, failures: two / 2 },
    ],
    failures: { guest_trap: two / 2 }, runSeconds: 1, memoryPeakBytes: peak,
    memoryLimitBytes: 10 * peak, subrequests: 0, kvOperations: 0, latency: [one, two, 0],
  });
  const view = (atMs: number, apps: ReturnType<typeof app>[]) =>
    ({ atMs, startedAtMs: 1, apps, buckets: [0.001, 0.01], node: {} });
  const before = view(0, [app('acme', 'a', 0, 0, 1), app('acme', 'b', 100, 0, 1),
    app('globex', 'a', 500, 0, 1)]);
  const now = view(1_000, [app('acme', 'a', 90, 10, 5), app('acme', 'b', 400, 0, 3),
    app('globex', 'a', 500, 100, 1), app('acme', 'back', 9_000, 9_000, 1)]);
  t.match(ratesOf(now, before, 'rate').find(({ tenant, app: name }) =>
    tenant === 'acme' && name === 'a')?.versions,
  [{ version: 1, rate: 90, failures: 0 }, { version: 2, rate: 10, failures: 5 }]);
  t.match(topText(now, before, 'rate', 24, 160), /acme +a +1:90% 2:10% +100\.0/);
  const tenants = ratesOf(now, before, 'rate', 'tenant');
  t.match(tenants, [
    { tenant: 'acme', app: '2 apps', rate: 400, failures: 5, fuel: 3_900, memory: 5 },
    { tenant: 'globex', app: '1 app', rate: 100, failures: 50, reason: 'guest_trap' },
  ]);
  t.equal(tenants.length, 2);
  t.match(topText(now, before, 'failures', 24, 160, 'tenant'), /globex +1 app +100\.0/);
});
