/**
 * Writes `docs/configuration.md` from the settings as `config.ts` checks them. `node
 * daemon/configuration-page.ts` rewrites the file; a test holds it to the settings.
 */

import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as z from 'zod';

import { PACKAGE_ROOT } from '../contract/entry.ts';
import { MIB, REQUEST_LIMITS_DEFAULT } from '../contract/limits.ts';
import { LIMIT_NAMES, SETTING_NAMES, SETTINGS_HELP, settingsSchema } from './config.ts';

/** What of JSON Schema the settings use. */
interface Described {
  readonly type?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly default?: unknown;
  readonly enum?: readonly string[];
  readonly items?: Described;
  readonly properties?: Readonly<Record<string, Described>>;
}

const HEAD = `# Configuration

Every setting can stand in a TOML file (\`wardian serve --config wardian.toml\`, or
\`WARDIAN_CONFIG\`), in the environment, and on the command line. What is further on wins:
built-in default, file, environment, command line. A setting called \`base_domain\` in the file is
\`WARDIAN_BASE_DOMAIN\` in the environment and \`--base-domain\` on the command line. Lists are
arrays in the file and comma-separated elsewhere.

A wrong setting, or one that is not known, is one line on stderr that names it, where it came from
and what would be right; the exit code is 2. An address or a data folder that is taken is one
line, too, and exit code 1; a database that is damaged or of a newer Wardian is one line and exit
code 4, which no restart changes: see [runbooks.md](runbooks.md#when-the-daemon-does-not-start).

\`wardian start\` is \`wardian serve\` for trying things out. It deploys the example guests once,
and while \`listen\` is a loopback address it has other defaults: \`sandbox = true\`, and
\`build_languages\` with all languages. Elsewhere both stay as they are unless they are set.

\`\`\`toml
listen = "0.0.0.0:80"
base_domain = "example.com"
data = "/var/lib/wardian"
egress_allow = ["10.1.0.0/16"]

[limits]
fuel = 2_000_000_000
memory_bytes = 67_108_864
\`\`\`

## Settings

Names that end in \`_bytes\` count bytes, those in \`_ms\` milliseconds.

| setting | default | allowed | meaning |
|---|---|---|---|
`;

const LIMITS_HEAD = `
## Limits of a request

In the table \`[limits]\` of the file, or as \`WARDIAN_LIMITS_FUEL\` and so on; they have no
flags. They hold for one request, and are what tenants and apps get unless they are given others.
What a unit of fuel buys is in [fuel.md](fuel.md).

| limit | default | allowed |
|---|---|---|
`;

const TAIL = `
## Other variables

| variable | meaning |
|---|---|
| \`WARDIAN_CONFIG\` | the TOML file, like \`--config\` |
| \`WARDIAN_NODE\` | the Node to run in, instead of this one or the one that npm brought |
| \`WARDIAN_ADMIN_URL\` | for the command line: the daemon's admin API, \`http://127.0.0.1:9090\` unless given |
| \`WARDIAN_TOKEN\` | for the command line: the admin token, instead of the one in the data folder |
| \`WARDIAN_TENANT\` | for the command line: the tenant that the operator means, like \`--tenant\` |
| \`WARDIAN_SECRETS_KEY\` | keys of secrets, instead of the file \`secrets-key\` |
`;

/** Numbers as people read them: 1,000,000 or 16 MiB. */
function shownNumber(name: string, value: number): string {
  if (name.endsWith('_bytes') && value >= MIB && value % MIB === 0) {
    return `${value.toLocaleString('en')} (${(value / MIB).toLocaleString('en')} MiB)`;
  }
  return value.toLocaleString('en');
}

function shownDefault(name: string, value: unknown): string {
  if (name === 'threads') return 'as many as the machine has';
  if (name === 'tenant_requests') return '`guests_in_flight` + `queue_length`';
  if (typeof value === 'number') return shownNumber(name, value);
  if (Array.isArray(value)) return value.length === 0 ? 'none' : `\`${value.join(',')}\``;
  return value === '' ? 'none' : `\`${String(value)}\``;
}

function shownRange(
  name: string,
  { type, minimum, maximum, enum: words, items }: Described,
): string {
  if (words !== undefined) return words.map((word) => `\`${word}\``).join(', ');
  if (type === 'boolean') return '`true`, `false`';
  if (type === 'array') {
    return items?.enum === undefined ? 'list' : `list of ${shownRange(name, items)}`;
  }
  if (minimum === undefined || maximum === undefined) return 'text';
  if (maximum >= Number.MAX_SAFE_INTEGER) return `from ${shownNumber(name, minimum)}`;
  return `${shownNumber(name, minimum)} to ${shownNumber(name, maximum)}`;
}

export function configurationPage(): string {
  const described = z.toJSONSchema(settingsSchema, { io: 'input', unrepresentable: 'any' });
  const properties = (described as Described).properties ?? {};
  const rows = SETTING_NAMES.map((name, i) => {
    const setting = properties[name] ?? {};
    const cells = [
      `\`${name}\``,
      shownDefault(name, setting.default),
      shownRange(name, setting),
      SETTINGS_HELP[i]?.help ?? '',
    ];
    return `| ${cells.join(' | ')} |`;
  });
  const limits = properties['limits']?.properties ?? {};
  const defaults = new Map<string, number>(
    Object.entries(REQUEST_LIMITS_DEFAULT).map(([name, value]) => [
      name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      value,
    ]),
  );
  const limitRows = LIMIT_NAMES.map((name) => {
    const least = shownDefault(name, defaults.get(name));
    return `| \`${name}\` | ${least} | ${shownRange(name, limits[name] ?? {})} |`;
  });
  return `${HEAD}${rows.join('\n')}\n${LIMITS_HEAD}${limitRows.join('\n')}\n${TAIL}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(new URL('docs/configuration.md', PACKAGE_ROOT), configurationPage());
}
