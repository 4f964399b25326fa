/**
 * How fast something happens: counted over the last two to four seconds, so that a burst or a pause
 * of a hundred milliseconds is not taken for the pace.
 */

const WINDOW_MS = 2_000;
/** Before so long nothing is claimed. */
const KNOWN_MS = 1_000;

export class Rate {
  #beganAt = Number.NaN;
  #count = 0;
  #lastMs = 0;
  #lastCount = 0;

  /** A series begins: what was before it does not count. Times are milliseconds of one clock. */
  begin(now: number): void {
    this.#beganAt = now;
    this.#count = 0;
    this.#lastMs = 0;
    this.#lastCount = 0;
  }

  mark(now: number): void {
    this.#count += 1;
    if (now - this.#beganAt < WINDOW_MS) return;
    this.#lastMs = now - this.#beganAt;
    this.#lastCount = this.#count;
    this.#beganAt = now;
    this.#count = 0;
  }

  /** Milliseconds from one to the next; 0 while too little is known. */
  intervalMs(now: number): number {
    const passedMs = this.#lastMs + now - this.#beganAt;
    // Not a number before the series has begun.
    if (!(passedMs >= KNOWN_MS)) return 0;
    return passedMs / Math.max(this.#lastCount + this.#count, 1);
  }
}
