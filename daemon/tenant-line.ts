/** What admission knows of one tenant: its queue, and what its requests cost lately. */

import { Rate } from './rate.ts';

/** A request that waits for its turn, as admission sees it. */
export interface Waiter {
  /** `performance.now()` when its answer is due; it does not wait longer. */
  readonly dueAt: number;
  /** Set by admission: when it leaves the queue at the latest. */
  expiresAt: number;
  /** Its turn has come: it is in flight now. */
  start(): void;
  /** It has waited too long and is not in the queue any more. */
  expire(retryAfterS: number): void;
}

/** What a tenant's first request is taken to cost, and the least of any, in milliseconds. */
const COST_MS_FIRST = 0.25;
const COST_MS_MIN = 0.02;
const COST_WEIGHT = 1 / 8;

export class TenantLine {
  readonly tenantId: number;
  readonly queue: Waiter[] = [];
  inFlight = 0;
  /** Milliseconds that a guest of this tenant holds a thread, on average. */
  costMs = COST_MS_FIRST;
  /** Milliseconds of threads it has had, on the clock that all tenants share. */
  hadMs = 0;
  /** When its last request came. */
  seenAt = 0;
  /** No waiter's `expiresAt` is before it. */
  nextExpiryAt = Number.POSITIVE_INFINITY;
  /** Requests that leave its queue, and those that end. */
  readonly starts = new Rate();
  readonly ends = new Rate();

  constructor(tenantId: number) {
    this.tenantId = tenantId;
  }

  learn(heldMs: number): void {
    this.costMs = Math.max(this.costMs + (heldMs - this.costMs) * COST_WEIGHT, COST_MS_MIN);
  }

  get isIdle(): boolean {
    return this.inFlight === 0 && this.queue.length === 0;
  }

  /** Milliseconds until all that waits now has begun; 0 while nobody can tell. */
  waitMs(now: number): number {
    return this.queue.length * this.starts.intervalMs(now);
  }

  /** Takes whose time is over out of the queue. */
  takeExpired(now: number): Waiter[] {
    if (now < this.nextExpiryAt) return [];
    const expired: Waiter[] = [];
    let next = Number.POSITIVE_INFINITY;
    let kept = 0;
    for (const waiter of this.queue) {
      if (waiter.expiresAt <= now) {
        expired.push(waiter);
        continue;
      }
      next = Math.min(next, waiter.expiresAt);
      this.queue[kept] = waiter;
      kept += 1;
    }
    this.queue.length = kept;
    this.nextExpiryAt = next;
    return expired;
  }
}
