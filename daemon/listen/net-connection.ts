/**
 * One client connection on plain sockets: reads requests with our own parser, several at once when
 * they are pipelined, and writes the answers in the order of the requests.
 *
 *   idle ──first byte──▶ head ──whole──▶ body ──whole──▶ handled ──▶ answered ──▶ idle
 *                          └── fault, limit, late ──▶ refused ──▶ lingering ──▶ closed
 */

import type { Socket } from 'node:net';

import { LINGER_MS, PIPELINED_MAX, UNREAD_BYTES_MAX } from '../../contract/limits.ts';
import { plainAddress } from './address.ts';
import { headTooLarge, lateBody, lateHead } from './exchange.ts';
import type { Verdict } from './exchange.ts';
import { chooseRequestId, makeRequestId } from './head.ts';
import type { Place } from './head.ts';
import type { EngineOptions, Handler } from './listener.ts';
import { NetExchange } from './net-exchange.ts';
import { ChunkedReader, parseHead, unfinishedFault } from './parser.ts';
import type { Head } from './parser.ts';
import type { Flight } from './flight.ts';

/** What a connection needs of its listener. */
export interface ConnectionOwner {
  readonly options: EngineOptions;
  readonly handler: Handler;
  readonly flight: Flight;
  /** Scratch, used within one call. */
  readonly head: Head;
  readonly place: Place;
  readonly draining: boolean;
  forget(connection: Connection): void;
}

type Phase = 'idle' | 'head' | 'body' | 'lingering';

const NOTHING = Buffer.alloc(0);

export class Connection {
  readonly socket: Socket;
  readonly owner: ConnectionOwner;
  /** Its own among all of the listener's. */
  readonly number: number;
  readonly #address: string;
  /** Requests that are owed an answer, in order. */
  readonly #queue: NetExchange[] = [];
  #phase: Phase = 'idle';
  /** When the phase has lasted too long; performance.now(). Not for `body`, which has its own. */
  #deadline: number;
  /** Bytes that are not parsed yet. */
  #carry: Buffer = NOTHING;
  /** Bytes behind the request that is being taken in: perhaps another one. */
  #unread = 0;
  /** How far the carry has been looked at in vain. */
  #seen = 0;
  #receiving: NetExchange | null = null;
  #chunks: ChunkedReader | null = null;
  /** Bytes of a body of known length that are still to come. */
  #left = 0;
  /** Nothing that follows on this connection is a request any more. */
  #closing = false;
  /** Whoever takes the body that arrives has enough for now. */
  #heldBack = false;
  #isReading = false;
  /** The client has ended its half; the carry may still hold whole requests. */
  #halfClosed = false;

  constructor(owner: ConnectionOwner, socket: Socket, number: number) {
    this.owner = owner;
    this.socket = socket;
    this.number = number;
    this.#address = plainAddress(socket.remoteAddress);
    this.#deadline = performance.now() + owner.options.limits.headersTimeoutMs;
    this.#phase = 'head';
    socket.on('data', (bytes: Buffer) => this.#data(bytes));
    socket.on('end', () => this.#ended());
    socket.on('drain', () => this.#drained());
    socket.on('timeout', () => socket.destroy());
    // What went wrong is of no interest, that it is over comes with 'close'.
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#closed());
  }

  #data(bytes: Buffer): void {
    if (this.#closing && this.#receiving === null) return;
    this.#carry = this.#carry.length === 0 ? bytes : Buffer.concat([this.#carry, bytes]);
    this.#read();
  }

  /** Parses as much of the carry as may be parsed now. */
  #read(): void {
    this.#isReading = true;
    this.#parse();
    this.#isReading = false;
  }

  #parse(): void {
    const carry = this.#carry;
    let at = 0;
    // One character per byte: positions in the text are positions in the bytes.
    let text = '';
    while (at < carry.length) {
      if (this.#receiving !== null) {
        at = this.#readBody(this.#receiving, carry, at);
        if (this.#receiving !== null) break;
        continue;
      }
      if (this.#closing) break;
      if (this.#isFull()) {
        this.socket.pause();
        break;
      }
      if (text === '') text = carry.toString('latin1');
      const next = this.#readHead(carry, text, at);
      if (next < 0) break;
      at = next;
    }
    if (at > 0) {
      this.#carry = at < carry.length ? carry.subarray(at) : NOTHING;
      this.#seen = 0;
    }
    this.#unread = this.socket.isPaused() ? this.#carry.length : 0;
    if (this.#halfClosed && !this.#closing && !this.socket.isPaused()) this.#exhausted();
  }

  #isFull(): boolean {
    return this.#heldBack || this.#queue.length >= PIPELINED_MAX
      || this.socket.writableLength > UNREAD_BYTES_MAX;
  }

  /** Returns where the head ends, or -1 when it is not whole or no good. */
  #readHead(bytes: Buffer, text: string, from: number): number {
    let at = from;
    while (text.startsWith('\r\n', at)) at += 2;
    if (at === bytes.length) return at;
    const { limits } = this.owner.options;
    const { headerBytes } = limits;
    const found = text.indexOf('\r\n\r\n', at + Math.max(0, this.#seen - 3));
    const end = found + 4;
    if (found < 0 || end - at > headerBytes) {
      if (bytes.length - at > headerBytes) {
        this.#fail(headTooLarge(limits));
        return -1;
      }
      const fault = unfinishedFault(bytes.subarray(at), this.#seen);
      if (fault !== '') this.#fail({ code: 'bad_request', message: fault });
      else this.#await(bytes.length - at);
      return at > from && fault === '' ? at : -1;
    }
    this.#seen = 0;
    this.#unread = bytes.length - end;
    this.#begin(text, at, end);
    return end;
  }

  /** A head has begun to arrive. */
  #await(seen: number): void {
    this.#seen = seen;
    if (this.#phase !== 'idle') return;
    this.#phase = 'head';
    this.#deadline = performance.now() + this.owner.options.limits.headersTimeoutMs;
  }

  #begin(text: string, start: number, end: number): void {
    const { owner } = this;
    const { limits, keepRequestIds } = owner.options;
    const { head, place } = owner;
    const { facts } = head;
    const parseFault = parseHead(text, start, end, head);
    const exchange = new NetExchange(this, this.#address);
    exchange.receivedAt = performance.now();
    exchange.requestId = chooseRequestId(facts.requestId, keepRequestIds);
    this.#enter(exchange);
    if (parseFault !== '') {
      this.#refuse(exchange, { code: 'bad_request', message: parseFault });
      return;
    }
    exchange.method = head.method;
    exchange.headers = head.headers;
    exchange.minor = head.minor;
    exchange.close = facts.close || (head.minor === 0 && !facts.keepAlive);
    const verdict = exchange.settle(head.target, facts, place, limits);
    if (verdict === null) this.#accept(exchange, head);
    else this.#refuse(exchange, verdict);
  }

  #enter(exchange: NetExchange): void {
    this.#queue.push(exchange);
    this.owner.flight.enter();
  }

  #accept(exchange: NetExchange, head: Head): void {
    const { facts } = head;
    if (exchange.close) this.#closing = true;
    if (!facts.chunked && facts.contentLength <= 0) {
      this.#phase = 'idle';
      this.#deadline = Infinity;
      this.owner.handler(exchange);
      return;
    }
    // Asked now: what follows may lead to another head.
    const { contentLength, chunked } = facts;
    const awaitsContinue = facts.expectContinue && head.minor === 1 && this.#unread === 0;
    this.#phase = 'body';
    this.#receiving = exchange;
    const verdict = exchange.planBody(facts, this.owner.options, this);
    if (verdict === 'answered') return;
    if (verdict !== null) {
      this.#refuse(exchange, verdict);
      return;
    }
    this.#left = contentLength;
    this.#chunks = chunked ? new ChunkedReader() : null;
    if (exchange.bodySource !== null) this.owner.handler(exchange);
    if (awaitsContinue && this.#receiving === exchange) {
      exchange.awaitsContinue = true;
      this.#invite();
    }
  }

  /** Holds the client back. */
  pause(): void {
    this.#heldBack = true;
    this.socket.pause();
  }

  resume(): void {
    this.#heldBack = false;
    // Reading goes on by itself.
    if (this.#isReading) this.socket.resume();
    else this.#readOn();
  }

  /** The rest of a body is not wanted, and nothing behind it. */
  forsakeBody(): void {
    this.#closing = true;
    this.#heldBack = false;
    this.#receiving = null;
    this.#chunks = null;
    this.#carry = NOTHING;
    // What bounds it from here on is the answer, and then the lingering.
    this.#deadline = Infinity;
    // A socket that is not read would never tell that its client has gone.
    this.socket.resume();
  }

  /** Lets the client whose turn it is send its body. */
  #invite(): void {
    const first = this.#queue[0];
    if (first === undefined || !first.awaitsContinue) return;
    first.awaitsContinue = false;
    this.socket.write('HTTP/1.1 100 Continue\r\n\r\n', 'latin1');
  }

  /** Returns where the body ends, or the end of the bytes. */
  #readBody(exchange: NetExchange, bytes: Buffer, from: number): number {
    const chunks = this.#chunks;
    if (chunks === null) {
      const end = Math.min(bytes.length, from + this.#left);
      this.#left -= end - from;
      this.#unread = bytes.length - end;
      // Nothing else of these bytes is looked at if they are all of one body.
      this.#take(exchange, bytes.subarray(from, end), true);
      if (this.#left === 0 && this.#receiving === exchange) this.#received(exchange);
      return end;
    }
    const at = chunks.read(bytes, from, (piece) => this.#take(exchange, piece, false));
    this.#unread = bytes.length - at;
    if (this.#receiving !== exchange) return bytes.length;
    if (chunks.fault !== '') this.#refuse(exchange, { code: 'bad_request', message: chunks.fault });
    else if (chunks.isDone) this.#received(exchange);
    return at;
  }

  #take(exchange: NetExchange, piece: Uint8Array, isOwned: boolean): boolean {
    const verdict = exchange.takePiece(piece, isOwned);
    if (verdict === null) return true;
    this.#refuse(exchange, verdict);
    return false;
  }

  #received(exchange: NetExchange): void {
    this.#receiving = null;
    this.#chunks = null;
    this.#phase = 'idle';
    this.#deadline = Infinity;
    exchange.awaitsContinue = false;
    if (exchange.gather()) this.owner.handler(exchange);
  }

  /** Answers what is not even a request. */
  #fail(verdict: Verdict): void {
    const exchange = new NetExchange(this, this.#address);
    exchange.receivedAt = performance.now();
    exchange.requestId = makeRequestId();
    this.#enter(exchange);
    this.#refuse(exchange, verdict);
  }

  #refuse(exchange: NetExchange, verdict: Verdict): void {
    this.forsakeBody();
    exchange.awaitsContinue = false;
    exchange.refuse(this.owner.options, verdict);
  }

  /** Writes whatever answers are due. */
  flush(): void {
    for (;;) {
      const first = this.#queue[0];
      if (first === undefined || !first.answered) {
        this.#invite();
        return;
      }
      const isLast = this.#queue.length === 1;
      const isDrained = this.owner.draining && this.#unread === 0;
      const close = isLast && (first.close || this.#closing || isDrained);
      if (close) this.#closing = true;
      if (!first.writeOut(close)) return;
      this.#queue.shift();
      this.#countSent();
      if (close) {
        this.#linger();
        return;
      }
      this.#next();
    }
  }

  /** In flight is what the system has not taken yet. */
  #countSent(): void {
    const { flight } = this.owner;
    if (this.socket.writableLength === 0) flight.finish();
    // Called in the order of the writes, with an error when the connection is gone.
    else this.socket.write('', (error) => (error ? flight.lose() : flight.finish()));
  }

  /** One request less under way: others may be read again. */
  #next(): void {
    if (this.#queue.length === 0 && this.#phase === 'idle') {
      this.#deadline = performance.now() + this.owner.options.limits.keepAliveTimeoutMs;
    }
    if (this.socket.isPaused()) this.#readOn();
  }

  /** The client has read on. */
  #drained(): void {
    this.socket.setTimeout(0);
    this.#queue[0]?.drained();
    this.#readOn();
  }

  /** Says nothing of what the client has read: a stalled answer stays stalled. */
  #readOn(): void {
    if (!this.socket.isPaused() || this.#isFull()) return;
    this.socket.resume();
    this.#read();
  }

  /** Written to, and not all of it taken: the client has `responseStallMs` for the next bytes. */
  stalled(): void {
    this.socket.setTimeout(this.owner.options.limits.responseStallMs);
  }

  /**
   * Ends our half, and waits for the client to end its own: closing with bytes unread would reset
   * the connection and could take the answer with it.
   */
  #linger(): void {
    this.forsakeBody();
    this.#phase = 'lingering';
    this.socket.end(() => { this.#deadline = performance.now() + LINGER_MS; });
  }

  /** The client has ended its half. Whole requests get a little time to be answered. */
  #ended(): void {
    const { halfClosedMs } = this.owner.options.limits;
    if (this.#phase === 'lingering' || this.#receiving !== null) this.socket.destroy();
    else if (this.#queue.length === 0 && !this.socket.isPaused()) this.#linger();
    else if (halfClosedMs === 0) this.socket.destroy();
    else this.#outlive(halfClosedMs);
  }

  /** What is answered by then goes on being written; the socket tells when nobody reads it. */
  #outlive(graceMs: number): void {
    this.#halfClosed = true;
    if (!this.socket.isPaused()) this.#exhausted();
    const timer = setTimeout(() => {
      const isUnparsed = !this.#closing;
      if (isUnparsed || this.#queue.some(({ answered }) => !answered)) this.socket.destroy();
    }, graceMs);
    this.socket.once('close', () => clearTimeout(timer));
  }

  /** The client has ended its half, and no whole request is left of what it sent. */
  #exhausted(): void {
    if (this.#receiving !== null) {
      this.socket.destroy();
      return;
    }
    this.#closing = true;
    this.#carry = NOTHING;
    this.#phase = 'idle';
    this.#deadline = Infinity;
    if (this.#queue.length === 0) this.#linger();
  }

  #closed(): void {
    this.owner.forget(this);
    this.#closing = true;
    this.#receiving = null;
    for (const exchange of this.#queue.splice(0)) {
      this.owner.flight.lose();
      exchange.abort();
    }
  }

  /** Called every now and then. */
  sweep(now: number): void {
    const { limits } = this.owner.options;
    if (this.#receiving !== null) {
      if (this.#receiving.isLate(now, limits.bodyTimeoutMs)) {
        this.#refuse(this.#receiving, lateBody(limits));
      }
    } else if (now > this.#deadline) {
      if (this.#phase !== 'head' || this.#carry.length === 0) this.socket.destroy();
      else this.#fail(lateHead(limits));
    }
  }
}
