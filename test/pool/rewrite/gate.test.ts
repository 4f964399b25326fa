/** Numbered hostcalls behind one import: what the module looks like, and that calls find theirs. */

import t from 'tap';
import * as reserved from '../../../contract/reserved.ts';
import { functionNames } from '../../../pool/rewrite/index.ts';
import { guest, thrown, wat, type Call, type HostOptions } from './host.ts';

const NUMBERS = new Map([['env', new Map([
  ['none', 0], ['one', 300], ['six', 2], ['wide', 3], ['two', 4],
])]]);

/** Imports in an order of which the numbered ones are the first, the middle and the last. */
const TEXT = `(module
  (type $unary (func (param i32) (result i32)))
  (import "env" "none" (func $none))
  (import "env" "plain" (func $plain (param i32) (result i32)))
  (import "env" "one" (func $one (param i32) (result i32)))
  (import "env" "wide" (func $wide (param i64) (result i32)))
  (import "env" "six" (func $six (param i32 i32 i32 i32 i32 i32) (result i32)))
  (memory 1)
  (table (export "shared") 4 funcref)
  (elem (i32.const 0) $one $plain $own $last)
  (func $own (param i32) (result i32) (i32.mul (local.get 0) (i32.const 3)))
  (func $last (param i32) (result i32) (unreachable))
  (func (export "none") (call $none))
  (func (export "plain") (param i32) (result i32) (call $plain (local.get 0)))
  (func (export "one") (param i32) (result i32) (call $one (local.get 0)))
  (func (export "wide") (param i64) (result i32) (call $wide (local.get 0)))
  (func (export "six") (result i32) (call $six (i32.const 1) (i32.const 2) (i32.const 3)
    (i32.const 4) (i32.const 5) (i32.const -6)))
  (func (export "indirect") (param i32 i32) (result i32)
    (call_indirect (type $unary) (local.get 1) (local.get 0)))
  (export "again" (func $one)))`;

function open(numbers: HostOptions['numbers']) {
  const calls: unknown[][] = [];
  const note = (name: string, answer: number | undefined): Call => (...values) => {
    calls.push([name, ...values]);
    return answer;
  };
  const opened = guest(wat(TEXT), {
    context: 77, ...(numbers === undefined ? {} : { numbers }),
    imports: {
      env: {
        none: note('none', undefined), one: note('one', 11), six: note('six', 66),
        plain: note('plain', 22), wide: note('wide', 33),
      },
      [reserved.HOST_MODULE]: {
        [reserved.HOSTCALL_IMPORT]: (...values: unknown[]) => {
          calls.push(['gate', ...values]);
          return values[1] === 300 ? 11 : values[1] === 2 ? 66 : undefined;
        },
      },
    },
  });
  return { ...opened, calls };
}

t.test('each call brings its number, its parameters, and zeros for the rest', async (t) => {
  const { call, calls } = open(NUMBERS);
  t.equal(call('none'), undefined);
  t.equal(call('one', 5), 11);
  t.equal(call('six'), 66);
  t.equal(call('plain', 6), 22);
  t.equal(call('wide', 7n), 33, 'what is no i32 is imported as it is, whatever its number');
  t.equal(call('indirect', 0, 8), 11, 'through a table');
  t.equal(call('indirect', 1, 9), 22);
  t.equal(call('indirect', 2, 9), 27, 'the guest\'s own functions are where they were');
  t.equal(call('again', 10), 11, 'as an export');
  t.strictSame(calls, [
    ['gate', 77, 0, 0, 0, 0, 0, 0, 0],
    ['gate', 77, 300, 5, 0, 0, 0, 0, 0],
    ['gate', 77, 2, 1, 2, 3, 4, 5, -6],
    ['plain', 77, 6],
    ['wide', 77, 7n],
    ['gate', 77, 300, 8, 0, 0, 0, 0, 0],
    ['plain', 77, 9],
    ['gate', 77, 300, 10, 0, 0, 0, 0, 0],
  ]);
});

t.test('the module imports one function for all of them', async (t) => {
  const { result } = open(NUMBERS);
  const bytes = result.bytes as Uint8Array<ArrayBuffer>;
  t.strictSame(
    WebAssembly.Module.imports(new WebAssembly.Module(bytes)).map(
      ({ module, name }) => `${module} ${name}`),
    ['env plain', 'env wide', 'wardian:host hostcall', 'wardian:host memory']);
  t.equal(result.leadingBodies, 2);
  t.strictSame(result.imports.map(({ name }) => name), ['none', 'plain', 'one', 'wide', 'six'],
    'of the source all are told');
  const names = functionNames(bytes);
  t.equal(names.get(5), 'own', 'names stay with their functions');
  t.ok([...names.values()].includes('wardian:env.one'));
});

t.test('the same costs and the same traps as with an import each', async (t) => {
  const gated = open(NUMBERS);
  const plain = open(undefined);
  t.equal(gated.result.fuelAtInstantiation, plain.result.fuelAtInstantiation);
  for (const [name, ...values] of [
    ['none'], ['one', 1], ['six'], ['plain', 1], ['wide', 1n], ['indirect', 0, 1], ['again', 1],
  ] as const) {
    t.equal(gated.cost(name, ...values), plain.cost(name, ...values), name);
  }
  t.equal(thrown(() => gated.call('indirect', 3, 1)).message,
    thrown(() => plain.call('indirect', 3, 1)).message);
  gated.setFuel(0n);
  const { calls } = gated;
  calls.length = 0;
  t.match(thrown(() => gated.call('one', 1)), { name: 'RuntimeError' });
  t.strictSame(calls, [], 'without fuel no hostcall is reached');
});

t.test('one hostcall alone keeps its import', async (t) => {
  const module = wat('(module (import "env" "one" (func (param i32) (result i32))))');
  const { result } = guest(module, {
    numbers: NUMBERS, imports: { env: { one: () => 0 } },
  });
  t.equal(result.leadingBodies, 0);
  t.strictSame(
    WebAssembly.Module.imports(new WebAssembly.Module(result.bytes as Uint8Array<ArrayBuffer>))
      .map(({ name }) => name), ['one']);
});
