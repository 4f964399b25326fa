/**
 * How far a thread stands back where processors are short. On Linux each thread has a niceness of
 * its own; elsewhere only the process has one, and nothing is done.
 */

import { getPriority, setPriority } from 'node:os';

const NICENESS_MAX = 19;

export const hasNiceness = process.platform === 'linux';

/**
 * Behind the main thread by so much, whatever that of the main thread is: it never asks for more
 * than the process was given, for which the system would want privileges. `id` is the system's
 * number of a thread of this process; 0 is the one that calls.
 */
export function standBack(by: number, id = 0): void {
  if (!hasNiceness) return;
  setPriority(id, Math.min(getPriority(process.pid) + by, NICENESS_MAX));
}
