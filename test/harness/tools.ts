/** Tools that tests need: skipped with the reason where they are missing, but never in CI. */

import { spawnSync } from 'node:child_process';
import type { Test } from 'tap';

const answers = (words: readonly [string, ...string[]]): boolean =>
  spawnSync(words[0], words.slice(1), { stdio: 'ignore' }).status === 0;

const CHECKS: Readonly<Record<string, () => boolean>> = {
  clang: () => answers(['clang', '--version']) && answers(['wasm-ld', '--version']),
  cargo: () => answers(['cargo', '--version']) && answers(['rustc', '--version']),
  script: () => answers(['script', '--version']) && answers(['stty', '--version']),
  strace: () => answers(['strace', '-o', '/dev/null', 'true']),
};

/** Why a test that needs this tool is skipped, or false when it runs. */
export function skipWithout(name: 'clang' | 'cargo' | 'script' | 'strace'): string | false {
  if (process.env['CI'] === 'true' || CHECKS[name]?.() === true) return false;
  return `${name} is not installed`;
}

/** Ends a test that cannot run here: skipped with the reason, but failed in CI. */
export function skipOutsideCi(t: Test, reason: string): void {
  if (process.env['CI'] === 'true') t.fail(reason);
  else t.pass(`skipped: ${reason}`, { skip: reason });
}
