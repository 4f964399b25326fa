/**
 * Conformance: bodies that are handed on while they arrive, and heads that are judged before their
 * bodies are read.
 */

import { createHash } from 'node:crypto';

import type {
  BodyPlan, BodySource, IncomingRequest, ResponseStream,
} from '../../../daemon/listen/listener.ts';
import { hashOf, MIB, noise, until } from './bulk.ts';
import { header, pause } from './raw.ts';
import type { RawClient } from './raw.ts';
import { readEcho, stage } from './suite.ts';
import type { Case, Suite, Test } from './suite.ts';

export const STREAM: BodyPlan = { streamBytes: 64 * MIB };

/** Takes a body whose head is there. */
interface Taken {
  readonly hash: string;
  readonly bytes: number;
  readonly pieces: number;
}

export function sourceOf(request: IncomingRequest): BodySource {
  if (request.bodySource === null) throw new Error('the body is not streamed');
  return request.bodySource;
}

/** Takes all of it, so many bytes at a time. */
function takeAll(request: IncomingRequest, window = 256 * 1024): Promise<Taken> {
  const source = sourceOf(request);
  const hash = createHash('sha256');
  let bytes = 0;
  let pieces = 0;
  const { promise, resolve, reject } = Promise.withResolvers<Taken>();
  source.onFail = ({ code }) => reject(new Error(code));
  source.onPiece = (piece) => {
    if (piece === null) {
      resolve({ hash: hash.digest('hex'), bytes, pieces });
      return;
    }
    hash.update(piece);
    bytes += piece.length;
    pieces += 1;
    setImmediate(() => source.grant(piece.length));
  };
  source.grant(window);
  return promise;
}

/** Answers with what it took. */
export function tell(request: IncomingRequest): void {
  takeAll(request).then(
    (taken) => request.respond({ status: 200, headers: [], body: JSON.stringify(taken) }),
    (error: Error) => request.respond({ status: 418, headers: [], body: error.message }));
}

export function put(target: string, length: number, more = ''): string {
  return `PUT ${target} HTTP/1.1\r\nHost: h\r\ncontent-length: ${length}\r\n${more}\r\n`;
}

export function chunkedHead(target: string): string {
  return `PUT ${target} HTTP/1.1\r\nHost: h\r\ntransfer-encoding: chunked\r\n\r\n`;
}

const CHUNKED = chunkedHead('/');

export function chunk(bytes: Uint8Array): Buffer {
  return Buffer.concat([
    Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n'),
  ]);
}

async function read(client: RawClient): Promise<Taken> {
  return JSON.parse((await client.response()).body.toString()) as Taken;
}

async function handedOn(t: Test, suite: Suite): Promise<void> {
  const { open } = await stage(t, suite, {}, tell, { onHead: () => STREAM });
  const client = await open();
  const body = noise(8 * MIB);
  client.socket.write(put('/', body.length));
  client.socket.write(body);
  const whole = await read(client);
  t.equal(whole.hash, hashOf(body));
  t.equal(whole.bytes, body.length);
  // Nothing of it is left behind on the connection.
  client.socket.write(put('/', 100_000));
  client.socket.write(body.subarray(0, 100_000));
  t.equal((await read(client)).hash, hashOf(body.subarray(0, 100_000)));
}

async function chunksHandedOn(t: Test, suite: Suite): Promise<void> {
  const { open } = await stage(t, suite, {}, tell, { onHead: () => STREAM });
  const body = noise(40_000);
  const tiny: Buffer[] = [Buffer.from(CHUNKED)];
  for (let at = 0; at < body.length; at += 4) tiny.push(chunk(body.subarray(at, at + 4)));
  const client = await open();
  client.socket.write(Buffer.concat([...tiny, Buffer.from('0\r\n\r\n')]));
  const taken = await read(client);
  t.equal(taken.hash, hashOf(body));
  t.ok(taken.pieces < 1_000, `${taken.pieces} pieces of 10,000 chunks`);
  const empty = await open();
  empty.write(`${CHUNKED}0\r\n\r\n`);
  t.equal((await read(empty)).bytes, 0, 'a body may turn out to be empty');
  const large = await open();
  const big = noise(3 * MIB);
  large.write(CHUNKED);
  large.socket.write(chunk(big));
  large.write('0\r\n\r\n');
  t.equal((await read(large)).hash, hashOf(big));
}

/** Without credit nothing is taken but what fits the buffers on the way. */
async function heldBack(t: Test, suite: Suite): Promise<void> {
  const requests: IncomingRequest[] = [];
  const { open } = await stage(t, suite, { bodyTimeoutMs: 200 }, (request) => {
    requests.push(request);
  }, { onHead: () => STREAM });
  const client = await open();
  const body = noise(32 * MIB);
  client.socket.write(put('/', body.length));
  client.socket.write(body);
  await until('the head is handled', () => requests.length === 1);
  const [request] = requests as [IncomingRequest];
  await pause(800);
  t.ok(request.received < MIB, `${request.received} bytes were read`);
  t.ok(client.socket.writableLength > 8 * MIB, 'the client is held back, and not blamed for it');
  const taken = await takeAll(request);
  t.equal(taken.hash, hashOf(body));
  request.respond({ status: 200, headers: [], body: 'ok' });
  t.equal((await client.response()).body.toString(), 'ok');
}

async function judgedByTheHead(t: Test, suite: Suite): Promise<void> {
  const asked: string[] = [];
  const { open, seen } = await stage(t, suite, {}, undefined, {
    onHead: (request) => {
      asked.push(request.target);
      if (request.target !== '/no') return 'gather';
      request.respond({ status: 404, headers: [], body: 'no' });
      return 'answered';
    },
  });
  const client = await open();
  client.write(put('/no', 10 * MIB, 'expect: 100-continue\r\n'));
  const refused = await client.response();
  t.equal(refused.status, 404, 'without an invitation to send the body');
  t.equal(header(refused, 'connection')?.toLowerCase(), 'close');
  t.equal((await client.rest()).length, 0);
  const sending = await open();
  sending.socket.write(put('/no', 10 * MIB));
  sending.socket.write(noise(MIB));
  t.equal((await sending.response()).status, 404, 'a client that sends anyway reads the answer');
  const kept = await open();
  kept.socket.write(put('/yes', 100_000));
  kept.socket.write(Buffer.alloc(100_000, 'y'));
  t.equal(readEcho(await kept.response()).body?.length, 100_000);
  kept.write(`${put('/small', 3)}abc`);
  t.equal(readEcho(await kept.response()).body, 'abc');
  t.strictSame(asked, ['/no', '/no', '/yes'], 'small bodies are not asked about');
  t.strictSame(seen.map(({ target }) => target), ['/yes', '/small']);
}

async function answeredEarly(t: Test, suite: Suite): Promise<void> {
  const { open } = await stage(t, suite, {}, (request) => {
    if (request.target === '/stream') {
      const stream = request.respondStream({ status: 200, headers: [], contentLength: 5 });
      stream?.write(Buffer.from('early'));
      stream?.end();
    } else {
      request.respond({ status: 200, headers: [], body: 'early' });
    }
  }, { onHead: () => STREAM });
  for (const target of ['/', '/stream']) {
    const client = await open();
    client.socket.write(put(target, 2 * MIB));
    client.socket.write(noise(MIB));
    const response = await client.response();
    t.equal(response.body.toString(), 'early', target);
    t.equal(header(response, 'connection')?.toLowerCase(), 'close', target);
  }
}

/** What the client goes on sending is read and dropped: it is not kept, nor is the client stuck. */
async function forsaken(t: Test, suite: Suite): Promise<void> {
  const { open, seen, listener } = await stage(t, suite, {}, (request) => {
    const contentLength = request.target === '/unknown' ? null : 5;
    // By then it is held back.
    setTimeout(() => {
      const stream = request.respondStream({ status: 200, headers: [], contentLength });
      if (request.target === '/first') request.forsakeBody();
      stream?.write(Buffer.from('early'));
      setTimeout(() => stream?.end(), 20);
    }, 100);
  }, { onHead: () => STREAM });
  for (const [at, target] of ['/known', '/unknown', '/first'].entries()) {
    const client = await open();
    client.socket.write(put(target, 64 * MIB));
    client.socket.write(noise(16 * MIB));
    t.equal((await client.response()).body.toString(), 'early', target);
    const request = seen[at];
    if (request === undefined) throw new Error('it was not handled');
    t.equal(request.bodySource?.onFail, null, 'nobody takes it any more');
    client.socket.end();
    await until('the connection is gone', () => listener.connections() === 0);
  }
}

/** A client that sends its whole body before it reads anything comes to the answer. */
async function sentFirst(t: Test, suite: Suite): Promise<void> {
  const { open } = await stage(t, suite, {}, (request) => {
    const stream = request.respondStream({ status: 200, headers: [], contentLength: 5 });
    request.forsakeBody();
    setTimeout(() => {
      stream?.write(Buffer.from('early'));
      stream?.end();
    }, 1_000);
  }, { onHead: () => STREAM });
  const client = await open();
  client.socket.pause();
  client.socket.write(put('/', 32 * MIB));
  await new Promise((sent) => { client.socket.write(noise(32 * MIB), sent); });
  client.socket.resume();
  t.equal((await client.response()).body.toString(), 'early');
}

async function overTheLimit(t: Test, suite: Suite): Promise<void> {
  const { open, seen, refusals } = await stage(
    t, suite, {}, tell, { onHead: () => ({ streamBytes: 100_000 }) });
  const declared = await open();
  declared.write(put('/', 100_001));
  t.equal((await declared.response()).status, 413);
  t.equal(refusals[0]?.code, 'body_too_large');
  t.equal(seen.length, 0, 'the handler is not called for it');
  const chunked = await open();
  chunked.write(CHUNKED);
  chunked.socket.write(chunk(noise(150_000)));
  const response = await chunked.response();
  t.equal(response.body.toString(), 'body_too_large', 'the handler is told, and answers');
  t.equal(header(response, 'connection')?.toLowerCase(), 'close');
  t.equal(refusals.length, 1, 'it is not refused twice');
}

async function tooSlow(t: Test, suite: Suite): Promise<void> {
  const { open } = await stage(t, suite, { bodyTimeoutMs: 100 }, tell, { onHead: () => STREAM });
  const client = await open();
  client.socket.write(put('/', 100_000));
  client.socket.write(Buffer.alloc(100));
  const response = await client.response();
  t.equal(response.body.toString(), 'request_timeout');
}

/** What a client has sent does not buy it silence: a guest waits for the rest. */
async function fallsSilent(t: Test, suite: Suite): Promise<void> {
  const { open } = await stage(t, suite, { bodyTimeoutMs: 200 }, tell, { onHead: () => STREAM });
  const client = await open();
  client.socket.write(put('/', 8 * MIB));
  client.socket.write(noise(4 * MIB));
  t.equal((await client.response()).body.toString(), 'request_timeout');
}

async function clientGone(t: Test, suite: Suite): Promise<void> {
  let aborted = 0;
  let requests = 0;
  const { open } = await stage(t, suite, {}, (request) => {
    requests += 1;
    request.onAbort = () => { aborted += 1; };
    takeAll(request).catch(() => {});
  }, { onHead: () => STREAM });
  const client = await open();
  client.socket.write(put('/', MIB));
  client.socket.write(Buffer.alloc(100_000));
  await until('it is handled', () => requests === 1);
  client.destroy();
  await until('the handler is told', () => aborted === 1);
  t.equal(aborted, 1);
}

/** An answer that is streamed while the request's body still comes. */
async function bothWays(t: Test, suite: Suite): Promise<void> {
  const { open } = await stage(t, suite, {}, (request) => {
    const source = sourceOf(request);
    const stream = request.respondStream({ status: 200, headers: [], contentLength: null });
    if (stream === null) throw new Error('no stream');
    let owed = 0;
    stream.onDrain = () => {
      source.grant(owed);
      owed = 0;
    };
    source.onPiece = (piece) => {
      if (piece === null) {
        stream.end();
        return;
      }
      if (stream.write(piece)) source.grant(piece.length);
      else owed += piece.length;
    };
    source.grant(128 * 1024);
  }, { onHead: () => STREAM });
  const client = await open();
  const body = noise(4 * MIB);
  client.socket.write(put('/', body.length));
  client.socket.write(body);
  t.equal(hashOf((await client.response()).body), hashOf(body));
}

async function streamsLeft(t: Test, suite: Suite): Promise<void> {
  let closed = 0;
  const streams: ResponseStream[] = [];
  const { open } = await stage(t, suite, {}, (request) => {
    const contentLength = request.target === '/left' ? null : 10;
    const stream = request.respondStream({ status: 200, headers: [], contentLength });
    if (stream === null) throw new Error('no stream');
    stream.onClose = () => { closed += 1; };
    stream.write(Buffer.from('12345'));
    streams.push(stream);
  });
  const whole = await open();
  whole.write('GET / HTTP/1.1\r\nHost: h\r\nconnection: close\r\n\r\n');
  await until('it is handled', () => streams.length === 1);
  streams[0]?.write(Buffer.from('67890'));
  streams[0]?.end();
  t.equal((await whole.response()).body.toString(), '1234567890');
  const left = await open();
  left.write('GET /left HTTP/1.1\r\nHost: h\r\n\r\n');
  await until('it is handled', () => streams.length === 2);
  left.destroy();
  // One that ends its half may still read: it takes a piece to find out.
  await until('the writer is told', () => {
    if (closed === 0) streams[1]?.write(Buffer.from('more'));
    return closed === 1;
  });
  await pause(20);
  t.equal(closed, 1, 'once, and only of the one that was left');
}

export const uploadCases: readonly Case[] = [
  { name: 'a body handed on while it arrives', run: handedOn },
  { name: 'a chunked body handed on', run: chunksHandedOn },
  { name: 'a body that is not taken holds its client back', run: heldBack },
  { name: 'requests judged by their heads', run: judgedByTheHead },
  { name: 'answers before the body is whole', run: answeredEarly },
  { name: 'a body whose answer has ended', run: forsaken },
  { name: 'a body that nobody takes', run: sentFirst },
  { name: 'a streamed body over its limit', run: overTheLimit },
  { name: 'a streamed body that is too slow', run: tooSlow },
  { name: 'a streamed body that falls silent', run: fallsSilent },
  { name: 'a client that leaves amid its body', run: clientGone },
  { name: 'an answer streamed while the body comes', run: bothWays },
  { name: 'streams whose client leaves', run: streamsLeft },
];
