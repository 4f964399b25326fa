/** Outbound HTTP as guests use it: headers, bodies, reuse, limits, cancellation. Real sockets. */

import t from 'tap';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  get,
  httpUpstream,
  rawUpstream,
  reasonOf,
  scope,
  until,
  upstreamClient,
} from './support.ts';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

t.test('a request arrives as it was built, but for what belongs to the connection', async (t) => {
  let raw: string[] = [];
  let body = '';
  const upstream = await httpUpstream(t, (request, response) => {
    raw = request.rawHeaders;
    request.on('data', (data) => {
      body += data;
    });
    request.on('end', () => {
      response.writeHead(201, [
        'X-Twice',
        'one',
        'x-twice',
        'two',
        'Set-Cookie',
        'a=1',
        'Set-Cookie',
        'b=2',
        'Connection',
        'keep-alive, X-Private',
        'X-Private',
        'hidden',
        'X-Latin',
        'caf\u00e9',
        'Content-Encoding',
        'gzip',
        'Content-Length',
        '3',
      ]);
      response.end(Buffer.from([1, 2, 3]));
    });
  });
  const client = upstreamClient(t);
  const guest = scope();
  const answer = await client.fetchUpstream(
    {
      method: 'POST',
      url: `${upstream.url}/path?a=b%20c#fragment`,
      body: Buffer.from('hello'),
      headers: [
        'X-One',
        '1',
        'x-one',
        '2',
        'Host',
        'evil.example',
        'Content-Length',
        '999',
        'Transfer-Encoding',
        'chunked',
        'Connection',
        'close, X-Named',
        'X-Named',
        'gone',
        'TE',
        'trailers',
        'Upgrade',
        'h2c',
        'Keep-Alive',
        'timeout=9',
        'Proxy-Authorization',
        'secret',
        'Expect',
        '100-continue',
        'X-Bytes',
        '\u00e9\u00ff',
      ],
    },
    guest,
  );
  t.same(upstream.seen, ['POST /path?a=b%20c']);
  t.equal(body, 'hello');
  t.same(raw, [
    'host',
    `127.0.0.1:${upstream.port}`,
    'connection',
    'keep-alive',
    'x-one',
    '1',
    'x-one',
    '2',
    'x-bytes',
    '\u00e9\u00ff',
    'content-length',
    '5',
  ]);
  t.equal(answer.status, 201);
  t.same(answer.headers.slice(0, 12), [
    'x-twice',
    'one',
    'x-twice',
    'two',
    'set-cookie',
    'a=1',
    'set-cookie',
    'b=2',
    'x-latin',
    'caf\u00e9',
    'content-encoding',
    'gzip',
  ]);
  t.notOk(answer.headers.includes('connection'));
  t.notOk(answer.headers.includes('x-private'));
  t.same([...answer.body], [1, 2, 3], 'a body is never decoded');
  t.equal(answer.body.buffer.byteLength, 3, 'the body owns its buffer');
  t.equal(answer.url, `${upstream.url}/path?a=b%20c`);
  t.equal(guest.subrequests, 1);
  t.equal(guest.bytes, 3);
});

t.test('malformed requests are refused before anything is sent', async (t) => {
  const upstream = await httpUpstream(t, (_request, response) => response.end());
  const client = upstreamClient(t);
  const base = { method: 'GET', url: upstream.url, headers: [] as string[], body: null };
  const cases = [
    { ...base, method: 'CONNECT' },
    { ...base, method: 'connect' },
    { ...base, method: 'G T' },
    { ...base, method: '' },
    { ...base, method: 'A'.repeat(33) },
    { ...base, url: 'ftp://a/' },
    { ...base, url: '/relative' },
    { ...base, url: 'http://' },
    { ...base, url: 'file:///etc/passwd' },
    { ...base, url: `${upstream.url}/${'a'.repeat(20_000)}` },
    { ...base, url: 'http://a b/' },
    { ...base, headers: ['bad name', 'x'] },
    { ...base, headers: ['x', 'a\r\nb: c'] },
    { ...base, headers: ['x', 'a\0b'] },
    { ...base, headers: ['x', '\u0100'] },
    { ...base, headers: ['', 'x'] },
    { ...base, headers: ['x'] },
    { ...base, headers: Array.from({ length: 514 }, () => 'x') },
    { ...base, headers: ['x', 'a'.repeat(70_000)] },
    {
      ...base,
      headers: Array.from({ length: 20 }, (_, index) => (index % 2 ? 'a'.repeat(60_000) : 'x')),
    },
  ];
  for (const [index, request] of cases.entries()) {
    const guest = scope();
    t.equal(await reasonOf(client.open(request, guest)), 'bad_request', `case ${index}`);
    t.equal(guest.subrequests, 0);
  }
  t.same(upstream.seen, []);
  t.ok(client.isUrl('https://example.com/'));
  t.notOk(client.isUrl('gopher://example.com/'));
  t.ok(client.isMethod('PURGE'));
  t.notOk(client.isMethod('CONNECT'));
});

t.test('userinfo becomes basic authorization', async (t) => {
  const seen: (string | undefined)[] = [];
  const upstream = await httpUpstream(t, (request, response) => {
    seen.push(request.headers.authorization);
    response.end();
  });
  const client = upstreamClient(t);
  const url = upstream.url.replace('//', '//us%40er:pa%3Ass@');
  const answer = await client.fetchUpstream(get(url), scope());
  await client.fetchUpstream(get(url, ['Authorization', 'Bearer x']), scope());
  t.same(seen, [`Basic ${Buffer.from('us@er:pa:ss').toString('base64')}`, 'Bearer x']);
  t.equal(answer.url, `${upstream.url}/`);
});

t.test('connections are reused within a tenant and never between tenants', async (t) => {
  const upstream = await httpUpstream(t, (_request, response) => response.end('ok'));
  const client = upstreamClient(t);
  for (let turn = 0; turn < 5; turn += 1) await client.fetchUpstream(get(upstream.url), scope());
  // undici gives a connection a turn of the event loop before it is used again: two may alternate.
  const mine = upstream.connections;
  t.ok(mine <= 2, `${mine} connections`);
  await client.fetchUpstream(get(upstream.url), scope({}, 2));
  t.equal(upstream.connections, mine + 1);
  t.equal(client.pools.socketsOf(1), mine);
});

t.test('pools are bounded per tenant, and closed when idle', async (t) => {
  const upstream = await httpUpstream(t, (_request, response) => response.end('ok'));
  const client = upstreamClient(t, { idleMs: 100 });
  const guest = scope({ subrequests: 1_000 });
  for (let host = 1; host <= 120; host += 1) {
    await client
      .fetchUpstream(get(`http://127.0.0.${host}:${upstream.port}/`), guest)
      .catch((error: unknown) => t.match(error, { reason: 'connect' }));
  }
  t.ok(client.pools.size <= 100, `${client.pools.size} pools`);
  await until(() => client.pools.size === 0);
  await until(() => client.pools.socketsOf(1) === 0);
  t.equal(client.pools.socketsOf(1), 0);
});

t.test('a stale connection is replaced for an idempotent request, not for others', async (t) => {
  const methods: string[] = [];
  const upstream = await rawUpstream(t, (socket, count, received) => {
    const [method = ''] = received.split(' ');
    methods.push(`${count} ${method}`);
    // The first connection answers once, then resets on its second request.
    const second = methods.filter((line) => line.startsWith(`${count} `)).length > 1;
    if (second) socket.resetAndDestroy();
    else socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
  });
  const client = upstreamClient(t);
  await client.fetchUpstream(get(upstream.url), scope());
  // The connection is free again after a turn of the event loop.
  await sleep(10);
  const guest = scope();
  const again = await client.fetchUpstream(get(upstream.url), guest);
  t.equal(text(again.body), 'ok');
  t.equal(guest.subrequests, 1);
  await sleep(10);
  const post = { method: 'POST', url: upstream.url, headers: [], body: Buffer.from('x') };
  t.equal(await reasonOf(client.fetchUpstream(post, scope())), 'protocol');
  t.same(methods, ['1 GET', '1 GET', '2 GET', '2 POST']);
});

t.test('a guest may start so many requests and no more', async (t) => {
  const upstream = await httpUpstream(t, (_request, response) => response.end('ok'));
  const client = upstreamClient(t);
  const guest = scope({ subrequests: 2 });
  await client.fetchUpstream(get(upstream.url), guest);
  await client.fetchUpstream(get(upstream.url), guest);
  t.equal(await reasonOf(client.fetchUpstream(get(upstream.url), guest)), 'too_many');
  t.equal(guest.subrequests, 2);
  t.equal(upstream.seen.length, 2);
});

t.test('requests over the concurrency limit wait for their turn', async (t) => {
  let running = 0;
  let most = 0;
  const upstream = await httpUpstream(t, (_request, response) => {
    running += 1;
    most = Math.max(most, running);
    setTimeout(() => {
      running -= 1;
      response.end('ok');
    }, 10);
  });
  const client = upstreamClient(t);
  const guest = scope({ subrequestsConcurrent: 3 });
  const answers = await Promise.all(
    Array.from({ length: 12 }, () => client.fetchUpstream(get(upstream.url), guest)),
  );
  t.equal(answers.length, 12);
  t.equal(most, 3);
});

t.test('one that fails while it waits for its turn leaves the queue', async (t) => {
  const upstream = await httpUpstream(t, (request, response) => {
    if (request.url === '/fast') response.end('ok');
  });
  const client = upstreamClient(t);
  const guest = scope({ subrequestsConcurrent: 1 });
  const holds = new AbortController();
  const waits = new AbortController();
  const holder = client.open({ ...get(`${upstream.url}/hang`), signal: holds.signal }, guest);
  const waiter = client.open({ ...get(`${upstream.url}/never`), signal: waits.signal }, guest);
  const last = client.fetchUpstream(get(`${upstream.url}/fast`), guest);
  waits.abort();
  t.equal(await reasonOf(waiter), 'aborted');
  holds.abort();
  t.equal(await reasonOf(holder), 'aborted');
  t.equal(text((await last).body), 'ok');
  t.notOk(upstream.seen.includes('GET /never'));
});

t.test('bytes of all bodies together are limited, and cut off at once', async (t) => {
  let written = 0;
  const upstream = await httpUpstream(t, (request, response) => {
    if (request.url === '/declared') {
      response.writeHead(200, { 'content-length': 200_000 });
      response.flushHeaders();
      return;
    }
    const piece = Buffer.alloc(10_000);
    const more = (): void => {
      while (!response.destroyed && written < 50_000_000) {
        written += piece.length;
        if (!response.write(piece)) break;
      }
    };
    response.on('drain', more);
    more();
  });
  const client = upstreamClient(t);
  const guest = scope({ subrequestBytes: 100_000 });
  t.equal(await reasonOf(client.fetchUpstream(get(`${upstream.url}/endless`), guest)), 'too_large');
  t.ok(written < 50_000_000, `the upstream wrote ${written} bytes`);
  const declared = client.fetchUpstream(
    get(`${upstream.url}/declared`),
    scope({ subrequestBytes: 100_000 }),
  );
  t.equal(
    await reasonOf(declared),
    'too_large',
    'a declared length over the limit is not waited for',
  );
});

t.test('the limit counts the bodies of one guest together', async (t) => {
  const upstream = await httpUpstream(t, (_request, response) => response.end(Buffer.alloc(400)));
  const client = upstreamClient(t);
  const guest = scope({ subrequestBytes: 1_000 });
  await client.fetchUpstream(get(upstream.url), guest);
  await client.fetchUpstream(get(upstream.url), guest);
  t.equal(await reasonOf(client.fetchUpstream(get(upstream.url), guest)), 'too_large');
  const other = await client.fetchUpstream(get(upstream.url), scope({ subrequestBytes: 1_000 }));
  t.equal(other.body.length, 400, 'another guest has its own');
});

t.test('one time limit holds for head and body together', async (t) => {
  const upstream = await httpUpstream(t, (request, response) => {
    if (request.url === '/head') return;
    response.writeHead(200);
    const drip = setInterval(() => response.write('x'), 20);
    response.on('close', () => clearInterval(drip));
  });
  const client = upstreamClient(t);
  const slow = (path: string) =>
    client.fetchUpstream(get(upstream.url + path), scope({ subrequestMs: 200 }));
  t.equal(await reasonOf(slow('/head')), 'timeout');
  t.equal(await reasonOf(slow('/drip')), 'timeout');
});

t.test('a timeout while connecting is a timeout, too', async (t) => {
  // A resolver that never answers keeps the connection from being made.
  const client = upstreamClient(t, { dnsServers: ['127.0.0.1:1'] });
  const failing = client.open(get('http://slow.example/'), scope({ subrequestMs: 50 }));
  t.match(await reasonOf(failing), /^(timeout|dns)$/);
});

t.test('a guest that ends takes its requests with it', async (t) => {
  let closed = 0;
  const upstream = await httpUpstream(t, (request, response) => {
    request.socket.on('close', () => {
      closed += 1;
    });
    if (request.url === '/body') response.write('begin');
  });
  const client = upstreamClient(t);
  const guest = scope();
  const waiting = client.open(get(`${upstream.url}/head`), guest);
  const reading = await client.open(get(`${upstream.url}/body`), guest);
  t.equal(text((await reading.read()) ?? new Uint8Array()), 'begin');
  const rest = reading.read();
  await until(() => upstream.seen.length === 2);
  guest.abort();
  t.equal(await reasonOf(waiting), 'aborted');
  t.equal(await reasonOf(rest), 'aborted');
  await until(() => closed === 2);
  t.equal(await reasonOf(client.open(get(upstream.url), guest)), 'aborted');
  t.equal(upstream.seen.length, 2);
});

t.test('a body is read in pieces, and a slow reader holds the upstream back', async (t) => {
  const size = 4_000_000;
  let written = 0;
  const upstream = await httpUpstream(t, (_request, response) => {
    const piece = Buffer.alloc(40_000, 'p');
    const more = (): void => {
      while (written < size) {
        written += piece.length;
        if (!response.write(piece)) return;
      }
      response.end();
    };
    response.on('drain', more);
    more();
  });
  const client = upstreamClient(t);
  const guest = scope({ subrequestBytes: 10_000_000 });
  const exchange = await client.open(get(upstream.url), guest);
  await sleep(100);
  t.ok(guest.bytes <= 512 * 1024, `${guest.bytes} bytes came before the first read`);
  let total = 0;
  for (let piece = await exchange.read(); piece !== null; piece = await exchange.read()) {
    t.ok(piece.length > 0);
    total += piece.length;
  }
  t.equal(total, size);
  t.equal(await exchange.read(), null);
});

t.test('an exchange can be cancelled, and a finished one is not affected', async (t) => {
  let closed = false;
  const upstream = await httpUpstream(t, (request, response) => {
    if (request.url === '/full') {
      response.end('full');
      return;
    }
    request.socket.on('close', () => {
      closed = true;
    });
    response.write('begin');
  });
  const client = upstreamClient(t);
  const guest = scope({ subrequestsConcurrent: 1 });
  const exchange = await client.open(get(`${upstream.url}/endless`), guest);
  exchange.cancel();
  exchange.cancel();
  await until(() => closed);
  t.equal(await reasonOf(exchange.read()), 'aborted');
  const full = await client.open(get(`${upstream.url}/full`), guest);
  await sleep(20);
  full.cancel();
  guest.abort();
  t.equal(await reasonOf(full.read()), 'aborted', 'what was received is not kept');
});

t.test('HEAD, 204 and 304 have no body, whatever they declare', async (t) => {
  const upstream = await httpUpstream(t, (request, response) => {
    if (request.method === 'HEAD') response.writeHead(200, { 'content-length': 9_999_999_999 });
    else response.writeHead(request.url === '/204' ? 204 : 304);
    response.end();
  });
  const client = upstreamClient(t);
  const head = await client.open({ ...get(upstream.url), method: 'HEAD' }, scope());
  t.equal(head.declaredBytes, 9_999_999_999);
  t.equal(head.length, 0);
  t.equal(await head.read(), null);
  t.equal((await client.fetchUpstream(get(`${upstream.url}/204`), scope())).status, 204);
  t.equal((await client.fetchUpstream(get(`${upstream.url}/304`), scope())).status, 304);
});
