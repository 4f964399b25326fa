/**
 * One serving thread, as the pool sees it: sends it requests, several in a message, and knows which
 * of them it has begun; what it has not begun can be taken back.
 *
 *   request:  sent ──(with others, when the loop turns)──▶ unbegun ──▶ begun ──reply──▶ gone
 *                └───────────taken back──────────────────────┘
 */

import type { MessagePort, Worker } from 'node:worker_threads';
import type { Piscina } from 'piscina';
import { LiveMap } from '../contract/live-map.ts';
import type { RequestMessage, WorkerHello, WorkerOrder } from '../contract/messages.ts';
import { FIELDS, Heartbeat, epochNow } from './heartbeat.ts';
import { Ledger, PLACES } from './ledger.ts';
import { alone, isHandedOver } from './transfer.ts';
import { putRequest, type Wire } from './wire.ts';

/** Piscina's view of a thread: what its load balancer takes and gives. */
export type Handle = Parameters<
  NonNullable<NonNullable<ConstructorParameters<typeof Piscina>[0]>['loadBalancer']>>[1][number];

export interface SeatEvents {
  readonly onReplies: (seat: Seat, wire: Wire) => void;
  /** A request could not be sent, or the thread's code failed with it. */
  readonly onNotSent: (seat: Seat, request: Sent, error: unknown) => void;
}

/** The crew of a seat. */
export interface SeatOwner {
  readonly threads: number;
  readonly retired: boolean;
  run(
    handle: Handle, requests: Wire, transferList: ArrayBuffer[] | undefined,
  ): Promise<Wire>;
}

/** One request on its way, as far as a seat is concerned. */
export interface Sent {
  readonly message: RequestMessage;
  /** Its place in the seat's ledger while it is not known to have begun; -1 otherwise. */
  place: number;
  /** How often it has left a thread for another. */
  moves: number;
}

/** Requests that go to a thread in one message at most. */
const BATCH_MAX = 32;

const NO_TRANSFERS: readonly ArrayBuffer[] = [];

/** One serving thread. */
export class Seat {
  readonly crew: SeatOwner;
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
  readonly #events: SeatEvents;
  /** What leaves when the loop has read what there is to read. */
  #outbox: Sent[] = [];
  #sentCount = 0;
  /** What was not begun when last looked at, in the order sent. */
  readonly #unbegun: Sent[] = [];
  /** When the first of them was first seen to be the thread's next; never before it has left. */
  #nextSince = Number.POSITIVE_INFINITY;
  /** Where the first was that left because the thread was silent; -1 once that is passed by. */
  #passedBy = -1;

  constructor(
    crew: SeatOwner, worker: Worker, handle: Handle, hello: WorkerHello, events: SeatEvents,
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
    if (this.#passedBy < 0 && this.#unbegun[0] === batch[0]) this.#nextSince = epochNow();
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
    this.#drop(request);
    request.place = -1;
  }

  #drop(request: Sent): void {
    const at = this.#unbegun.indexOf(request);
    this.#unbegun.splice(at, 1);
    if (at === 0 && this.#passedBy < 0) this.#nextIs(this.#unbegun[0]);
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
    const before = this.#unbegun[0];
    let first = before;
    while (first !== undefined && !this.ledger.isSent(first.place)) {
      first.place = -1;
      this.#unbegun.shift();
      first = this.#unbegun[0];
    }
    if (first === before) return;
    if (this.#passedBy < 0) this.#nextIs(first);
    else this.#nextSince = epochNow();
  }

  #nextIs(first: Sent | undefined): void {
    this.#nextSince = first === undefined || first === this.#outbox[0]
      ? Number.POSITIVE_INFINITY : epochNow();
  }

  /**
   * Milliseconds for which the thread could have begun something and has not: a guest or a
   * collection of garbage holds it, or the system does not let it run. 0 while nobody can tell.
   */
  silentMs(now: number): number {
    this.#forgetBegun();
    if (this.#passedBy >= 0 && this.ledger.isOpen(this.#passedBy)) {
      this.#passedBy = -1;
      this.#nextIs(this.#unbegun[0]);
    }
    return Math.max(now - this.#nextSince, 0);
  }

  /**
   * Of what is not begun, the oldest that may go elsewhere and whose bodies are still here. The
   * thread will never begin them.
   */
  takeUnbegun(most: number, mayGo: (request: Sent) => boolean): Sent[] {
    this.#forgetBegun();
    const movable = this.#unbegun.filter((one) => hasBody(one) && mayGo(one)).slice(0, most);
    const { place = -1 } = movable[0] ?? {};
    const since = this.#nextSince;
    const taken = movable.filter((request) => this.takeBack(request));
    // It is as silent as before, though there may be nothing left that it could begin.
    if (taken.length > 0 && this.ledger.isTaken(place)) {
      this.#passedBy = place;
      this.#nextSince = since;
    }
    return taken;
  }

  /** False when the thread has begun it; otherwise the seat knows no more of it. */
  takeBack(request: Sent): boolean {
    this.#forgetBegun();
    const { place } = request;
    if (place < 0 || !this.ledger.takeBack(place)) return false;
    this.#drop(request);
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
