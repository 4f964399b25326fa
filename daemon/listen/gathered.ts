/**
 * Bytes of request bodies that the daemon holds: whole ones from their arrival to the answer, and
 * of those that flow what nobody has asked for yet.
 */

export class GatheredBytes {
  readonly max: number;
  held = 0;

  constructor(max: number) {
    this.max = max;
  }

  /** False, and nothing is counted, if that is too much. */
  add(bytes: number): boolean {
    if (this.held + bytes > this.max) return false;
    this.held += bytes;
    return true;
  }

  /** Counts what has arrived anyway. False: that is too much, and no more of it may come. */
  take(bytes: number): boolean {
    this.held += bytes;
    return this.held <= this.max;
  }

  release(bytes: number): void {
    this.held -= bytes;
  }
}
