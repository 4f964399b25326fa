/**
 * Conformance: answers larger than any buffer, to clients that read slowly or not at all.
 */

import { createHash } from 'node:crypto';

import type { ResponseStream } from '../../../daemon/listen/listener.ts';
import { get, hashOf, MIB, noise, sip, until } from './bulk.ts';
import { header, pause } from './raw.ts';
import { stage } from './suite.ts';
import type { Case, Suite, Test } from './suite.ts';

async function largeBody(t: Test, suite: Suite): Promise<void> {
  const body = noise(64 * MIB);
  const expected = hashOf(body);
  const { open } = await stage(t, suite, {}, (request) => {
    request.respond({ status: 200, headers: [], body });
  });
  const client = await open();
  const before = process.memoryUsage().rss;
  client.socket.pause();
  client.write(get('/'));
  await pause(100);
  const grown = process.memoryUsage().rss - before;
  t.ok(grown < 32 * MIB, `the body is not copied while the client does not read: ${grown} bytes`);
  t.equal(await sip(client, body.length), expected);
  client.write(get('/'));
  t.equal(await sip(client, body.length), expected, 'and again on the same connection');
}

async function streamedBody(t: Test, suite: Suite, length: number | null): Promise<void> {
  const piece = noise(64 * 1024);
  const count = 512;
  const hash = createHash('sha256');
  for (let i = 0; i < count; i += 1) hash.update(piece);
  let sent = 0;
  const { open } = await stage(t, suite, {}, (request) => {
    const head = { status: 200, headers: ['x-a', 'b'], contentLength: length };
    const stream = request.respondStream(head);
    if (stream === null) throw new Error('no stream');
    stream.onDrain = () => pump(stream);
    pump(stream);
  });
  const pump = (stream: ResponseStream): void => {
    while (sent < count) {
      sent += 1;
      if (!stream.write(piece)) return;
    }
    stream.end();
  };
  const client = await open();
  client.socket.pause();
  client.write(get('/'));
  await pause(200);
  t.ok(sent * piece.length < 16 * MIB, `the writer is held back after ${sent} pieces`);
  if (length !== null) {
    t.equal(await sip(client, count * piece.length), hash.digest('hex'));
    return;
  }
  client.socket.resume();
  const response = await client.response();
  t.equal(header(response, 'transfer-encoding'), 'chunked');
  t.equal(header(response, 'x-a'), 'b');
  t.equal(createHash('sha256').update(response.body).digest('hex'), hash.digest('hex'));
}

async function smallStreams(t: Test, suite: Suite): Promise<void> {
  const { open } = await stage(t, suite, {}, (request) => {
    const contentLength = request.target === '/known' ? 6 : null;
    const stream = request.respondStream({ status: 200, headers: [], contentLength });
    stream?.write(Buffer.from('abc'));
    setTimeout(() => {
      stream?.write(Buffer.from('def'));
      stream?.end();
    }, 5);
  });
  const client = await open();
  for (const target of ['/known', '/unknown', '/known']) {
    client.write(get(target));
    t.equal((await client.response()).body.toString(), 'abcdef', target);
  }
  client.write('HEAD /known HTTP/1.1\r\nHost: h\r\n\r\n');
  t.equal(header(await client.response({ head: true }), 'content-length'), '6');
  client.write(get('/unknown'));
  t.equal((await client.response()).body.toString(), 'abcdef', 'in step after HEAD');
}

/** HTTP/1.0 knows no chunks: the end of the connection is the end of the body. */
async function oldStreams(t: Test, suite: Suite): Promise<void> {
  if (suite.differs('HTTP/1.0') !== undefined) {
    t.pass('HTTP/1.0 is not served');
    return;
  }
  const { open } = await stage(t, suite, {}, (request) => {
    const stream = request.respondStream({ status: 200, headers: [], contentLength: null });
    stream?.write(Buffer.from('abc'));
    setTimeout(() => (request.target === '/cut' ? stream?.destroy() : stream?.end()), 5);
  });
  const ask = (target: string): string =>
    `GET ${target} HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n`;
  const client = await open();
  client.write(ask('/'));
  const response = await client.response();
  t.equal(header(response, 'transfer-encoding'), undefined);
  t.equal(header(response, 'connection')?.toLowerCase(), 'close');
  t.equal(response.body.toString(), 'abc');
  const cut = await open();
  cut.write(ask('/cut'));
  await cut.response().catch(() => {});
  t.equal(cut.error, 'ECONNRESET', 'a cut body does not look like a whole one');
}

/** A stream whose request was pipelined behind another waits for its turn. */
async function waitingStreams(t: Test, suite: Suite): Promise<void> {
  if (suite.differs('pipelining') !== undefined) {
    t.pass('no pipelining');
    return;
  }
  const { open } = await stage(t, suite, {}, (request) => {
    if (request.target === '/first') {
      setTimeout(() => request.respond({ status: 200, headers: [], body: 'first' }), 50);
      return;
    }
    const contentLength = request.target === '/known' ? 6 : null;
    const stream = request.respondStream({ status: 200, headers: [], contentLength });
    if (stream === null) throw new Error('no stream');
    const rest = (): void => {
      stream.onDrain = null;
      stream.write(Buffer.from('def'));
      stream.end();
    };
    const goesOn = stream.write(Buffer.from('abc'));
    if (request.target === '/patient' && !goesOn) stream.onDrain = rest;
    else rest();
  });
  const client = await open();
  client.write(get('/first') + get('/known') + get('/unknown') + get('/patient') + get('/first'));
  t.equal((await client.response()).body.toString(), 'first');
  for (const target of ['/known', '/unknown', '/patient']) {
    t.equal((await client.response()).body.toString(), 'abcdef', target);
  }
  t.equal((await client.response()).body.toString(), 'first');
}

async function brokenStreams(t: Test, suite: Suite): Promise<void> {
  const { open } = await stage(t, suite, {}, (request) => {
    const contentLength = request.target.startsWith('/known') ? 6 : null;
    const stream = request.respondStream({ status: 200, headers: [], contentLength });
    stream?.write(Buffer.from('abc'));
    setTimeout(() => (request.target.endsWith('short') ? stream?.end() : stream?.destroy()), 20);
  });
  for (const target of ['/known', '/unknown', '/known-short']) {
    const client = await open();
    client.write(get(target));
    await t.rejects(client.response(), /ended/, `${target} cannot be mistaken for whole`);
  }
}

/** A client that does not read its answer is cut, and whoever waits for it is told. */
async function unreadResponses(t: Test, suite: Suite): Promise<void> {
  if (suite.differs('unread responses') !== undefined) {
    t.pass('closed by the engine after about 10 s');
    return;
  }
  const body = noise(16 * MIB);
  const { open, listener } = await stage(t, suite, { responseStallMs: 200 }, (request) => {
    request.respond({ status: 200, headers: [], body });
  });
  const client = await open();
  client.socket.pause();
  client.write(get('/'));
  await until('it is answered', () => listener.connections() === 1);
  await until('the connection is cut', () => listener.connections() === 0);
  t.pass('cut');
}

export const streamingCases: readonly Case[] = [
  { name: 'a large body for a slow reader', run: largeBody },
  { name: 'a stream of known length', run: (t, suite) => streamedBody(t, suite, 32 * MIB) },
  { name: 'a stream of unknown length', run: (t, suite) => streamedBody(t, suite, null) },
  { name: 'small streams', run: smallStreams },
  { name: 'streams to HTTP/1.0', run: oldStreams },
  { name: 'streams that wait for their turn', run: waitingStreams },
  { name: 'streams that break', run: brokenStreams },
  { name: 'unread responses', run: unreadResponses },
];
