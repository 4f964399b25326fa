/**
 * Every metric of the daemon as data: name, type, help, unit, labels, buckets. What counts them,
 * what renders them, `docs/metrics.md`, the dashboards and the alert rules all read this table.
 */

import { ERRORS } from '../contract/errors.ts';
import { GUEST_REASONS, REFUSAL_REASONS } from './metrics/reasons.ts';

export type MetricType = 'counter' | 'gauge' | 'histogram';

/**
 * `process`: one set of series. `app`: one set for each app that has series of its own, with the
 * labels `tenant` and `app`, and one for all others, `_other`. `version`: one set for each of the
 * versions of such an app that were asked for last, with the label `version`. `worker`: one set for
 * each worker thread, with the label `worker`. `info`: one series, its label values known at start.
 */
export type MetricScope = 'process' | 'app' | 'version' | 'worker' | 'info';

export interface MetricDefinition {
  readonly name: string;
  readonly type: MetricType;
  readonly help: string;
  /** Base unit of the value; '' for a count or a state. */
  readonly unit: '' | 'seconds' | 'bytes' | 'units';
  /** Default `process`. */
  readonly scope?: MetricScope;
  /** Every combination of label values beside those of the scope; absent: one without labels. */
  readonly series?: readonly Readonly<Record<string, string>>[];
  /** Upper bounds, rising; of histograms alone. */
  readonly buckets?: readonly number[];
  /** Label names of an `info` metric. */
  readonly labels?: readonly string[];
}

/** What the one row that stands for all further apps is called. */
export const OTHER = '_other';

const PHASE_BUCKETS_S = [
  0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025,
  0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
];
const LATENCY_BUCKETS_S = [
  0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10,
];
const STAGE_BUCKETS_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const FUEL_BUCKETS = [1e3, 1e4, 1e5, 1e6, 5e6, 1e7, 5e7, 1e8, 5e8, 1e9, 1e10];
const MEMORY_BUCKETS_BYTES = Array.from({ length: 13 }, (_, power) => 65_536 * 2 ** power);

/**
 * The way of a request: `route` (arrival to the app's route), `queue` (to dispatch), `transfer`
 * (between the threads, both ways), `instantiate`, `run`, `respond` (reply to answer), `total`.
 */
export const PHASES = [
  'route', 'queue', 'transfer', 'instantiate', 'run', 'respond', 'total',
] as const;
export const CLASSES = ['2xx', '3xx', '4xx', '5xx'] as const;
export const DEPLOY_STAGES = ['uploaded', 'building', 'compiling', 'deploying'] as const;
export const GC_KINDS = ['scavenge', 'minor', 'mark_sweep', 'incremental', 'weak'] as const;
export const GC_THREADS = ['main', 'workers'] as const;
export const DELAY_STATISTICS = ['p50', 'p99', 'max'] as const;
export const LOG_KINDS = ['request', 'guest', 'daemon'] as const;
/** `sample`: the access log's sampling; `rate`: one app's guest lines came too fast; `worker`: a
 * worker's batch was full; `output`: whoever reads stdout is too slow; `refused`: the listener
 * refused too many requests in a second. */
export const LOG_LOSSES = ['sample', 'rate', 'worker', 'output', 'refused'] as const;
export const SPAN_OUTCOMES = ['exported', 'failed', 'dropped'] as const;
/** Towards a guest, and from an upstream to a client. */
export const RELAY_DIRECTIONS = ['request', 'answer'] as const;
/** Parts that a scrape asks and does not wait for too long. */
export const SLOW_SOURCES = ['store', 'disk'] as const;
const HEAP_KINDS = ['used', 'total', 'external', 'array_buffers'] as const;

const each = <T extends string>(label: string, values: readonly T[]) =>
  values.map((value) => ({ [label]: value }));
const faults = Object.entries(ERRORS).map(([reason, { fault }]) => ({ reason, fault }));

export const METRICS = [
  // Requests.
  { name: 'wardian_requests_total', type: 'counter', unit: '', series: each('class', CLASSES),
    help: 'Requests that were answered, by class of the status. One whose client left is a 4xx.' },
  { name: 'wardian_request_failures_total', type: 'counter', unit: '', series: faults,
    help: 'Requests that Wardian answered itself because something failed, by error code (see ' +
      'docs/errors.md) and whose fault it is; fault="tenant" are the failures of guests.' },
  { name: 'wardian_request_phase_seconds', type: 'histogram', unit: 'seconds',
    series: each('phase', PHASES), buckets: PHASE_BUCKETS_S,
    help: 'How long each phase of a request took. All but total add up to total, however it ' +
      'ended; of a request lost with its thread, all time since its dispatch is transfer.' },
  { name: 'wardian_request_bytes_total', type: 'counter', unit: 'bytes',
    help: 'Bytes of request bodies.' },
  { name: 'wardian_response_bytes_total', type: 'counter', unit: 'bytes',
    help: 'Bytes of response bodies.' },
  { name: 'wardian_listener_refusals_total', type: 'counter', unit: '',
    series: each('reason', REFUSAL_REASONS),
    help: 'Requests that the listener refused before they were routed, by error code.' },
  { name: 'wardian_connections', type: 'gauge', unit: '', help: 'Open client connections.' },
  { name: 'wardian_relays_open', type: 'gauge', unit: '',
    series: each('direction', RELAY_DIRECTIONS),
    help: 'Bodies that flow through piece by piece: of requests on their way to a guest, of ' +
      'answers from an upstream whose guest has ended.' },
  // Admission.
  { name: 'wardian_guests_in_flight', type: 'gauge', unit: '',
    help: 'Admitted requests that are not answered yet.' },
  { name: 'wardian_guests_suspended', type: 'gauge', unit: '',
    help: 'Guests that wait in a hostcall now, off the processor.' },
  { name: 'wardian_guests_in_flight_max', type: 'gauge', unit: '',
    help: 'Guests of one tenant that may be in flight, by configuration; others have a ' +
      'quarter more.' },
  { name: 'wardian_queue_length', type: 'gauge', unit: '',
    help: 'Requests that wait for their turn.' },
  { name: 'wardian_queue_length_max', type: 'gauge', unit: '',
    help: 'Requests of one tenant that may wait, by configuration; others have a quarter more.' },
  { name: 'wardian_requests_shed_total', type: 'counter', unit: '',
    help: 'Requests that were refused because too many were under way, at once or in the queue.' },
  // Guests.
  { name: 'wardian_guest_fuel_units', type: 'histogram', unit: 'units', buckets: FUEL_BUCKETS,
    help: 'Fuel that a request used.' },
  { name: 'wardian_guest_memory_peak_bytes', type: 'histogram', unit: 'bytes',
    buckets: MEMORY_BUCKETS_BYTES,
    help: "A guest's linear memory and tables at their largest." },
  { name: 'wardian_guest_instances_total', type: 'counter', unit: '',
    series: each('mode', ['fresh', 'recycled']),
    help: 'Instances that served a request: with a new memory, or with a zeroed one.' },
  { name: 'wardian_guest_hostcalls_total', type: 'counter', unit: '', help: 'Hostcalls.' },
  { name: 'wardian_guest_hostcall_bytes_total', type: 'counter', unit: 'bytes',
    help: 'Bytes that hostcalls copied.' },
  { name: 'wardian_guest_subrequests_total', type: 'counter', unit: '',
    help: 'HTTP requests that guests started, redirects included.' },
  { name: 'wardian_guest_subrequest_seconds_total', type: 'counter', unit: 'seconds',
    help: 'Time of these, each from its start to the end of its body, redirects included.' },
  { name: 'wardian_guest_subrequest_failures_total', type: 'counter', unit: '',
    help: 'Requests of guests that got no whole answer: refused, timed out, cut off, too large.' },
  { name: 'wardian_guest_dns_queries_total', type: 'counter', unit: '',
    help: 'DNS queries of guests.' },
  { name: 'wardian_guest_dns_seconds_total', type: 'counter', unit: 'seconds',
    help: 'Time guests were in hostcalls of DNS, waiting included.' },
  { name: 'wardian_guest_kv_operations_total', type: 'counter', unit: '',
    help: 'Key-value operations of guests.' },
  { name: 'wardian_guest_kv_seconds_total', type: 'counter', unit: 'seconds',
    help: 'Time guests were in hostcalls of the key-value store, waiting included.' },
  // Workers.
  { name: 'wardian_workers', type: 'gauge', unit: '', help: 'Worker threads that serve.' },
  { name: 'wardian_workers_configured', type: 'gauge', unit: '',
    help: 'Worker threads there should be.' },
  { name: 'wardian_worker_restarts_total', type: 'counter', unit: '',
    help: 'Worker threads that were lost and replaced.' },
  { name: 'wardian_worker_lost_requests_total', type: 'counter', unit: '',
    help: 'Requests that were answered worker_lost because their thread was lost.' },
  { name: 'wardian_worker_in_flight', type: 'gauge', unit: '', scope: 'worker',
    help: 'Guests in a worker thread.' },
  { name: 'wardian_worker_suspended', type: 'gauge', unit: '', scope: 'worker',
    help: 'Guests in a worker thread that wait in a hostcall.' },
  { name: 'wardian_worker_busy_seconds_total', type: 'counter', unit: 'seconds', scope: 'worker',
    help: "Time in which a worker's event loop had something to do." },
  { name: 'wardian_worker_beat_age_seconds', type: 'gauge', unit: 'seconds', scope: 'worker',
    help: "Time since a worker's event loop last turned." },
  { name: 'wardian_module_cache_hits_total', type: 'counter', unit: '',
    help: 'Requests whose module was in the cache of its worker.' },
  { name: 'wardian_module_cache_misses_total', type: 'counter', unit: '',
    help: 'Requests whose module had to be loaded and compiled first.' },
  { name: 'wardian_module_cache_evictions_total', type: 'counter', unit: '',
    help: 'Modules that had to leave the cache for others.' },
  { name: 'wardian_module_cache_modules', type: 'gauge', unit: '', help: 'Modules in the caches.' },
  { name: 'wardian_module_cache_bytes', type: 'gauge', unit: 'bytes',
    help: 'Bytes that the cached modules are reckoned to take.' },
  { name: 'wardian_module_cache_bytes_max', type: 'gauge', unit: 'bytes',
    help: 'Bytes that the caches may hold, by configuration.' },
  { name: 'wardian_memory_pool_memories', type: 'gauge', unit: '',
    help: 'Zeroed memories that wait for the next request.' },
  { name: 'wardian_memory_pool_bytes', type: 'gauge', unit: 'bytes', help: 'Bytes of these.' },
  { name: 'wardian_memory_pool_bytes_max', type: 'gauge', unit: 'bytes',
    help: 'Bytes that the memory pools may hold, by configuration.' },
  { name: 'wardian_memories_live', type: 'gauge', unit: '',
    help: 'WebAssembly memories that exist; about 16,300 exhaust the address space.' },
  // Apps.
  { name: 'wardian_app_requests_total', type: 'counter', unit: '', scope: 'app',
    series: each('class', CLASSES), help: "An app's requests, by class of the status." },
  { name: 'wardian_app_request_seconds', type: 'histogram', unit: 'seconds', scope: 'app',
    buckets: LATENCY_BUCKETS_S, help: "Time from an app's request to its answer." },
  { name: 'wardian_app_failures_total', type: 'counter', unit: '', scope: 'app',
    series: each('reason', GUEST_REASONS),
    help: "An app's failed requests, by error code; the platform's own failures are `platform`." },
  { name: 'wardian_app_run_seconds_total', type: 'counter', unit: 'seconds', scope: 'app',
    help: "Time an app's guests took, waiting included." },
  { name: 'wardian_app_queue_seconds_total', type: 'counter', unit: 'seconds', scope: 'app',
    help: "Time an app's requests waited for their turn." },
  { name: 'wardian_app_fuel_units_total', type: 'counter', unit: 'units', scope: 'app',
    help: "Fuel that an app's guests used." },
  { name: 'wardian_app_memory_peak_bytes', type: 'gauge', unit: 'bytes', scope: 'app',
    help: "The most linear memory and tables of an app's guest in the last minute or two." },
  { name: 'wardian_app_memory_limit_bytes', type: 'gauge', unit: 'bytes', scope: 'app',
    help: "What an app's guests may have of memory and tables; 0 where it is not known." },
  { name: 'wardian_app_subrequests_total', type: 'counter', unit: '', scope: 'app',
    help: 'HTTP requests that the guests of an app started.' },
  { name: 'wardian_app_subrequest_seconds_total', type: 'counter', unit: 'seconds', scope: 'app',
    help: 'Time of these, each from its start to the end of its body.' },
  { name: 'wardian_app_subrequest_failures_total', type: 'counter', unit: '', scope: 'app',
    help: 'Requests of the guests of an app that got no whole answer.' },
  { name: 'wardian_app_dns_queries_total', type: 'counter', unit: '', scope: 'app',
    help: 'DNS queries of the guests of an app.' },
  { name: 'wardian_app_dns_seconds_total', type: 'counter', unit: 'seconds', scope: 'app',
    help: 'Time the guests of an app were in hostcalls of DNS, waiting included.' },
  { name: 'wardian_app_kv_operations_total', type: 'counter', unit: '', scope: 'app',
    help: 'Key-value operations of the guests of an app.' },
  { name: 'wardian_app_kv_seconds_total', type: 'counter', unit: 'seconds', scope: 'app',
    help: 'Time the guests of an app were in hostcalls of the key-value store, waiting included.' },
  { name: 'wardian_app_request_bytes_total', type: 'counter', unit: 'bytes', scope: 'app',
    help: 'Bytes of request bodies to an app.' },
  { name: 'wardian_app_response_bytes_total', type: 'counter', unit: 'bytes', scope: 'app',
    help: 'Bytes of response bodies of an app.' },
  { name: 'wardian_app_log_lines_total', type: 'counter', unit: '', scope: 'app',
    help: 'Lines that the guests of an app logged.' },
  { name: 'wardian_app_version', type: 'gauge', unit: '', scope: 'app',
    help: 'Number of the version that an app serves, of several the active one; a change is a ' +
      'deploy or a rollback.' },
  { name: 'wardian_app_version_requests_total', type: 'counter', unit: '', scope: 'version',
    help: 'Requests of each version of an app, of the 8 that were asked for last.' },
  { name: 'wardian_app_version_failures_total', type: 'counter', unit: '', scope: 'version',
    help: "Those of them that were answered with a status of 5xx, by the guest or because it " +
      'failed.' },
  { name: 'wardian_app_series', type: 'gauge', unit: '',
    series: each('state', ['own', 'folded']),
    help: 'Apps that have series of their own, and that are part of _other.' },
  { name: 'wardian_app_series_folded_total', type: 'counter', unit: '',
    help: 'How often an app with series of its own had to give them up to one with more traffic.' },
  { name: 'wardian_app_requests_folded_total', type: 'counter', unit: '',
    help: 'Requests that were counted under _other.' },
  { name: 'wardian_apps', type: 'gauge', unit: '', help: 'Apps that are deployed.' },
  // Deploys.
  { name: 'wardian_deploys_total', type: 'counter', unit: '',
    series: each('outcome', ['done', 'refused', 'failed']),
    help: "Deploys: done, refused for a fault of the upload, failed for one of the platform's." },
  { name: 'wardian_deploy_failures_total', type: 'counter', unit: '', series: faults,
    help: 'Deploys that were refused or failed, by error code and whose fault it is.' },
  { name: 'wardian_deploy_stage_seconds', type: 'histogram', unit: 'seconds',
    series: each('stage', DEPLOY_STAGES), buckets: STAGE_BUCKETS_S,
    help: 'How long each stage of a deploy took; uploaded is the wait for its turn, building ' +
      'includes the build of source.' },
  { name: 'wardian_deploys_under_way', type: 'gauge', unit: '', help: 'Deploys under way.' },
  { name: 'wardian_restores_total', type: 'counter', unit: '',
    help: 'Backups that took the place of all that was stored, while requests were served.' },
  // The store.
  { name: 'wardian_store_commits_total', type: 'counter', unit: '', help: 'Commits.' },
  { name: 'wardian_store_commands_total', type: 'counter', unit: '',
    help: 'Writes that commits held.' },
  { name: 'wardian_store_commit_seconds_total', type: 'counter', unit: 'seconds',
    help: 'Time that commits took.' },
  { name: 'wardian_store_refusals_total', type: 'counter', unit: '',
    help: 'Writes that were refused: over a limit, or the disk nearly full.' },
  { name: 'wardian_store_failures_total', type: 'counter', unit: '',
    help: 'Commits that failed.' },
  { name: 'wardian_store_pending', type: 'gauge', unit: '',
    help: 'Writes that wait for their commit.' },
  { name: 'wardian_store_pending_bytes', type: 'gauge', unit: 'bytes', help: 'Bytes of these.' },
  { name: 'wardian_store_bytes', type: 'gauge', unit: 'bytes',
    help: 'Size of the database with its log.' },
  { name: 'wardian_disk_free_bytes', type: 'gauge', unit: 'bytes',
    help: 'Free space where the data folder is.' },
  { name: 'wardian_disk_bytes', type: 'gauge', unit: 'bytes',
    help: 'Space there is where the data folder is.' },
  // Logs.
  { name: 'wardian_log_lines_total', type: 'counter', unit: '', series: each('kind', LOG_KINDS),
    help: 'Lines logged.' },
  { name: 'wardian_log_lines_dropped_total', type: 'counter', unit: '',
    series: each('reason', LOG_LOSSES),
    help: 'Lines that were not logged: sample (the sampling of the access log), rate (the guests ' +
      'of an app logged too fast), worker (a batch was full), output (stdout is not read), ' +
      'refused (the listener refused too many requests in a second).' },
  { name: 'wardian_log_followers', type: 'gauge', unit: '', help: 'Live readers of the log.' },
  // Traces.
  { name: 'wardian_trace_spans_total', type: 'counter', unit: '',
    series: each('outcome', SPAN_OUTCOMES),
    help: 'Spans of sampled requests: exported, failed (the collector did not take them), ' +
      'dropped (too many waited, or too many of one guest).' },
  // The process.
  { name: 'wardian_build_info', type: 'gauge', unit: '', scope: 'info',
    labels: ['version', 'node', 'v8', 'listener'], help: 'Always 1; the labels say what runs.' },
  { name: 'wardian_ready', type: 'gauge', unit: '',
    help: '1 while requests are served, 0 while starting and draining.' },
  { name: 'wardian_event_loop_delay_seconds', type: 'gauge', unit: 'seconds',
    series: each('statistic', DELAY_STATISTICS),
    help: "How late the main thread's event loop turned in the last ten seconds." },
  { name: 'wardian_main_busy_seconds_total', type: 'counter', unit: 'seconds',
    help: "Time in which the main thread's event loop had something to do." },
  { name: 'wardian_gc_seconds_total', type: 'counter', unit: 'seconds',
    series: GC_THREADS.flatMap((thread) => GC_KINDS.map((kind) => ({ thread, kind }))),
    help: 'Time in garbage collection.' },
  { name: 'wardian_gc_runs_total', type: 'counter', unit: '',
    series: GC_THREADS.flatMap((thread) => GC_KINDS.map((kind) => ({ thread, kind }))),
    help: 'Garbage collections.' },
  { name: 'wardian_heap_bytes', type: 'gauge', unit: 'bytes', series: each('kind', HEAP_KINDS),
    help: "The main thread's heap, and memory held from it." },
  { name: 'wardian_memory_mappings', type: 'gauge', unit: '',
    help: 'Memory mappings of the process; 0 where that is not known (outside Linux).' },
  { name: 'wardian_memory_mappings_max', type: 'gauge', unit: '',
    help: 'Mappings it may have (vm.max_map_count); beyond it the process aborts.' },
  { name: 'wardian_memory_limit_bytes', type: 'gauge', unit: 'bytes',
    help: 'Memory the process may have: of its control group, or of the machine.' },
  { name: 'wardian_collect_failures_total', type: 'counter', unit: '',
    series: each('source', SLOW_SOURCES),
    help: 'Scrapes for which a part did not tell its numbers in time; they show its last ones.' },
  { name: 'wardian_internal_errors_total', type: 'counter', unit: '',
    help: "Errors of Wardian's own; each is in the log with its stack." },
  { name: 'process_cpu_seconds_total', type: 'counter', unit: 'seconds',
    help: 'Processor time of the process.' },
  { name: 'process_resident_memory_bytes', type: 'gauge', unit: 'bytes',
    help: 'Resident memory of the process.' },
  { name: 'process_open_fds', type: 'gauge', unit: '', help: 'Open file descriptors.' },
  { name: 'process_start_time_seconds', type: 'gauge', unit: 'seconds',
    help: 'When the process started, in seconds since the epoch.' },
] as const satisfies readonly MetricDefinition[];

export type MetricName = (typeof METRICS)[number]['name'];
export { GUEST_REASONS, REFUSAL_REASONS };
