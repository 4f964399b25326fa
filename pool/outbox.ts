/**
 * Replies on their way to the main thread. They leave in one message for many: as the result of a
 * Piscina task when all that came has begun, by the control port when that takes longer or when a
 * guest that waited has ended.
 */

import type { MessagePort } from 'node:worker_threads';
import type { ReplyMessage, WorkerNotice } from '../contract/messages.ts';
import { alone, isHandedOver, moving } from './transfer.ts';
import { bodyAsText, putReply, type Wire } from './wire.ts';

/** How long a reply may lie here while other guests run. */
const HELD_MS = 0.25;

export class Outbox {
  readonly #port: MessagePort;
  #wire: Wire = [];
  #transfers: ArrayBuffer[] = [];
  /** performance.now(), when the first of them is due; 0 while there is none. */
  #dueAt = 0;

  constructor(port: MessagePort) {
    this.#port = port;
  }

  add(sequence: number, reply: ReplyMessage): void {
    const body = bodyAsText(reply.body) ?? alone(reply.body);
    if (this.#wire.length === 0) {
      this.#dueAt = performance.now() + HELD_MS;
      setImmediate(this.send);
    }
    putReply(this.#wire, sequence, reply, body);
    if (typeof body !== 'string' && isHandedOver(body)) {
      this.#transfers.push((body as Uint8Array<ArrayBuffer>).buffer);
    }
  }

  /** Before what takes the thread for so long, or, with NaN, nobody knows for how long. */
  sendBefore(turnMs: number): void {
    if (!(turnMs <= HELD_MS)) this.send();
  }

  /** Sends what has been here for long enough. */
  sendDue(now: number): void {
    if (this.#wire.length > 0 && now >= this.#dueAt) this.send();
  }

  /** Nothing may be left when the loop turns. */
  readonly send = (): void => {
    if (this.#wire.length === 0) return;
    const notice: WorkerNotice = { kind: 'replies', wire: this.#wire };
    this.#port.postMessage(notice, this.#transfers);
    this.#clear();
  };

  /** All there is, as the result of a task. */
  take(): unknown {
    const result = moving(this.#wire, this.#transfers);
    this.#clear();
    return result;
  }

  #clear(): void {
    this.#wire = [];
    this.#transfers = [];
  }
}
