/**
 * Judges a request's head the same way for every engine: framing, `Host`, target, request id. An
 * engine's parser may have let more pass than it should have; nothing that fails here reaches a
 * guest.
 */

import { METHOD_BYTES_MAX, REQUEST_ID_BYTES_MAX } from '../../contract/limits.ts';
import { randomBytes } from 'node:crypto';

/**
 * What the headers say. One object per engine, overwritten for every request: use it before the
 * next.
 */
export interface HeadFacts {
  hosts: number;
  /** As sent; '' when absent. */
  host: string;
  /** -1 when absent. */
  contentLength: number;
  chunked: boolean;
  /**
   * The client asked for the connection to be closed, or (HTTP/1.0) did not ask for it to be kept.
   */
  close: boolean;
  keepAlive: boolean;
  expectContinue: boolean;
  requestId: string;
  /** '' or what is wrong. */
  fault: string;
}

export function emptyFacts(): HeadFacts {
  return {
    hosts: 0, host: '', contentLength: -1, chunked: false, close: false, keepAlive: false,
    expectContinue: false, requestId: '', fault: '',
  };
}

const REQUEST_ID = /^[A-Za-z0-9._-]+$/;
const DIGITS = /^[0-9]{1,15}$/;
/**
 * reg-name, address literal, port: what RFC 3986 lets an authority hold, without user information.
 */
const AUTHORITY = /^[A-Za-z0-9._~!$&'()*+,;=%:[\]-]+$/;
export const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** What a header value may not hold. */
// oxlint-disable-next-line no-control-regex
export const NOT_VALUE = /[^\t\x20-\x7e\x80-\xff]/;
const NOT_TARGET = /[^\x21\x22\x24-\x7e]/;

/** Reads flat headers with lower-case names into `facts`. */
export function readFacts(headers: readonly string[], facts: HeadFacts): void {
  resetFacts(facts);
  for (let i = 0; i < headers.length; i += 2) {
    noteHeader(headers[i] as string, headers[i + 1] as string, facts);
  }
}

export function resetFacts(facts: HeadFacts): void {
  facts.hosts = 0;
  facts.host = '';
  facts.contentLength = -1;
  facts.chunked = false;
  facts.close = false;
  facts.keepAlive = false;
  facts.expectContinue = false;
  facts.requestId = '';
  facts.fault = '';
}

/** Adds what one header says. `name` in lower case. */
export function noteHeader(name: string, value: string, facts: HeadFacts): void {
  switch (name) {
    case 'host':
      facts.hosts += 1;
      facts.host = value;
      if (facts.hosts > 1) facts.fault ||= 'more than one Host header';
      break;
    case 'content-length':
      readContentLength(value, facts);
      break;
    case 'transfer-encoding':
      readTransferEncoding(value, facts);
      break;
    case 'connection':
      readConnection(value, facts);
      break;
    case 'expect':
      facts.expectContinue = value.toLowerCase() === '100-continue';
      break;
    case 'x-request-id':
      facts.requestId = value;
      break;
    default:
  }
}

const BOTH = 'both Content-Length and Transfer-Encoding';

function readContentLength(value: string, facts: HeadFacts): void {
  if (facts.contentLength >= 0) facts.fault ||= 'more than one Content-Length';
  else if (facts.chunked) facts.fault ||= BOTH;
  else if (DIGITS.test(value)) facts.contentLength = Number(value);
  else facts.fault ||= 'Content-Length is not a number';
}

function readTransferEncoding(value: string, facts: HeadFacts): void {
  if (facts.chunked) facts.fault ||= 'more than one Transfer-Encoding';
  else if (facts.contentLength >= 0) facts.fault ||= BOTH;
  else if (value.toLowerCase() === 'chunked') facts.chunked = true;
  else facts.fault ||= 'Transfer-Encoding other than chunked';
}

function readConnection(value: string, facts: HeadFacts): void {
  const lower = value.toLowerCase();
  if (lower === 'keep-alive') facts.keepAlive = true;
  else if (lower === 'close') facts.close = true;
  else {
    for (const token of lower.split(',')) {
      if (token.trim() === 'close') facts.close = true;
      else if (token.trim() === 'keep-alive') facts.keepAlive = true;
    }
  }
}

export interface Place {
  /** '' when the target is refused; then `fault` says why. */
  target: string;
  host: string;
  fault: string;
}

/**
 * Takes a target apart: origin form stays, absolute form gives host and path, `*` is for OPTIONS
 * alone.
 */
export function readTarget(method: string, target: string, host: string, place: Place): void {
  place.target = target;
  place.host = host;
  place.fault = '';
  if (isAbsolute(target) || (target === '*' && method !== 'OPTIONS')) splitAbsolute(target, place);
  if (place.fault === '' && NOT_TARGET.test(place.target)) {
    place.fault = 'the request target holds a character that a URL does not allow';
  }
  if (place.fault === '' && place.host !== '' && !AUTHORITY.test(place.host)) {
    place.fault = 'the Host header is not a host';
  }
  place.host = place.host.toLowerCase();
}

/** Neither a path nor `*`: a URL, if it is sound. */
export function isAbsolute(target: string): boolean {
  return target.charCodeAt(0) !== 0x2f && target !== '*';
}

function splitAbsolute(target: string, place: Place): void {
  const match = /^https?:\/\/([^/?#]+)([/?].*)?$/i.exec(target);
  if (match === null) {
    place.fault = 'the request target is neither a path nor an http URL';
    return;
  }
  place.host = match[1] as string;
  const rest = match[2] ?? '/';
  place.target = rest.startsWith('?') ? `/${rest}` : rest;
}

export function methodFault(method: string): string {
  if (method.length > METHOD_BYTES_MAX || !TOKEN.test(method)) return 'the method is not a token';
  return '';
}

/**
 * Ids that are unique across nodes and restarts: 72 random bits of this process, then a counter.
 */
const prefix = `${randomBytes(9).toString('base64url')}-`;
let counter = 0;

export function makeRequestId(): string {
  counter += 1;
  return prefix + counter.toString(36);
}

/** `given` when it is sane, otherwise a new one. */
export function chooseRequestId(given: string, keep: boolean): string {
  const isSane = given !== '' && given.length <= REQUEST_ID_BYTES_MAX && REQUEST_ID.test(given);
  return keep && isSane ? given : makeRequestId();
}
