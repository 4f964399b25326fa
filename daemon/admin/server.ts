/**
 * The admin API's HTTP server: checks the host, the token and every input, then calls the route.
 * It has an address of its own and shares nothing with the tenants' listener.
 */

import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { isIP } from 'node:net';
import { once } from 'node:events';
import * as z from 'zod';

import { WardianError } from '../../contract/errors.ts';
import { ADMIN_BODY_BYTES_MAX, ADMIN_CONNECTIONS_MAX } from '../../contract/limits.ts';
import type { Store } from '../store/store.ts';
import type { Changeover } from '../changeover.ts';
import { writeAnswer, writeProblem } from './answer.ts';
import { Calls } from './calls.ts';
import { callerOf, NOBODY, TENANT_HEADER } from './caller.ts';
import type { Caller, Identity } from './caller.ts';
import { createMatcher } from './match.ts';
import type { Match } from './match.ts';
import type { AdminCall, AdminRoute } from './route.ts';
import type { TokenGuard } from './token.ts';

export interface AdminServerOptions {
  readonly routes: readonly AdminRoute[];
  readonly guard: TokenGuard;
  readonly store: Pick<Store, 'getTenant' | 'tenants'>;
  /** Absent: no backup is restored while it serves. */
  readonly changeover?: Pick<Changeover, 'enter' | 'epoch'>;
  /** Names under which the API may be asked for, beside addresses and localhost. */
  readonly hosts?: readonly string[];
  /** Told of faults of ours: what is no WardianError. */
  readonly onFault: (error: unknown) => void;
}

const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 300_000;
const HEADER_BYTES_MAX = 16 * 1_024;
const BOUNDS = {
  headersTimeout: HEADERS_TIMEOUT_MS, requestTimeout: REQUEST_TIMEOUT_MS,
  maxHeaderSize: HEADER_BYTES_MAX,
};

/**
 * A page in the operator's browser can make a name of its own resolve to this machine and then
 * read our answers. Its requests carry that name: only addresses, localhost and configured names
 * are let through.
 */
function requireHost(header: string | undefined, hosts: ReadonlySet<string>): void {
  const name = (header ?? '').toLowerCase().replace(/:\d{1,5}$/, '');
  const address = name.startsWith('[') && name.endsWith(']') ? name.slice(1, -1) : name;
  if (isIP(address) !== 0 || name === 'localhost' || hosts.has(name)) return;
  throw new WardianError('forbidden', 'the admin API is asked for by address or as localhost');
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += (chunk as Buffer).length;
    if (size > ADMIN_BODY_BYTES_MAX) {
      throw new WardianError('body_too_large', `at most ${ADMIN_BODY_BYTES_MAX} bytes`);
    }
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}

/** Throws `bad_argument` that names the field. */
function parseWith<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const path = [what, ...(issue?.path ?? []).map(String)].join('.');
  throw new WardianError('bad_argument', `${path}: ${issue?.message ?? 'not valid'}`);
}

function contentType(request: IncomingMessage): string {
  return (request.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
}

async function bodyOf(route: AdminRoute, request: IncomingMessage): Promise<unknown> {
  const type = contentType(request);
  if (route.rawBody !== undefined) {
    if (route.rawBody.includes(type)) return undefined;
    throw new WardianError('bad_upload', `content-type must be ${route.rawBody.join(' or ')}`);
  }
  if (route.body === undefined) return undefined;
  if (type !== 'application/json') {
    throw new WardianError('bad_argument', 'content-type must be application/json');
  }
  const text = (await readBody(request)).toString('utf8');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new WardianError('bad_argument', 'the body is not JSON', { cause });
  }
  return parseWith(route.body, value, 'body');
}

function rawQueryOf(search: string): Record<string, string> {
  const query: Record<string, string> = {};
  for (const [name, value] of new URLSearchParams(search)) {
    if (Object.hasOwn(query, name)) {
      throw new WardianError('bad_argument', `query.${name.slice(0, 64)}: given twice`);
    }
    query[name] = value;
  }
  return query;
}

/** The tenant that the call names: in its header, or in its query. */
function namedTenant(
  request: IncomingMessage, query: Readonly<Record<string, string>>,
): string | undefined {
  const inHeader = request.headers[TENANT_HEADER];
  const inQuery = query['tenant'];
  if (typeof inHeader === 'string' && inQuery !== undefined && inHeader !== inQuery) {
    throw new WardianError('bad_argument', 'header and query name different tenants');
  }
  return typeof inHeader === 'string' ? inHeader : inQuery;
}

function queryOf(
  route: AdminRoute, { tenant, ...query }: Readonly<Record<string, string>>,
  caller: Caller,
): Record<string, unknown> {
  if (route.query === undefined) return {};
  // What a route shows of all tenants, it shows of the caller's alone.
  const takesTenant = Object.hasOwn(route.query.shape, 'tenant');
  const name = caller.tenant === null ? tenant : caller.tenant.name;
  const own = takesTenant && name !== undefined ? { tenant: name } : {};
  return parseWith(route.query, { ...query, ...own }, 'query');
}

function paramsOf(
  route: AdminRoute, given: Readonly<Record<string, string>>,
): Record<string, string> {
  const params: Record<string, string> = {};
  for (const [name, value] of Object.entries(given)) {
    const schema = route.params?.[name];
    params[name] = schema === undefined ? value : parseWith(schema, value, name);
  }
  return params;
}

/** Of what only reads, and of what has not been read to its end, nothing has happened yet. */
function cutOff(request: IncomingMessage, response: ServerResponse): void {
  if (request.method === 'GET' || !request.complete) response.destroy();
}

interface Received extends Match {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly search: string;
  /** Null outside of `/v1/`. */
  readonly identity: Identity | null;
}

/** A restore waits for the call, or the call for it. */
async function inOneDatabase(
  changeover: Pick<Changeover, 'enter' | 'epoch'>, received: Received,
  { identify, answerCall }: {
    identify(request: IncomingMessage): Identity;
    answerCall(received: Received): Promise<void>;
  },
): Promise<void> {
  const { request, response, route } = received;
  const { epoch } = changeover;
  const leave = await changeover.enter(
    `${route.method} ${route.path}`, () => cutOff(request, response));
  try {
    // Who went away while it waited is told of by no event any more.
    if (response.destroyed) throw new WardianError('client_closed', 'nobody waits for the answer');
    // With another database, tokens are other ones as well.
    const identity = changeover.epoch === epoch ? received.identity : identify(request);
    await answerCall({ ...received, identity });
  } finally {
    leave();
  }
}

export function createAdminServer(options: AdminServerOptions): Server {
  const match = createMatcher(options.routes);
  const calls = new Calls();
  const hosts = new Set((options.hosts ?? []).map((host) => host.toLowerCase()));

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    requireHost(request.headers.host, hosts);
    const [path = '/', search = ''] = (request.url ?? '/').split('?', 2);
    const isGuarded = path.startsWith('/v1/');
    const identity = isGuarded ? identify(request) : null;
    const found = match(request.method ?? 'GET', path);
    // Whatever way a path finds a route, the route decides who may call it.
    if (!isGuarded && found.route.path.startsWith('/v1/')) {
      throw new WardianError('unauthorized', 'send the token: Authorization: Bearer <token>');
    }
    const received = { request, response, ...found, search, identity };
    if (isGuarded && found.route.apart !== true && options.changeover !== undefined) {
      await inOneDatabase(options.changeover, received, { identify, answerCall });
    } else {
      await answerCall(received);
    }
  }

  function identify(request: IncomingMessage): Identity {
    return options.guard.require(
      request.headers.authorization, request.socket.remoteAddress ?? '');
  }

  async function answerCall(
    { request, response, route, params, search, identity }: Received,
  ): Promise<void> {
    const query = rawQueryOf(search);
    const callerAs = (known: Identity): Caller =>
      callerOf(options.store, known, route.access, namedTenant(request, query));
    const caller = identity === null ? NOBODY : callerAs(identity);
    const leave = identity === null ? null : calls.enter(caller);
    const gone = new AbortController();
    response.once('close', () => {
      leave?.();
      if (!response.writableFinished) gone.abort();
    });
    const call: AdminCall = {
      caller,
      params: paramsOf(route, params),
      query: queryOf(route, query, caller),
      body: await bodyOf(route, request),
      request,
      signal: gone.signal,
      assertWanted() {
        if (gone.signal.aborted) throw new WardianError('client_closed', 'its caller went away');
        if (identity !== null) callerAs(identify(request));
      },
    };
    await writeAnswer(response, await route.handle(call));
  }

  const server = createServer(BOUNDS, (request, response) => {
    handle(request, response).catch((error: unknown) => {
      if (!(error instanceof WardianError) && !response.destroyed) options.onFault(error);
      writeProblem(request, response, error);
    });
  });
  server.maxConnections = ADMIN_CONNECTIONS_MAX;
  return server;
}

/** Resolves with the port. Rejects when the address cannot be had. */
export async function listenAdmin(server: Server, host: string, port: number): Promise<number> {
  server.listen(port, host);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** Lets calls under way finish for `graceMs`, then cuts them off. */
export async function closeAdmin(server: Server, graceMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), graceMs);
  await closed;
  clearTimeout(timer);
}
