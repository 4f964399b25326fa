/**
 * DNS messages: what may be asked, whether an answer belongs to a question, and the addresses in an
 * answer. The wire format is dns-packet's; what decides about trust is checked on the bytes.
 */

import { domainToASCII } from 'node:url';
import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import packet from 'dns-packet';
import type { DecodedPacket } from 'dns-packet';
import { DNS_ANSWER_BYTES_MAX, DNS_MESSAGE_BYTES_MAX } from '../../../contract/limits.ts';
import { DnsError } from '../errors.ts';

export type AddressType = 'A' | 'AAAA';

export interface Addresses {
  /** Textual addresses, in the answer's order. */
  readonly addresses: readonly string[];
  /** The least time to live along the chain, or null when the answer gives none. */
  readonly ttlSeconds: number | null;
}

const HEADER_BYTES = 12;
const NAME_LENGTH_MAX = 253;
const LABEL_LENGTH_MAX = 63;
const CNAME_CHAIN_MAX = 16;
const ADDRESSES_MAX = 64;
const LABEL = /^[a-z0-9_-]+$/;
const CLASS_INTERNET = 1;
const TYPE_OPT = 41;
/** The length byte of a label that is a pointer begins with two ones. */
const POINTER_MIN = 0xc0;
/** Type, class, time to live, length of the data. */
const RECORD_HEAD_BYTES = 10;
/** TKEY, TSIG, IXFR, AXFR, MAILB, MAILA: transactions with a server and transfers, not lookups. */
const REFUSED_TYPES = { first: 249, last: 254 };

export const RCODE_SERVER_FAILURE = 2;
export const RCODE_NAME_ERROR = 3;

/**
 * The name as it is looked up: lower case, ASCII, without the final dot. Null if it is not a host
 * name.
 */
export function normalizeName(name: string): string | null {
  if (name.length > 4 * NAME_LENGTH_MAX) return null;
  // eslint-disable-next-line no-control-regex -- ASCII is what is asked for
  const ascii = /^[\x00-\x7f]*$/.test(name) ? name : domainToASCII(name);
  const lower = (ascii.endsWith('.') ? ascii.slice(0, -1) : ascii).toLowerCase();
  if (lower.length === 0 || lower.length > NAME_LENGTH_MAX) return null;
  const fits = (label: string): boolean => label.length <= LABEL_LENGTH_MAX && LABEL.test(label);
  return lower.split('.').every(fits) ? lower : null;
}

/** `name` must be normalized. */
export function addressQuery(name: string, type: AddressType, id: number): Buffer {
  return packet.encode({
    type: 'query',
    id,
    flags: packet.RECURSION_DESIRED,
    questions: [{ type, name, class: 'IN' }],
  });
}

/** Where the question ends, its type and class included; -1 if it is not one uncompressed name. */
function questionEnd(message: Buffer): number {
  let at = HEADER_BYTES;
  while (at < message.length) {
    const length = message[at] ?? 0;
    if (length > LABEL_LENGTH_MAX) return -1;
    at += length + 1;
    if (length === 0) return at + 4 <= message.length ? at + 4 : -1;
    if (at - HEADER_BYTES > NAME_LENGTH_MAX + 1) return -1;
  }
  return -1;
}

function bad(why: string, cause?: unknown): DnsError {
  return new DnsError('bad_query', `not a DNS query that is answered here: ${why}`, { cause });
}

/**
 * A guest's own message: one plain question of class IN, with nothing but an OPT record behind it.
 */
export function checkQuery(message: Buffer): void {
  if (message.length > DNS_MESSAGE_BYTES_MAX) throw bad(`more than ${DNS_MESSAGE_BYTES_MAX} bytes`);
  if (message.length < HEADER_BYTES) throw bad('too short');
  const end = questionEnd(message);
  if (message.readUInt16BE(4) !== 1 || end < 0) throw bad('it must hold one question');
  if ((message.readUInt16BE(2) & 0xf800) !== 0) throw bad('it is not a standard query');
  const type = message.readUInt16BE(end - 4);
  if (message.readUInt16BE(end - 2) !== CLASS_INTERNET) throw bad('the class must be IN');
  if (type >= REFUSED_TYPES.first && type <= REFUSED_TYPES.last) throw bad(`type ${type}`);
  let decoded: DecodedPacket;
  try {
    decoded = packet.decode(message);
  } catch (cause) {
    throw bad('malformed', cause);
  }
  const extra = decoded.additionals ?? [];
  if (
    (decoded.answers?.length ?? 0) > 0 ||
    (decoded.authorities?.length ?? 0) > 0 ||
    extra.length > 1 ||
    extra.some((record) => record.type !== 'OPT')
  ) {
    throw bad('it holds records');
  }
  if (packet.decode.bytes !== message.length) throw bad('bytes follow it');
}

/** Names are compared without case, as some servers do not keep it; type and class exactly. */
function sameQuestion(query: Buffer, answer: Buffer, end: number): boolean {
  for (let at = HEADER_BYTES; at < end; at += 1) {
    const asked = query[at] ?? 0;
    const echoed = answer[at] ?? 0;
    if (asked === echoed) continue;
    const isLetter = (asked | 0x20) >= 0x61 && (asked | 0x20) <= 0x7a;
    if (at >= end - 4 || !isLetter || (asked ^ echoed) !== 0x20) return false;
  }
  return true;
}

/**
 * Whether `answer` answers `query`: same id, an answer, the same question. Anything else is noise
 * or a forgery.
 */
export function isAnswerTo(query: Buffer, answer: Buffer): boolean {
  const end = questionEnd(query);
  if (end < 0 || answer.length < end || answer.length > DNS_ANSWER_BYTES_MAX) return false;
  return (
    answer.readUInt16BE(0) === query.readUInt16BE(0) &&
    (answer.readUInt16BE(2) & 0xf800) === 0x8000 &&
    answer.readUInt16BE(4) === 1 &&
    sameQuestion(query, answer, end)
  );
}

export function isTruncated(answer: Buffer): boolean {
  return (answer.readUInt16BE(2) & 0x0200) !== 0;
}

export function rcodeOf(answer: Buffer): number {
  return answer.readUInt16BE(2) & 0x000f;
}

/**
 * The addresses of `name`, following aliases within the answer only. Throws DnsError if it is
 * malformed.
 */
export function addressesOf(answer: Buffer, name: string, type: AddressType): Addresses {
  let decoded: DecodedPacket;
  try {
    decoded = packet.decode(answer);
  } catch (cause) {
    throw new DnsError('server_failure', 'the resolver sent a malformed answer', { cause });
  }
  const records = decoded.answers ?? [];
  const family = type === 'A' ? 4 : 6;
  let owner = name;
  let ttlSeconds = Number.POSITIVE_INFINITY;
  for (let link = 0; link < CNAME_CHAIN_MAX; link += 1) {
    const addresses: string[] = [];
    let alias: string | null = null;
    for (const record of records) {
      if (record.name.toLowerCase() !== owner) continue;
      if (record.type === type && 'data' in record && isIP(String(record.data)) === family) {
        ttlSeconds = Math.min(ttlSeconds, record.ttl ?? 0);
        if (addresses.length < ADDRESSES_MAX) addresses.push(String(record.data));
      } else if (record.type === 'CNAME') {
        ttlSeconds = Math.min(ttlSeconds, record.ttl ?? 0);
        alias = record.data.toLowerCase();
      }
    }
    if (addresses.length > 0) return { addresses, ttlSeconds };
    if (alias === null) break;
    owner = alias;
  }
  return { addresses: [], ttlSeconds: Number.isFinite(ttlSeconds) ? ttlSeconds : null };
}

/** Behind the name at `at`, pointers included; -1 if it does not end within the message. */
function nameEnd(message: Buffer, at: number): number {
  let end = at;
  while (end < message.length) {
    const length = message[end] ?? 0;
    if (length === 0) return end + 1;
    if (length >= POINTER_MIN) return end + 2;
    if (length > LABEL_LENGTH_MAX) return -1;
    end += length + 1;
  }
  return -1;
}

/**
 * Where the times to live of all records of an answer are, but for OPT, which has other things
 * there. Null if the records do not end where the message does.
 */
export function timesToLive(answer: Buffer): number[] | null {
  const places: number[] = [];
  let at = questionEnd(answer);
  if (at < 0) return null;
  const records = answer.readUInt16BE(6) + answer.readUInt16BE(8) + answer.readUInt16BE(10);
  for (let index = 0; index < records; index += 1) {
    at = nameEnd(answer, at);
    if (at < 0 || at + RECORD_HEAD_BYTES > answer.length) return null;
    if (answer.readUInt16BE(at) !== TYPE_OPT) places.push(at + 4);
    at += RECORD_HEAD_BYTES + answer.readUInt16BE(at + 8);
  }
  return at === answer.length ? places : null;
}

export function addressBytes(address: string): Uint8Array {
  return Uint8Array.from(ipaddr.parse(address).toByteArray());
}
