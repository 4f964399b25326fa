/**
 * Finding and running compilers inside a builder child. A tool runs in the child's process group,
 * with an environment of a few variables, and its output is kept up to a bound.
 */

import { spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';

import { BuildError } from '../../contract/build.ts';
import type { BuildTools } from '../../contract/build.ts';
import { BUILD_OUTPUT_BYTES_MAX } from '../../contract/limits.ts';

/** Leaves room for the words that say how much was cut off. */
export const OUTPUT_KEPT_BYTES_MAX = BUILD_OUTPUT_BYTES_MAX - 64;

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    // Not there, or not ours to run: either way it is no candidate.
    return false;
  }
}

/** Every program of one of these names, in the order of the search path, then of the names. */
export function findPrograms(searchPath: string, names: readonly string[]): string[] {
  const found: string[] = [];
  for (const folder of searchPath.split(delimiter)) {
    if (!folder.startsWith('/')) continue;
    for (const name of names) {
      const path = join(folder, name);
      if (isProgram(path)) found.push(path);
    }
  }
  return found;
}

export interface ToolRun {
  readonly exitCode: number | null;
  readonly signal: string | null;
  /** Standard output as it came, for this program to read; never shown. */
  readonly printed: string;
  /** Output and errors for people: paths hidden, cut to BUILD_OUTPUT_BYTES_MAX. */
  readonly output: string;
}

/** Hides what nobody may see of this machine: the build folder and the homes of the tools. */
export function withoutPaths(text: string, tools: BuildTools): string {
  const hidden: (readonly [string, string])[] = [
    [`${process.cwd()}/`, ''], [process.cwd(), '.'], [tools.cacheFolder, '<cache>'],
    [tools.guestsFolder, '<wardian>'], [tools.cargoHome, '<cargo>'], [tools.rustupHome, '<rustup>'],
  ];
  let shown = text;
  for (const [path, name] of hidden) if (path !== '') shown = shown.replaceAll(path, name);
  return shown;
}

/** Keeps the beginning: the first errors of a compiler are the ones that matter. */
export function cutOutput(chunks: readonly Uint8Array[], cutBytes: number): string {
  const text = Buffer.concat(chunks).toString('utf8');
  return cutBytes === 0 ? text : `${text}\n[${cutBytes} more bytes]`;
}

/** Runs a program in the build folder. Throws `missing_tool` when it cannot be started at all. */
export function runTool(
  program: string, args: readonly string[], tools: BuildTools,
  environment: Readonly<Record<string, string>> = {},
): Promise<ToolRun> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: tools.searchPath, HOME: process.cwd(), TMPDIR: process.cwd(), LANG: 'C.UTF-8',
        ...environment,
      },
    });
    const chunks: Uint8Array[] = [];
    const printed: Uint8Array[] = [];
    let kept = 0;
    let cut = 0;
    const keep = (chunk: Buffer, standard: boolean): void => {
      const room = OUTPUT_KEPT_BYTES_MAX - kept;
      const part = chunk.subarray(0, room);
      if (part.length > 0) chunks.push(part);
      if (part.length > 0 && standard) printed.push(part);
      kept += part.length;
      cut += chunk.length - part.length;
    };
    child.stdout.on('data', (chunk: Buffer) => keep(chunk, true));
    child.stderr.on('data', (chunk: Buffer) => keep(chunk, false));
    child.on('error', (cause) => {
      const name = program.slice(program.lastIndexOf('/') + 1);
      reject(new BuildError('missing_tool', `${name} cannot be started`, '', { cause }));
    });
    child.on('close', (exitCode, signal) => {
      resolve({
        exitCode, signal, printed: Buffer.concat(printed).toString('utf8'),
        output: withoutPaths(cutOutput(chunks, cut), tools),
      });
    });
  });
}

/** Throws `build_failed` unless the tool ended with 0. */
export function requireSuccess(run: ToolRun, name: string): void {
  if (run.exitCode === 0) return;
  const how = run.signal === null ? `exit code ${run.exitCode}` : run.signal;
  throw new BuildError('build_failed', `${name} failed (${how})`, run.output);
}
