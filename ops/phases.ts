/**
 * The phases of a request from the times in its record, in milliseconds. However a request ended,
 * those that it reached add up to its whole time: what no phase accounts for is given to the one it
 * ended in.
 */

import type { RequestRecord } from './record.ts';

/**
 * It was never dispatched, as its client left, its time was over, or there was no room for it: it
 * waited until then. Everything else that is not dispatched is answered at once.
 */
const leftQueue = ({ code, route }: RequestRecord): boolean =>
  route !== null &&
  (code === 'client_closed' || code === 'overloaded' || code === 'tenant_overloaded');

/** From its route to its dispatch, or to where it gave up waiting. */
export function queueMs(record: RequestRecord): number {
  const { routedAt, dispatchedAt, answeredAt } = record;
  if (dispatchedAt !== 0) return dispatchedAt - routedAt;
  return leftQueue(record) ? answeredAt - routedAt : 0;
}

/**
 * Between the threads, both ways; all the time since its dispatch when no usage came back, as of a
 * request that was lost with its thread. The clocks of two threads: it may come out below 0.
 */
export function transferMs({ usage, dispatchedAt, repliedAt }: RequestRecord): number {
  if (dispatchedAt === 0 || repliedAt === 0) return 0;
  const worked = usage === null ? 0 : (usage.instantiateUs + usage.runUs) / 1_000;
  return Math.max(0, repliedAt - dispatchedAt - worked);
}

/** From the reply to the answer; from where it came to, when the daemon answered by itself. */
export function respondMs(record: RequestRecord): number {
  const { routedAt, dispatchedAt, repliedAt, answeredAt } = record;
  if (repliedAt !== 0) return answeredAt - repliedAt;
  if (dispatchedAt !== 0) return answeredAt - dispatchedAt;
  return leftQueue(record) ? 0 : answeredAt - routedAt;
}
