/**
 * Ends an orphaned builder. The daemon kills a builder that takes too long; when the daemon itself
 * is killed, nobody would, and a compiler can keep the main thread from ever noticing. So a thread
 * watches: parent gone, or far over time, and the whole process group is killed.
 */

import { workerData } from 'node:worker_threads';

const CHECK_MS = 1_000;

const { parentPid, lifeMs } = workerData as { parentPid: number; lifeMs: number };
const startedAt = performance.now();

setInterval(() => {
  const orphaned = process.ppid !== parentPid;
  const overdue = performance.now() - startedAt > lifeMs;
  if (orphaned || overdue) process.kill(-process.pid, 'SIGKILL');
}, CHECK_MS);
