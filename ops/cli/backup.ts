/**
 * `wardian backup`: a copy of everything stored, while the daemon serves. The file appears under
 * its name only when it is whole and on the disk.
 */

import { statSync } from 'node:fs';
import type { Command } from 'commander';

import { openApi } from './client.ts';
import type { ClientOptions } from './client.ts';
import { done } from './output.ts';
import type { JsonFlag } from './output.ts';
import { describeRestore } from './restore.ts';
import { writeWhole } from './whole-file.ts';

async function backUp(daemon: ClientOptions, file: string, flags: JsonFlag): Promise<void> {
  await writeWhole(file, () => openApi(daemon, { method: 'GET', path: '/v1/backup' }));
  const { size } = statSync(file);
  done({ file, bytes: size }, flags,
    `wrote ${file}, ${size} bytes; the keys of secrets are not in it: `
    + 'keep a copy of secrets-key in the data folder as well');
}

/** The launcher hands `restore` to the daemon; here it stands for help and completion. */
export function addBackupCommands(program: Command, daemon: () => ClientOptions): void {
  program.command('backup').description('copy everything stored to a new file, while serving')
    .argument('<file>').option('--json', 'print JSON')
    .action((file: string, flags: JsonFlag) => backUp(daemon(), file, flags));
  describeRestore(program.command('restore'));
}
