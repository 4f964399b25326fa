/**
 * How requests and replies cross the threads: many in one message, each as a few values in a row of
 * one flat array. An array costs structured clone a fraction of what objects with named properties
 * do, and a message for each request cost more than the request's hostcalls.
 *
 *   requests: [sequence, requestId, …, trace, streamed, epoch, place, sequence, requestId, …]
 *   replies:  [sequence, status, headers, body, failure, fuel, …, trace, relay, takesBody,
 *             sequence, …]
 */

import { BODY_AS_TEXT_BYTES_MAX } from '../contract/limits.ts';
import type {
  Failure, FlatHeaders, ReplyMessage, RequestMessage, Usage,
} from '../contract/messages.ts';
import type { GuestTrace } from '../contract/trace.ts';

/** Plain values, and buffers that are in the transfer list. */
export type Wire = unknown[];

/**
 * `body` in place of the message's: the same bytes, perhaps in a buffer of their own. `place` is
 * the request's in the worker's ledger.
 */
export function putRequest(
  wire: Wire, message: RequestMessage, body: Uint8Array | null, place: number,
): void {
  wire.push(
    message.sequence, message.requestId, message.versionId, message.generation, message.method,
    message.target, message.host, message.headers, body, message.clientAddress,
    message.secure, message.deadlineAt, message.trace ?? null, message.streamed,
    message.epoch ?? 0, place,
  );
}

export const REQUEST_VALUES = 16;

export function placeAt(wire: Wire, at: number): number {
  return wire[at + REQUEST_VALUES - 1] as number;
}

export function takeRequest(wire: Wire, at: number): RequestMessage {
  return {
    sequence: wire[at] as number,
    requestId: wire[at + 1] as string,
    versionId: wire[at + 2] as number,
    generation: wire[at + 3] as number,
    method: wire[at + 4] as string,
    target: wire[at + 5] as string,
    host: wire[at + 6] as string,
    headers: wire[at + 7] as FlatHeaders,
    body: wire[at + 8] as Uint8Array | null,
    clientAddress: wire[at + 9] as string,
    secure: wire[at + 10] as boolean,
    deadlineAt: wire[at + 11] as number,
    trace: wire[at + 12] as string | null,
    streamed: wire[at + 13] as boolean,
    epoch: wire[at + 14] as number,
  };
}

/** A small body, one character for each byte; null for any other. */
export function bodyAsText(body: Uint8Array | null): string | null {
  if (body === null || body.length > BODY_AS_TEXT_BYTES_MAX) return null;
  return (Buffer.prototype as Latin1).latin1Slice.call(body, 0, body.length);
}

/** What `Buffer` has and its types leave out. */
interface Latin1 {
  latin1Slice(this: Uint8Array, start: number, end: number): string;
}

/** `body` in place of the reply's. */
export function putReply(
  wire: Wire, sequence: number, reply: ReplyMessage, body: Uint8Array | string | null,
): void {
  const { usage } = reply;
  wire.push(
    sequence, reply.status, reply.headers, body, reply.failure,
    usage.fuel, usage.memoryBytes, usage.hostcalls, usage.hostcallBytes, usage.logBytes,
    usage.logOverBytes,
    usage.subrequests, usage.dnsQueries, usage.kvOperations, usage.recycled, usage.instantiateUs,
    usage.runUs, usage.waitedUs, usage.subrequestMs, usage.subrequestFailures, usage.kvMs,
    usage.dnsMs, reply.trace ?? null,
    reply.relay === null ? NO_RELAY : reply.relay.contentLength ?? UNKNOWN_LENGTH,
    reply.relay?.takesBody ?? false,
  );
}

export const REPLY_VALUES = 25;
/** In place of the length of a body that is relayed. */
const UNKNOWN_LENGTH = -1;
const NO_RELAY = -2;
const RELAY_VALUE = REPLY_VALUES - 2;

/** Whose reply begins there. */
export function sequenceAt(wire: Wire, at: number): number {
  return wire[at] as number;
}

export function takeReply(wire: Wire, at: number): ReplyMessage {
  const usage: Usage = {
    fuel: wire[at + 5] as number,
    memoryBytes: wire[at + 6] as number,
    hostcalls: wire[at + 7] as number,
    hostcallBytes: wire[at + 8] as number,
    logBytes: wire[at + 9] as number,
    logOverBytes: wire[at + 10] as number,
    subrequests: wire[at + 11] as number,
    dnsQueries: wire[at + 12] as number,
    kvOperations: wire[at + 13] as number,
    recycled: wire[at + 14] as boolean,
    instantiateUs: wire[at + 15] as number,
    runUs: wire[at + 16] as number,
    waitedUs: wire[at + 17] as number,
    subrequestMs: wire[at + 18] as number,
    subrequestFailures: wire[at + 19] as number,
    kvMs: wire[at + 20] as number,
    dnsMs: wire[at + 21] as number,
  };
  const body = wire[at + 3] as Uint8Array | string | null;
  const relayed = wire[at + RELAY_VALUE] as number;
  return {
    status: wire[at + 1] as number,
    headers: wire[at + 2] as FlatHeaders,
    body: typeof body === 'string' ? Buffer.from(body, 'latin1') : body,
    relay: relayed === NO_RELAY ? null : {
      contentLength: relayed === UNKNOWN_LENGTH ? null : relayed,
      takesBody: wire[at + RELAY_VALUE + 1] as boolean,
    },
    usage,
    failure: wire[at + 4] as Failure | null,
    trace: wire[at + 22] as GuestTrace | null,
  };
}
