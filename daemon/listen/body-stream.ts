/**
 * A request's body that is handed on while it arrives. Whoever takes it says how much more may
 * come; what comes beyond that is kept, up to a piece, and then the client is held back. Where too
 * much is held by all, it is held back at once: what flows is slower then, and is never cut for it.
 *
 *   open ──finish──▶ finished (told once all was taken)
 *    └──fail──▶ failed: over a limit, too slow, malformed
 */

import { BODY_RATE_MIN_BYTES_PER_S, STREAM_PIECE_BYTES } from '../../contract/limits.ts';
import { BodyGatherer } from './body.ts';
import type { BodySource } from './listener.ts';
import type { GatheredBytes } from './gathered.ts';
import type { Verdict } from './exchange.ts';

/** What is this large is handed on as it came; what is smaller is gathered with what follows. */
const WHOLE_BYTES_MIN = 16 * 1_024;

/** How an engine is held back. */
export interface Valve {
  pause(): void;
  resume(): void;
}

function copyOf(piece: Uint8Array): Uint8Array {
  const copy = Buffer.allocUnsafeSlow(piece.length);
  copy.set(piece);
  return copy;
}

export class BodyStream implements BodySource {
  onPiece: ((bytes: Uint8Array | null) => void) | null = null;
  onFail: ((verdict: Verdict) => void) | null = null;
  readonly bytesMax: number;
  readonly #valve: Valve;
  readonly #gathered: GatheredBytes;
  /** Arrived and not yet handed on. */
  readonly #kept = new BodyGatherer();
  #credit = 0;
  /** performance.now(), since when the client is held back; 0 while it is not. */
  #pausedAt = 0;
  /** performance.now(), when a client that keeps the least rate would have sent what is here. */
  #paidUntil = performance.now();
  #isFinished = false;
  #isScheduled = false;
  #isOver = false;
  received = 0;

  constructor(bytesMax: number, valve: Valve, gathered: GatheredBytes) {
    this.bytesMax = bytesMax;
    this.#gathered = gathered;
    this.#valve = valve;
  }

  grant(bytes: number): void {
    this.#credit += bytes;
    this.#flush();
  }

  /**
   * The engine's: a piece has arrived, and is the engine's again after this call; unless it
   * `isOwned`, when its buffer may be handed on.
   */
  push(piece: Uint8Array, isOwned: boolean): void {
    if (this.#isOver || piece.length === 0) return;
    this.received += piece.length;
    const paidMs = (piece.length * 1_000) / BODY_RATE_MIN_BYTES_PER_S;
    // Never ahead: a client that was fast may not be silent for longer.
    this.#paidUntil = Math.min(performance.now(), this.#paidUntil + paidMs);
    if (piece.length >= WHOLE_BYTES_MIN && this.#credit > 0 && this.#kept.length === 0) {
      this.#hand(isOwned && piece.length === piece.buffer.byteLength ? piece : copyOf(piece));
      return;
    }
    const isRoomy = this.#gathered.take(piece.length);
    this.#kept.push(piece);
    if (!isRoomy || this.#kept.length >= STREAM_PIECE_BYTES) this.#pause();
    if (this.#isScheduled) return;
    // A body of tiny chunks must not become as many messages.
    this.#isScheduled = true;
    setImmediate(this.#flush);
  }

  /** The engine's: the body is whole. */
  finish(): void {
    this.#isFinished = true;
    // What follows on the connection is not this body's to hold back.
    this.#resume();
    this.#flush();
  }

  /** The engine's: there will be no more of it. False when nobody is told. */
  fail(verdict: Verdict): boolean {
    const tell = this.onFail;
    this.abandon();
    tell?.(verdict);
    return tell !== null;
  }

  /** Nobody takes any more: what still comes is read and dropped. */
  abandon(): void {
    this.#isOver = true;
    this.#gathered.release(this.#kept.length);
    this.#kept.clear();
    this.onPiece = null;
    this.onFail = null;
    this.#resume();
  }

  /** Whether the client is too far behind; while it is held back, that is not its fault. */
  isLate(now: number, timeoutMs: number): boolean {
    return !this.#isOver && this.#pausedAt === 0 && now - this.#paidUntil > timeoutMs;
  }

  readonly #flush = (): void => {
    this.#isScheduled = false;
    if (this.#isOver || this.onPiece === null) return;
    if (this.#credit > 0) {
      this.#gathered.release(this.#kept.length);
      const piece = this.#kept.take();
      if (piece !== null) this.#hand(piece);
    }
    if (this.#kept.length > 0) return;
    if (this.#isFinished) {
      const tell = this.onPiece;
      this.abandon();
      tell?.(null);
    } else if (this.#credit > 0) {
      this.#resume();
    }
  };

  #hand(piece: Uint8Array): void {
    this.#credit -= piece.length;
    this.onPiece?.(piece);
  }

  #pause(): void {
    if (this.#pausedAt !== 0 || this.#isFinished) return;
    this.#pausedAt = performance.now();
    this.#valve.pause();
  }

  #resume(): void {
    if (this.#pausedAt === 0) return;
    this.#paidUntil += performance.now() - this.#pausedAt;
    this.#pausedAt = 0;
    this.#valve.resume();
  }
}
