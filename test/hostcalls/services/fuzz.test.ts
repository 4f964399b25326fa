/**
 * Time-boxed fuzzing of what parses bytes of strangers: DNS messages of guests and answers of
 * servers, and upstreams that write damaged HTTP. Nothing but typed errors may come out. The seed
 * is printed; WARDIAN_FUZZ_SEED repeats a run.
 */

import packet from 'dns-packet';
import t from 'tap';
import { DnsError } from '../../../hostcalls/services/errors.ts';
import {
  addressQuery,
  addressesOf,
  checkQuery,
  isAnswerTo,
  normalizeName,
} from '../../../hostcalls/services/dns/message.ts';
import { parseHosts } from '../../../hostcalls/services/dns/hosts.ts';
import { get, rawUpstream, reasonOf, recordA, scope, upstreamClient } from './support.ts';

const MS = 1_500;
const seed = Number(process.env['WARDIAN_FUZZ_SEED'] ?? Date.now() % 1_000_000_000);

/** Mulberry32: small, and the same everywhere. */
function generator(start: number): (below: number) => number {
  let state = start >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

function damaged(original: Buffer, random: (below: number) => number): Buffer {
  let bytes = Buffer.from(original);
  for (let count = random(6); count >= 0; count -= 1) {
    const at = random(bytes.length + 1);
    const kind = random(4);
    if (kind === 0 && at < bytes.length) bytes[at] = random(256);
    if (kind === 1) bytes = bytes.subarray(0, at);
    if (kind === 2) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(random(at + 1))]);
    if (kind === 3)
      bytes = Buffer.concat([
        bytes.subarray(0, at),
        Buffer.from([random(256)]),
        bytes.subarray(at),
      ]);
  }
  return bytes;
}

t.test(`DNS messages (seed ${seed})`, async (t) => {
  const random = generator(seed);
  const query = addressQuery('www.example.com', 'A', 4_711);
  const question = { type: 'A' as const, name: 'www.example.com' };
  const answer = packet.encode({
    type: 'response',
    id: 4_711,
    questions: [question],
    answers: [
      { type: 'CNAME', name: 'www.example.com', data: 'a.example.com', ttl: 9 },
      recordA('a.example.com', '192.0.2.1'),
      { type: 'TXT', name: 'a.example.com', data: ['x'] },
    ],
  });
  const until = performance.now() + MS;
  let runs = 0;
  const expectDnsErrors = (work: () => unknown): void => {
    try {
      work();
    } catch (error) {
      if (!(error instanceof DnsError)) t.fail(`run ${runs}: ${String(error)}`);
    }
  };
  for (; performance.now() < until; runs += 1) {
    const bad = damaged(answer, random);
    expectDnsErrors(() => isAnswerTo(query, bad));
    expectDnsErrors(() => isAnswerTo(bad, answer));
    expectDnsErrors(() => addressesOf(bad, 'www.example.com', 'A'));
    expectDnsErrors(() => checkQuery(damaged(query, random)));
    expectDnsErrors(() => normalizeName(bad.toString('latin1')));
    expectDnsErrors(() => parseHosts(bad.toString('latin1')));
  }
  t.ok(runs > 100, `${runs} runs`);
});

t.test(`upstreams (seed ${seed})`, async (t) => {
  const random = generator(seed);
  const good = [
    'HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx: y\r\nconnection: keep-alive\r\n\r\nhello',
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nt: u\r\n\r\n',
    'HTTP/1.1 103 Hints\r\nlink: x\r\n\r\nHTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n',
    'HTTP/1.1 302 Found\r\nlocation: /next\r\ncontent-length: 1\r\n\r\nx',
  ].map((text) => Buffer.from(text));
  const upstream = await rawUpstream(t, (socket) => {
    const bytes = damaged(good[random(good.length)] ?? Buffer.alloc(0), random);
    const at = random(bytes.length + 1);
    socket.write(bytes.subarray(0, at));
    setImmediate(() => {
      if (random(4) === 0) socket.write(bytes.subarray(at));
      else socket.end(bytes.subarray(at));
    });
  });
  const client = upstreamClient(t);
  const reasons = new Map<string, number>();
  const until = performance.now() + MS;
  let runs = 0;
  const one = async (): Promise<void> => {
    while (performance.now() < until) {
      runs += 1;
      const guest = scope({ subrequestMs: 100, subrequestBytes: 1_000 });
      const reason = await reasonOf(client.fetchUpstream(get(upstream.url), guest));
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
      guest.abort();
    }
  };
  await Promise.all(Array.from({ length: 8 }, one));
  t.comment([...reasons].join(' '));
  t.ok(runs > 20, `${runs} runs`);
  const expected = new Set([
    'no error',
    'protocol',
    'timeout',
    'too_large',
    'too_many_redirects',
    'denied_address',
    'dns',
    'connect',
    'too_many',
  ]);
  for (const reason of reasons.keys()) t.ok(expected.has(reason), reason);
});
