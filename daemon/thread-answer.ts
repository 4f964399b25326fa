/** Threads that are started for one answer: whatever becomes of them, whoever waits is told. */

import type { Worker } from 'node:worker_threads';

import { WardianError } from '../contract/errors.ts';

/** Resolves with the thread's first message. Rejects when it throws, or ends without one. */
export function answerOf<T>(worker: Worker, what: string): Promise<T> {
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('messageerror', reject);
    // What was sent before the end has arrived by then: settling again changes nothing.
    worker.once('exit', () => reject(
      new WardianError('store_failed', `the thread of ${what} has ended without an answer`)));
  });
}
