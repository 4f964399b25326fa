/**
 * What may be sent upstream and what comes back: methods, URLs and header fields checked and
 * cleaned. Fields that belong to one connection (RFC 9110, section 7.6.1) are removed both ways;
 * `host` and `content-length` are ours.
 */

import {
  GUEST_HEADER_BYTES_MAX,
  GUEST_HEADER_COUNT_MAX,
  HEADER_NAME_BYTES_MAX,
  HEADER_VALUE_BYTES_MAX,
  METHOD_BYTES_MAX,
  URL_BYTES_MAX,
} from '../../../contract/limits.ts';
import type { FlatHeaders } from '../../../contract/messages.ts';
import { UpstreamError } from '../errors.ts';
import type { BodyReader, UpstreamRequest } from '../types.ts';

/** A request that is fit to be sent: one hop. */
export interface Outgoing {
  readonly method: string;
  /** Without userinfo. */
  readonly url: URL;
  readonly headers: FlatHeaders;
  readonly body: Uint8Array | null;
  /** In place of a body; its length, if known, is among the headers. */
  readonly upload: BodyReader | null;
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** Field values as bytes: no controls but the tab. */
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
]);
/**
 * Of a request: set by the client, or, as `expect`, promises about the connection that it does not
 * keep.
 */
const OURS: ReadonlySet<string> = new Set(['host', 'content-length', 'expect']);

export function isMethod(method: string): boolean {
  return (
    method.length <= METHOD_BYTES_MAX && TOKEN.test(method) && method.toUpperCase() !== 'CONNECT'
  );
}

/** The URL if it can be requested, else null. */
export function parseUrl(text: string): URL | null {
  if (text.length > URL_BYTES_MAX) return null;
  const url = URL.parse(text);
  if (url === null || url.hostname === '' || url.href.length > URL_BYTES_MAX) return null;
  return url.protocol === 'http:' || url.protocol === 'https:' ? url : null;
}

function refuse(why: string): UpstreamError {
  return new UpstreamError('bad_request', why);
}

function checkHeader(name: string, value: string): void {
  if (name.length > HEADER_NAME_BYTES_MAX || !TOKEN.test(name)) {
    throw refuse('a header name is malformed or too long');
  }
  if (value.length > HEADER_VALUE_BYTES_MAX || !VALUE.test(value)) {
    throw refuse(`the value of header ${name} is malformed or too long`);
  }
}

/** Names that `connection` lists belong to the connection, too. */
function namedByConnection(headers: FlatHeaders): ReadonlySet<string> | null {
  let named: Set<string> | null = null;
  for (let index = 0; index + 1 < headers.length; index += 2) {
    if (headers[index]?.toLowerCase() !== 'connection') continue;
    named ??= new Set();
    for (const option of headers[index + 1]?.split(',') ?? []) {
      named.add(option.trim().toLowerCase());
    }
  }
  return named;
}

function requestHeaders(headers: FlatHeaders): string[] {
  if (headers.length % 2 !== 0 || headers.length / 2 > GUEST_HEADER_COUNT_MAX) {
    throw refuse(`more than ${GUEST_HEADER_COUNT_MAX} headers`);
  }
  const named = namedByConnection(headers);
  const cleaned: string[] = [];
  let bytes = 0;
  for (let index = 0; index + 1 < headers.length; index += 2) {
    const name = headers[index]?.toLowerCase() ?? '';
    const value = headers[index + 1] ?? '';
    checkHeader(name, value);
    bytes += name.length + value.length;
    if (HOP_BY_HOP.has(name) || OURS.has(name) || named?.has(name) === true) continue;
    cleaned.push(name, value);
  }
  if (bytes > GUEST_HEADER_BYTES_MAX) {
    throw refuse(`headers of more than ${GUEST_HEADER_BYTES_MAX} bytes`);
  }
  return cleaned;
}

export function hasHeader(headers: FlatHeaders, name: string): boolean {
  for (let index = 0; index < headers.length; index += 2) {
    if (headers[index] === name) return true;
  }
  return false;
}

/** The first value of a header, or null. */
export function headerValue(headers: FlatHeaders, name: string): string | null {
  for (let index = 0; index < headers.length; index += 2) {
    if (headers[index] === name) return headers[index + 1] ?? null;
  }
  return null;
}

/** `%41` in userinfo stands for a byte; a malformed escape stands for itself. */
function decodedUserinfo(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // A stray `%`: browsers send it as it is.
    return text;
  }
}

/** Throws UpstreamError `bad_request`. */
export function outgoing(request: UpstreamRequest): Outgoing {
  if (!isMethod(request.method)) throw refuse('the method is malformed or not allowed');
  const url = parseUrl(request.url);
  if (url === null) throw refuse('the URL is not an absolute http or https URL, or too long');
  const headers = requestHeaders(request.headers);
  if (url.username !== '' || url.password !== '') {
    const userinfo = `${decodedUserinfo(url.username)}:${decodedUserinfo(url.password)}`;
    url.username = '';
    url.password = '';
    if (!hasHeader(headers, 'authorization')) {
      headers.push('authorization', `Basic ${Buffer.from(userinfo).toString('base64')}`);
    }
  }
  url.hash = '';
  const body = request.body !== null && request.body.length > 0 ? request.body : null;
  const upload = request.upload ?? null;
  if (upload !== null && upload.length !== null) {
    headers.push('content-length', String(upload.length));
  }
  return { method: request.method, url, headers, body, upload };
}

/**
 * Raw header bytes of an answer → lower-case names and byte strings, without those of the
 * connection.
 */
export function responseHeaders(raw: readonly Buffer[]): FlatHeaders {
  if (raw.length / 2 > GUEST_HEADER_COUNT_MAX) {
    throw new UpstreamError('protocol', `upstream headers: more than ${GUEST_HEADER_COUNT_MAX}`);
  }
  const headers = raw.map((bytes, index) => {
    const text = bytes.toString('latin1');
    return index % 2 === 0 ? text.toLowerCase() : text;
  });
  const named = namedByConnection(headers);
  const cleaned: string[] = [];
  for (let index = 0; index + 1 < headers.length; index += 2) {
    const name = headers[index] ?? '';
    if (HOP_BY_HOP.has(name) || named?.has(name) === true) continue;
    cleaned.push(name, headers[index + 1] ?? '');
  }
  return cleaned;
}
