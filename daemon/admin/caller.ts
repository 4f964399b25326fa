/**
 * Who calls the admin API and what it may see. A tenant's token sees that tenant alone: what
 * belongs to another is answered like what does not exist. The operator's tokens see everything, or
 * one tenant when the call names it.
 */

import type { App, Namespace, Tenant, TokenScope } from '../../contract/deployment.ts';
import { WardianError } from '../../contract/errors.ts';
import type { Store } from '../store/store.ts';
import type { Access, AdminCall } from './route.ts';

/** What a token proves. */
export interface Identity {
  /** Tells tokens apart, without telling what they are. */
  readonly key: string;
  /** Null: the operator's. */
  readonly tenantId: number | null;
  readonly scope: TokenScope;
}

export interface Caller {
  readonly key: string;
  readonly operator: boolean;
  readonly scope: TokenScope;
  /** Whose things the call is about; null: the operator names none, and means all. */
  readonly tenant: Tenant | null;
}

/** Header by which the operator names a tenant; `?tenant=` does the same. */
export const TENANT_HEADER = 'wardian-tenant';

/** The caller of routes that need no token: it has nothing. */
export const NOBODY: Caller = {
  key: '', operator: false, scope: 'read',
  tenant: { id: 0, name: '', suspended: true, limits: {} },
};

const RANK: Readonly<Record<TokenScope, number>> = { read: 0, deploy: 1, admin: 2 };
const DEFAULT_ACCESS: Access = { scope: 'read', operator: true };

const noTenant = (name: string): WardianError =>
  new WardianError('not_found', `there is no tenant ${name.slice(0, 64)}`);

function tenantFor(
  store: Pick<Store, 'getTenant' | 'tenants'>, identity: Identity, named: string | undefined,
): Tenant | null {
  if (identity.tenantId === null) {
    if (named === undefined) return null;
    const tenant = store.getTenant(named);
    if (tenant === null) throw noTenant(named);
    return tenant;
  }
  const own = store.tenants.get(identity.tenantId);
  // Removed between the look-up of its token and now.
  if (own === null) throw new WardianError('unauthorized', 'the token is not valid');
  if (named !== undefined && named !== own.name) throw noTenant(named);
  return own;
}

/** Throws `forbidden`, `not_found` for a tenant that the caller cannot see, `tenant_suspended`. */
export function callerOf(
  store: Pick<Store, 'getTenant' | 'tenants'>, identity: Identity,
  access: Access = DEFAULT_ACCESS, named?: string,
): Caller {
  const operator = identity.tenantId === null;
  const tenant = tenantFor(store, identity, named);
  if (access.operator === true && !operator) {
    throw new WardianError('forbidden', 'this is the operator\'s alone');
  }
  if (RANK[identity.scope] < RANK[access.scope]) {
    throw new WardianError(
      'forbidden', `the token's scope is ${identity.scope}; this needs ${access.scope}`);
  }
  if (!operator && tenant?.suspended === true && access.scope !== 'read') {
    throw new WardianError('tenant_suspended', 'nothing can be changed meanwhile');
  }
  return { key: identity.key, operator, scope: identity.scope, tenant };
}

/** What the routes of this folder work with. */
export interface Owned {
  readonly store: Store;
  /** Whose things the operator means who names no tenant. */
  readonly tenant: () => Tenant;
}

/** The tenant that a new thing will belong to. */
export function ownerOf(parts: Pick<Owned, 'tenant'>, { caller }: AdminCall): Tenant {
  return caller.tenant ?? parts.tenant();
}

/** The app of the path. Throws `not_found`, also for another tenant's. */
export function requireApp(store: Pick<Store, 'getApp'>, call: AdminCall): App {
  const label = call.params['label'] ?? '';
  const app = store.getApp(label);
  const { tenant } = call.caller;
  if (app === null || (tenant !== null && app.tenantId !== tenant.id)) {
    throw new WardianError('not_found', `there is no app ${label}`);
  }
  return app;
}

/** The namespace of that name. Throws `not_found`, also for another tenant's. */
export function requireNamespace(parts: Owned, call: AdminCall, name: string): Namespace {
  const namespace = parts.store.namespaces.get(ownerOf(parts, call).id, name);
  if (namespace !== null) return namespace;
  throw new WardianError('not_found', `there is no namespace ${name}`);
}
