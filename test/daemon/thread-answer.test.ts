/** Threads that are started for one answer, and what becomes of whoever waits for it. */

import { Worker } from 'node:worker_threads';
import t from 'tap';

import { answerOf } from '../../daemon/thread-answer.ts';

const ask = (source: string): Promise<unknown> => answerOf(
  new Worker(`const { parentPort } = require('node:worker_threads'); ${source}`, { eval: true }),
  'the test');

t.test('the first message is the answer, also of a thread that ends at once', async (t) => {
  t.equal(await ask(`parentPort.postMessage(1); parentPort.postMessage(2);`), 1);
  t.equal(await ask(`parentPort.postMessage(3); process.exit(1);`), 3);
});

t.test('a thread that throws, and one that ends in silence', async (t) => {
  await t.rejects(ask(`throw new Error('a bug of ours')`), { message: 'a bug of ours' });
  await t.rejects(ask(''), { code: 'store_failed', message: /of the test has ended without/ });
  await t.rejects(ask('process.exit(7)'), { code: 'store_failed' });
});
