/**
 * The rewriter: takes a guest's module as it was deployed and answers the module that is compiled.
 * It refuses what could hurt, adds fuel, and makes memory, table and start function reachable for
 * the host. See `docs/fuel.md`.
 */
import { WardianError } from '../../contract/errors.ts';
import { REWRITTEN_BODY_BYTES_MAX, REWRITTEN_BYTES_MAX } from '../../contract/limits.ts';
import { budget } from './budget.ts';
import { Assembler } from './assemble.ts';
import * as cost from './cost.ts';
import { mergedData } from './data-segments.ts';
import { decode } from './decode.ts';
import { FunctionWriter, type Targets } from './emit.ts';
import { gateOf, type HostcallNumbers } from './gate.ts';
import { signature, type Export, type ExternKind, type Module } from './module.ts';
import { FunctionScan } from './scan.ts';
import { StaticTable, staticEntries } from './static-table.ts';
import { TracingWriter, type OffsetTrace } from './trace.ts';
import { describeInvalid } from './validate.ts';
import type { ValType } from './valtypes.ts';
import { Writer } from './writer.ts';

export { COST_TABLE_VERSION } from './cost.ts';
export { functionNames } from './names.ts';
export type { ValType } from './valtypes.ts';

/**
 * Part of the key under which rewritten modules are kept: changes with every change of what is
 * written.
 */
export const REWRITER_VERSION = 6;

export interface RewriteOptions {
  /** Linear memory and tables together. */
  memoryBytesMax: number;
  /** Entries of all tables; by default what fits into `memoryBytesMax`. */
  tableEntriesMax?: number;
  /** Meter the module. Default true. */
  fuel?: boolean;
  /** `memory.size` and `memory.grow` go by the pages global. Default true. */
  virtualMemory?: boolean;
  /** A table that nothing can change is made a list. Default true. */
  staticTable?: boolean;
  /**
   * The guest's exports that stay; by default all. Each one costs at every instantiation. Functions
   * stay where `ref.func` is used, since it may need them declared.
   */
  keepExports?: ReadonlySet<string>;
  /** Hostcalls that go through one import, by number. By default none. */
  numbers?: HostcallNumbers;
  /** Filled with where the bytes of some functions came from. */
  trace?: OffsetTrace;
}

export interface ImportInfo {
  module: string;
  name: string;
  kind: Exclude<ExternKind, 'tag'>;
  params?: ValType[];
  results?: ValType[];
}

export interface ExportInfo {
  name: string;
  kind: ExternKind;
  params?: ValType[];
  results?: ValType[];
}

export interface RewriteResult {
  bytes: Uint8Array;
  /** Imports and exports of the source, as the guest sees them. */
  imports: ImportInfo[];
  exports: ExportInfo[];
  /** The memory's sizes, the maximum clamped to the limit. */
  memory: { initialPages: number; maximumPages: number; imported: boolean } | null;
  /** What all tables together may grow to. */
  tableEntries: number;
  /** Function bodies that stand before those of the source. */
  leadingBodies: number;
  hasStart: boolean;
  /** Table 0 is exported. */
  hasTable: boolean;
  /** Entries of the table that was made a list; 0 when there is none. */
  listedEntries: number;
  /**
   * What the active segments, tables and globals cost; the host charges it before instantiation.
   */
  fuelAtInstantiation: number;
}

/** Throws `WardianError` with the section and the offset in the message; nothing else. */
export function rewrite(source: Uint8Array, options: RewriteOptions): RewriteResult {
  const module = decode(source);
  const { keepExports } = options;
  const isKept = ({ name }: Export): boolean => keepExports?.has(name) ?? true;
  const targets: Targets = {
    fuelGlobal: module.globalCount,
    pagesGlobal: module.globalCount + 2,
    refusedGlobal: module.globalCount + 3,
    growFunction: module.functions.length + module.importedFunctions,
    fuel: options.fuel ?? true,
    virtualMemory: options.virtualMemory ?? true,
    staticTable: null,
  };
  const listable = (options.staticTable ?? true)
    && !module.exports.some((one) => one.kind === 'table' && isKept(one));
  const { code, growUsed, takesFunctions, namesData } = rewriteBodies(
    module, source, targets, listable, options.trace);
  const keptExports = module.exports.filter(
    (one) => isKept(one) || (takesFunctions && one.kind === 'func'));
  const shares = budget(module, options.memoryBytesMax, options.tableEntriesMax);
  if (!WebAssembly.validate(source as Uint8Array<ArrayBuffer>)) {
    throw new WardianError('malformed_module', describeInvalid(source));
  }
  const gate = gateOf(module, options.numbers);
  const data = mergedData(module, source, namesData);
  const assembler = new Assembler(
    module, source, targets, shares, code, growUsed, keptExports, gate, data);
  return {
    bytes: assembler.assemble(),
    imports: importInfos(module),
    exports: exportInfos(module),
    memory: module.memory === null ? null : {
      initialPages: module.memory.initialPages,
      maximumPages: shares.maximumPages,
      imported: module.memory.imported,
    },
    tableEntries: shares.tableEntries,
    leadingBodies: gate.fillers,
    hasStart: module.start !== null,
    hasTable: module.tables.length > 0 && targets.staticTable === null,
    listedEntries: targets.staticTable?.entries.length ?? 0,
    fuelAtInstantiation: instantiationFuel(module),
  };
}

/** More than what metering usually makes of a body's bytes; untouched room costs nothing. */
const GROWTH = 1.5;
/** What most bodies fit into; it grows. */
const BODY_BYTES = 2 ** 16;

interface Bodies {
  namesData: boolean;
  takesFunctions: boolean;
  code: Writer;
  growUsed: boolean;
}

/** With table 0 as a list if it can be one, which is known once all bodies have been read. */
function rewriteBodies(
  module: Module, source: Uint8Array, targets: Targets, listable: boolean,
  trace: OffsetTrace | undefined,
): Bodies {
  const entries = listable ? staticEntries(module) : null;
  if (entries === null) return writeBodies(module, source, targets, trace) ?? unreachable();
  const grows = module.memory !== null && (targets.fuel || targets.virtualMemory);
  targets.staticTable = new StaticTable(
    module, source, entries, targets.growFunction + (grows ? 1 : 0));
  const written = writeBodies(module, source, targets, trace);
  if (written !== null && !targets.staticTable.tooLarge) {
    // Before the sections are written: it may be a dispatcher that no body asked for.
    targets.staticTable.hostFunction();
    return { ...written, growUsed: grows };
  }
  targets.staticTable = null;
  return writeBodies(module, source, targets, trace) ?? unreachable();
}

function unreachable(): never {
  throw new Error('only a static table is given up');
}

/** Null when the table cannot be the list that was tried. */
function writeBodies(
  module: Module, source: Uint8Array, targets: Targets, trace: OffsetTrace | undefined,
): Bodies | null {
  const { bodies } = module;
  const sourceBytes = bodies.length === 0 ? 0 : bodies[bodies.length - 1]! - bodies[0]!;
  const code = new Writer(Math.floor(sourceBytes * GROWTH) + 64);
  const tracing = trace === undefined ? null : new TracingWriter(BODY_BYTES, source);
  const body = tracing ?? new Writer(BODY_BYTES);
  const scan = new FunctionScan(module, source);
  const writer = new FunctionWriter(body, targets);
  for (let i = 0; i < bodies.length / 2; i++) {
    const from = bodies[2 * i]!;
    const to = bodies[2 * i + 1]!;
    const index = module.importedFunctions + i;
    scan.scan(index, from, to);
    const list = targets.staticTable;
    if (list !== null && (scan.usesTable || list.tooLarge)) return null;
    body.length = 0;
    if (tracing !== null) tracing.runs = trace?.begin(i) ?? null;
    writer.write(scan, source, to);
    if (body.length > REWRITTEN_BODY_BYTES_MAX) {
      throw new WardianError('module_limit', `code section, function ${index}: ${body.length} `
        + `bytes with metering, the limit is ${REWRITTEN_BODY_BYTES_MAX} (offset ${from})`);
    }
    code.sized(body);
    if (code.length > REWRITTEN_BYTES_MAX) {
      throw new WardianError('module_limit', `code section, function ${index}: the module is too `
        + `large with metering, the limit is ${REWRITTEN_BYTES_MAX} bytes (offset ${from})`);
    }
  }
  const { takesFunctions, namesData } = scan;
  return { code, takesFunctions, namesData, growUsed: scan.usesMemoryGrow && module.memory !== null
    && (targets.fuel || targets.virtualMemory) };
}

function instantiationFuel(module: Module): number {
  let fuel = module.definedGlobals * cost.GLOBAL_COST + module.segments * cost.SEGMENT_COST
    + module.imports.length * cost.IMPORT_COST + module.tags.length * cost.TAG_COST
    + module.functions.length * cost.FUNCTION_COST
    + Math.floor(module.activeBytes / 2 ** cost.BULK_BYTES_SHIFT)
    + module.activeEntries * cost.TABLE_ENTRY_COST;
  for (const table of module.tables) {
    if (!table.imported) fuel += table.initial * cost.TABLE_SLOT_COST;
  }
  return fuel;
}

function importInfos(module: Module): ImportInfo[] {
  const infos: ImportInfo[] = [];
  for (const { module: from, name, kind, typeIndex } of module.imports) {
    if (kind === 'func') infos.push({ module: from, name, kind, ...signature(module, typeIndex) });
    else if (kind !== 'tag') infos.push({ module: from, name, kind });
  }
  return infos;
}

function exportInfos(module: Module): ExportInfo[] {
  return module.exports.map(({ name, kind, index }) => (kind === 'func'
    ? { name, kind, ...signature(module, module.functions[index]!) } : { name, kind }));
}
