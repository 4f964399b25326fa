/**
 * A body as a guest reads it piece by piece: the client's, whether it was gathered or comes as it
 * is asked for, or an upstream's. What is left of it can be given away once.
 *
 *   unread ──▶ reading ──end──▶ ended
 *      └──────────┴──giveAway──▶ given away: to an upstream, or to the client
 */

import type { BodyReader } from './services/index.ts';

/** Where pieces come from. */
export interface PieceSource extends BodyReader {
  /** Nobody reads on. Idempotent. */
  cancel(): void;
}

/** Told by a body that was given away. Neither comes before the first read. */
export interface GivenAway {
  readonly onBegin: () => void;
  /** All was read, or it broke off. */
  readonly onEnd: () => void;
}

const NOTHING = new Uint8Array(0);
const ALL = Number.MAX_SAFE_INTEGER;

export class PiecewiseBody {
  readonly #source: PieceSource | null;
  /** What is here and not yet read. */
  #piece: Uint8Array | null;
  #ended: boolean;
  givenAway = false;
  /** It broke off before its end. */
  broken = false;

  constructor(gathered: Uint8Array | null, source: PieceSource | null) {
    this.#source = source;
    this.#piece = gathered === null || gathered.length === 0 ? null : gathered;
    this.#ended = source === null;
  }

  /** Bytes to come; null when not known. */
  get length(): number | null {
    const here = this.#piece?.length ?? 0;
    if (this.#source === null || this.#ended) return here;
    return this.#source.length === null ? null : this.#source.length + here;
  }

  /** Up to `most` bytes that are here, a view; empty at the end; null when they must be awaited. */
  take(most: number): Uint8Array | null {
    const piece = this.#piece;
    if (piece === null) return this.#ended ? NOTHING : null;
    if (piece.length <= most) {
      this.#piece = null;
      return piece;
    }
    this.#piece = piece.subarray(most);
    return piece.subarray(0, most);
  }

  /** Resolves when there is something to take, or nothing more will come; rejects if it broke. */
  async more(): Promise<void> {
    if (this.#source === null) return;
    try {
      const piece = await this.#source.read();
      if (piece === null) this.#ended = true;
      else this.#piece = piece;
    } catch (error) {
      this.#ended = true;
      this.broken = true;
      throw error;
    }
  }

  /** The rest of it, for somebody else. The guest reads no more of it. */
  giveAway({ onBegin, onEnd }: GivenAway): BodyReader {
    this.givenAway = true;
    let begun = false;
    const read = async (): Promise<Uint8Array | null> => {
      if (!begun) onBegin();
      begun = true;
      try {
        if (this.#piece === null && !this.#ended) await this.more();
      } catch (error) {
        onEnd();
        throw error;
      }
      const piece = this.take(ALL) ?? NOTHING;
      if (piece.length > 0) return piece;
      onEnd();
      return null;
    };
    const arrived = (most: number): Uint8Array | null => {
      const bytes = this.#arrived(most);
      if (bytes !== null && !begun) onBegin();
      if (bytes !== null) onEnd();
      begun ||= bytes !== null;
      return bytes;
    };
    return { length: this.length, read, arrived };
  }

  #arrived(most: number): Uint8Array | null {
    const here = this.#piece ?? NOTHING;
    if (here.length > most) return null;
    if (!this.#ended) {
      const rest = this.#source?.arrived?.(most - here.length) ?? null;
      if (rest === null) return null;
      this.#ended = true;
      this.#piece = null;
      return here.length === 0 ? rest : Buffer.concat([here, rest]);
    }
    this.#piece = null;
    return here;
  }

  /** Nobody reads on. */
  cancel(): void {
    this.#ended = true;
    this.#piece = null;
    this.#source?.cancel();
  }
}
