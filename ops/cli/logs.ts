/**
 * `wardian tail` and `wardian logs`: lines of the daemon's log, live or of the recent past. A
 * reader that loses its connection comes back and goes on; what it missed is told on stderr.
 */

import { setTimeout as sleep } from 'node:timers/promises';

import { prettyLine } from '../pretty.ts';
import { CliError, LostError, streamApi } from './client.ts';
import type { ClientOptions } from './client.ts';

export interface LogFlags {
  readonly json?: boolean;
  readonly format?: 'pretty' | 'json';
  readonly status?: string;
  readonly method?: string;
  readonly search?: string;
  readonly version?: string;
  readonly samplingRate?: string;
  readonly kind?: string;
  readonly since?: string;
  readonly limit?: string;
}

interface LogEvent {
  readonly cursor: string;
  readonly line?: Record<string, unknown>;
  readonly dropped?: number;
  readonly reason?: string;
  readonly restarted?: boolean;
}

const UNITS_MS: Readonly<Record<string, number>> = { s: 1e3, m: 6e4, h: 3.6e6, d: 8.64e7 };
const RETRY_MS_MIN = 250;
const RETRY_MS_MAX = 5_000;

/** `10m`, `2h`, or a date; milliseconds since the epoch. */
export function sinceOf(text: string, now: number): number {
  const match = /^(\d{1,9})([smhd])$/.exec(text);
  if (match !== null) return now - Number(match[1]) * (UNITS_MS[match[2] ?? ''] ?? 0);
  const date = Date.parse(text);
  if (Number.isNaN(date)) {
    throw new CliError(`${text}: expected a span such as 10m or 2h, or a date`, 2);
  }
  return date;
}

function queryOf(app: string | undefined, flags: LogFlags): Record<string, string | undefined> {
  return {
    app,
    status: flags.status,
    method: flags.method,
    search: flags.search,
    version: flags.version,
    sampling_rate: flags.samplingRate,
    kind: flags.kind,
    limit: flags.limit,
    since: flags.since === undefined ? undefined : String(sinceOf(flags.since, Date.now())),
  };
}

const REASONS: Readonly<Record<string, string>> = {
  overrun: 'they came faster than this reader took them, or it was away too long',
  rate: 'more than one reader may have in a second',
};

function show(event: LogEvent, format: 'pretty' | 'json'): void {
  if (event.line !== undefined) {
    const json = JSON.stringify(event.line);
    const colors = process.stdout.isTTY && process.env['NO_COLOR'] === undefined;
    process.stdout.write(`${format === 'json' ? json : prettyLine(json, colors)}\n`);
  } else if (event.dropped !== undefined) {
    const reason = REASONS[event.reason ?? ''] ?? event.reason ?? '';
    process.stderr.write(`wardian: ${event.dropped} lines of the log were dropped: ${reason}\n`);
  } else if (event.restarted === true) {
    process.stderr.write('wardian: the daemon was restarted; lines in between are lost\n');
  }
}

export function formatOf(flags: LogFlags): 'pretty' | 'json' {
  if (flags.json === true) return 'json';
  return flags.format ?? (process.stdout.isTTY ? 'pretty' : 'json');
}

/** Until it is interrupted. A refusal ends it; a lost connection does not. */
export async function tail(
  daemon: ClientOptions, app: string | undefined, flags: LogFlags,
): Promise<void> {
  const format = formatOf(flags);
  const { limit: _limit, ...query } = queryOf(app, flags);
  let after: string | undefined;
  let retryMs = RETRY_MS_MIN;
  for (;;) {
    let failure: unknown;
    try {
      const call = { method: 'GET' as const, path: '/v1/logs',
        query: { ...query, follow: 'true', after } };
      await streamApi(daemon, call, (event) => {
        show(event as LogEvent, format);
        after = (event as LogEvent).cursor;
        retryMs = RETRY_MS_MIN;
      });
    } catch (error) {
      failure = error;
    }
    const wasRefused = failure instanceof CliError && failure.exitCode !== 3;
    const neverConnected = failure instanceof CliError && !(failure instanceof LostError)
      && after === undefined;
    if (wasRefused || neverConnected) throw failure;
    process.stderr.write(`wardian: the connection was lost; again in ${retryMs} ms\n`);
    await sleep(retryMs);
    retryMs = Math.min(retryMs * 2, RETRY_MS_MAX);
  }
}

/** What is kept of the recent past. */
export async function logs(
  daemon: ClientOptions, app: string | undefined, flags: LogFlags,
): Promise<void> {
  const format = formatOf(flags);
  const query = queryOf(app, flags);
  await streamApi(daemon, { method: 'GET', path: '/v1/logs', query }, (event) =>
    show(event as LogEvent, format));
}
