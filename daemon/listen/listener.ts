/**
 * What the daemon sees of HTTP: one request, one way to answer it, and the listener that both
 * belong to. Three engines stand behind it, held to one conformance suite; `listen` picks one and
 * says which.
 */

import type { ErrorCode } from '../../contract/errors.ts';
import {
  BODY_BYTES_MAX, BODY_TIMEOUT_MS, GATHERED_BYTES_MAX, HALF_CLOSED_MS, HEADER_BYTES_MAX,
  HEADER_COUNT_MAX,
  HEADERS_TIMEOUT_MS, KEEP_ALIVE_TIMEOUT_MS, RESPONSE_STALL_MS,
} from '../../contract/limits.ts';
import { GatheredBytes } from './gathered.ts';
import { listenOnNet } from './net.ts';
import { listenOnNode } from './node.ts';
import { listenOnUws } from './uws.ts';
import { loadHyperExpress } from './uws-engine.ts';

export type EngineName = 'uwebsockets' | 'node:http' | 'node:net';

export interface IncomingRequest {
  /** As sent; methods are case-sensitive. */
  readonly method: string;
  /**
   * Origin form with query, `/` at least; `*` for `OPTIONS *`. An absolute form has been taken
   * apart.
   */
  readonly target: string;
  /**
   * The `Host` header (or the authority of an absolute form) in lower case, with its port if it was
   * sent. Never ''.
   */
  readonly host: string;
  /**
   * Flat: lower-case name, value, name, value ...; duplicates in order; each character of a value
   * is one byte.
   */
  readonly headers: readonly string[];
  readonly requestId: string;
  /** Of the socket's peer, as text; a v4 address that came over v6 is given as v4. */
  readonly clientAddress: string;
  readonly secure: boolean;
  /**
   * The whole body, or null when there is none. Owned by the request: nobody else writes to it.
   */
  readonly body: Uint8Array | null;
  /** The body while it arrives, with `body` null, where that was planned. */
  readonly bodySource: BodySource | null;
  /** Body bytes so far. */
  readonly received: number;
  /** performance.now() when the head had arrived. */
  readonly receivedAt: number;
  /**
   * Set by the handler; called once, if the client goes away before the response was handed over.
   */
  onAbort: (() => void) | null;
  /**
   * Answers. Must be called once; after an abort it does nothing. An answer before the body is
   * whole ends the connection.
   */
  respond(response: OutgoingResponse): void;
  /** Answers with a body that is written piece by piece. Null after an abort. */
  respondStream(head: ResponseHead): ResponseStream | null;
  /**
   * Once it is answered: the rest of its body is of no use to anyone. It is read and dropped, so
   * that a client that sends it all before it reads comes to the answer.
   */
  forsakeBody(): void;
}

/** A body that arrives. Without credit nothing is taken from the client but a little. */
export interface BodySource {
  /** So many more bytes may come. */
  grant(bytes: number): void;
  /** Gets pieces that own their buffers, and null at the end. */
  onPiece: ((bytes: Uint8Array | null) => void) | null;
  /**
   * Set by the handler; called once, if the body breaks a limit or the rules. The request is to be
   * answered with that, if it was not.
   */
  onFail: ((verdict: { readonly code: ErrorCode; readonly message: string }) => void) | null;
}

/**
 * What is to become of a body: held until it is whole, handed on while it arrives (so many bytes at
 * most), or nothing, because the request was answered.
 */
export type BodyPlan = 'gather' | 'answered' | { readonly streamBytes: number };

export interface OutgoingResponse {
  /** 200 to 599. */
  readonly status: number;
  /**
   * Flat, like a request's. Framing and connection headers, `date` and `x-request-id` are the
   * listener's own.
   */
  readonly headers: readonly string[];
  /** A string is sent as UTF-8. */
  readonly body: Uint8Array | string | null;
}

export interface ResponseHead {
  readonly status: number;
  readonly headers: readonly string[];
  /** Bytes to come, or null when not known: then chunked. */
  readonly contentLength: number | null;
}

export interface ResponseStream {
  /**
   * Takes a piece. False: the client is slower than you, wait for `onDrain` before the next.
   * `isOwned`: nobody else uses its buffer, which may be detached once it is written.
   */
  write(chunk: Uint8Array, isOwned?: boolean): boolean;
  end(): void;
  /** Cuts the connection, so that the client cannot mistake what it has for the whole. */
  destroy(): void;
  onDrain: (() => void) | null;
  /** Called once, if the connection goes before the end. */
  onClose: (() => void) | null;
}

export type Handler = (request: IncomingRequest) => void;

export interface ListenerLimits {
  /** Request line and headers together. */
  readonly headerBytes: number;
  readonly headerCount: number;
  readonly bodyBytes: number;
  readonly headersTimeoutMs: number;
  /**
   * A body may take this long; after that it must have averaged `BODY_RATE_MIN_BYTES_PER_S`. One
   * that is streamed may never be this far behind that rate: its guest waits for it.
   */
  readonly bodyTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  /** How long a client that has ended its half of the connection is still served. */
  readonly halfClosedMs: number;
  /** How long a client may leave a response unread. */
  readonly responseStallMs: number;
}

/** A request that the listener answered itself, for the access log and the metrics. */
export interface Refusal {
  readonly code: ErrorCode;
  readonly status: number;
  readonly requestId: string;
  readonly clientAddress: string;
  /** What was found wrong, as the client is told. */
  readonly message: string;
}

export interface ListenerOptions {
  readonly host: string;
  /** 0: any free one; see `Listener.address`. */
  readonly port: number;
  readonly limits?: Partial<ListenerLimits>;
  /** Keep a client's `x-request-id` when it is sane; otherwise always make one. Default true. */
  readonly keepRequestIds?: boolean;
  /** Default `auto`: the first of `AUTO_ENGINES` that loads. */
  readonly engine?: EngineName | 'auto';
  readonly onRefusal?: (refusal: Refusal) => void;
  /**
   * Asked before a body is read that is declared longer than `BODY_SMALL_BYTES_MAX`, or not
   * declared. Default: all are gathered.
   */
  readonly onHead?: (request: IncomingRequest) => BodyPlan;
  /** Bytes of bodies that are held whole, all together. */
  readonly gatheredBytes?: number;
}

export interface DrainResult {
  /** Requests that were in flight or arrived while draining, and were answered. */
  readonly finished: number;
  /** Requests whose connections were cut at the deadline. */
  readonly cut: number;
}

export interface Listener {
  readonly engine: EngineName;
  /** Why `auto` did not take an engine that it would rather have; '' otherwise. */
  readonly engineNote: string;
  readonly address: { readonly host: string; readonly port: number };
  /**
   * Stops accepting, answers what has arrived with `connection: close`, and cuts what is left at
   * the deadline.
   */
  drain(deadlineMs: number): Promise<DrainResult>;
  /** Cuts everything at once. */
  close(): Promise<void>;
  connections(): number;
}

/**
 * What `auto` tries. `node:net` loads everywhere and keeps the whole contract; `uwebsockets` costs
 * a microsecond less for a request and does not keep it (docs/rationale.md, "Listeners"): it serves
 * where an operator says so.
 */
export const AUTO_ENGINES: readonly EngineName[] = ['node:net'];

export const LISTENER_LIMITS_DEFAULT: ListenerLimits = {
  headerBytes: HEADER_BYTES_MAX,
  headerCount: HEADER_COUNT_MAX,
  bodyBytes: BODY_BYTES_MAX,
  headersTimeoutMs: HEADERS_TIMEOUT_MS,
  bodyTimeoutMs: BODY_TIMEOUT_MS,
  keepAliveTimeoutMs: KEEP_ALIVE_TIMEOUT_MS,
  halfClosedMs: HALF_CLOSED_MS,
  responseStallMs: RESPONSE_STALL_MS,
};

/** Everything an engine needs, complete. */
export interface EngineOptions {
  readonly host: string;
  readonly port: number;
  readonly limits: ListenerLimits;
  readonly keepRequestIds: boolean;
  readonly onRefusal: ((refusal: Refusal) => void) | null;
  readonly onHead: ((request: IncomingRequest) => BodyPlan) | null;
  readonly gathered: GatheredBytes;
}

/**
 * Opens a listener. Rejects when the address cannot be had, or when a forced engine does not load.
 */
export async function listen(options: ListenerOptions, handler: Handler): Promise<Listener> {
  const complete: EngineOptions = {
    host: options.host,
    port: options.port,
    limits: { ...LISTENER_LIMITS_DEFAULT, ...options.limits },
    keepRequestIds: options.keepRequestIds ?? true,
    onRefusal: options.onRefusal ?? null,
    onHead: options.onHead ?? null,
    gathered: new GatheredBytes(options.gatheredBytes ?? GATHERED_BYTES_MAX),
  };
  const wanted = options.engine ?? 'auto';
  const reasons: string[] = [];
  for (const engine of wanted === 'auto' ? AUTO_ENGINES : [wanted]) {
    const note = reasons.join('; ');
    if (engine === 'node:net') return listenOnNet(complete, handler, note);
    if (engine === 'node:http') return listenOnNode(complete, handler, note);
    const loaded = loadHyperExpress();
    if (typeof loaded !== 'string') return listenOnUws(complete, handler, loaded);
    reasons.push(`${engine} does not load: ${loaded}`);
  }
  throw new Error(`no listener: ${reasons.join('; ')}`);
}
