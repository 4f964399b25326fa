/**
 * Where each series of the metric table is counted: numbers in shared memory, one block for the
 * process, one row for each app with series of its own, one row for each worker. Counting is an
 * addition at an offset that was looked up once; another thread reads the same memory and renders.
 *
 *   a counter or gauge:  [value]
 *   a histogram:         [bucket 0] … [bucket n-1] [above all] [sum]
 */

import { METRICS } from '../metrics.ts';
import type { MetricDefinition, MetricName, MetricScope } from '../metrics.ts';

type Labels = Readonly<Record<string, string>>;

const NO_LABELS: readonly Labels[] = [{}];

export function seriesOf(metric: MetricDefinition): readonly Labels[] {
  return metric.series ?? NO_LABELS;
}

export function scopeOf(metric: MetricDefinition): MetricScope {
  return metric.scope ?? 'process';
}

/** Numbers that one series of the metric takes. */
export function widthOf(metric: MetricDefinition): number {
  return metric.type === 'histogram' ? (metric.buckets?.length ?? 0) + 2 : 1;
}

const byName: ReadonlyMap<string, MetricDefinition> =
  new Map(METRICS.map((metric) => [metric.name, metric]));
const offsets = new Map<string, number>();
/** The slot of a version begins with its number. */
const widths: Record<MetricScope, number> = { process: 0, app: 0, version: 1, worker: 0, info: 0 };

for (const metric of METRICS as readonly MetricDefinition[]) {
  const scope = scopeOf(metric);
  offsets.set(metric.name, widths[scope]);
  widths[scope] += widthOf(metric) * seriesOf(metric).length;
}

/** Numbers of the process's block, of an app's row, of a worker's row. */
export const PROCESS_WIDTH = widths.process;
export const APP_WIDTH = widths.app;
export const WORKER_WIDTH = widths.worker;
/** Numbers of the slot of a version, slots in an app's row, and numbers of these together. */
export const VERSION_WIDTH = widths.version;
export const VERSION_SLOTS = 8;
export const VERSIONS_WIDTH = VERSION_WIDTH * VERSION_SLOTS;

export function metricOf(name: MetricName): MetricDefinition {
  const metric = byName.get(name);
  if (metric === undefined) throw new Error(`metrics: ${name} is not in the table`);
  return metric;
}

/** Where the metric's first series begins in the block or row of its scope. */
export function offsetOf(name: MetricName, labels: Labels = {}): number {
  const metric = metricOf(name);
  const at = seriesOf(metric).findIndex((series) =>
    Object.entries(series).every(([label, value]) => labels[label] === value),
  );
  const offset = offsets.get(name);
  if (at < 0 || offset === undefined) {
    throw new Error(`metrics: ${name} has no series ${JSON.stringify(labels)}`);
  }
  return offset + at * widthOf(metric);
}

/** Offsets by the value of the metric's one label. */
export function offsetsBy(name: MetricName, label: string): ReadonlyMap<string, number> {
  return new Map(
    seriesOf(metricOf(name)).map((series) => [series[label] ?? '', offsetOf(name, series)]),
  );
}

export function bucketsOf(name: MetricName): readonly number[] {
  return metricOf(name).buckets ?? [];
}

/** Counts `value` in the histogram at `offset`. */
export function countIn(
  block: Float64Array, offset: number, buckets: readonly number[], value: number,
): void {
  let bucket = 0;
  const { length } = buckets;
  while (bucket < length && value > (buckets[bucket] as number)) bucket += 1;
  block[offset + bucket] = (block[offset + bucket] as number) + 1;
  block[offset + length + 1] = (block[offset + length + 1] as number) + value;
}

/** The memory of all metrics. Made by the main thread, read by the thread that renders. */
export interface MetricMemory {
  readonly process: Float64Array<SharedArrayBuffer>;
  /** Row 0 is `_other`. */
  readonly apps: Float64Array<SharedArrayBuffer>;
  /** Rows as those of apps, of slots for the app's versions. */
  readonly versions: Float64Array<SharedArrayBuffer>;
  readonly workers: Float64Array<SharedArrayBuffer>;
}

const shared = (numbers: number): Float64Array<SharedArrayBuffer> =>
  new Float64Array(new SharedArrayBuffer(numbers * Float64Array.BYTES_PER_ELEMENT));

export function createMetricMemory(appRows: number, workerRows: number): MetricMemory {
  return {
    process: shared(PROCESS_WIDTH),
    apps: shared(APP_WIDTH * (appRows + 1)),
    versions: shared(VERSIONS_WIDTH * (appRows + 1)),
    workers: shared(WORKER_WIDTH * workerRows),
  };
}
