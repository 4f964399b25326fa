/**
 * Who comes first where processors are short: the main thread, or a tenant's flood would delay the
 * answers of all; then the threads that run guests; V8's helpers, which mark and sweep for them,
 * come last. Measured in `docs/rationale.md`, "Fairness".
 */

import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { hasNiceness, standBack } from '../contract/niceness.ts';

const WORKER_NICENESS = 5;
const HELPER_NICENESS = 10;
/** What Node calls the threads of its V8 platform, from version 24 on. */
const HELPER_NAME = 'V8Worker';
const TASKS = '/proc/self/task';
const GONE: ReadonlySet<string> = new Set(['ENOENT', 'ESRCH']);

/** Of the calling thread, which runs guests. */
export function lowerWorker(): void {
  standBack(WORKER_NICENESS);
}

/** Of V8's helpers, which serve all threads of the process. */
export function lowerHelpers(): void {
  if (!hasNiceness || !existsSync(TASKS)) return;
  for (const id of readdirSync(TASKS)) {
    if (nameOf(id).startsWith(HELPER_NAME)) standBack(HELPER_NICENESS, Number(id));
  }
}

/** Empty for a thread that has ended meanwhile. */
function nameOf(id: string): string {
  try {
    return readFileSync(`${TASKS}/${id}/comm`, 'utf8');
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (GONE.has(code)) return '';
    throw error;
  }
}
