/**
 * Reports of failed guests: what happened, where in the guest, after which hostcall, with how much
 * fuel and memory, and to which request. The same failure is kept once and counted; the latest
 * requests that met it are kept with it. Bounded by groups per app and by bytes in all.
 */

import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';

import type { SourceLine } from '../contract/build.ts';
import type { ErrorCode } from '../contract/errors.ts';
import { isReported } from './metrics/reasons.ts';
import type { RequestRecord } from './record.ts';
import { cut } from './redact.ts';
import type { Redaction } from './redact.ts';

/** One request that met the failure. */
export interface FailureSample {
  readonly requestId: string;
  /** Null when nothing is traced. */
  readonly traceId: string | null;
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

export interface FailureGroup {
  readonly id: string;
  readonly tenant: string;
  /** Names may have been another's before; ids never. */
  readonly tenantId: number;
  readonly app: string;
  readonly appId: number;
  readonly version: number;
  readonly code: ErrorCode;
  /** The message and the last hostcall of the latest sample. */
  readonly message: string;
  /** Guest frames, innermost first: `name@offset`; names are those of the name section. */
  readonly backtrace: readonly string[];
  /**
   * One for each frame, null where none is known; empty until they are found, and where the module
   * carries none.
   */
  readonly lines: readonly (SourceLine | null)[];
  readonly lastHostcall: string | null;
  readonly count: number;
  readonly firstAt: string;
  readonly lastAt: string;
  readonly samples: readonly FailureSample[];
}

interface Group extends FailureGroup {
  message: string;
  lines: readonly (SourceLine | null)[];
  lastHostcall: string | null;
  count: number;
  lastAt: string;
  samples: FailureSample[];
  sampledAt: number;
}

/** Lines of a version's source for offsets in its module; null when there are none. */
export type FindLines = (
  versionId: number, offsets: readonly number[],
) => Promise<readonly (SourceLine | null)[] | null>;

export interface FailureFilter {
  readonly tenant?: string | undefined;
  readonly tenantId?: number | undefined;
  readonly app?: string | undefined;
  readonly code?: string | undefined;
}

const GROUPS_PER_APP_MAX = 50;
const GROUPS_MAX = 10_000;
const BYTES_MAX = 32 * 1_024 * 1_024;
const SAMPLES_MAX = 3;
/** A flood of one failure replaces its samples so often at most. */
const SAMPLE_MS = 100;
const FRAMES_MAX = 32;
const MESSAGE_LENGTH_MAX = 2_048;
const TARGET_LENGTH_MAX = 2_048;

/** What is the same of a message for all requests that meet the same failure. */
function withoutNumbers(message: string): string {
  return message.slice(0, MESSAGE_LENGTH_MAX).replaceAll(/0x[0-9a-f]+|\d+/gi, '#');
}

/** Of `name@0x1a2`; 0, where no function is, for what is none. */
function offsetOf(frame: string): number {
  const offset = Number(frame.slice(frame.lastIndexOf('@') + 1));
  return Number.isSafeInteger(offset) && offset >= 0 ? offset : 0;
}

function sizeOf(group: Group): number {
  let size = 512 + 2 * (group.message.length + group.backtrace.join('').length);
  for (const line of group.lines) size += 64 + 2 * (line?.source.length ?? 0);
  for (const { headers, target, message } of group.samples) {
    size += 512 + 2 * (target.length + message.length);
    for (const [name, value] of headers) size += 2 * (name.length + value.length) + 64;
  }
  return size;
}

export class Failures {
  readonly #redaction: Redaction;
  readonly #groups: LRUCache<string, Group>;
  /** Ids of each app's groups, the one that was met longest ago first. */
  readonly #byApp = new Map<number, Set<string>>();
  #forgotten = 0;
  #findLines: FindLines | null = null;

  constructor(redaction: Redaction) {
    this.#redaction = redaction;
    this.#groups = new LRUCache({
      max: GROUPS_MAX,
      maxSize: BYTES_MAX,
      sizeCalculation: sizeOf,
      dispose: (group, id, reason) => {
        if (reason !== 'set') this.#dropped(id, group);
      },
    });
  }

  /** Once there is something to ask for lines of the guests' sources. */
  connect(findLines: FindLines): void {
    this.#findLines = findLines;
  }

  /** Groups that had to make room for others. */
  get forgotten(): number {
    return this.#forgotten;
  }

  request(record: RequestRecord): void {
    const { code, route } = record;
    if (code === null || route === null || !isReported(code)) return;
    const message = record.failure?.message ?? '';
    const backtrace = (record.failure?.backtrace ?? []).slice(0, FRAMES_MAX)
      .map((frame) => cut(frame));
    // A panic may quote what its request sent: with frames, they alone say what is the same.
    const said = backtrace.length > 0 ? '' : withoutNumbers(message);
    const id = createHash('sha256')
      .update(`${route.appId}\n${route.versionNumber}\n${code}\n${said}\n`)
      .update(backtrace.join('\n')).digest('hex').slice(0, 12);
    let group = this.#groups.get(id);
    if (group === undefined) {
      const now = new Date().toISOString();
      group = {
        id, tenant: route.tenantName, tenantId: route.tenantId,
        app: route.label, appId: route.appId, version: route.versionNumber, code,
        message: cut(message, MESSAGE_LENGTH_MAX), backtrace,
        lastHostcall: record.failure?.lastHostcall ?? null,
        count: 0, firstAt: now, lastAt: now, samples: [], sampledAt: 0, lines: [],
      };
      this.#askForLines(id, route.versionId, backtrace);
    }
    this.#count(group, record);
  }

  list(filter: FailureFilter): readonly FailureGroup[] {
    return [...this.#groups.values()]
      .filter((group) =>
        (filter.app === undefined || group.app === filter.app) &&
        (filter.tenant === undefined || group.tenant === filter.tenant) &&
        (filter.tenantId === undefined || group.tenantId === filter.tenantId) &&
        (filter.code === undefined || group.code === filter.code))
      .toSorted((a, b) => b.lastAt.localeCompare(a.lastAt))
      .map(view);
  }

  /** Groups of an earlier life of the daemon, the latest first. */
  restore(groups: readonly FailureGroup[]): void {
    for (const group of groups.toReversed()) {
      this.#keep({ ...group, samples: [...group.samples], sampledAt: 0 });
    }
  }

  /** The app is gone: so is what is known of its failures. */
  removed(appId: number): void {
    // Nothing had to make room.
    const forgotten = this.#forgotten;
    for (const id of this.#byApp.get(appId) ?? []) this.#groups.delete(id);
    this.#forgotten = forgotten;
  }

  get(id: string): FailureGroup | null {
    const group = this.#groups.peek(id);
    return group === undefined ? null : view(group);
  }

  #count(group: Group, record: RequestRecord): void {
    const now = performance.now();
    group.count += 1;
    group.lastAt = new Date().toISOString();
    const isDue = group.samples.length < SAMPLES_MAX || now - group.sampledAt >= SAMPLE_MS;
    if (!isDue) return;
    group.sampledAt = now;
    group.samples = [this.#sample(record), ...group.samples].slice(0, SAMPLES_MAX);
    group.message = group.samples[0]?.message ?? group.message;
    group.lastHostcall = record.failure?.lastHostcall ?? null;
    this.#keep(group);
  }

  #askForLines(id: string, versionId: number, backtrace: readonly string[]): void {
    if (this.#findLines === null || backtrace.length === 0) return;
    void this.#setLines(id, this.#findLines(versionId, backtrace.map(offsetOf)));
  }

  async #setLines(id: string, asked: ReturnType<FindLines>): Promise<void> {
    const lines = await asked;
    const group = this.#groups.peek(id);
    if (lines === null || group === undefined || lines.every((line) => line === null)) return;
    group.lines = lines;
    this.#groups.set(id, group);
  }

  #keep(group: Group): void {
    let ids = this.#byApp.get(group.appId);
    if (ids === undefined) {
      ids = new Set();
      this.#byApp.set(group.appId, ids);
    }
    ids.delete(group.id);
    ids.add(group.id);
    this.#groups.set(group.id, group);
    for (const oldest of ids) {
      if (ids.size <= GROUPS_PER_APP_MAX) break;
      this.#groups.delete(oldest);
    }
  }

  #dropped(id: string, group: Group): void {
    this.#forgotten += 1;
    const ids = this.#byApp.get(group.appId);
    ids?.delete(id);
    if (ids?.size === 0) this.#byApp.delete(group.appId);
  }

  #sample(record: RequestRecord): FailureSample {
    const { usage, route } = record;
    return {
      requestId: record.requestId,
      traceId: record.trace?.traceId ?? null,
      at: new Date(performance.timeOrigin + record.answeredAt).toISOString(),
      method: record.method,
      host: record.host,
      target: cut(this.#redaction.target(record.target), TARGET_LENGTH_MAX),
      client: this.#redaction.address(record.clientAddress),
      headers: this.#redaction.headers(record.headers),
      message: cut(record.failure?.message ?? '', MESSAGE_LENGTH_MAX),
      status: record.status,
      fuel: usage?.fuel ?? 0,
      fuelLimit: route?.limits.fuel ?? 0,
      memoryBytes: usage?.memoryBytes ?? 0,
      memoryLimitBytes: route?.limits.memoryBytes ?? 0,
      hostcalls: usage?.hostcalls ?? 0,
      runMs: (usage?.runUs ?? 0) / 1_000,
    };
  }
}

function view(group: Group): FailureGroup {
  const { sampledAt: _sampledAt, ...shown } = group;
  return shown;
}
