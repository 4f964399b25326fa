/** `hostcall_env_get` and `hostcall_secret_get`: what the app was given beside its code. */

import { ENV_NAME_LENGTH_MAX } from '../../contract/limits.ts';
import { FUEL_PER_BYTE_TEXT, hostcall } from '../define.ts';
import type { GuestState } from '../guest.ts';
import { giveFoundBytes, giveNothing } from './give.ts';
import { countOperations } from './kv.ts';
import { LEN_OUT, PTR_OUT, i32 } from './parameters.ts';

const NAME = i32('name', 'address of the name; case matters');
const NAME_LEN = i32('name_len', 'its length in bytes');

/** A name that is too long or not UTF-8 is nobody's: null. */
function takeName(guest: GuestState, name: number, length: number): string | null {
  guest.memory.check(name, length, 'name');
  return length >>> 0 > ENV_NAME_LENGTH_MAX ? null : guest.memory.utf8(name, length, 'name');
}

/** 1, or 0 and nothing. */
function give(
  guest: GuestState, pointerOut: number, lengthOut: number, value: Uint8Array | null,
): number {
  if (value === null) giveNothing(guest, pointerOut, lengthOut);
  else giveFoundBytes(guest, pointerOut, lengthOut, value);
  return value === null ? 0 : 1;
}

const envGet = hostcall({
  name: 'hostcall_env_get',
  parameters: [PTR_OUT, LEN_OUT, NAME, NAME_LEN],
  result: 'i32',
  waits: false,
  fuelPerByte: FUEL_PER_BYTE_TEXT,
  does: 'Gives an environment variable of the app, as WASI\'s `environ_get` does. Answers 1 if it '
    + 'is set: an empty value then has an address too.',
  errors: '0 if it is not set, with address 0 and length 0.',
  memory: 'text',
  run(guest, pointerOut, lengthOut, name, nameLength) {
    const wanted = takeName(guest, name, nameLength);
    const value = wanted === null ? undefined : guest.owner.environment.get(wanted);
    return give(guest, pointerOut, lengthOut, value === undefined ? null : Buffer.from(value));
  },
});

const secretGet = hostcall({
  name: 'hostcall_secret_get',
  parameters: [PTR_OUT, LEN_OUT, NAME, NAME_LEN],
  result: 'i32',
  waits: false,
  fuelPerByte: FUEL_PER_BYTE_TEXT,
  does: 'Gives the value of a secret of the app that is in effect now. Answers 1 if there is one: '
    + 'an empty value then has an address too. Counts as a key-value operation.',
  errors: '0 if there is none, with address 0 and length 0. Too many operations end the guest.',
  memory: 'text',
  run(guest, pointerOut, lengthOut, name, nameLength) {
    countOperations(guest);
    const wanted = takeName(guest, name, nameLength);
    const value = wanted === null ? null : guest.services.secrets.get(guest.owner.appId, wanted);
    return give(guest, pointerOut, lengthOut, value);
  },
});

export const ENVIRONMENT_HOSTCALLS = [envGet, secretGet] as const;
