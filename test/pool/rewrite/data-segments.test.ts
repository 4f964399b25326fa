/** Data segments that are made one leave memory as those of the source do, whatever they are. */
import t from 'tap';
import { guest, wat } from './host.ts';

const PAGE = 65_536;
const SEED = Number(process.env['WARDIAN_TEST_SEED'] ?? 20_261_127);
const MODULES = 300;

/** Of a section: the count that it begins with; 0 when there is none. */
function countOf(bytes: Uint8Array, wanted: number): number {
  const u32 = (from: number): [number, number] => {
    let value = 0;
    let at = from;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++]!;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return [value, at];
    }
  };
  for (let at = 8; at < bytes.length;) {
    const id = bytes[at]!;
    const [length, from] = u32(at + 1);
    if (id === wanted) return u32(from)[0];
    at = from + length;
  }
  return 0;
}

interface Test { equal(found: unknown, wanted: unknown): unknown }

const DATA = 11;
const DATA_COUNT = 12;

/** Unchecked: the assembler knows no arithmetic in offsets. */
function module(segments: string, code = ''): Uint8Array<ArrayBuffer> {
  const text = `(module (memory (export "memory") 1) ${segments} (func (export "f") ${code}))`;
  return wat(text, false);
}

function memoryOf(source: Uint8Array<ArrayBuffer>): Uint8Array {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(source));
  return new Uint8Array((exports['memory'] as WebAssembly.Memory).buffer);
}

/** The rewritten module's number of segments, once its memory has been found right. */
function segmentsOf(t: Test, source: Uint8Array<ArrayBuffer>): number {
  const { memory, result } = guest(source);
  const { buffer } = memory as WebAssembly.Memory;
  t.equal(Buffer.compare(new Uint8Array(buffer, 0, PAGE), memoryOf(source)), 0);
  return countOf(result.bytes, DATA);
}

const at = (offset: number, text: string): string => `(data (i32.const ${offset}) "${text}")`;

t.test('those that lie close together are one', (t) => {
  t.equal(segmentsOf(t, module(at(8, 'abc') + at(11, 'de') + at(20, 'f') + at(85, 'g'))), 1);
  t.equal(segmentsOf(t, module(at(8, 'a') + at(74, 'b'))), 2, 'more than 64 zeros between them');
  t.equal(segmentsOf(t, module(at(8, 'a') + at(20, '') + at(30, 'b'))), 1, 'an empty one');
  t.equal(segmentsOf(t, module(at(65_500, 'a') + at(65_535, 'b'))), 1, 'at the end of memory');
  t.end();
});

t.test('what is written over stays written over', (t) => {
  t.equal(segmentsOf(t, module(at(8, 'abcdef') + at(10, 'x'))), 2);
  t.equal(segmentsOf(t, module(at(20, 'abc') + at(8, 'x') + at(24, 'y'))), 3, 'out of order');
  // The second fills what would be zeros between the third and the fourth.
  t.equal(segmentsOf(t, module(at(8, 'ab') + at(0, 'zzzzzzzzzzzzzzzz') + at(9, 'c')
    + at(14, 'd'))), 4);
  t.end();
});

t.test('a section that code names, or that may fail, stays as it is', (t) => {
  const two = at(8, 'a') + at(10, 'b');
  t.equal(segmentsOf(t, module(two, '(data.drop 1)')), 2);
  t.equal(segmentsOf(t, module(two,
    '(memory.init 1 (i32.const 0) (i32.const 0) (i32.const 0))')), 2);
  t.equal(segmentsOf(t, module(`${two} (data "passive")`)), 3);
  t.equal(segmentsOf(t, module(`${two}
    (data (i32.add (i32.const 6) (i32.const 6)) "c")`)), 3, 'an offset that is computed');
  const outside = module(two + at(65_535, 'xy'));
  t.throws(() => guest(outside), { message: /data segment 2 .*out of bounds/ });
  t.end();
});

t.test('the number of segments is told in front of the code as well', (t) => {
  // `wat` writes it where code needs it; a compiler may always do.
  const source = module(at(8, 'a') + at(10, 'b'), '(data.drop 0)');
  t.equal(countOf(guest(source).result.bytes, DATA_COUNT), 2);
  const drop = Buffer.from([0xfc, 0x09, 0x00]);
  const body = Buffer.from(source).indexOf(drop);
  t.ok(body > 0);
  Buffer.from([0x01, 0x01, 0x01]).copy(source, body);
  t.equal(countOf(source, DATA_COUNT), 2);
  t.equal(segmentsOf(t, source), 1);
  t.equal(countOf(guest(source).result.bytes, DATA_COUNT), 1);
  t.end();
});

t.test('no more zeros are written than 64 KiB', (t) => {
  const many = Array.from({ length: 1_000 }, (_, index) => at(index * 65, 'a')).join('');
  const source = wat(`(module (memory (export "memory") 3) ${many}
    ${Array.from({ length: 1_000 }, (_, index) => at(70_000 + index * 65, 'a')).join('')})`);
  const { result } = guest(source);
  t.ok(result.bytes.length < source.length + 66_000);
  t.ok(countOf(result.bytes, DATA) > 900);
  t.end();
});

t.test('memory is as the source makes it, wherever segments lie', (t) => {
  let state = SEED >>> 0;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor(state / 2 ** 32 * below);
  };
  t.comment(`WARDIAN_TEST_SEED=${SEED}`);
  let merged = 0;
  for (let number = 0; number < MODULES; number += 1) {
    let next = 0;
    const segments = Array.from({ length: 2 + random(12) }, (_, index) => {
      const offset = random(4) === 0 ? random(600) : next + random(80);
      const length = random(20);
      next = offset + length;
      return at(offset, String.fromCodePoint(97 + index).repeat(length));
    });
    const count = segmentsOf(t, module(segments.join('')));
    t.ok(count <= segments.length);
    if (count < segments.length) merged += 1;
  }
  t.ok(merged > MODULES / 2);
  t.end();
});
