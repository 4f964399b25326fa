/** How large the heaps of workers may be, by the machine. */

import t from 'tap';

import { workerHeapMib } from '../../pool/v8-flags.ts';

const GIB = 2 ** 30;

t.test('roomy heaps take half of the machine at most, all together', async (t) => {
  t.equal(workerHeapMib(2, 8 * GIB), 2_048);
  t.equal(workerHeapMib(2, 8 * GIB - 1), 1_024);
  t.equal(workerHeapMib(16, 64 * GIB), 2_048);
  t.equal(workerHeapMib(17, 64 * GIB), 1_024);
});

t.test('without a word of the machine it is this one', async (t) => {
  t.ok([1_024, 2_048].includes(workerHeapMib(1)));
  t.equal(workerHeapMib(1_000_000), 1_024);
});
