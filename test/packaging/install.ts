/** Packs this checkout and installs the package into empty folders, as npm's users would. */

import { cpSync, existsSync, lstatSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { basename, delimiter, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { spawnSync } from 'node:child_process';

import { environmentWith, run } from '../harness/command.ts';
import type { Run } from '../harness/command.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** Not of the sources; `dist` is what packing makes. */
const LEFT_OUT = new Set(['node_modules', '.git', '.tap', '.wardian', 'dist', 'target', '.peers']);

/** PATH without the folders that npm puts in front for its scripts: what a shell has. */
export const SHELL_PATH = (process.env['PATH'] ?? '')
  .split(delimiter)
  .filter((folder) => !folder.includes(`node_modules${sep}`))
  .join(delimiter);

/** A shell's environment: nothing of the npm that runs the tests but where it fetches from. */
export function shellEnvironment(more: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const own =
    /^(npm_(package|lifecycle|config_(local_prefix|prefix|global_prefix)|command)|INIT_CWD)/;
  const kept = Object.entries(environmentWith()).filter(([name]) => !own.test(name));
  return { ...Object.fromEntries(kept), NODE_ENV: '', PATH: SHELL_PATH, ...more };
}

/**
 * Runs a command as a shell of its own would: without the options that the test runner puts into
 * every child of its tests, which a Node of another version, or TypeScript's launcher, chokes on.
 */
export function runInShell(
  command: string,
  words: readonly string[],
  options: Parameters<typeof run>[2],
): Promise<Run> {
  return run('env', ['-u', 'NODE_OPTIONS', command, ...words], options);
}

/** Runs npm; throws with what it printed when it fails. */
export async function npm(words: readonly string[], cwd: string): Promise<Run> {
  const done = await runInShell('npm', words, { cwd, environment: shellEnvironment() });
  if (done.code !== 0) throw new Error(`npm ${words.join(' ')}: ${done.stdout}\n${done.stderr}`);
  return done;
}

export const QUIET = ['--no-audit', '--no-fund', '--prefer-offline'];

/** Copies the sources: packing writes `dist`, and other tests run in this checkout meanwhile. */
export function copySources(folder: string): void {
  cpSync(ROOT, folder, {
    recursive: true,
    filter: (path) => !LEFT_OUT.has(basename(path)) || relative(ROOT, path) === '',
  });
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
}

export interface Packed {
  readonly file: string;
  readonly names: readonly string[];
  readonly unpackedBytes: number;
}

export async function pack(work: string): Promise<Packed> {
  const sources = join(work, 'sources');
  mkdirSync(sources);
  copySources(sources);
  const done = await npm(['pack', '--json', '--pack-destination', work], sources);
  const [entry] = JSON.parse(done.stdout.slice(done.stdout.indexOf('[\n'))) as {
    filename: string;
    unpackedSize: number;
    files: { path: string }[];
  }[];
  if (entry === undefined) throw new Error(`npm pack printed ${done.stdout}`);
  return {
    file: join(work, entry.filename),
    names: entry.files.map(({ path }) => path),
    unpackedBytes: entry.unpackedSize,
  };
}

/** Bytes of all files below a folder, links not followed. */
export function folderBytes(folder: string): number {
  let bytes = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    bytes += entry.isDirectory() ? folderBytes(path) : lstatSync(path).size;
  }
  return bytes;
}

/** The `node` that a shell finds, with its major version; null when there is none. */
export function shellNode(): { readonly path: string; readonly major: number } | null {
  const folder = SHELL_PATH.split(delimiter).find((one) => existsSync(join(one, 'node')));
  if (folder === undefined) return null;
  const path = join(folder, 'node');
  const version = spawnSync(path, ['--version'], { encoding: 'utf8' }).stdout;
  return { path, major: Number(/^v(\d+)\./.exec(version)?.[1]) };
}
