/**
 * The ops side of a daemon as one thing: what it is told of (requests, guest lines, deploys, lost
 * workers, faults) goes to metrics, log and failure reports; what it answers is routes of the admin
 * API. `daemon/main.ts` connects the two.
 */

import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';

import type { GuestLogLine } from '../contract/messages.ts';
import { AccessLog } from './access-log.ts';
import { Failures } from './failures.ts';
import type { FindLines } from './failures.ts';
import { Follower } from './follow.ts';
import { GuestLog } from './guest-log.ts';
import type { VersionNames } from './guest-log.ts';
import { loadKept, saveKept } from './kept.ts';
import { Log } from './log.ts';
import { Metrics } from './metrics/service.ts';
import type { DeployRecord } from './metrics/service.ts';
import type { RefusalRecord, RequestRecord, RestoreRecord } from './record.ts';
import { Redaction } from './redact.ts';
import { opsRoutes } from './routes.ts';
import type { OpsRoute } from './routes.ts';
import type { Maxima, Sources } from './sources.ts';
import { Traces } from './traces/service.ts';
import type { TracesOptions } from './traces/service.ts';

export interface ObservabilityOptions {
  readonly logLevel: string;
  readonly terminal: boolean;
  readonly accessLog: boolean;
  /** Share of requests in the access log, 0 to 1. */
  readonly accessLogSample: number;
  /** Names that are secrets beside those that look like it; `client` and `query` too. */
  readonly redact: readonly string[];
  readonly recentLogBytes: number;
  readonly guestLogLinesPerSecond: number;
  readonly metrics: boolean;
  /** Apps with series of their own. */
  readonly metricsApps: number;
  readonly maxima: Maxima;
  readonly version: string;
  /** Where the recent past is kept from one life of the daemon to the next. */
  readonly dataFolder: string;
  /** Null: no traces are exported. */
  readonly traces: Pick<TracesOptions, 'endpoint' | 'headers'> | null;
}

const SAY_MS = 1_000;
const LOSSES = [
  ['worker', 'guests logged more at once than a worker passes on'],
  ['output', 'standard output is not read fast enough'],
  ['refused', 'the listener refused more requests in a second than get a line'],
] as const;

export class Observability {
  readonly log: Log;
  readonly metrics: Metrics;
  readonly failures: Failures;
  readonly #access: AccessLog | null;
  readonly #traces: Traces | null;
  readonly #guests: GuestLog;
  readonly #counts: boolean;
  readonly #info: Readonly<Record<string, string>>;
  readonly #follower: Follower;
  readonly #dataFolder: string;
  /** The data folder is this daemon's, and what was kept there is read. */
  #opened: Promise<void> | null = null;
  readonly #said = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;

  constructor(options: ObservabilityOptions) {
    const redaction = new Redaction(options.redact);
    this.#info = {
      version: options.version, node: process.version, v8: process.versions.v8, listener: '',
    };
    const metrics = new Metrics({
      apps: options.metricsApps, maxima: options.maxima, info: this.#info,
      onCollectFailure: (source, err) =>
        this.log.logger.warn({ err, source }, `metrics of the ${source} are missing`),
    });
    this.metrics = metrics;
    this.log = new Log({
      level: options.logLevel,
      terminal: options.terminal,
      recentBytes: options.recentLogBytes,
      onLines: (kind, lines) => metrics.lines(kind, lines),
      onDropped: (lines) => metrics.linesDropped('output', lines),
    });
    this.failures = new Failures(redaction);
    this.#dataFolder = options.dataFolder;
    this.#counts = options.metrics;
    this.#access = !options.accessLog ? null : new AccessLog(this.log, {
      sample: options.accessLogSample, redaction,
      onSampled: (lines) => metrics.linesDropped('sample', lines),
      onRefusalDropped: (lines) => metrics.linesDropped('refused', lines),
    });
    this.#guests = new GuestLog(this.log, {
      linesPerSecond: options.guestLogLinesPerSecond,
      onLines: (names, lines) => metrics.guestLines(names, lines),
      onDropped: (lines) => metrics.linesDropped('rate', lines),
    });
    this.#traces = options.traces === null ? null : new Traces({
      ...options.traces, redaction, version: options.version,
      instance: `${hostname()}:${process.pid}`,
      onSpans: (outcome, count) => metrics.spans(outcome, count),
      onFailure: (err) => this.log.logger.warn({ err }, 'no traces for now'),
    });
    this.#timer = setInterval(() => this.#sayLost(), SAY_MS);
    this.#timer.unref();
    this.#follower = new Follower(this.log.recent, randomBytes(4).toString('hex'));
  }

  /** Once the daemon's parts exist. */
  connect(
    sources: Sources, findVersion: (versionId: number) => VersionNames | null,
    findLines: FindLines, hasApp: (appId: number) => boolean,
  ): void {
    this.metrics.connect(sources);
    this.failures.connect(findLines);
    this.#guests.connect(findVersion);
    this.#opened = this.#loadKept(hasApp);
  }

  /** Never rejects: what is lost is the past, and the present goes on. */
  async #loadKept(hasApp: (appId: number) => boolean): Promise<void> {
    const { lines, failures, badLines, badFailures, errors } =
      await loadKept(this.#dataFolder, hasApp);
    const { logger } = this.log;
    try {
      this.log.recent.restore(lines);
      this.failures.restore(failures);
    } catch (err) {
      logger.warn({ err }, 'what was kept of the past cannot be taken up');
    }
    for (const err of errors) logger.warn({ err }, 'what was kept of the past cannot be read');
    if (badLines + badFailures > 0) {
      logger.warn({ badLines, badFailures }, 'what was kept of the past is damaged in part');
    }
  }

  async #saveKept(): Promise<void> {
    if (this.#opened === null) return;
    await this.#opened;
    this.log.flush();
    try {
      await saveKept(this.#dataFolder, {
        lines: this.log.recent.all(), failures: this.failures.list({}) });
    } catch (err) {
      this.log.logger.warn({ err }, 'the recent past cannot be kept');
    }
  }

  /** The engine that serves, once it is known. */
  listening(engine: string): void {
    this.metrics.describe({ ...this.#info, listener: engine });
  }

  /** Never throws: the request was answered, and a fault of ours here must not take more along. */
  readonly request = (record: RequestRecord): void => {
    try {
      if (this.#counts) this.metrics.request(record);
      this.#access?.request(record);
      if (record.code !== null) this.failures.request(record);
      this.#traces?.request(record);
    } catch (error) {
      this.fault(error);
    }
  };

  /** Lines that were lost on the way here or on the way out are said as soon as can be. */
  #sayLost(): void {
    for (const [reason, text] of LOSSES) {
      const dropped = this.metrics.droppedLines(reason);
      const fresh = dropped - (this.#said.get(reason) ?? 0);
      this.#said.set(reason, dropped);
      if (fresh > 0) this.log.logger.warn({ dropped: fresh }, `lines were dropped: ${text}`);
    }
  }

  refusal(refusal: RefusalRecord): void {
    this.metrics.refusal(refusal);
    this.#access?.refusal(refusal);
  }

  guestLines(lines: readonly GuestLogLine[]): void {
    this.#guests.lines(lines);
  }

  workerLost(reason: string, requests: number): void {
    this.metrics.workerLost(requests);
    this.log.logger.error({ requests }, `worker lost: ${reason}`);
  }

  fault(error: unknown): void {
    this.metrics.fault();
    this.log.logger.error({ err: error }, 'internal error');
  }

  /** Whoever gets its name next inherits nothing. */
  appDeleted(appId: number): void {
    this.metrics.removed(appId);
    this.failures.removed(appId);
  }

  /** What was kept of tenants whose ids name somebody else now is nobody's. */
  restored({ tenantsGone, ...record }: RestoreRecord): void {
    this.metrics.restored();
    this.#guests.forget();
    if (tenantsGone.length > 0) {
      this.log.flush();
      this.log.recent.forget();
    }
    this.log.logger.warn(
      { event: 'restored', ...record, heldMs: Math.round(record.heldMs) },
      `a backup was restored: ${record.apps} apps of ${record.tenants} tenants`);
  }

  deployBegan(): void {
    this.metrics.deployBegan();
  }

  deployEnded(record: DeployRecord): void {
    this.metrics.deployEnded(record);
  }

  routes(): readonly OpsRoute[] {
    const { metrics, failures } = this;
    return opsRoutes({ metrics, failures, follower: this.#follower });
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#guests.close();
    this.#sayLost();
    await this.#traces?.close();
    await this.metrics.close();
    await this.#saveKept();
  }
}
