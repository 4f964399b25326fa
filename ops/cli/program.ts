/** The `wardian` command line: every command with its options, its help and what it does. */

import { readFileSync } from 'node:fs';
import { Command, Option } from 'commander';

import { PACKAGE_ROOT } from '../../contract/entry.ts';
import { flagOf, SETTING_MEANINGS } from '../../contract/settings.ts';
import { addAppCommands } from './apps.ts';
import { addBackupCommands } from './backup.ts';
import { findDaemon } from './client.ts';
import type { ClientOptions, ConnectionFlags } from './client.ts';
import { addCompletion } from './completion.ts';
import { deploy } from './deploy.ts';
import type { DeployFlags } from './deploy.ts';
import { addEnvironmentCommands } from './environment.ts';
import { addExamples } from './examples.ts';
import { addKvCommands } from './kv.ts';
import { addObserving } from './observing.ts';
import { addTenantCommands } from './tenants.ts';
import { seconds } from './words.ts';

export function packageVersion(): string {
  const text = readFileSync(new URL('package.json', PACKAGE_ROOT), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** The launcher hands them to the daemon: here they stand for help and completion. */
function addDaemon(program: Command): void {
  for (const [name, description] of [
    ['serve', 'run the daemon'],
    ['start', 'run the daemon for trying out: sandbox deploys on, examples deployed'],
  ] as const) {
    const command = program.command(name).description(description)
      .option('--config <file>', 'a TOML file with settings (WARDIAN_CONFIG)');
    for (const [setting, meaning] of Object.entries(SETTING_MEANINGS)) {
      command.option(`${flagOf(setting)} <value>`, meaning);
    }
  }
}

function addDeploy(program: Command, daemon: () => ClientOptions): void {
  program
    .command('deploy')
    .description('deploy a .wasm, .wat, .ts, .c or .rs file, or a folder, and print its URL')
    .argument('<path>')
    .option('--name <app>', "the app's name, a DNS label (default: the file's name)")
    .addOption(
      new Option('--language <language>', 'what the source is')
        .choices(['auto', 'wasm', 'wat', 'assemblyscript', 'c', 'rust'])
        .default('auto'),
    )
    .option('--debug', 'answers carry wardian-fuel, wardian-memory and times')
    .option('--no-debug', 'they do not')
    .option('--life <time>', 'remove the app and its store after 5m, 12h, 30d', seconds)
    .option('--no-activate', 'let the version wait at its preview URL; see versions deploy')
    .option('--idempotency-key <key>', 'the same key again gives the result of the first deploy')
    .option('--json', 'print each stage as a line of JSON')
    .option('--quiet', 'print no stages')
    .action((path: string, flags: DeployFlags) => deploy(daemon(), path, flags));
}

export function createProgram(): Command {
  const program = new Command('wardian')
    .description(
      'WebAssembly guests from a file to an answer on their own host, a fresh instance each time',
    )
    .option('--admin-url <url>', "the daemon's admin API (WARDIAN_ADMIN_URL)")
    .option('--data <folder>', "the daemon's data folder, for its admin token (WARDIAN_DATA)")
    .option('--tenant <name>', 'whose things are meant, for the operator (WARDIAN_TENANT)')
    .showHelpAfterError('(wardian --help shows every command)')
    .exitOverride();
  const daemon = (): ClientOptions => findDaemon(program.opts<ConnectionFlags>(), process.env);
  addDaemon(program);
  addDeploy(program, daemon);
  addAppCommands(program, daemon);
  addEnvironmentCommands(program, daemon);
  addKvCommands(program, daemon);
  addTenantCommands(program, daemon);
  addObserving(program, daemon);
  addBackupCommands(program, daemon);
  addCompletion(program);
  addExamples(program);
  program.addHelpText(
    'after', '\nwardian --version prints the version of this program.\n' +
    'Exit codes: 0 done, 1 refused or failed, 2 wrong use, 3 no daemon answers.');
  return program;
}
