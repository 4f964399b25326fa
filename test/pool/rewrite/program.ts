/**
 * Small programs for the fuzz tests: instructions as a tree, and a generator that makes random ones
 * which always end. Written without the rewriter's decoder or tables, so that both can be checked
 * against them.
 */
import { LOADS, NUMERIC, STORES, type Access, type NumType, type Numeric } from './numeric.ts';

export type Instruction =
  | { op: 'const'; type: NumType; value: number }
  | { op: 'get' | 'set' | 'tee' | 'global_get' | 'global_set'; index: number }
  | { op: 'numeric'; it: Numeric }
  | { op: 'load' | 'store'; it: Access; offset: number }
  | { op: 'drop' | 'select' | 'return' | 'unreachable' | 'size' }
  | { op: 'grow' | 'fill' | 'copy' | 'throw' | 'hostcall' }
  | { op: 'block' | 'loop'; result: NumType | null; body: Instruction[] }
  | {
    op: 'if'; result: NumType | null; body: Instruction[]; otherwise: Instruction[] | null;
  }
  | { op: 'br' | 'br_if'; depth: number }
  | { op: 'br_table'; depths: number[] }
  | { op: 'call' | 'return_call'; index: number }
  /** The table index is on the stack: function 0 is entry 0, and the last entry is null. */
  | { op: 'call_indirect'; type: number }
  | { op: 'try'; body: Instruction[]; handler: Instruction[]; all: boolean }
  | { op: 'try_table'; depth: number; body: Instruction[] };

export interface Signature {
  params: readonly NumType[];
  result: NumType;
}

export interface Func {
  /** The index of its signature. */
  type: number;
  /** Declared locals, behind the parameters. */
  locals: NumType[];
  body: Instruction[];
}

/** Function 0 is (i32, i32) → i32, as is signature 0; hostcalls are (i32) → i32. */
export interface Program {
  types: Signature[];
  functions: Func[];
}

export const TYPES: readonly NumType[] = ['i32', 'i64', 'f32', 'f64'];
/** One mutable global of each type, in that order, 0 at first. */
export const GLOBALS = TYPES;

export const PAGES_MAX = 3;

export type Random = () => number;

/** A seeded generator of numbers in [0, 1). */
export function random(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What a branch to a label carries, and whether it goes backwards. */
interface Label {
  value: NumType | null;
  loop: boolean;
}

const PLAIN: Label = { value: null, loop: false };
const named = new Map(NUMERIC.map((it) => [it.name, it]));
const giving = (type: NumType): Numeric[] => NUMERIC.filter(({ gives }) => gives === type);
const GIVING = {
  i32: giving('i32'), i64: giving('i64'), f32: giving('f32'), f64: giving('f64'),
};
/** They show the bits of what they take, or its sign. */
const LOOKS_AT_BITS = /reinterpret_f|copysign/;

const numeric = (name: string): Instruction => {
  const it = named.get(name);
  if (it === undefined) throw new Error(`no instruction ${name}`);
  return { op: 'numeric', it };
};
const i32 = (value: number): Instruction => ({ op: 'const', type: 'i32', value });

class Generator {
  private readonly next: Random;
  private readonly functions: number;
  private readonly types: Signature[] = [{ params: ['i32', 'i32'], result: 'i32' }];
  /** The signature of each function. */
  private readonly signatures: number[] = [0];
  private index = 0;
  /** Parameters and declared locals. */
  private locals: NumType[] = [];
  private labels: Label[] = [];
  private size = 0;

  constructor(next: Random) {
    this.next = next;
    this.functions = 2 + this.below(4);
    for (let i = 1; i < this.functions; i++) {
      if (this.below(3) > 0) {
        this.types.push({
          params: Array.from({ length: this.below(4) }, () => this.type()), result: this.type(),
        });
      }
      this.signatures.push(this.below(this.types.length));
    }
  }

  program(): Program {
    const functions: Func[] = [];
    for (this.index = 0; this.index < this.functions; this.index++) {
      const type = this.signatures[this.index]!;
      const { params, result } = this.types[type]!;
      // One local of each type that any instruction may write, and more.
      this.locals = [...params, ...TYPES,
        ...Array.from({ length: this.below(4) }, () => this.type())];
      this.writable = this.locals.length;
      this.labels = [];
      this.size = 0;
      const body = [...this.statements(0), ...this.value(result, 0)];
      functions.push({ type, locals: this.locals.slice(params.length), body });
    }
    return { types: this.types, functions };
  }

  /** Locals behind these count down in loops. */
  private writable = 0;

  private below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  private type(): NumType {
    return TYPES[this.below(TYPES.length)]!;
  }

  private pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }

  private local(type: NumType): number {
    const fitting: number[] = [];
    for (let i = 0; i < this.writable; i++) if (this.locals[i] === type) fitting.push(i);
    return this.pick(fitting);
  }

  private statements(depth: number): Instruction[] {
    const out: Instruction[] = [];
    const count = 1 + this.below(4);
    for (let i = 0; i < count; i++) out.push(...this.statement(depth));
    return out;
  }

  private within<T>(label: Label, make: () => T): T {
    this.labels.push(label);
    const made = make();
    this.labels.pop();
    return made;
  }

  private statement(depth: number): Instruction[] {
    if (depth > 4 || ++this.size > 40) return this.simple(depth);
    switch (this.below(13)) {
      case 0: case 1: {
        const condition = this.value('i32', depth + 1);
        return this.within(PLAIN, () => [...condition, {
          op: 'if', result: null, body: this.statements(depth + 1),
          otherwise: this.below(2) === 0 ? null : this.statements(depth + 1),
        }]);
      }
      case 2: case 3:
        return this.within(PLAIN, () =>
          [{ op: 'block', result: null, body: this.statements(depth + 1) }]);
      case 4: return this.countedLoop(depth);
      case 5: return this.untilLoop(depth);
      case 6: case 7: return this.branch(depth);
      case 8: {
        const body = this.within(PLAIN, () => this.throwing(depth));
        const handler = this.within(PLAIN, () => this.statements(depth + 1));
        return [{ op: 'try', body, handler, all: this.below(2) === 0 }];
      }
      case 9:
        return this.within(PLAIN, () => {
          const body = this.within(PLAIN, () => this.throwing(depth));
          return [{
            op: 'block', result: null,
            body: [{ op: 'try_table', depth: 0, body }, ...this.simple(depth)],
          }];
        });
      default: return this.simple(depth);
    }
  }

  private throwing(depth: number): Instruction[] {
    const body = this.statements(depth + 1);
    if (this.below(3) > 0) return body;
    const condition = this.value('i32', depth + 1);
    return [...body, ...condition,
      { op: 'if', result: null, body: [{ op: 'throw' }], otherwise: null },
      ...this.simple(depth)];
  }

  private counter(): number {
    this.locals.push('i32');
    return this.locals.length - 1;
  }

  /** A new local that only this loop writes counts down, so that every loop ends. */
  private countedLoop(depth: number): Instruction[] {
    const counter = this.counter();
    const out = this.within(PLAIN, () =>
      this.within({ value: null, loop: true }, () => this.statements(depth + 1)));
    return [i32(this.below(6)), { op: 'set', index: counter }, {
      op: 'block', result: null, body: [{
        op: 'loop', result: null, body: [
          { op: 'get', index: counter }, i32(1), numeric('i32.sub'),
          { op: 'tee', index: counter }, i32(0), numeric('i32.lt_s'),
          { op: 'br_if', depth: 1 }, ...out, { op: 'br', depth: 0 },
        ],
      }],
    }];
  }

  private untilLoop(depth: number): Instruction[] {
    const counter = this.counter();
    // Branches inside may leave, but not go back, since the count is lowered at the end.
    const body = this.within({ value: 'i32', loop: true }, () => this.statements(depth + 1));
    return [i32(this.below(5)), { op: 'set', index: counter }, {
      op: 'loop', result: null, body: [
        ...body, { op: 'get', index: counter }, i32(1), numeric('i32.sub'),
        { op: 'tee', index: counter }, i32(0), numeric('i32.gt_s'), { op: 'br_if', depth: 0 },
      ],
    }];
  }

  /** Depths of the labels that a branch with such a value, or none, may go to. */
  private targets(value: NumType | null): number[] {
    const found: number[] = [];
    this.labels.forEach((label, i) => {
      const counts = label.loop && label.value !== null;
      if (label.value === value && !counts) found.push(this.labels.length - 1 - i);
    });
    return found;
  }

  private branch(depth: number): Instruction[] {
    const kind = this.below(10);
    if (kind === 0 && depth > 1) {
      const { result } = this.types[this.signatures[this.index]!]!;
      return [...this.value(result, depth + 1), { op: 'return' }];
    }
    const type = kind > 7 ? this.type() : null;
    const targets = this.targets(type);
    if (targets.length === 0) return this.simple(depth);
    const carried = type === null ? [] : this.value(type, depth + 1);
    if (kind === 1) return [{ op: 'br', depth: this.pick(targets) }, ...this.simple(depth)];
    if (kind < 4 || kind === 8) {
      const depths = Array.from({ length: 1 + this.below(4) }, () => this.pick(targets));
      return [...carried, ...this.value('i32', depth + 1), i32(3), numeric('i32.and'),
        { op: 'br_table', depths }];
    }
    const after: Instruction[] = type === null ? [] : [{ op: 'drop' }];
    return [...carried, ...this.value('i32', depth + 1),
      { op: 'br_if', depth: this.pick(targets) }, ...after];
  }

  /** A number within a mask. */
  private masked(mask: number, depth: number): Instruction[] {
    return [...this.value('i32', depth + 1), i32(mask), numeric('i32.and')];
  }

  private simple(depth: number): Instruction[] {
    const type = this.type();
    switch (this.below(13)) {
      case 0: {
        const it = this.pick(STORES);
        return [...this.masked(0xfff0, depth), ...this.shown(it.type, depth + 1),
          { op: 'store', it, offset: this.below(9) }];
      }
      case 1: return [...this.masked(0xfff, depth), ...this.value('i32', depth + 1),
        ...this.masked(0x3ff, depth), { op: 'fill' }];
      case 2: return [...this.masked(0xfff, depth), ...this.masked(0xfff, depth),
        ...this.masked(0x3ff, depth), { op: 'copy' }];
      case 3: return [...this.masked(1, depth), { op: 'grow' }, { op: 'drop' }];
      case 4: return [...this.value(type, depth + 1), { op: 'drop' }];
      case 5:
        if (this.below(40) === 0 && depth > 2) return [{ op: 'unreachable' }];
        return [...this.value('i32', depth + 1), { op: 'hostcall' }, { op: 'drop' }];
      case 6: return [...this.value(type, depth + 1),
        { op: 'global_set', index: GLOBALS.indexOf(type) }];
      default: return [...this.value(type, depth + 1), { op: 'set', index: this.local(type) }];
    }
  }

  /** A value whose bits may be looked at: no NaN, since the bits of those differ. */
  private shown(type: NumType, depth: number): Instruction[] {
    const value = this.value(type, depth);
    if (type !== 'f32' && type !== 'f64') return value;
    const index = this.local(type);
    return [...value, { op: 'tee', index }, { op: 'const', type, value: 1 },
      { op: 'get', index }, { op: 'get', index }, numeric(`${type}.eq`), { op: 'select' }];
  }

  /** Instructions that leave one value of the type. */
  private value(type: NumType, depth: number): Instruction[] {
    if (depth > 5) return this.leaf(type);
    switch (this.below(12)) {
      case 0: case 1: case 2: case 3: return this.computed(type, depth);
      case 4: {
        const it = this.pick(LOADS.filter((load) => load.type === type));
        return [...this.masked(0xfff0, depth), { op: 'load', it, offset: this.below(9) }];
      }
      case 5: {
        const condition = this.value('i32', depth + 1);
        return this.within({ value: type, loop: false }, () => [...condition, {
          op: 'if', result: type,
          body: [...this.someStatements(depth), ...this.value(type, depth + 1)],
          otherwise: this.value(type, depth + 1),
        }]);
      }
      case 6:
        return this.within({ value: type, loop: false }, () => [{
          op: 'block', result: type,
          body: [...this.someStatements(depth), ...this.value(type, depth + 1),
            ...this.value('i32', depth + 1), { op: 'br_if', depth: 0 }],
        }]);
      case 7: case 8: return this.callValue(type, depth);
      case 9: return [...this.leaf(type), ...this.leaf(type), ...this.leaf('i32'),
        { op: 'select' }];
      case 10: return [...this.value(type, depth + 1), { op: 'tee', index: this.local(type) }];
      default: return this.leaf(type);
    }
  }

  /** Most of those that may trap get operands with which they do not. */
  private computed(type: NumType, depth: number): Instruction[] {
    const it = this.pick(GIVING[type]);
    const [first, second] = it.takes;
    const reckless = this.below(25) === 0;
    if (it.traps && !reckless && second === undefined) {
      // A truncation: of a number that fits.
      return [...this.masked(0x7fff, depth), numeric(`${first!}.convert_i32_s`),
        { op: 'numeric', it }];
    }
    const operand = (of: NumType): Instruction[] => (LOOKS_AT_BITS.test(it.name)
      ? this.shown(of, depth + 1) : this.value(of, depth + 1));
    const left = operand(first!);
    if (second === undefined) return [...left, { op: 'numeric', it }];
    const right = operand(second);
    if (it.traps && !reckless) {
      // A division: by 1 to 16.
      right.push({ op: 'const', type, value: 15 }, numeric(`${type}.and`),
        { op: 'const', type, value: 1 }, numeric(`${type}.add`));
    }
    return [...left, ...right, { op: 'numeric', it }];
  }

  private someStatements(depth: number): Instruction[] {
    return this.below(2) === 0 ? [] : this.statement(depth + 1);
  }

  /** Only functions behind this one are called, so that every recursion ends. */
  private callValue(type: NumType, depth: number): Instruction[] {
    const behind: number[] = [];
    for (let i = this.index + 1; i < this.functions; i++) {
      if (this.types[this.signatures[i]!]!.result === type) behind.push(i);
    }
    if (behind.length === 0) {
      return type === 'i32' ? [...this.leaf('i32'), { op: 'hostcall' }] : this.leaf(type);
    }
    const index = this.pick(behind);
    const signature = this.signatures[index]!;
    const values = this.types[signature]!.params.flatMap((param, i) =>
      (i === 0 ? this.value(param, depth + 1) : this.leaf(param)));
    if (this.below(3) === 0) {
      return [...values, ...this.tableIndex(index, depth),
        { op: 'call_indirect', type: signature }];
    }
    const own = this.types[this.signatures[this.index]!]!.result;
    if (own === type && this.below(8) === 0) return [...values, { op: 'return_call', index }];
    return [...values, { op: 'call', index }];
  }

  /**
   * That of a function, or one that the program computes, of functions behind this one: it may be
   * of another type; once in a while it is that of nothing.
   */
  private tableIndex(index: number, depth: number): Instruction[] {
    const kind = this.below(40);
    if (kind === 0) return [i32(this.functions + this.below(2))];
    if (kind > 3) return [i32(index)];
    const left = this.functions - this.index - 1;
    return [...this.value('i32', depth + 1), i32(left), numeric('i32.rem_u'),
      i32(this.index + 1), numeric('i32.add')];
  }

  private leaf(type: NumType): Instruction[] {
    const choice = this.below(8);
    if (choice < 3) return [{ op: 'get', index: this.local(type) }];
    if (choice === 3) return [{ op: 'global_get', index: GLOBALS.indexOf(type) }];
    if (choice === 4 && type === 'i32') return [{ op: 'size' }];
    const wide = choice === 5;
    if (type === 'i32') return [i32(wide ? this.below(2 ** 32) - 2 ** 31 : this.below(10))];
    if (type === 'i64') {
      return [{ op: 'const', type, value: wide ? this.below(2 ** 53) - 2 ** 52 : this.below(10) }];
    }
    const value = wide ? (this.next() - 0.5) * 2 ** this.below(120) : this.below(20) / 4 - 2;
    return [{ op: 'const', type, value: type === 'f32' ? Math.fround(value) : value }];
  }
}

export function generate(next: Random): Program {
  return new Generator(next).program();
}
