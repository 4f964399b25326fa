/**
 * Where requests stand in their traces, decided once when a request arrives: its caller's trace or
 * one of its own, its span in that, and whether its spans are exported.
 */

import { randomFillSync } from 'node:crypto';

import type { FlatHeaders } from '../contract/messages.ts';
import { incomingTrace } from '../contract/trace.ts';
import type { RequestTrace } from '../contract/trace.ts';
import type { Config } from './config.ts';

export interface TracingOptions {
  /** Share of the traces that begin here whose spans are exported, 0 to 1. */
  readonly sample: number;
  /** Whether a request's own `traceparent` says its trace, and that it is sampled. */
  readonly trustIncoming: boolean;
}

const TRACE_BYTES = 16;
const SPAN_BYTES = 8;
const POOL_BYTES = 4_096;
const ZEROS = /^0+$/;

export class Tracing {
  readonly #options: TracingOptions;
  readonly #random = Buffer.alloc(POOL_BYTES);
  #used = POOL_BYTES;

  constructor(options: TracingOptions) {
    this.#options = options;
  }

  open(headers: FlatHeaders): RequestTrace {
    const spanId = this.#id(SPAN_BYTES);
    const caller = this.#options.trustIncoming ? incomingTrace(headers) : null;
    if (caller !== null) {
      const { traceId, sampled, state } = caller;
      return { traceId, spanId, parentId: caller.spanId, sampled, state };
    }
    const traceId = this.#id(TRACE_BYTES);
    // The last bytes are random in ids of every make: the share is drawn from them.
    const drawn = Number.parseInt(traceId.slice(-12), 16) / 2 ** 48;
    return { traceId, spanId, parentId: null, sampled: drawn < this.#options.sample, state: '' };
  }

  #id(bytes: number): string {
    if (this.#used + bytes > POOL_BYTES) {
      randomFillSync(this.#random);
      this.#used = 0;
    }
    const id = this.#random.toString('hex', this.#used, this.#used + bytes);
    this.#used += bytes;
    // All zeros mean that there is none.
    return ZEROS.test(id) ? this.#id(bytes) : id;
  }
}

/** Null where nothing is exported: then nothing is traced. */
export function tracingOf(config: Config): Tracing | null {
  return config.otlp_endpoint === '' ? null : new Tracing({
    sample: config.trace_sample, trustIncoming: config.trace_trust_incoming,
  });
}
