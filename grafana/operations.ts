/**
 * The dashboard for whoever runs the nodes: which nodes there are and what they run, the error
 * budget, alerts, deploys, storage, logs.
 */

import type { Builder } from '@grafana/grafana-foundation-sdk/cog';
import { AnnotationQueryBuilder } from '@grafana/grafana-foundation-sdk/dashboard';
import type { AnnotationQuery, Dashboard } from '@grafana/grafana-foundation-sdk/dashboard';

import { BUDGET_RATIO, WINDOWS, budgetRecord } from './budget.ts';
import { UIDS, dashboard } from './dashboard.ts';
import type { Row } from './dashboard.ts';
import { lines, stat, table } from './panels.ts';
import { occurring, ofNodes, quantile, rate, sum } from './series.ts';
import { DATASOURCE, NODE_VARIABLES } from './variables.ts';

const overHour = (selector: string): string => sum(`increase(${selector}[1h])`);

const nodes: Row = {
  title: 'Nodes',
  panels: [
    stat({ title: 'Nodes ready', width: 4, unit: 'percentunit',
      tells: 'Share of the nodes that Prometheus knows which serve requests.',
      expression: `sum(${ofNodes('wardian_ready')}) / count(up{instance=~"$instance"})`,
      warns: { at: 1, alarm: 0.5, below: true } }),
    stat({ title: 'Apps', tells: 'Deployed, on the node that has the most.', unit: 'none', width: 4,
      expression: `max(${ofNodes('wardian_apps')})` }),
    stat({ title: 'Youngest node', tells: 'Time since a node started last.', unit: 'dtdurations',
      width: 4, expression: `time() - max(${ofNodes('process_start_time_seconds')})` }),
    stat({ title: 'Internal errors', width: 4, unit: 'short',
      tells: 'Errors of Wardian\'s own in the last hour; each is in the log with its stack.',
      expression: overHour(ofNodes('wardian_internal_errors_total')),
      warns: { at: 1, alarm: 10 } }),
    stat({ title: 'Workers lost', width: 4, unit: 'short',
      tells: 'Threads that were replaced in the last hour.',
      expression: overHour(ofNodes('wardian_worker_restarts_total')),
      warns: { at: 1, alarm: 10 } }),
    stat({ title: 'Open connections', tells: 'Of clients.', unit: 'short', width: 4,
      expression: sum(ofNodes('wardian_connections')) }),
    table({ title: 'What runs', tells: 'Versions of Wardian, Node and V8, and the HTTP engine.',
      width: 12, height: 6, sort: 'instance',
      keys: ['instance', 'version', 'node', 'v8', 'listener'],
      columns: [{ legend: 'up for', unit: 'dtdurations', expression:
        `(time() - ${ofNodes('process_start_time_seconds')}) * on (instance) group_right () ` +
        `max by (instance, version, node, v8, listener) (${ofNodes('wardian_build_info')})` }] }),
    table({ title: 'Alerts', width: 12, height: 6, sort: 'alertname',
      tells: 'Alerts that fire, or will if it goes on so. docs/runbooks.md says what to do.',
      keys: ['alertname', 'severity', 'alertstate', 'instance', 'tenant'],
      columns: [{ legend: 'series', unit: 'none', expression:
        'count by (alertname, severity, alertstate, instance, tenant) (ALERTS)' }] }),
  ],
};

const budget: Row = {
  title: 'Error budget',
  panels: [
    stat({ title: 'Budget of three days left', width: 6, unit: 'percentunit',
      tells: `${BUDGET_RATIO * 100} % of requests may fail for a fault of the platform. ` +
        '0 when more did.',
      expression: `clamp_min(1 - ${budgetRecord('3d')} / ${BUDGET_RATIO}, 0)`,
      height: 8,
      warns: { at: 0.5, alarm: 0.1, below: true } }),
    lines({ title: 'Burn rate', width: 18, unit: 'short',
      tells: 'How many times faster than allowed the budget is used, by window. At 1 a month\'s ' +
        'budget lasts a month; the alerts begin at 14.4 (1h), 6 (6h), 3 (1d) and 1 (3d).',
      lines: WINDOWS.map((window) => (
        { legend: window, expression: `${budgetRecord(window)} / ${BUDGET_RATIO}` })) }),
  ],
};

const deploys: Row = {
  title: 'Deploys and builds',
  panels: [
    lines({ title: 'Deploys', width: 8, unit: 'short', stacked: true,
      tells: 'In an hour. refused: for a fault of the upload; failed: for one of the platform.',
      lines: [{ legend: '{{outcome}}', expression:
        `sum by (outcome) (increase(${ofNodes('wardian_deploys_total')}[1h]))` }] }),
    lines({ title: 'Refusals and failures by reason', width: 8, unit: 'short', stacked: true,
      tells: 'In an hour, by error code (docs/errors.md).',
      lines: [{ legend: '{{reason}}', expression: occurring(
        `sum by (reason) (increase(${ofNodes('wardian_deploy_failures_total')}[1h]))`,
        'reason') }] }),
    lines({ title: 'Stages, p90', width: 8, unit: 's',
      tells: 'uploaded grows: builds wait for one another. building: compilers of guests. ' +
        'compiling: V8. deploying: the disk.',
      lines: [{ legend: '{{stage}}', expression: quantile(
        0.9, ofNodes('wardian_deploy_stage_seconds_bucket'), ['stage'], '1h') }] }),
    lines({ title: 'Under way', tells: 'Deploys now.', unit: 'short', width: 8,
      lines: [{ legend: '{{instance}}', expression: ofNodes('wardian_deploys_under_way') }] }),
    lines({ title: 'Apps with series of their own', width: 8, unit: 'short',
      tells: 'Folded apps are counted together as _other; metrics_apps sets how many are not.',
      lines: [{ legend: '{{state}}', expression: sum(ofNodes('wardian_app_series'), 'state') }] }),
    lines({ title: 'Requests counted as _other', width: 8, unit: 'reqps',
      tells: 'Requests whose app has no series of its own, and how often an app lost its series.',
      lines: [
        { legend: 'requests', expression: sum(rate(ofNodes('wardian_app_requests_folded_total'))) },
        { legend: 'apps that lost theirs',
          expression: sum(rate(ofNodes('wardian_app_series_folded_total'))) },
      ] }),
  ],
};

const commits = sum(rate(ofNodes('wardian_store_commits_total')));

const storage: Row = {
  title: 'Storage',
  panels: [
    lines({ title: 'Commits', width: 8, unit: 'ops',
      tells: 'Commits, and the writes they held. Many writes in a commit are a good sign.',
      lines: [
        { legend: 'commits', expression: commits },
        { legend: 'writes', expression: sum(rate(ofNodes('wardian_store_commands_total'))) },
      ] }),
    lines({ title: 'Time of a commit', width: 8, unit: 's',
      tells: 'Mean. Mostly the disk\'s sync: when it grows, the disk is busy or failing.',
      lines: [{ legend: 'commit', expression:
        `${sum(rate(ofNodes('wardian_store_commit_seconds_total')))} / (${commits} > 0)` }] }),
    lines({ title: 'Waiting writes', width: 8, unit: 'short', tells: 'Writes not yet committed.',
      lines: [{ legend: '{{instance}}', expression: ofNodes('wardian_store_pending') }] }),
    lines({ title: 'Refused and failed', width: 8, unit: 'ops',
      tells: 'refused: over a limit, or the disk nearly full. failed: the disk said no.',
      lines: [
        { legend: 'refused', expression: sum(rate(ofNodes('wardian_store_refusals_total'))) },
        { legend: 'failed', expression: sum(rate(ofNodes('wardian_store_failures_total'))) },
      ] }),
    lines({ title: 'Database', width: 8, unit: 'bytes', tells: 'With its log.',
      lines: [{ legend: '{{instance}}', expression: ofNodes('wardian_store_bytes') }] }),
    lines({ title: 'Disk free', width: 8, unit: 'percentunit', max: 1,
      tells: 'Where the data folder is. Writes that grow the database stop at 64 MiB.',
      lines: [{ legend: '{{instance}}', expression:
        `${ofNodes('wardian_disk_free_bytes')} / ${ofNodes('wardian_disk_bytes')}` }] }),
  ],
};

const logs: Row = {
  title: 'Logs and the process',
  panels: [
    lines({ title: 'Lines', width: 8, unit: 'ops', tells: 'Lines logged, by kind.', stacked: true,
      lines: [{ legend: '{{kind}}', expression:
        sum(rate(ofNodes('wardian_log_lines_total')), 'kind') }] }),
    lines({ title: 'Lines lost', width: 8, unit: 'ops', stacked: true,
      tells: 'sample is by configuration; rate: a guest logs too fast; worker: a batch was full; ' +
        'output: whoever reads stdout is too slow.',
      lines: [{ legend: '{{reason}}', expression:
        sum(rate(ofNodes('wardian_log_lines_dropped_total')), 'reason') }] }),
    lines({ title: 'Spans', width: 8, unit: 'ops', stacked: true,
      tells: 'Of traces. failed: the collector did not take them; dropped: too many waited.',
      lines: [{ legend: '{{outcome}}', expression:
        sum(rate(ofNodes('wardian_trace_spans_total')), 'outcome') }] }),
    lines({ title: 'Parts that do not tell', width: 8, unit: 'short',
      tells: 'Scrapes in an hour that show old numbers of the store or the disk: it did not ' +
        'answer in time.',
      lines: [{ legend: '{{source}}', expression:
        sum(`increase(${ofNodes('wardian_collect_failures_total')}[1h])`, 'source') }] }),
    lines({ title: 'Live readers', width: 8, unit: 'short', tells: '`wardian tail` and the like.',
      lines: [{ legend: '{{instance}}', expression: ofNodes('wardian_log_followers') }] }),
    lines({ title: 'Open files', width: 8, unit: 'short', tells: 'File descriptors.',
      lines: [{ legend: '{{instance}}', expression: ofNodes('process_open_fds') }] }),
  ],
};

/** Everything that was stored is another state from then on. */
const restores: Builder<AnnotationQuery> = new AnnotationQueryBuilder()
  .name('Restores')
  .datasource(DATASOURCE)
  .enable(true)
  .iconColor('purple')
  .expr(`increase(${ofNodes('wardian_restores_total')}[75s]) > 0`)
  .step('60s')
  .titleFormat('{{instance}}: a backup was restored')
  .tagKeys('instance');

export function operations(): Dashboard {
  return dashboard({
    uid: UIDS.operations,
    title: 'Wardian / Operations',
    tells: 'Nodes, error budget, alerts, deploys, storage and logs.',
    variables: NODE_VARIABLES,
    annotations: [restores],
    rows: [nodes, budget, deploys, storage, logs],
  });
}
