/**
 * The rewritten module as pieces of buffers that are there already, so that its bytes, most of
 * which are code and data, are copied once, into a buffer of the right size.
 */
import { putU32, type Writer } from './writer.ts';

/** `bytes[from, to)`. */
export interface Piece {
  readonly bytes: Uint8Array;
  readonly from: number;
  readonly to: number;
}

/** What a writer has written so far; it must not write on. */
export function pieceOf(writer: Writer): Piece {
  return { bytes: writer.bytes, from: 0, to: writer.length };
}

export class Output {
  readonly #pieces: Piece[] = [];
  #length = 0;

  add(piece: Piece): void {
    this.#pieces.push(piece);
    this.#length += piece.to - piece.from;
  }

  section(id: number, content: readonly Piece[]): void {
    let length = 0;
    for (const { from, to } of content) length += to - from;
    const head = new Uint8Array(6);
    head[0] = id;
    this.add({ bytes: head, from: 0, to: putU32(head, 1, length) });
    for (const piece of content) this.add(piece);
  }

  take(): Uint8Array {
    const bytes = new Uint8Array(this.#length);
    let at = 0;
    for (const { bytes: source, from, to } of this.#pieces) {
      bytes.set(source.subarray(from, to), at);
      at += to - from;
    }
    return bytes;
  }
}
