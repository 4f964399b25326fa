/**
 * Routes of environment variables and secrets. A secret's value comes in the body, as bytes, and is
 * in no answer, log or error.
 */

import type { IncomingMessage } from 'node:http';
import * as z from 'zod';

import type { ListedSecret } from '../../contract/deployment.ts';
import { WardianError } from '../../contract/errors.ts';
import {
  ENV_NAME_LENGTH_MAX, ENV_VALUE_BYTES_MAX, SECRET_VALUE_BYTES_MAX,
} from '../../contract/limits.ts';
import { secretKeyId } from '../../contract/sealed.ts';
import type { RouteChange } from '../store/store.ts';
import { requireApp } from './caller.ts';
import type { Owned } from './caller.ts';
import { limitSchema, textNextOf, textNextSchema } from './page.ts';
import type { AdminAnswer, AdminRoute } from './route.ts';
import { labelSchema } from './views.ts';

export interface EnvironmentRouteParts extends Owned {
  readonly onRoute: (change: RouteChange) => void;
  /** A new key for secrets, with which everybody opens from now on. */
  readonly addSecretsKey: () => Uint8Array;
  /** The same with a key of the operator's, as text. Throws `bad_argument`, `conflict`. */
  readonly giveSecretsKey: (text: string) => Uint8Array;
}

export const BYTES_TYPE = 'application/octet-stream';
const variableSchema = z.string().min(1).max(ENV_NAME_LENGTH_MAX).regex(
  /^[A-Za-z_][A-Za-z0-9_]*$/, 'a variable has A-Z, a-z, 0-9 and _, and no digit first');
const label = { label: labelSchema };
const envView = z.strictObject({ env: z.record(z.string(), z.string()) });

const time = z.iso.datetime();
const secretView = z.strictObject({
  name: z.string(),
  number: z.int().meta({ description: 'Rises with each version of a name; none comes again' }),
  active: z.boolean().meta({ description: 'True for the value that guests get now' }),
  effectiveAt: time,
  createdAt: time,
}).meta({ id: 'Secret' });

export async function readBytes(request: IncomingMessage, bytesMax: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += (chunk as Buffer).length;
    if (size > bytesMax) throw new WardianError('body_too_large', `at most ${bytesMax} bytes`);
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}

function viewSecret(listed: ListedSecret): z.infer<typeof secretView> {
  const { name, number, active, effectiveAtMs, createdAtMs } = listed;
  return {
    name, number, active, effectiveAt: new Date(effectiveAtMs).toISOString(),
    createdAt: new Date(createdAtMs).toISOString(),
  };
}

function envRoutes({ store, onRoute }: EnvironmentRouteParts): AdminRoute[] {
  const body = z.record(
    variableSchema, z.string().max(ENV_VALUE_BYTES_MAX).nullable());
  const viewEnv = (appId: number): z.infer<typeof envView> =>
    ({ env: Object.fromEntries(store.environment.env(appId)) });
  return [{
    method: 'GET', path: '/v1/apps/{label}/env', access: { scope: 'read' }, params: label,
    summary: 'The environment of an app',
    answer: { status: 200, schema: envView },
    errors: ['bad_argument', 'not_found'],
    handle: (call) => ({ status: 200, json: viewEnv(requireApp(store, call).id) }),
  }, {
    method: 'PATCH', path: '/v1/apps/{label}/env', access: { scope: 'deploy' }, params: label,
    body,
    summary: 'Sets the variables that are named; null removes one',
    answer: { status: 200, schema: envView },
    errors: [
      'bad_argument', 'bad_name', 'body_too_large', 'not_found', 'quota_exceeded', 'store_failed',
      'disk_full',
    ],
    async handle(call) {
      const { id } = requireApp(store, call);
      onRoute(await store.environment.setEnv(id, call.body as z.infer<typeof body>));
      return { status: 200, json: viewEnv(id) };
    },
  }];
}

const secretPage = z.strictObject({
  limit: limitSchema,
  after: z.string().max(ENV_NAME_LENGTH_MAX + 20).regex(/^[A-Za-z_][A-Za-z0-9_]*\.\d{1,15}$/)
    .optional().meta({ description: '`next` of the page before' }),
});

function placeOf(after: string): { readonly name: string; readonly number: number } {
  const [name = '', number = ''] = after.split('.');
  return { name, number: Number(number) };
}

function secretRoutes({ store, onRoute }: EnvironmentRouteParts): AdminRoute[] {
  const query = z.strictObject({
    effective_at: z.iso.datetime({ offset: true }).optional()
      .meta({ description: 'From when on guests get it; absent: at once' }),
  });
  const params = { label: labelSchema, name: variableSchema };
  return [{
    method: 'GET', path: '/v1/apps/{label}/secrets', access: { scope: 'read' }, params: label,
    query: secretPage,
    summary: 'The secrets of an app and their versions, without the values',
    answer: {
      status: 200,
      schema: z.strictObject({ secrets: z.array(secretView), next: textNextSchema }),
    },
    errors: ['bad_argument', 'not_found'],
    handle(call) {
      const { limit, after } = call.query as z.infer<typeof secretPage>;
      const secrets = store.environment.listSecrets(requireApp(store, call).id, {
        limit, ...(after === undefined ? {} : { after: placeOf(after) }),
      });
      const next = textNextOf(secrets, limit, ({ name, number }) => `${name}.${number}`);
      return { status: 200, json: { secrets: secrets.map(viewSecret), next } };
    },
  }, {
    method: 'PUT', path: '/v1/apps/{label}/secrets/{name}', access: { scope: 'deploy' }, params,
    query, rawBody: [BYTES_TYPE],
    summary: 'Makes the body the newest version of a secret',
    answer: { status: 200, schema: secretView },
    errors: [
      'bad_argument', 'bad_name', 'bad_upload', 'body_too_large', 'not_found', 'quota_exceeded',
      'store_failed', 'disk_full',
    ],
    async handle(call) {
      const { id } = requireApp(store, call);
      const { effective_at: at } = call.query as z.infer<typeof query>;
      const value = await readBytes(call.request, SECRET_VALUE_BYTES_MAX);
      const put = await store.environment.putSecret(
        id, call.params['name'] ?? '', value, at === undefined ? null : Date.parse(at));
      onRoute(put);
      const { name, number } = put.version;
      const [made] = store.environment.listSecrets(
        id, { limit: 1, after: { name, number: number - 1 } });
      return { status: 200, json: viewSecret(made ?? { ...put.version, active: false }) };
    },
  }, {
    method: 'DELETE', path: '/v1/apps/{label}/secrets/{name}', access: { scope: 'deploy' }, params,
    summary: 'Removes a secret with all its versions',
    answer: { status: 204 },
    errors: ['bad_argument', 'bad_name', 'not_found', 'store_failed'],
    async handle(call) {
      const { id } = requireApp(store, call);
      onRoute(await store.environment.deleteSecret(id, call.params['name'] ?? ''));
      return { status: 204 };
    },
  }];
}

function keysRoute({ store }: EnvironmentRouteParts): AdminRoute {
  const keyView = z.strictObject({
    keyId: z.string().meta({ description: 'Names the key and tells nothing of it' }),
    active: z.boolean().meta({ description: 'True for the one that seals' }),
    present: z.boolean().meta({ description: 'False: what it sealed cannot be opened' }),
    values: z.int().meta({ description: 'Values of secrets that it seals' }),
  });
  return {
    method: 'GET', path: '/v1/secrets/keys', access: { scope: 'read', operator: true },
    summary: 'The keys of secrets by their ids, and how much each still seals',
    answer: { status: 200, schema: z.strictObject({ keys: z.array(keyView) }) },
    errors: [],
    handle: () => ({ status: 200, json: { keys: store.environment.keys() } }),
  };
}

const rotatedView = z.strictObject({
  keyId: z.string(),
  resealed: z.int().meta({ description: 'Values that are sealed with it now' }),
  unopened: z.int().meta({ description: 'Values that no key opens; they stay as they are' }),
});

/** More than a key takes, in hex with a line end. */
const KEY_TEXT_BYTES_MAX = 128;

function rotateRoutes(parts: EnvironmentRouteParts): AdminRoute[] {
  const { store, addSecretsKey, giveSecretsKey } = parts;
  let isUnderWay = false;

  async function rotate(newKey: () => Uint8Array): Promise<AdminAnswer> {
    if (isUnderWay) throw new WardianError('conflict', 'a new key is being put to use already');
    isUnderWay = true;
    try {
      const key = newKey();
      store.environment.addKey(key);
      const { resealed, unopened } = await store.environment.rotate();
      const left = [...unopened.values()].reduce((sum, values) => sum + values, 0);
      return { status: 200, json: { keyId: secretKeyId(key), resealed, unopened: left } };
    } finally {
      isUnderWay = false;
    }
  }

  const access = { scope: 'admin', operator: true } as const;
  const answer = { status: 200, schema: rotatedView };
  return [{
    method: 'POST', path: '/v1/secrets/rotate', access, answer,
    summary: 'Makes a new key for secrets and seals them all with it',
    errors: ['conflict', 'store_failed', 'disk_full'],
    handle: () => rotate(addSecretsKey),
  }, {
    method: 'PUT', path: '/v1/secrets/key', access, answer, rawBody: [BYTES_TYPE],
    summary: 'Seals all secrets with the key in the body, 64 hex digits or base64, from now on',
    errors: [
      'bad_argument', 'bad_upload', 'body_too_large', 'conflict', 'store_failed', 'disk_full',
    ],
    async handle({ request }) {
      const text = (await readBytes(request, KEY_TEXT_BYTES_MAX)).toString('latin1');
      return rotate(() => giveSecretsKey(text));
    },
  }];
}

export function environmentRoutes(parts: EnvironmentRouteParts): AdminRoute[] {
  return [
    ...envRoutes(parts), ...secretRoutes(parts), keysRoute(parts), ...rotateRoutes(parts),
  ];
}
