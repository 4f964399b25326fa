/**
 * Reads the parts of a function body that decide nothing about control: locals, block types, memory
 * arguments, bulk and vector instructions. Keeps what the scan of one body finds out.
 */
import {
  FUNCTION_VALUES_MAX, LOCALS_MAX, MODULE_WIDE_VALUES_MAX, WIDE_VALUES_MAX,
} from '../../contract/limits.ts';
import { CompileCost } from './compile-cost.ts';
import { COST_FC, COST_FD } from './cost.ts';
import * as e from './events.ts';
import { DEAD } from './frames.ts';
import { mapFunction, type Module } from './module.ts';
import * as o from './opcodes.ts';
import { Reader } from './reader.ts';
import { heapType, valType } from './valtypes.ts';

const { IMMEDIATE } = o;

/** The rewriter adds at most this many locals to a function. */
export const ADDED_LOCALS = 2;

const WIDE = 16;

/** How many values enter and leave a block. */
export interface BlockType {
  params: number;
  results: number;
}

const NOTHING: BlockType = { params: 0, results: 0 };
const ONE_RESULT: BlockType = { params: 0, results: 1 };

export class BodyReader {
  readonly events = new e.Events();
  readonly regions = new e.Regions();
  protected readonly module: Module;
  protected readonly reader: Reader;
  protected readonly compiled: CompileCost;
  protected region = 0;
  protected values = 0;
  /** Values beyond the first `WIDE` of each block, branch and call: in this function, in all. */
  protected wide = 0;
  private wideInAll = 0;
  /** Parameters and declared locals. */
  locals = 0;
  /** Where the local declarations stand, behind their count. */
  declarationsFrom = 0;
  declarations = 0;
  declarationsTo = 0;
  chargesBulk = false;
  /** Something besides `call_indirect` through table 0 looks at a table or takes a function. */
  usesTable = false;
  /** `ref.func`, whose function something must declare: an export does. */
  takesFunctions = false;
  usesMemoryGrow = false;
  /** `memory.init` or `data.drop`. */
  namesData = false;

  constructor(module: Module, source: Uint8Array) {
    this.module = module;
    this.reader = new Reader(source, 0, source.length, 'code section');
    this.compiled = new CompileCost(this.reader);
  }

  protected readLocals(params: number): void {
    const { reader } = this;
    this.locals = params;
    this.declarations = reader.u32();
    this.declarationsFrom = reader.pos;
    for (let i = 0; i < this.declarations; i++) {
      this.locals += reader.u32();
      reader.atMost(this.locals, LOCALS_MAX - ADDED_LOCALS, 'too many locals');
      valType(reader);
    }
    this.declarationsTo = reader.pos;
  }

  protected pay(units: number): void {
    if (this.region !== DEAD) this.regions.pay(this.region, units);
  }

  /** Counts values that the compiled code has to move here. */
  protected move(count: number): void {
    this.pay(count);
    this.carry(count);
  }

  protected carry(count: number): void {
    const { reader } = this;
    this.values += count;
    reader.atMost(this.values, FUNCTION_VALUES_MAX,
      'too many values carried by blocks, branches and calls');
    if (count <= WIDE) return;
    this.wide += count - WIDE;
    this.wideInAll += count - WIDE;
    reader.atMost(this.wide, WIDE_VALUES_MAX,
      `too many values carried by blocks, branches and calls of more than ${WIDE}`);
    reader.atMost(this.wideInAll, MODULE_WIDE_VALUES_MAX,
      `too many values carried by all blocks, branches and calls of more than ${WIDE}`);
  }

  /** Reads a block type; answers how many values enter and leave. */
  protected blockType(): BlockType {
    const { reader } = this;
    const at = reader.pos;
    const first = reader.bytes[at]!;
    if (at < reader.end && first >= 0x40 && first < 0x80) {
      if (first === 0x40) reader.skip(1);
      else valType(reader);
      return first === 0x40 ? NOTHING : ONE_RESULT;
    }
    const index = reader.s33();
    const type = this.module.types[index];
    if (type === undefined) return reader.fail(`block type ${index} does not exist`, at);
    this.move(type.params.length + type.results.length);
    return { params: type.params.length, results: type.results.length };
  }

  /** What stands behind an opcode from 0x20 on, but for branches. */
  protected immediates(opcode: number, at: number): void {
    const { reader } = this;
    switch (IMMEDIATE[opcode]) {
      case o.I_NONE: return;
      case o.I_LEB32: reader.skipLeb(5); return;
      case o.I_LOCAL: reader.u32(); return;
      case o.I_MEMARG: this.memoryArgument(); return;
      case o.I_FD: return this.simd(at);
      case o.I_LEB64: reader.skipLeb(10); return;
      case o.I_INDEX:
        if (opcode >= 0x25) this.usesTable = true;
        reader.u32();
        return;
      case o.I_F32: reader.skip(4); return;
      case o.I_F64: reader.skip(8); return;
      case o.I_FC:
        if (this.miscellaneous(at)) this.usesTable = true;
        return;
      case o.I_REF_FUNC: return this.refFunction(at);
      case o.I_MEMORY: return this.memorySizeOrGrow(opcode, at);
      case o.I_REF_NULL:
        heapType(reader);
        return;
      case o.I_GC:
        return reader.refuse('unsupported_feature', 'GC instructions are not supported', at);
      case o.I_THREADS:
        return reader.refuse('unsupported_feature', 'threads are not supported', at);
      default: this.unknown(opcode, at);
    }
  }

  protected unknown(opcode: number, at: number): void {
    this.reader.fail(`unknown opcode 0x${opcode.toString(16)}`, at);
  }

  private memorySizeOrGrow(opcode: number, at: number): void {
    const { events, reader } = this;
    this.memoryIndex(at);
    if (opcode === 0x3f) {
      events.push(e.E_MEMORY_SIZE, at, reader.pos, 0);
      return;
    }
    this.usesMemoryGrow = true;
    const live = this.region !== DEAD;
    if (live) events.push(e.E_FLUSH, at, at, 0);
    events.push(e.E_MEMORY_GROW, at, reader.pos, 0);
    if (live) events.push(e.E_RELOAD, reader.pos, reader.pos, 0);
  }

  protected refFunction(at: number): void {
    const { reader, module } = this;
    const index = reader.u32();
    this.usesTable = true;
    this.takesFunctions = true;
    if (index >= module.functions.length) reader.fail(`function ${index} does not exist`, at);
    const mapped = mapFunction(module, index);
    if (mapped !== index) this.events.push(e.E_INDEX, at, reader.pos, 0xd2 + 256 * mapped);
  }

  protected memoryIndex(at: number): void {
    if (this.reader.u32() !== 0) {
      this.reader.refuse('unsupported_feature', 'more than one memory is not supported', at);
    }
  }

  protected memoryArgument(): void {
    const { reader } = this;
    const at = reader.pos;
    const flags = reader.u32();
    // Bit 6: a memory index follows, which may still be 0.
    if (flags >= 64) {
      if (flags >= 128) reader.fail('malformed memory argument', at);
      this.memoryIndex(at);
    }
    reader.skipLeb(5);
  }

  protected selectTyped(): void {
    const count = this.reader.count('types of a select', 1);
    for (let i = 0; i < count; i++) valType(this.reader);
  }

  /**
   * Bulk memory and table instructions, saturating truncation. Answers whether it was one of a
   * table.
   */
  protected miscellaneous(at: number): boolean {
    const { reader, module } = this;
    const sub = reader.u32();
    if (sub >= COST_FC.length) reader.fail(`unknown opcode 0xfc ${sub}`, at);
    this.pay(COST_FC[sub]!);
    if (sub === 8 || sub === 9) this.namesData = true;
    if (sub === 8 || sub === 10 || sub === 11) {
      if (sub === 8) reader.u32();
      if (sub === 10) this.memoryIndex(at);
      this.memoryIndex(at);
      this.bulk(e.E_BYTES, at);
    } else if (sub === 12 || sub === 14 || sub === 15 || sub === 17) {
      const table = reader.u32();
      if (sub === 12 || sub === 14) reader.u32();
      if (sub === 15) {
        const grown = module.tables[table];
        if (grown === undefined) reader.fail(`table ${table} does not exist`, at);
        else grown.grows = true;
      }
      this.bulk(e.E_ENTRIES, at);
    } else if (sub === 9 || sub === 13 || sub === 16) {
      reader.u32();
    }
    return sub >= 12;
  }

  private bulk(kind: number, at: number): void {
    if (this.region === DEAD) return;
    this.chargesBulk = true;
    // Its fuel is checked, in an `if`.
    this.compiled.join();
    this.events.push(kind, at, at, 0);
  }

  protected simd(at: number): void {
    const { reader } = this;
    const sub = reader.u32();
    if (sub >= COST_FD.length) reader.fail(`unknown opcode 0xfd ${sub}`, at);
    this.pay(COST_FD[sub]!);
    const kind = o.IMMEDIATE_FD[sub];
    if (kind === o.I_MEMARG || kind === o.I_LANE_MEMARG) this.memoryArgument();
    if (kind === o.I_LANE || kind === o.I_LANE_MEMARG) reader.skip(1);
    if (kind === o.I_16) reader.skip(16);
  }
}
