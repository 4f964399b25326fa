/**
 * Lines of guests' sources for failure reports. Asked once for each failure that is new, answered
 * by a builder child from the module as it was deployed; nothing of it is on the way of a request.
 * A luxury: it waits for a moment without builds, and there are no lines for whom that takes too
 * long or who asks for too many.
 */

import { LRUCache } from 'lru-cache';

import type { SourceLine } from '../../contract/build.ts';
import type { Version } from '../../contract/deployment.ts';
import { WardianError } from '../../contract/errors.ts';
import {
  LOCATE_PATIENCE_MS, SOURCE_LINE_QUESTIONS_MAX, SOURCE_LINE_QUESTIONS_PER_APP_MAX,
} from '../../contract/limits.ts';
import type { Store } from '../store/store.ts';
import type { Builders } from './builders.ts';
import { memoryOfKey } from './rewrite-key.ts';

export interface SourceLinesParts {
  readonly store: Pick<Store, 'readModule' | 'readArtifactKey' | 'getVersion'>;
  readonly builders: Pick<Builders, 'run' | 'load'>;
  /** A fault of ours. */
  readonly onFault: (error: unknown) => void;
}

type Lines = readonly (SourceLine | null)[];

const LOOK_MS = 250;
const HOPELESS_MAX = 1_000;

export class SourceLines {
  readonly #parts: SourceLinesParts;
  /** Artifacts that came to nothing once: they are not tried again. */
  readonly #hopeless = new LRUCache<string, true>({ max: HOPELESS_MAX });
  /** Questions that wait, by app. */
  readonly #waiting = new Map<number, number>();
  #last: Promise<unknown> = Promise.resolve();
  #count = 0;

  constructor(parts: SourceLinesParts) {
    this.#parts = parts;
  }

  /**
   * One for each of `offsets` in the module that the version runs; null when there are none to be
   * had. Never rejects.
   */
  find(versionId: number, offsets: readonly number[]): Promise<Lines | null> {
    const version = this.#parts.store.getVersion(versionId);
    if (version === null || offsets.length === 0) return Promise.resolve(null);
    const { appId } = version;
    const own = this.#waiting.get(appId) ?? 0;
    const isFull = this.#count >= SOURCE_LINE_QUESTIONS_MAX
      || own >= SOURCE_LINE_QUESTIONS_PER_APP_MAX;
    if (isFull || this.#hopeless.has(version.artifactHash)) return Promise.resolve(null);
    this.#waiting.set(appId, own + 1);
    this.#count += 1;
    const found = this.#last.then(() => this.#find(version, offsets)).catch((error: unknown) => {
      // Refusals are what hostile debug information comes to: no time, no memory, a crash.
      if (error instanceof WardianError) this.#hopeless.set(version.artifactHash, true);
      else this.#parts.onFault(error);
      return null;
    }).finally(() => this.#done(appId));
    this.#last = found;
    return found;
  }

  #done(appId: number): void {
    this.#count -= 1;
    const left = (this.#waiting.get(appId) ?? 0) - 1;
    if (left > 0) this.#waiting.set(appId, left);
    else this.#waiting.delete(appId);
  }

  async #find(version: Version, offsets: readonly number[]): Promise<Lines | null> {
    const { store, builders } = this.#parts;
    const rewriteKey = store.readArtifactKey(version.artifactHash);
    const memoryBytesMax = rewriteKey === null ? null : memoryOfKey(rewriteKey);
    const bytes = store.readModule(version.moduleHash);
    if (memoryBytesMax === null || bytes === null || !mayCarryLines(bytes)) return null;
    if (!await this.#idle()) return null;
    const { lines } = await builders.run({
      kind: 'locate', files: [{ path: 'module.wasm', bytes }], rewrite: { memoryBytesMax },
      artifactHash: version.artifactHash, offsets,
    }, { onStage: () => {} });
    return lines;
  }

  /** Waits for a moment without builds; false when none comes. One at a time asks. */
  async #idle(): Promise<boolean> {
    const giveUpAt = performance.now() + LOCATE_PATIENCE_MS;
    for (;;) {
      const { running, queued } = this.#parts.builders.load;
      if (running === 0 && queued === 0) return true;
      if (performance.now() > giveUpAt) return false;
      await new Promise((done) => { setTimeout(done, LOOK_MS).unref(); });
    }
  }
}

const NAMES = ['.debug_line', 'sourceMappingURL'].map((name) => Buffer.from(name));

/** False for most modules, which then cost no child. */
function mayCarryLines(module: Uint8Array): boolean {
  const bytes = Buffer.from(module.buffer, module.byteOffset, module.byteLength);
  return NAMES.some((name) => bytes.includes(name));
}
