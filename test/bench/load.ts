/**
 * Load on a server of this machine: `wrk` where it is installed, otherwise a small generator of our
 * own in a child process. Bounded in connections and time.
 */

import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface Load {
  readonly port: number;
  readonly host: string;
  /** Asked for in turns, in place of `host` alone. */
  readonly hosts?: readonly string[];
  readonly path?: string;
  readonly connections: number;
  readonly seconds: number;
}

export interface LoadResult {
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Answers that were not 2xx or 3xx, and broken connections. */
  readonly errors: number;
}

export const hasWrk = ((): boolean => {
  try {
    execFileSync('wrk', ['-v'], { stdio: 'ignore' });
    return true;
  } catch (error) {
    // `wrk -v` prints its version and exits with 1; only its absence matters here.
    return (error as NodeJS.ErrnoException).code !== 'ENOENT';
  }
})();

const UNIT_MS: Record<string, number> = { us: 0.001, ms: 1, s: 1_000, m: 60_000 };

function milliseconds(text: string | undefined): number {
  const match = /^([\d.]+)(us|ms|s|m)$/.exec(text ?? '');
  if (match === null) throw new Error(`load: wrk printed a time that cannot be read: ${text}`);
  return Number(match[1]) * (UNIT_MS[match[2] ?? ''] ?? 1);
}

/** A script for wrk that asks the hosts in turns; the requests are made once. */
function turnsScript(hosts: readonly string[]): string {
  return `
local hosts = { ${hosts.map((host) => JSON.stringify(host)).join(', ')} }
local requests = {}
local turn = 0
function init(args)
  for i, host in ipairs(hosts) do requests[i] = wrk.format(nil, nil, { Host = host }) end
end
function request()
  turn = turn % #requests + 1
  return requests[turn]
end
`;
}

async function byWrk(load: Load): Promise<LoadResult> {
  const folder = mkdtempSync(join(tmpdir(), 'wardian-wrk-'));
  const script = join(folder, 'turns.lua');
  if (load.hosts !== undefined) writeFileSync(script, turnsScript(load.hosts));
  const { stdout } = await run('wrk', [
    '-t1',
    `-c${load.connections}`,
    `-d${load.seconds}s`,
    '--latency',
    // Slow answers are answers.
    '--timeout',
    '60s',
    ...(load.hosts === undefined ? ['-H', `Host: ${load.host}`] : ['-s', script]),
    `http://127.0.0.1:${load.port}${load.path ?? '/'}`,
  ]).finally(() => rmSync(folder, { recursive: true }));
  const find = (pattern: RegExp): string | undefined => pattern.exec(stdout)?.[1];
  const sockets = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(
    stdout,
  );
  const broken = (sockets ?? []).slice(1).reduce((sum, count) => sum + Number(count), 0);
  return {
    requestsPerSecond: Number(find(/Requests\/sec:\s+([\d.]+)/)),
    p50Ms: milliseconds(find(/^\s+50%\s+(\S+)/m)),
    p99Ms: milliseconds(find(/^\s+99%\s+(\S+)/m)),
    errors: Number(find(/Non-2xx or 3xx responses: (\d+)/) ?? 0) + broken,
  };
}

/** One keep-alive connection that asks, waits for the whole answer, and asks again. */
function client(
  load: Load,
  until: number,
  latencies: number[],
  onError: () => void,
): Promise<void> {
  const { hosts = [load.host] } = load;
  const asks = hosts.map((host) => `GET ${load.path ?? '/'} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  return new Promise((done) => {
    const socket = connect(load.port, '127.0.0.1');
    let text = '';
    let askedAt = 0;
    let turn = Math.floor(Math.random() * asks.length);
    const next = (): void => {
      if (performance.now() >= until) {
        socket.end();
        return;
      }
      text = '';
      askedAt = performance.now();
      turn = (turn + 1) % asks.length;
      socket.write(asks[turn] ?? '');
    };
    socket.setEncoding('latin1');
    socket.on('connect', next);
    socket.on('data', (chunk: string) => {
      text += chunk;
      const head = text.indexOf('\r\n\r\n');
      if (head < 0) return;
      const length = /content-length: (\d+)/i.exec(text.slice(0, head));
      if (text.length < head + 4 + Number(length?.[1] ?? 0)) return;
      latencies.push(performance.now() - askedAt);
      if (!/^HTTP\/1\.1 [23]/.test(text)) onError();
      next();
    });
    socket.on('error', onError);
    socket.on('close', () => done());
  });
}

async function byOurselves(load: Load): Promise<LoadResult> {
  const latencies: number[] = [];
  let errors = 0;
  const startedAt = performance.now();
  const until = startedAt + load.seconds * 1_000;
  await Promise.all(
    Array.from({ length: load.connections }, () =>
      client(load, until, latencies, () => {
        errors += 1;
      }),
    ),
  );
  const seconds = (performance.now() - startedAt) / 1_000;
  latencies.sort((a, b) => a - b);
  const at = (share: number): number =>
    latencies[Math.floor(latencies.length * share)] ?? Number.NaN;
  return { requestsPerSecond: latencies.length / seconds, p50Ms: at(0.5), p99Ms: at(0.99), errors };
}

export function measure(load: Load): Promise<LoadResult> {
  return hasWrk ? byWrk(load) : byOurselves(load);
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}
