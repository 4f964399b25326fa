/** `hostcall_kv_*`: exact bytes, every answer and every refusal. */

import t from 'tap';
import { WardianError } from '../../contract/errors.ts';
import {
  HANDLES_MAX, KV_KEY_BYTES_MAX, KV_LIST_MAX, KV_TTL_MS_MAX, KV_VALUE_BYTES_MAX,
  NAMESPACE_NAME_LENGTH_MAX,
} from '../../contract/limits.ts';
import { HEAP, PAGE, memoryIs, run, u32, type Step } from './guest.ts';
import { MemoryStore } from './memory-store.ts';

const OUT = 64;
const REVISION = 80;
const owner = { namespaces: new Map([['users', 21], ['cache', 22]]) };
const DATA = { 128: 'users', 136: 'cache', 144: 'nobody', 160: 'key', 168: 'one', 176: '\xff\0' };
const OPEN: Step = ['hostcall_kv_open', 128, 5];
/** The handle that `OPEN` answers when it is the first step. */
const USERS = 1;

function u64(...values: (number | bigint)[]): Buffer {
  const bytes = Buffer.alloc(values.length * 8);
  values.forEach((value, index) => bytes.writeBigInt64LE(BigInt(value), index * 8));
  return bytes;
}

const get = (store: number, out = OUT, revision = 0): Step =>
  ['hostcall_kv_get', out, out + 4, revision, store, 160, 3];
const put = (
  name: 'put' | 'insert' | 'append', store: number, value: number, length: number,
  ttl: number | bigint = 0, revision = 0,
): Step => [`hostcall_kv_${name}`, revision, store, 160, 3, value, length, ttl];

function results(ran: { globals: Readonly<Record<string, unknown>> }, count: number): unknown[] {
  return Array.from({ length: count }, (_, step) => ran.globals[`r${step}`]);
}

t.test('open: bindings by name, the same handle for the same name', async (t) => {
  const steps: Step[] = [
    OPEN, ['hostcall_kv_open', 136, 5], OPEN, ['hostcall_kv_open', 144, 6],
    ['hostcall_kv_open', 128, 4], ['hostcall_kv_open', 176, 2], ['hostcall_kv_open', 0, 0],
    ['hostcall_kv_open', 0, NAMESPACE_NAME_LENGTH_MAX + 1],
  ];
  const ran = await run(t, { steps, data: DATA, owner });
  t.same(results(ran, steps.length), [1, 2, 1, -1, -1, -1, -1, -1]);
  memoryIs(t, ran, {});
});

t.test('handles are of one sequence with requests, and bounded with them', async (t) => {
  const text = `(module
    (import "env" "hostcall_req_create" (func $create (param i32 i32 i32 i32) (result i32)))
    (import "env" "hostcall_kv_open" (func $open (param i32 i32) (result i32)))
    (global $i (mut i32) (i32.const 0))
    (global (export "first") (mut i32) (i32.const 0))
    (global $r (export "r") (mut i32) (i32.const 0))
    (memory 1)
    (func (export "run")
      (global.set 1 (call $open (i32.const 128) (i32.const 5)))
      (loop $again
        (drop (call $create (i32.const 200) (i32.const 3) (i32.const 208) (i32.const 8)))
        (global.set $i (i32.add (global.get $i) (i32.const 1)))
        (br_if $again (i32.lt_u (global.get $i) (i32.const ${HANDLES_MAX - 1}))))
      (global.set $r (call $open (i32.const 136) (i32.const 5)))))`;
  const ran = await run(t, { text, data: { ...DATA, 200: 'GET', 208: 'http://a' }, owner });
  t.equal(ran.failure, null);
  t.same([ran.globals['first'], ran.globals['r']], [1, -1]);
});

t.test('a bound namespace and the own store are two', async (t) => {
  const kv = new MemoryStore();
  const steps = [
    OPEN, put('put', USERS, 168, 3), put('put', 0, 176, 2), get(USERS, OUT, REVISION),
    get(0, OUT + 8, REVISION + 8),
  ];
  const ran = await run(t, { steps, data: DATA, owner, services: { kv } });
  t.same(results(ran, 5), [1, 1, 1, 1, 1]);
  memoryIs(t, ran, {
    [OUT]: u32(HEAP, 3, HEAP + 16, 2), [REVISION]: u64(1, 2), [HEAP]: 'one\0',
    [HEAP + 16]: '\xff\0\0',
  });
  t.same([...kv.entries.keys()], ['21:key', '5:key']);
  t.equal(ran.usage.kvOperations, 4);
});

t.test('get: absent is address, length and revision 0; an empty value has one', async (t) => {
  const ran = await run(t, {
    steps: [get(0, OUT, REVISION), put('put', 0, 0, 0), get(0, OUT + 8, REVISION + 8)], data: DATA,
  });
  t.same(results(ran, 3), [0, 1, 1]);
  memoryIs(t, ran, { [OUT]: u32(0, 0, HEAP, 0), [REVISION]: u64(0, 1), [HEAP]: '\0' });
});

t.test('put, insert and append: what they answer, the revision, the time to live', async (t) => {
  const kv = new MemoryStore();
  const steps = [
    put('put', 0, 168, 3, 5_000, REVISION), put('put', 0, 168, 3, KV_TTL_MS_MAX, REVISION + 8),
    put('insert', 0, 176, 2, 0, REVISION + 16), put('append', 0, 176, 2, 0, REVISION + 24),
  ];
  const ran = await run(t, { steps, data: DATA, services: { kv } });
  t.same(results(ran, 4), [1, 0, 0, 0]);
  memoryIs(t, ran, { [REVISION]: u64(1, 2, 2, 3) });
  t.equal(kv.text(5, 'key'), 'one\xff\0');
  t.equal(kv.ttl(5, 'key'), KV_TTL_MS_MAX, 'an append leaves it');
  const fresh = new MemoryStore();
  const first = await run(t, {
    steps: [put('insert', 0, 168, 3, 7, REVISION), put('append', 0, 168, 3, 9)], data: DATA,
    services: { kv: fresh },
  });
  t.same(results(first, 2), [1, 0]);
  memoryIs(t, first, { [REVISION]: u64(1) });
  t.equal(fresh.ttl(5, 'key'), 9);
});

const set = (revision: number | bigint, out: number): Step =>
  ['hostcall_kv_compare_and_set', out, 0, 160, 3, revision, 168, 3, 0];

t.test('compare-and-set: by revision, 0 for an absent key', async (t) => {
  const kv = new MemoryStore();
  const remove = (revision: number): Step =>
    ['hostcall_kv_compare_and_delete', 0, 160, 3, revision];
  const steps = [
    set(1, REVISION), set(0, REVISION + 8), set(0, REVISION + 16), set(1, REVISION + 24),
    remove(1), remove(2), remove(2), remove(0),
  ];
  const ran = await run(t, { steps, data: DATA, services: { kv } });
  t.same(results(ran, 8), [0, 1, 0, 1, 0, 1, 0, 1]);
  memoryIs(t, ran, { [REVISION]: u64(0, 1, 1, 2) });
  t.equal(kv.text(5, 'key'), null);
});

t.test('increment: the sum, signed', async (t) => {
  const kv = new MemoryStore();
  const add = (delta: bigint, out: number): Step =>
    ['hostcall_kv_increment', out, 0, 160, 3, delta];
  const ran = await run(t, {
    steps: [add(5n, REVISION), add(-7n, REVISION + 8), add(1n, 0)], data: DATA, services: { kv },
  });
  t.same(results(ran, 3), [1, 0, 0]);
  memoryIs(t, ran, { [REVISION]: u64(5, -2) });
  t.equal(kv.text(5, 'key'), '-1');
});

t.test('increment of what is no number is refused, and the log says so', async (t) => {
  const ran = await run(t, {
    steps: [put('put', 0, 168, 3), ['hostcall_kv_increment', REVISION, 0, 160, 3, 1]], data: DATA,
  });
  t.same(results(ran, 2), [1, -4]);
  memoryIs(t, ran, {});
  t.same(ran.logs.map(({ source, text }) => [source, text]),
    [['debug', 'hostcall_kv_increment: not a whole number']]);
});

t.test('delete tells whether the key was there', async (t) => {
  const remove: Step = ['hostcall_kv_delete', 0, 160, 3];
  const ran = await run(t, { steps: [put('put', 0, 168, 3), remove, remove], data: DATA });
  t.same(results(ran, 3), [1, 1, 0]);
  memoryIs(t, ran, {});
});

/** Keys `a`, `b0`, `b1`, `b2` of the own store. */
async function listed(): Promise<MemoryStore> {
  const kv = new MemoryStore();
  for (const key of ['b1', 'a', 'b2', 'b0']) {
    await kv.put(5, Buffer.from(key), new Uint8Array(), 'always');
  }
  await kv.put(21, Buffer.from('b9'), new Uint8Array(), 'always');
  return kv;
}

t.test('list: pages of keys with a prefix, in order, by cursor', async (t) => {
  const list = (out: number, cursor: number, length: number): Step =>
    ['hostcall_kv_list', out, out + 4, 0, 128, 1, cursor, length, 2];
  const ran = await run(t, {
    steps: [list(OUT, 0, 0), list(OUT + 8, 130, 2)], data: { 128: 'b', 130: 'b1' },
    services: { kv: await listed() },
  });
  t.same(results(ran, 2), [1, 0]);
  memoryIs(t, ran, {
    [OUT]: u32(HEAP, 2, HEAP + 48, 1),
    [HEAP]: u32(HEAP + 16, 2, HEAP + 32, 2), [HEAP + 16]: 'b0\0', [HEAP + 32]: 'b1\0',
    [HEAP + 48]: u32(HEAP + 64, 2), [HEAP + 64]: 'b2\0',
  });
  t.equal(ran.usage.kvOperations, 2);
});

t.test('list: no limit is the greatest one; nothing is address 0; a page costs', async (t) => {
  const counts: number[] = [];
  class Counting extends MemoryStore {
    override list(...args: Parameters<MemoryStore['list']>) {
      counts.push(args[3]);
      return super.list(...args);
    }
  }
  const kv = new Counting();
  const list = (limit: number): Step => ['hostcall_kv_list', OUT, OUT + 4, 0, 0, 0, 0, 0, limit];
  const ran = await run(t, { steps: [list(0), list(-1), list(101)], services: { kv } });
  t.same(results(ran, 3), [0, 0, 0]);
  t.same(counts, [KV_LIST_MAX, KV_LIST_MAX, 101]);
  memoryIs(t, ran, { [OUT]: u32(0, 0) });
  t.equal(ran.usage.kvOperations, 22);
  const dear = await run(t, { steps: [list(0)], limits: { kvOperations: 9 } });
  t.equal(dear.failure?.code, 'hostcalls_exhausted');
});

const LONG = KV_KEY_BYTES_MAX + 1;

for (const [name, step, status, reason] of [
  ['a handle that was never given', get(3), -1, /^hostcall_kv_get: 3 is not the handle of a store/],
  ['a negative handle', put('put', -1, 168, 3), -1, /-1 is not the handle of a store/],
  ['a handle, for a list', ['hostcall_kv_list', OUT, OUT + 4, 9, 0, 0, 0, 0, 1], -1, /9 is not/],
  ['an empty key', ['hostcall_kv_delete', 0, 160, 0], -1, /1 to 2048 bytes, this one has 0/],
  ['a long key', ['hostcall_kv_get', OUT, OUT + 4, 0, 0, 0, LONG], -1, /this one has 2049/],
  ['a long prefix', ['hostcall_kv_list', OUT, OUT + 4, 0, 0, LONG, 0, 0, 1], -1, /prefix: 2049/],
  ['a long cursor', ['hostcall_kv_list', OUT, OUT + 4, 0, 0, 0, 0, LONG, 1], -1, /cursor: 2049/],
  ['a long value', put('put', 0, 0, KV_VALUE_BYTES_MAX + 1), -3, /a value has at most 8388608/],
  ['a negative time to live', put('insert', 0, 168, 3, -1n), -1, /a time to live has 0 to/],
  ['a long time to live', put('append', 0, 168, 3, BigInt(KV_TTL_MS_MAX) + 1n), -1, /0 to 315360/],
  ['a negative revision', set(-1n, 0), -1, /18446744073709551615 is not a revision/],
  ['a revision that none can be', set(2n ** 53n, 0), -1, /9007199254740992 is not a revision/],
] as const) {
  t.test(`${name} is refused, and nothing is done`, async (t) => {
    const kv = new MemoryStore();
    const ran = await run(t, {
      steps: [step as unknown as Step], data: DATA, services: { kv }, pages: 1 + 8_388_608 / PAGE,
    });
    t.equal(ran.failure, null);
    t.equal(ran.globals['r0'], status);
    memoryIs(t, ran, {});
    t.match(ran.logs[0]?.text, reason);
    t.equal(kv.entries.size, 0);
  });
}

for (const [code, status] of [
  ['storage_full', -2], ['bad_argument', -3], ['not_found', -5], ['tenant_overloaded', -6],
  ['overloaded', -6], ['disk_full', -6],
] as const) {
  t.test(`${code}, from the store, is ${status}`, async (t) => {
    const refuse = (): Promise<never> => Promise.reject(new WardianError(code, 'the reason'));
    const kv = Object.assign(new MemoryStore(),
      { put: refuse, compareAndSet: refuse, increment: refuse, delete: refuse });
    const steps: Step[] = [
      put('put', 0, 168, 3, 0, REVISION), put('insert', 0, 168, 3), put('append', 0, 168, 3),
      set(0, REVISION), ['hostcall_kv_compare_and_delete', 0, 160, 3, 1],
      ['hostcall_kv_increment', REVISION, 0, 160, 3, 1], ['hostcall_kv_delete', 0, 160, 3],
    ];
    const ran = await run(t, { steps, data: DATA, services: { kv } });
    const expected = steps.map(([name]) =>
      code === 'bad_argument' && name === 'hostcall_kv_increment' ? -4 : status);
    t.same(results(ran, steps.length), expected);
    t.same(ran.logs.map(({ text }) => text), steps.map(([name]) => `${name}: the reason`));
    memoryIs(t, ran, {});
  });
}

t.test('a store that failed ends the guest: nobody knows whether it wrote', async (t) => {
  const kv = Object.assign(new MemoryStore(), {
    put: () => Promise.reject(new WardianError('store_failed', 'the store did not answer')),
  });
  const ran = await run(t, { steps: [put('put', 0, 168, 3)], data: DATA, services: { kv } });
  t.match(ran.failure,
    { code: 'store_failed', message: 'hostcall_kv_put: the store did not answer' });
});

t.test('out-pointers are looked at before anything is done', async (t) => {
  const outside = PAGE - 4;
  const steps: readonly Step[] = [
    put('put', 0, 168, 3, 0, outside), set(0, outside),
    ['hostcall_kv_increment', outside, 0, 160, 3, 1], get(0, OUT, outside),
  ];
  for (const step of steps) {
    const kv = new MemoryStore();
    const ran = await run(t, { steps: [step], data: DATA, services: { kv } });
    t.equal(ran.failure?.code, 'bad_hostcall', step[0]);
    t.match(ran.failure?.message, /(revision|sum)_out: 8 bytes at 65532 are outside/);
    t.equal(kv.entries.size, 0);
  }
});

t.test('operations of all kinds are counted together', async (t) => {
  const ran = await run(t, {
    steps: [put('put', 0, 168, 3), ['hostcall_kvstore_get', OUT, OUT + 4, 160, 3], get(0)],
    data: DATA, limits: { kvOperations: 2 },
  });
  t.match(ran.failure, { code: 'hostcalls_exhausted', lastHostcall: 'hostcall_kv_get' });
});
