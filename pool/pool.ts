/**
 * The main thread's handle on the worker threads: chooses one for each request, passes aborts on,
 * and watches. A thread that dies, or that is stuck past its guest's deadline, is ended and
 * replaced; the requests it had begun are answered `worker_lost`, those it had not begun go to
 * another, all others go on.
 *
 *   request:  (no thread serves: waits) ──▶ sent ──reply──▶ settled
 *                ▲ (returned to the sender) ◀─┼─behind a guest that holds its thread──▶ sent
 *                │                            ├──overdue and no reply: `deadline`──▶ settled
 *                └──not begun, once───────────┴──thread lost: `worker_lost`────────▶ settled
 */

import { WardianError } from '../contract/errors.ts';
import {
  QUEUE_LENGTH_MAX, STUCK_WORKER_GRACE_MS, WATCHDOG_INTERVAL_MS, WORKER_EXIT_MS,
} from '../contract/limits.ts';
import { LiveMap } from '../contract/live-map.ts';
import type {
  GuestLogLine, ReplyMessage, RequestMessage, WorkerHello, WorkerNotice, WorkerSettings,
} from '../contract/messages.ts';
import { chooseSeat, departures, hasRoom, isOpen, mayMove } from './balance.ts';
import { Crew, type CrewEvents, type ThreadOptions } from './crew.ts';
import { FIELDS, epochNow, type HeartbeatField } from './heartbeat.ts';
import { abortedReply, lateReply } from './replies.ts';
import { hasBody, type Seat, type Sent } from './seat.ts';
import { setV8Flags } from './v8-flags.ts';
import { Relay, Upload, type PulledBody, type ReplyRelay } from './streams.ts';
import { REPLY_VALUES, sequenceAt, takeReply, type Wire } from './wire.ts';

export type { PulledBody, RelaySink, ReplyRelay } from './streams.ts';

export interface PoolOptions {
  readonly settings: WorkerSettings;
  /** A new worker's channel to the store's writer. */
  readonly onStorePort: (port: WorkerHello['store']) => void;
  readonly onLogs: (lines: readonly GuestLogLine[]) => void;
  /** A thread was lost: why, and how many requests were answered `worker_lost` because of it. */
  readonly onWorkerLost: (reason: string, requests: number) => void;
  /** An error of ours in a worker, with its stack. */
  readonly onInternalError: (text: string) => void;
  /**
   * Whether several tenants wait for their turns: what no thread can begin soon is then returned to
   * the sender, who keeps their order. By default always.
   */
  readonly shared?: () => boolean;
  readonly threads?: ThreadOptions;
}

export interface WorkerStats {
  readonly threadId: number;
  readonly inFlight: number;
  readonly waiting: number;
  /** Milliseconds since its event loop last turned or a request last began. */
  readonly lagMs: number;
  /** Milliseconds for which one guest has held the thread; 0 when none does. */
  readonly runningMs: number;
  /** Milliseconds in which its event loop had something to do, since it started. */
  readonly busyMs: number;
  /** Any field of its heartbeat. */
  readonly get: (field: HeartbeatField) => number;
}

export interface PoolStats {
  readonly threads: number;
  readonly restarts: number;
  readonly inFlight: number;
  /** Requests answered `worker_lost` so far, and those that went to another thread instead. */
  readonly lost: number;
  readonly repeated: number;
  /** Requests that left a thread which a guest held, for another thread or for the queue. */
  readonly moved: number;
  /** Bodies that flow through: of requests that are not whole yet, of answers being relayed. */
  readonly relays: { readonly request: number; readonly answer: number };
  readonly workers: readonly WorkerStats[];
  /** Sums over the threads that live. */
  readonly sum: (field: HeartbeatField) => number;
}

const READY_MS = 30_000;
const REBUILD_MS_MIN = 100;
const REBUILD_MS_MAX = 5_000;
const CLOSE_MS = 5_000;
/** How often requests that were not begun are looked at, while there are any. */
const BALANCE_MS = 2;
/** An answer that is so late is given by the main thread. */
const OVERDUE_MS = 2 * STUCK_WORKER_GRACE_MS;
const OVERDUE_CHECK_TICKS = 5;
/** A thread that has been silent for so long, and for so many looks at it, is ended. */
const UNRESPONSIVE_MS = 5_000;
const SILENT_TICKS_MAX = 10;

class PendingRequest implements Sent {
  readonly message: RequestMessage;
  readonly resolve: (reply: ReplyMessage) => void;
  readonly reject: (error: WardianError) => void;
  /** Takes it back into the sender's own queue; null when the sender has none. */
  readonly returned: (() => void) | null;
  /** Its body, where that is streamed. */
  readonly upload: Upload | null;
  seat: Seat | null = null;
  place = -1;
  moves = 0;
  repeated = false;
  settled = false;
  readonly #begunAt = epochNow();

  constructor(
    message: RequestMessage,
    resolve: (reply: ReplyMessage) => void,
    reject: (error: WardianError) => void,
    returned: (() => void) | null,
    upload: Upload | null,
  ) {
    this.message = message;
    this.resolve = resolve;
    this.reject = reject;
    this.returned = returned;
    this.upload = upload;
  }

  /**
   * When its answer is due, milliseconds since the epoch. A worker puts that off while the body is
   * on its way, and for as long as an upstream takes to take the last of it.
   */
  dueAt(streamStallMs: number): number {
    const { deadlineAt } = this.message;
    if (this.upload === null) return deadlineAt;
    if (this.upload.endedAt === 0) return Number.POSITIVE_INFINITY;
    const leftMs = deadlineAt - this.#begunAt;
    return performance.timeOrigin + this.upload.endedAt + leftMs + streamStallMs;
  }
}

export class Pool {
  readonly #options: PoolOptions;
  readonly #requests = new LiveMap<PendingRequest>();
  /** Requests that came while no thread served. */
  readonly #unsent = new Set<PendingRequest>();
  readonly #crews: Crew[] = [];
  /** Answers that are being relayed, by the request's sequence. */
  readonly #relays = new LiveMap<Relay>();
  readonly #watchdog: NodeJS.Timeout;
  #balancing = false;
  #restarts = 0;
  #moved = 0;
  #lost = 0;
  #repeated = 0;
  #ticks = 0;
  #rebuildMs = REBUILD_MS_MIN;
  #rebuildAt = 0;
  #closing = false;
  #drained: (() => void) | null = null;
  #lastError = '';

  constructor(options: PoolOptions) {
    setV8Flags();
    this.#options = options;
    this.#build();
    this.#watchdog = setInterval(() => this.#watch(), WATCHDOG_INTERVAL_MS);
  }

  /** Resolves once every thread serves. Rejects when they do not start. */
  async ready(): Promise<void> {
    const { threads } = this.#options.settings;
    const giveUpAt = performance.now() + READY_MS;
    while (this.#seatCount() < threads) {
      const crew = this.#crews[0];
      if (crew === undefined || crew.size === 0 || performance.now() > giveUpAt) {
        await this.close();
        throw new WardianError('internal', `the worker threads did not start${this.#lastError}`);
      }
      await new Promise((done) => { setTimeout(done, 2); });
    }
  }

  /**
   * Rejects with WardianError `worker_lost`, `overloaded` or `draining`. The message's body may be
   * handed over: it is empty then. With `returned` the request may come back instead, once, if no
   * thread can begin it soon: the promise is then never settled. `body`: of a message that is
   * `streamed`. A reply that relays is to be followed by `relay`.
   */
  run(
    message: RequestMessage, returned: (() => void) | null = null, body: PulledBody | null = null,
  ): Promise<ReplyMessage> {
    return new Promise((resolve, reject) => {
      const upload = body === null ? null : new Upload(message.sequence, body);
      const request = new PendingRequest(message, resolve, reject, returned, upload);
      this.#requests.set(message.sequence, request);
      this.#dispatch(request);
    });
  }

  /** The body of a reply that relays; to be asked for once. */
  relay(sequence: number): ReplyRelay {
    const relay = this.#relays.get(sequence);
    if (relay === undefined) throw new Error(`pool: request ${sequence} has no relay`);
    return relay;
  }

  /**
   * The client has gone: whichever worker has the request kills its guest. One that no worker has
   * begun is answered `client_closed` at once.
   */
  abort(sequence: number): void {
    const request = this.#requests.get(sequence);
    if (request === undefined) return;
    const { seat } = request;
    if (seat === null || seat.takeBack(request)) this.#resolve(request, abortedReply());
    else seat.order({ kind: 'abort', sequence });
  }

  /**
   * Whether a request that is sent now would soon have its turn; of one tenant alone, whether it
   * can be sent at all: it may go to another thread later.
   */
  room(shared: boolean): boolean {
    const { guestsPerWorkerMax } = this.#options.settings;
    const now = epochNow();
    for (const seat of this.#seats()) {
      if (shared ? isOpen(seat, guestsPerWorkerMax, now) : hasRoom(seat, guestsPerWorkerMax)) {
        return true;
      }
    }
    return false;
  }

  /** No request will ask for this version again. */
  forget(versionId: number): void {
    for (const seat of this.#seats()) seat.order({ kind: 'forget', versionId });
  }

  /** Guests suspended in a hostcall now. */
  waiting(): number {
    return this.#sum('waiting');
  }

  /** Those of one tenant; of some tenants the number includes another's. */
  waitingOf(tenantId: number): number {
    let total = 0;
    for (const { ledger } of this.#seats()) total += ledger.waitingOf(tenantId);
    return total;
  }

  stats(): PoolStats {
    const now = epochNow();
    const workers: WorkerStats[] = [];
    for (const { threadId, requests, heartbeat, worker } of this.#seats()) {
      const since = heartbeat.get('runningSince');
      workers.push({
        threadId,
        inFlight: requests.size,
        waiting: heartbeat.get('waiting'),
        lagMs: Math.max(now - heartbeat.get('beatAt'), 0),
        runningMs: since === 0 ? 0 : Math.max(now - since, 0),
        busyMs: worker.performance.eventLoopUtilization().active,
        get: (field) => heartbeat.get(field),
      });
    }
    return {
      threads: workers.length, restarts: this.#restarts, inFlight: this.#requests.size,
      lost: this.#lost, repeated: this.#repeated, moved: this.#moved,
      relays: { request: this.#uploads(), answer: this.#relays.size },
      workers, sum: (field) => this.#sum(field),
    };
  }

  /** Looked for now and then: counting them would cost every request. */
  #uploads(): number {
    let open = 0;
    for (const { upload } of this.#requests.values()) if (upload?.endedAt === 0) open += 1;
    for (const { upload } of this.#relays.values()) if (upload?.endedAt === 0) open += 1;
    return open;
  }

  /** Returns to their senders what no guest has begun. */
  recall(): void {
    for (const seat of this.#seats()) {
      const mayGo = (sent: Sent): boolean => (sent as PendingRequest).returned !== null;
      const taken = seat.takeUnbegun(Number.POSITIVE_INFINITY, mayGo);
      for (const request of taken.toReversed()) this.#move(request as PendingRequest, false);
    }
  }

  /** Resolves when no request is in flight. Further requests are still taken. */
  async drain(): Promise<void> {
    if (this.#requests.size === 0) return;
    await new Promise<void>((done) => { this.#drained = done; });
  }

  /** Ends the threads. What is in flight is refused as `draining`. */
  async close(): Promise<void> {
    this.#closing = true;
    clearInterval(this.#watchdog);
    for (const request of this.#requests.values()) this.#reject(request, 'draining', '');
    const late = new Promise<void>((done) => { setTimeout(done, CLOSE_MS).unref(); });
    await Promise.race([late, Promise.all(this.#crews.map((crew) => crew.destroy()))]);
    this.#crews.length = 0;
  }

  * #seats(): Generator<Seat> {
    for (const crew of this.#crews) yield* crew.seats;
  }

  #seatCount(): number {
    let count = 0;
    for (const crew of this.#crews) count += crew.seats.size;
    return count;
  }

  #sum(field: HeartbeatField): number {
    let total = 0;
    for (const crew of this.#crews) {
      for (const { heartbeat } of crew.seats) total += heartbeat.values[FIELDS[field]]!;
    }
    return total;
  }

  #build(): void {
    const events: CrewEvents = {
      onServing: (seat, store) => {
        this.#options.onStorePort(store);
        this.#onServing(seat);
      },
      onNotice: (seat, message) => {
        this.#onNotice(seat, message as WorkerNotice);
      },
      onReplies: (seat, wire) => this.#onReplies(seat, wire),
      onNotSent: (seat, request, error) => this.#onNotSent(request as PendingRequest, seat, error),
      onGone: (seat, code) => this.#onGone(seat, code),
      onError: (error) => {
        this.#lastError = `: ${error.message}`;
        this.#options.onInternalError(error.stack ?? error.message);
      },
    };
    this.#crews.push(new Crew(this.#options.settings, this.#options.threads ?? {}, events));
  }

  #onNotice(seat: Seat, notice: WorkerNotice): void {
    switch (notice.kind) {
      case 'replies': return this.#onReplies(seat, notice.wire);
      case 'body': return this.#relays.get(notice.sequence)?.receive(notice);
      case 'pull': return this.#onPull(seat, notice.sequence, notice.bytes);
      case 'logs': return this.#options.onLogs(notice.lines);
      case 'internal': return this.#options.onInternalError(notice.text);
      default: notice satisfies never;
    }
  }

  #onPull(seat: Seat, sequence: number, bytes: number): void {
    const request = seat.requests.get(sequence) as PendingRequest | undefined;
    const upload = request?.upload ?? this.#relays.get(sequence)?.upload;
    upload?.pull(seat, bytes);
  }

  #onServing(seat: Seat): void {
    const newest = this.#crews.at(-1);
    if (seat.crew === newest && newest.seats.size >= newest.threads) {
      this.#rebuildMs = REBUILD_MS_MIN;
      for (const crew of this.#crews) crew.retired = crew !== newest;
    }
    const unsent = [...this.#unsent];
    this.#unsent.clear();
    for (const request of unsent) this.#dispatch(request);
  }

  #onGone(seat: Seat, code: number): void {
    this.#restarts += this.#closing ? 0 : 1;
    let lost = 0;
    const left = seat.requests.values().toSorted((a, b) => a.message.sequence - b.message.sequence);
    for (const sent of left) {
      if (this.#abandon(sent as PendingRequest, seat)) lost += 1;
    }
    seat.requests.clear();
    for (const sequence of seat.relaying) this.#relays.get(sequence)?.lose();
    seat.relaying.clear();
    if (this.#closing) return;
    const reason = seat.endReason === '' ? `it ended with code ${code}` : seat.endReason;
    this.#options.onWorkerLost(reason, lost);
  }

  /** False when the request could go to another thread, or was settled before. */
  #abandon(request: PendingRequest, seat: Seat): boolean {
    if (request.settled) return false;
    if (!this.#closing && !request.repeated && hasBody(request) && seat.takeBack(request)) {
      this.#repeated += 1;
      request.repeated = true;
      request.seat = null;
      this.#dispatch(request);
      return false;
    }
    this.#lost += 1;
    this.#reject(request, 'worker_lost', 'ask again');
    return true;
  }

  /** Sends a request to a thread, or keeps it until one serves. */
  #dispatch(request: PendingRequest): void {
    if (this.#closing) return this.#reject(request, 'draining', '');
    const seat = this.#choose();
    if (seat === null) {
      if (this.#seatCount() > 0 && this.#anyServing()) {
        return this.#reject(request, 'overloaded', 'every worker is full');
      }
      if (this.#unsent.size >= QUEUE_LENGTH_MAX) {
        return this.#reject(request, 'overloaded', 'no worker serves');
      }
      this.#unsent.add(request);
      return;
    }
    request.seat = seat;
    seat.send(request);
    this.#watchUnbegun();
  }

  #watchUnbegun(): void {
    if (this.#balancing) return;
    this.#balancing = true;
    setTimeout(this.#balance, BALANCE_MS).unref();
  }

  /** What waits for a thread that gets nowhere goes to where it is begun sooner. */
  readonly #balance = (): void => {
    this.#balancing = false;
    if (this.#closing) return;
    const seats = [...this.#seats()];
    const { guestsPerWorkerMax } = this.#options.settings;
    const shared = this.#options.shared?.() ?? true;
    const leaving = departures(seats, guestsPerWorkerMax, epochNow(), shared);
    for (const { seat, count, toOthers, heldMs } of leaving) {
      const taken = seat.takeUnbegun(count, (request) =>
        (toOthers ? mayMove(request, heldMs) : (request as PendingRequest).returned !== null));
      // From the last, as each goes to the front of the sender's queue.
      for (const request of toOthers ? taken : taken.toReversed()) {
        this.#move(request as PendingRequest, toOthers);
      }
    }
    if (seats.some((seat) => seat.unbegun > 0)) this.#watchUnbegun();
  };

  #move(request: PendingRequest, toOthers: boolean): void {
    this.#moved += 1;
    request.moves += 1;
    request.seat = null;
    if (toOthers || request.returned === null) return this.#dispatch(request);
    if (this.#settle(request)) request.returned();
  }

  #onReplies(seat: Seat, wire: Wire): void {
    for (let at = 0; at < wire.length; at += REPLY_VALUES) {
      const sequence = sequenceAt(wire, at);
      const request = seat.requests.get(sequence) as PendingRequest | undefined;
      if (request === undefined) continue;
      seat.requests.delete(sequence);
      this.#onReply(seat, request, takeReply(wire, at));
    }
    wire.length = 0; // Piscina's map of tasks would keep it (`contract/live-map.ts`).
  }

  #onReply(seat: Seat, request: PendingRequest, reply: ReplyMessage): void {
    if (reply.relay !== null) this.#beginRelay(seat, request);
    this.#resolve(request, reply);
  }

  #beginRelay(seat: Seat, { message: { sequence }, upload, settled }: PendingRequest): void {
    // Nobody waits for it any more.
    if (settled) return seat.order({ kind: 'abort', sequence });
    seat.relaying.add(sequence);
    this.#relays.set(sequence, new Relay(sequence, seat, upload, () => {
      seat.relaying.delete(sequence);
      this.#relays.delete(sequence);
    }));
  }

  #onNotSent(request: PendingRequest, seat: Seat, error: unknown): void {
    seat.requests.delete(request.message.sequence);
    const text = error instanceof Error ? error.stack ?? error.message : String(error);
    this.#options.onInternalError(text);
    this.#reject(request, 'internal', '');
  }

  #anyServing(): boolean {
    for (const seat of this.#seats()) if (seat.serving) return true;
    return false;
  }

  #choose(): Seat | null {
    return chooseSeat(this.#seats(), this.#options.settings.guestsPerWorkerMax, epochNow());
  }

  #resolve(request: PendingRequest, reply: ReplyMessage): void {
    if (!this.#settle(request)) return;
    request.resolve(reply);
  }

  #reject(request: PendingRequest, code: WardianError['code'], message: string): void {
    if (!this.#settle(request)) return;
    request.reject(new WardianError(code, message));
  }

  #settle(request: PendingRequest): boolean {
    if (request.settled) return false;
    request.settled = true;
    this.#unsent.delete(request);
    this.#requests.delete(request.message.sequence);
    if (this.#requests.size === 0 && this.#drained !== null) {
      this.#drained();
      this.#drained = null;
    }
    return true;
  }

  #watch(): void {
    const now = epochNow();
    for (const seat of this.#seats()) if (seat.endedAt === 0) this.#watchSeat(seat, now);
    this.#ticks += 1;
    if (this.#ticks % OVERDUE_CHECK_TICKS === 0) this.#answerOverdue(now);
    this.#mend(now);
  }

  /** Ends a thread that a guest has held past its deadline: its own sweep did not come to it. */
  #watchSeat(seat: Seat, now: number): void {
    const deadlineAt = seat.heartbeat.get('runningDeadlineAt');
    const runningSequence = seat.heartbeat.get('runningSequence');
    const beatAt = seat.heartbeat.get('beatAt');
    if (deadlineAt === 0) {
      // No guest, but our own code: a fault, or a process that was not scheduled for a while.
      if (now - beatAt < UNRESPONSIVE_MS || seat.requests.size === 0) return;
      if (++seat.silentTicks < SILENT_TICKS_MAX) return;
      seat.end(`its loop has not turned for ${Math.round(now - beatAt)} ms`, now);
    } else {
      if (now < deadlineAt + STUCK_WORKER_GRACE_MS || beatAt > deadlineAt) return;
      seat.end(`a guest held it ${Math.round(now - deadlineAt)} ms past its deadline`, now);
    }
    const { streamStallMs } = this.#options.settings.limits;
    for (const sent of seat.requests.values()) {
      // The guest that held it is over its time; the others it had begun are lost with it; those
      // it had not begun are looked at once it is gone.
      const request = sent as PendingRequest;
      if (seat.isUnbegun(sent) || request.settled) continue;
      const { message } = sent;
      // That its body is still on its way is no excuse for one that holds the thread.
      const isCulprit = message.sequence === runningSequence;
      if (isCulprit || request.dueAt(streamStallMs) <= now) {
        this.#resolve(request, lateReply(message, now, isCulprit));
      } else {
        this.#abandon(request, seat);
      }
    }
  }

  /** Nobody waits for ever, whatever became of the guest. */
  #answerOverdue(now: number): void {
    const { streamStallMs } = this.#options.settings.limits;
    for (const request of this.#requests.values()) {
      if (now <= request.dueAt(streamStallMs) + OVERDUE_MS) continue;
      this.#resolve(request, lateReply(request.message, now, false));
    }
  }

  /** Replaces a crew that has lost threads for good; lets retired ones go. */
  #mend(now: number): void {
    const newest = this.#crews.at(-1);
    if (newest === undefined) return;
    let whole = newest.size >= newest.threads;
    for (const seat of newest.seats) {
      if (seat.endedAt !== 0 && now - seat.endedAt > WORKER_EXIT_MS) whole = false;
    }
    if (whole) {
      this.#rebuildAt = 0;
    } else if (this.#rebuildAt === 0) {
      this.#rebuildAt = now + this.#rebuildMs;
    } else if (now >= this.#rebuildAt) {
      this.#rebuildAt = 0;
      this.#rebuildMs = Math.min(this.#rebuildMs * 2, REBUILD_MS_MAX);
      this.#build();
    }
    for (const crew of this.#crews.slice(0, -1)) {
      if (crew.busy || (!crew.retired && crew.seats.size > 0)) continue;
      this.#crews.splice(this.#crews.indexOf(crew), 1);
      crew.destroy().catch((error: Error) => this.#options.onInternalError(error.message));
    }
  }
}

/** Starts the threads and waits until each serves. */
export async function createPool(options: PoolOptions): Promise<Pool> {
  const pool = new Pool(options);
  await pool.ready();
  return pool;
}
