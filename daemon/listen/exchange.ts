/**
 * The part of a request's life that no engine differs in: answered once, aborted at most once,
 * refused in our words.
 *
 *   receiving ──body whole──▶ handled ──respond──▶ answered
 *    │    └──limit, fault──▶ refused     └──client gone──▶ aborted
 *    └──the body is to be streamed: handled at once
 */

import type { ErrorCode } from '../../contract/errors.ts';
import { BODY_RATE_MIN_BYTES_PER_S, BODY_SMALL_BYTES_MAX } from '../../contract/limits.ts';
import { failureAnswer } from '../respond.ts';
import { responseFault } from './answer.ts';
import { BodyGatherer } from './body.ts';
import { BodyStream, type Valve } from './body-stream.ts';
import { isAbsolute, methodFault, readTarget } from './head.ts';
import type { HeadFacts, Place } from './head.ts';
import type {
  EngineOptions, IncomingRequest, ListenerLimits, OutgoingResponse, Refusal, ResponseHead,
  ResponseStream,
} from './listener.ts';

/** Why a request is not served. */
export interface Verdict {
  readonly code: ErrorCode;
  readonly message: string;
}

export abstract class Exchange implements IncomingRequest {
  method = '';
  target = '';
  host = '';
  headers: readonly string[] = [];
  requestId = '';
  clientAddress = '';
  readonly secure: boolean = false;
  body: Uint8Array | null = null;
  receivedAt = 0;
  onAbort: (() => void) | null = null;
  /** The connection is to be closed once this is answered. */
  close = false;
  answered = false;
  aborted = false;
  /** Body bytes so far, taken or not. */
  received = 0;
  gatherer: BodyGatherer | null = null;
  bodySource: BodyStream | null = null;
  /** The body is not whole yet. */
  receiving = false;
  /** Bytes that count as held until this is answered. */
  #held = 0;
  #options: EngineOptions | null = null;
  #out: ResponseStream | null = null;

  /** Puts a response that has been found sound on the wire. */
  protected abstract send(response: OutgoingResponse): void;
  protected abstract sendStream(head: ResponseHead): ResponseStream;
  /** The engine reads and drops the rest of the body. */
  protected abstract dropBody(): void;

  /**
   * Judges the head: `target` as sent, `facts` of its headers; method and headers are set. Fills
   * target and host; returns null, or why the request is refused.
   */
  settle(target: string, facts: HeadFacts, place: Place, limits: ListenerLimits): Verdict | null {
    if (this.headers.length > 2 * limits.headerCount) {
      return { code: 'headers_too_large', message: `more than ${limits.headerCount} headers` };
    }
    if (this.method === 'CONNECT') return CONNECT;
    readTarget(this.method, target, facts.host, place);
    const fault = facts.fault || place.fault || methodFault(this.method);
    if (fault !== '') return { code: 'bad_request', message: fault };
    if (place.host === '') return NO_HOST;
    this.target = place.target;
    this.host = place.host;
    // RFC 9112, 3.2.2: beside an absolute form, Host counts for nothing. The guest sees what is
    // routed by, or it could be told of a host that is not its own.
    if (isAbsolute(target)) this.headers = withHost(this.headers, place.host);
    return null;
  }

  /**
   * A body follows: asks what is to become of it. Null when it is to be received; otherwise why it
   * is refused, or `answered`.
   */
  planBody(facts: HeadFacts, options: EngineOptions, valve: Valve): Verdict | 'answered' | null {
    const { onHead, limits } = options;
    const declared = facts.chunked ? -1 : facts.contentLength;
    this.receiving = true;
    this.#options = options;
    const isSmall = declared >= 0 && declared <= BODY_SMALL_BYTES_MAX;
    const plan = onHead === null || isSmall ? 'gather' : onHead(this);
    if (plan === 'answered') return plan;
    const most = plan === 'gather' ? limits.bodyBytes : plan.streamBytes;
    if (declared > most) return tooLarge(most);
    if (plan === 'gather') this.gatherer = new BodyGatherer();
    else this.bodySource = new BodyStream(most, valve, options.gathered);
    return null;
  }

  /**
   * Takes a piece of the body; null, or why the request is refused. `isOwned`: its buffer may be
   * handed on, and is detached then.
   */
  takePiece(piece: Uint8Array, isOwned = false): Verdict | null {
    this.received += piece.length;
    if (this.bodySource !== null) {
      const { bytesMax } = this.bodySource;
      if (this.received > bytesMax) return tooLarge(bytesMax);
      this.bodySource.push(piece, isOwned);
      return null;
    }
    if (this.gatherer === null || this.#options === null) return null;
    const { limits, gathered } = this.#options;
    if (this.received > limits.bodyBytes) return tooLarge(limits.bodyBytes);
    if (!gathered.add(piece.length)) return HELD;
    this.#held += piece.length;
    this.gatherer.push(piece);
    return null;
  }

  #release(): void {
    if (this.#held === 0) return;
    this.#options?.gathered.release(this.#held);
    this.#held = 0;
  }

  respond(response: OutgoingResponse): void {
    if (!this.#take()) return;
    const fault = responseFault(response);
    if (fault === '') this.#sendLast(response);
    else this.#sendLast(failureAnswer('bad_response', fault, this.requestId));
  }

  /** Nobody takes anything of the request after that: what is kept of its body is let go. */
  #sendLast(response: OutgoingResponse): void {
    this.forsakeBody();
    this.send(response);
  }

  respondStream(head: ResponseHead): ResponseStream | null {
    if (!this.#take()) return null;
    const fault = responseFault(head);
    if (fault === '') {
      this.#out = this.sendStream(head);
      return this.#out;
    }
    this.#sendLast(failureAnswer('bad_response', fault, this.requestId));
    return null;
  }

  forsakeBody(): void {
    if (this.aborted) return;
    // In this order: to resume may be to read on at once.
    if (this.receiving) this.dropBody();
    // Also of a body that is whole: what of it was not taken is still kept.
    this.bodySource?.abandon();
  }

  #take(): boolean {
    if (this.aborted) return false;
    if (this.answered) throw new Error(`request ${this.requestId} was answered twice`);
    this.answered = true;
    this.#release();
    // Where the rest of the body ends, if it comes at all, is not waited for.
    if (this.receiving) this.close = true;
    return true;
  }

  /**
   * Answers in the listener's own words and ends the connection: what follows on it cannot be
   * trusted.
   */
  refuse(options: EngineOptions, verdict: Verdict): void {
    // The handler has it already, and answers.
    if (this.bodySource?.fail(verdict) === true) return;
    const { code, message } = verdict;
    if (this.answered || !this.#take()) return;
    const text = failureAnswer(code, message, this.requestId);
    this.close = true;
    this.gatherer = null;
    options.onRefusal?.(this.#refusal(code, text.status, message));
    this.#sendLast(text);
  }

  #refusal(code: ErrorCode, status: number, message: string): Refusal {
    return { code, status, requestId: this.requestId, clientAddress: this.clientAddress, message };
  }

  /** The client is gone. Tells the handler, unless it has answered. */
  abort(): void {
    if (this.aborted) return;
    this.aborted = true;
    this.gatherer = null;
    this.#release();
    this.bodySource?.abandon();
    const notify = this.answered ? this.#out?.onClose : this.onAbort;
    this.onAbort = null;
    notify?.();
  }

  /** Whether the body has taken too long by now; see `ListenerLimits.bodyTimeoutMs`. */
  isLate(now: number, bodyTimeoutMs: number): boolean {
    if (this.bodySource !== null) return this.bodySource.isLate(now, bodyTimeoutMs);
    const earnedMs = (this.received * 1_000) / BODY_RATE_MIN_BYTES_PER_S;
    return now - this.receivedAt > bodyTimeoutMs + earnedMs;
  }

  /** The body is whole. True when the handler is to be called now. */
  gather(): boolean {
    this.receiving = false;
    if (this.bodySource !== null) {
      this.bodySource.finish();
      return false;
    }
    this.body = this.gatherer?.take() ?? null;
    this.gatherer = null;
    return true;
  }
}

function withHost(headers: readonly string[], host: string): string[] {
  const kept = [...headers];
  // At most one: more are refused.
  const at = kept.findIndex((name, index) => index % 2 === 0 && name === 'host');
  if (at >= 0) kept[at + 1] = host;
  return kept;
}

const NO_HOST: Verdict = {
  code: 'missing_host', message: 'the Host header is absent or empty',
};

export const CONNECT: Verdict = {
  code: 'method_not_allowed', message: 'CONNECT is not served here',
};

const HELD: Verdict = { code: 'bodies_exhausted', message: 'try again later' };

function tooLarge(bytesMax: number): Verdict {
  return { code: 'body_too_large', message: `more than ${bytesMax} bytes` };
}

export function headTooLarge({ headerBytes }: ListenerLimits): Verdict {
  return { code: 'headers_too_large', message: `more than ${headerBytes} bytes` };
}

export function lateHead({ headersTimeoutMs }: ListenerLimits): Verdict {
  const message = `the headers were not complete after ${headersTimeoutMs} ms`;
  return { code: 'request_timeout', message };
}

export function lateBody({ bodyTimeoutMs }: ListenerLimits): Verdict {
  const message = `the body was not complete after ${bodyTimeoutMs} ms and came slower than `
    + `${BODY_RATE_MIN_BYTES_PER_S} bytes a second`;
  return { code: 'request_timeout', message };
}

/** Often enough for the shortest time limit to be kept to about a quarter. */
export function sweepIntervalMs(limits: ListenerLimits): number {
  const { headersTimeoutMs, bodyTimeoutMs, keepAliveTimeoutMs } = limits;
  const shortest = Math.min(headersTimeoutMs, bodyTimeoutMs, keepAliveTimeoutMs);
  return Math.min(1_000, Math.max(25, shortest / 4));
}

export function longerThanPromised(requestId: string): RangeError {
  return new RangeError(`the response to ${requestId} is longer than its contentLength`);
}
