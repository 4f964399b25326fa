/**
 * One request on the uWebSockets engine and how its answer gets on the wire: small bodies in one
 * corked write, large ones as fast as the client reads them, without a copy.
 */

import { LINGER_MS } from '../../contract/limits.ts';
import { contentLengthOf, isBodiless, isPassedOn, statusText } from './answer.ts';
import { Exchange, longerThanPromised } from './exchange.ts';
import type { OutgoingResponse, ResponseHead, ResponseStream } from './listener.ts';
import type { UwsResponse } from './uws-engine.ts';

/** What an exchange needs of its listener. */
export interface UwsOwner {
  readonly draining: boolean;
  finished(): void;
}

/** Bodies up to this go out in one write; the engine keeps what the socket does not take. */
const ONE_WRITE_BYTES_MAX = 16 * 1024;
/**
 * A refused client that is still sending gets its answer once it has been quiet for this long, or
 * after `LINGER_MS`.
 */
const QUIET_MS = 50;
const NOT_ASCII = /[^\x00-\x7f]/; // oxlint-disable-line no-control-regex

/**
 * The exchange that `cork` writes for: the engine calls back at once, so one place is enough for
 * all.
 */
const corking: { exchange: UwsExchange | null } = { exchange: null };
const writeCorked = (): void => corking.exchange?.write();

/** The engine does not write a string as UTF-8 when Latin-1 would do. */
function toBody(body: Uint8Array | string | null): Uint8Array | string {
  if (body === null) return '';
  return typeof body === 'string' && NOT_ASCII.test(body) ? Buffer.from(body) : body;
}

export class UwsExchange extends Exchange {
  readonly #owner: UwsOwner;
  readonly #response: UwsResponse;
  #outgoing: OutgoingResponse | null = null;
  #quiet: NodeJS.Timeout | null = null;
  /** Inside the engine's own call, where writes are gathered anyway. */
  corked = true;
  /** Body bytes are still to come. */
  incoming = false;
  #isPaused = false;
  /** The engine's response must not be touched any more. */
  over = false;

  constructor(owner: UwsOwner, response: UwsResponse, clientAddress: string) {
    super();
    this.#owner = owner;
    this.#response = response;
    this.clientAddress = clientAddress;
  }

  protected send(response: OutgoingResponse): void {
    this.#outgoing = response;
    if (!this.incoming) {
      this.flush();
      return;
    }
    this.#awaitQuiet();
  }

  /** Nobody has answered, or what answers still takes the body. */
  get wantsBody(): boolean {
    return this.receiving && (!this.answered
      || (this.bodySource !== null && this.bodySource.onPiece !== null));
  }

  /** Holds the client back. */
  pause(): void {
    if (this.over || this.#isPaused) return;
    this.#isPaused = true;
    this.#response.pause();
  }

  resume(): void {
    if (this.over || !this.#isPaused) return;
    this.#isPaused = false;
    this.#response.resume();
  }

  /**
   * Closing while the client sends would reset the connection and could take the answer with it.
   */
  #awaitQuiet(): void {
    const end = performance.now() + LINGER_MS;
    let before = this.received;
    this.#quiet = setInterval(() => {
      if (this.received === before || performance.now() > end) this.flush();
      before = this.received;
    }, QUIET_MS);
  }

  /** Writes the answer that `send` was given. */
  flush(): void {
    if (this.#quiet !== null) clearInterval(this.#quiet);
    this.#quiet = null;
    if (this.over || this.#outgoing === null) return;
    if (this.corked) {
      this.write();
      return;
    }
    corking.exchange = this;
    this.#response.cork(writeCorked);
    corking.exchange = null;
  }

  /** The engine's word that the connection is gone. */
  gone(): void {
    this.over = true;
    if (this.#quiet !== null) clearInterval(this.#quiet);
    this.#quiet = null;
    this.#outgoing = null;
    this.abort();
  }

  write(): void {
    const outgoing = this.#outgoing as OutgoingResponse;
    this.#outgoing = null;
    const { status } = outgoing;
    const body = toBody(outgoing.body);
    const response = this.#response;
    const close = this.close || this.#owner.draining;
    this.#writeHead(outgoing);
    if (this.method === 'HEAD' || isBodiless(status)) {
      const told = contentLengthOf(this.method, outgoing, body.length);
      if (told !== null) {
        response.endWithoutBody(told, close);
      } else {
        if (close) response.writeHeader('connection', 'close');
        response.endWithoutBody();
      }
    } else if (body.length <= ONE_WRITE_BYTES_MAX) {
      response.end(body, close);
    } else {
      this.#writeLarge(typeof body === 'string' ? Buffer.from(body) : body, close);
      return;
    }
    this.#finish();
  }

  #writeHead(head: OutgoingResponse | ResponseHead): void {
    const response = this.#response;
    const { headers } = head;
    response.writeStatus(statusText(head.status));
    for (let i = 0; i < headers.length; i += 2) {
      const name = headers[i] as string;
      const value = headers[i + 1] as string;
      // The engine would write a string as UTF-8.
      const bytes = NOT_ASCII.test(value) ? Buffer.from(value, 'latin1') : value;
      if (isPassedOn(name)) response.writeHeader(name, bytes);
    }
    response.writeHeader('x-request-id', this.requestId);
  }

  #writeLarge(body: Uint8Array, close: boolean): void {
    const response = this.#response;
    if (close) response.writeHeader('connection', 'close');
    const [, isOver] = response.tryEnd(body, body.length);
    if (isOver) {
      this.#finish();
      return;
    }
    response.onWritable((offset) => {
      const [isWritten, isDone] = response.tryEnd(body.subarray(offset), body.length);
      if (isDone) this.#finish();
      return isWritten;
    });
  }

  /** The listener drops what nobody takes; see `wantsBody`. */
  protected dropBody(): void {
    this.resume();
  }

  #finish(): void {
    this.over = true;
    this.#owner.finished();
  }

  protected sendStream(head: ResponseHead): ResponseStream {
    return new UwsStream(this, this.#response, head, this.#owner.draining, {
      writeHead: () => this.#writeHead(head),
      finish: () => this.#finish(),
    });
  }

  /** Makes the engine's own 10 s of patience begin anew. */
  putOffEngineTimer(): void {
    // It has none while it is paused.
    if (this.#isPaused) return;
    this.#response.pause();
    this.#response.resume();
  }
}

interface StreamHooks {
  writeHead(): void;
  finish(): void;
}

/**
 * With a known length the engine takes what the socket takes, and the rest waits here; otherwise it
 * is chunked.
 */
class UwsStream implements ResponseStream {
  onDrain: (() => void) | null = null;
  onClose: (() => void) | null = null;
  readonly #exchange: UwsExchange;
  readonly #response: UwsResponse;
  readonly #hooks: StreamHooks;
  readonly #total: number | null;
  readonly #silent: boolean;
  readonly #close: boolean;
  /**
   * Pieces that the socket has not taken, with a known length; the first of them begins at `#base`.
   */
  readonly #waiting: Uint8Array[] = [];
  #base = 0;
  #given = 0;

  constructor(
    exchange: UwsExchange, response: UwsResponse, head: ResponseHead, draining: boolean,
    hooks: StreamHooks,
  ) {
    this.#exchange = exchange;
    this.#response = response;
    this.#hooks = hooks;
    this.#total = head.contentLength;
    this.#close = exchange.close || draining;
    this.#silent = exchange.method === 'HEAD' || isBodiless(head.status);
    response.cork(() => {
      hooks.writeHead();
      if (this.#close) response.writeHeader('connection', 'close');
      if (this.#silent || this.#total === 0) this.#endSilent(isBodiless(head.status));
      else response.onWritable((offset) => this.#writable(offset));
    });
  }

  #endSilent(bodiless: boolean): void {
    this.#exchange.forsakeBody();
    if (bodiless || this.#total === null) this.#response.endWithoutBody();
    else this.#response.endWithoutBody(this.#total);
    this.#hooks.finish();
  }

  write(chunk: Uint8Array): boolean {
    if (this.#exchange.over || chunk.length === 0) return true;
    this.#given += chunk.length;
    if (this.#total === null) {
      let isTaken = true;
      this.#response.cork(() => { isTaken = this.#response.write(chunk); });
      return isTaken;
    }
    if (this.#given > this.#total) {
      throw longerThanPromised(this.#exchange.requestId);
    }
    // Now: the last byte ends the response, and a connection that was paused would stay so.
    if (this.#given === this.#total) this.#exchange.forsakeBody();
    this.#waiting.push(chunk);
    if (this.#waiting.length > 1) return false;
    let isTaken = true;
    this.#response.cork(() => { isTaken = this.#push(); });
    return isTaken;
  }

  /** Hands the first waiting piece over, and the next as long as the socket takes them whole. */
  #push(): boolean {
    for (;;) {
      const first = this.#waiting[0];
      if (first === undefined) return true;
      const done = this.#response.getWriteOffset() - this.#base;
      const rest = first.subarray(done);
      const [isWritten, isOver] = this.#response.tryEnd(rest, this.#total as number);
      if (isOver) {
        this.#waiting.length = 0;
        this.#hooks.finish();
        return true;
      }
      if (!isWritten) return false;
      this.#base += first.length;
      this.#waiting.shift();
    }
  }

  #writable(_offset: number): boolean {
    if (this.#total !== null && !this.#push()) return false;
    if (!this.#exchange.over) this.onDrain?.();
    return true;
  }

  end(): void {
    if (this.#exchange.over) return;
    if (this.#total === null) {
      this.#exchange.forsakeBody();
      // Not with its flag to close: the engine would write that header amid the chunks. The client
      // has been told, and the engine ends a connection that is silent.
      this.#response.cork(() => this.#response.end());
      this.#hooks.finish();
    } else if (this.#given < this.#total) {
      // What was promised will not come: the client must not take it for whole.
      this.destroy();
    }
  }

  destroy(): void {
    if (!this.#exchange.over) this.#response.close();
  }
}
