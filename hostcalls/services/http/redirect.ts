/**
 * Where a redirect leads, by the rules of the Fetch standard ("HTTP-redirect fetch"), which the
 * clients of the old platforms shared: which statuses, what becomes of the method and body, and
 * what must not follow to another origin.
 */

import type { FlatHeaders } from '../../../contract/messages.ts';
import { UpstreamError } from '../errors.ts';
import { headerValue, parseUrl } from './message.ts';
import type { Outgoing } from './message.ts';

const REDIRECT_STATUSES: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** What another origin must not be sent. `proxy-authorization` never leaves at all. */
const CREDENTIALS: ReadonlySet<string> = new Set(['authorization', 'cookie', 'cookie2']);
/** What describes the body, and goes when it goes. */
const BODY_HEADERS: ReadonlySet<string> = new Set([
  'content-encoding',
  'content-language',
  'content-location',
  'content-type',
  'content-md5',
  'content-length',
  'digest',
  'content-digest',
  'repr-digest',
]);

function without(headers: FlatHeaders, dropped: ReadonlySet<string>): FlatHeaders {
  return headers.filter((_, index) => !dropped.has(headers[index - (index % 2)] ?? ''));
}

/** `location` is bytes; servers that put more than ASCII there mean UTF-8. */
function decoded(location: string): string {
  return Buffer.from(location, 'latin1').toString('utf8');
}

function becomesGet(status: number, method: string): boolean {
  if (status === 303) return method !== 'GET' && method !== 'HEAD';
  return (status === 301 || status === 302) && method === 'POST';
}

/**
 * The next hop, or null if the answer is final. Throws UpstreamError `protocol` for a target that
 * is not HTTP.
 */
export function nextHop(sent: Outgoing, status: number, headers: FlatHeaders): Outgoing | null {
  if (!REDIRECT_STATUSES.has(status)) return null;
  const location = headerValue(headers, 'location');
  if (location === null) return null;
  const target = URL.parse(decoded(location), sent.url.href);
  const url = target === null ? null : parseUrl(target.href);
  if (url === null) {
    throw new UpstreamError('protocol', 'the upstream redirects to what is not an HTTP URL');
  }
  // Userinfo in a redirect is a way to make one host look like another: it is not used.
  url.username = '';
  url.password = '';
  url.hash = '';
  // The scheme is part of the origin: a step from https down to http drops credentials, too.
  const kept = url.origin === sent.url.origin ? sent.headers : without(sent.headers, CREDENTIALS);
  if (becomesGet(status, sent.method)) {
    return { method: 'GET', url, headers: without(kept, BODY_HEADERS), body: null, upload: null };
  }
  if (sent.upload !== null) {
    throw new UpstreamError('protocol', 'the upstream redirects a body that can be sent only once');
  }
  return { ...sent, url, headers: kept };
}
