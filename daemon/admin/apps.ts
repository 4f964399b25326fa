/** Routes of apps and their hosts: what is deployed, and how it is served. */

import * as z from 'zod';

import { resolveLimits } from '../../contract/deployment.ts';
import type { SettingsChange } from '../../contract/deployment.ts';
import { WardianError } from '../../contract/errors.ts';
import type { RequestLimits } from '../../contract/limits.ts';
import type { Removed } from '../store/commands.ts';
import type { RouteChange } from '../store/store.ts';
import { requireApp } from './caller.ts';
import type { Owned } from './caller.ts';
import { assertWithin, limitChanges } from './limits.ts';
import { nextOf, nextSchema, pageSchema } from './page.ts';
import type { PageQuery } from './page.ts';
import type { AdminCall, AdminRoute } from './route.ts';
import { appView, hostSchema, labelSchema, stickySchema, viewApp, viewApps } from './views.ts';

export interface AppRouteParts extends Owned {
  /** The operator's. */
  readonly limits: RequestLimits;
  readonly urlOf: (label: string) => string;
  /** What the router is to hold for an app from now on. */
  readonly onRoute: (change: RouteChange) => void;
  readonly onRemove: (removed: Removed) => void;
  /** True for hosts that cannot be given to an app: the base domain, and all below it. */
  readonly isOwnHost: (host: string) => boolean;
}

export const LIFE_SECONDS_MAX = 10 * 365 * 24 * 3_600;
const label = { label: labelSchema };

function listApps(parts: AppRouteParts): AdminRoute {
  return {
    method: 'GET', path: '/v1/apps', access: { scope: 'read' }, query: pageSchema,
    summary: 'All apps, in the order they were made',
    answer: { status: 200, schema: z.strictObject({ apps: z.array(appView), next: nextSchema }) },
    errors: ['bad_argument'],
    async handle({ query, caller }) {
      const page = query as PageQuery;
      const apps = parts.store.listApps(caller.tenant?.id ?? null, page);
      const next = nextOf(apps, page, ({ id }) => id);
      return { status: 200, json: { apps: await viewApps(apps, parts), next } };
    },
  };
}

function getApp(parts: AppRouteParts): AdminRoute {
  return {
    method: 'GET', path: '/v1/apps/{label}', access: { scope: 'read' }, params: label,
    summary: 'One app',
    answer: { status: 200, schema: appView },
    errors: ['bad_argument', 'not_found'],
    handle: (call) => ({ status: 200, json: viewApp(requireApp(parts.store, call), parts) }),
  };
}

const changeSchema = z.strictObject({
  limits: limitChanges.optional(),
  debug: z.boolean().optional()
    .meta({ description: 'Answers carry wardian-fuel, wardian-memory and times' }),
  recycleMemory: z.boolean().optional(),
  sticky: stickySchema.nullable().optional(),
  lifeSeconds: z.int().min(1).max(LIFE_SECONDS_MAX).nullable().optional()
    .meta({ description: 'From now on; then the app and its store are removed. Null: never' }),
});
type AppChange = z.infer<typeof changeSchema>;

async function change(parts: AppRouteParts, call: AdminCall): Promise<unknown> {
  const app = requireApp(parts.store, call);
  const wanted = call.body as AppChange;
  const tenantLimits = parts.store.tenants.get(app.tenantId)?.limits ?? {};
  assertWithin(wanted.limits ?? {}, resolveLimits(parts.limits, tenantLimits, {}));
  const { lifeSeconds: life, ...settings } = wanted;
  const changed = await parts.store.changeApp(app.id, {
    settings: settings as SettingsChange,
    ...(life === undefined ? {}
      : { expiresAtMs: life === null ? null : Date.now() + life * 1_000 }),
  });
  parts.onRoute(changed);
  return viewApp(changed.app, parts);
}

function changeApp(parts: AppRouteParts): AdminRoute {
  return {
    method: 'PATCH', path: '/v1/apps/{label}', access: { scope: 'deploy' }, params: label,
    body: changeSchema,
    summary: 'Changes an app\'s settings, its limits within those of its tenant, and its life',
    answer: { status: 200, schema: appView },
    errors: ['bad_argument', 'body_too_large', 'not_found', 'store_failed', 'disk_full'],
    handle: async (call) => ({ status: 200, json: await change(parts, call) }),
  };
}

function deleteApp(parts: AppRouteParts): AdminRoute {
  return {
    method: 'DELETE', path: '/v1/apps/{label}', access: { scope: 'deploy' }, params: label,
    summary: 'Removes an app with its versions, hosts and store',
    answer: { status: 204 },
    errors: ['bad_argument', 'not_found', 'store_failed'],
    async handle(call) {
      parts.onRemove(await parts.store.deleteApp(requireApp(parts.store, call).id));
      return { status: 204 };
    },
  };
}

function changeHost(parts: AppRouteParts, method: 'PUT' | 'DELETE'): AdminRoute {
  return {
    method, path: '/v1/apps/{label}/hosts/{host}', access: { scope: 'deploy' },
    params: { label: labelSchema, host: hostSchema },
    summary: method === 'PUT' ? 'Lets a host serve the app' : 'Takes a host from the app',
    answer: { status: 200, schema: appView },
    errors: [
      'bad_argument', 'bad_name', 'not_found', 'conflict', 'quota_exceeded', 'store_failed',
      'disk_full',
    ],
    async handle(call) {
      const app = requireApp(parts.store, call);
      const host = call.params['host'] ?? '';
      if (method === 'PUT' && parts.isOwnHost(host)) {
        throw new WardianError('bad_name', `${host} belongs to this node`);
      }
      const changed = method === 'PUT'
        ? await parts.store.addHost(app.id, host) : await parts.store.removeHost(app.id, host);
      parts.onRoute(changed);
      return { status: 200, json: viewApp(changed.app, parts) };
    },
  };
}

export function appRoutes(parts: AppRouteParts): AdminRoute[] {
  return [
    listApps(parts), getApp(parts), changeApp(parts), deleteApp(parts),
    changeHost(parts, 'PUT'), changeHost(parts, 'DELETE'),
  ];
}
