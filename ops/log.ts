/**
 * The daemon's log on stdout: pino's JSON, or readable lines on a terminal. One line per request,
 * one per guest line, and what the daemon itself has to say. Lines are gathered for a moment and
 * written together, and kept in a bounded store that `wardian tail` and `wardian logs` read.
 *
 *   a line ──▶ gathered ──every FLUSH_MS──▶ stdout
 *                                  └──────▶ recent lines ──▶ followers
 */

import { pino } from 'pino';
import type { Logger } from 'pino';

import { prettyLine } from './pretty.ts';
import { RecentLines } from './recent.ts';

export type LineKind = 'request' | 'guest' | 'daemon';

export interface LogOptions {
  readonly level: string;
  readonly terminal: boolean;
  /** Bytes of recent lines kept for `wardian tail` and `wardian logs`. */
  readonly recentBytes: number;
  /** Told how many lines were written, and how many could not be. */
  readonly onLines?: (kind: LineKind, lines: number) => void;
  readonly onDropped?: (lines: number) => void;
}

const FLUSH_MS = 10;
/** Gathered characters that are written at once. */
const GATHERED_MAX = 256 * 1_024;
/** Lines of an earlier life of the daemon: more than the file that keeps them can hold. */
const OLDER_LINES_MAX = 10_000_000;
/** What may wait for whoever reads stdout; beyond it lines are dropped. */
const OUTPUT_WAITING_MAX = 16 * 1_024 * 1_024;

function countLines(bytes: Buffer): number {
  let lines = 0;
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) lines += 1;
  return lines;
}

export class Log {
  readonly logger: Logger;
  readonly recent: RecentLines;
  readonly #options: LogOptions;
  readonly #output: ReturnType<typeof pino.destination>;
  /** Asked for their lines before each flush. */
  readonly #feeders: (() => void)[] = [];
  #gathered = '';
  #timer: NodeJS.Timeout | null = null;

  constructor(options: LogOptions) {
    this.#options = options;
    this.recent = new RecentLines(options.recentBytes, OLDER_LINES_MAX);
    this.#output = pino.destination({
      fd: 1, sync: false, minLength: 0, maxLength: OUTPUT_WAITING_MAX,
      contentMode: 'buffer',
    });
    this.#output.on('drop', (bytes: Buffer) => options.onDropped?.(countLines(bytes)));
    this.logger = pino({ level: options.level, base: null }, {
      write: (line: string) => {
        this.add('daemon', line, 1);
      },
    });
  }

  /** Asks `feed` for its lines before each flush. It calls `wake` when it has some. */
  feed(feed: () => void): void {
    this.#feeders.push(feed);
  }

  /** There will be lines at the next flush. */
  wake(): void {
    if (this.#timer === null) this.#timer = setTimeout(this.#tick, FLUSH_MS);
  }

  /** Complete lines of JSON, each with its line feed. */
  add(kind: LineKind, lines: string, count: number): void {
    this.#options.onLines?.(kind, count);
    this.#gathered += lines;
    if (this.#gathered.length >= GATHERED_MAX) this.#write();
    else this.wake();
  }

  /** Writes out what is gathered and waits for it; for the end of the process. */
  flush(): void {
    for (const feed of this.#feeders) feed();
    this.#write();
    this.#output.flushSync();
  }

  readonly #tick = (): void => {
    this.#timer = null;
    for (const feed of this.#feeders) feed();
    this.#write();
  };

  #write(): void {
    const text = this.#gathered;
    if (text === '') return;
    this.#gathered = '';
    const bytes = Buffer.from(text);
    this.recent.append(bytes);
    this.#output.write((this.#options.terminal ? Buffer.from(prettyText(text)) : bytes) as never);
  }
}

function prettyText(text: string): string {
  return text.split('\n').map((line) => (line === '' ? '' : prettyLine(line, true))).join('\n');
}
