/** The binary form of the programs of `program.ts`. */
import { Writer } from '../../../pool/rewrite/writer.ts';
import type { NumType } from './numeric.ts';
import { GLOBALS, PAGES_MAX, type Instruction, type Program } from './program.ts';

const HOSTCALL = 0;
const SIMPLE: Readonly<Record<string, readonly number[]>> = {
  drop: [0x1a], select: [0x1b],
  return: [0x0f], unreachable: [0x00], size: [0x3f, 0], grow: [0x40, 0],
  fill: [0xfc, 11, 0], copy: [0xfc, 10, 0, 0], throw: [0x08, 0], hostcall: [0x10, HOSTCALL],
};
const INDEXED: Readonly<Record<string, number>> = {
  get: 0x20, set: 0x21, tee: 0x22, global_get: 0x23, global_set: 0x24,
};
const TYPE = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c } as const;
const CONST = { i32: 0x41, i64: 0x42, f32: 0x43, f64: 0x44 } as const;
/** Types in front of those of the program: the hostcall's, and the tag's. */
const OWN_TYPES = 2;
const CALLS: Readonly<Record<string, number>> = { call: 0x10, return_call: 0x12 };

function write(writer: Writer, body: readonly Instruction[]): void {
  for (const instruction of body) writeOne(writer, instruction);
}

function writeConst(writer: Writer, type: NumType, value: number): void {
  writer.u8(CONST[type]);
  if (type === 'i32' || type === 'i64') return writer.signed(value);
  const view = new DataView(new ArrayBuffer(type === 'f32' ? 4 : 8));
  if (type === 'f32') view.setFloat32(0, value, true);
  else view.setFloat64(0, value, true);
  writer.list([...new Uint8Array(view.buffer)]);
}

function writeOne(writer: Writer, it: Instruction): void {
  switch (it.op) {
    case 'const': writeConst(writer, it.type, it.value); return;
    case 'get': case 'set': case 'tee': case 'global_get': case 'global_set':
      writer.u8(INDEXED[it.op]!);
      writer.u32(it.index);
      return;
    case 'numeric': writer.list(it.it.code); return;
    case 'load': case 'store': writer.list([it.it.code, 0, it.offset]); return;
    case 'block': case 'loop':
      writer.list([it.op === 'block' ? 0x02 : 0x03, it.result === null ? 0x40 : TYPE[it.result]]);
      break;
    case 'if':
      writer.list([0x04, it.result === null ? 0x40 : TYPE[it.result]]);
      write(writer, it.body);
      if (it.otherwise !== null) {
        writer.u8(0x05);
        write(writer, it.otherwise);
      }
      writer.u8(0x0b);
      return;
    case 'br': case 'br_if': writer.list([it.op === 'br' ? 0x0c : 0x0d, it.depth]); return;
    case 'br_table': writer.list([0x0e, it.depths.length - 1, ...it.depths]); return;
    case 'call': case 'return_call': writer.list([CALLS[it.op]!, it.index + 1]); return;
    case 'call_indirect': writer.list([0x11, it.type + OWN_TYPES, 0]); return;
    case 'try':
      writer.list([0x06, 0x40]);
      write(writer, it.body);
      writer.list(it.all ? [0x19] : [0x07, 0]);
      write(writer, it.handler);
      writer.u8(0x0b);
      return;
    case 'try_table': writer.list([0x1f, 0x40, 1, 2, it.depth]); break;
    default: writer.list(SIMPLE[it.op]!); return;
  }
  write(writer, it.body);
  writer.u8(0x0b);
}

/**
 * The module: `run`, which is function 0 behind the hostcall, the memory, and a table of all
 * functions and one entry more.
 */
export function encode(program: Program): Uint8Array<ArrayBuffer> {
  const out = new Writer(1024);
  const section = (id: number, fill: (writer: Writer) => void): void => {
    const writer = new Writer();
    fill(writer);
    out.u8(id);
    out.sized(writer);
  };
  const count = program.functions.length;
  out.list([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
  section(1, (writer) => {
    writer.list([program.types.length + OWN_TYPES, 0x60, 1, 0x7f, 1, 0x7f, 0x60, 0, 0]);
    for (const { params, result } of program.types) {
      writer.list([0x60, params.length, ...params.map((type) => TYPE[type]), 1, TYPE[result]]);
    }
  });
  section(2, (writer) => writer.list([1, 1, 0x65, 1, 0x68, 0, 0]));
  section(3, (writer) => writer.list(
    [count, ...program.functions.map(({ type }) => type + OWN_TYPES)]));
  section(4, (writer) => writer.list([1, 0x70, 0, count + 1]));
  section(5, (writer) => writer.list([1, 1, 1, PAGES_MAX]));
  section(13, (writer) => writer.list([1, 0, 1]));
  section(6, (writer) => {
    writer.u8(GLOBALS.length);
    for (const type of GLOBALS) {
      writer.list([TYPE[type], 1]);
      writeConst(writer, type, 0);
      writer.u8(0x0b);
    }
  });
  section(7, (writer) => writer.list([2, 3, 0x72, 0x75, 0x6e, 0, 1, 3, 0x6d, 0x65, 0x6d, 2, 0]));
  section(9, (writer) => writer.list([1, 0, 0x41, 0, 0x0b, count,
    ...program.functions.map((_, i) => i + 1)]));
  section(10, (writer) => {
    writer.u8(count);
    for (const { locals, body } of program.functions) {
      const code = new Writer(1024);
      code.u32(locals.length);
      for (const type of locals) code.list([1, TYPE[type]]);
      write(code, body);
      code.u8(0x0b);
      writer.sized(code);
    }
  });
  return out.take() as Uint8Array<ArrayBuffer>;
}
