/** The table of apps that several dashboards show: one line says what an app does to the node. */

import type { Builder } from '@grafana/grafana-foundation-sdk/cog';
import type { Panel } from '@grafana/grafana-foundation-sdk/dashboard';

import { UIDS } from './dashboard.ts';
import { table } from './panels.ts';
import { max, ofApps, quantile, rate, sum } from './series.ts';

const KEYS = ['tenant', 'app'] as const;

/** Failures that a guest itself made; the others happened to it. */
export const GUEST_FAULT =
  'reason!~"tenant_overloaded|tenant_suspended|overloaded|client_closed|worker_lost|platform"';

export function appTable(title: string): Builder<Panel> {
  const runSeconds = rate(ofApps('wardian_app_run_seconds_total'));
  return table({
    title,
    tells: 'Apps by what went wrong with them, then by what they take. A click on a tenant leads ' +
      'to its dashboard.',
    width: 24,
    keys: KEYS,
    sort: 'failures',
    link: {
      title: 'Tenant dashboard',
      url: `/d/${UIDS.tenant}?\${datasource:queryparam}&\${instance:queryparam}` +
        '&var-tenant=${__data.fields.tenant}&var-app=${__data.fields.app}&${__url_time_range}',
    },
    columns: [
      { legend: 'version', unit: 'none',
        expression: max(ofApps('wardian_app_version'), ...KEYS) },
      { legend: 'requests', unit: 'reqps',
        expression: sum(rate(ofApps('wardian_app_requests_total')), ...KEYS) },
      { legend: 'failures', unit: 'reqps',
        expression: sum(rate(ofApps('wardian_app_failures_total')), ...KEYS) },
      { legend: 'guest\'s own', unit: 'reqps',
        expression: sum(rate(ofApps('wardian_app_failures_total', GUEST_FAULT)), ...KEYS) },
      { legend: 'p99', unit: 's',
        expression: quantile(0.99, ofApps('wardian_app_request_seconds_bucket'), KEYS) },
      { legend: 'guests at once', unit: 'short', expression: sum(runSeconds, ...KEYS) },
      { legend: 'fuel a second', unit: 'short',
        expression: sum(rate(ofApps('wardian_app_fuel_units_total')), ...KEYS) },
      { legend: 'memory', unit: 'bytes',
        expression: max(ofApps('wardian_app_memory_peak_bytes'), ...KEYS) },
    ],
  });
}
