/**
 * PromQL of the daemon's metrics. Names are those of the metric table, checked by the compiler, so
 * that no panel and no alert asks for a series that nothing counts.
 */

import type { METRICS, MetricName } from '../ops/metrics.ts';

type HistogramName = Extract<(typeof METRICS)[number], { type: 'histogram' }>['name'];

/** Names as they are stored: a histogram is three of them. */
export type SeriesName =
  | Exclude<MetricName, HistogramName>
  | `${HistogramName}_${'bucket' | 'sum' | 'count'}`;

const NODE = 'instance=~"$instance"';
const APP = `${NODE},tenant=~"$tenant",app=~"$app"`;

/** The window of a rate in a panel; Grafana makes it at least four scrapes long. */
export const PANEL_WINDOW = '$__rate_interval';

/** A selector with no more matchers than given: for rules, which look at every node. */
export function everywhere(name: SeriesName, matchers = ''): string {
  return matchers === '' ? name : `${name}{${matchers}}`;
}

/** Series of the nodes that are chosen on the dashboard. */
export function ofNodes(name: SeriesName, matchers = ''): string {
  return everywhere(name, matchers === '' ? NODE : `${NODE},${matchers}`);
}

/** Series of the apps that are chosen on the dashboard. */
export function ofApps(name: SeriesName, matchers = ''): string {
  return everywhere(name, matchers === '' ? APP : `${APP},${matchers}`);
}

export function rate(selector: string, window = PANEL_WINDOW): string {
  return `rate(${selector}[${window}])`;
}

export function sum(expression: string, ...by: readonly string[]): string {
  return by.length === 0 ? `sum(${expression})` : `sum by (${by.join(', ')}) (${expression})`;
}

export function max(expression: string, ...by: readonly string[]): string {
  return by.length === 0 ? `max(${expression})` : `max by (${by.join(', ')}) (${expression})`;
}

/** The quantile of a histogram, given a selector of its buckets. */
export function quantile(
  q: number, buckets: string, by: readonly string[] = [], window = PANEL_WINDOW,
): string {
  return `histogram_quantile(${q}, ${sum(rate(buckets, window), 'le', ...by)})`;
}

/**
 * Leaves out series that are 0, as most reasons of failure are. When nothing is left there is one
 * series of zeros, `none`: an empty panel would look broken.
 */
export function occurring(expression: string, ...labels: readonly string[]): string {
  let none = 'vector(0)';
  for (const label of labels) none = `label_replace(${none}, "${label}", "none", "", "")`;
  return `${expression} > 0 or on () ${none}`;
}
