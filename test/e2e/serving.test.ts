/**
 * `wardian start` on real sockets: each example answers, hosts are routed, apps are rolled back,
 * given hosts of their own, and deleted; what guests log reaches the log.
 */

import { inflateSync } from 'node:zlib';
import t from 'tap';
import type { Test } from 'tap';

import type { Daemon, HttpAnswer } from '../harness/daemon.ts';
import {
  ALLOW_LOOPBACK, assemble, example, openUpstream, startFor, textGuest, until,
} from './world.ts';

const EXAMPLES = 11;
const PLAIN = 'text/plain; charset=utf-8';

/** Width, height and pixels of an 8-bit RGB PNG without interlace, whatever its filters. */
function pngPixels(png: Buffer): { width: number; height: number; rgb: Buffer } {
  const data: Buffer[] = [];
  let width = 0;
  let height = 0;
  for (let at = 8; at < png.length;) {
    const length = png.readUInt32BE(at);
    const name = png.toString('latin1', at + 4, at + 8);
    if (name === 'IHDR') {
      width = png.readUInt32BE(at + 8);
      height = png.readUInt32BE(at + 12);
    }
    if (name === 'IDAT') data.push(png.subarray(at + 8, at + 8 + length));
    at += 12 + length;
  }
  const raw = inflateSync(Buffer.concat(data));
  const stride = width * 3;
  const rgb = Buffer.alloc(stride * height);
  for (let y = 0; y < height; y += 1) {
    const filter = raw[y * (stride + 1)];
    for (let x = 0; x < stride; x += 1) {
      const left = x < 3 ? 0 : rgb[y * stride + x - 3] ?? 0;
      const up = y === 0 ? 0 : rgb[(y - 1) * stride + x] ?? 0;
      const before = [0, left, up, (left + up) >> 1][filter ?? 0];
      if (before === undefined) throw new Error(`PNG filter ${filter} is not known here`);
      rgb[y * stride + x] = ((raw[y * (stride + 1) + 1 + x] ?? 0) + before) & 255;
    }
  }
  return { width, height, rgb };
}

function gradientIsRight(t: Test, answer: HttpAnswer): void {
  t.equal(answer.headers['content-type'], 'image/png');
  const { width, height, rgb } = pngPixels(answer.body);
  t.strictSame([width, height], [256, 256]);
  const expected = Buffer.alloc(rgb.length);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      expected.set([x, y, Math.min(255, Math.abs(256 - (x + y)))], (y * width + x) * 3);
    }
  }
  t.ok(rgb.equals(expected), 'r=x, g=y, b=|256-(x+y)|');
}

async function answers(t: Test, daemon: Daemon): Promise<void> {
  const greetings: Record<string, string> = {
    hello: 'Hello from Rust\n',
    'hello-c': 'Hello from C\n',
    'hello-as': 'Hello from AssemblyScript\n',
    'hello-wat': 'Hello from WebAssembly text\n',
  };
  for (const [name, greeting] of Object.entries(greetings)) {
    const answer = await daemon.ask(`${name}.localhost:${daemon.port}`);
    t.equal(answer.status, 200, name);
    t.equal(answer.text, greeting);
    t.equal(answer.headers['content-type'], PLAIN);
    t.match(answer.headers['x-request-id'], /^.{8,}$/);
  }
  gradientIsRight(t, await daemon.ask('gradient.localhost'));
  t.equal((await daemon.ask('visits.localhost')).text, 'visit 1\n');
  t.equal((await daemon.ask('visits.localhost')).text, 'visit 2\n');
  const kept = await daemon.ask('notes.localhost', '/a', { method: 'PUT', body: 'remember' });
  t.ok(kept.status < 300, `PUT of a note: ${kept.status}`);
  t.equal((await daemon.ask('notes.localhost', '/a')).text, 'remember');
  t.equal((await daemon.ask('notes.localhost', '/b')).status, 404);
  const panic = await daemon.ask('panic.localhost');
  t.equal(panic.status, 500);
  t.equal(panic.headers['wardian-error'], 'guest_panic');
}

async function echoes(t: Test, daemon: Daemon): Promise<void> {
  const answer = await daemon.ask('echo.localhost', '/path?query=1', {
    method: 'POST',
    headers: {
      'x-twice': ['one', 'two'],
      'fastly-client-ip': '203.0.113.9',
      'x-request-id': 'kept-id_1',
    },
    body: 'the body',
  });
  t.equal(answer.status, 200);
  t.match(answer.text, /^POST \/path\?query=1\n/);
  t.match(answer.text, /\nx-twice: one\nx-twice: two\n/);
  t.match(answer.text, /\nfastly-client-ip: 127\.0\.0\.1\n/, 'the platform says who asks');
  t.notMatch(answer.text, '203.0.113.9');
  t.match(answer.text, /\n\nthe body$/);
  t.equal(answer.headers['x-request-id'], 'kept-id_1');
  await until('the guest\'s line is in the log', () =>
    daemon.log.some((line) => line['msg'] === 'echoing POST /path?query=1'
      && line['source'] === 'stdout' && line['requestId'] === 'kept-id_1'));
  const record = daemon.log.find((line) =>
    line['msg'] === 'request' && line['requestId'] === 'kept-id_1');
  t.match(record, {
    app: 'echo', version: 1, status: 200, method: 'POST', target: '/path?query=1',
    requestBytes: 8, client: '127.0.0.1', tenant: 'local',
  });
}

async function fetches(t: Test, daemon: Daemon): Promise<void> {
  const slow = await openUpstream(t, 'slow');
  const quick = await openUpstream(t, 'quick');
  quick.release();
  const proxied = await daemon.ask('proxy.localhost', `/?url=${quick.url}`);
  t.equal(proxied.text, 'quick');
  // The winner waits for the loser to be there: one that never arrived could not be cancelled.
  const winner = await openUpstream(t, 'quick');
  const racing = daemon.ask('race.localhost', `/?a=${slow.url}&b=${winner.url}`);
  await until('the slow one has been asked', () => slow.arrived() === 1);
  winner.release();
  const raced = await racing;
  t.equal(raced.status, 200);
  t.match(raced.text, 'quick');
  await until('the loser of the race was cancelled', () => slow.aborted() === 1);
}

async function refusesHosts(t: Test, daemon: Daemon): Promise<void> {
  for (const host of ['nobody.localhost', 'example.com', 'a.hello.localhost']) {
    const answer = await daemon.ask(host);
    t.equal(answer.status, 404, host);
    t.equal(answer.headers['wardian-error'], 'unknown_host');
    t.match(answer.text, `nothing is deployed for ${host}`);
  }
  t.equal((await daemon.ask('HELLO.localhost.')).status, 200, 'case and a last dot do not matter');
}

async function managesApps(t: Test, daemon: Daemon): Promise<void> {
  await daemon.deploy('shop', textGuest('one'));
  await daemon.deploy('shop', textGuest('two'));
  t.equal((await daemon.ask('shop.localhost')).text, 'two');
  const json = { headers: { 'content-type': 'application/json' } };
  const back = await daemon.admin('POST', '/v1/apps/shop/rollback', {
    ...json, body: JSON.stringify({ version: 1 }),
  });
  t.equal(back.status, 200);
  t.equal((await daemon.ask('shop.localhost')).text, 'one');
  t.equal((await daemon.ask('shop.example.com')).status, 404);
  t.equal((await daemon.admin('PUT', '/v1/apps/shop/hosts/shop.example.com')).status, 200);
  t.equal((await daemon.ask('shop.example.com')).text, 'one');
  t.equal((await daemon.admin('DELETE', '/v1/apps/shop/hosts/shop.example.com')).status, 200);
  t.equal((await daemon.ask('shop.example.com')).status, 404);
  await daemon.admin('PUT', '/v1/apps/shop/hosts/shop.example.com');
  t.equal((await daemon.admin('DELETE', '/v1/apps/shop')).status, 204);
  t.equal((await daemon.ask('shop.localhost')).status, 404);
  t.equal((await daemon.ask('shop.example.com')).status, 404);
  await daemon.deploy('shop', textGuest('anew'));
  t.equal((await daemon.ask('shop.localhost')).text, 'anew');
}

async function refusesModules(t: Test, daemon: Daemon): Promise<void> {
  await daemon.deploy('kept', textGuest('old'));
  const cases: [Uint8Array, string, RegExp][] = [
    [Buffer.from('no module at all'), 'not_wasm', /not a WebAssembly module/],
    [
      assemble('(module (import "env" "hostcall_fly" (func)) (import "sea" "swim" (func))'
        + ' (func (export "run")))'),
      'unknown_import', /"hostcall_fly" is not provided; "sea" "swim" is not provided/,
    ],
    [assemble('(module (func (export "start")))'), 'missing_export', /run/],
    [assemble('(module (memory 1))').subarray(0, 12), 'malformed_module', /./],
  ];
  for (const [module, code, message] of cases) {
    const last = (await daemon.tryDeploy('kept', module)).at(-1);
    t.equal(last?.stage, 'failed', code);
    t.equal(last?.error?.code, code);
    t.match(last?.error?.message, message);
    t.equal((await daemon.ask('kept.localhost')).text, 'old', 'the version before serves');
  }
}

async function survivesRestart(t: Test, before: Daemon, data: string): Promise<void> {
  t.equal(await before.stop(), 0);
  const daemon = await startFor(t, { data });
  t.equal((await daemon.ask('hello.localhost')).text, 'Hello from Rust\n');
  t.equal((await daemon.ask('visits.localhost')).text, 'visit 3\n');
  t.equal((await daemon.ask('notes.localhost', '/a')).text, 'remember');
  t.equal((await daemon.ask('shop.localhost')).text, 'anew');
  t.equal(await daemon.stop(), 0);
}

t.test('a started daemon', async (t) => {
  const data = t.testdir();
  const daemon = await startFor(t, { command: 'start', flags: ALLOW_LOOPBACK, data });
  await until('the examples are deployed', () =>
    daemon.log.some((line) => String(line['msg']).startsWith('deploy your own')));
  const urls = daemon.log.map((line) => String(line['msg']))
    .filter((text) => /^http:\/\/[a-z-]+\.localhost:\d+\/ /.test(text));
  t.equal(urls.length, EXAMPLES, 'it prints the URL of each example');
  await t.test('answers with every example', (t) => answers(t, daemon));
  await t.test('hands the request over and logs what the guest prints', (t) => echoes(t, daemon));
  await t.test('lets guests fetch', (t) => fetches(t, daemon));
  await t.test('says which host is not known', (t) => refusesHosts(t, daemon));
  await t.test('rolls back, adds hosts, deletes', (t) => managesApps(t, daemon));
  await t.test('refuses modules that cannot serve', (t) => refusesModules(t, daemon));
  await t.test('answers as before after a restart', (t) => survivesRestart(t, daemon, data));
});

t.test('a daemon of an operator has no sandbox and reaches nothing private', async (t) => {
  const upstream = await openUpstream(t);
  const daemon = await startFor(t);
  await daemon.deploy('proxy', example('proxy'));
  const denied = await daemon.ask('proxy.localhost', `/?url=${upstream.url}`);
  t.equal(denied.status, 502);
  t.equal(upstream.arrived(), 0);
  const sandbox = await daemon.ask('localhost', '/deploy', { method: 'POST', body: '{}' });
  t.equal(sandbox.status, 404);
  t.equal(await daemon.stop(), 0);
});
