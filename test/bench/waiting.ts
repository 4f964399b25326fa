/**
 * Guests that wait: 4,000 of them on slow upstreams in one process, what each takes of memory, and
 * what a fast guest's p99 is meanwhile; then the request that is one too many. Idle and waiting
 * alternate, medians are printed.
 *
 *   node test/bench/waiting.ts [--json] [--waiting 4000] [--rounds 3] [--seconds 4]
 */

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import { connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { startDaemon } from '../harness/daemon.ts';
import type { Daemon, HttpAnswer } from '../harness/daemon.ts';
import { median } from './load.ts';
import { pace } from './paced.ts';
import type { PacedResult } from './paced.ts';
import { residentBytes, servingPid } from './processor.ts';

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    waiting: { type: 'string', default: '4000' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '4' },
    threads: { type: 'string', default: '2' },
  },
});
const WAITING = Number(values.waiting);
const SECONDS = Number(values.seconds);
/** The fast guest's requests are in flight too. */
const SPARE = 32;
/**
 * A thread opens 128 connections to an origin and 1,024 for a tenant; guests beyond those wait for
 * a connection.
 */
const UPSTREAMS = 8;
const PATIENCE_MS = 120_000;
const PER_SECOND = 200;
/** What 4,000 guests leave is collected before anything is measured again. */
const SETTLE_MS = 5_000;

const example = (name: string): Buffer =>
  readFileSync(new URL(`../../guests/examples/${name}/${name}.wasm`, import.meta.url));

/** Servers that hold back every answer until they are told. */
class Upstreams {
  readonly urls: string[] = [];
  readonly #held = new Set<ServerResponse>();
  #open = false;
  readonly #servers = Array.from({ length: UPSTREAMS }, () =>
    createServer({ keepAliveTimeout: 60_000 }, (_request, response) => {
      if (this.#open) response.end('at last');
      else this.#held.add(response);
    }));

  async listen(): Promise<void> {
    for (const server of this.#servers) {
      await new Promise<void>((done) => { server.listen(0, '127.0.0.1', 4_096, done); });
      this.urls.push(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    }
  }

  get held(): number {
    return this.#held.size;
  }

  hold(): void {
    this.#open = false;
  }

  release(): void {
    this.#open = true;
    for (const response of this.#held) response.end('at last');
    this.#held.clear();
  }

  close(): void {
    for (const server of this.#servers) {
      server.closeAllConnections();
      server.close();
    }
  }
}

/** Clients whose requests wait; `answered` counts the answers that were 200. */
class Waiters {
  readonly #sockets: Socket[] = [];
  answered = 0;

  async add(port: number, count: number, urls: readonly string[]): Promise<void> {
    for (let index = 0; index < count; index += 1) {
      const socket = connect(port, '127.0.0.1');
      socket.setEncoding('latin1');
      socket.on('data', (text: string) => {
        if (text.startsWith('HTTP/1.1 200')) this.answered += 1;
      });
      socket.on('error', (error) => { throw error; });
      socket.write(`GET /?url=${urls[index % urls.length]} HTTP/1.1\r\n`
        + 'Host: proxy.localhost\r\n\r\n');
      this.#sockets.push(socket);
      if (index % 64 === 63) await sleep(1);
    }
  }

  close(): void {
    for (const socket of this.#sockets.splice(0)) socket.destroy();
    this.answered = 0;
  }
}

async function gauge(daemon: Daemon, name: string): Promise<number> {
  const { text } = await daemon.admin('GET', '/metrics');
  const lines = text.split('\n').filter((line) => line.startsWith(name));
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const giveUpAt = performance.now() + PATIENCE_MS;
  while (!(await holds())) {
    if (performance.now() > giveUpAt) throw new Error(`not within ${PATIENCE_MS} ms: ${what}`);
    await sleep(200);
  }
}

const waitingNow = (daemon: Daemon): Promise<number> => gauge(daemon, 'wardian_guests_suspended');

interface Round {
  readonly idle: PacedResult;
  readonly waiting: PacedResult;
  readonly residentPerGuest: number;
  readonly connected: number;
}

class Bench {
  readonly daemon: Daemon;
  readonly upstreams: Upstreams;
  readonly waiters = new Waiters();

  constructor(daemon: Daemon, upstreams: Upstreams) {
    this.daemon = daemon;
    this.upstreams = upstreams;
  }

  #pace(): Promise<PacedResult> {
    const { port } = this.daemon;
    return pace({ port, host: 'hello.localhost', perSecond: PER_SECOND, seconds: SECONDS });
  }

  async fill(count: number): Promise<void> {
    const before = await waitingNow(this.daemon);
    await this.waiters.add(this.daemon.port, count, this.upstreams.urls);
    await until(`${before + count} guests wait`,
      async () => (await waitingNow(this.daemon)) === before + count);
  }

  async empty(count: number): Promise<void> {
    this.upstreams.release();
    await until('all are answered', () => this.waiters.answered === count);
    this.waiters.close();
    this.upstreams.hold();
    await sleep(SETTLE_MS);
  }

  async round(): Promise<Round> {
    const pid = servingPid(this.daemon);
    const idle = await this.#pace();
    const before = residentBytes(pid);
    await this.fill(WAITING - SPARE);
    const residentPerGuest = (residentBytes(pid) - before) / (WAITING - SPARE);
    const connected = this.upstreams.held;
    const waiting = await this.#pace();
    await this.empty(WAITING - SPARE);
    return { idle, waiting, residentPerGuest, connected };
  }

  /** All places are taken, then one more comes. */
  async overfill(): Promise<HttpAnswer> {
    await this.fill(WAITING);
    const answer = await this.daemon.ask('hello.localhost');
    await this.empty(WAITING);
    return answer;
  }
}

function report(rounds: readonly Round[], over: HttpAnswer, afterwards: HttpAnswer): void {
  const of = (value: (round: Round) => number): number => median(rounds.map(value));
  const result = {
    ratio: { p99: of(({ idle, waiting }) => waiting.p99Ms / idle.p99Ms) },
    p99_ms: { idle: of(({ idle }) => idle.p99Ms), waiting: of(({ waiting }) => waiting.p99Ms) },
    p50_ms: { idle: of(({ idle }) => idle.p50Ms), waiting: of(({ waiting }) => waiting.p50Ms) },
    errors: rounds.reduce((sum, { idle, waiting }) => sum + idle.errors + waiting.errors, 0),
    waiting: WAITING,
    waiting_connected: of(({ connected }) => connected),
    /** The first round's: later ones find memory that is resident already. */
    resident_bytes_per_guest: Math.round(rounds[0]?.residentPerGuest ?? Number.NaN),
    one_more: {
      status: over.status, code: over.headers['wardian-error'],
      retry_after: over.headers['retry-after'], status_afterwards: afterwards.status,
    },
  };
  if (values.json) console.log(JSON.stringify(result));
  else console.dir(result);
}

async function main(): Promise<void> {
  const upstreams = new Upstreams();
  await upstreams.listen();
  const daemon = await startDaemon({
    flags: [
      '--egress-allow', '127.0.0.0/8', '--threads', values.threads, '--access-log', 'false',
      '--guests-in-flight', values.waiting, '--tenant-requests', String(2 * WAITING),
    ],
    environment: { WARDIAN_LIMITS_DEADLINE_MS: '600000', WARDIAN_LIMITS_SUBREQUEST_MS: '600000' },
  });
  const bench = new Bench(daemon, upstreams);
  try {
    await daemon.deploy('proxy', example('proxy'));
    await daemon.deploy('hello', example('hello-rust'));
    await pace({ port: daemon.port, host: 'hello.localhost', perSecond: 2_000, seconds: 2 });
    const rounds: Round[] = [];
    for (let count = 0; count < Number(values.rounds); count += 1) rounds.push(await bench.round());
    const over = await bench.overfill();
    report(rounds, over, await daemon.ask('hello.localhost'));
  } finally {
    bench.waiters.close();
    await daemon.stop();
    upstreams.close();
  }
}

await main();
