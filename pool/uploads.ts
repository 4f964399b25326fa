/**
 * Bodies of requests that come to a worker piece by piece. The worker asks for as much as it has
 * room for, and gets no more: a guest that does not read holds its client back.
 *
 *   read ──▶ pull(bytes) ──▶ (main thread) ──▶ piece, piece … end
 */

import { STREAM_PIECE_BYTES, STREAM_WINDOW_BYTES } from '../contract/limits.ts';
import { LiveMap } from '../contract/live-map.ts';
import type { BodyPiece, RequestMessage } from '../contract/messages.ts';
import { UpstreamError, type HeldWindows, type StreamedBody } from '../hostcalls/index.ts';

export type Pull = (sequence: number, bytes: number) => void;

/** The length that the client has declared; null when it has not. */
function declaredLength({ headers }: RequestMessage): number | null {
  for (let at = 0; at < headers.length; at += 2) {
    // The listener has looked at it.
    if (headers[at] === 'content-length') return Number(headers[at + 1]);
  }
  return null;
}

class Upload implements StreamedBody {
  readonly #sequence: number;
  readonly #pull: Pull;
  readonly #held: HeldWindows;
  readonly #onOver: () => void;
  readonly #declared: number | null;
  readonly #pieces: Uint8Array[] = [];
  /** Who it counts for, from when its guest begins. */
  tenantId = 0;
  #read = 0;
  /** Bytes that may be here or on their way; 0 before the first read, and when it is over. */
  #window = 0;
  /** Read, and not yet asked for anew. */
  #owed = 0;
  #ended = false;
  #cancelled = false;
  #wake: (() => void) | null = null;

  constructor(message: RequestMessage, pull: Pull, held: HeldWindows, onOver: () => void) {
    this.#sequence = message.sequence;
    this.#declared = declaredLength(message);
    this.#pull = pull;
    this.#held = held;
    this.#onOver = onOver;
  }

  get length(): number | null {
    return this.#declared === null ? null : this.#declared - this.#read;
  }

  async read(): Promise<Uint8Array | null> {
    for (;;) {
      if (this.#cancelled) throw new UpstreamError('aborted', 'the request was cancelled');
      if (!this.#ended) this.#ask();
      const piece = this.#pieces.shift();
      if (piece !== undefined) {
        this.#read += piece.length;
        this.#owed += piece.length;
        return piece;
      }
      if (this.#ended) {
        this.#over();
        return null;
      }
      await new Promise<void>((resolve) => { this.#wake = resolve; });
    }
  }

  /** What was read is asked for anew in portions, so that small pieces cost no message each. */
  #ask(): void {
    if (this.#window === 0) this.#open();
    if (this.#owed < this.#window / 2) return;
    this.#pull(this.#sequence, this.#owed);
    this.#owed = 0;
  }

  /** Throws UpstreamError `too_large` when its tenant's bodies, or all, leave no room here. */
  #open(): void {
    const bytes = this.#held.addWindow(this.tenantId, STREAM_WINDOW_BYTES, STREAM_PIECE_BYTES);
    if (bytes === 0) throw new UpstreamError('too_large', 'too many bytes of bodies are held');
    this.#window = bytes;
    this.#owed = bytes;
  }

  receive(bytes: Uint8Array | null): void {
    if (bytes !== null) this.#pieces.push(bytes);
    else this.#ended = true;
    this.#go();
  }

  /** Nothing is held any more. */
  #over(): void {
    if (this.#window > 0) this.#held.release(this.tenantId, this.#window);
    this.#window = 0;
    this.#onOver();
  }

  #go(): void {
    const wake = this.#wake;
    this.#wake = null;
    wake?.();
  }

  cancel(): void {
    if (this.#cancelled) return;
    this.#cancelled = true;
    this.#pieces.length = 0;
    this.#over();
    this.#go();
  }
}

export class Uploads {
  readonly #pull: Pull;
  readonly #held: HeldWindows;
  readonly #open = new LiveMap<Upload>();

  constructor(pull: Pull, held: HeldWindows) {
    this.#pull = pull;
    this.#held = held;
  }

  open(message: RequestMessage): StreamedBody {
    const { sequence } = message;
    const upload = new Upload(
      message, this.#pull, this.#held, () => this.#open.delete(sequence));
    this.#open.set(sequence, upload);
    return upload;
  }

  /** Its guest begins: what it holds counts for that tenant. */
  own(sequence: number, tenantId: number): void {
    const upload = this.#open.get(sequence);
    if (upload !== undefined) upload.tenantId = tenantId;
  }

  /** Pieces that nobody waits for any more are dropped. */
  receive({ sequence, bytes }: BodyPiece): void {
    this.#open.get(sequence)?.receive(bytes);
  }

  /** Nobody reads it any more, or the client has gone. */
  cancel(sequence: number): void {
    this.#open.get(sequence)?.cancel();
  }
}
