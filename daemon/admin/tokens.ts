/** Routes of tokens. The token itself is in one answer, the one that makes it. */

import * as z from 'zod';

import type { Token } from '../../contract/deployment.ts';
import { WardianError } from '../../contract/errors.ts';
import { TOKEN_NAME_LENGTH_MAX } from '../../contract/limits.ts';
import type { Owned } from './caller.ts';
import { nextOf, nextSchema, pageSchema } from './page.ts';
import type { PageQuery } from './page.ts';
import type { AdminCall, AdminRoute } from './route.ts';

const LIFE_SECONDS_MAX = 10 * 365 * 24 * 3_600;

const scope = z.enum(['read', 'deploy', 'admin']);
const time = z.iso.datetime();
const tokenView = z.strictObject({
  id: z.int(),
  tenant: z.string().nullable().meta({ description: 'Null: the operator\'s' }),
  name: z.string(),
  scope,
  createdAt: time,
  expiresAt: time.nullable(),
  lastUsedAt: time.nullable().meta({ description: 'To the minute' }),
}).meta({ id: 'Token' });

const iso = (ms: number): string => new Date(ms).toISOString();
const isoOrNull = (ms: number | null): string | null => (ms === null ? null : iso(ms));

function view(token: Token, { caller }: AdminCall): z.infer<typeof tokenView> {
  const { id, name, scope: tokenScope, createdAtMs, expiresAtMs, lastUsedAtMs } = token;
  return {
    id, tenant: caller.tenant?.name ?? null, name, scope: tokenScope, createdAt: iso(createdAtMs),
    expiresAt: isoOrNull(expiresAtMs), lastUsedAt: isoOrNull(lastUsedAtMs),
  };
}

const access = { scope: 'admin' } as const;

function listTokens({ store }: Owned): AdminRoute {
  return {
    method: 'GET', path: '/v1/tokens', access, query: pageSchema,
    summary: 'The tokens of a tenant; of the operator when no tenant is named',
    answer: {
      status: 200, schema: z.strictObject({ tokens: z.array(tokenView), next: nextSchema }),
    },
    errors: ['bad_argument'],
    handle(call) {
      const page = call.query as PageQuery;
      const tokens = store.tenants.listTokens(call.caller.tenant?.id ?? null, page);
      return {
        status: 200,
        json: {
          tokens: tokens.map((token) => view(token, call)), next: nextOf(tokens, page, (t) => t.id),
        },
      };
    },
  };
}

function createToken({ store }: Owned): AdminRoute {
  const body = z.strictObject({
    name: z.string().min(1).max(TOKEN_NAME_LENGTH_MAX),
    scope,
    lifeSeconds: z.int().min(1).max(LIFE_SECONDS_MAX).optional()
      .meta({ description: 'Absent: until it is revoked' }),
  });
  const made = tokenView.extend({
    secret: z.string().meta({ description: 'The token itself; it cannot be had again' }),
  });
  return {
    method: 'POST', path: '/v1/tokens', access, body,
    summary: 'Makes a token for a tenant; for the operator when no tenant is named',
    answer: { status: 201, schema: made },
    errors: [
      'bad_argument', 'bad_name', 'body_too_large', 'quota_exceeded', 'store_failed', 'disk_full',
    ],
    async handle(call) {
      const { name, scope: tokenScope, lifeSeconds } = call.body as z.infer<typeof body>;
      const { token, secret } = await store.tenants.createToken({
        tenantId: call.caller.tenant?.id ?? null, name, scope: tokenScope,
        expiresAtMs: lifeSeconds === undefined ? null : Date.now() + lifeSeconds * 1_000,
      });
      return { status: 201, json: { ...view(token, call), secret } };
    },
  };
}

function revokeToken({ store }: Owned): AdminRoute {
  const id = z.string().regex(/^[1-9]\d{0,14}$/, 'expected the id of a token');
  return {
    method: 'DELETE', path: '/v1/tokens/{id}', access, params: { id },
    summary: 'Revokes a token at once',
    answer: { status: 204 },
    errors: ['bad_argument', 'not_found', 'store_failed'],
    async handle({ params, caller }) {
      const tokenId = Number(params['id']);
      const [token] = store.tenants.listTokens(
        caller.tenant?.id ?? null, { after: tokenId - 1, limit: 1 });
      if (token?.id !== tokenId) {
        throw new WardianError('not_found', `there is no token ${tokenId}`);
      }
      await store.tenants.revokeToken(tokenId);
      return { status: 204 };
    },
  };
}

export function tokenRoutes(parts: Owned): AdminRoute[] {
  return [listTokens(parts), createToken(parts), revokeToken(parts)];
}
