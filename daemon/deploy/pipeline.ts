/**
 * The way of a deploy: check, build in a child, store, switch the route. Whatever fails leaves the
 * version before it serving; deploys of one app follow each other in the order they came.
 *
 *   uploaded ──▶ building ──▶ compiling ──▶ deploying ──▶ done
 *       └───────────┴────────────┴─────────────┴───────▶ failed (a typed refusal)
 */

import { BUILD_OPTIONS, BuildError } from '../../contract/build.ts';
import type { BuildFile, BuildResult, BuildStage, BuildTools } from '../../contract/build.ts';
import { APP_SETTINGS_DEFAULT, resolveLimits } from '../../contract/deployment.ts';
import type {
  App, Language, SettingsChange, Tenant, Version,
} from '../../contract/deployment.ts';
import { WardianError } from '../../contract/errors.ts';
import type { RequestLimits } from '../../contract/limits.ts';
import { UPLOADS_HELD_BYTES_MAX, UPLOADS_HELD_TENANT_BYTES_MAX } from '../../contract/limits.ts';
import type { DeployKey } from '../store/commands.ts';
import { settingsAfter } from '../store/settings.ts';
import type { Deployed, RouteChange, Store } from '../store/store.ts';
import type { Builders } from './builders.ts';
import { requireLabel } from './label.ts';
import { languageOf } from './language.ts';
import { rewriteKeyOf } from './rewrite-key.ts';

export type DeployStage = 'uploaded' | 'building' | 'compiling' | 'deploying' | 'done';

/** What the person who deploys reads; `terrctl` prints the same. */
export const STAGE_MESSAGES: Readonly<Record<Exclude<DeployStage, 'done'>, string>> = {
  uploaded: 'Upload complete, waiting for build...',
  building: 'Building...',
  compiling: 'Generating machine code...',
  deploying: 'Deploying...',
};

export interface DeployRequest {
  readonly tenant: Tenant;
  readonly label: string;
  /** A language's name, or `auto`. */
  readonly language: string;
  readonly files: readonly BuildFile[];
  /** At most one of BUILD_OPTIONS. */
  readonly options?: readonly string[];
  readonly settings?: SettingsChange;
  /** From the moment of storing on; then the app goes. Absent: as it is, or for ever when new. */
  readonly lifeMs?: number;
  /** False: the version is stored and does not serve yet, unless it is the app's first. */
  readonly activate?: boolean;
  /** The same key again gives the version that this deploy makes. */
  readonly once?: DeployKey;
  /** Aborted: the deploy is given up, unless it is being stored already. */
  readonly signal?: AbortSignal;
}

export interface DeployResult {
  readonly app: App;
  readonly version: Version;
  readonly url: string;
  readonly warnings: readonly string[];
}

export interface PipelineOptions {
  readonly store: Pick<Store, 'saveDeploy' | 'findArtifact' | 'getApp'>;
  readonly builders: Pick<Builders, 'run'>;
  readonly tools: BuildTools;
  /** Languages that are built from source here; modules are always taken. */
  readonly languages: ReadonlySet<Language>;
  /** The operator's limits. */
  readonly limits: RequestLimits;
  /** Where an app answers, with a slash at the end. */
  readonly urlOf: (label: string) => string;
  /** Called once a version is stored, before the deploy's promise resolves. */
  readonly onRoute: (change: RouteChange) => void;
  /** Told of each deploy that begins; what it returns, of its end. */
  readonly watch?: () => DeployWatch;
}

/** Told how a deploy goes. */
export interface DeployWatch {
  stage(stage: DeployStage): void;
  /** Null: it is done. Otherwise what was thrown. */
  ended(error: unknown): void;
}

function optionOf(options: readonly string[] | undefined): string | null {
  const [option, more] = options ?? [];
  if (more !== undefined) throw new WardianError('bad_argument', 'at most one option is taken');
  if (option === undefined) return null;
  if (BUILD_OPTIONS.includes(option)) return option;
  throw new WardianError('bad_argument',
    `${JSON.stringify(option.slice(0, 40))}: options are ${BUILD_OPTIONS.join(', ')}`);
}

async function sha256(bytes: Uint8Array): Promise<string> {
  // Not on this thread: 32 MiB would hold up requests for tens of milliseconds.
  const digest = await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>);
  return Buffer.from(digest).toString('hex');
}

/** A module ready to be stored; `artifact` is null when the store has it already. */
interface Built {
  readonly module: Uint8Array;
  readonly artifact: Pick<BuildResult, 'artifact' | 'facts'> | null;
  readonly warnings: readonly string[];
}

interface Plan {
  readonly request: DeployRequest;
  readonly language: Language;
  readonly option: string | null;
  readonly memoryBytesMax: number;
  readonly rewriteKey: string;
}

export class DeployPipeline {
  readonly #parts: PipelineOptions;
  /** The last deploy of each label that is under way. */
  readonly #last = new Map<string, Promise<unknown>>();
  #heldBytes = 0;
  /** By tenant's id. */
  readonly #heldOf = new Map<number, number>();

  constructor(parts: PipelineOptions) {
    this.#parts = parts;
  }

  /**
   * Rejects with WardianError, BuildError when a compiler has something to say. `onStage` gets each
   * stage once, in order; `done` comes with the URL.
   */
  async deploy(
    request: DeployRequest, onStage: (stage: DeployStage, message: string) => void,
  ): Promise<DeployResult> {
    const watch = this.#parts.watch?.();
    try {
      const result = await this.#deploy(request, (stage, message) => {
        watch?.stage(stage);
        onStage(stage, message);
      });
      watch?.ended(null);
      return result;
    } catch (error) {
      watch?.ended(error);
      throw error;
    }
  }

  async #deploy(
    request: DeployRequest, onStage: (stage: DeployStage, message: string) => void,
  ): Promise<DeployResult> {
    const plan = this.#plan(request);
    const release = this.hold(
      request.files.reduce((sum, file) => sum + file.bytes.length, 0), request.tenant.id);
    try {
      const tell = (stage: Exclude<DeployStage, 'done'>): void => {
        onStage(stage, STAGE_MESSAGES[stage]);
      };
      tell('uploaded');
      const deployed = await this.#inTurn(request.label, () => this.#carryOut(plan, tell));
      onStage('done', `Deploy complete: ${deployed.url}`);
      return deployed;
    } finally {
      release();
    }
  }

  /**
   * Counts an upload's bytes until the returned function is called. Throws `tenant_overloaded` or
   * `overloaded` when those of the tenant, or all together, would take too much memory.
   */
  hold(bytes: number, tenantId: number): () => void {
    const own = this.#heldOf.get(tenantId) ?? 0;
    if (own + bytes > UPLOADS_HELD_TENANT_BYTES_MAX) {
      throw new WardianError('tenant_overloaded', 'too many uploads of this tenant; try again');
    }
    if (this.#heldBytes + bytes > UPLOADS_HELD_BYTES_MAX) {
      throw new WardianError('overloaded', 'too many uploads at once; try again');
    }
    this.#heldBytes += bytes;
    this.#heldOf.set(tenantId, own + bytes);
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#heldBytes -= bytes;
      const left = (this.#heldOf.get(tenantId) ?? 0) - bytes;
      if (left > 0) this.#heldOf.set(tenantId, left);
      else this.#heldOf.delete(tenantId);
    };
  }

  #plan(request: DeployRequest): Plan {
    requireLabel(request.label);
    if (request.tenant.suspended) throw new WardianError('tenant_suspended', request.tenant.name);
    const language = languageOf(request.language, request.files);
    if (language !== 'wasm' && !this.#parts.languages.has(language)) {
      throw new WardianError('unknown_language',
        `building ${language} is turned off on this node (setting build_languages)`);
    }
    const app = this.#parts.store.getApp(request.label);
    if (app !== null && app.tenantId !== request.tenant.id) {
      throw new WardianError('conflict', `the name ${request.label} is taken`);
    }
    const settings = settingsAfter(app?.settings ?? APP_SETTINGS_DEFAULT, request.settings ?? {});
    const { memoryBytes } = resolveLimits(
      this.#parts.limits, request.tenant.limits, settings.limits);
    return {
      request, language, option: optionOf(request.options), memoryBytesMax: memoryBytes,
      rewriteKey: rewriteKeyOf(memoryBytes),
    };
  }

  /** Runs `task` when every earlier deploy of the label has ended, well or not. */
  async #inTurn<T>(label: string, task: () => Promise<T>): Promise<T> {
    const before = this.#last.get(label) ?? Promise.resolve();
    const turn = before.then(task, task);
    this.#last.set(label, turn);
    try {
      return await turn;
    } finally {
      if (this.#last.get(label) === turn) this.#last.delete(label);
    }
  }

  async #carryOut(
    plan: Plan, tell: (stage: Exclude<DeployStage, 'done'>) => void,
  ): Promise<DeployResult> {
    if (plan.request.signal?.aborted === true) {
      throw new BuildError('client_closed', 'the deploy was given up');
    }
    const stored = await this.#findStored(plan);
    const built = stored ?? await this.#build(plan, tell);
    tell('deploying');
    let deployed: Deployed;
    try {
      deployed = await this.#save(plan, built);
    } catch (error) {
      // The stored build was collected between the look-up and now.
      const isGone = error instanceof WardianError && error.code === 'conflict';
      if (stored === null || !isGone) throw error;
      deployed = await this.#save(plan, await this.#build(plan, () => {}));
    }
    this.#parts.onRoute(deployed);
    return {
      app: deployed.app, version: deployed.version,
      url: this.#parts.urlOf(plan.request.label), warnings: built.warnings,
    };
  }

  /** A module that was deployed before under the same key needs no build. */
  async #findStored(plan: Plan): Promise<Built | null> {
    if (plan.language !== 'wasm') return null;
    const modules = plan.request.files.filter((file) => /\.wasm$/i.test(file.path));
    const [module] = modules;
    if (module === undefined || modules.length > 1) return null;
    const hash = await sha256(module.bytes);
    if (this.#parts.store.findArtifact(hash, plan.rewriteKey) === null) return null;
    return { module: module.bytes, artifact: null, warnings: [] };
  }

  async #build(
    plan: Plan, tell: (stage: Exclude<DeployStage, 'done'>) => void,
  ): Promise<Built> {
    const onStage = (stage: BuildStage): void => {
      if (stage !== 'rewriting') tell(stage);
    };
    const { module, artifact, facts, warnings } = await this.#parts.builders.run({
      kind: 'build', language: plan.language, files: plan.request.files, option: plan.option,
      rewrite: { memoryBytesMax: plan.memoryBytesMax }, tools: this.#parts.tools,
    }, { onStage, signal: plan.request.signal });
    return { module, artifact: { artifact, facts }, warnings };
  }

  #save(plan: Plan, { module, artifact, warnings }: Built): Promise<Deployed> {
    const { tenant, label, settings, lifeMs, activate, once } = plan.request;
    return this.#parts.store.saveDeploy({
      tenantId: tenant.id, label, language: plan.language, module, rewriteKey: plan.rewriteKey,
      artifact: artifact === null ? null : { bytes: artifact.artifact, facts: artifact.facts },
      ...(settings === undefined ? {} : { settings }),
      ...(lifeMs === undefined ? {} : { expiresAtMs: Date.now() + lifeMs }),
      ...(activate === undefined ? {} : { activate }),
      ...(once === undefined ? {} : { once: { ...once, warnings } }),
    });
  }
}
