/** Routes of versions: which there are, which serve, and with which shares. */

import * as z from 'zod';

import type { App, Version } from '../../contract/deployment.ts';
import { WardianError } from '../../contract/errors.ts';
import type { RouteChange } from '../store/store.ts';
import { requireApp } from './caller.ts';
import type { Owned } from './caller.ts';
import { nextOf, nextSchema, pageSchema } from './page.ts';
import type { PageQuery } from './page.ts';
import type { AdminCall, AdminRoute } from './route.ts';
import {
  appView, labelSchema, stickySchema, versionView, viewApp, viewVersion, viewVersions,
} from './views.ts';

export interface VersionRouteParts extends Owned {
  readonly urlOf: (label: string) => string;
  readonly onRoute: (change: RouteChange) => void;
}

const SHARES_MAX = 10;
const numberSchema = z.string().regex(/^[1-9]\d{0,14}$/, 'expected a version number such as 3');
const label = { label: labelSchema };
const versionNumber = z.int().min(1);

/** Throws `not_found`. */
function requireVersion({ store }: VersionRouteParts, app: App, number: number): Version {
  const [version] = store.listVersions(app.id, { limit: 1, after: number - 1 });
  if (version?.number === number) return version;
  throw new WardianError('not_found', `${app.label} has no version ${number}`);
}

function listVersions(parts: VersionRouteParts): AdminRoute {
  return {
    method: 'GET', path: '/v1/apps/{label}/versions', access: { scope: 'read' }, params: label,
    summary: 'The versions of an app, oldest first',
    query: pageSchema,
    answer: {
      status: 200, schema: z.strictObject({ versions: z.array(versionView), next: nextSchema }),
    },
    errors: ['bad_argument', 'not_found'],
    handle(call) {
      const app = requireApp(parts.store, call);
      const page = call.query as PageQuery;
      const versions = parts.store.listVersions(app.id, page);
      return {
        status: 200,
        json: {
          versions: viewVersions(versions, app, parts),
          next: nextOf(versions, page, ({ number }) => number),
        },
      };
    },
  };
}

function getVersion(parts: VersionRouteParts): AdminRoute {
  return {
    method: 'GET', path: '/v1/apps/{label}/versions/{number}', access: { scope: 'read' },
    params: { label: labelSchema, number: numberSchema },
    summary: 'One version',
    answer: { status: 200, schema: versionView },
    errors: ['bad_argument', 'not_found'],
    handle(call) {
      const app = requireApp(parts.store, call);
      const version = requireVersion(parts, app, Number(call.params['number']));
      return { status: 200, json: viewVersion(version, app, parts) };
    },
  };
}

/** The newest one before the one that serves that has served itself. Throws `not_found`. */
function versionBefore({ store }: VersionRouteParts, app: App): Version {
  const active = app.activeVersionId === null ? null : store.getVersion(app.activeVersionId);
  const [found] = store.listServedBefore(app.id, active?.number ?? 0, 1);
  if (found !== undefined) return found;
  throw new WardianError('not_found', `no earlier version of ${app.label} has served`);
}

function rollback(parts: VersionRouteParts): AdminRoute {
  const body = z.strictObject({
    version: versionNumber.optional()
      .meta({ description: 'Absent: the newest before the one that serves which has served' }),
  });
  return {
    method: 'POST', path: '/v1/apps/{label}/rollback', access: { scope: 'deploy' },
    params: label, body,
    summary: 'Makes a version that was deployed before serve',
    answer: { status: 200, schema: appView },
    errors: ['bad_argument', 'body_too_large', 'not_found', 'store_failed', 'disk_full'],
    async handle(call) {
      const app = requireApp(parts.store, call);
      const { version: number } = call.body as z.infer<typeof body>;
      const version = number === undefined
        ? versionBefore(parts, app) : requireVersion(parts, app, number);
      const changed = await parts.store.setActiveVersion(app.id, version.id);
      parts.onRoute(changed);
      return { status: 200, json: viewApp(changed.app, parts) };
    },
  };
}

const splitSchema = z.strictObject({
  shares: z.array(z.strictObject({
    version: versionNumber, weight: z.int().min(1).max(100),
  })).min(1).max(SHARES_MAX).meta({ description: 'Per cent; 100 in all' }),
  sticky: stickySchema.nullable().optional(),
});

async function split(parts: VersionRouteParts, call: AdminCall): Promise<unknown> {
  const app = requireApp(parts.store, call);
  const { shares, sticky } = call.body as z.infer<typeof splitSchema>;
  const wanted = shares.map(({ version, weight }) => ({
    versionId: requireVersion(parts, app, version).id, weight,
  }));
  const changed = await parts.store.setSplit(
    app.id, wanted, sticky === undefined ? {} : { sticky });
  parts.onRoute(changed);
  return viewApp(changed.app, parts);
}

function changeSplit(parts: VersionRouteParts): AdminRoute {
  return {
    method: 'PUT', path: '/v1/apps/{label}/split', access: { scope: 'deploy' }, params: label,
    body: splitSchema,
    summary: 'Lets several versions serve, each its share of the requests',
    answer: { status: 200, schema: appView },
    errors: ['bad_argument', 'body_too_large', 'not_found', 'store_failed', 'disk_full'],
    handle: async (call) => ({ status: 200, json: await split(parts, call) }),
  };
}

export function versionRoutes(parts: VersionRouteParts): AdminRoute[] {
  return [listVersions(parts), getVersion(parts), rollback(parts), changeSplit(parts)];
}
