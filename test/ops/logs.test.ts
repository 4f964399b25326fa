/** The log without a daemon: lines, redaction, sampling, the recent store, followers, guests. */

import t from 'tap';

import { AccessLog, accessLine, refusalLine, sampled } from '../../ops/access-log.ts';
import { sinceOf } from '../../ops/cli/logs.ts';
import { pick } from '../../ops/filter.ts';
import { Follower } from '../../ops/follow.ts';
import type { FollowOptions, LogEvent } from '../../ops/follow.ts';
import { GuestLog } from '../../ops/guest-log.ts';
import type { Log } from '../../ops/log.ts';
import { prettyLine } from '../../ops/pretty.ts';
import { RecentLines } from '../../ops/recent.ts';
import { REDACTED, Redaction } from '../../ops/redact.ts';
import { recordOf } from './record.ts';

const plain = new Redaction([]);

t.test('a request is one line of JSON with phases, usage, outcome and names', async (t) => {
  const line = accessLine(recordOf({ app: 'shop', requestId: 'r"1' }), plain);
  t.ok(line.endsWith('}\n'));
  t.equal(line.indexOf('\n'), line.length - 1);
  const entry = JSON.parse(line) as Record<string, unknown>;
  t.match(entry, {
    level: 30, kind: 'request', requestId: 'r"1', client: '192.0.2.1', method: 'GET',
    host: 'shop.localhost', target: '/a?b=1', status: 200, outcome: 'ok', tenant: 'local',
    app: 'shop', version: 3, totalMs: 0.7, routeMs: 0.01, queueMs: 0.02, respondMs: 0.07,
    instantiateUs: 60, runUs: 500, fuel: 12_345, memoryBytes: 131_072, mode: 'recycled',
    hostcalls: 3, subrequests: 1, dnsQueries: 1, kvOperations: 2, requestBytes: 10,
    subrequestMs: 12, subrequestFailures: 1, dnsMs: 4, kvMs: 3, transferMs: 0.04,
    responseBytes: 20, msg: 'request',
  });
  t.ok(Math.abs(Number(entry['time']) - Date.now()) < 60_000);
});

t.test('a failure says why and where', async (t) => {
  const failed = recordOf({ status: 500, code: 'guest_trap', message: 'a\u0007\n"b"' });
  const line = accessLine(failed, plain);
  t.equal(line.indexOf('\n'), line.length - 1, 'still one line');
  t.match(JSON.parse(line), {
    level: 40, outcome: 'failed', error: 'guest_trap', reason: 'a\u0007\n"b"',
    backtrace: ['inner@0x12', 'outer@0x34'], lastHostcall: 'hostcall_resp_set_body',
  });
  const refused = { ...recordOf({ status: 503, code: 'overloaded' }), usage: null, failure: null };
  t.match(JSON.parse(accessLine(refused, plain)), { outcome: 'refused' });
  t.match(JSON.parse(accessLine({ ...refused, code: 'client_closed', route: null }, plain)),
    { outcome: 'canceled' });
});

t.test('secrets do not get into a line', async (t) => {
  const target = '/a?token=hunter2&b=2&api%5fkey=hunter2&X-Signature=hunter2&plain';
  const line = accessLine(recordOf({ target }), plain);
  t.notMatch(line, 'hunter2');
  t.match(line, `/a?token=${REDACTED}&b=2&`);
  const strict = new Redaction(['client', 'query']);
  const entry = JSON.parse(accessLine(recordOf({ target }), strict)) as Record<string, unknown>;
  t.match(entry, { client: REDACTED, target: `/a?${REDACTED}` });
});

t.test('headers that are secrets by their name are taken out, long ones cut', async (t) => {
  const redaction = new Redaction(['X-Customer']);
  const secret = [
    'authorization', 'proxy-authorization', 'cookie', 'set-cookie', 'x-api-key', 'x-auth-token',
    'X-CSRF-Token', 'x-amz-security-token', 'x-session-id', 'x-client-secret', 'x-customer',
  ];
  const headers = secret.flatMap((name) => [name, 'hunter2']);
  const pairs = redaction.headers([...headers, 'referer', '/x?password=hunter2', 'accept',
    'a'.repeat(1_000), 'x-forwarded-for', '198.51.100.7']);
  t.notMatch(JSON.stringify(pairs), 'hunter2');
  t.equal(pairs.length, secret.length + 3);
  t.equal(pairs.find(([name]) => name === 'accept')?.[1].length, 257);
  t.match(JSON.stringify(pairs), '198.51.100.7');
  t.notMatch(JSON.stringify(new Redaction(['client']).headers(['x-forwarded-for', '198.51.100.7'])),
    '198.51');
});

t.test('sampling keeps its share, and the same requests everywhere', async (t) => {
  let kept = 0;
  for (let index = 0; index < 20_000; index += 1) {
    if (sampled(`QaS9LLzJzoFi-${index.toString(36)}`, 0.1)) kept += 1;
  }
  t.ok(kept > 1_700 && kept < 2_300, `${kept} of 20000 at 0.1`);
  t.ok(sampled('x', 1));
  t.notOk(sampled('x', 0));
  t.equal(sampled('abc', 0.5), sampled('abc', 0.5));
});

const lines = (from: number, count: number, app = 'a'): Buffer =>
  Buffer.from(Array.from({ length: count }, (_, index) =>
    `${JSON.stringify({ time: from + index, kind: 'request', app, status: 200 })}\n`).join(''));

t.test('recent lines are bounded by bytes, and say what is gone', async (t) => {
  const recent = new RecentLines(10_000);
  for (let batch = 0; batch < 50; batch += 1) recent.append(lines(batch * 10, 10));
  t.equal(recent.next, 501);
  const read = recent.read(1);
  t.ok(read.lost > 0);
  t.equal(read.first, recent.oldest);
  t.equal(read.lost, recent.oldest - 1);
  let next = recent.oldest;
  let seen = 0;
  while (next < recent.next) {
    const part = recent.read(next);
    t.equal(part.lost, 0);
    for (const [index, line] of part.lines.entries()) {
      t.equal((JSON.parse(line) as { time: number }).time, next + index - 1);
    }
    seen += part.lines.length;
    next = part.next;
  }
  t.equal(seen, 501 - recent.oldest);
  t.strictSame(recent.read(recent.next).lines, []);
});

const ALL = { filter: {}, follow: false, after: '', limit: Number.POSITIVE_INFINITY };

async function take(follower: Follower, options: Partial<FollowOptions>, count: number) {
  const stop = new AbortController();
  const events: LogEvent[] = [];
  for await (const event of follower.events({ ...ALL, signal: stop.signal, ...options })) {
    events.push(event);
    if (events.length === count) stop.abort();
  }
  return events;
}

t.test('a follower goes on where it stopped, and learns what it missed', async (t) => {
  const recent = new RecentLines(4_000);
  const follower = new Follower(recent, 'abcd');
  recent.append(lines(0, 5));
  const before = await take(follower, {}, 100);
  t.equal(before.length, 5);
  const after = before[2]?.cursor ?? '';
  const again = await take(follower, { after }, 100);
  t.strictSame(again.map((event) => 'line' in event && event.line.time), [3, 4]);
  for (let batch = 0; batch < 20; batch += 1) recent.append(lines(100 + batch * 10, 10));
  const late = await take(follower, { after }, 3);
  t.match(late[0], { reason: 'overrun' });
  t.ok('dropped' in (late[0] as object) && Number((late[0] as { dropped: number }).dropped) > 50);
  const other = await take(new Follower(recent, 'beef'), { after }, 2);
  t.match(other[0], { restarted: true }, 'another life of the daemon');
  t.match((await take(follower, { after: 'nonsense' }, 1))[0], { restarted: true });
});

t.test('a follower gets lines as they come, and ends when its reader goes', async (t) => {
  const recent = new RecentLines(100_000);
  const follower = new Follower(recent, 'abcd');
  recent.append(lines(0, 3));
  const events = take(follower, { follow: true, filter: { app: 'b' } }, 3);
  await new Promise((done) => { setTimeout(done, 20); });
  recent.append(lines(10, 2, 'a'));
  recent.append(lines(20, 2, 'b'));
  t.match(await events, [{ idle: true }, { line: { time: 20 } }, { line: { time: 21 } }]);
});

const timesOf = (events: readonly LogEvent[]): number[] =>
  events.flatMap((event) => ('line' in event ? [event.line.time] : []));

t.test('the past comes whole, and of a limited one the latest lines', async (t) => {
  const recent = new RecentLines(10_000_000);
  for (let batch = 0; batch < 12; batch += 1) {
    recent.append(lines(batch * 1_000, 1_000, batch % 2 === 0 ? 'a' : 'b'));
  }
  const follower = new Follower(recent, 'abcd');
  const all = await take(follower, {}, 20_000);
  t.equal(timesOf(all).length, 12_000);
  t.notOk(all.some((event) => 'dropped' in event));
  t.strictSame(timesOf(await take(follower, { limit: 3 }, 100)), [11_997, 11_998, 11_999]);
  const ofA = await take(follower, { limit: 1_002, filter: { app: 'a' } }, 5_000);
  t.strictSame(timesOf(ofA).slice(0, 3), [8_998, 8_999, 10_000], 'lines that are wanted');
  t.equal(timesOf(ofA).length, 1_002);
  t.equal(timesOf(await take(follower, { limit: 100, filter: { app: 'none' } }, 100)).length, 0);
  const after = all[9]?.cursor ?? '';
  t.strictSame(timesOf(await take(follower, { limit: 2, after }, 100)), [10, 11],
    'who goes on gets what comes next');
});

t.test('lines that come while the past is read do not keep it from ending', async (t) => {
  const recent = new RecentLines(1_000_000);
  recent.append(lines(0, 2_000));
  const stop = new AbortController();
  let count = 0;
  for await (const event of new Follower(recent, 'abcd').events({ ...ALL, signal: stop.signal })) {
    t.ok('line' in event);
    count += 1;
    recent.append(lines(5_000, 1));
  }
  t.equal(count, 2_000);
});

t.test('one reader gets so many live lines a second; the rest is told', async (t) => {
  const recent = new RecentLines(10_000_000);
  recent.append(lines(0, 7_000));
  const stop = new AbortController();
  let got = 0;
  let dropped = 0;
  const options = { ...ALL, follow: true, filter: { since: 0 }, signal: stop.signal };
  for await (const event of new Follower(recent, 'abcd').events(options)) {
    if ('idle' in event && got === 0) recent.append(lines(7_000, 12_000));
    if ('line' in event) got += 1;
    if ('dropped' in event) dropped += event.dropped;
    if (got + dropped === 19_000) stop.abort();
  }
  t.ok(got >= 12_000, `${got} lines: the past whole, and 5,000 a second of what came`);
  t.ok(dropped > 0);
});

t.test('filters pick lines', async (t) => {
  const line = JSON.stringify({
    time: 1_000, kind: 'request', app: 'a', tenant: 't', tenantId: 5,
    version: 2, status: 503, method: 'POST',
    outcome: 'failed', requestId: 'r1', target: '/x?q="y"',
  });
  const yes = [
    {}, { app: 'a' }, { tenant: 't' },
    { tenantId: 5 }, { kind: 'request' }, { status: '503' }, { status: '5xx' },
    { status: 'error' }, { status: 'failed' }, { method: 'post' }, { version: 2 },
    { search: 'q="y"' }, { since: 1_000 }, { until: 1_000 }, { samplingRate: 1 },
  ];
  const no = [
    { app: 'b' }, { tenant: 'u' },
    { tenantId: 6 }, { kind: 'guest' }, { status: '500' }, { status: '4xx' },
    { status: 'ok' }, { method: 'GET' }, { version: 1 }, { search: 'zzz' }, { since: 1_001 },
    { until: 999 }, { samplingRate: 0 },
  ];
  for (const filter of yes) t.ok(pick(line, filter), JSON.stringify(filter));
  for (const filter of no) t.notOk(pick(line, filter), JSON.stringify(filter));
  const guest = JSON.stringify({ time: 1, kind: 'guest', msg: '"app":"a"', app: 'b' });
  t.notOk(pick(guest, { app: 'a' }), 'what a guest says does not make it another app');
  t.notOk(pick(guest, { status: '200' }));
});

/** Takes lines like the log. */
function sink() {
  const taken: Record<string, unknown>[] = [];
  const add = (_kind: string, text: string): void => {
    for (const line of text.split('\n')) if (line !== '') taken.push(JSON.parse(line));
  };
  return { taken, log: { add } as unknown as Log };
}

t.test('what the listener refuses is a request line, redacted, and not one too many', async (t) => {
  const refusal = {
    code: 'bad_request' as const, status: 400, requestId: 'r', clientAddress: '192.0.2.7',
    message: 'a "bad"\nheader',
  };
  const line = refusalLine(refusal, 5, new Redaction(['client']));
  t.notMatch(line, '192.0.2.7');
  const entry = pick(line, { status: '400', kind: 'request' });
  t.match(entry, { client: REDACTED, outcome: 'refused', error: 'bad_request', time: 5 });
  t.ok(pick(line, { status: 'refused' }));
  t.match(prettyLine(line, false), /400 {2}refused by the listener .*bad_request: a "bad"/);
  t.notMatch(prettyLine(line, false), 'undefined');
  const { taken, log } = sink();
  let dropped = 0;
  const access = new AccessLog({ ...log, feed: () => {} } as unknown as Log, {
    sample: 1, redaction: plain, onSampled: () => {},
    onRefusalDropped: (lines) => { dropped += lines; },
  });
  for (let count = 0; count < 1_000; count += 1) access.refusal(refusal);
  t.equal(taken.length + dropped, 1_000);
  t.ok(taken.length >= 100 && taken.length <= 300, `${taken.length} lines`);
});

const NAMES = {
  tenantId: 1, tenantName: 'local', appId: 1, label: 'chatty', versionNumber: 2,
};

t.test("guests' lines are named, levelled, escaped, limited, and loss is said", async (t) => {
  const { taken, log } = sink();
  let dropped = 0;
  const guests = new GuestLog(log, {
    linesPerSecond: 10, onLines: () => {}, onDropped: (count) => { dropped += count; },
  });
  guests.connect((id) => (id === 7 ? NAMES : null));
  const line = (text: string, source: 'debug' | 'stdout' | 'stderr' | 'panic', versionId = 7) => ({
    atMs: Date.now(), versionId, requestId: 'r', source, text, cutBytes: 0,
  });
  guests.lines([line('a\u001b[2Jb', 'stdout'), line('x', 'stderr'), line('y', 'panic')]);
  t.match(taken, [
    { level: 30, kind: 'guest', tenant: 'local', app: 'chatty', version: 2, msg: 'a\\x1b[2Jb' },
    { level: 40 }, { level: 50 },
  ]);
  guests.lines([{ ...line('gone', 'debug', 99), cutBytes: 12 }]);
  t.match(taken.at(-1), { cutBytes: 12, app: undefined }, 'a version that nobody knows');
  for (let index = 0; index < 100; index += 1) guests.lines([line(String(index), 'debug')]);
  const kept = taken.length - 4;
  const before = taken.length;
  const droppedOfApp = dropped;
  for (let index = 0; index < 100; index += 1) guests.lines([line('x', 'debug', 98)]);
  t.ok(taken.length - before < 30, 'versions that nobody knows share what one app may');
  dropped = droppedOfApp;
  t.ok(kept >= 17 && kept < 30, `${kept} of 100 at once`);
  t.equal(dropped, 100 - kept);
  guests.close();
  t.match(taken.at(-1), { level: 40, app: 'chatty', dropped, source: 'wardian' });
});

t.test('lines for people do nothing to a terminal', async (t) => {
  const line = accessLine(recordOf({ target: '/\u001b[2J', app: 'a' }), plain);
  t.notMatch(prettyLine(line, false), '\u001b');
  t.match(prettyLine(line, false), /200 {2}GET a\.localhost\/\\x1b\[2J {2}a@3 {2}0\.7 ms/);
  const guest = JSON.stringify({ level: 50, time: 0, kind: 'guest', msg: '\u009bx', app: 'a' });
  t.match(prettyLine(guest, false), '\\x9bx');
  t.match(prettyLine('{"level":30,"time":0,"msg":"ready"}', false), 'ready');
});

t.test('spans and dates', async (t) => {
  t.equal(sinceOf('10m', 1_000_000), 400_000);
  t.equal(sinceOf('2024-01-01T00:00:00Z', 0), 1_704_067_200_000);
  t.throws(() => sinceOf('yesterday-ish', 0), /expected a span such as 10m/);
});
