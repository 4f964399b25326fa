/**
 * Compiled modules of a worker, kept by the hash of their bytes and bounded by what they are
 * reckoned to take of memory. V8 has one copy of what several threads hold, so each of those
 * threads counts its part of it; what only one holds it counts whole. The bound is one for all
 * threads: one that has more than an even share gives way once they have too much together, at the
 * latest when it looks again, every 200 ms unless a guest holds it; until then they have less than
 * twice what they may.
 *
 *   compile ──▶ kept, youngest ──used──▶ youngest
 *                   └──oldest, and too much is counted──▶ dropped, with its versions
 */

import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { WardianError } from '../contract/errors.ts';
import { KIB } from '../contract/limits.ts';
import type { ModuleHolders } from './module-holders.ts';

export interface CompiledModule {
  readonly hash: string;
  readonly module: WebAssembly.Module;
  readonly byteLength: number;
  /** Where `ModuleHolders` counts who holds it. */
  readonly place: number;
  /** The versions that are served with it: they go when it goes. */
  readonly versions: Set<number>;
  /** What it counts here; 0 once it is gone. */
  countedBytes: number;
}

/**
 * What a module takes per byte of its code: the bytes themselves, compiled code of one or two
 * tiers, metadata. Measured by `test/bench/resident.ts`: 2 to 7, the more of the code runs.
 */
const BYTES_PER_CODE_BYTE = 7;
/** What each thread has of its own. */
const BYTES_PER_MODULE = 96 * KIB;
/** Whatever the bound on bytes allows. */
const MODULES_MAX = 65_536;
/** How often is looked at what other threads hold by now. */
const RECOUNT_MS = 200;
/** Larger ones are compiled off the thread, so that other guests go on meanwhile. */
const COMPILED_AT_ONCE_BYTES_MAX = 64 * KIB;

/** What each of so many threads counts for a module of so many bytes that they hold. */
function partOf(byteLength: number, holders: number): number {
  return BYTES_PER_MODULE + Math.ceil(byteLength * BYTES_PER_CODE_BYTE / holders);
}

export class CompiledModules {
  readonly #shareBytes: number;
  readonly #bytesMax: number;
  readonly #holders: ModuleHolders;
  readonly #modules: LRUCache<string, CompiledModule>;
  #bytes = 0;
  #recountAt = 0;
  #recounted = 0;
  evictions = 0;

  /** All of `threads` may count `bytesMax` together. `onDropped` is told of each that goes. */
  constructor(
    bytesMax: number, threads: number, holders: ModuleHolders,
    onDropped: (compiled: CompiledModule) => void,
  ) {
    this.#bytesMax = bytesMax;
    this.#shareBytes = bytesMax / threads;
    this.#holders = holders;
    this.#modules = new LRUCache({
      max: Math.min(Math.ceil(bytesMax / BYTES_PER_MODULE) + 1, MODULES_MAX),
      dispose: (compiled, _hash, reason) => {
        holders.remove(compiled.place);
        this.#reckon(compiled, 0);
        if (reason === 'evict') this.evictions += 1;
        onDropped(compiled);
      },
    });
  }

  /** What they count; a single one that is larger than all that is allowed counts as that. */
  get bytes(): number {
    return Math.min(this.#bytes, this.#bytesMax);
  }

  get count(): number {
    return this.#modules.size;
  }

  /** It is the youngest then. */
  get(hash: string): CompiledModule | undefined {
    return this.#modules.get(hash);
  }

  /**
   * Compiles and keeps. Rejects with WardianError `module_unavailable` when the bytes are not those
   * of the hash, with CompileError when they are no module.
   */
  async compile(hash: string, bytes: Uint8Array<ArrayBuffer>): Promise<CompiledModule> {
    if (createHash('sha256').update(bytes).digest('hex') !== hash) {
      throw new WardianError('module_unavailable', 'the stored module does not match its hash');
    }
    const { byteLength } = bytes;
    const module = byteLength <= COMPILED_AT_ONCE_BYTES_MAX
      ? new WebAssembly.Module(bytes) : await WebAssembly.compile(bytes);
    const place = this.#holders.placeOf(hash);
    const versions = new Set<number>();
    const compiled = { hash, module, byteLength, place, versions, countedBytes: 0 };
    this.#holders.add(place);
    this.#modules.set(hash, compiled);
    this.#count(compiled);
    this.#shrink();
    return compiled;
  }

  /**
   * To be called now and then, with `performance.now()`: what other threads have let go of counts
   * more here, and what they have taken less.
   */
  recount(now: number): void {
    if (now < this.#recountAt) return;
    this.#recountAt = now + RECOUNT_MS;
    const { changes } = this.#holders;
    if (changes === this.#recounted) return;
    this.#recounted = changes;
    for (const compiled of this.#modules.values()) this.#count(compiled);
    this.#shrink();
  }

  clear(): void {
    this.#modules.clear();
  }

  #count(compiled: CompiledModule): void {
    const holders = this.#holders.count(compiled.place);
    this.#reckon(compiled, partOf(compiled.byteLength, holders));
  }

  #reckon(compiled: CompiledModule, bytes: number): void {
    this.#bytes += bytes - compiled.countedBytes;
    compiled.countedBytes = bytes;
    this.#holders.publish(this.#bytes);
  }

  /** The youngest stays, however large: it must not empty the cache and still not be there. */
  #shrink(): void {
    while (this.#modules.size > 1 && this.#bytes > this.#shareBytes
      && this.#holders.publishedBytes > this.#bytesMax) {
      this.#modules.pop();
    }
  }
}
