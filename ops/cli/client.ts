/**
 * The command line's way to the daemon: the admin API over HTTP, with the token from the
 * environment or from the data folder of a daemon on this machine.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { request } from 'undici';

/**
 * A failure told to the person at the terminal in one line; `exitCode` is stable: 1 refused, 2
 * wrong use, 3 no daemon.
 */
export class CliError extends Error {
  readonly exitCode: number;
  /** Compiler output or the like, printed below the line. */
  readonly detail: string;

  constructor(message: string, exitCode = 1, detail = '') {
    super(message);
    this.exitCode = exitCode;
    this.detail = detail;
  }
}

/** The daemon was there and then the connection was not: what was asked may have been done. */
export class LostError extends CliError {
  constructor(daemon: Pick<ClientOptions, 'adminUrl'>, error: unknown) {
    const { code, message } = error as NodeJS.ErrnoException;
    super(`${daemon.adminUrl}: the connection was lost: ${code ?? message}`, 3);
  }
}

export interface ClientOptions {
  readonly adminUrl: string;
  readonly token: string;
  /** Whose things are meant, for the operator; a tenant's token means its own. */
  readonly tenant?: string;
}

export const ADMIN_URL_DEFAULT = 'http://127.0.0.1:9090';
const TOKEN_FILE = 'admin-token';

export interface ConnectionFlags {
  readonly adminUrl?: string;
  readonly token?: string;
  readonly data?: string;
  readonly tenant?: string;
}

function tokenFrom(flags: ConnectionFlags, environment: NodeJS.ProcessEnv): string {
  const token = environment['WARDIAN_TOKEN'];
  if (token !== undefined && token !== '') return token;
  const folder = flags.data ?? environment['WARDIAN_DATA'] ?? './.wardian';
  const file = join(folder, TOKEN_FILE);
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    const reason =
      (error as NodeJS.ErrnoException).code === 'EACCES' ? 'may not be read' : 'is not there';
    throw new CliError(
      `no token: ${file} ${reason}. `
        + "Set WARDIAN_TOKEN, or name the daemon's data folder with --data",
      2,
    );
  }
}

/**
 * Where the daemon is and with which token, from flags, environment and the data folder, in this
 * order.
 */
export function findDaemon(flags: ConnectionFlags, environment: NodeJS.ProcessEnv): ClientOptions {
  const adminUrl = flags.adminUrl ?? environment['WARDIAN_ADMIN_URL'] ?? ADMIN_URL_DEFAULT;
  if (!/^https?:\/\/[^/]+\/?$/.test(adminUrl)) {
    throw new CliError(
      `${adminUrl} is no admin address; expected one such as ${ADMIN_URL_DEFAULT}`,
      2,
    );
  }
  const tenant = flags.tenant ?? environment['WARDIAN_TENANT'] ?? '';
  if (!/^[\x21-\x7e]*$/.test(tenant)) {
    throw new CliError(`${JSON.stringify(tenant)} is no name of a tenant`, 2);
  }
  return {
    adminUrl: adminUrl.replace(/\/$/, ''), token: tokenFrom(flags, environment),
    ...(tenant === '' ? {} : { tenant }),
  };
}

export interface ApiCall {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly body?: Buffer | Readable | string;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** How long the answer may take to begin; default five minutes. */
  readonly patienceMs?: number;
}

const PATIENCE_MS = 300_000;

interface Problem {
  readonly detail?: string;
  readonly title?: string;
  readonly code?: string;
  readonly output?: string;
}

function searchOf(query: ApiCall['query']): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined) search.set(name, value);
  }
  const text = search.toString();
  return text === '' ? '' : `?${text}`;
}

async function open(options: ClientOptions, call: ApiCall) {
  try {
    return await request(`${options.adminUrl}${call.path}${searchOf(call.query)}`, {
      method: call.method,
      headers: {
        authorization: `Bearer ${options.token}`,
        ...(options.tenant === undefined ? {} : { 'wardian-tenant': options.tenant }),
        ...call.headers,
        ...(call.contentType === undefined ? {} : { 'content-type': call.contentType }),
      },
      body: call.body ?? null,
      bodyTimeout: 0,
      headersTimeout: call.patienceMs ?? PATIENCE_MS,
    });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ECONNREFUSED') {
      throw new CliError(
        `no daemon answers at ${options.adminUrl}; start one with: wardian serve`,
        3,
      );
    }
    if (LOST.has(code ?? '')) throw new LostError(options, error);
    throw new CliError(`${options.adminUrl}: ${code ?? (error as Error).message}`, 3);
  }
}

/** Of a request whose answer did not come though the daemon had taken it. */
const LOST: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET']);

/** The bytes of an answer. Throws LostError when they end too soon. */
async function* bytesOf(options: ClientOptions, body: Readable): AsyncGenerator<Buffer> {
  try {
    yield* body as AsyncIterable<Buffer>;
  } catch (error) {
    throw new LostError(options, error);
  }
}

async function textOf(options: ClientOptions, body: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of bytesOf(options, body)) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new CliError(`the daemon answered what is no JSON: ${text.slice(0, 200)}`);
  }
}

function problemOf(text: string, status: number): CliError {
  try {
    const problem = JSON.parse(text) as Problem;
    const code = problem.code === undefined ? '' : ` (${problem.code})`;
    return new CliError(
      `${problem.detail ?? problem.title ?? `status ${status}`}${code}`,
      1,
      problem.output ?? '',
    );
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return new CliError(`the daemon answered ${status}: ${text.slice(0, 500)}`);
  }
}

/** One call with a JSON answer; undefined for 204. Throws CliError with the API's own words. */
export async function callApi(options: ClientOptions, call: ApiCall): Promise<unknown> {
  const answer = await open(options, call);
  const text = await textOf(options, answer.body);
  if (answer.statusCode >= 400) throw problemOf(text, answer.statusCode);
  return text === '' ? undefined : parse(text);
}

/** One call with a JSON body. */
export function sendJson(
  options: ClientOptions, method: ApiCall['method'], path: string, body: unknown,
): Promise<unknown> {
  return callApi(
    options, { method, path, body: JSON.stringify(body), contentType: 'application/json' });
}

async function openBytes(
  options: ClientOptions, call: ApiCall,
): Promise<AsyncGenerator<Buffer>> {
  const answer = await open(options, call);
  if (answer.statusCode >= 400) {
    throw problemOf(await textOf(options, answer.body), answer.statusCode);
  }
  return bytesOf(options, answer.body);
}

/** One call whose answer is bytes, as a stream. */
export async function openApi(options: ClientOptions, call: ApiCall): Promise<Readable> {
  return Readable.from(await openBytes(options, call), { objectMode: false });
}

type Page = Readonly<Record<string, unknown>> & { readonly next: number | string | null };

/** The pages of a list, one after the other. */
export async function* pagesOf(
  options: ClientOptions, path: string, query: ApiCall['query'] = {},
): AsyncGenerator<Page> {
  for (let after: string | undefined; ;) {
    const call: ApiCall = { method: 'GET', path, query: { ...query, after } };
    const page = await callApi(options, call) as Page;
    yield page;
    if (page.next === null) return;
    after = String(page.next);
  }
}

/** Everything of a list that comes in pages; `name` is what the answer calls it. */
export async function listAll<T>(
  options: ClientOptions, path: string, name: string, query: ApiCall['query'] = {},
): Promise<T[]> {
  const all: T[] = [];
  for await (const page of pagesOf(options, path, query)) all.push(...page[name] as T[]);
  return all;
}

/** One call whose answer is a line of JSON per event, handed over as they come. */
export async function streamApi(
  options: ClientOptions,
  call: ApiCall,
  onEvent: (event: unknown) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of await openBytes(options, call)) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line !== '') onEvent(parse(line));
  }
  if (rest !== '') onEvent(parse(rest));
}
