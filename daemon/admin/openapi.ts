/** The OpenAPI document, made of the same schemas that validate. */

import * as z from 'zod';

import { ERRORS } from '../../contract/errors.ts';
import type { ErrorCode } from '../../contract/errors.ts';
import { TENANT_HEADER } from './caller.ts';
import { PROBLEM_TYPE, problemSchema } from './problem.ts';
import type { Access, AdminRoute } from './route.ts';

type Json = Record<string, unknown>;

/** Makes JSON Schema of the schemas; those with a name of their own are kept once, by it. */
class Components {
  readonly schemas: Record<string, Json> = {};

  of(schema: z.ZodType, io: 'input' | 'output'): Json {
    const { $schema: _, $defs, ...rest } = z.toJSONSchema(schema, { io, reused: 'inline' }) as Json;
    for (const [name, definition] of Object.entries($defs ?? {})) {
      this.#keep(name, definition as Json);
    }
    if (typeof rest['id'] !== 'string') return pointed(rest);
    return this.#keep(rest['id'], rest);
  }

  #keep(name: string, definition: Json): Json {
    const { id: _, ...schema } = definition;
    this.schemas[name] = pointed(schema);
    return { $ref: `#/components/schemas/${name}` };
  }
}

/** References inside one schema become references inside the document. */
function pointed(schema: Json): Json {
  return JSON.parse(
    JSON.stringify(schema).replaceAll('"#/$defs/', '"#/components/schemas/')) as Json;
}

const STRING: Json = { type: 'string' };
const TENANT_PARAMETER: Json = {
  name: TENANT_HEADER, in: 'header', required: false, schema: STRING,
  description: 'The tenant that the operator means; the query parameter `tenant` does the same',
};

function parametersOf(route: AdminRoute, components: Components): Json[] {
  const parameters: Json[] = [];
  for (const [, name = ''] of route.path.matchAll(/\{(\w+)\}/g)) {
    const schema = route.params?.[name] ?? z.string();
    parameters.push({ name, in: 'path', required: true, schema: components.of(schema, 'input') });
  }
  if (route.path.startsWith('/v1/')) parameters.push(TENANT_PARAMETER);
  for (const [name, description] of Object.entries(route.headers ?? {})) {
    parameters.push({ name, in: 'header', required: false, description, schema: STRING });
  }
  for (const [name, schema] of Object.entries(route.query?.shape ?? {})) {
    const type = schema as z.ZodType;
    const required = !type.safeParse(undefined).success;
    parameters.push({ name, in: 'query', required, schema: components.of(type, 'input') });
  }
  return parameters;
}

function requestBodyOf(route: AdminRoute, components: Components): Json | undefined {
  if (route.body !== undefined) {
    const schema = components.of(route.body, 'input');
    return { required: true, content: { 'application/json': { schema } } };
  }
  if (route.rawBody === undefined) return undefined;
  const content = Object.fromEntries(route.rawBody.map((type) => [type, {}]));
  return { required: true, content };
}

/** What every route of a kind may be refused for, beside its own reasons. */
function errorsOf(route: AdminRoute): ReadonlySet<ErrorCode> {
  const codes: ErrorCode[] = ['forbidden', 'internal', ...route.errors];
  if (route.path.startsWith('/v1/')) {
    const { scope, operator } = accessOf(route);
    // A tenant that is not there, and one that is named twice.
    codes.push('unauthorized', 'too_many_attempts', 'bad_argument', 'not_found');
    if (operator !== true) codes.push('tenant_overloaded');
    if (scope !== 'read' && operator !== true) codes.push('tenant_suspended');
  }
  if (route.body !== undefined) codes.push('body_too_large');
  if (route.rawBody !== undefined) codes.push('bad_upload', 'body_too_large');
  return new Set(codes);
}

function responsesOf(route: AdminRoute, components: Components): Json {
  const { status, schema, contentType = 'application/json' } = route.answer;
  const bytes = contentType === 'application/json' || status === 204
    ? {} : { content: { [contentType]: {} } };
  const responses: Record<string, Json> = {
    [status]: schema === undefined ? { description: route.summary, ...bytes } : {
      description: route.summary,
      content: { [contentType]: { schema: components.of(schema, 'output') } },
    },
  };
  if (route.otherwise !== undefined) {
    const { status: other, schema: shown, meaning } = route.otherwise;
    const content = { 'application/json': { schema: components.of(shown, 'output') } };
    responses[other] = { description: meaning, content };
  }
  const problem = { [PROBLEM_TYPE]: { schema: components.of(problemSchema, 'output') } };
  for (const code of errorsOf(route)) {
    const key = String(ERRORS[code].status);
    const words = `\`${code}\`: ${ERRORS[code].meaning}`;
    const earlier = responses[key]?.['description'];
    const description = earlier === undefined ? words : `${String(earlier)}; ${words}`;
    responses[key] = { description, content: problem };
  }
  return responses;
}

/** `GET /v1/apps/{label}/env` is `getAppsByLabelEnv`. */
export function operationId({ method, path }: Pick<AdminRoute, 'method' | 'path'>): string {
  const words = path.split(/[/.]/).filter((word) => word !== '' && word !== 'v1')
    .map((word) => (word.startsWith('{') ? `by-${word.slice(1, -1)}` : word))
    .flatMap((word) => word.split('-'));
  return method.toLowerCase()
    + words.map((word) => word.slice(0, 1).toUpperCase() + word.slice(1)).join('');
}

const accessOf = ({ access }: AdminRoute): Access => access ?? { scope: 'read', operator: true };

function accessWords(route: AdminRoute): string {
  const { scope, operator } = accessOf(route);
  return operator === true
    ? `Needs a token of the operator with the scope \`${scope}\` or a wider one.`
    : `Needs a token with the scope \`${scope}\` or a wider one.`;
}

export function openApiDocument(routes: readonly AdminRoute[], version: string): Json {
  const paths: Record<string, Json> = {};
  const components = new Components();
  for (const route of routes) {
    const body = requestBodyOf(route, components);
    (paths[route.path] ??= {})[route.method.toLowerCase()] = {
      operationId: operationId(route),
      summary: route.summary,
      ...(route.path.startsWith('/v1/') ? { description: accessWords(route) } : {}),
      parameters: parametersOf(route, components),
      ...(body === undefined ? {} : { requestBody: body }),
      responses: responsesOf(route, components),
      ...(route.path.startsWith('/v1/') ? { security: [{ token: [] }] } : {}),
    };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Wardian admin API', version,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    paths,
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      schemas: components.schemas,
    },
  };
}
