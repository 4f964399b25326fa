/**
 * Where the bytes of a rewritten function came from. Off unless asked for: a report of a failed
 * guest wants to name lines of its source, and V8's offsets are those of the rewritten module.
 *
 *   source     ├── a ──┤├─── b ───┤
 *   rewritten  ├── a ──┤charge├─── b ───┤   what was inserted belongs to the end of the run before
 */
import { Writer } from './writer.ts';

/** Runs of copied bytes in the order written, three numbers each: at, from, length. */
type Runs = number[];

/** Functions whose bytes are traced, by their index among those that the module defines. */
export class OffsetTrace {
  readonly #runs = new Map<number, Runs>();

  constructor(functions: Iterable<number>) {
    for (const index of functions) this.#runs.set(index, []);
  }

  /** Empties and hands out the runs of a function; null when it is not traced. */
  begin(index: number): Runs | null {
    const runs = this.#runs.get(index);
    if (runs === undefined) return null;
    runs.length = 0;
    return runs;
  }

  /**
   * The offset in the source module that byte `at` of a rewritten body stands for; null where the
   * function is not traced or nothing was copied before.
   */
  sourceOf(index: number, at: number): number | null {
    const runs = this.#runs.get(index) ?? [];
    let offset: number | null = null;
    for (let i = 0; i + 2 < runs.length && runs[i]! <= at; i += 3) {
      offset = runs[i + 1]! + Math.min(at - runs[i]!, runs[i + 2]!);
    }
    return offset;
  }
}

/** A writer of bodies that notes what it copies of `source`. */
export class TracingWriter extends Writer {
  readonly #source: Uint8Array;
  /** Null while a function is written that nobody asks about. */
  runs: Runs | null = null;

  constructor(capacity: number, source: Uint8Array) {
    super(capacity);
    this.#source = source;
  }

  override copy(source: Uint8Array, from: number, to: number): void {
    if (source === this.#source) this.runs?.push(this.length, from, to - from);
    super.copy(source, from, to);
  }
}
