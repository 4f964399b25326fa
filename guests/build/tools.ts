/** Finding and running the compilers of this machine. */

import { spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Every program of this name on the PATH, and in the folders that distributions install to. */
export function findPrograms(name: string): string[] {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  const found: string[] = [];
  for (const folder of new Set([...folders, '/usr/local/bin', '/usr/bin'])) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      if (statSync(path).isFile()) found.push(path);
    } catch {
      // Not there, or not to be run: the search goes on.
      continue;
    }
  }
  return found;
}

export interface Run {
  readonly ok: boolean;
  readonly stdout: string;
  /** Standard output and error, as a person would have seen them. */
  readonly output: string;
}

/** Runs a program to its end. Resolves whatever its exit code; rejects if it cannot be started. */
export function run(
  program: string,
  args: readonly string[],
  options: { readonly cwd: string; readonly env?: Readonly<Record<string, string>> },
): Promise<Run> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      output += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ ok: code === 0, stdout, output }));
  });
}
