/**
 * The functions that the rewriter adds: one wrapper for each imported function, and the growth of
 * the memory.
 */
import { HOSTCALL_PARAMETERS } from '../../contract/reserved.ts';
import { HOSTCALL_COST, PAGE_COST } from './cost.ts';
import type { Targets } from './emit.ts';
import { Writer } from './writer.ts';

const CHECK = [0x42, 0x00, 0x53, 0x04, 0x40, 0x00, 0x0b]; // i64.const 0, i64.lt_s, if trap end

/** Lowers the fuel by the i64 that `amount` leaves on the stack; `scratch` is an i64 local. */
function charge(writer: Writer, fuel: number, scratch: number, amount: () => void): void {
  writer.u8(0x23);
  writer.u32(fuel);
  amount();
  writer.u8(0x7d); // i64.sub
  writer.u8(0x22);
  writer.u32(scratch);
  writer.u8(0x24);
  writer.u32(fuel);
  writer.u8(0x20);
  writer.u32(scratch);
  writer.list(CHECK);
}

/** What a wrapper stands for. */
export interface Wrapped {
  /** The import that it calls. */
  readonly target: number;
  /** Its number at the gate; null where the import is its own. */
  readonly number: number | null;
  readonly parameters: number;
  readonly hasResult: boolean;
}

/** Charges the hostcall, then calls it with the context in front of the parameters. */
export function wrapperBody(
  { target, number, parameters, hasResult }: Wrapped, targets: Targets, contextGlobal: number,
): Writer {
  const writer = new Writer(32 + parameters * 3);
  if (targets.fuel) {
    writer.list([0x01, 0x01, 0x7e]);
    charge(writer, targets.fuelGlobal, parameters, () => {
      writer.u8(0x42);
      writer.signed(HOSTCALL_COST);
    });
  } else {
    writer.u8(0x00);
  }
  writer.u8(0x23);
  writer.u32(contextGlobal);
  if (number !== null) {
    writer.u8(0x41);
    writer.signed(number);
  }
  for (let i = 0; i < parameters; i++) {
    writer.u8(0x20);
    writer.u32(i);
  }
  const missing = number === null ? 0 : HOSTCALL_PARAMETERS - parameters;
  for (let i = 0; i < missing; i++) writer.list([0x41, 0x00]);
  writer.u8(0x10);
  writer.u32(target);
  if (number !== null && !hasResult) writer.u8(0x1a); // drop
  writer.u8(0x0b);
  return writer;
}

const DELTA = 0;
const OLD = 1;
const NEW = 2;
const FUEL = 3;

/**
 * `memory.grow` as the guest sees it: refuses what passes `maximumPages`, charges the pages, grows
 * the real memory where the guest's size passes it, and gives the charge back when that fails (a
 * deployment may have a lower limit than its module was rewritten for).
 */
export function growBody(targets: Targets, maximumPages: number): Writer {
  const writer = new Writer(128);
  const op = (opcode: number, index: number): void => {
    writer.u8(opcode);
    writer.u32(index);
  };
  const pages = (): void => {
    writer.list([0x20, DELTA, 0xad, 0x42]); // the delta as i64, times
    writer.signed(PAGE_COST);
    writer.u8(0x7e);
  };
  // Notes the sum, or the most that i32 holds where that wraps, and returns -1.
  const refuse = (): void => {
    writer.list([0x41, 0x7f, 0x20, OLD, 0x20, DELTA, 0x6a, 0x20, OLD, 0x20, DELTA, 0x6a]);
    writer.list([0x20, DELTA, 0x49, 0x1b]); // select -1 if the sum is below the delta
    op(0x24, targets.refusedGlobal);
    writer.list([0x41, 0x7f, 0x0f]);
  };
  writer.list([0x02, 0x02, 0x7f, 0x01, 0x7e]); // two i32, one i64
  if (targets.virtualMemory) op(0x23, targets.pagesGlobal);
  else writer.list([0x3f, 0x00]);
  writer.list([0x21, OLD, 0x20, DELTA, 0x41]);
  writer.signed(maximumPages);
  writer.list([0x20, OLD, 0x6b, 0x4b, 0x04, 0x40]); // if it is too much
  refuse();
  writer.u8(0x0b);
  if (targets.fuel) charge(writer, targets.fuelGlobal, FUEL, pages);
  writer.list([0x20, OLD, 0x20, DELTA, 0x6a, 0x22, NEW, 0x3f, 0x00, 0x4b, 0x04, 0x40]);
  writer.list([0x20, NEW, 0x3f, 0x00, 0x6b, 0x40, 0x00, 0x41, 0x7f, 0x46, 0x04, 0x40]);
  if (targets.fuel) {
    op(0x23, targets.fuelGlobal);
    pages();
    writer.u8(0x7c); // i64.add
    op(0x24, targets.fuelGlobal);
  }
  refuse();
  writer.list([0x0b, 0x0b, 0x20, NEW]);
  op(0x24, targets.pagesGlobal);
  writer.list([0x20, OLD, 0x0b]);
  return writer;
}
