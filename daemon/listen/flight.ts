/**
 * Counts what is in flight on a listener, and drains it.
 *
 *   enter ──▶ in flight ──finish──▶ answered
 *                 └──────lose─────▶ gone with its client
 */

import type { DrainResult } from './listener.ts';

export class Flight {
  count = 0;
  #answered = 0;
  #quiet: (() => void) | null = null;

  enter(): void {
    this.count += 1;
  }

  finish(): void {
    this.#answered += 1;
    this.lose();
  }

  lose(): void {
    this.count -= 1;
    if (this.count === 0) this.#quiet?.();
  }

  /**
   * Waits until nothing is in flight and nothing more comes: what lies in a socket's buffer is a
   * request too, so the loop ends only after turns of the event loop that brought none.
   */
  async drain(deadlineMs: number): Promise<DrainResult> {
    const before = this.#answered;
    const deadline = performance.now() + deadlineMs;
    for (;;) {
      const seen = this.#answered;
      await turns();
      if (this.count > 0) await this.#untilQuiet(deadline - performance.now());
      else if (this.#answered === seen) break;
      if (this.count > 0 && performance.now() >= deadline) break;
    }
    return { finished: this.#answered - before, cut: this.count };
  }

  #untilQuiet(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, Math.max(0, ms));
    this.#quiet = () => {
      clearTimeout(timer);
      resolve();
    };
    return promise;
  }
}

/** Everything that had arrived has been read when these are over. */
async function turns(): Promise<void> {
  for (let i = 0; i < 3; i += 1) await new Promise((resolve) => { setImmediate(resolve); });
}
