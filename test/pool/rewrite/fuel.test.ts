/** Exact fuel for programs whose cost is computed by hand, in every kind of control flow. */
import t from 'tap';
import { FUEL_EXPORT } from '../../../contract/reserved.ts';
import { guest, thrown, wat, type HostOptions } from './host.ts';

/** The module's text around function bodies. */
const module = (fields: string): Uint8Array => wat(`(module ${fields})`);

interface Case {
  name: string;
  fields: string;
  args?: unknown[];
  /** The units, written as the sum that they are. */
  cost: number;
  options?: HostOptions;
}

const ENTRY = 4;
const LOOP = 1;
const CALL = 8;
const INDIRECT = 16;
const HOSTCALL = 200;
const DIVISION = 16;
const BULK = 64;
const TABLE_ENTRY = 128;
const PAGE = 32_768;

const straight: Case[] = [
  { name: 'nothing', fields: '(func (export "f"))', cost: ENTRY },
  {
    name: 'constants and local.get are free, arithmetic is one',
    fields: '(func (export "f") (param i32) (result i32) '
      + '(i32.add (i32.mul (local.get 0) (i32.const 3)) (i32.const 1)))',
    args: [1], cost: ENTRY + 1 + 1,
  },
  { name: 'locals', fields: '(func (export "f") (local i32 i32 i32 i64 f64))', cost: ENTRY + 2 },
  {
    name: 'parameters are not counted as locals',
    fields: '(func (export "f") (param i32 i32 i32 i32))', args: [1, 2, 3, 4], cost: ENTRY,
  },
  {
    name: 'division, square root, loads and stores, globals',
    fields: `(memory 1) (global $g (mut i32) (i32.const 0)) (func (export "f")
      (i32.store (i32.const 0) (i32.div_u (i32.const 9) (i32.load (i32.const 4))))
      (global.set $g (i32.const 1)) (drop (f64.sqrt (f64.const 2))))
      (data (i32.const 4) "\\01\\00\\00\\00")`,
    cost: ENTRY + 2 + DIVISION + 2 + 1 + DIVISION,
  },
  {
    name: 'floats: arithmetic, conversions, saturating ones',
    fields: `(func (export "f") (param f64) (result i32)
      (i32.trunc_sat_f64_s (f64.mul (local.get 0) (f64.convert_i32_s (i32.const 3)))))`,
    args: [1], cost: ENTRY + 4 + 4 + 4,
  },
  {
    name: 'SIMD of floats',
    fields: `(func (export "f") (param i32) (result i32) (i32x4.extract_lane 0
      (i32x4.trunc_sat_f32x4_u (f32x4.mul (f32x4.splat (f32.const 1))
        (f32x4.convert_i32x4_u (i32x4.splat (local.get 0)))))))`,
    args: [1], cost: ENTRY + 2 + 2 + 5 + 5 + 5 + 2,
  },
  {
    name: 'SIMD',
    fields: `(func (export "f") (result i32) (i32x4.extract_lane 0 (i32x4.add
      (v128.const i32x4 1 2 3 4) (v128.const i32x4 1 2 3 4))))`,
    cost: ENTRY + 2 + 2,
  },
];

const branches: Case[] = [
  {
    name: 'if taken', args: [1], cost: ENTRY + 1 + 1,
    fields: '(func (export "f") (param i32) (local i32) '
      + '(if (local.get 0) (then (local.set 1 (i32.const 1)))))',
  },
  {
    name: 'if not taken', args: [0], cost: ENTRY + 1,
    fields: '(func (export "f") (param i32) (local i32) '
      + '(if (local.get 0) (then (local.set 1 (i32.const 1)))))',
  },
  ...[[1, DIVISION], [0, 1]].map(([condition, arm]): Case => ({
    name: `if and else, condition ${condition}`, args: [condition], cost: ENTRY + 1 + arm! + 1,
    fields: `(func (export "f") (param i32) (result i32) (i32.add (i32.const 1)
      (if (result i32) (local.get 0) (then (i32.div_u (i32.const 9) (i32.const 3)))
        (else (i32.eqz (i32.const 1))))))`,
  })),
  ...[[1, 0], [0, DIVISION]].map(([condition, rest]): Case => ({
    name: `br_if, condition ${condition}`, args: [condition], cost: ENTRY + 1 + rest! + 1,
    fields: `(func (export "f") (param i32) (local i32) (block (br_if 0 (local.get 0))
      (drop (i32.div_u (i32.const 1) (i32.const 1)))) (local.set 1 (i32.const 1)))`,
  })),
  {
    name: 'a branch that carries a value pays for it', args: [], cost: ENTRY + 1 + 1,
    fields: '(func (export "f") (result i32) (block (result i32) (br 0 (i32.const 1))))',
  },
  ...[[0, 0], [1, 1], [2, 1 + DIVISION], [7, 1 + DIVISION]].map(([index, after]): Case => ({
    name: `br_table, index ${index}`, args: [index], cost: ENTRY + 2 + after!,
    fields: `(func (export "f") (param i32) (local i32) (block (block (block
      (br_table 2 1 0 (local.get 0)))
      (drop (i32.div_u (i32.const 1) (i32.const 1)))) (local.set 1 (i32.const 1))))`,
  })),
  ...[[1, 0], [0, DIVISION + 1]].map(([condition, rest]): Case => ({
    name: `return from inside, condition ${condition}`, args: [condition],
    cost: ENTRY + 1 + (condition === 1 ? 1 : 0) + rest!,
    fields: `(func (export "f") (param i32) (local i32) (block (if (local.get 0) (then (return)))
      (drop (i32.div_u (i32.const 1) (i32.const 1)))) (local.set 1 (i32.const 1)))`,
  })),
];

const loops: Case[] = [
  ...[0, 1, 10].map((turns): Case => ({
    name: `while, ${turns} turns`, args: [turns],
    // Each turn: header, eqz, br_if; then sub, set, br. The last one only the first three.
    cost: ENTRY + turns * (LOOP + 1 + 1 + 1 + 1 + 1) + (LOOP + 1 + 1),
    fields: `(func (export "f") (param i32) (block (loop (br_if 1 (i32.eqz (local.get 0)))
      (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br 0))))`,
  })),
  {
    name: 'nested loops', args: [3],
    // Outer turn: header, set, inner, sub, tee, br_if. Inner turn (4): header, sub, tee, br_if.
    cost: ENTRY + 3 * (LOOP + 1 + 4 * (LOOP + 1 + 1 + 1) + 1 + 1 + 1),
    fields: `(func (export "f") (param i32) (local i32) (loop (local.set 1 (i32.const 4))
      (loop (br_if 0 (local.tee 1 (i32.sub (local.get 1) (i32.const 1)))))
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))`,
  },
  {
    name: 'code behind a loop is paid once', args: [5], cost: ENTRY + 5 * (LOOP + 3) + DIVISION,
    fields: `(func (export "f") (param i32)
      (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
      (drop (i32.div_u (i32.const 1) (i32.const 1))))`,
  },
  {
    name: 'calls in a loop', args: [3],
    cost: ENTRY + 3 * (LOOP + CALL + 1 + 1 + (ENTRY + 1) + 1 + 1 + 1),
    fields: `(func $g (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
      (func (export "f") (param i32) (loop (drop (call $g (i32.const 1)))
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))`,
  },
];

const calls: Case[] = [
  {
    name: 'a call by its parameters and results', cost: ENTRY + CALL + 2 + 1 + ENTRY + 1,
    fields: `(func $g (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
      (func (export "f") (result i32) (call $g (i32.const 1) (i32.const 2)))`,
  },
  {
    name: 'call_indirect', cost: ENTRY + INDIRECT + ENTRY,
    fields: `(table 1 funcref) (elem (i32.const 0) $g) (func $g)
      (func (export "f") (call_indirect (i32.const 0)))`,
  },
  {
    name: 'a tail call', cost: ENTRY + CALL + 1 + 1 + ENTRY + 1,
    fields: `(func $g (param i32) (result i32) (i32.eqz (local.get 0)))
      (func (export "f") (result i32) (return_call $g (i32.const 1)))`,
  },
  {
    name: 'a hostcall', cost: ENTRY + CALL + 1 + HOSTCALL,
    fields: '(import "env" "h" (func $h (param i32))) (func (export "f") (call $h (i32.const 7)))',
    options: { imports: { env: { h: () => undefined } } },
  },
  {
    name: 'recursion', args: [5],
    // Six entries (eqz, if); five times: sub, call with a parameter.
    cost: 6 * (ENTRY + 1 + 1) + 5 * (1 + CALL + 1),
    fields: `(func $f (export "f") (param i32) (if (i32.eqz (local.get 0)) (then)
      (else (call $f (i32.sub (local.get 0) (i32.const 1))))))`,
  },
];

const bulk: Case[] = [
  {
    name: 'memory.fill', args: [1000], cost: ENTRY + BULK + 125,
    fields: '(memory 1) (func (export "f") (param i32) '
      + '(memory.fill (i32.const 0) (i32.const 1) (local.get 0)))',
  },
  {
    name: 'memory.copy of seven bytes', args: [7], cost: ENTRY + BULK,
    fields: '(memory 1) (func (export "f") (param i32) '
      + '(memory.copy (i32.const 0) (i32.const 1) (local.get 0)))',
  },
  {
    name: 'memory.init and data.drop', args: [16], cost: ENTRY + BULK + 2 + 16,
    fields: `(memory 1) (data $d "0123456789abcdef") (func (export "f") (param i32)
      (memory.init $d (i32.const 0) (i32.const 0) (local.get 0)) (data.drop $d))`,
  },
  {
    name: 'table instructions', args: [3],
    cost: ENTRY + 3 * (BULK + 3 * TABLE_ENTRY) + 500 + 3 * TABLE_ENTRY + 2,
    fields: `(table $t 10 funcref) (elem $e func $g $g $g) (func $g)
      (func (export "f") (param i32)
        (table.init $t $e (i32.const 0) (i32.const 0) (local.get 0))
        (table.copy $t $t (i32.const 4) (i32.const 0) (local.get 0))
        (table.fill $t (i32.const 0) (ref.null func) (local.get 0))
        (drop (table.grow $t (ref.null func) (local.get 0))))`,
  },
  {
    name: 'memory.grow', args: [2], cost: ENTRY + 2000 + 2 * PAGE,
    fields: '(memory 1 8) (func (export "f") (param i32) (result i32) (memory.grow (local.get 0)))',
  },
  {
    name: 'memory.grow that fails costs no pages', args: [9], cost: ENTRY + 2000,
    fields: '(memory 1 8) (func (export "f") (param i32) (result i32) (memory.grow (local.get 0)))',
  },
];

function check(group: string, cases: readonly Case[]): void {
  t.test(group, async (t) => {
    for (const { name, fields, args = [], cost, options } of cases) {
      const source = module(fields);
      for (const virtualMemory of [true, false]) {
        const run = guest(source, { ...options, virtualMemory });
        t.equal(run.cost('f', ...args), cost, name);
      }
      const exact = guest(source, { ...options, fuelUnits: BigInt(cost) });
      exact.call('f', ...args);
      t.equal(exact.fuel(), 0n, `${name}: exactly enough fuel`);
      const short = guest(source, { ...options, fuelUnits: BigInt(cost - 1) });
      try {
        short.call('f', ...args);
      } catch (error) {
        t.ok(error instanceof WebAssembly.RuntimeError, `${name}: traps`);
      }
      t.ok(short.fuel() < 0n, `${name}: one unit less is out of fuel`);
    }
  });
}

check('straight code', straight);
check('branches', branches);
check('loops', loops);
check('calls', calls);
check('bulk instructions', bulk);

t.test('fuel: false charges nothing', async (t) => {
  for (const { fields, args = [], options } of [...loops, ...calls, ...bulk]) {
    const run = guest(module(fields), { ...options, fuel: false });
    t.equal(run.cost('f', ...args), 0);
    t.type(run.exports[FUEL_EXPORT], WebAssembly.Global);
  }
});

t.test('a bulk instruction traps before it runs', async (t) => {
  const run = guest(module(`(memory 256) (func (export "f") (param i32)
    (memory.fill (i32.const 0) (i32.const 1) (local.get 0)))`), { fuelUnits: 1000n });
  t.match(thrown(() => run.call('f', 16 * 2 ** 20)).message, 'unreachable');
  t.ok(run.fuel() < 0n);
  t.equal(new Uint8Array(run.memory!.buffer)[0], 0, 'nothing was written');
});

t.test('lengths of 2 GiB and more do not wrap', async (t) => {
  for (const length of [-1, 0x80000000 | 0, 0x7fffffff]) {
    const run = guest(module(`(memory 1) (func (export "f") (param i32)
      (memory.fill (i32.const 0) (i32.const 1) (local.get 0)))`), { fuelUnits: 1000n });
    thrown(() => run.call('f', length));
    t.equal(run.fuel(), BigInt(1000 - ENTRY - BULK - Math.floor((length >>> 0) / 8)));
  }
});

t.test('the host can take the fuel away while the guest is outside', async (t) => {
  const run = guest(module(`(import "env" "h" (func $h)) (func (export "f") (param i32)
    (loop (call $h) (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))`), {
    imports: { env: { h: () => run.setFuel(-1n) } },
  });
  t.match(thrown(() => run.call('f', 1000)).message, 'unreachable');
  t.ok(run.fuel() < 0n);
});

/** Units used when a call of `f` ends, however it ends. */
function used(fields: string): number {
  const run = guest(module(fields));
  const before = run.fuel();
  try {
    run.call('f');
  } catch (error) {
    if (!(error instanceof WebAssembly.RuntimeError)) throw error;
  }
  return Number(before - run.fuel());
}

t.test('after a trap, what one function ran since its last write may be missing', async (t) => {
  const turns = 1_000;
  const looping = (inLoop: string, last: string): string => `(func $leaf)
    (func (export "f") (local $i i32)
      (local.set $i (i32.const ${turns}))
      (loop $more ${inLoop}
        (br_if $more (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
      ${last})`;
  const trap = '(drop (i32.div_s (i32.const 1) (local.get $i)))';
  const spared = '(drop (i32.div_s (i32.const 1) (i32.const 1)))';
  // A loop without calls: nothing of it is written. The true cost is that of the one without a
  // trap: it has the same regions.
  const exact = used(looping('', spared));
  const told = used(looping('', trap));
  t.ok(told >= 0 && told < exact, `${told} of ${exact}`);
  // A call writes what was used before it: what is missing is less than a turn and the rest.
  const turn = LOOP + CALL + ENTRY + 1 + 1 + 1;
  const trueWithCalls = used(looping('(call $leaf)', spared));
  const toldWithCalls = used(looping('(call $leaf)', trap));
  t.ok(toldWithCalls <= trueWithCalls && trueWithCalls - toldWithCalls <= turn + DIVISION,
    `${toldWithCalls} of ${trueWithCalls}`);
  t.ok(toldWithCalls >= turns * CALL);
  // `unreachable`, and functions without loops, hide nothing.
  t.equal(used(looping('', 'unreachable')), used(looping('', 'nop')));
  const straight = (divisor: number): string => `(func (export "f")
    (drop (i32.div_s (i32.const 1) (i32.const ${divisor}))))`;
  t.equal(used(straight(0)), used(straight(1)));
});
