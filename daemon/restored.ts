/**
 * What the daemon holds of its database, loaded anew after a backup took that one's place: routes,
 * what is known of modules, the node's own tenants, and whatever was remembered of apps and tenants
 * whose ids name nothing now, or something else.
 */

import { WardianError } from '../contract/errors.ts';
import type { Pool } from '../pool/pool.ts';
import type { Restore } from './admin/restore.ts';
import type { Admission } from './admission.ts';
import { Changeover } from './changeover.ts';
import type { Integrity } from './integrity.ts';
import type { Router } from './router.ts';
import type { Replaced } from './store/commands.ts';
import type { Staged } from './store/staged.ts';
import type { RouteChange, Store } from './store/store.ts';

/** What a watcher is told of a restore. */
export interface RestoreRecord {
  readonly apps: number;
  readonly tenants: number;
  /** The database as it was. */
  readonly kept: string | null;
  /** From when requests waited until they went on. */
  readonly heldMs: number;
  /** Ids of tenants that name another one now, or nobody. */
  readonly tenantsGone: readonly number[];
}

export interface RestorerParts {
  readonly store: Store;
  readonly router: Router;
  readonly integrity: Integrity;
  readonly changeover: Changeover;
  readonly onRoute: (change: RouteChange) => void;
  /** Names of tenants that every node has. */
  readonly ownTenants: readonly string[];
  readonly onAppDeleted: (appId: number) => void;
  readonly onRestored: (record: RestoreRecord) => void;
  /** Work in the background on what was restored. */
  readonly afterwards: () => void;
}

interface Names {
  readonly apps: ReadonlyMap<number, string>;
  readonly tenants: ReadonlyMap<number, string>;
}

function allOf<T extends { readonly id: number }>(
  page: (after: number) => readonly T[], name: (one: T) => string,
): Map<number, string> {
  const names = new Map<number, string>();
  for (let after = 0; ;) {
    const some = page(after);
    for (const one of some) names.set(one.id, name(one));
    const last = some.at(-1);
    if (last === undefined) return names;
    after = last.id;
  }
}

/** What ids name. */
function namesOf(store: Store): Names {
  return {
    apps: allOf(
      (after) => store.listApps(null, { after }), ({ tenantId, label }) => `${tenantId} ${label}`),
    tenants: allOf((after) => store.tenants.list({ after }), ({ name }) => name),
  };
}

/** Ids that name something else now, or nothing. */
const gone = (
  before: ReadonlyMap<number, string>, after: ReadonlyMap<number, string>,
): number[] => [...before].filter(([id, name]) => after.get(id) !== name).map(([id]) => id);

/** When the store cannot be read nothing is served: never the old routes with the new database. */
function reload({ store, router, integrity, onRoute }: RestorerParts): void {
  integrity.forget();
  for (const { appId } of router.routes()) router.remove(appId);
  router.forgetPreviews();
  for (const change of store.loadRoutes()) onRoute(change);
}

/** The backup is in place: what fails from here on is a warning. */
async function ensureTenants({ store, ownTenants }: RestorerParts): Promise<string[]> {
  const warnings: string[] = [];
  for (const name of ownTenants) {
    try {
      await store.ensureTenant(name);
    } catch (error) {
      if (!(error instanceof WardianError)) throw error;
      warnings.push(`the tenant ${name} could not be made: restart the daemon (${error.message})`);
    }
  }
  return warnings;
}

export function createRestorer(parts: RestorerParts): Restore {
  const { store, changeover } = parts;

  async function replace(staged: string): Promise<Replaced> {
    const epoch = store.epoch.value;
    try {
      return await store.replace(staged);
    } finally {
      // Nothing is awaited in between: nobody meets the old routes with the new database.
      if (store.epoch.value !== epoch) reload(parts);
    }
  }

  async function exchange(staged: string, found: Staged) {
    const heldAt = performance.now();
    const before = namesOf(store);
    const replaced = await replace(staged);
    const warnings = [...replaced.warnings, ...await ensureTenants(parts)];
    const after = namesOf(store);
    const tenantsGone = gone(before.tenants, after.tenants);
    for (const appId of gone(before.apps, after.apps)) parts.onAppDeleted(appId);
    const { apps, tenants } = found;
    parts.onRestored({
      apps, tenants, tenantsGone, kept: replaced.kept, heldMs: performance.now() - heldAt,
    });
    return { ...replaced, warnings };
  }

  return async (staged, found, waitMs, assertWanted) => {
    const replaced = await changeover.change(async () => {
      assertWanted();
      return await exchange(staged, found);
    }, waitMs);
    parts.afterwards();
    return replaced;
  };
}

/** Requests wait for guests of this pool. */
export function createChangeover(
  store: Store, pool: Pool, admission: Pick<Admission, 'hasRoom'>,
  onFault: (error: unknown) => void,
): Changeover {
  return new Changeover({
    epoch: store.epoch, guestsGone: () => pool.drain(), recall: () => pool.recall(), onFault,
    hasRoom: (tenantId) => admission.hasRoom(tenantId, performance.now()),
  });
}
