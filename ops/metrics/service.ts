/**
 * Metrics as a whole: counts what it is told, keeps the ranking of apps and the clocks, answers
 * `/metrics` with text and `/v1/top` with numbers.
 */

import { ERRORS } from '../../contract/errors.ts';
import type { ErrorCode } from '../../contract/errors.ts';
import { DEPLOY_STAGES, LOG_LOSSES, SPAN_OUTCOMES } from '../metrics.ts';
import type { RefusalRecord, RequestRecord } from '../record.ts';
import type { Maxima, Sources } from '../sources.ts';
import type { AppRoute, DeployedApp } from './app-table.ts';
import { Collector } from './collector.ts';
import type { Format, Names } from './exposition.ts';
import { bucketsOf, countIn, createMetricMemory, offsetOf, offsetsBy } from './layout.ts';
import type { MetricMemory } from './layout.ts';
import { Recorder } from './recorder.ts';
import { Renderer } from './renderer.ts';
import { RuntimeMetrics } from './runtime.ts';

/** A deploy that has ended. */
export interface DeployRecord {
  readonly code: ErrorCode | null;
  /** Milliseconds of each stage that was reached. */
  readonly stages: Readonly<Partial<Record<(typeof DEPLOY_STAGES)[number], number>>>;
}

export interface MetricsOptions {
  /** Apps that have series of their own. */
  readonly apps: number;
  readonly maxima: Maxima;
  readonly info: Readonly<Record<string, string>>;
  /** A part has begun not to tell its numbers. */
  readonly onCollectFailure: (source: string, error: unknown) => void;
}

const WORKERS_MS = 1_000;
const DELAY_MS = 10_000;
const PEAKS_MS = 60_000;

const STAGE_BUCKETS = bucketsOf('wardian_deploy_stage_seconds');
const STAGES = offsetsBy('wardian_deploy_stage_seconds', 'stage');
const DEPLOY_FAILURES = offsetsBy('wardian_deploy_failures_total', 'reason');
const DEPLOYS = offsetsBy('wardian_deploys_total', 'outcome');
const UNDER_WAY = offsetOf('wardian_deploys_under_way');
const LOST = offsetOf('wardian_worker_lost_requests_total');
const FAULTS = offsetOf('wardian_internal_errors_total');
const RESTORES = offsetOf('wardian_restores_total');
const OWN = offsetOf('wardian_app_series', { state: 'own' });
const FOLDED = offsetOf('wardian_app_series', { state: 'folded' });
const FOLDINGS = offsetOf('wardian_app_series_folded_total');
const LINES = offsetsBy('wardian_log_lines_total', 'kind');
const DROPPED = offsetsBy('wardian_log_lines_dropped_total', 'reason');
const SPANS = offsetsBy('wardian_trace_spans_total', 'outcome');
const FOLLOWERS = offsetOf('wardian_log_followers');

export class Metrics {
  readonly memory: MetricMemory;
  readonly recorder: Recorder;
  readonly #options: MetricsOptions;
  readonly #renderer: Renderer;
  readonly #runtime: RuntimeMetrics;
  readonly #timers: NodeJS.Timeout[];
  #collector: Collector | null = null;
  #info: Names['info'] = {};

  constructor(options: MetricsOptions) {
    this.#options = options;
    this.describe(options.info);
    this.memory = createMetricMemory(options.apps, options.maxima.threads);
    this.recorder = new Recorder(this.memory);
    this.#renderer = new Renderer(this.memory);
    this.#runtime = new RuntimeMetrics(this.memory.process);
    this.#timers = [
      setInterval(() => this.#collector?.collectWorkers(), WORKERS_MS),
      setInterval(() => {
        this.#runtime.turnDelay();
        if (!this.#renderer.busy) this.recorder.apps.rank();
      }, DELAY_MS),
      setInterval(() => this.recorder.sinkPeaks(), PEAKS_MS),
    ];
    for (const timer of this.#timers) timer.unref();
  }

  /** Once the daemon's parts exist. */
  connect(sources: Sources): void {
    const { maxima, onCollectFailure } = this.#options;
    this.#collector = new Collector(this.memory, sources, maxima, onCollectFailure);
  }

  /** Labels of `wardian_build_info`. */
  describe(info: Readonly<Record<string, string>>): void {
    this.#info = { wardian_build_info: info };
  }

  request(record: RequestRecord): void {
    this.recorder.request(record);
  }

  refusal(refusal: RefusalRecord): void {
    this.recorder.refusal(refusal);
  }

  deployed(route: DeployedApp): void {
    this.recorder.apps.deployed(route);
  }

  removed(appId: number): void {
    this.recorder.apps.removed(appId);
  }

  workerLost(requests: number): void {
    this.#add(LOST, requests);
    // What the thread did since the last look is gone with it: look at the others at once.
    this.#collector?.collectWorkers();
  }

  fault(): void {
    this.#add(FAULTS, 1);
  }

  restored(): void {
    this.#add(RESTORES, 1);
  }

  deployBegan(): void {
    this.#add(UNDER_WAY, 1);
  }

  deployEnded({ code, stages }: DeployRecord): void {
    this.#add(UNDER_WAY, -1);
    let outcome = 'done';
    if (code !== null) {
      outcome = ERRORS[code].fault === 'platform' ? 'failed' : 'refused';
      this.#add(DEPLOY_FAILURES.get(code), 1);
    }
    this.#add(DEPLOYS.get(outcome), 1);
    for (const [stage, ms] of Object.entries(stages)) {
      const offset = STAGES.get(stage);
      if (offset !== undefined) countIn(this.memory.process, offset, STAGE_BUCKETS, ms / 1_000);
    }
  }

  lines(kind: 'request' | 'guest' | 'daemon', lines: number): void {
    this.#add(LINES.get(kind), lines);
  }

  guestLines(names: AppRoute, lines: number): void {
    this.recorder.logLines(this.recorder.apps.find(names), lines);
  }

  linesDropped(reason: 'sample' | 'rate' | 'output' | 'refused', lines: number): void {
    this.#add(DROPPED.get(reason), lines);
  }

  spans(outcome: (typeof SPAN_OUTCOMES)[number], count: number): void {
    this.#add(SPANS.get(outcome), count);
  }

  /** So far. */
  droppedLines(reason: (typeof LOG_LOSSES)[number]): number {
    return this.memory.process[DROPPED.get(reason) ?? -1] ?? 0;
  }

  followers(change: 1 | -1): void {
    this.#add(FOLLOWERS, change);
  }

  #add(offset: number | undefined, amount: number): void {
    if (offset === undefined) throw new Error('metrics: a count without a series');
    this.memory.process[offset]! += amount;
  }

  /** Brings everything up to date. */
  async collect(): Promise<void> {
    const { process: block } = this.memory;
    const { apps } = this.recorder;
    block[OWN] = apps.owning;
    block[FOLDED] = apps.folded;
    block[FOLDINGS] = apps.foldings;
    this.#runtime.collect();
    await this.#collector?.collect();
  }

  /** All metrics as text, rendered in another thread. */
  async text(format: Format, gzip = false): Promise<Uint8Array> {
    await this.collect();
    return this.#renderer.render(format, gzip, () => this.#names());
  }

  #names(): Names {
    return {
      rows: this.recorder.apps.names(),
      workers: this.#options.maxima.threads,
      info: this.#info,
    };
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#runtime.close();
    await this.#renderer.close();
  }
}

