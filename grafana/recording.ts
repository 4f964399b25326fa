/** Recording rules: what alerts and dashboards ask for over long windows, computed once. */

import { WINDOWS, budgetExpression, budgetRecord } from './budget.ts';
import { GUEST_FAULT } from './neighbours.ts';
import { everywhere, quantile, rate, sum } from './series.ts';

export interface Recording {
  readonly record: string;
  readonly expression: string;
}

const WINDOW = '5m';
/** Phases that are Wardian's own doing; `run` is the guest's, and `total` holds it. */
const OWN_PHASES = 'phase=~"route|queue|transfer|instantiate|respond"';

export const RECORDS = {
  phaseP99: 'instance_phase:wardian_request_phase_seconds:p99_rate5m',
  overhead: 'instance:wardian_request_overhead_seconds:mean_rate5m',
  guestFailures: 'tenant:wardian_app_failures:ratio_rate5m',
  appP99: 'tenant_app:wardian_app_request_seconds:p99_rate5m',
  tenantRequests: 'tenant:wardian_app_requests:rate5m',
} as const;

export const RECORDINGS: readonly Recording[] = [
  ...WINDOWS.map((window) => (
    { record: budgetRecord(window), expression: budgetExpression(window) })),
  { record: RECORDS.phaseP99, expression: quantile(
    0.99, everywhere('wardian_request_phase_seconds_bucket'), ['instance', 'phase'], WINDOW) },
  { record: RECORDS.overhead, expression:
    `${sum(rate(everywhere('wardian_request_phase_seconds_sum', OWN_PHASES), WINDOW), 'instance')}`
    + ` / ${sum(rate(everywhere('wardian_request_phase_seconds_count', 'phase="total"'), WINDOW),
      'instance')}` },
  { record: RECORDS.tenantRequests, expression:
    sum(rate(everywhere('wardian_app_requests_total'), WINDOW), 'tenant') },
  { record: RECORDS.guestFailures, expression:
    `${sum(rate(everywhere('wardian_app_failures_total', GUEST_FAULT), WINDOW), 'tenant')} / ` +
    sum(rate(everywhere('wardian_app_requests_total'), WINDOW), 'tenant') },
  { record: RECORDS.appP99, expression: quantile(
    0.99, everywhere('wardian_app_request_seconds_bucket'), ['tenant', 'app'], WINDOW) },
];
