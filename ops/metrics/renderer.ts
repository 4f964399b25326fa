/**
 * The main thread's handle on the thread that renders. Scrapes of one format at one time share a
 * rendering; a thread that dies is started again by the next scrape.
 *
 *   idle ──scrape──▶ rendering ──reply──▶ idle
 *                       └──the thread ended──▶ the scrapes fail ──▶ idle, without a thread
 */

import { Worker } from 'node:worker_threads';

import { BARE_THREAD, entryUrl } from '../../contract/entry.ts';
import type { Format, Names } from './exposition.ts';
import type { MetricMemory } from './layout.ts';
import type { RenderOrder, RenderReply } from './render-thread.ts';

interface Waiting {
  readonly format: Format;
  readonly gzip: boolean;
  readonly promise: Promise<Uint8Array>;
  readonly done: (text: Uint8Array) => void;
  readonly failed: (error: Error) => void;
}

export class Renderer {
  readonly #memory: MetricMemory;
  readonly #waiting = new Map<number, Waiting>();
  #thread: Worker | null = null;
  #lastId = 0;
  #lastNames: Names | null = null;

  constructor(memory: MetricMemory) {
    this.#memory = memory;
  }

  /** While true, rows must keep their names. */
  get busy(): boolean {
    return this.#waiting.size > 0;
  }

  /** Rejects when the thread ends before it has answered. */
  render(format: Format, gzip: boolean, names: () => Names): Promise<Uint8Array> {
    for (const waiting of this.#waiting.values()) {
      if (waiting.format === format && waiting.gzip === gzip) return waiting.promise;
    }
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    this.#lastId += 1;
    const id = this.#lastId;
    this.#waiting.set(id, { format, gzip, promise, done: resolve, failed: reject });
    const thread = this.#running();
    const now = names();
    const order: RenderOrder = { id, format, gzip, names: this.#told(now) ? null : now };
    this.#lastNames = now;
    thread.postMessage(order);
    return promise;
  }

  async close(): Promise<void> {
    await this.#thread?.terminate();
  }

  /** Whether the thread has these names already: cloning thousands takes a millisecond. */
  #told({ rows, workers, info }: Names): boolean {
    const last = this.#lastNames;
    return last !== null && last.rows === rows && last.workers === workers && last.info === info;
  }

  #running(): Worker {
    if (this.#thread !== null) return this.#thread;
    const thread = new Worker(entryUrl('./render-thread', import.meta.url), {
      workerData: this.#memory, ...BARE_THREAD,
    });
    thread.unref();
    thread.on('message', (reply: RenderReply) => this.#replied(reply));
    thread.on('error', (error: Error) => this.#ended(thread, error));
    thread.on('exit', (code) => this.#ended(thread, new Error(`it exited with code ${code}`)));
    this.#thread = thread;
    return thread;
  }

  #replied(reply: RenderReply): void {
    const waiting = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    if ('error' in reply) waiting?.failed(new Error(reply.error));
    else waiting?.done(reply.text);
  }

  #ended(thread: Worker, cause: Error): void {
    if (this.#thread !== thread) return;
    this.#thread = null;
    this.#lastNames = null;
    const error = new Error('the thread that renders metrics has ended', { cause });
    for (const waiting of this.#waiting.values()) waiting.failed(error);
    this.#waiting.clear();
  }
}
