/**
 * What a store must hold after a crash. Clients of the crash test change cells: an app, a secret,
 * an entry, each by one client and one change at a time. Before a change they say what the cell
 * will be, after its acknowledgement that it is. So a cell is exactly what was acknowledged last,
 * or what was begun after that; anything else was lost or half done.
 */

import type { Store } from '../../../daemon/store/store.ts';
import { bytes, text } from './support.ts';

/** Seals the secrets of the crash test, in the child and in who looks afterwards. */
export const SECRET_KEYS: readonly Uint8Array[] = [new Uint8Array(32).fill(5)];
const DAY_MS = 86_400_000;
/** What a cell is that is not there. */
export const ABSENT = '-';

/**
 * A line of a client. A cell's name is its kind, what it belongs to, and its own name if it has
 * one: `app shop`, `secret shop PASSWORD`, `kv shop some key`. A cell of the kind `sum` has many
 * clients that add 1 to it; its lines have no state.
 */
export type Line =
  | { readonly cell: string; readonly begin: string }
  /** `exact` is what only the answer told: a revision, the number of a version. */
  | { readonly cell: string; readonly done: string; readonly exact?: number };

interface Found {
  readonly state: string;
  readonly exact: number | null;
}

interface Expected {
  readonly done: string;
  readonly exact: number | null;
  readonly begun: string | null;
}

export interface AppState {
  readonly active: number;
  readonly last: number;
  /** SHA-256 of the newest version's module. */
  readonly hash: string;
  readonly shares: readonly (readonly [number: number, weight: number])[];
  readonly hosts: readonly string[];
  /** The app's own limit of fuel. */
  readonly fuel: number | null;
  readonly expires: boolean;
}

export interface EntryState {
  readonly value: string;
  /** To live, rounded up; null: for ever. */
  readonly days: number | null;
}

export function appState(store: Store, label: string): AppState | null {
  const app = store.getApp(label);
  if (app === null) return null;
  let newest = { number: 0, moduleHash: '' };
  for (let more = true; more;) {
    const page = store.listVersions(app.id, { after: newest.number });
    newest = page.at(-1) ?? newest;
    more = page.length > 0;
  }
  const { route, customHosts } = store.routeOf(app.id);
  return {
    active: route?.versionNumber ?? 0,
    last: newest.number,
    hash: newest.moduleHash,
    shares: (route?.split ?? []).map(({ versionNumber, weight }) => [versionNumber, weight]),
    hosts: customHosts,
    fuel: app.settings.limits.fuel ?? null,
    expires: app.expiresAtMs !== null,
  };
}

export const appText = (state: AppState | null): string =>
  state === null ? ABSENT : JSON.stringify(state, Object.keys(state).toSorted());

export const envText = (values: ReadonlyMap<string, string>): string =>
  JSON.stringify([...values].toSorted());

export const entryText = (entry: EntryState | null): string => {
  if (entry === null) return ABSENT;
  return `${entry.value} ${entry.days === null ? 'for ever' : `for ${entry.days} days`}`;
};

/** The store of the app of that name, or of the namespace. */
export function storeIdOf(store: Store, place: string): number {
  const app = store.getApp(place);
  if (app !== null) return app.id;
  const tenant = store.getTenant('acme');
  return tenant === null ? 0 : store.namespaces.get(tenant.id, place)?.id ?? 0;
}

const nothing: Found = { state: ABSENT, exact: null };

function secretOf(store: Store, label: string, name: string): Found {
  const appId = store.getApp(label)?.id ?? 0;
  const versions = store.environment.listSecrets(appId).filter((one) => one.name === name);
  if (versions.length === 0) return nothing;
  const value = text(store.environment.secret(appId, name));
  const later = versions.filter(({ effectiveAtMs }) => effectiveAtMs > Date.now()).length;
  return {
    state: `${value} and ${later} later`,
    exact: Math.max(...versions.map(({ number }) => number)),
  };
}

function namespaceOf(store: Store, name: string): Found {
  const tenantId = store.getTenant('acme')?.id ?? 0;
  const namespace = store.namespaces.get(tenantId, name);
  if (namespace === null) return nothing;
  const bindings = store.namespaces.bindings(store.getApp('one')?.id ?? 0);
  const [as] = [...bindings].find(([, id]) => id === namespace.id) ?? [];
  return { state: as === undefined ? 'not bound' : `bound as ${as}`, exact: namespace.id };
}

function tenantOf(store: Store, name: string): Found {
  const tenant = store.getTenant(name);
  if (tenant === null) return nothing;
  const tokens = store.tenants.listTokens(tenant.id).map((token) => token.name);
  const { apps } = store.tenants.quotas(tenant.id);
  return { state: tenantText({ suspended: tenant.suspended, apps, tokens }), exact: null };
}

export interface TenantState {
  readonly suspended: boolean;
  /** The quota. */
  readonly apps: number;
  readonly tokens: readonly string[];
}

export const tenantText = ({ suspended, apps, tokens }: TenantState): string =>
  `${suspended ? 'suspended' : 'at work'}, ${apps} apps, tokens ${tokens.join(' ')}`;

export function entryOf(store: Store, place: string, key: string): Found {
  const entry = store.namespaces.read(storeIdOf(store, place), bytes(key));
  if (entry === null) return nothing;
  const days = entry.expiresAtMs === null ? null
    : Math.ceil((entry.expiresAtMs - Date.now()) / DAY_MS);
  return {
    state: entryText({ value: String(text(entry.value)), days }), exact: entry.revision,
  };
}

/** What a cell is now. */
export function stateOf(store: Store, cell: string): Found {
  const [kind = '', owner = '', ...rest] = cell.split(' ');
  const name = rest.join(' ');
  switch (kind) {
    case 'app': return { state: appText(appState(store, owner)), exact: null };
    case 'env': {
      const values = store.environment.env(store.getApp(owner)?.id ?? 0);
      return { state: values.size === 0 ? ABSENT : envText(values), exact: null };
    }
    case 'secret': return secretOf(store, owner, name);
    case 'namespace': return namespaceOf(store, owner);
    case 'tenant': return tenantOf(store, owner);
    case 'kv': return entryOf(store, owner, name);
    default: throw new Error(`not a kind of cell: ${kind}`);
  }
}

export class Ledger {
  readonly #cells = new Map<string, Expected>();
  /** The least that a sum can be, and the most. */
  readonly #sums = new Map<string, [done: number, begun: number]>();

  learn(lines: readonly Line[]): void {
    for (const line of lines) {
      const { cell } = line;
      const [kind = ''] = cell.split(' ');
      if (kind === 'sum') {
        const [done, begun] = this.#sums.get(cell) ?? [0, 0];
        this.#sums.set(cell, 'done' in line ? [done + 1, begun] : [done, begun + 1]);
        continue;
      }
      const known = this.#cells.get(cell) ?? { done: ABSENT, exact: null, begun: null };
      this.#cells.set(cell, 'done' in line
        ? { done: line.done, exact: line.exact ?? null, begun: null }
        : { ...known, begun: line.begin });
    }
  }

  /** What the store does not hold as it should. What it does hold is expected from then on. */
  differences(store: Store): string[] {
    const wrong: string[] = [];
    for (const [cell, { done, exact, begun }] of this.#cells) {
      const found = stateOf(store, cell);
      const kept = found.state === done && (exact === null || found.exact === exact);
      if (!kept && found.state !== begun) {
        wrong.push(`${cell} is ${found.state} (${found.exact}), was ${done} (${exact})`
          + (begun === null ? '' : ` and might be ${begun}`));
      }
      this.#cells.set(cell, { done: found.state, exact: found.exact, begun: null });
    }
    for (const [cell, [done, begun]] of this.#sums) {
      const [, place = '', ...key] = cell.split(' ');
      const entry = store.namespaces.read(storeIdOf(store, place), bytes(key.join(' ')));
      const sum = Number(text(entry?.value ?? null));
      if (sum < done || sum > begun) wrong.push(`${cell} is ${sum}, must be ${done} to ${begun}`);
      this.#sums.set(cell, [sum, sum]);
    }
    return wrong;
  }
}
