/**
 * `GET /v1/backup`: everything in the database as it is at one moment, while all goes on. Written
 * to a file in the data folder first, as it must be whole before its length can be told, then sent
 * and removed. The keys of secrets are not in it.
 */

import { createReadStream, readdirSync, rmSync, statfsSync, statSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';

import { WardianError } from '../../contract/errors.ts';
import type { Store } from '../store/store.ts';
import type { AdminAnswer, AdminRoute } from './route.ts';

export interface BackupRouteParts {
  readonly store: Pick<Store, 'backup' | 'databasePath' | 'freeBytesMin'>;
  readonly dataFolder: string;
}

export const BACKUP_TYPE = 'application/vnd.sqlite3';
const FILE_PATTERN = /^backup-[0-9a-f-]{36}\.db(\.[0-9a-f-]{36}\.part)?$/;

/** What a daemon left that ended in the middle of a backup. */
export function removeOldBackups(dataFolder: string): void {
  for (const name of readdirSync(dataFolder)) {
    if (FILE_PATTERN.test(name)) rmSync(join(dataFolder, name), { force: true });
  }
}

/** A backup must not be what fills the disk: guests would get 507 for it. */
function assertRoom({ store, dataFolder }: BackupRouteParts): void {
  const { bavail, bsize } = statfsSync(dataFolder);
  const needed = statSync(store.databasePath).size + 2 * store.freeBytesMin;
  if (bavail * bsize >= needed) return;
  throw new WardianError(
    'disk_full', `a backup needs ${needed} free bytes in the data folder for a while`);
}

async function backUp(parts: BackupRouteParts): Promise<AdminAnswer> {
  assertRoom(parts);
  const path = join(parts.dataFolder, `backup-${randomUUID()}.db`);
  const byteLength = await parts.store.backup(path);
  const stream = createReadStream(path);
  // Once it is open, the name is not needed any more.
  stream.once('open', () => rmSync(path, { force: true }));
  stream.once('error', () => rmSync(path, { force: true }));
  return { status: 200, stream, contentType: BACKUP_TYPE, byteLength };
}

export function backupRoute(parts: BackupRouteParts): AdminRoute {
  let isUnderWay = false;
  return {
    method: 'GET', path: '/v1/backup', access: { scope: 'admin', operator: true },
    summary: 'A backup: an SQLite database of all that is stored, without the keys of secrets',
    answer: { status: 200, contentType: BACKUP_TYPE },
    errors: ['conflict', 'store_failed', 'disk_full'],
    async handle() {
      if (isUnderWay) throw new WardianError('conflict', 'a backup is being written already');
      isUnderWay = true;
      try {
        return await backUp(parts);
      } finally {
        isUnderWay = false;
      }
    },
  };
}
