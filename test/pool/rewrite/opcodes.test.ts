/**
 * Every opcode: whatever instruction V8 accepts by default is accepted by the rewriter, apart from
 * those that are refused by name, and what comes out is valid. V8 itself is asked, so that nothing
 * here has to be kept up to date.
 */
import t from 'tap';
import { WardianError } from '../../../contract/errors.ts';
import { rewrite } from '../../../pool/rewrite/index.ts';
import { Writer } from '../../../pool/rewrite/writer.ts';

/**
 * A module with one of everything and one function, whose body is `code` behind an `unreachable`.
 */
function around(code: readonly number[]): Uint8Array<ArrayBuffer> {
  const out = new Writer();
  const section = (id: number, ...content: number[]): void => {
    out.u8(id);
    const writer = new Writer();
    writer.list(content);
    out.sized(writer);
  };
  out.list([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
  section(1, 2, 0x60, 0, 0, 0x60, 1, 0x7f, 0);
  section(2, 1, 1, 0x65, 1, 0x68, 0, 0);
  section(3, 1, 0);
  section(4, 1, 0x70, 0, 1);
  section(5, 1, 0, 1);
  section(13, 1, 0, 0);
  section(6, 1, 0x7f, 1, 0x41, 0, 0x0b);
  section(9, 2, 0, 0x41, 0, 0x0b, 1, 1, 1, 0, 1, 0);
  section(12, 1);
  const body = [1, 1, 0x7f, 0x00, ...code, 0x00, 0x0b];
  const sized = new Writer();
  sized.u8(1);
  sized.u32(body.length);
  sized.list(body);
  out.u8(10);
  out.sized(sized);
  section(11, 1, 1, 1, 0x61);
  return out.take() as Uint8Array<ArrayBuffer>;
}

/** What may stand behind an opcode; most fit only a few. */
const IMMEDIATES: readonly (readonly number[])[] = [
  [], [0], [0, 0], [0, 0, 0], [0, 0, 15], [15], [1], [0x40, 0x0b], [0x7f, 0x0b], [0x70], [0x6f],
  [0x69], [0x00, 0x00, 0x0b], [1, 0x7f], [1, 0x70], [0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0],
  Array<number>(16).fill(0), [0x40, 0, 0x0b], [0x40, 1, 2, 0, 0x0b], [0x40, 0x19, 0x0b],
  [0x40, 0x07, 0, 0x0b], [0x40, 0x18, 0], [0x40, 0x05, 0x0b], [0x40, 0x19, 0x09, 0, 0x0b],
  [0xff, 0xff, 0xff, 0xff, 0x7f], [0x80, 0x80, 0x00, 0x80, 0x00],
];

interface Counts {
  accepted: number;
  refused: Set<string>;
  opcodes: Set<string>;
}

function tryOne(opcode: readonly number[], counts: Counts): string | null {
  const name = opcode.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
  for (const immediate of IMMEDIATES) {
    const source = around([...opcode, ...immediate]);
    const valid = WebAssembly.validate(source);
    let bytes: Uint8Array | null = null;
    try {
      bytes = rewrite(source, { memoryBytesMax: 2 ** 20 }).bytes;
    } catch (error) {
      if (!(error instanceof WardianError)) throw error;
      if (!valid) continue;
      if (error.code !== 'unsupported_feature') return `${name}: ${error.message}`;
      counts.refused.add(error.message.replace(/^.*?: /, '').replace(/ \(offset.*/, ''));
      continue;
    }
    if (!valid) return `${name} ${immediate.join(' ')}: V8 refuses it`;
    if (!WebAssembly.validate(bytes as Uint8Array<ArrayBuffer>)) return `${name}: came out invalid`;
    counts.accepted++;
    counts.opcodes.add(name);
  }
  return null;
}

t.test('every opcode that V8 knows', async (t) => {
  const counts: Counts = { accepted: 0, refused: new Set(), opcodes: new Set() };
  const wrong: string[] = [];
  const check = (opcode: readonly number[]): void => {
    const found = tryOne(opcode, counts);
    if (found !== null) wrong.push(found);
  };
  for (let opcode = 0; opcode < 0xfb; opcode++) check([opcode]);
  const prefixes = [[0xfb, 0x20], [0xfc, 0x20], [0xfd, 0x120], [0xfe, 0x50]] as const;
  for (const [prefix, count] of prefixes) {
    for (let sub = 0; sub < count; sub++) {
      check(sub < 0x80 ? [prefix, sub] : [prefix, (sub & 0x7f) | 0x80, sub >> 7]);
    }
  }
  t.same(wrong, []);
  t.same([...counts.refused].sort(), ['GC instructions are not supported',
    'threads are not supported'], 'only these are refused');
  t.comment(`${counts.opcodes.size} opcodes accepted; refused: ${[...counts.refused].join(', ')}`);
  t.ok(counts.opcodes.size > 440, `${counts.opcodes.size} opcodes`);
});
