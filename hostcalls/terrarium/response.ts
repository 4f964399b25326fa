/** `hostcall_resp_*`: the response that the guest builds, and those it received. */

import { WardianError } from '../../contract/errors.ts';
import { BODY_AS_TEXT_BYTES_MAX } from '../../contract/limits.ts';
import { FUEL_PER_BYTE_BULK, FUEL_PER_BYTE_TEXT, hostcall } from '../define.ts';
import type { GuestState } from '../guest.ts';
import { giveHeaderNames, giveHeaderValues, takeHeader } from './fields.ts';
import { BadArgument } from '../memory.ts';
import { giveBytes } from './give.ts';
import {
  BODY, BODY_LEN, COUNT_OUT, LEN_OUT, NAME, NAME_LEN, PTR_OUT, RESP, SLICES, SLICE_COUNT, i32,
} from './parameters.ts';
import { OUTGOING, STATUS_INVALID, STATUS_OK, badHandle, terrarium } from './state.ts';

const STATUS_MIN = 100;
const STATUS_MAX = 999;

interface ReadableResponse {
  readonly status: number;
  readonly headers: readonly string[];
}

/** What the guest has set so far, or what it received. */
function readable(guest: GuestState, handle: number): ReadableResponse {
  if (handle === OUTGOING) return guest.response;
  const response = terrarium(guest).responses.get(handle);
  if (response === undefined) throw badHandle('resp', handle, 'response');
  return response;
}

function wholeBody(guest: GuestState, handle: number): Uint8Array | null {
  if (handle === OUTGOING) return guest.response.body;
  const response = terrarium(guest).responses.get(handle);
  if (response === undefined) throw badHandle('resp', handle, 'response');
  if (response.stream === undefined) return response.body;
  throw new BadArgument('resp', `the body of response ${handle} is not held, since `
    + 'hostcall_req_send_head did not wait for it: hostcall_resp_body_read reads it');
}

const getResponseCode = hostcall({
  name: 'hostcall_resp_get_response_code',
  parameters: [RESP],
  result: 'i32',
  waits: false,
  fuelPerByte: 0,
  does: 'Answers the status code of a response.',
  errors: 'A handle that is not a response\'s ends the guest.',
  run: (guest, handle) => readable(guest, handle).status,
});

const getHeaders = hostcall({
  name: 'hostcall_resp_get_headers',
  parameters: [PTR_OUT, COUNT_OUT, RESP],
  result: null,
  waits: false,
  fuelPerByte: FUEL_PER_BYTE_TEXT,
  does: 'Gives the distinct header names of a response, in lower case, in the order of their first '
    + 'occurrence.',
  errors: 'A handle that is not a response\'s ends the guest.',
  memory: 'slices',
  run(guest, pointerOut, countOut, handle) {
    giveHeaderNames(guest, pointerOut, countOut, readable(guest, handle).headers);
  },
});

const getHeader = hostcall({
  name: 'hostcall_resp_get_header',
  parameters: [PTR_OUT, COUNT_OUT, RESP, NAME, NAME_LEN],
  result: null,
  waits: false,
  fuelPerByte: FUEL_PER_BYTE_TEXT,
  does: 'Gives all values of one header name, in order. Case does not matter.',
  errors: 'No such header: address 0, length 0. A handle that is not a response\'s, or a name that '
    + 'is not UTF-8, '
    + 'ends the guest.',
  memory: 'slices',
  run(guest, pointerOut, countOut, handle, name, nameLength) {
    const fields = readable(guest, handle).headers;
    giveHeaderValues(guest, pointerOut, countOut, fields, name, nameLength);
  },
});

const getBody = hostcall({
  name: 'hostcall_resp_get_body',
  parameters: [PTR_OUT, LEN_OUT, RESP],
  result: null,
  waits: false,
  fuelPerByte: FUEL_PER_BYTE_BULK,
  does: 'Gives the body of a response, as it came: content codings are not undone.',
  errors: 'An empty body: address 0, length 0. A handle that is not a response\'s, or is that of a '
    + 'response of hostcall_req_send_head, ends the guest.',
  memory: 'text',
  run(guest, pointerOut, lengthOut, handle) {
    giveBytes(guest, pointerOut, lengthOut, wholeBody(guest, handle));
  },
});

const setResponseCode = hostcall({
  name: 'hostcall_resp_set_response_code',
  parameters: [RESP, i32('code', 'the status code, 100–999')],
  result: 'i32',
  waits: false,
  fuelPerByte: 0,
  does: 'Sets the status of the outgoing response. Without it, it is 200. Codes below 200 and '
    + 'above 599 are no final response: a request that ends with one fails with `bad_response`.',
  errors: '1 (Invalid) outside of 100–999 or on a handle other than 0.',
  run(guest, handle, code) {
    if (handle !== OUTGOING || code < STATUS_MIN || code > STATUS_MAX) return STATUS_INVALID;
    guest.response.status = code;
    guest.response.chosen = true;
    return STATUS_OK;
  },
});

const setHeader = hostcall({
  name: 'hostcall_resp_set_header',
  parameters: [RESP, NAME, NAME_LEN, SLICES, SLICE_COUNT],
  result: 'i32',
  waits: false,
  fuelPerByte: FUEL_PER_BYTE_TEXT,
  does: 'Replaces all values of a header of the outgoing response. Several values become several '
    + 'header lines. '
    + 'Values are bytes: UTF-8 is not asked for.',
  errors: '1 (Invalid) on a handle other than 0, for a name that is not a token, a value with '
    + 'control characters '
    + 'other than tab, or more header fields or bytes than allowed.',
  run(guest, handle, name, nameLength, slices, count) {
    const fields = handle === OUTGOING ? guest.response.headers : null;
    return takeHeader(guest, fields, name, nameLength, slices, count);
  },
});

const setBody = hostcall({
  name: 'hostcall_resp_set_body',
  parameters: [RESP, BODY, BODY_LEN],
  result: 'i32',
  waits: false,
  fuelPerByte: FUEL_PER_BYTE_BULK,
  does: 'Replaces the body of the outgoing response.',
  errors: '1 (Invalid) on a handle other than 0. A body over the limit ends the guest with '
    + '`response_too_large`.',
  run(guest, handle, body, length) {
    guest.memory.check(body, length, 'ptr');
    if (handle !== OUTGOING) return STATUS_INVALID;
    if (length >>> 0 > guest.limits.responseBytes) {
      throw new WardianError('response_too_large',
        `a body of ${length >>> 0} bytes is over the limit of ${guest.limits.responseBytes} bytes`);
    }
    const copy = length >>> 0 <= BODY_AS_TEXT_BYTES_MAX
      ? guest.memory.copySmall(body, length, 'ptr') : guest.memory.copy(body, length, 'ptr');
    guest.response.replaceBody(copy, null);
    return STATUS_OK;
  },
});

export const RESPONSE_HOSTCALLS = [
  getResponseCode, getHeaders, getHeader, getBody, setResponseCode, setHeader, setBody,
] as const;
