/** State that ABIs keep with a guest, without the guest knowing of it. */

import type { GuestState } from './guest.ts';

/** A place for an ABI's own state in every guest, made when first asked for. */
export function guestSlot<T>(create: (guest: GuestState) => T): (guest: GuestState) => T {
  const slot = slotCount++;
  return (guest) => (guest.slots[slot] ??= create(guest)) as T;
}

let slotCount = 0;
