/** What outlives a restart: lines and failures, bounded, and nothing that was not written here. */

import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { Failures } from '../../ops/failures.ts';
import { loadKept, saveKept } from '../../ops/kept.ts';
import { RecentLines } from '../../ops/recent.ts';
import { Redaction } from '../../ops/redact.ts';
import { example, until } from '../e2e/world.ts';
import { startDaemon } from '../harness/daemon.ts';
import { recordOf } from './record.ts';

const failuresOf = () => new Failures(new Redaction([]));
const line = (number: number, padding = ''): string =>
  `${JSON.stringify({ level: 30, time: number, kind: 'request', padding })}\n`;

t.test('lines and failures come back as they were, and go on', async (t) => {
  const folder = t.testdir();
  t.strictSame(await loadKept(folder, () => true), {
    lines: Buffer.alloc(0), badLines: 0, failures: [], badFailures: 0, errors: [],
  }, 'a new folder');
  const failures = failuresOf();
  const trap = { status: 500, code: 'guest_trap' as const };
  failures.request(recordOf({ ...trap, app: 'a' }));
  failures.request(recordOf({ ...trap, app: 'a' }));
  failures.request(recordOf({ ...trap, app: 'b' }));
  const recent = new RecentLines(10_000_000);
  for (let number = 1; number <= 5_000; number += 1) recent.append(Buffer.from(line(number)));
  await saveKept(folder, { lines: recent.all(), failures: failures.list({}) });
  t.equal(statSync(join(folder, 'recent.log')).mode & 0o777, 0o600);
  const kept = await loadKept(folder, () => true);
  t.strictSame(kept.failures, failures.list({}));
  const again = failuresOf();
  again.restore(kept.failures);
  t.strictSame(again.list({}), failures.list({}));
  again.request(recordOf({ ...trap, app: 'a' }));
  t.equal(again.list({ app: 'a' })[0]?.count, 3, 'the same failure is counted on');
  const read = new RecentLines(10_000_000, 10_000);
  read.restore(kept.lines);
  t.equal(read.next - read.oldest, 5_000);
  t.ok(read.readBefore(read.next).lines.length < 5_000, 'in chunks');
  t.ok(read.all().equals(recent.all()));
});

t.test('both are bounded, the latest stay', async (t) => {
  const folder = t.testdir();
  const padding = 'x'.repeat(1_000);
  const lines = Buffer.from(
    Array.from({ length: 10_000 }, (_, number) => line(number, padding)).join(''));
  const failures = failuresOf();
  for (let index = 0; index < 2_000; index += 1) {
    const backtrace = Array.from({ length: 32 }, (_, at) => `f${index}${'y'.repeat(200)}@${at}`);
    failures.request(recordOf({ app: `app-${index}`, status: 500, code: 'guest_trap', backtrace }));
  }
  await saveKept(folder, { lines, failures: failures.list({}) });
  t.ok(statSync(join(folder, 'recent.log')).size <= 4 * 1_024 * 1_024);
  t.ok(statSync(join(folder, 'failures.json')).size <= 8 * 1_024 * 1_024);
  const kept = await loadKept(folder, () => true);
  t.match(JSON.parse(kept.lines.toString().trim().split('\n').at(-1) ?? ''), { time: 9_999 });
  t.match(JSON.parse(kept.lines.toString().split('\n')[0] ?? ''), { padding }, 'whole lines');
  t.ok(kept.failures.length > 100 && kept.failures.length < 2_000);
  t.strictSame(kept.failures[0], failures.list({})[0]);
});

t.test('lines of an earlier life come before those of this one, as many as fit', (t) => {
  const recent = new RecentLines(1_000_000, 1_000);
  recent.append(Buffer.from(line(3)));
  const cursor = recent.next;
  recent.restore(Buffer.from(line(1) + line(2)));
  recent.append(Buffer.from(line(4)));
  t.equal(recent.all().toString(), [1, 2, 3, 4].map((number) => line(number)).join(''));
  t.strictSame(recent.read(cursor).lines, [line(4).trim()], 'places stay');
  t.strictSame(recent.readBefore(recent.oldest + 2).lines.map((text) => text.length > 0),
    [true, true]);
  const padding = 'x'.repeat(70_000);
  const small = new RecentLines(150_000, 1_000);
  small.append(Buffer.from(line(9)));
  small.restore(Buffer.from([1, 2, 3].map((number) => line(number, padding)).join('')));
  t.match(small.all().toString().split('\n').map((text) => text.slice(0, 21)),
    ['{"level":30,"time":2,', '{"level":30,"time":3,', '{"level":30,"time":9,', '']);
  const full = new RecentLines(100, 1_000);
  full.append(Buffer.from(line(1)));
  full.append(Buffer.from(line(2, 'y'.repeat(50))));
  full.restore(Buffer.from(line(0)));
  t.notMatch(full.all().toString(), '"time":0', 'no gap');
  t.end();
});

t.test('a file that somebody else wrote is not taken, and the other one is', async (t) => {
  const cases: [string, string][] = [
    ['failures.json', '{'], ['failures.json', '{}'], ['recent.log', 'x'.repeat(5 * 1_024 * 1_024)],
  ];
  for (const [name, content] of cases) {
    const folder = t.testdir();
    const failures = failuresOf();
    failures.request(recordOf({ status: 500, code: 'guest_trap' }));
    await saveKept(folder, { lines: Buffer.from(line(1)), failures: failures.list({}) });
    writeFileSync(join(folder, name), content);
    const kept = await loadKept(folder, () => true);
    t.equal(kept.errors.length, 1, content.slice(0, 20));
    t.equal(kept.lines.length > 0, name !== 'recent.log');
    t.equal(kept.failures.length > 0, name !== 'failures.json');
  }
});

t.test('what is damaged in part loses that part, and it is counted', async (t) => {
  const folder = t.testdir();
  const failures = failuresOf();
  failures.request(recordOf({ status: 500, code: 'guest_trap' }));
  const good = failures.list({});
  await saveKept(folder, { lines: Buffer.alloc(0), failures: good });
  writeFileSync(join(folder, 'recent.log'), `${line(1)}no json\n{"time":"x"}\nnull\n${line(2)}`);
  writeFileSync(join(folder, 'failures.json'),
    JSON.stringify([{ id: '../../etc' }, ...good, null]));
  const kept = await loadKept(folder, () => true);
  t.equal(kept.lines.toString(), line(1) + line(2));
  t.strictSame(kept.failures, good);
  t.match(kept, { badLines: 3, badFailures: 2, errors: [] });
});

t.test('what is of an app that is gone, or of nobody knows whom, is left out', async (t) => {
  const folder = t.testdir();
  const failures = failuresOf();
  failures.request(recordOf({ status: 500, code: 'guest_trap', app: 'gone', appId: 8 }));
  failures.request(recordOf({ status: 500, code: 'guest_trap', app: 'here', appId: 9 }));
  const text = [
    { time: 1, appId: 8, tenant: 'a' }, { time: 2, appId: 9, tenant: 'a' }, { time: 3 },
    { time: 4, tenant: 'a', app: 'here' },
  ].map((one) => `${JSON.stringify(one)}\n`).join('');
  await saveKept(folder, { lines: Buffer.from(text), failures: failures.list({}) });
  const kept = await loadKept(folder, (appId) => appId === 9);
  t.strictSame(kept.failures.map(({ appId }) => appId), [9]);
  t.strictSame(kept.lines.toString().match(/"time":\d/g), ['"time":2', '"time":3']);
  t.match(kept, { badLines: 0, badFailures: 0, errors: [] });
  failures.removed(8);
  t.strictSame(failures.list({}).map(({ appId }) => appId), [9], 'when an app is deleted');
  t.equal(failures.forgotten, 0, 'nothing had to make room');
});

t.test('a tenant with the name of one that is gone inherits nothing', async (t) => {
  const data = t.testdir();
  const json = { 'content-type': 'application/json' };
  const first = await startDaemon({ data, flags: ['--threads', '1'] });
  const make = async (daemon: typeof first): Promise<string> => {
    await daemon.admin('POST', '/v1/tenants', { body: '{"name":"acme"}', headers: json });
    const { text } = await daemon.admin('POST', '/v1/tokens?tenant=acme', {
      body: '{"name":"ci","scope":"admin"}', headers: json,
    });
    return String((JSON.parse(text) as { secret: unknown }).secret);
  };
  const seen = async (daemon: typeof first, token: string): Promise<string> => {
    const headers = { authorization: `Bearer ${token}` };
    const { text } = await daemon.admin('GET', '/v1/failures', { headers });
    const ids = text.match(/(?<="id":")[0-9a-f]{12}/g) ?? [];
    return `${text}${(await daemon.admin('GET', '/v1/logs', { headers })).text}` +
      (await Promise.all(ids.map(async (id) =>
        (await daemon.admin('GET', `/v1/failures/${id}`, { headers })).text))).join('');
  };
  const old = await make(first);
  await first.admin('POST', '/v1/apps/panic/deploys', {
    body: example('panic'),
    headers: { 'content-type': 'application/wasm', 'wardian-tenant': 'acme' },
  });
  await first.ask('panic.localhost', '/of-the-first');
  await until('it is told', async () => (await seen(first, old)).includes('"samples"') &&
    (await seen(first, old)).includes('"target":"/of-the-first"'));
  await first.admin('DELETE', '/v1/tenants/acme');
  const later = await make(first);
  t.notMatch(await seen(first, later), /of-the-first|guest_panic/);
  t.notMatch((await first.admin('GET', '/v1/failures')).text, 'guest_panic');
  await first.stop();
  const second = await startDaemon({ data, flags: ['--threads', '1'] });
  t.teardown(() => second.stop());
  t.notMatch(await seen(second, later), /of-the-first|guest_panic/);
});

t.test('a daemon that is started again knows what happened before', async (t) => {
  const data = t.testdir();
  const first = await startDaemon({ data, flags: ['--threads', '1'] });
  await first.deploy('panic', example('panic'));
  await first.ask('panic.localhost', '/before');
  await first.stop();
  t.match(readFileSync(join(data, 'recent.log'), 'utf8'), '"target":"/before"');
  const second = await startDaemon({ data, flags: ['--threads', '1'] });
  t.teardown(() => second.stop());
  await until('the past is read', async () =>
    (await second.admin('GET', '/v1/failures')).text.includes('"code":"guest_panic"'));
  t.match((await second.admin('GET', '/v1/logs?search=/before')).text, '"target":"/before"');
});
