/**
 * Traces in a worker: the spans of a guest whose trace is exported, and the header fields that tell
 * an upstream which trace its request belongs to.
 */

import { randomBytes } from 'node:crypto';

import { TRACE_SPANS_MAX } from '../../contract/limits.ts';
import type { FlatHeaders, RequestMessage } from '../../contract/messages.ts';
import {
  formatTraceparent, incomingTrace, isSampled, parseTraceparent,
} from '../../contract/trace.ts';
import type { GuestSpan, IncomingTrace, TraceParent } from '../../contract/trace.ts';
import { headerValue } from './http/message.ts';

const SPAN_BYTES = 8;

/** Bounded: a guest may wait a hundred thousand times. */
export class SpanList {
  readonly spans: GuestSpan[] = [];
  dropped = 0;

  add(span: GuestSpan): void {
    if (this.spans.length < TRACE_SPANS_MAX) this.spans.push(span);
    else this.dropped += 1;
  }
}

/** One for a request whose trace is exported, else null. */
export function openSpans({ trace }: Pick<RequestMessage, 'trace'>): SpanList | null {
  return typeof trace === 'string' && isSampled(trace) ? new SpanList() : null;
}

export interface TracedHop {
  readonly headers: FlatHeaders;
  /** The upstream's parent, if that is a span of ours. */
  readonly spanId: string;
}

/** A guest's subrequests in its trace. Made when the guest sends the first one. */
export class OutgoingTrace {
  readonly spans: SpanList | null;
  /** The request's own span; null where this daemon has none, as it exports nothing. */
  readonly #own: TraceParent | null;
  readonly #incoming: IncomingTrace | null;

  constructor(request: Pick<RequestMessage, 'trace' | 'headers'>, spans: SpanList | null) {
    this.spans = spans;
    this.#own = typeof request.trace === 'string' ? parseTraceparent(request.trace) : null;
    this.#incoming = incomingTrace(request.headers);
  }

  /**
   * The fields of a hop with those of the trace. What a guest has set stays if it is a trace of its
   * own; if it has only passed on what came in, the span in between is put in its place.
   */
  hop(headers: FlatHeaders): TracedHop {
    const own = this.#own;
    const incoming = this.#incoming;
    const given = headerValue(headers, 'traceparent');
    if (given !== null && (own === null || !this.#isOurs(given))) return { headers, spanId: '' };
    if (own === null) {
      if (incoming === null) return { headers, spanId: '' };
      return { headers: withTrace(headers, incoming.header, incoming.state), spanId: '' };
    }
    const spanId = own.sampled ? randomBytes(SPAN_BYTES).toString('hex') : own.spanId;
    const state = incoming?.traceId === own.traceId ? incoming.state : '';
    return { headers: withTrace(headers, formatTraceparent({ ...own, spanId }), state), spanId };
  }

  #isOurs(given: string): boolean {
    const traceId = parseTraceparent(given)?.traceId;
    return traceId !== undefined &&
      (traceId === this.#own?.traceId || traceId === this.#incoming?.traceId);
  }
}

function withTrace(headers: FlatHeaders, parent: string, state: string): FlatHeaders {
  const kept = headers.filter((_, at) => {
    const name = headers[at - (at % 2)];
    return name !== 'traceparent' && name !== 'tracestate';
  });
  kept.push('traceparent', parent);
  if (state !== '') kept.push('tracestate', state);
  return kept;
}
