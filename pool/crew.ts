/**
 * The threads of one Piscina, each with what the pool knows of it. Piscina starts a new thread for
 * each that ends, except once one has ended before it was ready: from then on it starts none, and
 * the pool replaces the whole crew.
 *
 *   seat:  (thread starts) ──hello and ready──▶ serving ──exit──▶ gone
 *                                                  └──end()──▶ ending ──exit──▶ gone
 */

import { fileURLToPath } from 'node:url';
import { threadId as ownThreadId, type MessagePort } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { BARE_THREAD, entryUrl } from '../contract/entry.ts';
import { QUEUE_LENGTH_MAX } from '../contract/limits.ts';
import type { WorkerData, WorkerHello, WorkerSettings } from '../contract/messages.ts';
import { ModuleHolders, sharedHolders } from './module-holders.ts';
import { lowerHelpers } from './priority.ts';
import { Seat, type Handle, type SeatEvents, type SeatOwner } from './seat.ts';
import { WORKER_STACK_MIB, workerHeapMib } from './v8-flags.ts';
import type { Wire } from './wire.ts';

export interface CrewEvents extends SeatEvents {
  readonly onServing: (seat: Seat, store: MessagePort) => void;
  readonly onNotice: (seat: Seat, notice: unknown) => void;
  readonly onGone: (seat: Seat, code: number) => void;
  readonly onError: (error: Error) => void;
}

/** How threads are started; tests have their own. */
export interface ThreadOptions {
  /** `pool/worker.ts` by default. */
  readonly entry?: URL;
  readonly heapMib?: number;
}

export class Crew implements SeatOwner {
  readonly seats = new Set<Seat>();
  readonly threads: number;
  /** It gets no more requests and goes when it has none. */
  retired = false;
  readonly #piscina: Piscina;
  readonly #moduleHolders: ModuleHolders;
  readonly #events: CrewEvents;
  readonly #handles = new Map<number, Handle>();
  readonly #hellos = new Map<number, WorkerHello>();
  #chosen: Handle | null = null;

  constructor(settings: WorkerSettings, options: ThreadOptions, events: CrewEvents) {
    this.threads = settings.threads;
    this.#events = events;
    lowerHelpers(settings.niceness);
    const moduleHolders = sharedHolders(settings.threads);
    this.#moduleHolders = new ModuleHolders(moduleHolders, ownThreadId);
    this.#piscina = new Piscina({
      // A path: Piscina would read a URL again for every task.
      filename: fileURLToPath(options.entry ?? entryUrl('./worker', import.meta.url)),
      minThreads: settings.threads,
      maxThreads: settings.threads,
      idleTimeout: Number.POSITIVE_INFINITY,
      concurrentTasksPerWorker: settings.guestsPerWorkerMax,
      // Never used: a request goes to a thread that was chosen for it, or waits in the pool.
      maxQueue: QUEUE_LENGTH_MAX,
      atomics: 'async',
      recordTiming: false,
      workerData: { ...settings, moduleHolders } satisfies WorkerData,
      ...BARE_THREAD,
      resourceLimits: {
        maxOldGenerationSizeMb: options.heapMib ?? workerHeapMib(settings.threads),
        stackSizeMb: WORKER_STACK_MIB,
      },
      loadBalancer: (_task) => this.#chosen,
    });
    this.#piscina.on('message', (hello: WorkerHello) => {
      this.#hellos.set(hello.threadId, hello);
      this.#seat(hello.threadId);
    });
    this.#piscina.on('workerCreate', (handle: Handle) => {
      this.#handles.set(handle.id, handle);
      this.#seat(handle.id);
    });
    this.#piscina.on('error', events.onError);
  }

  /** Threads that live, those that are still starting included. */
  get size(): number {
    return this.#piscina.threads.length;
  }

  get busy(): boolean {
    for (const seat of this.seats) {
      if (seat.requests.size > 0 || seat.relaying.size > 0) return true;
    }
    return false;
  }

  run(
    handle: Handle, requests: Wire, transferList: ArrayBuffer[] | undefined,
  ): Promise<Wire> {
    this.#chosen = handle;
    return this.#piscina.run(requests, transferList === undefined ? undefined : { transferList });
  }

  destroy(): Promise<void> {
    return this.#piscina.destroy();
  }

  /** A thread serves once it has said hello and Piscina calls it ready, in whichever order. */
  #seat(threadId: number): void {
    const hello = this.#hellos.get(threadId);
    const handle = this.#handles.get(threadId);
    const worker = this.#piscina.threads.find((thread) => thread.threadId === threadId);
    if (hello === undefined || handle === undefined || worker === undefined) return;
    this.#hellos.delete(threadId);
    this.#handles.delete(threadId);
    const seat = new Seat(this, worker, handle, hello, this.#events);
    this.seats.add(seat);
    seat.control.on('message', (notice: unknown) => this.#events.onNotice(seat, notice));
    seat.control.unref();
    worker.once('exit', (code) => {
      this.seats.delete(seat);
      this.#moduleHolders.release(threadId);
      seat.control.close();
      this.#events.onGone(seat, code);
    });
    this.#events.onServing(seat, hello.store);
  }
}
