/**
 * Header fields between a guest and the host: what the hostcalls on requests and on responses have
 * in common.
 */

import { HEADER_NAME_BYTES_MAX } from '../../contract/limits.ts';
import type { GuestState } from '../guest.ts';
import { headerNames, headerValues, isHeaderName, setHeader } from '../headers.ts';
import { BadArgument } from '../memory.ts';
import { giveTexts, takeHeaderValues } from './give.ts';
import { STATUS_INVALID, STATUS_OK } from './state.ts';

export function giveHeaderNames(
  guest: GuestState, pointerOut: number, countOut: number, fields: readonly string[],
): void {
  giveTexts(guest, pointerOut, countOut, headerNames(fields));
}

/** A name that is no token names no field; one that is not even UTF-8 ends the guest. */
export function giveHeaderValues(
  guest: GuestState, pointerOut: number, countOut: number, fields: readonly string[],
  name: number, nameLength: number,
): void {
  guest.memory.check(name, nameLength, 'name');
  let values: string[] = [];
  if (nameLength >>> 0 <= HEADER_NAME_BYTES_MAX) {
    const wanted = guest.memory.utf8(name, nameLength, 'name');
    if (wanted === null) throw new BadArgument('name', 'is not UTF-8');
    values = headerValues(fields, wanted.toLowerCase());
  }
  giveTexts(guest, pointerOut, countOut, values);
}

/**
 * HostcallStatus. `fields` is null where the handle allows no change: the arguments are looked at
 * all the same.
 */
export function takeHeader(
  guest: GuestState, fields: string[] | null, name: number, nameLength: number,
  slices: number, count: number,
): number {
  guest.memory.check(name, nameLength, 'name');
  const values = takeHeaderValues(guest, slices, count);
  if (fields === null || values === null) return STATUS_INVALID;
  if (nameLength >>> 0 > HEADER_NAME_BYTES_MAX) return STATUS_INVALID;
  // A token is ASCII, so bytes that are not UTF-8 are refused with everything else that is no
  // token.
  const field = guest.memory.latin1(name, nameLength, 'name');
  if (!isHeaderName(field)) return STATUS_INVALID;
  return setHeader(fields, field, values) ? STATUS_OK : STATUS_INVALID;
}
