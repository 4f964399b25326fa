/** What the section decoders find out about a module and the section writers need. */
import type { DataSegment } from './data-segments.ts';
import type { ActiveSegment } from './static-table.ts';
import type { FuncType, ValType } from './valtypes.ts';
import { Writer } from './writer.ts';

export type ExternKind = 'func' | 'table' | 'memory' | 'global' | 'tag';

export interface Import {
  module: string;
  name: string;
  kind: ExternKind;
  /** The type index of a function. */
  typeIndex: number;
  /** The entry's bytes in the source, and where its kind byte stands. */
  from: number;
  kindAt: number;
  to: number;
}

export interface Table {
  imported: boolean;
  initial: number;
  maximum: number | null;
  /** Set by the code scan: a table that nothing grows never passes its initial size. */
  grows: boolean;
  /** The reference type, and the initial value of the 0x40 form, as bytes ready to write. */
  refType: Uint8Array;
  init: Uint8Array | null;
}

export interface Memory {
  imported: boolean;
  initialPages: number;
  maximumPages: number | null;
}

export interface Export {
  name: string;
  kind: ExternKind;
  index: number;
}

/** Custom sections stay behind the section that they stood behind. */
export interface Custom {
  afterRank: number;
  name: string;
  from: number;
  /** Behind the name. */
  contentFrom: number;
  to: number;
}

/** `[from, to)` of the source. */
export interface Range {
  from: number;
  to: number;
}

export interface Module {
  types: FuncType[];
  typesFrom: number;
  typesTo: number;
  imports: Import[];
  /** Type index of every function: imported ones first. */
  functions: number[];
  importedFunctions: number;
  tables: Table[];
  memory: Memory | null;
  tags: number[];
  globalCount: number;
  definedGlobals: number;
  exports: Export[];
  start: number | null;
  /** Entries of all passive element segments: each instance may hold them as a list. */
  passiveEntries: number;
  activeEntries: number;
  activeSegments: ActiveSegment[];
  /** Element segments that are not active. */
  otherSegments: number;
  activeBytes: number;
  dataSegments: DataSegment[];
  /** Element and data segments. */
  segments: number;
  /** From and to of each body; objects of so many would be most of the garbage. */
  bodies: Int32Array;
  /** Where the code section's content begins: addresses of debug information count from there. */
  codeFrom: number;
  customs: Custom[];
  /** The rewritten content of the sections that are written as they are read, by rank. */
  globals: Writer;
  elements: Writer | null;
  /** Sections copied as they are: `[from, to)` of the content. */
  tagRange: Range | null;
  dataCountRange: Range | null;
  dataRange: Range | null;
  functionRange: Range | null;
}

export function emptyModule(): Module {
  return {
    types: [], typesFrom: 0, typesTo: 0, imports: [], functions: [], importedFunctions: 0,
    tables: [], memory: null, tags: [], globalCount: 0, definedGlobals: 0, exports: [],
    start: null, passiveEntries: 0, activeEntries: 0, activeBytes: 0, segments: 0,
    activeSegments: [], otherSegments: 0, dataSegments: [],
    bodies: new Int32Array(0), codeFrom: 0, customs: [],
    globals: new Writer(), elements: null,
    tagRange: null, dataCountRange: null, dataRange: null, functionRange: null,
  };
}

/**
 * Where a reference to function `index` of the source goes: an imported function's wrapper stands
 * behind all functions of the source, so that no other index moves.
 */
export function mapFunction(module: Module, index: number): number {
  return index < module.importedFunctions ? module.functions.length + index : index;
}

export function signature(module: Module, typeIndex: number): {
  params: ValType[]; results: ValType[];
} {
  const type = module.types[typeIndex];
  return { params: type?.params ?? [], results: type?.results ?? [] };
}
