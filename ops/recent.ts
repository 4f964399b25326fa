/**
 * The latest lines of the log, bounded by bytes: chunks of lines as they were written, numbered, so
 * that a reader can go on where it stopped and learn what it missed.
 */

interface Chunk {
  readonly first: number;
  readonly count: number;
  readonly bytes: Buffer;
}

export interface ReadLines {
  readonly lines: readonly string[];
  /** Number of the first of them, and of the line after the last. */
  readonly first: number;
  readonly next: number;
  /** Lines between the asked-for one and the first that are no longer kept. */
  readonly lost: number;
}

/** Lines read at a time: enough to be quick, few enough not to hold up requests. */
const READ_LINES_MAX = 500;
const CHUNK_BYTES = 64 * 1_024;
const LINE_FEED = 10;

function countLines(bytes: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(LINE_FEED); at >= 0; at = bytes.indexOf(LINE_FEED, at + 1)) {
    count += 1;
  }
  return count;
}

export class RecentLines {
  readonly #bytesMax: number;
  #chunks: Chunk[] = [];
  #bytes = 0;
  readonly #first: number;
  #next: number;
  #waiters: (() => void)[] = [];

  /** Lines of an earlier life of the daemon, `olderMax` at most, get the numbers below. */
  constructor(bytesMax: number, olderMax = 0) {
    this.#bytesMax = bytesMax;
    this.#first = olderMax + 1;
    this.#next = this.#first;
  }

  /** Number that the next line gets. */
  get next(): number {
    return this.#next;
  }

  /** Number of the oldest line that is kept. */
  get oldest(): number {
    return this.#chunks[0]?.first ?? this.#next;
  }

  /** Complete lines, each with its line feed. The bytes are kept as they are. */
  append(bytes: Buffer): void {
    const count = countLines(bytes);
    this.#chunks.push({ first: this.#next, count, bytes });
    this.#next += count;
    this.#bytes += bytes.length;
    let gone = 0;
    while (this.#bytes > this.#bytesMax && gone < this.#chunks.length) {
      this.#bytes -= this.#chunks[gone]?.bytes.length ?? 0;
      gone += 1;
    }
    if (gone > 0) this.#chunks.splice(0, gone);
    const waiters = this.#waiters;
    if (waiters.length === 0) return;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }

  /** Whoever reads on learns that lines are missing. */
  forget(): void {
    this.#chunks = [];
    this.#bytes = 0;
  }

  /**
   * Lines of an earlier life of the daemon, in chunks as they would have been written. They come
   * before those that this one has logged meanwhile; the latest stay when not all fit.
   */
  restore(bytes: Buffer): void {
    // Something of this life had to go already: there is no room for what is older still.
    if (this.oldest !== this.#first) return;
    const chunks: Buffer[] = [];
    for (let from = 0; from < bytes.length;) {
      const end = bytes.indexOf(LINE_FEED, Math.min(from + CHUNK_BYTES, bytes.length - 1)) + 1;
      const to = end === 0 ? bytes.length : end;
      chunks.push(Buffer.from(bytes.subarray(from, to)));
      from = to;
    }
    const older: Chunk[] = [];
    let first = this.#first;
    for (const chunk of chunks.toReversed()) {
      const count = countLines(chunk);
      if (this.#bytes + chunk.length > this.#bytesMax || first - count < 1) break;
      first -= count;
      this.#bytes += chunk.length;
      older.unshift({ first, count, bytes: chunk });
    }
    this.#chunks = [...older, ...this.#chunks];
  }

  /** All that is kept, the oldest first. */
  all(): Buffer {
    return Buffer.concat(this.#chunks.map(({ bytes }) => bytes));
  }

  /** Some of the lines from number `from` on; none when there are no newer ones. */
  read(from: number): ReadLines {
    const wanted = Math.max(from, this.oldest);
    const lost = wanted - from;
    const chunk = this.#find(wanted);
    if (chunk === undefined) return { lines: [], first: this.#next, next: this.#next, lost };
    const skip = wanted - chunk.first;
    const all = chunk.bytes.toString('utf8').split('\n');
    const lines = all.slice(skip, Math.min(skip + READ_LINES_MAX, chunk.count));
    return { lines, first: wanted, next: wanted + lines.length, lost };
  }

  /** The lines just before number `before`, of one chunk; none when nothing older is kept. */
  readBefore(before: number): { readonly lines: readonly string[]; readonly first: number } {
    const chunk = this.#find(before - 1);
    if (chunk === undefined) return { lines: [], first: before };
    const all = chunk.bytes.toString('utf8').split('\n');
    return { lines: all.slice(0, before - chunk.first), first: chunk.first };
  }

  /** Resolves when there are lines from `from` on, when `signal` aborts, or after `ms`. */
  wait(from: number, ms: number, signal: AbortSignal): Promise<void> {
    if (from < this.#next || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        const at = this.#waiters.indexOf(done);
        if (at >= 0) this.#waiters.splice(at, 1);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal.addEventListener('abort', done);
      this.#waiters.push(done);
    });
  }

  /** The chunk that holds the line of this number. */
  #find(number: number): Chunk | undefined {
    let low = 0;
    let high = this.#chunks.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const chunk = this.#chunks[middle] as Chunk;
      if (number < chunk.first) high = middle - 1;
      else if (number >= chunk.first + chunk.count) low = middle + 1;
      else return chunk;
    }
    return undefined;
  }
}
