/** Threads that die, are stuck, or do not start: who is answered what, and that others go on. */

import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { WardianError } from '../../contract/errors.ts';
import { MIB } from '../../contract/limits.ts';
import { answering, filling, sleeping } from './guests.ts';
import { World, dueIn, startPool, until, type TestPool } from './world.ts';

const start = { entry: new URL('./fixtures/worker.ts', import.meta.url), heapMib: 64 };
t.setTimeout(120_000);
/** No fuel stops these guests: their deadline must. */
const ENDLESS = { fuel: Number.MAX_SAFE_INTEGER };
const world = new World();
t.teardown(() => world.remove());
const hello = world.deploy(answering(200));
const sleeper = world.deploy(sleeping(2_000, 202));

/** The code of a rejection; whatever else happens is a failed test. */
async function rejection(reply: Promise<unknown>): Promise<string> {
  try {
    await reply;
  } catch (error) {
    if (error instanceof WardianError) return error.code;
    throw error;
  }
  return 'answered';
}

async function bothServe({ pool }: TestPool): Promise<void> {
  await until(() => pool.stats().threads === 2, 'two threads serve');
}

for (const target of ['/exit', '/throw', '/reject', '/hoard']) {
  t.test(`a thread that dies by ${target} is replaced`, async (t) => {
    const test = await startPool(t, world, { threads: 2, start });
    const { ask, pool, lost } = test;
    // Sleepers on each thread; on a busy machine the second may join the first.
    const asked: ReturnType<typeof ask>[] = [];
    const sleepOnEach = (): boolean => pool.stats().workers.every(({ waiting }) => waiting > 0);
    while (!sleepOnEach()) {
      asked.push(ask(sleeper), ask(sleeper));
      await new Promise((done) => { setTimeout(done, 100); });
    }
    const sleepers = Promise.allSettled(asked);
    const culprit = ask(hello, { target });
    t.equal(await rejection(culprit), 'worker_lost');
    const fates = (await sleepers).map((result) => (result.status === 'fulfilled'
      ? result.value.status : (result.reason as WardianError).code));
    const dead = fates.filter((fate) => fate === 'worker_lost').length;
    t.ok(dead > 0 && fates.every((fate) => fate === 202 || fate === 'worker_lost'));
    t.ok(fates.includes(202), 'the other thread was left alone');
    await bothServe(test);
    t.equal((await ask(hello)).status, 200);
    t.equal(pool.stats().restarts, 1);
    t.equal(lost.length, 1);
    t.equal(lost[0]?.requests, dead + 1);
  });
}

t.test('what a lost thread had not begun goes to another', async (t) => {
  const test = await startPool(t, world, { threads: 1, start });
  const culprit = rejection(test.ask(hello, { target: '/exit' }));
  const behind = Array.from({ length: 20 }, () => test.ask(hello, { body: new Uint8Array(100) }));
  t.equal(await culprit, 'worker_lost');
  for (const reply of await Promise.all(behind)) t.equal(reply.status, 200);
  t.ok(test.pool.stats().repeated > 0);
  t.equal(test.lost[0]?.requests, 1);
});

for (const [name, bytes] of [['1 MiB', MIB], ['16 MiB', 16 * MIB]] as const) {
  t.test(`a loop of fills of ${name} is ended past its deadline, and replaced`, async (t) => {
    const test = await startPool(t, world, { threads: 2, limits: ENDLESS });
    const { ask, pool, lost } = test;
    const stuck = world.deploy(filling(bytes));
    const deadlineAt = dueIn(300);
    const culprit = ask(stuck, { deadlineAt });
    const canaries: number[] = [];
    while (dueIn(0) < deadlineAt + 200) canaries.push((await ask(hello)).status);
    t.ok(canaries.length > 0 && canaries.every((status) => status === 200));
    const reply = await culprit;
    t.equal(reply.failure?.code, 'deadline');
    await until(() => pool.stats().restarts === 1, 'the thread is gone');
    await bothServe(test);
    t.equal(lost.length, 1);
    t.match(lost[0]?.reason, /past its deadline/);
    t.comment(`replaced ${Math.round(dueIn(0) - deadlineAt)} ms after the deadline`);
  });
}

t.test('guests that wait on a thread that is stuck are lost with it, and counted', async (t) => {
  const { ask, pool, lost } = await startPool(t, world, { threads: 1, limits: ENDLESS });
  const long = world.deploy(sleeping(60_000));
  const waiting = [rejection(ask(long)), rejection(ask(long)), rejection(ask(long))];
  const deadlineAt = dueIn(500);
  const overdue = ask(long, { deadlineAt: deadlineAt + 1 });
  await until(() => pool.waiting() === 4, 'four wait');
  const culprit = ask(world.deploy(filling(2 * MIB)), { deadlineAt });
  t.match(await culprit, { failure: { code: 'deadline' }, held: true });
  t.match(await overdue, { failure: { code: 'deadline' }, held: false }, 'it held nothing');
  t.strictSame(await Promise.all(waiting), ['worker_lost', 'worker_lost', 'worker_lost']);
  await until(() => lost.length === 1, 'the loss is told');
  t.equal(pool.stats().lost, 3);
});

t.test('a reply that is ready is not lost with the guest that follows', async (t) => {
  const { ask, pool } = await startPool(t, world, { threads: 1, limits: ENDLESS });
  t.equal((await ask(hello)).status, 200);
  // Takes long, and with a body it never ends.
  const slow = world.deploy(filling(MIB)
    .replace('(module', `(module (import "wasi_snapshot_preview1" "fd_read"
      (func $read (param i32 i32 i32 i32) (result i32)))`)
    .replace('(loop $again', `(local $i i32)
      (i32.store (i32.const 0) (i32.const 64))
      (i32.store (i32.const 4) (i32.const 1))
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (local.set $i (select (i32.const 0x7fffffff) (i32.const 300) (i32.load (i32.const 8))))
      (loop $again`)
    .replace('(br $again)', `(br_if $again
      (local.tee $i (i32.sub (local.get $i) (i32.const 1))))`));
  t.equal((await ask(slow)).failure, null);
  const ready = rejection(ask(hello));
  const culprit = ask(slow, { body: new Uint8Array(1), deadlineAt: dueIn(500) });
  t.equal(await ready, 'answered');
  t.equal((await culprit).failure?.code, 'deadline');
  await until(() => pool.stats().restarts === 1, 'the thread is gone');
});

t.test('a guest that was suspended and then holds the thread is found too', async (t) => {
  const { ask, pool } = await startPool(t, world, { threads: 1, limits: ENDLESS });
  const wat = sleeping(20).replace('(drop (call $status',
    '(loop $again (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536)) (br $again))\n'
    + '(drop (call $status');
  const deployed = world.deploy(wat);
  const reply = await ask(deployed, { deadlineAt: dueIn(300) });
  t.equal(reply.failure?.code, 'deadline');
  await until(() => pool.stats().restarts === 1, 'the thread is gone');
  t.equal((await ask(hello)).status, 200);
});

const QUERY = `(import "env" "hostcall_dns_query_raw"
  (func $query (param i32 i32 i32 i32) (result i32)))`;
const FILLS = `(loop $again
  (memory.fill (i32.const 0) (i32.const 1) (i32.const ${MIB})) (br $again))`;
/** Waits for what is ready at once, a query of no bytes; then, with a body, fills without end. */
const PROMPT = `(module
  ${QUERY}
  (import "wasi_snapshot_preview1" "fd_read"
    (func $read (param i32 i32 i32 i32) (result i32)))
  (memory 512 512)
  (func (export "run")
    (drop (call $query (i32.const 0) (i32.const 4) (i32.const 8) (i32.const 0)))
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const 1))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (if (i32.load (i32.const 8)) (then ${FILLS}))))`;

t.test('a guest that goes on when others begin, wait and end is found too', async (t) => {
  const { ask, lost } = await startPool(t, world, { threads: 1, limits: ENDLESS });
  const prompt = world.deploy(PROMPT);
  // So that no module has to be loaded: the guests then follow each other in one turn.
  for (const deployed of [prompt, hello]) await ask(deployed);
  const crowd = (): Promise<string>[] => [hello, prompt, prompt, hello, hello, prompt].map(
    (deployed) => rejection(ask(deployed)));
  const before = crowd();
  const culprit = ask(prompt, { deadlineAt: dueIn(500), body: new Uint8Array(1) });
  const after = crowd();
  t.match(await culprit, { failure: { code: 'deadline' }, held: true });
  await until(() => lost.length === 1, 'the loss is told');
  t.match(lost[0]?.reason, /past its deadline/, 'it was seen to hold the thread');
  const fates = await Promise.all([...before, ...after]);
  t.ok(fates.every((fate) => fate === 'answered' || fate === 'worker_lost'), fates.join());
});

t.test('an entry that follows a start function is found too', async (t) => {
  const { ask, lost } = await startPool(t, world, { threads: 1, limits: ENDLESS });
  const stuck = world.deploy(`(module
    ${QUERY}
    (memory 512 512) (func $start) (start $start)
    (func (export "run") ${FILLS}))`);
  t.match(await ask(stuck, { deadlineAt: dueIn(300) }), {
    failure: { code: 'deadline' }, held: true,
  });
  await until(() => lost.length === 1, 'the loss is told');
  t.match(lost[0]?.reason, /past its deadline/);
});

t.test('a thread that is stuck in code of ours is ended after a while', async (t) => {
  const test = await startPool(t, world, { threads: 1, start });
  const behind = test.ask(hello, { target: '/spin' });
  t.equal(await rejection(behind), 'worker_lost');
  await until(() => test.pool.stats().threads === 1, 'another serves');
  t.equal((await test.ask(hello)).status, 200);
  t.match(test.lost[0]?.reason, /has not turned/);
});

t.test('threads that cannot start are tried again until they can', async (t) => {
  const test = await startPool(t, world, { threads: 2, start });
  const { ask, pool, internalErrors } = test;
  const flag = join(world.folder, 'broken');
  t.teardown(() => rmSync(flag, { force: true }));
  writeFileSync(flag, '');
  t.equal(await rejection(ask(hello, { target: '/exit' })), 'worker_lost');
  await until(() => pool.stats().threads === 1, 'one is left');
  t.equal((await ask(hello)).status, 200, 'the one that is left serves');
  await until(() => internalErrors.some((text) => text.includes('on purpose')), 'it is told');
  t.equal(await rejection(ask(hello, { target: '/exit' })), 'worker_lost');
  await until(() => pool.stats().threads === 0, 'none is left');
  const patient = ask(hello);
  rmSync(flag);
  t.equal((await patient).status, 200, 'a request waits for the threads to come back');
  await bothServe(test);
});

t.test('a pool whose threads do not start says so', async (t) => {
  const flag = join(world.folder, 'broken');
  t.teardown(() => rmSync(flag, { force: true }));
  writeFileSync(flag, '');
  await t.rejects(startPool(t, world, { threads: 2, start }), /did not start: broken on purpose/);
});
