/**
 * Conformance: connections, one request after the other or many at once, and clients that go away.
 */

import { connect } from 'node:net';

import { listen } from '../../../daemon/listen/listener.ts';
import type { IncomingRequest } from '../../../daemon/listen/listener.ts';
import { get, until } from './bulk.ts';
import { header, openRaw, pause } from './raw.ts';
import { echo, readEcho, respondEcho, stage } from './suite.ts';
import type { Case, Suite, Test } from './suite.ts';

async function keepAlive(t: Test, suite: Suite): Promise<void> {
  const { open, listener } = await stage(t, suite);
  const client = await open();
  for (const target of ['/1', '/2', '/3']) {
    client.write(get(target));
    t.equal(readEcho(await client.response()).target, target);
  }
  t.equal(listener.connections(), 1);
  for (const value of ['close', 'Close', 'foo, close', 'close, foo']) {
    const last = await open();
    last.write(`GET / HTTP/1.1\r\nHost: h\r\nConnection: ${value}\r\n\r\n`);
    const response = await last.response();
    t.equal(response.status, 200);
    if (suite.differs('connection: close is not repeated') === undefined) {
      t.equal(header(response, 'connection')?.toLowerCase(), 'close', value);
    }
    t.equal((await last.rest()).length, 0, `ended after ${value}`);
  }
  client.destroy();
  await until('connections are forgotten', () => listener.connections() === 0);
}

/** Requests in one segment, answered in the wrong order. */
async function pipelining(t: Test, suite: Suite): Promise<void> {
  const held: IncomingRequest[] = [];
  let aborts = 0;
  const { open } = await stage(t, suite, {}, (request) => {
    request.onAbort = () => { aborts += 1; };
    held.push(request);
    if (held.length === 4) for (const one of held.toReversed()) respondEcho(one);
  });
  const client = await open();
  client.write(get('/1') + get('/2')
    + 'POST /3 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc' + get('/4'));
  if (suite.differs('pipelining') === 'closes') {
    t.equal((await client.rest()).length, 0, 'the connection is closed');
    await until('the request is aborted', () => aborts === 1);
    return;
  }
  for (const target of ['/1', '/2', '/3', '/4']) {
    const seen = readEcho(await client.response());
    t.equal(seen.target, target);
    t.equal(seen.body, target === '/3' ? 'abc' : null);
  }
  t.equal(aborts, 0);
}

async function answeredAtOnce(t: Test, suite: Suite): Promise<void> {
  const { open } = await stage(t, suite, {}, respondEcho);
  const client = await open();
  client.write(get('/1') + get('/2') + get('/3'));
  for (const target of ['/1', '/2', '/3']) {
    t.equal(readEcho(await client.response()).target, target);
  }
}

async function manyPipelined(t: Test, suite: Suite): Promise<void> {
  if (suite.differs('pipelining') === 'closes') {
    t.pass('see pipelining');
    return;
  }
  const { open } = await stage(t, suite);
  const client = await open();
  client.write(Array.from({ length: 500 }, (_, i) => get(`/${i}`)).join(''));
  for (let i = 0; i < 500; i += 1) {
    const { target } = readEcho(await client.response());
    if (target !== `/${i}`) t.fail(`answer ${i} is of ${target}`);
  }
  t.pass('500 answers in order');
}

async function aborts(t: Test, suite: Suite): Promise<void> {
  const aborted: string[] = [];
  const { open, seen } = await stage(t, suite, {}, (request) => {
    request.onAbort = () => { aborted.push(request.target); };
  });
  const gone = await open();
  gone.write(get('/reset'));
  await until('it is with the handler', () => seen.length === 1);
  gone.socket.resetAndDestroy();
  await until('the handler is told', () => aborted.length === 1);
  const left = await open();
  left.write(get('/destroyed'));
  await until('it is with the handler', () => seen.length === 2);
  left.destroy();
  await until('the handler is told', () => aborted.length === 2);
  for (const request of seen) {
    request.respond({ status: 200, headers: [], body: 'late' });
    t.equal(request.respondStream({ status: 200, headers: [], contentLength: 1 }), null);
  }
  const half = await open();
  half.write('POST /half HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab');
  await pause(30);
  half.destroy();
  await pause(30);
  t.same(aborted, ['/reset', '/destroyed'], 'each once');
  t.equal(seen.length, 2, 'half a request never reached the handler');
}

/** `nc -N`, for one: the client sends its request and ends its half. */
async function halfClosed(t: Test, suite: Suite): Promise<void> {
  const aborted: string[] = [];
  const { open, seen } = await stage(t, suite, { halfClosedMs: 400 }, (request) => {
    request.onAbort = () => { aborted.push(request.target); };
    if (request.target !== '/slow') setTimeout(() => respondEcho(request), 20);
  });
  const fast = await open();
  fast.write(get('/fast'));
  fast.socket.end();
  if (suite.differs('half-closed clients') !== undefined) {
    t.equal((await fast.rest()).length, 0);
    return;
  }
  t.equal(readEcho(await fast.response()).target, '/fast', 'it is answered');
  t.equal((await fast.rest()).length, 0, 'and that is the end');
  const two = await open();
  two.write(get('/1') + get('/2'));
  two.socket.end();
  for (const target of ['/1', '/2']) t.equal(readEcho(await two.response()).target, target);
  t.equal((await two.rest()).length, 0);
  const slow = await open();
  slow.write(get('/slow'));
  slow.socket.end();
  t.equal((await slow.rest()).length, 0, 'a guest that takes longer is not waited for');
  await until('the handler is told', () => aborted.length === 1);
  t.same(aborted, ['/slow']);
  const half = await open();
  half.write('POST /half HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab');
  half.socket.end();
  t.equal((await half.rest()).length, 0, 'half a request is none');
  t.same(seen.map(({ target }) => target), ['/fast', '/1', '/2', '/slow']);
}

/** More than are read at a time, so that some are not parsed yet when the client's half ends. */
async function halfClosedPipeline(t: Test, suite: Suite): Promise<void> {
  for (const delayMs of [0, 5]) {
    const { open, seen } = await stage(t, suite, { halfClosedMs: 20_000 }, (request) => {
      if (delayMs === 0) respondEcho(request);
      else setTimeout(() => respondEcho(request), delayMs);
    });
    const client = await open();
    const targets = Array.from({ length: 40 }, (_, turn) => `/${turn}`);
    client.socket.end(targets.map((target) => get(target)).join(''));
    if (suite.differs('half-closed clients') !== undefined) {
      await client.rest();
      return;
    }
    for (const target of targets) t.equal(readEcho(await client.response()).target, target);
    t.equal((await client.rest()).length, 0, 'and that is the end');
    t.equal(seen.length, targets.length);
    const half = await open();
    half.socket.end(`${targets.map((target) => get(target)).join('')}GET /half HTT`);
    if (delayMs > 0 && suite.differs('half-closed clients with many requests') !== undefined) {
      // Those that were answered before the engine saw the end: the first, in order, no other.
      const answered = [...(await half.rest()).toString('latin1').matchAll(/"target":"([^"]*)"/g)]
        .map(([, target]) => target);
      t.strictSame(answered, targets.slice(0, answered.length));
      return;
    }
    for (const target of targets) t.equal(readEcho(await half.response()).target, target);
    t.equal((await half.rest()).length, 0, 'half a request is none');
  }
}

/** Without grace, the end of a client's half is the end. */
async function halfClosedAtOnce(t: Test, suite: Suite): Promise<void> {
  const { open } = await stage(t, suite, { halfClosedMs: 0 }, (request) => {
    setTimeout(() => respondEcho(request), 200);
  });
  const client = await open();
  client.write(get('/'));
  client.socket.end();
  t.equal((await client.rest()).length, 0);
}

async function answeredTwice(t: Test, suite: Suite): Promise<void> {
  let thrown: unknown = null;
  const { open } = await stage(t, suite, {}, (request) => {
    request.respond({ status: 200, headers: [], body: 'one' });
    try {
      request.respond({ status: 200, headers: [], body: 'two' });
    } catch (error) {
      thrown = error;
    }
  });
  const client = await open();
  client.write(get('/'));
  t.equal((await client.response()).body.toString(), 'one');
  t.match(thrown, /answered twice/);
}

async function addressInUse(t: Test, suite: Suite): Promise<void> {
  const { port } = await stage(t, suite);
  const options = { host: '127.0.0.1', port, engine: suite.engine };
  await t.rejects(listen(options, echo), { code: 'EADDRINUSE' });
}

async function version6(t: Test, suite: Suite): Promise<void> {
  const listener = await listen({ host: '::1', port: 0, engine: suite.engine }, echo).catch(
    (error: NodeJS.ErrnoException) => error);
  if (listener instanceof Error) {
    t.comment(`skipped, no IPv6 loopback here: ${listener.message}`);
    return;
  }
  t.teardown(() => listener.close());
  const client = await openRaw(listener.address.port, '::1');
  client.write(get('/'));
  t.equal(readEcho(await client.response()).clientAddress, '::1');
  client.destroy();
}

/** A binary PROXY preamble names 9.9.9.9 as the client. */
async function preamble(t: Test, suite: Suite): Promise<void> {
  const { open, seen } = await stage(t, suite);
  const client = await open();
  const signature = '0d0a0d0a000d0a515549540a';
  client.write(Buffer.from(`${signature}2111000c090909090808080800010002`, 'hex'));
  client.write(get('/'));
  const response = await client.response();
  if (suite.differs('a PROXY preamble, binary') === undefined) t.equal(response.status, 400);
  else t.equal(readEcho(response).clientAddress, '127.0.0.1', 'it is not believed');
  for (const request of seen) t.equal(request.clientAddress, '127.0.0.1');
}

/** Connections that never send a byte are counted, and go away with their clients. */
async function silentConnections(t: Test, suite: Suite): Promise<void> {
  const { listener, port } = await stage(t, suite);
  const sockets = Array.from({ length: 5 }, () => connect(port, '127.0.0.1'));
  await until('they are counted', () => listener.connections() === 5);
  for (const socket of sockets) socket.destroy();
  await until('they are forgotten', () => listener.connections() === 0);
  t.pass('counted and forgotten');
}

export const connectionCases: readonly Case[] = [
  { name: 'keep-alive and close', run: keepAlive },
  { name: 'pipelining', run: pipelining },
  { name: 'pipelining, answered at once', run: answeredAtOnce },
  { name: 'many pipelined', run: manyPipelined },
  { name: 'clients that go away', run: aborts },
  { name: 'half-closed clients', run: halfClosed },
  { name: 'half-closed clients with many requests', run: halfClosedPipeline },
  { name: 'half-closed clients, without grace', run: halfClosedAtOnce },
  { name: 'answering twice', run: answeredTwice },
  { name: 'an address in use', run: addressInUse },
  { name: 'version 6', run: version6 },
  { name: 'a PROXY preamble, binary', run: preamble },
  { name: 'silent connections', run: silentConnections },
];
