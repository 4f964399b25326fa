/**
 * The routes that other parts add, opened to tenants where what they show can be told apart: those
 * that take a tenant show the caller's alone, and one thing of another tenant is not there. A
 * tenant's id decides, which is never used twice: its name may have been that of one that is gone.
 */

import * as z from 'zod';

import { WardianError } from '../../contract/errors.ts';
import type { AdminAnswer, AdminCall, AdminRoute } from './route.ts';

/** Shows one thing, which names its tenant. */
const ONE_OF_A_TENANT = '/v1/failures/{id}';
const ownedSchema = z.looseObject({ tenantId: z.number() });

function requireOwn(answer: AdminAnswer, { caller }: AdminCall): AdminAnswer {
  if (caller.tenant === null) return answer;
  const owned = ownedSchema.safeParse('json' in answer ? answer.json : null);
  if (owned.success && owned.data.tenantId === caller.tenant.id) return answer;
  throw new WardianError('not_found', 'no failure has this id');
}

export function openToTenants(route: AdminRoute): AdminRoute {
  if (route.access !== undefined || !route.path.startsWith('/v1/')) return route;
  if (Object.hasOwn(route.query?.shape ?? {}, 'tenant')) {
    return { ...route, access: { scope: 'read' } };
  }
  if (route.path !== ONE_OF_A_TENANT) return route;
  return {
    ...route, access: { scope: 'read' },
    handle: async (call) => requireOwn(await route.handle(call), call),
  };
}
