/**
 * What can go wrong with bodies that flow through: either end dies or stalls, or the thread between
 * them dies.
 */

import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { Test } from 'tap';

import type { Daemon } from '../harness/daemon.ts';
import {
  BODY_IMPORTS, countingGuest, holdingGuest, MIB, relayGuest, streamUpstream, transfer, uploadGuest,
} from './streams.ts';
import { ALLOW_LOOPBACK, assemble, startFor, until } from './world.ts';

t.setTimeout(220_000);

const FLAGS = [...ALLOW_LOOPBACK, '--threads', '1'];

const lastLine = (daemon: Daemon, app: string): Record<string, unknown> | undefined =>
  daemon.log.findLast(({ kind, app: name }) => kind === 'request' && name === app);

async function logged(daemon: Daemon, app: string): Promise<Record<string, unknown>> {
  await until(`a request of ${app} is in the log`, () => lastLine(daemon, app) !== undefined);
  return lastLine(daemon, app) ?? {};
}

t.test('a client that stalls holds the upstream back, and one that leaves ends it', async (t) => {
  const upstream = await streamUpstream(t);
  const daemon = await startFor(t, { flags: FLAGS });
  await daemon.deploy('down', relayGuest(`${upstream.url}/down?bytes=${1_024 * MIB}`));
  let stop = (): void => {};
  let goOn = (): void => {};
  let paused = false;
  const done = transfer(daemon.port, 'down.localhost', {
    onSocket: (socket) => { stop = () => { socket.destroy(); }; },
    onData: (response, bytes) => {
      if (bytes < MIB || paused) return;
      paused = true;
      response.pause();
      goOn = () => { response.resume(); };
    },
  });
  let before = -1;
  // What was under way fills the system's buffers; then nothing moves any more.
  await until('the upstream is held back', async () => {
    if (upstream.sent() < MIB || upstream.sent() !== before) {
      before = upstream.sent();
      await sleep(500);
      return false;
    }
    return true;
  });
  t.ok(upstream.sent() < 64 * MIB, `${upstream.sent()} bytes were sent`);
  goOn();
  await until('it goes on', () => upstream.sent() > before + 8 * MIB);
  stop();
  t.not((await done).error, '');
  await until('the upstream is told', () => upstream.cut() === 1);
  const line = await logged(daemon, 'down');
  t.match(line, { status: 499 });
  t.ok(Number(line['responseBytes']) > MIB && Number(line['responseBytes']) < 512 * MIB);
  t.equal((await transfer(daemon.port, 'down.localhost', {
    onData: (response, bytes) => { if (bytes > MIB) response.destroy(); },
  })).status, 200, 'the thread serves on');
});

t.test('an upstream that dies amid its body cuts the client', async (t: Test) => {
  const upstream = await streamUpstream(t);
  const daemon = await startFor(t, { flags: FLAGS });
  for (const chunked of ['', '&chunked']) {
    const app = chunked === '' ? 'known' : 'unknown';
    const url = `${upstream.url}/down?bytes=${8 * MIB}&die=${MIB}${chunked}`;
    await daemon.deploy(app, relayGuest(url));
    const done = await transfer(daemon.port, `${app}.localhost`, {});
    t.equal(done.status, 200);
    t.not(done.error, '', `${app}: it cannot be mistaken for whole`);
    t.ok(done.bytes <= MIB);
    t.match(await logged(daemon, app), { status: 200, error: 'stream_failed' });
  }
  await daemon.deploy('up', uploadGuest(`${upstream.url}/up?die=${MIB}`));
  const up = await transfer(daemon.port, 'up.localhost', { upload: 32 * MIB });
  t.match(up, { status: 502, text: 'failed' }, 'the guest learns of it, and answers');
});

t.test('a client that dies amid its upload ends it everywhere', async (t: Test) => {
  const upstream = await streamUpstream(t);
  const daemon = await startFor(t, { flags: FLAGS });
  await daemon.deploy('up', uploadGuest(`${upstream.url}/up`));
  await daemon.deploy('count', countingGuest());
  for (const app of ['up', 'count']) {
    const socket = connect(daemon.port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write(`PUT / HTTP/1.1\r\nhost: ${app}.localhost\r\ncontent-length: ${8 * MIB}\r\n\r\n`);
    socket.write(Buffer.alloc(MIB));
    if (app === 'up') await until('the upload flows', () => upstream.received() > 500_000);
    else await sleep(300);
    socket.destroy();
    t.match(await logged(daemon, app), { status: 499 }, app);
  }
  await until('the upstream is told', () => upstream.cut() === 1);
});

t.test('a thread that dies resets what it relays', async (t: Test) => {
  const upstream = await streamUpstream(t);
  const daemon = await startFor(t, {
    flags: FLAGS,
    environment: {
      WARDIAN_LIMITS_FUEL: String(Number.MAX_SAFE_INTEGER), WARDIAN_LIMITS_DEADLINE_MS: '4000',
      WARDIAN_LIMITS_SUBREQUEST_MS: '4000',
    },
  });
  await daemon.deploy('down', relayGuest(`${upstream.url}/down?bytes=${4_000 * MIB}`));
  await daemon.deploy('spin', assemble(
    '(module (memory 1) (func (export "run") (loop $on (br $on))))'));
  let spins: Promise<unknown> | null = null;
  const done = await transfer(daemon.port, 'down.localhost', {
    onData: (_response, bytes) => {
      if (bytes > MIB) spins ??= daemon.ask('spin.localhost');
    },
  });
  t.equal(done.status, 200);
  t.not(done.error, '');
  t.match(await logged(daemon, 'down'), { status: 200, error: 'worker_lost' });
  await spins;
});

t.test('an upload that nobody takes does not hide its guest\'s answer', async (t: Test) => {
  const upstream = await streamUpstream(t);
  const daemon = await startFor(t, { flags: FLAGS });
  await daemon.deploy('deaf', relayGuest(`${upstream.url}/down?bytes=${MIB}`, BODY_IMPORTS));
  const done = await transfer(daemon.port, 'deaf.localhost', { upload: 32 * MIB });
  t.match(done, { status: 200, bytes: MIB, error: '' });
  t.match(await logged(daemon, 'deaf'), { status: 200, outcome: 'ok' });
});

t.test('a guest that holds the thread amid an upload is over its deadline', async (t: Test) => {
  const daemon = await startFor(t, {
    flags: ['--threads', '1'],
    environment: {
      WARDIAN_LIMITS_FUEL: String(Number.MAX_SAFE_INTEGER), WARDIAN_LIMITS_DEADLINE_MS: '1000',
    },
  });
  await daemon.deploy('hold', holdingGuest());
  const socket = connect(daemon.port, '127.0.0.1');
  t.teardown(() => { socket.destroy(); });
  socket.on('error', () => {});
  socket.write('PUT / HTTP/1.1\r\nhost: hold.localhost\r\ncontent-length: 1000000\r\n\r\nfirst');
  t.match(await logged(daemon, 'hold'), { status: 504, error: 'deadline' });
});
