/** Garbage collections of a worker: counted in its heartbeat, and asked for. */

import { PerformanceObserver } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { FIELDS } from './heartbeat.ts';
import type { Heartbeat } from './heartbeat.ts';

/** By V8's bit for the kind: where its milliseconds are; its count is next to them. */
const BY_KIND: Readonly<Record<number, number>> = {
  1: FIELDS.gcScavengeMs,
  2: FIELDS.gcMinorMs,
  4: FIELDS.gcMarkSweepMs,
  8: FIELDS.gcIncrementalMs,
  16: FIELDS.gcWeakMs,
};

/** Until the thread ends. */
export function countCollections({ values }: Heartbeat): void {
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const { kind } = (entry as unknown as { detail: { kind: number } }).detail;
      const at = BY_KIND[kind];
      if (at === undefined) continue;
      values[at]! += entry.duration;
      values[at + 1]! += 1;
    }
  });
  observer.observe({ entryTypes: ['gc'] });
}

/**
 * A full collection takes 10 to 30 ms, and memories that were never touched can ask for one at no
 * cost; those that were take as long to touch.
 */
const PAUSE_MS = 200;

/**
 * Asks for a full collection of this thread's heap, behind what the loop has to do in this turn; so
 * soon after the last one, it follows as late as it may: whoever asked may not ask again.
 */
export function collector(): () => void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  let endedAt = Number.NEGATIVE_INFINITY;
  let isDue = false;
  return () => {
    if (isDue) return;
    isDue = true;
    const pauseMs = Math.max(endedAt + PAUSE_MS - performance.now(), 0);
    setTimeout(() => {
      isDue = false;
      collect();
      endedAt = performance.now();
    }, pauseMs).unref();
  };
}
