/** The data folder before anything is kept in it. */

import { accessSync, constants, mkdirSync } from 'node:fs';

import { ConfigError } from './config.ts';

const REASONS: Readonly<Record<string, string>> = {
  EEXIST: 'it is a file, not a folder',
  ENOTDIR: 'a part of the path is a file, not a folder',
  EACCES: 'the daemon may not write there',
  EROFS: 'it is on a read-only file system',
};

/** Makes it, readable by its owner alone, where it is not there. Throws ConfigError, one line. */
export function openDataFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    throw new ConfigError(
      `setting data: ${JSON.stringify(path)}: ${REASONS[code] ?? code}`, { cause: error });
  }
}
