/**
 * One fixture for every way in which a module may attack through what it contains. Each is either
 * refused before anything compiles it, or runs out of fuel when it is run.
 */
import t from 'tap';
import * as limits from '../../../contract/limits.ts';
import * as reserved from '../../../contract/reserved.ts';
import { rewrite } from '../../../pool/rewrite/index.ts';
import { Writer } from '../../../pool/rewrite/writer.ts';
import { guest, thrown, wat, type Guest, type HostOptions } from './host.ts';

const MIB = 2 ** 20;
const FUEL = 5_000_000n;

function endsByFuel(name: string, text: string, options: HostOptions = {}): void {
  const run = guest(wat(`(module ${text})`), { fuelUnits: FUEL, ...options });
  outOfFuel(run, name, () => run.call('run'));
}

function outOfFuel(run: Guest, name: string, action: () => unknown): void {
  const error = thrown(action);
  t.ok(error instanceof WebAssembly.RuntimeError, `${name}: a genuine trap, not ${String(error)}`);
  t.equal(error.message, 'unreachable', name);
  t.ok(run.fuel() < 0n, `${name}: out of fuel`);
}

function refused(name: string, source: Uint8Array, message: RegExp): void {
  const error = thrown(() => rewrite(source, { memoryBytesMax: 128 * MIB }));
  t.match(error, { code: 'module_limit', message }, name);
}

for (const size of [1, 16]) {
  endsByFuel(`memory.fill of ${size} MiB in a loop`, `(memory 256) (func (export "run")
    (loop (memory.fill (i32.const 0) (i32.const 1) (i32.const ${size * MIB})) (br 0)))`);
}
endsByFuel('an empty loop', '(func (export "run") (loop (br 0)))');
endsByFuel('a loop of conditional branches', `(func (export "run") (local i32)
  (loop (br_if 0 (i32.eqz (local.get 0))) (br 0)))`);
endsByFuel('a loop through br_table', `(func (export "run") (local i32)
  (loop (block (br_table 0 1 (local.get 0))) (br 0)))`);
endsByFuel('loops in loops', `(func (export "run") (local i32) (loop (local.set 0 (i32.const 100))
  (loop (loop (br_if 1 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))) (br 0)))`);
endsByFuel('recursion', '(func $f (export "run") (call $f))', { fuelUnits: 5_000n });
endsByFuel('mutual recursion through a table', `(table 2 funcref) (elem (i32.const 0) $f $g)
  (func $f (export "run") (call_indirect (i32.const 1)))
  (func $g (call_indirect (i32.const 0)))`, { fuelUnits: 5_000n });
t.throws(() => guest(wat('(module (func $f (export "run") (call $f)))')).call('run'), RangeError,
  'recursion with fuel to spare ends at the stack');
endsByFuel('a tail-call loop', '(func $f (export "run") (return_call $f))');
endsByFuel('a tail-call loop through a table', `(table 1 funcref) (elem (i32.const 0) $f)
  (func $f (export "run") (return_call_indirect (i32.const 0)))`);
endsByFuel('a loop of hostcalls', `(import "env" "h" (func $h)) (func (export "run")
  (loop (call $h) (br 0)))`, { imports: { env: { h: () => undefined } } });
endsByFuel('growth that fails, in a loop', `(memory 1 1) (func (export "run")
  (loop (drop (memory.grow (i32.const 65535))) (br 0)))`);
endsByFuel('tables filled in a loop', `(table 10000 funcref) (func (export "run")
  (loop (table.fill 0 (i32.const 0) (ref.null func) (i32.const 10000)) (br 0)))`);
endsByFuel('tables grown in a loop', `(table 0 funcref) (func (export "run")
  (loop (drop (table.grow 0 (ref.null func) (i32.const 1000))) (br 0)))`);
endsByFuel('segments applied in a loop', `(memory 1) (table 9 funcref) (func $f)
  (data $d "0123456789") (elem $e func $f $f) (func (export "run") (loop
    (memory.init $d (i32.const 0) (i32.const 0) (i32.const 10))
    (table.init 0 $e (i32.const 0) (i32.const 0) (i32.const 2))
    (table.copy 0 0 (i32.const 0) (i32.const 1) (i32.const 5)) (br 0)))`);
endsByFuel('a loop made of throws', `(tag $t) (func (export "run")
  (loop (try (do (throw $t)) (catch $t)) (br 0)))`);
endsByFuel('a loop whose back edge is in a handler', `(tag $t) (func (export "run")
  (loop (try (do (throw $t)) (catch_all (br 1)))))`);
endsByFuel('exceptions through many frames', `(tag $t)
  (func $deep (param i32) (if (local.get 0)
    (then (call $deep (i32.sub (local.get 0) (i32.const 1)))) (else (throw $t))))
  (func (export "run") (loop (try (do (call $deep (i32.const 100))) (catch_all)) (br 0)))`);

/**
 * Calls itself to a depth and does something costly on the way back: in an arm, behind a branch, in
 * a handler, where each is charged by itself.
 */
const WAYS_BACK: Readonly<Record<string, string>> = {
  'an arm': '(call $f (local.get 1)) (if (local.get 0) (then WORK))',
  'an arm with another': '(call $f (local.get 1)) (if (local.get 0) (then WORK) (else))',
  'an arm of an outer block': `(if (local.get 0) (then (call $f (local.get 1))))
    (if (local.get 0) (then WORK))`,
  'code behind an arm that returns': `(call $f (local.get 1))
    (if (i32.eqz (local.get 0)) (then (return))) WORK`,
  'code behind a br_if': '(call $f (local.get 1)) (block (br_if 0 (i32.const 0)) WORK)',
  'code behind a block': `(block (block (br_if 1 (i32.eqz (local.get 0)))
    (call $f (local.get 1)) (br_if 0 (local.get 0)) (return)) WORK)`,
  'a br_table\'s target': `(block (block (call $f (local.get 1)) (br_table 0 1 (i32.const 0)))
    WORK)`,
  'a handler': '(try (do (call $f (local.get 1)) (throw $t)) (catch_all WORK))',
};
for (const [name, way] of Object.entries(WAYS_BACK)) {
  const work = '(local.set 2 (f64.sqrt (local.get 2)))'.repeat(1_000);
  const text = `(tag $t) (func $f (param i32) (local i32 f64)
    (if (i32.eqz (local.get 0)) (then (return)))
    (local.set 1 (i32.sub (local.get 0) (i32.const 1))) ${way.replace('WORK', work)})
    (func (export "run") (call $f (i32.const 200)))`;
  const full = guest(wat(`(module ${text})`));
  const { fuel } = full;
  const before = fuel();
  full.call('run');
  t.ok(before - fuel() > 200n * 17_000n, `work behind a call in ${name} is paid for`);
  const run = guest(wat(`(module ${text})`), { fuelUnits: 500_000n });
  outOfFuel(run, `work behind a call in ${name}`, () => run.call('run'));
  t.ok(run.fuel() > -40_000n, `${name}: it ends with the first activation that cannot pay`);
}

t.test('a loop in start', async (t) => {
  const source = wat('(module (start $s) (func $s (loop (br 0))) (func (export "run")))');
  const run = guest(source, { fuelUnits: FUEL, start: false });
  outOfFuel(run, 'start', () => run.call(reserved.START_EXPORT));
  t.ok(run.result.hasStart, 'instantiation itself ran nothing');
});

t.test('a loop in malloc, which the host calls through the table', async () => {
  const run = guest(wat(`(module (table 1 funcref) (elem (i32.const 0) $malloc)
    (func $malloc (param i32) (result i32) (loop (br 0)) (unreachable)))`), { fuelUnits: FUEL });
  outOfFuel(run, 'malloc', () => run.call(reserved.CALL_EXPORT, 16, 0));
  const table = guest(wat(`(module (table (export "t") 1 funcref) (elem (i32.const 0) $malloc)
    (func $malloc (param i32) (result i32) (loop (br 0)) (unreachable)))`), { fuelUnits: FUEL });
  outOfFuel(table, 'malloc', () => (table.table!.get(0) as (size: number) => number)(16));
});

t.test('handlers that catch everything do not stop the end of fuel', async (t) => {
  const failing = { env: { h: () => { throw new Error('refused'); } } };
  endsByFuel('catch_all around a failing hostcall', `(import "env" "h" (func $h))
    (func (export "run") (loop (try (do (call $h)) (catch_all)) (br 0)))`, { imports: failing });
  endsByFuel('catch_all around the trap itself', `(func $spin (loop (br 0)))
    (func (export "run") (loop (try (do (call $spin)) (catch_all)) (br 0)))`);
  const run = guest(tryTable(), { imports: failing, fuelUnits: FUEL });
  outOfFuel(run, 'try_table', () => run.call('run'));
  const killed: Guest = guest(tryTable(), {
    imports: { env: { h: () => { killed.setFuel(-1n); throw new Error('deadline'); } } },
  });
  outOfFuel(killed, 'fuel taken away during a hostcall that fails', () => killed.call('run'));
  t.ok(killed.fuel() < 0n);
});

/** `loop (block (try_table (catch_all 0) call $h)) (br 0)`, newer than this wabt. */
function tryTable(): Uint8Array {
  return Uint8Array.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0,
    2, 9, 1, 3, 0x65, 0x6e, 0x76, 1, 0x68, 0, 0, 3, 2, 1, 0, 7, 7, 1, 3, 0x72, 0x75, 0x6e, 0, 1,
    10, 20, 1, 18, 0, 0x03, 0x40, 0x02, 0x40, 0x1f, 0x40, 1, 2, 0, 0x10, 0, 0x0b, 0x0b,
    0x0c, 0, 0x0b, 0x0b]);
}

/**
 * `(tag (param v128 x 16))`, and a function that throws one exception after the other and keeps all
 * of them: each call has one in a local.
 */
function heldExceptions(): Uint8Array {
  const values = Array.from({ length: 16 }, () => [0xfd, 0x0c, ...Array<number>(16).fill(1)]);
  const body = [1, 1, 0x69, 0x02, 0x69, 0x1f, 0x40, 1, 0x03, 0, ...values.flat(), 0x08, 0,
    0x0b, 0x00, 0x0b, 0x21, 0, 0x10, 0, 0x0b];
  const length = (size: number): number[] => [0x80 | (size & 0x7f), size >> 7];
  return Uint8Array.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    1, 23, 2, 0x60, 0, 0, 0x60, 16, ...Array<number>(16).fill(0x7b), 0, 3, 2, 1, 0, 13, 3, 1, 0, 1,
    7, 7, 1, 3, 0x72, 0x75, 0x6e, 0, 0,
    10, ...length(body.length + 3), 1, ...length(body.length), ...body]);
}

t.test('exceptions are paid for by what they hold', async (t) => {
  const run = guest(heldExceptions(), { fuelUnits: 18_000n });
  outOfFuel(run, 'the second', () => run.call('run'));
  const rich = guest(heldExceptions());
  t.throws(() => rich.call('run'), RangeError, 'with fuel to spare the stack ends it');
});

t.test('growth to the limit, touching all of it', async (t) => {
  const run = guest(wat(`(module (memory 1) (func (export "run") (result i32)
    (loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    (memory.fill (i32.const 0) (i32.const 255)
      (i32.mul (memory.size) (i32.const 65536))) (memory.size)))`), { memoryBytesMax: 4 * MIB });
  t.equal(run.call('run'), 64);
  t.equal(run.memory!.buffer.byteLength, 4 * MIB);
  t.ok(new Uint8Array(run.memory!.buffer).every((byte) => byte === 255));
});

const EMPTY_TYPE = [1, 0x60, 0, 0];

function withBody(
  fill: (body: Writer) => void, types = EMPTY_TYPE, functions = 1,
): Uint8Array {
  const out = new Writer();
  out.list([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
  const section = (id: number, content: (writer: Writer) => void): void => {
    const writer = new Writer();
    content(writer);
    out.u8(id);
    out.sized(writer);
  };
  section(1, (writer) => writer.list(types));
  section(3, (writer) => writer.list([functions, ...Array<number>(functions).fill(0)]));
  section(10, (writer) => {
    const body = new Writer();
    fill(body);
    writer.u8(functions);
    for (let i = 0; i < functions; i++) writer.sized(body);
  });
  return out.take();
}

const many = (writer: Writer, count: number, bytes: readonly number[]): void => {
  for (let i = 0; i < count; i++) writer.list(bytes);
};

const PRODUCT = new RegExp(
  `locals times blocks and branches: \\d+, the limit is ${limits.LOCALS_TIMES_JOINS_MAX}`);
refused('19,990 locals and 2,000 ifs', withBody((body) => {
  body.u8(1);
  body.u32(19_990);
  body.u8(0x7f);
  many(body, 2_000, [0x41, 0, 0x04, 0x40, 0x0b]);
  body.u8(0x0b);
}), PRODUCT);
refused('50,000 locals and 2,000 ifs', withBody((body) => {
  body.u8(1);
  body.u32(50_000);
  body.u8(0x7f);
  many(body, 2_000, [0x41, 0, 0x04, 0x40, 0x0b]);
  body.u8(0x0b);
}), /too many locals/);
/** What meets other paths without being a block of its own, in one block. */
for (const [name, count, code] of [
  ['br_if', 2_100, [0x20, 0, 0x0d, 0]],
  ['targets of br_table', 1_100, [0x20, 0, 0x0e, 1, 0, 0]],
  ['catch clauses', 1_100, [0x1f, 0x40, 1, 2, 0, 0x0b]],
  ['memory.fill', 2_100, [0x41, 0, 0x41, 0, 0x41, 0, 0xfc, 0x0b, 0]],
] as const) {
  refused(`9,999 locals and ${name}`, withBody((body) => {
    body.u8(1);
    body.u32(9_999);
    body.u8(0x7f);
    for (let i = 0; i < count; i++) {
      body.list(code.includes(0x0e as never) ? [0x02, 0x40, ...code, 0x0b] : code);
    }
    body.u8(0x0b);
  }), PRODUCT);
}
refused('9,999 locals and calls in a try', withBody((body) => {
  body.u8(1);
  body.u32(9_999);
  body.list([0x7f, 0x06, 0x40]);
  many(body, 2_100, [0x10, 0]);
  body.list([0x19, 0x0b, 0x0b]);
}), PRODUCT);
refused('9,999 locals and loops', withBody((body) => {
  body.u8(1);
  body.u32(9_999);
  body.u8(0x7f);
  many(body, 260, [0x03, 0x40, 0x0b]);
  body.u8(0x0b);
}), PRODUCT);
refused('1,900 loops around 60,000 bytes', withBody((body) => {
  body.u8(0);
  many(body, 1_900, [0x03, 0x40]);
  many(body, 20_000, [0x41, 0, 0x1a]);
  many(body, 1_901, [0x0b]);
}), new RegExp(`bytes times loops around them: \\d+, the limit is ${limits.LOOP_BYTES_MAX}`));
refused('6 MB of br_table in one function', withBody((body) => {
  body.u8(0);
  for (let i = 0; i < 100; i++) {
    body.list([0x02, 0x40, 0x41, 0, 0x0e]);
    body.u32(65_000);
    many(body, 65_001, [0]);
    body.u8(0x0b);
  }
  body.u8(0x0b);
}), new RegExp(`function body too large: \\d+, the limit is ${limits.FUNCTION_BODY_BYTES_MAX}`));
refused('blocks nested 100,000 deep', withBody((body) => {
  body.u8(0);
  many(body, 100_000, [0x02, 0x40]);
  many(body, 100_001, [0x0b]);
}), new RegExp(`nested too deep: 2001, the limit is ${limits.NESTING_MAX}`));
refused('ten tables of 10,000,000 entries', wat(`(module ${
  '(table 10000000 funcref)'.repeat(10)})`), /100000000 entries together, the limit is 262144/);
refused('a passive segment of 9,000,000 entries', (() => {
  const out = new Writer();
  out.list([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 9]);
  const segment = new Writer();
  segment.list([1, 1, 0]);
  segment.u32(9_000_000);
  many(segment, 9_000_000, [0]);
  out.sized(segment);
  out.list([10, 4, 1, 2, 0, 0x0b]);
  return out.take();
})(), /9000000 entries together/);

/** A thousand results, handed on by blocks and calls: two bytes of code, a thousand moves. */
const WIDE = [1, 0x60, 0xe8, 7, ...Array<number>(1000).fill(0x7f), 0xe8, 7,
  ...Array<number>(1000).fill(0x7f)];
for (const [name, code] of [['calls', [0x10, 0]], ['blocks', [0x02, 0, 0x0b]]] as const) {
  refused(`${name} that move a thousand values`, withBody((body) => {
    body.u8(0);
    many(body, 1_000, [0x20, 0]);
    many(body, 10_000, code);
    body.u8(0x0b);
  }, WIDE), new RegExp(`values carried.*the limit is ${limits.WIDE_VALUES_MAX}`));
}

refused('many functions of 95,000 wide values', withBody((body) => {
  body.u8(0);
  many(body, 1_000, [0x20, 0]);
  many(body, 47, [0x10, 0]);
  body.u8(0x0b);
}, WIDE, 20), new RegExp(`all blocks.*the limit is ${limits.MODULE_WIDE_VALUES_MAX}`));
refused('many functions of 19 million locals times blocks', withBody((body) => {
  body.u8(1);
  body.u32(9_500);
  body.u8(0x7f);
  many(body, 2_000, [0x41, 0, 0x04, 0x40, 0x0b]);
  body.u8(0x0b);
}, EMPTY_TYPE, 6), new RegExp(`all functions.*limit is ${limits.MODULE_LOCALS_TIMES_JOINS_MAX}`));

t.test('a table of functions with many parameters stays a table', async (t) => {
  const type = (count: number): string => `(type $t (func (param ${'i32 '.repeat(count)})))`;
  const text = (count: number): string => `(module ${type(count)} (table 1000 funcref)
    (elem (i32.const 0) ${'$f '.repeat(1000)}) (func $f (type $t)) (func (export "run")
    (call_indirect (type $t) ${'(i32.const 0)'.repeat(count + 1)})))`;
  t.equal(rewrite(wat(text(16)), { memoryBytesMax: MIB }).hasTable, false);
  t.equal(rewrite(wat(text(17)), { memoryBytesMax: MIB }).hasTable, true);
});

t.test('tables that may grow are clamped', async (t) => {
  const tables = '(table 0 10000000 funcref)'.repeat(10);
  const grows = Array.from({ length: 10 }, (_, i) =>
    `(drop (table.grow ${i} (ref.null func) (i32.const 1)))`).join('');
  const { tableEntries, memory } = rewrite(wat(`(module (memory 1) ${tables}
    (func (export "run") ${grows}))`), { memoryBytesMax: 128 * MIB });
  t.ok(tableEntries * limits.TABLE_ENTRY_BYTES <= 16 * MIB);
  t.ok(tableEntries * limits.TABLE_ENTRY_BYTES + memory!.maximumPages * 65_536 <= 128 * MIB);
});

t.test('exports that shadow reserved names', async (t) => {
  for (const name of [reserved.FUEL_EXPORT, reserved.TABLE_EXPORT, reserved.START_EXPORT]) {
    const source = wat(`(module (global (export "${name}") (mut i64) (i64.const 0)))`);
    t.match(thrown(() => rewrite(source, { memoryBytesMax: MIB })), { code: 'reserved_name' });
  }
  // Names that only look alike are nobody's business.
  t.ok(rewrite(wat('(module (func (export "wardian")) (func (export "Wardian:fuel")))'),
    { memoryBytesMax: MIB }));
});

t.test('as many blocks and locals as are allowed compile in bounded time', async (t) => {
  const source = withBody((body) => {
    body.u8(1);
    body.u32(9_999);
    body.u8(0x7f);
    many(body, 2_000, [0x41, 0, 0x04, 0x40, 0x0b]);
    body.u8(0x0b);
  });
  const { bytes } = rewrite(source, { memoryBytesMax: MIB });
  t.ok(new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>));
});
