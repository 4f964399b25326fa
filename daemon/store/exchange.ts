/**
 * Puts one database in the place of another. There is one under the name at every moment: whoever
 * starts after a crash finds the old or the new, never none, and never one with the other's log.
 *
 *   old ──kept under a second name──▶ its logs gone ──▶ new under the name
 */

import {
  existsSync, linkSync, readdirSync, renameSync, rmSync, statSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';

import { DATABASE_FILE } from '../../contract/schema.ts';
import { syncPath } from '../sync.ts';

const KEPT_PREFIX = `${DATABASE_FILE}.before-restore-`;
const LOGS = ['-wal', '-shm'];
/** What is put in place, while it is made ready, with the logs that SQLite keeps beside it. */
const STAGED_PATTERN = /^restore-[0-9a-f-]{36}\.db/;

export function stagedName(id: string): string {
  return `restore-${id}.db`;
}

/** With what SQLite keeps beside it. Nothing may have it open. */
export function removeStaged(staged: string): void {
  const folder = dirname(staged);
  for (const name of readdirSync(folder)) {
    if (name.startsWith(basename(staged))) rmSync(join(folder, name), { force: true });
  }
}

/** What is left of a restore that ended in the middle. */
export function removeAllStaged(dataFolder: string): void {
  for (const name of readdirSync(dataFolder)) {
    if (STAGED_PATTERN.test(name)) rmSync(join(dataFolder, name), { force: true });
  }
}

/** It has its one name again, and its logs. */
function takeBack(path: string, kept: string): void {
  for (const log of LOGS) {
    if (existsSync(kept + log) && !existsSync(path + log)) renameSync(kept + log, path + log);
  }
  rmSync(kept);
}

/**
 * Undoes what a process did that was killed before the new database had the name: the present one
 * is no database as it was. Nobody may have it open.
 */
export function takeBackKept(path: string): void {
  if (!existsSync(path)) return;
  const { dev, ino } = statSync(path, { bigint: true });
  const folder = dirname(path);
  for (const name of readdirSync(folder)) {
    if (!name.startsWith(KEPT_PREFIX) || LOGS.some((log) => name.endsWith(log))) continue;
    const found = statSync(join(folder, name), { bigint: true });
    if (found.dev === dev && found.ino === ino) takeBack(path, join(folder, name));
  }
}

/** A name for what was there before. */
function keptName(path: string): string {
  return `${join(dirname(path), KEPT_PREFIX)}${new Date().toISOString().replaceAll(':', '')}`;
}

/** Of a database that is gone: read as the new one's, they would damage it. */
function keepStrayLogs(path: string): void {
  const kept = keptName(path);
  for (const log of LOGS) if (existsSync(path + log)) renameSync(path + log, kept + log);
}

/** Answers where the old database is now. */
function keep(path: string, step: (name: string) => void): string {
  const kept = keptName(path);
  linkSync(path, kept);
  try {
    step('kept');
    for (const log of LOGS) if (existsSync(path + log)) renameSync(path + log, kept + log);
    step('logs moved');
  } catch (error) {
    takeBack(path, kept);
    throw error;
  }
  return kept;
}

export interface Exchanged {
  /** Where the old database is now; null: there was none. */
  readonly kept: string | null;
  /** One line each. */
  readonly warnings: readonly string[];
}

/**
 * `staged` is closed and has no log of its own; nobody writes to `path`. Logs that the old database
 * still has, which only one that cannot be read has, move aside with it. When it throws, everything
 * is as it was. `step` is told of each step, for tests.
 */
export function exchange(
  path: string, staged: string, step: (name: string) => void = () => {},
): Exchanged {
  const folder = dirname(path);
  syncPath(staged);
  const kept = existsSync(path) ? keep(path, step) : null;
  if (kept === null) keepStrayLogs(path);
  try {
    syncPath(folder);
    renameSync(staged, path);
  } catch (error) {
    if (kept !== null) takeBack(path, kept);
    throw error;
  }
  // From here on it is done, whatever fails.
  try {
    step('renamed');
    syncPath(folder);
    return { kept, warnings: [] };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { kept, warnings: ['the backup is in place, but a crash of the machine may bring back '
      + `the database as it was: the data folder could not be synced (${reason})`] };
  }
}
