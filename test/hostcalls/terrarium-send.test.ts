/** `hostcall_req_send`, `send_async`, `poll`, `wait`, `select`, against real servers. */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { createHost } from '../../hostcalls/index.ts';
import { HEAP, memoryIs, run, testServices, u32, type Step } from './guest.ts';

const OUT = 64;

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

interface Upstream {
  readonly url: string;
  readonly seen: Seen[];
  /** Requests whose client went away. */
  aborted: number;
}

type Handler = (request: IncomingMessage, response: ServerResponse, body: string) => void;

async function upstream(t: Test, handler: Handler): Promise<Upstream> {
  const seen: Upstream['seen'] = [];
  const made = { url: '', seen, aborted: 0 };
  const server = createServer(async (request, response) => {
    response.on('close', () => { if (!response.writableFinished) made.aborted++; });
    let body = '';
    for await (const piece of request) body += piece;
    seen.push({ method: request.method!, url: request.url!, headers: request.headers, body });
    handler(request, response, body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  }));
  made.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return made;
}

const GET_AT = 128;
const URL_AT = 512;

/** A request to `url`, whose text the test puts at `at`. */
function create(url: string, at = URL_AT): Step {
  return ['hostcall_req_create', GET_AT, 3, at, url.length];
}

t.test('send waits for the response, bytes intact, and consumes the request', async (t) => {
  const server = await upstream(t, (_request, response) => {
    response.writeHead(201, [['X-A', '1'], ['x-a', '2'], ['content-encoding', 'gzip']].flat());
    response.end(Uint8Array.of(0, 255, 10));
  });
  const url = `${server.url}/p?q`;
  const ran = await run(t, {
    steps: [
      create(url),
      ['hostcall_req_set_header', { result: 0 }, 140, 3, 160, 2],
      ['hostcall_req_set_body', { result: 0 }, 176, 3],
      ['hostcall_req_send', { result: 0 }],
      ['hostcall_req_send', { result: 0 }],
      ['hostcall_resp_get_response_code', { result: 3 }],
      ['hostcall_resp_get_header', OUT, OUT + 4, { result: 3 }, 150, 3],
      ['hostcall_resp_get_body', OUT + 8, OUT + 12, { result: 3 }],
      ['hostcall_resp_set_body', { result: 3 }, 0, 1],
      ['hostcall_resp_set_response_code', { result: 3 }, 200],
    ],
    data: {
      [GET_AT]: 'PUT', 140: 'X-B', 150: 'X-a', 160: u32(176, 1, 177, 2), 176: 'u\xff!',
      [URL_AT]: url,
    },
  });
  t.equal(ran.failure, null);
  t.equal(ran.globals['r3'], 2, 'a response');
  t.equal(ran.globals['r4'], -1, 'the request is consumed');
  t.equal(ran.globals['r5'], 201);
  t.same([ran.globals['r8'], ran.globals['r9']], [1, 1], 'a received response cannot be changed');
  t.equal(server.seen.length, 1);
  t.match(server.seen[0], { method: 'PUT', url: '/p?q', headers: { 'x-b': 'u, \xff!' } });
  t.equal(server.seen[0]!.body, Buffer.from('u\xff!', 'latin1').toString());
  t.equal(ran.usage.subrequests, 1);
  memoryIs(t, ran, {
    [OUT]: u32(HEAP, 2, HEAP + 48, 3),
    [HEAP]: u32(HEAP + 16, 1, HEAP + 32, 1), [HEAP + 16]: '1\0', [HEAP + 32]: '2\0',
    [HEAP + 48]: [0, 255, 10, 0],
  });
});

t.test('-1: the incoming request, no request, a refused address, a closed port', async (t) => {
  const gone = await upstream(t, (_request, response) => response.destroy());
  const denied = 'http://169.254.169.254/latest';
  const ran = await run(t, {
    steps: [
      ['hostcall_req_send', 0], ['hostcall_req_send', 4], ['hostcall_req_send_async', 0],
      ['hostcall_req_send_async', -1], create(denied), ['hostcall_req_send', { result: 4 }],
      create(gone.url, 900), ['hostcall_req_send', { result: 6 }],
    ],
    data: { [GET_AT]: 'GET', [URL_AT]: denied, 900: gone.url },
  });
  t.equal(ran.failure, null);
  for (const step of [0, 1, 2, 3, 5, 7]) t.equal(ran.globals[`r${step}`], -1, `step ${step}`);
  t.match(ran.logs.map((line) => line.text), [
    /^hostcall_req_send: denied_address: /, /^hostcall_req_send: (protocol|connect): /,
  ], 'the log says why');
  t.ok(ran.logs.every((line) => line.source === 'debug'));
});

t.test('-1 for the requests over the limit', async (t) => {
  const server = await upstream(t, (_request, response) => response.end('ok'));
  const ran = await run(t, {
    steps: [
      create(server.url), ['hostcall_req_send', { result: 0 }],
      create(server.url), ['hostcall_req_send', { result: 2 }],
    ],
    data: { [GET_AT]: 'GET', [URL_AT]: server.url }, limits: { subrequests: 1 },
  });
  t.equal(ran.globals['r1'], 2);
  t.equal(ran.globals['r3'], -1);
  t.equal(server.seen.length, 1);
  t.match(ran.logs[0]?.text, /too_many/);
});

/** Answers `/slow` when told, everything else at once, with the path as body. */
async function slowAndFast(t: Test): Promise<Upstream & { release: () => void }> {
  const held: ServerResponse[] = [];
  const server = await upstream(t, (request, response) => {
    if (request.url === '/slow') held.push(response);
    else response.end(request.url);
  });
  return Object.assign(server, { release: () => { for (const one of held) one.end('/slow'); } });
}

t.test('poll: not ready, then the response, then consumed', async (t) => {
  const server = await slowAndFast(t);
  const slow = `${server.url}/slow`;
  const ran = await run(t, {
    steps: [
      create(slow), ['hostcall_req_send_async', { result: 0 }],
      ['hostcall_pending_req_poll', { result: 1 }],
      ['wasi:poll_oneoff', 256, 320, 1, 380],
      ['hostcall_pending_req_wait', { result: 1 }],
      ['hostcall_pending_req_poll', { result: 1 }],
      ['hostcall_pending_req_wait', { result: 1 }],
      ['hostcall_pending_req_poll', { result: 0 }],
      ['hostcall_resp_get_response_code', { result: 4 }],
    ],
    data: { [GET_AT]: 'GET', [URL_AT]: slow, 256: clock(1, 30_000_000n) },
    during: async (guest) => {
      t.equal(guest.waiting, true);
      while (server.seen.length === 0) await new Promise(setImmediate);
      setTimeout(server.release, 60);
    },
  });
  t.equal(ran.failure, null);
  t.equal(ran.globals['r2'], -2, 'not ready');
  t.equal(ran.globals['r4'], 3, 'the response');
  t.same([5, 6, 7].map((step) => ran.globals[`r${step}`]), [-1, -1, -1], 'consumed');
  t.equal(ran.globals['r8'], 200);
});

/** A clock subscription with 7 as user data. */
function clock(id: number, nanos: bigint): Uint8Array {
  const subscription = Buffer.alloc(48);
  subscription.writeBigUInt64LE(7n, 0);
  subscription.writeUInt32LE(id, 16);
  subscription.writeBigUInt64LE(nanos, 24);
  return subscription;
}

t.test('a loop of polls ends with the response', async (t) => {
  const server = await slowAndFast(t);
  const slow = `${server.url}/slow`;
  const ran = await run(t, {
    text: `(module
      (import "env" "hostcall_req_create" (func $create (param i32 i32 i32 i32) (result i32)))
      (import "env" "hostcall_req_send_async" (func $send (param i32) (result i32)))
      (import "env" "hostcall_pending_req_poll" (func $poll (param i32) (result i32)))
      (memory 1)
      (global $response (export "response") (mut i32) (i32.const 0))
      (func (export "run") (local $pending i32)
        (local.set $pending (call $send (call $create
          (i32.const ${GET_AT}) (i32.const 3) (i32.const ${URL_AT}) (i32.const ${slow.length}))))
        (loop $again
          (global.set $response (call $poll (local.get $pending)))
          (br_if $again (i32.eq (global.get $response) (i32.const -2))))))`,
    data: { [GET_AT]: 'GET', [URL_AT]: slow },
    during: async () => {
      while (server.seen.length === 0) await new Promise(setImmediate);
      setTimeout(server.release, 150);
    },
  });
  t.equal(ran.failure, null);
  t.equal(ran.globals['response'], 3);
  t.ok(ran.usage.hostcalls < 5_000, `${ran.usage.hostcalls} hostcalls: the loop gives way`);
});

t.test('select: the first that is done, only that one consumed', async (t) => {
  const server = await slowAndFast(t);
  const slow = `${server.url}/slow`;
  const fast = `${server.url}/fast`;
  const ran = await run(t, {
    steps: [
      create(slow), ['hostcall_req_send_async', { result: 0 }],
      create(fast, 900), ['hostcall_req_send_async', { result: 2 }],
      ['hostcall_pending_req_select', 240, 2, 248],
      ['hostcall_pending_req_select', 240, 1, 252],
      ['hostcall_pending_req_select', 240, 2, 256],
      ['hostcall_resp_get_body', OUT, OUT + 4, { result: 4 }],
      ['hostcall_resp_get_body', OUT + 8, OUT + 12, { result: 5 }],
    ],
    data: { [GET_AT]: 'GET', [URL_AT]: slow, 900: fast, 240: u32(2, 4) },
    during: async () => {
      while (server.seen.length < 2) await new Promise(setImmediate);
      setTimeout(server.release, 50);
    },
  });
  t.equal(ran.failure, null);
  t.same([ran.globals['r4'], ran.globals['r5'], ran.globals['r6']], [5, 6, -1]);
  memoryIs(t, ran, {
    248: u32(4, 2, 2), [OUT]: u32(HEAP, 5, HEAP + 16, 5),
    [HEAP]: '/fast\0', [HEAP + 16]: '/slow\0',
  });
});

t.test('select: a failed one is consumed; of several done, the first in order', async (t) => {
  const server = await slowAndFast(t);
  const fast = `${server.url}/fast`;
  const denied = 'http://10.0.0.1/';
  const ran = await run(t, {
    steps: [
      create(denied), ['hostcall_req_send_async', { result: 0 }],
      ['hostcall_pending_req_select', 240, 1, 248],
      create(fast, 900), ['hostcall_req_send_async', { result: 3 }],
      create(fast, 900), ['hostcall_req_send_async', { result: 5 }],
      ['wasi:poll_oneoff', 320, 400, 1, 440],
      ['hostcall_pending_req_select', 256, 3, 264],
      ['hostcall_pending_req_wait', { result: 4 }],
      ['hostcall_pending_req_select', 0, 0, 272],
      ['hostcall_pending_req_select', 240, 1, 276],
    ],
    data: {
      [GET_AT]: 'GET', [URL_AT]: denied, 900: fast, 240: u32(2), 252: u32(6, 6, 6, 4),
      320: clock(0, 200_000_000n),
    },
  });
  t.equal(ran.failure, null);
  t.equal(ran.globals['r2'], -1);
  t.equal(ran.globals['r8'], 7, 'the one that the array names first');
  t.equal(ran.globals['r9'], 8, 'the other one is still to be had');
  t.equal(ran.globals['r10'], -1, 'none of none');
  t.equal(ran.globals['r11'], -1, 'a consumed one');
  t.same(ran.memory.readInt32LE(248), 2);
  t.same(ran.memory.readInt32LE(264), 6);
  t.same(ran.memory.readInt32LE(272), -1);
  t.same(ran.memory.readInt32LE(276), 2);
});

t.test('guests that wait at once each get their own answer', async (t) => {
  const held: (() => void)[] = [];
  const server = await upstream(t, (request, response) => {
    held.push(() => response.end(request.url));
  });
  const host = createHost({
    services: testServices(t, []), onInternalError: (error) => void t.fail(String(error)),
  });
  const count = 60;
  const finished = Promise.all(Array.from({ length: count }, (_, index) => {
    const url = `${server.url}/guest-${index}`;
    return run(t, {
      host, request: { requestId: `r${index}` },
      steps: [
        create(url), ['hostcall_req_send', { result: 0 }],
        ['hostcall_resp_get_body', OUT, OUT + 4, { result: 1 }],
        ['hostcall_resp_set_body', 0, HEAP, `/guest-${index}`.length],
      ],
      data: { [GET_AT]: 'GET', [URL_AT]: url },
    });
  }));
  while (held.length < count) await new Promise(setImmediate);
  t.equal(host.openCount, count);
  // Answered in another order than asked.
  for (const release of held.toReversed()) release();
  const answers = (await finished).map((ran) => Buffer.from(ran.answer?.body ?? []).toString());
  t.same(answers, Array.from({ length: count }, (_, index) => `/guest-${index}`));
  t.equal(host.openCount, 0);
});

t.test('killing a guest cancels what it asked for', async (t) => {
  const server = await slowAndFast(t);
  const slow = `${server.url}/slow`;
  const ran = await run(t, {
    steps: [create(slow), ['hostcall_req_send', { result: 0 }]],
    data: { [GET_AT]: 'GET', [URL_AT]: slow },
    during: async (guest) => {
      while (server.seen.length === 0) await new Promise(setImmediate);
      guest.kill({ code: 'client_closed', message: '', backtrace: [], lastHostcall: null });
    },
  });
  t.equal(ran.failure?.code, 'client_closed');
  t.equal(ran.usage.subrequests, 1);
  const until = Date.now() + 5_000;
  while (server.aborted === 0 && Date.now() < until) await new Promise(setImmediate);
  t.equal(server.aborted, 1);
});

t.test('requests left pending when the guest returns are cancelled', async (t) => {
  const server = await slowAndFast(t);
  const slow = `${server.url}/slow`;
  const ran = await run(t, {
    steps: [
      create(slow), ['hostcall_req_send_async', { result: 0 }],
      ['wasi:poll_oneoff', 320, 400, 1, 440],
    ],
    data: { [GET_AT]: 'GET', [URL_AT]: slow, 320: clock(1, 100_000_000n) },
  });
  t.equal(ran.failure, null);
  const until = Date.now() + 5_000;
  while (server.aborted < server.seen.length && Date.now() < until) await new Promise(setImmediate);
  t.equal(server.seen.length, 1);
  t.equal(server.aborted, 1);
});

t.test('handles of one kind are none of another', async (t) => {
  const server = await slowAndFast(t);
  const fast = `${server.url}/fast`;
  const ran = await run(t, {
    steps: [
      create(fast), ['hostcall_req_send_async', { result: 0 }],
      ['hostcall_req_send', { result: 1 }],
      ['hostcall_pending_req_wait', { result: 1 }],
      ['hostcall_pending_req_wait', { result: 3 }],
      ['hostcall_req_set_body', { result: 3 }, 0, 1],
    ],
    data: { [GET_AT]: 'GET', [URL_AT]: fast },
  });
  t.same([0, 1, 2, 3, 4, 5].map((step) => ran.globals[`r${step}`]), [1, 2, -1, 3, -1, 1]);
});
