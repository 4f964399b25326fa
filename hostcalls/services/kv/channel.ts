/**
 * A worker's way to the store's writer. Guests that were answered by one commit go on one after
 * another, and write again: what they write in one turn of the thread leaves in one message.
 *
 *   send ──▶ wire ──(end of the turn, or due)──▶ writer ──(after its commit)──▶ answer
 */

import type { MessagePort } from 'node:worker_threads';
import { WardianError } from '../../../contract/errors.ts';
import { BODY_AS_TEXT_BYTES_MAX } from '../../../contract/limits.ts';
import { LiveMap } from '../../../contract/live-map.ts';
import type { StoreCommand, StoreReply } from '../../../contract/messages.ts';
import {
  STORE_REPLY_VALUES, putStoreRequest, takeStoreReply,
} from '../../../contract/store-wire.ts';
import type { StoreWire } from '../../../contract/store-wire.ts';

/** Above this a value's buffer is moved to the writer, below it is cheaper to clone. */
const TRANSFER_BYTES_MIN = 16 * 1_024;
/** How long a write may lie here while other guests run. */
const HELD_MS = 0.25;
/** An end of the channel that was closed. */
const CLOSED = 'the store is closed';

export type Acknowledged = Extract<StoreReply, { readonly ok: true }>;

interface Waiting {
  readonly resolve: (reply: Acknowledged) => void;
  readonly reject: (error: WardianError) => void;
}

/**
 * Copies what crosses as it is: cloning a view clones all of the buffer behind it, which may be a
 * guest's whole memory.
 */
function owned(command: StoreCommand): StoreCommand {
  if (!('value' in command) || command.value === null) return command;
  if (command.value.length <= BODY_AS_TEXT_BYTES_MAX) return command;
  return { ...command, value: new Uint8Array(command.value) };
}

export class WriterChannel {
  readonly #port: MessagePort;
  readonly #waiting = new LiveMap<Waiting>();
  #wire: StoreWire = [];
  #transfers: ArrayBuffer[] = [];
  /** By the clock: when the first of them is due; while there is one. */
  #dueAt = 0;
  #nextId = 1;
  #closed = false;
  readonly #now: () => number;

  /** `now`: the clock, in milliseconds; that of `sendDue`. */
  constructor(port: MessagePort, now: () => number = () => performance.now()) {
    this.#port = port;
    this.#now = now;
    port.on('message', (replies: StoreWire) => this.#settle(replies));
    port.on('close', () => this.#fail());
    // Listening keeps a thread alive; only an unanswered command should.
    port.unref();
  }

  /**
   * Key and value are copied at once. `epoch`: the `StoreEpoch` that the ids are of. Rejects with
   * the WardianError of the writer's refusal.
   */
  send(command: StoreCommand, epoch: number): Promise<Acknowledged> {
    if (this.#closed) return Promise.reject(new WardianError('store_failed', CLOSED));
    const id = this.#nextId;
    this.#nextId += 1;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      if (this.#waiting.size === 1) this.#port.ref();
      this.#put(id, owned(command), epoch);
    });
  }

  /** Sends what has been here for long enough by the clock, which shows `nowMs`. */
  sendDue(nowMs: number): void {
    if (this.#wire.length > 0 && nowMs >= this.#dueAt) this.#flush();
  }

  close(): void {
    this.#fail();
    this.#port.close();
  }

  #put(id: number, command: StoreCommand, epoch: number): void {
    const now = this.#now();
    if (this.#wire.length === 0) {
      this.#dueAt = now + HELD_MS;
      process.nextTick(this.#flush);
    }
    putStoreRequest(this.#wire, id, command, epoch);
    if ('value' in command && command.value !== null
      && command.value.length >= TRANSFER_BYTES_MIN) {
      this.#transfers.push(command.value.buffer as ArrayBuffer);
    }
    this.sendDue(now);
  }

  readonly #flush = (): void => {
    if (this.#wire.length === 0) return;
    const wire = this.#wire;
    const transfers = this.#transfers;
    this.#wire = [];
    this.#transfers = [];
    this.#port.postMessage(wire, transfers);
  };

  #settle(replies: StoreWire): void {
    for (let at = 0; at < replies.length; at += STORE_REPLY_VALUES) {
      const reply = takeStoreReply(replies, at);
      const waiting = this.#waiting.get(reply.id);
      if (waiting === undefined) continue;
      this.#waiting.delete(reply.id);
      if (reply.ok) waiting.resolve(reply);
      else waiting.reject(new WardianError(reply.code, reply.message));
    }
    if (this.#waiting.size === 0) this.#port.unref();
  }

  /** The writer is gone: what it did not acknowledge may or may not have happened. */
  #fail(): void {
    this.#closed = true;
    for (const { reject } of this.#waiting.values()) {
      reject(new WardianError('store_failed', 'the store did not answer'));
    }
    this.#waiting.clear();
  }
}
