/**
 * A seat knows when its thread is silent, and what it was sent then goes to one that gets on. The
 * threads' side of the ledger is played by the tests.
 */

import type { Worker } from 'node:worker_threads';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { RequestMessage, WorkerHello } from '../../contract/messages.ts';
import { chooseSeat, departures, mayMove } from '../../pool/balance.ts';
import { HEARTBEAT_BYTES, Heartbeat, epochNow } from '../../pool/heartbeat.ts';
import { LEDGER_BYTES, Ledger } from '../../pool/ledger.ts';
import { Seat, type Handle, type Sent } from '../../pool/seat.ts';

const GUESTS_MAX = 1_000;
/** More than a thread may be silent for, with room for timers that are late. */
const LONG_MS = 6;

interface Played {
  readonly seat: Seat;
  /** The thread comes to the next place: true if it begins a request. */
  next(): boolean;
}

function play(): Played {
  const heartbeat = new SharedArrayBuffer(HEARTBEAT_BYTES);
  new Heartbeat(heartbeat).set('beatAt', epochNow());
  const memory = new SharedArrayBuffer(LEDGER_BYTES);
  const ledger = new Ledger(memory);
  const hello = { threadId: 1, heartbeat, ledger: memory } as unknown as WorkerHello;
  const owner = { threads: 2, retired: false, run: () => new Promise<never>(() => undefined) };
  const seat = new Seat(
    owner, {} as Worker, { destroyed: false } as Handle, hello,
    { onReplies: () => undefined, onNotSent: () => undefined });
  let place = -1;
  return { seat, next: () => ledger.begin(place += 1) };
}

let sequence = 0;

function send(seat: Seat, count: number): Sent[] {
  return Array.from({ length: count }, () => {
    sequence += 1;
    const sent: Sent = { place: -1, moves: 0, message: { sequence, body: null } as RequestMessage };
    seat.send(sent);
    return sent;
  });
}

t.test('a thread is silent from when it could have begun something', async (t) => {
  const { seat, next } = play();
  t.equal(seat.silentMs(epochNow() + 50), 0, 'nothing to begin');
  send(seat, 3);
  t.equal(seat.silentMs(epochNow() + 50), 0, 'nothing has left yet');
  await turn();
  const leftAt = epochNow();
  t.ok(seat.silentMs(leftAt + 50) >= 50);
  await sleep(LONG_MS);
  const begunAt = epochNow();
  t.ok(next());
  t.equal(seat.silentMs(begunAt), 0, 'it has begun one');
  t.ok(next());
  t.ok(next());
  t.equal(seat.silentMs(epochNow() + 50), 0, 'and all of them');
  t.equal(seat.unbegun, 0);
});

t.test('what a silent thread was sent leaves it for one that gets on', async (t) => {
  const silent = play();
  const other = play();
  const seats = [silent.seat, other.seat];
  const [moved] = send(silent.seat, 4) as [Sent];
  const sentAt = epochNow();
  await turn();
  const leaving = (now: number) => departures(seats, GUESTS_MAX, now, true)
    .map(({ heldMs: _heldMs, ...rest }) => rest);
  t.strictSame(leaving(sentAt), []);
  const later = epochNow() + LONG_MS;
  t.strictSame(leaving(later), [{ seat: silent.seat, count: 4, toOthers: true }]);
  t.equal(chooseSeat(seats, GUESTS_MAX, later), other.seat, 'nor is it sent more');
  t.equal(silent.seat.takeUnbegun(4, () => true).length, 4);
  t.equal(silent.seat.unbegun, 0);
  t.equal(silent.seat.requests.size, 0);
  // Nothing wants it, and it is as silent as before: until it comes to what is not its any more.
  t.ok(silent.seat.silentMs(later) >= LONG_MS);
  send(silent.seat, 1);
  await turn();
  t.ok(silent.seat.silentMs(later) >= LONG_MS, 'nor does what it is sent make it look alive');
  t.ok(mayMove(moved, 3));
  moved.moves = 2;
  t.notOk(mayMove(moved, 7), 'what has moved stays longer');
  t.ok(mayMove(moved, 9));
  send(other.seat, 2);
  await turn();
  t.ok(other.next());
  const now = epochNow() + LONG_MS;
  t.equal(chooseSeat(seats, GUESTS_MAX, epochNow() + LONG_MS / 3), other.seat);
  for (let count = 0; count < 4; count += 1) t.notOk(silent.next(), 'it was taken back');
  t.ok(silent.next(), 'but for the one that came since');
  t.equal(silent.seat.silentMs(now), 0);
  t.equal(chooseSeat(seats, GUESTS_MAX, epochNow()), silent.seat);
});

t.test('between two silent threads nothing moves', async (t) => {
  const played = [play(), play()];
  const seats = played.map(({ seat }) => seat);
  for (const seat of seats) send(seat, 2);
  await turn();
  t.strictSame(departures(seats, GUESTS_MAX, epochNow() + LONG_MS, false), []);
  const toQueue = departures(seats, GUESTS_MAX, epochNow() + 50, true)
    .map(({ heldMs: _heldMs, ...rest }) => rest);
  t.strictSame(toQueue, seats.map((seat) => ({ seat, count: 2, toOthers: false })));
});

t.test('a client that goes away leaves the next in its place', async (t) => {
  const { seat, next } = play();
  const [first, second] = send(seat, 2) as [Sent, Sent];
  await turn();
  await sleep(LONG_MS);
  const goneAt = epochNow();
  t.ok(seat.takeBack(first));
  t.equal(seat.silentMs(goneAt), 0, 'of the next it is only known from now on');
  t.ok(seat.isUnbegun(second));
  t.notOk(next());
  t.ok(next());
  t.notOk(seat.isUnbegun(second));
});
