/** Hostile allocators: what `hostcall_init_mm` is given, and what `malloc` does when called. */

import t from 'tap';
import { HEAP, PAGE, memoryIs, run, u32, type RunOptions, type Step } from './guest.ts';

const GET_METHOD: Step = ['hostcall_req_get_method', 64, 68, 0];
const NAME = 'hostcall_req_get_method';

interface Row {
  readonly name: string;
  readonly options: RunOptions;
  readonly code?: string;
  readonly message: string | RegExp;
}

const malloc = (body: string): RunOptions => ({ malloc: `(func $malloc ${body})` });

const NOT_MALLOC = `${NAME}: malloc: table entry 1 is not a function (i32) -> i32: `;
const MISFIT = `${NOT_MALLOC}it is null or of another type`;

const ROWS: readonly Row[] = [
  {
    name: 'malloc answers 0',
    options: malloc('(param i32) (result i32) i32.const 0'),
    message: `${NAME}: malloc: returned 0 for 4 bytes`,
  },
  {
    name: 'malloc answers a block that ends behind the memory',
    options: malloc(`(param i32) (result i32) i32.const ${PAGE - 3}`),
    message: `${NAME}: malloc: returned ${PAGE - 3} for 4 bytes, which is outside of the guest's `
      + `memory of ${PAGE} bytes`,
  },
  {
    name: 'malloc answers -1',
    options: malloc('(param i32) (result i32) i32.const -1'),
    message: /malloc: returned 4294967295 for 4 bytes, which is outside/,
  },
  {
    name: 'malloc has no result',
    options: malloc('(param i32)'), message: MISFIT,
  },
  {
    name: 'malloc answers a float',
    options: malloc('(param i32) (result f64) f64.const 64.5'),
    message: MISFIT,
  },
  {
    name: 'malloc answers an i64',
    options: malloc('(param i32) (result i64) i64.const 64'),
    message: MISFIT,
  },
  {
    name: 'malloc takes an i64',
    options: malloc('(param i64) (result i32) i32.const 64'),
    message: MISFIT,
  },
  {
    name: 'malloc takes nothing',
    options: malloc('(result i32) i32.const 64'), message: MISFIT,
  },
  {
    name: 'malloc takes two',
    options: malloc('(param i32 i32) (result i32) i32.const 64'),
    message: MISFIT,
  },
  {
    name: 'the entry is null',
    options: { initMm: false, steps: [['hostcall_init_mm', 3, 2], GET_METHOD] },
    message: /malloc: table entry 3 is not a function .*null or of another type/,
  },
  {
    name: 'malloc is a hostcall that needs malloc',
    options: {
      malloc: `(func $malloc (param i32) (result i32)
        (call $hostcall_req_get_method (i32.const 64) (i32.const 68) (i32.const 0)) i32.const 64)`,
    },
    message: `${NAME}: malloc: called a hostcall that needs malloc itself`,
  },
  {
    name: 'malloc calls a hostcall that can wait',
    options: {
      steps: [GET_METHOD, ['hostcall_pending_req_wait', 1]],
      malloc: '(func $malloc (param i32) (result i32)'
        + ' (drop (call $hostcall_pending_req_wait (i32.const 1))) i32.const 64)',
    },
    message: 'hostcall_pending_req_wait: malloc: called a hostcall that can wait',
  },
  {
    name: 'malloc throws',
    options: {
      malloc: '(tag $e) (func $malloc (param i32) (result i32) (throw $e))',
    },
    code: 'guest_exception', message: `${NAME}: malloc threw an exception`,
  },
  {
    name: 'malloc recurses without end',
    options: malloc(
      '(param i32) (result i32) (i32.add (call $malloc (local.get 0)) (i32.const 1))'),
    code: 'stack_overflow', message: `${NAME}: no stack left`,
  },
  {
    name: 'malloc panics',
    options: {
      steps: [GET_METHOD, ['hostcall_panic_hook', 128, 4]], data: { 128: 'oops' },
      malloc: '(func $malloc (param i32) (result i32)'
        + ' (call $hostcall_panic_hook (i32.const 128) (i32.const 4)) i32.const 64)',
    },
    code: 'guest_panic', message: 'oops',
  },
];

for (const { name, options, code = 'bad_hostcall', message } of ROWS) {
  t.test(name, async (t) => {
    const ran = await run(t, { steps: [GET_METHOD], ...options });
    t.equal(ran.failure?.code, code);
    t.match(ran.failure?.message, message);
    t.equal(ran.globals['done'], 0);
    t.ok(ran.thrown instanceof WebAssembly.RuntimeError, 'a genuine trap');
    t.same(ran.internalErrors, []);
    memoryIs(t, ran, {});
  });
}

t.test('a trap in malloc stays a trap', async (t) => {
  const ran = await run(t, {
    steps: [GET_METHOD], ...malloc('(param i32) (result i32) unreachable'),
  });
  t.equal(ran.failure, null, 'which the pool names');
  t.ok(ran.thrown instanceof WebAssembly.RuntimeError);
  t.equal((ran.thrown as Error).message, 'unreachable');
  t.equal(ran.globals['done'], 0);
});

t.test('a loop in malloc ends with its fuel', async (t) => {
  const ran = await run(t, {
    steps: [GET_METHOD], limits: { fuel: 100_000 },
    ...malloc('(param i32) (result i32) (loop (br 0)) unreachable'),
  });
  t.ok(ran.thrown instanceof WebAssembly.RuntimeError);
  t.equal(ran.usage.fuel, 100_000);
});

t.test('indices outside of the table end the guest at once', async (t) => {
  for (const [malloc, free, argument, index] of [
    [4, 2, 'malloc', 4], [-1, 2, 'malloc', 4_294_967_295], [1, 1_000, 'free', 1_000],
  ] as const) {
    const ran = await run(t, { initMm: false, steps: [['hostcall_init_mm', malloc, free]] });
    t.equal(ran.failure?.message, `hostcall_init_mm: ${argument}: table index ${index} is outside `
      + 'of the table of 4 entries');
  }
});

t.test('a module without a table may register an allocator, but not need one', async (t) => {
  const text = (needs: string): string => `(module
    (import "env" "hostcall_init_mm" (func $init (param i32 i32)))
    (import "env" "hostcall_req_get_method" (func $method (param i32 i32 i32)))
    (memory 1) (func (export "run") (call $init (i32.const 7) (i32.const 0)) ${needs}))`;
  t.equal((await run(t, { text: text('') })).failure, null);
  const ran = await run(t, {
    text: text('(call $method (i32.const 0) (i32.const 4) (i32.const 0))'),
  });
  t.equal(ran.failure?.message,
    'hostcall_req_get_method: malloc: the module has no function table');
});

t.test('hostcall_init_mm from the start function serves run', async (t) => {
  const ran = await run(t, {
    text: `(module
      (import "env" "hostcall_init_mm" (func $init (param i32 i32)))
      (import "env" "hostcall_req_get_method" (func $get (param i32 i32 i32)))
      (memory 1) (table 2 funcref) (elem (i32.const 0) $malloc $free)
      (func $malloc (param i32) (result i32) i32.const ${HEAP})
      (func $free (param i32))
      (func $main (call $init (i32.const 0) (i32.const 1)))
      (start $main)
      (func (export "run") (call $get (i32.const 64) (i32.const 68) (i32.const 0))))`,
  });
  t.equal(ran.failure, null);
  memoryIs(t, ran, { 64: u32(HEAP, 3), [HEAP]: 'GET\0' });
});

t.test('a malloc that grows the memory moves it: nothing is lost', async (t) => {
  const ran = await run(t, {
    steps: [['hostcall_req_get_headers', 64, 68, 0]], request: { headers: ['a', '1', 'b', '2'] },
    malloc: `(func $malloc (param i32) (result i32) (local $at i32)
      (local.set $at (i32.mul (memory.grow (i32.const 1)) (i32.const ${PAGE})))
      (memory.copy (local.get $at) (i32.const 0) (i32.const 16))
      (global.set $allocations (i32.add (global.get $allocations) (i32.const 1)))
      local.get $at)`,
  });
  t.equal(ran.failure, null);
  t.equal(ran.globals['allocations'], 6);
  t.equal(ran.usage.memoryBytes, 7 * PAGE);
  const { memory } = ran;
  t.equal(memory.readUInt32LE(64), PAGE);
  t.equal(memory.readUInt32LE(68), 5);
  const names = ['a', 'b', 'host', 'fastly-client-ip', 'x-fastly-client-ip'];
  names.forEach((name, index) => {
    const block = memory.readUInt32LE(PAGE + index * 8);
    t.equal(block, (index + 2) * PAGE);
    t.equal(memory.readUInt32LE(PAGE + index * 8 + 4), name.length);
    t.equal(memory.toString('latin1', block, block + name.length + 1), `${name}\0`);
  });
});

t.test('a malloc that returns the same block over and over harms its own guest only', async (t) => {
  const ran = await run(t, {
    steps: [['hostcall_req_get_headers', 64, 68, 0]], request: { headers: ['a', '1'] },
    ...malloc(`(param i32) (result i32) i32.const ${HEAP}`),
  });
  t.equal(ran.failure, null);
  t.equal(ran.memory.readUInt32LE(68), 4);
});

t.test('malloc may log: the hostcall around it keeps its name', async (t) => {
  const ran = await run(t, {
    steps: [GET_METHOD, ['hostcall_debug', 128, 2]], data: { 128: 'hi' },
    malloc: `(func $malloc (param i32) (result i32)
      (call $hostcall_debug (i32.const 128) (i32.const 2)) i32.const 0)`,
  });
  t.equal(ran.failure?.message, `${NAME}: malloc: returned 0 for 4 bytes`);
  t.equal(ran.failure?.lastHostcall, NAME);
  t.same(ran.logs.map((line) => line.text), ['hi']);
});

t.test('the backtrace of a failure names the guest\'s functions, innermost first', async (t) => {
  const ran = await run(t, {
    text: `(module
      (import "env" "hostcall_panic_hook" (func $panic (param i32 i32)))
      (memory 1) (data (i32.const 8) "help")
      (func $inner (call $panic (i32.const 8) (i32.const 4)))
      (func $outer (call $inner))
      (func (export "run") (call $outer)))`,
  });
  t.equal(ran.failure?.message, 'help');
  const frames = ran.failure?.backtrace ?? [];
  t.ok(frames.length >= 3, frames.join(' '));
  for (const frame of frames) t.match(frame, /^\S+@0x[0-9a-f]+$/);
});
