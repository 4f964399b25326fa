/**
 * Starts the writer thread and matches its replies to the promises of the main thread.
 */

import { Worker } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';

import { entryUrl } from '../../contract/entry.ts';
import { WardianError } from '../../contract/errors.ts';
import type { StoreCommand } from '../../contract/messages.ts';
import type {
  CommandOf, ControlCommand, ControlOp, ControlResults, NotReplaced, Replaced, WriterOrder,
  WriterReply, WriterSettings, WriterStats,
} from './commands.ts';
import type { KvOutcome } from './kv.ts';

interface Waiting {
  resolve(result: unknown): void;
  reject(error: WardianError): void;
}

type NumberedOrder = Extract<WriterOrder, { readonly id: number }>;
type Unnumbered<Order> = Order extends NumberedOrder ? Omit<Order, 'id'> : never;

export class WriterThread {
  /** Rejects when the database is unfit, or the thread ends before it is open. */
  readonly ready: Promise<void>;
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  readonly #onFailure: ((error: WardianError) => void) | undefined;
  readonly #start = Promise.withResolvers<void>();
  #started = false;
  #nextId = 1;
  /** Why nothing can be asked any more. */
  #ended: WardianError | null = null;
  readonly #exited: Promise<void>;

  constructor(worker: Worker, onFailure: ((error: WardianError) => void) | undefined) {
    this.#worker = worker;
    this.ready = this.#start.promise;
    this.#onFailure = onFailure;
    worker.on('message', (reply: WriterReply) => this.#settle(reply));
    worker.on('error', (cause) => this.#end(new WardianError(
      'store_failed', 'the store\'s writer has failed', { cause })));
    this.#exited = new Promise((resolve) => {
      worker.on('exit', () => {
        this.#end(new WardianError('store_failed', 'the store\'s writer has ended'));
        resolve();
      });
    });
  }

  control<Op extends ControlOp>(
    command: CommandOf<Op> & ControlCommand, transfer: readonly ArrayBuffer[] = [],
  ): Promise<ControlResults[Op]> {
    return this.#ask({ kind: 'control', command }, transfer) as Promise<ControlResults[Op]>;
  }

  kv(command: StoreCommand): Promise<KvOutcome> {
    return this.#ask({ kind: 'kv', command }) as Promise<KvOutcome>;
  }

  /** Rejects when the writer has ended: which database has the name is not known then. */
  replace(staged: string, epoch: number): Promise<Replaced | NotReplaced> {
    return this.#ask({ kind: 'replace', staged, epoch }) as Promise<Replaced | NotReplaced>;
  }

  stats(): Promise<WriterStats> {
    return this.#ask({ kind: 'stats' }) as Promise<WriterStats>;
  }

  attach(port: MessagePort): void {
    if (this.#ended !== null) throw this.#ended;
    this.#worker.postMessage({ kind: 'attach', port } satisfies WriterOrder, [port]);
  }

  async close(): Promise<void> {
    if (this.#ended === null) {
      const closing = this.#ask({ kind: 'close' });
      this.#ended = new WardianError('store_failed', 'the store is closed');
      await closing;
    }
    await this.#exited;
  }

  #ask(
    order: Unnumbered<WriterOrder>, transfer: readonly ArrayBuffer[] = [],
  ): Promise<unknown> {
    if (this.#ended !== null) return Promise.reject(this.#ended);
    const id = this.#nextId;
    this.#nextId += 1;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ ...order, id } as WriterOrder, [...transfer]);
    });
  }

  #settle(reply: WriterReply): void {
    if (reply.kind === 'ready') {
      this.#started = true;
      this.#start.resolve();
      return;
    }
    if (reply.kind === 'unfit') {
      this.#end(new WardianError(reply.code, reply.message));
      return;
    }
    const waiting = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    if (reply.kind === 'done') waiting?.resolve(reply.result);
    else waiting?.reject(new WardianError(reply.code, reply.message));
  }

  #end(error: WardianError): void {
    const closing = this.#ended !== null;
    this.#ended ??= error;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
    if (!this.#started) this.#start.reject(error);
    else if (!closing) this.#onFailure?.(error);
  }
}

/** Resolves when the database is open, migrated and checked. Throws WardianError otherwise. */
export async function startWriter(
  settings: WriterSettings, onFailure?: (error: WardianError) => void,
): Promise<WriterThread> {
  const worker = new Worker(
    entryUrl('./writer', import.meta.url), { workerData: settings, name: 'wardian-writer' });
  const thread = new WriterThread(worker, onFailure);
  await thread.ready;
  return thread;
}
