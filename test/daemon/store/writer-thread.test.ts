/**
 * The main thread's end of the writer, with writers that misbehave: whatever becomes of the thread,
 * every call is settled and the daemon is told once.
 */

import { Worker } from 'node:worker_threads';
import t from 'tap';

import type { WardianError } from '../../../contract/errors.ts';
import { WriterThread } from '../../../daemon/store/writer-thread.ts';

function start(source: string): { thread: WriterThread; failures: string[] } {
  const failures: string[] = [];
  const worker = new Worker(
    `const { parentPort } = require('node:worker_threads'); ${source}`, { eval: true });
  const thread = new WriterThread(
    worker, (error: WardianError) => failures.push(`${error.code}: ${error.message}`));
  return { thread, failures };
}

const READY = `parentPort.postMessage({ kind: 'ready' });`;

t.test('a writer that throws fails every call, and the daemon is told once', async (t) => {
  const { thread, failures } = start(
    `${READY} parentPort.on('message', () => { throw new Error('a bug of ours'); });`);
  await thread.ready;
  const calls = await Promise.allSettled([
    thread.stats(), thread.control({ op: 'ensure_tenant', name: 'a' }),
  ]);
  for (const call of calls) t.match(call, { status: 'rejected', reason: { code: 'store_failed' } });
  await t.rejects(thread.stats(), { code: 'store_failed' }, 'and so does every later one');
  await t.rejects(
    thread.kv({ op: 'kv_delete', storeId: 1, key: new Uint8Array() }), { code: 'store_failed' });
  await thread.close();
  t.same(failures, ['store_failed: the store\'s writer has failed']);
});

t.test('a writer that ends while it starts', async (t) => {
  const { thread, failures } = start('');
  await t.rejects(thread.ready, { code: 'store_failed' });
  await thread.close();
  t.same(failures, [], 'whoever opens the store knows already');
});

t.test('a writer that throws while it starts', async (t) => {
  const { thread } = start(`throw new Error('no such module, say');`);
  await t.rejects(thread.ready, { code: 'store_failed', message: /writer has failed/ });
  await thread.close();
});

t.test('a database that is unfit', async (t) => {
  const { thread } = start(
    `parentPort.postMessage({ kind: 'unfit', code: 'disk_full', message: 'no room' });`);
  await t.rejects(thread.ready, { code: 'disk_full', message: 'no room' });
  await thread.close();
});
