/**
 * Our parser against Node's, over sockets: requests are broken at random, sent to both cut at
 * random, and what the handlers saw is compared. Ours may refuse more; it may never see another
 * request than Node's does, nor one that Node's did not see.
 *
 * WARDIAN_TEST_FUZZ_SECONDS (default 4) and WARDIAN_TEST_SEED change how long and from where.
 */

import { METHODS } from 'node:http';
import { connect } from 'node:net';
import t from 'tap';

import { listen } from '../../../daemon/listen/listener.ts';
import type { EngineName, IncomingRequest, Listener } from '../../../daemon/listen/listener.ts';

const SECONDS = Number(process.env['WARDIAN_TEST_FUZZ_SECONDS'] ?? 4);
const SEED = Number(process.env['WARDIAN_TEST_SEED'] ?? Date.now() % 1_000_000_000);

/** mulberry32 */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x = (x + Math.imul(x ^ (x >>> 7), x | 61)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

const random = randomFrom(SEED);
const below = (n: number): number => Math.floor(random() * n);
const oneOf = <T>(list: readonly T[]): T => list[below(list.length)] as T;

const LINES = [
  'Host: h', 'Host: other:8080', 'Content-Length: 3', 'Content-Length: 0', 'Content-Length: 03',
  'Transfer-Encoding: chunked', 'transfer-encoding: Chunked', 'Connection: close', 'X-A: b',
  'Connection: keep-alive', 'X-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'Cookie: a=b', 'X-Empty:',
  'X-Request-Id: abc', 'Upgrade: websocket', 'X-High: \xe9\xff',
];
const STARTS = [
  'GET / HTTP/1.1', 'POST /a?b=c HTTP/1.1', 'HEAD /x HTTP/1.1', 'PUT /y HTTP/1.0',
  'OPTIONS * HTTP/1.1', 'GET http://abs/z HTTP/1.1', 'DELETE /%20 HTTP/1.1',
];
const BODIES = [
  '', 'abc', '3\r\nabc\r\n0\r\n\r\n', '0\r\n\r\n', '3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\n',
  '1\r\na\r\n2\r\nbc\r\n0\r\n\r\n',
];
const BREAKS = [
  '\r', '\n', '\r\n', ' ', '\t', '\0', ':', ';', ',', '0', '1', 'x', '\x7f', '\x80', '\xff', '\x0b',
  '\r\n\r\n', '\n\n', '\r\r\n', 'chunked', '3', '-', '+', '"', ' HTTP/1.1',
];

function makeRequest(): string {
  const lines = [oneOf(STARTS), 'Host: h'];
  for (let i = below(4); i > 0; i -= 1) lines.push(oneOf(LINES));
  const framing = below(3);
  if (framing === 1) lines.push('Content-Length: 3');
  if (framing === 2) lines.push('Transfer-Encoding: chunked');
  const plain = framing === 1 ? 'abc' : oneOf(['', '', 'abc']);
  const body = framing === 2 ? oneOf(BODIES.slice(2)) : plain;
  return `${lines.join('\r\n')}\r\n\r\n${body}`;
}

function breakUp(text: string): string {
  let broken = text;
  for (let i = below(3); i > 0; i -= 1) {
    const at = below(broken.length + 1);
    const cut = oneOf([0, 0, 1, 1, 2, 5]);
    broken = broken.slice(0, at) + oneOf([...BREAKS, '']) + broken.slice(at + cut);
  }
  return broken;
}

interface Side {
  readonly listener: Listener;
  seen: string[];
}

function show({ method, target, host, headers, body }: IncomingRequest): string {
  const text = body === null ? null : Buffer.from(body).toString('latin1');
  return JSON.stringify([method, target, host, headers, text]);
}

/** Node's parser knows a fixed list of methods, ours takes any token. */
function beforeUnknownMethod(seen: readonly string[]): readonly string[] {
  const at = seen.findIndex((text) => !METHODS.includes((JSON.parse(text) as string[])[0] ?? ''));
  return at < 0 ? seen : seen.slice(0, at);
}

/** What of `list` is not in `other`, each as often as it is there. */
function without(list: readonly string[], other: readonly string[]): string[] {
  const rest = [...other];
  return list.filter((item) => {
    const at = rest.indexOf(item);
    if (at >= 0) rest.splice(at, 1);
    return at < 0;
  });
}

async function openSide(engine: EngineName): Promise<Side> {
  const limits = { headersTimeoutMs: 2_000, bodyTimeoutMs: 2_000 };
  const options = { host: '127.0.0.1', port: 0, engine, limits, keepRequestIds: true };
  const side: { listener: Listener | null; seen: string[] } = { listener: null, seen: [] };
  side.listener = await listen(options, (request) => {
    side.seen.push(show(request));
    request.respond({ status: 200, headers: [], body: 'ok' });
  });
  return side as Side;
}

/** Sends the pieces and the end, and waits until the server has ended, too. */
function send(port: number, pieces: readonly Buffer[]): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  socket.on('error', () => socket.destroy());
  socket.on('close', () => resolve());
  socket.resume();
  let next = 0;
  const step = (): void => {
    const piece = pieces[next];
    next += 1;
    if (piece === undefined) socket.end();
    else socket.write(piece, () => setImmediate(step));
  };
  socket.on('connect', step);
  return promise;
}

function cutUp(bytes: Buffer): Buffer[] {
  const pieces: Buffer[] = [];
  let at = 0;
  while (at < bytes.length && pieces.length < 6) {
    const end = random() < 0.5 ? bytes.length : at + 1 + below(bytes.length - at);
    pieces.push(bytes.subarray(at, end));
    at = end;
  }
  if (at < bytes.length) pieces.push(bytes.subarray(at));
  return pieces;
}

const timeout = (SECONDS + 30) * 1_000;
t.setTimeout(timeout);

t.test(`seed ${SEED}`, { timeout }, async (child) => {
  const ours = await openSide('node:net');
  const theirs = await openSide('node:http');
  child.teardown(() => Promise.all([ours.listener.close(), theirs.listener.close()]));
  const end = performance.now() + SECONDS * 1_000;
  let cases = 0;
  let both = 0;
  while (performance.now() < end && child.passing()) {
    let text = breakUp(makeRequest());
    while (random() < 0.4) text += breakUp(makeRequest());
    const pieces = cutUp(Buffer.from(text, 'latin1'));
    ours.seen = [];
    theirs.seen = [];
    await Promise.all([
      send(ours.listener.address.port, pieces), send(theirs.listener.address.port, pieces),
    ]);
    cases += 1;
    both += ours.seen.length;
    const known = beforeUnknownMethod(ours.seen);
    // Not in order: Node hands over a request with a body after one without that came behind it.
    const invented = without(known, theirs.seen);
    if (invented.length > 0) {
      child.same(known, theirs.seen, `case ${cases}: ${JSON.stringify(text)}`);
    }
  }
  child.comment(`seed ${SEED}: ${cases} cases, ${both} requests seen alike`);
  child.ok(both > cases / 10, 'enough of them were requests');
});
