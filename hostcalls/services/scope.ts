/**
 * The network budget of one guest: how many subrequests and DNS queries it may start, how many at
 * once, how many bytes it may receive; and the one place from which all of it is cancelled. Costs
 * an object until it is used.
 *
 *   acquire ──(slot free)──▶ running ──release──▶ done
 *      └──(none free)──▶ waiting ──(a release)──▶ running
 *
 * Abort ends all that wait or run, and whatever is started later.
 */

import type { RequestLimits } from '../../contract/limits.ts';
import type { RequestMessage } from '../../contract/messages.ts';
import { DnsError, UpstreamError } from './errors.ts';
import type { HeldBytes } from './held-bytes.ts';
import { piecesMax, StreamAccount, type StreamTotals } from './stream-account.ts';
import { OutgoingTrace } from './trace.ts';
import type { SpanList } from './trace.ts';

export type SubrequestLimits = Pick<
  RequestLimits,
  'subrequests' | 'subrequestsConcurrent' | 'subrequestBytes' | 'subrequestMs' | 'dnsQueries'
  | 'streamBytes' | 'streamStallMs'
>;

/** The request that a guest's subrequests are traced to, and the spans that they are added to. */
export interface TracedRequest {
  readonly request: Pick<RequestMessage, 'trace' | 'headers'>;
  readonly spans: SpanList | null;
}

export class SubrequestScope {
  readonly tenantId: number;
  readonly limits: SubrequestLimits;
  readonly #held: HeldBytes;
  #subrequests = 0;
  #dnsQueries = 0;
  #bytes = 0;
  #pieces = 0;
  /** Bodies, both ways, and heads: what is given back when the guest ends. */
  #heldBytes = 0;
  #running = 0;
  #aborted = false;
  /** Those who wait for a slot, in order. */
  #turns: Set<() => void> | null = null;
  #aborters: Set<() => void> | null = null;
  readonly #traced: TracedRequest | null;
  #trace: OutgoingTrace | null = null;
  /** Of the subrequests that are over: `usage.subrequestMs` and `usage.subrequestFailures`. */
  endedMs = 0;
  failures = 0;
  /** Of bodies that are read piece by piece. */
  readonly #streamed: StreamTotals = { bytes: 0, pieces: 0 };
  #streams: Set<StreamAccount> | null = null;

  constructor(
    tenantId: number, limits: SubrequestLimits, held: HeldBytes,
    traced: TracedRequest | null = null,
  ) {
    this.#held = held;
    this.#traced = traced;
    this.tenantId = tenantId;
    this.limits = limits;
  }

  /** Requests started, redirect hops included: `usage.subrequests`. */
  get subrequests(): number {
    return this.#subrequests;
  }

  /** DNS hostcalls started: `usage.dnsQueries`. Lookups that a subrequest needs are not counted. */
  get dnsQueries(): number {
    return this.#dnsQueries;
  }

  /** What upstreams are told of the trace; null where nothing is known of the request. */
  get trace(): OutgoingTrace | null {
    if (this.#traced === null) return null;
    return this.#trace ??= new OutgoingTrace(this.#traced.request, this.#traced.spans);
  }

  /** Bytes of upstream bodies received so far. */
  get bytes(): number {
    return this.#bytes;
  }

  get aborted(): boolean {
    return this.#aborted;
  }

  /**
   * Cancels everything under way with reason `aborted`, and everything started later. Idempotent.
   */
  abort(): void {
    if (this.#aborted) return;
    this.#aborted = true;
    if (this.#heldBytes > 0) this.#held.release(this.tenantId, this.#heldBytes);
    for (const stream of this.#streams ?? []) stream.close();
    this.#streams = null;
    const aborters = this.#aborters;
    this.#aborters = null;
    for (const aborter of aborters ?? []) aborter();
  }

  /** Calls once when the scope is aborted, at once if it was. Returns what takes it back. */
  onAbort(aborter: () => void): () => void {
    if (this.#aborted) {
      aborter();
      return () => {};
    }
    this.#aborters ??= new Set();
    this.#aborters.add(aborter);
    return () => this.#aborters?.delete(aborter);
  }

  countRequest(): void {
    if (this.#aborted) throw new UpstreamError('aborted', 'the request was cancelled');
    if (this.#subrequests >= this.limits.subrequests) {
      throw new UpstreamError(
        'too_many',
        `more than ${this.limits.subrequests} subrequests (redirects included)`,
      );
    }
    this.#subrequests += 1;
  }

  countDnsQuery(): void {
    if (this.#aborted) throw new DnsError('aborted', 'the query was cancelled');
    if (this.#dnsQueries >= this.limits.dnsQueries) {
      throw new DnsError('too_many', `more than ${this.limits.dnsQueries} DNS queries`);
    }
    this.#dnsQueries += 1;
  }

  /** Bytes that may still be received. */
  get bytesLeft(): number {
    return this.limits.subrequestBytes - this.#bytes;
  }

  countBytes(bytes: number): void {
    this.countHead(bytes);
    this.#bytes += bytes;
    this.#pieces += 1;
    if (this.#bytes > this.limits.subrequestBytes) throw this.tooLarge();
    if (this.#pieces > piecesMax(this.limits.subrequestBytes)) {
      throw new UpstreamError('too_large', 'upstream bodies in too many small pieces');
    }
  }

  /** For a body that is read piece by piece: what is held of it at a time counts, not all of it. */
  openStream(): StreamAccount {
    const stream = new StreamAccount(this.#held, this.tenantId, this.limits, this.#streamed);
    (this.#streams ??= new Set()).add(stream);
    return stream;
  }

  /** The stream lives on when the guest ends: whoever reads it closes it. */
  detach(stream: StreamAccount): void {
    this.#streams?.delete(stream);
  }

  /** Heads are bounded one by one; here they count only for what the tenant holds in all. */
  countHead(bytes: number): void {
    if (this.#aborted) throw new UpstreamError('aborted', 'the request was cancelled');
    if (!this.#held.add(this.tenantId, bytes)) {
      throw new UpstreamError('too_large', 'too many bytes of upstream answers are held');
    }
    this.#heldBytes += bytes;
  }

  /**
   * Counts bytes of a request's body among what the tenant holds on this thread. False if that is
   * too much: nothing is counted then.
   */
  hold(bytes: number): boolean {
    if (this.#aborted || !this.#held.add(this.tenantId, bytes)) return false;
    this.#heldBytes += bytes;
    return true;
  }

  /** Gives back what `hold` has counted; the rest goes when the guest ends. */
  release(bytes: number): void {
    if (this.#aborted) return;
    this.#held.release(this.tenantId, bytes);
    this.#heldBytes -= bytes;
  }

  tooLarge(): UpstreamError {
    return new UpstreamError(
      'too_large',
      `upstream bodies of more than ${this.limits.subrequestBytes} bytes together`,
    );
  }

  /**
   * Calls `start` as soon as fewer than `subrequestsConcurrent` run: at once, or later. Returns
   * what gives the slot back, or leaves the queue; it may be called more than once.
   */
  acquire(start: () => void): () => void {
    let state: 'waiting' | 'running' | 'released' = 'waiting';
    const turn = (): void => {
      state = 'running';
      this.#running += 1;
      start();
    };
    const release = (): void => {
      const before = state;
      state = 'released';
      if (before === 'waiting') this.#turns?.delete(turn);
      if (before === 'running') this.#next();
    };
    if (this.#running < this.limits.subrequestsConcurrent) {
      turn();
    } else {
      this.#turns ??= new Set();
      this.#turns.add(turn);
    }
    return release;
  }

  #next(): void {
    this.#running -= 1;
    for (const turn of this.#turns ?? []) {
      this.#turns?.delete(turn);
      turn();
      return;
    }
  }
}
