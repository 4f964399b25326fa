/**
 * What a guest of the Terrarium ABI holds: requests it is making, requests under way, responses it
 * received, stores it opened. Handles of one guest are numbered from 1 in one sequence, never
 * reused, so that a stale one, or one of another kind, is noticed.
 */

import { HANDLES_MAX } from '../../contract/limits.ts';
import { guestSlot } from '../slots.ts';
import { BadArgument } from '../memory.ts';
import type { PiecewiseBody } from '../piecewise-body.ts';
import type { UpstreamExchange, UpstreamHead, UpstreamResponse } from '../services/index.ts';

/** The incoming request, the outgoing response. */
export const INCOMING = 0;
export const OUTGOING = 0;
/** Handles that mean an outcome. */
export const ERROR_HANDLE = -1;
export const NOT_READY = -2;
/** HostcallStatus. */
export const STATUS_OK = 0;
export const STATUS_INVALID = 1;

export interface OutgoingRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: string[];
  body: Uint8Array | null;
  /** The client's body is to be piped into it, in place of `body`. */
  pipes: boolean;
}

/** A response whose body the guest reads piece by piece. */
export interface StreamedResponse extends UpstreamHead {
  readonly exchange: UpstreamExchange;
  readonly stream: PiecewiseBody;
}

export type ReceivedResponse = StreamedResponse | (UpstreamResponse & { readonly stream?: never });

/**
 * A request under way.
 *
 *   under way ──▶ done: `response`, or `error` ──poll, wait, select──▶ consumed: no handle
 */
export interface PendingRequest {
  readonly handle: number;
  done: boolean;
  response: UpstreamResponse | null;
  error: unknown;
  /** Told when it is done: by the one hostcall that waits. */
  waiter: ((pending: PendingRequest) => void) | null;
  /** How often it was polled in vain. */
  polls: number;
}

export class TerrariumState {
  readonly requests = new Map<number, OutgoingRequest>();
  readonly pending = new Map<number, PendingRequest>();
  readonly responses = new Map<number, ReceivedResponse>();
  /** Ids of the key-value stores that were opened, by handle; and the handles by name. */
  readonly stores = new Map<number, number>();
  readonly storeHandles = new Map<string, number>();
  #issued = 0;

  /** Zero when the guest has had all the handles there are. */
  nextHandle(): number {
    return this.#issued === HANDLES_MAX ? 0 : ++this.#issued;
  }
}

export const terrarium = guestSlot(() => new TerrariumState());

/** For hostcalls that have no error value. */
export function badHandle(argument: string, handle: number, kind: string): BadArgument {
  return new BadArgument(argument, `${handle} is not the handle of a ${kind}`);
}
