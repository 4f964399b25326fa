/**
 * Counts requests: a few additions in shared memory for each, at offsets that are looked up once.
 * Nothing here allocates.
 */

import type { Usage } from '../../contract/messages.ts';
import { queueMs, respondMs, transferMs } from '../phases.ts';
import type { RefusalRecord, RequestRecord } from '../record.ts';
import { AppTable } from './app-table.ts';
import type { AppEntry } from './app-table.ts';
import { APP_WIDTH, bucketsOf, countIn, offsetOf, offsetsBy } from './layout.ts';
import type { MetricMemory } from './layout.ts';
import { appReason, refusalReason } from './reasons.ts';

const PHASE_BUCKETS = bucketsOf('wardian_request_phase_seconds');
const FUEL_BUCKETS = bucketsOf('wardian_guest_fuel_units');
const MEMORY_BUCKETS = bucketsOf('wardian_guest_memory_peak_bytes');
const APP_BUCKETS = bucketsOf('wardian_app_request_seconds');

const phase = (name: string): number => offsetOf('wardian_request_phase_seconds', { phase: name });
const ROUTE = phase('route');
const QUEUE = phase('queue');
const TRANSFER = phase('transfer');
const INSTANTIATE = phase('instantiate');
const RUN = phase('run');
const RESPOND = phase('respond');
const TOTAL = phase('total');

/** The four classes lie next to each other, 2xx first. */
const CLASS = offsetOf('wardian_requests_total', { class: '2xx' });
const APP_CLASS = offsetOf('wardian_app_requests_total', { class: '2xx' });
const REQUEST_BYTES = offsetOf('wardian_request_bytes_total');
const RESPONSE_BYTES = offsetOf('wardian_response_bytes_total');
const FUEL = offsetOf('wardian_guest_fuel_units');
const MEMORY = offsetOf('wardian_guest_memory_peak_bytes');
const FRESH = offsetOf('wardian_guest_instances_total', { mode: 'fresh' });
const RECYCLED = offsetOf('wardian_guest_instances_total', { mode: 'recycled' });
const HOSTCALLS = offsetOf('wardian_guest_hostcalls_total');
const HOSTCALL_BYTES = offsetOf('wardian_guest_hostcall_bytes_total');
const FOLDED = offsetOf('wardian_app_requests_folded_total');

const APP_LATENCY = offsetOf('wardian_app_request_seconds');
const APP_RUN = offsetOf('wardian_app_run_seconds_total');
const APP_QUEUE = offsetOf('wardian_app_queue_seconds_total');
const APP_FUEL = offsetOf('wardian_app_fuel_units_total');
const APP_MEMORY = offsetOf('wardian_app_memory_peak_bytes');
const APP_LIMIT = offsetOf('wardian_app_memory_limit_bytes');
const APP_REQUEST_BYTES = offsetOf('wardian_app_request_bytes_total');
const APP_RESPONSE_BYTES = offsetOf('wardian_app_response_bytes_total');
const APP_LOG_LINES = offsetOf('wardian_app_log_lines_total');
const VERSION_REQUESTS = offsetOf('wardian_app_version_requests_total');
const VERSION_FAILURES = offsetOf('wardian_app_version_failures_total');

const callsOf = (scope: 'guest' | 'app') => ({
  subrequests: offsetOf(`wardian_${scope}_subrequests_total`),
  subrequestSeconds: offsetOf(`wardian_${scope}_subrequest_seconds_total`),
  subrequestFailures: offsetOf(`wardian_${scope}_subrequest_failures_total`),
  dnsQueries: offsetOf(`wardian_${scope}_dns_queries_total`),
  dnsSeconds: offsetOf(`wardian_${scope}_dns_seconds_total`),
  kvOperations: offsetOf(`wardian_${scope}_kv_operations_total`),
  kvSeconds: offsetOf(`wardian_${scope}_kv_seconds_total`),
});
const CALLS = callsOf('guest');
const APP_CALLS = callsOf('app');

const FAILURES = offsetsBy('wardian_request_failures_total', 'reason');
const APP_FAILURES = offsetsBy('wardian_app_failures_total', 'reason');
const REFUSALS = offsetsBy('wardian_listener_refusals_total', 'reason');

function slot(offsets: ReadonlyMap<string, number>, label: string): number {
  const offset = offsets.get(label);
  if (offset === undefined) throw new Error(`metrics: no series for ${label}`);
  return offset;
}

const classOf = (status: number): number =>
  Math.min(3, Math.max(0, Math.floor(status / 100) - 2));

export class Recorder {
  readonly apps: AppTable;
  readonly #process: Float64Array;
  readonly #rows: Float64Array;
  readonly #versions: Float64Array;
  /** The largest guest of each row in this minute. */
  readonly #peaks: Float64Array;

  constructor(memory: MetricMemory) {
    this.apps = new AppTable(memory, (row) => {
      this.#peaks[row] = 0;
    });
    this.#process = memory.process;
    this.#rows = memory.apps;
    this.#versions = memory.versions;
    this.#peaks = new Float64Array(memory.apps.length / APP_WIDTH);
  }

  request(record: RequestRecord): void {
    const block = this.#process;
    const { usage, route, code } = record;
    this.#add(block, CLASS + classOf(record.status), 1);
    this.#add(block, REQUEST_BYTES, record.requestBytes);
    this.#add(block, RESPONSE_BYTES, record.responseBytes);
    if (code !== null) this.#add(block, slot(FAILURES, code), 1);
    this.#phases(record, usage);
    if (usage !== null && record.repliedAt !== 0) this.#usage(block, usage);
    if (route !== null) this.#app(this.apps.find(route), record);
  }

  refusal(refusal: RefusalRecord): void {
    this.#add(this.#process, slot(REFUSALS, refusalReason(refusal.code)), 1);
  }

  /** Lines that an app's guest logged. */
  logLines(entry: AppEntry, lines: number): void {
    this.#add(this.#rows, entry.at + APP_LOG_LINES, lines);
  }

  #add(block: Float64Array, at: number, amount: number): void {
    block[at] = (block[at] as number) + amount;
  }

  #phases(record: RequestRecord, usage: Usage | null): void {
    const block = this.#process;
    const { receivedAt, routedAt, dispatchedAt, repliedAt, answeredAt } = record;
    countIn(block, TOTAL, PHASE_BUCKETS, (answeredAt - receivedAt) / 1_000);
    countIn(block, ROUTE, PHASE_BUCKETS, (routedAt - receivedAt) / 1_000);
    const queue = queueMs(record);
    if (dispatchedAt !== 0 || queue > 0) countIn(block, QUEUE, PHASE_BUCKETS, queue / 1_000);
    if (dispatchedAt !== 0 || queue === 0) {
      countIn(block, RESPOND, PHASE_BUCKETS, respondMs(record) / 1_000);
    }
    if (repliedAt === 0) return;
    countIn(block, TRANSFER, PHASE_BUCKETS, transferMs(record) / 1_000);
    if (usage === null) return;
    countIn(block, INSTANTIATE, PHASE_BUCKETS, usage.instantiateUs / 1_000_000);
    countIn(block, RUN, PHASE_BUCKETS, usage.runUs / 1_000_000);
  }

  #usage(block: Float64Array, usage: Usage): void {
    this.#add(block, usage.recycled ? RECYCLED : FRESH, 1);
    countIn(block, FUEL, FUEL_BUCKETS, usage.fuel);
    countIn(block, MEMORY, MEMORY_BUCKETS, usage.memoryBytes);
    this.#add(block, HOSTCALLS, usage.hostcalls);
    this.#add(block, HOSTCALL_BYTES, usage.hostcallBytes);
    this.#calls(block, 0, usage, CALLS);
  }

  /** What a guest called; most call nothing. */
  #calls(block: Float64Array, at: number, usage: Usage, offsets: typeof CALLS): void {
    const { subrequests, dnsQueries, kvOperations } = usage;
    if (subrequests > 0 || usage.subrequestFailures > 0) {
      this.#add(block, at + offsets.subrequests, subrequests);
      this.#add(block, at + offsets.subrequestSeconds, usage.subrequestMs / 1_000);
      this.#add(block, at + offsets.subrequestFailures, usage.subrequestFailures);
    }
    if (dnsQueries > 0) {
      this.#add(block, at + offsets.dnsQueries, dnsQueries);
      this.#add(block, at + offsets.dnsSeconds, usage.dnsMs / 1_000);
    }
    if (kvOperations > 0) {
      this.#add(block, at + offsets.kvOperations, kvOperations);
      this.#add(block, at + offsets.kvSeconds, usage.kvMs / 1_000);
    }
  }

  #app(entry: AppEntry, record: RequestRecord): void {
    const rows = this.#rows;
    const { at } = entry;
    const { code, usage, route } = record;
    entry.recent += 1;
    if (at === 0) this.#add(this.#process, FOLDED, 1);
    this.#add(rows, at + APP_CLASS + classOf(record.status), 1);
    const seconds = (record.answeredAt - record.receivedAt) / 1_000;
    countIn(rows, at + APP_LATENCY, APP_BUCKETS, seconds);
    this.#add(rows, at + APP_REQUEST_BYTES, record.requestBytes);
    this.#add(rows, at + APP_RESPONSE_BYTES, record.responseBytes);
    if (code !== null) this.#add(rows, at + slot(APP_FAILURES, appReason(code)), 1);
    this.#add(rows, at + APP_QUEUE, queueMs(record) / 1_000);
    if (route !== null && at !== 0) {
      rows[at + APP_LIMIT] = route.limits.memoryBytes;
      const version = this.apps.versions.find(at / APP_WIDTH, route.versionNumber);
      this.#add(this.#versions, version + VERSION_REQUESTS, 1);
      if (record.status >= 500) this.#add(this.#versions, version + VERSION_FAILURES, 1);
    }
    if (usage === null) return;
    this.#add(rows, at + APP_RUN, usage.runUs / 1_000_000);
    this.#add(rows, at + APP_FUEL, usage.fuel);
    this.#calls(rows, at, usage, APP_CALLS);
    const row = at / APP_WIDTH;
    const { memoryBytes } = usage;
    if (memoryBytes > (this.#peaks[row] as number)) this.#peaks[row] = memoryBytes;
    if (memoryBytes > (rows[at + APP_MEMORY] as number)) rows[at + APP_MEMORY] = memoryBytes;
  }

  /** Called once a minute: a peak is shown in the minute of its request and in the next. */
  sinkPeaks(): void {
    for (const [row, peak] of this.#peaks.entries()) {
      this.#rows[row * APP_WIDTH + APP_MEMORY] = peak;
    }
    this.#peaks.fill(0);
  }
}
