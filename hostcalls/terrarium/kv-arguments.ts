/**
 * Arguments of `hostcall_kv_*`: taken out of the guest's memory, or refused. A refusal is a number
 * that the guest is answered; an address outside of its memory ends it, as everywhere.
 */

import {
  KV_KEY_BYTES_MAX, KV_TTL_MS_MAX, KV_VALUE_BYTES_MAX,
} from '../../contract/limits.ts';
import type { GuestState } from '../guest.ts';
import { KV_INVALID, KV_TOO_LARGE, Refusal } from './kv-status.ts';
import { terrarium } from './state.ts';

/** The handle of the deployment's own store. */
const OWN_STORE = 0;
const NUMBER_BYTES = 8;

/** The store's id. */
export function takeStore(guest: GuestState, handle: number): number {
  if (handle === OWN_STORE) return guest.owner.appId;
  const id = terrarium(guest).stores.get(handle);
  if (id === undefined) throw new Refusal(KV_INVALID, `${handle} is not the handle of a store`);
  return id;
}

export function takeKey(guest: GuestState, key: number, length: number): Uint8Array {
  guest.memory.check(key, length, 'k');
  if (length >>> 0 >= 1 && length >>> 0 <= KV_KEY_BYTES_MAX) {
    return guest.memory.copy(key, length, 'k');
  }
  throw new Refusal(KV_INVALID,
    `a key has 1 to ${KV_KEY_BYTES_MAX} bytes, this one has ${length >>> 0}`);
}

export function takeValue(guest: GuestState, value: number, length: number): Uint8Array {
  guest.memory.check(value, length, 'v');
  if (length >>> 0 <= KV_VALUE_BYTES_MAX) return guest.memory.copy(value, length, 'v');
  throw new Refusal(KV_TOO_LARGE,
    `a value has at most ${KV_VALUE_BYTES_MAX} bytes, this one has ${length >>> 0}`);
}

/** Null for never. */
export function takeTtl(ttl: bigint): number | null {
  if (ttl === 0n) return null;
  if (ttl >= 1n && ttl <= BigInt(KV_TTL_MS_MAX)) return Number(ttl);
  throw new Refusal(KV_INVALID, `a time to live has 0 to ${KV_TTL_MS_MAX} milliseconds`);
}

export function takeRevision(revision: bigint): number {
  if (revision >= 0n && revision <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(revision);
  throw new Refusal(KV_INVALID, `${BigInt.asUintN(64, revision)} is not a revision`);
}

/** All out-pointers are looked at before anything is done; address 0 is none. */
export function checkNumberOut(guest: GuestState, out: number, argument: string): void {
  if (out !== 0) guest.memory.check(out, NUMBER_BYTES, argument);
}

export function storeNumber(guest: GuestState, out: number, value: bigint, argument: string): void {
  if (out !== 0) guest.memory.writeU64(out, value, argument);
}

/** What `work` answers, or the number of its refusal. */
export function refusing<R>(guest: GuestState, work: () => R): R | number {
  try {
    return work();
  } catch (error) {
    if (error instanceof Refusal) return error.tell(guest);
    throw error;
  }
}

/** A prefix or a cursor: a key that may be empty. */
export function takeBound(
  guest: GuestState, bound: number, length: number, argument: string,
): Uint8Array {
  guest.memory.check(bound, length, argument);
  if (length >>> 0 <= KV_KEY_BYTES_MAX) return guest.memory.copy(bound, length, argument);
  throw new Refusal(KV_INVALID, `${argument}: ${length >>> 0} bytes, a key has at most `
    + `${KV_KEY_BYTES_MAX}`);
}
