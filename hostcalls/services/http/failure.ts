/**
 * Whatever goes wrong on the way to an upstream → an UpstreamError with a reason, and words that
 * name no file, address or library of ours.
 */

import { UPSTREAM_HEADER_BYTES_MAX } from '../../../contract/limits.ts';
import { DnsError, UpstreamError } from '../errors.ts';

const CONNECTION_ENDED: ReadonlySet<string> = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']);

/** What undici calls it → what the tenant reads. All have reason `protocol`. */
const PROTOCOL_MESSAGES: Readonly<Record<string, string>> = {
  UND_ERR_SOCKET: 'the upstream closed the connection',
  ECONNRESET: 'the upstream closed the connection',
  EPIPE: 'the upstream closed the connection',
  UND_ERR_HEADERS_OVERFLOW: `upstream headers of more than ${UPSTREAM_HEADER_BYTES_MAX} bytes`,
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: "the upstream's body does not have the length it declared",
};

function codeOf(error: unknown): string {
  if (typeof error !== 'object' || error === null || !('code' in error)) return '';
  return typeof error.code === 'string' ? error.code : '';
}

/**
 * True for the failure of a connection that the upstream may have closed before it saw the request.
 */
export function isConnectionEnded(error: UpstreamError): boolean {
  return error.reason === 'protocol' && CONNECTION_ENDED.has(codeOf(error.cause));
}

/** Of an attempt to connect; `reached` tells whether TCP stood, so that the rest is TLS. */
export function connectFailure(host: string, cause: unknown, reached: boolean): UpstreamError {
  if (cause instanceof UpstreamError) return cause;
  if (cause instanceof DnsError) {
    const reason = cause.reason === 'too_many' ? 'too_many' : 'dns';
    return new UpstreamError(reason, `${host}: ${cause.message}`, { cause });
  }
  const code = codeOf(cause);
  if (!reached) return new UpstreamError('connect', `${host}: cannot connect (${code})`, { cause });
  return new UpstreamError('tls', `${host}: TLS failed (${code})`, { cause });
}

/** Of an exchange on a connection. */
export function exchangeFailure(cause: unknown): UpstreamError {
  if (cause instanceof UpstreamError) return cause;
  const code = codeOf(cause);
  if (code.startsWith('ERR_SSL')) {
    return new UpstreamError('tls', `TLS failed (${code})`, { cause });
  }
  if (code === 'UND_ERR_INVALID_ARG' || code === 'UND_ERR_NOT_SUPPORTED') {
    return new UpstreamError('bad_request', 'the request cannot be sent', { cause });
  }
  if (code === 'UND_ERR_DESTROYED' || code === 'UND_ERR_CLOSED') {
    return new UpstreamError('aborted', 'the request was cancelled', { cause });
  }
  const message = PROTOCOL_MESSAGES[code] ?? "the upstream's answer is not HTTP/1.1";
  return new UpstreamError('protocol', message, { cause });
}
