/**
 * Time for guests: the system's clock with nanoseconds, and a monotonic clock that starts with the
 * services, so that it tells nothing about how long the machine has been up.
 */

import type { Clock } from './types.ts';

/**
 * The high-resolution clock drifts from the system's and does not see it being set: above this it
 * is re-aligned.
 */
const DRIFT_MAX_NANOS = 2_000_000n;

export function createClock(): Clock {
  const started = process.hrtime.bigint();
  let offset = 0n;
  const realtimeNanos = (): bigint => {
    const system = BigInt(Date.now()) * 1_000_000n;
    const now = process.hrtime.bigint() + offset;
    const drift = now - system;
    // `Date.now` cuts off the fraction of the millisecond: between 0 and 1 ms ahead of it is right.
    if (drift >= 0n && drift <= DRIFT_MAX_NANOS) return now;
    offset += system - now;
    return system;
  };
  return { realtimeNanos, monotonicNanos: () => process.hrtime.bigint() - started };
}
