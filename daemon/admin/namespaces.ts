/** Routes of namespaces: key-value stores of a tenant, and the names by which apps know them. */

import * as z from 'zod';

import type { Namespace } from '../../contract/deployment.ts';
import { NAMESPACE_NAME_LENGTH_MAX } from '../../contract/limits.ts';
import type { RouteChange } from '../store/store.ts';
import { ownerOf, requireApp, requireNamespace } from './caller.ts';
import type { Owned } from './caller.ts';
import {
  limitSchema, nextOf, nextSchema, PAGE_MAX, pageSchema, textNextOf, textNextSchema,
} from './page.ts';
import type { PageQuery } from './page.ts';
import type { AdminCall, AdminRoute } from './route.ts';
import { labelSchema } from './views.ts';

export interface NamespaceRouteParts extends Owned {
  readonly onRoute: (change: RouteChange) => void;
}

export const namespaceSchema = z.string().min(1).max(NAMESPACE_NAME_LENGTH_MAX).regex(
  /^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$/, 'a name has a-z, A-Z, 0-9, ., _ and -');

const namespaceView = z.strictObject({
  name: z.string(),
  keys: z.int(),
  bytes: z.int().meta({ description: 'Of keys and values' }),
  createdAt: z.iso.datetime(),
}).meta({ id: 'Namespace' });

function view({ name, keys, bytes, createdAtMs }: Namespace): z.infer<typeof namespaceView> {
  return { name, keys, bytes, createdAt: new Date(createdAtMs).toISOString() };
}

const params = { namespace: namespaceSchema };

function named(parts: Owned, call: AdminCall): Namespace {
  return requireNamespace(parts, call, call.params['namespace'] ?? '');
}

function collectionRoutes(parts: NamespaceRouteParts): AdminRoute[] {
  const { store } = parts;
  const body = z.strictObject({ name: namespaceSchema });
  return [{
    method: 'GET', path: '/v1/namespaces', access: { scope: 'read' }, query: pageSchema,
    summary: 'The namespaces of a tenant, in the order they were made',
    answer: {
      status: 200, schema: z.strictObject({ namespaces: z.array(namespaceView), next: nextSchema }),
    },
    errors: ['bad_argument'],
    handle(call) {
      const page = call.query as PageQuery;
      const namespaces = store.namespaces.list(ownerOf(parts, call).id, page);
      const next = nextOf(namespaces, page, ({ id }) => id);
      return { status: 200, json: { namespaces: namespaces.map(view), next } };
    },
  }, {
    method: 'POST', path: '/v1/namespaces', access: { scope: 'deploy' }, body,
    summary: 'Makes a namespace',
    answer: { status: 201, schema: namespaceView },
    errors: [
      'bad_argument', 'bad_name', 'body_too_large', 'conflict', 'quota_exceeded', 'store_failed',
      'disk_full',
    ],
    async handle(call) {
      const { name } = call.body as z.infer<typeof body>;
      const made = await store.namespaces.create(ownerOf(parts, call).id, name);
      return { status: 201, json: view(made) };
    },
  }];
}

function itemRoutes(parts: NamespaceRouteParts): AdminRoute[] {
  return [{
    method: 'GET', path: '/v1/namespaces/{namespace}', access: { scope: 'read' }, params,
    summary: 'One namespace',
    answer: { status: 200, schema: namespaceView },
    errors: ['bad_argument', 'not_found'],
    handle: (call) => ({ status: 200, json: view(named(parts, call)) }),
  }, {
    method: 'DELETE', path: '/v1/namespaces/{namespace}', access: { scope: 'deploy' }, params,
    summary: 'Removes a namespace with its entries, and the bindings to it',
    answer: { status: 204 },
    errors: ['bad_argument', 'not_found', 'store_failed'],
    async handle(call) {
      const changes = await parts.store.namespaces.delete(named(parts, call).id);
      for (const change of changes) parts.onRoute(change);
      return { status: 204 };
    },
  }];
}

const bindingQuery = z.strictObject({
  limit: limitSchema,
  after: namespaceSchema.optional().meta({ description: '`next` of the page before' }),
});
type BindingQuery = z.infer<typeof bindingQuery>;

const bindingView = z.strictObject({
  bindings: z.record(z.string(), z.string())
    .meta({ description: 'Name in the app: name of the namespace' }),
  next: textNextSchema,
});
type BindingsView = z.infer<typeof bindingView>;

function bindingRoutes(parts: NamespaceRouteParts): AdminRoute[] {
  const { store, onRoute } = parts;
  const body = z.strictObject({ namespace: namespaceSchema });
  const bindingParams = { label: labelSchema, binding: namespaceSchema };
  const view = (appId: number, page: BindingQuery = { limit: PAGE_MAX }): BindingsView => {
    const { limit, after } = page;
    const found = store.namespaces.listBindings(
      appId, { limit, ...(after === undefined ? {} : { after }) });
    return {
      bindings: Object.fromEntries(found.map(({ name, namespace }) => [name, namespace])),
      next: textNextOf(found, limit, ({ name }) => name),
    };
  };
  return [{
    method: 'GET', path: '/v1/apps/{label}/bindings', access: { scope: 'read' },
    params: { label: labelSchema }, query: bindingQuery,
    summary: 'The namespaces that an app knows, by its names for them',
    answer: { status: 200, schema: bindingView },
    errors: ['bad_argument', 'not_found'],
    handle(call) {
      const { id } = requireApp(store, call);
      return { status: 200, json: view(id, call.query as BindingQuery) };
    },
  }, {
    method: 'PUT', path: '/v1/apps/{label}/bindings/{binding}', access: { scope: 'deploy' },
    params: bindingParams, body,
    summary: 'Lets an app know a namespace of its tenant by a name',
    answer: { status: 200, schema: bindingView },
    errors: [
      'bad_argument', 'bad_name', 'body_too_large', 'not_found', 'quota_exceeded', 'store_failed',
      'disk_full',
    ],
    async handle(call) {
      const app = requireApp(store, call);
      const { namespace: name } = call.body as z.infer<typeof body>;
      // The app's tenant, not the caller's: the operator may name none.
      const owner = store.tenants.get(app.tenantId);
      const { caller } = call;
      const namespace = requireNamespace(
        parts, { ...call, caller: { ...caller, tenant: owner } }, name);
      onRoute(await store.namespaces.bind(app.id, call.params['binding'] ?? '', namespace.id));
      return { status: 200, json: view(app.id) };
    },
  }, {
    method: 'DELETE', path: '/v1/apps/{label}/bindings/{binding}', access: { scope: 'deploy' },
    params: bindingParams,
    summary: 'Takes a namespace from an app',
    answer: { status: 200, schema: bindingView },
    errors: ['bad_argument', 'bad_name', 'not_found', 'store_failed'],
    async handle(call) {
      const app = requireApp(store, call);
      onRoute(await store.namespaces.unbind(app.id, call.params['binding'] ?? ''));
      return { status: 200, json: view(app.id) };
    },
  }];
}

export function namespaceRoutes(parts: NamespaceRouteParts): AdminRoute[] {
  return [...collectionRoutes(parts), ...itemRoutes(parts), ...bindingRoutes(parts)];
}
