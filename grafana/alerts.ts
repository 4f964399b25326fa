/**
 * Alerts as data. `page` wakes someone: users are hurt now, or will be within the hour. `ticket` is
 * for the next working day. Each has a section of its name in docs/runbooks.md.
 */

import { STORE_FREE_BYTES_MIN } from '../contract/limits.ts';
import { BUDGET_RATIO, FAST_BURNS, SLOW_BURNS, budgetRecord } from './budget.ts';
import type { Burn } from './budget.ts';
import { UIDS } from './dashboard.ts';
import { RECORDS } from './recording.ts';
import { everywhere, rate, sum } from './series.ts';

/** A value and when it is too much. The value alone is asked for in tests: it must exist. */
export interface Condition {
  readonly value: string;
  readonly operator: '>' | '<' | '==' | '>=';
  readonly threshold: number | string;
}

export interface Alert {
  readonly name: string;
  readonly severity: 'page' | 'ticket';
  /** How long it must hold; absent: at once. */
  readonly holds?: string;
  /** Any of these, of each all. */
  readonly when: readonly (readonly Condition[])[];
  /** One line with the value, as a template of Prometheus. */
  readonly summary: string;
  readonly dashboard: (typeof UIDS)[keyof typeof UIDS];
}

/** Above which a request is slow, Wardian's part of it, and making an instance. */
const LATENCY_P99_S = 1;
const OVERHEAD_MEAN_S = 0.05;
const INSTANTIATE_P99_S = 0.01;
/** Below so many requests a second ratios and quantiles say little. */
const RATE_LEAST = 0.1;

const over = (value: string, threshold: number | string): Condition => (
  { value, operator: '>', threshold });
const increase = (selector: string, window: string, ...by: string[]): string =>
  sum(`increase(${selector}[${window}])`, ...by);

const burns = (all: readonly Burn[]): Condition[][] => all.map(({ factor, long, short }) => {
  const threshold = `${factor} * ${BUDGET_RATIO}`;
  return [over(budgetRecord(long), threshold), over(budgetRecord(short), threshold)];
});

const requestsOf = sum(rate(everywhere('wardian_requests_total'), '5m'), 'instance');
const overloadedOf = sum(rate(
  everywhere('wardian_request_failures_total', 'reason="overloaded"'), '5m'), 'instance');

export const ALERTS: readonly Alert[] = [
  { name: 'WardianErrorBudgetBurnFast', severity: 'page', holds: '2m', when: burns(FAST_BURNS),
    summary: '{{ $value | humanizePercentage }} of requests fail for a fault of the platform',
    dashboard: UIDS.hotPath },
  { name: 'WardianErrorBudgetBurnSlow', severity: 'ticket', holds: '1h', when: burns(SLOW_BURNS),
    summary: '{{ $value | humanizePercentage }} of requests fail for a fault of the platform',
    dashboard: UIDS.operations },
  { name: 'WardianNodeDown', severity: 'page', holds: '1m',
    when: [[{ value: 'up{job="wardian"}', operator: '==', threshold: 0 }]],
    summary: '{{ $labels.instance }} does not answer', dashboard: UIDS.operations },
  { name: 'WardianNotReady', severity: 'ticket', holds: '10m',
    when: [[{ value: everywhere('wardian_ready'), operator: '==', threshold: 0 }]],
    summary: '{{ $labels.instance }} runs but does not serve', dashboard: UIDS.operations },
  { name: 'WardianLatencyHigh', severity: 'ticket', holds: '10m',
    when: [[over(`${RECORDS.phaseP99}{phase="total"}`, LATENCY_P99_S)]],
    summary: 'p99 of requests to {{ $labels.instance }} is {{ $value | humanizeDuration }}',
    dashboard: UIDS.hotPath },
  { name: 'WardianOverheadHigh', severity: 'page', holds: '10m',
    when: [[over(RECORDS.overhead, OVERHEAD_MEAN_S)]],
    summary: '{{ $labels.instance }} adds {{ $value | humanizeDuration }} to a request',
    dashboard: UIDS.hotPath },
  { name: 'WardianInstantiateSlow', severity: 'ticket', holds: '10m',
    when: [[over(`${RECORDS.phaseP99}{phase="instantiate"}`, INSTANTIATE_P99_S)]],
    summary: 'p99 of making an instance on {{ $labels.instance }} is ' +
      '{{ $value | humanizeDuration }}', dashboard: UIDS.hotPath },
  { name: 'WardianQueueSaturated', severity: 'page', holds: '2m',
    when: [[over(`${everywhere('wardian_queue_length')} / ` +
      everywhere('wardian_queue_length_max'), 0.5)]],
    summary: 'the queue of {{ $labels.instance }} is {{ $value | humanizePercentage }} full',
    dashboard: UIDS.hotPath },
  { name: 'WardianGuestsNearMaximum', severity: 'ticket', holds: '5m',
    when: [[over(`${everywhere('wardian_guests_in_flight')} / ` +
      everywhere('wardian_guests_in_flight_max'), 0.9)]],
    summary: '{{ $value | humanizePercentage }} of the guests that {{ $labels.instance }} may ' +
      'have in flight are', dashboard: UIDS.hotPath },
  { name: 'WardianShedding', severity: 'page', holds: '5m',
    when: [[over(`${overloadedOf} / ${requestsOf}`, 0.01)]],
    summary: '{{ $labels.instance }} refuses {{ $value | humanizePercentage }} of its requests: ' +
      'too many are under way', dashboard: UIDS.hotPath },
  { name: 'WardianTenantShed', severity: 'ticket', holds: '15m',
    when: [[over(sum(rate(everywhere(
      'wardian_app_failures_total', 'reason="tenant_overloaded"'), '5m'), 'tenant'), 1)]],
    summary: '{{ $value | humanize }} requests a second of {{ $labels.tenant }} are refused: it ' +
      'has too many under way', dashboard: UIDS.tenant },
  { name: 'WardianTenantFailing', severity: 'ticket', holds: '10m',
    when: [[over(RECORDS.guestFailures, 0.05), over(RECORDS.tenantRequests, RATE_LEAST)]],
    summary: '{{ $value | humanizePercentage }} of the requests to {{ $labels.tenant }} fail in ' +
      'its guests', dashboard: UIDS.tenant },
  { name: 'WardianWorkerRestartLoop', severity: 'page',
    when: [[over(increase(everywhere('wardian_worker_restarts_total'), '15m', 'instance'), 3)]],
    summary: '{{ $labels.instance }} lost {{ $value | humanize }} worker threads in 15 minutes',
    dashboard: UIDS.hotPath },
  { name: 'WardianWorkersMissing', severity: 'page', holds: '2m',
    when: [[{ value: `${everywhere('wardian_workers')} / ` +
      everywhere('wardian_workers_configured'), operator: '<', threshold: 1 }]],
    summary: 'only {{ $value | humanizePercentage }} of the worker threads of ' +
      '{{ $labels.instance }} serve', dashboard: UIDS.hotPath },
  { name: 'WardianLoopStalled', severity: 'page', holds: '3m',
    when: [[over(
      everywhere('wardian_event_loop_delay_seconds', 'statistic="p99"'), 0.25)]],
    summary: 'the main thread of {{ $labels.instance }} is {{ $value | humanizeDuration }} late',
    dashboard: UIDS.hotPath },
  { name: 'WardianWorkerStalled', severity: 'ticket', holds: '1m',
    when: [[over(everywhere('wardian_worker_beat_age_seconds'), 5)]],
    summary: 'worker {{ $labels.worker }} of {{ $labels.instance }} has not turned for ' +
      '{{ $value | humanizeDuration }}', dashboard: UIDS.hotPath },
  { name: 'WardianMemoryNearLimit', severity: 'page', holds: '5m',
    when: [[over(`${everywhere('process_resident_memory_bytes')} / ` +
      everywhere('wardian_memory_limit_bytes'), 0.9)]],
    summary: '{{ $labels.instance }} uses {{ $value | humanizePercentage }} of its memory',
    dashboard: UIDS.hotPath },
  { name: 'WardianMappingsNearLimit', severity: 'page', holds: '5m',
    when: [[over(`${everywhere('wardian_memory_mappings')} / ` +
      everywhere('wardian_memory_mappings_max'), 0.8)]],
    summary: '{{ $labels.instance }} has {{ $value | humanizePercentage }} of the memory ' +
      'mappings it may have', dashboard: UIDS.hotPath },
  { name: 'WardianDiskLow', severity: 'ticket', holds: '15m',
    when: [[{ value: `${everywhere('wardian_disk_free_bytes')} / ` +
      everywhere('wardian_disk_bytes'), operator: '<', threshold: 0.1 }]],
    summary: '{{ $value | humanizePercentage }} of the disk of {{ $labels.instance }} is free',
    dashboard: UIDS.operations },
  { name: 'WardianDiskNearlyFull', severity: 'page', holds: '1m',
    when: [[{ value: everywhere('wardian_disk_free_bytes'), operator: '<',
      threshold: 4 * STORE_FREE_BYTES_MIN }]],
    summary: '{{ $value | humanize1024 }}B are free on the disk of {{ $labels.instance }}',
    dashboard: UIDS.operations },
  { name: 'WardianStoreFailing', severity: 'page',
    when: [[over(increase(everywhere('wardian_store_failures_total'), '10m', 'instance'), 0)]],
    summary: '{{ $labels.instance }} could not commit {{ $value | humanize }} times in 10 minutes',
    dashboard: UIDS.operations },
  { name: 'WardianDeploysFailing', severity: 'ticket',
    when: [[over(increase(
      everywhere('wardian_deploys_total', 'outcome="failed"'), '30m', 'instance'), 0)]],
    summary: '{{ $value | humanize }} deploys failed on {{ $labels.instance }} in 30 minutes, ' +
      'for a fault of the platform', dashboard: UIDS.operations },
  { name: 'WardianInternalErrors', severity: 'ticket',
    when: [[over(increase(everywhere('wardian_internal_errors_total'), '10m', 'instance'), 0)]],
    summary: '{{ $labels.instance }} had {{ $value | humanize }} internal errors in 10 minutes',
    dashboard: UIDS.operations },
  { name: 'WardianLogLinesLost', severity: 'ticket', holds: '5m',
    when: [[over(rate(
      everywhere('wardian_log_lines_dropped_total', 'reason=~"output|worker"'), '5m'), 0)]],
    summary: '{{ $labels.instance }} loses {{ $value | humanize }} log lines a second ' +
      '({{ $labels.reason }})', dashboard: UIDS.operations },
];
