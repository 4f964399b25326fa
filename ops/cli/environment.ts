/** `wardian env` and `wardian secret`: what guests are told from outside of their module. */

import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';

import { SECRET_VALUE_BYTES_MAX } from '../../contract/limits.ts';
import { appPath } from './apps.ts';
import { callApi, CliError, listAll, sendJson } from './client.ts';
import type { ApiCall, ClientOptions } from './client.ts';
import { readValue } from './input.ts';
import { done, print, safeTable } from './output.ts';
import type { JsonFlag } from './output.ts';

interface SecretView {
  readonly name: string;
  readonly number: number;
  readonly active: boolean;
  readonly effectiveAt: string;
  readonly createdAt: string;
}

interface Rotated {
  readonly keyId: string;
  readonly resealed: number;
  readonly unopened: number;
}

interface KeyView {
  readonly keyId: string;
  readonly active: boolean;
  readonly present: boolean;
  readonly values: number;
}

/** More than a key takes. */
const KEY_BYTES_MAX = 128;

type Daemon = () => ClientOptions;
type Variables = Readonly<Record<string, string | null>>;

function assigned(text: string, before: Variables = {}): Variables {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('expected NAME=value');
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

function addEnv(program: Command, daemon: Daemon): void {
  const env = program.command('env')
    .description('an app\'s environment; for what nobody may see, use secret');
  env.command('set').description('set variables; guests see them at their next request')
    .argument('<app>').argument('<NAME=value...>').option('--json', 'print JSON')
    .action(async (label: string, words: string[], flags: JsonFlag) => {
      const values = words.reduce<Variables>((before, word) => assigned(word, before), {});
      const answer = await sendJson(daemon(), 'PATCH', `${appPath(label)}/env`, values);
      done(answer, flags, `set ${Object.keys(values).join(', ')} for ${label}`);
    });
  env.command('unset').description('remove variables')
    .argument('<app>').argument('<NAME...>').option('--json', 'print JSON')
    .action(async (label: string, names: string[], flags: JsonFlag) => {
      const values = Object.fromEntries(names.map((name) => [name, null]));
      const answer = await sendJson(daemon(), 'PATCH', `${appPath(label)}/env`, values);
      done(answer, flags, `removed ${names.join(', ')} from ${label}`);
    });
  env.command('list').description('all variables of an app')
    .argument('<app>').option('--json', 'print JSON')
    .action(async (label: string, flags: JsonFlag) => {
      const answer = await callApi(daemon(), { method: 'GET', path: `${appPath(label)}/env` });
      const { env: values } = answer as { env: Record<string, string> };
      print(values, flags, () => safeTable(['NAME', 'VALUE'], Object.entries(values)));
    });
}

interface PutFlags extends JsonFlag {
  readonly effectiveAt?: string;
  readonly exact?: boolean;
}

async function putSecret(
  daemon: ClientOptions, label: string, name: string, flags: PutFlags,
): Promise<void> {
  const at = flags.effectiveAt === undefined ? undefined : new Date(flags.effectiveAt);
  if (at !== undefined && Number.isNaN(at.getTime())) {
    throw new CliError(`--effective-at ${flags.effectiveAt}: expected a date and time`, 2);
  }
  const body = await readValue(
    `value of ${name} (not shown): `, SECRET_VALUE_BYTES_MAX, { exact: flags.exact === true });
  if (body.length === 0) throw new CliError('the value is empty', 2);
  const version = await callApi(daemon, {
    method: 'PUT', path: `${appPath(label)}/secrets/${encodeURIComponent(name)}`, body,
    query: { effective_at: at?.toISOString() }, contentType: 'application/octet-stream',
  }) as SecretView;
  done(version, flags,
    `${name} of ${label} is version ${version.number}, in effect from ${version.effectiveAt}`);
}

function addSecrets(program: Command, daemon: Daemon): void {
  const secret = program.command('secret')
    .description('an app\'s secrets: sealed on the disk, shown to its guests alone');
  secret.command('put').description('a new version of a secret; its value comes from stdin')
    .argument('<app>').argument('<name>')
    .option('--effective-at <time>', 'from then on, such as 2030-01-01T00:00:00Z (default: now)')
    .option('--exact', 'keep the line end at the end of stdin')
    .option('--json', 'print JSON')
    .action((label: string, name: string, flags: PutFlags) =>
      putSecret(daemon(), label, name, flags));
  secret.command('list').description('names and versions, never values')
    .argument('<app>').option('--json', 'print JSON')
    .action(async (label: string, flags: JsonFlag) => {
      const secrets = await listAll<SecretView>(daemon(), `${appPath(label)}/secrets`, 'secrets');
      print(secrets, flags, () => safeTable(
        ['NAME', 'VERSION', 'ACTIVE', 'EFFECTIVE', 'CREATED'],
        secrets.map(({ name, number, active, effectiveAt, createdAt }) =>
          [name, String(number), active ? 'yes' : '', effectiveAt, createdAt]),
      ));
    });
  secret.command('delete').description('remove a secret with all its versions')
    .argument('<app>').argument('<name>').option('--json', 'print JSON')
    .action(async (label: string, name: string, flags: JsonFlag) => {
      const path = `${appPath(label)}/secrets/${encodeURIComponent(name)}`;
      await callApi(daemon(), { method: 'DELETE', path });
      done({ deleted: name }, flags, `deleted ${name} of ${label}`);
    });
  secret.command('keys').option('--json', 'print JSON')
    .description('the keys of this node\'s secrets by their ids, and how much each still seals')
    .action(async (flags: JsonFlag) => {
      const answer = await callApi(daemon(), { method: 'GET', path: '/v1/secrets/keys' });
      const { keys } = answer as { keys: KeyView[] };
      print(keys, flags, () => safeTable(
        ['KEY', 'STATE', 'VALUES'],
        keys.map(({ keyId, active, present, values }) => [
          keyId, active ? 'seals' : present ? 'opens' : 'missing', String(values),
        ]),
      ));
    });
  secret.command('rotate-key').option('--json', 'print JSON')
    .description('make a new key for the secrets of this node, and seal them all with it')
    .option('--given', 'a key of yours, from stdin: also where WARDIAN_SECRETS_KEY gives the keys')
    .action((flags: RotateFlags) => rotateKey(daemon(), flags));
}

interface RotateFlags extends JsonFlag {
  readonly given?: boolean;
}

async function rotateKey(daemon: ClientOptions, flags: RotateFlags): Promise<void> {
  const call: ApiCall = flags.given !== true
    ? { method: 'POST', path: '/v1/secrets/rotate' }
    : {
      method: 'PUT', path: '/v1/secrets/key', contentType: 'application/octet-stream',
      body: await readValue('the new key, 64 hex digits or base64 (not shown): ', KEY_BYTES_MAX),
    };
  const made = await callApi(daemon, call);
  const { keyId, resealed, unopened } = made as Rotated;
  const left = unopened === 0 ? '' : `; ${unopened} could not be opened, see secret keys`;
  const then = flags.given === true
    ? '; where WARDIAN_SECRETS_KEY gives the keys, put it first there before the next start' : '';
  done(made, flags, `sealed ${resealed} values with the new key ${keyId}${left}${then}`);
}

export function addEnvironmentCommands(program: Command, daemon: Daemon): void {
  addEnv(program, daemon);
  addSecrets(program, daemon);
}
