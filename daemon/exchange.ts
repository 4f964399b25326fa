/**
 * The way of one request on the main thread: route, admit, hand to the pool, answer, and tell
 * whoever observes. One `Exchange` lives from the request's arrival to its answer.
 *
 *   arrived ──▶ queued ◀──▶ dispatched ──▶ answered ──(a body flows on)──▶ recorded
 *      └─refused   ├─expired     └─aborted (the guest is killed; nobody is answered)
 *                  └─abandoned
 *
 * A request with a large body arrives twice: with its head alone, when it is routed and may be
 * refused, and when the body is whole, or at once when the guest is to have it piece by piece.
 */

import type { ErrorCode } from '../contract/errors.ts';
import type { Route } from '../contract/deployment.ts';
import type { RelayHead, ReplyMessage, RequestMessage } from '../contract/messages.ts';
import { formatTraceparent } from '../contract/trace.ts';
import type { RequestTrace } from '../contract/trace.ts';
import { Refused } from './admission.ts';
import type { Waiter } from './admission.ts';
import type { Changeover } from './changeover.ts';
import { healthAnswer } from './deploy/terrctl.ts';
import type { DispatchParts } from './dispatch-parts.ts';
import { heldMs } from './held-time.ts';
import type { BodyPlan, IncomingRequest } from './listen/listener.ts';
import { OpenRelays, RelayFlow } from './relay.ts';
import { codeOf, errorAnswer, failureAnswer, replyAnswer, withCookie } from './respond.ts';
import type { Answer } from './respond.ts';
import { findAsked, hostName } from './router.ts';
import { chooseVersion } from './split.ts';

let lastSequence = 0;
const openRelays = new OpenRelays();
const NO_EPOCH = -1;
/** Whose hosts nobody has. */
const NO_TENANT = 0;
const RESTORED = 'its app was restored from a backup meanwhile, and takes no streamed body';

/** One request that no other has: `begin` or `plan` comes first. */
export class Exchange implements Waiter {
  readonly #parts: DispatchParts;
  readonly #request: IncomingRequest;
  readonly #sequence: number;
  #route: Route | null = null;
  /** Of the database that the route is from. */
  #epoch = 0;
  #queued = false;
  dueAt = 0;
  expiresAt = 0;
  /** Keeps the client with its version. */
  #cookie: string | null = null;
  #gone = false;
  #trace: RequestTrace | null = null;
  #isAnswered = false;
  /** The answer's body that flows on. */
  #flow: RelayFlow | null = null;
  #routedAt = 0;
  #dispatchedAt = 0;
  #repliedAt = 0;

  constructor(parts: DispatchParts, request: IncomingRequest) {
    this.#parts = parts;
    this.#request = request;
    lastSequence += 1;
    this.#sequence = lastSequence;
  }

  begin(): void {
    const request = this.#request;
    const { tracing = null } = this.#parts;
    if (tracing !== null) this.#trace = tracing.open(request.headers);
    if (request.bodySource !== null) request.bodySource.onFail = this.#bodyFailed;
    this.#enter();
  }

  /** Once more when a backup is restored before a guest has begun: routes are other ones then. */
  #enter(): void {
    if (this.#isAnswered) return;
    const request = this.#request;
    const { changeover } = this.#parts;
    if (this.#gone) return this.#record(499, 'client_closed', null, 0);
    if (changeover?.holds === true) return this.#hold(changeover);
    const isPast = this.#isPast();
    if (isPast) this.#route = null;
    const route = this.#route ?? this.#find();
    if (route === undefined) return this.#noRoute(hostName(request.host));
    this.#routedAt = performance.now();
    if (route.suspended) return this.#refuse('tenant_suspended', '');
    if (isPast && request.bodySource !== null && route.streamsBody !== true) {
      return this.#refuse('overloaded', RESTORED);
    }
    const health = healthAnswer(request.method, request.target);
    if (health !== null) return this.#answer(health, null, null);
    request.onAbort = this.#aborted;
    // From when it was whole: how long a client takes to send a body is none of the guest's time.
    this.dueAt = this.#routedAt + route.limits.deadlineMs;
    try {
      this.#queued = !this.#parts.admission.offer(route.tenantId, this, this.#routedAt);
    } catch (error) {
      return this.#fail(error);
    }
    if (!this.#queued) this.start();
  }

  #isPast(): boolean {
    const { changeover } = this.#parts;
    return changeover !== undefined && (changeover.holds || changeover.epoch !== this.#epoch);
  }

  #hold(changeover: Pick<Changeover, 'hold'>): void {
    this.#request.onAbort = this.#aborted;
    // Of the routes that are still there: ids of tenants only tell here who shares with whom.
    const route = this.#route ?? findAsked(this.#parts.router, this.#request.host);
    this.#route = null;
    try {
      changeover.hold(route?.tenantId ?? NO_TENANT, () => this.#enter());
    } catch (error) {
      this.#fail(error);
    }
  }

  #find(): Route | undefined {
    const request = this.#request;
    const { changeover } = this.#parts;
    this.#cookie = null;
    // While the database is exchanged nobody knows whose routes these are: they are found again.
    this.#epoch = changeover === undefined ? 0 : changeover.holds ? NO_EPOCH : changeover.epoch;
    let route = findAsked(this.#parts.router, request.host);
    if (route === undefined) return undefined;
    if (route.split !== undefined) {
      ({ route, cookie: this.#cookie } = chooseVersion(route, request));
    }
    this.#route = route;
    return route;
  }

  /** With the head alone: refuses what would be refused anyway, and plans for the body. */
  plan(): BodyPlan {
    const request = this.#request;
    const route = this.#find();
    if (route === undefined) {
      const host = hostName(request.host);
      if (host !== null && this.#parts.isPlatformHost(host)) return 'gather';
      this.#noRoute(host);
      return 'answered';
    }
    this.#routedAt = performance.now();
    if (route.suspended) {
      this.#refuse('tenant_suspended', '');
      return 'answered';
    }
    if (route.streamsBody === true) return { streamBytes: route.limits.streamBytes };
    try {
      this.#parts.admission.check(route.tenantId, this.#routedAt);
    } catch (error) {
      this.#fail(error);
      return 'answered';
    }
    return 'gather';
  }

  #noRoute(host: string | null): void {
    this.#routedAt = performance.now();
    const { host: asked, requestId } = this.#request;
    if (host === null) {
      const what = asked === '' ? '' : `${JSON.stringify(asked)} is no host`;
      return this.#refuse('missing_host', what);
    }
    const platform = this.#parts.platform(this.#request, host);
    if (platform === null) return this.#refuse('unknown_host', `nothing is deployed for ${host}`);
    platform.then(
      (answer) => this.#answer(answer, null, null),
      (error: unknown) => this.#answer(errorAnswer(error, requestId), codeOf(error), null),
    );
  }

  start(): void {
    const route = this.#route;
    if (route === null) throw new Error('dispatch: started without a route');
    const request = this.#request;
    this.#queued = false;
    this.#dispatchedAt = performance.now();
    if (this.#isPast()) {
      this.#parts.admission.withdraw(route.tenantId, this.#dispatchedAt);
      return this.#enter();
    }
    const message: RequestMessage = {
      sequence: this.#sequence,
      requestId: request.requestId,
      versionId: route.versionId,
      generation: route.generation,
      epoch: this.#epoch,
      method: request.method,
      target: request.target,
      host: request.host,
      headers: request.headers,
      body: request.body,
      streamed: request.bodySource !== null,
      clientAddress: request.clientAddress,
      secure: request.secure,
      deadlineAt: performance.timeOrigin + this.dueAt,
      trace: this.#trace === null ? null : formatTraceparent(this.#trace),
    };
    // Neither throws: a promise less for each request.
    void this.#parts.pool.run(message, this.#returned, request.bodySource)
      .then(this.#replied, this.#failed);
  }

  readonly #returned = (): void => {
    const route = this.#route;
    if (route === null) throw new Error('dispatch: returned without a route');
    this.#queued = true;
    this.#dispatchedAt = 0;
    this.#parts.admission.giveBack(route.tenantId, this, performance.now());
  };

  expire(retryAfterS: number): void {
    this.#queued = false;
    const waitedMs = Math.round(performance.now() - this.#routedAt);
    try {
      this.#fail(new Refused('overloaded', `it waited ${waitedMs} ms for its turn`, retryAfterS));
    } catch (error) {
      this.#parts.onFault(error);
    }
  }

  readonly #replied = (reply: ReplyMessage): void => {
    this.#repliedAt = performance.now();
    const route = this.#route;
    if (route === null) throw new Error('dispatch: replied without a route');
    try {
      const code = reply.failure?.code;
      if (code === 'module_unavailable') this.#parts.onUnavailable?.(route);
      if (reply.relay !== null) {
        this.#relay(route, reply, reply.relay);
      } else {
        const answer = replyAnswer(reply, route, this.#request.requestId);
        this.#answer(withCookie(answer, this.#cookie), code ?? null, reply);
      }
    } catch (error) {
      this.#parts.onFault(error);
    }
    this.#finish(heldMs(reply, this.#repliedAt - this.#dispatchedAt));
  };

  readonly #failed = (error: unknown): void => {
    this.#repliedAt = performance.now();
    try {
      this.#fail(error);
    } catch (fault) {
      this.#parts.onFault(fault);
    }
    this.#finish(0);
  };

  #finish(held: number): void {
    if (this.#route === null) return;
    try {
      this.#parts.admission.finished(this.#route.tenantId, held, this.#repliedAt);
    } catch (error) {
      this.#parts.onFault(error);
    }
  }

  /** The guest has ended; what it answers with flows on. */
  #relay(route: Route, reply: ReplyMessage, { contentLength, takesBody }: RelayHead): void {
    const relay = this.#parts.pool.relay(this.#sequence);
    const refusal = this.#gone || this.#isAnswered ? 'client_closed'
      : openRelays.open(route.tenantId);
    if (refusal !== null) {
      relay.cancel();
      const answer =
        failureAnswer(refusal, 'answers are being relayed', this.#request.requestId);
      return this.#answer(answer, refusal, reply);
    }
    const { status, headers } = withCookie(
      replyAnswer(reply, route, this.#request.requestId), this.#cookie);
    this.#request.onAbort = null;
    this.#isAnswered = true;
    const out = this.#request.respondStream({ status, headers, contentLength });
    if (out === null) {
      relay.cancel();
      openRelays.close(route.tenantId, 0);
      return this.#record(500, 'bad_response', reply, 0);
    }
    if (!takesBody) this.#request.forsakeBody();
    // An answer to HEAD tells a length, and has no bytes.
    const promised = this.#request.method === 'HEAD' ? null : contentLength;
    const window = openRelays.window();
    this.#flow = new RelayFlow(relay, out, promised, window, (bytes, code) => {
      openRelays.close(route.tenantId, window);
      this.#record(code === 'client_closed' ? 499 : status, code, reply, bytes);
    });
  }

  /** A body that was to flow broke a limit or the rules of HTTP. */
  readonly #bodyFailed = ({ code, message }: { code: ErrorCode; message: string }): void => {
    if (this.#flow !== null) return this.#flow.cut(code);
    if (this.#isAnswered) return;
    this.#leave();
    this.#refuse(code, message);
  };

  /** Out of the queue, or the guest is killed. True when it was in the queue. */
  #leave(): boolean {
    const route = this.#route;
    if (route === null) return false;
    if (this.#queued) {
      this.#parts.admission.abandon(route.tenantId, this);
      return true;
    }
    this.#parts.pool.abort(this.#sequence);
    return false;
  }

  /** The client went away: a queued request leaves the queue, a running guest is killed. */
  readonly #aborted = (): void => {
    this.#gone = true;
    if (this.#leave()) this.#record(499, 'client_closed', null, 0);
  };

  #refuse(code: ErrorCode, message: string): void {
    this.#answer(failureAnswer(code, message, this.#request.requestId), code, null);
  }

  #fail(error: unknown): void {
    this.#answer(errorAnswer(error, this.#request.requestId), codeOf(error), null);
  }

  #answer(answer: Answer, code: ErrorCode | null, reply: ReplyMessage | null): void {
    if (this.#isAnswered) return;
    this.#isAnswered = true;
    if (this.#gone) {
      this.#record(499, 'client_closed', reply, 0);
      return;
    }
    this.#request.onAbort = null;
    this.#request.respond(answer);
    this.#record(answer.status, code, reply, answer.body?.length ?? 0);
  }

  #record(
    status: number, code: ErrorCode | null, reply: ReplyMessage | null, responseBytes: number,
  ): void {
    const request = this.#request;
    this.#parts.observe({
      requestId: request.requestId,
      method: request.method,
      target: request.target,
      host: request.host,
      headers: request.headers,
      clientAddress: request.clientAddress,
      route: this.#route,
      status,
      code,
      failure: reply?.failure ?? null,
      usage: reply?.usage ?? null,
      requestBytes: request.received,
      responseBytes,
      receivedAt: request.receivedAt,
      routedAt: this.#routedAt,
      dispatchedAt: this.#dispatchedAt,
      repliedAt: this.#repliedAt,
      answeredAt: performance.now(),
      trace: this.#trace,
      guestTrace: reply?.trace ?? null,
    });
  }
}
