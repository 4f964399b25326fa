/**
 * Turns what SQLite throws into the errors of the table: a full disk, a damaged file and a failing
 * disk are three different things to an operator. The file is named by its base name only.
 */

import { statfsSync } from 'node:fs';
import { basename } from 'node:path';

import { WardianError } from '../../contract/errors.ts';

// Primary result codes: https://sqlite.org/rescode.html
const SQLITE_BUSY = 5;
const SQLITE_READONLY = 8;
const SQLITE_IOERR = 10;
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;
const SQLITE_CANTOPEN = 14;
const SQLITE_CONSTRAINT = 19;
const SQLITE_NOTADB = 26;

/** With less than this, an input/output error is taken for a full disk: SQLite is not sure. */
const NEARLY_NO_BYTES = 1024 * 1024;

/** The primary result code of an error that SQLite raised, or null. */
export function sqliteCode(error: unknown): number | null {
  if (!(error instanceof Error) || !('errcode' in error)) return null;
  return typeof error.errcode === 'number' ? error.errcode & 0xff : null;
}

/** The file does not hold what SQLite has written there. */
export function isDamage(error: unknown): boolean {
  const code = sqliteCode(error);
  return code === SQLITE_CORRUPT || code === SQLITE_NOTADB;
}

export function isLocked(error: unknown): boolean {
  return sqliteCode(error) === SQLITE_BUSY;
}

function firstLine(error: unknown): string {
  return String(error instanceof Error ? error.message : error).split('\n', 1)[0] ?? '';
}

function diskIsFull(path: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(path);
    return bavail * bsize < NEARLY_NO_BYTES;
  } catch {
    // The file or its folder is gone: an input/output error, whatever the disk's state.
    return false;
  }
}

/** `path` is the database's; its base name is all that the message says of it. */
export function storeFailure(error: unknown, path: string): WardianError {
  if (error instanceof WardianError) return error;
  const file = basename(path);
  const cause = { cause: error };
  if (error instanceof Error && 'syscall' in error && 'code' in error) {
    return error.code === 'ENOSPC'
      ? new WardianError('disk_full', 'the disk is full', cause)
      : new WardianError('store_failed', `${file} cannot be opened: ${String(error.code)}`, cause);
  }
  switch (sqliteCode(error)) {
    case SQLITE_FULL:
      return new WardianError('disk_full', 'the disk is full', cause);
    case SQLITE_IOERR:
      return diskIsFull(path)
        ? new WardianError('disk_full', 'the disk is full', cause)
        : new WardianError('store_failed', `${file}: the disk failed to read or write`, cause);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return new WardianError('store_unusable', `${file} is damaged: ${firstLine(error)}`, cause);
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
      return new WardianError('store_failed', `${file} cannot be opened for writing`, cause);
    case SQLITE_BUSY:
      return new WardianError('store_failed', `${file} is locked by another program`, cause);
    case SQLITE_CONSTRAINT:
      return new WardianError('conflict', 'it contradicts what is stored', cause);
    default:
      return new WardianError('store_failed', `${file} could not be read or written`, cause);
  }
}
