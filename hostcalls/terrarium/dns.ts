/** `hostcall_dns_*`: names to addresses, and DNS messages as they are. */

import { DNS_MESSAGE_BYTES_MAX } from '../../contract/limits.ts';
import { FUEL_PER_BYTE_TEXT, hostcall } from '../define.ts';
import type { GuestState } from '../guest.ts';
import { DnsError } from '../services/errors.ts';
import { giveByteArrays, giveBytes, giveNothing } from './give.ts';
import { COUNT_OUT, LEN_OUT, PTR_OUT, i32 } from './parameters.ts';

/**
 * A name on the wire has 255 bytes at most; as text, with escapes and a final dot, it is no longer
 * than this.
 */
const NAME_BYTES_MAX = 1_024;

/**
 * The tenant's log gets the reason, the guest address 0. Errors of ours are not the guest's to
 * handle.
 */
function nothingFor(
  guest: GuestState, error: unknown, pointerOut: number, lengthOut: number,
): number {
  if (!(error instanceof DnsError)) throw error;
  guest.log.line('debug', `${guest.lastHostcall}: ${error.reason}: ${error.message}`);
  giveNothing(guest, pointerOut, lengthOut);
  return 0;
}

const queryIp = hostcall({
  name: 'hostcall_dns_query_ip',
  parameters: [
    PTR_OUT, COUNT_OUT,
    i32('name', 'address of a host name'), i32('len', 'its length in bytes'),
    i32('ipv6', '0 for IPv4 addresses, anything else for IPv6'),
  ],
  result: 'i32',
  waits: true,
  fuelPerByte: FUEL_PER_BYTE_TEXT,
  times: 'dnsMs',
  does: 'Gives the addresses of a host name, 4 or 16 bytes each. Answers 1 if the name was found.',
  errors: '0 on failure (the log says why), with address 0 and length 0. A name that exists '
    + 'without an address of '
    + 'the family: 1, with address 0 and length 0.',
  memory: 'slices',
  run(guest, pointerOut, countOut, name, nameLength, ipv6) {
    const { memory } = guest;
    memory.check(pointerOut, 4, 'ptr_out');
    memory.check(countOut, 4, 'len_out');
    memory.check(name, nameLength, 'name');
    const text = nameLength >>> 0 > NAME_BYTES_MAX ? null : memory.utf8(name, nameLength, 'name');
    if (text === null) {
      const error = new DnsError('bad_query', 'the name is too long or not UTF-8');
      return nothingFor(guest, error, pointerOut, countOut);
    }
    return guest.wait(guest.services.dns.queryIp(text, ipv6 !== 0, guest.scope),
      (addresses) => {
        giveByteArrays(guest, pointerOut, countOut, addresses);
        return 1;
      },
      (error) => nothingFor(guest, error, pointerOut, countOut));
  },
});

const queryRaw = hostcall({
  name: 'hostcall_dns_query_raw',
  parameters: [
    PTR_OUT, LEN_OUT, i32('query', 'address of a DNS message'), i32('len', 'its length in bytes'),
  ],
  result: 'i32',
  waits: true,
  fuelPerByte: FUEL_PER_BYTE_TEXT,
  times: 'dnsMs',
  does: 'Sends a DNS query in wire format and gives the answer, in wire format, under the query\'s '
    + 'id.',
  errors: '0 on failure (the log says why), with address 0 and length 0.',
  memory: 'text',
  run(guest, pointerOut, lengthOut, query, queryLength) {
    const { memory } = guest;
    memory.check(pointerOut, 4, 'ptr_out');
    memory.check(lengthOut, 4, 'len_out');
    memory.check(query, queryLength, 'query');
    if (queryLength >>> 0 > DNS_MESSAGE_BYTES_MAX) {
      const error = new DnsError('bad_query',
        `a message of ${queryLength >>> 0} bytes is over the limit of ${DNS_MESSAGE_BYTES_MAX}`);
      return nothingFor(guest, error, pointerOut, lengthOut);
    }
    const message = memory.copy(query, queryLength, 'query');
    return guest.wait(guest.services.dns.queryRaw(message, guest.scope),
      (answer) => {
        giveBytes(guest, pointerOut, lengthOut, answer);
        return 1;
      },
      (error) => nothingFor(guest, error, pointerOut, lengthOut));
  },
});

export const DNS_HOSTCALLS = [queryIp, queryRaw] as const;
