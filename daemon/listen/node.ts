/**
 * The listener on node:http: strict parsing by Node's own parser, with every answer to a bad
 * request in our words. Later also the half of HTTPS that speaks HTTP/1.1.
 */

import { createServer, IncomingMessage } from 'node:http';
import type { Server } from 'node:http';
import { Server as NetServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

import { ERRORS } from '../../contract/errors.ts';
import { plainAddress } from './address.ts';
import { refusalBytes } from './answer.ts';
import {
  CONNECT, headTooLarge, lateBody, lateHead, sweepIntervalMs,
} from './exchange.ts';
import type { Verdict } from './exchange.ts';
import { Flight } from './flight.ts';
import { chooseRequestId, emptyFacts, makeRequestId, readFacts } from './head.ts';
import type { Place } from './head.ts';
import type { DrainResult, EngineOptions, Handler, Listener } from './listener.ts';
import { linger, NodeExchange, OurResponse } from './node-exchange.ts';
import type { NodeConnection, NodeOwner } from './node-exchange.ts';

const CONNECTION = Symbol('connection');
type OurSocket = Socket & { [CONNECTION]?: NodeConnection };

class NodeListener implements Listener, NodeOwner {
  readonly engine = 'node:http';
  readonly engineNote: string;
  readonly server: Server<typeof IncomingMessage, typeof OurResponse>;
  readonly options: EngineOptions;
  readonly #handler: Handler;
  readonly #connections = new Set<NodeConnection>();
  readonly #receiving = new Set<NodeExchange>();
  readonly #facts = emptyFacts();
  readonly #place: Place = { target: '', host: '', fault: '' };
  readonly #sweep: NodeJS.Timeout;
  address = { host: '', port: 0 };
  draining = false;
  readonly #flight = new Flight();

  constructor(options: EngineOptions, handler: Handler, note: string) {
    this.options = options;
    this.#handler = handler;
    this.engineNote = note;
    const { limits } = options;
    const interval = sweepIntervalMs(limits);
    this.server = createServer({
      ServerResponse: OurResponse,
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.headersTimeoutMs,
      requestTimeout: 0,
      keepAliveTimeout: limits.keepAliveTimeoutMs,
      connectionsCheckingInterval: interval,
      requireHostHeader: false,
      noDelay: true,
    });
    this.server.maxHeadersCount = limits.headerCount + 1;
    this.server.timeout = limits.responseStallMs;
    // Otherwise the server ends a connection whose client has, answered or not. Node reads this of
    // its servers without telling of it; the conformance suite would.
    Object.assign(this.server, { httpAllowHalfOpen: limits.halfClosedMs > 0 });
    this.server.on('connection', (socket: OurSocket) => this.#connected(socket));
    const onRequest = (request: IncomingMessage, response: OurResponse): void =>
      this.#requested(request, response, false);
    this.server.on('request', onRequest);
    this.server.on('checkExpectation', onRequest);
    this.server.on('checkContinue', (request, response) =>
      this.#requested(request, response as OurResponse, true));
    this.server.on('connect', (_request, socket) =>
      this.#refuseSocket(socket as OurSocket, CONNECT));
    this.server.on('clientError', (error, socket) => this.#unparsable(error, socket as OurSocket));
    this.server.on('timeout', (socket: OurSocket) => {
      // Unread answers, or nothing to wait for; otherwise a guest is at work.
      if (socket.writableLength > 0 || socket[CONNECTION]?.pending === 0) socket.destroy();
    });
    this.#sweep = setInterval(() => this.#cutLate(), interval);
    this.#sweep.unref();
  }

  open(): Promise<this> {
    const { promise, resolve, reject } = Promise.withResolvers<this>();
    this.server.once('error', (error) => {
      clearInterval(this.#sweep);
      reject(error);
    });
    this.server.listen(this.options.port, this.options.host, () => {
      const { port } = this.server.address() as AddressInfo;
      this.address = { host: this.options.host, port };
      resolve(this);
    });
    return promise;
  }

  #connected(socket: OurSocket): void {
    const connection: NodeConnection = {
      socket, address: plainAddress(socket.remoteAddress), pending: 0, receiving: null, fault: null,
      broken: false,
    };
    socket[CONNECTION] = connection;
    this.#connections.add(connection);
    socket.once('close', () => this.#connections.delete(connection));
    socket.once('end', () => this.#outlive(connection));
  }

  /** The client has ended its half: it has a little time to see an answer begin. */
  #outlive({ socket, receiving }: NodeConnection): void {
    if (receiving !== null && !receiving.request.complete) {
      socket.destroy();
      return;
    }
    const before = socket.bytesWritten;
    const timer = setTimeout(() => {
      if (socket.bytesWritten === before) socket.destroy();
    }, this.options.limits.halfClosedMs);
    socket.once('close', () => clearTimeout(timer));
  }

  #requested(request: IncomingMessage, response: OurResponse, expectContinue: boolean): void {
    const connection = (request.socket as OurSocket)[CONNECTION] as NodeConnection;
    const exchange = new NodeExchange(this, connection, request, response);
    response.exchange = exchange;
    response.on('close', closed);
    connection.pending += 1;
    this.#flight.enter();
    const verdict = this.#read(exchange, request);
    if (verdict !== null) {
      // Its body may not be one: what the parser still has to say about it is of no interest.
      connection.broken = true;
      exchange.refuse(this.options, verdict);
      return;
    }
    if (this.#facts.contentLength <= 0 && !this.#facts.chunked) {
      this.#handler(exchange);
      return;
    }
    this.#receive(exchange, request, expectContinue);
  }

  /** Fills the exchange; null, or why it is refused. */
  #read(exchange: NodeExchange, request: IncomingMessage): Verdict | null {
    const { limits, keepRequestIds } = this.options;
    const headers = request.rawHeaders;
    for (let i = 0; i < headers.length; i += 2) headers[i] = (headers[i] as string).toLowerCase();
    const facts = this.#facts;
    exchange.method = request.method ?? '';
    exchange.headers = headers;
    exchange.receivedAt = performance.now();
    readFacts(headers, facts);
    exchange.requestId = chooseRequestId(facts.requestId, keepRequestIds);
    const version = request.httpVersion;
    if (version !== '1.1' && version !== '1.0') facts.fault = `HTTP/${version} is not served here`;
    if (version === '1.0' && facts.chunked) facts.fault ||= 'Transfer-Encoding in HTTP/1.0';
    return exchange.settle(request.url ?? '', facts, this.#place, limits);
  }

  #receive(exchange: NodeExchange, request: IncomingMessage, expectContinue: boolean): void {
    this.#receiving.add(exchange);
    exchange.connection.receiving = exchange;
    const verdict = exchange.planBody(this.#facts, this.options, request);
    if (verdict === 'answered') return;
    if (verdict !== null) {
      this.#refuse(exchange, verdict);
      return;
    }
    request.on('data', (piece: Buffer) => {
      if (!this.#receiving.has(exchange) || exchange.aborted) return;
      const fault = exchange.takePiece(piece);
      if (fault !== null) this.#refuse(exchange, fault);
    });
    request.on('end', () => {
      exchange.connection.receiving = null;
      if (!this.#receiving.delete(exchange) || exchange.aborted) return;
      if (exchange.gather()) this.#handler(exchange);
    });
    if (exchange.bodySource !== null) this.#handler(exchange);
    if (expectContinue && exchange.wantsBody) exchange.response.writeContinue();
  }

  #refuse(exchange: NodeExchange, verdict: Verdict): void {
    this.#receiving.delete(exchange);
    exchange.refuse(this.options, verdict);
  }

  #cutLate(): void {
    if (this.#receiving.size === 0) return;
    const now = performance.now();
    const { limits } = this.options;
    for (const exchange of this.#receiving) {
      if (!exchange.isLate(now, limits.bodyTimeoutMs)) continue;
      this.#refuse(exchange, lateBody(limits));
    }
  }

  /** It was answered, and the rest of its body is not wanted. */
  forsakeBody(exchange: NodeExchange): void {
    this.#receiving.delete(exchange);
  }

  /** The response was written, or its connection is gone. */
  over(exchange: NodeExchange): void {
    const { connection } = exchange;
    this.#receiving.delete(exchange);
    connection.pending -= 1;
    if (connection.receiving === exchange) connection.receiving = null;
    if (!exchange.response.writableFinished) exchange.abort();
    const { fault } = connection;
    if (connection.pending === 0 && fault !== null) this.#sendFault(connection, fault);
    if (exchange.aborted) this.#flight.lose();
    else this.#flight.finish();
  }

  #unparsable(error: NodeJS.ErrnoException & { reason?: string }, socket: OurSocket): void {
    const { limits } = this.options;
    if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') {
      this.#refuseSocket(socket, lateHead(limits));
    } else if (error.code === 'HPE_HEADER_OVERFLOW') {
      this.#refuseSocket(socket, headTooLarge(limits));
    } else if (error.code?.startsWith('HPE_') === true && error.code !== 'HPE_INVALID_EOF_STATE') {
      this.#refuseSocket(socket, { code: 'bad_request', message: error.reason ?? error.code });
    } else {
      socket.destroy();
    }
  }

  /**
   * Answers bytes that are no request, once per connection, after the answers that are still owed
   * on it.
   */
  #refuseSocket(socket: OurSocket, verdict: Verdict): void {
    const connection = socket[CONNECTION];
    if (connection === undefined || !socket.writable) {
      socket.destroy();
      return;
    }
    if (connection.broken) return;
    connection.broken = true;
    // Complete: its body is only not handed over yet, and what is wrong came behind it.
    if (connection.receiving !== null && !connection.receiving.request.complete) {
      connection.receiving.refuse(this.options, verdict);
      return;
    }
    const { code, message } = verdict;
    const requestId = makeRequestId();
    const bytes = refusalBytes(code, message, requestId);
    const clientAddress = connection.address;
    const { status } = ERRORS[code];
    this.options.onRefusal?.({ code, status, requestId, clientAddress, message });
    if (connection.pending === 0) this.#sendFault(connection, bytes);
    else connection.fault = bytes;
  }

  #sendFault(connection: NodeConnection, bytes: Buffer): void {
    const { socket } = connection;
    connection.fault = null;
    if (!socket.writable) return;
    linger(socket);
    socket.write(bytes);
    socket.destroySoon();
  }

  connections(): number {
    return this.#connections.size;
  }

  async drain(deadlineMs: number): Promise<DrainResult> {
    this.draining = true;
    // Not the HTTP server's close: that one cuts connections whose next request is not read yet.
    NetServer.prototype.close.call(this.server);
    const result = await this.#flight.drain(deadlineMs);
    await this.close();
    return result;
  }

  async close(): Promise<void> {
    clearInterval(this.#sweep);
    const closed = new Promise<void>((resolve) => { this.server.close(() => resolve()); });
    for (const { socket } of this.#connections) socket.destroy();
    await closed;
  }
}

function closed(this: OurResponse): void {
  this.exchange?.listener.over(this.exchange);
}

export async function listenOnNode(
  options: EngineOptions, handler: Handler, note: string,
): Promise<Listener> {
  return new NodeListener(options, handler, note).open();
}
