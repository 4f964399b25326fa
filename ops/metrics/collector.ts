/**
 * Brings the state of the daemon's parts into the metrics' memory: every second the counters of
 * worker threads, which would be lost with a thread, and for a scrape everything else.
 */

import { stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';

import type { Maxima, Sources, WorkerField, WorkerSource } from '../sources.ts';
import { WORKER_WIDTH, offsetOf } from './layout.ts';
import type { MetricMemory } from './layout.ts';
import { SlowSource } from './slow-source.ts';
import { RELAY_DIRECTIONS, SLOW_SOURCES } from '../metrics.ts';
import type { MetricName } from '../metrics.ts';

const gc = (name: 'wardian_gc_seconds_total' | 'wardian_gc_runs_total', kind: string): number =>
  offsetOf(name, { thread: 'workers', kind });

/** Counters of a worker: field, where they are added, and by what they are multiplied. */
const COUNTERS: readonly (readonly [WorkerField, number, number])[] = [
  ['moduleHits', offsetOf('wardian_module_cache_hits_total'), 1],
  ['moduleMisses', offsetOf('wardian_module_cache_misses_total'), 1],
  ['moduleEvictions', offsetOf('wardian_module_cache_evictions_total'), 1],
  ['logLinesDropped', offsetOf('wardian_log_lines_dropped_total', { reason: 'worker' }), 1],
  ['gcScavengeMs', gc('wardian_gc_seconds_total', 'scavenge'), 0.001],
  ['gcScavenges', gc('wardian_gc_runs_total', 'scavenge'), 1],
  ['gcMinorMs', gc('wardian_gc_seconds_total', 'minor'), 0.001],
  ['gcMinors', gc('wardian_gc_runs_total', 'minor'), 1],
  ['gcMarkSweepMs', gc('wardian_gc_seconds_total', 'mark_sweep'), 0.001],
  ['gcMarkSweeps', gc('wardian_gc_runs_total', 'mark_sweep'), 1],
  ['gcIncrementalMs', gc('wardian_gc_seconds_total', 'incremental'), 0.001],
  ['gcIncrementals', gc('wardian_gc_runs_total', 'incremental'), 1],
  ['gcWeakMs', gc('wardian_gc_seconds_total', 'weak'), 0.001],
  ['gcWeaks', gc('wardian_gc_runs_total', 'weak'), 1],
];

/** What all workers hold together. */
const SUMS: readonly (readonly [WorkerField, number])[] = [
  ['modulesCached', offsetOf('wardian_module_cache_modules')],
  ['moduleBytesCached', offsetOf('wardian_module_cache_bytes')],
  ['memoriesPooled', offsetOf('wardian_memory_pool_memories')],
  ['memoryBytesPooled', offsetOf('wardian_memory_pool_bytes')],
  ['memoriesLive', offsetOf('wardian_memories_live')],
];

const RELAYS = RELAY_DIRECTIONS.map((direction) =>
  [direction, offsetOf('wardian_relays_open', { direction })] as const);

const WORKER_IN_FLIGHT = offsetOf('wardian_worker_in_flight');
const WORKER_SUSPENDED = offsetOf('wardian_worker_suspended');
const WORKER_BUSY = offsetOf('wardian_worker_busy_seconds_total');
const WORKER_BEAT_AGE = offsetOf('wardian_worker_beat_age_seconds');

/** What was last read of a worker thread, and the row it is shown in. */
interface SeenWorker {
  row: number;
  busyMs: number;
  readonly counts: Map<WorkerField, number>;
}

export class Collector {
  readonly #memory: MetricMemory;
  readonly #sources: Sources;
  readonly #seen = new Map<number, SeenWorker>();
  readonly #rows: number;
  readonly #store: SlowSource;
  readonly #disk: SlowSource;

  /** `onFailure` is told once when a source begins to fail, and again after it has worked. */
  constructor(
    memory: MetricMemory, sources: Sources, maxima: Maxima,
    onFailure: (source: string, error: unknown) => void,
  ) {
    this.#memory = memory;
    this.#sources = sources;
    this.#rows = memory.workers.length / WORKER_WIDTH;
    const slow = (source: (typeof SLOW_SOURCES)[number]): SlowSource => {
      const offset = offsetOf('wardian_collect_failures_total', { source });
      return new SlowSource((error, isFirst) => {
        memory.process[offset]! += 1;
        if (isFirst) onFailure(source, error);
      });
    };
    this.#store = slow('store');
    this.#disk = slow('disk');
    this.#set('wardian_workers_configured', maxima.threads);
    this.#set('wardian_guests_in_flight_max', maxima.guestsInFlight);
    this.#set('wardian_queue_length_max', maxima.queueLength);
    this.#set('wardian_module_cache_bytes_max', maxima.moduleCacheBytes);
    this.#set('wardian_memory_pool_bytes_max', maxima.memoryPoolBytes);
  }

  #set(name: MetricName, value: number): void {
    this.#memory.process[offsetOf(name)] = value;
  }

  /** The workers' part; cheap, for every second and every scrape. */
  collectWorkers(): void {
    const { workers, threads, restarts, relays } = this.#sources.pool.stats();
    for (const [direction, offset] of RELAYS) this.#memory.process[offset] = relays[direction];
    this.#set('wardian_workers', threads);
    this.#set('wardian_worker_restarts_total', restarts);
    const alive = new Set(workers.map((worker) => worker.threadId));
    for (const id of this.#seen.keys()) if (!alive.has(id)) this.#seen.delete(id);
    for (const row of this.#freeRows()) this.#clearRow(row);
    let suspended = 0;
    for (const worker of workers) {
      suspended += worker.waiting;
      this.#collectWorker(worker);
    }
    this.#set('wardian_guests_suspended', suspended);
    for (const [field, offset] of SUMS) {
      let sum = 0;
      for (const worker of workers) sum += worker.get(field);
      this.#memory.process[offset] = sum;
    }
  }

  #freeRows(): number[] {
    const taken = new Set([...this.#seen.values()].map((worker) => worker.row));
    return Array.from({ length: this.#rows }, (_, row) => row).filter((row) => !taken.has(row));
  }

  /** The states of a row that no thread has; its counters stay, whoever takes it goes on. */
  #clearRow(row: number): void {
    const at = row * WORKER_WIDTH;
    for (const gauge of [WORKER_IN_FLIGHT, WORKER_SUSPENDED, WORKER_BEAT_AGE]) {
      this.#memory.workers[at + gauge] = 0;
    }
  }

  #collectWorker(worker: WorkerSource): void {
    let seen = this.#seen.get(worker.threadId);
    if (seen === undefined) {
      seen = { row: this.#freeRows()[0] ?? -1, busyMs: 0, counts: new Map() };
      this.#seen.set(worker.threadId, seen);
    }
    for (const [field, offset, factor] of COUNTERS) {
      const value = worker.get(field);
      this.#memory.process[offset]! += (value - (seen.counts.get(field) ?? 0)) * factor;
      seen.counts.set(field, value);
    }
    if (seen.row < 0) return;
    const rows = this.#memory.workers;
    const at = seen.row * WORKER_WIDTH;
    rows[at + WORKER_IN_FLIGHT] = worker.inFlight;
    rows[at + WORKER_SUSPENDED] = worker.waiting;
    rows[at + WORKER_BEAT_AGE] = worker.lagMs / 1_000;
    rows[at + WORKER_BUSY]! += Math.max(0, worker.busyMs - seen.busyMs) / 1_000;
    seen.busyMs = worker.busyMs;
  }

  /** Everything else, for a scrape. */
  async collect(): Promise<void> {
    this.collectWorkers();
    const { admission, store, router } = this.#sources;
    this.#set('wardian_guests_in_flight', admission.inFlight);
    this.#set('wardian_queue_length', admission.queued);
    this.#set('wardian_requests_shed_total', admission.shed);
    this.#set('wardian_apps', router.size);
    this.#set('wardian_connections', this.#sources.connections());
    this.#set('wardian_ready', this.#sources.isReady() ? 1 : 0);
    await Promise.all([
      this.#store.collect(() => this.#collectStore()),
      this.#disk.collect(() => this.#collectDisk(store.databasePath)),
    ]);
  }

  async #collectStore(): Promise<void> {
    const stats = await this.#sources.store.stats();
    this.#set('wardian_store_commits_total', stats.commits);
    this.#set('wardian_store_commands_total', stats.commands);
    this.#set('wardian_store_commit_seconds_total', stats.commitUs / 1e6);
    this.#set('wardian_store_refusals_total', stats.refusals);
    this.#set('wardian_store_failures_total', stats.failures);
    this.#set('wardian_store_pending', stats.pending);
    this.#set('wardian_store_pending_bytes', stats.pendingBytes);
  }

  async #collectDisk(databasePath: string): Promise<void> {
    const disk = await statfs(dirname(databasePath));
    this.#set('wardian_disk_free_bytes', disk.bavail * disk.bsize);
    this.#set('wardian_disk_bytes', disk.blocks * disk.bsize);
    const { size } = await stat(databasePath);
    this.#set('wardian_store_bytes', size + (await sizeOf(`${databasePath}-wal`)));
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw error;
  }
}
