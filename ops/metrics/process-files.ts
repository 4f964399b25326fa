/**
 * What the system's files tell of the process: open descriptors and memory mappings. Read by the
 * thread that renders, as there are tens of thousands of lines of mappings under load.
 */

import { readFileSync, readdirSync } from 'node:fs';

import { offsetOf } from './layout.ts';

const FDS = offsetOf('process_open_fds');
const MAPPINGS = offsetOf('wardian_memory_mappings');
const LINE_FEED = 10;

/** What `read` gives; null where the system has no such file. */
function orNull<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'EACCES' || code === 'ENOTDIR') return null;
    throw error;
  }
}

function linesIn(bytes: Uint8Array): number {
  let count = 0;
  for (let at = bytes.indexOf(LINE_FEED); at >= 0; at = bytes.indexOf(LINE_FEED, at + 1)) {
    count += 1;
  }
  return count;
}

/** The whole file as text; '' where the system has none. */
export function systemFile(path: string): string {
  return orNull(() => readFileSync(path, 'utf8')) ?? '';
}

/** Into the metrics of the process; 0 where it is not known. */
export function readProcessFiles(block: Float64Array): void {
  block[FDS] = orNull(() => readdirSync('/proc/self/fd').length) ?? 0;
  block[MAPPINGS] = linesIn(orNull(() => readFileSync('/proc/self/maps')) ?? new Uint8Array(0));
}
