/** What each example answers, to the byte: told of the committed modules and of rebuilt ones. */

import { inflateSync } from 'node:zlib';
import type { Test } from 'tap';

import { runGuest } from './host.ts';
import { Panic } from './hostcalls.ts';
import type { Answer, GuestRequest, SentRequest, UpstreamResponse, World } from './hostcalls.ts';

export type Behaviour = (t: Test, wasm: Uint8Array) => void;

const PLAIN = ['text/plain; charset=utf-8'];

function ask(
  wasm: Uint8Array,
  request: Partial<GuestRequest> = {},
  world: Partial<World> = {},
): Answer {
  return runGuest(wasm, { method: 'GET', path: '/', ...request }, { store: new Map(), ...world });
}

interface Expected {
  readonly status: number;
  readonly headers: Readonly<Record<string, readonly string[]>>;
  readonly body: string;
  readonly log?: readonly string[];
}

function matches(t: Test, answer: Answer, expected: Expected): void {
  t.equal(answer.status, expected.status);
  t.strictSame(Object.fromEntries(answer.headers), expected.headers);
  t.equal(answer.body.toString(), expected.body);
  t.strictSame(answer.log, expected.log ?? []);
}

const greets =
  (body: string): Behaviour =>
  (t, wasm) => {
    matches(t, ask(wasm), { status: 200, headers: { 'content-type': PLAIN }, body });
    const post = ask(wasm, { method: 'POST', path: '/a?b', body: Buffer.alloc(70_000, 'x') });
    matches(t, post, { status: 200, headers: { 'content-type': PLAIN }, body });
  };

interface Chunk {
  readonly name: string;
  readonly data: Buffer;
}

function pngChunks(png: Buffer): Chunk[] {
  const chunks: Chunk[] = [];
  for (let at = 8; at < png.length; ) {
    const length = png.readUInt32BE(at);
    const name = png.toString('latin1', at + 4, at + 8);
    chunks.push({ name, data: png.subarray(at + 8, at + 8 + length) });
    at += 12 + length;
  }
  return chunks;
}

const SIDE = 256;

const gradient: Behaviour = (t, wasm) => {
  const { status, headers, body } = ask(wasm);
  t.equal(status, 200);
  t.strictSame(Object.fromEntries(headers), { 'content-type': ['image/png'] });
  t.equal(body.toString('latin1', 0, 8), '\x89PNG\r\n\x1a\n');
  const [head, image, end] = pngChunks(body);
  t.same([head?.name, image?.name, end?.name], ['IHDR', 'IDAT', 'IEND']);
  t.equal(head?.data.toString('hex'), '00000100000001000802000000');
  // inflateSync checks the stream's checksum.
  const rows = inflateSync(image?.data ?? Buffer.alloc(0));
  const expected = Buffer.alloc(SIDE * (SIDE * 3 + 1));
  for (let y = 0; y < SIDE; y += 1) {
    for (let x = 0; x < SIDE; x += 1) {
      const pixel = [x, y, Math.min(255, Math.abs(SIDE - (x + y)))];
      expected.set(pixel, y * (SIDE * 3 + 1) + 1 + x * 3);
    }
  }
  t.ok(rows.equals(expected), 'every pixel is as computed');
};

const upstreamResponse = (
  body: string,
  more: Partial<UpstreamResponse> = {},
): UpstreamResponse => ({ status: 200, headers: new Map(), body: Buffer.from(body), ...more });

const proxy: Behaviour = (t, wasm) => {
  const sent: SentRequest[] = [];
  const upstream = (request: SentRequest): UpstreamResponse | null => {
    sent.push(request);
    if (request.url.includes('down.example')) return null;
    return upstreamResponse('teapot', {
      status: 418,
      headers: new Map([
        ['content-length', ['6']],
        ['set-cookie', ['a=1', 'b=\xe9']],
        ['transfer-encoding', ['chunked']],
        ['x-tea', ['green']],
      ]),
    });
  };
  const relayed = ask(wasm, { path: '/?url=http://tea.example:81/pot?a=1&b=2' }, { upstream });
  matches(t, relayed, {
    status: 418,
    headers: { 'set-cookie': ['a=1', 'b=\xe9'], 'x-tea': ['green'] },
    body: 'teapot',
  });
  t.match(sent[0], { method: 'GET', url: 'http://tea.example:81/pot?a=1&b=2' });
  const encoded = encodeURIComponent('http://tea.example/p?a=1&b=%C3%A9+');
  ask(wasm, { path: `/?url=${encoded}` }, { upstream });
  t.match(sent[1], { url: 'http://tea.example/p?a=1&b=%C3%A9+' });
  const headers = { 'content-type': PLAIN };
  matches(t, ask(wasm, { path: '/?url=http://down.example/' }, { upstream }), {
    status: 502,
    headers,
    body: 'http://down.example/ could not be fetched: the request failed\n',
  });
  matches(t, ask(wasm, { path: '/?url=%20' }, { upstream }), {
    status: 400,
    headers,
    body: '  is no URL: invalid uri character\n',
  });
  const usage = 'Usage: /?url=https://example.com/\n';
  matches(t, ask(wasm), { status: 400, headers, body: usage });
  const long = ask(wasm, { path: '/?url=http://big.example/' }, {
    upstream: () => upstreamResponse('x'.repeat(3_000_000)),
  });
  t.equal(long.body.length, 3_000_000);
};

const race: Behaviour = (t, wasm) => {
  const run = (a: UpstreamResponse | null, b: UpstreamResponse | null): Answer =>
    ask(wasm, { path: '/?b=http%3A%2F%2Fb.example%2F&a=http://a.example/&a=x' }, {
      upstream: ({ url }) => (url === 'http://a.example/' ? a : b),
    });
  const headers = { 'content-type': PLAIN };
  const slow = upstreamResponse('slow', { arrives: 9 });
  const fast = upstreamResponse('fast', { status: 404, arrives: 2 });
  const won = (name: string, status: string, body: string): Expected => ({
    status: 200, headers, body: `${name} won with status ${status}\n\n${body}`,
  });
  matches(t, run(slow, fast), won('b', '404 Not Found', 'fast'));
  matches(t, run(fast, slow), won('a', '404 Not Found', 'fast'));
  matches(t, run(null, slow), won('b', '200 OK', 'slow'));
  matches(t, run(slow, null), won('a', '200 OK', 'slow'));
  const neither = 'neither could be fetched: the request failed\n';
  matches(t, run(null, null), { status: 502, headers, body: neither });
  const usage = 'Usage: /?a=https://one.example/&b=https://other.example/\n';
  matches(t, ask(wasm), { status: 400, headers, body: usage });
};

const visits: Behaviour = (t, wasm) => {
  const store = new Map<string, Buffer>();
  const headers = { 'cache-control': ['no-store'], 'content-type': PLAIN };
  for (let number = 1; number <= 12; number += 1) {
    const body = `visit ${number}\n`;
    matches(t, ask(wasm, {}, { store }), { status: 200, headers, body });
  }
  // Another request took 13 and has not yet written `last`.
  store.set('taken-13', Buffer.alloc(0));
  matches(t, ask(wasm, {}, { store }), { status: 200, headers, body: 'visit 14\n' });
  store.set('last', Buffer.from('20000'));
  store.set('taken-10001', Buffer.alloc(0));
  matches(t, ask(wasm, {}, { store }), { status: 200, headers, body: 'visit 20001\n' });
  t.notOk(store.has('taken-10001'), 'numbers taken long ago are forgotten');
};

const notes: Behaviour = (t, wasm) => {
  const store = new Map<string, Buffer>();
  const at = (method: string, path: string, body = ''): Answer =>
    ask(wasm, { method, path, body: Buffer.from(body) }, { store });
  const headers = { 'content-type': PLAIN };
  matches(t, at('GET', '/milk'), { status: 404, headers, body: 'No note here\n' });
  matches(t, at('PUT', '/milk', 'two pints'), { status: 201, headers, body: 'Noted\n' });
  matches(t, at('PUT', '/empty'), { status: 201, headers, body: 'Noted\n' });
  matches(t, at('GET', '/milk'), { status: 200, headers, body: 'two pints' });
  matches(t, at('GET', '/empty'), { status: 200, headers, body: '' });
  matches(t, at('PUT', '/milk', 'three'), { status: 200, headers, body: 'Noted anew\n' });
  const large = 'm'.repeat(1_000_000);
  matches(t, at('PUT', '/large', large), { status: 201, headers, body: 'Noted\n' });
  matches(t, at('GET', '/large'), { status: 200, headers, body: large });
  matches(t, at('DELETE', '/milk'), { status: 200, headers, body: 'Forgotten\n' });
  matches(t, at('DELETE', '/milk'), { status: 404, headers, body: 'No note here\n' });
  matches(t, at('POST', '/milk'), {
    status: 405,
    headers: { allow: ['GET, PUT, DELETE'], ...headers },
    body: 'GET, PUT or DELETE a note\n',
  });
};

const echo: Behaviour = (t, wasm) => {
  const headers = new Map([['accept', ['text/html']], ['x-two', ['one', 'tw\xf6']]]);
  const answer = ask(wasm, {
    method: 'PUT', path: '/a?b=%20', headers, body: Buffer.from([0, 1, 255, 10]),
  });
  matches(t, answer, {
    status: 200,
    headers: { 'content-type': PLAIN },
    body: answer.body.toString(),
    log: ['echoing PUT /a?b=%20'],
  });
  t.equal(
    answer.body.toString('latin1'),
    'PUT /a?b=%20\naccept: text/html\nx-two: one\nx-two: tw\xf6\n\n\0\x01\xff\n',
  );
  matches(t, ask(wasm), {
    status: 200, headers: { 'content-type': PLAIN }, body: 'GET /\n\n', log: ['echoing GET /'],
  });
};

const panic: Behaviour = (t, wasm) => {
  t.throws(
    () => ask(wasm, { path: '/door?key=1' }),
    new Panic("panicked at 'nothing to see at /door', examples/panic/src/lib.rs:6:5"),
  );
  // Characters that no URL has must not be a panic of the SDK's.
  t.throws(() => ask(wasm, { path: '/<a>|"b"\u00e9' }), {
    message: /^panicked at 'nothing to see at \/%3Ca%3E%7C%22b%22%C3%A9', /,
  });
};

export const BEHAVIOURS: Readonly<Record<string, Behaviour>> = {
  hello: greets('Hello from Rust\n'),
  'hello-c': greets('Hello from C\n'),
  'hello-as': greets('Hello from AssemblyScript\n'),
  'hello-wat': greets('Hello from WebAssembly text\n'),
  gradient,
  proxy,
  race,
  visits,
  notes,
  echo,
  panic,
};
