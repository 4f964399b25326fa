/**
 * Admission: the window, turns between tenants by what their guests cost, shares in flight and in
 * the queue, early refusals, expiry, and that every count returns to zero.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';

import { ADMISSION_ACTIVE_MS, RETRY_AFTER_S_MAX } from '../../contract/limits.ts';
import { createAdmission } from '../../daemon/admission.ts';
import type { Admission, AdmissionLimits, PoolLoad, Waiter } from '../../daemon/admission.ts';

const LIMITS: AdmissionLimits = {
  tenantInFlightMax: 100, inFlightMax: 125, threads: 2, window: 8, tenantQueueMax: 40,
  queueMax: 50, queueMs: 5_000, tenantMax: 60,
};
const NEVER = Number.POSITIVE_INFINITY;
const CHEAP_MS = 0.05;
const DEAR_MS = 100;

class World {
  readonly admission: Admission;
  readonly started: string[] = [];
  readonly expired: string[] = [];
  readonly retryAfterS: number[] = [];
  /** By tenant. */
  readonly waiting = new Map<number, number>();
  room = true;
  now = performance.now();

  constructor(limits: Partial<AdmissionLimits> = {}) {
    const load: PoolLoad = {
      waiting: () => [...this.waiting.values()].reduce((sum, count) => sum + count, 0),
      waitingOf: (tenantId) => this.waiting.get(tenantId) ?? 0,
      room: () => this.room,
    };
    this.admission = createAdmission({ ...LIMITS, ...limits }, load);
  }

  waiter(name: string, dueAt = NEVER): Waiter {
    return {
      dueAt, expiresAt: 0,
      start: () => this.started.push(name),
      expire: (retryAfterS) => {
        this.expired.push(name);
        this.retryAfterS.push(retryAfterS);
      },
    };
  }

  offer(tenantId: number, name = `${tenantId}`, dueAt = NEVER): boolean {
    return this.admission.offer(tenantId, this.waiter(name, dueAt), this.now);
  }

  refusal(tenantId: number, dueAt = NEVER): unknown {
    try {
      return this.offer(tenantId, 'refused', dueAt);
    } catch (error) {
      return error;
    }
  }

  /** So many of the tenant's requests came and went, each holding a thread for so long. */
  learn(tenantId: number, heldMs: number, count = 50): void {
    for (let turn = 0; turn < count; turn += 1) {
      if (!this.offer(tenantId)) throw new Error('no room to learn in');
      this.finish(tenantId, heldMs);
    }
  }

  finish(tenantId: number, heldMs = CHEAP_MS): void {
    this.admission.finished(tenantId, heldMs, this.now);
  }

  get counts(): [number, number] {
    return [this.admission.inFlight, this.admission.queued];
  }
}

t.test('requests run at once while the window is open, and wait beyond it', async (t) => {
  const world = new World({ window: 2 });
  t.equal(world.offer(1, 'a'), true);
  t.equal(world.offer(1, 'b'), true);
  t.equal(world.offer(1, 'c'), false);
  t.same(world.counts, [2, 1]);
  world.finish(1);
  t.same(world.started, ['c']);
  t.same(world.counts, [2, 0]);
  world.finish(1);
  world.finish(1);
  t.same(world.counts, [0, 0]);
  t.throws(() => world.finish(1), /finished more/);
});

t.test('nothing is sent while no thread would begin it soon', async (t) => {
  const world = new World();
  world.room = false;
  t.equal(world.offer(1, 'a'), false);
  t.equal(world.admission.isShared(world.now), false);
  world.offer(2, 'b');
  t.equal(world.admission.isShared(world.now), true);
  t.equal(world.admission.isShared(world.now + ADMISSION_ACTIVE_MS + 1), false);
  world.room = true;
  await sleep(20);
  t.same(world.started, ['a', 'b'], 'a timer looks');
});

t.test('a flood of cheap requests leaves room for another at once', async (t) => {
  const world = new World();
  world.learn(1, CHEAP_MS * 20);
  world.learn(2, CHEAP_MS);
  while (world.offer(1, 'flood'));
  t.ok(world.admission.inFlight < LIMITS.window, 'the window is not full');
  t.equal(world.offer(2, 'quiet'), true);
});

t.test('alone, a tenant has the whole window', async (t) => {
  const world = new World();
  world.learn(1, CHEAP_MS);
  while (world.offer(1));
  t.equal(world.admission.inFlight, LIMITS.window);
  t.equal(world.offer(2), false, 'whoever comes then waits for one turn');
  world.finish(1);
  t.same(world.started, ['2']);
});

t.test('guests that hold threads for long leave one to others, while there are others', (t) => {
  const world = new World();
  world.learn(1, DEAR_MS);
  t.equal(world.offer(1), true);
  t.equal(world.offer(1), true, 'alone on both threads');
  t.equal(world.offer(1), false, 'and nothing is sent ahead');
  t.equal(world.offer(2, 'quiet'), true);
  world.finish(1, DEAR_MS);
  t.same(world.started, [], 'no second thread from now on');
  world.finish(1, DEAR_MS);
  t.same(world.started, ['1']);
  world.now += ADMISSION_ACTIVE_MS + 1;
  t.equal(world.offer(1), true, 'until the other has been away for a while');
  t.end();
});

t.test('several such tenants leave a thread together', async (t) => {
  const world = new World();
  world.learn(1, DEAR_MS);
  world.learn(2, DEAR_MS);
  world.learn(3, CHEAP_MS);
  t.equal(world.offer(1), true);
  t.equal(world.offer(2), false);
  t.equal(world.offer(3), true);
  world.finish(1, DEAR_MS);
  t.same(world.started, ['2']);
});

t.test('guests that wait in a hostcall hold no thread, whatever they cost', async (t) => {
  const world = new World();
  world.learn(2, CHEAP_MS);
  world.learn(1, DEAR_MS);
  for (let count = 1; count <= 20; count += 1) {
    t.equal(world.offer(1), true);
    world.waiting.set(1, count);
  }
  world.waiting.set(1, 19);
  t.equal(world.offer(1), false);
  world.waiting.set(1, 20);
  world.admission.pump(world.now);
  t.same(world.started, ['1']);
});

t.test('turns go by the time that guests had, not by their number', async (t) => {
  const world = new World({ window: 1, threads: 1, tenantQueueMax: 100, queueMax: 200 });
  world.learn(1, 10);
  world.learn(2, 1);
  t.equal(world.offer(3), true);
  for (let count = 0; count < 25; count += 1) {
    world.offer(1, 'slow');
    world.offer(2, 'quick');
  }
  world.finish(3);
  for (let turn = 0; turn < 21; turn += 1) {
    world.finish(world.started.at(-1) === 'slow' ? 1 : 2, world.started.at(-1) === 'slow' ? 10 : 1);
  }
  const slow = world.started.filter((name) => name === 'slow').length;
  t.ok(slow >= 2 && slow <= 4, `${slow} of 22 turns, each ten times as long`);
});

t.test('waiting guests of one tenant never shut out others', async (t) => {
  const world = new World({ tenantMax: 1_000 });
  const fill = (tenantId: number): number => {
    for (let count = 0; ; count += 1) {
      try {
        t.ok(world.offer(tenantId));
        world.waiting.set(tenantId, count + 1);
      } catch (error) {
        t.match(error, { code: 'tenant_overloaded', retryAfterS: 1 });
        return count;
      }
    }
  };
  t.equal(fill(1), LIMITS.tenantInFlightMax, 'alone it may have all of its own');
  t.equal(fill(2), LIMITS.inFlightMax / 5 - 5, 'then the second, of what is left');
  t.ok(fill(3) >= 1);
  t.ok(world.admission.inFlight < LIMITS.inFlightMax);
});

t.test('a queue is bounded, and one tenant cannot have all of it', async (t) => {
  const world = new World({ window: 1 });
  t.ok(world.offer(9));
  for (let count = 0; count < LIMITS.tenantQueueMax; count += 1) t.notOk(world.offer(1));
  t.throws(() => world.offer(1), { code: 'tenant_overloaded' });
  t.notOk(world.offer(2));
  for (let tenant = 3; world.admission.queued < LIMITS.queueMax; tenant += 1) world.offer(tenant);
  t.throws(() => world.offer(99), { code: 'overloaded' });
  t.equal(world.admission.shed, 2);
  const strict = new World({ tenantMax: 3 });
  for (let count = 0; count < 3; count += 1) strict.offer(1);
  t.throws(() => strict.offer(1), { code: 'tenant_overloaded', message: /3 requests under way/ });
});

t.test('what would wait for too long is refused at once, and told when to come', async (t) => {
  const world = new World({ window: 1, queueMs: 60_000 });
  const length = 12;
  for (let count = 0; count < length; count += 1) world.offer(1);
  // Ten leave the queue, one each second.
  for (let count = 0; count < 10; count += 1) {
    world.now += 1_000;
    world.offer(1);
    world.finish(1);
  }
  t.equal(world.admission.queued, length - 1);
  t.match(world.refusal(1, world.now + 10_000),
    { code: 'overloaded', message: /would wait 11000 ms/, retryAfterS: 11 });
  t.equal(world.offer(1, 'patient', world.now + 12_000), false);
  t.equal(world.offer(2, 'other', world.now + 10_000), false, 'its queue is short');
  world.now += 1_000_000;
  t.match(world.refusal(1), { retryAfterS: RETRY_AFTER_S_MAX }, 'a pause counts');
});

t.test('a request with less time than its wait is refused, one with more is queued', async (t) => {
  const world = new World({ window: 1 });
  for (let count = 0; count < 11; count += 1) world.offer(1);
  for (let count = 0; count < 9; count += 1) {
    world.now += 200;
    world.finish(1);
    world.offer(1);
  }
  t.throws(() => world.offer(1, 'hasty', world.now + 1_000), { code: 'overloaded' });
  t.equal(world.offer(1, 'patient', world.now + 4_000), false);
});

t.test('a queued request expires at its deadline or after queueMs, wherever it is', async (t) => {
  const world = new World({ window: 1, queueMs: 60 });
  world.offer(1);
  world.offer(1, 'long', world.now + 60_000);
  world.offer(1, 'short', world.now + 10);
  const other = world.now;
  world.now += 5;
  world.offer(2, 'other', world.now + 10);
  while (world.admission.queued > 0) await sleep(5);
  t.same(world.expired.toSorted(), ['long', 'other', 'short']);
  t.ok(world.expired.indexOf('short') < world.expired.indexOf('long'));
  t.ok(performance.now() - other >= 60);
  t.ok(world.retryAfterS.every((retryAfterS) => retryAfterS >= 1));
  t.equal(world.admission.shed, 3);
  t.same(world.counts, [1, 0]);
  world.finish(1);
  t.same(world.started, []);
});

t.test('whose time is over when its turn comes is not started', async (t) => {
  const world = new World({ window: 1 });
  world.offer(1);
  world.offer(1, 'late', world.now + 10);
  world.offer(1, 'in time', world.now + 1_000);
  world.now += 20;
  world.finish(1);
  t.same([world.expired, world.started], [['late'], ['in time']]);
});

t.test('an abandoned request loses its place and its tenant its turn', async (t) => {
  const world = new World({ window: 2 });
  world.offer(1);
  world.offer(1);
  const gone = world.waiter('gone');
  t.notOk(world.admission.offer(2, gone, world.now));
  world.offer(3, 'stays');
  world.admission.abandon(2, gone);
  world.admission.abandon(2, gone);
  world.admission.abandon(77, gone);
  world.finish(1);
  t.same(world.started, ['stays']);
  world.finish(1);
  world.finish(3);
  t.same(world.counts, [0, 0]);
});

t.test('what is given back stands first in its tenant\'s queue', async (t) => {
  const world = new World({ window: 2 });
  const returned = world.waiter('returned');
  t.ok(world.admission.offer(1, returned, world.now));
  world.offer(1);
  world.offer(1, 'next');
  world.room = false;
  world.admission.giveBack(1, returned, world.now);
  t.same(world.counts, [1, 2]);
  world.room = true;
  world.finish(1);
  t.same(world.started, ['returned', 'next']);
});

t.test('a long queue of requests that are over at their start is no deep stack', async (t) => {
  const length = 20_000;
  const admission = createAdmission({
    tenantInFlightMax: length, inFlightMax: 2 * length, threads: 1, window: 1,
    tenantQueueMax: length, queueMax: 2 * length, queueMs: 5_000, tenantMax: length,
  }, { waiting: () => 0, waitingOf: () => 0, room: () => true });
  let ended = 0;
  const now = performance.now();
  const start = (): void => {
    ended += 1;
    admission.finished(1, 0, now);
  };
  const offer = (): boolean => admission.offer(
    1, { dueAt: NEVER, expiresAt: 0, start, expire: () => t.fail('expired') }, now);
  t.equal(offer(), true);
  for (let i = 1; i < length; i += 1) offer();
  admission.finished(1, 0, now);
  t.equal(ended, length - 1);
  t.same([admission.inFlight, admission.queued], [0, 0]);
});

t.test('a tenant whose guest waits saves up no turns meanwhile', async (t) => {
  const world = new World({ window: 1 });
  world.learn(1, CHEAP_MS);
  world.offer(1);
  world.waiting.set(1, 1);
  world.learn(2, 1, 1_000);
  t.equal(world.offer(2), true);
  for (let count = 0; count < 10; count += 1) {
    world.offer(1, 'flood');
    world.offer(2, 'steady');
  }
  world.finish(2, 1);
  for (let turn = 0; turn < 8; turn += 1) {
    const isFlood = world.started.at(-1) === 'flood';
    world.finish(isFlood ? 1 : 2, 1);
  }
  const steady = world.started.filter((name) => name === 'steady').length;
  t.ok(steady >= 2, `${steady} of ${world.started.length} turns were the other's`);
});

t.test('one that leaves before its guest began changes nothing, and room is told early', (t) => {
  const w = new World();
  t.ok(w.admission.hasRoom(1, w.now), 'whoever was never here has some');
  for (let index = 0; index < 8; index += 1) t.ok(w.offer(1));
  for (let index = 0; index < 19; index += 1) t.notOk(w.offer(1, `${index}`));
  t.ok(w.admission.hasRoom(1, w.now));
  t.notOk(w.offer(1, '19'));
  t.notOk(w.admission.hasRoom(1, w.now), 'half of its queue is taken');
  t.ok(w.admission.hasRoom(2, w.now));
  w.admission.withdraw(1, w.now);
  t.same(w.started, ['0'], 'its place is the next one\'s');
  t.equal(w.admission.inFlight, 8);
  t.end();
});
