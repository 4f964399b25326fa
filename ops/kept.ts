/**
 * What an operator wants to see after a restart: the latest lines of the log and the reports of
 * failures, written to the data folder when the daemon has drained, and read when it starts again.
 * Both are bounded; a daemon that crashes has not written them.
 */

import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';

import { ERRORS } from '../contract/errors.ts';
import type { ErrorCode } from '../contract/errors.ts';
import type { FailureGroup } from './failures.ts';

const LINES_FILE = 'recent.log';
const FAILURES_FILE = 'failures.json';
const LINES_BYTES_MAX = 4 * 1_024 * 1_024;
const FAILURES_BYTES_MAX = 8 * 1_024 * 1_024;
const LINE_FEED = 10;

export interface Kept {
  /** Whole lines of JSON. */
  readonly lines: Buffer;
  /** The latest first. */
  readonly failures: readonly FailureGroup[];
}

export interface Loaded extends Kept {
  /** Lines and groups that are not what was written, and are left out. */
  readonly badLines: number;
  readonly badFailures: number;
  /** Why a file cannot be read at all: one error for each. */
  readonly errors: readonly Error[];
}

const text = z.string().max(64 * 1_024);
const count = z.number().nonnegative();
const sample = z.object({
  requestId: text, traceId: text.nullable(), at: text, method: text, host: text, target: text,
  client: text, headers: z.array(z.tuple([text, text])).max(256), message: text, status: count,
  fuel: count, fuelLimit: count, memoryBytes: count, memoryLimitBytes: count, hostcalls: count,
  runMs: count,
});
const line = z.object({ source: text, line: count, column: count });
const group = z.object({
  id: z.string().regex(/^[0-9a-f]{12}$/), tenant: text, tenantId: count, app: text,
  appId: count, version: count,
  code: z.string().refine((code): code is ErrorCode => Object.hasOwn(ERRORS, code)),
  message: text, backtrace: z.array(text).max(256), lines: z.array(line.nullable()).max(256),
  lastHostcall: text.nullable(), count,
  firstAt: text, lastAt: text, samples: z.array(sample).max(16),
});
const file = z.array(z.unknown());

/** The bytes' last lines, as many as fit. */
function lastLines(bytes: Buffer): Buffer {
  if (bytes.length <= LINES_BYTES_MAX) return bytes;
  const cut = bytes.subarray(bytes.length - LINES_BYTES_MAX);
  return cut.subarray(cut.indexOf(LINE_FEED) + 1);
}

/** As JSON, as many of the first as fit. */
function failuresText(failures: readonly FailureGroup[]): string {
  const parts: string[] = [];
  let length = 2;
  for (const one of failures) {
    const part = JSON.stringify(one);
    length += Buffer.byteLength(part) + 1;
    if (length > FAILURES_BYTES_MAX) break;
    parts.push(part);
  }
  return `[${parts.join(',')}]`;
}

/** Whole or not at all; readable for nobody else. */
async function write(path: string, content: Buffer | string): Promise<void> {
  const temporary = `${path}.new`;
  await writeFile(temporary, content, { mode: 0o600 });
  await rename(temporary, path);
}

export async function saveKept(folder: string, { lines, failures }: Kept): Promise<void> {
  await write(join(folder, LINES_FILE), lastLines(lines));
  await write(join(folder, FAILURES_FILE), failuresText(failures));
}

async function read(path: string, bytesMax: number): Promise<Buffer> {
  try {
    const bytes = await readFile(path);
    if (bytes.length > bytesMax) throw new Error(`${path} is larger than what is kept`);
    return bytes;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return Buffer.alloc(0);
    throw error;
  }
}

type HasApp = (appId: number) => boolean;

/** As every reader of the log expects them. */
const entry = z.looseObject({
  time: z.number(), tenant: z.string().optional(), appId: z.number().optional(),
});

function parseLine(line: string): z.output<typeof entry> | null {
  try {
    return entry.safeParse(JSON.parse(line)).data ?? null;
  } catch {
    return null;
  }
}

async function loadLines(
  folder: string, hasApp: HasApp,
): Promise<Pick<Loaded, 'lines' | 'badLines'>> {
  const bytes = await read(join(folder, LINES_FILE), LINES_BYTES_MAX);
  const all = bytes.toString('utf8').split('\n').filter((line) => line !== '');
  let badLines = 0;
  const good = all.filter((line) => {
    const parsed = parseLine(line);
    if (parsed === null) {
      badLines += 1;
      return false;
    }
    // Without an id, as an older Wardian has written it, nobody knows whose it was.
    return parsed.appId === undefined ? parsed.tenant === undefined : hasApp(parsed.appId);
  });
  return { lines: Buffer.from(good.map((line) => `${line}\n`).join('')), badLines };
}

async function loadFailures(
  folder: string, hasApp: HasApp,
): Promise<Pick<Loaded, 'failures' | 'badFailures'>> {
  const json = await read(join(folder, FAILURES_FILE), FAILURES_BYTES_MAX);
  const all = json.length === 0 ? [] : file.parse(JSON.parse(json.toString('utf8')));
  const good = all.flatMap((one) => {
    const parsed = group.safeParse(one);
    return parsed.success ? [parsed.data] : [];
  });
  const failures = good.filter(({ appId }) => hasApp(appId));
  return { failures, badFailures: all.length - good.length };
}

/**
 * Never rejects: what is damaged of one file, or of a part of it, takes nothing else along, and is
 * told with what is whole. What is of an app that is gone is left out.
 */
export async function loadKept(folder: string, hasAppNow: HasApp): Promise<Loaded> {
  const known = new Map<number, boolean>();
  const hasApp: HasApp = (appId) => {
    const isKnown = known.get(appId) ?? hasAppNow(appId);
    known.set(appId, isKnown);
    return isKnown;
  };
  const [lines, failures] = await Promise.allSettled([
    loadLines(folder, hasApp), loadFailures(folder, hasApp),
  ]);
  const errors = [lines, failures].flatMap((one) =>
    (one.status === 'rejected' ? [one.reason as Error] : []));
  return {
    ...(lines.status === 'fulfilled' ? lines.value : { lines: Buffer.alloc(0), badLines: 0 }),
    ...(failures.status === 'fulfilled' ? failures.value : { failures: [], badFailures: 0 }),
    errors,
  };
}
