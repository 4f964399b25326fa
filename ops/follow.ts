/**
 * A reader of the log: first what is kept, then, when it follows, each line as it comes. Every
 * event names the place after it, from which a reader that lost its connection goes on; what it can
 * no longer have is told as a number.
 *
 * Of the past a reader takes as fast as it can, and the reading waits for it; of what comes live it
 * gets so many lines a second.
 */

import { setImmediate as nextTurn } from 'node:timers/promises';

import { pick } from './filter.ts';
import type { LineFilter, LogEntry } from './filter.ts';
import type { RecentLines } from './recent.ts';

export type LogEvent =
  | { readonly cursor: string; readonly line: LogEntry }
  /** `overrun`: no longer kept; `rate`: too many at once for this reader. */
  | { readonly cursor: string; readonly dropped: number; readonly reason: 'overrun' | 'rate' }
  /** The daemon was started anew since: nothing is known of the lines between. */
  | { readonly cursor: string; readonly restarted: true }
  | { readonly cursor: string; readonly idle: true };

export interface FollowOptions {
  readonly filter: LineFilter;
  readonly follow: boolean;
  /** Where an earlier reading stopped; '': the start of what is kept or, following, now. */
  readonly after: string;
  /** Lines at most. Without `after` the latest ones, else those that come next. */
  readonly limit: number;
  readonly signal: AbortSignal;
}

const IDLE_MS = 10_000;
/** Live lines that one reader gets in a second; more are dropped and told. */
const LINES_PER_SECOND = 5_000;

export class Follower {
  readonly #recent: RecentLines;
  readonly #run: string;

  /** `run` names this life of the daemon: numbers of lines mean nothing in another. */
  constructor(recent: RecentLines, run: string) {
    this.#recent = recent;
    this.#run = run;
  }

  #cursor(next: number): string {
    return `${this.#run}.${next}`;
  }

  /** The line that a cursor stands before; null when it is of another life of the daemon. */
  #placeOf(cursor: string): number | null {
    const match = /^([0-9a-f]+)\.(\d{1,15})$/.exec(cursor);
    if (match === null || match[1] !== this.#run) return null;
    return Math.min(Number(match[2]), this.#recent.next);
  }

  #start({ after, follow, filter }: FollowOptions): { next: number; restarted: boolean } {
    if (after === '') {
      const fromNow = follow && filter.since === undefined;
      return { next: fromNow ? this.#recent.next : this.#recent.oldest, restarted: false };
    }
    const place = this.#placeOf(after);
    return { next: place ?? this.#recent.oldest, restarted: place === null };
  }

  /** Where the last `limit` lines that the reader wants begin. */
  async #lastPlace({ filter, limit, signal }: FollowOptions): Promise<number> {
    const recent = this.#recent;
    let place = recent.next;
    let left = limit;
    if (left > recent.next - recent.oldest) return recent.oldest;
    while (left > 0 && place > recent.oldest && !signal.aborted) {
      const { lines, first } = recent.readBefore(place);
      if (lines.length === 0) break;
      for (let at = lines.length - 1; at >= 0 && left > 0; at -= 1) {
        place = first + at;
        if (pick(lines[at] ?? '', filter) !== null) left -= 1;
      }
      await nextTurn();
    }
    return place;
  }

  async *events(options: FollowOptions): AsyncGenerator<LogEvent> {
    const { follow, signal, filter } = options;
    const { next: start, restarted } = this.#start(options);
    const live = this.#recent.next;
    let next = start;
    const budget = new Budget();
    let left = options.limit;
    if (restarted) yield { cursor: this.#cursor(next), restarted: true };
    // At once, so that whoever connects knows that it is connected, and where it stands.
    else if (follow) yield { cursor: this.#cursor(next), idle: true };
    else if (options.after === '') next = await this.#lastPlace(options);
    while (!signal.aborted) {
      const read = this.#recent.read(next);
      if (read.lost > 0) {
        yield { cursor: this.#cursor(read.first), dropped: read.lost, reason: 'overrun' };
      }
      for (const [index, text] of read.lines.entries()) {
        const number = read.first + index;
        if (!follow && number >= live) return;
        const line = pick(text, filter);
        if (line === null || (number >= live && !budget.take())) continue;
        yield { cursor: this.#cursor(number + 1), line };
        left -= 1;
        if (left === 0) return;
      }
      next = read.next;
      const dropped = budget.told();
      if (dropped > 0) yield { cursor: this.#cursor(next), dropped, reason: 'rate' };
      if (!follow && next >= live) return;
      if (next < this.#recent.next) await nextTurn();
      else {
        await this.#recent.wait(next, IDLE_MS, signal);
        if (next === this.#recent.next && !signal.aborted) {
          yield { cursor: this.#cursor(next), idle: true };
        }
      }
    }
  }
}

/** How many live lines a reader gets in a second. */
class Budget {
  #since = performance.now();
  #given = 0;
  #dropped = 0;

  take(): boolean {
    const now = performance.now();
    if (now - this.#since >= 1_000) {
      this.#since = now;
      this.#given = 0;
    }
    if (this.#given >= LINES_PER_SECOND) {
      this.#dropped += 1;
      return false;
    }
    this.#given += 1;
    return true;
  }

  /** Lines dropped since the last call. */
  told(): number {
    const dropped = this.#dropped;
    this.#dropped = 0;
    return dropped;
  }
}
