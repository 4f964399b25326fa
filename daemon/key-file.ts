/** Files of keys: for their owner alone, and under their names only when whole and on the disk. */

import { randomUUID } from 'node:crypto';
import {
  closeSync, fsyncSync, linkSync, openSync, renameSync, rmSync, writeSync,
} from 'node:fs';
import { dirname } from 'node:path';

import { syncPath } from './sync.ts';

/**
 * `isNew`: throws EEXIST when it is there; another daemon's start must not lose the key that this
 * one has begun to use.
 */
export function writeWhole(path: string, text: string, isNew: boolean): void {
  const part = `${path}.${randomUUID()}.part`;
  const file = openSync(part, 'wx', 0o600);
  try {
    try {
      writeSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    if (isNew) linkSync(part, path);
    else renameSync(part, path);
  } finally {
    rmSync(part, { force: true });
  }
  // Until then a power cut may take the name back, and with it what was sealed meanwhile.
  syncPath(dirname(path));
}
