/**
 * The Terrarium deploy protocol, as `terrctl` speaks it: `POST /deploy` with sources or a module,
 * then `GET /status/<id>` once a second. Every answer is JSON of at most 4,096 bytes, which is all
 * that the client reads.
 *
 *   POST /deploy ──▶ record ──(pipeline's stages)──▶ done ──(five minutes)──▶ forgotten
 *                       └────────────────────────▶ failed ──────┘
 *
 * The client looks at neither the status nor `success` of the answer to `POST /deploy`: it only
 * takes the id and asks for its status. So a refused upload gets an id too, under which the reason
 * is found.
 */

import { randomInt } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import * as z from 'zod';

import { BuildError } from '../../contract/build.ts';
import type { Tenant } from '../../contract/deployment.ts';
import { ERRORS, WardianError } from '../../contract/errors.ts';
import type { ErrorCode } from '../../contract/errors.ts';
import {
  SANDBOX_DEPLOYS_PER_MINUTE_MAX, SANDBOX_LIFE_MS, SANDBOXES_LIVE_MAX,
  TERRCTL_MESSAGE_BYTES_MAX, UPLOAD_BYTES_MAX,
} from '../../contract/limits.ts';
import type { Changeover } from '../changeover.ts';
import type { Store } from '../store/store.ts';
import type { DeployPipeline, DeployRequest } from './pipeline.ts';
import { unpackTar } from './upload.ts';
import { WORDS } from './words.ts';

export interface TerrctlRequest {
  readonly method: string;
  /** Origin form, with the query. */
  readonly target: string;
  /** Flat, names in lower case. */
  readonly headers: readonly string[];
  readonly body: Uint8Array | null;
  readonly clientAddress: string;
}

export interface TerrctlAnswer {
  readonly status: number;
  /** Flat: name, value, name, value. */
  readonly headers: readonly string[];
  readonly body: string;
}

export interface TerrctlParts {
  readonly store: Pick<Store, 'getApp' | 'listApps'>;
  readonly pipeline: Pick<DeployPipeline, 'deploy'>;
  /** Who owns sandboxes. */
  readonly tenant: () => Tenant;
  readonly urlOf: (label: string) => string;
  readonly onFault: (error: unknown) => void;
  /** Absent: no backup is restored meanwhile. */
  readonly changeover?: Pick<Changeover, 'enter'>;
  readonly lifeMs?: number;
  readonly liveMax?: number;
  readonly deploysPerMinuteMax?: number;
}

export const HEALTH_PATH = '/__health';

/** What every served app's host answers to the client's last question; null for other requests. */
export function healthAnswer(method: string, target: string): TerrctlAnswer | null {
  const isHealth = target === HEALTH_PATH || target.startsWith(`${HEALTH_PATH}?`);
  if (!isHealth || (method !== 'GET' && method !== 'HEAD')) return null;
  return { status: 200, headers: ['content-type', 'text/plain; charset=utf-8'], body: 'ok\n' };
}

const ID_WORDS = 4;
const RECORDS_MAX = 5_000;
const ADDRESSES_MAX = 10_000;
const MINUTE_MS = 60_000;
const CUT = '\n[...]';

/**
 * Any web page can make a browser on this machine send a POST, and what is deployed here may be
 * built here. Browsers name the page in `origin`; the protocol's clients have none.
 */
function isFromPage({ headers }: TerrctlRequest): boolean {
  for (let at = 0; at < headers.length; at += 2) if (headers[at] === 'origin') return true;
  return false;
}

const uploadSchema = z.object({
  lang: z.string().max(40),
  options: z.array(z.string().max(100)).max(16).nullish(),
  tar: z.string(),
});

interface Status {
  readonly status: string;
  readonly message: string;
  readonly success: boolean;
  readonly done: boolean;
}

/** JSON of at most TERRCTL_MESSAGE_BYTES_MAX bytes: the end of the message goes if need be. */
function answer<T extends { readonly message: string }>(status: number, value: T): TerrctlAnswer {
  let { message } = value;
  let body = JSON.stringify(value);
  for (;;) {
    const excess = Buffer.byteLength(body) - TERRCTL_MESSAGE_BYTES_MAX;
    if (excess <= 0) break;
    // A character takes up to six bytes in JSON: cutting a sixth of the excess never cuts too much.
    const cut = Math.max(1, Math.ceil(excess / 6));
    message = message.slice(0, Math.max(0, message.length - cut)).replace(/[\ud800-\udbff]$/, '');
    body = JSON.stringify({ ...value, message: message + CUT });
  }
  return {
    status, body,
    headers: ['content-type', 'application/json', 'cache-control', 'no-store'],
  };
}

function describe(error: unknown): { readonly code: string; readonly message: string } {
  if (!(error instanceof WardianError)) return { code: 'internal', message: 'an internal error' };
  const { meaning } = ERRORS[error.code];
  const words = error.message === '' ? meaning : `${meaning}: ${error.message}`;
  const output = error instanceof BuildError && error.output !== '' ? `\n${error.output}` : '';
  return { code: error.code, message: words + output };
}

/** Bytes of base64 with or without padding. `Buffer` skips what is none: the length tells. */
function decodeBase64(text: string): Uint8Array {
  const digits = text.replace(/={1,2}$/, '');
  if (digits.length > Math.ceil(UPLOAD_BYTES_MAX / 3) * 4) {
    throw new WardianError('body_too_large', `at most ${UPLOAD_BYTES_MAX} bytes`);
  }
  const bytes = Buffer.from(digits, 'base64');
  if (bytes.length !== Math.floor(digits.length * 3 / 4)) {
    throw new WardianError('bad_upload', '"tar" is not base64');
  }
  return bytes;
}

function parseUpload(body: Uint8Array | null): z.infer<typeof uploadSchema> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body ?? new Uint8Array()));
  } catch (cause) {
    throw new WardianError('bad_upload', 'the body is not JSON', { cause });
  }
  const parsed = uploadSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new WardianError('bad_upload', `"${issue?.path.join('.') ?? ''}": ${issue?.message ?? ''}`);
}

export class Terrctl {
  readonly #parts: TerrctlParts;
  readonly #records: LRUCache<string, Status>;
  readonly #deploys = new LRUCache<string, number>({
    max: ADDRESSES_MAX, ttl: MINUTE_MS, noUpdateTTL: true,
  });
  #underWay = 0;

  constructor(parts: TerrctlParts) {
    this.#parts = parts;
    this.#records = new LRUCache({ max: RECORDS_MAX, ttl: parts.lifeMs ?? SANDBOX_LIFE_MS });
  }

  /** Null when the request is none of the protocol. */
  handle(request: TerrctlRequest): Promise<TerrctlAnswer> | null {
    const [path = ''] = request.target.split('?', 1);
    if (path === '/deploy') {
      if (request.method !== 'POST') return this.#refuse('method_not_allowed', 'use POST');
      if (isFromPage(request)) return this.#refuse('forbidden', 'web pages may not deploy');
      return this.#deploy(request);
    }
    if (!path.startsWith('/status/') && path !== '/status') return null;
    if (request.method !== 'GET') return this.#refuse('method_not_allowed', 'use GET');
    return Promise.resolve(this.#status(path.slice('/status/'.length)));
  }

  #refuse(code: ErrorCode, message: string): Promise<TerrctlAnswer> {
    const value = { id: '', success: false, status: 'failed', done: true, message };
    return Promise.resolve(answer(ERRORS[code].status, value));
  }

  #status(id: string): TerrctlAnswer {
    const record = this.#records.get(id);
    if (record !== undefined) return answer(200, { ...record });
    // After a restart of the daemon, or long after: the app itself tells.
    if (/^[a-z]+(?:-[a-z]+){3}$/.test(id)) {
      const app = this.#parts.store.getApp(id);
      if (app !== null && app.tenantId === this.#parts.tenant().id) {
        return answer(200, this.#complete(id));
      }
    }
    const message = 'no such deployment, or its five minutes are over';
    return answer(404, { status: 'unknown', message, success: false, done: true });
  }

  #complete(id: string): Status {
    const message = `Deploy complete: ${this.#parts.urlOf(id)}`;
    return { status: 'done', message, success: true, done: true };
  }

  async #deploy(request: TerrctlRequest): Promise<TerrctlAnswer> {
    const id = this.#newId();
    try {
      this.#admit(request.clientAddress);
      const { lang, options, tar } = parseUpload(request.body);
      const files = await unpackTar(decodeBase64(tar), { flattenSingle: true });
      const message = await this.#start(id, {
        label: id, language: lang, files, options: options ?? [],
        lifeMs: this.#parts.lifeMs ?? SANDBOX_LIFE_MS,
      });
      return answer(200, { id, success: true, message });
    } catch (error) {
      const { message } = this.#failed(id, error);
      const status = error instanceof WardianError ? error.status : 500;
      return answer(status, { id, success: false, message });
    }
  }

  /** Resolves at the first stage; rejects when the deploy is refused before it. */
  #start(id: string, deploy: Omit<DeployRequest, 'tenant'>): Promise<string> {
    this.#underWay += 1;
    return new Promise((resolve, reject) => {
      let started = false;
      const onStage = (stage: string, message: string): void => {
        started = true;
        const done = stage === 'done';
        this.#records.set(id, { status: stage, message, success: true, done });
        resolve(message);
      };
      const carryOut = async (): Promise<void> => {
        const leave = await this.#parts.changeover?.enter(`the sandbox deploy of ${id}`);
        try {
          // As it is in the database that the deploy will be in.
          const tenant = this.#parts.tenant();
          await this.#parts.pipeline.deploy({ ...deploy, tenant }, onStage);
        } catch (error) {
          if (started) this.#failed(id, error);
          else reject(error);
        } finally {
          leave?.();
          this.#underWay -= 1;
        }
      };
      void carryOut();
    });
  }

  #failed(id: string, error: unknown): { readonly message: string } {
    if (!(error instanceof WardianError)) this.#parts.onFault(error);
    const { code, message } = describe(error);
    this.#records.set(id, { status: code, message, success: false, done: true });
    return { message };
  }

  /** Throws `overloaded`. Anyone may deploy: what they can make us hold is bounded here. */
  #admit(address: string): void {
    const { liveMax = SANDBOXES_LIVE_MAX } = this.#parts;
    const { deploysPerMinuteMax = SANDBOX_DEPLOYS_PER_MINUTE_MAX } = this.#parts;
    const deploys = (this.#deploys.get(address) ?? 0) + 1;
    this.#deploys.set(address, deploys);
    if (deploys > deploysPerMinuteMax) {
      throw new WardianError('overloaded',
        `more than ${deploysPerMinuteMax} deploys in a minute; wait a little`);
    }
    const live = this.#parts.store.listApps(this.#parts.tenant().id, { limit: liveMax }).length;
    if (live + this.#underWay >= liveMax) {
      throw new WardianError('overloaded', `${liveMax} sandboxes live already; try again later`);
    }
  }

  #newId(): string {
    for (;;) {
      const id = Array.from({ length: ID_WORDS }, () => WORDS[randomInt(WORDS.length)]).join('-');
      if (!this.#records.has(id) && this.#parts.store.getApp(id) === null) return id;
    }
  }
}
