/**
 * One request on plain sockets, and how its answer becomes bytes: a small one in a single write, a
 * large one without a copy, a stream piece by piece. Each waits for its turn on the connection.
 */

import { contentLengthOf, isBodiless, isPassedOn, statusText } from './answer.ts';
import { Exchange, longerThanPromised } from './exchange.ts';
import type { OutgoingResponse, ResponseHead, ResponseStream } from './listener.ts';
import type { Connection } from './net-connection.ts';

/** Bodies up to this are copied behind their head, so that both go out in one write. */
const ONE_WRITE_BYTES_MAX = 32 * 1024;

let dateSecond = 0;
let dateLine = '';

/** The date header, made once a second. */
function date(): string {
  const now = Date.now();
  const second = Math.floor(now / 1_000);
  if (second !== dateSecond) {
    dateSecond = second;
    dateLine = `\r\ndate: ${new Date(now).toUTCString()}\r\n`;
  }
  return dateLine;
}

export class NetExchange extends Exchange {
  readonly connection: Connection;
  minor = 1;
  /** The client waits for `100 Continue`. */
  awaitsContinue = false;
  #outgoing: OutgoingResponse | null = null;
  #stream: NetStream | null = null;

  constructor(connection: Connection, clientAddress: string) {
    super();
    this.connection = connection;
    this.clientAddress = clientAddress;
  }

  protected send(response: OutgoingResponse): void {
    this.#outgoing = response;
    this.connection.flush();
  }

  protected dropBody(): void {
    this.connection.forsakeBody();
  }

  protected sendStream(head: ResponseHead): ResponseStream {
    this.#stream = new NetStream(this, head);
    this.connection.flush();
    return this.#stream;
  }

  override abort(): void {
    super.abort();
    this.#outgoing = null;
    this.#stream?.abort();
  }

  drained(): void {
    this.#stream?.drained();
  }

  /** The turn has come. False: there is more to come (a stream). */
  writeOut(close: boolean): boolean {
    if (this.#stream !== null) return this.#stream.writeOut(close);
    if (this.#outgoing === null) throw new Error(`${this.requestId} has no answer to write`);
    const outgoing = this.#outgoing;
    const { status, headers, body } = outgoing;
    this.#outgoing = null;
    const length = typeof body === 'string' ? Buffer.byteLength(body) : body?.length ?? 0;
    const told = contentLengthOf(this.method, outgoing, length);
    const head = this.#headText(status, headers, told, close, false);
    if (length === 0 || body === null || this.method === 'HEAD' || isBodiless(status)) {
      this.#write(head);
    } else if (typeof body === 'string' && length === body.length) {
      this.#write(head + body);
    } else {
      this.#writeBytes(head, typeof body === 'string' ? Buffer.from(body) : body);
    }
    return true;
  }

  /** `text`: one character per byte. */
  #write(text: string): void {
    if (!this.connection.socket.write(text, 'latin1')) this.connection.stalled();
  }

  #writeBytes(head: string, body: Uint8Array): void {
    const { socket } = this.connection;
    let isTaken: boolean;
    if (body.length <= ONE_WRITE_BYTES_MAX) {
      const bytes = Buffer.allocUnsafe(head.length + body.length);
      bytes.write(head, 'latin1');
      bytes.set(body, head.length);
      isTaken = socket.write(bytes);
    } else {
      socket.cork();
      socket.write(head, 'latin1');
      isTaken = socket.write(body);
      socket.uncork();
    }
    if (!isTaken) this.connection.stalled();
  }

  /** `length` null: not told. */
  #headText(
    status: number, headers: readonly string[], length: number | null, close: boolean,
    chunked: boolean,
  ): string {
    let text = `HTTP/1.1 ${statusText(status)}${date()}`;
    for (let i = 0; i < headers.length; i += 2) {
      const name = headers[i] as string;
      if (isPassedOn(name)) text += `${name}: ${headers[i + 1]}\r\n`;
    }
    text += `x-request-id: ${this.requestId}\r\n`;
    if (length !== null) text += `content-length: ${length}\r\n`;
    else if (chunked) text += 'transfer-encoding: chunked\r\n';
    if (close) return `${text}connection: close\r\n\r\n`;
    return this.minor === 0 ? `${text}connection: keep-alive\r\n\r\n` : `${text}\r\n`;
  }

  beginStream(head: ResponseHead, close: boolean): void {
    const { status, headers } = head;
    const length = isBodiless(status) ? null : head.contentLength;
    // For HTTP/1.0 without a length: to the connection's end.
    const chunked = length === null && !isBodiless(status) && this.minor === 1;
    this.#write(this.#headText(status, headers, length, close, chunked));
  }
}

class NetStream implements ResponseStream {
  onDrain: (() => void) | null = null;
  onClose: (() => void) | null = null;
  readonly #exchange: NetExchange;
  readonly #head: ResponseHead;
  readonly #silent: boolean;
  readonly #chunked: boolean;
  /** Bytes still owed, or null when no length was told. */
  #owed: number | null;
  #hasBegun = false;
  #hasEnded = false;
  /** Pieces that were written before the turn had come. */
  #early: Uint8Array[] = [];

  constructor(exchange: NetExchange, head: ResponseHead) {
    this.#exchange = exchange;
    this.#head = head;
    this.#silent = exchange.method === 'HEAD' || isBodiless(head.status);
    this.#chunked = head.contentLength === null && exchange.minor === 1;
    this.#owed = this.#silent ? null : head.contentLength;
    // Its end can only be told by the connection's.
    if (head.contentLength === null && exchange.minor === 0) exchange.close = true;
  }

  writeOut(close: boolean): boolean {
    if (!this.#hasBegun) this.#begin(close);
    return this.#hasEnded;
  }

  #begin(close: boolean): void {
    this.#hasBegun = true;
    this.#exchange.beginStream(this.#head, close);
    const early = this.#early;
    this.#early = [];
    let isTaken = true;
    for (const piece of early) isTaken = this.#put(piece);
    if (this.#hasEnded) this.#putEnd();
    // Not now: the writer may end the stream, and the connection is amid writing it out.
    else if (early.length > 0 && isTaken) process.nextTick(() => this.drained());
  }

  write(chunk: Uint8Array, isOwned = false): boolean {
    if (this.#silent || this.#exchange.aborted || chunk.length === 0) return true;
    if (this.#owed !== null) {
      if (chunk.length > this.#owed) throw longerThanPromised(this.#exchange.requestId);
      this.#owed -= chunk.length;
    }
    if (this.#hasBegun) {
      const isTaken = this.#put(chunk);
      // The system has it all: left to the collector, a fast download would be a collection of the
      // whole heap for every few megabytes.
      if (isOwned && this.#exchange.connection.socket.writableLength === 0) {
        (chunk.buffer as ArrayBuffer).transfer(0);
      }
      return isTaken;
    }
    this.#early.push(chunk);
    return false;
  }

  #put(chunk: Uint8Array): boolean {
    const { socket } = this.#exchange.connection;
    if (!this.#chunked) {
      const isTaken = socket.write(chunk);
      if (!isTaken) this.#exchange.connection.stalled();
      return isTaken;
    }
    socket.cork();
    socket.write(`${chunk.length.toString(16)}\r\n`, 'latin1');
    socket.write(chunk);
    const isTaken = socket.write('\r\n', 'latin1');
    socket.uncork();
    if (!isTaken) this.#exchange.connection.stalled();
    return isTaken;
  }

  drained(): void {
    if (this.#hasBegun && !this.#hasEnded) this.onDrain?.();
  }

  end(): void {
    if (this.#exchange.aborted || this.#hasEnded) return;
    // What was promised will not come: the client must not take it for whole.
    if (this.#owed !== null && this.#owed > 0) {
      this.destroy();
      return;
    }
    this.#hasEnded = true;
    this.#exchange.forsakeBody();
    if (!this.#hasBegun) return;
    this.#putEnd();
    this.#exchange.connection.flush();
  }

  #putEnd(): void {
    if (!this.#chunked || this.#silent) return;
    this.#exchange.connection.socket.write('0\r\n\r\n', 'latin1');
  }

  destroy(): void {
    // A reset, because the end of the connection may be what ends the body.
    if (this.#hasEnded || this.#exchange.aborted) return;
    this.#exchange.connection.socket.resetAndDestroy();
  }

  abort(): void {
    this.#hasEnded = true;
    this.#early = [];
  }
}
