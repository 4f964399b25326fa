/**
 * Lines that guests log (`hostcall_debug`, WASI stdout and stderr, panics), in the daemon's log:
 * named, with a level, escaped, and so many a second for each app. What is dropped is counted and
 * said.
 */

import { LRUCache } from 'lru-cache';

import type { GuestLogLine } from '../contract/messages.ts';
import { escapeControls } from './escape.ts';
import type { Log } from './log.ts';

/** The app of a version, as the daemon knows it. */
export interface VersionNames {
  readonly tenantId: number;
  readonly tenantName: string;
  readonly appId: number;
  readonly label: string;
  readonly versionNumber: number;
}

export interface GuestLogOptions {
  /** Lines of one app in a second; twice as many may come at once. */
  readonly linesPerSecond: number;
  readonly onLines: (names: VersionNames, lines: number) => void;
  readonly onDropped: (lines: number) => void;
}

/** What an app may still log, and what it was denied since that was last said. */
interface Budget {
  left: number;
  filledAt: number;
  dropped: number;
  /** Null: of versions that nobody knows any more, together. */
  readonly names: VersionNames | null;
}

const WARN = 40;
const LEVELS = { debug: 30, stdout: 30, stderr: 40, panic: 50, wardian: WARN } as const;
const BURST_S = 2;
const SAY_MS = 1_000;
const BUDGETS_MAX = 10_000;
const VERSIONS_MAX = 20_000;

export class GuestLog {
  readonly #log: Log;
  readonly #options: GuestLogOptions;
  readonly #versions = new LRUCache<number, VersionNames>({ max: VERSIONS_MAX });
  readonly #budgets = new LRUCache<string, Budget>({ max: BUDGETS_MAX });
  readonly #timer: NodeJS.Timeout;
  #lookUp: (versionId: number) => VersionNames | null = () => null;

  constructor(log: Log, options: GuestLogOptions) {
    this.#log = log;
    this.#options = options;
    this.#timer = setInterval(() => this.#sayDropped(), SAY_MS);
    this.#timer.unref();
  }

  /** How versions are found that no request has named yet. */
  connect(lookUp: (versionId: number) => VersionNames | null): void {
    this.#lookUp = lookUp;
  }

  lines(lines: readonly GuestLogLine[]): void {
    let text = '';
    let count = 0;
    for (const line of lines) {
      const names = this.#namesOf(line.versionId);
      if (!this.#take(names)) continue;
      text += lineText(line, names);
      count += 1;
    }
    if (count > 0) this.#log.add('guest', text, count);
  }

  /** A backup was restored: numbers of versions may name other ones. */
  forget(): void {
    this.#versions.clear();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#sayDropped();
  }

  #namesOf(versionId: number): VersionNames | null {
    let names = this.#versions.get(versionId) ?? null;
    if (names === null) {
      names = this.#lookUp(versionId);
      if (names !== null) this.#versions.set(versionId, names);
    }
    return names;
  }

  #take(names: VersionNames | null): boolean {
    const { linesPerSecond } = this.#options;
    const key = names === null ? '' : String(names.appId);
    const now = performance.now();
    let budget = this.#budgets.get(key);
    if (budget === undefined) {
      budget = { left: linesPerSecond * BURST_S, filledAt: now, dropped: 0, names };
      this.#budgets.set(key, budget);
    }
    const earned = ((now - budget.filledAt) / 1_000) * linesPerSecond;
    budget.left = Math.min(linesPerSecond * BURST_S, budget.left + earned);
    budget.filledAt = now;
    if (names !== null) this.#options.onLines(names, 1);
    if (budget.left < 1) {
      budget.dropped += 1;
      this.#options.onDropped(1);
      return false;
    }
    budget.left -= 1;
    return true;
  }

  #sayDropped(): void {
    for (const budget of this.#budgets.values()) {
      if (budget.dropped === 0) continue;
      const { dropped } = budget;
      budget.dropped = 0;
      const said = `${dropped} lines were dropped: more than ${this.#options.linesPerSecond} ` +
        'a second';
      this.#log.add('guest', `${head(WARN, Date.now(), budget.names)}` +
        `,"source":"wardian","dropped":${dropped},"msg":${JSON.stringify(said)}}\n`, 1);
    }
  }
}

function head(level: number, time: number, names: VersionNames | null): string {
  const text = `{"level":${level},"time":${time},"kind":"guest"`;
  if (names === null) return text;
  return `${text},"tenant":${JSON.stringify(names.tenantName)},"tenantId":${names.tenantId}` +
    `,"app":${JSON.stringify(names.label)},"appId":${names.appId}` +
    `,"version":${names.versionNumber}`;
}

function lineText(line: GuestLogLine, names: VersionNames | null): string {
  const text = head(LEVELS[line.source], Math.round(line.atMs), names);
  return `${text},"requestId":${JSON.stringify(line.requestId)},"source":"${line.source}"` +
    `${line.cutBytes === 0 ? '' : `,"cutBytes":${line.cutBytes}`}` +
    `,"msg":${JSON.stringify(escapeControls(line.text))}}\n`;
}
