/** `POST /v1/apps/{label}/deploys`: takes an upload, answers with one JSON line for each stage. */

import type { IncomingMessage } from 'node:http';
import * as z from 'zod';

import { BUILD_OPTIONS } from '../../contract/build.ts';
import type { BuildFile } from '../../contract/build.ts';
import type { SettingsChange } from '../../contract/deployment.ts';
import { WardianError } from '../../contract/errors.ts';
import { UPLOAD_BYTES_MAX, UPLOAD_FILES_MAX } from '../../contract/limits.ts';
import type { Changeover } from '../changeover.ts';
import { requireLabel } from '../deploy/label.ts';
import { LANGUAGES } from '../deploy/language.ts';
import type { DeployPipeline, DeployRequest, DeployResult } from '../deploy/pipeline.ts';
import { unpackTar } from '../deploy/upload.ts';
import type { DeployKey } from '../store/commands.ts';
import { LIFE_SECONDS_MAX } from './apps.ts';
import { ownerOf } from './caller.ts';
import type { Owned } from './caller.ts';
import {
  deployKey, DeploysUnderWay, IDEMPOTENCY_HEADER, idempotencyKeyOf,
} from './idempotency.ts';
import { problemOf, problemSchema } from './problem.ts';
import type { AdminAnswer, AdminCall, AdminRoute } from './route.ts';
import { appView, labelSchema, versionView, viewApp, viewVersion } from './views.ts';

export interface DeployRouteParts extends Owned {
  readonly pipeline: Pick<DeployPipeline, 'deploy' | 'hold'>;
  readonly urlOf: (label: string) => string;
  readonly onFault: (error: unknown) => void;
  /** Absent: no backup is restored meanwhile. */
  readonly changeover?: Pick<Changeover, 'begin'>;
}

const MODULE_TYPE = 'application/wasm';
const TAR_TYPE = 'application/x-tar';
/** A tar has up to three blocks of 512 bytes around each file, and some at its end. */
const TAR_BYTES_MAX = UPLOAD_BYTES_MAX + UPLOAD_FILES_MAX * 2_048 + 64 * 1_024;

const querySchema = z.strictObject({
  language: z.enum(['auto', ...LANGUAGES]).default('auto')
    .meta({ description: 'Guessed by the first file extension that is known, unless given' }),
  option: z.enum(BUILD_OPTIONS as [string, ...string[]]).optional()
    .meta({ description: 'Optimisation of a build from source' }),
  life_seconds: z.coerce.number().int().min(1).max(LIFE_SECONDS_MAX).optional()
    .meta({ description: 'The app and its store are removed after this time' }),
  debug: z.enum(['true', 'false']).optional()
    .meta({ description: 'Whether answers carry wardian-fuel and the like; absent: as it is' }),
  activate: z.enum(['true', 'false']).default('true')
    .meta({ description: 'false: the version waits at its preview URL' }),
});
type DeployQuery = z.infer<typeof querySchema>;

const failureView = problemSchema.pick({ code: true, output: true }).extend({
  message: z.string(),
});

const eventSchema = z.discriminatedUnion('stage', [
  z.strictObject({
    stage: z.enum(['uploaded', 'building', 'compiling', 'deploying']), message: z.string(),
  }),
  z.strictObject({
    stage: z.literal('done'), message: z.string(), url: z.url(), app: appView,
    version: versionView, warnings: z.array(z.string()),
  }),
  z.strictObject({ stage: z.literal('failed'), message: z.string(), error: failureView }),
]);
type DeployEvent = z.infer<typeof eventSchema>;
type LastEvent = Extract<DeployEvent, { stage: 'done' } | { stage: 'failed' }>;

function announcedBytes(request: IncomingMessage, bytesMax: number): number {
  const announced = Number(request.headers['content-length'] ?? bytesMax);
  if (announced > bytesMax) {
    throw new WardianError('body_too_large', `an upload has at most ${bytesMax} bytes`);
  }
  return announced;
}

async function readModule(request: IncomingMessage): Promise<BuildFile[]> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += (chunk as Buffer).length;
    if (size > UPLOAD_BYTES_MAX) {
      throw new WardianError('body_too_large', `an upload has at most ${UPLOAD_BYTES_MAX} bytes`);
    }
    chunks.push(chunk as Buffer);
  }
  return [{ path: 'module.wasm', bytes: Buffer.concat(chunks) }];
}

/** Events of one deploy, as they come: a queue between the pipeline's calls and the reader. */
class EventQueue implements AsyncIterable<DeployEvent> {
  readonly #events: DeployEvent[] = [];
  #ended = false;
  #wake: () => void = () => {};

  push(event: DeployEvent): void {
    this.#events.push(event);
    this.#ended = event.stage === 'done' || event.stage === 'failed';
    this.#wake();
  }

  async* [Symbol.asyncIterator](): AsyncGenerator<DeployEvent> {
    for (;;) {
      for (let event = this.#events.shift(); event !== undefined; event = this.#events.shift()) {
        yield event;
      }
      if (this.#ended) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

function failedEvent(error: unknown): LastEvent {
  const { code, title, detail, output } = problemOf(error);
  const message = detail === title ? title : `${title}: ${detail}`;
  return {
    stage: 'failed', message,
    error: { code, message, ...(output === undefined ? {} : { output }) },
  };
}

interface Started {
  readonly events: EventQueue;
  readonly last: Promise<LastEvent>;
}

/**
 * Resolves at the first stage, with the events from there on; rejects when the deploy is refused
 * before it: such a refusal has a status of its own.
 */
function start(parts: DeployRouteParts, request: DeployRequest): Promise<Started> {
  const events = new EventQueue();
  return new Promise((resolve, reject) => {
    let started = false;
    let settle: (event: LastEvent) => void = () => {};
    const last = new Promise<LastEvent>((settled) => {
      settle = settled;
    });
    const end = (event: LastEvent): void => {
      events.push(event);
      settle(event);
    };
    async function carryOut(): Promise<void> {
      // It may go on when its caller has gone.
      const leave = parts.changeover?.begin(`the deploy of ${request.label}`);
      try {
        const result = await parts.pipeline.deploy(
          request, (stage, message) => {
            started = true;
            // `done` is told below, with the result.
            if (stage !== 'done') events.push({ stage, message });
            resolve({ events, last });
          });
        end(doneEvent(parts, result));
      } catch (error) {
        if (!started) {
          reject(error);
          return;
        }
        if (!(error instanceof WardianError)) parts.onFault(error);
        end(failedEvent(error));
      } finally {
        leave?.();
      }
    }
    void carryOut();
  });
}

async function readFiles(
  parts: DeployRouteParts, request: IncomingMessage, isModule: boolean, tenantId: number,
): Promise<BuildFile[]> {
  const bytesMax = isModule ? UPLOAD_BYTES_MAX : TAR_BYTES_MAX;
  const release = parts.pipeline.hold(announcedBytes(request, bytesMax), tenantId);
  try {
    return isModule ? await readModule(request) : await unpackTar(request);
  } finally {
    release();
  }
}

/** What the query changes of an app's settings; absent: nothing. */
function settingsOf({ debug }: DeployQuery): { settings?: SettingsChange } {
  return debug === undefined ? {} : { settings: { debug: debug === 'true' } };
}

async function* only<T>(event: Promise<T> | T): AsyncGenerator<T> {
  yield await event;
}

function doneEvent(
  parts: DeployRouteParts, { app, version, url, warnings }: DeployResult,
): LastEvent {
  return {
    stage: 'done', message: `Deploy complete: ${url}`, url, warnings: [...warnings],
    app: viewApp(app, parts), version: viewVersion(version, app, parts),
  };
}

/** The result of an earlier deploy under the key, done or to come; null when there was none. */
function earlierOf(
  parts: DeployRouteParts, underWay: DeploysUnderWay<LastEvent>, tenantId: number, label: string,
  once: DeployKey,
): Promise<LastEvent> | LastEvent | null {
  const coming = underWay.find(once);
  if (coming !== null) return coming;
  const kept = parts.store.findDeploy(tenantId, once);
  if (kept === null) return null;
  const app = parts.store.getApp(label);
  const version = parts.store.getVersion(kept.versionId);
  // Removed between the look-ups: as if it had not been.
  if (app === null || version === null) return null;
  return doneEvent(parts, { app, version, url: parts.urlOf(label), warnings: kept.warnings });
}

async function deploy(
  parts: DeployRouteParts, underWay: DeploysUnderWay<LastEvent>, call: AdminCall,
): Promise<AdminAnswer> {
  const { params, request, signal } = call;
  const query = call.query as DeployQuery;
  const { language, option, life_seconds: life, activate } = query;
  const label = params['label'] ?? '';
  // Before the body is read: a name that cannot be had should not cost an upload.
  requireLabel(label);
  const tenant = ownerOf(parts, call);
  const given = idempotencyKeyOf(request.headers[IDEMPOTENCY_HEADER]);
  const isModule = request.headers['content-type']?.startsWith(MODULE_TYPE) === true;
  const files = await readFiles(parts, request, isModule, tenant.id);
  const once = given === null
    ? null : deployKey([call.caller.key, tenant.id, label], given, query, files);
  const earlier = once === null ? null : earlierOf(parts, underWay, tenant.id, label, once);
  if (earlier !== null) return { status: 200, events: only(earlier) };
  const starting = start(parts, {
    tenant, label, language: isModule ? 'wasm' : language, files,
    options: option === undefined ? [] : [option],
    // Who sends a key comes back for the result.
    ...(once === null ? { signal } : { once }),
    ...(life === undefined ? {} : { lifeMs: life * 1_000 }),
    ...(activate === 'false' ? { activate: false } : {}),
    ...settingsOf(query),
  });
  if (once !== null) underWay.add(once, starting.then((started) => started.last));
  return { status: 200, events: (await starting).events };
}

export function deployRoute(parts: DeployRouteParts): AdminRoute {
  const underWay = new DeploysUnderWay<LastEvent>();
  return {
    method: 'POST', path: '/v1/apps/{label}/deploys', access: { scope: 'deploy' },
    summary: 'Deploys a module or sources; the answer is one JSON line for each stage',
    params: { label: labelSchema },
    query: querySchema,
    headers: {
      [IDEMPOTENCY_HEADER]:
        'The same key with the same deploy answers with the result of the first, for a day',
    },
    rawBody: [MODULE_TYPE, TAR_TYPE],
    answer: { status: 200, contentType: 'application/x-ndjson', schema: eventSchema },
    errors: [
      'bad_name', 'bad_argument', 'bad_upload', 'body_too_large', 'unknown_language', 'conflict',
      'overloaded', 'tenant_suspended',
    ],
    handle: (call) => deploy(parts, underWay, call),
  };
}
