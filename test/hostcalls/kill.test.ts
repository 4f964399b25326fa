/**
 * Ending a guest whatever it does: handlers around every hostcall, loops in the handlers, both
 * kinds of exception handling. V8 lets guests catch every JavaScript error, so each way of ending
 * is proven with a guest that tries to survive it.
 */

import t from 'tap';
import type { Failure } from '../../contract/messages.ts';
import { OWNER, REQUEST, run, start, type RunOptions } from './guest.ts';
import { MemoryStore } from './memory-store.ts';
import { REQUEST_LIMITS_DEFAULT } from '../../contract/limits.ts';

const DEADLINE: Failure = {
  code: 'deadline', message: 'too late', backtrace: [], lastHostcall: null,
};

/** Both handler forms around `body`. */
const HANDLERS = {
  catch_all: (body: string) => `(try (do ${body}) (catch_all))`,
  try_table: (body: string) => `(block $caught (try_table (catch_all $caught) ${body}))`,
  try_table_ref: (body: string) =>
    `(block $caught (result exnref) (try_table (catch_all_ref $caught) ${body}) unreachable) drop`,
} as const;

/** Calls `hostcall` again and again, each time within a handler, and counts in `turns`. */
function survivor(handler: keyof typeof HANDLERS, imports: string, call: string): RunOptions {
  return {
    text: `(module
      ${imports}
      (memory 1)
      (global $turns (export "turns") (mut i32) (i32.const 0))
      (func (export "run")
        (loop $again
          (global.set $turns (i32.add (global.get $turns) (i32.const 1)))
          ${HANDLERS[handler](call)}
          (br $again))))`,
  };
}

const CALLS: Readonly<Record<string, readonly [imports: string, call: string, code: string]>> = {
  'a bad argument': [
    '(import "env" "hostcall_debug" (func $f (param i32 i32)))',
    '(call $f (i32.const -1) (i32.const 5))', 'bad_hostcall',
  ],
  'a panic': [
    '(import "env" "hostcall_panic_hook" (func $f (param i32 i32)))',
    '(call $f (i32.const 0) (i32.const 5))', 'guest_panic',
  ],
  'an exit': [
    '(import "wasi_snapshot_preview1" "proc_exit" (func $f (param i32)))',
    '(call $f (i32.const 3))', 'guest_exit',
  ],
  'no allocator': [
    '(import "env" "hostcall_req_get_method" (func $f (param i32 i32 i32)))',
    '(call $f (i32.const 0) (i32.const 8) (i32.const 0))', 'missing_allocator',
  ],
  'a bad argument of a hostcall that can wait': [
    '(import "env" "hostcall_kvstore_remove" (func $f (param i32 i32) (result i32)))',
    '(drop (call $f (i32.const -1) (i32.const 5)))', 'bad_hostcall',
  ],
};

for (const handler of Object.keys(HANDLERS) as (keyof typeof HANDLERS)[]) {
  for (const [name, [imports, call, code]] of Object.entries(CALLS)) {
    t.test(`${name} cannot be survived with ${handler}`, async (t) => {
      // Enough fuel to notice: a guest that survives runs into this instead.
      const ran = await run(t, { ...survivor(handler, imports, call), limits: { fuel: 100_000 } });
      t.equal(ran.failure?.code, code);
      t.equal(ran.globals['turns'], 1);
      t.equal(ran.globals['wardian:fuel'], -1n);
      t.ok(ran.usage.fuel < 10_000, 'usage is what was used until then');
    });
  }

  t.test(`a kill while it waits cannot be survived with ${handler}`, async (t) => {
    const ran = await run(t, {
      ...survivor(handler,
        `(import "wasi_snapshot_preview1" "poll_oneoff"
          (func $f (param i32 i32 i32 i32) (result i32)))`,
        '(drop (call $f (i32.const 0) (i32.const 128) (i32.const 1) (i32.const 256)))'),
      // A clock subscription of an hour.
      data: { 0: poll(3_600_000_000_000n) },
      during: async (guest) => {
        t.equal(guest.waiting, true);
        guest.kill(DEADLINE);
        guest.kill({ ...DEADLINE, code: 'client_closed' });
        t.equal(guest.waiting, false);
      },
    });
    t.equal(ran.failure?.code, 'deadline', 'the first failure wins');
    t.equal(ran.globals['turns'], 1);
    t.ok(ran.thrown instanceof WebAssembly.RuntimeError);
  });

  t.test(`work that fails while the guest waits ends it in spite of ${handler}`, async (t) => {
    const ran = await run(t, {
      ...survivor(handler,
        '(import "env" "hostcall_kvstore_remove" (func $f (param i32 i32) (result i32)))',
        '(drop (call $f (i32.const 0) (i32.const 5)))'),
      limits: { fuel: 100_000 },
      services: {
        kv: Object.assign(new MemoryStore(), {
          delete: () => Promise.reject(new TypeError('a fault of ours')),
        }),
      },
    });
    t.equal(ran.failure?.code, 'internal');
    t.equal(ran.failure?.message, 'hostcall_kvstore_remove: an internal error');
    t.equal(ran.internalErrors.length, 1, 'and is reported');
    t.equal(ran.globals['turns'], 1);
  });
}

/** One clock subscription: monotonic, relative. */
function poll(nanos: bigint): Uint8Array {
  const subscription = Buffer.alloc(48);
  subscription.writeUInt32LE(1, 16);
  subscription.writeBigUInt64LE(nanos, 24);
  return subscription;
}

t.test('a guest killed before it begins does not run', async (t) => {
  const started = start(t, {
    text: `(module (memory 1) (global $ran (export "ran") (mut i32) (i32.const 0))
      (func (export "run") (global.set $ran (i32.const 1))))`,
  });
  started.guest.kill(DEADLINE);
  t.throws(() => started.exports['run']!(), WebAssembly.RuntimeError);
  t.equal(started.exports['ran']!.value, 0);
  started.guest.close();
});

t.test('a guest killed before it is attached has no fuel once it is', (t) => {
  const { host, exports, guest } = start(t, { text: '(module (memory 1) (func (export "run")))' });
  guest.close();
  const other = host.open(REQUEST, OWNER, REQUEST_LIMITS_DEFAULT);
  other.kill(DEADLINE);
  other.attach({
    call: null, listedEntries: 0,
    memory: null, table: null, fuel: exports['wardian:fuel']!, pages: null, exports: {},
  });
  t.throws(() => exports['run']!(), WebAssembly.RuntimeError);
  other.close();
  t.end();
});

const DEBUG = `(module (import "env" "hostcall_debug" (func $f (param i32 i32))) (memory 1)
  (func (export "run") (call $f (i32.const 0) (i32.const 1))))`;

t.test('after its end no hostcall of a guest does anything', (t) => {
  const { guest, exports, logs } = start(t, { text: DEBUG });
  guest.kill(DEADLINE);
  exports['wardian:fuel']!.value = 1_000_000n;
  t.throws(() => exports['run']!(), WebAssembly.RuntimeError);
  guest.close();
  exports['wardian:fuel']!.value = 1_000_000n;
  t.throws(() => exports['run']!(), WebAssembly.RuntimeError);
  t.same(logs, []);
  t.end();
});

t.test('an instance that outlives its request does not reach another\'s guest', (t) => {
  const { host, guest, exports, logs } = start(t, { text: DEBUG });
  guest.close();
  const next = host.open({ ...REQUEST, requestId: 'next' }, OWNER, REQUEST_LIMITS_DEFAULT);
  t.not(next.context, guest.context);
  t.throws(() => exports['run']!(), WebAssembly.RuntimeError);
  t.equal(next.usage.hostcalls, 0);
  for (const context of [0, -1, 2_147_483_647, next.context + 1]) {
    exports['wardian:context']!.value = context;
    t.throws(() => exports['run']!(), WebAssembly.RuntimeError, `context ${context}`);
  }
  t.same(logs, []);
  next.close();
  t.equal(host.openCount, 0);
  t.end();
});

t.test('contexts of guests that live at once differ, and slots are used again', (t) => {
  const { host, guest } = start(t, { text: DEBUG });
  const seen = new Set([guest.context]);
  const guests = Array.from({ length: 100 }, () =>
    host.open(REQUEST, OWNER, REQUEST_LIMITS_DEFAULT));
  for (const one of guests) seen.add(one.context);
  t.equal(seen.size, 101);
  t.equal(host.openCount, 101);
  for (const one of guests) one.close();
  guests[0]!.close();
  t.equal(host.openCount, 1, 'closing twice is closing once');
  for (let turn = 0; turn < 70_000; turn++) {
    const one = host.open(REQUEST, OWNER, REQUEST_LIMITS_DEFAULT);
    if (one.context <= 0 || one.context === guest.context) t.fail(`context ${one.context}`);
    one.close();
  }
  guest.close();
  t.end();
});

t.test('work that settles after the end touches nothing', async (t) => {
  let finish: (addresses: Uint8Array[]) => void = () => t.fail('not asked yet');
  const started = start(t, {
    steps: [['hostcall_dns_query_ip', 64, 68, 128, 1, 0]], data: { 128: 'h' },
    services: {
      dns: {
        queryIp: () => new Promise((resolve) => { finish = resolve; }),
        queryRaw: () => Promise.reject(new Error('not asked')),
      },
    },
  });
  const finished = WebAssembly.promising(started.exports['run']!)();
  started.guest.kill(DEADLINE);
  await t.rejects(finished, WebAssembly.RuntimeError);
  started.guest.close();
  finish([Uint8Array.of(1, 2, 3, 4)]);
  await new Promise(setImmediate);
  t.ok(Buffer.from(started.memory!.buffer).equals(started.before), 'it may be another\'s by now');
  t.equal(started.guest.usage.hostcalls, 2);
});

t.test('closing a guest that still waits ends it', async (t) => {
  const started = start(t, {
    steps: [['wasi:poll_oneoff', 0, 128, 1, 256]], data: { 0: poll(3_600_000_000_000n) },
  });
  const finished = WebAssembly.promising(started.exports['run']!)();
  started.guest.close();
  await t.rejects(finished, WebAssembly.RuntimeError);
  t.equal(started.host.openCount, 0);
});
