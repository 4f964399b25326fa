/**
 * One request on node:http, and how its answer is handed to Node's response.
 */

import { ServerResponse } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';

import { LINGER_MS } from '../../contract/limits.ts';
import { contentLengthOf, isBodiless, isPassedOn } from './answer.ts';
import { Exchange, longerThanPromised } from './exchange.ts';
import type { OutgoingResponse, ResponseHead, ResponseStream } from './listener.ts';

/** What the listener keeps per socket. */
export interface NodeConnection {
  readonly socket: Socket;
  address: string;
  /** Requests received and not yet answered. */
  pending: number;
  /** The one whose body is still coming. */
  receiving: NodeExchange | null;
  /** An answer to unparsable bytes, sent after the answers that come before it. */
  fault: Buffer | null;
  broken: boolean;
}

/** What an exchange needs of its listener. */
export interface NodeOwner {
  readonly draining: boolean;
  forsakeBody(exchange: NodeExchange): void;
  over(exchange: NodeExchange): void;
}

export class OurResponse extends ServerResponse<IncomingMessage> {
  exchange: NodeExchange | null = null;
}

export class NodeExchange extends Exchange {
  readonly listener: NodeOwner;
  readonly connection: NodeConnection;
  readonly response: OurResponse;
  readonly request: IncomingMessage;

  constructor(
    listener: NodeOwner, connection: NodeConnection, request: IncomingMessage,
    response: OurResponse,
  ) {
    super();
    this.request = request;
    this.listener = listener;
    this.connection = connection;
    this.response = response;
    this.clientAddress = connection.address;
  }

  /** Nobody has answered, or what answers still takes the body. */
  get wantsBody(): boolean {
    return this.receiving && (!this.answered
      || (this.bodySource !== null && this.bodySource.onPiece !== null));
  }

  /** The head of the answer. `length` null: not told, and Node chunks what has a body. */
  #head(status: number, headers: readonly string[], length: number | null): void {
    const flat: string[] = [];
    for (let i = 0; i < headers.length; i += 2) {
      const name = headers[i] as string;
      if (isPassedOn(name)) flat.push(name, headers[i + 1] as string);
    }
    flat.push('x-request-id', this.requestId);
    if (length !== null) flat.push('content-length', String(length));
    const isLast = this.listener.draining && this.connection.pending === 1;
    if (this.close || isLast) flat.push('connection', 'close');
    this.response.writeHead(status, flat);
  }

  protected send(response: OutgoingResponse): void {
    const { body, status } = response;
    const length = typeof body === 'string' ? Buffer.byteLength(body) : body?.length ?? 0;
    if (this.close) linger(this.connection.socket);
    this.#head(status, response.headers, contentLengthOf(this.method, response, length));
    if (length === 0 || this.method === 'HEAD' || isBodiless(status)) this.response.end();
    // Node would write the head of a string body as UTF-8, too.
    else this.response.end(typeof body === 'string' ? Buffer.from(body) : body);
  }

  protected dropBody(): void {
    this.listener.forsakeBody(this);
    this.request.resume();
  }

  protected sendStream(head: ResponseHead): ResponseStream {
    if (this.close) linger(this.connection.socket);
    const { status, headers, contentLength } = head;
    this.#head(status, headers, isBodiless(status) ? null : contentLength);
    return new NodeStream(this, head);
  }
}

class NodeStream implements ResponseStream {
  onDrain: (() => void) | null = null;
  onClose: (() => void) | null = null;
  readonly #exchange: NodeExchange;
  readonly #silent: boolean;
  /** Bytes still owed, or null when no length was told. */
  #owed: number | null;

  constructor(exchange: NodeExchange, head: ResponseHead) {
    this.#exchange = exchange;
    this.#silent = exchange.method === 'HEAD' || isBodiless(head.status);
    this.#owed = this.#silent ? null : head.contentLength;
    exchange.response.on('drain', () => this.onDrain?.());
    exchange.response.flushHeaders();
  }

  write(chunk: Uint8Array): boolean {
    if (this.#silent || this.#exchange.aborted) return true;
    if (this.#owed !== null) {
      if (chunk.length > this.#owed) throw longerThanPromised(this.#exchange.requestId);
      this.#owed -= chunk.length;
    }
    return this.#exchange.response.write(chunk);
  }

  end(): void {
    if (this.#exchange.aborted) return;
    // What was promised will not come: the client must not take it for whole.
    if (this.#owed !== null && this.#owed > 0) {
      this.destroy();
      return;
    }
    this.#exchange.forsakeBody();
    this.#exchange.response.end();
  }

  destroy(): void {
    // A reset, because the end of the connection may be what ends the body.
    this.#exchange.connection.socket.resetAndDestroy();
  }
}

/**
 * Lets a socket that is to be closed end softly: our half at once, the client's when it has read
 * the answer or its time is up. Closing with unread bytes would reset the connection and could take
 * the answer with it.
 */
export function linger(socket: Socket): void {
  socket.destroySoon = () => {
    socket.end();
    socket.resume();
    const timer = setTimeout(() => socket.destroy(), LINGER_MS);
    socket.once('close', () => clearTimeout(timer));
    socket.once('end', () => socket.destroy());
  };
}
