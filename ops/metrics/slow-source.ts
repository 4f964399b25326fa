/**
 * What a scrape asks of a part that may be slow, hang, or fail: the scrape waits for a moment and
 * then goes on with the numbers of the last time. Metrics must be there when the store is not.
 *
 *   idle ──scrape──▶ asked ──answer──▶ idle
 *                      └──late, failed: counted; a source that hangs is not asked once more
 */

const PATIENCE_MS = 1_000;

export class SlowSource {
  readonly #onFailure: (error: unknown, isFirst: boolean) => void;
  readonly #patienceMs: number;
  #asked: Promise<boolean> | null = null;
  #failing = false;

  /** `isFirst`: the time before it was well. */
  constructor(
    onFailure: (error: unknown, isFirst: boolean) => void, patienceMs: number = PATIENCE_MS,
  ) {
    this.#onFailure = onFailure;
    this.#patienceMs = patienceMs;
  }

  /** Resolves when `look` has, and at the latest when patience is over. Never rejects. */
  async collect(look: () => Promise<void>): Promise<void> {
    this.#asked ??= this.#ask(look);
    const { promise, resolve } = Promise.withResolvers<'late'>();
    const timer = setTimeout(() => resolve('late'), this.#patienceMs);
    const result = await Promise.race([this.#asked, promise]);
    clearTimeout(timer);
    if (result === 'late') this.#failed(new Error(`no answer within ${this.#patienceMs} ms`));
    else this.#failing = !result;
  }

  /** True when it went well. */
  #ask(look: () => Promise<void>): Promise<boolean> {
    return Promise.resolve().then(look).then(() => true, (error: unknown) => {
      this.#failed(error);
      return false;
    }).finally(() => {
      this.#asked = null;
    });
  }

  #failed(error: unknown): void {
    const isFirst = !this.#failing;
    this.#failing = true;
    this.#onFailure(error, isFirst);
  }
}
