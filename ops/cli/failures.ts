/** `wardian failures list|show`: what went wrong in guests, grouped, with where and to whom. */

import { callApi, pagesOf } from './client.ts';
import type { ClientOptions } from './client.ts';
import { demangle } from './demangle.ts';
import { table } from './apps.ts';
import { escapeControls } from '../escape.ts';

interface Sample {
  readonly requestId: string;
  readonly at: string;
  readonly method: string;
  readonly host: string;
  readonly target: string;
  readonly client: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly message: string;
  readonly status: number;
  readonly fuel: number;
  readonly fuelLimit: number;
  readonly memoryBytes: number;
  readonly memoryLimitBytes: number;
  readonly hostcalls: number;
  readonly runMs: number;
}

interface Group {
  readonly id: string;
  readonly tenant: string;
  readonly app: string;
  readonly version: number;
  readonly code: string;
  readonly message: string;
  readonly at: string | null;
  readonly lastHostcall: string | null;
  readonly count: number;
  readonly firstAt: string;
  readonly lastAt: string;
}

export interface FailureFlags {
  readonly app?: string;
  readonly code?: string;
  readonly json?: boolean;
}

const shorten = (text: string, length: number): string =>
  text.length <= length ? text : `${text.slice(0, length - 1)}…`;

/** `name@0x12` with the name as its author wrote it. */
export function frameText(frame: string): string {
  const at = frame.lastIndexOf('@');
  return at < 0 ? demangle(frame) : `${demangle(frame.slice(0, at))} at ${frame.slice(at + 1)}`;
}

interface Line {
  readonly source: string;
  readonly line: number;
  readonly column: number;
}

/** `name at src/lib.rs:42:7`, or with the offset where the line is not known. */
export function placeText(frame: string, line: Line | null): string {
  if (line === null) return frameText(frame);
  const at = frame.lastIndexOf('@');
  const column = line.column === 0 ? '' : `:${line.column}`;
  const name = demangle(at < 0 ? frame : frame.slice(0, at));
  return `${name} at ${line.source}:${line.line}${column} (${frame.slice(at + 1)})`;
}

export async function listFailures(daemon: ClientOptions, flags: FailureFlags): Promise<void> {
  const failures: Group[] = [];
  let forgotten = 0;
  const query = { app: flags.app, code: flags.code };
  for await (const page of pagesOf(daemon, '/v1/failures', query)) {
    failures.push(...page['failures'] as Group[]);
    forgotten = Number(page['forgotten']);
  }
  if (flags.json === true) {
    process.stdout.write(`${JSON.stringify({ failures, forgotten })}\n`);
    return;
  }
  const rows = failures.map((group) => [
    group.id, `${group.app}@${group.version}`, String(group.count), group.code, group.lastAt,
    escapeControls(shorten(group.message, 80)),
  ]);
  process.stdout.write(`${table(['ID', 'APP', 'COUNT', 'CODE', 'LAST', 'REASON'], rows)}\n`);
  if (forgotten > 0) {
    process.stderr.write(`wardian: ${forgotten} older failures had to make room\n`);
  }
}

/** Lines for a terminal: what guests and clients said does nothing to it. */
const safe = (lines: readonly string[]): string => lines.map(escapeControls).join('\n');

function sampleText(sample: Sample): string {
  const used = `fuel ${sample.fuel} of ${sample.fuelLimit}, ` +
    `memory ${sample.memoryBytes} of ${sample.memoryLimitBytes} bytes, ` +
    `${sample.hostcalls} hostcalls, ran ${sample.runMs.toFixed(3)} ms`;
  const headers = sample.headers.map(([name, value]) => `    ${name}: ${value}`);
  return safe([
    `${sample.at}  ${sample.requestId}  from ${sample.client}  answered ${sample.status}`,
    `    ${sample.method} ${sample.target}`, ...headers, `  ${sample.message}`, `  ${used}`,
  ]);
}

export async function showFailure(
  daemon: ClientOptions, id: string, flags: FailureFlags,
): Promise<void> {
  const group = await callApi(daemon, {
    method: 'GET', path: `/v1/failures/${encodeURIComponent(id)}`,
  }) as Group & { backtrace: string[]; lines: (Line | null)[]; samples: Sample[] };
  if (flags.json === true) {
    process.stdout.write(`${JSON.stringify(group)}\n`);
    return;
  }
  const frames = group.backtrace.map((frame, index) =>
    `  ${placeText(frame, group.lines[index] ?? null)}`);
  const lines = [
    `${group.code} in ${group.app}@${group.version} of ${group.tenant}: ${group.message}`,
    `${group.count} times, first ${group.firstAt}, last ${group.lastAt}`,
    `last hostcall: ${group.lastHostcall ?? 'none'}`,
    frames.length === 0 ? 'no guest frames' : 'guest frames, innermost first:', ...frames,
    '', 'latest requests:',
  ];
  const samples = group.samples.map(sampleText).join('\n');
  process.stdout.write(`${safe(lines)}\n${samples}\n`);
}
