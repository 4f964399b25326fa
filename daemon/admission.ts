/**
 * Who may run now. A request goes straight to the pool while there is room for its tenant; beyond
 * that it waits in its tenant's queue. The tenant that has had the least time of the threads is
 * next, so that a flood costs others at most a turn, whether its guests are many or slow. Guests
 * that wait in a hostcall are counted by tenant, and a tenant may have at most four times as many
 * in flight as there is room for others.
 *
 * A request is refused at once when its queue is full, and when it would wait for longer than it
 * may; one whose time passes in the queue is refused then.
 *
 *   offered ──room──▶ admitted ──▶ finished
 *      ├──no room──▶ queued ──turn──▶ admitted
 *      │                ▲ │              └──given back (its thread was held)──▶ queued
 *      │                │ ├──abandoned (client gone)
 *      │                │ └──expired (deadline, queue_ms)
 *      └──no end in sight, or full──▶ refused
 */

import type { ErrorCode } from '../contract/errors.ts';
import { WardianError } from '../contract/errors.ts';
import {
  ADMISSION_ACTIVE_MS, ADMISSION_AHEAD_MS, ADMISSION_ALONE_AHEAD_MS, ADMISSION_HEAVY_MS,
  FAIR_SHARE_FACTOR, RETRY_AFTER_S_MAX,
} from '../contract/limits.ts';
import { TenantLine } from './tenant-line.ts';
import type { Waiter } from './tenant-line.ts';

export type { Waiter } from './tenant-line.ts';

export interface AdmissionLimits {
  /** Guests of one tenant that may be in flight, waiting ones included. */
  readonly tenantInFlightMax: number;
  /** Guests of the whole process that may be in flight. */
  readonly inFlightMax: number;
  /** Threads that run guests. */
  readonly threads: number;
  /** Runnable guests (in flight and not waiting in a hostcall) before queueing starts. */
  readonly window: number;
  readonly tenantQueueMax: number;
  readonly queueMax: number;
  /** How long a request may wait in the queue. */
  readonly queueMs: number;
  /** Of one tenant, in flight and queued together. */
  readonly tenantMax: number;
}

/** What the pool knows of the guests that were admitted. */
export interface PoolLoad {
  /** Guests suspended in a hostcall now: they take no turn of the processor. */
  waiting(): number;
  /** Those of one tenant; may be too many by another tenant's. */
  waitingOf(tenantId: number): number;
  /** Whether a thread would soon begin one more; with one tenant, whether one can be sent. */
  room(shared: boolean): boolean;
}

/** Why a request was not taken, and when to come again. */
export class Refused extends WardianError {
  readonly retryAfterS: number;

  constructor(code: ErrorCode, message: string, retryAfterS: number) {
    super(code, message);
    this.retryAfterS = retryAfterS;
  }
}

const WATCH_MS = 2;
/** Idle tenants are remembered for `ADMISSION_ACTIVE_MS`, and looked for this often. */
const FORGET_MS = 1_000;

export interface Admission {
  /**
   * True: admitted, the caller dispatches. False: queued, `waiter.start` follows, or
   * `waiter.expire`. `now` is `performance.now()`, here as everywhere. Throws Refused: `overloaded`
   * or `tenant_overloaded`.
   */
  offer(tenantId: number, waiter: Waiter, now: number): boolean;
  /** Throws what `offer` would throw now of a request that can wait, and takes nothing. */
  check(tenantId: number, now: number): void;
  /** It is in the queue, and shall not be any more. */
  abandon(tenantId: number, waiter: Waiter): void;
  /** An admitted request that no guest has begun goes to the front of its tenant's queue. */
  giveBack(tenantId: number, waiter: Waiter, now: number): void;
  /**
   * Must be called once for every admitted request that was not given back, whatever became of it.
   * `heldMs` is how long its guest held a thread.
   */
  finished(tenantId: number, heldMs: number, now: number): void;
  /** An admitted request leaves before its guest began, as if it had never come. */
  withdraw(tenantId: number, now: number): void;
  /** Whether the tenant's queue is far from where `offer` refuses. */
  hasRoom(tenantId: number, now: number): boolean;
  /**
   * Lets queued requests in if there is room; called on a timer too, as guests that begin to wait
   * make room.
   */
  pump(now: number): void;
  /** Whether more than one tenant was there lately. */
  isShared(now: number): boolean;
  readonly inFlight: number;
  readonly queued: number;
  readonly shed: number;
}

function seconds(milliseconds: number): number {
  return Math.min(Math.max(Math.ceil(milliseconds / 1_000), 1), RETRY_AFTER_S_MAX);
}

class FairAdmission implements Admission {
  readonly #limits: AdmissionLimits;
  readonly #load: PoolLoad;
  readonly #lines = new Map<number, TenantLine>();
  /** Those with something in their queue, and those whose guests hold a thread for long. */
  readonly #backlog = new Set<TenantLine>();
  readonly #heavy = new Set<TenantLine>();
  /** The tenant seen last, when the last other was, and when one whose guests are short was. */
  #lastTenantId = -1;
  #otherSeenAt = Number.NEGATIVE_INFINITY;
  #lightSeenAt = Number.NEGATIVE_INFINITY;
  /** The most `hadMs` of a tenant when it was let in: where one that wanted no turn goes on. */
  #clockMs = 0;
  #forgetAt = 0;
  #watching = false;
  #pumping = false;
  inFlight = 0;
  queued = 0;
  shed = 0;

  constructor(limits: AdmissionLimits, load: PoolLoad) {
    this.#limits = limits;
    this.#load = load;
  }

  offer(tenantId: number, waiter: Waiter, now: number): boolean {
    const line = this.#lineOf(tenantId, now);
    const { queueMs } = this.#limits;
    this.#checkPlace(line, now);
    if (line.queue.length === 0 && this.#mayRun(line, now) && this.#isOpen(now)) {
      this.#admit(line, now);
      return true;
    }
    this.#checkQueue(line, Math.min(waiter.dueAt - now, queueMs), now);
    waiter.expiresAt = Math.min(waiter.dueAt, now + queueMs);
    if (line.queue.length === 0) line.starts.begin(now);
    line.queue.push(waiter);
    this.#queueGrew(line, waiter);
    return false;
  }

  check(tenantId: number, now: number): void {
    const line = this.#lineOf(tenantId, now);
    this.#checkPlace(line, now);
    if (line.queue.length === 0 && this.#mayRun(line, now) && this.#isOpen(now)) return;
    this.#checkQueue(line, this.#limits.queueMs, now);
  }

  #checkPlace(line: TenantLine, now: number): void {
    const { tenantMax } = this.#limits;
    if (line.inFlight + line.queue.length >= tenantMax) {
      const text = `this tenant has ${tenantMax} requests under way, its limit`;
      throw this.#refusal(line, now, 'tenant_overloaded', text);
    }
    if (!this.#hasPlace(line)) throw this.#noPlace(line, now);
  }

  #lineOf(tenantId: number, now: number): TenantLine {
    let line = this.#lines.get(tenantId);
    if (line === undefined) {
      line = new TenantLine(tenantId);
      this.#lines.set(tenantId, line);
    }
    if (tenantId !== this.#lastTenantId) {
      const last = this.#lines.get(this.#lastTenantId);
      if (last !== undefined) this.#otherSeenAt = last.seenAt;
      this.#lastTenantId = tenantId;
    }
    line.seenAt = now;
    if (line.costMs <= ADMISSION_HEAVY_MS) this.#lightSeenAt = now;
    // With nothing queued it has missed no turn: guests that only wait must not save any up.
    if (line.queue.length === 0) line.hadMs = Math.max(line.hadMs, this.#clockMs);
    if (now >= this.#forgetAt) this.#forgetIdle(now);
    return line;
  }

  /** Of the places in flight and in the queue, one tenant leaves some to others, however few. */
  #hasPlace({ inFlight }: TenantLine): boolean {
    const { inFlightMax, tenantInFlightMax } = this.#limits;
    return inFlight < tenantInFlightMax
      && inFlight < FAIR_SHARE_FACTOR * (inFlightMax - this.inFlight);
  }

  #noPlace(line: TenantLine, now: number): Refused {
    if (this.inFlight >= this.#limits.inFlightMax) {
      return this.#refusal(line, now, 'overloaded', `${this.inFlight} guests are under way`);
    }
    return this.#refusal(line, now, 'tenant_overloaded',
      `${line.inFlight} guests of this tenant are under way, and others need room`);
  }

  /** Throws when the queue is full, or so long that the request's time would pass in it. */
  #checkQueue(line: TenantLine, patienceMs: number, now: number): void {
    const { queueMax, tenantQueueMax } = this.#limits;
    const { length } = line.queue;
    if (this.queued >= queueMax) {
      throw this.#refusal(line, now, 'overloaded',
        `${this.inFlight} requests are under way and ${this.queued} wait`);
    }
    if (length >= tenantQueueMax || length >= FAIR_SHARE_FACTOR * (queueMax - this.queued)) {
      throw this.#refusal(line, now, 'tenant_overloaded',
        `${length} requests of this tenant wait, and others need room`);
    }
    const waitMs = line.waitMs(now);
    if (waitMs > patienceMs) {
      throw this.#refusal(line, now, 'overloaded',
        `it would wait ${Math.round(waitMs)} ms for its turn`);
    }
  }

  #refusal(line: TenantLine, now: number, code: ErrorCode, message: string): Refused {
    this.shed += 1;
    return new Refused(code, message, this.#retryAfterS(line, now));
  }

  /** Once what waits has begun, or, with no queue, once a guest has ended. */
  #retryAfterS(line: TenantLine, now: number): number {
    return seconds(Math.max(line.waitMs(now), line.ends.intervalMs(now)));
  }

  isShared(now: number): boolean {
    return now - this.#otherSeenAt <= ADMISSION_ACTIVE_MS;
  }

  #isOpen(now: number): boolean {
    const { window } = this.#limits;
    if (this.inFlight >= window && this.inFlight - this.#load.waiting() >= window) return false;
    return this.#load.room(this.isShared(now));
  }

  /**
   * What a tenant has sent ahead is bounded by the time it will take, more tightly while others are
   * there. A guest cannot be interrupted, so while others are there those that hold a thread for
   * long leave one thread free. Two short ones for each thread are always let in, so that threads
   * find something while the main thread is at other things.
   */
  #mayRun(line: TenantLine, now: number): boolean {
    const { threads, window } = this.#limits;
    const alone = now - this.#seenBesides(line) > ADMISSION_ACTIVE_MS;
    const aheadMs = alone ? ADMISSION_ALONE_AHEAD_MS : ADMISSION_AHEAD_MS;
    const spare = Math.max(threads - 1, 1);
    const isLight = line.costMs <= ADMISSION_HEAVY_MS;
    const inTime = Math.floor((threads * aheadMs) / line.costMs);
    const least = isLight ? 2 * threads : alone ? threads : spare;
    const most = Math.min(Math.max(inTime, least), window);
    if (this.#runnable(line, most) >= most) return false;
    if (alone || isLight) return true;
    return now - this.#lightSeenAt > ADMISSION_ACTIVE_MS || this.#heavyRunnable() < spare;
  }

  #seenBesides(line: TenantLine): number {
    return line.tenantId === this.#lastTenantId
      ? this.#otherSeenAt
      : this.#lines.get(this.#lastTenantId)?.seenAt ?? Number.NEGATIVE_INFINITY;
  }

  /** Guests of the tenant that want a thread; not looked at closely below `least`. */
  #runnable({ inFlight, tenantId }: TenantLine, least: number): number {
    return inFlight < least ? inFlight : inFlight - this.#load.waitingOf(tenantId);
  }

  #heavyRunnable(): number {
    let sum = 0;
    for (const line of this.#heavy) sum += Math.max(this.#runnable(line, 1), 0);
    return sum;
  }

  #admit(line: TenantLine, now: number): void {
    if (line.inFlight === 0) line.ends.begin(now);
    line.inFlight += 1;
    this.inFlight += 1;
    this.#clockMs = Math.max(this.#clockMs, line.hadMs);
    line.hadMs += line.costMs;
  }

  #queueGrew(line: TenantLine, { expiresAt }: Waiter): void {
    this.queued += 1;
    this.#backlog.add(line);
    line.nextExpiryAt = Math.min(line.nextExpiryAt, expiresAt);
    this.#watch();
  }

  #queueShrank(line: TenantLine, by: number): void {
    this.queued -= by;
    if (line.queue.length === 0) this.#backlog.delete(line);
  }

  abandon(tenantId: number, waiter: Waiter): void {
    const line = this.#lines.get(tenantId);
    const at = line?.queue.indexOf(waiter) ?? -1;
    if (line === undefined || at < 0) return;
    line.queue.splice(at, 1);
    this.#queueShrank(line, 1);
  }

  giveBack(tenantId: number, waiter: Waiter, now: number): void {
    const line = this.#leave(tenantId);
    line.hadMs -= line.costMs;
    if (line.queue.length === 0) line.starts.begin(now);
    line.queue.unshift(waiter);
    waiter.expiresAt = Math.min(waiter.dueAt, now + this.#limits.queueMs);
    this.#queueGrew(line, waiter);
  }

  finished(tenantId: number, heldMs: number, now: number): void {
    const line = this.#leave(tenantId);
    line.learn(heldMs);
    if (line.costMs > ADMISSION_HEAVY_MS) this.#heavy.add(line);
    else this.#heavy.delete(line);
    line.ends.mark(now);
    if (this.queued > 0) this.pump(now);
  }

  withdraw(tenantId: number, now: number): void {
    const line = this.#leave(tenantId);
    line.hadMs -= line.costMs;
    if (this.queued > 0) this.pump(now);
  }

  hasRoom(tenantId: number, now: number): boolean {
    const line = this.#lines.get(tenantId);
    const { queueMax, tenantQueueMax, tenantMax, queueMs } = this.#limits;
    const share = FAIR_SHARE_FACTOR * (queueMax - this.queued);
    if (2 * this.queued > queueMax) return false;
    if (line === undefined) return true;
    const { length } = line.queue;
    return 2 * length < Math.min(tenantQueueMax, share) && line.inFlight + length < tenantMax
      && this.#hasPlace(line) && 2 * line.waitMs(now) < queueMs;
  }

  #leave(tenantId: number): TenantLine {
    const line = this.#lines.get(tenantId);
    if (line === undefined || line.inFlight === 0) {
      throw new Error(`admission: tenant ${tenantId} finished more than it began`);
    }
    line.inFlight -= 1;
    this.inFlight -= 1;
    return line;
  }

  /** `start` may end up here again: the loop under way goes on with the next. */
  pump(now: number): void {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      while (this.queued > 0) {
        const line = this.#next(now);
        const waiter = line?.queue.shift();
        if (line === null || waiter === undefined) return;
        this.#queueShrank(line, 1);
        line.starts.mark(now);
        if (waiter.expiresAt <= now) {
          this.#drop(line, [waiter], now);
          continue;
        }
        this.#admit(line, now);
        waiter.start();
      }
    } finally {
      this.#pumping = false;
    }
  }

  /** Of the tenants that may start one, whoever has had the least. */
  #next(now: number): TenantLine | null {
    if (!this.#isOpen(now)) return null;
    let best: TenantLine | null = null;
    for (const line of this.#backlog) {
      if (best !== null && line.hadMs >= best.hadMs) continue;
      if (this.#hasPlace(line) && this.#mayRun(line, now)) best = line;
    }
    return best;
  }

  /** Guests that begin to wait make room without telling, and time passes: look while any waits. */
  #watch(): void {
    if (this.#watching) return;
    this.#watching = true;
    setTimeout(() => {
      this.#watching = false;
      const now = performance.now();
      this.#expire(now);
      this.pump(now);
      if (this.queued > 0) this.#watch();
    }, WATCH_MS).unref();
  }

  #expire(now: number): void {
    for (const line of this.#backlog) {
      const expired = line.takeExpired(now);
      this.#queueShrank(line, expired.length);
      this.#drop(line, expired, now);
    }
  }

  #drop(line: TenantLine, expired: readonly Waiter[], now: number): void {
    this.shed += expired.length;
    for (const waiter of expired) waiter.expire(this.#retryAfterS(line, now));
  }

  #forgetIdle(now: number): void {
    this.#forgetAt = now + FORGET_MS;
    for (const [tenantId, line] of this.#lines) {
      if (!line.isIdle || now - line.seenAt <= ADMISSION_ACTIVE_MS) continue;
      this.#lines.delete(tenantId);
      this.#heavy.delete(line);
    }
  }
}

export function createAdmission(limits: AdmissionLimits, load: PoolLoad): Admission {
  return new FairAdmission(limits, load);
}
