/** Which thread gets a request: by who wants it, then by who is there at all. */

import t from 'tap';
import { LIVE_MEMORIES_MAX } from '../../contract/limits.ts';
import { chooseSeat } from '../../pool/balance.ts';
import type { Seat } from '../../pool/seat.ts';
import { HEARTBEAT_BYTES, Heartbeat, epochNow } from '../../pool/heartbeat.ts';

const GUESTS_MAX = 5_000;

/** As far as a choice looks at it. */
function seats(guests: readonly { readonly size: number; readonly waiting: number }[]): Seat[] {
  return guests.map(({ size, waiting }) => {
    const heartbeat = new Heartbeat(new SharedArrayBuffer(HEARTBEAT_BYTES));
    heartbeat.set('beatAt', epochNow());
    return {
      heartbeat, requests: { size }, crew: { threads: guests.length }, load: size - waiting,
      takes: (most: number) => size < most, silentMs: () => 0,
    } as unknown as Seat;
  });
}

function chosen(guests: Parameters<typeof seats>[0]): number {
  const all = seats(guests);
  const seat = chooseSeat(all, GUESTS_MAX, epochNow());
  return seat === null ? -1 : all.indexOf(seat);
}

t.test('of threads that as many guests want, the one where fewest wait', async (t) => {
  t.equal(chosen([{ size: 0, waiting: 0 }, { size: 0, waiting: 0 }]), 0, 'the warm one');
  t.equal(chosen([{ size: 5, waiting: 5 }, { size: 2, waiting: 2 }]), 1);
  t.equal(chosen([{ size: 5, waiting: 5 }, { size: 2, waiting: 1 }]), 0, 'nobody wants it');
});

t.test('one whose share of memories is nearly taken comes last', async (t) => {
  const most = LIVE_MEMORIES_MAX / 4;
  const free = { size: 20, waiting: 0 };
  const crowded = { size: most * 0.9, waiting: most * 0.9 };
  t.equal(chosen([crowded, free, crowded, crowded]), 1);
  t.equal(chosen([crowded, crowded, crowded, crowded]), 0, 'but it is not refused here');
});
