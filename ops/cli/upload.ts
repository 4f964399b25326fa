/** What `wardian deploy` sends: one module as it is, or the files of a source tree as a tar. */

import { readFileSync, readdirSync, statSync } from 'node:fs';
import { basename, join, relative, resolve } from 'node:path';
import { pack } from 'tar-stream';

import { guessLanguage } from '../../contract/language.ts';
import type { Guess } from '../../contract/language.ts';
import { MIB, UPLOAD_BYTES_MAX, UPLOAD_FILES_MAX } from '../../contract/limits.ts';
import { CliError } from './client.ts';

export interface Upload {
  readonly contentType: 'application/wasm' | 'application/x-tar';
  readonly body: Buffer;
  /** A DNS label made of the file's or folder's name. */
  readonly label: string;
  /** What the files seem to be, or null when none of them tells. */
  readonly guess: Guess | null;
  /** Each with its reason; dot-files and installed packages are not told. */
  readonly leftOut: readonly string[];
}

/** Installed packages, which are never source. Dot-files are left out as well; both silently. */
const PACKAGES = 'node_modules';
/** What cargo makes beside its manifest: large, and no source either. */
const CARGO_MANIFEST = 'Cargo.toml';
const CARGO_PRODUCTS = 'target';

interface SourceFile {
  readonly path: string;
  readonly name: string;
  readonly bytes: number;
}

interface Collection {
  readonly files: SourceFile[];
  /** What a reader of the folder might expect to be sent, with the reason why it is not. */
  readonly leftOut: string[];
}

function collect(root: string, folder: string, { files, leftOut }: Collection): void {
  const entries = readdirSync(folder, { withFileTypes: true });
  const isCrate = entries.some(({ name }) => name === CARGO_MANIFEST);
  for (const entry of entries) {
    if (entry.name.startsWith('.') || entry.name === PACKAGES) continue;
    const path = join(folder, entry.name);
    const name = relative(root, path).replaceAll('\\', '/');
    if (entry.isDirectory() && isCrate && entry.name === CARGO_PRODUCTS) {
      leftOut.push(`${name} (what cargo has built)`);
    } else if (entry.isDirectory()) {
      collect(root, path, { files, leftOut });
    } else if (entry.isFile()) {
      files.push({ path, name, bytes: statSync(path).size });
    } else {
      leftOut.push(`${name} (${entry.isSymbolicLink() ? 'a symbolic link' : 'a special file'})`);
    }
    if (files.length + leftOut.length > UPLOAD_FILES_MAX) {
      throw new CliError(
        `${root} has more than ${UPLOAD_FILES_MAX} files; deploy a smaller folder`,
        2,
      );
    }
  }
}

/** The name of a file or folder as a DNS label: lower case, other characters become hyphens. */
export function labelOf(path: string): string {
  const name = basename(resolve(path)).replace(/\.(wasm|wat|ts|c|rs)$/i, '');
  const label = name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
    .slice(0, 63);
  return label.replace(/-+$/, '');
}

async function tarOf(files: readonly SourceFile[]): Promise<Buffer> {
  const archive = pack();
  const chunks: Buffer[] = [];
  archive.on('data', (chunk) => chunks.push(chunk as Buffer));
  const ended = new Promise((done, failed) => {
    archive.on('end', () => done(undefined));
    archive.on('error', failed);
  });
  for (const file of files) {
    archive.entry({ name: file.name, mode: 0o644, mtime: new Date(0) }, readFileSync(file.path));
  }
  archive.finalize();
  await ended;
  return Buffer.concat(chunks);
}

/** Reads what `path` names. Throws CliError when there is nothing to deploy or too much. */
export async function readUpload(path: string): Promise<Upload> {
  try {
    return await read(path);
  } catch (error) {
    const { code, path: at, syscall } = error as NodeJS.ErrnoException;
    if (code === undefined || syscall === undefined) throw error;
    throw new CliError(`${at ?? path} cannot be read: ${code}`, 2);
  }
}

async function read(path: string): Promise<Upload> {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) throw new CliError(`${path}: no such file or folder`, 2);
  const label = labelOf(path);
  if (stats.isFile()) {
    if (stats.size > UPLOAD_BYTES_MAX) {
      throw new CliError(
        `${path} has ${stats.size} bytes; at most ${UPLOAD_BYTES_MAX / MIB} MiB are taken`,
        2,
      );
    }
    const bytes = readFileSync(path);
    const name = basename(path);
    const guess = guessLanguage([name]);
    if (path.endsWith('.wasm')) {
      return { contentType: 'application/wasm', body: bytes, label, guess, leftOut: [] };
    }
    const body = await tarOf([{ path, name, bytes: stats.size }]);
    return { contentType: 'application/x-tar', body, label, guess, leftOut: [] };
  }
  const files: SourceFile[] = [];
  const leftOut: string[] = [];
  collect(path, path, { files, leftOut });
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  if (files.length === 0) throw new CliError(`${path} holds no files to deploy`, 2);
  if (bytes > UPLOAD_BYTES_MAX) {
    throw new CliError(
      `${path} holds ${bytes} bytes; at most ${UPLOAD_BYTES_MAX / MIB} MiB are taken`,
      2,
    );
  }
  const guess = guessLanguage(files.map(({ name }) => name));
  return { contentType: 'application/x-tar', body: await tarOf(files), label, guess, leftOut };
}
