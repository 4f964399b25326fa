/**
 * `poll_oneoff`: clocks and the three descriptors. Reading and writing never wait here, so a poll
 * waits only if it asks for nothing but clocks; then for the first of them.
 */

import { FUEL_PER_BYTE_BULK, hostcall } from '../define.ts';
import type { GuestState } from '../guest.ts';
import { clockNanos } from './environment.ts';
import { EBADF, EINVAL, SUCCESS } from './errno.ts';
import { i32 } from './parameters.ts';
import { bodyLeft, openDescriptor } from './state.ts';

const SUBSCRIPTION_BYTES = 48;
const EVENT_BYTES = 32;
const SUBSCRIPTIONS_MAX = 1_024;

const EVENT_CLOCK = 0;
const EVENT_FD_READ = 1;
const EVENT_FD_WRITE = 2;
const FLAG_ABSTIME = 1;

const NANOS_PER_MS = 1_000_000n;
/** `setTimeout` takes no more; every deadline comes sooner. */
const TIMEOUT_MS_MAX = 2_147_483_647n;

interface ClockWait {
  readonly userdata: bigint;
  readonly remaining: bigint;
}

interface Event {
  readonly userdata: bigint;
  readonly errno: number;
  readonly type: number;
  readonly bytes: number;
}

interface Subscriptions {
  readonly ready: Event[];
  readonly clocks: ClockWait[];
}

/** One subscription, as the guest laid it out: see the documentation. */
function subscribe(guest: GuestState, subscription: Buffer, to: Subscriptions): void {
  const userdata = subscription.readBigUInt64LE(0);
  const type = subscription.readUInt8(8);
  if (type === EVENT_CLOCK) {
    const now = clockNanos(guest, subscription.readUInt32LE(16));
    const timeout = subscription.readBigUInt64LE(24);
    const absolute = (subscription.readUInt16LE(40) & FLAG_ABSTIME) !== 0;
    if (now === null) to.ready.push({ userdata, errno: EINVAL, type, bytes: 0 });
    else to.clocks.push({ userdata, remaining: absolute ? timeout - now : timeout });
    return;
  }
  const descriptor = openDescriptor(guest, subscription.readUInt32LE(16));
  const reads = descriptor !== null && descriptor.stream === 'stdin';
  const suits = descriptor !== null && reads === (type === EVENT_FD_READ);
  to.ready.push({
    userdata, type, errno: suits ? SUCCESS : EBADF,
    bytes: suits && reads ? bodyLeft(guest).length : 0,
  });
}

function storeEvents(
  guest: GuestState, eventsOut: number, countOut: number, events: readonly Event[],
): void {
  const bytes = Buffer.alloc(events.length * EVENT_BYTES);
  events.forEach((event, index) => {
    const at = index * EVENT_BYTES;
    bytes.writeBigUInt64LE(event.userdata, at);
    bytes.writeUInt16LE(event.errno, at + 8);
    bytes.writeUInt8(event.type, at + 10);
    bytes.writeBigUInt64LE(BigInt(event.bytes), at + 16);
  });
  guest.memory.write(eventsOut, bytes, 'events_out');
  guest.memory.writeU32(countOut, events.length, 'count_out');
}

function clockEvents(clocks: readonly ClockWait[], elapsed: bigint): Event[] {
  return clocks.filter(({ remaining }) => remaining <= elapsed)
    .map(({ userdata }) => ({ userdata, errno: SUCCESS, type: EVENT_CLOCK, bytes: 0 }));
}

function waitForClock(
  guest: GuestState, clocks: readonly ClockWait[], eventsOut: number, countOut: number,
): Promise<number> {
  let shortest = clocks[0]!.remaining;
  for (const { remaining } of clocks) if (remaining < shortest) shortest = remaining;
  const ms = (shortest + NANOS_PER_MS - 1n) / NANOS_PER_MS;
  let timer: NodeJS.Timeout;
  const elapsed = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, Number(ms < TIMEOUT_MS_MAX ? ms : TIMEOUT_MS_MAX));
  });
  return guest.wait(elapsed, () => {
    storeEvents(guest, eventsOut, countOut, clockEvents(clocks, shortest));
    return SUCCESS;
  }, null, () => clearTimeout(timer));
}

const pollOneoff = hostcall({
  name: 'poll_oneoff',
  parameters: [
    i32('subscriptions', 'address of an array of 48-byte subscriptions'),
    i32('events_out', 'where the host stores 32-byte events, at most one for each subscription'),
    i32('n', 'the number of subscriptions'),
    i32('count_out', 'where the host stores the u32 number of events'),
  ],
  result: 'i32',
  waits: true,
  fuelPerByte: FUEL_PER_BYTE_BULK,
  does: 'Waits for the first of several clocks; returns at once if a descriptor is among the '
    + 'subscriptions: all three '
    + 'are always ready.',
  errors: 'EINVAL for no subscription, more than 1,024, or one of a type that there is not. A '
    + 'clock that there is '
    + 'not (EINVAL) and a descriptor that is not open for it (EBADF) are events.',
  memory: 'events',
  run(guest, subscriptions, eventsOut, count, countOut) {
    const { memory } = guest;
    memory.check(countOut, 4, 'count_out');
    if (count === 0 || count >>> 0 > SUBSCRIPTIONS_MAX) return EINVAL;
    memory.check(eventsOut, count * EVENT_BYTES, 'events_out');
    const bytes = Buffer.from(
      memory.copy(subscriptions, count * SUBSCRIPTION_BYTES, 'subscriptions').buffer);
    const to: Subscriptions = { ready: [], clocks: [] };
    for (let at = 0; at < bytes.length; at += SUBSCRIPTION_BYTES) {
      if (bytes.readUInt8(at + 8) > EVENT_FD_WRITE) return EINVAL;
      subscribe(guest, bytes.subarray(at, at + SUBSCRIPTION_BYTES), to);
    }
    const ready = [...to.ready, ...clockEvents(to.clocks, 0n)];
    if (ready.length === 0) return waitForClock(guest, to.clocks, eventsOut, countOut);
    storeEvents(guest, eventsOut, countOut, ready);
    return SUCCESS;
  },
});

export const POLL_HOSTCALLS = [pollOneoff] as const;
