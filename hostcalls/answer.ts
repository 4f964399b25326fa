/**
 * The response that a guest builds, and the last look at it before it leaves the worker: what HTTP
 * does not allow is `bad_response`; what belongs to the connection and not to the guest is taken
 * out.
 */

import { STREAM_PIECE_BYTES } from '../contract/limits.ts';
import type { RequestLimits } from '../contract/limits.ts';
import { WardianError } from '../contract/errors.ts';
import type { RequestMessage } from '../contract/messages.ts';
import { headerValues, removeHeader } from './headers.ts';
import type { GuestAnswer, Relay } from './host.ts';
import type { BodyReader, UpstreamExchange } from './services/index.ts';

/** RFC 9110, 15: what a final response may have. */
const STATUS_MIN = 200;
const STATUS_MAX = 599;

/** What is left of an upstream's body. */
export interface RelayedBody {
  readonly exchange: UpstreamExchange;
  readonly rest: BodyReader;
}

export class GuestResponse {
  status = 200;
  readonly headers: string[] = [];
  body: Uint8Array | null = null;
  /** What the guest answers with in place of a body. */
  relay: RelayedBody | null = null;
  /** True once the guest has set status or body: an answer of its own. */
  chosen = false;

  /** A body, or none, in place of whatever was there. */
  replaceBody(body: Uint8Array | null, relay: RelayedBody | null): void {
    this.relay?.exchange.cancel();
    this.body = body;
    this.relay = relay;
    this.chosen = true;
  }
}

/**
 * RFC 9110, 7.6.1, and what its ancestors listed: they describe a connection that the guest does
 * not have.
 */
const CONNECTION_FIELDS: ReadonlySet<string> = new Set([
  'connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade',
]);

function withoutConnectionFields(headers: string[]): void {
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at]!;
    if (!CONNECTION_FIELDS.has(name)) continue;
    if (name === 'connection') {
      for (const option of headers[at + 1]!.toLowerCase().split(',')) {
        const named = option.trim();
        if (named !== 'connection' && named !== '') removeHeader(headers, named);
      }
    }
    removeHeader(headers, name);
    // Fields before this one may be gone too: start over. Each turn removes at least one field.
    at = -2;
  }
}

function checkContentLength(
  response: GuestResponse, bodyBytes: number, announcesOnly: boolean,
): void {
  const lengths = headerValues(response.headers, 'content-length');
  if (lengths.length === 0) return;
  if (lengths.length > 1 || !/^\d{1,15}$/.test(lengths[0]!)) {
    throw new WardianError('bad_response', 'content-length is not one number');
  }
  if (announcesOnly && bodyBytes === 0) return;
  if (Number(lengths[0]) !== bodyBytes) {
    throw new WardianError('bad_response',
      `content-length says ${lengths[0]}, but the body has ${bodyBytes} bytes`);
  }
  removeHeader(response.headers, 'content-length');
}

/** Throws WardianError `bad_response` or `response_too_large`. Statuses without a body lose it. */
export function validateAnswer(
  response: GuestResponse, request: RequestMessage, limits: RequestLimits,
): GuestAnswer {
  const { status, headers } = response;
  if (status < STATUS_MIN || status > STATUS_MAX) {
    throw new WardianError('bad_response', `${status} is not the status of a final response`);
  }
  const bodiless = status === 204 || status === 304;
  const body = bodiless ? null : response.body;
  const bodyBytes = body === null ? 0 : body.length;
  if (bodyBytes > limits.responseBytes) {
    throw new WardianError('response_too_large',
      `a body of ${bodyBytes} bytes is over the limit of ${limits.responseBytes} bytes`);
  }
  if (headers.length > 0) {
    withoutConnectionFields(headers);
    // RFC 9110, 8.6: no content-length in a 204.
    if (status === 204) removeHeader(headers, 'content-length');
    checkContentLength(response, bodyBytes, status === 304 || request.method === 'HEAD');
  }
  return { status, headers, body: bodyBytes === 0 ? null : body, relay: null };
}

/** What the guest promised of a body that is relayed, or what the upstream has told. */
function promisedLength(response: GuestResponse, told: number | null): number | null {
  const lengths = headerValues(response.headers, 'content-length');
  if (lengths.length === 0) return told;
  if (lengths.length > 1 || !/^\d{1,15}$/.test(lengths[0]!)) {
    throw new WardianError('bad_response', 'content-length is not one number');
  }
  const promised = Number(lengths[0]);
  if (told !== null && promised !== told) {
    throw new WardianError('bad_response',
      `content-length says ${promised}, but ${told} bytes are relayed`);
  }
  removeHeader(response.headers, 'content-length');
  return promised;
}

/** Nothing is read where the answer has a head alone. */
const NOTHING = {
  takesBody: false, read: (): Promise<null> => Promise.resolve(null), cancel: (): void => {},
};

/** A relayed body that is here to its end, and so long at most, is a body like any other. */
const ARRIVED_BYTES_MAX = STREAM_PIECE_BYTES;

/** What becomes of the request's body while an answer is relayed. */
interface UploadBeside {
  /** An upstream has it. */
  readonly givenAway: boolean;
  /** Nothing more of the answer is read. */
  end(): void;
}

/**
 * The answer of a guest that relays. Throws WardianError `bad_response`; the exchange is then still
 * the guest's, and ends with it.
 */
export function relayedAnswer(
  response: GuestResponse, { exchange, rest }: RelayedBody, request: RequestMessage,
  limits: RequestLimits, upload: UploadBeside,
): GuestAnswer {
  const headOnly = request.method === 'HEAD';
  const bodiless = response.status === 204 || response.status === 304;
  const whole = headOnly || bodiless || upload.givenAway
    ? null : rest.arrived?.(Math.min(ARRIVED_BYTES_MAX, limits.responseBytes)) ?? null;
  if (whole !== null) {
    response.body = whole;
    upload.end();
    return validateAnswer(response, request, limits);
  }
  const told = headOnly ? exchange.declaredBytes : rest.length;
  const contentLength = bodiless ? null : promisedLength(response, told);
  const answer = validateAnswer(response, request, limits);
  if (bodiless || headOnly) {
    exchange.cancel();
    upload.end();
    return bodiless ? answer : { ...answer, relay: { contentLength, ...NOTHING } };
  }
  exchange.detach();
  const relay: Relay = {
    contentLength,
    takesBody: upload.givenAway,
    async read() {
      const piece = await rest.read();
      if (piece === null) upload.end();
      return piece;
    },
    cancel() {
      exchange.cancel();
      upload.end();
    },
  };
  return { ...answer, relay };
}
