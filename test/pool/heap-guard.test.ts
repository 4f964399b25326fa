/** What guests keep on a thread's heap: tables that are counted, and a heap that fills. */

import t from 'tap';
import {
  HEAP_ADMISSION_SHARE, LIVE_TABLE_BYTES_MAX, TABLE_ENTRIES_MAX, TABLE_ENTRY_BYTES,
} from '../../contract/limits.ts';
import { HeapGuard } from '../../pool/heap-guard.ts';
import { World, dueIn, startPool } from './world.ts';

t.test('no guest is admitted while little of the heap is left', async (t) => {
  const limitBytes = 1_000;
  let usedBytes = 0;
  let looks = 0;
  const guard = new HeapGuard(() => {
    looks += 1;
    return { usedBytes, limitBytes };
  });
  guard.admit(0);
  usedBytes = limitBytes * HEAP_ADMISSION_SHARE + 1;
  guard.admit(1);
  t.equal(looks, 1, 'it does not look every time');
  t.throws(() => guard.admit(10), { code: 'overloaded', message: /heap/ });
  usedBytes = 1;
  t.throws(() => guard.admit(11), { code: 'overloaded' });
  guard.admit(20);
  t.equal(looks, 3);
});

t.test('tables are counted until they are given back', async (t) => {
  const guard = new HeapGuard();
  const held: number[] = [];
  const fit = LIVE_TABLE_BYTES_MAX / (TABLE_ENTRIES_MAX * TABLE_ENTRY_BYTES);
  for (let i = 0; i < fit; i += 1) held.push(guard.hold(TABLE_ENTRIES_MAX));
  t.throws(() => guard.hold(1), { code: 'overloaded', message: /tables of \d+ bytes exist/ });
  guard.release(held.pop() ?? 0);
  guard.hold(TABLE_ENTRIES_MAX);
});

/** Holds a table of as many entries as may be, and waits. */
const HOLDER = `(module
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory 1) (table ${TABLE_ENTRIES_MAX} funcref)
  (data (i32.const 24) "\\ff\\ff\\ff\\ff\\ff\\ff\\ff\\3f")
  (func (export "run") (table.set (i32.const 0) (ref.null func))
    (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))`;

t.test('guests that wait with large tables are refused before they fill the heap', async (t) => {
  const world = new World();
  t.teardown(() => world.remove());
  const pool = await startPool(t, world, { limits: { deadlineMs: 600_000 } });
  const holder = world.deploy(HOLDER);
  const first = pool.lastSequence() + 1;
  const fit = LIVE_TABLE_BYTES_MAX / (TABLE_ENTRIES_MAX * TABLE_ENTRY_BYTES);
  const deadlineAt = dueIn(600_000);
  const replies = Array.from({ length: fit + 1 }, () => pool.ask(holder, { deadlineAt }));
  // The last to begin finds no room; the others wait until their clients go away.
  t.equal((await Promise.race(replies)).failure?.code, 'overloaded');
  for (let i = 0; i < replies.length; i += 1) pool.pool.abort(first + i);
  const codes = (await Promise.all(replies)).map(({ failure }) => failure?.code);
  t.equal(codes.filter((code) => code === 'client_closed').length, fit);
  const again = pool.ask(holder);
  pool.pool.abort(pool.lastSequence());
  t.equal((await again).failure?.code, 'client_closed', 'there is room again');
  t.same(pool.lost, []);
});
