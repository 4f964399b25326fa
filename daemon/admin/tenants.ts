/** Routes of tenants: the operator makes, limits, suspends and removes them. */

import * as z from 'zod';

import { TENANT_QUOTAS_DEFAULT } from '../../contract/deployment.ts';
import type { Tenant, TenantQuotas } from '../../contract/deployment.ts';
import { WardianError } from '../../contract/errors.ts';
import { KV_VALUE_BYTES_MAX, TENANT_NAME_LENGTH_MAX } from '../../contract/limits.ts';
import type { RequestLimits } from '../../contract/limits.ts';
import type { Removed } from '../store/commands.ts';
import { merged } from '../store/settings.ts';
import type { RouteChange } from '../store/store.ts';
import type { Owned } from './caller.ts';
import { limitChanges, limitsView } from './limits.ts';
import { nextOf, nextSchema, pageSchema } from './page.ts';
import type { PageQuery } from './page.ts';
import type { AdminCall, AdminRoute } from './route.ts';
import { Serial } from './serial.ts';

export interface TenantRouteParts extends Owned {
  readonly onRoute: (change: RouteChange) => void;
  readonly onRemove: (removed: Removed) => void;
  /** Tenants that the daemon itself needs. */
  readonly protectedTenants: ReadonlySet<string>;
}

export const tenantNameSchema = z.string().min(1).max(TENANT_NAME_LENGTH_MAX).regex(
  /^[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?$/, 'a tenant\'s name has a-z, 0-9, ., _ and -');

const QUOTA_MAX = { ...TENANT_QUOTAS_DEFAULT } as Record<string, number>;
for (const name of Object.keys(QUOTA_MAX)) QUOTA_MAX[name] = Number.MAX_SAFE_INTEGER;
QUOTA_MAX['valueBytes'] = KV_VALUE_BYTES_MAX;

const quota = (name: string) => z.int().min(0).max(QUOTA_MAX[name] ?? 0);
const QUOTA_NAMES = Object.keys(TENANT_QUOTAS_DEFAULT) as (keyof TenantQuotas)[];
const quotasView = z.strictObject(
  Object.fromEntries(QUOTA_NAMES.map((name) => [name, quota(name)])));
const quotaChanges = z.strictObject(
  Object.fromEntries(QUOTA_NAMES.map((name) => [name, quota(name).nullable().optional()])))
  .meta({ description: 'Null: the default again' });

const tenantView = z.strictObject({
  name: z.string(),
  suspended: z.boolean(),
  limits: limitsView.meta({ description: 'The tenant\'s own; the others are the operator\'s' }),
  quotas: quotasView,
}).meta({ id: 'Tenant' });

function view(store: Owned['store'], tenant: Tenant): z.infer<typeof tenantView> {
  const { id, name, suspended, limits } = tenant;
  return { name, suspended, limits, quotas: { ...store.tenants.quotas(id) } };
}

/** Throws `not_found`, for a tenant's token also for all others. */
function requireTenant({ store }: Owned, { params, caller }: AdminCall): Tenant {
  const name = params['tenant'] ?? '';
  const tenant = caller.tenant === null || caller.tenant.name === name
    ? store.getTenant(name) : null;
  if (tenant !== null) return tenant;
  throw new WardianError('not_found', `there is no tenant ${name}`);
}

/** The quotas that differ from the defaults, with the changes. */
function quotasAfter(
  now: TenantQuotas, changes: Readonly<Record<string, number | null | undefined>>,
): Partial<TenantQuotas> {
  const own = QUOTA_NAMES.filter((name) => now[name] !== TENANT_QUOTAS_DEFAULT[name]);
  return merged(Object.fromEntries(own.map((name) => [name, now[name]])), changes);
}

const params = { tenant: tenantNameSchema };
const OPERATOR = { scope: 'admin', operator: true } as const;

function listTenants(parts: TenantRouteParts): AdminRoute {
  return {
    method: 'GET', path: '/v1/tenants', access: { scope: 'read' }, query: pageSchema,
    summary: 'All tenants, in the order they were made; for a tenant\'s token, that tenant',
    answer: {
      status: 200, schema: z.strictObject({ tenants: z.array(tenantView), next: nextSchema }),
    },
    errors: ['bad_argument'],
    handle({ query, caller }) {
      const page = query as PageQuery;
      const found = caller.tenant === null ? parts.store.tenants.list(page) : [caller.tenant];
      const tenants = found.filter(({ id }) => id > page.after);
      const next = caller.tenant === null ? nextOf(tenants, page, ({ id }) => id) : null;
      return { status: 200, json: { tenants: tenants.map((t) => view(parts.store, t)), next } };
    },
  };
}

function createTenant(parts: TenantRouteParts): AdminRoute {
  const body = z.strictObject({
    name: tenantNameSchema, limits: limitChanges.optional(), quotas: quotaChanges.optional(),
  });
  return {
    method: 'POST', path: '/v1/tenants', access: OPERATOR, body, summary: 'Makes a tenant',
    answer: { status: 201, schema: tenantView },
    errors: ['bad_argument', 'bad_name', 'body_too_large', 'conflict', 'store_failed', 'disk_full'],
    async handle(call) {
      const { name, limits = {}, quotas = {} } = call.body as z.infer<typeof body>;
      const tenant = await parts.store.tenants.create(name, {
        limits: merged<RequestLimits>({}, limits), quotas: merged<TenantQuotas>({}, quotas),
      });
      return { status: 201, json: view(parts.store, tenant) };
    },
  };
}

function getTenant(parts: TenantRouteParts): AdminRoute {
  return {
    method: 'GET', path: '/v1/tenants/{tenant}', access: { scope: 'read' }, params,
    summary: 'One tenant',
    answer: { status: 200, schema: tenantView },
    errors: ['bad_argument', 'not_found'],
    handle: (call) => ({ status: 200, json: view(parts.store, requireTenant(parts, call)) }),
  };
}

function changeTenant(parts: TenantRouteParts, serial: Serial): AdminRoute {
  const body = z.strictObject({
    suspended: z.boolean().optional(),
    limits: limitChanges.optional(),
    quotas: quotaChanges.optional(),
  });
  return {
    method: 'PATCH', path: '/v1/tenants/{tenant}', access: OPERATOR, params, body,
    summary: 'Suspends or resumes a tenant, changes its limits and quotas',
    answer: { status: 200, schema: tenantView },
    errors: ['bad_argument', 'body_too_large', 'not_found', 'store_failed', 'disk_full'],
    handle: (call) => serial.run(call.params['tenant'] ?? '', async () => {
      const { id, limits: own } = requireTenant(parts, call);
      const { suspended, limits, quotas } = call.body as z.infer<typeof body>;
      const { tenant, changes } = await parts.store.tenants.change(id, {
        ...(suspended === undefined ? {} : { suspended }),
        ...(limits === undefined ? {} : { limits: merged(own, limits) }),
        ...(quotas === undefined ? {}
          : { quotas: quotasAfter(parts.store.tenants.quotas(id), quotas) }),
      });
      for (const change of changes) parts.onRoute(change);
      return { status: 200, json: view(parts.store, tenant) };
    }),
  };
}

function deleteTenant(parts: TenantRouteParts): AdminRoute {
  return {
    method: 'DELETE', path: '/v1/tenants/{tenant}', access: OPERATOR, params,
    summary: 'Removes a tenant with its apps, stores, namespaces and tokens',
    answer: { status: 204 },
    errors: ['bad_argument', 'not_found', 'conflict', 'store_failed'],
    async handle(call) {
      const tenant = requireTenant(parts, call);
      if (parts.protectedTenants.has(tenant.name)) {
        throw new WardianError('conflict', `${tenant.name} is a tenant of the node itself`);
      }
      for (const removed of await parts.store.tenants.delete(tenant.id)) parts.onRemove(removed);
      return { status: 204 };
    },
  };
}

export function tenantRoutes(parts: TenantRouteParts): AdminRoute[] {
  return [
    listTenants(parts), createTenant(parts), getTenant(parts), changeTenant(parts, new Serial()),
    deleteTenant(parts),
  ];
}
