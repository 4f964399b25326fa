/**
 * `POST /v1/restore`: a backup takes the database's place while all goes on. It is put into the
 * data folder under a name of its own first, and checked there from end to end: until then nothing
 * has changed.
 *
 *   upload ──▶ staged, on the disk ──▶ checked, migrated ──▶ exchanged ──▶ answered
 *      └────────────┴─────────────────────┴── refused: the staged file goes, nothing has changed
 */

import { randomUUID } from 'node:crypto';
import { createWriteStream, statfsSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { basename, join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import * as z from 'zod';

import { WardianError } from '../../contract/errors.ts';
import { KeyRing } from '../../contract/key-ring.ts';
import { RESTORE_WAIT_S_MAX, RESTORE_WORK_MS } from '../../contract/limits.ts';
import { removeStaged, stagedName } from '../store/exchange.ts';
import { storeFailure } from '../store/failure.ts';
import { folderId } from '../store/lock.ts';
import type { Replaced } from '../store/commands.ts';
import type { Staged } from '../store/staged.ts';
import type { Store } from '../store/store.ts';
import { BACKUP_TYPE } from './backup.ts';
import type { AdminAnswer, AdminCall, AdminRoute } from './route.ts';

/**
 * How the checked file takes the place of the database. `assertWanted` is called right before that,
 * once all that had to end has ended; nothing is changed when it throws.
 */
export type Restore = (
  staged: string, found: Staged, waitMs: number, assertWanted: () => void,
) => Promise<Replaced>;

export interface RestoreRouteParts {
  readonly store: Pick<Store, 'checkStaged' | 'freeBytesMin'>;
  readonly dataFolder: string;
  /** What opens secrets now and after the next start. */
  readonly durableKeys: () => readonly Uint8Array[];
  readonly restore: Restore;
}

const WARNING_IDS_MAX = 20;

const querySchema = z.strictObject({
  missing_keys: z.enum(['refuse', 'accept']).default('refuse').meta({
    description: 'Whether a backup is taken that has secrets which no key here opens',
  }),
  folder: z.string().regex(/^\d{1,20}-\d{1,20}$/).optional().meta({
    description: 'Device and inode of the file wardian.lock in the data folder that is meant: a '
      + 'daemon of another folder refuses',
  }),
  wait_seconds: z.coerce.number().int().min(1).max(RESTORE_WAIT_S_MAX)
    .default(RESTORE_WORK_MS / 1_000)
    .meta({ description: 'How long deploys and other changes under way may take to end' }),
});
type RestoreQuery = z.infer<typeof querySchema>;

const restoredView = z.strictObject({
  apps: z.int(),
  tenants: z.int(),
  schema: z.int().meta({ description: 'Of the backup, before it was migrated' }),
  kept: z.string().nullable().meta({
    description: 'Name of the file in the data folder that is the database as it was',
  }),
  warnings: z.array(z.string()),
});

function announcedBytes(request: IncomingMessage): number {
  const announced = Number(request.headers['content-length'] ?? Number.NaN);
  if (Number.isSafeInteger(announced) && announced > 0) return announced;
  throw new WardianError('bad_upload', 'a backup comes with its content-length');
}

/** Writes of guests go on meanwhile, and must not get 507 for it. */
function assertRoom({ store, dataFolder }: RestoreRouteParts, bytes: number): void {
  const { bavail, bsize } = statfsSync(dataFolder);
  const needed = bytes + 2 * store.freeBytesMin;
  if (bavail * bsize >= needed) return;
  throw new WardianError(
    'disk_full', `a restore of ${bytes} bytes needs ${needed} free bytes in the data folder`);
}

/** Readable by its owner alone. */
async function stage(request: IncomingMessage, bytes: number, staged: string): Promise<void> {
  let received = 0;
  const counted = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      received += chunk.length;
      done(null, chunk);
    },
  });
  try {
    await pipeline(
      request, counted, createWriteStream(staged, { flags: 'wx', mode: 0o600, flush: true }));
  } catch (error) {
    if (request.destroyed && received < bytes) {
      throw new WardianError('client_closed', 'the upload has ended too soon', { cause: error });
    }
    throw storeFailure(error, staged);
  }
}

async function check(
  { store, durableKeys }: RestoreRouteParts, staged: string, query: RestoreQuery,
): Promise<Staged> {
  let found: Staged;
  try {
    found = await store.checkStaged(staged, KeyRing.of(durableKeys()).memory);
  } catch (error) {
    if (!(error instanceof WardianError) || error.code !== 'store_unusable') throw error;
    throw new WardianError('bad_upload', error.message, { cause: error });
  }
  if (found.unopened.size > 0 && query.missing_keys === 'refuse') {
    throw new WardianError('conflict', `${unopenedText(found)}: add the keys that are missing to `
      + 'those of this node and restart it, or accept that these secrets are lost '
      + '(missing_keys=accept); nothing was changed');
  }
  return found;
}

const unopenedText = ({ unopened }: Staged): string =>
  `no key of this node opens ${[...unopened].slice(0, WARNING_IDS_MAX)
    .map(([keyId, values]) => `${values} secrets of the key ${keyId}`).join(', ')}`;

function warningsOf(found: Staged, replaced: Replaced): string[] {
  const { tokensBack, unopened } = found;
  const ids = tokensBack.slice(0, WARNING_IDS_MAX).join(', ');
  const more = tokensBack.length > WARNING_IDS_MAX ? ', …' : '';
  return [
    ...(unopened.size === 0 ? [] : [unopenedText(found)]),
    ...(tokensBack.length === 0 ? [] : [`tokens are valid that were not before (ids ${ids}${more}):`
      + ' revoke again those that were revoked since the backup']),
    ...replaced.warnings,
  ];
}

async function carryOut(
  parts: RestoreRouteParts, { query, request, assertWanted }: AdminCall,
): Promise<AdminAnswer> {
  const wanted = query as RestoreQuery;
  if (wanted.folder !== undefined && wanted.folder !== folderId(parts.dataFolder)) {
    throw new WardianError('conflict', 'the daemon at this address serves another data folder: '
      + 'give the address of the one that is meant (--admin-url); nothing was changed');
  }
  const bytes = announcedBytes(request);
  assertRoom(parts, bytes);
  const staged = join(parts.dataFolder, stagedName(randomUUID()));
  try {
    await stage(request, bytes, staged);
    const found = await check(parts, staged, wanted);
    assertWanted();
    const replaced =
      await parts.restore(staged, found, wanted.wait_seconds * 1_000, assertWanted);
    const { apps, tenants, schema } = found;
    const kept = replaced.kept === null ? null : basename(replaced.kept);
    return {
      status: 200,
      json: { apps, tenants, schema, kept, warnings: warningsOf(found, replaced) },
    };
  } finally {
    removeStaged(staged);
  }
}

export function restoreRoute(parts: RestoreRouteParts): AdminRoute {
  let isUnderWay = false;
  return {
    method: 'POST', path: '/v1/restore', access: { scope: 'admin', operator: true }, apart: true,
    query: querySchema, rawBody: [BACKUP_TYPE],
    summary: 'Puts a backup in the place of all that is stored, while requests are served',
    answer: { status: 200, schema: restoredView },
    errors: ['bad_argument', 'bad_upload', 'conflict', 'store_failed', 'disk_full'],
    async handle(call) {
      if (isUnderWay) throw new WardianError('conflict', 'a backup is being restored already');
      isUnderWay = true;
      try {
        return await carryOut(parts, call);
      } finally {
        isUnderWay = false;
      }
    },
  };
}
