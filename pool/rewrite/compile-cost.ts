/**
 * Bounds what one function, and all of them, cost V8's compilers beyond their bytes. Both compilers
 * merge the states of all locals wherever paths may meet, and the optimising one reads the body of
 * every loop when it comes to its header.
 */
import {
  LOCALS_TIMES_JOINS_MAX, LOOP_BYTES_MAX, LOOP_JOINS, MODULE_LOCALS_TIMES_JOINS_MAX,
  MODULE_LOOP_BYTES_MAX,
} from '../../contract/limits.ts';
import type { Reader } from './reader.ts';

export class CompileCost {
  readonly #reader: Reader;
  /** Locals times joins of this function, of all so far. */
  #product = 0;
  #productInAll = 0;
  #loopBytes = 0;
  #loopBytesInAll = 0;
  #locals = 0;

  constructor(reader: Reader) {
    this.#reader = reader;
  }

  /** Begins a function. */
  reset(locals: number): void {
    this.#locals = locals;
    this.#product = 0;
    this.#loopBytes = 0;
  }

  /** So many paths meet others. */
  join(count = 1): void {
    this.#product += this.#locals * count;
    if (this.#product > LOCALS_TIMES_JOINS_MAX) {
      this.#reader.atMost(this.#product, LOCALS_TIMES_JOINS_MAX,
        'too many locals for so many blocks and branches: locals times blocks and branches');
    }
  }

  /** A loop begins. */
  loop(): void {
    this.join(LOOP_JOINS);
  }

  /** A loop with a body of so many bytes ends. */
  endLoop(bytes: number): void {
    this.#loopBytes += bytes;
    this.#reader.atMost(this.#loopBytes, LOOP_BYTES_MAX,
      'too much code in too many loops: bytes times loops around them');
  }

  /** Ends a function. */
  end(): void {
    this.#productInAll += this.#product;
    this.#reader.atMost(this.#productInAll, MODULE_LOCALS_TIMES_JOINS_MAX,
      'too many locals for so many blocks and branches: '
      + 'locals times blocks and branches of all functions');
    this.#loopBytesInAll += this.#loopBytes;
    this.#reader.atMost(this.#loopBytesInAll, MODULE_LOOP_BYTES_MAX,
      'too much code in too many loops: bytes times loops around them, of all functions');
  }
}
