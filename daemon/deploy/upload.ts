/**
 * A tar archive into the files of an upload. Archives come from anyone: names that leave the
 * folder, links, devices, duplicates and everything over a bound are refused before any byte of
 * them is kept. Nothing is written to a disk here.
 */

import type { Readable } from 'node:stream';
import { extract } from 'tar-stream';
import type { Header } from 'tar-stream';

import type { BuildFile } from '../../contract/build.ts';
import { WardianError } from '../../contract/errors.ts';
import {
  UPLOAD_BYTES_MAX, UPLOAD_FILES_MAX, UPLOAD_PATH_BYTES_MAX,
} from '../../contract/limits.ts';

export interface UnpackOptions {
  /**
   * True: an archive of one file is taken whatever its path is, by its last name. `terrctl` names
   * a single file by the path that was typed, which may be absolute or lead upwards.
   */
  readonly flattenSingle?: boolean;
}

function refuse(reason: string): WardianError {
  return new WardianError('bad_upload', reason);
}

const shown = (name: string): string => JSON.stringify(name.slice(0, UPLOAD_PATH_BYTES_MAX));

// oxlint-disable-next-line no-control-regex
const UNPRINTABLE = /[\u0000-\u001f\u007f\\]/;

/** The path without leading `./`. Throws `bad_upload` when it is not relative and plain. */
function requirePath(name: string): string {
  const path = name.replace(/^(?:\.\/)+/, '');
  if (Buffer.byteLength(path) > UPLOAD_PATH_BYTES_MAX) {
    throw refuse(`a path has more than ${UPLOAD_PATH_BYTES_MAX} bytes`);
  }
  if (path === '' || UNPRINTABLE.test(path) || path.includes('\ufffd')) {
    throw refuse(`${shown(name)} is not a path`);
  }
  if (path.startsWith('/')) throw refuse(`${shown(name)} is an absolute path`);
  const names = path.split('/');
  if (names.some((part) => part === '' || part === '.' || part === '..')) {
    throw refuse(`${shown(name)} leads out of the upload`);
  }
  return path;
}

/** What no build needs and `terrctl` leaves out: dot-files and installed packages. */
function isLeftOut(path: string): boolean {
  return path.split('/').some((part) => part.startsWith('.') || part === 'node_modules');
}

interface Entry {
  readonly name: string;
  readonly bytes: Uint8Array;
}

class Unpacking {
  readonly entries: Entry[] = [];
  #bytes = 0;
  #seen = 0;

  /** Throws before anything of the entry is kept. True: its content is to be read. */
  admit(header: Header): boolean {
    this.#seen += 1;
    if (this.#seen > UPLOAD_FILES_MAX) throw refuse(`more than ${UPLOAD_FILES_MAX} files`);
    if (header.type === 'directory') return false;
    if (header.type !== 'file' && header.type !== 'contiguous-file') {
      throw refuse(`${shown(header.name)} is a ${header.type ?? 'special file'}, not a file`);
    }
    const size = header.size ?? 0;
    if (!Number.isSafeInteger(size) || size < 0) throw refuse(`${shown(header.name)} has no size`);
    this.#bytes += size;
    if (this.#bytes > UPLOAD_BYTES_MAX) {
      throw refuse(`more than ${UPLOAD_BYTES_MAX} bytes when unpacked`);
    }
    return true;
  }
}

function entriesOf(source: Readable | Uint8Array): Promise<Entry[]> {
  return new Promise((resolve, reject) => {
    const unpacking = new Unpacking();
    const reader = extract();
    const fail = (error: unknown): void => {
      const cause = error instanceof Error ? error : new Error(String(error));
      reject(cause instanceof WardianError ? cause
        : new WardianError('bad_upload', 'not a tar archive, or cut short', { cause }));
      if (!reader.destroyed) reader.destroy();
      if (!(source instanceof Uint8Array)) source.destroy();
    };
    reader.on('entry', (header, stream, next) => {
      let wanted: boolean;
      try {
        wanted = unpacking.admit(header);
      } catch (error) {
        fail(error);
        return;
      }
      const chunks: Buffer[] = [];
      stream.on('data', (chunk) => chunks.push(chunk as Buffer));
      stream.on('error', fail);
      stream.on('end', () => {
        if (wanted) unpacking.entries.push({ name: header.name, bytes: Buffer.concat(chunks) });
        next();
      });
    });
    reader.on('error', fail);
    reader.on('finish', () => resolve(unpacking.entries));
    if (source instanceof Uint8Array) reader.end(Buffer.from(source.buffer, source.byteOffset,
      source.byteLength));
    else source.on('error', fail).pipe(reader);
  });
}

/** Two entries of one path, or a file where another entry needs a folder. */
function requireDistinct(files: readonly BuildFile[]): void {
  const paths = new Set(files.map((file) => file.path));
  if (paths.size !== files.length) throw refuse('the archive holds a path twice');
  for (const { path } of files) {
    for (let end = path.indexOf('/'); end > 0; end = path.indexOf('/', end + 1)) {
      const folder = path.slice(0, end);
      if (paths.has(folder)) throw refuse(`${shown(folder)} is both a file and a folder`);
    }
  }
}

/** Rejects with `bad_upload`. Files come in the archive's order. */
export async function unpackTar(
  source: Readable | Uint8Array, options: UnpackOptions = {},
): Promise<BuildFile[]> {
  const entries = await entriesOf(source);
  const [single] = entries;
  if (options.flattenSingle === true && entries.length === 1 && single !== undefined) {
    const name = single.name.slice(single.name.lastIndexOf('/') + 1);
    return [{ path: requirePath(name), bytes: single.bytes }];
  }
  const files: BuildFile[] = [];
  for (const { name, bytes } of entries) {
    const path = requirePath(name);
    if (!isLeftOut(path)) files.push({ path, bytes });
  }
  if (files.length === 0) throw refuse('the archive holds no files');
  requireDistinct(files);
  return files;
}
