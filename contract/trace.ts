/**
 * W3C Trace Context (https://www.w3.org/TR/trace-context/): the two header fields as values, and
 * what a worker tells of a request whose trace is exported.
 *
 *   traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
 *                version, trace, span, flags (bit 0: sampled)
 */

import type { FlatHeaders } from './messages.ts';
import { TRACEPARENT_BYTES_MAX, TRACESTATE_BYTES_MAX, TRACESTATE_MEMBERS_MAX } from './limits.ts';

export interface TraceParent {
  /** 32 hexadecimal digits, not all 0. */
  readonly traceId: string;
  /** 16 of them. */
  readonly spanId: string;
  readonly sampled: boolean;
}

/** What came with a request. */
export interface IncomingTrace extends TraceParent {
  /** The two fields as they came; `state` is '' where there is none that is valid. */
  readonly header: string;
  readonly state: string;
}

const PARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const ZEROS = /^0+$/;
const SAMPLED = 1;
/** A key, `tenant@vendor` among them, and a value without comma and equals sign. */
const MEMBER = /^[a-z0-9][a-z0-9_\-*/@]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}$/;

/** Null for what is malformed: the trace then begins anew, as the standard asks. */
export function parseTraceparent(text: string): TraceParent | null {
  if (text.length > TRACEPARENT_BYTES_MAX) return null;
  const [, version, traceId = '', spanId = '', flags = '', more] = PARENT.exec(text) ?? [];
  // Later versions may add fields, the first may not; ff is none.
  if (version === undefined || version === 'ff' || (version === '00' && more !== undefined)) {
    return null;
  }
  if (ZEROS.test(traceId) || ZEROS.test(spanId)) return null;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & SAMPLED) !== 0 };
}

export function formatTraceparent({ traceId, spanId, sampled }: TraceParent): string {
  return `00-${traceId}-${spanId}-${sampled ? '01' : '00'}`;
}

/** Of one that was made here. */
export function isSampled(traceparent: string): boolean {
  return traceparent.endsWith('1');
}

/** Of the fields' values, which are one list; '' if that is too long or malformed. */
function stateOf(values: readonly string[]): string {
  const text = values.join(',');
  if (text.length > TRACESTATE_BYTES_MAX) return '';
  const members = text.split(',').map((member) => member.trim()).filter((member) => member !== '');
  const isGood = members.length <= TRACESTATE_MEMBERS_MAX &&
    members.every((member) => MEMBER.test(member));
  return isGood ? members.join(',') : '';
}

/** The trace that a request belongs to; null where it names none, several, or a malformed one. */
export function incomingTrace(headers: FlatHeaders): IncomingTrace | null {
  let header: string | null = null;
  let states: string[] | null = null;
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at];
    if (name === 'traceparent') {
      if (header !== null) return null;
      header = headers[at + 1] ?? '';
    } else if (name === 'tracestate') {
      states ??= [];
      states.push(headers[at + 1] ?? '');
    }
  }
  if (header === null) return null;
  const parent = parseTraceparent(header);
  if (parent === null) return null;
  return { ...parent, header, state: states === null ? '' : stateOf(states) };
}

/** The place of a request in its trace, and whether its spans are exported. */
export interface RequestTrace extends TraceParent {
  /** The caller's span; null where the trace begins here. */
  readonly parentId: string | null;
  readonly state: string;
}

/** Something that happened while a guest ran; times are milliseconds since the epoch. */
export type GuestSpan =
  /** It waited in a hostcall. */
  | {
      readonly kind: 'wait'; readonly name: string;
      readonly startAt: number; readonly endAt: number;
    }
  /** It sent an HTTP request, of which redirects are further ones. */
  | {
      readonly kind: 'http'; readonly startAt: number; readonly endAt: number;
      /** The span that the upstream was told. */
      readonly spanId: string;
      readonly method: string;
      /** Without its query. */
      readonly url: string;
      /** 0 where no answer came. */
      readonly status: number;
      /** Why it failed; '' where it did not. */
      readonly error: string;
    };

/** What a worker tells of one sampled request. */
export interface GuestTrace {
  /** When the request had its turn in the worker, in milliseconds since the epoch. */
  readonly turnAt: number;
  readonly spans: readonly GuestSpan[];
  /** Spans beyond TRACE_SPANS_MAX. */
  readonly dropped: number;
}
