/**
 * Which error codes are label values where: lists kept apart from the metric table because they
 * are picked from the error table by what a code is about.
 */

import { ERRORS } from '../../contract/errors.ts';
import type { ErrorCode } from '../../contract/errors.ts';

/** What a listener refuses by itself. */
export const REFUSAL_REASONS = [
  'bad_request', 'request_timeout', 'body_too_large', 'bodies_exhausted', 'headers_too_large',
  'missing_host',
  'draining', 'overloaded', 'internal',
] as const satisfies readonly ErrorCode[];

/** Failures of a guest while it serves a request; each is worth a report. */
export const GUEST_FAILURES = [
  'guest_panic', 'guest_trap', 'guest_exit', 'guest_exception', 'stack_overflow', 'bad_hostcall',
  'bad_response', 'missing_allocator', 'out_of_fuel', 'out_of_memory', 'deadline',
  'hostcalls_exhausted', 'hostcall_bytes_exhausted', 'response_too_large', 'storage_full',
] as const satisfies readonly ErrorCode[];

/** Label values of an app's failures: those of guests, and what else can happen to a request. */
export const GUEST_REASONS = [
  ...GUEST_FAILURES, 'tenant_overloaded', 'tenant_suspended', 'overloaded', 'client_closed',
  'worker_lost', 'stream_failed', 'platform',
] as const;

const guestReasons: ReadonlySet<string> = new Set(GUEST_REASONS);
const refusalReasons: ReadonlySet<string> = new Set(REFUSAL_REASONS);

export function appReason(code: ErrorCode): string {
  return guestReasons.has(code) ? code : 'platform';
}

export function refusalReason(code: ErrorCode): string {
  if (refusalReasons.has(code)) return code;
  return ERRORS[code].fault === 'client' ? 'bad_request' : 'internal';
}

const reported: ReadonlySet<string> = new Set([
  ...GUEST_FAILURES, 'worker_lost', 'module_unavailable', 'internal',
]);

/** Whether a request that ended so gets a failure report. */
export function isReported(code: ErrorCode): boolean {
  return reported.has(code);
}
