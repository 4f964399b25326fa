/** `wardian tenant` and `wardian token`: who may use the node, how much, and with what. */

import type { Command } from 'commander';
import { Option } from 'commander';

import { callApi, CliError, listAll, sendJson } from './client.ts';
import type { ClientOptions } from './client.ts';
import { done, print, safeTable } from './output.ts';
import type { JsonFlag } from './output.ts';
import { limit, seconds, wholeNumber } from './words.ts';
import type { Values } from './words.ts';

interface TenantView {
  readonly name: string;
  readonly suspended: boolean;
  readonly limits: Readonly<Record<string, number>>;
  readonly quotas: Readonly<Record<string, number>>;
}

interface TokenView {
  readonly id: number;
  readonly tenant: string | null;
  readonly name: string;
  readonly scope: string;
  readonly createdAt: string;
  readonly expiresAt: string | null;
  readonly lastUsedAt: string | null;
  readonly secret?: string;
}

type Daemon = () => ClientOptions;

const tenantPath = (name: string): string => `/v1/tenants/${encodeURIComponent(name)}`;

const words = (values: Readonly<Record<string, number>>): string =>
  Object.entries(values).map(([name, value]) => `${name}=${value}`).join(' ') || '-';

function tenantText(tenants: readonly TenantView[]): string {
  return safeTable(
    ['TENANT', 'STATE', 'LIMITS', 'QUOTAS'],
    tenants.map(({ name, suspended, limits, quotas }) => [
      name, suspended ? 'suspended' : 'active', words(limits), words(quotas),
    ]),
  );
}

interface TenantFlags extends JsonFlag {
  readonly limit?: Values;
  readonly quota?: Values;
}

function changesOf({ limit: limits, quota: quotas }: TenantFlags): Record<string, Values> {
  return {
    ...(limits === undefined ? {} : { limits }), ...(quotas === undefined ? {} : { quotas }),
  };
}

function withAmounts(command: Command): Command {
  return command
    .option('--limit <name=value>', 'a limit of its requests; can be repeated', limit)
    .option('--quota <name=value>', 'apps, namespaces, storeKeys, storeBytes, valueBytes', limit)
    .option('--json', 'print JSON');
}

function addTenants(program: Command, daemon: Daemon): void {
  const tenant = program.command('tenant').description('who may deploy here, and how much');
  withAmounts(tenant.command('create').argument('<name>')).description('make a tenant')
    .action(async (name: string, flags: TenantFlags) => {
      const made = await sendJson(daemon(), 'POST', '/v1/tenants', { name, ...changesOf(flags) });
      done(made, flags, `made the tenant ${name}`);
    });
  tenant.command('list').description('all of them').option('--json', 'print JSON')
    .action(async (flags: JsonFlag) => {
      const tenants = await listAll<TenantView>(daemon(), '/v1/tenants', 'tenants');
      print(tenants, flags, () => tenantText(tenants));
    });
  withAmounts(tenant.command('set').argument('<name>'))
    .description('change limits and quotas; name=default takes one back')
    .action(async (name: string, flags: TenantFlags) => {
      const changes = changesOf(flags);
      if (Object.keys(changes).length === 0) throw new CliError('nothing to set; see --help', 2);
      const changed = await sendJson(daemon(), 'PATCH', tenantPath(name), changes) as TenantView;
      print(changed, flags, () => tenantText([changed]));
    });
  for (const [verb, suspended] of [['suspend', true], ['resume', false]] as const) {
    tenant.command(verb).argument('<name>').option('--json', 'print JSON')
      .description(suspended
        ? 'stop serving and changing its apps; nothing is removed' : 'serve its apps again')
      .action(async (name: string, flags: JsonFlag) => {
        const changed = await sendJson(daemon(), 'PATCH', tenantPath(name), { suspended });
        done(changed, flags, `${name} is ${suspended ? 'suspended' : 'active'}`);
      });
  }
  tenant.command('delete').argument('<name>').option('--json', 'print JSON')
    .description('remove a tenant with its apps, data and tokens')
    .action(async (name: string, flags: JsonFlag) => {
      await callApi(daemon(), { method: 'DELETE', path: tenantPath(name) });
      done({ deleted: name }, flags, `deleted ${name} with its apps, data and tokens`);
    });
}

interface TokenFlags extends JsonFlag {
  readonly name: string;
  readonly scope: string;
  readonly expires?: number;
}

async function createToken(daemon: ClientOptions, flags: TokenFlags): Promise<void> {
  const { name, scope, expires } = flags;
  const made = await sendJson(daemon, 'POST', '/v1/tokens', {
    name, scope, ...(expires === undefined ? {} : { lifeSeconds: expires }),
  }) as TokenView;
  const whose = made.tenant === null ? 'the operator' : made.tenant;
  if (flags.json !== true) {
    process.stderr.write(
      `token ${made.id} of ${whose}, scope ${made.scope}; it is shown this once:\n`);
  }
  print(made, flags, () => made.secret ?? '');
}

function addTokens(program: Command, daemon: Daemon): void {
  const token = program.command('token')
    .description('tokens of a tenant (--tenant), or of the operator');
  token.command('create').description('make one; it alone goes to stdout')
    .requiredOption('--name <name>', 'what it is for')
    .addOption(new Option('--scope <scope>', 'read: see; deploy: change apps; admin: all')
      .choices(['read', 'deploy', 'admin']).default('deploy'))
    .option('--expires <time>', 'after 12h, 90d; without it, never', seconds)
    .option('--json', 'print JSON')
    .action((flags: TokenFlags) => createToken(daemon(), flags));
  token.command('list').description('names, scopes, expiry and last use')
    .option('--json', 'print JSON')
    .action(async (flags: JsonFlag) => {
      const tokens = await listAll<TokenView>(daemon(), '/v1/tokens', 'tokens');
      print(tokens, flags, () => safeTable(
        ['ID', 'TENANT', 'NAME', 'SCOPE', 'CREATED', 'EXPIRES', 'LAST USED'],
        tokens.map((kept) => [
          String(kept.id), kept.tenant ?? '(operator)', kept.name, kept.scope, kept.createdAt,
          kept.expiresAt ?? 'never', kept.lastUsedAt ?? 'never',
        ]),
      ));
    });
  token.command('revoke').description('end one at once').argument('<id>', 'its number', wholeNumber)
    .option('--json', 'print JSON')
    .action(async (id: number, flags: JsonFlag) => {
      await callApi(daemon(), { method: 'DELETE', path: `/v1/tokens/${id}` });
      done({ revoked: id }, flags, `revoked token ${id}`);
    });
}

export function addTenantCommands(program: Command, daemon: Daemon): void {
  addTenants(program, daemon);
  addTokens(program, daemon);
}
