/** Requests through a real pool: answers, every kind of failure, limits, settings, bodies. */

import t from 'tap';
import { BODY_AS_TEXT_BYTES_MAX, MIB, TABLE_ENTRY_BYTES } from '../../contract/limits.ts';
import { answering, guest, sleeping } from './guests.ts';
import { World, assemble, dueIn, startPool, until } from './world.ts';

const world = new World();
t.teardown(() => world.remove());

t.test('a guest answers, and says what it used', async (t) => {
  const { ask, internalErrors } = await startPool(t, world);
  const deployed = world.deploy(answering(201));
  const first = await ask(deployed);
  t.equal(first.status, 201);
  t.equal(first.failure, null);
  t.equal(first.usage.recycled, false);
  t.equal(first.usage.hostcalls, 1);
  t.equal(first.usage.memoryBytes, 64 * 1024);
  t.ok(first.usage.fuel > 0);
  t.ok(first.usage.instantiateUs > 0);
  const second = await ask(deployed);
  t.equal(second.usage.recycled, true);
  t.equal(second.usage.fuel, first.usage.fuel, 'fuel is deterministic');
  t.strictSame(internalErrors, []);
});

t.test('every way to fail has its code, and the thread goes on', async (t) => {
  const { ask, pool, lost } = await startPool(t, world);
  const store = (address: number) => `(i32.store (i32.const ${address}) (i32.const 1))`;
  const cases: [string, string, string, RegExp][] = [
    ['unreachable', guest('unreachable'), 'guest_trap', /^unreachable executed in \S+ at 0x/],
    ['out of bounds', guest(store(70_000_000)), 'guest_trap', /^out-of-bounds memory access/],
    ['division', guest('(drop (i32.div_s (i32.const 1) (i32.const 0)))'), 'guest_trap',
      /division by zero/],
    ['overflow', guest('(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))'), 'guest_trap',
      /integer overflow/],
    ['conversion', guest('(drop (i32.trunc_f32_s (f32.const nan)))'), 'guest_trap',
      /invalid conversion/],
    ['table', guest('(call_indirect (i32.const 9))', '(table 1 funcref)'), 'guest_trap',
      /an indirect call of an index outside of the table/],
    ['null', guest('(call_indirect (i32.const 0))', '(table 1 funcref)'), 'guest_trap',
      /indirect call/],
    ['named', guest('(call $culprit)', '(func $culprit unreachable)'), 'guest_trap',
      /in culprit at 0x/],
    ['segment', guest('nop', '(data (i32.const 65530) "123456789")'), 'guest_trap', /segment/],
    ['recursion', guest('(call $f)', '(func $f (call $f) (call $f))'), 'stack_overflow', /stack/],
    ['exception', guest('(throw $e)', '(tag $e)'), 'guest_exception', /no handler/],
    ['fuel', guest('(loop $l (br $l))'), 'out_of_fuel', /of 50000000 units of fuel/],
  ];
  const limits = { fuel: 50_000_000 };
  for (const [name, wat, code, message] of cases) {
    const reply = await ask(world.deploy(wat, { limits }));
    t.equal(reply.failure?.code, code, `${name}: ${reply.failure?.message}`);
    t.match(reply.failure?.message, message, name);
    t.equal(reply.body, null);
    t.notMatch(reply.failure?.backtrace.join(' '), /file:|\.ts/, 'no frames of ours');
  }
  t.equal((await ask(world.deploy(answering(299)))).status, 299);
  t.equal(pool.stats().restarts, 0);
  t.strictSame(lost, []);
});

t.test('a trap after a refused growth is told as want of memory', async (t) => {
  const { ask } = await startPool(t, world);
  // As the rewriter writes it, by hand: what the guest asked for is in the last global.
  const artifact = assemble(`(module
    (import "wardian:host" "memory" (memory 1 16))
    (global (export "wardian:fuel") (mut i64) (i64.const 0))
    (global (export "wardian:context") (mut i32) (i32.const 0))
    (global (export "wardian:pages") (mut i32) (i32.const 0))
    (global $refused (export "wardian:refused") (mut i32) (i32.const 0))
    (func $abort (export "run") (global.set $refused (i32.const 101)) unreachable))`);
  const deployed = world.store(artifact, artifact, {
    abi: 'terrarium', entry: 'run', memory: { initialPages: 1, maximumPages: 16 },
    tableEntries: 0, hasStart: false, hasTable: false, listedEntries: 0, suspends: false,
    fuelAtInstantiation: 0,
  });
  const { failure } = await ask(deployed);
  t.equal(failure?.code, 'out_of_memory');
  t.match(failure?.message, /wanted 6619136 bytes .* is 1048576; it then trapped: .* in abort at/);
});

t.test('a start function runs first, metered, and may wait', async (t) => {
  const { ask } = await startPool(t, world);
  const started = guest('(call $answer (global.get $seen))', `(global $seen (mut i32) (i32.const 0))
    (func $start (global.set $seen (i32.const 234))) (start $start)`);
  t.equal((await ask(world.deploy(started))).status, 234);
  const looping = guest('nop', '(func $start (loop $l (br $l))) (start $start)');
  const reply = await ask(world.deploy(looping, { limits: { fuel: 1_000_000 } }));
  t.equal(reply.failure?.code, 'out_of_fuel');
  const waiting = sleeping(1, 200, `(global $seen (mut i32) (i32.const 0))
    (func $start (i64.store (i32.const 24) (i64.const 1000000))
      (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128))))
    (start $start)`);
  const waited = await ask(world.deploy(waiting));
  t.equal(waited.failure, null);
  t.equal(waited.usage.hostcalls, 3);
});

t.test('limits below what a module begins with are refused before it begins', async (t) => {
  const { ask } = await startPool(t, world);
  const wat = guest('nop', '(data (i32.const 0) "0123456789")', '4 8');
  const small = await ask(world.deploy(wat, { limits: { memoryBytes: 3 * 64 * 1024 } }));
  t.equal(small.failure?.code, 'out_of_memory');
  const poor = await ask(world.deploy(wat, { limits: { fuel: 1 } }));
  t.equal(poor.failure?.code, 'out_of_fuel');
  t.match(poor.failure?.message, /the limit is 1 /);
});

t.test('growth counts from the declared size in a memory that grew before', async (t) => {
  const { ask } = await startPool(t, world);
  const growing = guest(`
    (if (i32.ne (memory.size) (i32.const 1)) (then unreachable))
    (if (i32.ne (memory.grow (i32.const 3)) (i32.const 1)) (then unreachable))
    (i32.store (i32.const 262140) (i32.const -1))
    (call $answer (i32.const 204))`);
  const deployed = world.deploy(growing);
  for (let turn = 0; turn < 5; turn += 1) {
    const reply = await ask(deployed);
    t.equal(reply.status, 204);
    t.equal(reply.usage.recycled, turn > 0);
    t.equal(reply.usage.memoryBytes, 4 * 64 * 1024);
  }
});

t.test('tables count into what was used, as they do into the limit', async (t) => {
  const { ask } = await startPool(t, world);
  const bytes = async (extra: string, run = '(call $answer (i32.const 200))'): Promise<number> => {
    const { usage, status } = await ask(world.deploy(guest(run, extra)));
    t.equal(status, 200);
    return usage.memoryBytes;
  };
  const page = 64 * 1024;
  t.equal(await bytes('(table 1000 externref)'), page + 1_000 * TABLE_ENTRY_BYTES);
  t.equal(await bytes('(table 7 funcref) (table 5 externref)'), page + 12 * TABLE_ENTRY_BYTES);
  const grown = `(drop (table.grow (ref.null func) (i32.const 3)))
    (call $answer (i32.const 200))`;
  t.equal(await bytes('(table 2 20 funcref)', grown), page + 20 * TABLE_ENTRY_BYTES,
    'with what it may grow to');
  const limits = { memoryBytes: 4 * page };
  const { failure, usage } = await ask(world.deploy(guest(`
    (if (i32.lt_s (memory.grow (i32.const 3)) (i32.const 0)) (then unreachable))`,
  '(table 1000 externref)'), { limits }));
  t.equal(failure?.code, 'out_of_memory');
  t.match(failure?.message, / beside 32000 bytes of tables is 196608/);
  t.equal(usage.memoryBytes, page + 32_000);
});

t.test('after a trap that hides fuel the least that was used is told, as such', async (t) => {
  const { ask } = await startPool(t, world);
  const looping = (last: string): string => guest(`(local $i i32)
    (local.set $i (i32.const 1000))
    (loop $more
      (br_if $more (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
    ${last}`);
  const whole = (await ask(world.deploy(looping('')))).usage.fuel;
  const hidden = await ask(world.deploy(
    looping('(drop (i32.div_s (i32.const 1) (local.get $i)))')));
  t.match(hidden.failure, { code: 'guest_trap', fuelIsAtLeast: true });
  t.ok(hidden.usage.fuel < whole, 'the loop is missing');
  const exact = await ask(world.deploy(looping('unreachable')));
  t.equal(exact.failure?.code, 'guest_trap');
  t.equal(exact.failure?.fuelIsAtLeast, undefined);
  t.equal(exact.usage.fuel, whole);
});

t.test('what is over the limit of the log is told beside the answer', async (t) => {
  const { ask, logs } = await startPool(t, world);
  const chatty = `(module
    (import "env" "hostcall_debug" (func $debug (param i32 i32)))
    (memory 1) (data (i32.const 0) "0123456789")
    (func (export "run")
      (call $debug (i32.const 0) (i32.const 10)) (call $debug (i32.const 0) (i32.const 10))))`;
  const { failure, status, usage } = await ask(world.deploy(chatty, { limits: { logBytes: 15 } }));
  t.equal(failure, null);
  t.equal(status, 200);
  t.match(usage, { logBytes: 14, logOverBytes: 6 });
  await until(() => logs.length === 3, 'the lines are there');
  t.match(logs[2], { source: 'wardian', text: /^log_bytes_exhausted: / });
  t.match((await ask(world.deploy(chatty))).usage, { logBytes: 20, logOverBytes: 0 });
});

t.test('recycling can be turned off', async (t) => {
  const { ask } = await startPool(t, world);
  const deployed = world.deploy(answering(200), { recycleMemory: false });
  for (let turn = 0; turn < 3; turn += 1) {
    t.equal((await ask(deployed)).usage.recycled, false);
  }
});

t.test('bodies of all sizes come and go whole', async (t) => {
  const { ask } = await startPool(t, world);
  const big = guest(`(memory.fill (i32.const 0) (i32.const 0x61) (i32.const 1000000))
    (drop (call $body (i32.const 0) (i32.const 0) (i32.const 1000000)))`, '', '16 16');
  const reply = await ask(world.deploy(big), { body: new Uint8Array(MIB).fill(7) });
  t.equal(reply.body?.length, 1_000_000);
  t.ok(reply.body?.every((byte) => byte === 0x61));
  t.equal(reply.body?.byteLength, reply.body?.buffer.byteLength, 'nothing else came along');
  const part = new Uint8Array(MIB).subarray(10, 20);
  t.equal((await ask(world.deploy(answering(200)), { body: part })).status, 200);
  t.equal(part.length, 10, 'a part of a buffer is copied, never handed over');
});

t.test('bodies of any bytes arrive exactly, as text or as bytes', async (t) => {
  const { ask } = await startPool(t, world);
  const bytes = Uint8Array.from({ length: 2 * BODY_AS_TEXT_BYTES_MAX }, (_, at) => at % 256);
  const data = [...bytes].map((byte) => `\\${byte.toString(16).padStart(2, '0')}`).join('');
  for (const length of [1, 256, BODY_AS_TEXT_BYTES_MAX, BODY_AS_TEXT_BYTES_MAX + 1]) {
    const { body } = await ask(world.deploy(guest(
      `(drop (call $body (i32.const 0) (i32.const 0) (i32.const ${length})))`,
      `(data (i32.const 0) "${data}")`)));
    t.strictSame([...body ?? []], [...bytes.subarray(0, length)], `${length} bytes`);
  }
});

t.test('what is not stored, or stored wrongly, is unavailable', async (t) => {
  const { ask } = await startPool(t, world);
  const none = await ask({ versionId: 1_000_000, artifactHash: '' });
  t.equal(none.failure?.code, 'module_unavailable');
  const damaged = world.deploy(guest('(call $answer (i32.const 211)) (nop) (nop)'));
  world.database.prepare('UPDATE artifact SET bytes = ? WHERE hash = ?')
    .run(new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]), damaged.artifactHash);
  const reply = await ask(damaged);
  t.equal(reply.failure?.code, 'module_unavailable');
  t.match(reply.failure?.message, /hash/);
  const facts = JSON.stringify({ nothing: true }).slice(1);
  const broken = world.deploy(guest('(call $answer (i32.const 212)) (nop) (nop) (nop)'));
  world.database.prepare('UPDATE artifact SET facts = ? WHERE hash = ?')
    .run(facts, broken.artifactHash);
  t.equal((await ask(broken)).failure?.code, 'module_unavailable');
});

t.test('a deadline ends a waiting guest, and says what it was doing', async (t) => {
  const { ask, pool } = await startPool(t, world);
  const slow = world.deploy(sleeping(60_000), { limits: { deadlineMs: 150 } });
  const reply = await ask(slow, { deadlineAt: dueIn(150) });
  t.equal(reply.failure?.code, 'deadline');
  t.match(reply.failure?.message, /limit of 150 ms by \d+ ms; it was waiting in poll_oneoff/);
  t.equal(reply.failure?.lastHostcall, 'poll_oneoff');
  const late = await ask(slow, { deadlineAt: dueIn(-1) });
  t.equal(late.failure?.code, 'deadline', 'one that comes late is not begun');
  t.equal(pool.stats().restarts, 0);
  t.equal(pool.waiting(), 0);
});

t.test('a guest that catches everything is ended all the same', async (t) => {
  const { ask, pool } = await startPool(t, world);
  const stubborn = sleeping(60_000).replace(/\(drop \(call \$poll[^\n]*/, `(loop $again
    (try (do (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128))))
      (catch_all (br $again))) (br $again))`);
  const reply = await ask(world.deploy(stubborn), { deadlineAt: dueIn(150) });
  t.equal(reply.failure?.code, 'deadline');
  t.equal(pool.stats().restarts, 0);
});
