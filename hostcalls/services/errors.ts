/**
 * The errors of the services: typed reasons that an ABI maps to its own status numbers, and that
 * logs and metrics count by. Messages are fit for the tenant's log: they name hosts the guest asked
 * for, nothing of ours.
 */

export type UpstreamReason =
  /** The guest's request is malformed: method, URL, scheme, header. Nothing was sent. */
  | 'bad_request'
  /** The egress policy denies the address (or the port). */
  | 'denied_address'
  | 'dns'
  | 'connect'
  | 'tls'
  /** The request's `subrequestMs` ran out. */
  | 'timeout'
  /** The upstream bodies of this guest together exceed `subrequestBytes`. */
  | 'too_large'
  /**
   * More requests (redirect hops included) than `subrequests`, or this node has no connection left
   * for the tenant.
   */
  | 'too_many'
  | 'too_many_redirects'
  /** The upstream broke off, or what it sent is not HTTP/1.1. */
  | 'protocol'
  /** The guest ended, was killed, or cancelled the request. */
  | 'aborted';

export class UpstreamError extends Error {
  readonly reason: UpstreamReason;

  constructor(reason: UpstreamReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'UpstreamError';
    this.reason = reason;
  }
}

export type DnsReason =
  /** The name or the query message is malformed or of a kind that is refused. Nothing was sent. */
  | 'bad_query'
  /**
   * NXDOMAIN. A name that exists without addresses of the family is an empty list, not an error.
   */
  | 'not_found'
  /** The resolvers answered with a failure, or nonsense, or could not be reached. */
  | 'server_failure'
  | 'timeout'
  /**
   * The guest used up `dnsQueries`, or its tenant has too many queries under way on this thread.
   */
  | 'too_many'
  | 'aborted';

export class DnsError extends Error {
  readonly reason: DnsReason;

  constructor(reason: DnsReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'DnsError';
    this.reason = reason;
  }
}
