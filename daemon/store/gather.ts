/**
 * How long a commit waits for more commands. Guests that write one entry after another fall into
 * two halves, if nobody waits: one half is being committed while the other half goes on, and each
 * sync serves 32 of 64 writers. So a commit waits a little, while fewer commands are here than
 * there were writers a moment ago, and no longer than half of what a commit takes. Where that does
 * not bring them (writers that come and go), fewer and fewer commits wait.
 */

/** Of the time that a commit takes, on average. */
const WAIT_SHARE = 0.5;
const WAIT_MS_MAX = 3;
/** Between two looks at what has arrived. */
const STEP_MS = 0.1;
const AVERAGE_WEIGHT = 1 / 16;
/** It was worth the wait if so many of the expected came. */
const WORTH_SHARE = 0.75;
/** Commits that do not wait, after several in a row were not worth it. */
const SKIP_MAX = 64;

const asleep = new Int32Array(new SharedArrayBuffer(4));

/** Not a timer: those count whole milliseconds, and a commit has nothing else to do meanwhile. */
function sleep(ms: number): void {
  Atomics.wait(asleep, 0, 0, ms);
}

export interface GatherOptions {
  /** Milliseconds. */
  readonly now?: () => number;
  readonly sleep?: (ms: number) => void;
}

export class Gather {
  readonly #now: () => number;
  readonly #sleep: (ms: number) => void;
  /** Commands that the last commit answered, and those that waited then. */
  #writers = 0;
  #averageMs = 0;
  #toSkip = 0;
  #skip = 1;

  constructor(options: GatherOptions = {}) {
    this.#now = options.now ?? (() => performance.now());
    this.#sleep = options.sleep ?? sleep;
  }

  /** Before a commit: `arrived` takes in what has come and answers how many commands wait now. */
  wait(arrived: () => number, waiting: number): void {
    if (waiting === 0 || waiting >= this.#writers) return;
    if (this.#toSkip > 0) {
      this.#toSkip -= 1;
      return;
    }
    const until = this.#now() + Math.min(this.#averageMs * WAIT_SHARE, WAIT_MS_MAX);
    let count = waiting;
    while (count > 0 && count < this.#writers && this.#now() + STEP_MS <= until) {
      this.#sleep(STEP_MS);
      count = arrived();
    }
    if (count >= this.#writers * WORTH_SHARE) {
      this.#skip = 1;
      return;
    }
    this.#skip = Math.min(this.#skip * 2, SKIP_MAX);
    this.#toSkip = this.#skip;
  }

  /** After a commit of `answered` commands, with `waiting` ones that came while it went on. */
  committed(answered: number, waiting: number, tookMs: number): void {
    this.#writers = answered + waiting;
    this.#averageMs += (tookMs - this.#averageMs) * AVERAGE_WEIGHT;
  }
}
