/**
 * The listener's way into the daemon: an `Exchange` for each request, with its head alone first
 * where a large body follows.
 */

import type { DispatchParts } from './dispatch-parts.ts';
import { Exchange } from './exchange.ts';
import type { BodyPlan, IncomingRequest } from './listen/listener.ts';

export type { DispatchParts } from './dispatch-parts.ts';

/** Requests whose heads were looked at before: their version is chosen. */
const planned = new WeakMap<IncomingRequest, Exchange>();

/** The listener's handler: everything a request meets on the main thread. */
export function createDispatcher(parts: DispatchParts): (request: IncomingRequest) => void {
  return (request) => {
    const known = request.body === null && request.bodySource === null
      ? undefined : planned.get(request);
    (known ?? new Exchange(parts, request)).begin();
  };
}

/** What is to become of a large body, when only the head of its request is there. */
export function createPlanner(parts: DispatchParts): (request: IncomingRequest) => BodyPlan {
  return (request) => {
    const exchange = new Exchange(parts, request);
    const plan = exchange.plan();
    if (plan !== 'answered') planned.set(request, exchange);
    return plan;
  };
}
