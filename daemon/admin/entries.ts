/**
 * Routes of key-value entries, the same ones for namespaces and for apps' own stores. A key is
 * bytes: given and shown as text where it is UTF-8 (`key`), as base64url where it is not (`key64`).
 */

import * as z from 'zod';

import { WardianError } from '../../contract/errors.ts';
import {
  KV_KEY_BYTES_MAX, KV_LIST_MAX, KV_TTL_MS_MAX, KV_VALUE_BYTES_MAX, MIB,
} from '../../contract/limits.ts';
import type { DeployPipeline } from '../deploy/pipeline.ts';
import { ownerOf, requireApp, requireNamespace } from './caller.ts';
import type { Owned } from './caller.ts';
import { BYTES_TYPE, readBytes } from './environment.ts';
import { namespaceSchema } from './namespaces.ts';
import type { AdminAnswer, AdminCall, AdminRoute } from './route.ts';
import { labelSchema } from './views.ts';

export interface EntryRouteParts extends Owned {
  readonly pipeline: Pick<DeployPipeline, 'hold'>;
}

export const LINES_TYPE = 'application/x-ndjson';
const IMPORT_BYTES_MAX = 16 * MIB;
const WRITES_AT_ONCE = 64;
const EXPORT_PAGE = 100;
const BASE64URL = /^[A-Za-z0-9_-]*$/;

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** As text if it is UTF-8, else null. */
function textOf(bytes: Uint8Array): string | null {
  try {
    return decoder.decode(bytes);
  } catch (error) {
    if (error instanceof TypeError) return null;
    throw error;
  }
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url');
const base64Schema = z.string().regex(BASE64URL, 'expected base64url without padding');

/** `{key}` or `{key64}`, `{value}` or `{value64}`. */
function shown<Name extends string>(name: Name, bytes: Uint8Array) {
  const text = textOf(bytes);
  return text === null ? { [`${name}64`]: base64(bytes) } : { [name]: text };
}

/** Throws `bad_argument` unless exactly one of both is given. */
function bytesOf(name: string, text: string | undefined, encoded: string | undefined): Uint8Array {
  if ((text === undefined) === (encoded === undefined)) {
    throw new WardianError('bad_argument', `give ${name} or ${name}64`);
  }
  return new Uint8Array(text === undefined
    ? Buffer.from(encoded ?? '', 'base64url') : Buffer.from(text, 'utf8'));
}

const keyText = z.string().max(KV_KEY_BYTES_MAX);
const key64 = base64Schema.max(Math.ceil(KV_KEY_BYTES_MAX * 4 / 3));
const keyQuery = z.strictObject({
  key: keyText.optional(), key64: key64.optional().meta({ description: 'In base64url' }),
});

/** Where the entries are: a path's beginning, its parameters, and the store that it names. */
interface Place {
  readonly path: string;
  readonly params: NonNullable<AdminRoute['params']>;
  readonly storeOf: (call: AdminCall) => number;
}

interface Context extends Place {
  readonly parts: EntryRouteParts;
}

const keyView = z.strictObject({
  key: z.string().optional(),
  key64: z.string().optional().meta({ description: 'In base64url: the key is not UTF-8' }),
  bytes: z.int().meta({ description: 'Of the value' }),
  revision: z.int(),
  expiresAt: z.iso.datetime().nullable(),
});

const isoOrNull = (ms: number | null): string | null =>
  (ms === null ? null : new Date(ms).toISOString());

function listRoute({ parts, path, params, storeOf }: Context): AdminRoute {
  const query = z.strictObject({
    prefix: keyText.optional(),
    prefix64: key64.optional(),
    after: base64Schema.max(4_096).optional().meta({ description: '`next` of the page before' }),
    limit: z.coerce.number().int().min(1).max(KV_LIST_MAX).default(KV_LIST_MAX),
  });
  return {
    method: 'GET', path: `${path}/entries`, access: { scope: 'read' }, params, query,
    summary: 'Keys that begin with a prefix, in the order of their bytes',
    answer: {
      status: 200,
      schema: z.strictObject({ entries: z.array(keyView), next: z.string().nullable() }),
    },
    errors: ['bad_argument', 'not_found'],
    handle(call) {
      const { prefix, prefix64, after, limit } = call.query as z.infer<typeof query>;
      const isWhole = prefix === undefined && prefix64 === undefined;
      const start = isWhole ? new Uint8Array() : bytesOf('prefix', prefix, prefix64);
      const cursor = after === undefined ? null : new Uint8Array(Buffer.from(after, 'base64url'));
      const page = parts.store.namespaces.keys(storeOf(call), start, cursor, limit);
      const entries = page.keys.map(({ key, byteLength, revision, expiresAtMs }) => ({
        ...shown('key', key), bytes: byteLength, revision, expiresAt: isoOrNull(expiresAtMs),
      }));
      return {
        status: 200, json: { entries, next: page.next === null ? null : base64(page.next) },
      };
    },
  };
}

const noKey = (): WardianError => new WardianError('not_found', 'there is no such key');

function getRoute({ parts, path, params, storeOf }: Context): AdminRoute {
  return {
    method: 'GET', path: `${path}/entry`, access: { scope: 'read' }, params, query: keyQuery,
    summary: 'The value of a key as it is; revision and expiry are in headers',
    answer: { status: 200, contentType: BYTES_TYPE },
    errors: ['bad_argument', 'not_found'],
    handle(call) {
      const { key, key64: encoded } = call.query as z.infer<typeof keyQuery>;
      const entry = parts.store.namespaces.read(storeOf(call), bytesOf('key', key, encoded));
      if (entry === null) throw noKey();
      const expiresAt = isoOrNull(entry.expiresAtMs);
      return {
        status: 200, bytes: entry.value, contentType: BYTES_TYPE,
        headers: {
          'wardian-revision': String(entry.revision),
          ...(expiresAt === null ? {} : { 'wardian-expires-at': expiresAt }),
        },
      };
    },
  };
}

const putQuery = keyQuery.extend({
  mode: z.enum(['always', 'absent', 'append']).default('always'),
  ttl_seconds: z.coerce.number().int().min(1).max(KV_TTL_MS_MAX / 1_000).optional(),
  if_revision: z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER).optional()
    .meta({ description: 'Only if the entry still has it; 0: only if there is none' }),
});

async function put({ parts, storeOf }: Context, call: AdminCall): Promise<AdminAnswer> {
  const { key, key64: encoded, mode, ttl_seconds: ttl, if_revision: revision } =
    call.query as z.infer<typeof putQuery>;
  const place = { storeId: storeOf(call), key: bytesOf('key', key, encoded) };
  if (revision !== undefined && mode !== 'always') {
    throw new WardianError('bad_argument', 'query.if_revision: only with mode=always');
  }
  const release = parts.pipeline.hold(KV_VALUE_BYTES_MAX, ownerOf(parts, call).id);
  try {
    const value = new Uint8Array(await readBytes(call.request, KV_VALUE_BYTES_MAX));
    const ttlMs = ttl === undefined ? {} : { ttlMs: ttl * 1_000 };
    const outcome = await parts.store.namespaces.write(revision === undefined
      ? { op: 'kv_put', ...place, value, mode, ...ttlMs }
      : { op: 'kv_compare', ...place, revision, value, ...ttlMs });
    if (outcome.stored === false) {
      throw new WardianError('conflict', revision === undefined
        ? 'the key is there already' : 'the entry has another revision');
    }
    return { status: 200, json: { revision: outcome.revision } };
  } finally {
    release();
  }
}

function putRoute(context: Context): AdminRoute {
  return {
    method: 'PUT', path: `${context.path}/entry`, access: { scope: 'deploy' },
    params: context.params, query: putQuery, rawBody: [BYTES_TYPE],
    summary: 'Makes the body the value of a key; answers when it is on the disk',
    answer: { status: 200, schema: z.strictObject({ revision: z.int() }) },
    errors: [
      'bad_argument', 'bad_upload', 'body_too_large', 'not_found', 'conflict', 'overloaded',
      'storage_full', 'store_failed', 'disk_full',
    ],
    handle: (call) => put(context, call),
  };
}

function deleteRoute({ parts, path, params, storeOf }: Context): AdminRoute {
  return {
    method: 'DELETE', path: `${path}/entry`, access: { scope: 'deploy' }, params, query: keyQuery,
    summary: 'Removes a key',
    answer: { status: 204 },
    errors: ['bad_argument', 'not_found', 'store_failed'],
    async handle(call) {
      const { key, key64: encoded } = call.query as z.infer<typeof keyQuery>;
      const storeId = storeOf(call);
      const { absent } = await parts.store.namespaces.write(
        { op: 'kv_delete', storeId, key: bytesOf('key', key, encoded) });
      if (absent) throw noKey();
      return { status: 204 };
    },
  };
}

const lineSchema = z.strictObject({
  key: keyText.optional(),
  key64: key64.optional(),
  value: z.string().max(KV_VALUE_BYTES_MAX).optional(),
  value64: base64Schema.max(Math.ceil(KV_VALUE_BYTES_MAX * 4 / 3)).optional(),
  expiresAt: z.iso.datetime({ offset: true }).nullable().default(null),
});

/** One line for each entry; what changes meanwhile is there as it was when its line was written. */
async function* exported(
  { parts }: Context, storeId: number, signal: AbortSignal,
): AsyncGenerator<unknown> {
  let after: Uint8Array | null = null;
  do {
    const page = parts.store.namespaces.keys(storeId, new Uint8Array(), after, EXPORT_PAGE);
    for (const { key } of page.keys) {
      if (signal.aborted) return;
      const entry = parts.store.namespaces.read(storeId, key);
      if (entry === null) continue;
      yield {
        ...shown('key', key), ...shown('value', entry.value),
        expiresAt: isoOrNull(entry.expiresAtMs),
      };
    }
    after = page.next;
    // Reads are on this thread: requests of guests go between the pages.
    await new Promise((resolve) => setImmediate(resolve));
  } while (after !== null);
}

function exportRoute(context: Context): AdminRoute {
  return {
    method: 'GET', path: `${context.path}/export`, access: { scope: 'read' },
    params: context.params,
    summary: 'All entries, one JSON line each, as the import takes them',
    answer: { status: 200, contentType: LINES_TYPE, schema: lineSchema },
    errors: ['bad_argument', 'not_found'],
    handle: (call) => ({
      status: 200, events: exported(context, context.storeOf(call), call.signal),
    }),
  };
}

interface Imported {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly expiresAtMs: number | null;
}

/** Throws `bad_argument` with the line's number. */
function importLine(text: string, number: number): Imported {
  try {
    const line = lineSchema.parse(JSON.parse(text));
    return {
      key: bytesOf('key', line.key, line.key64),
      value: bytesOf('value', line.value, line.value64),
      expiresAtMs: line.expiresAt === null ? null : Date.parse(line.expiresAt),
    };
  } catch (error) {
    const issue = error instanceof z.ZodError ? error.issues[0] : undefined;
    const zod = issue === undefined ? 'not JSON' : `${issue.path.join('.')}: ${issue.message}`;
    const reason = error instanceof WardianError ? error.message : zod;
    throw new WardianError('bad_argument', `line ${number}: ${reason}`, { cause: error });
  }
}

/** All lines are read before the first is written: a mistake in one changes nothing. */
async function importAll({ parts }: Context, storeId: number, text: string): Promise<number> {
  const entries = text.split('\n').flatMap((line, index) =>
    (line.trim() === '' ? [] : [importLine(line, index + 1)]));
  const nowMs = Date.now();
  const live = entries.filter(({ expiresAtMs }) => expiresAtMs === null || expiresAtMs > nowMs);
  for (let first = 0; first < live.length; first += WRITES_AT_ONCE) {
    await Promise.all(live.slice(first, first + WRITES_AT_ONCE)
      .map(({ key, value, expiresAtMs }) => parts.store.namespaces.write({
        op: 'kv_put', storeId, key, value, mode: 'always',
        ...(expiresAtMs === null ? {} : { ttlMs: Math.min(expiresAtMs - nowMs, KV_TTL_MS_MAX) }),
      })));
  }
  return live.length;
}

function importRoute(context: Context): AdminRoute {
  const { parts, path, params, storeOf } = context;
  return {
    method: 'POST', path: `${path}/import`, access: { scope: 'deploy' }, params,
    rawBody: [LINES_TYPE],
    summary: `Puts entries, one JSON line each; at most ${IMPORT_BYTES_MAX / MIB} MiB at a time`,
    answer: { status: 200, schema: z.strictObject({ imported: z.int() }) },
    errors: [
      'bad_argument', 'bad_upload', 'body_too_large', 'not_found', 'overloaded', 'storage_full',
      'store_failed', 'disk_full',
    ],
    async handle(call) {
      const storeId = storeOf(call);
      const release = parts.pipeline.hold(IMPORT_BYTES_MAX, ownerOf(parts, call).id);
      try {
        const text = textOf(await readBytes(call.request, IMPORT_BYTES_MAX));
        if (text === null) throw new WardianError('bad_argument', 'the body is not UTF-8');
        return { status: 200, json: { imported: await importAll(context, storeId, text) } };
      } finally {
        release();
      }
    },
  };
}

export function entryRoutes(parts: EntryRouteParts): AdminRoute[] {
  const places: Place[] = [{
    path: '/v1/namespaces/{namespace}', params: { namespace: namespaceSchema },
    storeOf: (call) => requireNamespace(parts, call, call.params['namespace'] ?? '').id,
  }, {
    path: '/v1/apps/{label}/store', params: { label: labelSchema },
    storeOf: (call) => requireApp(parts.store, call).id,
  }];
  return places.flatMap((place) => {
    const context = { ...place, parts };
    return [
      listRoute(context), getRoute(context), putRoute(context), deleteRoute(context),
      exportRoute(context), importRoute(context),
    ];
  });
}
