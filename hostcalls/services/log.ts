/**
 * The log of one guest: lines with a bound each and a bound per request. What is over a bound is
 * cut and counted, never an error: a guest that logs too much is noisy, not broken.
 */

import { LOG_LIMIT_CODE, logLimitMessage } from '../../contract/log-limit.ts';
import { LOG_LINE_BYTES_MAX } from '../../contract/limits.ts';
import type { GuestLogLine } from '../../contract/messages.ts';
import type { GuestLog, LogSource } from './types.ts';

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/**
 * A line that is still without its line feed: a buffer of LOG_LINE_BYTES_MAX; the rest is counted.
 */
interface Partial {
  readonly buffer: Buffer;
  length: number;
  cut: number;
}

/** Shortens to `length` bytes at most, not within a UTF-8 sequence. */
function truncated(bytes: Uint8Array, length: number): Uint8Array {
  if (bytes.length <= length) return bytes;
  let end = length;
  while (end > 0 && end > length - 4 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.subarray(0, end);
}

export class BoundedLog implements GuestLog {
  readonly #versionId: number;
  readonly #requestId: string;
  readonly #bytesMax: number;
  readonly #sink: (line: GuestLogLine) => void;
  readonly #partial: { stdout: Partial | null; stderr: Partial | null } = {
    stdout: null,
    stderr: null,
  };
  #budget: number;
  #bytes = 0;
  #cutBytes = 0;
  #overBytes = 0;
  /** Bytes of lines that were dropped whole: no line could carry the count. */
  #droppedBytes = 0;
  #closed = false;

  constructor(
    versionId: number,
    requestId: string,
    bytesMax: number,
    sink: (line: GuestLogLine) => void,
  ) {
    this.#versionId = versionId;
    this.#requestId = requestId;
    this.#bytesMax = bytesMax;
    this.#budget = bytesMax;
    this.#sink = sink;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get cutBytes(): number {
    return this.#cutBytes;
  }

  get overBytes(): number {
    return this.#overBytes;
  }

  line(source: LogSource, text: string | Uint8Array): void {
    // A string is cut before it is encoded: it may be as large as the guest's memory.
    const bounded = typeof text === 'string' ? text.slice(0, this.#bytesMax + 1) : text;
    const bytes = typeof bounded === 'string' ? Buffer.from(bounded) : bounded;
    const unread = text.length - bounded.length;
    let rest = bytes;
    for (let at = rest.indexOf(LINE_FEED); at >= 0; at = rest.indexOf(LINE_FEED)) {
      if (this.#budget <= 0) break;
      this.#emit(source, rest.subarray(0, at), 0);
      rest = rest.subarray(at + 1);
    }
    if (rest.length > 0 || bytes.length === 0) this.#emit(source, rest, unread);
    else if (unread > 0) this.#drop(unread);
  }

  write(source: 'stdout' | 'stderr', bytes: Uint8Array): void {
    let rest = bytes;
    for (let at = rest.indexOf(LINE_FEED); at >= 0; at = rest.indexOf(LINE_FEED)) {
      // Nothing can be logged any more: count without looking for lines in what may be megabytes.
      if (this.#budget <= 0) break;
      if (this.#partial[source] === null) this.#emitStreamed(source, rest.subarray(0, at), 0);
      else this.#finish(source, rest.subarray(0, at));
      rest = rest.subarray(at + 1);
    }
    if (this.#budget <= 0) this.#drop(rest.length);
    else if (rest.length > 0) this.#append(source, rest);
  }

  close(): void {
    if (this.#closed) return;
    for (const source of ['stdout', 'stderr'] as const) {
      if (this.#partial[source] !== null) this.#finish(source, new Uint8Array(0));
    }
    this.#closed = true;
    if (this.#overBytes === 0) return;
    const said = logLimitMessage(this.#bytes, this.#overBytes, this.#bytesMax);
    this.#send('wardian', `${LOG_LIMIT_CODE}: ${said}`, this.#droppedBytes);
  }

  #append(source: 'stdout' | 'stderr', bytes: Uint8Array): void {
    // Copies: `bytes` may be guest memory. One buffer per line, so that byte-wise writes stay
    // cheap.
    const partial = this.#partial[source] ?? {
      buffer: Buffer.allocUnsafe(LOG_LINE_BYTES_MAX),
      length: 0,
      cut: 0,
    };
    const kept = bytes.subarray(0, LOG_LINE_BYTES_MAX - partial.length);
    partial.buffer.set(kept, partial.length);
    partial.length += kept.length;
    partial.cut += bytes.length - kept.length;
    this.#partial[source] = partial;
  }

  #finish(source: 'stdout' | 'stderr', rest: Uint8Array): void {
    this.#append(source, rest);
    const partial = this.#partial[source];
    this.#partial[source] = null;
    if (partial === null) return;
    this.#emitStreamed(source, partial.buffer.subarray(0, partial.length), partial.cut);
  }

  #emitStreamed(source: 'stdout' | 'stderr', bytes: Uint8Array, cut: number): void {
    const end = bytes.at(-1) === CARRIAGE_RETURN ? bytes.length - 1 : bytes.length;
    this.#emit(source, bytes.subarray(0, end), cut);
  }

  #emit(source: LogSource, bytes: Uint8Array, alreadyCut: number): void {
    if (this.#closed || this.#budget <= 0) {
      this.#drop(bytes.length + alreadyCut);
      return;
    }
    const kept = truncated(bytes, Math.min(LOG_LINE_BYTES_MAX, this.#budget));
    if (this.#budget < LOG_LINE_BYTES_MAX) {
      this.#overBytes += Math.min(bytes.length, LOG_LINE_BYTES_MAX) - kept.length;
    }
    const cut = bytes.length - kept.length + alreadyCut;
    // One byte for the line itself: empty lines are not free.
    this.#budget -= kept.length + 1;
    this.#bytes += kept.length;
    this.#cutBytes += cut;
    this.#send(source, Buffer.from(kept.buffer, kept.byteOffset, kept.length).toString(), cut);
  }

  #drop(bytes: number): void {
    this.#cutBytes += bytes;
    this.#droppedBytes += bytes;
    this.#overBytes += bytes;
  }

  #send(source: LogSource, text: string, cutBytes: number): void {
    this.#sink({
      atMs: Date.now(),
      versionId: this.#versionId,
      requestId: this.#requestId,
      source,
      text,
      cutBytes,
    });
  }
}
