/** Decodes the sections that fill: exports, start, elements, data. */
import { EXPORTS_MAX, SEGMENTS_MAX } from '../../contract/limits.ts';
import { constExpr, functionIndex } from './constexpr.ts';
import { KINDS, reservedFree } from './declarations.ts';
import { mapFunction, type Module } from './module.ts';
import { Reader } from './reader.ts';
import { refType } from './valtypes.ts';
import { Writer } from './writer.ts';

export function exportSection(reader: Reader, module: Module): void {
  const count = reader.count('exports', EXPORTS_MAX);
  const spaces = {
    func: module.functions.length, table: module.tables.length,
    memory: module.memory === null ? 0 : 1, global: module.globalCount, tag: module.tags.length,
  };
  for (let i = 0; i < count; i++) {
    const at = reader.pos;
    const name = reader.name();
    reservedFree(reader, name, at);
    const kind = KINDS[reader.u8()];
    if (kind === undefined) reader.fail('unknown export kind', reader.pos - 1);
    const index = reader.u32();
    if (index >= spaces[kind]) reader.fail(`exported ${kind} ${index} does not exist`, at);
    module.exports.push({ name, kind, index });
  }
}

export function startSection(reader: Reader, module: Module): void {
  module.start = functionIndex(reader, module);
}

export function elementSection(reader: Reader, module: Module): void {
  const count = reader.count('element segments', SEGMENTS_MAX);
  module.segments += count;
  const writer = new Writer(reader.end - reader.pos + 64);
  writer.u32(count);
  for (let i = 0; i < count; i++) elementSegment(reader, module, writer);
  module.elements = writer;
}

/** Flags: bit 0 passive or declared, bit 1 an explicit table (or declared), bit 2 expressions. */
function elementSegment(reader: Reader, module: Module, writer: Writer): void {
  const at = reader.pos;
  const flags = reader.u32();
  if (flags > 7) reader.fail('unknown element segment kind', at);
  const active = (flags & 1) === 0;
  writer.u32(flags);
  let table = 0;
  let offset: number | null = null;
  if (active) {
    const from = reader.pos;
    if ((flags & 2) !== 0) table = reader.u32();
    writer.copy(reader.bytes, from, reader.pos);
    const offsetFrom = reader.pos;
    constExpr(reader, writer, module);
    offset = plainOffset(reader.bytes, offsetFrom, reader.pos);
  }
  if ((flags & 3) !== 0) {
    const from = reader.pos;
    if ((flags & 4) !== 0) refType(reader);
    else if (reader.u8() !== 0) reader.fail('unknown element kind', from);
    writer.copy(reader.bytes, from, reader.pos);
  }
  const entries = reader.u32();
  if (entries > reader.end - reader.pos) reader.fail('element segment runs past the end', at);
  writer.u32(entries);
  const functions: number[] | null = (flags & 4) === 0 ? [] : null;
  for (let i = 0; i < entries; i++) {
    if (functions === null) {
      constExpr(reader, writer, module);
      continue;
    }
    const index = functionIndex(reader, module);
    functions.push(index);
    writer.u32(mapFunction(module, index));
  }
  if (active) module.activeSegments.push({ table, offset, functions });
  else module.otherSegments++;
  if (active) module.activeEntries += entries;
  else if ((flags & 2) === 0) module.passiveEntries += entries;
}

/** The value of an expression that is `i32.const n` alone, as unsigned; null for any other. */
function plainOffset(bytes: Uint8Array, from: number, to: number): number | null {
  if (bytes[from] !== 0x41) return null;
  const reader = new Reader(bytes, from + 1, to);
  const value = reader.s33();
  return reader.pos === to - 1 ? value >>> 0 : null;
}

export function dataCountSection(reader: Reader, module: Module): void {
  const from = reader.pos;
  reader.atMost(reader.u32(), SEGMENTS_MAX, 'too many data segments');
  module.dataCountRange = { from, to: reader.pos };
}

export function dataSection(reader: Reader, module: Module): void {
  const from = reader.pos;
  const count = reader.count('data segments', SEGMENTS_MAX);
  module.segments += count;
  const discarded = new Writer(64);
  for (let i = 0; i < count; i++) {
    const at = reader.pos;
    const flags = reader.u32();
    if (flags > 2) reader.fail('unknown data segment kind', at);
    if (flags === 2 && reader.u32() !== 0) {
      reader.refuse('unsupported_feature', 'more than one memory is not supported', at);
    }
    let offset: number | null = null;
    if (flags !== 1) {
      discarded.length = 0;
      const offsetFrom = reader.pos;
      constExpr(reader, discarded, module);
      offset = plainOffset(reader.bytes, offsetFrom, reader.pos);
    }
    const length = reader.u32();
    const bytesFrom = reader.pos;
    reader.skip(length);
    if (flags !== 1) module.activeBytes += length;
    module.dataSegments.push({ offset, from: bytesFrom, to: reader.pos });
  }
  module.dataRange = { from, to: reader.pos };
}

/** Notes where each body stands; the code scan reads them. */
export function codeSection(reader: Reader, module: Module): void {
  const at = reader.pos;
  module.codeFrom = at;
  const count = reader.u32();
  const defined = module.functions.length - module.importedFunctions;
  if (count !== defined) reader.fail(`${count} bodies for ${defined} functions`, at);
  const bodies = new Int32Array(2 * count);
  for (let i = 0; i < bodies.length; i += 2) {
    const length = reader.u32();
    bodies[i] = reader.pos;
    reader.skip(length);
    bodies[i + 1] = reader.pos;
  }
  module.bodies = bodies;
}
