/** The commands that look at a running daemon: `tail`, `logs`, `failures`, `top`. */

import { InvalidArgumentError, Option } from 'commander';
import type { Command } from 'commander';

import type { ClientOptions } from './client.ts';
import { listFailures, showFailure } from './failures.ts';
import type { FailureFlags } from './failures.ts';
import { logs, tail } from './logs.ts';
import type { LogFlags } from './logs.ts';
import { GROUPINGS, SORTS, top } from './top.ts';
import type { TopFlags } from './top.ts';

function share(text: string): string {
  if (/^(0(\.\d{1,9})?|1(\.0*)?)$/.test(text)) return text;
  throw new InvalidArgumentError('expected a share from 0 to 1, such as 0.1');
}

function wholeNumber(text: string): string {
  if (/^[1-9]\d{0,8}$/.test(text)) return text;
  throw new InvalidArgumentError('expected a whole number such as 3');
}

function withFilters(command: Command): Command {
  return command
    .argument('[app]', 'lines of this app alone')
    .addOption(new Option('--format <format>', 'pretty on a terminal, json elsewhere')
      .choices(['pretty', 'json']))
    .option('--json', 'the same as --format json')
    .option('--status <status>', '404, 5xx, ok, error, failed, refused or canceled')
    .option('--method <method>', 'requests with this method')
    .option('--search <text>', 'lines that hold this text')
    .option('--version <number>', 'lines of this version of the app', wholeNumber)
    .addOption(new Option('--kind <kind>', 'lines of this kind')
      .choices(['request', 'guest', 'daemon']))
    .option('--sampling-rate <share>', 'this share of the requests', share);
}

export function addObserving(program: Command, daemon: () => ClientOptions): void {
  withFilters(program.command('tail'))
    .description('follow requests and guest lines as they happen')
    .action((app: string | undefined, flags: LogFlags) => tail(daemon(), app, flags));
  withFilters(program.command('logs'))
    .description('lines of the recent past')
    .option('--since <when>', 'from then on: 10m, 2h, or a date')
    .option('--limit <lines>', 'the latest lines, so many at most', wholeNumber)
    .action((app: string | undefined, flags: LogFlags) => logs(daemon(), app, flags));
  const failures = program.command('failures').description('what went wrong in guests');
  failures
    .command('list')
    .description('the same ones together, the latest first')
    .option('--app <app>', 'failures of this app alone')
    .option('--code <code>', 'failures with this error code, guest_trap for one')
    .option('--json', 'print JSON')
    .action((flags: FailureFlags) => listFailures(daemon(), flags));
  failures
    .command('show')
    .description('where it happened, after what, and the latest requests that met it')
    .argument('<id>')
    .option('--json', 'print JSON')
    .action((id: string, flags: FailureFlags) => showFailure(daemon(), id, flags));
  program
    .command('top')
    .description('rates, p99, fuel and failures of the busiest apps or tenants, live')
    .option('--interval <seconds>', 'between two views (default: 2)')
    .option('--count <views>', 'so many views, then end', wholeNumber)
    .addOption(new Option('--sort <by>', 'what comes first').choices([...SORTS]).default('rate'))
    .addOption(new Option('--by <what>', 'a line for each').choices([...GROUPINGS]).default('app'))
    .option('--json', 'print each view as a line of JSON')
    .action((flags: TopFlags) => top(daemon(), flags));
}
