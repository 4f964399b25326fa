/**
 * Names to addresses, for guests that ask and for the connections of subrequests: literals,
 * `localhost`, the hosts file, a bounded cache that keeps to the times to live, then the resolvers.
 * Equal lookups under way are shared.
 */

import { randomInt } from 'node:crypto';
import { isIP } from 'node:net';
import { LRUCache } from 'lru-cache';
import {
  DNS_CACHE_ENTRIES_MAX,
  DNS_NEGATIVE_TTL_MAX_MS,
  DNS_QUERIES_CONCURRENT_MAX,
  DNS_QUERIES_PER_TENANT_MAX,
  DNS_TIMEOUT_MS,
  DNS_TTL_MAX_MS,
} from '../../../contract/limits.ts';
import { DnsError } from '../errors.ts';
import type { SubrequestScope } from '../scope.ts';
import type { DnsResolver } from '../types.ts';
import { AnswerCache } from './answer-cache.ts';
import { DnsExchange, nameservers } from './exchange.ts';
import { HostsFile } from './hosts.ts';
import {
  RCODE_NAME_ERROR,
  addressBytes,
  addressQuery,
  addressesOf,
  checkQuery,
  normalizeName,
  rcodeOf,
} from './message.ts';
import type { AddressType } from './message.ts';

export interface ResolverOptions {
  /** `address` or `address:port`; empty for the system's. */
  readonly servers: readonly string[];
  readonly hostsPath?: string;
  readonly timeoutMs?: number;
}

/** Null: the name does not exist. */
type Known = { readonly addresses: readonly string[] | null };

/** How long the second family may take once the first has addresses (RFC 8305, section 3). */
const RESOLUTION_DELAY_MS = 50;
const LOOPBACK: Readonly<Record<AddressType, string>> = { A: '127.0.0.1', AAAA: '::1' };

const familyOf = (type: AddressType): number => (type === 'A' ? 4 : 6);

function notFound(name: string): DnsError {
  return new DnsError('not_found', `no such name: ${name}`);
}

/**
 * Rejects with `aborted` when the guest ends; the lookup itself runs on, for others and for the
 * cache.
 */
function untilAborted<T>(work: Promise<T>, scope: SubrequestScope): Promise<T> {
  return new Promise((resolve, reject) => {
    const forget = scope.onAbort(() => {
      reject(new DnsError('aborted', 'the query was cancelled'));
    });
    work.then(resolve, reject).finally(forget);
  });
}

export class CachingResolver implements DnsResolver {
  readonly #exchange: DnsExchange;
  readonly #hosts: HostsFile;
  readonly #cache = new LRUCache<string, Known>({ max: DNS_CACHE_ENTRIES_MAX });
  readonly #answers = new AnswerCache();
  readonly #underWay = new Map<string, Promise<Known>>();
  /** Queries under way, by tenant and in all. */
  readonly #tenants = new Map<number, number>();
  #running = 0;

  constructor({ servers, hostsPath = '/etc/hosts', timeoutMs = DNS_TIMEOUT_MS }: ResolverOptions) {
    this.#exchange = new DnsExchange(nameservers(servers), timeoutMs);
    this.#hosts = new HostsFile(hostsPath);
  }

  async queryIp(name: string, ipv6: boolean, scope: SubrequestScope): Promise<Uint8Array[]> {
    scope.countDnsQuery();
    const lookup = this.#lookupType(name, ipv6 ? 'AAAA' : 'A', scope.tenantId);
    return (await untilAborted(lookup, scope)).map(addressBytes);
  }

  async queryRaw(message: Uint8Array, scope: SubrequestScope): Promise<Uint8Array> {
    scope.countDnsQuery();
    const asked = Buffer.from(message);
    checkQuery(asked);
    const known = this.#answers.find(asked);
    if (known !== null) return known;
    const query = Buffer.from(asked);
    query.writeUInt16BE(randomInt(0x1_0000));
    const answer = await untilAborted(this.#askRaw(query, scope.tenantId), scope);
    const copy = Buffer.from(answer);
    copy.writeUInt16BE(asked.readUInt16BE(0));
    return copy;
  }

  async #askRaw(query: Buffer, tenantId: number): Promise<Buffer> {
    const answer = await this.#ask(query, tenantId);
    this.#answers.keep(query, answer);
    return answer;
  }

  /**
   * Both families' addresses for a connection, IPv4 first. Throws DnsError; never an empty list.
   */
  async lookup(name: string, tenantId: number): Promise<readonly string[]> {
    const v4 = this.#lookupType(name, 'A', tenantId);
    const v6 = this.#lookupType(name, 'AAAA', tenantId);
    const [first, second] = await Promise.allSettled([v4, this.#secondFamily(v4, v6)]);
    const found = [first, second].flatMap((one) => (one.status === 'fulfilled' ? one.value : []));
    if (found.length > 0) return found;
    if (first.status === 'rejected') throw first.reason;
    if (second.status === 'rejected') throw second.reason;
    throw new DnsError('not_found', `no address for ${name}`);
  }

  /** IPv6 addresses, unless they are late and there are IPv4 ones. */
  async #secondFamily(
    v4: Promise<readonly string[]>,
    v6: Promise<readonly string[]>,
  ): Promise<readonly string[]> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<readonly string[]>((resolve) => {
      const wait = (addresses: readonly string[]): void => {
        if (addresses.length > 0) timer = setTimeout(resolve, RESOLUTION_DELAY_MS, []);
      };
      // A failure is seen by the caller, which waits for both families.
      v4.then(wait, () => {});
    });
    try {
      return await Promise.race([v6, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #lookupType(
    written: string,
    type: AddressType,
    tenantId: number,
  ): Promise<readonly string[]> {
    if (isIP(written) !== 0) return isIP(written) === familyOf(type) ? [written] : [];
    const name = normalizeName(written);
    if (name === null) throw new DnsError('bad_query', 'not a host name');
    const local = await this.#hosts.lookup(name);
    if (local !== undefined) return local.filter((one) => isIP(one) === familyOf(type));
    if (name === 'localhost' || name.endsWith('.localhost')) return [LOOPBACK[type]];
    const key = `${type} ${name}`;
    const known = this.#cache.get(key) ?? (await this.#share(key, name, type, tenantId));
    if (known.addresses === null) throw notFound(name);
    return known.addresses;
  }

  #share(key: string, name: string, type: AddressType, tenantId: number): Promise<Known> {
    const underWay = this.#underWay.get(key);
    if (underWay !== undefined) return underWay;
    const work = this.#resolve(key, name, type, tenantId).finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, work);
    return work;
  }

  async #resolve(key: string, name: string, type: AddressType, tenantId: number): Promise<Known> {
    const query = addressQuery(name, type, randomInt(0x1_0000));
    const answer = await this.#ask(query, tenantId);
    const rcode = rcodeOf(answer);
    if (rcode !== 0 && rcode !== RCODE_NAME_ERROR) {
      throw new DnsError('server_failure', `the DNS resolvers refused or failed (rcode ${rcode})`);
    }
    const { addresses, ttlSeconds } = addressesOf(answer, name, type);
    const found = rcode === 0 && addresses.length > 0;
    const known: Known = { addresses: rcode === RCODE_NAME_ERROR ? null : addresses };
    const ttlMs = found
      ? Math.min((ttlSeconds ?? 0) * 1_000, DNS_TTL_MAX_MS)
      : DNS_NEGATIVE_TTL_MAX_MS;
    if (ttlMs > 0) this.#cache.set(key, known, { ttl: ttlMs });
    return known;
  }

  /** One exchange, within what a tenant and this thread may have under way. */
  async #ask(query: Buffer, tenantId: number): Promise<Buffer> {
    const running = this.#tenants.get(tenantId) ?? 0;
    if (running >= DNS_QUERIES_PER_TENANT_MAX || this.#running >= DNS_QUERIES_CONCURRENT_MAX) {
      throw new DnsError('too_many', 'too many DNS queries are under way');
    }
    this.#tenants.set(tenantId, running + 1);
    this.#running += 1;
    try {
      return await this.#exchange.ask(query);
    } finally {
      this.#running -= 1;
      const left = (this.#tenants.get(tenantId) ?? 1) - 1;
      if (left === 0) this.#tenants.delete(tenantId);
      else this.#tenants.set(tenantId, left);
    }
  }
}
