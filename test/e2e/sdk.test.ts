/**
 * Every function of every SDK through the real daemon: the guests that write a transcript of what
 * they got, deployed and asked over a socket, with a real DNS server, upstream and store.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import packet from 'dns-packet';
import type { Answer } from 'dns-packet';
import t from 'tap';
import type { Test } from 'tap';

import { exchangeRaw, headerLines } from '../daemon/listen/raw.ts';
import type { RawResponse } from '../daemon/listen/raw.ts';
import { buildEvery, QUERY, transcript } from '../guests/every.ts';
import type { Daemon } from '../harness/daemon.ts';
import { dnsReply, dnsServer, recordA } from '../hostcalls/services/support.ts';
import { ALLOW_LOOPBACK, startFor } from './world.ts';

// Compilers take their time, the more so on a busy machine.
t.setTimeout(480_000);

/** So that it is still under way when its guest has seen two others end. */
const LAST_AFTER_MS = 1_500;
const NAMES = 'host,accept,x-many,content-length,fastly-client-ip,x-fastly-client-ip';

const out = mkdtempSync(join(tmpdir(), 'wardian-sdk-'));
t.teardown(() => rmSync(out, { recursive: true, force: true }));

/** `/echo` answers what it was sent, `/5` late, everything else its own path. */
async function upstreamAnswer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const path = (request.url ?? '').slice(1);
  if (path === '5') await sleep(LAST_AFTER_MS);
  const sent = request.headersDistinct['x-sent'] ?? [];
  response.sendDate = false;
  response.writeHead(path === 'echo' ? 203 : path === '' ? 206 : 200, {
    'X-Up': ['a', 'b'], 'X-Other': 'c',
  });
  // In two pieces: chunked, so that no content-length is among the headers.
  response.write('');
  const text = path === '' ? `fetched by ${request.headers['user-agent']}` : path;
  response.end(path === 'echo'
    ? `${request.method} ${sent.join('+')} ${Buffer.concat(chunks).toString()}` : text);
}

async function openUpstream(t: Test): Promise<number> {
  const server = createServer((request, response) => {
    upstreamAnswer(request, response).catch((error: unknown) => response.destroy(error as Error));
  });
  server.listen(0, '127.0.0.1');
  await new Promise((done) => server.once('listening', done));
  t.teardown(() => {
    server.closeAllConnections();
    return new Promise((done) => server.close(done));
  });
  return (server.address() as AddressInfo).port;
}

function records(type: string, name: string): Answer[] | null {
  if (name === 'none.example' || name === 'down.example') return null;
  if (name !== 'two.example') return type === 'A' ? [recordA(name, '127.0.0.1')] : [];
  // Without a life: the next guest that asks gets the same bytes, not what is left of them.
  return type === 'A'
    ? [recordA(name, '192.0.2.1', 0), recordA(name, '192.0.2.255', 0)]
    : [{ type: 'AAAA', name, data: '101:101:101:101:101:101:101:101', ttl: 60 }];
}

const RAW = packet.encode(dnsReply(packet.decode(QUERY), records('A', 'two.example') ?? []));

/**
 * The module with another host in its URLs: one that leads to the test's upstream, port and all,
 * and is as long as the one that was compiled in.
 */
function leadTo(wasm: Buffer, host: string, port: number): Buffer {
  const end = `.me:${port}`;
  const other = 'u'.repeat(host.length - end.length) + end;
  const moved = Buffer.from(wasm);
  let found = 0;
  for (const encoding of ['latin1', 'utf16le'] as const) {
    const needle = Buffer.from(`http://${host}/`, encoding);
    for (let at = moved.indexOf(needle); at >= 0; at = moved.indexOf(needle, at + 1)) {
      moved.write(`http://${other}/`, at, encoding);
      found += 1;
    }
  }
  if (found === 0) throw new Error(`the guest has no URL of ${host}`);
  return moved;
}

async function call(daemon: Daemon, method: string, path: string, body: object | Buffer) {
  const isBytes = Buffer.isBuffer(body);
  const answer = await daemon.admin(method, path, {
    body: isBytes ? body : JSON.stringify(body),
    headers: { 'content-type': isBytes ? 'application/octet-stream' : 'application/json' },
  });
  if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
}

/** An app with the environment, the secrets and the namespace that the guests look for. */
async function deploy(daemon: Daemon, label: string, wasm: Buffer): Promise<void> {
  await daemon.deploy(label, wasm);
  await call(daemon, 'PATCH', `/v1/apps/${label}/env`, { LANG: 'de', EMPTY: '' });
  await call(daemon, 'PUT', `/v1/apps/${label}/secrets/KEY`, Buffer.of(0, 255, 7));
  await call(daemon, 'PUT', `/v1/apps/${label}/secrets/TEXT`, Buffer.from('text'));
  await call(daemon, 'POST', '/v1/namespaces', { name: `users-${label}` });
  await call(daemon, 'PUT', `/v1/apps/${label}/bindings/users`, { namespace: `users-${label}` });
}

const ask = (daemon: Daemon, label: string, method: string): Promise<RawResponse> => exchangeRaw(
  daemon.port,
  `${method} /p?q=1 HTTP/1.1\r\nHost: ${label}.localhost\r\nAccept: */*\r\nX-Many: one\r\n`
    + 'X-Many: two\r\nContent-Length: 5\r\n\r\nhello');

/** The transcript without what no test can know, and what that was. */
function settled(text: string): { text: string; seconds: number } {
  const [, seconds = '0'] = /^time (\d+)\.\d{9}$/m.exec(text) ?? [];
  return {
    seconds: Number(seconds),
    text: text
      .replace(/^time \d+\.\d{9}$/m, 'time now')
      .replace(/^random [0-9a-f]{16}$/m, 'random bits')
      .replace(/^(poll not ready\n)+/m, 'poll not ready\npoll not ready\n'),
  };
}

async function tellsAll(t: Test, daemon: Daemon, label: string): Promise<void> {
  const before = Date.now() / 1_000;
  const answer = await ask(daemon, label, 'PATCH');
  const { text, seconds } = settled(answer.body.toString());
  t.equal(text, transcript({
    names: NAMES, own: 'none', time: 'now', random: 'bits', raw: RAW,
  }));
  t.ok(seconds >= Math.floor(before) && seconds <= Date.now() / 1_000, 'the time is the time');
  t.equal(answer.status, 207);
  t.strictSame(headerLines(answer, 'x-list'), ['one', 'two']);
}

t.test('the SDKs', async (t) => {
  const dns = await dnsServer(t, ({ type, name }, query) => {
    const found = records(type, name);
    return dnsReply(query, found ?? [], found === null ? { flags: packet.RECURSION_AVAILABLE | 3 }
      : {});
  });
  const port = await openUpstream(t);
  const daemon = await startFor(t, {
    flags: [...ALLOW_LOOPBACK, '--threads', '1', '--dns-servers', dns.address],
  });
  for (const name of ['rust', 'c', 'c-wasi', 'assemblyscript'] as const) {
    await t.test(name, async (t) => {
      const wasm = await buildEvery(t, name, out);
      if (wasm === null) return;
      await deploy(daemon, name, leadTo(wasm, 'up.example', port));
      await tellsAll(t, daemon, name);
    });
  }
  await t.test('Rust as in 2018', async (t) => {
    const wasm = await buildEvery(t, 'legacy-rust', out);
    if (wasm === null) return;
    await daemon.deploy('legacy', leadTo(wasm, 'upstream.example', port));
    const answer = await ask(daemon, 'legacy', 'POST');
    t.match(answer.body.toString(), new RegExp(
      `^/p\\?q=1 ${NAMES} 206 fetched by legacy \\d{10} `
        + '[0-9a-f]{8} true 3 206 192\\.0\\.2\\.1,192\\.0\\.2\\.255$'));
    t.strictSame(headerLines(answer, 'content-type'), ['text/plain']);
    t.equal((await ask(daemon, 'legacy', 'PATCH')).status, 405);
  });
  t.equal(await daemon.stop(), 0);
});
