/**
 * A thread that dies takes its own requests along and no others: a guest with more fuel than time
 * holds its thread past its deadline; the thread is ended, its requests get 502, and it is
 * replaced.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';

import { ALLOW_LOOPBACK, assemble, example, openUpstream, startFor, until } from './world.ts';

const DEADLINE_MS = 8_000;
const SLEEP_MS = 3_000;
const WAITING = 24;

/** Sleeps, and then never comes back: by then its thread has other guests. */
const STUCK = assemble(`(module
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory 1)
  ;; A subscription: clock (0), monotonic (1), nanoseconds, relative.
  (func (export "run")
    (i32.store (i32.const 80) (i32.const 1))
    (i64.store (i32.const 88) (i64.const ${SLEEP_MS * 1_000_000}))
    (drop (call $poll (i32.const 64) (i32.const 256) (i32.const 1) (i32.const 512)))
    (loop $on (br $on))))`);

t.test('a stuck thread', async (t) => {
  const upstream = await openUpstream(t);
  const daemon = await startFor(t, {
    flags: [...ALLOW_LOOPBACK, '--threads', '2'],
    environment: {
      WARDIAN_LIMITS_DEADLINE_MS: String(DEADLINE_MS),
      WARDIAN_LIMITS_FUEL: String(Number.MAX_SAFE_INTEGER),
    },
  });
  await daemon.deploy('stuck', STUCK);
  await daemon.deploy('proxy', example('proxy'));
  await daemon.deploy('hello', example('hello-rust'));
  const lost = (): Record<string, unknown>[] =>
    daemon.log.filter((line) => String(line['msg']).startsWith('worker lost'));

  const from = performance.now();
  const stuck = daemon.ask('stuck.localhost');
  await sleep(SLEEP_MS / 3);
  const waiting: ReturnType<typeof daemon.ask>[] = [];
  // One after the other: of all at once a thread that the system does not run soon may get none.
  for (let i = 1; i <= WAITING; i += 1) {
    waiting.push(daemon.ask('proxy.localhost', `/?url=${upstream.url}`));
    await until('it waits', () => upstream.held() === i);
  }
  await sleep(Math.max(0, from + SLEEP_MS + 500 - performance.now()));
  // From here on one thread is held: its guests cannot take what upstream sends.
  upstream.release();
  const meanwhile: number[] = [];
  for (let i = 0; i < 20; i += 1) meanwhile.push((await daemon.ask('hello.localhost')).status);
  t.strictSame(
    meanwhile,
    meanwhile.map(() => 200),
    'the other thread answers meanwhile',
  );
  t.equal(lost().length, 0, 'while the first is still stuck');

  const answer = await stuck;
  t.equal(answer.status, 504, 'the guest that held it was late');
  t.equal(answer.headers['wardian-error'], 'deadline');
  const answers = await Promise.all(waiting);
  const dead = answers.filter(({ status }) => status !== 200);
  for (const { status, headers } of dead) {
    t.equal(status, 502, 'a request that the thread took along');
    t.equal(headers['wardian-error'], 'worker_lost');
    t.match(headers['retry-after'], /^\d+$/);
  }
  t.comment(`${dead.length} of ${WAITING} waiting guests were on the thread that was lost`);
  t.ok(dead.length > 0 && dead.length < WAITING, 'some of them were, and others were not');
  await until('the log tells', () => lost().length === 1);

  const after = await Promise.all(Array.from({ length: 50 }, () => daemon.ask('hello.localhost')));
  t.strictSame(
    after.map(({ status }) => status),
    after.map(() => 200),
  );
  t.equal((await daemon.ask('stuck.localhost')).status, 504, 'it can be done again');
  await until('a second thread was lost', () => lost().length === 2);
  t.equal((await daemon.ask('hello.localhost')).status, 200, 'and nothing else comes of it');
  t.equal(await daemon.stop(), 0);
});
