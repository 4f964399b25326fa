/**
 * What the scan of one function body leaves for the writer: the regions with their costs, and the
 * places where something is inserted or replaced. Kept in arrays that are reused from function to
 * function.
 */

/**
 * Charge a region; checked at the entry and at loop headers, where every unbounded path passes, and
 * where a call may have been since the last check (`E_CHECK`): a stack of calls that return must
 * not run up more than one function's worth of unpaid code.
 */
export const E_ENTRY = 0;
export const E_LOOP = 1;
export const E_CHARGE = 2;
export const E_CHECK = 3;
/** The fuel must be in the global here: a call, a throw, a return. */
export const E_FLUSH = 4;
/** The fuel in the global may have changed: after a call, at the top of a handler. */
export const E_RELOAD = 5;
/** A bulk instruction follows, its length is on the stack: charge bytes, or table entries. */
export const E_BYTES = 6;
export const E_ENTRIES = 7;
/** Replaced by `opcode index`, the argument being `opcode + 256 * index`. First that replaces. */
export const E_INDEX = 8;
export const E_MEMORY_SIZE = 9;
export const E_MEMORY_GROW = 10;
/** A `call_indirect` through table 0, the argument being `2 * type + (tail call ? 1 : 0)`. */
export const E_CALL_INDIRECT = 11;

const SPILL = 2 ** 30;

export class Events {
  count = 0;
  kind = new Uint8Array(1024);
  from = new Int32Array(1024);
  to = new Int32Array(1024);
  argument = new Int32Array(1024);

  push(kind: number, from: number, to: number, argument: number): void {
    const at = this.count++;
    if (at === this.kind.length) this.grow();
    this.kind[at] = kind;
    this.from[at] = from;
    this.to[at] = to;
    this.argument[at] = argument;
  }

  private grow(): void {
    const size = this.kind.length * 2;
    this.kind = resized(this.kind, new Uint8Array(size));
    this.from = resized(this.from, new Int32Array(size));
    this.to = resized(this.to, new Int32Array(size));
    this.argument = resized(this.argument, new Int32Array(size));
  }
}

/**
 * A region is the code that runs exactly as often as its first instruction, short of a trap or an
 * exception. It is paid for at its start, in one sum.
 */
export class Regions {
  count = 0;
  /**
   * The units, in two parts: this, below `SPILL`, and how often that was passed. 64-bit floats
   * would hold them at once, but make garbage of every sum in code that is not hot yet.
   */
  private low = new Int32Array(256);
  private spills = new Int32Array(256);
  depth = new Uint16Array(256);
  calls = new Int32Array(256);
  /** Ends in `unreachable`: a panic, which weighs nothing when the scheme is chosen. */
  cold = new Uint8Array(256);

  open(depth: number): number {
    const at = this.count++;
    if (at === this.low.length) this.grow();
    this.low[at] = 0;
    this.spills[at] = 0;
    this.depth[at] = depth;
    this.calls[at] = 0;
    this.cold[at] = 0;
    return at;
  }

  /** Adds `units`, a whole number from 0 to `SPILL`. */
  pay(region: number, units: number): void {
    const sum = this.low[region]! + units;
    if (sum < SPILL) {
      this.low[region] = sum;
    } else {
      this.low[region] = sum - SPILL;
      this.spills[region]!++;
    }
  }

  total(region: number): number {
    return this.spills[region] === 0 ? this.low[region]!
      : this.spills[region]! * SPILL + this.low[region]!;
  }

  /** Whether the region costs anything. */
  charges(region: number): boolean {
    return this.low[region]! > 0 || this.spills[region]! > 0;
  }

  private grow(): void {
    const size = this.low.length * 2;
    this.low = resized(this.low, new Int32Array(size));
    this.spills = resized(this.spills, new Int32Array(size));
    this.depth = resized(this.depth, new Uint16Array(size));
    this.calls = resized(this.calls, new Int32Array(size));
    this.cold = resized(this.cold, new Uint8Array(size));
  }
}

function resized<T extends Uint8Array | Uint16Array | Int32Array>(old: T, grown: T): T {
  grown.set(old);
  return grown;
}
