/** Runs a program to its end, the `wardian` command among them, and keeps what it printed. */

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const LAUNCHER = fileURLToPath(new URL('../../bin/wardian.js', import.meta.url));

const LATE_MS = 120_000;

export interface Run {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  /** The whole environment; by default the test's own without `WARDIAN_*`. */
  readonly environment?: NodeJS.ProcessEnv;
}

/** The test's environment without settings of Wardian, and with `more`. */
export function environmentWith(more: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('WARDIAN_'));
  return { ...Object.fromEntries(inherited), ...more };
}

export function run(
  program: string,
  words: readonly string[],
  options: RunOptions = {},
): Promise<Run> {
  return new Promise((done, failed) => {
    const child = spawn(program, words, {
      cwd: options.cwd,
      env: options.environment ?? environmentWith(),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const late = setTimeout(() => child.kill('SIGKILL'), LATE_MS);
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      stdout += chunk;
    });
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      stderr += chunk;
    });
    child.once('error', (error) => {
      clearTimeout(late);
      failed(error);
    });
    child.once('close', (code) => {
      clearTimeout(late);
      done({ code, stdout, stderr });
    });
  });
}

/** The `wardian` command of this checkout. */
export function wardian(words: readonly string[], options: RunOptions = {}): Promise<Run> {
  return run(process.execPath, [LAUNCHER, ...words], options);
}
