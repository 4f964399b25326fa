/**
 * What one body that is read piece by piece counts for: all of its bytes towards the guest's limit,
 * and towards what the tenant holds on this thread only those that were received and not yet read.
 */

import type { RequestLimits } from '../../contract/limits.ts';
import { UpstreamError } from './errors.ts';
import type { HeldBytes } from './held-bytes.ts';

/** Of all such bodies of one guest. */
export interface StreamTotals {
  bytes: number;
  pieces: number;
}

/**
 * A chunk of one byte costs as much time as one of thousands. So many pieces are free; all others
 * must average so many bytes of the byte limit.
 */
const PIECES_MIN = 10_000;
const PIECE_BYTES = 64;

/** In how many pieces bodies of so many bytes may come. */
export function piecesMax(bytes: number): number {
  return PIECES_MIN + bytes / PIECE_BYTES;
}

export class StreamAccount {
  readonly #held: HeldBytes;
  readonly #tenantId: number;
  readonly #limit: number;
  readonly #totals: StreamTotals;
  #heldBytes = 0;
  #closed = false;

  constructor(
    held: HeldBytes, tenantId: number, { streamBytes }: Pick<RequestLimits, 'streamBytes'>,
    totals: StreamTotals,
  ) {
    this.#held = held;
    this.#tenantId = tenantId;
    this.#limit = streamBytes;
    this.#totals = totals;
  }

  /** Bytes that may still be received. */
  get bytesLeft(): number {
    return this.#limit - this.#totals.bytes;
  }

  /** Throws UpstreamError `too_large`. */
  receive(bytes: number): void {
    if (this.#closed) throw new UpstreamError('aborted', 'the request was cancelled');
    this.#totals.bytes += bytes;
    this.#totals.pieces += 1;
    if (this.#totals.bytes > this.#limit) throw this.tooLarge();
    if (this.#totals.pieces > piecesMax(this.#limit)) {
      throw new UpstreamError('too_large', 'upstream bodies in too many small pieces');
    }
    if (!this.#held.add(this.#tenantId, bytes)) {
      throw new UpstreamError('too_large', 'too many bytes of upstream answers are held');
    }
    this.#heldBytes += bytes;
  }

  /** So many were read: they are no longer held here. */
  release(bytes: number): void {
    if (this.#closed) return;
    this.#held.release(this.#tenantId, bytes);
    this.#heldBytes -= bytes;
  }

  tooLarge(): UpstreamError {
    return new UpstreamError(
      'too_large', `streamed bodies of more than ${this.#limit} bytes together`);
  }

  /** Nothing is held any more. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#heldBytes > 0) this.#held.release(this.#tenantId, this.#heldBytes);
  }
}
