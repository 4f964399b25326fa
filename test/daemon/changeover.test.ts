/** Who waits for whom while a backup takes the database's place. */

import t from 'tap';

import { StoreEpoch } from '../../contract/store-epoch.ts';
import { Changeover } from '../../daemon/changeover.ts';
import type { ChangeoverParts } from '../../daemon/changeover.ts';

function setUp(parts: Partial<ChangeoverParts> = {}) {
  const events: string[] = [];
  const epoch = new StoreEpoch();
  const changeover = new Changeover({
    epoch, guestsGone: () => Promise.resolve(), recall: () => events.push('recalled'),
    onFault: (error) => events.push(`fault: ${(error as Error).message}`), ...parts,
  });
  const exchange = async (): Promise<void> => {
    epoch.begin();
    events.push('exchanged');
    await Promise.resolve();
    epoch.end();
  };
  return { changeover, events, epoch, exchange };
}

t.test('work is over first, new work and requests come after', async (t) => {
  const { changeover, events, exchange } = setUp();
  t.equal(changeover.epoch, 0);
  changeover.hold(1, () => events.push('at once'));
  const work = Promise.withResolvers<void>();
  const first = changeover.run('first', async () => {
    await work.promise;
    events.push('first');
  });
  await Promise.resolve();
  const changing = changeover.change(exchange);
  const second = changeover.run('second', () => void events.push(`second at ${changeover.epoch}`));
  t.equal(changeover.holds, false, 'requests go on while work ends');
  work.resolve();
  await first;
  await Promise.resolve();
  await new Promise((done) => { setImmediate(done); });
  await changing;
  await second;
  t.same(events, ['at once', 'first', 'exchanged', 'second at 2']);
});

t.test('requests that come meanwhile go on in their order, whatever one does', async (t) => {
  const { changeover, events } = setUp();
  await changeover.change(async () => {
    t.equal(changeover.holds, true);
    changeover.hold(1, () => events.push('one'));
    changeover.hold(1, () => { throw new Error('two'); });
    changeover.hold(1, () => events.push(`three, held: ${changeover.holds}`));
    await t.rejects(changeover.change(() => Promise.resolve()), { code: 'conflict' });
    t.same(events, []);
  });
  t.same(events, ['one', 'fault: two', 'three, held: false']);
});

t.test('guests without an end do not hold it up; what none has begun comes back', async (t) => {
  const { changeover, events, exchange } = setUp({ guestsGone: () => new Promise(() => {}) });
  const keepAlive = setInterval(() => {}, 1_000);
  await changeover.change(exchange);
  clearInterval(keepAlive);
  t.same(events, ['recalled', 'exchanged']);
});

t.test('work without an end: refused by its name, and nothing is changed', async (t) => {
  const { changeover, events, exchange } = setUp();
  const keepAlive = setInterval(() => {}, 1_000);
  const leave = await changeover.enter('the deploy of shop');
  let cut = 0;
  const over = await changeover.enter('GET /v1/export', () => {
    cut += 1;
    over();
  });
  await t.rejects(changeover.change(exchange, 20), {
    code: 'conflict', message: /the deploy of shop; nothing was changed/,
  });
  t.same(events, []);
  t.equal(cut, 1);
  t.equal(changeover.holds, false);
  leave();
  leave();
  await changeover.change(exchange, 20);
  t.same(events, ['exchanged']);
  await t.rejects(changeover.change(() => Promise.reject(new Error('no'))), { message: 'no' });
  t.equal(changeover.holds, false, 'also when the exchange fails');
  t.equal(await changeover.run('later', () => 'done'), 'done');
  clearInterval(keepAlive);
});

t.test('no more wait than can be held, and no tenant takes all places', async (t) => {
  const { changeover } = setUp();
  const went = new Map<number, number>();
  const hold = (tenantId: number): void => changeover.hold(tenantId, () => {
    went.set(tenantId, (went.get(tenantId) ?? 0) + 1);
  });
  await changeover.change(async () => {
    for (let index = 0; index < 8_000; index += 1) hold(1);
    t.throws(() => hold(1), { code: 'tenant_overloaded', message: /8000 requests of this/ });
    for (let index = 0; index < 1_600; index += 1) hold(2);
    t.throws(() => hold(2), { code: 'tenant_overloaded' });
    for (let tenantId = 3; tenantId < 403; tenantId += 1) hold(tenantId);
    t.throws(() => hold(500), { code: 'overloaded' });
    await Promise.resolve();
  });
  t.equal(changeover.holds, false);
  t.ok((went.get(1) ?? 0) < 8_000, 'not all in one turn');
  t.equal(went.get(402), 1, 'each tenant has some in the first');
  await new Promise((done) => { setTimeout(done, 200); });
  t.same([went.get(1), went.get(2), went.size], [8_000, 1_600, 402]);
});

t.test('requests go on as their tenant has room, and at last without', async (t) => {
  let room = 3;
  const { changeover } = setUp({
    hasRoom(tenantId) {
      if (tenantId !== 1) return false;
      room -= 1;
      return room >= 0;
    },
  });
  const events: string[] = [];
  await changeover.change(async () => {
    for (let index = 1; index <= 5; index += 1) changeover.hold(1, () => events.push(`${index}`));
    changeover.hold(2, () => events.push('of a full one'));
    await Promise.resolve();
  });
  t.same(events, ['1', '2', '3']);
  room = 2;
  await new Promise((done) => { setTimeout(done, 100); });
  t.same(events, ['1', '2', '3', '4', '5']);
  await new Promise((done) => { setTimeout(done, 2_200); });
  t.same(events.at(-1), 'of a full one', 'admission says why it is refused');
});
