/**
 * Whose turn it is when several guests are resumed at once, as by the answers of one commit: each
 * is told of right before its stack goes on, and before its allocator is called for the answer.
 */

import t from 'tap';

import { createHost } from '../../hostcalls/index.ts';
import { start, testServices } from './guest.ts';

/** Waits for a write, tells that it goes on, waits for another, tells it again. */
const TWICE = `(module
  (import "env" "hostcall_kvstore_upsert" (func $put (param i32 i32 i32 i32) (result i32)))
  (import "env" "hostcall_debug" (func $debug (param i32 i32)))
  (memory 1)
  (func (export "run")
    (drop (call $put (i32.const 64) (i32.const 1) (i32.const 64) (i32.const 1)))
    (call $debug (i32.const 64) (i32.const 1))
    (drop (call $put (i32.const 64) (i32.const 1) (i32.const 64) (i32.const 1)))
    (call $debug (i32.const 64) (i32.const 1))))`;
const GUESTS = [11, 12, 13];

t.test('guests that one commit resumes', async (t) => {
  const told: string[] = [];
  let commit = Promise.withResolvers<void>();
  const services = testServices(t, []);
  const host = createHost({
    services: {
      ...services,
      kv: {
        ...services.kv, put: () => commit.promise.then(() => ({ absent: false })),
      } as never,
      openLog: ((versionId: number, requestId: string) => ({
        line: () => told.push(`runs ${requestId}`), close: () => undefined, bytes: 0,
      })) as never,
    },
    onInternalError: (error) => { throw error; },
    onEnter: (sequence) => told.push(`enter ${sequence}`),
  });
  const running = GUESTS.map((sequence) => {
    const { exports, guest } = start(t, {
      text: TWICE, host, request: { sequence, requestId: String(sequence) },
    });
    return { ended: WebAssembly.promising(exports['run']!)(), guest };
  });
  for (let round = 0; round < 2; round += 1) {
    t.strictSame(told, [], 'all wait');
    const answered = commit;
    commit = Promise.withResolvers<void>();
    answered.resolve();
    await new Promise((done) => { setImmediate(done); });
    const ran = told.filter((line, index) => line.startsWith('runs')
      && t.equal(told[index - 1], line.replace('runs', 'enter'), 'told right before it goes on'));
    t.strictSame(ran, GUESTS.map((sequence) => `runs ${sequence}`));
    told.length = 0;
  }
  await Promise.all(running.map(({ ended }) => ended));
  for (const { guest } of running) guest.close();
});
