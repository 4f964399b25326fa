/** The admin API over real sockets, for its tests: a store, builders, a router and a server. */

import { randomBytes } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import { pack } from 'tar-stream';
import type { Test } from 'tap';

import { REQUEST_LIMITS_DEFAULT } from '../../../contract/limits.ts';
import { adminRoutes, createAdmin } from '../../../daemon/admin/admin.ts';
import type { AdminOptions } from '../../../daemon/admin/admin.ts';
import type { Changeover } from '../../../daemon/changeover.ts';
import type { AdminRoute } from '../../../daemon/admin/route.ts';
import { closeAdmin, listenAdmin } from '../../../daemon/admin/server.ts';
import { loadAdminToken } from '../../../daemon/admin/token.ts';
import { createParts } from '../deploy/parts.ts';
import type { Parts } from '../deploy/parts.ts';

export interface Json {
  readonly [name: string]: unknown;
}

/** What a path of names leads to. Throws where it leads nowhere. */
export function at(json: unknown, ...names: string[]): Json {
  let value: unknown = json;
  for (const name of names) {
    value = (value as Json)[name];
    if (value === undefined) throw new Error(`no ${name} in ${JSON.stringify(json)}`);
  }
  return value as Json;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly json: Json;
}

export interface Ask {
  readonly headers?: Record<string, string>;
  readonly body?: Uint8Array | string;
  readonly token?: string | null;
}

export interface Api {
  readonly parts: Parts;
  readonly port: number;
  readonly token: string;
  readonly faults: unknown[];
  readonly removed: string[];
  readonly routes: readonly AdminRoute[];
  notReady: string | null;
  ask(method: string, path: string, options?: Ask): Promise<Answer>;
  deploy(label: string, body: Uint8Array, query?: string, type?: string): Promise<Answer>;
}

/** An empty object where the body is none. */
function jsonOf(body: string): Json {
  return body.startsWith('{') && !body.includes('}\n{') ? JSON.parse(body) as Json : {};
}

function send(
  port: number, method: string, path: string, headers: Record<string, string>,
  body: Uint8Array | string | undefined,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ port, host: '127.0.0.1', method, path, headers, agent: false },
      (response) => {
        let received = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          received += chunk;
        }).on('end', () => resolve({
          status: response.statusCode ?? 0, headers: response.headers, text: received,
          json: jsonOf(received),
        })).on('error', reject);
      });
    request.on('error', reject);
    request.end(body);
  });
}

export interface ApiOptions {
  readonly changeover?: Changeover;
  /** Awaited by a restore when all is checked. */
  readonly beforeExchange?: () => unknown;
}

export async function startApi(
  t: Test, routes: readonly AdminRoute[] = [], given: ApiOptions = {},
): Promise<Api> {
  const parts = await createParts({ secretKeys: [new Uint8Array(32).fill(7)] });
  const token = loadAdminToken(parts.folder);
  const api = { notReady: null as string | null, faults: [] as unknown[], removed: [] as string[] };
  const options: AdminOptions = {
    ...parts, token, version: '1.2.3', routes, hosts: ['admin.example.com'],
    tenant: () => parts.tenant,
    limits: REQUEST_LIMITS_DEFAULT,
    giveSecretsKey: (text) => new Uint8Array(Buffer.from(text.trim(), 'hex')),
    addSecretsKey: () => new Uint8Array(randomBytes(32)),
    protectedTenants: new Set([parts.tenant.name]),
    dataFolder: parts.folder,
    durableKeys: () => [new Uint8Array(32).fill(7)],
    restore: async (staged, _found, _waitMs, assertWanted) => {
      await given.beforeExchange?.();
      assertWanted();
      return parts.store.replace(staged);
    },
    ...(given.changeover === undefined ? {} : { changeover: given.changeover }),
    urlOf: (label) => `http://${label}.localhost:8080/`,
    onRoute: ({ appId, route, customHosts }) => {
      if (route === null) parts.router.remove(appId);
      else parts.router.set(route, customHosts);
    },
    onRemove: ({ appId, label }) => {
      parts.router.remove(appId);
      api.removed.push(label);
    },
    isOwnHost: (host) => host === 'base.example' || host.endsWith('.base.example'),
    onFault: (error) => api.faults.push(error),
    notReady: () => api.notReady,
  };
  const server = createAdmin(options);
  const port = await listenAdmin(server, '127.0.0.1', 0);
  t.teardown(async () => {
    await closeAdmin(server, 100);
    await parts.close();
  });
  const ask: Api['ask'] = (method, path, options = {}) => {
    const given = options.token === undefined ? token : options.token;
    const headers = {
      ...(given === null ? {} : { authorization: `Bearer ${given}` }), ...options.headers,
    };
    return send(port, method, path, headers, options.body);
  };
  return Object.assign(api, {
    parts, port, token, ask, routes: adminRoutes(options),
    deploy: (label: string, body: Uint8Array, query = '', type = 'application/wasm') =>
      ask('POST', `/v1/apps/${label}/deploys${query}`, { body, headers: { 'content-type': type } }),
  });
}

/** The lines of a deploy's answer. */
export const events = (answer: Answer): Json[] =>
  answer.text.trim().split('\n').map((line) => JSON.parse(line) as Json);

export async function tarOf(files: Record<string, string>): Promise<Buffer> {
  const archive = pack();
  for (const [name, content] of Object.entries(files)) archive.entry({ name }, content);
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
