/** `hostcall_req_*`, sending apart: exact bytes in memory, every error, every bound. */

import t from 'tap';
import { HEADER_NAME_BYTES_MAX, METHOD_BYTES_MAX, URL_BYTES_MAX } from '../../contract/limits.ts';
import { HEAP, memoryIs, run, u32, type RunOptions, type Step } from './guest.ts';

/** Where the out-pointers of most tests are. */
const OUT = 64;
const out = (...values: number[]) => ({ [OUT]: u32(...values) });

interface Row {
  readonly name: string;
  readonly step: Step;
  readonly options?: RunOptions;
  readonly changes: Record<number, string | readonly number[]>;
}

const HEADERS = ['host', 'h', 'x-two', 'one', 'x-two', 't\xffo', 'x-empty', ''];

const GIVEN: readonly Row[] = [
  {
    name: 'the method, NUL-terminated',
    step: ['hostcall_req_get_method', OUT, OUT + 4, 0],
    changes: { ...out(HEAP, 3), [HEAP]: 'GET\0' },
  },
  {
    name: 'the path with its query',
    step: ['hostcall_req_get_path', OUT, OUT + 4, 0],
    changes: { ...out(HEAP, 6), [HEAP]: '/a?b=1\0' },
  },
  {
    name: 'out-pointers that overlap: the length is stored last',
    step: ['hostcall_req_get_path', OUT, OUT, 0],
    changes: { ...out(6), [HEAP]: '/a?b=1\0' },
  },
  {
    name: 'the body, bytes that are not UTF-8 included',
    step: ['hostcall_req_get_body', OUT, OUT + 4, 0],
    options: { request: { body: Uint8Array.of(0, 255, 128, 13) } },
    changes: { ...out(HEAP, 4), [HEAP]: [0, 255, 128, 13, 0] },
  },
  {
    name: 'no body: address 0, length 0, no allocation',
    step: ['hostcall_req_get_body', OUT, OUT + 4, 0],
    changes: out(0, 0),
  },
  {
    name: 'an empty body: the same',
    step: ['hostcall_req_get_body', OUT, OUT + 4, 0],
    options: { request: { body: new Uint8Array(0) } },
    changes: out(0, 0),
  },
  {
    name: 'header names: distinct, in order, one block each and one for the array',
    step: ['hostcall_req_get_headers', OUT, OUT + 4, 0],
    options: { request: { headers: HEADERS, clientAddress: '::1' } },
    changes: {
      ...out(HEAP, 5),
      [HEAP]: u32(HEAP + 48, 4, HEAP + 64, 5, HEAP + 80, 7, HEAP + 96, 16, HEAP + 128, 18),
      [HEAP + 48]: 'host\0', [HEAP + 64]: 'x-two\0', [HEAP + 80]: 'x-empty\0',
      [HEAP + 96]: 'fastly-client-ip\0', [HEAP + 128]: 'x-fastly-client-ip\0',
    },
  },
  {
    name: 'all values of a header, in order, in any case, exact bytes',
    step: ['hostcall_req_get_header', OUT, OUT + 4, 0, 128, 5],
    options: { request: { headers: HEADERS }, data: { 128: 'X-Two' } },
    changes: {
      ...out(HEAP, 2), [HEAP]: u32(HEAP + 16, 3, HEAP + 32, 3),
      [HEAP + 16]: 'one\0', [HEAP + 32]: 't\xffo\0',
    },
  },
  {
    name: 'an empty value: a block of one NUL',
    step: ['hostcall_req_get_header', OUT, OUT + 4, 0, 128, 7],
    options: { request: { headers: HEADERS }, data: { 128: 'x-empty' } },
    changes: { ...out(HEAP, 1), [HEAP]: u32(HEAP + 16, 0), [HEAP + 16]: '\0' },
  },
  {
    name: 'no such header: address 0, length 0',
    step: ['hostcall_req_get_header', OUT, OUT + 4, 0, 128, 4],
    options: { data: { 128: 'nope' } },
    changes: out(0, 0),
  },
  {
    name: 'a name that is no token, or longer than names are, names no header',
    step: ['hostcall_req_get_header', OUT, OUT + 4, 0, 128, HEADER_NAME_BYTES_MAX + 1],
    changes: out(0, 0),
  },
  {
    name: 'the client\'s address, whatever the client sent under that name',
    step: ['hostcall_req_get_header', OUT, OUT + 4, 0, 128, 16],
    options: {
      data: { 128: 'fastly-client-ip' },
      request: { headers: ['fastly-client-ip', 'forged', 'x-fastly-client-ip', 'forged'] },
    },
    changes: { ...out(HEAP, 1), [HEAP]: u32(HEAP + 16, 9), [HEAP + 16]: '192.0.2.7\0' },
  },
  {
    name: 'the host of a request that carries it beside its headers',
    step: ['hostcall_req_get_header', OUT, OUT + 4, 0, 128, 4],
    options: { data: { 128: 'host' }, request: { headers: [] } },
    changes: { ...out(HEAP, 1), [HEAP]: u32(HEAP + 16, 15), [HEAP + 16]: 'hello.localhost\0' },
  },
];

for (const { name, step, options, changes } of GIVEN) {
  t.test(name, async (t) => {
    const ran = await run(t, { steps: [step], ...options });
    t.equal(ran.failure, null);
    t.equal(ran.globals['done'], 1);
    memoryIs(t, ran, changes);
  });
}

t.test('nothing to give works without hostcall_init_mm, and without a table', async (t) => {
  const ran = await run(t, {
    steps: [['hostcall_req_get_body', OUT, OUT + 4, 0]], initMm: false,
  });
  t.equal(ran.failure, null);
  t.equal(ran.globals['allocations'], 0);
  memoryIs(t, ran, out(0, 0));
});

t.test('something to give without hostcall_init_mm says so', async (t) => {
  const ran = await run(t, {
    steps: [['hostcall_req_get_method', OUT, OUT + 4, 0]], initMm: false,
  });
  t.equal(ran.failure?.code, 'missing_allocator');
  t.equal(ran.failure?.message, 'hostcall_req_get_method: has data to return, but the guest has '
    + 'not called hostcall_init_mm');
  t.equal(ran.globals['done'], 0);
  memoryIs(t, ran, {});
});

/** A guest that makes one request, with handle 1. The method is at 128, the URL at 256. */
function created(method: string, url: string, ...steps: Step[]): RunOptions {
  return {
    steps: [['hostcall_req_create', 128, method.length, 256, Buffer.byteLength(url)], ...steps],
    data: { 128: method, 256: Buffer.from(url) },
  };
}

t.test('a created request gives back what it was made of', async (t) => {
  const url = 'https://h.example/p/é?q=1#gone';
  const ran = await run(t, created('POST', url,
    ['hostcall_req_get_method', OUT, OUT + 4, { result: 0 }],
    ['hostcall_req_get_path', OUT + 8, OUT + 12, { result: 0 }],
    ['hostcall_req_set_body', { result: 0 }, 128, 4],
    ['hostcall_req_get_body', OUT + 16, OUT + 20, { result: 0 }],
    ['hostcall_req_get_headers', OUT + 24, OUT + 28, { result: 0 }]));
  t.equal(ran.failure, null);
  t.equal(ran.globals['r0'], 1);
  t.equal(ran.globals['r3'], 0);
  memoryIs(t, ran, {
    [OUT]: u32(HEAP, 4, HEAP + 16, 13, HEAP + 32, 4, 0, 0),
    [HEAP]: 'POST\0', [HEAP + 16]: '/p/%C3%A9?q=1\0', [HEAP + 32]: 'POST\0',
  });
});

const MALFORMED: readonly [string, string, string][] = [
  ['an empty method', '', 'http://h/'],
  ['a method with a space', 'GE T', 'http://h/'],
  ['a method that is not UTF-8', 'G\xff', 'http://h/'],
  ['a method over the limit', 'A'.repeat(METHOD_BYTES_MAX + 1), 'http://h/'],
  ['an empty URL', 'GET', ''],
  ['a relative URL', 'GET', '/path'],
  ['a scheme that is not HTTP', 'GET', 'file:///etc/passwd'],
  ['no host', 'GET', 'http://'],
  ['a port that there is not', 'GET', 'http://h:99999/'],
  ['a URL over the limit', 'GET', `http://h/${'a'.repeat(URL_BYTES_MAX)}`],
];

for (const [name, method, url] of MALFORMED) {
  t.test(`hostcall_req_create answers -1 to ${name}`, async (t) => {
    const ran = await run(t, created(method, url));
    t.equal(ran.failure, null);
    t.equal(ran.globals['r0'], -1);
    memoryIs(t, ran, {});
  });
}

t.test('hostcall_req_create answers -1 to a URL that is not UTF-8', async (t) => {
  const ran = await run(t, {
    steps: [['hostcall_req_create', 128, 3, 256, 10]], data: { 128: 'GET', 256: 'http://h/\xff' },
  });
  t.equal(ran.globals['r0'], -1);
});

t.test('hostcall_req_set_header replaces, removes, and keeps bytes', async (t) => {
  const name = 'X-Thing';
  const ran = await run(t, {
    steps: [
      ['hostcall_req_create', 128, 3, 144, 9],
      ['hostcall_req_set_header', { result: 0 }, 160, name.length, 200, 2],
      ['hostcall_req_set_header', { result: 0 }, 168, 1, 200, 1],
      ['hostcall_req_set_header', { result: 0 }, 160, name.length, 208, 1],
      ['hostcall_req_get_header', OUT, OUT + 4, { result: 0 }, 160, name.length],
      ['hostcall_req_set_header', { result: 0 }, 160, name.length, 0, 0],
      ['hostcall_req_get_headers', OUT + 8, OUT + 12, { result: 0 }],
    ],
    data: {
      128: 'GET', 144: 'http://h/', 160: name, 168: 'b', 176: 'one', 180: 't\xff\t',
      200: u32(176, 3, 180, 3),
    },
  });
  t.equal(ran.failure, null);
  t.same([1, 2, 3, 5].map((step) => ran.globals[`r${step}`]), [0, 0, 0, 0]);
  memoryIs(t, ran, {
    [OUT]: u32(HEAP, 1, HEAP + 32, 1),
    [HEAP]: u32(HEAP + 16, 3), [HEAP + 16]: 't\xff\t\0',
    [HEAP + 32]: u32(HEAP + 48, 1), [HEAP + 48]: 'b\0',
  });
});

t.test('Invalid: request 0, stale and negative handles, bad names and values', async (t) => {
  const values = { 176: 'ok', 180: 'a\rb', 184: 'a\nb', 188: 'a\0b', 192: 'a\x7fb' };
  const set = (handle: number, name: number, length: number, slices: number, count = 1): Step =>
    ['hostcall_req_set_header', handle, name, length, slices, count];
  const ran = await run(t, {
    steps: [
      ['hostcall_req_create', 128, 3, 144, 9],
      set(0, 160, 1, 200), set(-1, 160, 1, 200), set(9, 160, 1, 200),
      set(1, 160, 0, 200), set(1, 162, 3, 200), set(1, 166, 2, 200), set(1, 170, 2, 200),
      set(1, 160, 1, 208), set(1, 160, 1, 216), set(1, 160, 1, 224), set(1, 160, 1, 232),
      set(1, 1_024, HEADER_NAME_BYTES_MAX + 1, 200), set(1, 160, 1, 1_024, 257),
      ['hostcall_req_set_body', 0, 128, 3], ['hostcall_req_set_body', -1, 128, 3],
      ['hostcall_req_set_body', 2, 128, 3],
      ['hostcall_req_get_headers', OUT, OUT + 4, { result: 0 }],
    ],
    data: {
      128: 'GET', 144: 'http://h/', 160: 'a', 162: 'a b', 166: 'a:', 170: 'a\xff', ...values,
      200: u32(176, 2, 180, 3, 184, 3, 188, 3, 192, 3), 1_024: 'n'.repeat(2_100),
    },
  });
  t.equal(ran.failure, null);
  for (let step = 1; step <= 16; step++) t.equal(ran.globals[`r${step}`], 1, `step ${step}`);
  memoryIs(t, ran, out(0, 0), 'and nothing was set');
});

const NO_REQUEST: readonly Step[] = [
  ['hostcall_req_get_method', OUT, OUT + 4, 1],
  ['hostcall_req_get_path', OUT, OUT + 4, -1],
  ['hostcall_req_get_headers', OUT, OUT + 4, 2_000_000_000],
  ['hostcall_req_get_header', OUT, OUT + 4, -2, 128, 1],
  ['hostcall_req_get_body', OUT, OUT + 4, 7],
];

for (const step of NO_REQUEST) {
  t.test(`${step[0]} ends the guest for a handle that is not a request's`, async (t) => {
    const ran = await run(t, { steps: [step] });
    t.equal(ran.failure?.code, 'bad_hostcall');
    t.equal(ran.failure?.message, `${step[0]}: req: ${step[3]} is not the handle of a request`);
    t.equal(ran.failure?.lastHostcall, step[0]);
    t.equal(ran.globals['done'], 0);
    memoryIs(t, ran, {});
  });
}

t.test('a header name that is not UTF-8 ends the guest', async (t) => {
  const ran = await run(t, {
    steps: [['hostcall_req_get_header', OUT, OUT + 4, 0, 128, 2]], data: { 128: 'a\xff' },
  });
  t.equal(ran.failure?.message, 'hostcall_req_get_header: name: is not UTF-8');
});
