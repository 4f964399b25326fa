/**
 * What ops adds to the admin API: `/metrics`, `/v1/logs`, `/v1/failures`, `/v1/top`. Routes are
 * data of the shape that the admin server takes; `daemon/main.ts` hands them over.
 */

import type { IncomingMessage } from 'node:http';
import * as z from 'zod';

import { ERRORS, WardianError } from '../contract/errors.ts';
import type { ErrorCode } from '../contract/errors.ts';
import type { Failures } from './failures.ts';
import type { Follower } from './follow.ts';
import type { Format } from './metrics/exposition.ts';
import type { Metrics } from './metrics/service.ts';
import { topView } from './metrics/top-view.ts';
import { Readers } from './readers.ts';

interface Call {
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, unknown>>;
  readonly request: IncomingMessage;
  readonly signal: AbortSignal;
  /** Of whom alone the call is shown something; null: of all. */
  readonly caller: { readonly tenant: { readonly id: number } | null };
}

type Answer =
  | { readonly status: number; readonly json: unknown }
  | {
    readonly status: number; readonly bytes: Uint8Array; readonly contentType: string;
    readonly headers?: Readonly<Record<string, string>>;
  }
  | { readonly status: number; readonly events: AsyncIterable<unknown> };

/** One route of the admin API: its `AdminRoute`, as far as it is needed here. */
export interface OpsRoute {
  readonly method: 'GET';
  readonly path: string;
  readonly summary: string;
  readonly params?: Readonly<Record<string, z.ZodType<string>>>;
  readonly query?: z.ZodObject;
  readonly answer: {
    readonly status: number; readonly contentType?: string; readonly schema?: z.ZodType;
  };
  readonly errors: readonly ErrorCode[];
  readonly handle: (call: Call) => Promise<Answer> | Answer;
}

const CONTENT_TYPES: Readonly<Record<Format, string>> = {
  prometheus: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
};

const LINES_MAX = 100_000;

/** The form with the higher weight; Prometheus text when nothing speaks for the other. */
export function formatOf(accept: string | undefined): Format {
  let best: Format = 'prometheus';
  let bestWeight = 0;
  for (const part of (accept ?? '').split(',').slice(0, 20)) {
    const [type = '', ...parameters] = part.split(';').map((text) => text.trim().toLowerCase());
    const q = parameters.find((text) => text.startsWith('q='));
    const weight = q === undefined ? 1 : Number(q.slice(2));
    if (Number.isNaN(weight) || weight <= 0) continue;
    const version = parameters.find((text) => text.startsWith('version='))?.slice(8);
    const isOpen = type === 'application/openmetrics-text' &&
      (version === undefined || version === '1.0.0' || version === '0.0.1');
    const isText = type === 'text/plain' || type === 'text/*' || type === '*/*';
    if ((isOpen || isText) && weight > bestWeight) {
      best = isOpen ? 'openmetrics' : 'prometheus';
      bestWeight = weight;
    }
  }
  return best;
}

/** Prometheus always does: megabytes of text then leave this thread as a few hundred kilobytes. */
export function takesGzip(header: string | string[] | undefined): boolean {
  return String(header ?? '').split(',').slice(0, 20).some((part) => {
    const [name = '', ...parameters] = part.split(';').map((text) => text.trim().toLowerCase());
    return name === 'gzip' && !parameters.some((text) => /^q=0(\.0*)?$/.test(text));
  });
}

function metricsRoute(metrics: Metrics): OpsRoute {
  return {
    method: 'GET', path: '/metrics',
    summary: 'Metrics as Prometheus text or OpenMetrics, as `accept` asks',
    answer: { status: 200, contentType: 'text/plain' },
    errors: [],
    async handle({ request }) {
      const format = formatOf(request.headers.accept);
      const gzip = takesGzip(request.headers['accept-encoding']);
      const vary = { vary: 'accept, accept-encoding' };
      return {
        status: 200, contentType: CONTENT_TYPES[format], bytes: await metrics.text(format, gzip),
        headers: gzip ? { ...vary, 'content-encoding': 'gzip' } : vary,
      };
    },
  };
}

const label = z.string().min(1).max(64);
const number = (least: number, most: number) =>
  z.string().regex(/^\d{1,16}$/, 'expected a number').transform(Number)
    .pipe(z.number().min(least).max(most));

const logsQuery = z.strictObject({
  app: label.optional(),
  tenant: label.optional(),
  kind: z.enum(['request', 'guest', 'daemon']).optional(),
  status: z.string()
    .regex(/^([1-5]\d\d|[1-5]xx|ok|failed|refused|canceled|error)$/,
      'expected 404, 5xx, ok, error, failed, refused or canceled').optional(),
  method: z.string().regex(/^[A-Za-z]{1,32}$/, 'expected a method such as GET').optional(),
  version: number(1, 1e9).optional(),
  search: z.string().min(1).max(256).optional(),
  sampling_rate: z.string().regex(/^(0(\.\d{1,9})?|1(\.0*)?)$/, 'expected 0 to 1').transform(Number)
    .optional(),
  since: number(0, Number.MAX_SAFE_INTEGER).optional(),
  until: number(0, Number.MAX_SAFE_INTEGER).optional(),
  follow: z.enum(['true', 'false']).optional(),
  after: z.string().max(64).optional(),
  limit: number(1, LINES_MAX).optional(),
});

const eventSchema = z.object({
  cursor: z.string().meta({ description: 'The place after this event, for `after`' }),
  line: z.looseObject({ time: z.number(), kind: z.string().optional() }).optional()
    .meta({ description: 'A line of the log as it was written' }),
  dropped: z.int().optional().meta({ description: 'So many lines are not told' }),
  reason: z.enum(['overrun', 'rate']).optional(),
  restarted: z.literal(true).optional()
    .meta({ description: 'The daemon was started anew since the cursor' }),
  idle: z.literal(true).optional().meta({ description: 'Nothing has happened' }),
}).meta({ id: 'LogEvent' });

function logsRoute(follower: Follower, metrics: Metrics): OpsRoute {
  const readers = new Readers();
  async function* events(
    query: z.output<typeof logsQuery>, tenantId: number | undefined, signal: AbortSignal,
  ) {
    const leave = readers.enter(query.tenant);
    metrics.followers(1);
    const { follow, after = '', limit = LINES_MAX, sampling_rate: samplingRate, ...rest } = query;
    try {
      yield* follower.events({
        filter: { ...rest, tenantId, samplingRate }, after, signal, follow: follow === 'true',
        limit: follow === 'true' ? Number.POSITIVE_INFINITY : limit,
      });
    } finally {
      leave();
      metrics.followers(-1);
    }
  }
  return {
    method: 'GET', path: '/v1/logs', query: logsQuery,
    summary: 'Recent lines of the log, and with follow=true each further one, as lines of JSON; ' +
      '`after` takes the cursor of an earlier event',
    answer: { status: 200, contentType: 'application/x-ndjson', schema: eventSchema },
    errors: ['bad_argument', 'overloaded', 'tenant_overloaded', 'unauthorized'],
    handle({ query: given, signal, caller }) {
      const query = given as z.output<typeof logsQuery>;
      readers.assertRoom(query.tenant);
      return { status: 200, events: events(query, caller.tenant?.id, signal) };
    },
  };
}

const PAGE_MAX = 1_000;
const failuresQuery = z.strictObject({
  app: label.optional(), tenant: label.optional(), code: z.string().max(64).optional(),
  limit: number(1, PAGE_MAX).optional(),
  after: z.string().regex(/^[0-9TZ:.-]{24}~[0-9a-f]{12}$/, 'expected `next` of the page before')
    .optional(),
});

/** Later ones come first: a failure that is met again meanwhile has moved to the first page. */
const placeOf = ({ lastAt, id }: { lastAt: string; id: string }): string => `${lastAt}~${id}`;

const time = z.iso.datetime();
const groupFields = {
  id: z.string(),
  tenant: z.string(),
  tenantId: z.int().meta({ description: 'Never used again, as a name may be' }),
  app: z.string(),
  appId: z.int(),
  version: z.int(),
  code: z.enum(Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]]),
  message: z.string().meta({ description: 'The latest' }),
  lastHostcall: z.string().nullable(),
  count: z.int(),
  firstAt: time,
  lastAt: time,
};
const sourceLine = z.object({
  source: z.string(), line: z.int(),
  column: z.int().meta({ description: '0 where it is not known' }),
});
const groupView = z.object({
  ...groupFields,
  at: z.string().nullable().meta({ description: 'The innermost guest frame' }),
  line: sourceLine.nullable().meta({ description: 'Of its source, where that is known' }),
}).meta({ id: 'FailureGroup' });
const sampleView = z.object({
  requestId: z.string(),
  traceId: z.string().nullable().meta({ description: 'Null when nothing is traced' }),
  at: time,
  method: z.string(),
  host: z.string(),
  target: z.string(),
  client: z.string(),
  headers: z.array(z.tuple([z.string(), z.string()])),
  message: z.string(),
  status: z.int(),
  fuel: z.number(),
  fuelLimit: z.number(),
  memoryBytes: z.number(),
  memoryLimitBytes: z.number(),
  hostcalls: z.number(),
  runMs: z.number(),
});
const failureView = z.object({
  ...groupFields,
  backtrace: z.array(z.string()).meta({ description: 'Guest frames, innermost first' }),
  lines: z.array(sourceLine.nullable())
    .meta({ description: 'One of the source for each frame; empty until they are found' }),
  samples: z.array(sampleView).meta({ description: 'The latest requests that met it' }),
}).meta({ id: 'Failure' });

const topSchema = z.object({
  atMs: z.number(),
  startedAtMs: z.number().meta({ description: 'Counters of another life mean nothing' }),
  buckets: z.array(z.number()).meta({ description: 'Upper bounds of `latency`, in seconds' }),
  node: z.record(z.string(), z.number()),
  apps: z.array(z.object({
    tenant: z.string(),
    app: z.string(),
    version: z.int(),
    versions: z.array(z.object({
      version: z.int(), requests: z.number(), failures: z.number(),
    })).meta({ description: 'Those asked for last' }),
    requests: z.number(),
    serverErrors: z.number(),
    failures: z.record(z.string(), z.number()),
    fuel: z.number(),
    runSeconds: z.number(),
    memoryPeakBytes: z.number(),
    memoryLimitBytes: z.number(),
    subrequests: z.number(),
    kvOperations: z.number(),
    latency: z.array(z.number())
      .meta({ description: 'Requests under each bound of `buckets`, and above the last' }),
  })),
}).meta({ id: 'Top' });

function failureRoutes(failures: Failures): OpsRoute[] {
  return [{
    method: 'GET', path: '/v1/failures', query: failuresQuery,
    summary: 'Failures of guests, the same ones together, the latest first',
    answer: {
      status: 200,
      schema: z.object({
        failures: z.array(groupView),
        next: z.string().nullable()
          .meta({ description: 'Where the next page begins; null: the end' }),
        forgotten: z.int().meta({ description: 'Groups that had to make room for others' }),
      }),
    },
    errors: ['bad_argument', 'unauthorized'],
    handle({ query, caller }) {
      const { limit = PAGE_MAX, after, ...filter } = query as z.output<typeof failuresQuery>;
      const left = failures.list({ ...filter, tenantId: caller.tenant?.id })
        .toSorted((a, b) => (placeOf(a) < placeOf(b) ? 1 : -1))
        .filter((group) => after === undefined || placeOf(group) < after);
      const last = left.length > limit ? left[limit - 1] : undefined;
      const groups = left.slice(0, limit).map(
        ({ samples: _samples, backtrace, lines, ...group }) => ({
          ...group, at: backtrace[0] ?? null, line: lines[0] ?? null,
        }));
      return { status: 200, json: {
        failures: groups, next: last === undefined ? null : placeOf(last),
        forgotten: failures.forgotten,
      } };
    },
  }, {
    method: 'GET', path: '/v1/failures/{id}',
    params: { id: z.string().regex(/^[0-9a-f]{12}$/, 'expected the id of a failure') },
    summary: 'One failure with its backtrace and the latest requests that met it',
    answer: { status: 200, schema: failureView },
    errors: ['bad_argument', 'not_found', 'unauthorized'],
    handle({ params }) {
      const group = failures.get(params['id'] ?? '');
      if (group === null) throw new WardianError('not_found', 'no failure has this id');
      return { status: 200, json: group };
    },
  }];
}

export function opsRoutes(parts: {
  readonly metrics: Metrics; readonly failures: Failures; readonly follower: Follower;
}): readonly OpsRoute[] {
  return [
    metricsRoute(parts.metrics),
    logsRoute(parts.follower, parts.metrics),
    ...failureRoutes(parts.failures),
    {
      method: 'GET', path: '/v1/top',
      summary: 'Counters of the node and of its busiest apps, for live views',
      answer: { status: 200, schema: topSchema },
      errors: ['unauthorized'],
      async handle() {
        await parts.metrics.collect();
        return { status: 200, json: topView(parts.metrics) };
      },
    },
  ];
}
