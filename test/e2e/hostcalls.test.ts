/**
 * Exact bytes through the real daemon: guests that make hostcalls and then answer with their own
 * memory, all of it that they and the host have written to.
 */

import packet from 'dns-packet';
import t from 'tap';
import type { Test } from 'tap';

import type { Daemon } from '../harness/daemon.ts';
import { assemble, HEAP, stepsText, u32 } from '../hostcalls/guest.ts';
import type { Data, Step } from '../hostcalls/guest.ts';
import { dnsReply, dnsServer, recordA } from '../hostcalls/services/support.ts';
import { QUERY } from '../guests/every.ts';
import { ALLOW_LOOPBACK, openUpstream, startFor, until } from './world.ts';

/** Above what the bump allocator hands out here. */
const END = HEAP + 512;
/** Where the host writes an address and, behind it, a length. */
const OUT = 96;
const NOT_READY = -2n;

interface Ran {
  readonly memory: Buffer;
  readonly results: readonly bigint[];
}

async function run(
  daemon: Daemon, label: string, steps: readonly Step[], segments: Data,
): Promise<Ran> {
  await daemon.deploy(label, assemble(stepsText(steps, { segments, answersTo: END })));
  const answer = await daemon.ask(`${label}.localhost`);
  if (answer.status !== 200) throw new Error(`${label}: ${answer.text}`);
  return {
    memory: answer.body.subarray(0, END),
    results: steps.map((_, index) => answer.body.readBigInt64LE(END + 8 * index)),
  };
}

/** All of the memory is as it was, but for `changes`. */
function memoryIs(t: Test, { memory }: Ran, segments: Data, changes: Data): void {
  const expected = Buffer.alloc(END, '?');
  for (const [at, content] of [...Object.entries(segments), ...Object.entries(changes)]) {
    expected.set(typeof content === 'string' ? Buffer.from(content, 'latin1') : content,
      Number(at));
  }
  t.equal(memory.toString('latin1'), expected.toString('latin1'));
}

async function store(t: Test, daemon: Daemon): Promise<void> {
  const segments = { 128: 'key', 200: 'a\0b' };
  const ran = await run(daemon, 'append', [
    ['hostcall_kvstore_append', 128, 3, 200, 3],
    ['hostcall_kvstore_append', 128, 3, 200, 2],
    ['hostcall_kvstore_get', OUT, OUT + 4, 128, 3],
    ['hostcall_kvstore_remove', 128, 3],
    ['hostcall_kvstore_get', OUT + 8, OUT + 12, 128, 3],
  ], segments);
  t.strictSame(ran.results, [1n, 0n, 1n, 1n, 0n]);
  memoryIs(t, ran, segments, { [OUT]: u32(HEAP, 5, 0, 0), [HEAP]: 'a\0ba\0\0' });
}

async function time(t: Test, daemon: Daemon): Promise<void> {
  const before = Date.now();
  const ran = await run(daemon, 'time', [['hostcall_time_now', OUT]], {});
  const nanoseconds = ran.memory.readUInt32LE(OUT);
  const [seconds = 0n] = ran.results;
  const milliseconds = Number(seconds) * 1_000 + nanoseconds / 1_000_000;
  t.ok(milliseconds >= before - 1 && milliseconds <= Date.now() + 1, String(milliseconds));
  memoryIs(t, ran, {}, { [OUT]: u32(nanoseconds) });
}

async function names(t: Test, daemon: Daemon): Promise<void> {
  const raw = packet.encode(dnsReply(packet.decode(QUERY), records('A', 'two.example') ?? []));
  const segments = { 128: 'two.example', 160: 'none.example', 192: QUERY };
  const ran = await run(daemon, 'names', [
    ['hostcall_dns_query_ip', OUT, OUT + 4, 128, 11, 0],
    ['hostcall_dns_query_ip', OUT + 8, OUT + 12, 160, 12, 0],
    ['hostcall_dns_query_raw', OUT + 16, OUT + 20, 192, QUERY.length],
    ['hostcall_dns_query_raw', OUT + 24, OUT + 28, 192, 3],
  ], segments);
  t.strictSame(ran.results, [1n, 0n, 1n, 0n]);
  memoryIs(t, ran, segments, {
    [OUT]: u32(HEAP, 2, 0, 0, HEAP + 48, raw.length, 0, 0),
    [HEAP]: u32(HEAP + 16, 4, HEAP + 32, 4),
    [HEAP + 16]: [192, 0, 2, 1, 0],
    [HEAP + 32]: [192, 0, 2, 255, 0],
    [HEAP + 48]: [...raw, 0],
  });
}

async function pending(t: Test, daemon: Daemon): Promise<void> {
  const upstream = await openUpstream(t, 'late');
  const segments = { 128: 'GET', 144: upstream.url };
  const released = (async () => {
    await until('the request is there', () => upstream.held() > 0);
    upstream.release();
  })();
  const ran = await run(daemon, 'pending', [
    ['hostcall_req_create', 128, 3, 144, upstream.url.length],
    ['hostcall_req_send_async', { result: 0 }],
    ['hostcall_pending_req_poll', { result: 1 }],
    ['hostcall_pending_req_wait', { result: 1 }],
    ['hostcall_resp_get_response_code', { result: 3 }],
    ['hostcall_resp_get_body', OUT, OUT + 4, { result: 3 }],
    ['hostcall_pending_req_poll', { result: 1 }],
  ], segments);
  await released;
  t.equal(ran.results[2], NOT_READY);
  t.equal(ran.results[4], 200n);
  t.equal(ran.results[6], -1n, 'it was consumed');
  memoryIs(t, ran, segments, { [OUT]: u32(HEAP, 4), [HEAP]: 'late\0' });
}

function records(type: string, name: string) {
  if (name !== 'two.example') return null;
  return type === 'A' ? [recordA(name, '192.0.2.1'), recordA(name, '192.0.2.255')] : [];
}

t.test('exact bytes over sockets', async (t) => {
  const dns = await dnsServer(t, ({ type, name }, query) => {
    const found = records(type, name);
    return dnsReply(query, found ?? [], found === null ? { flags: 3 } : {});
  });
  const daemon = await startFor(t, {
    flags: [...ALLOW_LOOPBACK, '--threads', '1', '--dns-servers', dns.address],
  });
  await t.test('the key-value store', (t) => store(t, daemon));
  await t.test('the time', (t) => time(t, daemon));
  await t.test('names', (t) => names(t, daemon));
  await t.test('a request that is not done', (t) => pending(t, daemon));
  t.equal(await daemon.stop(), 0);
});
