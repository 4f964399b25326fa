/**
 * Constant expressions: read, checked for what is refused, and written with function references
 * moved.
 */
import { mapFunction, type Module } from './module.ts';
import { Reader } from './reader.ts';
import { heapType } from './valtypes.ts';
import type { Writer } from './writer.ts';

/** Copies one expression, its `end` included. */
export function constExpr(reader: Reader, writer: Writer, module: Module): void {
  for (;;) {
    const at = reader.pos;
    const opcode = reader.u8();
    switch (opcode) {
      case 0x0b:
        writer.u8(opcode);
        return;
      case 0x23: reader.u32(); break;
      case 0x41: reader.skipLeb(5); break;
      case 0x42: reader.skipLeb(10); break;
      case 0x43: reader.skip(4); break;
      case 0x44: reader.skip(8); break;
      case 0x6a: case 0x6b: case 0x6c: case 0x7c: case 0x7d: case 0x7e: break;
      case 0xd0: heapType(reader); break;
      case 0xd2: {
        const index = functionIndex(reader, module);
        writer.u8(opcode);
        writer.u32(mapFunction(module, index));
        continue;
      }
      case 0xfb:
        reader.refuse('unsupported_feature', 'GC instructions are not supported', at);
        break;
      case 0xfd:
        if (reader.u32() !== 0x0c) reader.fail('not a constant instruction', at);
        reader.skip(16);
        break;
      default:
        reader.fail(`0x${opcode.toString(16)} is not a constant instruction`, at);
    }
    writer.copy(reader.bytes, at, reader.pos);
  }
}

export function functionIndex(reader: Reader, module: Module): number {
  const at = reader.pos;
  const index = reader.u32();
  if (index >= module.functions.length) reader.fail(`function ${index} does not exist`, at);
  return index;
}
