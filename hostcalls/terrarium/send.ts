/**
 * Sending requests. All of these consume what they are given a handle of, in the sense of the ABI
 * page, and none of them ends the guest for a bad handle: they have an error value.
 */

import { setImmediate, setTimeout } from 'node:timers/promises';
import { FUEL_PER_BYTE_TEXT, hostcall } from '../define.ts';
import type { GuestState } from '../guest.ts';
import { PiecewiseBody } from '../piecewise-body.ts';
import { UpstreamError } from '../services/errors.ts';
import type { BodyReader, UpstreamRequest, UpstreamResponse } from '../services/index.ts';
import { OUTGOING_REQ, PENDING, i32 } from './parameters.ts';
import {
  ERROR_HANDLE, NOT_READY, terrarium, type OutgoingRequest, type PendingRequest,
  type ReceivedResponse, type StreamedResponse,
} from './state.ts';

/**
 * A guest that polls in a loop gives way: at first for one turn of the event loop, after this many
 * polls for 1 ms.
 */
const POLLS_WITHOUT_PAUSE = 64;
const POLL_PAUSE_MS = 1;
const HANDLE_BYTES = 4;

/**
 * Takes a request out of the guest's table. The incoming request is in none, and cannot be sent.
 */
function consume(guest: GuestState, handle: number): OutgoingRequest | null {
  const { requests } = terrarium(guest);
  const request = requests.get(handle);
  if (request === undefined) return null;
  requests.delete(handle);
  return request;
}

/** The body is given back when the exchange is over: it may be sent again until then. */
async function sending<T>(
  guest: GuestState, request: OutgoingRequest, send: (request: UpstreamRequest) => Promise<T>,
): Promise<T> {
  const { scope } = guest;
  const upload = request.pipes ? openUpload(guest) : null;
  try {
    return await send(upload === null ? request : { ...request, upload: upload.reader });
  } finally {
    upload?.end();
    if (request.body !== null) scope.release(request.body.length);
  }
}

function start(guest: GuestState, request: OutgoingRequest): Promise<UpstreamResponse> {
  const { http } = guest.services;
  return sending(guest, request, (sent) => http.fetchUpstream(sent, guest.scope));
}

/** Resolves at the head: the guest reads the body, or passes it on. */
async function startHead(guest: GuestState, request: OutgoingRequest): Promise<StreamedResponse> {
  const { http } = guest.services;
  const exchange = await sending(guest, request, (sent) => http.open(sent, guest.scope));
  const { status, headers, url } = exchange;
  return { status, headers, url, exchange, stream: new PiecewiseBody(null, exchange) };
}

/**
 * The client's body, for an upstream. While pieces of it are on their way the guest's deadline is
 * put off, until all is sent or the upstream has answered or failed, whichever comes first.
 */
function openUpload(guest: GuestState): { reader: BodyReader; end: () => void } {
  let moving = false;
  let ended = false;
  const end = (): void => {
    if (moving) guest.deadline.endTransfer();
    moving = false;
    ended = true;
  };
  const onBegin = (): void => {
    if (ended) return;
    moving = true;
    guest.deadline.beginTransfer();
  };
  return { reader: guest.body.giveAway({ onBegin, onEnd: end }), end };
}

/** A handle for a response, or -1 if the guest has had all its handles. */
function keep(guest: GuestState, response: ReceivedResponse): number {
  const state = terrarium(guest);
  const handle = state.nextHandle();
  if (handle === 0) {
    response.stream?.cancel();
    return ERROR_HANDLE;
  }
  state.responses.set(handle, response);
  return handle;
}

/** The tenant's log gets the reason, the guest -1. Errors of ours are not the guest's to handle. */
function failure(guest: GuestState, error: unknown): number {
  if (!(error instanceof UpstreamError)) throw error;
  guest.log.line('debug', `${guest.lastHostcall}: ${error.reason}: ${error.message}`);
  return ERROR_HANDLE;
}

/** The result of a pending request that is done, which is consumed. */
function collect(guest: GuestState, pending: PendingRequest): number {
  terrarium(guest).pending.delete(pending.handle);
  if (pending.error !== null) return failure(guest, pending.error);
  return keep(guest, pending.response!);
}

const send = hostcall({
  name: 'hostcall_req_send',
  parameters: [OUTGOING_REQ],
  result: 'i32',
  waits: true,
  fuelPerByte: FUEL_PER_BYTE_TEXT,
  does: 'Sends a request and waits for the response, body included. Consumes the request. '
    + 'Redirects are followed.',
  errors: '-1 if the request fails for whatever reason (the log says which), for the incoming '
    + 'request, and for any '
    + 'other handle that is not a request\'s.',
  run(guest, handle) {
    const request = consume(guest, handle);
    if (request === null) return ERROR_HANDLE;
    return guest.wait(start(guest, request),
      (response) => keep(guest, response), (error) => failure(guest, error));
  },
});

const sendHead = hostcall({
  name: 'hostcall_req_send_head',
  parameters: [OUTGOING_REQ],
  result: 'i32',
  waits: true,
  fuelPerByte: FUEL_PER_BYTE_TEXT,
  does: 'Sends a request and waits for the head of the response alone. Consumes the request. '
    + 'Redirects are followed. The body is read with hostcall_resp_body_read, or passed on with '
    + 'hostcall_resp_set_body_from; until then only a little of it is received.',
  errors: '-1 if the request fails for whatever reason (the log says which), for the incoming '
    + 'request, and for any other handle that is not a request\'s.',
  run(guest, handle) {
    const request = consume(guest, handle);
    if (request === null) return ERROR_HANDLE;
    return guest.wait(startHead(guest, request),
      (response) => keep(guest, response), (error) => failure(guest, error));
  },
});

const sendAsync = hostcall({
  name: 'hostcall_req_send_async',
  parameters: [OUTGOING_REQ],
  result: 'i32',
  waits: false,
  fuelPerByte: FUEL_PER_BYTE_TEXT,
  does: 'Sends a request and goes on at once. Consumes the request. Answers the handle of a '
    + 'pending request.',
  errors: '-1 for the incoming request, for any other handle that is not a request\'s, and if the '
    + 'guest has had '
    + 'all its handles. A request that fails later, fails in poll, wait or select.',
  run(guest, handle) {
    const request = consume(guest, handle);
    if (request === null) return ERROR_HANDLE;
    const state = terrarium(guest);
    const pendingHandle = state.nextHandle();
    if (pendingHandle === 0) return ERROR_HANDLE;
    const pending: PendingRequest = {
      handle: pendingHandle, done: false, response: null, error: null, waiter: null, polls: 0,
    };
    state.pending.set(pendingHandle, pending);
    const settle = (response: UpstreamResponse | null, error: unknown): void => {
      pending.done = true;
      pending.response = response;
      pending.error = error;
      pending.waiter?.(pending);
    };
    start(guest, request).then(
      (response) => settle(response, null), (error: unknown) => settle(null, error));
    return pendingHandle;
  },
});

/**
 * Settles when one of `pending` is done. A guest waits in one hostcall at a time, so each has one
 * waiter at most.
 */
function firstDone(pending: readonly PendingRequest[]): Promise<PendingRequest> {
  return new Promise((resolve) => {
    const waiter = (done: PendingRequest): void => {
      for (const one of pending) one.waiter = null;
      resolve(done);
    };
    for (const one of pending) one.waiter = waiter;
  });
}

const poll = hostcall({
  name: 'hostcall_pending_req_poll',
  parameters: [PENDING],
  result: 'i32',
  waits: true,
  fuelPerByte: FUEL_PER_BYTE_TEXT,
  does: 'Answers the response of a pending request if it is there, and then consumes the pending '
    + 'request. A request '
    + 'that is not done makes the guest give way for a moment, so that a loop of polls ends.',
  errors: '-2 if it is not done. -1 if it failed (and is consumed), or if the handle is not a '
    + 'pending request\'s.',
  run(guest, handle) {
    const pending = terrarium(guest).pending.get(handle);
    if (pending === undefined) return ERROR_HANDLE;
    if (pending.done) return collect(guest, pending);
    const pause = pending.polls++ < POLLS_WITHOUT_PAUSE
      ? setImmediate() : setTimeout(POLL_PAUSE_MS);
    return guest.wait(pause, () => pending.done ? collect(guest, pending) : NOT_READY);
  },
});

const wait = hostcall({
  name: 'hostcall_pending_req_wait',
  parameters: [PENDING],
  result: 'i32',
  waits: true,
  fuelPerByte: FUEL_PER_BYTE_TEXT,
  does: 'Waits for the response of a pending request, which is consumed.',
  errors: '-1 if it failed, or if the handle is not a pending request\'s.',
  run(guest, handle) {
    const pending = terrarium(guest).pending.get(handle);
    if (pending === undefined) return ERROR_HANDLE;
    if (pending.done) return collect(guest, pending);
    return guest.wait(firstDone([pending]), (done) => collect(guest, done));
  },
});

const select = hostcall({
  name: 'hostcall_pending_req_select',
  parameters: [
    i32('ps', 'address of an array of i32 handles of pending requests'),
    i32('n', 'their number'),
    i32('p_out', 'where the host stores the handle of the one that is done'),
  ],
  result: 'i32',
  waits: true,
  fuelPerByte: FUEL_PER_BYTE_TEXT,
  does: 'Waits for the first of several pending requests. Only that one is consumed. Of several '
    + 'that are done, the '
    + 'first in the array is taken.',
  errors: '-1 if that one failed. A handle that is not a pending request\'s counts as failed at '
    + 'once, and is what '
    + '`p_out` then holds; with `n` = 0 there is none, `p_out` holds -1.',
  memory: 'handle',
  run(guest, handles, count, handleOut) {
    const { memory } = guest;
    const total = (count >>> 0) * HANDLE_BYTES;
    memory.check(handles, Math.min(total, 0xffff_ffff), 'ps');
    memory.check(handleOut, HANDLE_BYTES, 'p_out');
    guest.meter.charge(total);
    const chosen = new Set<PendingRequest>();
    let done: PendingRequest | null = null;
    for (let at = 0; at < count >>> 0; at++) {
      const handle = memory.readU32((handles >>> 0) + at * HANDLE_BYTES, 'ps') | 0;
      const pending = terrarium(guest).pending.get(handle);
      if (pending === undefined) {
        memory.writeU32(handleOut, handle, 'p_out');
        return ERROR_HANDLE;
      }
      if (done === null && pending.done) done = pending;
      chosen.add(pending);
    }
    const finish = (first: PendingRequest): number => {
      memory.writeU32(handleOut, first.handle, 'p_out');
      return collect(guest, first);
    };
    if (done !== null) return finish(done);
    if (chosen.size === 0) {
      memory.writeU32(handleOut, ERROR_HANDLE, 'p_out');
      return ERROR_HANDLE;
    }
    return guest.wait(firstDone([...chosen]), finish);
  },
});

export const SEND_HOSTCALLS = [send, sendAsync, poll, wait, select] as const;
/** What Terrarium did not have. */
export const SEND_HEAD_HOSTCALLS = [sendHead] as const;
