/**
 * What every answer has in common: which headers of a response pass, what a refusal says, and what
 * becomes of a response that HTTP does not allow.
 */

import { STATUS_CODES } from 'node:http';

import type { ErrorCode } from '../../contract/errors.ts';
import { HEADER_NAME_BYTES_MAX } from '../../contract/limits.ts';
import { failureAnswer } from '../respond.ts';
import { NOT_VALUE, TOKEN } from './head.ts';
import type { OutgoingResponse, ResponseHead } from './listener.ts';

/**
 * Framing, connection and identity are the listener's business: what a response says of them is not
 * passed on.
 */
const OWN = new Set([
  'connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'te', 'trailer', 'upgrade',
  'content-length', 'date', 'x-request-id',
]);

/** `200 OK`, by status. */
const statusLines = new Map<number, string>();

export function statusText(status: number): string {
  let text = statusLines.get(status);
  if (text === undefined) {
    text = `${status} ${STATUS_CODES[status] ?? 'Unknown'}`;
    statusLines.set(status, text);
  }
  return text;
}

/** Whether a response of this status is only a head. */
export function isBodiless(status: number): boolean {
  return status === 204 || status === 304;
}

const LENGTH = /^[0-9]{1,15}$/;

/** What a response says of the length of a body that is not sent with it, or null. */
function announcedLength(headers: readonly string[]): number | null {
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string;
    if (name.length !== 14 || name.toLowerCase() !== 'content-length') continue;
    const value = headers[i + 1] as string;
    return LENGTH.test(value) ? Number(value) : null;
  }
  return null;
}

/**
 * The content-length of a whole response, or null for none. RFC 9110, 8.6: with HEAD and 304 it is
 * the length of what a GET would get, so nothing is told that the response does not tell.
 */
export function contentLengthOf(
  method: string, { status, headers, body }: OutgoingResponse, bodyBytes: number,
): number | null {
  if (status === 204) return null;
  if (status === 304 || (method === 'HEAD' && body === null)) return announcedLength(headers);
  return bodyBytes;
}

const INVALID = 0;
const PASSED_ON = 1;
const DROPPED = 2;

/** What becomes of a header by its name as given; most responses use the same few. */
const kinds = new Map<string, number>();
const KINDS_MAX = 2_000;

function kindOf(name: string): number {
  let kind = kinds.get(name);
  if (kind === undefined) {
    kind = !TOKEN.test(name) ? INVALID : OWN.has(name.toLowerCase()) ? DROPPED : PASSED_ON;
    if (kinds.size < KINDS_MAX && name.length <= HEADER_NAME_BYTES_MAX) kinds.set(name, kind);
  }
  return kind;
}

/** '' or why HTTP does not allow this response. */
export function responseFault(response: OutgoingResponse | ResponseHead): string {
  const { status, headers } = response;
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    return `status ${status} is not one of 200 to 599`;
  }
  if (headers.length % 2 !== 0) return 'a header has no value';
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string;
    if (kindOf(name) === INVALID) return `header name ${JSON.stringify(name)} is not a token`;
    if (NOT_VALUE.test(headers[i + 1] as string)) {
      return `header ${name} holds a character that a header does not allow`;
    }
  }
  return '';
}

/** Whether the writer passes this header on. */
export function isPassedOn(name: string): boolean {
  return kindOf(name) === PASSED_ON;
}

/** A refusal as bytes, for a socket whose parser has given up. The connection ends with it. */
export function refusalBytes(code: ErrorCode, message: string, requestId: string): Buffer {
  const { status, headers, body } = failureAnswer(code, message, requestId);
  const text = String(body);
  let head = `HTTP/1.1 ${statusText(status)}\r\ndate: ${new Date().toUTCString()}\r\n`;
  head += 'connection: close\r\n';
  for (let i = 0; i < headers.length; i += 2) head += `${headers[i]}: ${headers[i + 1]}\r\n`;
  head += `x-request-id: ${requestId}\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n`;
  return Buffer.from(head + text);
}
