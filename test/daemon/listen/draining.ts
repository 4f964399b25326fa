/**
 * Conformance: a listener that is to end answers what has reached it, and cuts what takes too long.
 */

import { get, hashOf, MIB, noise, sip, until } from './bulk.ts';
import { header, openRaw, pause } from './raw.ts';
import type { RawClient } from './raw.ts';
import { echo, readEcho, respondEcho, stage } from './suite.ts';
import type { Case, Suite, Test } from './suite.ts';

async function drainFinishes(t: Test, suite: Suite): Promise<void> {
  const { open, listener, port, seen } = await stage(t, suite, {}, (request) => {
    setTimeout(() => respondEcho(request), request.target === '/slow' ? 300 : 5);
  });
  const idle = await open();
  idle.write(get('/'));
  await idle.response();
  const slow = await open();
  slow.write(get('/slow'));
  const uploading = await open();
  uploading.write('POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nab');
  await until('the slow one is with the handler', () => seen.length === 2);
  await pause(20);
  const drained = listener.drain(10_000);
  await pause(20);
  uploading.write('cd');
  for (const client of [slow, uploading]) {
    const response = await client.response();
    t.equal(response.status, 200);
    t.equal(header(response, 'connection')?.toLowerCase(), 'close');
    t.equal((await client.rest()).length, 0);
  }
  t.equal((await idle.rest()).length, 0, 'an idle connection is closed');
  t.same(await drained, { finished: 2, cut: 0 });
  t.equal(listener.connections(), 0);
  await t.rejects(openRaw(port), 'nobody listens any more');
}

/** What had reached the machine when the drain began is a request, though nobody had read it. */
async function drainLosesNothing(t: Test, suite: Suite): Promise<void> {
  const { open, listener } = await stage(t, suite, {}, echo);
  const clients: RawClient[] = [];
  for (let i = 0; i < 20; i += 1) clients.push(await open());
  for (const client of clients) {
    client.write(get('/warm'));
    await client.response();
  }
  for (const client of clients) client.write(get('/last'));
  const end = performance.now() + 30;
  // The bytes travel while this thread is busy: none of them can have been read yet.
  while (performance.now() < end);
  const drained = listener.drain(10_000);
  for (const client of clients) {
    t.equal(readEcho(await client.response()).target, '/last');
  }
  t.same(await drained, { finished: 20, cut: 0 });
}

async function drainCuts(t: Test, suite: Suite): Promise<void> {
  let aborted = 0;
  const { open, listener, seen } = await stage(t, suite, {}, (request) => {
    request.onAbort = () => { aborted += 1; };
  });
  const client = await open();
  client.write(get('/never'));
  await until('it is with the handler', () => seen.length === 1);
  t.same(await listener.drain(100), { finished: 0, cut: 1 });
  await until('the handler is told', () => aborted === 1);
  t.equal((await client.rest()).length, 0);
}

async function drainPipelined(t: Test, suite: Suite): Promise<void> {
  if (suite.differs('pipelining') === 'closes') {
    t.pass('see pipelining');
    return;
  }
  const { open, listener, seen } = await stage(t, suite, {}, (request) => {
    setTimeout(() => respondEcho(request), 50);
  });
  const client = await open();
  client.write(get('/1') + get('/2') + get('/3'));
  await until('they have come', () => seen.length >= 1);
  const drained = listener.drain(10_000);
  for (const target of ['/1', '/2', '/3']) {
    const response = await client.response();
    t.equal(readEcho(response).target, target);
    const close = header(response, 'connection')?.toLowerCase() === 'close';
    t.equal(close, target === '/3', `${target} ${close ? 'closes' : 'does not close'}`);
  }
  t.same(await drained, { finished: 3, cut: 0 });
}

/** Pipelined requests that are answered at once while draining: only the last answer closes. */
async function drainAtOnce(t: Test, suite: Suite): Promise<void> {
  const { open, listener } = await stage(t, suite, {}, (request) => {
    if (request.target === '/slow') setTimeout(() => respondEcho(request), 200);
    else respondEcho(request);
  });
  const slow = await open();
  const client = await open();
  slow.write(get('/slow'));
  await pause(50);
  const drained = listener.drain(10_000);
  client.write(get('/1') + get('/2') + get('/3'));
  const closesEarly = suite.differs('drain with requests answered at once') !== undefined;
  const targets = closesEarly ? ['/1'] : ['/1', '/2', '/3'];
  for (const target of targets) {
    t.equal(readEcho(await client.response()).target, target);
  }
  t.equal((await client.rest()).length, 0);
  t.equal((await slow.response()).status, 200);
  t.same(await drained, { finished: targets.length + 1, cut: 0 });
}

/** Answered is not sent: a client that is still reading gets the rest. */
async function drainSends(t: Test, suite: Suite): Promise<void> {
  const body = noise(16 * MIB);
  const { open, listener, seen } = await stage(t, suite, {}, (request) => {
    request.respond({ status: 200, headers: [], body });
  });
  const client = await open();
  client.socket.pause();
  client.write(get('/'));
  await until('it was answered', () => seen.length === 1);
  const drained = listener.drain(10_000);
  await pause(50);
  t.equal(await sip(client, body.length), hashOf(body));
  t.same(await drained, { finished: 1, cut: 0 });
}

export const drainingCases: readonly Case[] = [
  { name: 'drain finishes', run: drainFinishes },
  { name: 'drain loses nothing', run: drainLosesNothing },
  { name: 'drain cuts at its deadline', run: drainCuts },
  { name: 'drain with pipelined requests', run: drainPipelined },
  { name: 'drain with requests answered at once', run: drainAtOnce },
  { name: 'drain sends what was answered', run: drainSends },
];
