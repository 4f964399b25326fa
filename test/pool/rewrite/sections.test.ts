/**
 * What the rewriter does to the sections: imports, exports, memory, table, start, names, custom
 * sections.
 */
import t from 'tap';
import * as reserved from '../../../contract/reserved.ts';
import { functionNames, rewrite } from '../../../pool/rewrite/index.ts';
import { guest, PLENTY, thrown, wat } from './host.ts';

const MIB = 2 ** 20;
const PAGE = 65_536;

t.test('the bytes of a small module', async (t) => {
  const source = Uint8Array.from([
    0,
    0x61,
    0x73,
    0x6d,
    1,
    0,
    0,
    0,
    1,
    4,
    1,
    0x60,
    0,
    0, // type () -> ()
    3,
    2,
    1,
    0, // one function
    7,
    5,
    1,
    1,
    0x66,
    0,
    0, // export "f"
    10,
    4,
    1,
    2,
    0,
    0x0b, // empty body
  ]);
  const text = (name: string): number[] => [name.length, ...Buffer.from(name)];
  const added = [
    ...text(reserved.FUEL_EXPORT),
    3,
    0,
    ...text(reserved.CONTEXT_EXPORT),
    3,
    1,
    ...text(reserved.PAGES_EXPORT),
    3,
    2,
    ...text(reserved.REFUSED_EXPORT),
    3,
    3,
  ];
  const names = [
    ...text('name'),
    1,
    1,
    0,
    7,
    added.length - 4 + 1,
    4,
    0,
    ...text(reserved.FUEL_EXPORT),
    1,
    ...text(reserved.CONTEXT_EXPORT),
    2,
    ...text(reserved.PAGES_EXPORT),
    3,
    ...text(reserved.REFUSED_EXPORT),
  ];
  const body = [
    1,
    1,
    0x7e, // one i64 local
    0x23,
    0,
    0x42,
    4,
    0x7d,
    0x22,
    0,
    0x24,
    0, // fuel - 4, kept and stored
    0x20,
    0,
    0x42,
    0,
    0x53,
    0x04,
    0x40,
    0x00,
    0x0b, // below zero: unreachable
    0x0b,
  ];
  const expected = [
    0,
    0x61,
    0x73,
    0x6d,
    1,
    0,
    0,
    0,
    1,
    4,
    1,
    0x60,
    0,
    0,
    3,
    2,
    1,
    0,
    6,
    21,
    4,
    0x7e,
    1,
    0x42,
    0,
    0x0b,
    ...[0, 1, 2].flatMap(() => [0x7f, 1, 0x41, 0, 0x0b]),
    7,
    5 + added.length,
    5,
    1,
    0x66,
    0,
    0,
    ...added,
    10,
    body.length + 2,
    1,
    body.length,
    ...body,
    0,
    names.length,
    ...names,
  ];
  t.same([...rewrite(source, { memoryBytesMax: MIB }).bytes], expected);
});

t.test('a hostcall import gets the context, and every reference goes to its wrapper', async (t) => {
  const seen: unknown[][] = [];
  const source = wat(`(module
    (import "env" "add" (func $add (param i32 i64 f64) (result i32)))
    (import "env" "begin" (func $begin))
    (table (export "t") 3 funcref) (elem (i32.const 0) $add $begin)
    (global $g funcref (ref.func $add))
    (start $begin)
    (func (export "direct") (result i32) (call $add (i32.const 1) (i64.const 2) (f64.const 3)))
    (func (export "tail") (result i32)
      (return_call $add (i32.const 4) (i64.const 5) (f64.const 6)))
    (func (export "indirect") (result i32)
      (call_indirect (param i32 i64 f64) (result i32)
        (i32.const 7) (i64.const 8) (f64.const 9) (i32.const 0)))
    (func (export "ref") (table.set (i32.const 2) (ref.func $add)))
    (func (export "fromGlobal") (table.set (i32.const 2) (global.get $g)))
    (export "add" (func $add)))`);
  const run = guest(source, {
    context: 41,
    imports: {
      env: {
        add: (...values) => {
          seen.push(values);
          return 99;
        },
        begin: (...values) => void seen.push(values),
      },
    },
  });
  t.same(seen.splice(0), [[41]], 'start is an import');
  t.equal(run.call('direct'), 99);
  t.equal(run.call('tail'), 99);
  t.equal(run.call('indirect'), 99);
  t.equal(run.call('add', 10, 11n, 12), 99);
  run.call('ref');
  t.equal((run.table!.get(2) as (...v: unknown[]) => unknown)(13, 14n, 15), 99);
  run.call('fromGlobal');
  t.equal((run.table!.get(2) as (...v: unknown[]) => unknown)(16, 17n, 18), 99);
  t.same(seen, [
    [41, 1, 2n, 3],
    [41, 4, 5n, 6],
    [41, 7, 8n, 9],
    [41, 10, 11n, 12],
    [41, 13, 14n, 15],
    [41, 16, 17n, 18],
  ]);
  t.same(run.result.imports, [
    { module: 'env', name: 'add', kind: 'func', params: ['i32', 'i64', 'f64'], results: ['i32'] },
    { module: 'env', name: 'begin', kind: 'func', params: [], results: [] },
  ]);
  t.same(
    run.result.exports.find(({ name }) => name === 'add'),
    { name: 'add', kind: 'func', params: ['i32', 'i64', 'f64'], results: ['i32'] },
  );
});

t.test('memory: imported, declared sizes kept and clamped', async (t) => {
  const run = guest(wat('(module (memory (export "mem") 2 100) (func (export "f")))'), {
    memoryBytesMax: 10 * PAGE,
  });
  t.same(run.result.memory, { initialPages: 2, maximumPages: 10, imported: false });
  t.equal(run.exports['mem'], run.memory, "the guest's own export is the host's memory");
  t.equal(run.pages(), 2);
  const imported = rewrite(wat('(module (import "env" "m" (memory 1 3)))'), {
    memoryBytesMax: 10 * PAGE,
  });
  t.same(imported.memory, { initialPages: 1, maximumPages: 3, imported: true });
  t.same(imported.imports, [{ module: 'env', name: 'm', kind: 'memory' }]);
  const error = thrown(() => rewrite(wat('(module (memory 11))'), { memoryBytesMax: 10 * PAGE }));
  t.match(error, { code: 'module_limit' });
  t.match(error.message, `${11 * PAGE}`);
  t.match(error.message, `limit is ${10 * PAGE}`);
  t.equal(rewrite(wat('(module)'), { memoryBytesMax: PAGE }).memory, null);
});

t.test('memory.size and memory.grow go by the declared size on a larger memory', async (t) => {
  const source = wat(`(module (memory 1 4)
    (func (export "size") (result i32) (memory.size))
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))`);
  const memory = new WebAssembly.Memory({ initial: 3, maximum: 4 });
  const run = guest(source, { memory });
  const plain = new WebAssembly.Instance(new WebAssembly.Module(source)).exports as Record<
    string,
    (pages?: number) => number
  >;
  for (const delta of [0, 1, -1, 0x7fffffff, 65_536, 1, 2, 0, 1, 1, 0]) {
    t.equal(run.call('grow', delta), plain['grow']!(delta), `grow ${delta}`);
    t.equal(run.call('size'), plain['size']!(), `size after ${delta}`);
  }
  t.equal(memory.buffer.byteLength, 4 * PAGE);
  t.equal(run.pages(), 4);
  const real = guest(source, { virtualMemory: false });
  t.equal(real.call('grow', 2), 1);
  t.equal(real.call('size'), 3);
  t.equal(real.call('grow', 2), -1);
});

t.test('tables: exported, counted, clamped', async (t) => {
  const run = guest(
    wat(`(module (table 2 1000000 funcref) (elem (i32.const 0) $f)
    (func $f (export "f")) (func (export "grow") (param i32) (result i32)
      (table.grow 0 (ref.null func) (local.get 0))))`),
    { memoryBytesMax: 8 * MIB },
  );
  t.equal(run.table!.length, 2);
  t.equal(run.table!.get(0), run.exports['f']);
  t.equal(run.result.tableEntries, 2 + MIB / 32, 'an eighth of the memory for growth');
  t.equal(run.call('grow', MIB / 32 + 1), -1);
  t.equal(run.call('grow', MIB / 32), 2);
  const fixed = rewrite(wat('(module (table 5 funcref) (memory 1))'), { memoryBytesMax: 8 * MIB });
  t.equal(fixed.tableEntries, 5, 'nothing grows it');
  t.equal(fixed.memory!.maximumPages, 127, 'tables count with the memory');
  for (const text of [
    '(module (table 300000 funcref))',
    '(module (table 150000 funcref) (table 150000 externref))',
  ]) {
    t.match(
      thrown(() => rewrite(wat(text), { memoryBytesMax: 8 * MIB })),
      { code: 'module_limit', message: /300000.*limit is 262144/ },
    );
  }
  t.match(
    thrown(() =>
      rewrite(wat('(module (table 11 funcref))'), { memoryBytesMax: MIB, tableEntriesMax: 10 }),
    ),
    { message: /limit is 10\b/ },
  );
});

t.test('start becomes an export', async (t) => {
  const source = wat(`(module (global $g (export "g") (mut i32) (i32.const 0)) (start $s)
    (func $s (global.set $g (i32.const 5))))`);
  const run = guest(source, { start: false });
  t.ok(run.result.hasStart);
  t.equal((run.exports['g'] as WebAssembly.Global).value, 0, 'not run at instantiation');
  t.equal(run.cost(reserved.START_EXPORT), 5);
  t.equal((run.exports['g'] as WebAssembly.Global).value, 5);
  t.notOk(rewrite(wat('(module (func))'), { memoryBytesMax: MIB }).hasStart);
});

t.test('what instantiation costs', async (t) => {
  const result = rewrite(
    wat(`(module (memory 1) (table 10 funcref) (global i32 (i32.const 0))
    (func $f) (elem (i32.const 0) $f $f) (data (i32.const 0) "0123456789abcdef")
    (data $passive "0123456789abcdef"))`),
    { memoryBytesMax: MIB },
  );
  t.equal(result.fuelAtInstantiation, 32 + 3 * 64 + 16 / 8 + 2 * 128 + 10 * 64 + 8);
  const imports = rewrite(wat(`(module (import "env" "h" (func)) (tag) (func))`), {
    memoryBytesMax: MIB,
  });
  t.equal(imports.fuelAtInstantiation, 480 + 64 + 2 * 8, 'imports, tags and functions');
});

t.test('only the first name section is extended: many would make a large module of a small one',
  async (t) => {
    const plain = wat(`(module ${'(import "env" "h" (func))'.repeat(400)} (func))`);
    const section = [0x00, 0x05, 0x04, 0x6e, 0x61, 0x6d, 0x65];
    const count = 2_000;
    const sections = Array.from({ length: count }, () => section).flat();
    const source = new Uint8Array([...plain, ...sections]);
    const once = rewrite(plain, { memoryBytesMax: MIB }).bytes.length;
    const bytes = rewrite(source, { memoryBytesMax: MIB }).bytes.length;
    t.ok(bytes < once + 2 * count * section.length, `${bytes} bytes`);
  });

t.test('growth beyond the limit is refused before it is charged', async (t) => {
  const { call } = guest(wat(`(module (memory 1)
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))`), {
    memoryBytesMax: 2 * MIB, fuelUnits: 10_000n,
  });
  t.equal(call('grow', 40_000), -1, 'what no memory of this limit can have');
  t.equal(call('grow', -1), -1);
  t.equal(call('grow', 0), 1);
});

t.test('reserved names are refused', async (t) => {
  for (const text of [
    `(import "${reserved.HOST_MODULE}" "memory" (memory 1))`,
    '(import "env" "wardian:x" (func))',
    ...[
      reserved.FUEL_EXPORT,
      reserved.CONTEXT_EXPORT,
      reserved.PAGES_EXPORT,
      reserved.TABLE_EXPORT,
      reserved.START_EXPORT,
      'wardian:',
    ].map((name) => `(func (export "${name}"))`),
  ]) {
    const error = thrown(() => rewrite(wat(`(module ${text})`), { memoryBytesMax: MIB }));
    t.match(error, { code: 'reserved_name', message: /section.*wardian:.*offset/ }, text);
  }
});

t.test('custom sections survive in their places, names are extended', async (t) => {
  const source = wat(`(module (import "env" "h" (func $host (param i32)))
    (func $mine (export "f") (call $host (i32.const 1))) (memory 1)
    (func $grow (drop (memory.grow (i32.const 1)))))`);
  const custom = Uint8Array.from([0, 6, 2, 0x61, 0x62, 1, 2, 3]);
  const withCustom = Buffer.concat([source.subarray(0, 8), custom, source.subarray(8), custom]);
  const { bytes } = rewrite(withCustom, { memoryBytesMax: MIB });
  const module = new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>);
  t.same(
    WebAssembly.Module.customSections(module, 'ab').map((b) => [...new Uint8Array(b)]),
    [
      [1, 2, 3],
      [1, 2, 3],
    ],
  );
  t.same([...bytes.subarray(8, 16)], [...custom], 'still in front');
  t.same(
    [...functionNames(bytes)],
    [
      [0, 'host'],
      [1, 'mine'],
      [2, 'grow'],
      [3, 'wardian:env.h'],
      [4, 'wardian:memory.grow'],
    ],
  );
  t.same(
    [...functionNames(source)],
    [
      [0, 'host'],
      [1, 'mine'],
      [2, 'grow'],
    ],
  );
  const header = wat('(module)').subarray(0, 8);
  const broken = Uint8Array.from([...header, 0, 7, 4, 0x6e, 0x61, 0x6d, 0x65, 1, 0x7f]);
  const kept = rewrite(broken, { memoryBytesMax: MIB }).bytes;
  t.ok(WebAssembly.validate(kept as Uint8Array<ArrayBuffer>));
  t.equal(functionNames(broken).size, 0);
});

t.test('a trap names the function', async (t) => {
  const run = guest(wat('(module (func $culprit (export "f") (unreachable)))'));
  t.match(thrown(() => run.call('f')).stack, /culprit/);
  t.equal(run.fuel(), PLENTY - 4n, 'told from running out of fuel');
});

t.test('the same bytes every time', async (t) => {
  const source = wat('(module (memory 1) (func (export "f") (loop (br 0))))');
  t.same(
    rewrite(source, { memoryBytesMax: MIB }).bytes,
    rewrite(source, { memoryBytesMax: MIB }).bytes,
  );
});

t.test(
  'a table that nothing can change becomes a list, with the same calls and traps',
  async (t) => {
    const source = wat(`(module
    (type $one (func (param i32) (result i32)))
    (table 4 funcref) (elem (i32.const 1) $double $nothing)
    (func $double (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
    (func $nothing)
    (func (export "call") (param i32 i32) (result i32)
      (call_indirect (type $one) (local.get 0) (local.get 1)))
    (func (export "tail") (param i32 i32) (result i32)
      (return_call_indirect (type $one) (local.get 0) (local.get 1))))`);
    const costs: bigint[] = [];
    for (const staticTable of [true, false]) {
      const result = rewrite(source, { memoryBytesMax: MIB, staticTable });
      t.same([result.hasTable, result.listedEntries], staticTable ? [false, 4] : [true, 0]);
      const module = new WebAssembly.Module(result.bytes as Uint8Array<ArrayBuffer>);
      const { exports } = new WebAssembly.Instance(module, {});
      (exports[reserved.FUEL_EXPORT] as WebAssembly.Global).value = 100_000n;
      for (const name of ['call', 'tail']) {
        const call = exports[name] as (argument: number, index: number) => number;
        t.equal(call(21, 1), 42);
        for (const index of [0, 2, 3, 4, -1]) {
          t.throws(() => call(21, index), WebAssembly.RuntimeError, `${name} of entry ${index}`);
        }
      }
      const left = (exports[reserved.FUEL_EXPORT] as WebAssembly.Global).value as bigint;
      costs.push(100_000n - left);
      if (!staticTable) continue;
      const host = exports[reserved.CALL_EXPORT] as (argument: number, index: number) => number;
      t.equal(host(4, 1), 8);
      t.throws(() => host(4, 2), WebAssembly.RuntimeError);
    }
    t.equal(costs[0], costs[1], 'a list costs the fuel that a table costs');
    t.ok(costs[0]! > 0n);
  },
);

t.test('a table that something may change stays a table', async (t) => {
  for (const [why, text] of [
    ['table.set', '(func (table.set (i32.const 0) (ref.null func)))'],
    ['table.grow', '(func (drop (table.grow (ref.null func) (i32.const 1))))'],
    ['ref.func', '(func $f) (elem (i32.const 0) $f) (func (drop (ref.func $f)))'],
    [
      'an offset that is not constant',
      '(import "e" "g" (global i32)) (func $f) (elem (global.get 0) $f)',
    ],
    ['a segment out of bounds', '(func $f) (elem (i32.const 2) $f)'],
    ['an export', '(export "t" (table 0))'],
  ] as const) {
    const source = wat(`(module ${text.startsWith('(import') ? '' : '(table 2 funcref)'} ${text}
      ${text.startsWith('(import') ? '(table 2 funcref)' : ''})`);
    const result = rewrite(source, { memoryBytesMax: MIB });
    t.same([result.hasTable, result.listedEntries], [true, 0], why);
  }
});

t.test('a growth that is refused is told to the host', async (t) => {
  const source = wat(`(module (memory 1 4)
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))`);
  const { bytes } = rewrite(source, { memoryBytesMax: MIB });
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 3 });
  const { exports } = new WebAssembly.Instance(
    new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>),
    { 'wardian:host': { memory } },
  );
  (exports[reserved.FUEL_EXPORT] as WebAssembly.Global).value = 1_000_000n;
  const refused = (): number =>
    (exports[reserved.REFUSED_EXPORT] as WebAssembly.Global).value >>> 0;
  const grow = exports['grow'] as (pages: number) => number;
  t.same([grow(1), refused()], [1, 0]);
  t.same([grow(2), refused()], [-1, 4], 'more than the host gives');
  t.same([grow(9), refused()], [-1, 11], 'more than is declared');
  t.same([grow(-1), refused()], [-1, 0xffff_ffff], 'a sum that wraps');
});

t.test('a function that only an export declares can still be taken', async (t) => {
  const text = '(module (func $f) (export "gone" (func $f)) (func (export "run") BODY))';
  const exportsOf = (body: string): string[] => {
    const options = { keepExports: new Set(['run']) };
    return Object.keys(guest(wat(text.replace('BODY', body)), options).exports)
      .filter((name) => !name.startsWith('wardian:')).sort();
  };
  t.strictSame(exportsOf('(drop (ref.func $f))'), ['gone', 'run']);
  t.strictSame(exportsOf('(call $f)'), ['run']);
});
