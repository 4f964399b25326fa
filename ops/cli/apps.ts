/**
 * `wardian apps`, `versions`, `rollback` and `hosts`: looking at what is deployed and changing what
 * serves, and how.
 */

import type { Command } from 'commander';

import { callApi, CliError, listAll, sendJson } from './client.ts';
import type { ClientOptions } from './client.ts';
import { done, print, safeTable } from './output.ts';
import type { JsonFlag } from './output.ts';
import { limit, secondsOrNever, share, sticky, versionNumber } from './words.ts';
import type { Share, Sticky, Values } from './words.ts';

export { table } from './output.ts';

interface AppView {
  readonly label: string;
  readonly tenant: string;
  readonly url: string;
  readonly activeVersion: number | null;
  readonly split: readonly Share[];
  readonly hosts: readonly string[];
  readonly settings: {
    readonly limits: Readonly<Record<string, number>>;
    readonly debug: boolean;
    readonly recycleMemory: boolean;
    readonly sticky: Sticky | null;
  };
  readonly createdAt: string;
  readonly expiresAt: string | null;
}

interface VersionView {
  readonly number: number;
  readonly active: boolean;
  readonly share: number;
  readonly previewUrl: string | null;
  readonly language: string;
  readonly moduleHash: string;
  readonly createdAt: string;
}

type Daemon = () => ClientOptions;

export const appPath = (label: string): string => `/v1/apps/${encodeURIComponent(label)}`;

function servesText({ activeVersion, split }: AppView): string {
  if (split.length === 0) return String(activeVersion ?? '-');
  return split.map(({ version, weight }) => `${version}@${weight}`).join(' ');
}

function stickyText(by: Sticky | null): string {
  if (by === null) return 'none';
  return by.by === 'cookie' ? 'cookie' : `header:${by.name}`;
}

function appText(app: AppView): string {
  const { limits, debug, recycleMemory, sticky: by } = app.settings;
  const own = Object.entries(limits).map(([name, value]) => `${name}=${value}`).join(' ');
  return safeTable(['APP', app.label], [
    ['tenant', app.tenant], ['url', app.url], ['serves', servesText(app)],
    ['hosts', app.hosts.join(' ') || '-'], ['limits', own || '-'], ['debug', String(debug)],
    ['recycle-memory', String(recycleMemory)], ['sticky', stickyText(by)],
    ['created', app.createdAt], ['expires', app.expiresAt ?? 'never'],
  ]);
}

async function listApps(daemon: ClientOptions, flags: JsonFlag): Promise<void> {
  const apps = await listAll<AppView>(daemon, '/v1/apps', 'apps');
  print(apps, flags, () => safeTable(
    ['APP', 'TENANT', 'VERSION', 'URL', 'CREATED', 'EXPIRES'],
    apps.map((app) => [
      app.label, app.tenant, servesText(app), app.url, app.createdAt, app.expiresAt ?? '-',
    ]),
  ));
}

interface SetFlags extends JsonFlag {
  readonly debug?: boolean;
  readonly recycleMemory?: boolean;
  readonly limit?: Values;
  readonly sticky?: Sticky | null;
  readonly life?: number | null;
}

async function setApp(daemon: ClientOptions, label: string, flags: SetFlags): Promise<void> {
  const { json: _, limit: limits, life, ...rest } = flags;
  const change = {
    ...rest, ...(limits === undefined ? {} : { limits }),
    ...(life === undefined ? {} : { lifeSeconds: life }),
  };
  if (Object.keys(change).length === 0) throw new CliError('nothing to set; see --help', 2);
  const app = await sendJson(daemon, 'PATCH', appPath(label), change) as AppView;
  print(app, flags, () => appText(app));
}

function addApps(program: Command, daemon: Daemon): void {
  const apps = program.command('apps').description('the apps that are deployed');
  apps.command('list').description('all of them, in the order they were made')
    .option('--json', 'print JSON')
    .action((flags: JsonFlag) => listApps(daemon(), flags));
  apps.command('view').description('one app with its settings')
    .argument('<app>').option('--json', 'print JSON')
    .action(async (label: string, flags: JsonFlag) => {
      const app = await callApi(daemon(), { method: 'GET', path: appPath(label) }) as AppView;
      print(app, flags, () => appText(app));
    });
  apps.command('set').description('change an app\'s settings; limits stay below its tenant\'s')
    .argument('<app>')
    .option('--debug', 'answers carry wardian-fuel, wardian-memory and times')
    .option('--no-debug', 'they do not')
    .option('--limit <name=value>', 'a limit, or name=default; can be repeated', limit)
    .option('--recycle-memory', 'reuse memories between requests, zeroed')
    .option('--no-recycle-memory', 'a new memory for each request')
    .option('--sticky <by>', 'cookie, header:<name> or none, while several versions serve', sticky)
    .option('--life <time>', 'remove the app after 5m, 12h, 30d; never', secondsOrNever)
    .option('--json', 'print JSON')
    .action((label: string, flags: SetFlags) => setApp(daemon(), label, flags));
  apps.command('delete').description('remove an app, its versions and its store')
    .argument('<app>').option('--json', 'print JSON')
    .action(async (label: string, flags: JsonFlag) => {
      await callApi(daemon(), { method: 'DELETE', path: appPath(label) });
      done({ deleted: label }, flags, `deleted ${label} with its versions and its store`);
    });
}

async function listVersions(
  daemon: ClientOptions, label: string, flags: JsonFlag,
): Promise<void> {
  const versions = await listAll<VersionView>(daemon, `${appPath(label)}/versions`, 'versions');
  print(versions, flags, () => safeTable(
    ['VERSION', 'SERVES', 'LANGUAGE', 'MODULE', 'CREATED', 'PREVIEW'],
    versions.map((version) => [
      String(version.number), version.share === 0 ? '' : `${version.share} %`, version.language,
      version.moduleHash.slice(0, 12), version.createdAt, version.previewUrl ?? '-',
    ]),
  ));
}

interface SplitFlags extends JsonFlag {
  readonly sticky?: Sticky | null;
}

async function deployVersions(
  daemon: ClientOptions, label: string, shares: readonly string[], flags: SplitFlags,
): Promise<void> {
  const app = await sendJson(daemon, 'PUT', `${appPath(label)}/split`, {
    shares: shares.map(share), ...(flags.sticky === undefined ? {} : { sticky: flags.sticky }),
  }) as AppView;
  done(app, flags, `${label} serves ${servesText(app)}`);
}

function addVersions(program: Command, daemon: Daemon): void {
  const versions = program.command('versions').description('the versions of an app');
  versions.command('list').description('all of them, oldest first')
    .argument('<app>').option('--json', 'print JSON')
    .action((label: string, flags: JsonFlag) => listVersions(daemon(), label, flags));
  versions.command('view').description('one version, with its preview URL')
    .argument('<app>').argument('<version>', 'its number', versionNumber)
    .option('--json', 'print JSON')
    .action(async (label: string, number: number, flags: JsonFlag) => {
      const version = await callApi(daemon(), {
        method: 'GET', path: `${appPath(label)}/versions/${number}`,
      }) as VersionView;
      print(version, flags, () => safeTable(['VERSION', String(version.number)], [
        ['serves', `${version.share} %`], ['language', version.language],
        ['module', version.moduleHash], ['preview', version.previewUrl ?? '-'],
        ['created', version.createdAt],
      ]));
    });
  versions.command('deploy').description('let versions serve, each its share of the requests')
    .argument('<app>').argument('<shares...>', 'version@percent, 100 in all; one alone serves all')
    .option('--sticky <by>', 'keep clients with their version: cookie, header:<name> or none',
      sticky)
    .option('--json', 'print JSON')
    .action((label: string, shares: string[], flags: SplitFlags) =>
      deployVersions(daemon(), label, shares, flags));
  program.command('rollback').description('let an earlier version serve')
    .argument('<app>')
    .argument('[version]', 'its number (default: the newest earlier one that has served)',
      versionNumber)
    .option('--json', 'print JSON')
    .action(async (label: string, version: number | undefined, flags: JsonFlag) => {
      const app = await sendJson(
        daemon(), 'POST', `${appPath(label)}/rollback`,
        version === undefined ? {} : { version }) as AppView;
      done(app, flags, `${label} serves version ${app.activeVersion}`);
    });
}

function addHosts(program: Command, daemon: Daemon): void {
  const hosts = program.command('hosts').description('custom hosts of an app');
  const change = (method: 'PUT' | 'DELETE') =>
    async (label: string, host: string, flags: JsonFlag): Promise<void> => {
      const path = `${appPath(label)}/hosts/${encodeURIComponent(host)}`;
      const app = await callApi(daemon(), { method, path });
      done(app, flags, `${host} ${method === 'PUT' ? 'serves' : 'no longer serves'} ${label}`);
    };
  hosts.command('list').description('the hosts of an app beside its own')
    .argument('<app>').option('--json', 'print JSON')
    .action(async (label: string, flags: JsonFlag) => {
      const app = await callApi(daemon(), { method: 'GET', path: appPath(label) }) as AppView;
      print(app.hosts, flags, () => app.hosts.join('\n'));
    });
  hosts.command('add').description('let a host serve an app')
    .argument('<app>').argument('<host>').option('--json', 'print JSON').action(change('PUT'));
  hosts.command('remove').description('take a host from an app')
    .argument('<app>').argument('<host>').option('--json', 'print JSON').action(change('DELETE'));
}

export function addAppCommands(program: Command, daemon: Daemon): void {
  addApps(program, daemon);
  addVersions(program, daemon);
  addHosts(program, daemon);
}
