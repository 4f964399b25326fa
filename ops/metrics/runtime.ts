/**
 * What the runtime tells of the process: event loop delay, garbage collection, heap, processor
 * time, and what the system allows it.
 */

import { totalmem } from 'node:os';
import { monitorEventLoopDelay, PerformanceObserver } from 'node:perf_hooks';

import { DELAY_STATISTICS, GC_KINDS } from '../metrics.ts';
import { offsetOf } from './layout.ts';
import { systemFile } from './process-files.ts';

const DELAY = DELAY_STATISTICS.map((statistic) =>
  offsetOf('wardian_event_loop_delay_seconds', { statistic }),
);
const GC_SECONDS = GC_KINDS.map((kind) =>
  offsetOf('wardian_gc_seconds_total', { thread: 'main', kind }),
);
const GC_RUNS = GC_KINDS.map((kind) =>
  offsetOf('wardian_gc_runs_total', { thread: 'main', kind }),
);
const HEAP = {
  used: offsetOf('wardian_heap_bytes', { kind: 'used' }),
  total: offsetOf('wardian_heap_bytes', { kind: 'total' }),
  external: offsetOf('wardian_heap_bytes', { kind: 'external' }),
  buffers: offsetOf('wardian_heap_bytes', { kind: 'array_buffers' }),
};
const RESIDENT = offsetOf('process_resident_memory_bytes');
const CPU = offsetOf('process_cpu_seconds_total');
const START = offsetOf('process_start_time_seconds');
const BUSY = offsetOf('wardian_main_busy_seconds_total');
const MAPPINGS_MAX = offsetOf('wardian_memory_mappings_max');
const MEMORY_LIMIT = offsetOf('wardian_memory_limit_bytes');

const DELAY_RESOLUTION_MS = 10;
const NS_PER_S = 1e9;

/** V8's bits for kinds of collections, in the order of GC_KINDS. */
const GC_BITS = [1, 2, 4, 8, 16];

/**
 * The smaller of what the control group and the machine allow. Where no group sets a limit, the
 * system's answer is 0 or more than there is.
 */
export function memoryLimit(constrained: number, machine: number): number {
  return constrained > 0 && constrained < machine ? constrained : machine;
}

export class RuntimeMetrics {
  readonly #block: Float64Array;
  readonly #delay: ReturnType<typeof monitorEventLoopDelay>;
  readonly #collections: PerformanceObserver;

  constructor(block: Float64Array) {
    this.#block = block;
    this.#delay = monitorEventLoopDelay({ resolution: DELAY_RESOLUTION_MS });
    this.#delay.enable();
    this.#collections = new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) {
        const { kind } = (entry as unknown as { detail: { kind: number } }).detail;
        const index = GC_BITS.indexOf(kind);
        if (index < 0) continue;
        block[GC_SECONDS[index] as number]! += entry.duration / 1_000;
        block[GC_RUNS[index] as number]! += 1;
      }
    });
    this.#collections.observe({ entryTypes: ['gc'] });
    block[START] = performance.timeOrigin / 1_000;
    block[MAPPINGS_MAX] = Number(systemFile('/proc/sys/vm/max_map_count')) || 0;
    block[MEMORY_LIMIT] = memoryLimit(process.constrainedMemory(), totalmem());
  }

  /** Every ten seconds: the statistics of the delay since the last call. */
  turnDelay(): void {
    const delay = this.#delay;
    const values = [delay.percentile(50), delay.percentile(99), delay.max];
    for (const [index, offset] of DELAY.entries()) {
      // The timer's own period is in what Node measures.
      const late = (values[index] ?? 0) / NS_PER_S - DELAY_RESOLUTION_MS / 1_000;
      this.#block[offset] = delay.count === 0 ? 0 : Math.max(0, late);
    }
    delay.reset();
  }

  /** For a scrape. */
  collect(): void {
    const block = this.#block;
    const memory = process.memoryUsage();
    block[HEAP.used] = memory.heapUsed;
    block[HEAP.total] = memory.heapTotal;
    block[HEAP.external] = memory.external;
    block[HEAP.buffers] = memory.arrayBuffers;
    block[RESIDENT] = memory.rss;
    const { user, system } = process.cpuUsage();
    block[CPU] = (user + system) / 1e6;
    block[BUSY] = performance.eventLoopUtilization().active / 1_000;
  }

  close(): void {
    this.#delay.disable();
    this.#collections.disconnect();
  }
}
