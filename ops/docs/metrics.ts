/**
 * Writes `docs/metrics.md` from the metric table. `node ops/docs/metrics.ts` rewrites the file; a
 * test holds it to the table.
 */

import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { PACKAGE_ROOT } from '../../contract/entry.ts';
import { METRICS } from '../metrics.ts';
import type { MetricDefinition, MetricScope } from '../metrics.ts';
import { scopeOf, seriesOf, widthOf } from '../metrics/layout.ts';

const HEAD = `# Metrics

\`GET /metrics\` on the admin listener, as Prometheus text or OpenMetrics, as the \`accept\` header
asks. It needs no token. Counters end in \`_total\` and only grow; times are in seconds, sizes in
bytes. This page is generated from \`ops/metrics.ts\`.

Metrics \`wardian_app_*\` have the labels \`tenant\` and \`app\`. The apps with the most traffic
have series of their own, so many as the setting \`metrics_apps\` says (default 100); all others are
counted together as \`tenant="_other", app="_other"\`. Who has series of its own is decided anew
every ten seconds. No series ever falls because of it: what an app did while it was among the
others stays there, and its own series go on from where they were. Series of an app are there from
its deploy on, at 0, so that \`rate()\` sees the first burst, and end when it is removed.
\`wardian_app_version_*\` are of the versions that were asked for last, preview hosts included; one
that has to make room for another begins at 0 when it is asked for again.
`;

const SCOPES: Readonly<Record<MetricScope, string>> = {
  process: 'Of the node', app: 'Of apps', version: 'Of versions of apps',
  worker: 'Of worker threads', info: 'Of what runs',
};
const SCOPE_LABELS: Readonly<Record<MetricScope, readonly string[]>> = {
  process: [], app: ['tenant', 'app'], version: ['tenant', 'app', 'version'], worker: ['worker'],
  info: [],
};
const VALUES_SHOWN = 12;

function labelsOf(metric: MetricDefinition): string {
  const labels = SCOPE_LABELS[scopeOf(metric)].map((name) => `\`${name}\``);
  for (const name of metric.labels ?? []) labels.push(`\`${name}\``);
  const series = seriesOf(metric);
  for (const name of Object.keys(series[0] ?? {})) {
    const values = [...new Set(series.map((one) => one[name] ?? ''))];
    const shown = values.length > VALUES_SHOWN ? `${values.length} values` : values.join(', ');
    labels.push(`\`${name}\` (${shown})`);
  }
  return labels.join('; ');
}

function helpOf(metric: MetricDefinition): string {
  const help = metric.help.replaceAll('|', '\\|').replaceAll('_other', '`_other`');
  if (metric.buckets === undefined) return help;
  return `${help} Buckets: ${metric.buckets.join(', ')}.`;
}

/** The page as it ought to be. */
export function metricsPage(): string {
  const parts = [HEAD];
  let series = 0;
  for (const scope of ['process', 'app', 'version', 'worker', 'info'] as const) {
    const metrics = (METRICS as readonly MetricDefinition[])
      .filter((metric) => scopeOf(metric) === scope);
    const title = `\n## ${SCOPES[scope]}\n\n| metric | type | labels | what it is |`;
    parts.push(`${title}\n|---|---|---|---|`);
    for (const metric of metrics) {
      const cells = [`\`${metric.name}\``, metric.type, labelsOf(metric), helpOf(metric)];
      parts.push(`| ${cells.join(' | ')} |`);
      // A histogram is shown with one series more than it takes numbers: its count.
      const width = widthOf(metric) + (metric.type === 'histogram' ? 1 : 0);
      if (scope === 'app') series += width * seriesOf(metric).length;
    }
  }
  parts.push(`\nAn app takes ${series} series, and two for each of its versions.\n`);
  return parts.join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(new URL('docs/metrics.md', PACKAGE_ROOT), metricsPage());
}
