/** The pace of a series: known after a second, blind to bursts, not to pauses that last. */

import t from 'tap';

import { Rate } from '../../daemon/rate.ts';

t.test('nothing is claimed of a series that has not begun, or has just', async (t) => {
  const rate = new Rate();
  t.equal(rate.intervalMs(1_000_000), 0);
  rate.begin(1_000_000);
  rate.mark(1_000_500);
  t.equal(rate.intervalMs(1_000_900), 0);
  t.equal(rate.intervalMs(1_001_000), 1_000);
});

t.test('bursts count as what they are on average', async (t) => {
  const rate = new Rate();
  rate.begin(0);
  for (let at = 100; at <= 10_000; at += 100) {
    for (let turn = 0; turn < 10; turn += 1) rate.mark(at);
  }
  t.ok(Math.abs(rate.intervalMs(10_000) - 10) < 1, String(rate.intervalMs(10_000)));
  t.ok(rate.intervalMs(10_100) < 11, 'a short pause changes little');
  t.ok(rate.intervalMs(40_000) > 100, 'one that lasts does');
  rate.begin(50_000);
  t.equal(rate.intervalMs(50_500), 0, 'a new series forgets');
});
