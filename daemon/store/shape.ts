/**
 * What can be told of a database by its file alone, before SQLite opens it: SQLite rounds a file
 * that ends within a page up, reads zeros for the rest, and extends the file at the next
 * checkpoint; of a header it does not understand it says that a later SQLite wrote it; and it
 * removes the log of a file that is empty.
 */

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { basename } from 'node:path';

// Offsets in the header: https://sqlite.org/fileformat2.html#the_database_header
const MAGIC = 'SQLite format 3\0';
const HEADER_BYTES = 100;
const PAGE_SIZE_AT = 16;
const CHANGE_COUNTER_AT = 24;
const PAGE_COUNT_AT = 28;
const SCHEMA_FORMAT_AT = 44;
const SCHEMA_FORMAT_MAX = 4;
const TEXT_ENCODING_AT = 56;
const TEXT_ENCODING_MAX = 3;
const PAGE_COUNT_VALID_FOR_AT = 92;
const PAGE_BYTES_MAX = 65_536;
/** The page that begins here is for locks: it is never used, nor is it ever in a log. */
const LOCK_BYTE_AT = 2 ** 30;
// https://sqlite.org/fileformat2.html#walformat
const LOG_HEADER_BYTES = 32;
/** The last bit tells the order of the bytes in checksums. */
const LOG_MAGICS: readonly number[] = [0x377f0682, 0x377f0683];
const LOG_PAGE_SIZE_AT = 8;
const LOG_SALTS_AT = 16;
const FRAME_HEADER_BYTES = 24;
const FRAME_COMMIT_AT = 4;
const FRAME_SALTS_AT = 8;
const SALTS_BYTES = 8;

function readAt(handle: number, at: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  return bytes.subarray(0, readSync(handle, bytes, 0, length, at));
}

/** Null when there is no such file. The caller closes it. */
function open(path: string): number | null {
  try {
    return openSync(path, 'r');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}

/**
 * The pages that commits in the log hold, as far as the log is of one piece. Checksums are not
 * looked at: a frame that is not whole hides a missing page from this check, not from SQLite.
 */
function pagesInLog(path: string): Set<number> {
  const committed = new Set<number>();
  const handle = open(`${path}-wal`);
  if (handle === null) return committed;
  try {
    const head = readAt(handle, 0, LOG_HEADER_BYTES);
    if (head.length < LOG_HEADER_BYTES || !LOG_MAGICS.includes(head.readUInt32BE(0))) {
      return committed;
    }
    const pageBytes = head.readUInt32BE(LOG_PAGE_SIZE_AT);
    const salts = head.subarray(LOG_SALTS_AT, LOG_SALTS_AT + SALTS_BYTES);
    let pending: number[] = [];
    for (let at = LOG_HEADER_BYTES; ; at += FRAME_HEADER_BYTES + pageBytes) {
      const frame = readAt(handle, at, FRAME_HEADER_BYTES);
      if (frame.length < FRAME_HEADER_BYTES) return committed;
      if (!frame.subarray(FRAME_SALTS_AT, FRAME_SALTS_AT + SALTS_BYTES).equals(salts)) {
        return committed;
      }
      pending.push(frame.readUInt32BE(0));
      if (frame.readUInt32BE(FRAME_COMMIT_AT) === 0) continue;
      for (const page of pending) committed.add(page);
      pending = [];
    }
  } finally {
    closeSync(handle);
  }
}

/** SQLite writes the first page of a new database before it begins a log. */
function strayLog(path: string): string | null {
  const { size } = pagesInLog(path);
  if (size === 0) return null;
  return `it is empty, and its log ${basename(path)}-wal holds ${size} committed pages: put the `
    + 'file that belongs to the log back, or move the log away to start anew';
}

/**
 * What is wrong with the file's header or its length, or null; also null for what SQLite itself
 * tells from a database. A file may be shorter than its header says only by pages that its log
 * holds: a checkpoint, which writes the header first, was interrupted. One that is empty or not
 * there has no log with anything in it.
 */
export function misshapen(path: string): string | null {
  const handle = open(path);
  if (handle === null) return strayLog(path);
  try {
    const header = readAt(handle, 0, HEADER_BYTES);
    if (header.length === 0) return strayLog(path);
    if (header.length < HEADER_BYTES || !header.toString('latin1').startsWith(MAGIC)) return null;
    if (header.readUInt32BE(SCHEMA_FORMAT_AT) > SCHEMA_FORMAT_MAX
      || header.readUInt32BE(TEXT_ENCODING_AT) > TEXT_ENCODING_MAX) {
      return 'its header is not one of SQLite 3';
    }
    const size = header.readUInt16BE(PAGE_SIZE_AT);
    const pageBytes = size === 1 ? PAGE_BYTES_MAX : size;
    // Otherwise an old SQLite wrote it last, and the length of the file counts.
    const known = header.readUInt32BE(CHANGE_COUNTER_AT)
      === header.readUInt32BE(PAGE_COUNT_VALID_FOR_AT);
    const pages = known ? header.readUInt32BE(PAGE_COUNT_AT) : 0;
    const { size: length } = fstatSync(handle);
    if (pageBytes === 0 || length >= pages * pageBytes) return null;
    const logged = pagesInLog(path);
    for (let page = Math.floor(length / pageBytes) + 1; page <= pages; page += 1) {
      if (!logged.has(page) && page !== LOCK_BYTE_AT / pageBytes + 1) {
        return `it has ${length} bytes in place of ${pages * pageBytes}, page ${page} is not there`;
      }
    }
    return null;
  } finally {
    closeSync(handle);
  }
}
