/**
 * The open blocks of one function body, with what is needed to tell which code runs exactly as
 * often as other code.
 *
 * Code behind the end of a block runs as often as the block's start when every path from the start
 * reaches the end: when no branch from inside leaves for a label outside. So each frame keeps the
 * outermost label that a branch inside it goes to (`outermost`), and hands that to its parent when
 * it ends: constant work for a branch, however deep.
 */
import { NESTING_MAX } from '../../contract/limits.ts';
import type { Reader } from './reader.ts';
import type { Regions } from './events.ts';

export const F_FUNCTION = 0;
export const F_BLOCK = 1;
export const F_LOOP = 2;
export const F_IF = 3;
export const F_ELSE = 4;
export const F_TRY = 5;
export const F_CATCH = 6;
export const F_TRY_TABLE = 7;

/** By opcode. */
export const FRAME_OF: Readonly<Record<number, number>> = {
  0x02: F_BLOCK, 0x03: F_LOOP, 0x04: F_IF, 0x06: F_TRY,
};

export const DEAD = -1;

const SIZE = NESTING_MAX + 2;

export class Frames {
  top = 0;
  readonly kind = new Uint8Array(SIZE);
  /** The region in which the block began, `DEAD` when it cannot be reached. */
  readonly region = new Int32Array(SIZE);
  /** A branch goes to the end of this block. */
  readonly targeted = new Uint8Array(SIZE);
  /** An earlier arm (then, try, catch) reaches the end. */
  readonly armLive = new Uint8Array(SIZE);
  readonly outermost = new Int32Array(SIZE);
  /** How many values a branch to this label carries. */
  readonly arity = new Int32Array(SIZE);
  /** How many loops are around. */
  readonly loops = new Uint16Array(SIZE);
  /** How many `try`s are around whose handlers may catch what is thrown now. */
  readonly tries = new Uint16Array(SIZE);
  /** A call may have been since the last check: at the block's start, and at a branch to it. */
  readonly calledBefore = new Uint8Array(SIZE);
  readonly calledAtBranch = new Uint8Array(SIZE);
  /** Where the block's code begins. */
  readonly from = new Int32Array(SIZE);

  reset(arity: number): void {
    this.top = -1;
    this.push(F_FUNCTION, 0, arity, 0, 0, 0);
  }

  push(
    kind: number, region: number, arity: number, loops: number, from: number, called: number,
  ): void {
    const at = ++this.top;
    const tries = at === 0 ? 0 : this.tries[at - 1]!;
    this.tries[at] = kind === F_TRY || kind === F_TRY_TABLE ? tries + 1 : tries;
    this.from[at] = from;
    this.calledBefore[at] = called;
    this.calledAtBranch[at] = 0;
    this.kind[at] = kind;
    this.region[at] = region;
    this.targeted[at] = 0;
    this.armLive[at] = 0;
    this.outermost[at] = at;
    this.arity[at] = arity;
    this.loops[at] = loops;
  }

  /** The frame that label `depth` names. */
  target(reader: Reader, depth: number): number {
    if (depth > this.top) reader.fail(`label ${depth} does not exist`);
    return this.top - depth;
  }

  /** A reachable branch from the innermost frame to frame `target`. */
  branch(target: number, called: number): void {
    this.targeted[target] = 1;
    this.calledAtBranch[target]! |= called;
    if (target < this.outermost[this.top]!) this.outermost[this.top] = target;
  }

  /**
   * Ends the innermost frame. Answers the region of the code behind it: `current` where the frame
   * was a mere bracket, the region before it where both run equally often, a new one (`opened`)
   * where paths of different number meet.
   */
  pop(current: number, regions: Regions): { region: number; opened: boolean } {
    const at = this.top--;
    const kind = this.kind[at]!;
    const before = this.region[at]!;
    const outermost = this.outermost[at]!;
    if (at > 0 && outermost < this.outermost[at - 1]!) this.outermost[at - 1] = outermost;
    if (before === DEAD) return { region: DEAD, opened: false };
    const merges = kind === F_IF || this.armLive[at] === 1
      || (kind !== F_LOOP && this.targeted[at] === 1);
    if (current === DEAD && !merges) return { region: DEAD, opened: false };
    if (outermost === at) return { region: before, opened: false };
    if (!merges) return { region: current, opened: false };
    return { region: regions.open(at === 0 ? 0 : this.loops[at - 1]!), opened: true };
  }
}
