/**
 * Reads one function body once, in linear time and without recursion: finds its regions, sums their
 * costs, and notes every place where the writer has to insert or replace something.
 */
import {
  BR_TABLE_TARGETS_MAX, FUNCTION_BODY_BYTES_MAX, NESTING_MAX,
} from '../../contract/limits.ts';
import { BodyReader, type BlockType } from './body-reader.ts';
import * as cost from './cost.ts';
import * as e from './events.ts';
import * as f from './frames.ts';
import { mapFunction } from './module.ts';
import { passPlain } from './plain.ts';

const { COST } = cost;

/** In place of the mapped index of a direct call. */
const INDIRECT = -2;

export class FunctionScan extends BodyReader {
  private readonly frames = new f.Frames();
  /** 1 when a call may have been on some path since the fuel was last compared with zero. */
  private called = 0;
  hasLoop = false;
  /** An exception may come out at a label, where the cached fuel cannot be told from a branch's. */
  catchesAtLabel = false;

  /** Scans the body of function `index` at `source[from, to)`. */
  scan(index: number, from: number, to: number): void {
    const { reader, module } = this;
    reader.pos = from;
    reader.end = to;
    reader.functionIndex = index;
    reader.atMost(to - from, FUNCTION_BODY_BYTES_MAX, 'function body too large');
    const type = module.types[module.functions[index]!]!;
    this.reset();
    this.readLocals(type.params.length);
    this.compiled.reset(this.locals);
    this.frames.reset(type.results.length);
    this.region = this.regions.open(0);
    this.pay(cost.ENTRY_COST
      + Math.floor((this.locals - type.params.length) / cost.LOCALS_PER_UNIT));
    this.events.push(e.E_ENTRY, reader.pos, reader.pos, 0);
    while (this.frames.top >= 0) {
      this.pay(passPlain(reader));
      this.instruction();
    }
    if (reader.pos !== to) reader.fail('code behind the end of the function');
    this.compiled.end();
  }

  private reset(): void {
    this.events.count = 0;
    this.regions.count = 0;
    this.values = 0;
    this.wide = 0;
    this.called = 0;
    this.hasLoop = false;
    this.catchesAtLabel = false;
    this.chargesBulk = false;
  }

  private instruction(): void {
    const { reader } = this;
    const at = reader.pos;
    const opcode = reader.u8();
    this.pay(COST[opcode]!);
    if (opcode < 0x20) this.control(opcode, at);
    else if (opcode === 0xd5 || opcode === 0xd6) this.branch(opcode, at);
    else this.immediates(opcode, at);
  }

  /** By numbers, since a switch over those becomes one jump. */
  private control(opcode: number, at: number): void {
    switch (opcode) {
      case 0x00: // unreachable
        if (this.region !== f.DEAD) this.regions.cold[this.region] = 1;
        return this.stop(at);
      case 0x01: case 0x1a: case 0x1b: return; // nop, drop, select
      case 0x02: case 0x03: case 0x04: case 0x06: return this.block(opcode); // if, try, loop
      case 0x05: return this.otherArm(f.F_IF, f.F_ELSE, at);
      case 0x07: case 0x19: return this.catchArm(opcode, at);
      case 0x08: return this.throwTag(at);
      case 0x09: // rethrow
        this.reader.u32();
        return this.stop(at);
      case 0x0a: return this.stop(at); // throw_ref
      case 0x0b: return this.end(at);
      case 0x0c: case 0x0d: return this.branch(opcode, at);
      case 0x0e: return this.branchTable(at);
      case 0x0f: // return
        if (this.region !== f.DEAD) this.frames.branch(0, this.called);
        return this.stop(at);
      case 0x10: case 0x12: return this.call(opcode, at);
      case 0x11: case 0x13: return this.callType(opcode, at, true);
      case 0x14: case 0x15: return this.callType(opcode, at, false);
      case 0x18: // delegate
        this.reader.u32();
        return this.end(at);
      case 0x1c: return this.selectTyped();
      case 0x1f: return this.tryTable();
      default: this.unknown(opcode, at);
    }
  }

  private openRegion(at: number, kind = this.called === 1 ? e.E_CHECK : e.E_CHARGE): void {
    const loops = this.frames.loops[this.frames.top]!;
    this.region = this.regions.open(loops);
    this.events.push(kind, at, at, this.region);
    this.called = 0;
  }

  private stop(at: number): void {
    if (this.region !== f.DEAD) this.events.push(e.E_FLUSH, at, at, 0);
    this.region = f.DEAD;
  }

  /** The exception is an object on the worker's heap: its values are paid for by their size. */
  private throwTag(at: number): void {
    const index = this.reader.u32();
    const typeIndex = this.module.tags[index];
    if (typeIndex === undefined) this.reader.fail(`tag ${index} does not exist`, at);
    for (const type of this.module.types[typeIndex!]!.params) this.pay(cost.thrownCost(type));
    this.mayThrow();
    this.stop(at);
  }

  /** Something that may go on at a handler of this function. */
  private mayThrow(): void {
    if (this.frames.tries[this.frames.top]! > 0) this.compiled.join();
  }

  private openFrame(kind: number, type: BlockType): void {
    const { reader, frames } = this;
    reader.atMost(frames.top + 1, NESTING_MAX, 'blocks nested too deep');
    if (kind === f.F_LOOP) this.compiled.loop();
    else this.compiled.join();
    const loops = frames.loops[frames.top]! + (kind === f.F_LOOP ? 1 : 0);
    frames.push(kind, this.region, kind === f.F_LOOP ? type.params : type.results, loops,
      reader.pos, this.called);
  }

  private block(opcode: number): void {
    const type = this.blockType();
    this.openFrame(f.FRAME_OF[opcode]!, type);
    if (this.region === f.DEAD) return;
    if (opcode === 0x03) {
      this.hasLoop = true;
      this.openRegion(this.reader.pos, e.E_LOOP);
      this.pay(cost.LOOP_COST);
    } else if (opcode === 0x04) {
      this.openRegion(this.reader.pos);
    }
  }

  private end(at: number): void {
    const { frames, reader } = this;
    if (frames.top === 0) {
      if (this.region !== f.DEAD) this.events.push(e.E_FLUSH, at, at, 0);
      frames.top = -1;
      return;
    }
    const ended = frames.top;
    if (frames.kind[ended] === f.F_LOOP) this.compiled.endLoop(at - frames.from[ended]!);
    const { region, opened } = frames.pop(this.region, this.regions);
    // An `if` without `else` is passed by on one path; of arms, any may come here.
    if (frames.kind[ended] !== f.F_LOOP) this.called |= frames.calledAtBranch[ended]!;
    if (frames.kind[ended] === f.F_IF) this.called |= frames.calledBefore[ended]!;
    this.region = region;
    if (!opened) return;
    this.events.push(this.called === 1 ? e.E_CHECK : e.E_CHARGE, reader.pos, reader.pos, region);
    this.called = 0;
  }

  private otherArm(after: number, becomes: number, at: number): void {
    const { frames, reader } = this;
    const top = frames.top;
    if (frames.kind[top] !== after) reader.fail('else or catch without its block', at);
    if (frames.kind[top] === f.F_TRY) frames.tries[top]!--;
    frames.kind[top] = becomes;
    if (this.region !== f.DEAD) {
      frames.armLive[top] = 1;
      frames.calledAtBranch[top]! |= this.called;
    }
    this.region = f.DEAD;
    // A handler begins behind a call that threw.
    this.called = becomes === f.F_CATCH ? 1 : frames.calledBefore[top]!;
    if (frames.region[top] !== f.DEAD) this.openRegion(reader.pos);
  }

  private catchArm(opcode: number, at: number): void {
    const { frames, reader } = this;
    const top = frames.top;
    if (opcode === 0x07) reader.u32();
    if (frames.region[top] !== f.DEAD) this.events.push(e.E_RELOAD, reader.pos, reader.pos, 0);
    this.otherArm(frames.kind[top] === f.F_CATCH ? f.F_CATCH : f.F_TRY, f.F_CATCH, at);
  }

  private branchTo(depth: number): number {
    const target = this.frames.target(this.reader, depth);
    this.move(this.frames.arity[target]!);
    this.compiled.join();
    if (this.region !== f.DEAD) this.frames.branch(target, this.called);
    return target;
  }

  /** br, br_if, br_on_null, br_on_non_null. */
  private branch(opcode: number, at: number): void {
    const target = this.branchTo(this.reader.u32());
    if (this.region === f.DEAD) return;
    if (target === 0) this.events.push(e.E_FLUSH, at, at, 0);
    if (opcode === 0x0c) this.region = f.DEAD;
    else this.openRegion(this.reader.pos);
  }

  private branchTable(at: number): void {
    const { reader, frames } = this;
    const count = reader.u32();
    reader.atMost(count, BR_TABLE_TARGETS_MAX, 'too many br_table targets');
    let outermost = frames.top;
    for (let i = 0; i <= count; i++) {
      const target = frames.target(reader, reader.u32());
      this.carry(frames.arity[target]!);
      this.compiled.join();
      if (i === count) this.pay(frames.arity[target]!);
      if (this.region !== f.DEAD) frames.branch(target, this.called);
      if (target < outermost) outermost = target;
    }
    if (this.region !== f.DEAD && outermost === 0) this.events.push(e.E_FLUSH, at, at, 0);
    this.region = f.DEAD;
  }

  private call(opcode: number, at: number): void {
    const { reader, module } = this;
    const index = reader.u32();
    const typeIndex = module.functions[index];
    if (typeIndex === undefined) reader.fail(`function ${index} does not exist`, at);
    const mapped = mapFunction(module, index);
    this.aroundCall(opcode, at, typeIndex!, mapped === index ? -1 : mapped);
  }

  private callType(opcode: number, at: number, indirect: boolean): void {
    const { reader, module } = this;
    const typeIndex = reader.u32();
    if (typeIndex >= module.types.length) reader.fail(`type ${typeIndex} does not exist`, at);
    if (!indirect) return this.aroundCall(opcode, at, typeIndex, -1);
    if (reader.u32() !== 0) this.usesTable = true;
    this.aroundCall(opcode, at, typeIndex, INDIRECT);
  }

  private aroundCall(opcode: number, at: number, typeIndex: number, mapped: number): void {
    const { events, reader } = this;
    const type = this.module.types[typeIndex]!;
    this.move(type.params.length + type.results.length);
    this.mayThrow();
    const live = this.region !== f.DEAD;
    if (live) events.push(e.E_FLUSH, at, at, 0);
    const tail = opcode === 0x12 || opcode === 0x13 || opcode === 0x15;
    if (mapped >= 0) events.push(e.E_INDEX, at, reader.pos, opcode + 256 * mapped);
    if (mapped === INDIRECT) {
      events.push(e.E_CALL_INDIRECT, at, reader.pos, typeIndex * 2 + (tail ? 1 : 0));
    }
    if (tail) {
      if (live) this.frames.branch(0, this.called);
      this.region = f.DEAD;
    } else if (live) {
      events.push(e.E_RELOAD, reader.pos, reader.pos, 0);
      this.regions.calls[this.region]!++;
      this.called = 1;
    }
  }

  private tryTable(): void {
    const { reader, frames } = this;
    const type = this.blockType();
    const count = reader.count('catch clauses', BR_TABLE_TARGETS_MAX);
    let outermost = frames.top + 1;
    for (let i = 0; i < count; i++) {
      const kind = reader.u8();
      if (kind > 3) reader.fail('unknown catch clause', reader.pos - 1);
      if (kind < 2) reader.u32();
      const target = this.branchTo(reader.u32());
      frames.calledAtBranch[target] = 1;
      outermost = Math.min(outermost, target);
    }
    this.openFrame(f.F_TRY_TABLE, type);
    if (this.region === f.DEAD || count === 0) return;
    frames.outermost[frames.top] = Math.min(frames.outermost[frames.top]!, outermost);
    this.catchesAtLabel = true;
  }
}
