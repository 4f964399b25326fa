/**
 * The hostcalls that are about the guest itself: its allocator, its panics, its log, time and
 * random numbers.
 */

import { LOG_LINE_BYTES_MAX, MESSAGE_BYTES_MAX } from '../../contract/limits.ts';
import { FUEL_PER_BYTE_TEXT, hostcall } from '../define.ts';
import { MESSAGE, MESSAGE_LEN, i32 } from './parameters.ts';

/** What C guests give as the length of a text that ends with a NUL. */
const NUL_TERMINATED = -1;
const NANOS_PER_SECOND = 1_000_000_000n;

const initMm = hostcall({
  name: 'hostcall_init_mm',
  parameters: [
    i32('malloc', 'table index of a function (i32) -> i32'),
    i32('free', 'table index of a function (i32) -> ()'),
  ],
  result: null,
  waits: false,
  fuelPerByte: 0,
  does: 'Names the allocator that the host uses to hand data to the guest. The host calls `malloc` '
    + 'only: the guest '
    + 'frees what it was given. `malloc` may call hostcalls, but none that waits or needs '
    + '`malloc`.',
  errors: 'An index outside of the table ends the guest, at once; an entry that is null or of '
    + 'another type, or a module without a table, when `malloc` is first needed.',
  run(guest, malloc, free) {
    guest.allocator.register(malloc, free);
  },
});

const panicHook = hostcall({
  name: 'hostcall_panic_hook',
  parameters: [MESSAGE, MESSAGE_LEN],
  result: null,
  waits: false,
  fuelPerByte: FUEL_PER_BYTE_TEXT,
  does: 'Ends the guest. The text is the error that the client is shown, and goes to the log. It '
    + 'does not return.',
  errors: 'None.',
  run(guest, message, length) {
    guest.memory.check(message, length, 'msg');
    const text = guest.memory.text(message, Math.min(length >>> 0, MESSAGE_BYTES_MAX), 'msg');
    guest.log.line('panic', text);
    throw guest.fail('guest_panic', text);
  },
});

const debug = hostcall({
  name: 'hostcall_debug',
  parameters: [MESSAGE, MESSAGE_LEN],
  result: null,
  waits: false,
  fuelPerByte: FUEL_PER_BYTE_TEXT,
  does: 'Writes one line to the deployment\'s log. A length of -1 means that the text ends with a '
    + `NUL; it is then read up to ${LOG_LINE_BYTES_MAX} bytes.`,
  errors: 'None. What is over the limits of the log is cut.',
  run(guest, message, length) {
    const { memory } = guest;
    const bytes = length === NUL_TERMINATED
      ? memory.lengthToNul(message, LOG_LINE_BYTES_MAX, 'msg') : length;
    memory.lend(message, bytes, 'msg', (text) => guest.log.line('debug', text));
  },
});

const rngNextU64 = hostcall({
  name: 'hostcall_rng_next_u64',
  parameters: [],
  result: 'i64',
  waits: false,
  fuelPerByte: 0,
  does: 'Answers 64 random bits, from a cryptographically secure source.',
  errors: 'None.',
  run: (guest) => guest.services.random.nextU64(),
});

const timeNow = hostcall({
  name: 'hostcall_time_now',
  parameters: [
    i32('nanos_out', 'where the host stores the u32 nanoseconds since that second began'),
  ],
  result: 'i64',
  waits: false,
  fuelPerByte: 0,
  does: 'Answers the seconds since the epoch.',
  errors: 'None.',
  memory: 'nanos',
  run(guest, nanosOut) {
    const now = guest.services.clock.realtimeNanos();
    guest.memory.writeU32(nanosOut, Number(now % NANOS_PER_SECOND), 'nanos_out');
    return now / NANOS_PER_SECOND;
  },
});

export const PROCESS_HOSTCALLS = [initMm, panicHook, debug, rngNextU64, timeNow] as const;
