/** For how long a request held a thread: what a tenant's turn is reckoned by. */

import type { ReplyMessage } from '../contract/messages.ts';

/** What hostcalls may take beyond their fuel, and units that last no longer than a millisecond. */
const HOST_WORK_MS = 0.5;
const FUEL_PER_MS_MIN = 500_000;

/**
 * Milliseconds for which a guest held a thread, as far as they can be its own: on a busy machine
 * the thread itself may have had to wait, but fuel that was not burnt was no work.
 */
export function heldMs({ usage, held = false }: ReplyMessage, sinceDispatchMs: number): number {
  const measured = (usage.instantiateUs + usage.runUs - usage.waitedUs) / 1_000;
  if (held) return sinceDispatchMs;
  return Math.min(measured, HOST_WORK_MS + usage.fuel / FUEL_PER_MS_MIN);
}
