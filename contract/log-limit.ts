/**
 * What is said of a guest that logged more than its limit. It is not failed: a guest that logs too
 * much is noisy, not broken. But its operator has to see which limit, its value and what was used.
 */

import type { ErrorCode } from './errors.ts';

/** In the access log, in the guest's own log, and in the header of an app that is debugged. */
export const LOG_LIMIT_CODE = 'log_bytes_exhausted' satisfies ErrorCode;

/** Bytes of text logged, bytes that were cut because of the limit, and the limit per request. */
export function logLimitMessage(logged: number, over: number, limit: number): string {
  return `logged ${logged} bytes, and ${over} more were over the limit of ${limit} bytes per `
    + 'request, of which each line takes one as well';
}
