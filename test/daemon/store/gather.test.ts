/**
 * How long a commit waits for more commands: for writers that come back, at most for half of a
 * commit's time, and ever more rarely where nobody comes.
 */

import t from 'tap';

import { Gather } from '../../../daemon/store/gather.ts';

/** A clock that only sleeping moves, and commands that arrive at moments of it. */
function harness(commitMs: number) {
  let now = 0;
  const gather = new Gather({ now: () => now, sleep: (ms) => { now += ms; } });
  const settle = (answered: number, waiting: number): void => {
    // Often enough for the average to be that of these commits.
    for (let n = 0; n < 200; n += 1) gather.committed(answered, waiting, commitMs);
  };
  /** How long the next commit waits, with so many here, and one more at each of these moments. */
  const waits = (here: number, arrivals: readonly number[] = []): number => {
    const from = now;
    gather.wait(
      () => here + arrivals.filter((at) => from + at <= now + 1e-6).length, here);
    return Math.round((now - from) * 10) / 10;
  };
  return { gather, settle, waits };
}

t.test('nobody waits for a writer that is alone, nor before the first commit', async (t) => {
  const { settle, waits } = harness(10);
  t.equal(waits(1), 0);
  settle(1, 0);
  t.equal(waits(1), 0);
  t.equal(waits(0), 0);
});

t.test('two halves become one', async (t) => {
  const { settle, waits } = harness(4);
  settle(2, 2);
  t.equal(waits(2, [0.3, 0.5]), 0.5, 'until all four are here');
  settle(4, 0);
  t.equal(waits(4), 0);
  t.equal(waits(3, [0.2]), 0.2);
});

t.test('no longer than half of a commit, and three milliseconds', async (t) => {
  for (const [commitMs, longest] of [[1, 0.5], [4, 2], [100, 3], [0.1, 0]] as const) {
    const { settle, waits } = harness(commitMs);
    settle(4, 4);
    const waited = waits(4, [50]);
    t.ok(waited <= longest && waited >= longest - 0.1, `${commitMs} ms: ${waited}`);
  }
});

t.test('where they do not come back, fewer and fewer commits wait', async (t) => {
  const { settle, waits } = harness(4);
  settle(4, 4);
  const waited: number[] = [];
  for (let commit = 0; commit < 200; commit += 1) if (waits(1) > 0) waited.push(commit);
  t.same(waited, [0, 3, 8, 17, 34, 67, 132, 197]);
  let commit = 0;
  while (waits(4, [0.1, 0.1, 0.1, 0.1]) === 0) commit += 1;
  t.ok(commit <= 64, 'it is tried again');
  t.equal(waits(4, [0.1, 0.1, 0.1, 0.1]), 0.1, 'and then each time, as it is worth it');
});
