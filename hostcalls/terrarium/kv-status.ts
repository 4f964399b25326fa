/**
 * What `hostcall_kv_*` answer when they refuse: the one place where the store's errors become
 * numbers. The reason is a line in the deployment's log.
 */

import { WardianError, type ErrorCode } from '../../contract/errors.ts';
import type { GuestState } from '../guest.ts';

export const KV_INVALID = -1;
export const KV_FULL = -2;
export const KV_TOO_LARGE = -3;
export const KV_NOT_A_NUMBER = -4;
export const KV_GONE = -5;
export const KV_BUSY = -6;

/** For the documentation. */
export const KV_STATUSES: readonly (readonly [status: number, means: string])[] = [
  [KV_INVALID, 'a handle that is not a store\'s, or a name, key, prefix, cursor, time to live or '
    + 'revision that cannot be'],
  [KV_FULL, 'the store\'s keys or bytes are used up'],
  [KV_TOO_LARGE, 'the value is over the limit'],
  [KV_NOT_A_NUMBER, 'what is to be incremented is not a whole number in decimal text, or the sum '
    + 'has more than 64 bits'],
  [KV_GONE, 'the namespace was deleted meanwhile'],
  [KV_BUSY, 'nothing can be written now: too many writes wait, or the node\'s disk is nearly full; '
    + 'later it may work'],
];

/**
 * Refusals after which nothing has changed. What is not here (an error of the store of which nobody
 * knows whether it wrote) is not the guest's to handle.
 */
const REFUSALS: Partial<Record<ErrorCode, number>> = {
  storage_full: KV_FULL,
  bad_argument: KV_TOO_LARGE,
  not_found: KV_GONE,
  tenant_overloaded: KV_BUSY,
  overloaded: KV_BUSY,
  disk_full: KV_BUSY,
};

function told(guest: GuestState, status: number, reason: string): number {
  guest.log.line('debug', `${guest.lastHostcall ?? 'hostcall_kv'}: ${reason}`);
  return status;
}

/** Refused before the store was asked. */
export class Refusal {
  readonly status: number;
  readonly reason: string;

  constructor(status: number, reason: string) {
    this.status = status;
    this.reason = reason;
  }

  tell(guest: GuestState): number {
    return told(guest, this.status, this.reason);
  }
}

/** The number for what the store refused; throws what it is none for. */
export function refused(
  guest: GuestState, error: unknown, badArgument: number = KV_TOO_LARGE,
): number {
  if (!(error instanceof WardianError)) throw error;
  const status = error.code === 'bad_argument' ? badArgument : REFUSALS[error.code];
  if (status === undefined) throw error;
  return told(guest, status, error.message);
}
