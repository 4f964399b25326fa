/** Puts the rewritten module together, section by section. */
import * as reserved from '../../contract/reserved.ts';
import type { Budget } from './budget.ts';
import type { MergedData } from './data-segments.ts';
import { rankOf, SECTION_ORDER } from './decode.ts';
import type { Targets } from './emit.ts';
import { FILLER, GATE_TYPE, writeGateImport, type Gate } from './gate.ts';
import { growBody, wrapperBody } from './helpers.ts';
import { mapFunction, type Custom, type Export, type Module, type Range } from './module.ts';
import { extendNames, newNames, type AddedNames } from './names.ts';
import { Output, pieceOf, type Piece } from './output.ts';
import { Writer } from './writer.ts';

const I32 = 0x7f;
const I64 = 0x7e;
/**
 * What these say of offsets is true of the source alone; it is read there (`pool/symbols/`). In the
 * rewritten module it would only take room in every process that serves it.
 */
const DEBUG_SECTION = /^(?:\.debug_.*|sourceMappingURL|external_debug_info)$/;
const HEADER = Uint8Array.of(0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00);
const KIND_BYTE = { func: 0, table: 1, memory: 2, global: 3, tag: 4 } as const;

export class Assembler {
  private readonly module: Module;
  private readonly source: Uint8Array;
  private readonly targets: Targets;
  private readonly budget: Budget;
  /** The bodies of the source, rewritten, each with its length in front. */
  private readonly code: Writer;
  private readonly growUsed: boolean;
  private readonly keptExports: readonly Export[];
  private readonly gate: Gate;
  /** In place of the source's data section. */
  private readonly data: MergedData | null;
  private readonly nameSection: Custom | undefined;
  private readonly output = new Output();
  private readonly newTypes = new Writer(256);
  private newTypeCount = 0;
  private readonly contextTypes = new Map<number, number>();

  constructor(
    module: Module, source: Uint8Array, targets: Targets, budget: Budget, code: Writer,
    growUsed: boolean, keptExports: readonly Export[], gate: Gate, data: MergedData | null,
  ) {
    this.module = module;
    this.source = source;
    this.targets = targets;
    this.budget = budget;
    this.code = code;
    this.growUsed = growUsed;
    this.keptExports = keptExports;
    this.gate = gate;
    this.data = data;
    this.nameSection = module.customs.find(({ name }) => name === 'name');
  }

  private get contextGlobal(): number {
    return this.targets.fuelGlobal + 1;
  }

  assemble(): Uint8Array {
    const { module, output } = this;
    const sections = new Map<number, readonly Piece[] | null>([
      [2, written(this.imports())], [3, written(this.functions())], [4, written(this.tables())],
      [13, this.copied(module.tagRange)], [6, written(this.globals())],
      [7, written(this.exports())],
      [9, this.targets.staticTable === null ? written(module.elements) : null],
      [12, this.dataCount()], [10, this.bodies()],
      [11, this.data === null ? this.copied(module.dataRange) : written(this.data.content)],
    ]);
    sections.set(1, written(this.types()));
    output.add({ bytes: HEADER, from: 0, to: HEADER.length });
    let next = this.customs(0, 0);
    for (const id of SECTION_ORDER) {
      const content = sections.get(id) ?? null;
      if (content !== null) output.section(id, content);
      next = this.customs(next, rankOf(id));
    }
    if (this.nameSection === undefined) {
      output.section(0, [customName('name'), pieceOf(newNames(this.addedNames()))]);
    }
    return output.take();
  }

  /** Adds the custom sections that stood behind the section of `rank`; they are in order. */
  private customs(first: number, rank: number): number {
    let next = first;
    const { customs } = this.module;
    while (next < customs.length && customs[next]!.afterRank <= rank) {
      if (!DEBUG_SECTION.test(customs[next]!.name)) this.custom(customs[next]!);
      next++;
    }
    return next;
  }

  private custom(custom: Custom): void {
    const { name, contentFrom: from, to } = custom;
    // The first is the one that is read. Extending others would let a small module grow without
    // end.
    const names = custom === this.nameSection
      ? extendNames(this.source.subarray(from, to), this.addedNames()) : null;
    const content = names === null ? { bytes: this.source, from, to } : pieceOf(names);
    this.output.section(0, [customName(name), content]);
  }

  private addedNames(): AddedNames {
    const { module, targets } = this;
    const functions: [number, string][] = [];
    for (const entry of module.imports) {
      if (entry.kind !== 'func') continue;
      const index = module.functions.length + functions.length;
      functions.push([index, `${reserved.RESERVED_PREFIX}${entry.module}.${entry.name}`]);
    }
    if (this.growUsed) {
      functions.push([targets.growFunction, `${reserved.RESERVED_PREFIX}memory.grow`]);
    }
    functions.push(...(targets.staticTable?.names() ?? []));
    const globals = [reserved.FUEL_EXPORT, reserved.CONTEXT_EXPORT, reserved.PAGES_EXPORT,
      reserved.REFUSED_EXPORT];
    return {
      functions,
      globals: globals.map((name, i) => [targets.fuelGlobal + i, name] as const),
    };
  }

  private copied(range: Range | null): readonly Piece[] | null {
    return range === null ? null : [{ bytes: this.source, ...range }];
  }

  private dataCount(): readonly Piece[] | null {
    const { module: { dataCountRange }, data } = this;
    if (dataCountRange === null || data === null) return this.copied(dataCountRange);
    const writer = new Writer(8);
    writer.u32(data.count);
    return written(writer);
  }

  private types(): Writer | null {
    const { module } = this;
    const count = module.types.length + this.newTypeCount;
    if (count === 0) return null;
    const writer = new Writer(module.typesTo - module.typesFrom + this.newTypes.length + 8);
    writer.u32(count);
    writer.copy(this.source, module.typesFrom, module.typesTo);
    writer.append(this.newTypes);
    return writer;
  }

  private newType(): number {
    return this.module.types.length + this.newTypeCount++;
  }

  /** The type of an import with the context in front. */
  private contextType(typeIndex: number): number {
    const known = this.contextTypes.get(typeIndex);
    if (known !== undefined) return known;
    const type = this.module.types[typeIndex]!;
    const { newTypes } = this;
    newTypes.u8(0x60);
    newTypes.u32(type.params.length + 1);
    newTypes.u8(I32);
    newTypes.copy(this.source, type.paramsFrom, type.to);
    const index = this.newType();
    this.contextTypes.set(typeIndex, index);
    return index;
  }

  private imports(): Writer | null {
    const { module, gate } = this;
    const ownMemory = module.memory !== null && !module.memory.imported;
    const count = module.imports.length - gate.fillers + (ownMemory ? 1 : 0);
    if (count === 0) return null;
    const writer = new Writer(1024);
    writer.u32(count);
    let functions = 0;
    for (const entry of module.imports) {
      if (entry.kind === 'memory') this.memoryImport(writer);
      else if (entry.kind === 'func') {
        if (gate.numbers[functions++] !== null) continue;
        writer.copy(this.source, entry.from, entry.kindAt + 1);
        writer.u32(this.contextType(entry.typeIndex));
      } else {
        writer.copy(this.source, entry.from, entry.to);
      }
    }
    if (gate.exists) {
      this.newTypes.list(GATE_TYPE);
      writeGateImport(writer, this.newType());
    }
    if (ownMemory) this.memoryImport(writer);
    return writer;
  }

  private memoryImport(writer: Writer): void {
    const { initialPages, maximumPages } = this.module.memory!;
    writer.name(reserved.HOST_MODULE);
    writer.name(reserved.MEMORY_IMPORT);
    writer.u8(KIND_BYTE.memory);
    writer.u8(maximumPages === null ? 0 : 1);
    writer.u32(initialPages);
    if (maximumPages !== null) writer.u32(maximumPages);
  }

  /** Type indices: of fillers, the source's functions, the wrappers, the growth function. */
  private functions(): Writer | null {
    const { module, gate: { fillers } } = this;
    const wrappers = module.importedFunctions;
    const list = this.targets.staticTable;
    const count = fillers + module.functions.length + (this.growUsed ? 1 : 0)
      + (list?.dispatchers.length ?? 0);
    if (count === 0) return null;
    const writer = new Writer(count * 2 + 8);
    writer.u32(count);
    for (let i = wrappers - fillers; i < module.functions.length; i++) {
      writer.u32(module.functions[i]!);
    }
    for (let i = 0; i < wrappers; i++) writer.u32(module.functions[i]!);
    if (this.growUsed) {
      this.newTypes.list([0x60, 1, I32, 1, I32]);
      writer.u32(this.newType());
    }
    for (const dispatcher of list?.dispatchers ?? []) {
      list?.writeType(this.newTypes, dispatcher);
      writer.u32(this.newType());
    }
    return writer;
  }

  private tables(): Writer | null {
    const own = this.module.tables.filter((table) => !table.imported);
    if (own.length === 0 || this.targets.staticTable !== null) return null;
    const writer = new Writer(64);
    writer.u32(own.length);
    this.module.tables.forEach((table, i) => {
      if (table.imported) return;
      if (table.init !== null) writer.list([0x40, 0x00]);
      writer.copy(table.refType, 0, table.refType.length);
      writer.u8(1);
      writer.u32(table.initial);
      writer.u32(this.budget.tableMaxima[i]!);
      if (table.init !== null) writer.copy(table.init, 0, table.init.length);
    });
    return writer;
  }

  private globals(): Writer {
    const { module } = this;
    const writer = new Writer(module.globals.length + 32);
    writer.u32(module.definedGlobals + 4);
    writer.append(module.globals);
    writer.list([I64, 0x01, 0x42, 0x00, 0x0b]);
    writer.list([I32, 0x01, 0x41, 0x00, 0x0b]);
    writer.list([I32, 0x01, 0x41]);
    writer.signed(module.memory?.initialPages ?? 0);
    writer.u8(0x0b);
    writer.list([I32, 0x01, 0x41, 0x00, 0x0b]);
    return writer;
  }

  private exports(): Writer {
    const { module, targets } = this;
    const added: Export[] = [
      { name: reserved.FUEL_EXPORT, kind: 'global', index: targets.fuelGlobal },
      { name: reserved.CONTEXT_EXPORT, kind: 'global', index: this.contextGlobal },
      { name: reserved.PAGES_EXPORT, kind: 'global', index: targets.pagesGlobal },
      { name: reserved.REFUSED_EXPORT, kind: 'global', index: targets.refusedGlobal },
    ];
    const call = targets.staticTable?.hostFunction() ?? null;
    if (call !== null) added.push({ name: reserved.CALL_EXPORT, kind: 'func', index: call });
    if (module.tables.length > 0 && targets.staticTable === null) {
      added.push({ name: reserved.TABLE_EXPORT, kind: 'table', index: 0 });
    }
    if (module.start !== null) {
      added.push({ name: reserved.START_EXPORT, kind: 'func', index: module.start });
    }
    const all = [...this.keptExports, ...added];
    const writer = new Writer(1024);
    writer.u32(all.length);
    for (const { name, kind, index } of all) {
      writer.name(name);
      writer.u8(KIND_BYTE[kind]);
      writer.u32(kind === 'func' ? mapFunction(module, index) : index);
    }
    return writer;
  }

  private bodies(): readonly Piece[] | null {
    const { module, targets, code, gate } = this;
    const wrappers = module.importedFunctions;
    const list = targets.staticTable;
    const count = gate.fillers + module.bodies.length / 2 + wrappers + (this.growUsed ? 1 : 0)
      + (list?.dispatchers.length ?? 0);
    if (count === 0) return null;
    const head = new Writer(16);
    head.u32(count);
    for (let i = 0; i < gate.fillers; i++) head.list(FILLER);
    const added = new Writer(1024);
    for (let i = 0; i < wrappers; i++) {
      const { params, results } = module.types[module.functions[i]!]!;
      const wrapped = {
        target: gate.targets[i]!, number: gate.numbers[i]!, parameters: params.length,
        hasResult: results.length > 0,
      };
      added.sized(wrapperBody(wrapped, targets, this.contextGlobal));
    }
    if (this.growUsed) added.sized(growBody(targets, this.budget.maximumPages));
    for (const dispatcher of list?.dispatchers ?? []) added.sized(list!.body(dispatcher));
    return [pieceOf(head), pieceOf(code), pieceOf(added)];
  }
}

const written = (writer: Writer | null): readonly Piece[] | null =>
  writer === null ? null : [pieceOf(writer)];

function customName(name: string): Piece {
  const writer = new Writer(64);
  writer.name(name);
  return pieceOf(writer);
}
