/**
 * Guest memories, used again. Making a `WebAssembly.Memory` reserves address space and is what
 * makes an instance slow; zeroing one that exists is not.
 *
 *   fresh ──┐
 *           ├─acquire─▶ leased ──release──▶ dirty ──(zeroed after the reply left)──▶ kept
 *   kept ───┘             └──drop (trapped, killed)──▶ gone            └─(no room)──▶ gone
 *
 * Replies that wait for others to leave with are sent first where zeroing takes longer than
 * sending them.
 *
 * A kept memory is all zeros from its first to its last physical byte. It may be larger than the
 * guest declared: the guest's view of the size is virtual.
 */

import {
  DROPPED_MEMORY_BYTES_MAX, KIB, RECYCLED_MEMORY_BYTES_MAX, WASM_PAGE_BYTES,
} from '../contract/limits.ts';
import { WardianError } from '../contract/errors.ts';
import { HOST_MODULE, MEMORY_IMPORT } from '../contract/reserved.ts';
import { zeroing, type Zero } from './zeroing.ts';

export interface MemoryPoolOptions {
  /** The hostcalls; each memory gets an import object of its own, made once. */
  readonly imports: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly keptBytesMax: number;
  readonly liveMax: number;
  /** Told before much is zeroed: what must not wait for that leaves now. */
  readonly beforeZeroing?: () => void;
  /** Collects what was let go of: it has become much. */
  readonly collect?: () => void;
}

/** The memories of one declared size that wait for their next guest, hottest last. */
type Shelf = Lease[];

/** Sizes that are remembered; empty shelves beyond it go. */
const SHELVES_MAX = 1_024;

/**
 * More than this is much: cleaning it takes 6 to 12 µs, as long as both sides need for a message of
 * its own.
 */
const ZEROED_UNTOLD_BYTES_MAX = 512 * KIB;

/** What a memory counts at least when it is dropped: small ones take address space. */
const DROPPED_BYTES_MIN = 256 * KIB;

export class Lease {
  readonly memory: WebAssembly.Memory;
  /** What an instance with this memory is made with. */
  readonly imports: WebAssembly.Imports;
  /** Initial and maximum pages in one number. */
  readonly key: number;
  /** True from the second guest on. */
  recycled = false;
  /** Physical bytes when last looked at. */
  byteLength: number;
  #view: Buffer;
  #zero: Zero | null = null;

  constructor(memory: WebAssembly.Memory, imports: WebAssembly.Imports, key: number) {
    this.memory = memory;
    this.imports = imports;
    this.key = key;
    this.#view = Buffer.from(memory.buffer);
    this.byteLength = this.#view.length;
  }

  /** All of it, as it is before its next growth. */
  get bytes(): Buffer {
    this.measure();
    return this.#view;
  }

  /** Updates `byteLength`: growth detaches the view. */
  measure(): number {
    if (this.#view.length === 0) this.#view = Buffer.from(this.memory.buffer);
    this.byteLength = this.#view.length;
    return this.byteLength;
  }

  zero(): void {
    if (this.measure() === 0) return;
    this.#zero ??= zeroing(this.memory);
    this.#zero(this.byteLength);
  }
}

const MAXIMUM_FACTOR = 0x1_0001;

export class MemoryPool {
  readonly #options: MemoryPoolOptions;
  /** By declared sizes, least recently asked for first. */
  readonly #shelves = new Map<number, Shelf>();
  #dirty: Lease[] = [];
  #dirtyBytes = 0;
  /** Since the last collection that was asked for; V8 may have freed them by itself. */
  #droppedBytes = 0;
  #cleaning = false;
  #lastKey = -1;
  readonly #collected = new FinalizationRegistry<null>(() => { this.live -= 1; });
  /** Memories that exist, as far as the garbage collector has told. */
  live = 0;
  keptBytes = 0;
  keptCount = 0;
  recycledCount = 0;
  freshCount = 0;
  /** The import object of modules without memory. */
  readonly importsWithoutMemory: WebAssembly.Imports;

  constructor(options: MemoryPoolOptions) {
    this.#options = options;
    this.importsWithoutMemory = options.imports as WebAssembly.Imports;
  }

  /**
   * A memory of these declared sizes, zeroed. Throws WardianError `overloaded` when too many exist
   * already, RangeError when the system has no room for one.
   */
  acquire(initialPages: number, maximumPages: number, recycle: boolean): Lease {
    const key = initialPages * MAXIMUM_FACTOR + maximumPages;
    if (recycle) {
      const kept = this.#shelf(key).pop() ?? this.#cleanOne(key);
      if (kept !== undefined) {
        this.keptBytes -= kept.byteLength;
        this.keptCount -= 1;
        this.recycledCount += 1;
        kept.recycled = true;
        return kept;
      }
    }
    if (this.live >= this.#options.liveMax) this.#refuse();
    const memory = new WebAssembly.Memory({ initial: initialPages, maximum: maximumPages });
    this.live += 1;
    this.freshCount += 1;
    this.#collected.register(memory, null);
    const host = { ...this.#options.imports[HOST_MODULE], [MEMORY_IMPORT]: memory };
    const imports = { ...this.#options.imports, [HOST_MODULE]: host };
    return new Lease(memory, imports, key);
  }

  /**
   * A memory that no guest gets again: its own ended badly, or it is too large to clean. V8 frees
   * it when it collects, which it does when its heap is full and not when the machine is.
   */
  drop(lease: Lease): void {
    this.#dropped(lease.measure());
  }

  #dropped(bytes: number): void {
    this.#droppedBytes += Math.max(bytes, DROPPED_BYTES_MIN);
    if (this.#droppedBytes <= DROPPED_MEMORY_BYTES_MAX) return;
    this.#droppedBytes = 0;
    this.#options.collect?.();
  }

  /** Takes a memory back whose guest ended well. `clean` zeroes it, or the loop's next turn. */
  release(lease: Lease): void {
    if (lease.measure() > RECYCLED_MEMORY_BYTES_MAX) return this.drop(lease);
    this.#dirty.push(lease);
    this.#dirtyBytes += lease.byteLength;
    if (this.#cleaning) return;
    this.#cleaning = true;
    setImmediate(this.#cleanLater);
  }

  /** Zeroes what was given back. The sooner, the more of it the processor's cache still holds. */
  clean(): void {
    if (this.#dirty.length === 0) return;
    if (this.#dirtyBytes > ZEROED_UNTOLD_BYTES_MAX) this.#options.beforeZeroing?.();
    const dirty = this.#dirty;
    this.#dirty = [];
    this.#dirtyBytes = 0;
    for (const lease of dirty) this.#keep(lease);
  }

  readonly #cleanLater = (): void => {
    this.#cleaning = false;
    this.clean();
  };

  /**
   * A burst may ask for more memories than there are clean ones: zeroing one takes a fraction of
   * the time that a new one would.
   */
  #cleanOne(key: number): Lease | undefined {
    const index = this.#dirty.findLastIndex((lease) => lease.key === key);
    if (index < 0) return undefined;
    const [lease] = this.#dirty.splice(index, 1);
    if (lease === undefined) return undefined;
    this.#dirtyBytes -= lease.byteLength;
    if (lease.byteLength > ZEROED_UNTOLD_BYTES_MAX) this.#options.beforeZeroing?.();
    lease.zero();
    this.keptBytes += lease.byteLength;
    this.keptCount += 1;
    return lease;
  }

  #keep(lease: Lease): void {
    const { byteLength } = lease;
    if (byteLength > this.#options.keptBytesMax) return this.#dropped(byteLength);
    this.#makeRoom(this.#options.keptBytesMax - byteLength);
    lease.zero();
    this.#shelf(lease.key).push(lease);
    this.keptBytes += byteLength;
    this.keptCount += 1;
  }

  /** Lets go of what is kept in other sizes, for the collector. */
  #refuse(): never {
    this.#makeRoom(0);
    throw new WardianError('overloaded', `${this.live} memories exist, the most that may`);
  }

  /** Lets go of kept memories, those of the sizes asked for longest ago first. */
  #makeRoom(bytesMax: number): void {
    if (this.keptBytes <= bytesMax) return;
    for (const [key, shelf] of this.#shelves) {
      while (this.keptBytes > bytesMax) {
        const lease = shelf.pop();
        if (lease === undefined) break;
        this.keptBytes -= lease.byteLength;
        this.keptCount -= 1;
        this.#dropped(lease.byteLength);
      }
      if (this.keptBytes <= bytesMax) return;
      this.#shelves.delete(key);
    }
  }

  /** The shelf of a size, which becomes the one asked for last. */
  #shelf(key: number): Shelf {
    let shelf = this.#shelves.get(key);
    if (shelf !== undefined && key === this.#lastKey) return shelf;
    this.#lastKey = key;
    if (shelf === undefined) {
      if (this.#shelves.size >= SHELVES_MAX) this.#dropEmptyShelves();
      shelf = [];
    } else {
      this.#shelves.delete(key);
    }
    this.#shelves.set(key, shelf);
    return shelf;
  }

  #dropEmptyShelves(): void {
    for (const [key, shelf] of this.#shelves) if (shelf.length === 0) this.#shelves.delete(key);
  }
}

/** Pages that fit into so many bytes. */
export function pagesOf(bytes: number): number {
  return Math.max(Math.floor(bytes / WASM_PAGE_BYTES), 0);
}
