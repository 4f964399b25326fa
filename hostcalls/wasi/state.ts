/**
 * What a guest sees of WASI's world: three descriptors and no files. Descriptor 0 reads the
 * request's body, 1 and 2 write to the deployment's log.
 */

import type { GuestState } from '../guest.ts';
import { guestSlot } from '../slots.ts';
import { wholeBody } from '../request.ts';

export type Stream = 'stdin' | 'stdout' | 'stderr';

export interface Descriptor {
  readonly stream: Stream;
  /** As `fd_fdstat_set_flags` left them. */
  flags: number;
}

export class WasiState {
  readonly descriptors: (Descriptor | null)[] = [
    { stream: 'stdin', flags: 0 }, { stream: 'stdout', flags: 0 }, { stream: 'stderr', flags: 0 },
  ];
  /** Bytes of the body read so far. */
  bodyRead = 0;

  descriptor(fd: number): Descriptor | null {
    return this.descriptors[fd >>> 0] ?? null;
  }
}

export const wasi = guestSlot(() => new WasiState());

/** Null unless `fd` is open. */
export function openDescriptor(guest: GuestState, fd: number): Descriptor | null {
  return wasi(guest).descriptor(fd);
}

/** Bytes of the body that are still to be read. */
export function bodyLeft(guest: GuestState): Uint8Array {
  const body = wholeBody(guest.request, 'fd');
  return body === null ? new Uint8Array(0) : body.subarray(wasi(guest).bodyRead);
}
