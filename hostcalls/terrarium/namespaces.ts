/**
 * `hostcall_kv_*`: key-value stores by handle. Handle 0 is the deployment's own store, the others
 * are namespaces that the app is bound to by name. A refusal is a negative number and a line in the
 * log; writes wait until they are durable.
 */

import { KV_LIST_MAX, NAMESPACE_NAME_LENGTH_MAX } from '../../contract/limits.ts';
import { FUEL_PER_BYTE_BULK, FUEL_PER_BYTE_TEXT, hostcall, type Parameter } from '../define.ts';
import type { GuestState } from '../guest.ts';
import type { KeyValueWritten, PutMode } from '../services/index.ts';
import { giveByteArrays, giveFoundBytes, giveNothing } from './give.ts';
import { countOperations } from './kv.ts';
import {
  checkNumberOut, refusing, storeNumber, takeBound, takeKey, takeRevision, takeStore, takeTtl,
  takeValue,
} from './kv-arguments.ts';
import { KV_INVALID, KV_NOT_A_NUMBER, refused } from './kv-status.ts';
import {
  COUNT_OUT, KEY, KEY_LEN, LEN_OUT, PTR_OUT, VALUE, VALUE_LEN, i32, i64,
} from './parameters.ts';
import { terrarium } from './state.ts';

/** Keys of a page that count as one operation. */
const KEYS_PER_OPERATION = 100;

const STORE = i32('store', 'the handle of a store; 0 is the deployment\'s own');
const REVISION_OUT = i32('revision_out',
  'where the host stores the u64 revision of the entry, 0 when there is none; or 0, if it is not '
  + 'wanted');
const TTL = i64('ttl_ms', 'milliseconds until the entry expires; 0 for never');
const REVISION = i64('revision',
  'the revision that the entry must have; 0: the key must be absent');

const ERRORS = 'A negative number, as above. Too many operations end the guest.';

/** Waits for a write and stores the revision; `outcome` makes the answer. */
function waitForWrite(
  guest: GuestState, revisionOut: number, write: Promise<KeyValueWritten>,
  outcome: (written: KeyValueWritten) => boolean,
): Promise<number> {
  return guest.wait(write, (written) => {
    storeNumber(guest, revisionOut, BigInt(written.revision), 'revision_out');
    return outcome(written) ? 1 : 0;
  }, (error) => refused(guest, error));
}

const open = hostcall({
  name: 'hostcall_kv_open',
  parameters: [
    i32('name', 'address of the name under which the app is bound to a namespace'),
    i32('name_len', 'its length in bytes'),
  ],
  result: 'i32',
  waits: false,
  fuelPerByte: FUEL_PER_BYTE_TEXT,
  times: 'kvMs',
  does: 'Answers the handle of a namespace; the same one for the same name.',
  errors: '-1 if the app has no such binding, or has had all its handles.',
  run(guest, name, length) {
    guest.memory.check(name, length, 'name');
    if (length >>> 0 > NAMESPACE_NAME_LENGTH_MAX) return KV_INVALID;
    const wanted = guest.memory.utf8(name, length, 'name');
    const id = wanted === null ? undefined : guest.owner.namespaces.get(wanted);
    if (wanted === null || id === undefined) return KV_INVALID;
    const state = terrarium(guest);
    const known = state.storeHandles.get(wanted);
    if (known !== undefined) return known;
    const handle = state.nextHandle();
    if (handle === 0) return KV_INVALID;
    state.stores.set(handle, id);
    state.storeHandles.set(wanted, handle);
    return handle;
  },
});

const get = hostcall({
  name: 'hostcall_kv_get',
  parameters: [PTR_OUT, LEN_OUT, REVISION_OUT, STORE, KEY, KEY_LEN],
  result: 'i32',
  waits: false,
  fuelPerByte: FUEL_PER_BYTE_BULK,
  times: 'kvMs',
  does: 'Gives the value of a key, and its revision. Answers 1 if it was found: an empty value '
    + 'then has an address too.',
  errors: `0 if the key is absent, with address 0, length 0 and revision 0. ${ERRORS}`,
  memory: 'text',
  run: (guest, pointerOut, lengthOut, revisionOut, store, key, keyLength) =>
    refusing(guest, () => {
      countOperations(guest);
      checkNumberOut(guest, revisionOut, 'revision_out');
      const id = takeStore(guest, store);
      const entry = guest.services.kv.entry(id, takeKey(guest, key, keyLength));
      if (entry === null) giveNothing(guest, pointerOut, lengthOut);
      else giveFoundBytes(guest, pointerOut, lengthOut, entry.value);
      storeNumber(guest, revisionOut, BigInt(entry?.revision ?? 0), 'revision_out');
      return entry === null ? 0 : 1;
    }),
});

const PUT_PARAMETERS = [
  REVISION_OUT, STORE, KEY, KEY_LEN, VALUE, VALUE_LEN, TTL,
] as const satisfies readonly Parameter[];

function put(
  name: string, mode: PutMode, outcome: (written: KeyValueWritten) => boolean, does: string,
) {
  return hostcall({
    name,
    parameters: PUT_PARAMETERS,
    result: 'i32',
    waits: true,
    fuelPerByte: FUEL_PER_BYTE_BULK,
    times: 'kvMs',
    does,
    errors: ERRORS,
    memory: 'number',
    run: (guest, revisionOut, store, key, keyLength, value, valueLength, ttl) =>
      refusing(guest, () => {
        countOperations(guest);
        checkNumberOut(guest, revisionOut, 'revision_out');
        const id = takeStore(guest, store);
        const keyBytes = takeKey(guest, key, keyLength);
        const valueBytes = takeValue(guest, value, valueLength);
        const write = guest.services.kv.put(id, keyBytes, valueBytes, mode, takeTtl(ttl));
        return waitForWrite(guest, revisionOut, write, outcome);
      }),
  });
}

const compareAndSet = hostcall({
  name: 'hostcall_kv_compare_and_set',
  parameters: [REVISION_OUT, STORE, KEY, KEY_LEN, REVISION, VALUE, VALUE_LEN, TTL],
  result: 'i32',
  waits: true,
  fuelPerByte: FUEL_PER_BYTE_BULK,
  times: 'kvMs',
  does: 'Sets the value of a key if nobody has changed it since its revision was read. Answers 1 '
    + 'if so, once it is durable.',
  errors: `0 if the entry has another revision, which is then given. ${ERRORS}`,
  memory: 'number',
  run: (guest, revisionOut, store, key, keyLength, revision, value, valueLength, ttl) =>
    refusing(guest, () => {
      countOperations(guest);
      checkNumberOut(guest, revisionOut, 'revision_out');
      const id = takeStore(guest, store);
      const keyBytes = takeKey(guest, key, keyLength);
      const valueBytes = takeValue(guest, value, valueLength);
      const write = guest.services.kv.compareAndSet(
        id, keyBytes, takeRevision(revision), valueBytes, takeTtl(ttl));
      return waitForWrite(guest, revisionOut, write, ({ stored }) => stored);
    }),
});

const compareAndDelete = hostcall({
  name: 'hostcall_kv_compare_and_delete',
  parameters: [STORE, KEY, KEY_LEN, REVISION],
  result: 'i32',
  waits: true,
  fuelPerByte: FUEL_PER_BYTE_BULK,
  times: 'kvMs',
  does: 'Removes a key if nobody has changed it since its revision was read. Answers 1 if so, once '
    + 'it is durable.',
  errors: `0 if the entry has another revision. ${ERRORS}`,
  run: (guest, store, key, keyLength, revision) => refusing(guest, () => {
    countOperations(guest);
    const id = takeStore(guest, store);
    const write = guest.services.kv.compareAndSet(
      id, takeKey(guest, key, keyLength), takeRevision(revision), null);
    return waitForWrite(guest, 0, write, ({ stored }) => stored);
  }),
});

const increment = hostcall({
  name: 'hostcall_kv_increment',
  parameters: [
    i32('sum_out', 'where the host stores the i64 sum; or 0, if it is not wanted'),
    STORE, KEY, KEY_LEN, i64('delta', 'what is added'),
  ],
  result: 'i32',
  waits: true,
  fuelPerByte: FUEL_PER_BYTE_BULK,
  times: 'kvMs',
  does: 'Adds to a whole number, in one step whoever else adds. The value is decimal text; an '
    + 'absent key counts as 0. A time to live stays as it is. Answers 1 if the key was absent, 0 '
    + 'if not, once the sum is durable.',
  errors: ERRORS,
  memory: 'number',
  run: (guest, sumOut, store, key, keyLength, delta) => refusing(guest, () => {
    countOperations(guest);
    checkNumberOut(guest, sumOut, 'sum_out');
    const id = takeStore(guest, store);
    const work = guest.services.kv.increment(id, takeKey(guest, key, keyLength), delta);
    return guest.wait(work, ({ absent, sum }) => {
      storeNumber(guest, sumOut, sum, 'sum_out');
      return absent ? 1 : 0;
    }, (error) => refused(guest, error, KV_NOT_A_NUMBER));
  }),
});

const remove = hostcall({
  name: 'hostcall_kv_delete',
  parameters: [STORE, KEY, KEY_LEN],
  result: 'i32',
  waits: true,
  fuelPerByte: FUEL_PER_BYTE_BULK,
  times: 'kvMs',
  does: 'Removes a key and its value. Answers 1 if it was there, once the removal is durable.',
  errors: `0 if the key is absent. ${ERRORS}`,
  run: (guest, store, key, keyLength) => refusing(guest, () => {
    countOperations(guest);
    const id = takeStore(guest, store);
    return guest.wait(guest.services.kv.delete(id, takeKey(guest, key, keyLength)),
      (removed) => removed ? 1 : 0, (error) => refused(guest, error));
  }),
});

const list = hostcall({
  name: 'hostcall_kv_list',
  parameters: [
    PTR_OUT, COUNT_OUT, STORE,
    i32('prefix', 'address of the prefix'), i32('prefix_len', 'its length in bytes; 0: all keys'),
    i32('cursor', 'address of the last key of the page before'),
    i32('cursor_len', 'its length in bytes; 0: from the beginning'),
    i32('limit', `how many keys at most; 0, or more than ${KV_LIST_MAX}: ${KV_LIST_MAX}`),
  ],
  result: 'i32',
  waits: false,
  fuelPerByte: FUEL_PER_BYTE_BULK,
  times: 'kvMs',
  does: 'Gives keys that begin with a prefix, in byte order. Answers 1 if there are more: the last '
    + 'key given is the cursor that gets them. Counts as one key-value operation for every '
    + `${KEYS_PER_OPERATION} keys asked for.`,
  errors: `0 if there are no more. ${ERRORS}`,
  memory: 'slices',
  run: (guest, pointerOut, countOut, store, prefix, prefixLength, cursor, cursorLength, limit) =>
    refusing(guest, () => {
      const count = limit === 0 ? KV_LIST_MAX : Math.min(limit >>> 0, KV_LIST_MAX);
      countOperations(guest, Math.ceil(count / KEYS_PER_OPERATION));
      const id = takeStore(guest, store);
      const first = takeBound(guest, prefix, prefixLength, 'prefix');
      const after = takeBound(guest, cursor, cursorLength, 'cursor');
      const page = guest.services.kv.list(id, first, after.length === 0 ? null : after, count);
      giveByteArrays(guest, pointerOut, countOut, page.keys);
      return page.more ? 1 : 0;
    }),
});

export const NAMESPACE_HOSTCALLS = [
  open,
  get,
  put('hostcall_kv_put', 'always', ({ absent }) => absent,
    'Sets the value of a key, whether it is there or not. Answers 1 if the key was absent, 0 if '
    + 'not, once it is durable.'),
  put('hostcall_kv_insert', 'absent', ({ stored }) => stored,
    'Sets the value of a key only if the key is absent. Answers 1 if so, once it is durable; 0 if '
    + 'it was there, and then gives its revision.'),
  compareAndSet,
  compareAndDelete,
  put('hostcall_kv_append', 'append', ({ absent }) => absent,
    'Appends to the value of a key, in one step whoever else appends; sets it if it is absent. '
    + 'Answers 1 if it was, 0 if not, once it is durable. With 0 for `ttl_ms` the time to live '
    + 'stays as it is.'),
  increment,
  remove,
  list,
] as const;
