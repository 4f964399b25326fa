/**
 * Guests that wait cost no thread: five hundred of them on a slow upstream while a fast guest keeps
 * answering. A client that goes away cancels what was done for it. SIGTERM loses nothing.
 */

import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { Test } from 'tap';

import { GUESTS_IN_FLIGHT_MAX } from '../../contract/limits.ts';
import {
  ALLOW_LOOPBACK, Client, example, onEachEngine, openUpstream, startFor, until,
} from './world.ts';
import type { Upstream } from './world.ts';

// Eleven daemons, one after the other.
t.setTimeout(480_000);

const WAITING = 500;
/**
 * A thread has at most 128 connections to one origin: more upstreams, so that none waits inside.
 */
const UPSTREAMS = 8;
const FAST_REQUESTS = 500;

function refused(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      done(false);
    });
    socket.once('error', () => done(true));
  });
}

t.test('a fast guest answers while five hundred wait', async (t) => {
  const upstreams: Upstream[] = [];
  for (let i = 0; i < UPSTREAMS; i += 1) upstreams.push(await openUpstream(t, `upstream ${i}`));
  const daemon = await startFor(t, {
    flags: [...ALLOW_LOOPBACK, '--threads', '2', '--access-log', 'false'],
    environment: { WARDIAN_LIMITS_DEADLINE_MS: '120000', WARDIAN_LIMITS_SUBREQUEST_MS: '120000' },
  });
  await daemon.deploy('proxy', example('proxy'));
  await daemon.deploy('hello', example('hello-rust'));
  t.ok(WAITING < GUESTS_IN_FLIGHT_MAX);
  const slow = new Client(daemon.port, WAITING);
  const fast = new Client(daemon.port, 4);
  t.teardown(() => {
    slow.close();
    fast.close();
  });
  const answers = Array.from({ length: WAITING }, (_, i) =>
    slow.ask('proxy.localhost', `/?url=${upstreams[i % UPSTREAMS]?.url}`),
  );
  const held = (): number => upstreams.reduce((sum, upstream) => sum + upstream.held(), 0);
  await until(`${WAITING} guests wait on the upstreams`, () => held() === WAITING, 60_000);
  for (let i = 0; i < FAST_REQUESTS; i += 4) {
    const four = Array.from({ length: 4 }, () => fast.ask('hello.localhost'));
    for (const { status, body } of await Promise.all(four)) {
      if (status !== 200 || body.toString() !== 'Hello from Rust\n')
        t.fail(`${status} ${body.toString()}`);
    }
  }
  t.equal(held(), WAITING, 'they all still wait');
  for (const upstream of upstreams) upstream.release();
  for (const [i, { status, body }] of (await Promise.all(answers)).entries()) {
    if (status !== 200 || body.toString() !== `upstream ${i % UPSTREAMS}`)
      t.fail(`${status} ${body.toString()}`);
  }
  t.equal(await daemon.stop(), 0);
});

async function goesAway(t: Test, engine: readonly string[]): Promise<void> {
  const upstream = await openUpstream(t);
  const daemon = await startFor(t, { flags: [...ALLOW_LOOPBACK, ...engine] });
  await daemon.deploy('proxy', example('proxy'));
  const sockets: Socket[] = [];
  for (let i = 0; i < 5; i += 1) {
    const socket = connect(daemon.port, '127.0.0.1');
    socket.write(`GET /?url=${upstream.url} HTTP/1.1\r\nhost: proxy.localhost\r\n\r\n`);
    sockets.push(socket);
  }
  await until('the calls are under way', () => upstream.held() === 5);
  for (const socket of sockets.slice(0, 3)) socket.destroy();
  await until('the upstream sees three connections close', () => upstream.aborted() === 3);
  t.equal(upstream.held(), 2, 'and no others');
  for (const socket of sockets.slice(3)) socket.destroy();
  await until('the upstream sees the others close', () => upstream.aborted() === 5);
  await until(
    'the log tells',
    () => daemon.log.filter((line) => line['error'] === 'client_closed').length === 5,
  );
  upstream.release();
  t.equal((await daemon.ask('proxy.localhost', `/?url=${upstream.url}`)).text, 'from upstream\n');
  t.equal(await daemon.stop(), 0);
}

t.test('a client that goes away cancels the upstream call', (t) => onEachEngine(t, goesAway));

async function drains(t: Test, engine: readonly string[]): Promise<void> {
  const upstream = await openUpstream(t);
  const daemon = await startFor(t, { flags: [...ALLOW_LOOPBACK, ...engine] });
  await daemon.deploy('proxy', example('proxy'));
  const idle = new Client(daemon.port, 1);
  t.teardown(() => idle.close());
  await idle.ask('nobody.localhost');
  const answers = Array.from({ length: 50 }, () =>
    daemon.ask('proxy.localhost', `/?url=${upstream.url}`),
  );
  await until('fifty are in flight', () => upstream.held() === 50);
  t.equal((await daemon.admin('GET', '/readyz')).status, 200);
  daemon.child.kill('SIGTERM');
  await until('new connections are refused', () => refused(daemon.port));
  const ready = await daemon.admin('GET', '/readyz');
  t.equal(ready.status, 503);
  t.match(ready.text, 'draining');
  t.equal(daemon.child.exitCode, null, 'it waits for what is in flight');
  upstream.release();
  for (const answer of await Promise.all(answers)) {
    t.equal(answer.status, 200);
    t.equal(answer.text, 'from upstream\n');
  }
  t.equal(await daemon.ended, 0);
  t.match(daemon.log.at(-1), { event: 'stopped', finished: 50, cut: 0 });
}

t.test('SIGTERM finishes what is in flight and exits with 0', (t) => onEachEngine(t, drains));

async function cuts(t: Test, engine: readonly string[]): Promise<void> {
  const upstream = await openUpstream(t);
  const daemon = await startFor(t, { flags: [...ALLOW_LOOPBACK, ...engine, '--drain-ms', '300'] });
  await daemon.deploy('proxy', example('proxy'));
  const answer = daemon.ask('proxy.localhost', `/?url=${upstream.url}`).then(
    ({ status }) => String(status),
    (error: NodeJS.ErrnoException) => error.code,
  );
  await until('it is in flight', () => upstream.held() === 1);
  daemon.child.kill('SIGTERM');
  t.equal(await daemon.ended, 0);
  t.match(await answer, /^(503|ECONNRESET)$/);
  t.match(daemon.log.at(-1), { event: 'stopped', finished: 0, cut: 1 });
  await until('the upstream call ended with it', () => upstream.held() === 0);
}

t.test("the drain's deadline cuts what does not finish", (t) => onEachEngine(t, cuts));

t.test('Ctrl-C that comes twice is one; a second press ends it at once', async (t) => {
  const upstream = await openUpstream(t);
  const daemon = await startFor(t, { flags: ALLOW_LOOPBACK });
  await daemon.deploy('proxy', example('proxy'));
  const cut = daemon.ask('proxy.localhost', `/?url=${upstream.url}`).then(
    ({ status }) => String(status),
    (error: NodeJS.ErrnoException) => error.code,
  );
  await until('it is in flight', () => upstream.held() === 1);
  daemon.child.kill('SIGINT');
  daemon.child.kill('SIGINT');
  await until('it drains', () => refused(daemon.port));
  await sleep(1_500);
  t.equal(daemon.child.exitCode, null, 'it still waits for what is in flight');
  daemon.child.kill('SIGINT');
  t.equal(await daemon.ended, 1);
  t.equal(await cut, 'ECONNRESET');
});

t.test('SIGTERM ends it when nobody reads its log any more', async (t) => {
  const daemon = await startFor(t);
  daemon.child.stdout?.destroy();
  daemon.child.stderr?.destroy();
  t.equal((await daemon.ask('nobody.localhost')).status, 404);
  t.equal((await daemon.ask('nobody.localhost')).status, 404);
  t.equal(await daemon.stop(), 0);
});
