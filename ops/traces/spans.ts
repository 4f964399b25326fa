/**
 * Requests as spans of OpenTelemetry, after the fact: every id and time is known by then.
 *
 *   server: the request ──┬── queue
 *                         ├── instance
 *                         └── run ──┬── wait in a hostcall …
 *                                   └── client: a subrequest …
 */

import { randomBytes } from 'node:crypto';
import { SpanKind, SpanStatusCode, TraceFlags } from '@opentelemetry/api';
import type { HrTime, SpanContext, SpanStatus } from '@opentelemetry/api';
import { resourceFromAttributes } from '@opentelemetry/resources';
import type { Resource } from '@opentelemetry/resources';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';

import type { GuestSpan } from '../../contract/trace.ts';
import type { Attributes, TracedRequest } from './traced.ts';

const SPAN_BYTES = 8;
const NS_PER_MS = 1_000_000;
const MS_PER_S = 1_000;
const SCOPE = { name: 'wardian' };
const UNSET: SpanStatus = { code: SpanStatusCode.UNSET };

/** Seconds and nanoseconds. */
function hrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / MS_PER_S);
  return [seconds, Math.floor((ms - seconds * MS_PER_S) * NS_PER_MS)];
}

interface SpanParts {
  readonly name: string;
  readonly kind: SpanKind;
  readonly spanId: string;
  readonly parentId: string | null;
  /** The parent is another process's. */
  readonly isRemote?: boolean;
  readonly startAt: number;
  readonly endAt: number;
  readonly status?: SpanStatus;
  readonly attributes?: Attributes;
}

export class SpanMaker {
  readonly #resource: Resource;

  constructor(resource: Attributes) {
    this.#resource = resourceFromAttributes(resource);
  }

  spansOf(request: TracedRequest): ReadableSpan[] {
    const { trace, failed, message } = request;
    const span = (parts: SpanParts): ReadableSpan => this.#span(trace.traceId, parts);
    const spans = [span({
      name: request.name, kind: SpanKind.SERVER, spanId: trace.spanId, parentId: trace.parentId,
      isRemote: true, startAt: request.startAt, endAt: request.endAt,
      attributes: request.attributes,
      status: failed ? { code: SpanStatusCode.ERROR, message } : UNSET,
    })];
    let within = trace.spanId;
    for (const { name, startAt, endAt } of request.phases) {
      const spanId = newSpanId();
      if (name === 'run') within = spanId;
      spans.push(span({
        name, kind: SpanKind.INTERNAL, spanId, parentId: trace.spanId, startAt, endAt,
      }));
    }
    for (const guestSpan of request.guestSpans) spans.push(span(guestParts(guestSpan, within)));
    return spans;
  }

  #span(traceId: string, parts: SpanParts): ReadableSpan {
    const { name, kind, parentId, startAt, endAt } = parts;
    const contextOf = (spanId: string, isRemote: boolean): SpanContext =>
      ({ traceId, spanId, traceFlags: TraceFlags.SAMPLED, isRemote });
    const context = contextOf(parts.spanId, false);
    return {
      name, kind,
      spanContext: () => context,
      ...(parentId === null
        ? {} : { parentSpanContext: contextOf(parentId, parts.isRemote === true) }),
      startTime: hrTime(startAt), endTime: hrTime(endAt), duration: hrTime(endAt - startAt),
      status: parts.status ?? UNSET, attributes: parts.attributes ?? {}, ended: true,
      links: [], events: [], resource: this.#resource, instrumentationScope: SCOPE,
      droppedAttributesCount: 0, droppedEventsCount: 0, droppedLinksCount: 0,
    };
  }
}

const newSpanId = (): string => randomBytes(SPAN_BYTES).toString('hex');

function guestParts(span: GuestSpan, parentId: string): SpanParts {
  const { startAt, endAt } = span;
  if (span.kind === 'wait') {
    return {
      name: span.name, kind: SpanKind.INTERNAL, spanId: newSpanId(), parentId, startAt, endAt,
    };
  }
  const { method, url, status, error, spanId } = span;
  const attributes: Attributes = { 'http.request.method': method, 'url.full': url };
  if (status !== 0) attributes['http.response.status_code'] = status;
  if (error !== '') attributes['error.type'] = error;
  const failed = error !== '' || status >= 400;
  return {
    name: method, kind: SpanKind.CLIENT, spanId, parentId, startAt, endAt, attributes,
    status: failed ? { code: SpanStatusCode.ERROR } : UNSET,
  };
}
