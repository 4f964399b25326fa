/**
 * Keeps two daemons from sharing a data folder. The lock is SQLite's own exclusive lock on a small
 * file beside the database: the operating system releases it when the process ends, however it
 * ends. The holder's pid is written next to it, only to be named in the refusal.
 */

import {
  closeSync, existsSync, openSync, readFileSync, rmSync, statSync, writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import { WardianError } from '../../contract/errors.ts';
import { isLocked, storeFailure } from './failure.ts';

export const LOCK_FILE = 'wardian.lock';
export const PID_FILE = 'wardian.pid';

export interface FolderLock {
  release(): void;
}

function holderOf(folder: string): string {
  try {
    const text = readFileSync(join(folder, PID_FILE), 'utf8').trim();
    return /^\d{1,10}$/.test(text) ? `process ${text}` : 'another process';
  } catch {
    // The holder has the lock and has not written its pid yet.
    return 'another process';
  }
}

/** Throws WardianError `store_failed` when another daemon, or this one, holds the folder. */
export function lockFolder(folder: string): FolderLock {
  const path = join(folder, LOCK_FILE);
  let database: DatabaseSync | null = null;
  try {
    closeSync(openSync(path, 'a', 0o600));
    database = new DatabaseSync(path, { timeout: 0 });
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
    writeFileSync(join(folder, PID_FILE), `${process.pid}\n`, { mode: 0o600 });
  } catch (cause) {
    if (database?.isOpen) database.close();
    if (!isLocked(cause)) throw storeFailure(cause, path);
    throw new WardianError(
      'store_failed', `the data folder ${folder} is in use by ${holderOf(folder)}`, { cause },
    );
  }
  const held = database;
  return {
    release() {
      if (!held.isOpen) return;
      rmSync(join(folder, PID_FILE), { force: true });
      held.close();
    },
  };
}

/**
 * Names the folder on this machine, whatever path leads to it. Throws WardianError `store_failed`
 * where no daemon has ever held it.
 */
export function folderId(folder: string): string {
  const path = join(folder, LOCK_FILE);
  try {
    const { dev, ino } = statSync(path, { bigint: true });
    return `${dev}-${ino}`;
  } catch (error) {
    throw storeFailure(error, path);
  }
}

/** Whether a process holds the folder now; false where there is none. */
export function folderIsHeld(folder: string): boolean {
  const path = join(folder, LOCK_FILE);
  if (!existsSync(path)) return false;
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
    return false;
  } catch (error) {
    if (isLocked(error)) return true;
    throw storeFailure(error, path);
  } finally {
    database.close();
  }
}
