/**
 * How far a thread stands back where processors are short. On Linux each thread has a niceness of
 * its own; elsewhere only the process has one, and nothing is done.
 */

import { getPriority, setPriority } from 'node:os';

const NICENESS_MAX = 19;
/** Of threads that run guests, unless the operator says otherwise. */
export const WORKER_NICENESS = 5;

export const hasNiceness = process.platform === 'linux';

/** The thread has ended, or the system (a container's rules, say) lets none be changed. */
const IGNORED: ReadonlySet<unknown> = new Set(['ESRCH', 'EPERM', 'EACCES', 'ENOSYS']);

/**
 * Behind the main thread by so much, and never further ahead than it is, for which the system would
 * want privileges. `id` is the system's number of a thread of this process; 0 is the one that
 * calls. Where the system refuses, the thread stays as it is: slower for others, and no worse.
 */
export function standBack(by: number, id = 0): void {
  if (!hasNiceness) return;
  try {
    const wanted = Math.min(getPriority(process.pid) + by, NICENESS_MAX);
    if (wanted > getPriority(id)) setPriority(id, wanted);
  } catch (error) {
    const { code, info } = error as NodeJS.ErrnoException & { info?: { code?: string } };
    if (!IGNORED.has(info?.code ?? code)) throw error;
  }
}
