/**
 * The description of the admin API: a document that a validator accepts, and answers of a daemon
 * that are as it says, for every operation.
 */

import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import t from 'tap';
import type { Test } from 'tap';

import type { AskOptions, Daemon, HttpAnswer } from '../harness/daemon.ts';
import { assemble, startFor, textGuest, until } from './world.ts';

interface Operation {
  readonly operationId: string;
  readonly parameters: readonly { readonly name: string; readonly in: string }[];
  readonly responses: Readonly<Record<string, {
    readonly content?: Readonly<Record<string, { readonly schema?: unknown }>>;
  }>>;
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

const JSON_TYPE = 'application/json';
const BYTES = 'application/octet-stream';
const LINES = 'application/x-ndjson';
const TRAP = assemble('(module (func (export "run") unreachable))');

/** The path of the document that a path of a request is of. */
function pathOf(document: Document, asked: string): string {
  const segments = (asked.split('?')[0] ?? '').split('/');
  const fits = (pattern: string): boolean => {
    const parts = pattern.split('/');
    return parts.length === segments.length && parts.every(
      (part, at) => part.startsWith('{') || part === segments[at]);
  };
  const found = Object.keys(document.paths).filter(fits);
  const exact = found.find((path) => !path.includes('{')) ?? found[0];
  if (exact === undefined) throw new Error(`the document has no ${asked}`);
  return exact;
}

const pointer = (...parts: string[]): string => parts.map((part) =>
  `/${encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'))}`).join('');

/** Asks the daemon and holds each answer to the document. */
class Checked {
  readonly succeeded = new Set<string>();
  readonly #t: Test;
  readonly #daemon: Daemon;
  readonly #document: Document;
  readonly #ajv: Ajv2020;

  constructor(t: Test, daemon: Daemon, document: Document) {
    this.#t = t;
    this.#daemon = daemon;
    this.#document = document;
    this.#ajv = new Ajv2020({ strict: false, allErrors: true });
    formats.default(this.#ajv);
    this.#ajv.addSchema({ ...document, $id: 'wardian:api' });
  }

  async ask(method: string, path: string, options: AskOptions = {}): Promise<HttpAnswer> {
    const answer = await this.#daemon.admin(method, path, options);
    const at = pathOf(this.#document, path);
    const operation = this.#document.paths[at]?.[method.toLowerCase()];
    if (operation === undefined) throw new Error(`the document has no ${method} ${at}`);
    const { operationId, responses } = operation;
    if (answer.status < 300) this.succeeded.add(operationId);
    const status = String(answer.status);
    const what = `${operationId} ${status}`;
    this.#t.ok(responses[status], `${what} is in the document: ${answer.text.slice(0, 200)}`);
    const type = (answer.headers['content-type'] ?? '').split(';')[0] ?? '';
    const content = responses[status]?.content;
    if (content === undefined) {
      this.#t.equal(answer.body.length, 0, `${what} has no body`);
      return answer;
    }
    this.#t.ok(type in content, `${what} is ${type}, of ${Object.keys(content).join()}`);
    if (content[type]?.schema === undefined) return answer;
    const validate = this.#ajv.compile({
      $ref: `wardian:api#${pointer(
        'paths', at, method.toLowerCase(), 'responses', status, 'content', type, 'schema')}`,
    });
    const bodies = type === LINES ? answer.text.trim().split('\n') : [answer.text];
    for (const body of bodies.filter((text) => text !== '')) {
      const fits = validate(JSON.parse(body));
      this.#t.ok(fits, `${what}: ${this.#ajv.errorsText(validate.errors)}: ${body.slice(0, 300)}`);
    }
    return answer;
  }

  send(method: string, path: string, value: unknown, headers = {}): Promise<HttpAnswer> {
    return this.ask(method, path, {
      body: JSON.stringify(value), headers: { 'content-type': JSON_TYPE, ...headers },
    });
  }

  bytes(method: string, path: string, body: string | Buffer, type = BYTES): Promise<HttpAnswer> {
    return this.ask(method, path, { body, headers: { 'content-type': type } });
  }
}

async function described(daemon: Daemon): Promise<Document> {
  return JSON.parse((await daemon.admin('GET', '/openapi.json')).text) as Document;
}

/** One for both tests: starting takes its time. */
const daemon = await startFor(t);
const document = await described(daemon);

t.test('a validator accepts the document, and each operation has a name', async (t) => {
  const { valid, errors } = await new Validator().validate(
    document as unknown as Record<string, unknown>);
  t.ok(valid, JSON.stringify(errors));
  const text = JSON.stringify(document);
  for (const [, name = ''] of text.matchAll(/"\$ref":"([^"]+)"/g)) {
    const found = name.slice(2).split('/').reduce<unknown>(
      (value, key) => (value as Record<string, unknown> | undefined)?.[key], document);
    t.ok(found, `${name} is there`);
  }
  const operations = Object.values(document.paths).flatMap((methods) => Object.values(methods));
  const ids = operations.map(({ operationId }) => operationId);
  t.equal(new Set(ids).size, ids.length);
  t.ok(ids.every((id) => /^[a-z]+([A-Z][a-z]*)+$/.test(id)), ids.join(' '));
  for (const [path, methods] of Object.entries(document.paths)) {
    if (!path.startsWith('/v1/')) continue;
    for (const { operationId, responses } of Object.values(methods)) {
      for (const status of ['400', '401', '403', '404', '429', '500']) {
        t.ok(responses[status], `${operationId} may be refused with ${status}`);
      }
    }
  }
});

async function useApps(checked: Checked): Promise<void> {
  for (const text of ['one', 'two']) {
    const wasm = Buffer.from(textGuest(text));
    await checked.bytes('POST', '/v1/apps/shop/deploys', wasm, 'application/wasm');
  }
  const broken = Buffer.from('<html>');
  await checked.bytes('POST', '/v1/apps/shop/deploys', broken, 'application/wasm');
  await checked.ask('GET', '/v1/apps');
  await checked.ask('GET', '/v1/apps/shop');
  await checked.send('PATCH', '/v1/apps/shop', {
    debug: true, limits: { fuel: 1_000_000 }, sticky: { by: 'header', name: 'x-user' },
  });
  await checked.ask('GET', '/v1/apps/shop/versions');
  await checked.ask('GET', '/v1/apps/shop/versions/1');
  await checked.send('PUT', '/v1/apps/shop/split', {
    shares: [{ version: 1, weight: 40 }, { version: 2, weight: 60 }],
  });
  await checked.send('POST', '/v1/apps/shop/rollback', {});
  await checked.ask('PUT', '/v1/apps/shop/hosts/shop.example.com');
  await checked.ask('GET', '/v1/apps/shop');
  await checked.ask('DELETE', '/v1/apps/shop/hosts/shop.example.com');
  await checked.send('PATCH', '/v1/apps/shop/env', { COLOR: 'green' });
  await checked.ask('GET', '/v1/apps/shop/env');
  await checked.bytes('PUT', '/v1/apps/shop/secrets/KEY', 'value');
  await checked.ask('GET', '/v1/apps/shop/secrets');
  await checked.ask('DELETE', '/v1/apps/shop/secrets/KEY');
  await checked.ask('GET', '/v1/secrets/keys');
  await checked.ask('POST', '/v1/secrets/rotate');
  await checked.bytes('PUT', '/v1/secrets/key', '5'.repeat(64));
}

async function useEntries(checked: Checked, place: string): Promise<void> {
  await checked.bytes('PUT', `${place}/entry?key=a&ttl_seconds=600`, 'value');
  await checked.bytes('PUT', `${place}/entry?key64=_w`, Buffer.of(255, 0));
  await checked.ask('GET', `${place}/entries`);
  await checked.ask('GET', `${place}/entry?key=a`);
  const { text } = await checked.ask('GET', `${place}/export`);
  await checked.bytes('POST', `${place}/import`, text, LINES);
  await checked.ask('DELETE', `${place}/entry?key=a`);
  await checked.ask('DELETE', `${place}/entry?key=a`);
}

async function useTenants(checked: Checked): Promise<void> {
  await checked.send('POST', '/v1/tenants', { name: 'acme', quotas: { apps: 3 } });
  await checked.send('POST', '/v1/tenants', { name: 'acme' });
  await checked.ask('GET', '/v1/tenants');
  await checked.ask('GET', '/v1/tenants/acme');
  const made = await checked.send('POST', '/v1/tokens?tenant=acme', { name: 'ci', scope: 'admin' });
  const { id, secret } = JSON.parse(made.text) as { id: number; secret: string };
  const headers = { authorization: `Bearer ${secret}` };
  await checked.ask('GET', '/v1/tokens', { headers });
  await checked.send('PATCH', '/v1/tenants/acme', { suspended: true });
  for (const [method, path] of [
    ['PUT', '/v1/apps/shop/hosts/shop.example.com'], ['DELETE', '/v1/apps/shop'],
    ['DELETE', '/v1/namespaces/box'], ['GET', '/v1/backup'], ['GET', '/v1/tokens'],
  ] as const) {
    await checked.ask(method, path, { headers });
  }
  await checked.ask('DELETE', `/v1/tokens/${id}?tenant=acme`);
  await checked.ask('DELETE', '/v1/tenants/acme');
  await checked.ask('GET', '/v1/apps?tenant=acme');
}

interface Failures {
  readonly failures: readonly { readonly id: string }[];
  readonly next: string | null;
}

async function useOps(checked: Checked, daemon: Daemon): Promise<void> {
  for (const label of ['trap', 'other']) {
    await daemon.deploy(label, TRAP);
    await daemon.ask(`${label}.localhost`);
  }
  let found: string[] = [];
  await until('the failures are reported', async () => {
    const { text } = await daemon.admin('GET', '/v1/failures');
    found = (JSON.parse(text) as Failures).failures.map(({ id }) => id);
    return found.length === 2;
  });
  const paged: string[] = [];
  for (let next: string | null = ''; next !== null;) {
    const after = next === '' ? '' : `&after=${encodeURIComponent(next)}`;
    const { text } = await checked.ask('GET', `/v1/failures?limit=1${after}`);
    const page = JSON.parse(text) as Failures;
    paged.push(...page.failures.map(({ id }) => id));
    ({ next } = page);
  }
  t.same(paged.toSorted(), found.toSorted(), 'in pages, each once');
  await checked.ask('GET', `/v1/failures/${found[0]}`);
  await checked.ask('GET', '/v1/failures/000000000000');
  await checked.ask('GET', '/v1/logs?limit=20');
  await checked.ask('GET', '/v1/top');
  await checked.ask('GET', '/metrics');
}

t.test('answers are as the document says, for every operation', async (t) => {
  const checked = new Checked(t, daemon, document);
  for (const path of ['/healthz', '/readyz', '/openapi.json']) await checked.ask('GET', path);
  await useApps(checked);
  await checked.send('POST', '/v1/namespaces', { name: 'box' });
  await checked.send('POST', '/v1/namespaces', { name: 'no name' });
  await checked.ask('GET', '/v1/namespaces');
  await checked.ask('GET', '/v1/namespaces/box');
  await checked.send('PUT', '/v1/apps/shop/bindings/BOX', { namespace: 'box' });
  await checked.ask('GET', '/v1/apps/shop/bindings');
  await useEntries(checked, '/v1/namespaces/box');
  await useEntries(checked, '/v1/apps/shop/store');
  await checked.ask('DELETE', '/v1/apps/shop/bindings/BOX');
  await useTenants(checked);
  await checked.ask('DELETE', '/v1/namespaces/box');
  await useOps(checked, daemon);
  await checked.ask('GET', '/v1/backup');
  const { body } = await daemon.admin('GET', '/v1/backup');
  await checked.bytes('POST', '/v1/restore', body, 'application/vnd.sqlite3');
  await checked.bytes('POST', '/v1/restore', 'words', 'application/vnd.sqlite3');
  await checked.ask('DELETE', '/v1/apps/shop');
  await checked.ask('GET', '/v1/apps/shop');
  const operations = Object.values(document.paths).flatMap((methods) => Object.values(methods));
  const missing = operations.filter(({ operationId }) => !checked.succeeded.has(operationId));
  t.same(missing.map(({ operationId }) => operationId), [], 'each has been answered');
});
