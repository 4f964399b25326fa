/**
 * `wardian kv`: entries of a namespace, or of an app's own store; and the namespaces themselves.
 * Keys and values are bytes: text on the command line, anything from files and stdin.
 */

import { createReadStream, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Command } from 'commander';
import { Option } from 'commander';

import { KV_VALUE_BYTES_MAX, MIB } from '../../contract/limits.ts';
import { appPath } from './apps.ts';
import { callApi, CliError, listAll, openApi, pagesOf } from './client.ts';
import type { ClientOptions } from './client.ts';
import { readValue } from './input.ts';
import { done, print, safeTable } from './output.ts';
import type { JsonFlag } from './output.ts';
import { writeWhole } from './whole-file.ts';
import { seconds, wholeNumber } from './words.ts';

interface PlaceFlags extends JsonFlag {
  readonly namespace?: string;
  readonly app?: string;
}

interface EntryView {
  readonly key?: string;
  readonly key64?: string;
  readonly bytes: number;
  readonly revision: number;
  readonly expiresAt: string | null;
}

type Daemon = () => ClientOptions;

const BYTES_TYPE = 'application/octet-stream';
const LINES_TYPE = 'application/x-ndjson';
/** Of lines that one request imports. */
const IMPORT_BYTES = 8 * MIB;

function placePath({ namespace, app }: PlaceFlags): string {
  if ((namespace === undefined) === (app === undefined)) {
    throw new CliError('name the store: --namespace <name>, or --app <app> for an app\'s own', 2);
  }
  return namespace === undefined
    ? `${appPath(app ?? '')}/store` : `/v1/namespaces/${encodeURIComponent(namespace)}`;
}

/** A key that begins with `base64:` is bytes. */
function keyQuery(key: string): Record<string, string> {
  return key.startsWith('base64:') ? { key64: key.slice(7) } : { key };
}

const shownKey = ({ key, key64 }: EntryView): string => key ?? `base64:${key64 ?? ''}`;

async function get(daemon: ClientOptions, key: string, flags: PlaceFlags): Promise<void> {
  const body = await openApi(daemon, {
    method: 'GET', path: `${placePath(flags)}/entry`, query: keyQuery(key),
  });
  if (flags.json !== true) {
    for await (const chunk of body) process.stdout.write(chunk as Buffer);
    return;
  }
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(chunk as Buffer);
  const value = Buffer.concat(chunks);
  const text = value.toString('utf8');
  const isText = Buffer.from(text).equals(value);
  const shown = isText ? { value: text } : { value64: value.toString('base64url') };
  process.stdout.write(`${JSON.stringify({ key, ...shown })}\n`);
}

interface PutFlags extends PlaceFlags {
  readonly file?: string;
  readonly mode?: string;
  readonly ttl?: number;
  readonly ifRevision?: number;
}

async function put(
  daemon: ClientOptions, key: string, value: string | undefined, flags: PutFlags,
): Promise<void> {
  if (value !== undefined && flags.file !== undefined) {
    throw new CliError('give a value, or a file, or neither for stdin', 2);
  }
  let body: Buffer;
  if (value !== undefined) body = Buffer.from(value);
  else if (flags.file !== undefined) body = readInput(flags.file);
  else body = await readValue('value (not shown): ', KV_VALUE_BYTES_MAX, { exact: true });
  const answer = await callApi(daemon, {
    method: 'PUT', path: `${placePath(flags)}/entry`, body, contentType: BYTES_TYPE,
    query: {
      ...keyQuery(key), mode: flags.mode, ttl_seconds: flags.ttl?.toString(),
      if_revision: flags.ifRevision?.toString(),
    },
  });
  done(answer, flags, `put ${key}, ${body.length} bytes`);
}

function readInput(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new CliError(`${file}: ${(error as NodeJS.ErrnoException).code ?? 'not readable'}`, 2);
  }
}

interface ListFlags extends PlaceFlags {
  readonly prefix?: string;
}

async function list(daemon: ClientOptions, flags: ListFlags): Promise<void> {
  const { prefix } = flags;
  const query: Record<string, string> = prefix === undefined ? {}
    : prefix.startsWith('base64:') ? { prefix64: prefix.slice(7) } : { prefix };
  const entries = await listAll<EntryView>(
    daemon, `${placePath(flags)}/entries`, 'entries', query);
  print(entries, flags, () => safeTable(
    ['KEY', 'BYTES', 'REVISION', 'EXPIRES'],
    entries.map((entry) => [
      shownKey(entry), String(entry.bytes), String(entry.revision), entry.expiresAt ?? '-',
    ]),
  ));
}

async function exportTo(
  daemon: ClientOptions, file: string | undefined, flags: PlaceFlags,
): Promise<void> {
  const open = () => openApi(daemon, { method: 'GET', path: `${placePath(flags)}/export` });
  if (file === undefined) {
    for await (const chunk of await open()) process.stdout.write(chunk as Buffer);
    return;
  }
  await writeWhole(file, open);
  done({ file }, flags, `wrote ${file}`);
}

async function importFrom(
  daemon: ClientOptions, file: string | undefined, flags: PlaceFlags,
): Promise<void> {
  const path = `${placePath(flags)}/import`;
  let imported = 0;
  let lines: string[] = [];
  let bytes = 0;
  const send = async (): Promise<void> => {
    if (lines.length === 0) return;
    const answer = await callApi(daemon, {
      method: 'POST', path, body: `${lines.join('\n')}\n`, contentType: LINES_TYPE,
    });
    imported += (answer as { imported: number }).imported;
    lines = [];
    bytes = 0;
  };
  const input = file === undefined ? process.stdin : createReadStream(file);
  const opened = new Promise<never>((_, reject) => {
    input.once('error', (error: NodeJS.ErrnoException) =>
      reject(new CliError(`${file ?? 'stdin'}: ${error.code ?? error.message}`, 2)));
  });
  const read = async (): Promise<void> => {
    for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      const size = Buffer.byteLength(line) + 1;
      if (bytes + size > IMPORT_BYTES) await send();
      lines.push(line);
      bytes += size;
    }
    await send();
  };
  await Promise.race([read(), opened]);
  done({ imported }, flags, `imported ${imported} entries`);
}

function placed(command: Command): Command {
  return command
    .option('--namespace <name>', 'the namespace')
    .option('--app <app>', 'the app\'s own store')
    .option('--json', 'print JSON');
}

function addEntries(kv: Command, daemon: Daemon): void {
  placed(kv.command('get').argument('<key>')).description('write a value to stdout as it is')
    .action((key: string, flags: PlaceFlags) => get(daemon(), key, flags));
  placed(kv.command('put').argument('<key>').argument('[value]'))
    .description('put a value from the command line, a file or stdin')
    .option('--file <file>', 'the value is in a file')
    .addOption(new Option('--mode <mode>', 'absent: only if there is none')
      .choices(['always', 'absent', 'append']))
    .option('--ttl <time>', 'it is gone after 90s, 5m, 12h', seconds)
    .option('--if-revision <number>', 'only if it still has that revision', wholeNumber)
    .action((key: string, value: string | undefined, flags: PutFlags) =>
      put(daemon(), key, value, flags));
  placed(kv.command('list')).description('keys in the order of their bytes')
    .option('--prefix <prefix>', 'that begin with this')
    .action((flags: ListFlags) => list(daemon(), flags));
  placed(kv.command('delete').argument('<key>')).description('remove a key')
    .action(async (key: string, flags: PlaceFlags) => {
      await callApi(daemon(), {
        method: 'DELETE', path: `${placePath(flags)}/entry`, query: keyQuery(key),
      });
      done({ deleted: key }, flags, `deleted ${key}`);
    });
  placed(kv.command('export').argument('[file]', 'default: stdout'))
    .description('all entries, a line of JSON each')
    .action((file: string | undefined, flags: PlaceFlags) => exportTo(daemon(), file, flags));
  placed(kv.command('import').argument('[file]', 'default: stdin'))
    .description('put what an export has written')
    .action((file: string | undefined, flags: PlaceFlags) => importFrom(daemon(), file, flags));
}

interface NamespaceView {
  readonly name: string;
  readonly keys: number;
  readonly bytes: number;
  readonly createdAt: string;
}

function addNamespaces(kv: Command, daemon: Daemon): void {
  const namespace = kv.command('namespace').description('stores that several apps can share');
  namespace.command('create').argument('<name>').option('--json', 'print JSON')
    .description('make a namespace')
    .action(async (name: string, flags: JsonFlag) => {
      const made = await callApi(daemon(), {
        method: 'POST', path: '/v1/namespaces', body: JSON.stringify({ name }),
        contentType: 'application/json',
      });
      done(made, flags, `made the namespace ${name}`);
    });
  namespace.command('list').description('all of them').option('--json', 'print JSON')
    .action(async (flags: JsonFlag) => {
      const found = await listAll<NamespaceView>(daemon(), '/v1/namespaces', 'namespaces');
      print(found, flags, () => safeTable(
        ['NAMESPACE', 'KEYS', 'BYTES', 'CREATED'],
        found.map(({ name, keys, bytes, createdAt }) =>
          [name, String(keys), String(bytes), createdAt]),
      ));
    });
  namespace.command('delete').argument('<name>').option('--json', 'print JSON')
    .description('remove a namespace with its entries')
    .action(async (name: string, flags: JsonFlag) => {
      const path = `/v1/namespaces/${encodeURIComponent(name)}`;
      await callApi(daemon(), { method: 'DELETE', path });
      done({ deleted: name }, flags, `deleted ${name} with its entries`);
    });
}

function addBindings(kv: Command, daemon: Daemon): void {
  const bindingPath = (label: string, name: string): string =>
    `${appPath(label)}/bindings/${encodeURIComponent(name)}`;
  kv.command('bind').argument('<app>').argument('<name>').argument('<namespace>')
    .description('let an app know a namespace by a name').option('--json', 'print JSON')
    .action(async (label: string, name: string, namespace: string, flags: JsonFlag) => {
      const bound = await callApi(daemon(), {
        method: 'PUT', path: bindingPath(label, name), body: JSON.stringify({ namespace }),
        contentType: 'application/json',
      });
      done(bound, flags, `${label} knows ${namespace} as ${name}`);
    });
  kv.command('unbind').argument('<app>').argument('<name>')
    .description('take a namespace from an app').option('--json', 'print JSON')
    .action(async (label: string, name: string, flags: JsonFlag) => {
      const bound = await callApi(daemon(), { method: 'DELETE', path: bindingPath(label, name) });
      done(bound, flags, `${label} no longer knows ${name}`);
    });
  kv.command('bindings').argument('<app>').description('the namespaces that an app knows')
    .option('--json', 'print JSON')
    .action(async (label: string, flags: JsonFlag) => {
      const bindings: Record<string, string> = {};
      for await (const page of pagesOf(daemon(), `${appPath(label)}/bindings`)) {
        Object.assign(bindings, page['bindings']);
      }
      print(bindings, flags, () => safeTable(['NAME', 'NAMESPACE'], Object.entries(bindings)));
    });
}

export function addKvCommands(program: Command, daemon: Daemon): void {
  const kv = program.command('kv').description('key-value stores');
  addEntries(kv, daemon);
  addNamespaces(kv, daemon);
  addBindings(kv, daemon);
}
