/** `hostcall_kvstore_*` and `hostcall_dns_*`: exact bytes, and every error. */

import t from 'tap';
import { WardianError } from '../../contract/errors.ts';
import { KV_KEY_BYTES_MAX, KV_VALUE_BYTES_MAX } from '../../contract/limits.ts';
import { DnsError, type Services } from '../../hostcalls/services/index.ts';
import { HEAP, PAGE, memoryIs, run, u32, type Step } from './guest.ts';
import { MemoryStore } from './memory-store.ts';

const OUT = 64;
const DATA = { 128: 'key', 144: 'one', 148: '\xff\0' };
const put = (name: string, value: number, length: number): Step =>
  [`hostcall_kvstore_${name}`, 128, 3, value, length];
const get = (out: number): Step => ['hostcall_kvstore_get', out, out + 4, 128, 3];

t.test('insert sets unconditionally and tells whether the key was absent', async (t) => {
  const ran = await run(t, {
    steps: [put('insert', 144, 3), put('insert', 148, 2), get(OUT)], data: DATA,
  });
  t.same([0, 1, 2].map((step) => ran.globals[`r${step}`]), [1, 0, 1]);
  memoryIs(t, ran, { [OUT]: u32(HEAP, 2), [HEAP]: '\xff\0\0' });
  t.equal(ran.usage.kvOperations, 3);
});

t.test('upsert sets only if absent', async (t) => {
  const ran = await run(t, {
    steps: [put('upsert', 144, 3), put('upsert', 148, 2), get(OUT)], data: DATA,
  });
  t.same([0, 1, 2].map((step) => ran.globals[`r${step}`]), [1, 0, 1]);
  memoryIs(t, ran, { [OUT]: u32(HEAP, 3), [HEAP]: 'one\0' });
});

t.test('append inserts, then appends', async (t) => {
  const ran = await run(t, {
    steps: [put('append', 144, 3), put('append', 148, 2), get(OUT)], data: DATA,
  });
  t.same([0, 1, 2].map((step) => ran.globals[`r${step}`]), [1, 0, 1]);
  memoryIs(t, ran, { [OUT]: u32(HEAP, 5), [HEAP]: 'one\xff\0\0' });
});

t.test('get: absent is 0 and address 0; a found empty value has an address', async (t) => {
  const ran = await run(t, {
    steps: [get(OUT), put('insert', 0, 0), get(OUT + 8)], data: DATA,
  });
  t.same([0, 1, 2].map((step) => ran.globals[`r${step}`]), [0, 1, 1]);
  memoryIs(t, ran, { [OUT]: u32(0, 0, HEAP, 0), [HEAP]: '\0' });
});

t.test('get of an absent key needs no allocator; of a present one it does', async (t) => {
  const absent = await run(t, { steps: [get(OUT)], initMm: false, data: DATA });
  t.equal(absent.failure, null);
  const present = await run(t, {
    steps: [put('insert', 144, 3), get(OUT)], initMm: false, data: DATA,
  });
  t.equal(present.failure?.code, 'missing_allocator');
});

t.test('remove tells whether the key was there', async (t) => {
  const remove: Step = ['hostcall_kvstore_remove', 128, 3];
  const ran = await run(t, {
    steps: [put('insert', 144, 3), remove, remove, get(OUT)], data: DATA,
  });
  t.same([1, 2, 3].map((step) => ran.globals[`r${step}`]), [1, 0, 0]);
});

t.test('the store is the app\'s', async (t) => {
  const kv = new MemoryStore();
  await run(t, { steps: [put('insert', 144, 3)], data: DATA, services: { kv } });
  t.same([...kv.entries.keys()], ['5:key']);
});

for (const [name, step, message] of [
  ['an empty key', ['hostcall_kvstore_get', OUT, OUT + 4, 128, 0], /k: the key is empty/],
  ['a key over the limit', ['hostcall_kvstore_remove', 128, KV_KEY_BYTES_MAX + 1],
    /k: a key of 2049 bytes is over the limit of 2048 bytes/],
  ['a value over the limit', ['hostcall_kvstore_insert', 128, 3, 0, KV_VALUE_BYTES_MAX + 1],
    /v: a value of 8388609 bytes is over the limit of 8388608 bytes/],
] as const) {
  t.test(`${name} ends the guest`, async (t) => {
    const pages = Math.ceil((KV_VALUE_BYTES_MAX + 1) / PAGE);
    const ran = await run(t, { steps: [step], data: DATA, pages });
    t.equal(ran.failure?.code, 'bad_hostcall');
    t.match(ran.failure?.message, message);
  });
}

t.test('a full store ends the guest with its code', async (t) => {
  const kv = Object.assign(new MemoryStore(), {
    put: () => Promise.reject(new WardianError('storage_full', 'the store holds all it may')),
  });
  const ran = await run(t, { steps: [put('insert', 144, 3)], data: DATA, services: { kv } });
  t.equal(ran.failure?.code, 'storage_full');
  t.equal(ran.failure?.message, 'hostcall_kvstore_insert: the store holds all it may');
});

const NAME = { 128: 'a.example', 192: [1, 2, 3] };
const query: Step = ['hostcall_dns_query_ip', OUT, OUT + 4, 128, 9, 0];
const raw: Step = ['hostcall_dns_query_raw', OUT, OUT + 4, 192, 3];

function dns(answers: Partial<Services['dns']>): { dns: Services['dns'] } {
  const unasked = () => Promise.reject(new Error('not asked'));
  return { dns: { queryIp: unasked, queryRaw: unasked, ...answers } };
}

t.test('addresses are slices of 4 or 16 bytes, each with its NUL', async (t) => {
  const asked: unknown[] = [];
  const ran = await run(t, {
    steps: [query, ['hostcall_dns_query_ip', OUT + 8, OUT + 12, 128, 9, 2]], data: NAME,
    services: dns({
      queryIp: async (name, ipv6) => {
        asked.push([name, ipv6]);
        return ipv6 ? [new Uint8Array(16).fill(6)]
          : [Uint8Array.of(1, 2, 3, 4), Uint8Array.of(5, 6, 7, 8)];
      },
    }),
  });
  t.same(asked, [['a.example', false], ['a.example', true]]);
  t.same([ran.globals['r0'], ran.globals['r1']], [1, 1]);
  memoryIs(t, ran, {
    [OUT]: u32(HEAP, 2, HEAP + 48, 1),
    [HEAP]: u32(HEAP + 16, 4, HEAP + 32, 4), [HEAP + 16]: [1, 2, 3, 4, 0],
    [HEAP + 32]: [5, 6, 7, 8, 0],
    [HEAP + 48]: u32(HEAP + 64, 16), [HEAP + 64]: [...new Uint8Array(16).fill(6), 0],
  });
});

t.test('a literal is answered by the real resolver', async (t) => {
  const ran = await run(t, {
    steps: [['hostcall_dns_query_ip', OUT, OUT + 4, 128, 9, 0]], data: { 128: '192.0.2.1' },
  });
  t.equal(ran.globals['r0'], 1);
  memoryIs(t, ran, {
    [OUT]: u32(HEAP, 1), [HEAP]: u32(HEAP + 16, 4), [HEAP + 16]: [192, 0, 2, 1, 0],
  });
  t.equal(ran.usage.dnsQueries, 1);
});

t.test('failures are 0 with address 0, and the log says why', async (t) => {
  const services = dns({
    queryIp: () => Promise.reject(new DnsError('not_found', 'no such name')),
    queryRaw: () => Promise.reject(new DnsError('timeout', 'no answer')),
  });
  const ran = await run(t, {
    steps: [query, ['hostcall_dns_query_raw', OUT + 8, OUT + 12, 192, 3]], data: NAME, services,
    initMm: false,
  });
  t.equal(ran.failure, null);
  t.same([ran.globals['r0'], ran.globals['r1']], [0, 0]);
  memoryIs(t, ran, { [OUT]: u32(0, 0, 0, 0) });
  t.same(ran.logs.map((line) => line.text), [
    'hostcall_dns_query_ip: not_found: no such name', 'hostcall_dns_query_raw: timeout: no answer',
  ]);
});

t.test('a name without addresses is found, and none', async (t) => {
  const ran = await run(t, {
    steps: [query], data: NAME, services: dns({ queryIp: async () => [] }), initMm: false,
  });
  t.equal(ran.globals['r0'], 1);
  memoryIs(t, ran, { [OUT]: u32(0, 0) });
});

t.test('names that are not UTF-8 or too long, and messages too long, are not sent', async (t) => {
  const ran = await run(t, {
    steps: [
      ['hostcall_dns_query_ip', OUT, OUT + 4, 192, 2, 0],
      ['hostcall_dns_query_ip', OUT, OUT + 4, 0, 2_000, 0],
      ['hostcall_dns_query_raw', OUT, OUT + 4, 0, 5_000],
    ],
    data: { 192: 'a\xff' }, services: dns({}),
  });
  t.equal(ran.failure, null);
  t.same([0, 1, 2].map((step) => ran.globals[`r${step}`]), [0, 0, 0]);
  t.equal(ran.logs.filter((line) => line.text.includes('bad_query')).length, 3);
});

t.test('messages go out and come back as they are', async (t) => {
  const ran = await run(t, {
    steps: [raw], data: NAME,
    services: dns({ queryRaw: async (message) => Uint8Array.of(9, ...message, 0, 255) }),
  });
  t.equal(ran.globals['r0'], 1);
  memoryIs(t, ran, { [OUT]: u32(HEAP, 6), [HEAP]: [9, 1, 2, 3, 0, 255, 0] });
});

t.test('a fault of ours in a service is not the guest\'s to handle', async (t) => {
  const ran = await run(t, { steps: [query], data: NAME, services: dns({}) });
  t.equal(ran.failure?.code, 'internal');
  t.equal(ran.failure?.message, 'hostcall_dns_query_ip: an internal error');
  t.equal(ran.internalErrors.length, 1);
});
