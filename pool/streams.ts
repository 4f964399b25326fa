/**
 * The main thread's ends of bodies that flow through: a request's on its way to a worker, and an
 * answer's on its way from one. Each moves as many bytes as its receiver has given credit for.
 */

import type { BodyPiece, WorkerOrder } from '../contract/messages.ts';
import type { Seat } from './seat.ts';

/** A request's body, as the listener has it. */
export interface PulledBody {
  /** So many more bytes may come, through `onPiece`. */
  grant(bytes: number): void;
  /** Gets pieces that own their buffers, and null at the end. */
  onPiece: ((bytes: Uint8Array | null) => void) | null;
}

/** Who gets the body of an answer. */
export interface RelaySink {
  piece(bytes: Uint8Array): void;
  /** '' when it is whole; otherwise why it is not. Nothing comes after it. */
  end(broken: string, isWorkerLost: boolean): void;
}

/** The body of an answer that is relayed. `start` it or `cancel` it. */
export interface ReplyRelay {
  start(sink: RelaySink): void;
  /** So many more bytes may come. */
  grant(bytes: number): void;
  cancel(): void;
}

export class Upload {
  readonly #sequence: number;
  readonly #body: PulledBody;
  #seat: Seat | null = null;
  /** performance.now(), when the last of it left; 0 before. */
  endedAt = 0;

  constructor(sequence: number, body: PulledBody) {
    this.#sequence = sequence;
    this.#body = body;
  }

  /** The worker has begun the request: it never goes to another one. */
  pull(seat: Seat, bytes: number): void {
    if (this.#seat === null) {
      this.#seat = seat;
      this.#body.onPiece = this.#send;
    }
    this.#body.grant(bytes);
  }

  readonly #send = (bytes: Uint8Array | null): void => {
    if (bytes === null) this.endedAt = performance.now();
    const order: WorkerOrder = { kind: 'body', sequence: this.#sequence, bytes, broken: '' };
    this.#seat?.order(order, bytes === null ? [] : [(bytes as Uint8Array<ArrayBuffer>).buffer]);
  };

  /** Nobody pulls any more. */
  close(): void {
    this.#seat = null;
    this.#body.onPiece = null;
  }
}

const LOST = 'the worker that relayed it died';

export class Relay implements ReplyRelay {
  readonly sequence: number;
  readonly seat: Seat;
  /** What the guest may still be sending to its upstream. */
  readonly upload: Upload | null;
  readonly #onOver: (relay: Relay) => void;
  #sink: RelaySink | null = null;
  #isLost = false;
  #isOver = false;

  constructor(
    sequence: number, seat: Seat, upload: Upload | null, onOver: (relay: Relay) => void,
  ) {
    this.sequence = sequence;
    this.seat = seat;
    this.upload = upload;
    this.#onOver = onOver;
  }

  start(sink: RelaySink): void {
    this.#sink = sink;
    if (this.#isLost) this.#end(LOST);
  }

  grant(bytes: number): void {
    if (!this.#isOver) this.seat.order({ kind: 'credit', sequence: this.sequence, bytes });
  }

  cancel(): void {
    if (this.#isOver) return;
    this.#over();
    if (!this.#isLost) this.seat.order({ kind: 'abort', sequence: this.sequence });
  }

  receive({ bytes, broken }: BodyPiece): void {
    if (this.#isOver) return;
    if (bytes === null) this.#end(broken);
    else this.#sink?.piece(bytes);
  }

  /** Its worker has gone. */
  lose(): void {
    this.#isLost = true;
    if (this.#sink !== null) this.#end(LOST);
  }

  #end(broken: string): void {
    if (this.#isOver) return;
    this.#over();
    this.#sink?.end(broken, this.#isLost);
  }

  #over(): void {
    this.#isOver = true;
    this.upload?.close();
    this.#onOver(this);
  }
}
