/**
 * From a worker's reply, or a failure on the way, to what the client sees: the guest's answer as it
 * is, or one plain text line with the request id, `wardian-error: <code>` and the status of the
 * error table.
 */

import { ERRORS, WardianError } from '../contract/errors.ts';
import type { ErrorCode } from '../contract/errors.ts';
import type { RequestLimits } from '../contract/limits.ts';
import { LOG_LIMIT_CODE, logLimitMessage } from '../contract/log-limit.ts';
import type { ReplyMessage, Usage } from '../contract/messages.ts';
import type { Route } from '../contract/deployment.ts';
import { Refused } from './admission.ts';

export interface Answer {
  readonly status: number;
  /** Flat: name, value, name, value. */
  readonly headers: readonly string[];
  readonly body: Uint8Array | string | null;
}

/** Where nobody knows better. */
const RETRY_AFTER_S = 1;
const RETRIED: ReadonlySet<ErrorCode> = new Set([
  'overloaded',
  'tenant_overloaded',
  'bodies_exhausted',
  'draining',
  'worker_lost',
]);

function debugHeaders(
  usage: Usage, { logBytes: limit }: RequestLimits, fuelIsAtLeast = false,
): string[] {
  const headers = [
    fuelIsAtLeast ? 'wardian-fuel-at-least' : 'wardian-fuel',
    String(usage.fuel),
    'wardian-memory',
    String(usage.memoryBytes),
    'wardian-instantiate-us',
    String(usage.instantiateUs),
    'wardian-run-us',
    String(usage.runUs),
  ];
  if (usage.logOverBytes > 0) {
    const said = logLimitMessage(usage.logBytes, usage.logOverBytes, limit);
    headers.push('wardian-limit', `${LOG_LIMIT_CODE}: ${said}`);
  }
  return headers;
}

export interface FailureDetails {
  /** Those that only an app in debug mode has. */
  readonly headers?: readonly string[];
  readonly retryAfterS?: number;
}

/** The answer for a failure. `message` is shown to the client: nothing internal may be in it. */
export function failureAnswer(
  code: ErrorCode,
  message: string,
  requestId: string,
  { headers: more = [], retryAfterS = RETRY_AFTER_S }: FailureDetails = {},
): Answer {
  const { status, meaning } = ERRORS[code];
  const text = message === '' ? meaning : `${meaning}: ${message}`;
  const headers = [
    'content-type',
    'text/plain; charset=utf-8',
    'cache-control',
    'no-store',
    'wardian-error',
    code,
  ];
  if (RETRIED.has(code)) headers.push('retry-after', String(retryAfterS));
  headers.push(...more);
  return { status, headers, body: `${text}\nrequest id: ${requestId}\n` };
}

/**
 * What a thrown value tells the client: a WardianError its own words, anything else nothing but its
 * class.
 */
export function errorAnswer(error: unknown, requestId: string): Answer {
  if (error instanceof Refused) {
    const { code, message, retryAfterS } = error;
    return failureAnswer(code, message, requestId, { retryAfterS });
  }
  if (error instanceof WardianError) return failureAnswer(error.code, error.message, requestId);
  return failureAnswer('internal', '', requestId);
}

/** The answer for a reply of the pool. */
export function replyAnswer(reply: ReplyMessage, route: Route, requestId: string): Answer {
  if (reply.failure !== null) {
    const { code, message, fuelIsAtLeast } = reply.failure;
    const headers = route.debug ? debugHeaders(reply.usage, route.limits, fuelIsAtLeast) : [];
    return failureAnswer(code, message, requestId, { headers });
  }
  if (!route.debug) return reply;
  return {
    status: reply.status,
    headers: [...reply.headers, ...debugHeaders(reply.usage, route.limits)],
    body: reply.body,
  };
}

/** The cookie, if any, keeps the client with its version. */
export function withCookie(answer: Answer, cookie: string | null): Answer {
  if (cookie === null) return answer;
  const { status, headers, body } = answer;
  return { status, headers: [...headers, 'set-cookie', cookie], body };
}

/** What an error is told as; `internal` for whatever is none of ours. */
export function codeOf(error: unknown): ErrorCode {
  return error instanceof WardianError ? error.code : 'internal';
}
