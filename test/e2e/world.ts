/**
 * What the end-to-end tests stand on: a daemon that ends with its test, upstream servers whose
 * answers the test holds back, guests in the text format, and waiting without guessing times.
 */

import { readFileSync, readdirSync } from 'node:fs';
import { Agent, createServer, request as httpRequest } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import wabtLoader from 'wabt';

import { loadHyperExpress } from '../../daemon/listen/uws-engine.ts';
import { startDaemon } from '../harness/daemon.ts';
import type { Daemon, DaemonOptions } from '../harness/daemon.ts';

const LOOPBACK = ['--egress-allow', '127.0.0.0/8'];
const PATIENCE_MS = 20_000;

/** Allows guests to reach the test's own upstreams. */
export const ALLOW_LOOPBACK: readonly string[] = LOOPBACK;

/** A daemon that is killed when the test ends, unless it has ended by then. */
export async function startFor(t: Test, options: DaemonOptions = {}): Promise<Daemon> {
  const daemon = await startDaemon(options);
  t.teardown(() => daemon.kill());
  return daemon;
}

const ENGINES = ['net', 'node', 'uwebsockets'] as const;

/** A test on each listener. An engine that does not load is skipped with the reason, not in CI. */
export async function onEachEngine(
  t: Test, run: (t: Test, engineFlags: readonly string[]) => Promise<void>,
): Promise<void> {
  const loaded = loadHyperExpress();
  for (const engine of ENGINES) {
    if (engine === 'uwebsockets' && typeof loaded === 'string' && process.env['CI'] !== 'true') {
      t.comment(`${engine}: skipped, the engine does not load here: ${loaded}`);
      continue;
    }
    await t.test(`on ${engine}`, (t) => run(t, ['--engine', engine]));
  }
}

/** Resolves once `holds` does; throws, naming `what`, when that takes too long. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  patienceMs = PATIENCE_MS,
): Promise<void> {
  const end = performance.now() + patienceMs;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`waited ${patienceMs} ms in vain: ${what}`);
    await sleep(10);
  }
}

/** For each thread of a process, the milliseconds that it was ready and had no processor. */
function delaysOf(pid: number): Map<string, number> {
  const delays = new Map<string, number>();
  // Elsewhere the system does not tell.
  if (process.platform !== 'linux') return delays;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    try {
      const text = readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8');
      delays.set(task, Number(text.split(' ')[1]) / 1e6);
    } catch (error) {
      // The thread has ended meanwhile, or the kernel keeps no such statistics.
      if (!['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
  }
  return delays;
}

/** Tells how long a busy machine has held back a daemon's threads, together, since the call. */
export function watchDelays(daemon: Daemon): () => number {
  const pid = daemon.child.pid ?? 0;
  const before = delaysOf(pid);
  return () => {
    let sum = 0;
    for (const [task, delay] of delaysOf(pid)) sum += delay - (before.get(task) ?? 0);
    return sum;
  };
}

/** The committed module of an example guest, such as `hello-rust` or `proxy`. */
export function example(name: string): Buffer {
  return readFileSync(new URL(`../../guests/examples/${name}/${name}.wasm`, import.meta.url));
}

const wabt = await wabtLoader();

/** Assembles a module. Names of functions are kept: traps tell them. */
export function assemble(text: string): Uint8Array {
  const module = wabt.parseWat('guest.wat', text, {
    exceptions: true,
    simd: true,
    tail_call: true,
    bulk_memory: true,
    reference_types: true,
  });
  try {
    return module.toBinary({ write_debug_names: true }).buffer;
  } finally {
    module.destroy();
  }
}

/** A guest that answers with `text`, which may hold no quotes and no backslashes. */
export function textGuest(text: string): Uint8Array {
  return assemble(`(module
    (import "env" "hostcall_resp_set_body" (func $body (param i32 i32 i32) (result i32)))
    (memory 1) (data (i32.const 0) "${text}")
    (func (export "run") (drop (call $body (i32.const 0) (i32.const 0)
      (i32.const ${text.length})))))`);
}

/**
 * Sets `key` of its own store to so many bytes and answers 200, plus the negated refusal: 206 for
 * KV_BUSY.
 */
export function writing(bytes: number): Uint8Array {
  return assemble(`(module
    (import "env" "hostcall_kv_put" (func $put (param i32 i32 i32 i32 i32 i32 i64) (result i32)))
    (import "env" "hostcall_resp_set_response_code" (func $status (param i32 i32) (result i32)))
    (memory 1) (data (i32.const 16) "key")
    (func (export "run") (local $answer i32)
      (local.set $answer (call $put (i32.const 0) (i32.const 0) (i32.const 16) (i32.const 3)
        (i32.const 64) (i32.const ${bytes}) (i64.const 0)))
      (if (i32.gt_s (local.get $answer) (i32.const 0)) (then (local.set $answer (i32.const 0))))
      (drop (call $status (i32.const 0) (i32.sub (i32.const 200) (local.get $answer))))))`);
}

/** A guest that turns a loop so many times, about a nanosecond each on a quiet machine. */
export function computing(turns: number): Uint8Array {
  return assemble(`(module (memory 1) (func (export "run") (local $left i64)
    (local.set $left (i64.const ${turns}))
    (loop $again (local.set $left (i64.sub (local.get $left) (i64.const 1)))
      (br_if $again (i64.ne (local.get $left) (i64.const 0))))))`);
}

/** A server on loopback that holds back every answer until the test releases it. */
export interface Upstream {
  readonly url: string;
  /** Requests that have arrived and are not answered. */
  readonly held: () => number;
  readonly arrived: () => number;
  /** Connections that the other side closed while their request was held. */
  readonly aborted: () => number;
  /** Answers all that are held, and from now on at once. */
  release(): void;
}

export async function openUpstream(t: Test, text = 'from upstream\n'): Promise<Upstream> {
  const held = new Set<ServerResponse>();
  let arrived = 0;
  let aborted = 0;
  let open = false;
  const answer = (response: ServerResponse): void => {
    response.writeHead(200, { 'content-type': 'text/plain' }).end(text);
  };
  const server: Server = createServer((_request: IncomingMessage, response) => {
    arrived += 1;
    if (open) return answer(response);
    held.add(response);
    response.once('close', () => {
      if (held.delete(response)) aborted += 1;
    });
  });
  server.listen(0, '127.0.0.1');
  await new Promise((done) => server.once('listening', done));
  t.teardown(() => {
    server.closeAllConnections();
    return new Promise((done) => server.close(done));
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    held: () => held.size,
    arrived: () => arrived,
    aborted: () => aborted,
    release() {
      open = true;
      for (const response of held) {
        held.delete(response);
        answer(response);
      }
    },
  };
}

export interface LoadAnswer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

/** Keep-alive connections to a daemon's listener, for many requests. */
export class Client {
  readonly #port: number;
  readonly #agent: Agent;

  constructor(port: number, connections: number) {
    this.#port = port;
    this.#agent = new Agent({ keepAlive: true, maxSockets: connections });
  }

  ask(host: string, path = '/'): Promise<LoadAnswer> {
    return new Promise((done, failed) => {
      const request = httpRequest(
        { host: '127.0.0.1', port: this.#port, path, headers: { host }, agent: this.#agent },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', failed);
          response.on('end', () => {
            const { statusCode: status = 0, headers } = response;
            done({ status, headers, body: Buffer.concat(chunks) });
          });
        },
      );
      request.on('error', failed);
      request.end();
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** Writes `bytes` as they are and resolves with all that came back until the connection closed. */
export function sendRaw(port: number, bytes: string): Promise<string> {
  return new Promise((done, failed) => {
    let text = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => {
      text += chunk;
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNRESET' || error.code === 'EPIPE') done(text);
      else failed(error);
    });
    socket.on('close', () => done(text));
  });
}
