/**
 * Settings: built-in defaults, then a TOML file, then `WARDIAN_*`, then command-line flags. Each
 * value is checked once, here; a wrong one is one line that names the setting, where it came from,
 * and what would be right.
 */

import { readFileSync } from 'node:fs';
import { isIP, isIPv4, isIPv6 } from 'node:net';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { parse, TomlError } from 'smol-toml';
import * as z from 'zod';

import {
  BODY_BYTES_MAX,
  DRAIN_MS,
  GATHERED_BYTES_MAX,
  GUESTS_IN_FLIGHT_CONFIGURED_MAX,
  GUESTS_IN_FLIGHT_MAX,
  HALF_CLOSED_MS,
  HEADER_BYTES_MAX,
  MEMORY_POOL_BYTES_MAX,
  MIB,
  MODULE_CACHE_BYTES_MAX,
  QUEUE_LENGTH_MAX,
  QUEUE_MS,
  REQUEST_LIMITS_DEFAULT,
  STORE_FREE_BYTES_MIN,
  WASM_PAGE_BYTES,
} from '../contract/limits.ts';
import { WORKER_NICENESS } from '../contract/niceness.ts';
import { flagOf, SETTING_MEANINGS } from '../contract/settings.ts';

/** A wrong setting. The message is one line for the operator; the process exits with 2. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

const HOST = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;

const PORT_MAX = 65_535;

const address = z.string().transform((text, context) => {
  const match = /^(?:\[([^\]]+)\]|([^:\s[\]]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  const isBracketed = match?.[1] !== undefined;
  if (match === null || port > PORT_MAX || (isBracketed && !isIPv6(match[1] ?? ''))) {
    context.addIssue({
      code: 'custom',
      message: 'expected address:port, for example 127.0.0.1:8080',
    });
    return z.NEVER;
  }
  return { host: match[1] ?? match[2] ?? '', port };
});

/** In full: `10/8` and the like mean different things to different programs. */
function isRange(text: string): boolean {
  const [network = '', bits = '', ...more] = text.split('/');
  const family = isIP(network);
  if (family === 0 || network.includes('%') || more.length > 0) return false;
  if (!/^\d{1,3}$/.test(bits)) return false;
  return Number(bits) <= (family === 4 ? 32 : 128);
}

function isResolver(text: string): boolean {
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text);
  if (match === null) return isIPv6(text);
  const port = Number(match[3] ?? 53);
  return (isIPv6(match[1] ?? '') || isIPv4(match[2] ?? '')) && port >= 1 && port <= PORT_MAX;
}

const cidr = z.string().refine(isRange, 'expected a range such as 10.0.0.0/8 or fd00::/8');
const resolver = z
  .string()
  .refine(
    isResolver,
    'expected an address with an optional port, for example 9.9.9.9 or [2620:fe::fe]:53',
  );
const hostName = z.string().toLowerCase().regex(HOST, 'expected a host name such as example.com');
const whole = (least: number, most: number) =>
  z
    .number(`expected a whole number from ${least} to ${most}`)
    .int(`expected a whole number from ${least} to ${most}`)
    .min(least, `expected at least ${least}`)
    .max(most, `expected at most ${most}`);

const share = z
  .number('expected a share from 0 to 1')
  .min(0, 'expected a share from 0 to 1')
  .max(1, 'expected a share from 0 to 1');

const requestLimits = z
  .strictObject({
    fuel: whole(1_000, Number.MAX_SAFE_INTEGER),
    memory_bytes: whole(WASM_PAGE_BYTES, 4_096 * MIB),
    deadline_ms: whole(1, 3_600_000),
    hostcalls: whole(1, 1_000_000_000),
    hostcall_bytes: whole(0, Number.MAX_SAFE_INTEGER),
    response_bytes: whole(0, 1_024 * MIB),
    log_bytes: whole(0, 64 * MIB),
    subrequests: whole(0, 100_000),
    subrequests_concurrent: whole(0, 10_000),
    subrequest_bytes: whole(0, Number.MAX_SAFE_INTEGER),
    subrequest_ms: whole(1, 3_600_000),
    dns_queries: whole(0, 100_000),
    kv_operations: whole(0, 1_000_000),
    stream_bytes: whole(0, Number.MAX_SAFE_INTEGER),
    stream_stall_ms: whole(1, 3_600_000),
  })
  .partial();

const camel = (name: string): string =>
  name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** The bounds of each limit, by its name in `RequestLimits`. */
export const limitSchemas: Readonly<Record<string, z.ZodType<number>>> = Object.fromEntries(
  Object.entries(requestLimits.shape).map(([name, limit]) => [camel(name), limit.unwrap()]),
);

export const settingsSchema = z.strictObject({
  listen: address.prefault('127.0.0.1:8080'),
  admin: address.prefault('127.0.0.1:9090'),
  data: z.string().min(1, 'expected a folder').prefault('./.wardian'),
  threads: whole(1, 256).default(Math.min(256, availableParallelism())),
  /** Steps that threads stand back which run guests; V8's helpers twice as many. Linux only. */
  niceness: whole(0, 19).default(WORKER_NICENESS),
  base_domain: hostName.prefault('localhost'),
  /** Scheme and port of the URLs that are printed; empty: http and the listening port. */
  public_url: z
    .union([
      z.literal(''),
      z.url({ protocol: /^https?$/, error: 'expected an http or https URL, or nothing' }),
    ])
    .default(''),
  engine: z
    .enum(['auto', 'net', 'uwebsockets', 'node'], 'expected auto, net, uwebsockets or node')
    .default('auto'),
  drain_ms: whole(0, 3_600_000).default(DRAIN_MS),
  durability: z.enum(['full', 'process'], 'expected full or process').default('full'),
  disk_free_bytes: whole(0, Number.MAX_SAFE_INTEGER).default(STORE_FREE_BYTES_MIN),
  egress_allow: z.array(cidr).default([]),
  dns_servers: z.array(resolver).default([]),
  half_closed_ms: whole(0, 60_000).default(HALF_CLOSED_MS),
  header_bytes: whole(1_024, 64 * 1_024).default(HEADER_BYTES_MAX),
  body_bytes: whole(0, 512 * MIB).default(BODY_BYTES_MAX),
  /** Of all request bodies that are held whole. */
  gathered_bytes: whole(0, 64 * 1_024 * MIB).default(GATHERED_BYTES_MAX),
  guests_in_flight: whole(1, GUESTS_IN_FLIGHT_CONFIGURED_MAX).default(GUESTS_IN_FLIGHT_MAX),
  queue_length: whole(0, 1_000_000).default(QUEUE_LENGTH_MAX),
  queue_ms: whole(1, 3_600_000).default(QUEUE_MS),
  /** Unless given, what may be in flight and what may wait, together. */
  tenant_requests: whole(1, 1_000_000).optional(),
  module_cache_bytes: whole(MIB, 64 * 1_024 * MIB).default(MODULE_CACHE_BYTES_MAX),
  memory_pool_bytes: whole(0, 64 * 1_024 * MIB).default(MEMORY_POOL_BYTES_MAX),
  /** The Terrarium deploy protocol, for anyone who reaches the listener. */
  sandbox: z.boolean('expected true or false').default(false),
  sandbox_hosts: z.array(hostName).default([]),
  /** Languages built from source; each runs its compiler as the daemon's user. */
  build_languages: z
    .array(z.enum(['wat', 'assemblyscript', 'c', 'rust']))
    .default(['wat', 'assemblyscript']),
  log_level: z
    .enum(['debug', 'info', 'warn', 'error'], 'expected debug, info, warn or error')
    .default('info'),
  access_log: z.boolean('expected true or false').default(true),
  access_log_sample: share.default(1),
  log_redact: z.array(z.string().min(1).max(256)).default([]),
  log_recent_bytes: whole(64 * 1_024, 4_096 * MIB).default(16 * MIB),
  guest_log_rate: whole(1, 1_000_000).default(500),
  metrics: z.boolean('expected true or false').default(true),
  metrics_apps: whole(1, 5_000).default(100),
  /** Where spans are sent, by OTLP over HTTP; empty: nothing is traced. */
  otlp_endpoint: z
    .union([
      z.literal(''),
      z.url({ protocol: /^https?$/, error: 'expected an http or https URL, or nothing' }),
    ])
    .default(''),
  /** May hold credentials: values are never shown. */
  otlp_headers: z
    .array(z.string().regex(
      /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}=[\x20-\x7e]{1,4096}$/,
      'expected name=value, such as authorization=Bearer abc',
    ))
    .max(32, 'expected at most 32 headers')
    .default([]),
  trace_sample: share.default(0.1),
  trace_trust_incoming: z.boolean('expected true or false').default(true),
  /** Names beside addresses and localhost under which the admin API may be asked for. */
  admin_hosts: z.array(hostName).default([]),
  /** Versions of each app that are kept beside those that serve. */
  keep_versions: whole(1, 100_000).default(50),
  limits: requestLimits.prefault({}),
});

type Parsed = z.output<typeof settingsSchema>;

export interface Config extends Omit<Parsed, 'limits' | 'tenant_requests'> {
  readonly tenant_requests: number;
  readonly limits: typeof REQUEST_LIMITS_DEFAULT;
}

/**
 * Names as flags and variables spell them: `base_domain` is `--base-domain` and
 * `WARDIAN_BASE_DOMAIN`.
 */
export const SETTING_NAMES = Object.keys(settingsSchema.shape).filter((name) => name !== 'limits');
export const SETTINGS_HELP = SETTING_NAMES.map((name) => ({
  flag: flagOf(name),
  help: SETTING_MEANINGS[name] ?? '',
}));
export const LIMIT_NAMES = Object.keys(requestLimits.shape);

const LISTS = new Set([
  'egress_allow',
  'dns_servers',
  'sandbox_hosts',
  'build_languages',
  'log_redact',
  'otlp_headers',
  'admin_hosts',
]);
/** Settings whose values are in no message. */
const SECRETS = new Set(['otlp_headers']);
const TEXTS = new Set([
  'listen',
  'admin',
  'data',
  'base_domain',
  'public_url',
  'engine',
  'durability',
  'log_level',
  'otlp_endpoint',
]);

/**
 * A variable or flag is text; what it becomes depends on the setting. Left as text where it does
 * not fit.
 */
function fromText(name: string, text: string): unknown {
  if (LISTS.has(name))
    return text
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== '');
  if (TEXTS.has(name)) return text;
  if (text === 'true') return true;
  if (text === 'false') return false;
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
}

/** Variables of the command line and of other parts, which are no settings of the daemon. */
const OTHER_VARIABLES = new Set([
  'WARDIAN_CONFIG',
  'WARDIAN_TOKEN',
  'WARDIAN_ADMIN_URL',
  'WARDIAN_TENANT',
  'WARDIAN_SECRETS_KEY',
  'WARDIAN_NODE',
]);

interface Sources {
  readonly values: Record<string, unknown>;
  readonly origins: Map<string, string>;
}

function readFile(file: string, sources: Sources): void {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new ConfigError(
      `config file ${file}: ${(error as NodeJS.ErrnoException).code ?? 'cannot be read'}`,
    );
  }
  try {
    for (const [name, value] of Object.entries(parse(text))) {
      sources.values[name] = value;
      sources.origins.set(name, `in ${file}`);
    }
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const reason = error.message.split('\n')[0] ?? 'not TOML';
    throw new ConfigError(`config file ${file}, line ${error.line}: ${reason}`);
  }
}

function readEnvironment(environment: NodeJS.ProcessEnv, sources: Sources): void {
  const known = new Map<string, string>();
  for (const name of SETTING_NAMES) known.set(`WARDIAN_${name.toUpperCase()}`, name);
  const limits: Record<string, unknown> = {};
  for (const [variable, text] of Object.entries(environment)) {
    if (text === undefined || !variable.startsWith('WARDIAN_')) continue;
    const name = known.get(variable);
    if (name !== undefined) {
      sources.values[name] = fromText(name, text);
      sources.origins.set(name, `in ${variable}`);
      continue;
    }
    if (OTHER_VARIABLES.has(variable) || variable.startsWith('WARDIAN_TEST_')) continue;
    const limit = variable.startsWith('WARDIAN_LIMITS_') ? variable.slice(15).toLowerCase() : '';
    if (!LIMIT_NAMES.includes(limit)) {
      throw new ConfigError(
        `unknown setting ${variable}; WARDIAN_ and a setting's name in capitals is one of: ` +
          `${SETTING_NAMES.join(', ')}, limits_fuel and so on`,
      );
    }
    limits[limit] = fromText(limit, text);
    sources.origins.set(`limits.${limit}`, `in ${variable}`);
  }
  const file = sources.values['limits'];
  if (Object.keys(limits).length > 0) {
    sources.values['limits'] = { ...(typeof file === 'object' ? file : {}), ...limits };
  }
}

function explain(error: z.ZodError, sources: Sources): ConfigError {
  const issue = error.issues[0];
  if (issue === undefined) return new ConfigError('settings: not valid');
  const path = issue.path.map(String);
  const top = path[0] ?? '';
  const origin = sources.origins.get(path.join('.')) ?? sources.origins.get(top) ?? '';
  if (issue.code === 'unrecognized_keys') {
    const where =
      origin === ''
        ? ([...sources.origins.values()].find((o) => o.endsWith('.toml')) ?? '')
        : origin;
    const name = [...path, issue.keys[0] ?? ''].join('.');
    const known = path.length > 0 ? LIMIT_NAMES : [...SETTING_NAMES, 'limits'];
    return new ConfigError(
      `unknown setting ${name} ${where}; known are ${known.join(', ')}`.replace('  ', ' '),
    );
  }
  let value: unknown = sources.values;
  for (const key of path) value = (value as Record<string, unknown> | undefined)?.[key];
  const setting = `setting ${path.join('.')}${origin === '' ? '' : ` ${origin}`}`;
  const shown = SECRETS.has(top) ? 'its value' : JSON.stringify(value);
  return new ConfigError(`${setting}: ${shown}: ${issue.message}`);
}

function mergeLimits(given: Parsed['limits']): typeof REQUEST_LIMITS_DEFAULT {
  const merged: Record<string, number> = { ...REQUEST_LIMITS_DEFAULT };
  for (const [name, value] of Object.entries(given)) merged[camel(name)] = value;
  const limits = merged as unknown as typeof REQUEST_LIMITS_DEFAULT;
  if (limits.subrequestMs > limits.deadlineMs) {
    if (given.subrequest_ms === undefined) return { ...limits, subrequestMs: limits.deadlineMs };
    throw new ConfigError(
      `setting limits.subrequest_ms: ${limits.subrequestMs}: at most limits.deadline_ms, ` +
        `which is ${limits.deadlineMs}`,
    );
  }
  return limits;
}

/** Throws where more guests are asked for than a tenant may have requests: they had no effect. */
function tenantRequests(parsed: Parsed, sources: Sources): number {
  const { guests_in_flight: guests, queue_length: queue, tenant_requests: given } = parsed;
  if (given === undefined) return guests + queue;
  if (guests > given && sources.values['guests_in_flight'] !== undefined) {
    const origin = sources.origins.get('guests_in_flight') ?? '';
    throw new ConfigError(
      `setting guests_in_flight ${origin}: ${guests}: at most tenant_requests, which is ${given}`,
    );
  }
  return given;
}

export interface ConfigInput {
  /** Path of a TOML file, or undefined. */
  readonly file?: string | undefined;
  readonly environment: NodeJS.ProcessEnv;
  /** From the command line, by setting name; text or boolean. */
  readonly flags: Readonly<Record<string, string | boolean | undefined>>;
  /** What this way of starting changes of the defaults. */
  readonly defaults?: Readonly<Record<string, unknown>>;
}

/** Throws ConfigError, one line. `data` comes back absolute. */
export function loadConfig(input: ConfigInput): Config {
  const sources: Sources = { values: { ...input.defaults }, origins: new Map() };
  if (input.file !== undefined) readFile(input.file, sources);
  readEnvironment(input.environment, sources);
  for (const [name, value] of Object.entries(input.flags)) {
    if (value === undefined) continue;
    sources.values[name] = typeof value === 'string' ? fromText(name, value) : value;
    sources.origins.set(name, `in --${name.replaceAll('_', '-')}`);
  }
  const parsed = settingsSchema.safeParse(sources.values);
  if (!parsed.success) throw explain(parsed.error, sources);
  const { limits, ...rest } = parsed.data;
  return {
    ...rest,
    data: resolve(rest.data),
    tenant_requests: tenantRequests(parsed.data, sources),
    limits: mergeLimits(limits),
  };
}
