/** `hostcall_resp_*` on the outgoing response, and what becomes of it: `answer`. */

import t from 'tap';
import type { WardianError } from '../../contract/errors.ts';
import type { FlatHeaders } from '../../contract/messages.ts';
import { GuestResponse, validateAnswer } from '../../hostcalls/answer.ts';
import { REQUEST_LIMITS_DEFAULT } from '../../contract/limits.ts';
import { HEAP, REQUEST, memoryIs, run, u32, type Step } from './guest.ts';

const OUT = 64;

t.test('a guest that sets nothing answers 200 with an empty body', async (t) => {
  const ran = await run(t, { text: '(module (func (export "run")))' });
  t.same(ran.answer, { status: 200, headers: [], body: null, relay: null });
});

t.test('a guest that exports nothing but run, its memory and table unexported', async (t) => {
  const ran = await run(t, {
    text: `(module
      (import "env" "hostcall_resp_set_body" (func $set (param i32 i32 i32) (result i32)))
      (memory 1) (data (i32.const 8) "hello")
      (func (export "run") (drop (call $set (i32.const 0) (i32.const 8) (i32.const 5)))))`,
  });
  t.equal(Buffer.from(ran.answer?.body ?? []).toString(), 'hello');
});

t.test('status, several header lines and the last body arrive exactly', async (t) => {
  const ran = await run(t, {
    // More than a buffer that others are in.
    pages: 2,
    steps: [
      ['hostcall_resp_set_response_code', 0, 418],
      ['hostcall_resp_set_header', 0, 128, 10, 200, 2],
      ['hostcall_resp_set_header', 0, 140, 3, 200, 1],
      ['hostcall_resp_set_header', 0, 140, 3, 208, 1],
      ['hostcall_resp_set_body', 0, 128, 10],
      ['hostcall_resp_set_body', 0, 184, 2],
      ['hostcall_resp_get_response_code', 0],
      ['hostcall_resp_get_header', OUT, OUT + 4, 0, 128, 10],
      ['hostcall_resp_get_headers', OUT + 8, OUT + 12, 0],
      ['hostcall_resp_get_body', OUT + 16, OUT + 20, 0],
    ],
    data: { 128: 'Set-Cookie', 140: 'X-A', 176: 'a=1', 184: '\xff\0', 200: u32(176, 3, 184, 1) },
  });
  t.equal(ran.failure, null);
  for (let step = 0; step <= 5; step++) t.equal(ran.globals[`r${step}`], 0, `step ${step}`);
  t.equal(ran.globals['r6'], 418);
  t.equal(ran.answer?.status, 418);
  t.same(ran.answer?.headers, ['set-cookie', 'a=1', 'set-cookie', '\xff', 'x-a', '\xff']);
  t.same([...ran.answer?.body ?? []], [255, 0]);
  t.ok(ran.answer!.body!.buffer.byteLength <= Buffer.poolSize, "not in the guest's memory");
  memoryIs(t, ran, {
    [OUT]: u32(HEAP, 2, HEAP + 48, 2, HEAP + 96, 2),
    [HEAP]: u32(HEAP + 16, 3, HEAP + 32, 1), [HEAP + 16]: 'a=1\0', [HEAP + 32]: '\xff\0',
    [HEAP + 48]: u32(HEAP + 64, 10, HEAP + 80, 3), [HEAP + 64]: 'set-cookie\0',
    [HEAP + 80]: 'x-a\0', [HEAP + 96]: '\xff\0\0',
  });
});

t.test('Invalid: codes out of range, handles other than 0, bad names and values', async (t) => {
  const steps: Step[] = [
    ['hostcall_resp_set_response_code', 0, 99],
    ['hostcall_resp_set_response_code', 0, 1_000],
    ['hostcall_resp_set_response_code', 0, -200],
    ['hostcall_resp_set_response_code', 1, 200],
    ['hostcall_resp_set_response_code', -1, 200],
    ['hostcall_resp_set_header', 1, 128, 1, 200, 1],
    ['hostcall_resp_set_header', -1, 128, 1, 200, 1],
    ['hostcall_resp_set_header', 0, 128, 0, 200, 1],
    ['hostcall_resp_set_header', 0, 130, 2, 200, 1],
    ['hostcall_resp_set_header', 0, 128, 1, 208, 1],
    ['hostcall_resp_set_body', 1, 128, 1],
    ['hostcall_resp_set_body', -2, 128, 1],
  ];
  const ran = await run(t, {
    steps, data: { 128: 'a', 130: 'é', 176: 'v\r\n', 200: u32(176, 1, 176, 3) },
  });
  t.equal(ran.failure, null);
  steps.forEach((step, index) => t.equal(ran.globals[`r${index}`], 1, step.join(' ')));
  t.same(ran.answer, { status: 200, headers: [], body: null, relay: null });
  memoryIs(t, ran, {});
});

for (const name of ['get_response_code', 'get_headers', 'get_header', 'get_body']) {
  for (const handle of [-1, 1]) {
    t.test(`hostcall_resp_${name} ends the guest for handle ${handle}`, async (t) => {
      const hostcall = `hostcall_resp_${name}`;
      const steps: Record<string, Step> = {
        get_response_code: [hostcall, handle],
        get_header: [hostcall, OUT, OUT + 4, handle, 128, 1],
      };
      const ran = await run(t, { steps: [steps[name] ?? [hostcall, OUT, OUT + 4, handle]] });
      t.equal(ran.failure?.code, 'bad_hostcall');
      t.equal(ran.failure?.message, `${hostcall}: resp: ${handle} is not the handle of a response`);
      memoryIs(t, ran, {});
    });
  }
}

t.test('a body over the limit ends the guest before it is copied', async (t) => {
  const ran = await run(t, {
    steps: [['hostcall_resp_set_body', 0, 0, 101]], limits: { responseBytes: 100 },
  });
  t.equal(ran.failure?.code, 'response_too_large');
  t.match(ran.failure?.message, /a body of 101 bytes is over the limit of 100 bytes/);
  t.equal(ran.usage.hostcallBytes, 0);
});

interface AnswerRow {
  readonly name: string;
  readonly headers?: string[];
  readonly status?: number;
  readonly body?: string;
  readonly method?: string;
  readonly expect: { status?: number; headers?: FlatHeaders; body?: string | null; code?: string };
}

const ANSWERS: readonly AnswerRow[] = [
  {
    name: 'fields of the connection are taken out, and what the connection field names',
    headers: ['x', '1', 'connection', 'close, X-Gone', 'x-gone', '1', 'transfer-encoding',
      'chunked', 'keep-alive', '5', 'te', 'trailers', 'upgrade', 'h2c', 'trailer', 'x', 'y', '2'],
    expect: { headers: ['x', '1', 'y', '2'] },
  },
  {
    name: 'a content-length that is right is left to the listener',
    headers: ['content-length', '2'], body: 'ab', expect: { headers: [], body: 'ab' },
  },
  {
    name: 'a content-length that is wrong', headers: ['content-length', '3'], body: 'ab',
    expect: { code: 'bad_response' },
  },
  {
    name: 'a content-length that is no number', headers: ['content-length', '2, 2'], body: 'ab',
    expect: { code: 'bad_response' },
  },
  {
    name: 'two content-lengths', body: 'ab',
    headers: ['content-length', '2', 'content-length', '2'],
    expect: { code: 'bad_response' },
  },
  {
    name: 'HEAD may announce a length', method: 'HEAD', headers: ['content-length', '900'],
    expect: { headers: ['content-length', '900'], body: null },
  },
  {
    name: '304 may announce a length', status: 304, headers: ['content-length', '900'], body: 'x',
    expect: { headers: ['content-length', '900'], body: null },
  },
  {
    name: '204 has neither body nor length',
    status: 204, headers: ['content-length', '1'], body: 'x',
    expect: { headers: [], body: null },
  },
  { name: 'an interim status', status: 103, expect: { code: 'bad_response' } },
  { name: '599', status: 599, expect: { status: 599 } },
  { name: '600', status: 600, expect: { code: 'bad_response' } },
  { name: '999', status: 999, expect: { code: 'bad_response' } },
];

for (const { name, headers = [], status = 200, body, method = 'GET', expect } of ANSWERS) {
  t.test(`answer: ${name}`, async (t) => {
    const response = new GuestResponse();
    response.status = status;
    response.headers.push(...headers);
    response.body = body === undefined ? null : Buffer.from(body);
    const validate = () => validateAnswer(response, { ...REQUEST, method }, REQUEST_LIMITS_DEFAULT);
    if (expect.code !== undefined) {
      t.throws(validate, { code: expect.code } as WardianError);
      return;
    }
    const answer = validate();
    t.equal(answer.status, expect.status ?? status);
    t.same(answer.headers, expect.headers ?? []);
    t.equal(answer.body === null ? null : Buffer.from(answer.body).toString(), expect.body ?? null);
  });
}
