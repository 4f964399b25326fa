/** `hostcall_kvstore_*`: the deployment's key-value store. Writes wait until they are durable. */

import { KV_KEY_BYTES_MAX, KV_VALUE_BYTES_MAX } from '../../contract/limits.ts';
import { WardianError } from '../../contract/errors.ts';
import { FUEL_PER_BYTE_BULK, hostcall, type Parameter } from '../define.ts';
import type { GuestState } from '../guest.ts';
import { BadArgument } from '../memory.ts';
import type { PutMode } from '../services/index.ts';
import { giveFoundBytes, giveNothing } from './give.ts';
import { KEY, KEY_LEN, LEN_OUT, PTR_OUT, VALUE, VALUE_LEN } from './parameters.ts';

/** Throws WardianError `hostcalls_exhausted`. */
export function countOperations(guest: GuestState, count = 1): void {
  const { usage, limits } = guest.meter;
  if (usage.kvOperations + count > limits.kvOperations) {
    throw new WardianError('hostcalls_exhausted',
      `over the limit of ${limits.kvOperations} key-value operations per request`);
  }
  usage.kvOperations += count;
}

function takeKey(guest: GuestState, key: number, length: number): Uint8Array {
  guest.memory.check(key, length, 'k');
  if (length === 0) throw new BadArgument('k', 'the key is empty');
  if (length >>> 0 > KV_KEY_BYTES_MAX) {
    throw new BadArgument('k',
      `a key of ${length >>> 0} bytes is over the limit of ${KV_KEY_BYTES_MAX} bytes`);
  }
  return guest.memory.copy(key, length, 'k');
}

function takeValue(guest: GuestState, value: number, length: number): Uint8Array {
  guest.memory.check(value, length, 'v');
  if (length >>> 0 > KV_VALUE_BYTES_MAX) {
    throw new BadArgument('v',
      `a value of ${length >>> 0} bytes is over the limit of ${KV_VALUE_BYTES_MAX} bytes`);
  }
  return guest.memory.copy(value, length, 'v');
}

const BOUNDS = 'An empty key, a key or value over its limit, too many operations, or a full store '
  + 'end the guest.';

const PUT_PARAMETERS = [KEY, KEY_LEN, VALUE, VALUE_LEN] as const satisfies readonly Parameter[];

function put(name: string, mode: PutMode, does: string) {
  return hostcall({
    name,
    parameters: PUT_PARAMETERS,
    result: 'i32',
    waits: true,
    fuelPerByte: FUEL_PER_BYTE_BULK,
    times: 'kvMs',
    does: `${does} Answers 1 if the key was absent, 0 if not, once the write is durable.`,
    errors: BOUNDS,
    run(guest, key, keyLength, value, valueLength) {
      countOperations(guest);
      const keyBytes = takeKey(guest, key, keyLength);
      const valueBytes = takeValue(guest, value, valueLength);
      return guest.wait(guest.services.kv.put(guest.owner.appId, keyBytes, valueBytes, mode),
        ({ absent }) => absent ? 1 : 0);
    },
  });
}

const get = hostcall({
  name: 'hostcall_kvstore_get',
  parameters: [PTR_OUT, LEN_OUT, KEY, KEY_LEN],
  result: 'i32',
  waits: false,
  fuelPerByte: FUEL_PER_BYTE_BULK,
  times: 'kvMs',
  does: 'Gives the value of a key. Answers 1 if it was found: an empty value then has an address '
    + 'too.',
  errors: `0 if the key is absent, with address 0 and length 0. ${BOUNDS}`,
  memory: 'text',
  run(guest, pointerOut, lengthOut, key, keyLength) {
    countOperations(guest);
    const value = guest.services.kv.get(guest.owner.appId, takeKey(guest, key, keyLength));
    if (value === null) {
      giveNothing(guest, pointerOut, lengthOut);
      return 0;
    }
    giveFoundBytes(guest, pointerOut, lengthOut, value);
    return 1;
  },
});

const remove = hostcall({
  name: 'hostcall_kvstore_remove',
  parameters: [KEY, KEY_LEN],
  result: 'i32',
  waits: true,
  fuelPerByte: FUEL_PER_BYTE_BULK,
  times: 'kvMs',
  does: 'Removes a key and its value. Answers 1 if it was there, once the removal is durable.',
  errors: `0 if the key is absent. ${BOUNDS}`,
  run(guest, key, keyLength) {
    countOperations(guest);
    return guest.wait(guest.services.kv.delete(guest.owner.appId, takeKey(guest, key, keyLength)),
      (removed) => removed ? 1 : 0);
  },
});

export const KV_HOSTCALLS = [
  put('hostcall_kvstore_insert', 'always', 'Sets the value of a key, whether it is there or not.'),
  put('hostcall_kvstore_upsert', 'absent', 'Sets the value of a key only if the key is absent.'),
  put('hostcall_kvstore_append', 'append',
    'Appends to the value of a key, in one step whoever else appends; sets it if it is absent.'),
  get,
  remove,
] as const;
