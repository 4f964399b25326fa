/** The admin API as a whole: its routes, the health checks and its description of itself. */

import type { Server } from 'node:http';
import * as z from 'zod';

import type { Changeover } from '../changeover.ts';
import type { DeployPipeline } from '../deploy/pipeline.ts';
import { removeAllStaged } from '../store/exchange.ts';
import type { Store } from '../store/store.ts';
import { appRoutes } from './apps.ts';
import type { AppRouteParts } from './apps.ts';
import { backupRoute, removeOldBackups } from './backup.ts';
import type { BackupRouteParts } from './backup.ts';
import { deployRoute } from './deploys.ts';
import type { DeployRouteParts } from './deploys.ts';
import { entryRoutes } from './entries.ts';
import type { EntryRouteParts } from './entries.ts';
import { environmentRoutes } from './environment.ts';
import type { EnvironmentRouteParts } from './environment.ts';
import { namespaceRoutes } from './namespaces.ts';
import { openToTenants } from './observing.ts';
import { openApiDocument } from './openapi.ts';
import { restoreRoute } from './restore.ts';
import type { RestoreRouteParts } from './restore.ts';
import type { AdminRoute } from './route.ts';
import { createAdminServer } from './server.ts';
import { tenantRoutes } from './tenants.ts';
import type { TenantRouteParts } from './tenants.ts';
import { TokenGuard } from './token.ts';
import { tokenRoutes } from './tokens.ts';
import { versionRoutes } from './versions.ts';

export interface AdminOptions
  extends AppRouteParts, DeployRouteParts, EnvironmentRouteParts,
  TenantRouteParts, EntryRouteParts, BackupRouteParts, RestoreRouteParts {
  readonly store: Store;
  readonly pipeline: Pick<DeployPipeline, 'deploy' | 'hold'>;
  readonly token: string;
  /** Of the package. */
  readonly version: string;
  readonly changeover?: Changeover;
  /** Null when requests can be served; otherwise why not, for `/readyz`. */
  readonly notReady: () => string | null;
  /** Further names under which the API may be asked for. */
  readonly hosts?: readonly string[];
  /** Routes of other parts, `/metrics` for one. Those under `/v1/` need the token like ours. */
  readonly routes?: readonly AdminRoute[];
}

const healthSchema = z.strictObject({ status: z.literal('ok'), version: z.string() });
const readySchema = z.strictObject({ ready: z.boolean(), reason: z.string().nullable() });

function healthRoutes(options: AdminOptions): AdminRoute[] {
  return [{
    method: 'GET', path: '/healthz', summary: 'Answers while the process is alive',
    answer: { status: 200, schema: healthSchema },
    errors: [],
    handle: () => ({ status: 200, json: { status: 'ok', version: options.version } }),
  }, {
    method: 'GET', path: '/readyz',
    summary: 'Says whether requests can be served; 503 while starting and draining, and when the '
      + 'store cannot be written',
    answer: { status: 200, schema: readySchema },
    otherwise: { status: 503, schema: readySchema, meaning: 'Requests cannot be served now' },
    errors: [],
    handle() {
      const reason = options.notReady();
      return { status: reason === null ? 200 : 503, json: { ready: reason === null, reason } };
    },
  }];
}

function descriptionRoute(routes: () => readonly AdminRoute[], version: string): AdminRoute {
  let document: unknown = null;
  return {
    method: 'GET', path: '/openapi.json', summary: 'This description',
    answer: { status: 200, schema: z.looseObject({ openapi: z.string() }) },
    errors: [],
    handle() {
      document ??= openApiDocument(routes(), version);
      return { status: 200, json: document };
    },
  };
}

export function adminRoutes(options: AdminOptions): readonly AdminRoute[] {
  const routes: AdminRoute[] = [
    ...healthRoutes(options), ...tenantRoutes(options), ...tokenRoutes(options),
    deployRoute(options), ...appRoutes(options), ...versionRoutes(options),
    ...environmentRoutes(options), ...namespaceRoutes(options), ...entryRoutes(options),
    backupRoute(options), restoreRoute(options),
    ...(options.routes ?? []).map((route) => ({ ...openToTenants(route), apart: true })),
  ];
  routes.push(descriptionRoute(() => routes, options.version));
  return routes;
}

/** Not listening yet: see `listenAdmin` and `closeAdmin`. */
export function createAdmin(options: AdminOptions): Server {
  removeOldBackups(options.dataFolder);
  removeAllStaged(options.dataFolder);
  return createAdminServer({
    routes: adminRoutes(options),
    guard: new TokenGuard(options.token, options.store.tenants, options.onFault),
    store: options.store,
    onFault: options.onFault,
    ...(options.changeover === undefined ? {} : { changeover: options.changeover }),
    ...(options.hosts === undefined ? {} : { hosts: options.hosts }),
  });
}
