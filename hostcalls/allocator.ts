/**
 * The guest's own `malloc`, as `hostcall_init_mm` registered it, and the blocks that the host takes
 * from it. A hostile one is the normal case: what it returns is checked, it may not wait or be
 * entered again, and each call of it may grow, and so move, the memory.
 */

import { WardianError } from '../contract/errors.ts';
import { DISPATCHER_NAME, RESERVED_PREFIX } from '../contract/reserved.ts';
import type { InstanceParts } from './host.ts';
import { guestFrames } from './trap.ts';
import { BadArgument } from './memory.ts';
import type { GuestState } from './guest.ts';

type Malloc = (size: number) => unknown;

/** The dispatcher itself trapped, called by the host and not by the guest. */
function isMisfit(error: WebAssembly.RuntimeError): boolean {
  const [innermost, caller] = guestFrames(error);
  return innermost?.startsWith(`${DISPATCHER_NAME}@`) === true
    && (caller === undefined || caller.startsWith(RESERVED_PREFIX));
}

export class Allocator {
  readonly #guest: GuestState;
  #table: WebAssembly.Table | null = null;
  #call: InstanceParts['call'] = null;
  #listedEntries = 0;
  #mallocIndex = -1;
  #malloc: Malloc | null = null;
  /** True while the guest's malloc runs. */
  busy = false;

  constructor(guest: GuestState) {
    this.#guest = guest;
  }

  /** `parts` is null when the guest has been closed. */
  attach(parts: Pick<InstanceParts, 'table' | 'call' | 'listedEntries'> | null): void {
    this.#table = parts === null ? null : parts.table;
    this.#call = parts === null ? null : parts.call;
    this.#listedEntries = parts === null ? 0 : parts.listedEntries;
    this.#malloc = null;
  }

  /**
   * Remembers the allocator. Its functions are looked up when first needed: that costs a
   * microsecond each, and a module without a table may never need one.
   */
  register(malloc: number, free: number): void {
    let entries = this.#table === null ? Infinity : this.#table.length;
    if (this.#listedEntries > 0) entries = this.#listedEntries;
    for (const [argument, index] of [['malloc', malloc], ['free', free]] as const) {
      if (index >>> 0 < entries) continue;
      throw new BadArgument(argument,
        `table index ${index >>> 0} is outside of the table of ${entries} entries`);
    }
    this.#mallocIndex = malloc >>> 0;
    this.#malloc = null;
  }

  #function(): Malloc {
    if (this.#malloc !== null) return this.#malloc;
    if (this.#mallocIndex < 0) {
      throw new WardianError('missing_allocator',
        'has data to return, but the guest has not called hostcall_init_mm');
    }
    if (this.#listedEntries > 0) return this.#malloc = this.#listed();
    if (this.#table === null) throw new BadArgument('malloc', 'the module has no function table');
    if (this.#mallocIndex >= this.#table.length) {
      throw new BadArgument('malloc', `table index ${this.#mallocIndex} is outside of the table`);
    }
    const entry = this.#table.get(this.#mallocIndex);
    if (typeof entry !== 'function') {
      throw new BadArgument('malloc', `table entry ${this.#mallocIndex} is null`);
    }
    if (entry.length !== 1) {
      throw this.#wrongType(`it takes ${entry.length} parameters`);
    }
    return this.#malloc = entry as Malloc;
  }

  /**
   * The table was made a list: its entries are called by index, which traps for one that does not
   * fit.
   */
  #listed(): Malloc {
    const call = this.#call;
    const index = this.#mallocIndex;
    if (call === null) throw this.#wrongType('it is null or of another type');
    return (size) => {
      try {
        return call(size, index);
      } catch (error) {
        if (!(error instanceof WebAssembly.RuntimeError) || !isMisfit(error)) throw error;
        throw this.#wrongType('it is null or of another type');
      }
    };
  }

  /**
   * A block of `size` bytes in the guest's memory. Views of the memory taken before are stale
   * afterwards.
   */
  allocate(size: number): number {
    const guest = this.#guest;
    if (this.busy) {
      throw new BadArgument('malloc', 'called a hostcall that needs malloc itself');
    }
    const malloc = this.#function();
    const { current } = guest;
    const { fuelPerByte } = guest.meter;
    this.busy = true;
    let block: unknown;
    try {
      block = malloc(size);
    } catch (error) {
      if (error instanceof TypeError) throw this.#wrongType('its parameter is not an i32');
      throw error;
    } finally {
      this.busy = false;
      guest.current = current;
      guest.meter.fuelPerByte = fuelPerByte;
    }
    if (typeof block !== 'number' || (block | 0) !== block) {
      throw this.#wrongType('its result is not an i32');
    }
    if (block === 0) throw new BadArgument('malloc', `returned 0 for ${size} bytes`);
    if (!guest.memory.holds(block, size)) {
      throw new BadArgument('malloc', `returned ${block >>> 0} for ${size} bytes, which is `
        + `outside of the guest's memory of ${guest.memory.sizeBytes} bytes`);
    }
    return block;
  }

  #wrongType(problem: string): BadArgument {
    return new BadArgument('malloc',
      `table entry ${this.#mallocIndex} is not a function (i32) -> i32: ${problem}`);
  }
}
