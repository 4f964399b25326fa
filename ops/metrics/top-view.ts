/**
 * The numbers of `/v1/top`: counters as they stand, for the node and for each app with series of
 * its own. Whoever asks twice makes rates and quantiles of the differences.
 */

import type { MetricName } from '../metrics.ts';
import {
  APP_WIDTH, VERSIONS_WIDTH, VERSION_WIDTH, bucketsOf, offsetOf, offsetsBy, widthOf, metricOf,
} from './layout.ts';
import type { Metrics } from './service.ts';

export interface TopVersion {
  readonly version: number;
  readonly requests: number;
  readonly failures: number;
}

export interface TopApp {
  readonly tenant: string;
  readonly app: string;
  readonly version: number;
  /** Those asked for last, each with its counts. */
  readonly versions: readonly TopVersion[];
  readonly requests: number;
  readonly serverErrors: number;
  readonly failures: Readonly<Record<string, number>>;
  readonly fuel: number;
  readonly runSeconds: number;
  readonly memoryPeakBytes: number;
  readonly memoryLimitBytes: number;
  readonly subrequests: number;
  readonly kvOperations: number;
  /** How many requests fell under each bound of `buckets`, and above the last. */
  readonly latency: readonly number[];
}

export interface TopView {
  readonly atMs: number;
  /** When the daemon started: counters of another life mean nothing. */
  readonly startedAtMs: number;
  /** Upper bounds of `latency`, in seconds. */
  readonly buckets: readonly number[];
  readonly node: Readonly<Record<string, number>>;
  readonly apps: readonly TopApp[];
}

const NODE: Readonly<Record<string, MetricName>> = {
  inFlight: 'wardian_guests_in_flight', suspended: 'wardian_guests_suspended',
  queued: 'wardian_queue_length', shed: 'wardian_requests_shed_total',
  workers: 'wardian_workers', restarts: 'wardian_worker_restarts_total',
  residentBytes: 'process_resident_memory_bytes', cpuSeconds: 'process_cpu_seconds_total',
  connections: 'wardian_connections', apps: 'wardian_apps',
};

const CLASSES = offsetOf('wardian_app_requests_total', { class: '2xx' });
const LATENCY = offsetOf('wardian_app_request_seconds');
const BUCKETS = bucketsOf('wardian_app_request_seconds');
const LATENCY_WIDTH = widthOf(metricOf('wardian_app_request_seconds')) - 1;
const FAILURES = offsetsBy('wardian_app_failures_total', 'reason');
const FUEL = offsetOf('wardian_app_fuel_units_total');
const RUN = offsetOf('wardian_app_run_seconds_total');
const PEAK = offsetOf('wardian_app_memory_peak_bytes');
const LIMIT = offsetOf('wardian_app_memory_limit_bytes');
const VERSION = offsetOf('wardian_app_version');
const VERSION_REQUESTS = offsetOf('wardian_app_version_requests_total');
const VERSION_FAILURES = offsetOf('wardian_app_version_failures_total');
const SUBREQUESTS = offsetOf('wardian_app_subrequests_total');
const KV = offsetOf('wardian_app_kv_operations_total');

function versionsView(slots: Float64Array): TopVersion[] {
  const versions: TopVersion[] = [];
  for (let at = 0; at < slots.length; at += VERSION_WIDTH) {
    const version = slots[at] ?? 0;
    if (version === 0) continue;
    versions.push({
      version, requests: slots[at + VERSION_REQUESTS] ?? 0,
      failures: slots[at + VERSION_FAILURES] ?? 0,
    });
  }
  return versions.toSorted((a, b) => a.version - b.version);
}

function appView(
  row: Float64Array, versions: Float64Array, names: { tenant: string; app: string },
): TopApp {
  const at = (offset: number): number => row[offset] ?? 0;
  const failures: Record<string, number> = {};
  for (const [reason, offset] of FAILURES) if (at(offset) > 0) failures[reason] = at(offset);
  const classes = row.subarray(CLASSES, CLASSES + 4);
  return {
    ...names,
    version: at(VERSION),
    versions: versionsView(versions),
    requests: classes.reduce((sum, count) => sum + count, 0),
    serverErrors: classes[3] ?? 0,
    failures,
    fuel: at(FUEL),
    runSeconds: at(RUN),
    memoryPeakBytes: at(PEAK),
    memoryLimitBytes: at(LIMIT),
    subrequests: at(SUBREQUESTS),
    kvOperations: at(KV),
    latency: [...row.subarray(LATENCY, LATENCY + LATENCY_WIDTH)],
  };
}

export function topView({ memory, recorder }: Metrics): TopView {
  const node: Record<string, number> = {};
  for (const [name, metric] of Object.entries(NODE)) {
    node[name] = memory.process[offsetOf(metric)] ?? 0;
  }
  const apps: TopApp[] = [];
  for (const [index, names] of recorder.apps.names().entries()) {
    const row = memory.apps.subarray(index * APP_WIDTH, (index + 1) * APP_WIDTH);
    const versions = memory.versions.subarray(index * VERSIONS_WIDTH, (index + 1) * VERSIONS_WIDTH);
    apps.push(appView(row, versions, names));
  }
  const startedAtMs = performance.timeOrigin;
  return { atMs: startedAtMs + performance.now(), startedAtMs, buckets: BUCKETS, node, apps };
}
