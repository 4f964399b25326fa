/**
 * Modules whose stored bytes are not what their hash says. They are never served: the newest
 * earlier version that has served and is whole serves in their place, until a deploy of the same
 * module mends them. All that serve are checked at start, before the listeners open where that is
 * quick, and again when a worker could not load one.
 *
 *   whole ──check──▶ damaged (an earlier version serves) ──deploy of the same module──▶ whole
 */

import { Worker } from 'node:worker_threads';

import type { Route, Version } from '../contract/deployment.ts';
import { entryUrl } from '../contract/entry.ts';
import { WardianError } from '../contract/errors.ts';
import type { IntegrityReply, IntegrityTask } from './integrity-thread.ts';
import type { RouteChange, Store } from './store/store.ts';
import { answerOf } from './thread-answer.ts';

type IntegrityStore = Pick<
  Store, 'databasePath' | 'epoch' | 'getVersion' | 'listServedBefore' | 'routeOf'>;

export interface IntegrityParts {
  readonly store: IntegrityStore;
  /** Called for apps whose version must be replaced, with what the store says of them. */
  readonly onRoute: (change: RouteChange) => void;
  readonly onDamage: (error: WardianError) => void;
}

/** Checks of one app's versions that one damaged module may cause. */
const EARLIER_MAX = 100;
/** A version that cannot be loaded for another reason is not looked at again so soon. */
const SUSPECT_AGAIN_MS = 10_000;

function check(
  { databasePath, epoch }: Pick<Store, 'databasePath' | 'epoch'>, hashes: readonly string[] | null,
): Promise<IntegrityReply> {
  const workerData: IntegrityTask = { databasePath, epoch: epoch.memory, hashes };
  const worker = new Worker(
    entryUrl('./integrity-thread', import.meta.url), { workerData, name: 'wardian-integrity' });
  worker.unref();
  return answerOf<IntegrityReply>(worker, 'the check of modules');
}

export class Integrity {
  readonly #parts: IntegrityParts;
  readonly #damaged = new Set<string>();
  /** Apps that another version serves. */
  readonly #replaced = new Set<number>();
  readonly #suspectedAt = new Map<number, number>();

  constructor(parts: IntegrityParts) {
    this.#parts = parts;
  }

  isDamaged(artifactHash: string): boolean {
    return this.#damaged.has(artifactHash);
  }

  /** A backup has taken the database's place: its modules were checked before. */
  forget(): void {
    this.#damaged.clear();
    this.#replaced.clear();
    this.#suspectedAt.clear();
  }

  /** Its bytes were written anew: whoever was served otherwise gets it back. */
  mended(artifactHash: string): void {
    if (!this.#damaged.delete(artifactHash)) return;
    const appIds = [...this.#replaced];
    this.#replaced.clear();
    for (const appId of appIds) this.#parts.onRoute(this.#parts.store.routeOf(appId));
  }

  /**
   * Looks at everything that serves, and at the tables that are too large to be looked at before
   * the start. Resolves once the routes of what is damaged are replaced.
   */
  async checkAll(apps: () => Iterable<{ readonly appId: number }>): Promise<void> {
    const { epoch } = this.#parts.store;
    const checked = epoch.value;
    const { damaged, findings } = await check(this.#parts.store, null);
    // What a backup has replaced meanwhile is nobody's any more.
    if (epoch.value !== checked) return;
    for (const finding of findings) {
      this.#parts.onDamage(new WardianError('store_unusable', finding));
    }
    if (damaged.length > 0) await this.#replace(damaged, [...apps()].map(({ appId }) => appId));
  }

  /** A worker could not load the version. */
  async suspect(route: Route, nowMs = Date.now()): Promise<void> {
    const version = this.#parts.store.getVersion(route.versionId);
    if (version === null || this.#damaged.has(version.artifactHash)) return;
    const before = this.#suspectedAt.get(version.id);
    if (before !== undefined && nowMs - before < SUSPECT_AGAIN_MS) return;
    if (this.#suspectedAt.size > 1_000) this.#suspectedAt.clear();
    this.#suspectedAt.set(version.id, nowMs);
    const { epoch } = this.#parts.store;
    const checked = epoch.value;
    const { damaged } = await check(this.#parts.store, [version.artifactHash]);
    if (damaged.length > 0 && epoch.value === checked) await this.#replace(damaged, [route.appId]);
  }

  /** What the router is to hold: the store's word, with whole versions in place of damaged ones. */
  apply(change: RouteChange): RouteChange {
    const { route } = change;
    if (route === null || this.#damaged.size === 0) return change;
    const { split, ...alone } = route;
    const shares = split?.filter(({ versionId }) => this.#isWhole(versionId)) ?? [];
    if (split !== undefined && shares.length === split.length) return change;
    if (split === undefined && this.#isWhole(route.versionId)) return change;
    this.#replaced.add(route.appId);
    // Shares no longer add up to 100: what the damaged ones had goes to the active version.
    if (this.#isWhole(route.versionId)) return { ...change, route: alone };
    const earlier = this.#earlier(route).find(({ artifactHash }) => !this.isDamaged(artifactHash));
    if (earlier === undefined) return change;
    return {
      ...change, route: { ...alone, versionId: earlier.id, versionNumber: earlier.number },
    };
  }

  #isWhole(versionId: number): boolean {
    const version = this.#parts.store.getVersion(versionId);
    return version === null || !this.#damaged.has(version.artifactHash);
  }

  /** The app's versions that served before the one of the route, the newest first. */
  #earlier({ appId, versionNumber }: Route): readonly Version[] {
    return this.#parts.store.listServedBefore(appId, versionNumber, EARLIER_MAX);
  }

  /** Ends early when a backup takes the database's place: ids and routes are other ones then. */
  async #replace(damaged: readonly string[], appIds: readonly number[]): Promise<void> {
    const { epoch } = this.#parts.store;
    const begunIn = epoch.value;
    for (const hash of damaged) this.#damaged.add(hash);
    for (const appId of appIds) {
      const change = this.#parts.store.routeOf(appId);
      const version = change.route === null
        ? null : this.#parts.store.getVersion(change.route.versionId);
      if (change.route === null || version === null) continue;
      const isHit = this.#damaged.has(version.artifactHash);
      if (isHit) await this.#findWhole(change.route);
      if (epoch.value !== begunIn) return;
      const next = this.apply(change);
      if (next === change && !isHit) continue;
      this.#tell(change.route, next.route);
      this.#parts.onRoute(change);
    }
  }

  /** Earlier versions are checked before one of them serves. */
  async #findWhole(route: Route): Promise<void> {
    const { epoch } = this.#parts.store;
    const begunIn = epoch.value;
    for (const { artifactHash } of this.#earlier(route)) {
      if (this.#damaged.has(artifactHash)) continue;
      const { damaged } = await check(this.#parts.store, [artifactHash]);
      if (damaged.length === 0 || epoch.value !== begunIn) return;
      this.#damaged.add(artifactHash);
    }
  }

  #tell(route: Route, instead: Route | null): void {
    const what = `${route.label}@${route.versionNumber}: the stored module is damaged`;
    const then = instead === null || instead.versionId === route.versionId
      ? 'there is no whole version to serve instead'
      : `version ${instead.versionNumber} serves instead`;
    this.#parts.onDamage(new WardianError('module_unavailable', `${what}; ${then}`));
  }
}
