/**
 * A request whose trace is exported, as it goes to the thread that exports: its own span's times
 * and attributes, its phases, and what its worker told.
 */

import type { GuestSpan, RequestTrace } from '../../contract/trace.ts';
import { transferMs } from '../phases.ts';
import type { RequestRecord } from '../record.ts';
import type { Redaction } from '../redact.ts';

export type Attributes = Record<string, string | number | boolean>;

/** A part of a request between two moments, in milliseconds since the epoch. */
export interface Phase {
  readonly name: 'queue' | 'instance' | 'run';
  readonly startAt: number;
  readonly endAt: number;
}

export interface TracedRequest {
  readonly trace: RequestTrace;
  readonly name: string;
  readonly startAt: number;
  readonly endAt: number;
  readonly attributes: Attributes;
  /** The request ended with a failure, or with a status of 5xx. */
  readonly failed: boolean;
  readonly message: string;
  readonly phases: readonly Phase[];
  readonly guestSpans: readonly GuestSpan[];
}

/** What the thread is given: traces to send, under a number that its answer names. */
export interface ExportOrder {
  readonly id: number;
  readonly traces: readonly TracedRequest[];
}

export interface ExportReply {
  readonly id: number;
  /** Null when the collector took them. */
  readonly error: string | null;
}

export interface ExportSettings {
  /** Where the collector takes traces. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Of this daemon, as a resource. */
  readonly resource: Attributes;
}

export const spansIn = ({ phases, guestSpans }: TracedRequest): number =>
  1 + phases.length + guestSpans.length;

const epoch = (at: number): number => performance.timeOrigin + at;

function attributesOf(record: RequestRecord, redaction: Redaction): Attributes {
  const { route, usage, failure, code, guestTrace } = record;
  const mark = record.target.indexOf('?');
  const attributes: Attributes = {
    'http.request.method': record.method,
    'http.response.status_code': record.status,
    'url.path': mark < 0 ? record.target : record.target.slice(0, mark),
    'server.address': record.host,
    'client.address': redaction.address(record.clientAddress),
    'http.request.body.size': record.requestBytes,
    'http.response.body.size': record.responseBytes,
    'wardian.request_id': record.requestId,
  };
  if (route !== null) {
    attributes['wardian.tenant'] = route.tenantName;
    attributes['wardian.app'] = route.label;
    attributes['wardian.version'] = route.versionNumber;
  }
  if (usage !== null) {
    attributes['wardian.fuel'] = usage.fuel;
    attributes['wardian.memory_bytes'] = usage.memoryBytes;
    attributes['wardian.hostcalls'] = usage.hostcalls;
    attributes['wardian.recycled'] = usage.recycled;
    attributes['wardian.transfer_ms'] = transferMs(record);
  }
  if (code !== null) attributes['error.type'] = code;
  if (failure !== null && failure.lastHostcall !== null) {
    attributes['wardian.last_hostcall'] = failure.lastHostcall;
  }
  if (guestTrace !== null && guestTrace.dropped > 0) {
    attributes['wardian.spans_dropped'] = guestTrace.dropped;
  }
  return attributes;
}

function phasesOf({ routedAt, dispatchedAt, usage, guestTrace }: RequestRecord): Phase[] {
  if (dispatchedAt === 0) return [];
  const phases: Phase[] = [
    { name: 'queue', startAt: epoch(routedAt), endAt: epoch(dispatchedAt) },
  ];
  if (usage === null || guestTrace === null) return phases;
  const { turnAt } = guestTrace;
  const runsAt = turnAt + usage.instantiateUs / 1_000;
  phases.push({ name: 'instance', startAt: turnAt, endAt: runsAt });
  if (usage.runUs > 0) {
    phases.push({ name: 'run', startAt: runsAt, endAt: runsAt + usage.runUs / 1_000 });
  }
  return phases;
}

/** Of a request that has a trace. */
export function tracedRequest(
  record: RequestRecord, trace: RequestTrace, redaction: Redaction,
): TracedRequest {
  const { route, method, code, failure, status } = record;
  return {
    trace,
    name: route === null ? method : `${method} ${route.label}`,
    startAt: epoch(record.receivedAt),
    endAt: epoch(record.answeredAt),
    attributes: attributesOf(record, redaction),
    failed: code !== null || status >= 500,
    message: failure?.message ?? '',
    phases: phasesOf(record),
    guestSpans: record.guestTrace?.spans ?? [],
  };
}
