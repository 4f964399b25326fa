/**
 * Arguments, environment, clocks, random numbers, and the process. The only argument is the app's
 * label.
 */

import { setImmediate } from 'node:timers/promises';
import { FUEL_PER_BYTE_TEXT, hostcall } from '../define.ts';
import type { GuestState } from '../guest.ts';
import { EINVAL, ENOSYS, ENOTSUP, SUCCESS } from './errno.ts';
import { i32, i64 } from './parameters.ts';

/** Clock ids. The two CPU-time clocks, 2 and 3, are not offered. */
export const CLOCK_REALTIME = 0;
export const CLOCK_MONOTONIC = 1;
const CLOCK_THREAD_CPUTIME = 3;
const CLOCK_RESOLUTION_NANOS = 1_000n;

function argumentsOf(guest: GuestState): Buffer[] {
  return [Buffer.from(`${guest.owner.label}\0`)];
}

/** Made once for each served version: guests ask twice, for the size and for the strings. */
const ENCODED = new WeakMap<ReadonlyMap<string, string>, Buffer[]>();

function environmentOf({ owner: { environment } }: GuestState): Buffer[] {
  let strings = ENCODED.get(environment);
  if (strings === undefined) {
    strings = [...environment].map(([name, value]) => Buffer.from(`${name}=${value}\0`));
    ENCODED.set(environment, strings);
  }
  return strings;
}

/** Null if there is no such clock. */
export function clockNanos(guest: GuestState, clock: number): bigint | null {
  if (clock === CLOCK_REALTIME) return guest.services.clock.realtimeNanos();
  if (clock === CLOCK_MONOTONIC) return guest.services.clock.monotonicNanos();
  return null;
}

function clockError(clock: number): number {
  return clock >>> 0 <= CLOCK_THREAD_CPUTIME ? ENOTSUP : EINVAL;
}

function sizesGet(name: string, what: string, list: (guest: GuestState) => Buffer[]) {
  return hostcall({
    name,
    parameters: [
      i32('count_out', `where the host stores the u32 number of ${what}`),
      i32('size_out', 'where the host stores the u32 number of bytes they need, NULs included'),
    ],
    result: 'i32',
    waits: false,
    fuelPerByte: 0,
    does: `Gives the number and size of the ${what}.`,
    errors: 'None.',
    run(guest, countOut, sizeOut) {
      const strings = list(guest);
      guest.memory.writeU32(countOut, strings.length, 'count_out');
      const size = strings.reduce((sum, bytes) => sum + bytes.length, 0);
      guest.memory.writeU32(sizeOut, size, 'size_out');
      return SUCCESS;
    },
  });
}

function stringsGet(name: string, what: string, list: (guest: GuestState) => Buffer[]) {
  return hostcall({
    name,
    parameters: [
      i32('pointers', 'address of an array of u32 that the host fills with addresses'),
      i32('buffer', 'where the host stores the NUL-terminated strings'),
    ],
    result: 'i32',
    waits: false,
    fuelPerByte: FUEL_PER_BYTE_TEXT,
    does: `Gives the ${what}.`,
    errors: 'None.',
    run(guest, pointers, buffer) {
      let at = buffer >>> 0;
      let pointer = pointers >>> 0;
      for (const bytes of list(guest)) {
        guest.memory.writeU32(pointer, at, 'pointers');
        guest.memory.write(at, bytes, 'buffer');
        pointer += 4;
        at += bytes.length;
      }
      return SUCCESS;
    },
  });
}

const clockResGet = hostcall({
  name: 'clock_res_get',
  parameters: [
    i32('id', 'a clock'), i32('resolution_out', 'where the host stores u64 nanoseconds'),
  ],
  result: 'i32',
  waits: false,
  fuelPerByte: 0,
  does: 'Gives the resolution of the realtime (0) or the monotonic clock (1): a microsecond.',
  errors: 'ENOTSUP for the CPU-time clocks, EINVAL for any other id.',
  run(guest, clock, resolutionOut) {
    guest.memory.check(resolutionOut, 8, 'resolution_out');
    if (clock !== CLOCK_REALTIME && clock !== CLOCK_MONOTONIC) return clockError(clock);
    guest.memory.writeU64(resolutionOut, CLOCK_RESOLUTION_NANOS, 'resolution_out');
    return SUCCESS;
  },
});

const clockTimeGet = hostcall({
  name: 'clock_time_get',
  parameters: [
    i32('id', 'a clock'), i64('precision', 'ignored'),
    i32('time_out', 'where the host stores u64 nanoseconds'),
  ],
  result: 'i32',
  waits: false,
  fuelPerByte: 0,
  does: 'Gives the time of the realtime (0) or the monotonic clock (1).',
  errors: 'ENOTSUP for the CPU-time clocks, EINVAL for any other id.',
  run(guest, clock, _precision, timeOut) {
    guest.memory.check(timeOut, 8, 'time_out');
    const nanos = clockNanos(guest, clock);
    if (nanos === null) return clockError(clock);
    guest.memory.writeU64(timeOut, nanos, 'time_out');
    return SUCCESS;
  },
});

const randomGet = hostcall({
  name: 'random_get',
  parameters: [i32('buffer', 'address of the bytes to fill'), i32('length', 'their number')],
  result: 'i32',
  waits: false,
  fuelPerByte: FUEL_PER_BYTE_TEXT,
  does: 'Fills memory from a cryptographically secure source.',
  errors: 'None.',
  run(guest, buffer, length) {
    guest.memory.lend(buffer, length, 'buffer', (bytes) => guest.services.random.fill(bytes));
    return SUCCESS;
  },
});

const procExit = hostcall({
  name: 'proc_exit',
  parameters: [i32('code', 'the exit code')],
  result: null,
  waits: false,
  fuelPerByte: 0,
  does: 'Ends the guest. With code 0 the response stands as if `run` had returned. With any other '
    + 'code it stands too if the guest has set its status or body (a C program that answers 500 '
    + 'and calls `exit(1)`), and the log tells the code; if it has not, that is a failure, '
    + '`guest_exit`. It does not return.',
  errors: 'None.',
  run(guest, code) {
    if (code !== 0 && guest.response.chosen) {
      guest.log.line('debug', `the guest exited with code ${code >>> 0}; its response stands`);
      throw guest.exit();
    }
    if (code === 0) throw guest.exit();
    throw guest.fail('guest_exit', `the guest exited with code ${code >>> 0}`);
  },
});

const procRaise = hostcall({
  name: 'proc_raise',
  parameters: [i32('signal', 'a signal')],
  result: 'i32',
  waits: false,
  fuelPerByte: 0,
  does: 'Nothing: there are no signals.',
  errors: 'ENOSYS.',
  run: () => ENOSYS,
});

const schedYield = hostcall({
  name: 'sched_yield',
  parameters: [],
  result: 'i32',
  waits: true,
  fuelPerByte: 0,
  does: 'Lets other guests of the thread run.',
  errors: 'None.',
  run: (guest) => guest.wait(setImmediate(), () => SUCCESS),
});

export const ENVIRONMENT_HOSTCALLS = [
  sizesGet('args_sizes_get', 'arguments', argumentsOf),
  stringsGet('args_get', 'arguments', argumentsOf),
  sizesGet('environ_sizes_get', 'environment variables', environmentOf),
  stringsGet('environ_get', 'environment variables', environmentOf),
  clockResGet, clockTimeGet, randomGet, procExit, procRaise, schedYield,
] as const;
