/**
 * Traces of sampled requests on their way to a collector: gathered for a moment, then given to the
 * thread that exports. What it cannot take in time is dropped and counted; requests never wait.
 *
 *   sampled ──▶ gathered ──batch──▶ in the thread ──▶ exported, failed
 *      └── too many gathered and in the thread ──▶ dropped
 */

import { Worker } from 'node:worker_threads';

import { BARE_THREAD, entryUrl } from '../../contract/entry.ts';
import { TRACES_WAITING_MAX } from '../../contract/limits.ts';
import type { RequestRecord } from '../record.ts';
import type { Redaction } from '../redact.ts';
import { spansIn, tracedRequest } from './traced.ts';
import type { ExportOrder, ExportReply, ExportSettings, TracedRequest } from './traced.ts';

export interface TracesOptions {
  /** The collector; without a path, OTLP's own is asked. */
  readonly endpoint: string;
  /** `name=value` each. */
  readonly headers: readonly string[];
  readonly version: string;
  /** Names this daemon among others: its host and process. */
  readonly instance: string;
  readonly redaction: Redaction;
  readonly onSpans: (outcome: 'exported' | 'failed' | 'dropped', count: number) => void;
  /** Told once when exporting begins to fail, and again after it has worked. */
  readonly onFailure: (error: Error) => void;
}

const BATCH_TRACES = 256;
const BATCH_MS = 1_000;
/** How long the end of the process waits for the last batches. */
const CLOSE_MS = 2_000;
const TRACES_PATH = '/v1/traces';

/** The standard's path behind the address of a collector. */
export function tracesUrl(endpoint: string): string {
  const url = new URL(endpoint);
  if (!url.pathname.endsWith(TRACES_PATH)) {
    url.pathname = url.pathname.replace(/\/$/, '') + TRACES_PATH;
  }
  return url.href;
}

function settingsOf(options: TracesOptions): ExportSettings {
  const headers: Record<string, string> = {};
  for (const header of options.headers) {
    const equals = header.indexOf('=');
    headers[header.slice(0, equals)] = header.slice(equals + 1);
  }
  return {
    url: tracesUrl(options.endpoint),
    headers,
    resource: {
      'service.name': 'wardian', 'service.version': options.version,
      'service.instance.id': options.instance,
    },
  };
}

/** A batch in the thread. */
interface Sent {
  readonly traces: number;
  readonly spans: number;
}

export class Traces {
  readonly #options: TracesOptions;
  readonly #sent = new Map<number, Sent>();
  #gathered: TracedRequest[] = [];
  #timer: NodeJS.Timeout | null = null;
  #thread: Worker | null = null;
  #inThread = 0;
  #lastId = 0;
  #failing = false;
  #idle: (() => void) | null = null;

  constructor(options: TracesOptions) {
    this.#options = options;
  }

  request(record: RequestRecord): void {
    const { trace } = record;
    if (trace === null || !trace.sampled) return;
    const traced = tracedRequest(record, trace, this.#options.redaction);
    const dropped = record.guestTrace?.dropped ?? 0;
    if (dropped > 0) this.#options.onSpans('dropped', dropped);
    if (this.#gathered.length + this.#inThread >= TRACES_WAITING_MAX) {
      this.#options.onSpans('dropped', spansIn(traced));
      return;
    }
    this.#gathered.push(traced);
    if (this.#gathered.length >= BATCH_TRACES) this.#flush();
    else this.#timer ??= setTimeout(() => this.#flush(), BATCH_MS).unref();
  }

  /** Exports what is gathered and waits for it, for a moment. */
  async close(): Promise<void> {
    this.#flush();
    if (this.#sent.size > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#idle = resolve;
      const late = setTimeout(resolve, CLOSE_MS);
      await promise;
      clearTimeout(late);
    }
    const thread = this.#thread;
    this.#thread = null;
    this.#lost();
    await thread?.terminate();
  }

  #flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const traces = this.#gathered;
    if (traces.length === 0) return;
    this.#gathered = [];
    this.#lastId += 1;
    const spans = traces.reduce((sum, trace) => sum + spansIn(trace), 0);
    this.#sent.set(this.#lastId, { traces: traces.length, spans });
    this.#inThread += traces.length;
    this.#running().postMessage({ id: this.#lastId, traces } satisfies ExportOrder);
  }

  #running(): Worker {
    if (this.#thread !== null) return this.#thread;
    const thread = new Worker(entryUrl('./export-thread', import.meta.url), {
      workerData: settingsOf(this.#options), ...BARE_THREAD,
    });
    thread.unref();
    thread.on('message', (reply: ExportReply) => this.#replied(reply));
    thread.on('error', (error: Error) => this.#ended(thread, error));
    thread.on('exit', (code) => this.#ended(thread, new Error(`it exited with code ${code}`)));
    this.#thread = thread;
    return thread;
  }

  #replied({ id, error }: ExportReply): void {
    this.#settle(id, error === null ? 'exported' : 'failed');
    if (error === null) this.#failing = false;
    else this.#failed(new Error(`traces are not exported: ${error}`));
  }

  #settle(id: number, outcome: 'exported' | 'failed'): void {
    const sent = this.#sent.get(id);
    if (sent === undefined) return;
    this.#sent.delete(id);
    this.#inThread -= sent.traces;
    this.#options.onSpans(outcome, sent.spans);
    if (this.#sent.size === 0) this.#idle?.();
  }

  #failed(error: Error): void {
    if (!this.#failing) this.#options.onFailure(error);
    this.#failing = true;
  }

  /** A thread that dies is started again by the next batch. */
  #ended(thread: Worker, cause: Error): void {
    if (this.#thread !== thread) return;
    this.#thread = null;
    this.#lost();
    this.#failed(new Error('the thread that exports traces has ended', { cause }));
  }

  #lost(): void {
    for (const id of this.#sent.keys()) this.#settle(id, 'failed');
  }
}
