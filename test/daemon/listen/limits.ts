/**
 * Conformance: sizes, counts and times, each with an answer that names the limit and its value.
 */

import { expectRefusal, readEcho, stage } from './suite.ts';
import type { Case, Suite, Test } from './suite.ts';
import { header, pause } from './raw.ts';

const POST = 'POST / HTTP/1.1\r\nHost: h\r\n';

async function headerBytes(t: Test, suite: Suite): Promise<void> {
  const { open, seen } = await stage(t, suite, { headerBytes: 8_000 });
  const ask = (bytes: number): string => {
    const start = 'GET / HTTP/1.1\r\nHost: h\r\nX-A: ';
    return `${start}${'a'.repeat(bytes - start.length - 4)}\r\n\r\n`;
  };
  const expected = { status: 431, code: 'headers_too_large', text: /more than 8000 bytes/ };
  for (const bytes of [8_200, 20_000, 60_000]) {
    const client = await open();
    client.write(ask(bytes));
    await expectRefusal(t, client, await client.response(), expected);
  }
  const target = await open();
  target.write(`GET /${'a'.repeat(9_000)} HTTP/1.1\r\nHost: h\r\n\r\n`);
  await expectRefusal(t, target, await target.response(), expected);
  t.equal(seen.length, 0);
  const client = await open();
  client.write(ask(7_900));
  t.equal(readEcho(await client.response()).headers[3]?.length, 7_900 - 34);
}

/** Far over the limit, in many pieces, and never finished: answered all the same. */
async function headerFlood(t: Test, suite: Suite): Promise<void> {
  const { open, seen } = await stage(t, suite, { headerBytes: 8_000 });
  const client = await open();
  client.write('GET / HTTP/1.1\r\nHost: h\r\n');
  for (let i = 0; i < 300 && !client.hasEnded; i += 1) {
    client.write(`X-A: ${'a'.repeat(1_000)}\r\n`);
    await pause(0);
  }
  const response = await client.response();
  t.equal(response.status, 431);
  if (suite.differs('header flood') === undefined) {
    const text = /more than 8000 bytes/;
    await expectRefusal(t, client, response, { status: 431, code: 'headers_too_large', text });
  }
  t.equal(seen.length, 0);
}

async function headerCount(t: Test, suite: Suite): Promise<void> {
  const { open } = await stage(t, suite, { headerCount: 50 });
  const client = await open();
  const ask = (count: number): string =>
    `GET / HTTP/1.1\r\nHost: h\r\n${'X-A: b\r\n'.repeat(count - 1)}\r\n`;
  client.write(ask(50));
  t.equal(readEcho(await client.response()).headers.length, 100);
  client.write(ask(51));
  const text = /more than 50 headers/;
  await expectRefusal(
    t, client, await client.response(), { status: 431, code: 'headers_too_large', text });
  const many = await open();
  many.write(ask(120));
  t.equal((await many.response()).status, 431, 'whoever answers');
}

const TOO_LARGE = { status: 413, code: 'body_too_large', text: /more than 1000 bytes/ };

async function bodyBytes(t: Test, suite: Suite): Promise<void> {
  const { open, seen } = await stage(t, suite, { bodyBytes: 1_000 });
  const whole = 'a'.repeat(1_000);
  const kept = await open();
  kept.write(`${POST}Content-Length: 1000\r\n\r\n${whole}`);
  t.equal(readEcho(await kept.response()).body?.length, 1_000, 'as much as is allowed');
  const chunked = await open();
  chunked.write(`${POST}Transfer-Encoding: chunked\r\n\r\n3e8\r\n${whole}\r\n0\r\n\r\n`);
  t.equal(readEcho(await chunked.response()).body?.length, 1_000, 'chunked, too');
  t.equal(seen.length, 2);

  const declared = await open();
  declared.write(`${POST}Content-Length: 1001\r\n\r\n`);
  await expectRefusal(t, declared, await declared.response(), TOO_LARGE);
  const sent = await open();
  sent.write(`${POST}Content-Length: 1001\r\n\r\n${whole}a`);
  await expectRefusal(t, sent, await sent.response(), TOO_LARGE);
  const pieces = await open();
  pieces.write(`${POST}Transfer-Encoding: chunked\r\n\r\n3e8\r\n${whole}\r\n`);
  await pause(20);
  pieces.write('1\r\na\r\n');
  await expectRefusal(t, pieces, await pieces.response(), TOO_LARGE);
  t.equal(seen.length, 2, 'none of these reached the handler');
}

/** A client that sends on although it was refused still gets the answer. */
async function bodyFlood(t: Test, suite: Suite): Promise<void> {
  const { open } = await stage(t, suite, { bodyBytes: 1_000 });
  const client = await open();
  client.write(`${POST}Content-Length: 4000000\r\n\r\n`);
  for (let i = 0; i < 40; i += 1) {
    client.write('a'.repeat(100_000));
    await pause(0);
  }
  const response = await client.response();
  t.equal(response.status, 413);
  t.match(response.body.toString(), /more than 1000 bytes/);
  await client.rest();
}

async function expectations(t: Test, suite: Suite): Promise<void> {
  const { open } = await stage(t, suite, { bodyBytes: 1_000 });
  const client = await open();
  client.write(`${POST}Expect: 100-continue\r\nContent-Length: 3\r\n\r\n`);
  await pause(50);
  client.write('abc');
  const response = await client.response();
  t.same(response.interim, [100]);
  t.equal(readEcho(response).body, 'abc');
  const large = await open();
  large.write(`${POST}Expect: 100-continue\r\nContent-Length: 1001\r\n\r\n`);
  const refusal = await large.response();
  const asked = suite.differs('100 before 413') === undefined ? [] : [100];
  t.same(refusal.interim, asked, 'a body that is too large is not asked for');
  await expectRefusal(t, large, refusal, TOO_LARGE);
  const other = await open();
  other.write('GET / HTTP/1.1\r\nHost: h\r\nExpect: miracles\r\n\r\n');
  t.equal((await other.response()).status, 200, 'an unknown expectation is none');
}

async function slowHeaders(t: Test, suite: Suite): Promise<void> {
  const { open, refusals } = await stage(t, suite, { headersTimeoutMs: 300 });
  const expected = { status: 408, code: 'request_timeout', text: /not complete after 300 ms/ };
  const half = await open();
  half.write('GET / HTTP/1.1\r\nHost: h\r\nX-A: ');
  await expectRefusal(t, half, await half.response(), expected);
  const drip = await open();
  const timer = setInterval(() => drip.write('a'), 30);
  drip.write('GET / HTTP/1.1\r\nHost: h\r\nX-A: ');
  const response = await drip.response();
  clearInterval(timer);
  t.equal(response.status, 408, 'a byte now and then does not help');
  t.equal(header(response, 'wardian-error'), 'request_timeout');
  t.equal(refusals.length, 2);
}

/** The second request of a connection: there is no telling it from idleness on every engine. */
async function slowSecondHeaders(t: Test, suite: Suite): Promise<void> {
  if (suite.differs('slow second headers') !== undefined) {
    t.pass('closed by the engine after about 10 s, without an answer');
    return;
  }
  const { open } = await stage(t, suite, { headersTimeoutMs: 300 });
  const client = await open();
  client.write('GET / HTTP/1.1\r\nHost: h\r\n\r\n');
  t.equal((await client.response()).status, 200);
  await pause(400);
  client.write('GET / HTTP/1.1\r\nHost: h\r\nX-A: ');
  const text = /not complete after 300 ms/;
  await expectRefusal(
    t, client, await client.response(), { status: 408, code: 'request_timeout', text });
}

async function slowBodies(t: Test, suite: Suite): Promise<void> {
  const { open, seen } = await stage(t, suite, { bodyTimeoutMs: 300 });
  const expected = { status: 408, code: 'request_timeout', text: /not complete after 300 ms/ };
  const half = await open();
  half.write(`${POST}Content-Length: 5\r\n\r\nab`);
  await expectRefusal(t, half, await half.response(), expected);
  const chunked = await open();
  chunked.write(`${POST}Transfer-Encoding: chunked\r\n\r\n5\r\nab`);
  await expectRefusal(t, chunked, await chunked.response(), expected);
  const drip = await open();
  drip.write(`${POST}Content-Length: 5000\r\n\r\n`);
  const timer = setInterval(() => drip.write('a'), 30);
  const response = await drip.response();
  clearInterval(timer);
  t.equal(response.status, 408, 'a byte now and then does not help');
  t.equal(seen.length, 0);
}

async function idleConnections(t: Test, suite: Suite): Promise<void> {
  const { open } = await stage(t, suite, { keepAliveTimeoutMs: 200 });
  if (suite.differs('idle connections') !== undefined) {
    t.pass('closed by the engine after about 10 s');
    return;
  }
  const client = await open();
  client.write('GET / HTTP/1.1\r\nHost: h\r\n\r\n');
  t.equal((await client.response()).status, 200);
  t.equal((await client.rest()).length, 0, 'closed without a word');
}

export const limitCases: readonly Case[] = [
  { name: 'header bytes', run: headerBytes },
  { name: 'header bytes without end', run: headerFlood },
  { name: 'header count', run: headerCount },
  { name: 'body bytes', run: bodyBytes },
  { name: 'body bytes without end', run: bodyFlood },
  { name: 'expectations', run: expectations },
  { name: 'slow headers', run: slowHeaders },
  { name: 'slow headers of a second request', run: slowSecondHeaders },
  { name: 'slow bodies', run: slowBodies },
  { name: 'idle connections', run: idleConnections },
];
