/**
 * Which thread gets a request, and what is done with requests whose thread gets nowhere, because a
 * guest or a collection of garbage holds it or the system does not let it run: they go to another
 * thread that is open, or back to whoever sent them, who keeps the order between tenants.
 *
 *   seat:  open ──it is held, or 32 are unbegun──▶ closed ──▶ open
 */

import { LIVE_MEMORIES_MAX } from '../contract/limits.ts';
import type { Seat, Sent } from './seat.ts';
import { FIELDS } from './heartbeat.ts';

/**
 * A thread that has begun nothing for so long, be it for a guest, for a collection of garbage, or
 * because the system does not let it run, makes others go elsewhere, and those that it was sent
 * leave it, if there is a thread that gets on.
 */
const HELD_MS = 2;
/** After so long nothing more is sent to it in turn while several senders wait. */
const CLOSED_MS = 10;
/** A thread whose loop has not turned for so long is as one that is held. */
const LAG_MS = 100;
/** With no other thread open, what is behind such a guest goes back to the queue. */
const RETURN_MS = 25;
/** Of the memories that a thread may have: with more guests it comes after all that have fewer. */
const CROWDED_SHARE = 7 / 8;
const CROWDED_LOAD = 1e12;
/** Requests that a thread may have been sent and not begun. */
export const UNBEGUN_MAX = 32;

/** Milliseconds for which something has held the thread; 0 when nothing does. */
function heldMs(seat: Seat, now: number): number {
  const { values } = seat.heartbeat;
  const since = values[FIELDS.runningSince]!;
  const held = Math.max(since > 0 ? now - since : 0, seat.silentMs(now));
  const lag = now - values[FIELDS.beatAt]!;
  return lag > LAG_MS ? Math.max(held, lag) : held;
}

function isCrowded({ requests, crew }: Seat): boolean {
  return requests.size * crew.threads >= CROWDED_SHARE * LIVE_MEMORIES_MAX;
}

/**
 * The thread with the fewest guests that want it. One that is held comes after those: what is sent
 * there waits. Of several such, on a machine short of processor time, the one that has been so the
 * longest comes last. Guests that wait are shared out as well: each keeps a memory, of which a
 * thread has its share and no more.
 */
export function chooseSeat(
  seats: Iterable<Seat>, guestsMax: number, now: number,
): Seat | null {
  let best: Seat | null = null;
  let bestLoad = Number.POSITIVE_INFINITY;
  let bestSize = Number.POSITIVE_INFINITY;
  for (const seat of seats) {
    if (!seat.takes(guestsMax)) continue;
    let load = seat.load;
    const held = heldMs(seat, now);
    if (held > HELD_MS) load += guestsMax + held;
    const { size } = seat.requests;
    if (isCrowded(seat)) load += CROWDED_LOAD;
    if (load > bestLoad || (load === bestLoad && size >= bestSize)) continue;
    best = seat;
    bestSize = size;
    bestLoad = load;
  }
  return best;
}

/** Whether it can be sent more, held or not. */
export function hasRoom(seat: Seat, guestsMax: number): boolean {
  return seat.takes(guestsMax) && seat.unbegun < UNBEGUN_MAX;
}

/** Whether a request sent to it now would soon have its turn. */
export function isOpen(seat: Seat, guestsMax: number, now: number): boolean {
  return hasRoom(seat, guestsMax) && heldMs(seat, now) <= CLOSED_MS;
}

/** What shall leave a seat: how many of its unbegun requests, and where to. */
export interface Departure {
  readonly seat: Seat;
  readonly count: number;
  /** False: to whoever sent them. */
  readonly toOthers: boolean;
  /** How long something has held the thread. */
  readonly heldMs: number;
}

/**
 * Whether a request leaves a thread that was held for so long: each time it has left one it stays
 * twice as long, or where no thread is scheduled soon it would go from one to the other for ever.
 */
export function mayMove({ moves }: Sent, held: number): boolean {
  return held > HELD_MS * 2 ** moves;
}

/**
 * For each seat that is held and has requests behind the guest that holds it. `shared`: several
 * senders wait for turns; for one alone nothing is won by going back.
 */
export function departures(
  seats: readonly Seat[], guestsMax: number, now: number, shared: boolean,
): Departure[] {
  const leaving: Departure[] = [];
  let room = 0;
  for (const seat of seats) {
    if (!hasRoom(seat, guestsMax) || heldMs(seat, now) > HELD_MS) continue;
    if (isCrowded(seat)) continue;
    room += Math.min(UNBEGUN_MAX - seat.unbegun, guestsMax - seat.requests.size);
  }
  for (const seat of seats) {
    const { unbegun } = seat;
    if (unbegun === 0) continue;
    const held = heldMs(seat, now);
    if (held > HELD_MS && room > 0) {
      const count = Math.min(unbegun, room);
      room -= count;
      leaving.push({ seat, count, toOthers: true, heldMs: held });
    } else if (shared && held > RETURN_MS) {
      leaving.push({ seat, count: unbegun, toOthers: false, heldMs: held });
    }
  }
  return leaving;
}
