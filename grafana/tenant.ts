/**
 * The dashboard of a tenant and its apps: what they do, how they fail, what they use of their
 * limits, which version serves; and who else on the node takes how much.
 */

import type { Builder } from '@grafana/grafana-foundation-sdk/cog';
import { AnnotationQueryBuilder } from '@grafana/grafana-foundation-sdk/dashboard';
import type {
  AnnotationQuery, Dashboard, Panel,
} from '@grafana/grafana-foundation-sdk/dashboard';

import { UIDS, dashboard } from './dashboard.ts';
import type { Row } from './dashboard.ts';
import { GUEST_FAULT, appTable } from './neighbours.ts';
import { heat, lines, stat } from './panels.ts';
import type { Line, PanelText } from './panels.ts';
import { max, occurring, ofApps, ofNodes, quantile, rate, sum } from './series.ts';
import { APP_VARIABLES, DATASOURCE } from './variables.ts';

const KEYS = ['tenant', 'app'] as const;
const APP_LEGEND = '{{tenant}} / {{app}}';
const VERSION_KEYS = [...KEYS, 'version'] as const;
const VERSION_LEGEND = `${APP_LEGEND} @ {{version}}`;
const NEIGHBOURS = 10;

const requests = sum(rate(ofApps('wardian_app_requests_total')));
const failures = sum(rate(ofApps('wardian_app_failures_total')));
const bad = sum(rate(ofApps('wardian_app_requests_total', 'class="5xx"')));
const buckets = ofApps('wardian_app_request_seconds_bucket');

/** Mean time of one of something, while there are any. */
const meanOf = (
  seconds: `wardian_app_${'subrequest' | 'dns' | 'kv'}_seconds_total`,
  count: 'wardian_app_subrequests_total' | 'wardian_app_dns_queries_total'
    | 'wardian_app_kv_operations_total',
): string => `${sum(rate(ofApps(seconds)))} / (${sum(rate(ofApps(count)))} > 0) or on () vector(0)`;

/** An app has another version than the minute before; a scrape longer, so that none is missed. */
const deploys: Builder<AnnotationQuery> = new AnnotationQueryBuilder()
  .name('Deploys')
  .datasource(DATASOURCE)
  .enable(true)
  .iconColor('blue')
  .expr(`${sum(`changes(${ofApps('wardian_app_version', 'app!="_other"')}[75s])`, ...KEYS)} > 0`)
  .step('60s')
  .titleFormat(`${APP_LEGEND}: another version serves`)
  .tagKeys('tenant,app');

const now: Row = {
  title: 'Now',
  panels: [
    stat({ title: 'Requests', tells: 'Requests that were answered, each second.', unit: 'reqps',
      width: 4, expression: requests }),
    stat({ title: 'Answered below 500', width: 4, unit: 'percentunit',
      tells: 'Share of the answers.', expression: `1 - ${bad} / ${requests}`,
      warns: { at: 0.99, alarm: 0.95, below: true } }),
    stat({ title: 'p99', tells: 'From arrival to answer.', unit: 's', width: 4,
      expression: quantile(0.99, buckets), warns: { at: 0.5, alarm: 1 } }),
    stat({ title: 'Failures', tells: 'Requests that failed, for whatever reason.', unit: 'reqps',
      width: 4, expression: failures }),
    stat({ title: 'Fuel of a request', tells: 'Mean, in units of work.', unit: 'short', width: 4,
      expression: `${sum(rate(ofApps('wardian_app_fuel_units_total')))} / ${requests}` }),
    stat({ title: 'Memory against limit', width: 4, unit: 'percentunit',
      tells: 'The largest guest of the last minute or two. At 100 % it fails with out_of_memory.',
      expression: `max(${ofApps('wardian_app_memory_peak_bytes')} / ` +
        `${ofApps('wardian_app_memory_limit_bytes')})`,
      warns: { at: 0.8, alarm: 0.95 } }),
  ],
};

const traffic: Row = {
  title: 'Traffic and latency',
  panels: [
    lines({ title: 'Rate by class', tells: 'Answers by class of their status.', unit: 'reqps',
      width: 8, stacked: true,
      lines: [{ legend: '{{class}}',
        expression: sum(rate(ofApps('wardian_app_requests_total')), 'class') }] }),
    lines({ title: 'Latency', tells: 'From arrival to answer.', unit: 's', width: 8,
      lines: [0.5, 0.9, 0.99].map((q) => (
        { legend: `p${q * 100}`, expression: quantile(q, buckets) })) }),
    heat({ title: 'Latency, all of it', tells: 'From arrival to answer.', unit: 's', width: 8,
      buckets }),
    lines({ title: 'Failures by reason', width: 8, unit: 'reqps', stacked: true,
      tells: 'Error codes, see docs/errors.md. `wardian failures list` has the reports.',
      lines: [{ legend: '{{reason}}', expression:
        occurring(sum(rate(ofApps('wardian_app_failures_total')), 'reason'), 'reason') }] }),
    lines({ title: 'Failures of guests', width: 8, unit: 'percentunit', max: 1,
      tells: 'Share of an app\'s requests in which its guest trapped, panicked or went over a ' +
        'limit.',
      lines: [{ legend: APP_LEGEND, expression:
        `${sum(rate(ofApps('wardian_app_failures_total', GUEST_FAULT)), ...KEYS)} / ` +
        occurring(sum(rate(ofApps('wardian_app_requests_total')), ...KEYS), ...KEYS) }] }),
    lines({ title: 'Running and queueing', width: 8, unit: 's', stacked: true,
      tells: 'Mean time of a request in the guest (waiting for upstreams included), and before ' +
        'its turn came. Queueing grows: the tenant asks for more than its share.',
      lines: [
        { legend: 'running',
          expression: `${sum(rate(ofApps('wardian_app_run_seconds_total')))} / ${requests}` },
        { legend: 'queueing',
          expression: `${sum(rate(ofApps('wardian_app_queue_seconds_total')))} / ${requests}` },
      ] }),
  ],
};

const usage: Row = {
  title: 'What it uses',
  panels: [
    lines({ title: 'Fuel of a request', tells: 'Mean, by app.', unit: 'short', width: 8,
      lines: [{ legend: APP_LEGEND, expression:
        `${sum(rate(ofApps('wardian_app_fuel_units_total')), ...KEYS)} / ` +
        sum(rate(ofApps('wardian_app_requests_total')), ...KEYS) }] }),
    lines({ title: 'Memory against limit', width: 8, unit: 'percentunit', max: 1,
      tells: 'The largest guest of the last minute or two.',
      lines: [{ legend: APP_LEGEND, expression:
        `${max(ofApps('wardian_app_memory_peak_bytes'), ...KEYS)} / ` +
        max(ofApps('wardian_app_memory_limit_bytes'), ...KEYS) }] }),
    lines({ title: 'Bytes', tells: 'Bodies of requests and of answers.', unit: 'Bps', width: 8,
      lines: [
        { legend: 'in', expression: sum(rate(ofApps('wardian_app_request_bytes_total'))) },
        { legend: 'out', expression: sum(rate(ofApps('wardian_app_response_bytes_total'))) },
      ] }),
    lines({ title: 'Key-value operations', unit: 'ops', width: 8,
      tells: 'Reads and writes of the store, by app.',
      lines: [{ legend: APP_LEGEND, expression:
        occurring(sum(rate(ofApps('wardian_app_kv_operations_total')), ...KEYS), ...KEYS) }] }),
    lines({ title: 'Subrequests and DNS queries', width: 8, unit: 'ops',
      tells: 'HTTP requests that guests started, redirects included, and names they asked for.',
      lines: [
        { legend: `${APP_LEGEND} subrequests`, expression:
          occurring(sum(rate(ofApps('wardian_app_subrequests_total')), ...KEYS), ...KEYS) },
        { legend: `${APP_LEGEND} DNS`, expression:
          occurring(sum(rate(ofApps('wardian_app_dns_queries_total')), ...KEYS), ...KEYS) },
      ] }),
    lines({ title: 'Time of subrequests, DNS and key-value', width: 8, unit: 's',
      tells: 'Mean of one: a subrequest to the end of its body, a query, an operation. When a ' +
        'guest is slow and this grows, what it calls is slow.',
      lines: [
        { legend: 'subrequest', expression: meanOf('wardian_app_subrequest_seconds_total',
          'wardian_app_subrequests_total') },
        { legend: 'DNS query', expression: meanOf('wardian_app_dns_seconds_total',
          'wardian_app_dns_queries_total') },
        { legend: 'key-value operation', expression: meanOf('wardian_app_kv_seconds_total',
          'wardian_app_kv_operations_total') },
      ] }),
    lines({ title: 'Failed subrequests', width: 12, unit: 'ops',
      tells: 'Requests of guests that got no whole answer: refused, timed out, cut off, too ' +
        'large. The guest\'s log has the reasons.',
      lines: [{ legend: APP_LEGEND, expression: occurring(
        sum(rate(ofApps('wardian_app_subrequest_failures_total')), ...KEYS), ...KEYS) }] }),
    lines({ title: 'Lines logged', tells: 'By guests; `wardian tail` shows them.', unit: 'ops',
      width: 12, lines: [{ legend: APP_LEGEND, expression:
        occurring(sum(rate(ofApps('wardian_app_log_lines_total')), ...KEYS), ...KEYS) }] }),
  ],
};

const versions: Row = {
  title: 'Versions',
  panels: [
    lines({ title: 'Versions that serve', width: 8, unit: 'none',
      tells: 'Number of the version that an app serves, of several the active one. A step is a ' +
        'deploy, or a rollback when it leads down.',
      lines: [{ legend: APP_LEGEND,
        expression: max(ofApps('wardian_app_version', 'app!="_other"'), ...KEYS) }] }),
    lines({ title: 'Requests by version', width: 8, unit: 'reqps',
      tells: 'While a split or a deploy is under way, each version has its share; preview hosts ' +
        'are in it.',
      lines: [{ legend: VERSION_LEGEND, expression: occurring(
        sum(rate(ofApps('wardian_app_version_requests_total')), ...VERSION_KEYS),
        ...VERSION_KEYS) }] }),
    lines({ title: 'Failures by version', width: 8, unit: 'percentunit', max: 1,
      tells: 'Share of a version\'s requests that were answered with 5xx. A new version that is ' +
        'above the old one: roll back.',
      lines: [{ legend: VERSION_LEGEND, expression:
        `${sum(rate(ofApps('wardian_app_version_failures_total')), ...VERSION_KEYS)} / ` +
        occurring(sum(rate(ofApps('wardian_app_version_requests_total')), ...VERSION_KEYS),
          ...VERSION_KEYS) }] }),
    appTable('Apps'),
  ],
};

/** The largest shares of something, over all apps of the nodes, whatever is chosen above. */
function noisiest(
  text: Pick<PanelText, 'title' | 'tells'>,
  name: 'wardian_app_requests_total' | 'wardian_app_run_seconds_total'
    | 'wardian_app_fuel_units_total',
): Builder<Panel> {
  const rates = rate(ofNodes(name));
  const line: Line = { legend: APP_LEGEND,
    expression: `topk(${NEIGHBOURS}, ${sum(rates, ...KEYS)} / scalar(${sum(rates)}))` };
  return lines({ ...text, unit: 'percentunit', width: 8, max: 1, lines: [line] });
}

const neighbours: Row = {
  title: 'Noisiest neighbours (all tenants)',
  panels: [
    noisiest({ title: 'Share of requests', tells: 'Of all requests to the chosen nodes.' },
      'wardian_app_requests_total'),
    noisiest({ title: 'Share of guests\' time', tells: 'Of the time of all guests, waiting too.' },
      'wardian_app_run_seconds_total'),
    noisiest({ title: 'Share of fuel', tells: 'Of the work of all guests.' },
      'wardian_app_fuel_units_total'),
  ],
};

export function tenant(): Dashboard {
  return dashboard({
    uid: UIDS.tenant,
    title: 'Wardian / Tenant',
    tells: 'What a tenant\'s apps do, how they fail, and what they take of their limits.',
    variables: APP_VARIABLES,
    annotations: [deploys],
    rows: [now, traffic, usage, versions, neighbours],
  });
}
