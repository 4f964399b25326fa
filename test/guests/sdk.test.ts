/**
 * Every function of every SDK against the in-test host: guests in Rust, C and AssemblyScript write
 * the same transcript of what they got.
 */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';

import { GUESTS } from '../../guests/build/example.ts';
import { assemble } from '../../guests/build/wat.ts';
import { buildEvery, QUERY, transcript } from './every.ts';
import { runGuest } from './host.ts';
import { TestStore } from './stores.ts';
import type { SentRequest, UpstreamResponse, World } from './hostcalls.ts';

// Compilers take their time, the more so on a busy machine.
t.setTimeout(480_000);

const out = mkdtempSync(join(tmpdir(), 'wardian-sdk-'));
t.teardown(() => rmSync(out, { recursive: true, force: true }));

/** `/echo` answers what it was sent; a number is when the response arrives. */
function upstream({ method, url, headers, body }: SentRequest): UpstreamResponse | null {
  if (url === 'http://down.example/') return null;
  const path = new URL(url).pathname.slice(1);
  const sent = `${method} ${(headers.get('x-sent') ?? []).join('+')} ${body.toString()}`;
  return {
    status: path === 'echo' ? 203 : 200,
    headers: new Map([['x-up', ['a', 'b']], ['x-other', ['c']]]),
    body: Buffer.from(path === 'echo' ? sent : path),
    arrives: Number(path) || 0,
  };
}

function ownStore(): TestStore {
  const own = new TestStore();
  own.put('k', Buffer.from('mine'), 0n);
  return own;
}

function world(): World {
  return {
    store: new Map(),
    upstream,
    seconds: 1_542_672_000n,
    nanoseconds: 5,
    random: () => 0xfedcba9876543210n,
    resolve: (name, ipv6) => {
      if (name !== 'two.example') return null;
      return ipv6 ? [Buffer.alloc(16, 1)] : [Buffer.of(192, 0, 2, 1), Buffer.of(192, 0, 2, 255)];
    },
    environment: new Map([['LANG', 'de'], ['EMPTY', '']]),
    secrets: new Map([['KEY', Buffer.of(0, 255, 7)], ['TEXT', Buffer.from('text')]]),
    namespaces: new Map([['', ownStore()], ['users', new TestStore()]]),
    resolveRaw: (query) => (query.length === 0 ? null : Buffer.concat([query, Buffer.of(255)])),
  };
}

const REQUEST = {
  method: 'PATCH',
  path: '/p?q=1',
  headers: new Map([['accept', ['*/*']], ['x-many', ['one', 'two']]]),
  body: Buffer.from('hello'),
};

const TRANSCRIPT = transcript({
  names: 'accept,x-many',
  own: 'mine 1',
  time: '1542672000.000000005',
  random: 'fedcba9876543210',
  raw: Buffer.concat([QUERY, Buffer.of(255)]),
});

function tellsAll(t: Test, wasm: Buffer, log: readonly string[]): void {
  const around = world();
  const answer = runGuest(wasm, REQUEST, around);
  t.equal(around.namespaces?.get('users')?.entries.get('k')?.ttlMs, 5_000n);
  t.equal(answer.body.toString(), TRANSCRIPT);
  t.equal(answer.status, 207);
  t.strictSame(Object.fromEntries(answer.headers), { 'x-list': ['one', 'two'] });
  t.strictSame(answer.log, log);
}

/** What is allocated is freed: a hundred more requests in the same instance need no more memory. */
function holdsOut(t: Test, wasm: Buffer): void {
  const request = { ...REQUEST, body: Buffer.alloc(2_000, 'h') };
  const few = runGuest(wasm, request, world(), 10).pages;
  t.equal(runGuest(wasm, request, world(), 110).pages, few);
}

t.test('the Rust SDK', async (t) => {
  const wasm = await buildEvery(t, 'rust', out);
  if (wasm === null) return;
  // Random bytes come eight at a time, the lowest first.
  tellsAll(t, wasm, [
    'refused', '1032547698badcfe103254', 'a line',
    'the host refused the response header x-long',
  ]);
  holdsOut(t, wasm);
  const strange = runGuest(wasm, {
    ...REQUEST, path: '/<\u00e9>?q="%20"', headers: new Map([['x-many', ['\xff\xfe']]]),
  }, world());
  t.match(strange.body.toString(), 'path /%3C%C3%A9%3E?q=%22%20%22\nnames x-many\nx-many fffe\n');
});

t.test('the Rust SDK with the types of http 0.1, as sources of 2018 want them', async (t) => {
  const wasm = await buildEvery(t, 'legacy-rust', out);
  if (wasm === null) return;
  const sent: SentRequest[] = [];
  let random = 0xfedcba9876543210n;
  const answer = runGuest(wasm, { ...REQUEST, method: 'POST' }, {
    ...world(),
    // A range is drawn until a number fits: one that never changes might never do.
    random: () => {
      const value = random;
      random = BigInt.asUintN(64, random + 0x9e3779b97f4a7c15n);
      return value;
    },
    upstream: (request) => {
      sent.push(request);
      return { status: 206, headers: new Map(), body: Buffer.from('fetched') };
    },
  });
  t.equal(answer.body.toString(), '/p?q=1 accept,x-many 206 fetched 1542672000 '
    + '76543210 true 3 206 192.0.2.1,192.0.2.255');
  t.strictSame(Object.fromEntries(answer.headers), { 'content-type': ['text/plain'] });
  t.strictSame([...(sent[0]?.headers ?? [])], [['user-agent', ['legacy']]]);
  t.equal(runGuest(wasm, REQUEST, world()).status, 405);
});

for (const name of ['c', 'c-wasi'] as const) {
  t.test(`the C header, ${name === 'c' ? 'freestanding' : 'with wasi-libc'}`, async (t) => {
    const wasm = await buildEvery(t, name, out);
    if (wasm === null) return;
    tellsAll(t, wasm, ['refused', 'fedcba9876543210000000', 'a line']);
    holdsOut(t, wasm);
  });
}

t.test('the AssemblyScript package', async (t) => {
  const wasm = await buildEvery(t, 'assemblyscript', out);
  if (wasm === null) return;
  tellsAll(t, wasm, ['refused', 'fedcba9876543210000000', 'a line']);
  holdsOut(t, wasm);
});

t.test('the WAT imports assemble, and are all of the hostcalls', async (t) => {
  const imports = readFileSync(join(GUESTS, 'wat', 'hostcalls.wat'), 'utf8');
  const wasm = await assemble('hostcalls.wat', `(module ${imports} (func (export "run")))`);
  const header = readFileSync(join(GUESTS, 'c', 'http_hostcalls.h'), 'utf8');
  const names = [...header.matchAll(/HOSTCALL\((hostcall_\w+)\)/g)].map((match) => match[1]);
  const found = WebAssembly.Module.imports(new WebAssembly.Module(wasm));
  t.strictSame(found.map(({ name }) => name).toSorted(), names.toSorted());
  t.equal(names.length, 49);
  t.ok(found.every(({ module, kind }) => module === 'env' && kind === 'function'));
});
