/**
 * Limits of bodies that flow through: whose time a transfer takes, how much and how slowly may
 * flow, a guest that takes nothing, and what is refused before a body is read.
 */

import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { Test } from 'tap';

import type { Daemon } from '../harness/daemon.ts';
import {
  BODY_IMPORTS, countingGuest, deafGuest, MIB, relayGuest, streamUpstream, transfer, uploadGuest,
} from './streams.ts';
import { ALLOW_LOOPBACK, onEachEngine, sendRaw, startFor, textGuest, until } from './world.ts';

t.setTimeout(220_000);

const FLAGS = [...ALLOW_LOOPBACK, '--threads', '1'];

const lastLine = (daemon: Daemon, app: string): Record<string, unknown> | undefined =>
  daemon.log.findLast(({ kind, app: name }) => kind === 'request' && name === app);

async function logged(daemon: Daemon, app: string): Promise<Record<string, unknown>> {
  await until(`a request of ${app} is in the log`, () => lastLine(daemon, app) !== undefined);
  return lastLine(daemon, app) ?? {};
}

t.test('the time of a transfer is none of the guest\'s', async (t: Test) => {
  const upstream = await streamUpstream(t);
  const daemon = await startFor(t, {
    flags: FLAGS, environment: { WARDIAN_LIMITS_DEADLINE_MS: '700', WARDIAN_LIMITS_LOG_BYTES: '0' },
  });
  await daemon.deploy('up', uploadGuest(`${upstream.url}/up`));
  await daemon.deploy('count', countingGuest());
  await daemon.deploy('down', relayGuest(`${upstream.url}/down?bytes=${64 * MIB}`));
  for (const app of ['up', 'count']) {
    const bytes = 300_000;
    const answer = await new Promise<string>((done, failed) => {
      const socket = connect(daemon.port, '127.0.0.1');
      socket.setEncoding('latin1').on('error', failed);
      socket.write(`PUT / HTTP/1.1\r\nhost: ${app}.localhost\r\ncontent-length: ${bytes}\r\n`
        + 'connection: close\r\n\r\n');
      let left = 15;
      const timer = setInterval(() => {
        socket.write(Buffer.alloc(bytes / 15));
        left -= 1;
        if (left === 0) clearInterval(timer);
      }, 150);
      let text = '';
      socket.on('data', (piece: string) => { text += piece; });
      socket.on('close', () => done(text));
    });
    t.match(answer, /^HTTP\/1\.1 200 /, `${app}: an upload that takes longer than the deadline`);
  }
  let paused = false;
  const down = await transfer(daemon.port, 'down.localhost', {
    onData: (response, bytes) => {
      if (paused || bytes < MIB) return;
      paused = true;
      response.pause();
      setTimeout(() => response.resume(), 1_500);
    },
  });
  t.match(down, { status: 200, bytes: 64 * MIB, error: '' });
});

t.test('bodies that flow are counted, by direction', async (t: Test) => {
  const upstream = await streamUpstream(t);
  const daemon = await startFor(t, { flags: FLAGS });
  await daemon.deploy('count', countingGuest());
  await daemon.deploy('down', relayGuest(`${upstream.url}/down?bytes=${16 * MIB}`));
  const open = async (direction: string): Promise<number> => {
    const { text } = await daemon.admin('GET', '/metrics');
    const line = text.split('\n').find((one) =>
      one.startsWith('wardian_relays_open{') && one.includes(`direction="${direction}"`));
    return Number(line?.split(' ').at(-1));
  };
  t.same([await open('request'), await open('answer')], [0, 0]);
  const upload = connect(daemon.port, '127.0.0.1');
  t.teardown(() => upload.destroy());
  let answer = '';
  upload.setEncoding('latin1').on('data', (piece: string) => { answer += piece; });
  upload.write('PUT / HTTP/1.1\r\nhost: count.localhost\r\ncontent-length: 100000\r\n\r\n');
  upload.write(Buffer.alloc(90_000));
  const goOn = Promise.withResolvers<void>();
  let isPaused = false;
  const down = transfer(daemon.port, 'down.localhost', {
    onData(response) {
      if (isPaused) return;
      isPaused = true;
      response.pause();
      void goOn.promise.then(() => response.resume());
    },
  });
  await until('both flow', async () => await open('request') === 1 && await open('answer') === 1);
  goOn.resolve();
  t.match(await down, { status: 200, bytes: 16 * MIB, error: '' });
  await until('the answer is over', async () => await open('answer') === 0);
  t.equal(await open('request'), 1);
  upload.write(Buffer.alloc(10_000));
  await until('the upload is answered', () => answer.includes('\r\n\r\n'));
  await until('the upload is over', async () => await open('request') === 0);
});

t.test('a guest that does not read its body is answered at once', async (t: Test) => {
  const daemon = await startFor(t, { flags: FLAGS });
  await daemon.deploy('deaf', deafGuest());
  const done = await transfer(daemon.port, 'deaf.localhost', { upload: 64 * MIB });
  t.match(done, { status: 200, text: 'failed' });
  const line = await logged(daemon, 'deaf');
  t.ok(Number(line['requestBytes']) < 4 * MIB, 'and little of it was taken');
});

t.test('too much, and too slow', async (t: Test) => {
  const upstream = await streamUpstream(t);
  const daemon = await startFor(t, {
    flags: FLAGS,
    environment: {
      WARDIAN_LIMITS_STREAM_BYTES: String(MIB), WARDIAN_LIMITS_STREAM_STALL_MS: '300',
    },
  });
  await daemon.deploy('declared', relayGuest(`${upstream.url}/down?bytes=${2 * MIB}`));
  t.equal((await daemon.ask('declared.localhost')).text, 'failed', 'refused at the head');
  await daemon.deploy('chunked', relayGuest(`${upstream.url}/down?bytes=${2 * MIB}&chunked`));
  t.not((await transfer(daemon.port, 'chunked.localhost', {})).error, '');
  t.match(await logged(daemon, 'chunked'), { error: 'stream_failed' });
  await daemon.deploy('stalls', relayGuest(`${upstream.url}/down?bytes=${MIB}&stall=1000`));
  t.not((await transfer(daemon.port, 'stalls.localhost', {})).error, '');
  t.match(await logged(daemon, 'stalls'), { error: 'stream_failed', responseBytes: 1_000 });
  await daemon.deploy('count', countingGuest());
  for (const chunked of [false, true]) {
    const done = await transfer(daemon.port, 'count.localhost', { upload: 4 * MIB, chunked });
    t.equal(done.status, 413, `an upload over the limit, ${chunked ? 'found out' : 'declared'}`);
  }
});

t.test('what will be refused is refused before its body is read', async (t: Test) => {
  const daemon = await startFor(t, { flags: [...FLAGS, '--gathered-bytes', '1000000'] });
  await daemon.deploy('text', textGuest('hello'));
  const head = (host: string): string => `PUT / HTTP/1.1\r\nhost: ${host}.localhost\r\n`
    + 'content-length: 1000000000\r\nexpect: 100-continue\r\n\r\n';
  t.match(await sendRaw(daemon.port, head('nobody')), /^HTTP\/1\.1 404 .*unknown_host/s);
  t.match(await sendRaw(daemon.port, head('text')), /^HTTP\/1\.1 413 .*body_too_large/s);
  const held = connect(daemon.port, '127.0.0.1');
  held.write('PUT / HTTP/1.1\r\nhost: text.localhost\r\ncontent-length: 900000\r\n\r\n');
  held.write(Buffer.alloc(800_000));
  t.teardown(() => held.destroy());
  await sleep(200);
  const upload = { upload: 500_000 };
  const full = await transfer(daemon.port, 'text.localhost', upload);
  t.match(full, { status: 503, text: /too many bytes of request bodies are held/ });
  held.destroy();
  await until('there is room again', async () =>
    (await transfer(daemon.port, 'text.localhost', upload)).status === 200);
  // Lines are written together, a little after the answers.
  await until('it is in the log', async () =>
    daemon.log.some((line) => JSON.stringify(line).includes('bodies_exhausted')));
});

const LET_GO = 'what guests do not take of their bodies is let go';

t.test(LET_GO, (t) => onEachEngine(t, async (t, engine) => {
  const room = 300_000;
  const upstream = await streamUpstream(t);
  const daemon = await startFor(t, {
    flags: [...FLAGS, ...engine, '--gathered-bytes', String(room)],
  });
  await daemon.deploy('text', textGuest('hello'));
  await daemon.deploy('deaf', deafGuest());
  await daemon.deploy('relay', relayGuest(`${upstream.url}/down?bytes=1000`, BODY_IMPORTS));
  await daemon.deploy('up', uploadGuest(`${upstream.url}/up`));
  const all = { upload: room };
  for (const app of ['deaf', 'relay', 'up']) {
    for (const upload of [60_000, MIB]) {
      for (let turn = 0; turn < 5; turn += 1) {
        // A client that still writes may not come to read the answer; the guest has ended anyway.
        await transfer(daemon.port, `${app}.localhost`, { upload, chunked: upload < MIB });
      }
      await until(`all room is there after ${app} with ${upload} bytes`, async () =>
        (await transfer(daemon.port, 'text.localhost', all)).status === 200, 2_000);
    }
  }
}));
