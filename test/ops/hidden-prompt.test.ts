/**
 * Secrets typed at a terminal, a real one: `script` of util-linux gives the command a pseudo
 * terminal and shows what a screen would. What was typed must not be on it, and the terminal must
 * be as it was before.
 */

import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { Test } from 'tap';

import { LAUNCHER, environmentWith } from '../harness/command.ts';
import { skipWithout } from '../harness/tools.ts';

const PATIENCE_MS = 60_000;
const TERMINAL = { skip: skipWithout('script') };

interface Received {
  readonly url: string;
  readonly body: Buffer;
}

/** Takes whatever it is sent for a secret's new version. */
async function openAdmin(t: Test): Promise<{ url: string; received: Received[] }> {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => {
      received.push({ url: request.url ?? '', body: Buffer.concat(chunks) });
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({
        name: 'PASSWORD', number: 1, active: true, effectiveAt: '2030-01-01T00:00:00Z',
        createdAt: '2030-01-01T00:00:00Z', absent: true, revision: 1,
      }));
    });
  }).listen(0, '127.0.0.1');
  await new Promise((done) => server.once('listening', done));
  t.teardown(() => {
    server.closeAllConnections();
    return new Promise((done) => server.close(done));
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, received };
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`waited in vain: ${what}`);
    await sleep(20);
  }
}

interface Session {
  readonly screen: string;
  /** Of the command. */
  readonly code: number | null;
  /** What `stty -a` says before the command, and after it. */
  readonly before: string;
  readonly after: string;
}

/** The modes of a terminal, without its size and speed. */
const modes = (text: string): string => text.split('\n').slice(1).join('\n').replaceAll('\r', '');

/** Runs the command on a terminal and types as soon as it asks: nothing is shown even then. */
async function onTerminal(words: readonly string[], admin: string, keys: string): Promise<Session> {
  const command = [process.execPath, LAUNCHER, ...words].map((word) => `'${word}'`).join(' ');
  const shell = `stty -a; echo =====; ${command}; code=$?; echo =====; stty -a; exit $code`;
  const child = spawn('script', ['-qefc', shell, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: environmentWith({ WARDIAN_ADMIN_URL: admin, WARDIAN_TOKEN: 'none', SHELL: '/bin/sh' }),
  });
  let screen = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    screen += chunk;
  });
  const ended = new Promise<number | null>((done) => child.once('close', (code) => done(code)));
  try {
    await until('the question', () => screen.includes('(not shown): '));
    child.stdin.write(keys);
    const code = await ended;
    const [before = '', shown = '', after = ''] = screen.split('=====');
    return {
      code, screen: shown, before: modes(before),
      after: modes(after.trimStart()),
    };
  } finally {
    child.kill('SIGKILL');
  }
}

const PUT = ['secret', 'put', 'shop', 'PASSWORD'];

t.test('what is typed is sent and not shown', TERMINAL, async (t) => {
  const { url, received } = await openAdmin(t);
  const session = await onTerminal(PUT, url, 'hunter7\u007f2 \u00e4\u00f6\u{1f511}\r');
  t.equal(session.code, 0, session.screen);
  t.match(session.screen, /value of PASSWORD \(not shown\): \r?\n/);
  t.notMatch(session.screen, /hunter|\u00e4|\u{1f511}|\*/u, 'neither it nor its length');
  t.same(received.map(({ body }) => body.toString()), ['hunter2 \u00e4\u00f6\u{1f511}']);
  t.notMatch(received[0]?.url, /hunter/);
  t.match(session.before, /\becho\b/);
  t.equal(session.after, session.before, 'the terminal is as it was');
});

t.test('a value of the store is asked for in the same way', TERMINAL, async (t) => {
  const { url, received } = await openAdmin(t);
  const session = await onTerminal(['kv', 'put', '--app', 'shop', 'key'], url, 'hunter2\r');
  t.equal(session.code, 0, session.screen);
  t.notMatch(session.screen, /hunter/);
  t.same(received.map(({ body }) => body.toString()), ['hunter2']);
});

t.test('Ctrl-C sends nothing and leaves the terminal as it was', TERMINAL, async (t) => {
  const { url, received } = await openAdmin(t);
  const session = await onTerminal(PUT, url, 'hunter2\u0003');
  t.not(session.code, 0);
  t.notMatch(session.screen, /hunter/);
  t.same(received, []);
  t.equal(session.after, session.before);
});

t.test('an empty value is refused', TERMINAL, async (t) => {
  const { url, received } = await openAdmin(t);
  const session = await onTerminal(PUT, url, '\r');
  t.equal(session.code, 2);
  t.match(session.screen, /the value is empty/);
  t.same(received, []);
  t.equal(session.after, session.before);
});
