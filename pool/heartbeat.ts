/**
 * What a worker shows the main thread without a message: one shared buffer, written by the worker,
 * read by the main thread's watchdog, its choice of a worker, and metrics. Times are milliseconds
 * since the epoch, counts are whole.
 *
 * Every field is a 64-bit float with one writer; an aligned one is stored at once, so a reader sees
 * the old or the new value and never a mixture. Fields of different moments may be seen together.
 */

export const FIELDS = {
  /** When the worker's event loop last turned, or a request last began in it. */
  beatAt: 0,
  /** When the guest that holds the thread was entered or resumed; 0 when none does. */
  runningSince: 1,
  /** When the answer of that guest is due; 0 when none holds the thread. */
  runningDeadlineAt: 2,
  inFlight: 3,
  /** Guests suspended in a hostcall. */
  waiting: 4,
  modulesCached: 5,
  moduleBytesCached: 6,
  moduleHits: 7,
  moduleMisses: 8,
  moduleEvictions: 9,
  memoriesPooled: 10,
  memoryBytesPooled: 11,
  /** Memories made and not yet collected, pooled ones included. */
  memoriesLive: 12,
  instancesFresh: 13,
  instancesRecycled: 14,
  logLinesDropped: 15,
  /** Guests killed because their time was up. */
  deadlineKills: 16,
  /** Milliseconds in garbage collection, and collections, by V8's kind. */
  gcScavengeMs: 17,
  gcScavenges: 18,
  gcMinorMs: 19,
  gcMinors: 20,
  gcMarkSweepMs: 21,
  gcMarkSweeps: 22,
  gcIncrementalMs: 23,
  gcIncrementals: 24,
  gcWeakMs: 25,
  gcWeaks: 26,
  /** The request of the guest that holds the thread; 0 when none does. */
  runningSequence: 27,
} as const;

export type HeartbeatField = keyof typeof FIELDS;

export const HEARTBEAT_BYTES = Object.keys(FIELDS).length * Float64Array.BYTES_PER_ELEMENT;

/** Milliseconds since the epoch, comparable between threads. */
export function epochNow(): number {
  return performance.timeOrigin + performance.now();
}

export class Heartbeat {
  /** By the numbers in FIELDS. */
  readonly values: Float64Array;

  constructor(buffer: SharedArrayBuffer) {
    if (buffer.byteLength !== HEARTBEAT_BYTES) {
      throw new Error(`a heartbeat of ${buffer.byteLength} bytes`);
    }
    this.values = new Float64Array(buffer);
  }

  get(field: HeartbeatField): number {
    return this.values[FIELDS[field]] ?? 0;
  }

  set(field: HeartbeatField, value: number): void {
    this.values[FIELDS[field]] = value;
  }

  add(field: HeartbeatField, amount: number): void {
    this.values[FIELDS[field]]! += amount;
  }

  /** A guest has the thread from now on, whoever had it. */
  enter(sequence: number, deadlineAt: number, now: number): void {
    const { values } = this;
    values[FIELDS.runningSequence] = sequence;
    values[FIELDS.runningDeadlineAt] = deadlineAt;
    values[FIELDS.runningSince] = now;
  }

  /** It has it no more: it waits, or has ended. Nothing if another has it by now. */
  leave(sequence: number): void {
    if (this.values[FIELDS.runningSequence] === sequence) this.clear();
  }

  /** No guest has it. */
  clear(): void {
    const { values } = this;
    values[FIELDS.runningSequence] = 0;
    values[FIELDS.runningDeadlineAt] = 0;
    values[FIELDS.runningSince] = 0;
  }
}
