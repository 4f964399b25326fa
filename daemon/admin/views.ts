/** What the admin API shows of apps and versions, and what it takes: the schemas that validate. */

import { setImmediate as nextTurn } from 'node:timers/promises';
import * as z from 'zod';

import type { App, Version } from '../../contract/deployment.ts';
import { WardianError } from '../../contract/errors.ts';
import { HOST_LENGTH_MAX, LABEL_LENGTH_MAX } from '../../contract/limits.ts';
import { LANGUAGES } from '../deploy/language.ts';
import { previewLabel } from '../router.ts';
import type { Store } from '../store/store.ts';
import { limitsView } from './limits.ts';

export const labelSchema = z.string().min(1).max(LABEL_LENGTH_MAX).regex(
  /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/, 'a name has a-z, 0-9 and -, and no - at either end')
  .meta({ description: 'The name of an app: a DNS label in lower case' });

export const hostSchema = z.string().toLowerCase().min(1).max(HOST_LENGTH_MAX).regex(
  /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+$/,
  'a host is a full DNS name without port').meta({ description: 'A host name without port' });

const time = z.iso.datetime();

export const versionView = z.strictObject({
  number: z.int().min(1),
  active: z.boolean().meta({ description: 'True for the version that serves, or the most of it' }),
  share: z.int().min(0).max(100).meta({ description: 'Per cent of the app\'s requests' }),
  previewUrl: z.url().nullable()
    .meta({ description: 'Where this version answers; null when that name would be too long' }),
  language: z.enum(LANGUAGES),
  moduleHash: z.string().meta({ description: 'SHA-256 of the module, hex' }),
  createdAt: time,
  servedAt: time.nullable()
    .meta({ description: 'When it last began to serve; null: never, but at its preview URL' }),
}).meta({ id: 'Version' });
export type VersionView = z.infer<typeof versionView>;

const HEADER_NAME = /^[a-z0-9!#$%&'*+.^_`|~-]{1,256}$/;
export const stickySchema = z.discriminatedUnion('by', [
  z.strictObject({ by: z.literal('cookie') }),
  z.strictObject({
    by: z.literal('header'),
    name: z.string().toLowerCase().regex(HEADER_NAME, 'expected the name of a header'),
  }),
]).meta({ description: 'What keeps a client with one version while several serve' });

export const appView = z.strictObject({
  label: z.string(),
  tenant: z.string(),
  url: z.url(),
  activeVersion: z.int().nullable(),
  split: z.array(z.strictObject({ version: z.int(), weight: z.int() }))
    .meta({ description: 'Shares in per cent while several versions serve; else empty' }),
  hosts: z.array(z.string()).meta({ description: 'Hosts beside the app\'s own' }),
  settings: z.strictObject({
    limits: limitsView.meta({ description: 'The app\'s own, below those of its tenant' }),
    debug: z.boolean(),
    recycleMemory: z.boolean(),
    sticky: stickySchema.nullable(),
  }),
  createdAt: time,
  expiresAt: time.nullable(),
}).meta({ id: 'App' });
export type AppView = z.infer<typeof appView>;

const iso = (ms: number): string => new Date(ms).toISOString();

export interface Viewing {
  readonly store: ViewedStore;
  /** Where an app answers; takes the first label of its host. */
  readonly urlOf: (label: string) => string;
}

/** Per cent by version's id. */
function sharesOf(app: App, store: ViewedStore): ReadonlyMap<number, number> {
  const { route } = store.routeOf(app.id);
  if (route === null) return new Map();
  const alone = [{ versionId: route.versionId, weight: 100 }];
  return new Map((route.split ?? alone).map(({ versionId, weight }) => [versionId, weight]));
}

export function viewVersions(
  versions: readonly Version[], app: App, { store, urlOf }: Viewing,
): VersionView[] {
  const shares = sharesOf(app, store);
  return versions.map((version) => {
    const preview = previewLabel(app.label, version.number);
    return {
      number: version.number,
      active: app.activeVersionId === version.id,
      share: shares.get(version.id) ?? 0,
      previewUrl: preview === null ? null : urlOf(preview),
      language: version.language,
      moduleHash: version.moduleHash,
      createdAt: iso(version.createdAtMs),
      servedAt: version.servedAtMs === null ? null : iso(version.servedAtMs),
    };
  });
}

export function viewVersion(version: Version, app: App, viewing: Viewing): VersionView {
  const [view] = viewVersions([version], app, viewing);
  if (view === undefined) throw new WardianError('internal', 'a version has no view');
  return view;
}

/** Apps between which requests of guests get their turn: views are made on their thread. */
const VIEWS_AT_ONCE = 16;

export async function viewApps(apps: readonly App[], viewing: Viewing): Promise<AppView[]> {
  const views: AppView[] = [];
  for (let first = 0; first < apps.length; first += VIEWS_AT_ONCE) {
    if (first > 0) await nextTurn();
    views.push(...apps.slice(first, first + VIEWS_AT_ONCE).map((app) => viewApp(app, viewing)));
  }
  return views;
}

export type ViewedStore = Pick<Store, 'getVersion' | 'listHosts' | 'routeOf' | 'tenants'>;

export function viewApp(app: App, { store, urlOf }: Viewing): AppView {
  const active = app.activeVersionId === null ? null : store.getVersion(app.activeVersionId);
  const { limits, debug, recycleMemory, sticky } = app.settings;
  const { route } = store.routeOf(app.id);
  const split = (route?.split ?? [])
    .map(({ versionNumber, weight }) => ({ version: versionNumber, weight }));
  return {
    label: app.label,
    tenant: route?.tenantName ?? store.tenants.get(app.tenantId)?.name ?? '',
    url: urlOf(app.label),
    activeVersion: active?.number ?? null,
    split,
    hosts: [...store.listHosts(app.id)],
    settings: { limits, debug, recycleMemory, sticky: sticky ?? null },
    createdAt: iso(app.createdAtMs),
    expiresAt: app.expiresAtMs === null ? null : iso(app.expiresAtMs),
  };
}
