/**
 * Connections to upstreams, made only to addresses that the egress policy allows. The name is
 * resolved once, here; the socket gets the checked addresses and nothing looks the name up again,
 * so an answer that changes between the check and the connection (DNS rebinding) changes nothing.
 * The address reached is checked once more.
 */

import { isIP, connect as connectTcp } from 'node:net';
import type { LookupFunction, Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { buildConnector } from 'undici';
import { CONNECT_TIMEOUT_MS, UPSTREAM_SOCKETS_PER_TENANT_MAX } from '../../../contract/limits.ts';
import { UpstreamError } from '../errors.ts';
import { connectFailure } from '../http/failure.ts';
import type { EgressPolicy, Verdict } from './policy.ts';

/** All addresses of a name, both families, never none. Throws DnsError. */
export type LookupAll = (name: string, tenantId: number) => Promise<readonly string[]>;

export interface Route {
  readonly policy: EgressPolicy;
  readonly lookup: LookupAll;
  readonly tenantId: number;
  /** Connections of the tenant, counted here. */
  readonly sockets: SocketCount;
  readonly port: number;
  /** PEM certificates to trust instead of the system's. */
  readonly ca?: string | undefined;
}

export interface SocketCount {
  open: number;
}

const TCP_KEEP_ALIVE_MS = 60_000;
/** A name with more addresses gets no more than these tried. */
const ATTEMPTS_MAX = 8;

function denied(host: string, verdict: Verdict): UpstreamError {
  return new UpstreamError('denied_address', `${host}: ${verdict.reason} denied by egress policy`);
}

/**
 * What can be told without a lookup. A literal never passes through one: `net` connects to it as it
 * is.
 */
function refusalBeforehand(host: string, { policy, port, sockets }: Route): UpstreamError | null {
  if (sockets.open >= UPSTREAM_SOCKETS_PER_TENANT_MAX) {
    return new UpstreamError('too_many', 'too many upstream connections are open');
  }
  const verdict = isIP(host) === 0 ? null : policy.judge(host, port);
  return verdict?.allowed === false ? denied(host, verdict) : null;
}

/** Resolves and keeps what is allowed; if nothing is, the first verdict tells why. */
async function allowedAddresses(host: string, route: Route): Promise<readonly string[]> {
  const addresses = await route.lookup(host, route.tenantId);
  const verdicts = addresses.map((address) => route.policy.judge(address, route.port));
  const allowed = addresses.filter((_, index) => verdicts[index]?.allowed === true);
  if (allowed.length > 0) return allowed.slice(0, ATTEMPTS_MAX);
  throw denied(host, verdicts[0] ?? { allowed: false, reason: 'no address' });
}

/** What `net` and `tls` call in place of the system's resolver. */
function checkedLookup(route: Route): LookupFunction {
  return (host, options, callback) => {
    const answer = (addresses: readonly string[]): void => {
      const found = addresses.map((address) => ({ address, family: isIP(address) }));
      const [first] = found;
      if (options.all === true) callback(null, found);
      else callback(null, first?.address ?? '', first?.family ?? 4);
    };
    const refuse = (error: NodeJS.ErrnoException): void => callback(error, []);
    allowedAddresses(host, route).then(answer, refuse);
  };
}

/** For one origin of one tenant: what undici calls for each connection of a pool. */
export function createConnector(route: Route): buildConnector.connector {
  const lookup = checkedLookup(route);
  const { policy, port, sockets } = route;
  let session: Buffer | undefined;

  const open = (host: string, secure: boolean): Socket => {
    const target = { host, port, lookup, autoSelectFamily: true };
    if (!secure) return connectTcp(target);
    const socket = connectTls({
      ...target,
      session,
      ca: route.ca,
      rejectUnauthorized: true,
      minVersion: 'TLSv1.2',
      servername: isIP(host) === 0 ? host.replace(/\.$/, '') : '',
      ALPNProtocols: ['http/1.1'],
    });
    return socket.on('session', (ticket) => {
      session = ticket;
    });
  };

  return ({ hostname, protocol }, callback) => {
    const refusal = refusalBeforehand(hostname, route);
    if (refusal !== null) {
      queueMicrotask(() => callback(refusal, null));
      return;
    }
    const secure = protocol === 'https:';
    const socket = open(hostname, secure);
    sockets.open += 1;
    let reached = false;
    let settled = false;
    const settle = (error: Error | null): void => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      if (error === null) callback(null, socket);
      else callback(connectFailure(hostname, error, reached), null);
    };
    const timer = setTimeout(() => {
      socket.destroy(new UpstreamError('connect', `${hostname}: connecting took too long`));
    }, CONNECT_TIMEOUT_MS);
    socket.setNoDelay(true).setKeepAlive(true, TCP_KEEP_ALIVE_MS);
    socket.once('close', () => {
      sockets.open -= 1;
      settle(new UpstreamError('connect', `${hostname}: the connection was closed`));
    });
    socket.on('error', settle);
    socket.once('connect', () => {
      reached = true;
      const address = policy.judge(socket.remoteAddress ?? '', port);
      if (!address.allowed) socket.destroy(denied(hostname, address));
      else if (!secure) settle(null);
    });
    if (secure) socket.once('secureConnect', () => settle(null));
  };
}
