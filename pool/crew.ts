/**
 * The threads of one Piscina, each with what the pool knows of it. Piscina starts a new thread for
 * each that ends, except once one has ended before it was ready: from then on it starts none, and
 * the pool replaces the whole crew.
 *
 *   seat:  (thread starts) ──hello and ready──▶ serving ──exit──▶ gone
 *                                                  └──end()──▶ ending ──exit──▶ gone
 */

import { fileURLToPath } from 'node:url';
import type { MessagePort, Worker } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { BARE_THREAD, entryUrl } from '../contract/entry.ts';
import { QUEUE_LENGTH_MAX } from '../contract/limits.ts';
import { LiveMap } from '../contract/live-map.ts';
import type {
  RequestMessage, WorkerHello, WorkerOrder, WorkerSettings,
} from '../contract/messages.ts';
import { FIELDS, Heartbeat } from './heartbeat.ts';
import { Ledger, PLACES } from './ledger.ts';
import { alone, isHandedOver } from './transfer.ts';
import { WORKER_STACK_MIB, workerHeapMib } from './v8-flags.ts';
import { putRequest, type Wire } from './wire.ts';

/** Piscina's view of a thread: what its load balancer takes and gives. */
export type Handle = Parameters<
  NonNullable<NonNullable<ConstructorParameters<typeof Piscina>[0]>['loadBalancer']>>[1][number];

export interface CrewEvents {
  readonly onServing: (seat: Seat, store: MessagePort) => void;
  readonly onNotice: (seat: Seat, notice: unknown) => void;
  readonly onReplies: (seat: Seat, wire: Wire) => void;
  /** A request could not be sent, or the thread's code failed with it. */
  readonly onNotSent: (seat: Seat, request: Sent, error: unknown) => void;
  readonly onGone: (seat: Seat, code: number) => void;
  readonly onError: (error: Error) => void;
}

/** How threads are started; tests have their own. */
export interface ThreadOptions {
  /** `pool/worker.ts` by default. */
  readonly entry?: URL;
  readonly heapMib?: number;
}

/** One request on its way, as far as a seat is concerned. */
export interface Sent {
  readonly message: RequestMessage;
  /** Its place in the seat's ledger while it is not known to have begun; -1 otherwise. */
  place: number;
}

/** Requests that go to a thread in one message at most. */
const BATCH_MAX = 32;

const NO_TRANSFERS: readonly ArrayBuffer[] = [];

/** One serving thread. */
export class Seat {
  readonly crew: Crew;
  readonly worker: Worker;
  readonly threadId: number;
  readonly handle: Handle;
  readonly control: MessagePort;
  readonly heartbeat: Heartbeat;
  readonly ledger: Ledger;
  /** Sent and not yet answered by the thread, by sequence. */
  readonly requests = new LiveMap<Sent>();
  /** Answers that it relays, by sequence. */
  readonly relaying = new Set<number>();
  /** Why and when the pool ended it; '' while it has not. */
  endReason = '';
  endedAt = 0;
  /** How often the watchdog has found it silent. */
  silentTicks = 0;
  readonly #events: CrewEvents;
  /** What leaves when the loop has read what there is to read. */
  #outbox: Sent[] = [];
  #sentCount = 0;
  /** What was not begun when last looked at, in the order sent. */
  readonly #unbegun: Sent[] = [];

  constructor(
    crew: Crew, worker: Worker, handle: Handle, hello: WorkerHello, events: CrewEvents,
  ) {
    this.crew = crew;
    this.#events = events;
    this.worker = worker;
    this.threadId = hello.threadId;
    this.handle = handle;
    this.control = hello.control;
    this.heartbeat = new Heartbeat(hello.heartbeat);
    this.ledger = new Ledger(hello.ledger);
  }

  get serving(): boolean {
    return this.endedAt === 0 && !this.handle.destroyed;
  }

  /** False when it cannot be sent a request now. */
  takes(guestsMax: number): boolean {
    return this.serving && !this.crew.retired && this.requests.size < guestsMax
      && this.ledger.isOpen(this.#sentCount % PLACES);
  }

  /**
   * With the next message to the thread, which leaves soon. A large body is handed over: the
   * sender's view is empty then. Only after `takes`.
   */
  send(request: Sent): void {
    this.#forgetBegun();
    request.place = this.#sentCount % PLACES;
    this.#sentCount += 1;
    this.ledger.send(request.place);
    this.#unbegun.push(request);
    this.requests.set(request.message.sequence, request);
    if (this.#outbox.push(request) === 1) setImmediate(this.#flush);
    else if (this.#outbox.length === BATCH_MAX) this.#flush();
  }

  readonly #flush = (): void => {
    if (this.#outbox.length === 0) return;
    const batch = this.#outbox;
    this.#outbox = [];
    // Once it is gone, what it had not begun goes to another.
    if (this.serving) this.#post(batch);
  };

  #post(batch: readonly Sent[]): void {
    const wire: Wire = [];
    let transfers: ArrayBuffer[] | undefined;
    for (const { message, place } of batch) {
      const body = alone(message.body);
      putRequest(wire, message, body, place);
      if (isHandedOver(body)) (transfers ??= []).push((body as Uint8Array<ArrayBuffer>).buffer);
    }
    this.crew.run(this.handle, wire, transfers).then(
      (replies) => this.#events.onReplies(this, replies),
      (error: unknown) => this.#onRejected(batch, error),
    );
  }

  /** Piscina rejects when the thread is gone (`onGone` follows or was), or could not be sent to. */
  #onRejected(batch: readonly Sent[], error: unknown): void {
    if (this.handle.destroyed) return;
    // One that cannot be sent keeps all of its message from leaving.
    const isUnsent = error instanceof DOMException && error.name === 'DataCloneError';
    for (const request of batch) {
      if (isUnsent && batch.length > 1) {
        if (request.place >= 0) this.#post([request]);
        continue;
      }
      if (isUnsent && request.place >= 0) this.#recall(request);
      else this.takeBack(request);
      this.#events.onNotSent(this, request, error);
    }
  }

  #recall(request: Sent): void {
    this.ledger.recall(request.place);
    this.#unbegun.splice(this.#unbegun.indexOf(request), 1);
    request.place = -1;
  }

  /** Requests that were sent and not begun. */
  get unbegun(): number {
    this.#forgetBegun();
    return this.#unbegun.length;
  }

  isUnbegun({ place }: Sent): boolean {
    return place >= 0 && this.ledger.isSent(place);
  }

  /** The thread begins them in the order sent. */
  #forgetBegun(): void {
    for (let first = this.#unbegun[0]; first !== undefined; first = this.#unbegun[0]) {
      if (this.ledger.isSent(first.place)) return;
      first.place = -1;
      this.#unbegun.shift();
    }
  }

  /**
   * Of what is not begun, the oldest that may go elsewhere and whose bodies are still here. The
   * thread will never begin them.
   */
  takeUnbegun(most: number, mayGo: (request: Sent) => boolean): Sent[] {
    this.#forgetBegun();
    const movable = this.#unbegun.filter((one) => hasBody(one) && mayGo(one)).slice(0, most);
    return movable.filter((request) => this.takeBack(request));
  }

  /** False when the thread has begun it; otherwise the seat knows no more of it. */
  takeBack(request: Sent): boolean {
    this.#forgetBegun();
    const { place } = request;
    if (place < 0 || !this.ledger.takeBack(place)) return false;
    this.#unbegun.splice(this.#unbegun.indexOf(request), 1);
    const unsent = this.#outbox.indexOf(request);
    if (unsent >= 0) {
      this.#outbox.splice(unsent, 1);
      this.ledger.recall(place);
    }
    request.place = -1;
    this.requests.delete(request.message.sequence);
    return true;
  }

  order(order: WorkerOrder, transfers: readonly ArrayBuffer[] = NO_TRANSFERS): void {
    this.control.postMessage(order, transfers);
  }

  end(reason: string, now: number): void {
    if (this.endedAt !== 0) return;
    this.endReason = reason;
    this.endedAt = now;
    void this.worker.terminate();
  }

  /** Requests that want the thread: those that wait in a hostcall do not. */
  get load(): number {
    return this.requests.size - this.heartbeat.values[FIELDS.waiting]!;
  }
}

/** Not handed over to a thread. */
export function hasBody({ message: { body } }: Sent): boolean {
  return body === null || !(body.buffer as ArrayBuffer).detached;
}

export class Crew {
  readonly seats = new Set<Seat>();
  readonly threads: number;
  /** It gets no more requests and goes when it has none. */
  retired = false;
  readonly #piscina: Piscina;
  readonly #events: CrewEvents;
  readonly #handles = new Map<number, Handle>();
  readonly #hellos = new Map<number, WorkerHello>();
  #chosen: Handle | null = null;

  constructor(settings: WorkerSettings, options: ThreadOptions, events: CrewEvents) {
    this.threads = settings.threads;
    this.#events = events;
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
      workerData: settings,
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
      seat.control.close();
      this.#events.onGone(seat, code);
    });
    this.#events.onServing(seat, hello.store);
  }
}
