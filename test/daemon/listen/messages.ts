/**
 * Conformance: what a request becomes, and what an answer becomes on the wire.
 */

import { header, headerLines } from './raw.ts';
import { readEcho, stage } from './suite.ts';
import type { Case, Suite, Test } from './suite.ts';

async function wholeRequest(t: Test, suite: Suite): Promise<void> {
  const { open, seen } = await stage(t, suite);
  const client = await open();
  client.write('GET /a/b?c=d&e=%20 HTTP/1.1\r\nHost: Hello.LOCALHOST:8080\r\nX-One:  1 \r\n'
    + 'Cookie: a=1\r\nX-Empty:\r\nCOOKIE: b=2\r\nX-Tab: a\tb\r\n\r\n');
  const echo = readEcho(await client.response());
  t.same(echo, {
    method: 'GET',
    target: '/a/b?c=d&e=%20',
    host: 'hello.localhost:8080',
    headers: [
      'host', 'Hello.LOCALHOST:8080', 'x-one', '1', 'cookie', 'a=1', 'x-empty', '', 'cookie', 'b=2',
      'x-tab', 'a\tb',
    ],
    requestId: echo.requestId,
    clientAddress: '127.0.0.1',
    secure: false,
    body: null,
  });
  t.ok(Math.abs((seen[0]?.receivedAt ?? 0) - performance.now()) < 60_000, 'receivedAt is a time');
}

async function methods(t: Test, suite: Suite): Promise<void> {
  const { open } = await stage(t, suite);
  const client = await open();
  for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND']) {
    client.write(`${method} /x HTTP/1.1\r\nHost: h\r\n\r\n`);
    t.equal(readEcho(await client.response()).method, method);
  }
}

async function bodies(t: Test, suite: Suite): Promise<void> {
  const { open } = await stage(t, suite);
  const client = await open();
  const post = 'POST / HTTP/1.1\r\nHost: h\r\n';
  client.write(`${post}Content-Length: 4\r\n\r\na\x00\xffz`);
  t.equal(readEcho(await client.response()).body, 'a\x00\xffz', 'by length');
  client.write(`${post}Content-Length: 0\r\n\r\n`);
  t.equal(readEcho(await client.response()).body, null, 'length 0 is none');
  client.write(`${post}\r\n`);
  t.equal(readEcho(await client.response()).body, null, 'none');
  client.write(`GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc`);
  t.equal(readEcho(await client.response()).body, 'abc', 'of a GET');
  await client.writeSlowly(`${post}Content-Length: 11\r\n\r\nhello world`);
  t.equal(readEcho(await client.response()).body, 'hello world', 'byte by byte');
}

async function chunkedBodies(t: Test, suite: Suite): Promise<void> {
  const { open } = await stage(t, suite);
  const post = 'POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n';
  const large = 'x'.repeat(70_000);
  const cases: [string, string, string | null][] = [
    ['some chunks', '3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n', 'abc0123456789'],
    ['no chunk', '0\r\n\r\n', null],
    ['a large chunk', `${large.length.toString(16)}\r\n${large}\r\n0\r\n\r\n`, large],
    ['leading zeros', '0003\r\nabc\r\n000\r\n\r\n', 'abc'],
  ];
  for (const [name, bytes, expected] of cases) {
    const client = await open();
    client.write(post + bytes);
    t.equal(readEcho(await client.response()).body, expected, name);
    client.destroy();
  }
  const client = await open();
  await client.writeSlowly(`${post}3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n`);
  t.equal(readEcho(await client.response()).body, 'abc0123456789', 'byte by byte');
  const capital = await open();
  capital.write(post.replace('chunked', 'Chunked')).write('1\r\na\r\n0\r\n\r\n');
  t.equal(readEcho(await capital.response()).body, 'a', 'the coding in capitals');
}

async function chunkExtensions(t: Test, suite: Suite): Promise<void> {
  const { open } = await stage(t, suite);
  const post = 'POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n';
  const cases: [string, string][] = [
    ['extension', '3;a=b\r\nabc\r\n0;c\r\n\r\n'],
    ['quoted extension', '3;a="b;c"\r\nabc\r\n0\r\n\r\n'],
    ['trailer', '3\r\nabc\r\n0\r\nX-Trailer: y\r\n\r\n'],
  ];
  for (const [name, bytes] of cases) {
    const client = await open();
    client.write(post + bytes);
    if (suite.differs(`chunk ${name}`) === 'not understood') {
      // Whatever it takes the body for, nothing that follows may be taken for a request.
      client.write('GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n');
      client.socket.end();
      t.notMatch((await client.rest()).toString(), /smuggled/, name);
    } else {
      t.equal(readEcho(await client.response()).body, 'abc', name);
    }
    client.destroy();
  }
}

async function targets(t: Test, suite: Suite): Promise<void> {
  const { open } = await stage(t, suite);
  const cases: [string, string, string, string][] = [
    ['GET', '/', '/', 'h'],
    ['GET', '/?', '/?', 'h'],
    ['GET', '//a/../b;c=d?e?f', '//a/../b;c=d?e?f', 'h'],
    ['GET', 'http://Other:81/p?q', '/p?q', 'other:81'],
    ['GET', 'HTTP://other', '/', 'other'],
    ['GET', 'http://other?q', '/?q', 'other'],
    ['OPTIONS', '*', '*', 'h'],
  ];
  for (const [method, sent, target, host] of cases) {
    const client = await open();
    client.write(
      `${method} ${sent} HTTP/1.1\r\nX-Before: 1\r\nHost: h\r\nX-After: 2\r\n\r\n`);
    const response = await client.response();
    const differs = sent.startsWith('/') ? undefined : suite.differs('absolute form');
    if (differs === undefined) {
      const echo = readEcho(response);
      t.same([echo.target, echo.host], [target, host], `${method} ${sent}`);
      t.same(echo.headers, ['x-before', '1', 'host', host, 'x-after', '2'],
        'the guest sees the host that was routed');
    } else {
      t.equal(String(response.status), differs, `${method} ${sent}`);
    }
    client.destroy();
  }
}

async function oldVersion(t: Test, suite: Suite): Promise<void> {
  const { open } = await stage(t, suite);
  const client = await open();
  client.write('GET / HTTP/1.0\r\nHost: h\r\n\r\n');
  const differs = suite.differs('HTTP/1.0');
  const response = await client.response();
  if (differs !== undefined) {
    t.equal(String(response.status), differs);
    return;
  }
  t.equal(readEcho(response).host, 'h');
  t.equal((await client.rest()).length, 0, 'the connection ends with the answer');
  const kept = await open();
  for (let i = 0; i < 2; i += 1) {
    kept.write('GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n');
    const again = await kept.response();
    t.equal(again.status, 200, 'unless it is to be kept');
    t.equal(header(again, 'connection')?.toLowerCase(), 'keep-alive');
  }
}

async function highBytes(t: Test, suite: Suite): Promise<void> {
  const { open } = await stage(t, suite, {}, (request) => {
    const value = request.headers[request.headers.indexOf('x-high') + 1] as string;
    request.respond({ status: 200, headers: ['x-back', value, 'x-fixed', '\xe9\xff'], body: 'ü' });
  });
  const client = await open();
  client.write('GET / HTTP/1.1\r\nHost: h\r\nX-High: a\xe9\xc3\xa9z\r\n\r\n');
  const response = await client.response();
  if (suite.differs('high bytes in a request') === undefined) {
    t.equal(header(response, 'x-back'), 'a\xe9\xc3\xa9z', 'byte for byte, there and back');
    t.equal(header(response, 'x-fixed'), '\xe9\xff');
    t.equal(response.body.toString(), 'ü', 'a string body is UTF-8');
  } else {
    t.ok(response.status === 400 || header(response, 'x-fixed') === '\xe9\xff');
  }
}

async function writerIsSafe(t: Test, suite: Suite): Promise<void> {
  const { open } = await stage(t, suite, {}, (request) => {
    request.respond({
      status: 203,
      headers: [
        'X-Plain', 'a', 'set-cookie', 'a=1', 'set-cookie', 'b=2', 'Connection', 'upgrade',
        'keep-alive', 'timeout=1', 'transfer-encoding', 'chunked', 'content-length', '999',
        'upgrade', 'h2c', 'proxy-connection', 'x', 'te', 'x', 'trailer', 'x', 'date', 'yesterday',
        'x-request-id', 'forged', 'x-empty', '',
      ],
      body: Buffer.from('body'),
    });
  });
  const client = await open();
  client.write('GET / HTTP/1.1\r\nHost: h\r\nX-Request-Id: mine\r\n\r\n');
  const response = await client.response();
  t.equal(response.status, 203);
  t.equal(response.body.toString(), 'body');
  t.same(headerLines(response, 'set-cookie'), ['a=1', 'b=2'], 'cookies stay lines of their own');
  t.equal(header(response, 'x-plain'), 'a');
  t.equal(header(response, 'x-empty'), '');
  t.equal(header(response, 'content-length'), '4');
  t.equal(header(response, 'x-request-id'), 'mine');
  t.match(header(response, 'date'), / GMT$/);
  t.notMatch(header(response, 'connection') ?? '', /upgrade/i);
  for (const name of ['transfer-encoding', 'upgrade', 'proxy-connection', 'te', 'trailer']) {
    t.equal(header(response, name), undefined, `${name} is dropped`);
  }
  client.write('GET / HTTP/1.1\r\nHost: h\r\n\r\n');
  t.equal((await client.response()).status, 203, 'the connection is kept');
}

async function impossibleResponses(t: Test, suite: Suite): Promise<void> {
  const bad: [string, number, string[]][] = [
    ['CR LF', 200, ['x-a', 'b\r\nx-injected: 1']],
    ['LF', 200, ['x-a', 'b\nx-injected: 1']],
    ['NUL', 200, ['x-a', 'b\0']],
    ['more than a byte', 200, ['x-a', '\u0100']],
    ['CR LF in a name', 200, ['x-a: b\r\nx-injected', '1']],
    ['an empty name', 200, ['', '1']],
    ['a name without value', 200, ['x-a']],
    ['1xx', 101, []],
    ['status 99', 99, []],
    ['status 600', 600, []],
    ['half a status', 200.5, []],
  ];
  const { open } = await stage(t, suite, {}, (request) => {
    const [, status, headers] = bad[Number(request.target.slice(1))] as (typeof bad)[number];
    request.respond({ status, headers, body: 'secret' });
  });
  const client = await open();
  for (const [index, [name]] of bad.entries()) {
    client.write(`GET /${index} HTTP/1.1\r\nHost: h\r\n\r\n`);
    const response = await client.response();
    t.equal(response.status, 500, name);
    t.equal(header(response, 'wardian-error'), 'bad_response');
    t.equal(header(response, 'x-injected'), undefined);
    t.notMatch(response.body.toString(), /secret/);
  }
}

async function bodiless(t: Test, suite: Suite): Promise<void> {
  const { open } = await stage(t, suite, {}, (request) => {
    const status = Number(request.target.slice(1));
    request.respond({ status, headers: ['etag', '"x"'], body: status === 200 ? 'four' : 'none' });
  });
  const client = await open();
  for (const status of [204, 304]) {
    client.write(`GET /${status} HTTP/1.1\r\nHost: h\r\n\r\n`);
    const response = await client.response();
    t.equal(response.status, status);
    t.equal(header(response, 'etag'), '"x"');
    t.equal(header(response, 'content-length'), undefined);
    t.equal(header(response, 'transfer-encoding'), undefined);
  }
  client.write('HEAD /200 HTTP/1.1\r\nHost: h\r\n\r\n');
  const head = await client.response({ head: true });
  t.equal(header(head, 'content-length'), '4', 'HEAD tells the length of the body it leaves out');
  client.write('HEAD /204 HTTP/1.1\r\nHost: h\r\n\r\n');
  t.equal((await client.response({ head: true })).status, 204);
  client.write('GET /200 HTTP/1.1\r\nHost: h\r\n\r\n');
  t.equal((await client.response()).body.toString(), 'four', 'what follows is in step');
}

/** HEAD and 304 may tell the length of a body that is not sent with them. */
async function announcedLengths(t: Test, suite: Suite): Promise<void> {
  const { open } = await stage(t, suite, {}, (request) => {
    const [status, length, body] = request.target.slice(1).split(',');
    request.respond({
      status: Number(status),
      headers: ['x-a', 'b', ...(length === '' ? [] : ['Content-Length', String(length)])],
      body: body === '' ? null : String(body),
    });
  });
  const cases: [string, string, string | undefined][] = [
    ['HEAD', '/200,900,', '900'],
    ['HEAD', '/200,0,', '0'],
    ['HEAD', '/200,,', undefined],
    ['HEAD', '/200,900,four', '4'],
    ['HEAD', '/200,none,', undefined],
    ['HEAD', '/200,9007199254740993,', undefined],
    ['HEAD', '/204,900,', undefined],
    ['HEAD', '/304,900,', '900'],
    ['GET', '/304,900,', '900'],
    ['GET', '/304,900,four', '900'],
    ['GET', '/204,900,', undefined],
    ['GET', '/200,900,', '0'],
  ];
  const client = await open();
  for (const [method, target, expected] of cases) {
    client.write(`${method} ${target} HTTP/1.1\r\nHost: h\r\n\r\n`);
    const response = await client.response({ head: method === 'HEAD' });
    t.equal(header(response, 'content-length'), expected, `${method} ${target}`);
    t.equal(header(response, 'transfer-encoding'), undefined);
    t.equal(header(response, 'x-a'), 'b');
  }
}

async function requestIds(t: Test, suite: Suite): Promise<void> {
  const { open } = await stage(t, suite);
  const client = await open();
  const ask = async (line: string): Promise<string> => {
    client.write(`GET / HTTP/1.1\r\nHost: h\r\n${line}\r\n`);
    const response = await client.response();
    t.equal(readEcho(response).requestId, header(response, 'x-request-id'), 'echoed');
    return header(response, 'x-request-id') ?? '';
  };
  const longest = 'a'.repeat(128);
  for (const id of ['A-b_c.9', 'x', longest]) {
    t.equal(await ask(`X-Request-ID: ${id}\r\n`), id, 'kept');
  }
  for (const id of [`${longest}a`, 'a b', 'a"b', 'a,b', '<a>', '']) {
    const made = await ask(`x-request-id: ${id}\r\n`);
    t.not(made, id);
    t.match(made, /^[A-Za-z0-9._-]{8,128}$/, 'made');
  }
  const made = new Set<string>();
  for (let i = 0; i < 20; i += 1) made.add(await ask(''));
  t.equal(made.size, 20, 'no two alike');
}

export const messageCases: readonly Case[] = [
  { name: 'a request, whole', run: wholeRequest },
  { name: 'methods', run: methods },
  { name: 'bodies', run: bodies },
  { name: 'chunked bodies', run: chunkedBodies },
  { name: 'chunk extensions and trailers', run: chunkExtensions },
  { name: 'targets', run: targets },
  { name: 'HTTP/1.0', run: oldVersion },
  { name: 'bytes above ASCII', run: highBytes },
  { name: 'the writer drops what is not the response\'s to say', run: writerIsSafe },
  { name: 'responses that HTTP does not allow', run: impossibleResponses },
  { name: 'responses without body', run: bodiless },
  { name: 'announced lengths', run: announcedLengths },
  { name: 'request ids', run: requestIds },
];
