/**
 * Bodies piece by piece: read, read past the end, passed on, passed on twice, abandoned; against
 * real servers and bodies that the test hands over piece by piece.
 */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { UpstreamError, type Relay, type StreamedBody } from '../../hostcalls/index.ts';
import { memoryIs, run, type Data, type Ran, type RunOptions, type Step } from './guest.ts';

const GET_AT = 128;
const URL_AT = 512;
/** Where pieces are put. */
const AT = 1_024;

interface Seen {
  readonly method: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

interface Upstream {
  readonly url: string;
  readonly seen: Seen[];
  /** Answers whose client went away. */
  aborted: number;
}

async function upstream(
  t: Test, answer: (response: ServerResponse, request: IncomingMessage) => void,
): Promise<Upstream> {
  const made: Upstream & { url: string } = { url: '', seen: [], aborted: 0 };
  const server = createServer((request, response) => {
    response.on('close', () => { made.aborted += response.writableFinished ? 0 : 1; });
    let body = '';
    request.setEncoding('latin1').on('data', (piece: string) => { body += piece; });
    request.on('end', () => {
      made.seen.push({ method: request.method ?? '', headers: request.headers, body });
      answer(response, request);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  }));
  made.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  return made;
}

/** A request's body in these pieces; breaks off after them if it says so. */
class Pieces implements StreamedBody {
  readonly #pieces: string[];
  readonly #breaks: boolean;
  readonly #declares: boolean;
  cancelled = false;

  constructor(pieces: readonly string[], options: { breaks?: boolean; declares?: boolean } = {}) {
    this.#pieces = [...pieces];
    this.#breaks = options.breaks ?? false;
    this.#declares = options.declares ?? false;
  }

  get length(): number | null {
    return this.#declares ? this.#pieces.join('').length : null;
  }

  async read(): Promise<Uint8Array | null> {
    await sleep(1);
    const piece = this.#pieces.shift();
    if (piece !== undefined) return new Uint8Array(Buffer.from(piece, 'latin1'));
    if (this.#breaks) throw new UpstreamError('aborted', 'the client has gone');
    return null;
  }

  cancel(): void {
    this.cancelled = true;
  }
}

const streamed = (body: StreamedBody): Pick<RunOptions, 'request' | 'body'> =>
  ({ request: { streamed: true }, body });

/** Steps 0 and 1: a request to `url`, and its response. */
function fetched(url: string): Step[] {
  return [
    ['hostcall_req_create', GET_AT, 3, URL_AT, url.length],
    ['hostcall_req_send_head', { result: 0 }],
  ];
}

const texts = (url: string, method = 'GET'): Data => ({ [GET_AT]: method, [URL_AT]: url });
const RESPONSE = { result: 1 };

const results = ({ globals }: Ran, ...steps: number[]): unknown[] =>
  steps.map((step) => globals[`r${step}`]);

async function drain(relay: Relay | null | undefined): Promise<string> {
  if (relay === null || relay === undefined) throw new Error('nothing is relayed');
  let text = '';
  for (let piece = await relay.read(); piece !== null; piece = await relay.read()) {
    text += Buffer.from(piece).toString('latin1');
  }
  return text;
}

t.test('a gathered body is read like one that comes in pieces', async (t) => {
  const steps: Step[] = [
    ['hostcall_req_body_read', 0, AT, 4], ['hostcall_req_body_read', 0, AT + 4, 0],
    ['hostcall_req_body_read', 0, AT + 4, 100], ['hostcall_req_body_read', 0, AT, 4],
    ['hostcall_req_body_read', 0, AT, 4], ['hostcall_req_body_read', 1, AT, 4],
  ];
  const whole = await run(t, { steps, request: { body: Buffer.from('abcdefg') } });
  const body = new Pieces(['abcdefg']);
  const pieces = await run(t, { steps, ...streamed(body) });
  for (const ran of [whole, pieces]) {
    t.equal(ran.failure, null);
    t.same(results(ran, 0, 1, 2, 3, 4, 5), [4, 0, 3, 0, 0, -1],
      'no more than asked for, nothing for nothing, the end again and again, one request alone');
    memoryIs(t, ran, { [AT]: 'abcdefg' });
    t.equal(ran.usage.hostcallBytes, 7);
  }
  t.equal(body.cancelled, true, 'the end of the guest is the end of its body');
  const none = await run(t, { steps: [['hostcall_req_body_read', 0, AT, 4]] });
  t.same(results(none, 0), [0], 'no body at all');
});

t.test('a body that breaks off is the guest\'s to handle', async (t) => {
  const ran = await run(t, {
    steps: [
      ['hostcall_req_body_read', 0, AT, 9], ['hostcall_req_body_read', 0, AT, 9],
      ['hostcall_req_body_read', 0, AT, 9],
    ],
    ...streamed(new Pieces(['ab'], { breaks: true })),
  });
  t.equal(ran.failure, null);
  t.same(results(ran, 0, 1, 2), [2, -1, -1]);
  t.match(ran.logs[0]?.text, /aborted: the client has gone/);
});

t.test('a body that is not held cannot be had whole', async (t) => {
  const head = /req: the body of the request is not held/;
  const get = await run(t, {
    steps: [['hostcall_req_get_body', 0, 4, 0]], ...streamed(new Pieces(['ab'])),
  });
  t.match(get.failure, { code: 'bad_hostcall', message: head });
  const wasi = await run(t, {
    steps: [['wasi:fd_read', 0, 0, 0, 32]], ...streamed(new Pieces(['ab'])),
  });
  t.match(wasi.failure, { code: 'bad_hostcall', message: /fd: the body/ });
  const server = await upstream(t, (response) => response.end('body'));
  const received = await run(t, {
    steps: [...fetched(server.url), ['hostcall_resp_get_body', 0, 4, RESPONSE]],
    data: texts(server.url),
  });
  t.match(received.failure, {
    code: 'bad_hostcall', message: /the body of response 2 is not held/,
  });
});

t.test('an answer is read piece by piece, its head at once', async (t) => {
  const server = await upstream(t, (response) => {
    response.writeHead(203, { 'x-a': 'b' });
    response.write('abcdef');
    setTimeout(() => response.end('gh'), 50);
  });
  const ran = await run(t, {
    steps: [
      ...fetched(server.url), ['hostcall_resp_get_response_code', RESPONSE],
      ['hostcall_resp_body_read', RESPONSE, AT, 4],
      ['hostcall_resp_body_read', RESPONSE, AT + 4, 4],
      ['hostcall_resp_body_read', RESPONSE, AT + 6, 4],
      ['hostcall_resp_body_read', RESPONSE, AT, 4], ['hostcall_resp_body_read', RESPONSE, AT, 4],
      ['hostcall_resp_body_read', 0, AT, 4], ['hostcall_resp_body_read', 99, AT, 4],
      ['hostcall_resp_body_read', { result: 0 }, AT, 4],
      ['hostcall_resp_body_read', RESPONSE, AT, 0],
    ],
    data: texts(server.url),
  });
  t.equal(ran.failure, null);
  t.same(results(ran, 2, 3, 4, 5, 6, 7), [203, 4, 2, 2, 0, 0]);
  t.same(results(ran, 8, 9, 10, 11), [-1, -1, -1, 0], 'handles of other things, and of nothing');
  memoryIs(t, ran, { [AT]: 'abcdefgh' });
});

/** Answers with half of a body, and the rest of it after `finish`. */
async function halting(t: Test) {
  const held: ServerResponse[] = [];
  const server = await upstream(t, (response, request) => {
    response.writeHead(200, request.method === 'PUT' ? {} : { 'content-length': 8 });
    response.write('abcd');
    held.push(response);
  });
  const finish = (): void => {
    for (const response of held.splice(0)) response.end('efgh');
  };
  return { server, finish };
}

t.test('what is left of an answer is passed on, once', async (t) => {
  const { server, finish } = await halting(t);
  const ran = await run(t, {
    steps: [
      ...fetched(server.url), ['hostcall_resp_body_read', RESPONSE, AT, 3],
      ['hostcall_resp_set_body_from', 1, RESPONSE], ['hostcall_resp_set_body_from', 0, 0],
      ['hostcall_resp_set_body_from', 0, 99], ['hostcall_resp_set_body_from', 0, RESPONSE],
      ['hostcall_resp_set_body_from', 0, RESPONSE], ['hostcall_resp_body_read', RESPONSE, AT, 3],
      ['hostcall_resp_get_response_code', RESPONSE],
    ],
    data: texts(server.url),
  });
  t.equal(ran.failure, null);
  t.same(results(ran, 2, 3, 4, 5, 6, 7, 8, 9), [3, 1, 1, 1, 0, 1, -1, 200]);
  t.match(ran.answer, { status: 200, body: null, relay: { contentLength: 5 } });
  finish();
  t.equal(await drain(ran.answer?.relay), 'defgh', 'though the guest has ended');
  const unknown = await run(t, {
    steps: [...fetched(server.url), ['hostcall_resp_set_body_from', 0, RESPONSE]],
    data: texts(server.url, 'PUT'),
  });
  t.equal(unknown.answer?.relay?.contentLength, null);
  finish();
  t.equal(await drain(unknown.answer?.relay), 'abcdefgh');
});

t.test('what is here to its end is an answer like any other', async (t) => {
  const long = 'x'.repeat(70_000);
  const server = await upstream(t, (response, request) => {
    response.writeHead(200, request.method === 'PUT' ? {} : { 'content-length': 8 });
    response.end('abcdefgh');
  });
  const pass: Step = ['hostcall_resp_set_body_from', 0, RESPONSE];
  const all: Step = ['hostcall_resp_body_read', RESPONSE, AT, 8];
  const some = await run(t, {
    steps: [...fetched(server.url), ['hostcall_resp_body_read', RESPONSE, AT, 3], pass],
    data: texts(server.url),
  });
  t.match(some.answer, { status: 200, body: Buffer.from('defgh'), relay: null });
  const chunked = await run(t, {
    steps: [...fetched(server.url), pass], data: texts(server.url, 'PUT'),
  });
  t.match(chunked.answer, { body: Buffer.from('abcdefgh'), relay: null });
  const nothing = await run(t, {
    steps: [...fetched(server.url), all, pass], data: texts(server.url),
  });
  t.match(nothing.answer, { status: 200, body: null, relay: null }, 'none of it is left');
  const small = await run(t, {
    steps: [...fetched(server.url), pass], data: texts(server.url), limits: { responseBytes: 7 },
  });
  t.equal(await drain(small.answer?.relay), 'abcdefgh', 'what a guest may make is no bound of it');
  const big = await upstream(t, (response) => response.end(long));
  const over = await run(t, { steps: [...fetched(big.url), pass], data: texts(big.url) });
  t.equal(await drain(over.answer?.relay), long, 'more than a piece flows');
});

t.test('what is passed on and replaced, or not wanted, is given up', async (t) => {
  const server = await upstream(t, (response, request) => {
    response.writeHead(200, { 'content-length': 9_999_999 });
    if (request.method === 'HEAD') response.end();
    else response.write('begin');
  });
  const pass: Step[] = [...fetched(server.url), ['hostcall_resp_set_body_from', 0, RESPONSE]];
  const replaced = await run(t, {
    steps: [...pass, ['hostcall_resp_set_body', 0, AT, 1]], data: texts(server.url),
  });
  t.match(replaced.answer, { relay: null, body: Buffer.from('?') });
  const head = await run(t, { steps: pass, data: texts(server.url), request: { method: 'HEAD' } });
  t.equal(head.answer?.relay?.contentLength, 9_999_999, 'HEAD tells the length');
  t.equal(await head.answer?.relay?.read(), null);
  const none = await run(t, {
    steps: [...pass, ['hostcall_resp_set_response_code', 0, 204]], data: texts(server.url),
  });
  t.match(none.answer, { status: 204, body: null, relay: null });
  const unread = await run(t, { steps: fetched(server.url), data: texts(server.url) });
  t.equal(unread.failure, null);
  const ended = await run(t, {
    steps: [...pass, ['hostcall_panic_hook', AT, 1]], data: texts(server.url),
  });
  t.equal(ended.failure?.code, 'guest_panic');
  const left = await run(t, { steps: pass, data: texts(server.url) });
  left.answer?.relay?.cancel();
  left.answer?.relay?.cancel();
  await t.rejects(drain(left.answer?.relay), /the request was cancelled/);
  for (let turn = 0; turn < 200 && server.aborted < 6; turn += 1) await sleep(10);
  t.equal(server.aborted, 6, 'each connection was closed');
});

t.test('a content-length of the guest\'s is a promise', async (t) => {
  const { server, finish } = await halting(t);
  const promising = (method: string, length: string): Promise<Ran> => run(t, {
    steps: [
      ...fetched(server.url), ['hostcall_resp_set_body_from', 0, RESPONSE],
      ['hostcall_resp_set_header', 0, 200, 14, 240, 1],
    ],
    data: {
      ...texts(server.url, method), 200: 'content-length', 232: length,
      240: [232, 0, 0, 0, length.length, 0, 0, 0],
    },
  });
  const right = await promising('GET', '8');
  t.equal(right.answer?.relay?.contentLength, 8);
  t.same(right.answer?.headers, []);
  right.answer?.relay?.cancel();
  t.match((await promising('GET', '9')).answerError, { code: 'bad_response' });
  t.match((await promising('GET', 'x')).answerError, { code: 'bad_response' });
  const told = await promising('PUT', '8');
  t.equal(told.answer?.relay?.contentLength, 8, 'where the upstream did not tell');
  told.answer?.relay?.cancel();
  finish();
});

/** Steps 0 to 3: the client's body into a PUT to `url`, twice, and its answer's head. */
function piped(url: string): Step[] {
  return [
    ['hostcall_req_create', GET_AT, 3, URL_AT, url.length],
    ['hostcall_req_set_body_from', { result: 0 }, 0],
    ['hostcall_req_set_body_from', { result: 0 }, 0],
    ['hostcall_req_send_head', { result: 0 }],
    ['hostcall_req_body_read', 0, AT, 4],
    ['hostcall_req_set_body_from', 0, 0],
  ];
}

t.test('the client\'s body is passed on to an upstream, once', async (t) => {
  const server = await upstream(t, (response) => response.end('taken'));
  const data = texts(server.url, 'PUT');
  for (const declares of [true, false]) {
    const body = new Pieces(['abc', 'def', 'ghi'], { declares });
    const ran = await run(t, { steps: piped(server.url), data, ...streamed(body) });
    t.equal(ran.failure, null);
    t.same(results(ran, 1, 2, 4, 5), [0, 1, -1, 1]);
    const seen = server.seen.at(-1);
    t.match(seen, { method: 'PUT', body: 'abcdefghi' });
    t.equal(seen?.headers['content-length'], declares ? '9' : undefined);
    t.equal(seen?.headers['transfer-encoding'], declares ? undefined : 'chunked');
  }
  const gathered = await run(t, {
    steps: piped(server.url), data, request: { body: Buffer.from('whole') },
  });
  t.same(results(gathered, 1, 2, 4), [0, 1, -1]);
  t.match(server.seen.at(-1), { body: 'whole', headers: { 'content-length': '5' } });
  const rest = await run(t, {
    steps: [
      ['hostcall_req_body_read', 0, AT, 2], ...piped(server.url).map((step) => step.map(
        (part) => (typeof part === 'object' ? { result: 1 } : part)) as unknown as Step),
    ],
    data, ...streamed(new Pieces(['abc', 'def'], { declares: true })),
  });
  t.same(results(rest, 0, 2), [2, 0]);
  t.match(server.seen.at(-1), { body: 'cdef', headers: { 'content-length': '4' } });
});

t.test('an upload that breaks off, or that nobody wants, fails the request', async (t) => {
  const server = await upstream(t, (response) => response.end('taken'));
  const data = texts(server.url, 'PUT');
  const broken = await run(t, {
    steps: piped(server.url), data, ...streamed(new Pieces(['abc'], { breaks: true })),
  });
  t.same(results(broken, 1, 3), [0, -1]);
  t.equal(server.seen.length, 0, 'the upstream cannot mistake it for whole');
  const nobody = 'http://127.0.0.1:9/';
  const unwanted = await run(t, {
    steps: piped(nobody), data: texts(nobody, 'PUT'), ...streamed(new Pieces(['abc'])),
  });
  t.same(results(unwanted, 3), [-1]);
  const redirects = await upstream(t, (response) => {
    response.writeHead(307, { location: '/again' }).end();
  });
  const again = await run(t, {
    steps: piped(redirects.url), data: texts(redirects.url, 'PUT'), ...streamed(new Pieces(['a'])),
  });
  t.same(results(again, 3), [-1]);
  t.match(again.logs.map(({ text }) => text).join(), /can be sent only once/);
});

t.test('only the wait for the client puts the deadline off', async (t) => {
  const deadlineAt = performance.timeOrigin + performance.now() + 10_000;
  let during = 0;
  let after = 0;
  const body: StreamedBody = {
    length: null,
    async read() {
      await sleep(100);
      return null;
    },
    cancel() {},
  };
  await run(t, {
    steps: [['hostcall_req_body_read', 0, AT, 4], ['hostcall_debug', AT, 1]],
    request: { streamed: true, deadlineAt }, body,
    during: async (guest) => {
      t.equal(guest.waiting, true);
      during = guest.deadlineAt;
      await sleep(300);
      after = guest.deadlineAt;
    },
  });
  t.equal(during, Number.POSITIVE_INFINITY);
  t.ok(after >= deadlineAt + 90 && after < deadlineAt + 5_000, `${after - deadlineAt} ms more`);
});
