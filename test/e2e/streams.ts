/**
 * For the tests and benches of streaming: guests that pass bodies on, in the text format; an
 * upstream that sends and takes as much as it is asked to; clients that read and write at their own
 * pace; and the memory of the daemon while they do.
 */

import { createServer, request as httpRequest } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Test } from 'tap';

import { residentBytes } from '../bench/processor.ts';
import { assemble } from './world.ts';

export const MIB = 1024 * 1024;

const IMPORTS = `
  (import "env" "hostcall_req_create" (func $create (param i32 i32 i32 i32) (result i32)))
  (import "env" "hostcall_req_send_head" (func $send_head (param i32) (result i32)))
  (import "env" "hostcall_resp_get_response_code" (func $code (param i32) (result i32)))
  (import "env" "hostcall_resp_set_response_code" (func $set_code (param i32 i32) (result i32)))
  (import "env" "hostcall_resp_set_body" (func $set_body (param i32 i32 i32) (result i32)))
  (import "env" "hostcall_resp_set_body_from" (func $resp_from (param i32 i32) (result i32)))`;

/** Whoever has them gets large bodies piece by piece. */
export const BODY_IMPORTS = `
  (import "env" "hostcall_req_body_read" (func $read (param i32 i32 i32) (result i32)))
  (import "env" "hostcall_req_set_body_from" (func $req_from (param i32 i32) (result i32)))`;

function guest(url: string, method: string, imports: string, code: string): Uint8Array {
  return assemble(`(module ${IMPORTS} ${imports}
    (memory 2)
    (data (i32.const 0) "${method}") (data (i32.const 16) "${url}")
    (data (i32.const 512) "failed")
    (global $total (mut i32) (i32.const 0))
    (func $request (result i32)
      (call $create (i32.const 0) (i32.const ${method.length})
        (i32.const 16) (i32.const ${url.length})))
    (func $fail
      (drop (call $set_code (i32.const 0) (i32.const 502)))
      (drop (call $set_body (i32.const 0) (i32.const 512) (i32.const 6))))
    (func $relay (param $req i32) (local $resp i32)
      (local.set $resp (call $send_head (local.get $req)))
      (if (i32.lt_s (local.get $resp) (i32.const 0)) (then (call $fail) (return)))
      (drop (call $set_code (i32.const 0) (call $code (local.get $resp))))
      (if (call $resp_from (i32.const 0) (local.get $resp)) (then (call $fail))))
    (func (export "run") ${code}))`);
}

/** Fetches `url` and passes the answer's body on. */
export function relayGuest(url: string, imports = ''): Uint8Array {
  return guest(url, 'GET', imports, '(call $relay (call $request))');
}

/** Reads the first piece of its body, and then never comes back. */
export function holdingGuest(): Uint8Array {
  return guest('', '', BODY_IMPORTS, `
    (drop (call $read (i32.const 0) (i32.const 65536) (i32.const 65536)))
    (loop $on (br $on))`);
}

/** Passes the client's body on to `url`, and the answer's back. */
export function uploadGuest(url: string): Uint8Array {
  return guest(url, 'PUT', BODY_IMPORTS, `(local $req i32)
    (local.set $req (call $request))
    (if (call $req_from (local.get $req) (i32.const 0)) (then (call $fail) (return)))
    (call $relay (local.get $req))`);
}

/** Reads its whole body, and answers how many bytes it had: four of them, little-endian. */
export function countingGuest(): Uint8Array {
  return guest('', '', BODY_IMPORTS, `(local $n i32)
    (block $end (loop $more
      (local.set $n (call $read (i32.const 0) (i32.const 65536) (i32.const 65536)))
      (br_if $end (i32.le_s (local.get $n) (i32.const 0)))
      (global.set $total (i32.add (global.get $total) (local.get $n)))
      (br $more)))
    (i32.store (i32.const 1024) (global.get $total))
    (drop (call $set_body (i32.const 0) (i32.const 1024) (i32.const 4)))`);
}

/** Could read its body, and does not. */
export function deafGuest(): Uint8Array {
  return guest('', '', BODY_IMPORTS, `
    (drop (call $set_body (i32.const 0) (i32.const 512) (i32.const 6)))`);
}

const PIECE = Buffer.alloc(64 * 1024, 'wardian ');

/** A request's or an answer's body, to be written. */
interface Sink {
  write(piece: Uint8Array): boolean;
  end(): unknown;
  once(event: 'drain', go: () => void): unknown;
}

/** Writes `total` bytes as fast as they are taken. */
export function pour(
  out: Sink, total: number, onWritten: (bytes: number) => void = () => {},
): void {
  let left = total;
  const more = (): void => {
    while (left > 0) {
      const piece = left >= PIECE.length ? PIECE : PIECE.subarray(0, left);
      left -= piece.length;
      onWritten(piece.length);
      if (!out.write(piece)) {
        out.once('drain', more);
        return;
      }
    }
    out.end();
  };
  more();
}

export interface StreamUpstream {
  readonly url: string;
  /** Body bytes of all answers that were handed to sockets. */
  readonly sent: () => number;
  /** Body bytes of all requests that arrived. */
  readonly received: () => number;
  /** Connections that ended in the middle of a request or an answer. */
  readonly cut: () => number;
  close(): Promise<void>;
}

/**
 * `/down?bytes=N` answers with N bytes, `&chunked` without telling, `&die=N` breaks off after N,
 * `&stall=N` sends no more after N.
 * `/up` counts what it is sent, and answers with the count as text; `&die=N` breaks off after N.
 * `/echo` sends back what it is sent, while it is sent.
 */
export async function startStreamUpstream(): Promise<StreamUpstream> {
  const counts = { sent: 0, received: 0, cut: 0 };
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://upstream');
    const dieAt = Number(searchParams.get('die') ?? Number.POSITIVE_INFINITY);
    response.once('close', () => { counts.cut += response.writableFinished ? 0 : 1; });
    if (pathname === '/echo') request.pipe(response);
    else if (pathname === '/up') takeUpload(request, response, dieAt, counts);
    else sendDown(response, searchParams, dieAt, counts);
  });
  server.listen(0, '127.0.0.1');
  await new Promise((done) => server.once('listening', done));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sent: () => counts.sent,
    received: () => counts.received,
    cut: () => counts.cut,
    async close() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

/** One that ends with the test. */
export async function streamUpstream(t: Test): Promise<StreamUpstream> {
  const upstream = await startStreamUpstream();
  t.teardown(() => upstream.close());
  return upstream;
}

type Counts = Record<'sent' | 'received', number>;

function sendDown(
  response: ServerResponse, asked: URLSearchParams, dieAt: number, counts: Counts,
): void {
  const total = Number(asked.get('bytes'));
  if (!asked.has('chunked')) response.setHeader('content-length', total);
  let here = 0;
  if (asked.has('stall')) {
    response.write(Buffer.alloc(Number(asked.get('stall'))));
    return;
  }
  // One that dies does not end.
  const out: Sink = dieAt < total ? {
    write: (piece) => response.write(piece),
    end: () => undefined,
    once: (event, go) => response.once(event, go),
  } : response;
  pour(out, Math.min(total, dieAt), (bytes) => {
    counts.sent += bytes;
    here += bytes;
    if (here >= dieAt) setTimeout(() => response.destroy(), 20);
  });
}

function takeUpload(
  request: IncomingMessage, response: ServerResponse, dieAt: number, counts: Counts,
): void {
  let here = 0;
  request.on('data', (piece: Buffer) => {
    here += piece.length;
    counts.received += piece.length;
    if (here >= dieAt) response.destroy();
  });
  request.on('end', () => response.end(String(here)));
}

export interface Transfer {
  readonly status: number;
  readonly bytes: number;
  /** The first bytes. */
  readonly text: string;
  /** Of the error that ended it early; '' when it was whole. */
  readonly error: string;
}

export interface TransferOptions {
  readonly method?: string;
  readonly path?: string;
  /** Bytes to send; with `chunked` without telling how many. */
  readonly upload?: number;
  readonly chunked?: boolean;
  /** Called with the socket and the bytes so far, for every piece of the answer. */
  readonly onData?: (response: IncomingMessage, bytes: number) => void;
  readonly onSocket?: (socket: Socket) => void;
}

/** One request whose bodies are counted and dropped; resolves however it ends. */
export function transfer(port: number, host: string, options: TransferOptions): Promise<Transfer> {
  return new Promise((done) => {
    let bytes = 0;
    let text = '';
    let status = 0;
    let error = '';
    const { upload = 0, chunked = false } = options;
    const request = httpRequest({
      host: '127.0.0.1', port, path: options.path ?? '/', agent: false,
      method: options.method ?? (upload > 0 ? 'PUT' : 'GET'),
      headers: {
        host, ...(upload > 0 && !chunked ? { 'content-length': upload } : {}),
      },
    }, (response) => {
      status = response.statusCode ?? 0;
      response.on('data', (piece: Buffer) => {
        if (text.length < 200) text += piece.toString('latin1', 0, 200);
        bytes += piece.length;
        options.onData?.(response, bytes);
      });
      response.on('error', (cause: NodeJS.ErrnoException) => { error ||= cause.code ?? 'error'; });
      response.on('close', () => {
        if (!response.complete) error ||= 'cut';
        done({ status, bytes, text, error });
      });
    });
    request.on('socket', (socket) => options.onSocket?.(socket));
    request.on('error', (cause: NodeJS.ErrnoException) => {
      error ||= cause.code ?? cause.message;
      if (status === 0) done({ status, bytes, text, error });
    });
    if (upload > 0) pour(request, upload);
    else request.end();
  });
}

/** Samples the memory of a process until it is stopped; answers the growth of its peak. */
export function watchMemory(pid: number): { stop(): number } {
  const before = residentBytes(pid);
  let peak = before;
  const timer = setInterval(() => { peak = Math.max(peak, residentBytes(pid)); }, 20);
  return {
    stop() {
      clearInterval(timer);
      return Math.max(peak, residentBytes(pid)) - before;
    },
  };
}
