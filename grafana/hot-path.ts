/**
 * The dashboard for the node as a whole: what comes in, what goes wrong, where the time goes, and
 * which resource is short. Read from the top: the first row says whether, the others say where.
 */

import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard';

import { UIDS, dashboard } from './dashboard.ts';
import type { Row } from './dashboard.ts';
import { appTable } from './neighbours.ts';
import { heat, lines, stat } from './panels.ts';
import { occurring, ofNodes, quantile, rate, sum } from './series.ts';
import { APP_VARIABLES } from './variables.ts';

const requests = sum(rate(ofNodes('wardian_requests_total')));
const platformFailures =
  sum(rate(ofNodes('wardian_request_failures_total', 'fault="platform"')));
const bad = sum(rate(ofNodes('wardian_requests_total', 'class="5xx"')));
const total = 'phase="total"';
const parts = 'phase!="total"';
const phaseBuckets = (phase: string): string =>
  ofNodes('wardian_request_phase_seconds_bucket', phase);

const failing = (fault: 'tenant' | 'platform' | 'client'): string => occurring(
  sum(rate(ofNodes('wardian_request_failures_total', `fault="${fault}"`)), 'reason'), 'reason');

const now: Row = {
  title: 'Now',
  panels: [
    stat({ title: 'Requests', tells: 'Requests that were answered, each second.', unit: 'reqps',
      width: 4, expression: requests }),
    stat({ title: 'Served by Wardian', width: 4, unit: 'percentunit',
      tells: 'Share of requests that did not fail for a fault of the platform. What guests do ' +
        'wrong does not count here: this is what the error budget is made of.',
      expression: `1 - ${platformFailures} / ${requests}`,
      warns: { at: 0.999, alarm: 0.99, below: true } }),
    stat({ title: 'p99 of a request', width: 4, unit: 's',
      tells: 'From arrival to answer, the time of guests included.',
      expression: quantile(0.99, phaseBuckets(total)), warns: { at: 0.5, alarm: 1 } }),
    stat({ title: 'Guests in flight', width: 4, unit: 'percentunit',
      tells: 'Of those that may be in flight.',
      expression: `${sum(ofNodes('wardian_guests_in_flight'))} / ` +
        sum(ofNodes('wardian_guests_in_flight_max')),
      warns: { at: 0.7, alarm: 0.9 } }),
    stat({ title: 'Shed', tells: 'Requests that were refused because too many were under way.',
      width: 4, unit: 'reqps', expression: sum(rate(ofNodes('wardian_requests_shed_total'))),
      warns: { at: 0.1, alarm: 1 } }),
    stat({ title: 'Worker threads', width: 4, unit: 'percentunit',
      tells: 'Of those there should be. Below 100 % while lost threads are replaced.',
      expression: `${sum(ofNodes('wardian_workers'))} / ` +
        sum(ofNodes('wardian_workers_configured')),
      warns: { at: 1, alarm: 0.5, below: true } }),
  ],
};

const traffic: Row = {
  title: 'Traffic and latency',
  panels: [
    lines({ title: 'Rate by class', tells: 'Answers by class of their status.', unit: 'reqps',
      width: 8, stacked: true,
      lines: [{ legend: '{{class}}',
        expression: sum(rate(ofNodes('wardian_requests_total')), 'class') }] }),
    lines({ title: 'Success ratio', width: 8, unit: 'percentunit', max: 1,
      tells: 'Without a fault of the platform; and answered below 500, whoever is to blame. ' +
        'When only the second falls, a guest fails: see the failures below.',
      lines: [
        { expression: `1 - ${platformFailures} / ${requests}`, legend: 'no platform fault' },
        { expression: `1 - ${bad} / ${requests}`, legend: 'below 500' },
      ] }),
    heat({ title: 'Latency', tells: 'From arrival to answer.', unit: 's', width: 8,
      buckets: phaseBuckets(total) }),
    lines({ title: 'p99 by phase', width: 12, unit: 's',
      tells: 'queue grows: too much work, see saturation. instantiate grows: modules are ' +
        'compiled again (module cache) or memories are made anew (memory pool). transfer grows: ' +
        'a thread is busy. run grows: guests or what they call are slow, see the table of apps.',
      lines: [{ expression: quantile(0.99, phaseBuckets(parts), ['phase']),
        legend: '{{phase}}' }] }),
    lines({ title: 'Where time goes', width: 12, unit: 's', stacked: true,
      tells: 'Mean time of each phase, which add up to the mean time of a request.',
      lines: [{ legend: '{{phase}}',
        expression:
          `${sum(rate(ofNodes('wardian_request_phase_seconds_sum', parts)), 'phase')} / ` +
          'scalar(' +
          `${sum(rate(ofNodes('wardian_request_phase_seconds_count', total)))})` }] }),
  ],
};

const failures: Row = {
  title: 'Failures, and whose they are',
  panels: [
    lines({ title: 'Guest failures by reason', width: 8, unit: 'reqps', stacked: true,
      tells: 'Failures for which the tenant is to blame. The table says which app.',
      lines: [{ legend: '{{reason}}',
        expression: failing('tenant') }] }),
    lines({ title: 'Platform failures by reason', width: 8, unit: 'reqps', stacked: true,
      tells: 'Failures of Wardian itself; each takes from the error budget.',
      lines: [{ legend: '{{reason}}',
        expression: failing('platform') }] }),
    lines({ title: 'Refused clients', width: 8, unit: 'reqps', stacked: true,
      tells: 'Requests for hosts that nobody serves, clients that left, and what the listener ' +
        'refuses before it is routed.',
      lines: [
        { legend: '{{reason}}', expression: failing('client') },
        { legend: 'listener: {{reason}}', expression:
          occurring(sum(rate(ofNodes('wardian_listener_refusals_total')), 'reason'), 'reason') },
      ] }),
    appTable('Who hurts, and who is hurt'),
  ],
};

const instances: Row = {
  title: 'Instances',
  panels: [
    lines({ title: 'Instances by mode', width: 8, unit: 'ops', stacked: true,
      tells: 'With a zeroed memory (recycled), or with a new one (fresh), which costs more. Many ' +
        'fresh ones: the memory pool is too small, or guests fail (their memories are dropped).',
      lines: [{ legend: '{{mode}}',
        expression: sum(rate(ofNodes('wardian_guest_instances_total')), 'mode') }] }),
    lines({ title: 'Module cache', width: 8, unit: 'percentunit', max: 1,
      tells: 'Share of requests that found their module, and how full the caches are. A low ' +
        'share in a full cache: raise module_cache_bytes.',
      lines: [
        { legend: 'hits', expression: `${sum(rate(ofNodes('wardian_module_cache_hits_total')))} ` +
          `/ (${sum(rate(ofNodes('wardian_module_cache_hits_total')))} + ` +
          `${sum(rate(ofNodes('wardian_module_cache_misses_total')))})` },
        { legend: 'full', expression: `${sum(ofNodes('wardian_module_cache_bytes'))} / ` +
          sum(ofNodes('wardian_module_cache_bytes_max')) },
      ] }),
    lines({ title: 'Memories', width: 8, unit: 'short',
      tells: 'WebAssembly memories that exist, and those of them that wait for a request.',
      lines: [
        { legend: 'exist', expression: sum(ofNodes('wardian_memories_live')) },
        { legend: 'wait', expression: sum(ofNodes('wardian_memory_pool_memories')) },
      ] }),
    heat({ title: 'Fuel of a request', tells: 'Units of work, see docs/fuel.md.', unit: 'short',
      width: 8, buckets: ofNodes('wardian_guest_fuel_units_bucket') }),
    heat({ title: 'Memory of a guest', tells: 'Linear memory and tables at their largest.',
      unit: 'bytes', width: 8, buckets: ofNodes('wardian_guest_memory_peak_bytes_bucket') }),
    lines({ title: 'What guests ask for', width: 8, unit: 'ops', tells: 'Hostcalls by kind.',
      lines: [
        { legend: 'hostcalls', expression: sum(rate(ofNodes('wardian_guest_hostcalls_total'))) },
        { legend: 'subrequests',
          expression: sum(rate(ofNodes('wardian_guest_subrequests_total'))) },
        { legend: 'key-value',
          expression: sum(rate(ofNodes('wardian_guest_kv_operations_total'))) },
        { legend: 'DNS', expression: sum(rate(ofNodes('wardian_guest_dns_queries_total'))) },
      ] }),
  ],
};

const saturation: Row = {
  title: 'Saturation',
  panels: [
    lines({ title: 'Queue', width: 6, unit: 'short',
      tells: 'Requests that wait for their turn. Queues are per tenant and served in turns: who ' +
        'floods a node waits first.',
      lines: [{ legend: 'waiting', expression: sum(ofNodes('wardian_queue_length')) }] }),
    lines({ title: 'Shed requests', width: 6, unit: 'reqps',
      tells: 'Refused because too many were under way: of the node, or of their tenant.',
      lines: [
        { legend: 'all', expression: sum(rate(ofNodes('wardian_requests_shed_total'))) },
        { legend: '{{reason}}', expression: sum(rate(ofNodes('wardian_request_failures_total',
          'reason=~"overloaded|tenant_overloaded"')), 'reason') },
      ] }),
    lines({ title: 'Guests', width: 6, unit: 'short',
      tells: 'In flight, and those of them that wait in a hostcall and need no processor.',
      lines: [
        { legend: 'in flight', expression: sum(ofNodes('wardian_guests_in_flight')) },
        { legend: 'suspended', expression: sum(ofNodes('wardian_guests_suspended')) },
      ] }),
    lines({ title: 'Guests by worker', width: 6, unit: 'short', tells: 'Guests in each thread.',
      lines: [{ legend: '{{instance}} worker {{worker}}',
        expression: ofNodes('wardian_worker_in_flight') }] }),
    lines({ title: 'Threads busy', width: 6, unit: 'percentunit', max: 1,
      tells: 'Share of the time in which a thread had something to do. One worker far above the ' +
        'others: a guest holds it. main at 100 %: the node needs company.',
      lines: [
        { legend: '{{instance}} worker {{worker}}',
          expression: rate(ofNodes('wardian_worker_busy_seconds_total')) },
        { legend: '{{instance}} main',
          expression: rate(ofNodes('wardian_main_busy_seconds_total')) },
      ] }),
    lines({ title: 'Workers lost', width: 6, unit: 'short',
      tells: 'Threads that were replaced, and the requests that were lost with them, in an hour.',
      lines: [
        { legend: 'threads',
          expression: sum(`increase(${ofNodes('wardian_worker_restarts_total')}[1h])`) },
        { legend: 'requests',
          expression: sum(`increase(${
            ofNodes('wardian_request_failures_total', 'reason="worker_lost"')}[1h])`) },
      ] }),
    lines({ title: 'Event loop delay', width: 6, unit: 's',
      tells: 'How late the main thread turned, in ten seconds each. It must stay in milliseconds.',
      lines: [{ legend: '{{instance}} {{statistic}}',
        expression: ofNodes('wardian_event_loop_delay_seconds') }] }),
    lines({ title: 'Bodies that flow', width: 6, unit: 'short',
      tells: 'Bodies that pass through piece by piece: of requests to guests, of answers after ' +
        'their guests have ended, which hold no guest and are bounded by themselves.',
      lines: [{ legend: '{{direction}}',
        expression: sum(ofNodes('wardian_relays_open'), 'direction') }] }),
  ],
};

const process: Row = {
  title: 'Process',
  panels: [
    lines({ title: 'Processor', width: 6, unit: 'short', tells: 'Cores in use.',
      lines: [{ legend: '{{instance}}',
        expression: rate(ofNodes('process_cpu_seconds_total')) }] }),
    lines({ title: 'Memory', width: 6, unit: 'bytes',
      tells: 'Resident memory, and the heap of the main thread.',
      lines: [
        { legend: '{{instance}} resident', expression: ofNodes('process_resident_memory_bytes') },
        { legend: '{{instance}} main heap',
          expression: ofNodes('wardian_heap_bytes', 'kind="used"') },
      ] }),
    lines({ title: 'Garbage collection', width: 6, unit: 'percentunit',
      tells: 'Share of the time, by kind and where.',
      lines: [{ legend: '{{thread}} {{kind}}', expression:
        occurring(sum(rate(ofNodes('wardian_gc_seconds_total')), 'thread', 'kind'), 'kind') }] }),
    lines({ title: 'Against limits', width: 6, unit: 'percentunit', max: 1,
      tells: 'Memory and memory mappings, of what the system allows. At 100 % it ends the ' +
        'process, or the process aborts.',
      lines: [
        { legend: '{{instance}} memory', expression: `${
          ofNodes('process_resident_memory_bytes')} / ${ofNodes('wardian_memory_limit_bytes')}` },
        { legend: '{{instance}} mappings', expression:
          `${ofNodes('wardian_memory_mappings')} / ${ofNodes('wardian_memory_mappings_max')}` },
      ] }),
  ],
};

export function hotPath(): Dashboard {
  return dashboard({
    uid: UIDS.hotPath,
    title: 'Wardian / Hot path',
    tells: 'What comes in, what fails, where the time of a request goes, and what is short.',
    variables: APP_VARIABLES,
    rows: [now, traffic, failures, instances, saturation, process],
  });
}
