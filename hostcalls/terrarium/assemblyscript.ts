/**
 * What AssemblyScript's runtime imports from `env` beside the hostcalls. A string is the address of
 * its UTF-16 units; its length in bytes stands in the four bytes before.
 */

import { LOG_LINE_BYTES_MAX, MESSAGE_BYTES_MAX } from '../../contract/limits.ts';
import { FUEL_PER_BYTE_TEXT, hostcall, type Parameter } from '../define.ts';
import type { GuestState } from '../guest.ts';
import { i32 } from './parameters.ts';

const LENGTH_BYTES = 4;

function takeString(
  guest: GuestState, pointer: number, bytesMax: number, argument: string,
): string {
  if (pointer >>> 0 < LENGTH_BYTES) return '';
  const length = guest.memory.readU32((pointer >>> 0) - LENGTH_BYTES, argument);
  guest.memory.check(pointer, length, argument);
  return guest.memory.utf16(pointer, Math.min(length, bytesMax) & ~1, argument);
}

const abort = hostcall({
  name: 'abort',
  parameters: [
    i32('message', 'an AssemblyScript string, or 0'), i32('file', 'an AssemblyScript string, or 0'),
    i32('line', 'line in the source'), i32('column', 'column in the source'),
  ],
  result: null,
  waits: false,
  fuelPerByte: FUEL_PER_BYTE_TEXT,
  does: 'Ends the guest as a panic does: the client is shown `message (file:line:column)`. It does '
    + 'not return.',
  errors: 'None.',
  run(guest, message, file, line, column) {
    const text = takeString(guest, message, MESSAGE_BYTES_MAX, 'message') || 'abort';
    const place = takeString(guest, file, MESSAGE_BYTES_MAX, 'file');
    const full = place === '' ? text : `${text} (${place}:${line >>> 0}:${column >>> 0})`;
    guest.log.line('panic', full);
    throw guest.fail('guest_panic', full);
  },
});

const seed = hostcall({
  name: 'seed',
  parameters: [],
  result: 'f64',
  waits: false,
  fuelPerByte: 0,
  does: 'Answers a number that seeds `Math.random`.',
  errors: 'None.',
  run: (guest) => Number(guest.services.random.nextU64() >> 11n),
});

function f64<const N extends string>(name: N): Parameter<'f64'> {
  return { name, type: 'f64', is: 'a number to show' };
}

const trace = hostcall({
  name: 'trace',
  parameters: [
    i32('message', 'an AssemblyScript string'), i32('n', 'how many of the numbers to show'),
    f64('a0'), f64('a1'), f64('a2'), f64('a3'), f64('a4'),
  ],
  result: null,
  waits: false,
  fuelPerByte: FUEL_PER_BYTE_TEXT,
  does: 'Writes one line to the deployment\'s log: the text and the first `n` numbers.',
  errors: 'None.',
  run(guest, message, count, ...numbers) {
    const text = takeString(guest, message, LOG_LINE_BYTES_MAX + 2, 'message');
    const shown = numbers.slice(0, Math.min(count >>> 0, numbers.length));
    guest.log.line('debug', [`trace: ${text}`, shown.join(', ')].join(shown.length > 0 ? ' ' : ''));
  },
});

function consoleCall(method: string) {
  return hostcall({
    name: `console.${method}`,
    parameters: [i32('text', 'an AssemblyScript string')],
    result: null,
    waits: false,
    fuelPerByte: FUEL_PER_BYTE_TEXT,
    does: 'Writes one line to the deployment\'s log.',
    errors: 'None.',
    run(guest, text) {
      guest.log.line('debug', takeString(guest, text, LOG_LINE_BYTES_MAX + 2, 'text'));
    },
  });
}

export const ASSEMBLYSCRIPT_HOSTCALLS = [
  abort, seed, trace, ...['log', 'debug', 'info', 'warn', 'error'].map(consoleCall),
] as const;
