/**
 * Lets a backup take the database's place while the daemon serves. Work that knows ids from before
 * and changes things by them is over first; requests that come meanwhile wait, and find the new
 * database; guests that run go on with the old one.
 *
 *   open ──▶ settling (new work waits) ──▶ holding (new requests wait too) ──▶ open
 *                └── work has no end: `conflict`, nothing is changed ──────────▶ open
 */

import { WardianError } from '../contract/errors.ts';
import {
  FAIR_SHARE_FACTOR, RESTORE_GUESTS_MS, RESTORE_HELD_MAX, RESTORE_WORK_MS,
} from '../contract/limits.ts';
import type { StoreEpoch } from '../contract/store-epoch.ts';

export interface ChangeoverParts {
  readonly epoch: Pick<StoreEpoch, 'value'>;
  /** Resolves when no guest is in flight. */
  readonly guestsGone: () => Promise<void>;
  /** Takes back what was sent and no guest has begun. */
  readonly recall: () => void;
  /** Whether one more request of the tenant would be taken now. Absent: it always is. */
  readonly hasRoom?: (tenantId: number) => boolean;
  /** An error of a request that was held. */
  readonly onFault: (error: unknown) => void;
}

type Held = Map<number, (() => void)[]>;

interface Work {
  readonly name: string;
  /** Ends it where that changes nothing: what it was to do has not begun, or only reads. */
  readonly cut: () => void;
}

const CUT_MS = 1_000;
/** Requests of one tenant that go on in one turn of the event loop. */
const SLICE = 64;
/** How often room is looked for, and for how long: whom there is none for then is refused. */
const RELEASE_LOOK_MS = 2;
const RELEASE_MS = 2_000;
const NOTHING = (): void => {};

/** True when it came in time. The timer keeps nothing alive. */
async function within(ms: number, awaited: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
    timer.unref();
  });
  try {
    return await Promise.race([awaited.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}

export class Changeover {
  readonly #parts: ChangeoverParts;
  readonly #working = new Set<Work>();
  /** Told when nobody works any more. */
  #settled: (() => void) | null = null;
  /** Work that waits until it is over. */
  #reopened: PromiseWithResolvers<void> | null = null;
  /** Requests that wait, by tenant, and how many they are. */
  #held: Held | null = null;
  #heldCount = 0;

  constructor(parts: ChangeoverParts) {
    this.#parts = parts;
  }

  /** Of the database whose ids routes have now. */
  get epoch(): number {
    return this.#parts.epoch.value;
  }

  /** True: a request waits now, see `hold`. */
  get holds(): boolean {
    return this.#held !== null;
  }

  /**
   * `again` is called when requests go on. Of the places one tenant leaves some to others, however
   * few. Throws WardianError `overloaded`, `tenant_overloaded`.
   */
  hold(tenantId: number, again: () => void): void {
    if (this.#held === null) return again();
    const left = RESTORE_HELD_MAX - this.#heldCount;
    if (left <= 0) throw new WardianError('overloaded', 'a backup is being restored');
    const own = this.#held.get(tenantId);
    if (own !== undefined && own.length >= FAIR_SHARE_FACTOR * left) {
      throw new WardianError('tenant_overloaded', 'a backup is being restored, '
        + `${own.length} requests of this tenant wait, and others need room`);
    }
    this.#heldCount += 1;
    if (own === undefined) this.#held.set(tenantId, [again]);
    else own.push(again);
  }

  /**
   * Work in several steps that know ids from the ones before: all of them see the same database.
   * `name` says in a refusal what was under way. It must not begin other work that is waited for.
   */
  async run<T>(name: string, work: () => Promise<T> | T): Promise<T> {
    const leave = await this.enter(name);
    try {
      return await work();
    } finally {
      leave();
    }
  }

  /** The same; the function that it resolves with says that the work is over. */
  async enter(name: string, cut: () => void = NOTHING): Promise<() => void> {
    while (this.#reopened !== null) await this.#reopened.promise;
    return this.begin(name, cut);
  }

  /** The same for work that other work has begun, and leaves behind: it does not wait. */
  begin(name: string, cut: () => void = NOTHING): () => void {
    const entry: Work = { name, cut };
    this.#working.add(entry);
    return () => {
      if (this.#working.delete(entry) && this.#working.size === 0) this.#settled?.();
    };
  }

  /**
   * One at a time. `exchange` puts the new database in place, and loads what is held of it. Throws
   * WardianError `conflict` when work goes on for longer than `waitMs`.
   */
  async change<T>(exchange: () => Promise<T>, waitMs = RESTORE_WORK_MS): Promise<T> {
    if (this.#reopened !== null) throw new WardianError('conflict', 'a backup is being restored');
    const reopened = Promise.withResolvers<void>();
    this.#reopened = reopened;
    try {
      await this.#settle(waitMs);
      this.#held = new Map();
      if (!await within(RESTORE_GUESTS_MS, this.#parts.guestsGone())) this.#parts.recall();
      return await exchange();
    } finally {
      const held: Held = this.#held ?? new Map();
      this.#held = null;
      this.#heldCount = 0;
      this.#reopened = null;
      reopened.resolve();
      this.#release(held, performance.now() + RELEASE_MS);
    }
  }

  async #settle(waitMs: number): Promise<void> {
    if (this.#working.size === 0) return;
    const settled = new Promise<void>((resolve) => { this.#settled = resolve; });
    let isSettled = await within(waitMs, settled);
    if (!isSettled) {
      for (const { cut } of this.#working) cut();
      isSettled = await within(CUT_MS, settled);
    }
    this.#settled = null;
    if (isSettled) return;
    const names = [...new Set([...this.#working].map(({ name }) => name))].slice(0, 3);
    throw new WardianError(
      'conflict', `ask again when this is over: ${names.join(', ')}; nothing was changed`);
  }

  /**
   * Each tenant's in the order they came, as there is room in its queue: all at once would be more
   * than it takes. The first ones go on now.
   */
  #release(held: Held, giveUpAt: number): void {
    let went = 0;
    const isLate = performance.now() >= giveUpAt;
    for (const [tenantId, waiting] of held) {
      const some = this.#goOn(tenantId, waiting, isLate);
      went += some;
      waiting.splice(0, some);
      if (waiting.length === 0) held.delete(tenantId);
    }
    if (held.size === 0) return;
    const next = (): void => this.#release(held, giveUpAt);
    if (went > 0) setImmediate(next);
    else setTimeout(next, RELEASE_LOOK_MS);
  }

  /** Answers how many went. */
  #goOn(tenantId: number, waiting: readonly (() => void)[], isLate: boolean): number {
    const { hasRoom, onFault } = this.#parts;
    let went = 0;
    for (const again of waiting) {
      if (went >= SLICE || !(isLate || hasRoom === undefined || hasRoom(tenantId))) break;
      went += 1;
      try {
        again();
      } catch (error) {
        onFault(error);
      }
    }
    return went;
  }
}
