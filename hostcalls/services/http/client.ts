/**
 * Outbound HTTP for guests: redirects followed hop by hop, each under the egress policy; one time
 * limit over heads and bodies together, or, where bodies are streamed, over the head alone;
 * everything within the guest's budget and cancelled with it, unless it was detached.
 *
 *   queued ──turn──▶ sending ──head──▶ (redirect: sending) ──▶ open ──body read──▶ done
 *      └───────────────┴── timeout, abort, limit, failure ──────┴──▶ failed
 */

import type { Dispatcher } from 'undici';
import { REDIRECTS_MAX } from '../../../contract/limits.ts';
import { UpstreamError } from '../errors.ts';
import type { SubrequestScope } from '../scope.ts';
import type { TracedHop } from '../trace.ts';
import type {
  HttpClient,
  UpstreamExchange,
  UpstreamRequest,
  UpstreamResponse,
} from '../types.ts';
import { exchangeFailure, isConnectionEnded } from './failure.ts';
import { Hop } from './hop.ts';
import type { Head } from './hop.ts';
import { isMethod, outgoing, parseUrl } from './message.ts';
import type { Outgoing } from './message.ts';
import { UpstreamPools } from './pools.ts';
import type { PoolsOptions } from './pools.ts';
import { nextHop } from './redirect.ts';
import { piecesOf } from './upload.ts';

/**
 * Safe to send again when the upstream closed the connection before it answered (RFC 9110, section
 * 9.2.2).
 */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']);

type Body = Dispatcher.DispatchOptions['body'];

interface Hopped {
  readonly hop: Hop;
  readonly head: Head;
}

interface Answered extends Hopped {
  /** The one that answered. */
  readonly url: URL;
}

class Subrequest {
  readonly #pools: UpstreamPools;
  readonly #scope: SubrequestScope;
  readonly #hops = new Set<Hop>();
  /** The hop whose answer the caller got. Once its body is complete, nothing is held any more. */
  #last: Hop | null = null;
  /** The body of the answer is read piece by piece. */
  readonly #streams: boolean;
  #timer: NodeJS.Timeout | undefined;
  readonly #startedAt = performance.now();
  readonly #undo: (() => void)[] = [];
  #error: UpstreamError | null = null;
  #finished = false;
  /** Rejects what waits for a slot. */
  #leaveQueue: ((error: UpstreamError) => void) | null = null;

  constructor(
    pools: UpstreamPools, scope: SubrequestScope, signal: AbortSignal | undefined,
    streams: boolean,
  ) {
    this.#pools = pools;
    this.#scope = scope;
    this.#streams = streams;
    this.#startTimer();
    const abort = (): void => this.fail(new UpstreamError('aborted', 'the request was cancelled'));
    if (signal?.aborted === true) abort();
    signal?.addEventListener('abort', abort, { once: true });
    this.#undo.push(() => signal?.removeEventListener('abort', abort), scope.onAbort(abort));
  }

  #startTimer(): void {
    const { subrequestMs } = this.#scope.limits;
    this.#timer = setTimeout(() => {
      this.fail(new UpstreamError('timeout', `the upstream took more than ${subrequestMs} ms`));
    }, subrequestMs);
  }

  async start(first: Outgoing): Promise<UpstreamExchange> {
    const { hop, head, url } = await this.#answer(first);
    clearTimeout(this.#timer);
    return {
      ...head,
      url: url.href,
      get length() { return hop.left(head.declaredBytes); },
      read: () => hop.read(),
      arrived: (most) => hop.arrived(most),
      cancel: () => {
        const error = new UpstreamError('aborted', 'the request was cancelled');
        this.fail(error);
        hop.cancel(error);
      },
      detach: () => this.#detach(hop),
    };
  }

  async gather(first: Outgoing): Promise<UpstreamResponse> {
    const { hop, head: { status, headers }, url } = await this.#answer(first);
    return { status, headers, url: url.href, body: await hop.readAll() };
  }

  async #answer(first: Outgoing): Promise<Answered> {
    try {
      await this.#turn();
      return await this.#follow(first);
    } catch (error) {
      const failure = exchangeFailure(error);
      this.fail(failure);
      throw failure;
    }
  }

  fail(error: UpstreamError): void {
    if (this.#finished) return;
    this.#error = error;
    if (error.reason !== 'aborted') this.#scope.failures += 1;
    this.#finish();
    this.#leaveQueue?.(error);
  }

  #detach(hop: Hop): void {
    for (const undo of this.#undo.splice(0)) undo();
    if (hop.stream !== null) this.#scope.detach(hop.stream);
  }

  /** Gives everything back. A redirect's body that still trickles in is not waited for. */
  #finish(): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#scope.endedMs += performance.now() - this.#startedAt;
    clearTimeout(this.#timer);
    for (const undo of this.#undo) undo();
    const error = this.#error ?? new UpstreamError('aborted', 'the request was cancelled');
    for (const hop of this.#hops) hop.fail(error);
    this.#hops.clear();
  }

  async #turn(): Promise<void> {
    if (this.#error !== null) throw this.#error;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#leaveQueue = reject;
    this.#undo.push(this.#scope.acquire(resolve));
    await promise;
    this.#leaveQueue = null;
  }

  async #follow(first: Outgoing): Promise<Answered> {
    let request = first;
    for (let redirects = 0; ; redirects += 1) {
      if (this.#error !== null) throw this.#error;
      this.#scope.countRequest();
      const { hop, head } = await this.#answered(request);
      const next = nextHop(request, head.status, head.headers);
      if (next === null) {
        // The answer may have ended with its head: then nothing is left to wait for.
        if (this.#hops.has(hop)) this.#last = hop;
        else this.#finish();
        return { hop, head, url: request.url };
      }
      if (redirects === REDIRECTS_MAX) {
        throw new UpstreamError('too_many_redirects', `more than ${REDIRECTS_MAX} redirects`);
      }
      hop.discard();
      request = next;
    }
  }

  /**
   * An upstream may close an idle connection just as a request is sent on it; then the request is
   * sent once more, on another connection, if that is harmless.
   */
  async #answered(request: Outgoing): Promise<Hopped> {
    const pool = this.#pools.get(this.#scope.tenantId, request.url);
    const mayBeStale = pool.completed > 0 && IDEMPOTENT.has(request.method)
      && request.upload === null;
    try {
      return await this.#send(request);
    } catch (error) {
      const failure = exchangeFailure(error);
      if (!mayBeStale || this.#finished || !isConnectionEnded(failure)) throw failure;
      return this.#send(request);
    }
  }

  async #send(request: Outgoing): Promise<Hopped> {
    const pool = this.#pools.get(this.#scope.tenantId, request.url);
    const traced = this.#scope.trace?.hop(request.headers);
    const startAt = performance.now();
    const stream = this.#streams ? this.#scope.openStream() : null;
    const hop = new Hop(this.#scope, request.method, stream, (error) => {
      pool.active -= 1;
      if (error === null) pool.completed += 1;
      this.#hops.delete(hop);
      this.#addSpan(request, traced, hop.status, startAt, error);
      if (hop === this.#last) this.#finish();
    });
    pool.active += 1;
    this.#hops.add(hop);
    const { method, url } = request;
    const headers = [...traced?.headers ?? request.headers];
    const path = url.pathname + url.search;
    const body = this.#body(request);
    try {
      pool.dispatch({ path, method, headers, body }, hop);
    } catch (error) {
      hop.fail(exchangeFailure(error));
    }
    return { hop, head: await hop.head };
  }

  #addSpan(
    { method, url }: Outgoing, traced: TracedHop | undefined, status: number, startedAt: number,
    error: UpstreamError | null,
  ): void {
    const spans = this.#scope.trace?.spans ?? null;
    if (spans === null || traced === undefined || traced.spanId === '') return;
    spans.add({
      kind: 'http', spanId: traced.spanId, method, url: url.origin + url.pathname, status,
      startAt: performance.timeOrigin + startedAt,
      endAt: performance.timeOrigin + performance.now(),
      error: error === null ? '' : error.reason,
    });
  }

  #body({ body, upload }: Outgoing): Body {
    if (upload === null) return body;
    const { streamStallMs } = this.#scope.limits;
    // undici takes what can be iterated over; its types leave that out.
    return piecesOf(upload, streamStallMs, {
      // It takes the time it takes: it must only never stand still.
      onBegin: () => clearTimeout(this.#timer),
      onStall: () => this.fail(
        new UpstreamError('timeout', `the upstream took nothing for ${streamStallMs} ms`)),
      onEnd: () => {
        const isOver = this.#finished || (this.#streams && this.#last !== null);
        if (!isOver) this.#startTimer();
      },
    }) as unknown as Body;
  }
}

export class UpstreamClient implements HttpClient {
  readonly pools: UpstreamPools;

  constructor(options: PoolsOptions) {
    this.pools = new UpstreamPools(options);
  }

  isMethod(method: string): boolean {
    return isMethod(method);
  }

  isUrl(url: string): boolean {
    return parseUrl(url) !== null;
  }

  async open(request: UpstreamRequest, scope: SubrequestScope): Promise<UpstreamExchange> {
    const first = outgoing(request);
    return new Subrequest(this.pools, scope, request.signal, true).start(first);
  }

  async fetchUpstream(request: UpstreamRequest, scope: SubrequestScope): Promise<UpstreamResponse> {
    const first = outgoing(request);
    return new Subrequest(this.pools, scope, request.signal, false).gather(first);
  }

  async close(): Promise<void> {
    await this.pools.destroy();
  }
}
