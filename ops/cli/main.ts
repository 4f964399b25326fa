/**
 * The `wardian` command line: deploys and looks after apps through the admin API.
 */

import { existsSync } from 'node:fs';
import { CommanderError, InvalidArgumentError } from 'commander';

import { CliError } from './client.ts';
import { leaveOnClosedPipe } from './closed-pipe.ts';
import { createProgram, packageVersion } from './program.ts';

const program = createProgram();

/**
 * `wardian hello.wasm` means `wardian deploy hello.wasm`: a first word that is a path and no
 * command.
 */
function withDeploy(words: readonly string[]): readonly string[] {
  const first = words[0];
  if (first === undefined || first.startsWith('-')) return words;
  const known = program.commands.some((command) => command.name() === first) || first === 'help';
  const looksLikePath = /[./\\]/.test(first) || existsSync(first);
  return !known && looksLikePath ? ['deploy', ...words] : words;
}

/** An option of the program would take `--version` away from `wardian tail --version 3`. */
function asksVersion(words: readonly string[]): boolean {
  return words.length === 1 && (words[0] === '--version' || words[0] === '-V');
}

async function main(): Promise<number> {
  const words = process.argv.slice(2);
  if (asksVersion(words)) {
    process.stdout.write(`${packageVersion()}\n`);
    return 0;
  }
  try {
    await program.parseAsync(withDeploy(words), { from: 'user' });
    return 0;
  } catch (error) {
    // Of a word that only the command itself could read; commander has told of all others.
    if (error instanceof InvalidArgumentError) {
      process.stderr.write(`wardian: ${error.message}\n`);
      return 2;
    }
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (!(error instanceof CliError)) throw error;
    process.stderr.write(`wardian: ${error.message}\n`);
    if (error.detail !== '') process.stderr.write(`${error.detail.trimEnd()}\n`);
    return error.exitCode;
  }
}

leaveOnClosedPipe();
process.exitCode = await main();
