/** Collections that a worker asks for: that they happen, and how often. */

import { PerformanceObserver } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';

import { collector } from '../../pool/gc.ts';
import { until } from './world.ts';

/** V8's bit for a full collection. */
const FULL = 4;

t.test('what nothing refers to is gone, and two in a row keep their distance', async (t) => {
  const begun: number[] = [];
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const { kind } = (entry as unknown as { detail: { kind: number } }).detail;
      if (kind === FULL) begun.push(entry.startTime);
    }
  });
  observer.observe({ entryTypes: ['gc'] });
  t.teardown(() => observer.disconnect());
  const collect = collector();
  const gone = new WeakRef(new WebAssembly.Memory({ initial: 1 }));
  await sleep(1);
  collect();
  await until(() => gone.deref() === undefined && begun.length > 0, 'the memory is collected');
  const first = begun.length;
  const late = new WeakRef(new WebAssembly.Memory({ initial: 1 }));
  await sleep(1);
  for (let times = 0; times < 5; times += 1) collect();
  await until(() => late.deref() === undefined && begun.length > first, 'one more follows');
  t.equal(begun.length, first + 1, 'one for all that asked');
  t.ok(begun[first]! - begun[first - 1]! >= 200, 'and not at once');
});
