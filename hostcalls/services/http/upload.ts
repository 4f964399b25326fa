/**
 * A request body that comes piece by piece, as undici takes it. The upstream's pace is the pace at
 * which pieces are asked for; one that takes none for too long has stalled.
 */

import type { BodyReader } from '../types.ts';

export interface UploadEvents {
  /** The upstream has not taken a piece for `stallMs`. */
  readonly onStall: () => void;
  /** It has a connection: the first piece is asked for. */
  readonly onBegin: () => void;
  /** All is sent, or nothing more will be. */
  readonly onEnd: () => void;
}

export async function* piecesOf(
  source: BodyReader, stallMs: number, { onStall, onBegin, onEnd }: UploadEvents,
): AsyncGenerator<Uint8Array, void, void> {
  let timer: NodeJS.Timeout | undefined;
  onBegin();
  try {
    for (;;) {
      const piece = await source.read();
      if (piece === null) return;
      timer = setTimeout(onStall, stallMs);
      yield piece;
      clearTimeout(timer);
    }
  } finally {
    clearTimeout(timer);
    onEnd();
  }
}
