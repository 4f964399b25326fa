/**
 * Redis for the key-value bench: a server of its own on a loopback port, with an empty folder, that
 * syncs its log before it answers a write; and `redis-benchmark` as its load. Both come from
 * Debian's `redis-server`.
 */

import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

import { freePort } from './peers.ts';

const run = promisify(execFile);
const READY_MS = 10_000;
const STOP_MS = 5_000;

/** Why there is nothing to compare with, or null. */
export function redisMissing(): string | null {
  for (const name of ['redis-server', 'redis-benchmark']) {
    if (spawnSync(name, ['--version'], { stdio: 'ignore' }).error !== undefined) {
      return `${name} is not installed (Debian: apt-get install redis-server)`;
    }
  }
  return null;
}

export interface Rate {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface RedisWork {
  readonly connections: number;
  readonly keys: number;
  readonly valueBytes: number;
}

export interface Redis {
  /** Round trips of one GET each, or one SET each, for about so many seconds. */
  measure(test: 'get' | 'set', work: RedisWork, seconds: number): Promise<Rate>;
  /** Sets `key:000000000000` and the following ones. */
  fill(work: RedisWork): Promise<void>;
  stop(): Promise<void>;
}

/** Sends commands in one go and resolves once all are answered with `+OK`. */
function pipeline(port: number, commands: readonly string[][]): Promise<void> {
  return new Promise((done, failed) => {
    const socket = connect(port, '127.0.0.1');
    let answers = '';
    socket.setEncoding('latin1').on('error', failed).on('data', (chunk) => {
      answers += String(chunk);
      if (!/^(\+OK\r\n)*[+\r\nOK]*$/.test(answers)) failed(new Error(`redis: ${answers}`));
      if (answers.length < commands.length * '+OK\r\n'.length) return;
      socket.end();
      done();
    });
    socket.write(commands.map((words) => `*${words.length}\r\n`
      + words.map((word) => `$${word.length}\r\n${word}\r\n`).join('')).join(''));
  });
}

async function counted(
  port: number, test: 'get' | 'set', { connections, keys, valueBytes }: RedisWork, count: number,
): Promise<Rate> {
  const { stdout } = await run('redis-benchmark', [
    '-h', '127.0.0.1', '-p', `${port}`, '-t', test, '-c', `${connections}`, '-n', `${count}`,
    '-r', `${keys}`, '-d', `${valueBytes}`, '--csv',
  ]);
  const [head = '', line = ''] = stdout.trim().split('\n');
  const cells = (text: string): string[] => text.split(',').map((cell) => cell.slice(1, -1));
  const found = new Map(cells(head).map((name, n) => [name, Number(cells(line)[n])]));
  const rate = {
    perSecond: found.get('rps') ?? Number.NaN,
    p50Ms: found.get('p50_latency_ms') ?? Number.NaN,
    p99Ms: found.get('p99_latency_ms') ?? Number.NaN,
  };
  if (Object.values(rate).some(Number.isNaN)) throw new Error(`redis-benchmark said: ${stdout}`);
  return rate;
}

export async function startRedis(folder: string): Promise<Redis> {
  mkdirSync(folder, { recursive: true });
  const port = await freePort();
  const child = spawn('redis-server', [
    '--bind', '127.0.0.1', '--port', `${port}`, '--dir', folder, '--daemonize', 'no',
    '--appendonly', 'yes', '--appendfsync', 'always', '--save', '',
    '--auto-aof-rewrite-percentage', '0',
  ], { stdio: 'ignore' });
  const ended = once(child, 'exit');
  const killIt = (): void => {
    child.kill('SIGKILL');
  };
  process.once('exit', killIt);
  const giveUpAt = performance.now() + READY_MS;
  for (let ready = false; !ready;) {
    if (child.exitCode !== null) throw new Error(`redis-server ended with ${child.exitCode}`);
    if (performance.now() > giveUpAt) throw new Error('redis-server does not answer');
    await sleep(50);
    ready = await pipeline(port, [['SET', 'ready', '1']]).then(() => true, () => false);
  }
  return {
    async measure(test, work, seconds) {
      const { perSecond } = await counted(port, test, work, 5_000);
      return counted(port, test, work, Math.ceil(perSecond * seconds));
    },
    fill({ keys, valueBytes }) {
      return pipeline(port, Array.from({ length: keys }, (_, n) =>
        ['SET', `key:${String(n).padStart(12, '0')}`, 'v'.repeat(valueBytes)]));
    },
    async stop() {
      process.off('exit', killIt);
      child.kill('SIGTERM');
      const late = setTimeout(killIt, STOP_MS);
      await ended;
      clearTimeout(late);
    },
  };
}
