/** A daemon whose store cannot be written any more says so, and serves on. */

import type { Worker } from 'node:worker_threads';
import t from 'tap';

import { loadConfig } from '../../daemon/config.ts';
import { Readiness } from '../../daemon/readiness.ts';
import { serve } from '../../daemon/serve.ts';
import { ask } from '../harness/daemon.ts';
import { until } from '../e2e/world.ts';

t.test('starting, serving, failed, draining', async (t) => {
  const readiness = new Readiness();
  t.equal(readiness.notReady(), 'starting');
  readiness.serving();
  t.equal(readiness.notReady(), null);
  readiness.failed('the first reason');
  readiness.failed('another');
  t.equal(readiness.notReady(), 'the first reason');
  readiness.draining();
  readiness.serving();
  t.equal(readiness.notReady(), 'draining');
});

t.test('without its writer a daemon is not ready', async (t) => {
  const workers: Worker[] = [];
  const note = (worker: Worker): void => void workers.push(worker);
  process.on('worker', note);
  t.teardown(() => process.off('worker', note));
  const faults: unknown[] = [];
  const ignore = (): void => {};
  const daemon = await serve({
    config: loadConfig({
      file: undefined, environment: {},
      flags: { data: t.testdir(), listen: '127.0.0.1:0', admin: '127.0.0.1:0', threads: '1' },
    }),
    observer: {
      request: ignore, refusal: ignore, guestLines: ignore, workerLost: ignore,
      route: ignore, appRemoved: ignore, appDeleted: ignore, restored: ignore,
      fault: (error) => faults.push(error), deploy: () => ({ stage: ignore, ended: ignore }),
    },
  });
  t.teardown(() => daemon.stop());
  const readyz = () => ask(daemon.adminPort, 'localhost', '/readyz');
  t.equal((await readyz()).status, 200);

  await workers.find(({ threadName }) => threadName === 'wardian-writer')?.terminate();
  await until('not ready', () => daemon.notReady() !== null);
  const { status, text } = await readyz();
  t.equal(status, 503);
  t.match(JSON.parse(text), { ready: false, reason: /^the store cannot be written/ });
  t.match(faults, [{ code: 'store_failed' }]);
  const { port } = daemon.listener.address;
  t.equal((await ask(port, 'nobody.localhost', '/')).status, 404, 'it serves on');
});
