/**
 * Who comes first where processors are short: the main thread, or a tenant's flood would delay the
 * answers of all; then the threads that run guests; V8's helpers, which mark and sweep for them,
 * come last. Measured in `docs/rationale.md`, "Fairness".
 */

import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { hasNiceness, standBack } from '../contract/niceness.ts';

/** What Node calls the threads of its V8 platform, from version 24 on. */
const HELPER_NAME = 'V8Worker';
const TASKS = '/proc/self/task';
const GONE: ReadonlySet<string> = new Set(['ENOENT', 'ESRCH']);

/** Of the calling thread, which runs guests; 0: it stays beside the main thread. */
export function lowerWorker(niceness: number): void {
  standBack(niceness);
}

/** Of V8's helpers, which serve all threads of the process; `niceness` is that of the workers. */
export function lowerHelpers(niceness: number): void {
  if (!hasNiceness || !existsSync(TASKS)) return;
  for (const id of readdirSync(TASKS)) {
    if (nameOf(id).startsWith(HELPER_NAME)) standBack(2 * niceness, Number(id));
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
