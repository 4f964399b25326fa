/**
 * The metric table and its numbers as text: each metric is registered with prom-client as an object
 * whose `get()` reads the shared memory, and prom-client writes Prometheus text or OpenMetrics.
 */

import { Registry } from 'prom-client';
import type { Metric, RegistryContentType } from 'prom-client';

import { METRICS } from '../metrics.ts';
import type { MetricDefinition } from '../metrics.ts';
import type { RowNames } from './app-table.ts';
import {
  APP_WIDTH, VERSIONS_WIDTH, VERSION_SLOTS, VERSION_WIDTH, WORKER_WIDTH, offsetOf,
  scopeOf, seriesOf, widthOf,
} from './layout.ts';
import type { MetricMemory } from './layout.ts';
import type { MetricName } from '../metrics.ts';

export type Format = 'prometheus' | 'openmetrics';

type Labels = Readonly<Record<string, string>>;

/** What the numbers do not say: names of rows, and labels of `info` metrics. */
export interface Names {
  readonly rows: RowNames;
  readonly workers: number;
  readonly info: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/** prom-client writes `sharedLabels` once and keeps the text for as long as the object lives. */
interface Sample {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly sharedLabels: Labels;
  readonly value: number;
  readonly metricName?: string;
}

const NONE: Labels = {};
const les = new Map<number | string, Readonly<Record<string, number | string>>>();

function leOf(bound: number | string): Readonly<Record<string, number | string>> {
  let labels = les.get(bound);
  if (labels === undefined) {
    labels = { le: bound };
    les.set(bound, labels);
  }
  return labels;
}

/** One series of a histogram: cumulative buckets, sum and count. */
function histogram(
  metric: MetricDefinition, block: Float64Array, at: number, labels: Labels, samples: Sample[],
): void {
  const buckets = metric.buckets ?? [];
  const bucket = `${metric.name}_bucket`;
  let count = 0;
  for (const [index, bound] of buckets.entries()) {
    count += block[at + index] as number;
    samples.push({ labels: leOf(bound), sharedLabels: labels, value: count, metricName: bucket });
  }
  count += block[at + buckets.length] as number;
  const sum = block[at + buckets.length + 1] as number;
  samples.push(
    { labels: leOf('+Inf'), sharedLabels: labels, value: count, metricName: bucket },
    { labels: NONE, sharedLabels: labels, value: sum, metricName: `${metric.name}_sum` },
    { labels: NONE, sharedLabels: labels, value: count, metricName: `${metric.name}_count` },
  );
}

/** All series of a metric in one block or row; `base` is where that begins. */
function samplesAt(
  metric: MetricDefinition, block: Float64Array, base: number, common: Labels, samples: Sample[],
): void {
  let at = base + offsetOf(metric.name as MetricName, seriesOf(metric)[0]);
  const width = widthOf(metric);
  // An app's gauges are 0 where there is nothing to say. Counters are there from the start: of one
  // that appears with its first count, `rate()` never sees that count.
  const sparse = metric.scope === 'app' && metric.type === 'gauge';
  for (const series of seriesOf(metric)) {
    const labels = metric.series === undefined ? common : { ...common, ...series };
    if (metric.type === 'histogram') histogram(metric, block, at, labels, samples);
    else {
      const value = block[at] as number;
      if (!sparse || value !== 0) samples.push({ labels: NONE, sharedLabels: labels, value });
    }
    at += width;
  }
}

function samplesOf(metric: MetricDefinition, memory: MetricMemory, names: Names): Sample[] {
  const samples: Sample[] = [];
  switch (scopeOf(metric)) {
    case 'process':
      samplesAt(metric, memory.process, 0, {}, samples);
      break;
    case 'app':
      for (const [row, name] of names.rows.entries()) {
        samplesAt(metric, memory.apps, row * APP_WIDTH, name, samples);
      }
      break;
    case 'version':
      for (const [row, name] of names.rows.entries()) {
        for (let slot = 0; slot < VERSION_SLOTS; slot += 1) {
          const at = row * VERSIONS_WIDTH + slot * VERSION_WIDTH;
          const version = memory.versions[at] as number;
          if (version === 0) continue;
          samplesAt(metric, memory.versions, at, { ...name, version: String(version) }, samples);
        }
      }
      break;
    case 'worker':
      for (let row = 0; row < names.workers; row += 1) {
        const labels = { worker: String(row) };
        samplesAt(metric, memory.workers, row * WORKER_WIDTH, labels, samples);
      }
      break;
    case 'info':
      samples.push({ labels: NONE, sharedLabels: names.info[metric.name] ?? {}, value: 1 });
      break;
  }
  return samples;
}

export class Exposition {
  readonly #memory: MetricMemory;
  #names: Names = { rows: [], workers: 0, info: {} };
  readonly #registries: Readonly<Record<Format, Registry<RegistryContentType>>>;

  constructor(memory: MetricMemory) {
    this.#memory = memory;
    this.#registries = {
      prometheus: this.#registry(Registry.PROMETHEUS_CONTENT_TYPE),
      openmetrics: this.#registry(Registry.OPENMETRICS_CONTENT_TYPE),
    };
  }

  /** Everything as text. The memory may change meanwhile, the names may not. */
  render(format: Format, names: Names): Promise<string> {
    this.#names = names;
    return this.#registries[format].metrics();
  }

  #registry(contentType: RegistryContentType): Registry<RegistryContentType> {
    const registry = new Registry<RegistryContentType>();
    registry.setContentType(contentType);
    for (const metric of METRICS as readonly MetricDefinition[]) {
      const { name, help, type } = metric;
      const openMetrics = contentType === Registry.OPENMETRICS_CONTENT_TYPE;
      const shown = openMetrics && type === 'counter' ? name.replace(/_total$/, '') : name;
      const registered = {
        name,
        get: () => ({
          name: shown, help, type, aggregator: 'sum',
          values: samplesOf(metric, this.#memory, this.#names),
        }),
      };
      registry.registerMetric(registered as unknown as Metric);
    }
    return registry;
  }
}
