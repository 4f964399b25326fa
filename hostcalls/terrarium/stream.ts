/**
 * Bodies piece by piece: the client's as it arrives, an upstream's as it answers, and either passed
 * on without the guest's touching it. Nothing but pieces on their way is held.
 */

import { FUEL_PER_BYTE_BULK, hostcall, type Parameter } from '../define.ts';
import type { GuestState } from '../guest.ts';
import type { PiecewiseBody } from '../piecewise-body.ts';
import { UpstreamError } from '../services/errors.ts';
import { OUTGOING_REQ, i32 } from './parameters.ts';
import { SEND_HEAD_HOSTCALLS } from './send.ts';
import { INCOMING, OUTGOING, STATUS_INVALID, STATUS_OK, terrarium } from './state.ts';

const FAILED = -1;
const ALL = Number.MAX_SAFE_INTEGER;

const PIECE = [
  i32('ptr', 'where the host puts the bytes'),
  i32('len', 'how many it may put there'),
] as const satisfies readonly Parameter[];
const RECEIVED_RESP = i32('resp', 'the handle of a response of hostcall_req_send_head');

/** Puts what is there; null when it must be awaited. */
function put(
  guest: GuestState, body: PiecewiseBody, pointer: number, length: number,
): number | null {
  if (body.broken) return FAILED;
  const bytes = body.take(length >>> 0);
  if (bytes === null) return null;
  if (bytes.length > 0) guest.memory.write(pointer, bytes, 'ptr');
  return bytes.length;
}

/** A body that broke off is the guest's to handle; errors of ours are not. */
function broken(guest: GuestState, error: unknown): number {
  if (!(error instanceof UpstreamError)) throw error;
  guest.log.line('debug', `${guest.lastHostcall}: ${error.reason}: ${error.message}`);
  return FAILED;
}

const READ_ERRORS = '0 at the end, and for a length of 0, which tells nothing. -1 if the body '
  + 'broke off (the log says why), was passed on, or if the handle is';

const requestBodyRead = hostcall({
  name: 'hostcall_req_body_read',
  parameters: [i32('req', '0, the incoming request'), ...PIECE],
  result: 'i32',
  waits: true,
  streamsBody: true,
  fuelPerByte: FUEL_PER_BYTE_BULK,
  does: 'Reads on in the body of the incoming request: waits until there is at least one byte, and '
    + 'answers how many were put. The wait does not count towards the deadline.',
  errors: `${READ_ERRORS} not 0.`,
  run(guest, handle, pointer, length) {
    guest.memory.check(pointer, length, 'ptr');
    if (handle !== INCOMING || guest.body.givenAway) return FAILED;
    if (length === 0) return 0;
    const { body } = guest;
    const there = put(guest, body, pointer, length);
    if (there !== null) return there;
    guest.deadline.beginTransfer();
    return guest.wait(body.more(), () => {
      guest.deadline.endTransfer();
      return put(guest, body, pointer, length) ?? FAILED;
    }, (error) => {
      guest.deadline.endTransfer();
      return broken(guest, error);
    });
  },
});

const responseBodyRead = hostcall({
  name: 'hostcall_resp_body_read',
  parameters: [RECEIVED_RESP, ...PIECE],
  result: 'i32',
  waits: true,
  fuelPerByte: FUEL_PER_BYTE_BULK,
  does: 'Reads on in the body of a response: waits until there is at least one byte, and answers '
    + 'how many were put. Content codings are not undone.',
  errors: `${READ_ERRORS} not that of a response of hostcall_req_send_head.`,
  run(guest, handle, pointer, length) {
    guest.memory.check(pointer, length, 'ptr');
    const body = terrarium(guest).responses.get(handle)?.stream;
    if (body === undefined || body.givenAway) return FAILED;
    if (length === 0) return 0;
    const there = put(guest, body, pointer, length);
    if (there !== null) return there;
    return guest.wait(body.more(),
      () => put(guest, body, pointer, length) ?? FAILED, (error) => broken(guest, error));
  },
});

const setResponseBodyFrom = hostcall({
  name: 'hostcall_resp_set_body_from',
  parameters: [i32('resp', '0, the outgoing response'), i32('from', RECEIVED_RESP.is)],
  result: 'i32',
  waits: false,
  fuelPerByte: 0,
  does: 'Makes what is left of the body of a response the body of the outgoing response. It is '
    + 'passed on after the guest has ended, as fast as the client takes it, and neither the '
    + 'deadline nor `responseBytes` applies to it. Status and header fields of the response stay '
    + 'readable, and are not passed on by this.',
  errors: '1 (Invalid) if the first handle is not 0, if the second is not that of a response of '
    + 'hostcall_req_send_head, or if its body was passed on or broke off before.',
  run(guest, handle, from) {
    const received = terrarium(guest).responses.get(from);
    if (handle !== OUTGOING || received?.stream === undefined) return STATUS_INVALID;
    const { exchange, stream } = received;
    if (stream.givenAway || stream.broken) return STATUS_INVALID;
    const rest = stream.giveAway({ onBegin: () => {}, onEnd: () => {} });
    guest.response.replaceBody(null, { exchange, rest });
    return STATUS_OK;
  },
});

const setRequestBodyFrom = hostcall({
  name: 'hostcall_req_set_body_from',
  parameters: [OUTGOING_REQ, i32('from', '0, the incoming request')],
  result: 'i32',
  waits: false,
  streamsBody: true,
  fuelPerByte: 0,
  does: 'Makes what is left of the body of the incoming request the body of a request that the '
    + 'guest made. It is passed on while the request is sent, as fast as the upstream takes it; '
    + 'the time for that does not count towards the deadline. Such a request cannot follow a '
    + 'redirect that would need its body again.',
  errors: '1 (Invalid) for any other handles, and if the body was passed on or broke off before.',
  run(guest, handle, from) {
    const request = terrarium(guest).requests.get(handle);
    if (request === undefined || from !== INCOMING) return STATUS_INVALID;
    const { body } = guest;
    if (body.givenAway || body.broken || pipes(guest)) return STATUS_INVALID;
    const gathered = guest.request.streamed ? null : body.take(ALL);
    if (gathered !== null && !guest.scope.hold(gathered.length)) {
      guest.log.line('debug', 'hostcall_req_set_body_from: too many bytes of bodies are held');
      return STATUS_INVALID;
    }
    if (request.body !== null) guest.scope.release(request.body.length);
    // One that is here may be sent again, as some redirects want.
    request.body = gathered;
    request.pipes = gathered === null;
    if (gathered !== null) body.givenAway = true;
    return STATUS_OK;
  },
});

/** Whether a request that was not sent yet is to get the client's body. */
function pipes(guest: GuestState): boolean {
  for (const request of terrarium(guest).requests.values()) if (request.pipes) return true;
  return false;
}

export const STREAM_HOSTCALLS = [
  ...SEND_HEAD_HOSTCALLS, responseBodyRead, requestBodyRead, setResponseBodyFrom,
  setRequestBodyFrom,
] as const;
