/**
 * The name section: names for what the rewriter adds, and the names that failure reports show.
 * Custom sections are not validated by anyone, so whatever does not parse is left as it is.
 */
import { WardianError } from '../../contract/errors.ts';
import { FUNCTIONS_MAX, IMPORTS_MAX } from '../../contract/limits.ts';
import { Reader } from './reader.ts';
import { Writer } from './writer.ts';

/** Longer names are cut in reports. */
const NAME_BYTES_MAX = 256;
const UTF8 = new TextDecoder();

export interface AddedNames {
  /** Function, type and global names by index, all behind the last index of the source. */
  functions: readonly (readonly [number, string])[];
  globals: readonly (readonly [number, string])[];
}

const FUNCTIONS = 1;
const GLOBALS = 7;

/**
 * The content of a name section (behind its name) with `added` put in; null when it does not parse.
 */
export function extendNames(content: Uint8Array, added: AddedNames): Writer | null {
  try {
    return extend(new Reader(content, 0, content.length, 'name section'), added);
  } catch (error) {
    if (error instanceof WardianError) return null;
    throw error;
  }
}

function extend(reader: Reader, added: AddedNames): Writer {
  const writer = new Writer(reader.end + 256);
  let functions = false;
  let globals = false;
  let last = -1;
  while (reader.pos < reader.end) {
    const id = reader.u8();
    if (id <= last) reader.fail('subsections out of order');
    if (id > FUNCTIONS && !functions) writeNames(writer, FUNCTIONS, 0, null, added.functions);
    if (id > GLOBALS && !globals) writeNames(writer, GLOBALS, 0, null, added.globals);
    functions ||= id >= FUNCTIONS;
    globals ||= id >= GLOBALS;
    last = id;
    const length = reader.u32();
    const from = reader.pos;
    reader.skip(length);
    const content = new Reader(reader.bytes, from, reader.pos, 'name section');
    if (id === FUNCTIONS || id === GLOBALS) {
      const count = content.u32();
      const more = id === FUNCTIONS ? added.functions : added.globals;
      writeNames(writer, id, count, content, more);
    } else {
      writer.u8(id);
      writer.u32(length);
      writer.copy(reader.bytes, from, reader.pos);
    }
  }
  if (!functions) writeNames(writer, FUNCTIONS, 0, null, added.functions);
  if (!globals) writeNames(writer, GLOBALS, 0, null, added.globals);
  return writer;
}

function writeNames(
  writer: Writer, id: number, count: number, old: Reader | null,
  added: readonly (readonly [number, string])[],
): void {
  const content = new Writer(256 + (old === null ? 0 : old.end - old.pos));
  content.u32(count + added.length);
  if (old !== null) content.copy(old.bytes, old.pos, old.end);
  for (const [index, name] of added) {
    content.u32(index);
    content.name(name);
  }
  writer.u8(id);
  writer.sized(content);
}

/** A name section of nothing but the added names. */
export function newNames(added: AddedNames): Writer {
  const writer = new Writer(256);
  writeNames(writer, FUNCTIONS, 0, null, added.functions);
  writeNames(writer, GLOBALS, 0, null, added.globals);
  return writer;
}

/**
 * Function index → name, from the name section of a module, source or rewritten. Empty where there
 * is none, or it is malformed; never throws for what the bytes contain.
 */
export function functionNames(module: Uint8Array): Map<number, string> {
  const names = new Map<number, string>();
  const reader = new Reader(module, 8, module.length, 'name section');
  try {
    while (reader.pos < reader.end) {
      const id = reader.u8();
      const length = reader.u32();
      const from = reader.pos;
      reader.skip(length);
      if (id !== 0) continue;
      const section = new Reader(module, from, reader.pos, 'name section');
      if (section.name() === 'name') readFunctionNames(section, names);
    }
  } catch (error) {
    if (!(error instanceof WardianError)) throw error;
  }
  return names;
}

function readFunctionNames(section: Reader, names: Map<number, string>): void {
  while (section.pos < section.end) {
    const id = section.u8();
    const length = section.u32();
    const from = section.pos;
    section.skip(length);
    if (id !== FUNCTIONS) continue;
    const content = new Reader(section.bytes, from, section.pos, 'name section');
    const count = content.count('function names', FUNCTIONS_MAX + 2 * IMPORTS_MAX + 1);
    for (let i = 0; i < count; i++) {
      const index = content.u32();
      const bytes = content.u32();
      const from = content.pos;
      content.skip(bytes);
      const shown = content.bytes.subarray(from, from + Math.min(bytes, NAME_BYTES_MAX));
      names.set(index, UTF8.decode(shown));
    }
    return;
  }
}
