/**
 * Writes one function body anew from its scan.
 *
 * Two schemes of metering, chosen for each function by what they are estimated to cost:
 * - direct: every charge reads, lowers and writes the fuel global. Nothing is needed around calls.
 * - cached: the fuel lives in a local, is written back before every call, throw and return, and
 *   read again after calls and at the top of handlers. Pays in loops.
 */
import * as cost from './cost.ts';
import * as e from './events.ts';
import type { Regions } from './events.ts';
import type { FunctionScan } from './scan.ts';
import type { StaticTable } from './static-table.ts';
import { putIndexed, putSigned, type Writer } from './writer.ts';

const LOCAL_GET = 0x20;
const LOCAL_SET = 0x21;
const LOCAL_TEE = 0x22;
const GLOBAL_GET = 0x23;
const GLOBAL_SET = 0x24;
const I64_CONST = 0x42;
const I64_SUB = 0x7d;
const I64 = 0x7e;
const I32 = 0x7f;

/** More than the longest sequence that is inserted: eight instructions with an index, a number. */
const SEQUENCE_BYTES = 96;

/** The indices that inserted code refers to. */
export interface Targets {
  fuelGlobal: number;
  pagesGlobal: number;
  /** Pages in all that the last refused growth asked for. */
  refusedGlobal: number;
  growFunction: number;
  fuel: boolean;
  virtualMemory: boolean;
  /** Set where table 0 is made a list. */
  staticTable: StaticTable | null;
}

export class FunctionWriter {
  private readonly writer: Writer;
  private readonly targets: Targets;
  private cached = false;
  private fuelLocal = 0;
  private lengthLocal = 0;

  constructor(writer: Writer, targets: Targets) {
    this.writer = writer;
    this.targets = targets;
  }

  write(scan: FunctionScan, source: Uint8Array, to: number): void {
    const { writer, targets } = this;
    const { events } = scan;
    this.cached = targets.fuel && cachingPays(scan);
    this.fuelLocal = scan.locals;
    this.lengthLocal = scan.locals + 1;
    const added = targets.fuel ? (scan.chargesBulk ? 2 : 1) : 0;
    writer.u32(scan.declarations + added);
    writer.copy(source, scan.declarationsFrom, scan.declarationsTo);
    if (added > 0) this.local(I64);
    if (added > 1) this.local(I32);
    let at = scan.declarationsTo;
    for (let i = 0; i < events.count; i++) {
      const from = events.from[i]!;
      const behind = events.to[i]!;
      // Also when it is nothing: a trace then knows where what is inserted stands.
      writer.copy(source, at, from);
      const kind = events.kind[i]!;
      if (kind >= e.E_INDEX) this.replaced(kind, events.argument[i]!, source, from, behind);
      else if (targets.fuel) this.fuelEvent(kind, events.argument[i]!, scan.regions);
      at = behind;
    }
    writer.copy(source, at, to);
  }

  /** One local of that type. */
  private local(type: number): void {
    this.writer.u8(1);
    this.writer.u8(type);
  }

  private replaced(
    kind: number, argument: number, source: Uint8Array, from: number, to: number,
  ): void {
    const { writer, targets } = this;
    switch (kind) {
      case e.E_INDEX:
        this.indexed(argument & 0xff, argument >>> 8);
        return;
      case e.E_MEMORY_SIZE:
        if (targets.virtualMemory) this.indexed(GLOBAL_GET, targets.pagesGlobal);
        else writer.copy(source, from, to);
        return;
      case e.E_MEMORY_GROW:
        if (targets.virtualMemory || targets.fuel) this.indexed(0x10, targets.growFunction);
        else writer.copy(source, from, to);
        return;
      case e.E_CALL_INDIRECT:
        if (targets.staticTable === null) return writer.copy(source, from, to);
        return this.indexed((argument & 1) === 1 ? 0x12 : 0x10,
          targets.staticTable.functionFor(argument >>> 1));
      default: throw new Error(`unknown event ${kind}`);
    }
  }

  private fuelEvent(kind: number, argument: number, regions: Regions): void {
    switch (kind) {
      case e.E_ENTRY: return this.charge(regions.total(argument), true, true);
      case e.E_LOOP: case e.E_CHECK:
        return this.charge(regions.total(argument), true, false);
      case e.E_CHARGE: {
        const units = regions.total(argument);
        if (units > 0) this.charge(units, false, false);
        return;
      }
      case e.E_FLUSH:
        if (this.cached) this.pair(LOCAL_GET, this.fuelLocal, GLOBAL_SET, this.targets.fuelGlobal);
        return;
      case e.E_RELOAD:
        if (this.cached) this.pair(GLOBAL_GET, this.targets.fuelGlobal, LOCAL_SET, this.fuelLocal);
        return;
      case e.E_BYTES: return this.chargeLength(0x88, cost.BULK_BYTES_SHIFT); // i64.shr_u
      case e.E_ENTRIES: return this.chargeLength(0x7e, cost.TABLE_ENTRY_COST); // i64.mul
      default: throw new Error(`unknown event ${kind}`);
    }
  }

  private indexed(opcode: number, index: number): void {
    const { writer } = this;
    writer.reserve(SEQUENCE_BYTES);
    writer.length = putIndexed(writer.bytes, writer.length, opcode, index);
  }

  private pair(first: number, firstIndex: number, second: number, secondIndex: number): void {
    const { writer } = this;
    writer.reserve(SEQUENCE_BYTES);
    const at = putIndexed(writer.bytes, writer.length, first, firstIndex);
    writer.length = putIndexed(writer.bytes, at, second, secondIndex);
  }

  private charge(units: number, checked: boolean, entry: boolean): void {
    const { writer, cached, fuelLocal } = this;
    const { fuelGlobal } = this.targets;
    writer.reserve(SEQUENCE_BYTES);
    const { bytes } = writer;
    let at = cached && !entry ? putIndexed(bytes, writer.length, LOCAL_GET, fuelLocal)
      : putIndexed(bytes, writer.length, GLOBAL_GET, fuelGlobal);
    bytes[at++] = I64_CONST;
    at = putSigned(bytes, at, units);
    bytes[at++] = I64_SUB;
    if (checked) at = this.storeAndCheck(bytes, at);
    else if (cached) at = putIndexed(bytes, at, LOCAL_SET, fuelLocal);
    else at = putIndexed(bytes, at, GLOBAL_SET, fuelGlobal);
    writer.length = at;
  }

  /** The new fuel is on the stack: stores it and traps when it is below zero. */
  private storeAndCheck(bytes: Uint8Array, from: number): number {
    const { cached, fuelLocal } = this;
    const { fuelGlobal } = this.targets;
    let at = putIndexed(bytes, from, LOCAL_TEE, fuelLocal);
    if (!cached) {
      at = putIndexed(bytes, at, GLOBAL_SET, fuelGlobal);
      at = putIndexed(bytes, at, LOCAL_GET, fuelLocal);
    }
    bytes[at] = I64_CONST;
    bytes[at + 1] = 0x00;
    bytes[at + 2] = 0x53; // i64.lt_s
    bytes[at + 3] = 0x04; // if
    bytes[at + 4] = 0x40;
    at += 5;
    if (cached) {
      at = putIndexed(bytes, at, LOCAL_GET, fuelLocal);
      at = putIndexed(bytes, at, GLOBAL_SET, fuelGlobal);
    }
    bytes[at] = 0x00; // unreachable
    bytes[at + 1] = 0x0b; // end
    return at + 2;
  }

  /** The length of a bulk instruction is on the stack and stays there. */
  private chargeLength(operation: number, operand: number): void {
    const { writer, cached, fuelLocal, lengthLocal } = this;
    writer.reserve(SEQUENCE_BYTES);
    const { bytes } = writer;
    let at = putIndexed(bytes, writer.length, LOCAL_TEE, lengthLocal);
    at = cached ? putIndexed(bytes, at, LOCAL_GET, fuelLocal)
      : putIndexed(bytes, at, GLOBAL_GET, this.targets.fuelGlobal);
    at = putIndexed(bytes, at, LOCAL_GET, lengthLocal);
    bytes[at++] = 0xad; // i64.extend_i32_u
    bytes[at++] = I64_CONST;
    at = putSigned(bytes, at, operand);
    bytes[at++] = operation;
    bytes[at++] = I64_SUB;
    writer.length = this.storeAndCheck(bytes, at);
  }
}

/**
 * Compares the schemes: memory accesses and arithmetic for each charge and each call, weighted by
 * loop depth; code that ends in `unreachable` weighs nothing.
 */
function cachingPays(scan: FunctionScan): boolean {
  if (!scan.hasLoop || scan.catchesAtLabel) return false;
  const { regions } = scan;
  let direct = 0;
  let cached = 2;
  for (let i = 0; i < regions.count; i++) {
    if (regions.cold[i] === 1) continue;
    const weight = 1 << (3 * Math.min(regions.depth[i]!, 6));
    if (regions.charges(i)) {
      direct += 3 * weight;
      cached += weight;
    }
    cached += 2 * weight * regions.calls[i]!;
  }
  return cached <= direct;
}
