/** Waits until the disk has a file, or the names in a folder. */

import { closeSync, fsyncSync, openSync } from 'node:fs';

/** Throws what the system says. */
export function syncPath(path: string): void {
  const handle = openSync(path, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
