/** `hostcall_req_*`, sending apart: the incoming request, and requests that the guest builds. */

import { METHOD_BYTES_MAX, URL_BYTES_MAX } from '../../contract/limits.ts';
import { FUEL_PER_BYTE_BULK, FUEL_PER_BYTE_TEXT, hostcall } from '../define.ts';
import type { GuestState } from '../guest.ts';
import { wholeBody } from '../request.ts';
import { giveHeaderNames, giveHeaderValues, takeHeader } from './fields.ts';
import { giveBytes, giveText } from './give.ts';
import {
  BODY, BODY_LEN, COUNT_OUT, LEN_OUT, NAME, NAME_LEN, OUTGOING_REQ, PTR_OUT, REQ, SLICES,
  SLICE_COUNT, i32,
} from './parameters.ts';
import {
  ERROR_HANDLE, INCOMING, STATUS_INVALID, STATUS_OK, badHandle, terrarium, type OutgoingRequest,
} from './state.ts';

function outgoing(guest: GuestState, handle: number): OutgoingRequest {
  const request = terrarium(guest).requests.get(handle);
  if (request === undefined) throw badHandle('req', handle, 'request');
  return request;
}

function fieldsOf(guest: GuestState, handle: number): readonly string[] {
  return handle === INCOMING ? guest.requestHeaders : outgoing(guest, handle).headers;
}

/** Path and query of an absolute URL, as they will be sent. */
function originForm(url: string): string {
  const { pathname, search } = new URL(url);
  return pathname + search;
}

const getMethod = hostcall({
  name: 'hostcall_req_get_method',
  parameters: [PTR_OUT, LEN_OUT, REQ],
  result: null,
  waits: false,
  fuelPerByte: FUEL_PER_BYTE_TEXT,
  does: 'Gives the method of a request.',
  errors: 'A handle that is not a request\'s ends the guest.',
  memory: 'text',
  run(guest, pointerOut, lengthOut, handle) {
    giveText(guest, pointerOut, lengthOut,
      handle === INCOMING ? guest.request.method : outgoing(guest, handle).method);
  },
});

const getPath = hostcall({
  name: 'hostcall_req_get_path',
  parameters: [PTR_OUT, LEN_OUT, REQ],
  result: null,
  waits: false,
  fuelPerByte: FUEL_PER_BYTE_TEXT,
  does: 'Gives the origin form of a request\'s target, with the query: `/a?b=1`.',
  errors: 'A handle that is not a request\'s ends the guest.',
  memory: 'text',
  run(guest, pointerOut, lengthOut, handle) {
    giveText(guest, pointerOut, lengthOut,
      handle === INCOMING ? guest.request.target : originForm(outgoing(guest, handle).url));
  },
});

const getHeaders = hostcall({
  name: 'hostcall_req_get_headers',
  parameters: [PTR_OUT, COUNT_OUT, REQ],
  result: null,
  waits: false,
  fuelPerByte: FUEL_PER_BYTE_TEXT,
  does: 'Gives the distinct header names of a request, in lower case, in the order of their first '
    + 'occurrence.',
  errors: 'A handle that is not a request\'s ends the guest.',
  memory: 'slices',
  run(guest, pointerOut, countOut, handle) {
    giveHeaderNames(guest, pointerOut, countOut, fieldsOf(guest, handle));
  },
});

const getHeader = hostcall({
  name: 'hostcall_req_get_header',
  parameters: [PTR_OUT, COUNT_OUT, REQ, NAME, NAME_LEN],
  result: null,
  waits: false,
  fuelPerByte: FUEL_PER_BYTE_TEXT,
  does: 'Gives all values of one header name, in order. Case does not matter.',
  errors: 'No such header: address 0, length 0. A handle that is not a request\'s, or a name that '
    + 'is not UTF-8, '
    + 'ends the guest.',
  memory: 'slices',
  run(guest, pointerOut, countOut, handle, name, nameLength) {
    giveHeaderValues(guest, pointerOut, countOut, fieldsOf(guest, handle), name, nameLength);
  },
});

const getBody = hostcall({
  name: 'hostcall_req_get_body',
  parameters: [PTR_OUT, LEN_OUT, REQ],
  result: null,
  waits: false,
  fuelPerByte: FUEL_PER_BYTE_BULK,
  does: 'Gives the body of a request.',
  errors: 'An empty body: address 0, length 0. A handle that is not a request\'s ends the guest, '
    + 'and so does a body that comes piece by piece (see "Bodies piece by piece").',
  memory: 'text',
  run(guest, pointerOut, lengthOut, handle) {
    giveBytes(guest, pointerOut, lengthOut,
      handle === INCOMING ? wholeBody(guest.request, 'req') : outgoing(guest, handle).body);
  },
});

const create = hostcall({
  name: 'hostcall_req_create',
  parameters: [
    i32('method', 'address of the method'), i32('method_len', 'its length in bytes'),
    i32('url', 'address of an absolute http or https URL'), i32('url_len', 'its length in bytes'),
  ],
  result: 'i32',
  waits: false,
  fuelPerByte: FUEL_PER_BYTE_TEXT,
  does: 'Makes a request to send. Answers its handle.',
  errors: '-1 if the method is not a token or not allowed, the URL is malformed, not absolute or '
    + 'neither http nor '
    + 'https, either is not UTF-8 or too long, or the guest has had all its handles.',
  run(guest, method, methodLength, url, urlLength) {
    const { memory, services } = guest;
    memory.check(method, methodLength, 'method');
    memory.check(url, urlLength, 'url');
    if (methodLength >>> 0 > METHOD_BYTES_MAX) return ERROR_HANDLE;
    if (urlLength >>> 0 > URL_BYTES_MAX) return ERROR_HANDLE;
    const methodText = memory.utf8(method, methodLength, 'method');
    const urlText = memory.utf8(url, urlLength, 'url');
    if (methodText === null || !services.http.isMethod(methodText)) return ERROR_HANDLE;
    if (urlText === null || !services.http.isUrl(urlText)) return ERROR_HANDLE;
    const state = terrarium(guest);
    const handle = state.nextHandle();
    if (handle === 0) return ERROR_HANDLE;
    state.requests.set(handle, {
      method: methodText, url: urlText, headers: [], body: null, pipes: false,
    });
    return handle;
  },
});

const setHeader = hostcall({
  name: 'hostcall_req_set_header',
  parameters: [OUTGOING_REQ, NAME, NAME_LEN, SLICES, SLICE_COUNT],
  result: 'i32',
  waits: false,
  fuelPerByte: FUEL_PER_BYTE_TEXT,
  does: 'Replaces all values of a header of a request that the guest made. Values are bytes: UTF-8 '
    + 'is not asked for.',
  errors: '1 (Invalid) for the incoming request, any other handle that is not a request\'s, a name '
    + 'that is not a '
    + 'token, a value with control characters other than tab, or more header fields or bytes than '
    + 'allowed.',
  run(guest, handle, name, nameLength, slices, count) {
    const fields = terrarium(guest).requests.get(handle)?.headers ?? null;
    return takeHeader(guest, fields, name, nameLength, slices, count);
  },
});

const setBody = hostcall({
  name: 'hostcall_req_set_body',
  parameters: [OUTGOING_REQ, BODY, BODY_LEN],
  result: 'i32',
  waits: false,
  fuelPerByte: FUEL_PER_BYTE_BULK,
  does: 'Replaces the body of a request that the guest made.',
  errors: '1 (Invalid) for the incoming request and any other handle that is not a request\'s, and '
    + 'when too many bytes of bodies are held for the tenant\'s guests.',
  run(guest, handle, body, length) {
    guest.memory.check(body, length, 'ptr');
    const request = terrarium(guest).requests.get(handle);
    if (request === undefined) return STATUS_INVALID;
    if (!guest.scope.hold(length >>> 0)) {
      guest.log.line('debug', 'hostcall_req_set_body: too many bytes of bodies are held');
      return STATUS_INVALID;
    }
    if (request.body !== null) guest.scope.release(request.body.length);
    request.body = guest.memory.copy(body, length, 'ptr');
    request.pipes = false;
    return STATUS_OK;
  },
});

export const REQUEST_HOSTCALLS = [
  getMethod, getPath, getHeaders, getHeader, getBody, create, setHeader, setBody,
] as const;
