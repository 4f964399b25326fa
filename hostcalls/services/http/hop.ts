/**
 * One request and its answer on one connection: the handler that undici drives. Bytes are counted
 * and copied as they come, whatever the pieces; a reader that lags behind holds the upstream back.
 *
 *   waiting ──head──▶ receiving ──last byte──▶ ended
 *      └────────────────┴── fail(error) ──▶ failed (the connection is closed)
 */

import type { Dispatcher } from 'undici';
import type { FlatHeaders } from '../../../contract/messages.ts';
import { REDIRECT_BODY_BYTES_MAX } from '../../../contract/limits.ts';
import { UpstreamError } from '../errors.ts';
import type { SubrequestScope } from '../scope.ts';
import type { StreamAccount } from '../stream-account.ts';
import { exchangeFailure } from './failure.ts';
import { headerValue, responseHeaders } from './message.ts';

export interface Head {
  readonly status: number;
  readonly headers: FlatHeaders;
  readonly declaredBytes: number | null;
}

/** What is received but not read before the upstream is held back. */
const BUFFERED_BYTES_MAX = 64 * 1_024;
const BUFFER_BYTES_MIN = 4 * 1_024;
/** What an upstream may make us allocate by declaring a length. */
const BUFFER_BYTES_DECLARED_MAX = 1_024 * 1_024;
/** The same of a body that is read piece by piece. */
const BUFFER_BYTES_STREAMED_MAX = BUFFERED_BYTES_MAX;
/** 103 Early Hints may come a few times; each costs parsing and none is passed on. */
const INFORMATIONAL_MAX = 16;
const EMPTY = new Uint8Array(0);

function declaredLength(headers: FlatHeaders): number | null {
  const value = headerValue(headers, 'content-length');
  return value !== null && /^\d{1,15}$/.test(value) ? Number(value) : null;
}

export class Hop implements Dispatcher.DispatchHandler {
  /** Resolves with the head; rejects with UpstreamError. */
  readonly head: Promise<Head>;
  readonly #scope: SubrequestScope;
  /** Whatever the answer declares, no body follows. */
  #bodyless: boolean;
  /** Called once, when the answer is complete, or failed with an error. */
  readonly #onEnd: (error: UpstreamError | null) => void;
  /** Of the answer; 0 before its head is there. */
  status = 0;
  #settleHead: { resolve: (head: Head) => void; reject: (error: UpstreamError) => void } | null;
  #controller: Dispatcher.DispatchController | null = null;
  #mode: 'hold' | 'collect' | 'discard' = 'hold';
  /** Counts a body that is read piece by piece; null where it is collected. */
  readonly stream: StreamAccount | null;
  /** Bytes that were read. */
  #delivered = 0;
  #buffer: Uint8Array<ArrayBuffer> = EMPTY;
  #length = 0;
  #informational = 0;
  #received = 0;
  #ended = false;
  #error: UpstreamError | null = null;
  /** The reader that waits for bytes or the end. */
  #wake: (() => void) | null = null;

  constructor(
    scope: SubrequestScope, method: string, stream: StreamAccount | null,
    onEnd: (error: UpstreamError | null) => void,
  ) {
    this.#scope = scope;
    this.stream = stream;
    this.#bodyless = method === 'HEAD';
    this.#onEnd = onEnd;
    const { promise, resolve, reject } = Promise.withResolvers<Head>();
    this.head = promise;
    this.#settleHead = { resolve, reject };
  }

  /**
   * Ends the exchange; the first error stays. A request that still waits for a connection is never
   * sent.
   */
  fail(error: UpstreamError): void {
    if (this.#ended || this.#error !== null) return;
    this.#error = error;
    this.#drop();
    this.#settleHead?.reject(error);
    this.#settleHead = null;
    this.#onEnd(error);
    this.#controller?.abort(error);
    this.#wake?.();
  }

  /**
   * Reads on without keeping anything, so that the connection can be used again, unless it gets
   * much.
   */
  discard(): void {
    this.#mode = 'discard';
    this.#length = 0;
    this.#controller?.resume();
  }

  /** What was received and not read is of no interest any more, though it may have been whole. */
  cancel(error: UpstreamError): void {
    this.fail(error);
    this.#error ??= error;
    this.#drop();
  }

  #drop(): void {
    this.#buffer = EMPTY;
    this.#length = 0;
    this.stream?.close();
  }

  /** Bytes to come of those declared; null when none were. */
  left(declaredBytes: number | null): number | null {
    if (this.#bodyless) return 0;
    return declaredBytes === null ? null : declaredBytes - this.#delivered;
  }

  async read(): Promise<Uint8Array | null> {
    while (this.#length === 0) {
      if (this.#error !== null) throw this.#error;
      if (this.#ended) return null;
      this.#controller?.resume();
      if (this.#length === 0 && !this.#settled) await this.#changeInTime();
    }
    return this.#taken();
  }

  /** All that is to come, if it is here and of at most `most` bytes; null otherwise. */
  arrived(most: number): Uint8Array | null {
    if (!this.#ended || this.#error !== null || this.#length > most) return null;
    return this.#taken();
  }

  #taken(): Uint8Array {
    const bytes = this.#take();
    this.#delivered += bytes.length;
    this.stream?.release(bytes.length);
    return bytes;
  }

  async #changeInTime(): Promise<void> {
    const { streamStallMs } = this.#scope.limits;
    const timer = setTimeout(() => {
      this.fail(new UpstreamError('timeout', `the upstream sent nothing for ${streamStallMs} ms`));
    }, streamStallMs);
    await this.#change();
    clearTimeout(timer);
  }

  async readAll(): Promise<Uint8Array> {
    this.#mode = 'collect';
    this.#controller?.resume();
    while (!this.#settled) await this.#change();
    if (this.#error !== null) throw this.#error;
    return this.#take();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#error !== null) controller.abort(this.#error);
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    if (status < 200) {
      this.#informational += 1;
      if (this.#informational > INFORMATIONAL_MAX) {
        this.fail(new UpstreamError('protocol', 'the upstream sends informational answers only'));
      }
      return;
    }
    try {
      const raw = controller.rawHeaders as Buffer[];
      this.#scope.countHead(raw.reduce((sum, bytes) => sum + bytes.length, 0));
      const headers = responseHeaders(raw);
      const declaredBytes = declaredLength(headers);
      if (status === 204 || status === 304) this.#bodyless = true;
      const expected = this.#bodyless ? 0 : (declaredBytes ?? 0);
      const counted = this.stream ?? this.#scope;
      if (expected > counted.bytesLeft) throw counted.tooLarge();
      if (expected > 0) {
        const most = this.stream === null ? BUFFER_BYTES_DECLARED_MAX : BUFFER_BYTES_STREAMED_MAX;
        this.#buffer = Buffer.allocUnsafeSlow(Math.min(expected, most));
      }
      this.status = status;
      this.#settleHead?.resolve({ status, headers, declaredBytes });
      this.#settleHead = null;
    } catch (error) {
      this.fail(exchangeFailure(error));
    }
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#error !== null) return;
    this.#received += chunk.length;
    try {
      if (this.stream === null) this.#scope.countBytes(chunk.length);
      else this.stream.receive(chunk.length);
    } catch (error) {
      this.fail(exchangeFailure(error));
      return;
    }
    if (this.#mode === 'discard') {
      this.stream?.release(chunk.length);
      if (this.#received > REDIRECT_BODY_BYTES_MAX) {
        this.fail(new UpstreamError('aborted', "the redirect's body is not read"));
      }
      return;
    }
    this.#append(chunk);
    if (this.#mode === 'hold' && this.#length >= BUFFERED_BYTES_MAX) controller.pause();
    if (this.#mode === 'hold') this.#wake?.();
  }

  onResponseEnd(): void {
    if (this.#error !== null) return;
    this.#ended = true;
    this.#onEnd(null);
    this.#wake?.();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.fail(exchangeFailure(error));
  }

  get #settled(): boolean {
    return this.#ended || this.#error !== null;
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = null;
        resolve();
      };
    });
  }

  /**
   * Copied into one growing buffer: a body in pieces of one byte would cost a hundred times itself
   * as a list.
   */
  #append(chunk: Uint8Array): void {
    const needed = this.#length + chunk.length;
    if (needed > this.#buffer.length) {
      // Never in the pool of small buffers, and never seen beyond what was received.
      const grown = Buffer.allocUnsafeSlow(
        Math.max(needed, 2 * this.#buffer.length, BUFFER_BYTES_MIN));
      grown.set(this.#buffer.subarray(0, this.#length));
      this.#buffer = grown;
    }
    this.#buffer.set(chunk, this.#length);
    this.#length = needed;
  }

  /** What was received, in a buffer of exactly its size: the caller may transfer it. */
  #take(): Uint8Array {
    const exact = this.#length === this.#buffer.length;
    // Not a Buffer's own `slice`: that is a view.
    const bytes = exact ? this.#buffer
      : Uint8Array.prototype.slice.call(this.#buffer, 0, this.#length);
    this.#buffer = EMPTY;
    this.#length = 0;
    return bytes;
  }
}
