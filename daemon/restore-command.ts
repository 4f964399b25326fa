/**
 * `wardian restore`: of a daemon that serves through its admin API, like every other command; of a
 * folder whose daemon is stopped right here, with the folder's lock, so that none can start
 * meanwhile.
 */

import { resolve } from 'node:path';
import type { Command } from 'commander';

import { folderId, folderIsHeld } from './store/lock.ts';
import { restore } from './store/restore.ts';

export interface RestoreFlags {
  readonly adminUrl?: string;
  readonly data?: string;
  readonly json?: boolean;
}

/** The command line's part: how the command is described, and how a daemon that serves is asked. */
export interface RestoreWords {
  readonly describe: (command: Command) => Command;
  /** `folder`: only the daemon of that one is meant, see `folderId`; null: whoever answers. */
  readonly live: (file: string, flags: RestoreFlags, folder: string | null) => Promise<void>;
}

/**
 * Who only knows where a daemon is means that one; who names a folder means the folder, and the
 * daemon that holds it.
 */
function meantOf({ adminUrl, data }: RestoreFlags, folder: string): 'folder' | 'any' | 'holder' {
  if (adminUrl !== undefined) return 'any';
  const isUrlGiven = (process.env['WARDIAN_ADMIN_URL'] ?? '') !== '';
  const named = data ?? process.env['WARDIAN_DATA'];
  if (named === undefined && isUrlGiven) return 'any';
  if (!folderIsHeld(folder)) return 'folder';
  return data === undefined && isUrlGiven ? 'any' : 'holder';
}

function restoreHere(file: string, folder: string, json: boolean): void {
  const restored = restore(resolve(file), folder);
  const { apps, tenants, kept, warnings } = restored;
  for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`);
  const beside = kept === null ? '' : `; what was there is ${kept}`;
  if (json) process.stdout.write(`${JSON.stringify(restored)}\n`);
  else process.stderr.write(`restored ${apps} apps of ${tenants} tenants${beside}\n`);
}

/** Carries the command out while it is parsed. */
export function addRestore(
  program: Command, { describe, live }: RestoreWords, onDone: () => void,
): void {
  describe(program.command('restore').exitOverride())
    .action(async (file: string, flags: RestoreFlags) => {
      const folder = resolve(flags.data ?? process.env['WARDIAN_DATA'] ?? './.wardian');
      const meant = meantOf(flags, folder);
      if (meant === 'folder') restoreHere(file, folder, flags.json === true);
      else await live(file, flags, meant === 'holder' ? folderId(folder) : null);
      onDone();
    });
}
