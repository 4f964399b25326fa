/**
 * Which addresses and ports a guest may connect to. Only public unicast addresses pass; everything
 * else that the registries set aside is denied, unless the operator allows a range. Judged on
 * addresses, never on names.
 */

import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import { WardianError } from '../../../contract/errors.ts';

type Address = ipaddr.IPv4 | ipaddr.IPv6;
type Range = [Address, number];

export interface Verdict {
  readonly allowed: boolean;
  /** Why not, for the tenant's log: `loopback address`, `port 25`. Empty when allowed. */
  readonly reason: string;
}

const ALLOWED: Verdict = { allowed: true, reason: '' };

/**
 * Mail submission and relay. A guest chooses the whole body of a request, and mail servers skip
 * lines that they do not understand: an HTTP POST to port 25 can send mail. Port 0 reaches nothing.
 * No other port is closed: plenty of services listen on odd ones.
 */
const DENIED_PORTS: ReadonlySet<number> = new Set([0, 25, 465, 587]);

/**
 * All of global unicast IPv6; what lies outside it is unassigned, whatever a registry may say
 * later.
 */
const GLOBAL_UNICAST_V6: Range = [ipaddr.IPv6.parse('2000::'), 3];
/** `::a.b.c.d`, deprecated, yet routed to the IPv4 address by some tunnels. */
const IPV4_COMPATIBLE: Range = [ipaddr.IPv6.parse('::'), 96];

/** Public by its number, but answered by the hypervisor: Azure's metadata and wire server. */
const METADATA: ReadonlySet<string> = new Set(['168.63.129.16']);

/**
 * What ipaddr.js calls a range → what a tenant reads. Names that are missing here are printed as
 * they are.
 */
const RANGE_NAMES: Readonly<Record<string, string>> = {
  linkLocal: 'link-local',
  carrierGradeNat: 'carrier-grade NAT',
  uniqueLocal: 'private',
  ipv4Mapped: 'IPv4-mapped',
  rfc6145: 'IPv4-translated',
  rfc6052: 'NAT64',
  '6to4': '6to4',
  teredo: 'Teredo',
  deprecatedSiteLocal: 'site-local',
  ipv4Compatible: 'IPv4-compatible',
};

/** The range of an address: `unicast` is the one that passes. */
function rangeOf(address: Address): string {
  if (METADATA.has(address.toString())) return 'metadata';
  const range: string = address.range();
  if (range !== 'unicast' || address.kind() === 'ipv4') return range;
  if (address.match(IPV4_COMPATIBLE)) return 'ipv4Compatible';
  return address.match(GLOBAL_UNICAST_V6) ? 'unicast' : 'reserved';
}

/**
 * Strict notations only, read as the socket will read them: ipaddr.js takes `::1.2.3.4` for the
 * mapped form of 1.2.3.4, which it is not. Null for anything else.
 */
function parseAddress(text: string): Address | null {
  const family = isIP(text);
  if (family === 0) return null;
  if (family === 4 || !text.includes('.')) return ipaddr.parse(text);
  const hexadecimal = URL.parse(`http://[${text.replace(/%.*$/, '')}]/`);
  return hexadecimal === null ? null : ipaddr.parse(hexadecimal.hostname.slice(1, -1));
}

function parseRange(text: string): Range {
  const [, network = '', length] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const address = parseAddress(network);
  const bits = address?.kind() === 'ipv4' ? 32 : 128;
  if (address === null || Number(length ?? 0) > bits) {
    throw new WardianError('bad_argument', `not an address range: ${text}`);
  }
  return [address, Number(length ?? bits)];
}

/** An IPv4 range counts for the IPv4-mapped form of its addresses, too, and the other way round. */
function inRange(address: Address, [network, bits]: Range): boolean {
  if (address.kind() === network.kind()) return address.match([network, bits] as never);
  if (address.kind() === 'ipv6') {
    const mapped = address as ipaddr.IPv6;
    return mapped.isIPv4MappedAddress() && mapped.toIPv4Address().match([network, bits] as never);
  }
  return (address as ipaddr.IPv4).toIPv4MappedAddress().match([network, bits] as never);
}

export class EgressPolicy {
  readonly #allowed: readonly Range[];

  /** Throws WardianError `bad_argument` for what is neither an address nor a CIDR range. */
  constructor(allow: readonly string[]) {
    this.#allowed = allow.map(parseRange);
  }

  /**
   * An address the operator allowed is open on every port: who names a range knows what listens
   * there.
   */
  judge(address: string, port: number): Verdict {
    const parsed = parseAddress(address);
    if (parsed === null) return { allowed: false, reason: 'not an address' };
    if (this.#allowed.some((range) => inRange(parsed, range))) return ALLOWED;
    const range = rangeOf(parsed);
    if (range !== 'unicast') {
      return { allowed: false, reason: `${RANGE_NAMES[range] ?? range} address` };
    }
    if (DENIED_PORTS.has(port)) return { allowed: false, reason: `port ${port}` };
    return ALLOWED;
  }
}
