/**
 * The listener on hyper-express, whose engine is uWebSockets. hyper-express owns the socket and its
 * life; requests take the engine's raw route, past hyper-express' own wrappers. What the
 * engine's parser answers or closes by itself is listed in docs/rationale.md, "Listeners", and
 * expected by name in the conformance suite.
 */

import { createServer } from 'node:net';

import { failureAnswer } from '../respond.ts';
import { formatAddressCached } from './address.ts';
import { statusText } from './answer.ts';
import { headTooLarge, lateBody, lateHead, sweepIntervalMs } from './exchange.ts';
import type { Verdict } from './exchange.ts';
import { Flight } from './flight.ts';
import { chooseRequestId, emptyFacts, makeRequestId, readFacts } from './head.ts';
import type { Place } from './head.ts';
import type { DrainResult, EngineOptions, Handler, Listener } from './listener.ts';
import type {
  HyperExpress, HyperExpressServer, UwsRequest, UwsResponse,
} from './uws-engine.ts';
import { UwsExchange } from './uws-exchange.ts';

/**
 * The engine closes what has been silent for 10 s, give or take its 4 s ticks; a sweep this often
 * puts that off.
 */
const ENGINE_TIMER_MS = 3_000;

/** A connection that has not sent a whole head yet. */
interface Newcomer {
  readonly response: UwsResponse;
  readonly since: number;
}

const NOT_ASCII = /[^\x00-\x7f]/; // oxlint-disable-line no-control-regex

/**
 * The engine decodes headers as UTF-8; ours hold one character per byte. Null when bytes were lost.
 */
function toBytes(text: string): string | null {
  if (text.includes('\ufffd')) return null;
  return Buffer.from(text, 'utf8').toString('latin1');
}

class UwsListener implements Listener {
  readonly engine = 'uwebsockets';
  readonly engineNote = '';
  readonly options: EngineOptions;
  readonly #server: HyperExpressServer;
  readonly #handler: Handler;
  readonly #facts = emptyFacts();
  readonly #place: Place = { target: '', host: '', fault: '' };
  readonly #flight = new Flight();
  readonly #newcomers = new Map<string, Newcomer>();
  readonly #receiving = new Set<UwsExchange>();
  readonly #sweep: NodeJS.Timeout;
  address = { host: '', port: 0 };
  draining = false;
  #flat: string[] = [];
  #lossy = false;
  #connections = 0;
  #extendedAt = 0;

  constructor(options: EngineOptions, handler: Handler, engine: HyperExpress) {
    this.options = options;
    this.#handler = handler;
    this.#server = new engine.Server({ auto_close: false });
    // Otherwise hyper-express adds a catch-all route of its own.
    this.#server.handlers.on_not_found = null;
    const app = this.#server.uws_instance;
    app.any('/*', (response, request) => this.#requested(response, request));
    app.filter((response, change) => this.#connected(response, change));
    this.#sweep = setInterval(() => this.#sweepLate(), sweepIntervalMs(options.limits));
    this.#sweep.unref();
  }

  async open(): Promise<this> {
    const { host, port } = this.options;
    try {
      await assertFree(host, port);
      await this.#server.listen(port, host);
    } catch (error) {
      clearInterval(this.#sweep);
      throw error;
    }
    this.address = { host, port: this.#server.port };
    return this;
  }

  #connected(response: UwsResponse, change: number): void {
    this.#connections += change;
    if (change < 0) return;
    const key = connectionKey(response);
    this.#newcomers.set(key, { response, since: performance.now() });
    response.onAborted(() => this.#newcomers.delete(key));
  }

  readonly #collect = (name: string, value: string): void => {
    if (NOT_ASCII.test(value)) {
      const bytes = toBytes(value);
      if (bytes === null) this.#lossy = true;
      this.#flat.push(name, bytes ?? '');
    } else {
      this.#flat.push(name, value);
    }
  };

  #requested(response: UwsResponse, request: UwsRequest): void {
    if (this.#newcomers.size > 0) this.#newcomers.delete(connectionKey(response));
    const exchange = new UwsExchange(this, response, addressOf(response));
    this.#flight.enter();
    const verdict = this.#read(exchange, request);
    if (verdict !== null) {
      exchange.refuse(this.options, verdict);
    } else if (this.#facts.contentLength > 0 || this.#facts.chunked) {
      exchange.incoming = true;
      this.#receive(exchange, response);
    } else {
      this.#handler(exchange);
    }
    exchange.corked = false;
    if (!exchange.over) response.onAborted(() => this.#gone(exchange));
  }

  /** Fills the exchange; null, or why it is refused. */
  #read(exchange: UwsExchange, request: UwsRequest): Verdict | null {
    const { limits, keepRequestIds } = this.options;
    const facts = this.#facts;
    const headers: string[] = [];
    this.#flat = headers;
    this.#lossy = false;
    request.forEach(this.#collect);
    exchange.headers = headers;
    exchange.receivedAt = performance.now();
    exchange.method = request.getCaseSensitiveMethod();
    const path = request.getUrl();
    const query = request.getQuery();
    const target = query === undefined ? path : `${path}?${query}`;
    readFacts(headers, facts);
    if (this.#lossy) facts.fault ||= 'a header value is not UTF-8';
    exchange.requestId = chooseRequestId(facts.requestId, keepRequestIds);
    // After a chunked body the engine may take the next request from the wrong byte.
    exchange.close = facts.close || facts.chunked;
    let bytes = exchange.method.length + target.length + 14;
    for (const text of headers) bytes += text.length + 2;
    if (bytes > limits.headerBytes) return headTooLarge(limits);
    return exchange.settle(target, facts, this.#place, limits);
  }

  #receive(exchange: UwsExchange, response: UwsResponse): void {
    this.#receiving.add(exchange);
    // Now or never, as far as the engine is concerned; pieces come later.
    response.onData((piece, isLast) => this.#piece(exchange, piece, isLast));
    const verdict = exchange.planBody(this.#facts, this.options, exchange);
    if (verdict === 'answered') return;
    if (verdict !== null) exchange.refuse(this.options, verdict);
    else if (exchange.bodySource !== null) this.#handler(exchange);
  }

  #piece(exchange: UwsExchange, piece: ArrayBuffer, isLast: boolean): void {
    if (exchange.wantsBody) {
      // Copied: the engine takes its memory back after this call.
      const verdict = exchange.takePiece(new Uint8Array(piece));
      if (verdict !== null) exchange.refuse(this.options, verdict);
    } else {
      exchange.received += piece.byteLength;
    }
    if (!isLast) return;
    exchange.incoming = false;
    this.#receiving.delete(exchange);
    if (!exchange.wantsBody) exchange.flush();
    else if (exchange.gather()) this.#handler(exchange);
  }

  #sweepLate(): void {
    if (this.#newcomers.size === 0 && this.#receiving.size === 0) return;
    const now = performance.now();
    const { limits } = this.options;
    const extend = now - this.#extendedAt > ENGINE_TIMER_MS;
    if (extend) this.#extendedAt = now;
    for (const exchange of this.#receiving) {
      if (exchange.over) {
        // Answered before its body was whole: the engine tells nothing more of it.
        this.#receiving.delete(exchange);
      } else if (exchange.wantsBody && exchange.isLate(now, limits.bodyTimeoutMs)) {
        exchange.refuse(this.options, lateBody(limits));
      } else if (extend) {
        exchange.putOffEngineTimer();
      }
    }
    for (const [key, newcomer] of this.#newcomers) {
      if (now - newcomer.since > limits.headersTimeoutMs) {
        this.#newcomers.delete(key);
        this.#dismiss(newcomer.response);
      } else if (extend) {
        newcomer.response.pause();
        newcomer.response.resume();
      }
    }
  }

  /** 408 to a connection that has not sent a whole head in time. */
  #dismiss(response: UwsResponse): void {
    const { code, message } = lateHead(this.options.limits);
    const requestId = makeRequestId();
    const { status, headers, body } = failureAnswer(code, message, requestId);
    const clientAddress = addressOf(response);
    this.options.onRefusal?.({ code, status, requestId, clientAddress, message });
    response.cork(() => {
      response.writeStatus(statusText(status));
      for (let i = 0; i < headers.length; i += 2) {
        response.writeHeader(headers[i] as string, headers[i + 1] as string);
      }
      response.writeHeader('x-request-id', requestId);
      response.end(String(body), true);
    });
  }

  #gone(exchange: UwsExchange): void {
    if (exchange.over) return;
    this.#receiving.delete(exchange);
    exchange.gone();
    this.#flight.lose();
  }

  /** The response is with the system. */
  finished(): void {
    this.#flight.finish();
  }

  connections(): number {
    return this.#connections;
  }

  async drain(deadlineMs: number): Promise<DrainResult> {
    this.draining = true;
    this.#server.close();
    const result = await this.#flight.drain(deadlineMs);
    await this.close();
    return result;
  }

  async close(): Promise<void> {
    clearInterval(this.#sweep);
    this.#newcomers.clear();
    this.#server.force_close();
  }
}

/**
 * The engine shares ports (SO_REUSEPORT) and does not say why it cannot listen: ask the system
 * first.
 */
function assertFree(host: string, port: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const probe = createServer();
  probe.once('error', reject);
  probe.listen({ host, port, exclusive: true }, () => probe.close(() => resolve()));
  return promise;
}

function connectionKey(response: UwsResponse): string {
  return `${addressOf(response)} ${response.getRemotePort()}`;
}

function addressOf(response: UwsResponse): string {
  return formatAddressCached(new Uint8Array(response.getRemoteAddress()));
}

export function listenOnUws(
  options: EngineOptions, handler: Handler, engine: HyperExpress,
): Promise<Listener> {
  return new UwsListener(options, handler, engine).open();
}
