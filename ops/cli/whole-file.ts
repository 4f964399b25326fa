/** Files that appear under their name only when they are whole and on the disk. */

import {
  closeSync, createWriteStream, existsSync, fsyncSync, linkSync, openSync, rmSync,
} from 'node:fs';
import { dirname } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import { CliError } from './client.ts';

function sync(path: string): void {
  const handle = openSync(path, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

/** Readable by its owner alone. Throws CliError, also when the file is there already. */
export async function writeWhole(file: string, open: () => Promise<Readable>): Promise<void> {
  if (existsSync(file)) throw new CliError(`${file} is there already`, 2);
  const part = `${file}.${process.pid}.part`;
  try {
    const body = await open();
    await pipeline(body, createWriteStream(part, { flags: 'wx', mode: 0o600 }));
    sync(part);
    linkSync(part, file);
    sync(dirname(file));
  } catch (error) {
    if (error instanceof CliError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    throw new CliError(`${file} cannot be written: ${code ?? message}`);
  } finally {
    rmSync(part, { force: true });
  }
}
