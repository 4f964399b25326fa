/**
 * For each alert, series that make it fire and series that must not: values in promtool's notation,
 * `start+step x count`, one each minute unless said otherwise.
 */

export interface AlertCase {
  readonly alert: string;
  /** What the case is about. */
  readonly when: string;
  readonly series: Readonly<Record<string, string>>;
  readonly at: string;
  readonly interval?: string;
  /** The one alert that fires, or null: none does. */
  readonly fires: { readonly labels: Readonly<Record<string, string>>; readonly summary: string } |
    null;
}

const NODE = { instance: 'a:9090', job: 'wardian' };
const LABELS = 'instance="a:9090",job="wardian"';
const of = (name: string, more = ''): string =>
  `${name}{${LABELS}${more === '' ? '' : `,${more}`}}`;
const only = { instance: 'a:9090' };

/** Requests that are answered well, and failures of a fault, so many each step. */
function answers(good: number, bad: number, fault: string, steps: number) {
  const reason = fault === 'platform' ? 'internal' : 'guest_trap';
  return {
    [of('wardian_requests_total', 'class="2xx"')]: `0+${good}x${steps}`,
    [of('wardian_requests_total', 'class="5xx"')]: `0+${bad}x${steps}`,
    [of('wardian_request_failures_total', `fault="${fault}",reason="${reason}"`)]:
      `0+${bad}x${steps}`,
  };
}

/** A histogram of which all values fall between two bounds. */
function phase(name: string, from: number, to: number) {
  const bucket = (le: string): string =>
    of('wardian_request_phase_seconds_bucket', `phase="${name}",le="${le}"`);
  return {
    [bucket(String(from))]: '0+0x60', [bucket(String(to))]: '0+60x60', [bucket('+Inf')]: '0+60x60',
  };
}

const overhead = (waiting: string) => ({
  [of('wardian_request_phase_seconds_sum', `phase="${waiting}"`)]: '0+6x60',
  [of('wardian_request_phase_seconds_sum', 'phase="route"')]: '0+0.006x60',
  [of('wardian_request_phase_seconds_count', 'phase="total"')]: '0+60x60',
});

/** A value of a metric against its maximum, for as long as the test lasts. */
const level = (name: string, value: number, maximum: string, most: number) => (
  { [of(name)]: `${value}x60`, [of(maximum)]: `${most}x60` });

const app = (reason: string, failing: number) => ({
  [of('wardian_app_requests_total', 'tenant="acme",app="shop",class="2xx"')]: '0+60x60',
  [of('wardian_app_failures_total', `tenant="acme",app="shop",reason="${reason}"`)]:
    `0+${failing}x60`,
});

const budget: readonly AlertCase[] = [
  { alert: 'WardianErrorBudgetBurnFast', when: 'one request in twenty fails', at: '70m',
    series: answers(95, 5, 'platform', 80), fires: { labels: { job: 'wardian', severity: 'page' },
      summary: '5% of requests fail for a fault of the platform' } },
  { alert: 'WardianErrorBudgetBurnFast', when: 'one in a hundred fails for six hours', at: '370m',
    series: answers(99, 1, 'platform', 400), fires: { labels: { job: 'wardian', severity: 'page' },
      summary: '1% of requests fail for a fault of the platform' } },
  { alert: 'WardianErrorBudgetBurnFast', when: 'guests fail, not Wardian', at: '70m',
    series: answers(50, 50, 'tenant', 80), fires: null },
  { alert: 'WardianErrorBudgetBurnFast', when: 'it is over', at: '110m', fires: null, series: {
    [of('wardian_requests_total', 'class="2xx"')]: '0+100x120',
    [of('wardian_request_failures_total', 'fault="platform",reason="internal"')]:
      '0+5x60 300+0x60' } },
  { alert: 'WardianErrorBudgetBurnFast', when: 'nobody comes', at: '70m', fires: null,
    series: answers(0, 0, 'platform', 80) },
  { alert: 'WardianErrorBudgetBurnSlow', when: 'two in a thousand fail for days', at: '80h',
    interval: '5m', series: answers(998, 2, 'platform', 1_000),
    fires: { labels: { job: 'wardian', severity: 'ticket' },
      summary: '0.2% of requests fail for a fault of the platform' } },
  { alert: 'WardianErrorBudgetBurnSlow', when: 'it stays within the budget', at: '80h',
    interval: '5m', series: answers(9_995, 5, 'platform', 1_000), fires: null },
];

const nodes: readonly AlertCase[] = [
  { alert: 'WardianNodeDown', when: 'a node does not answer', at: '5m',
    series: { [of('up')]: '1 0x10' }, fires: { labels: { ...NODE, severity: 'page' },
      summary: 'a:9090 does not answer' } },
  { alert: 'WardianNodeDown', when: 'one scrape failed', at: '5m', fires: null,
    series: { [of('up')]: '1 1 1 1 1 0 1x10' } },
  { alert: 'WardianNodeDown', when: 'something else is down', at: '5m', fires: null,
    series: { 'up{instance="b:9100",job="node"}': '0x10' } },
  { alert: 'WardianNotReady', when: 'a node does not become ready', at: '15m',
    series: { [of('wardian_ready')]: '0x20' }, fires: { labels: { ...NODE, severity: 'ticket' },
      summary: 'a:9090 runs but does not serve' } },
  { alert: 'WardianNotReady', when: 'a node starts', at: '15m', fires: null,
    series: { [of('wardian_ready')]: '0x5 1x20' } },
];

const latency: readonly AlertCase[] = [
  { alert: 'WardianLatencyHigh', when: 'requests take seconds', at: '20m',
    series: phase('total', 1, 5), fires: {
      labels: { ...only, phase: 'total', severity: 'ticket' },
      summary: 'p99 of requests to a:9090 is 4.96s' } },
  { alert: 'WardianLatencyHigh', when: 'requests are quick', at: '20m', fires: null,
    series: phase('total', 0.1, 0.25) },
  { alert: 'WardianLatencyHigh', when: 'a phase of none is slow', at: '20m', fires: null,
    series: phase('run', 1, 5) },
  { alert: 'WardianOverheadHigh', when: 'requests wait for their turn', at: '20m',
    series: overhead('queue'), fires: { labels: { ...only, severity: 'page' },
      summary: 'a:9090 adds 100.1ms to a request' } },
  { alert: 'WardianOverheadHigh', when: 'guests take their time', at: '20m', fires: null,
    series: overhead('run') },
  { alert: 'WardianInstantiateSlow', when: 'modules are compiled all the time', at: '20m',
    series: phase('instantiate', 0.01, 0.03), fires: {
      labels: { ...only, phase: 'instantiate', severity: 'ticket' },
      summary: 'p99 of making an instance on a:9090 is 29.8ms' } },
  { alert: 'WardianInstantiateSlow', when: 'instances are made as they should be', at: '20m',
    fires: null, series: phase('instantiate', 0.000_05, 0.000_1) },
];

const QUEUE = 'wardian_queue_length';
const IN_FLIGHT = 'wardian_guests_in_flight';
const saturation: readonly AlertCase[] = [
  { alert: 'WardianQueueSaturated', when: 'three quarters are taken', at: '10m',
    series: level(QUEUE, 3_000, `${QUEUE}_max`, 4_000), fires: {
      labels: { ...NODE, severity: 'page' }, summary: 'the queue of a:9090 is 75% full' } },
  { alert: 'WardianQueueSaturated', when: 'some wait', at: '10m', fires: null,
    series: level(QUEUE, 300, `${QUEUE}_max`, 4_000) },
  { alert: 'WardianQueueSaturated', when: 'there is no queue', at: '10m', fires: null,
    series: level(QUEUE, 0, `${QUEUE}_max`, 0) },
  { alert: 'WardianGuestsNearMaximum', when: 'nearly all are in flight', at: '10m',
    series: level(IN_FLIGHT, 3_900, `${IN_FLIGHT}_max`, 4_000), fires: {
      labels: { ...NODE, severity: 'ticket' },
      summary: '97.5% of the guests that a:9090 may have in flight are' } },
  { alert: 'WardianGuestsNearMaximum', when: 'half are in flight', at: '10m', fires: null,
    series: level(IN_FLIGHT, 2_000, `${IN_FLIGHT}_max`, 4_000) },
  { alert: 'WardianShedding', when: 'one in ten is refused', at: '15m', series: {
    [of('wardian_requests_total', 'class="2xx"')]: '0+90x60',
    [of('wardian_requests_total', 'class="5xx"')]: '0+10x60',
    [of('wardian_request_failures_total', 'fault="platform",reason="overloaded"')]: '0+10x60',
  }, fires: { labels: { ...only, severity: 'page' },
    summary: 'a:9090 refuses 10% of its requests: too many are under way' } },
  { alert: 'WardianShedding', when: 'a tenant is over its own share', at: '15m', fires: null,
    series: {
      [of('wardian_requests_total', 'class="2xx"')]: '0+90x60',
      [of('wardian_request_failures_total', 'fault="platform",reason="overloaded"')]: '0+0x60',
      [of('wardian_request_failures_total', 'fault="tenant",reason="tenant_overloaded"')]:
        '0+10x60' } },
  { alert: 'WardianTenantShed', when: 'a tenant asks for too much', at: '25m',
    series: app('tenant_overloaded', 120), fires: {
      labels: { tenant: 'acme', severity: 'ticket' },
      summary: '2 requests a second of acme are refused: it has too many under way' } },
  { alert: 'WardianTenantShed', when: 'it is a few', at: '25m', fires: null,
    series: app('tenant_overloaded', 6) },
  { alert: 'WardianTenantFailing', when: 'one in five traps', at: '20m',
    series: app('guest_trap', 12), fires: { labels: { tenant: 'acme', severity: 'ticket' },
      summary: '20% of the requests to acme fail in its guests' } },
  { alert: 'WardianTenantFailing', when: 'it is refused, and does not fail', at: '20m',
    fires: null, series: app('overloaded', 12) },
  { alert: 'WardianTenantFailing', when: 'it fails once in a while', at: '20m', fires: null,
    series: app('guest_trap', 2) },
];

const threads: readonly AlertCase[] = [
  { alert: 'WardianWorkerRestartLoop', when: 'a thread is lost each minute', at: '20m',
    series: { [of('wardian_worker_restarts_total')]: '0+1x60' }, fires: {
      labels: { ...only, severity: 'page' },
      summary: 'a:9090 lost 15 worker threads in 15 minutes' } },
  { alert: 'WardianWorkerRestartLoop', when: 'one thread was lost', at: '20m', fires: null,
    series: { [of('wardian_worker_restarts_total')]: '0x10 1x60' } },
  { alert: 'WardianWorkersMissing', when: 'one of four does not come back', at: '10m',
    series: level('wardian_workers', 3, 'wardian_workers_configured', 4), fires: {
      labels: { ...NODE, severity: 'page' },
      summary: 'only 75% of the worker threads of a:9090 serve' } },
  { alert: 'WardianWorkersMissing', when: 'all serve', at: '10m', fires: null,
    series: level('wardian_workers', 4, 'wardian_workers_configured', 4) },
  { alert: 'WardianLoopStalled', when: 'the main thread is late', at: '10m',
    series: { [of('wardian_event_loop_delay_seconds', 'statistic="p99"')]: '0.5x60' }, fires: {
      labels: { ...NODE, statistic: 'p99', severity: 'page' },
      summary: 'the main thread of a:9090 is 500ms late' } },
  { alert: 'WardianLoopStalled', when: 'it was late once', at: '10m', fires: null, series: {
    [of('wardian_event_loop_delay_seconds', 'statistic="p99"')]: '0.005x60',
    [of('wardian_event_loop_delay_seconds', 'statistic="max"')]: '0.5x60' } },
  { alert: 'WardianWorkerStalled', when: 'a worker does not turn', at: '5m',
    series: { [of('wardian_worker_beat_age_seconds', 'worker="1"')]: '0 60+60x10' }, fires: {
      labels: { ...NODE, worker: '1', severity: 'ticket' },
      summary: 'worker 1 of a:9090 has not turned for 5m 0s' } },
  { alert: 'WardianWorkerStalled', when: 'workers turn', at: '5m', fires: null,
    series: { [of('wardian_worker_beat_age_seconds', 'worker="1"')]: '0.02x10' } },
];

const RESIDENT = 'process_resident_memory_bytes';
const MAPPINGS = 'wardian_memory_mappings';
const resources: readonly AlertCase[] = [
  { alert: 'WardianMemoryNearLimit', when: 'little is left', at: '10m',
    series: level(RESIDENT, 950, 'wardian_memory_limit_bytes', 1_000), fires: {
      labels: { ...NODE, severity: 'page' }, summary: 'a:9090 uses 95% of its memory' } },
  { alert: 'WardianMemoryNearLimit', when: 'half is used', at: '10m', fires: null,
    series: level(RESIDENT, 500, 'wardian_memory_limit_bytes', 1_000) },
  { alert: 'WardianMappingsNearLimit', when: 'few are left', at: '10m',
    series: level(MAPPINGS, 60_000, `${MAPPINGS}_max`, 65_530), fires: {
      labels: { ...NODE, severity: 'page' },
      summary: 'a:9090 has 91.56% of the memory mappings it may have' } },
  { alert: 'WardianMappingsNearLimit', when: 'it is not known', at: '10m', fires: null,
    series: level(MAPPINGS, 0, `${MAPPINGS}_max`, 0) },
  { alert: 'WardianDiskLow', when: 'a twentieth is free', at: '20m',
    series: level('wardian_disk_free_bytes', 50, 'wardian_disk_bytes', 1_000), fires: {
      labels: { ...NODE, severity: 'ticket' }, summary: '5% of the disk of a:9090 is free' } },
  { alert: 'WardianDiskLow', when: 'half is free', at: '20m', fires: null,
    series: level('wardian_disk_free_bytes', 500, 'wardian_disk_bytes', 1_000) },
  { alert: 'WardianDiskNearlyFull', when: 'a hundred megabytes are free', at: '5m',
    series: { [of('wardian_disk_free_bytes')]: `${100 * 2 ** 20}x60` }, fires: {
      labels: { ...NODE, severity: 'page' }, summary: '100MiB are free on the disk of a:9090' } },
  { alert: 'WardianDiskNearlyFull', when: 'a gigabyte is free', at: '5m', fires: null,
    series: { [of('wardian_disk_free_bytes')]: `${2 ** 30}x60` } },
];

const platform: readonly AlertCase[] = [
  { alert: 'WardianStoreFailing', when: 'commits fail', at: '15m',
    series: { [of('wardian_store_failures_total')]: '0+1x60' }, fires: {
      labels: { ...only, severity: 'page' },
      summary: 'a:9090 could not commit 10 times in 10 minutes' } },
  { alert: 'WardianStoreFailing', when: 'one failed long ago', at: '40m', fires: null,
    series: { [of('wardian_store_failures_total')]: '0 1x60' } },
  { alert: 'WardianDeploysFailing', when: 'deploys fail', at: '40m',
    series: { [of('wardian_deploys_total', 'outcome="failed"')]: '0+1x60' }, fires: {
      labels: { ...only, severity: 'ticket' },
      summary: '30 deploys failed on a:9090 in 30 minutes, for a fault of the platform' } },
  { alert: 'WardianDeploysFailing', when: 'uploads are refused', at: '40m', fires: null, series: {
    [of('wardian_deploys_total', 'outcome="refused"')]: '0+1x60',
    [of('wardian_deploys_total', 'outcome="failed"')]: '0+0x60' } },
  { alert: 'WardianInternalErrors', when: 'there are some', at: '15m',
    series: { [of('wardian_internal_errors_total')]: '0+2x60' }, fires: {
      labels: { ...only, severity: 'ticket' },
      summary: 'a:9090 had 20 internal errors in 10 minutes' } },
  { alert: 'WardianInternalErrors', when: 'there are none', at: '15m', fires: null,
    series: { [of('wardian_internal_errors_total')]: '3x60' } },
  { alert: 'WardianLogLinesLost', when: 'nobody reads', at: '15m',
    series: { [of('wardian_log_lines_dropped_total', 'reason="output"')]: '0+60x60' }, fires: {
      labels: { ...NODE, reason: 'output', severity: 'ticket' },
      summary: 'a:9090 loses 1 log lines a second (output)' } },
  { alert: 'WardianLogLinesLost', when: 'lines are sampled', at: '15m', fires: null, series: {
    [of('wardian_log_lines_dropped_total', 'reason="sample"')]: '0+60x60',
    [of('wardian_log_lines_dropped_total', 'reason="output"')]: '0+0x60' } },
];

export const ALERT_CASES: readonly AlertCase[] =
  [...budget, ...nodes, ...latency, ...saturation, ...threads, ...resources, ...platform];
