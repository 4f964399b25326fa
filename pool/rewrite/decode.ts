/** Walks over the sections of a module, in their order, and hands each to its decoder. */
import { CUSTOM_SECTIONS_MAX, MODULE_BYTES_MAX } from '../../contract/limits.ts';
import { WardianError } from '../../contract/errors.ts';
import * as contents from './contents.ts';
import * as declarations from './declarations.ts';
import { emptyModule, type Module } from './module.ts';
import { Reader } from './reader.ts';

interface SectionKind {
  name: string;
  /** Sections stand in the order of their ranks. */
  rank: number;
  decode: (reader: Reader, module: Module) => void;
}

/** By section id. */
const SECTIONS: Readonly<Record<number, SectionKind>> = {
  1: { name: 'type', rank: 1, decode: declarations.typeSection },
  2: { name: 'import', rank: 2, decode: declarations.importSection },
  3: { name: 'function', rank: 3, decode: declarations.functionSection },
  4: { name: 'table', rank: 4, decode: declarations.tableSection },
  5: { name: 'memory', rank: 5, decode: declarations.memorySection },
  13: { name: 'tag', rank: 6, decode: declarations.tagSection },
  6: { name: 'global', rank: 7, decode: declarations.globalSection },
  7: { name: 'export', rank: 8, decode: contents.exportSection },
  8: { name: 'start', rank: 9, decode: contents.startSection },
  9: { name: 'element', rank: 10, decode: contents.elementSection },
  12: { name: 'data count', rank: 11, decode: contents.dataCountSection },
  10: { name: 'code', rank: 12, decode: contents.codeSection },
  11: { name: 'data', rank: 13, decode: contents.dataSection },
};

/** Section ids in the order in which they are written. */
export const SECTION_ORDER: readonly number[] = [1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11];

const HEADER = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];
const COMPONENT_LAYER = 0x01;

function checkHeader(source: Uint8Array): void {
  if (source.length > MODULE_BYTES_MAX) {
    throw new WardianError('module_too_large',
      `the module has ${source.length} bytes, the limit is ${MODULE_BYTES_MAX}`);
  }
  for (let i = 0; i < 4; i++) {
    if (source[i] !== HEADER[i]) {
      throw new WardianError('not_wasm', 'not a WebAssembly module: it does not begin with \\0asm');
    }
  }
  for (let i = 4; i < 8; i++) {
    if (source[i] === HEADER[i]) continue;
    if (source.length >= 8 && source[6] === COMPONENT_LAYER) {
      throw new WardianError('unsupported_feature',
        'this is a WebAssembly component, a core module is wanted');
    }
    throw new WardianError('malformed_module', `header: unknown version (offset ${i})`);
  }
}

export function decode(source: Uint8Array): Module {
  checkHeader(source);
  const module = emptyModule();
  const outer = new Reader(source, 8, source.length, 'module');
  let rank = 0;
  while (outer.pos < outer.end) {
    const at = outer.pos;
    const id = outer.u8();
    const length = outer.u32();
    if (length > outer.end - outer.pos) outer.fail(`section ${id} runs past the end`, at);
    const reader = new Reader(source, outer.pos, outer.pos + length);
    outer.pos += length;
    if (id === 0) {
      custom(reader, module, rank);
      continue;
    }
    const section = SECTIONS[id];
    if (section === undefined) return outer.fail(`unknown section ${id}`, at);
    if (section.rank <= rank) outer.fail(`${section.name} section out of order`, at);
    rank = section.rank;
    reader.place = `${section.name} section`;
    section.decode(reader, module);
    if (reader.pos !== reader.end) reader.fail('bytes behind the content');
  }
  const defined = module.functions.length - module.importedFunctions;
  if (module.bodies.length !== 2 * defined) {
    outer.fail(`${module.bodies.length / 2} bodies for ${defined} functions`);
  }
  return module;
}

function custom(reader: Reader, module: Module, rank: number): void {
  reader.place = 'custom section';
  const from = reader.pos;
  const name = reader.name();
  reader.atMost(module.customs.length + 1, CUSTOM_SECTIONS_MAX, 'too many custom sections');
  module.customs.push({ afterRank: rank, name, from, contentFrom: reader.pos, to: reader.end });
}

export function rankOf(id: number): number {
  return SECTIONS[id]!.rank;
}
