/**
 * Starts the real daemon as a child process on free ports and a fresh data folder, deploys to it
 * through its admin API, and speaks HTTP to its tenants over real sockets.
 */

import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const READY_MS = 60_000;

export interface DaemonOptions {
  /** Further flags of `wardian serve`. */
  readonly flags?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** A data folder to go on with; by default a new one, removed at the end. */
  readonly data?: string;
  readonly command?: 'serve' | 'start';
  /** The data folder is a disk of its own of that size. Where `SMALL_DISKS` says that it can be. */
  readonly diskBytes?: number;
  /** False: lines after the start are read and thrown away; for benchmarks. */
  readonly keepLog?: boolean;
  /** Flags of Node; the daemon then runs in the Node that runs the test. */
  readonly nodeFlags?: readonly string[];
  /** The checkout to start; by default this one. For benchmarks that compare. */
  readonly root?: string;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: string[];
  readonly body: Buffer;
  readonly text: string;
}

export interface AskOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly body?: Buffer | string;
}

export interface DeployEvent {
  readonly stage: string;
  readonly message?: string;
  readonly url?: string;
  readonly version?: { readonly number: number };
  readonly error?: { readonly code: string; readonly message: string; readonly output?: string };
}

export interface Daemon {
  readonly port: number;
  readonly adminPort: number;
  readonly data: string;
  readonly child: ChildProcess;
  readonly token: string;
  /** Lines of the log so far, parsed. */
  readonly log: Record<string, unknown>[];
  readonly stderr: () => string;
  ask(host: string, path?: string, options?: AskOptions): Promise<HttpAnswer>;
  admin(method: string, path: string, options?: AskOptions): Promise<HttpAnswer>;
  /**
   * Deploys a module and resolves with the last event; throws with the error's message when it
   * failed.
   */
  deploy(label: string, wasm: Uint8Array): Promise<DeployEvent>;
  /** The same, but a failure is a result. */
  tryDeploy(
    label: string,
    body: Uint8Array,
    query?: string,
    contentType?: string,
  ): Promise<DeployEvent[]>;
  /** Resolves with the exit code once the process has ended; null when a signal ended it. */
  readonly ended: Promise<number | null>;
  /** Ends it with SIGTERM and answers its exit code. */
  stop(): Promise<number | null>;
  /** SIGKILL. */
  kill(): Promise<void>;
}

export function ask(
  port: number,
  host: string,
  path: string,
  options: AskOptions = {},
): Promise<HttpAnswer> {
  return new Promise((done, failed) => {
    const request = httpRequest(
      {
        host: '127.0.0.1',
        port,
        path,
        method: options.method ?? 'GET',
        headers: { host, ...options.headers },
        agent: false,
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', failed);
        response.on('end', () => {
          const body = Buffer.concat(chunks);
          done({
            status: response.statusCode ?? 0,
            headers: response.headers,
            rawHeaders: response.rawHeaders,
            body,
            text: body.toString(),
          });
        });
      },
    );
    request.on('error', failed);
    request.end(options.body);
  });
}

interface Ready {
  readonly port: number;
  readonly adminPort: number;
}

/** Waits for the line that says where the daemon listens. */
function ready(
  child: ChildProcess,
  log: Record<string, unknown>[],
  stderr: () => string,
): Promise<Ready> {
  return new Promise((done, failed) => {
    const late = setTimeout(
      () => failed(new Error(`the daemon is not ready: ${stderr()}`)),
      READY_MS,
    );
    let rest = '';
    child.once('exit', (code) => {
      clearTimeout(late);
      failed(new Error(`the daemon ended with ${code}: ${stderr()}`));
    });
    child.stdout?.setEncoding('utf8');
    child.stdout?.on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        if (!line.startsWith('{')) continue;
        const entry = JSON.parse(line) as Record<string, unknown>;
        log.push(entry);
        if (entry['event'] !== 'ready') continue;
        clearTimeout(late);
        done({ port: Number(entry['port']), adminPort: Number(entry['adminPort']) });
      }
    });
  });
}

/** Daemons that live: none outlives the test's process. */
const living = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of living) child.kill('SIGKILL');
});

/** Why no daemon can be given a small disk here, or false: it takes a mount namespace. */
export const SMALL_DISKS: { readonly skip: string } | { readonly skip: false } =
  spawnSync('unshare', ['-rm', 'true']).status === 0
    ? { skip: false } : { skip: 'mount namespaces are not allowed here' };

/** The words that start it: its process id is the daemon's, whatever is done before. */
function wordsOf(data: string, options: DaemonOptions): [string, ...string[]] {
  const words: [string, ...string[]] = [
    process.execPath, ...(options.nodeFlags ?? []),
    join(options.root ?? ROOT, 'bin/wardian.js'), options.command ?? 'serve',
    '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--data', data, ...(options.flags ?? []),
  ];
  if (options.diskBytes === undefined) return words;
  const mount = `mount -t tmpfs -o size=${options.diskBytes} none "${data}" && exec "$0" "$@"`;
  return ['unshare', '-rm', 'sh', '-c', mount, ...words];
}

/** Set in the environment of every daemon under test; nothing else of ours leaks into it. */
function environmentOf(options: DaemonOptions): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('WARDIAN_'));
  return { ...Object.fromEntries(inherited), ...options.environment };
}

export async function startDaemon(options: DaemonOptions = {}): Promise<Daemon> {
  const data = options.data ?? mkdtempSync(join(tmpdir(), 'wardian-test-'));
  const [program, ...words] = wordsOf(data, options);
  const child = spawn(
    program, words, { stdio: ['ignore', 'pipe', 'pipe'], env: environmentOf(options) });
  let errors = '';
  child.stderr.setEncoding('utf8');
  child.stderr.on('data', (chunk: string) => {
    errors += chunk;
  });
  living.add(child);
  const ended = new Promise<number | null>((done) => {
    child.once('exit', (code) => {
      living.delete(child);
      done(code);
    });
  });
  const log: Record<string, unknown>[] = [];
  const { port, adminPort } = await ready(child, log, () => errors).catch((error: unknown) => {
    child.kill('SIGKILL');
    throw error;
  });
  if (options.keepLog === false) child.stdout.removeAllListeners('data').resume();
  // What the daemon has mounted is to be seen through its process alone.
  const seen = options.diskBytes === undefined ? data : `/proc/${child.pid}/root${data}`;
  const token = readFileSync(join(seen, 'admin-token'), 'utf8').trim();
  const forget = (): void => {
    if (options.data !== undefined) return;
    // A builder of a daemon that was killed may still be writing.
    rmSync(data, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  };
  const admin: Daemon['admin'] = (method, path, request = {}) =>
    ask(adminPort, `127.0.0.1:${adminPort}`, path, {
      ...request,
      method,
      headers: { authorization: `Bearer ${token}`, ...request.headers },
    });
  const tryDeploy: Daemon['tryDeploy'] = async (
    label,
    body,
    query = '',
    contentType = 'application/wasm',
  ) => {
    const answer = await admin('POST', `/v1/apps/${label}/deploys${query}`, {
      body: Buffer.from(body),
      headers: { 'content-type': contentType },
    });
    if (answer.status >= 400)
      throw new Error(`deploy of ${label}: ${answer.status} ${answer.text}`);
    return answer.text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as DeployEvent);
  };
  return {
    port,
    adminPort,
    data,
    child,
    token,
    log,
    ended,
    stderr: () => errors,
    admin,
    tryDeploy,
    ask: (host, path = '/', request = {}) => ask(port, host, path, request),
    async deploy(label, wasm) {
      const last = (await tryDeploy(label, wasm)).at(-1);
      if (last?.stage !== 'done')
        throw new Error(`deploy of ${label}: ${last?.error?.message ?? 'no result'}`);
      return last;
    },
    async stop() {
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), 40_000);
      const code = await ended;
      clearTimeout(late);
      forget();
      return code;
    },
    async kill() {
      child.kill('SIGKILL');
      await ended;
      forget();
    },
  };
}
