/**
 * When a guest's answer is due. The clock stands still while the guest waits for a body of the
 * client's that is on its way, to the guest or to an upstream: that time is not the guest's.
 *
 *   running ──waits, and a body is on its way──▶ paused ──either is over──▶ running
 */

export class Deadline {
  #dueAt: number;
  /** Bodies on their way. */
  #transfers = 0;
  #waiting = false;
  /** performance.now(), when the clock was stopped; 0 while it runs. */
  #pausedAt = 0;

  /** Milliseconds since the epoch. */
  constructor(dueAt: number) {
    this.#dueAt = dueAt;
  }

  /** Infinity while the clock stands still. */
  get at(): number {
    return this.#pausedAt === 0 ? this.#dueAt : Number.POSITIVE_INFINITY;
  }

  /** The guest waits from now on, or does not. */
  set waiting(waiting: boolean) {
    this.#waiting = waiting;
    if (this.#transfers > 0 || this.#pausedAt !== 0) this.#settle();
  }

  beginTransfer(): void {
    this.#transfers += 1;
    this.#settle();
  }

  endTransfer(): void {
    this.#transfers -= 1;
    this.#settle();
  }

  #settle(): void {
    const paused = this.#transfers > 0 && this.#waiting;
    if (paused === (this.#pausedAt !== 0)) return;
    const now = performance.now();
    if (!paused) this.#dueAt += now - this.#pausedAt;
    this.#pausedAt = paused ? now : 0;
  }
}
