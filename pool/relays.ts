/**
 * Answers whose bodies a worker relays after their guests have ended: pieces leave as the main
 * thread gives credit for them, and without credit none is read, so that the upstream is held back.
 *
 *   added ──credit──▶ reading ──end, failure──▶ gone (told)
 *      └───────abort─────┴─────────────────────▶ gone
 */

import type { MessagePort } from 'node:worker_threads';
import { LiveMap } from '../contract/live-map.ts';
import type { WorkerNotice } from '../contract/messages.ts';
import { UpstreamError, type Relay } from '../hostcalls/index.ts';
import { alone } from './transfer.ts';

interface Flow {
  readonly sequence: number;
  readonly relay: Relay;
  credit: number;
  reading: boolean;
}

export class Relays {
  readonly #port: MessagePort;
  readonly #onInternalError: (error: unknown) => void;
  readonly #onOver: (sequence: number) => void;
  readonly #flows = new LiveMap<Flow>();

  /** `onOver` is told of each that has gone. */
  constructor(
    port: MessagePort, onInternalError: (error: unknown) => void,
    onOver: (sequence: number) => void,
  ) {
    this.#port = port;
    this.#onOver = onOver;
    this.#onInternalError = onInternalError;
  }

  get size(): number {
    return this.#flows.size;
  }

  add(sequence: number, relay: Relay): void {
    this.#flows.set(sequence, { sequence, relay, credit: 0, reading: false });
  }

  /** The main thread never gives credit before it has seen the head. */
  credit(sequence: number, bytes: number): void {
    const flow = this.#flows.get(sequence);
    if (flow === undefined) return;
    flow.credit += bytes;
    if (!flow.reading) void this.#pump(flow);
  }

  /** False if there is no such. */
  abort(sequence: number): boolean {
    const flow = this.#flows.get(sequence);
    if (flow === undefined) return false;
    this.#flows.delete(sequence);
    flow.relay.cancel();
    this.#onOver(sequence);
    return true;
  }

  /** Never rejects. */
  async #pump(flow: Flow): Promise<void> {
    flow.reading = true;
    try {
      while (flow.credit > 0) {
        const piece = await flow.relay.read();
        if (!this.#flows.has(flow.sequence)) return;
        if (piece === null) return this.#end(flow, '');
        flow.credit -= piece.length;
        this.#post(flow.sequence, alone(piece) as Uint8Array<ArrayBuffer>);
      }
    } catch (error) {
      if (!this.#flows.has(flow.sequence)) return;
      if (!(error instanceof UpstreamError)) this.#onInternalError(error);
      flow.relay.cancel();
      this.#end(flow, error instanceof UpstreamError ? error.message : 'an internal error');
    } finally {
      flow.reading = false;
    }
  }

  #end({ sequence }: Flow, broken: string): void {
    this.#flows.delete(sequence);
    const notice: WorkerNotice = { kind: 'body', sequence, bytes: null, broken };
    this.#port.postMessage(notice);
    this.#onOver(sequence);
  }

  #post(sequence: number, bytes: Uint8Array<ArrayBuffer>): void {
    const notice: WorkerNotice = { kind: 'body', sequence, bytes, broken: '' };
    this.#port.postMessage(notice, [bytes.buffer]);
  }
}
