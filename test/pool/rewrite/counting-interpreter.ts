/**
 * Runs the programs of `program.ts` one instruction after the other and adds up what each costs,
 * knowing nothing of regions, locals or globals: what the rewriter's metering must come to,
 * exactly.
 */
import { Trapped, load, store, type NumType, type Value } from './numeric.ts';
import { GLOBALS, PAGES_MAX, type Instruction, type Program, type Signature } from './program.ts';

/** From the table of docs/fuel.md, written down again; numeric ones carry theirs. */
const COST: Readonly<Record<string, number>> = {
  const: 0, get: 0, set: 1, tee: 1, global_get: 1, global_set: 1, drop: 0, select: 1, load: 2,
  store: 2, return: 1, unreachable: 0, size: 1, grow: 2000, fill: 64, copy: 64, throw: 2000,
  block: 0, loop: 0, if: 1, br: 1, br_if: 1, br_table: 2, try: 0, try_table: 0,
  // With its parameter and its result.
  hostcall: 8 + 2 + 200,
};
const CALL = 8;
const CALL_INDIRECT = 16;
const ENTRY = 4;
const LOOP_TURN = 1;
const PAGE = 32_768;
const STEPS_MAX = 300_000;

export interface Outcome {
  kind: 'return' | 'trap' | 'exception' | 'endless';
  value: number;
  cost: number;
  /** An exception was thrown, caught or not: regions left by it have been paid in full. */
  threw: boolean;
  hostcalls: number[];
  memory: Uint8Array;
}

class Stop {
  readonly kind: 'trap' | 'exception' | 'endless';

  constructor(kind: 'trap' | 'exception' | 'endless') {
    this.kind = kind;
  }
}

/** How a sequence ended: it ran through (-1), it branched (the depth), it returned. */
const THROUGH = -1;
const RETURN = 1_000_000;

interface Label {
  height: number;
  arity: number;
}

export class CountingInterpreter {
  private readonly program: Program;
  private readonly hostcall: (value: number) => number;
  private cost = 0;
  private steps = 0;
  private threw = false;
  private readonly hostcalls: number[] = [];
  private memory = new DataView(new ArrayBuffer(65_536));
  private stack: Value[] = [];
  private readonly globals: Value[] = GLOBALS.map(zero);

  constructor(program: Program, hostcall: (value: number) => number) {
    this.program = program;
    this.hostcall = hostcall;
  }

  run(first: number, second: number): Outcome {
    let kind: Outcome['kind'] = 'return';
    let value = 0;
    try {
      value = this.call(0, [first, second]) as number;
    } catch (error) {
      if (!(error instanceof Stop)) throw error;
      kind = error.kind;
    }
    return {
      kind, value, cost: this.cost, threw: this.threw, hostcalls: this.hostcalls,
      memory: new Uint8Array(this.memory.buffer),
    };
  }

  private signature(index: number): Signature {
    return this.program.types[this.program.functions[index]!.type]!;
  }

  private call(index: number, parameters: Value[]): Value {
    const { locals: declared, body } = this.program.functions[index]!;
    this.cost += ENTRY + Math.floor(declared.length / 2);
    const locals = [...parameters, ...declared.map(zero)];
    const outer = this.stack;
    this.stack = [];
    try {
      this.sequence(body, locals, [{ height: 0, arity: 1 }]);
      return this.popValue();
    } finally {
      this.stack = outer;
    }
  }

  private popValue(): Value {
    const value = this.stack.pop();
    if (value === undefined) throw new Error('the stack is empty');
    return value;
  }

  private pop(): number {
    const value = this.popValue();
    if (typeof value !== 'number') throw new Error('not a number of 32 bits');
    return value;
  }

  private sequence(
    body: readonly Instruction[], locals: Value[], labels: readonly Label[],
  ): number {
    for (const instruction of body) {
      if (++this.steps > STEPS_MAX) throw new Stop('endless');
      this.cost += COST[instruction.op] ?? 0;
      const ended = this.step(instruction, locals, labels);
      if (ended !== THROUGH) return ended;
    }
    return THROUGH;
  }

  /** Does what a branch does to the stack. */
  private branch(labels: readonly Label[], depth: number): number {
    const { height, arity } = labels[labels.length - 1 - depth]!;
    const kept = arity === 0 ? [] : this.stack.slice(-arity);
    this.stack.length = height;
    this.stack.push(...kept);
    return depth;
  }

  /** Runs a bracketed body; `again` when a branch went to its own label. */
  private bracket(
    body: readonly Instruction[], locals: Value[], labels: readonly Label[], arity: number,
  ): { ended: number; again: boolean } {
    const inner = [...labels, { height: this.stack.length, arity }];
    const ended = this.sequence(body, locals, inner);
    if (ended === 0) return { ended: THROUGH, again: true };
    return { ended: ended > 0 && ended !== RETURN ? ended - 1 : ended, again: false };
  }

  private step(it: Instruction, locals: Value[], labels: readonly Label[]): number {
    switch (it.op) {
      case 'block': return this.bracket(it.body, locals, labels, it.result === null ? 0 : 1).ended;
      case 'loop':
        for (;;) {
          this.cost += LOOP_TURN;
          const { ended, again } = this.bracket(it.body, locals, labels, 0);
          if (!again) return ended;
        }
      case 'if': {
        const arm = this.pop() !== 0 ? it.body : it.otherwise ?? [];
        return this.bracket(arm, locals, labels, it.result === null ? 0 : 1).ended;
      }
      case 'br': case 'br_if': {
        // The values that it carries are paid for whether or not the branch is taken.
        this.cost += labels[labels.length - 1 - it.depth]!.arity;
        const taken = it.op === 'br' || this.pop() !== 0;
        return taken ? this.branch(labels, it.depth) : THROUGH;
      }
      case 'br_table': {
        const last = it.depths.length - 1;
        this.cost += labels[labels.length - 1 - it.depths[last]!]!.arity;
        const index = Math.min(this.pop() >>> 0, last);
        return this.branch(labels, it.depths[index]!);
      }
      case 'return': {
        const value = this.popValue();
        this.stack.length = 0;
        this.stack.push(value);
        return RETURN;
      }
      case 'try': return this.tryCatch(it.body, it.handler, locals, labels);
      case 'try_table': return this.tryTable(it.body, it.depth, locals, labels);
      case 'return_call':
        this.plain({ op: 'call', index: it.index }, locals);
        return RETURN;
      default:
        this.plain(it, locals);
        return THROUGH;
    }
  }

  private tryCatch(
    body: readonly Instruction[], handler: readonly Instruction[], locals: Value[],
    labels: readonly Label[],
  ): number {
    const { stack } = this;
    const height = stack.length;
    try {
      return this.bracket(body, locals, labels, 0).ended;
    } catch (error) {
      if (!(error instanceof Stop) || error.kind !== 'exception') throw error;
      this.stack = stack;
      stack.length = height;
      return this.bracket(handler, locals, labels, 0).ended;
    }
  }

  private tryTable(
    body: readonly Instruction[], depth: number, locals: Value[], labels: readonly Label[],
  ): number {
    const { stack } = this;
    try {
      return this.bracket(body, locals, labels, 0).ended;
    } catch (error) {
      if (!(error instanceof Stop) || error.kind !== 'exception') throw error;
      this.stack = stack;
      return this.branch(labels, depth);
    }
  }

  /** Instructions that always go on with the next, or trap, or throw. */
  private plain(it: Instruction, locals: Value[]): void {
    const { stack, memory } = this;
    switch (it.op) {
      case 'const': stack.push(it.type === 'i64' ? BigInt(it.value) : it.value); return;
      case 'get': stack.push(locals[it.index]!); return;
      case 'set': locals[it.index] = this.popValue(); return;
      case 'tee': locals[it.index] = stack[stack.length - 1]!; return;
      case 'global_get': stack.push(this.globals[it.index]!); return;
      case 'global_set': this.globals[it.index] = this.popValue(); return;
      case 'numeric': {
        this.cost += it.it.cost;
        const operands = stack.splice(-it.it.takes.length);
        stack.push(orTrap(() => it.it.run(...operands as never[])));
        return;
      }
      case 'drop': this.popValue(); return;
      case 'select': {
        const [first, second, condition] = stack.splice(-3);
        stack.push(condition !== 0 ? first! : second!);
        return;
      }
      case 'load': {
        const at = this.pop() + it.offset;
        stack.push(load(it.it, memory, at));
        return;
      }
      case 'store': {
        const value = this.popValue();
        store(it.it, memory, this.pop() + it.offset, value);
        return;
      }
      case 'size': stack.push(memory.byteLength / 65_536); return;
      case 'grow': stack.push(this.grow(this.pop())); return;
      case 'fill': case 'copy': this.bulk(it.op); return;
      case 'unreachable': throw new Stop('trap');
      case 'throw':
        this.threw = true;
        throw new Stop('exception');
      case 'hostcall': {
        const value = this.pop();
        this.hostcalls.push(value);
        stack.push(this.hostcall(value));
        return;
      }
      case 'call': this.callOf(it.index, CALL); return;
      case 'call_indirect': {
        // One that does not exist has been paid for as well.
        const entry = this.pop() >>> 0;
        const func = this.program.functions[entry];
        if (func === undefined || !this.fits(func.type, it.type)) throw new Stop('trap');
        this.callOf(entry, CALL_INDIRECT);
        return;
      }
      default: throw new Error(`not a plain instruction: ${it.op}`);
    }
  }

  private callOf(index: number, cost: number): void {
    const { params } = this.signature(index);
    this.cost += cost + params.length + 1;
    const { stack } = this;
    stack.push(this.call(index, stack.splice(stack.length - params.length)));
  }

  /** Types are equal when they look alike, whatever their index. */
  private fits(one: number, other: number): boolean {
    const { types } = this.program;
    return types[one]!.result === types[other]!.result
      && types[one]!.params.join() === types[other]!.params.join();
  }

  private grow(delta: number): number {
    const pages = this.memory.byteLength / 65_536;
    if (delta > PAGES_MAX - pages || delta < 0) return -1;
    this.cost += delta * PAGE;
    const grown = new Uint8Array((pages + delta) * 65_536);
    grown.set(new Uint8Array(this.memory.buffer));
    this.memory = new DataView(grown.buffer);
    return pages;
  }

  private bulk(op: 'fill' | 'copy'): void {
    const length = this.pop();
    const source = this.pop();
    const target = this.pop();
    this.cost += length >> 3;
    const bytes = new Uint8Array(this.memory.buffer);
    if (op === 'fill') bytes.fill(source & 0xff, target, target + length);
    else bytes.copyWithin(target, source, source + length);
  }
}

const zero = (type: NumType): Value => (type === 'i64' ? 0n : 0);

function orTrap(run: () => Value): Value {
  try {
    return run();
  } catch (error) {
    if (error instanceof Trapped) throw new Stop('trap');
    throw error;
  }
}
