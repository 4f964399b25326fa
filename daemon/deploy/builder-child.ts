/**
 * One builder child, from the daemon's side: started in a process group and folder of its own,
 * given one job, watched for time and memory, and killed as a group whatever happens.
 *
 *   spawned ──run(job)──▶ busy ──reply──▶ ended
 *      │                   └──exit, time, memory, abort──▶ ended
 *      └──discard──▶ ended
 */

import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import * as z from 'zod';

import { BuildError, encodeFrame, FrameReader } from '../../contract/build.ts';
import type {
  BuildJob, BuildResult, BuildStage, Frame, Job, JobHead, LocateJob, LocateResult,
} from '../../contract/build.ts';
import type { ModuleFacts } from '../../contract/deployment.ts';
import { entryUrl } from '../../contract/entry.ts';
import { ERRORS, type ErrorCode } from '../../contract/errors.ts';
import {
  ARTIFACT_BYTES_MAX, BUILD_HEAD_BYTES_MAX, BUILD_OUTPUT_BYTES_MAX, LOCATE_MS, MIB,
  MODULE_BYTES_MAX,
} from '../../contract/limits.ts';
import { watchGroupMemory } from './group-memory.ts';

export interface ChildOptions {
  readonly buildMs: number;
  /** Of those, for the last stage. */
  readonly compileMs: number;
  /** Of the child and all it starts. */
  readonly memoryBytesMax: number;
  /** Where the child's folder is made: a path and the beginning of a name. */
  readonly folderPrefix: string;
  /**
   * A folder of the daemon for what outlives a build. Node keeps the compiled sources of the
   * builder there: a child is up in 115 ms instead of 330. Empty: nothing is kept.
   */
  readonly cacheFolder: string;
}

const REPLY_DESCRIPTOR = 3;
const OFFSETS_MAX = 1_000;
const SOURCE_LENGTH_MAX = 256;
const DIAGNOSIS_BYTES_MAX = 16 * 1_024;
/** Share of the memory limit that V8's own heap may take; the rest is for wasm and buffers. */
const HEAP_SHARE = 0.75;
/** Languages whose builds start programs. */
const STARTS_PROGRAMS: ReadonlySet<string> = new Set(['c', 'rust']);
const V8_OUT_OF_MEMORY = /heap out of memory|Allocation failed|out of memory/i;

const count = z.int().min(0);
const factsSchema: z.ZodType<ModuleFacts> = z.strictObject({
  abi: z.string().min(1).max(64),
  entry: z.string().max(64),
  memory: z.strictObject({ initialPages: count, maximumPages: count }).nullable(),
  tableEntries: count,
  hasStart: z.boolean(),
  hasTable: z.boolean(),
  listedEntries: count,
  suspends: z.boolean(),
  streamsBody: z.boolean(),
  fuelAtInstantiation: count,
});
const lineSchema = z.strictObject({
  source: z.string().min(1).max(SOURCE_LENGTH_MAX), line: count, column: count,
}).nullable();
const replySchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('ready') }),
  z.strictObject({
    kind: z.literal('stage'), stage: z.enum(['building', 'rewriting', 'compiling']),
  }),
  z.strictObject({
    kind: z.literal('done'),
    moduleSize: count.max(MODULE_BYTES_MAX),
    artifactSize: count.max(ARTIFACT_BYTES_MAX),
    facts: factsSchema,
    warnings: z.array(z.string().max(1_000)).max(100),
  }),
  z.strictObject({ kind: z.literal('located'), lines: z.array(lineSchema).max(OFFSETS_MAX) }),
  z.strictObject({
    kind: z.literal('failed'),
    failure: z.strictObject({
      code: z.string().refine((code) => Object.hasOwn(ERRORS, code)),
      message: z.string(),
      output: z.string().transform((text) => text.slice(0, BUILD_OUTPUT_BYTES_MAX)),
    }),
  }),
]);

export interface JobWatch {
  onStage(stage: BuildStage): void;
  /** Aborted: the build is killed and its promise rejects with `client_closed`. */
  readonly signal?: AbortSignal | undefined;
}

function describeExit(
  stage: BuildStage | null, code: number | null, signal: string | null, diagnosis: string,
): BuildError {
  const where = stage === null ? 'at its start' : `while ${stage}`;
  if (V8_OUT_OF_MEMORY.test(diagnosis)) {
    return new BuildError('build_memory', `it ran out of memory ${where}`);
  }
  const how = signal ?? `exit code ${code}`;
  // What it wrote is for the operator alone: it names paths and lines of ours.
  return new BuildError('build_crashed', `the builder ended with ${how} ${where}`, '', {
    cause: new Error(diagnosis),
  });
}

/** What a job of that kind results in. */
export type ResultOf<J extends Job> = J extends BuildJob ? BuildResult
  : J extends LocateJob ? LocateResult : never;

type Outcome = BuildResult | LocateResult | BuildError;

export class BuilderChild {
  readonly #process: ChildProcess;
  readonly #folder: string;
  readonly #options: ChildOptions;
  readonly #reader = new FrameReader(
    BUILD_HEAD_BYTES_MAX, MODULE_BYTES_MAX + ARTIFACT_BYTES_MAX);
  /** Settled when the process is gone and its folder removed. */
  readonly ended: Promise<void>;
  #settle: ((outcome: Outcome) => void) | null = null;
  #watch: JobWatch | null = null;
  #stage: BuildStage | null = null;
  #compileTimer: NodeJS.Timeout | undefined;
  /** The end of what the child wrote to standard error. */
  #diagnosis = '';
  #gone = false;

  constructor(options: ChildOptions) {
    this.#options = options;
    this.#folder = mkdtempSync(options.folderPrefix);
    const heapMib = Math.floor(options.memoryBytesMax * HEAP_SHARE / MIB);
    const { cacheFolder } = options;
    const cache = cacheFolder === '' ? {} : { NODE_COMPILE_CACHE: join(cacheFolder, 'node') };
    this.#process = spawn(process.execPath, [
      '--disable-warning=ExperimentalWarning', `--max-old-space-size=${heapMib}`,
      '--no-wasm-lazy-compilation',
      fileURLToPath(entryUrl('../../pool/builder', import.meta.url)),
    ], {
      cwd: this.#folder,
      // The leader of a new process group, so that what it starts can be killed with it.
      detached: true,
      env: { TMPDIR: this.#folder, HOME: this.#folder, ...cache },
      stdio: ['pipe', 'ignore', 'pipe', 'pipe'],
    });
    this.ended = this.#listen();
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  get folder(): string {
    return this.#folder;
  }

  /** An idle child does not keep the daemon running. */
  unref(): void {
    this.#process.unref();
    for (const stream of this.#process.stdio) (stream as { unref?(): void } | null)?.unref?.();
  }

  ref(): void {
    this.#process.ref();
    for (const stream of this.#process.stdio) (stream as { ref?(): void } | null)?.ref?.();
  }

  /** Once per child. Rejects with BuildError; the child is gone soon after, whatever happened. */
  run<J extends Job>(job: J, watch: JobWatch): Promise<ResultOf<J>> {
    this.ref();
    this.#watch = watch;
    const lifeMs = job.kind === 'locate' ? LOCATE_MS : this.#options.buildMs;
    const timer = setTimeout(() => {
      this.#finish(new BuildError('build_timeout', `${lifeMs} ms were not enough`));
    }, lifeMs);
    const memory = this.#watchMemory(
      job.kind === 'build' && STARTS_PROGRAMS.has(job.language));
    const onAbort = (): void => {
      this.#finish(new BuildError('client_closed', 'the deploy was given up'));
    };
    watch.signal?.addEventListener('abort', onAbort);
    return new Promise<ResultOf<J>>((resolve, reject) => {
      this.#settle = (outcome) => {
        clearTimeout(timer);
        clearTimeout(this.#compileTimer);
        memory?.stop();
        watch.signal?.removeEventListener('abort', onAbort);
        if (outcome instanceof BuildError) reject(outcome);
        else if (('lines' in outcome) === (job.kind === 'locate')) resolve(outcome as ResultOf<J>);
        else reject(new BuildError('build_crashed', 'the builder answered another question'));
      };
      if (watch.signal?.aborted === true) onAbort();
      else if (this.#gone) this.#finish(describeExit(null, null, null, this.#diagnosis));
      else this.#send(job);
    });
  }

  /** Ends the child whatever it does, with all it has started. */
  kill(): void {
    const { pid } = this.#process;
    if (pid === undefined) return;
    try {
      process.kill(-pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }

  #watchMemory(scan: boolean): { stop(): void } | null {
    const { pid } = this.#process;
    if (pid === undefined) return null;
    const { memoryBytesMax } = this.#options;
    return watchGroupMemory(pid, scan, memoryBytesMax, (bytes) => {
      this.#finish(new BuildError('build_memory',
        `${Math.ceil(bytes / MIB)} MiB, the limit is ${Math.floor(memoryBytesMax / MIB)} MiB`));
    });
  }

  /** What takes long here would take long again on a worker, outside of any limit of the guest. */
  #limitCompilation(): void {
    const { compileMs } = this.#options;
    this.#compileTimer = setTimeout(() => {
      const message = `${compileMs} ms were not enough to compile the module`;
      this.#finish(new BuildError('build_timeout', message));
    }, compileMs);
  }

  #send(job: Job): void {
    const { files, ...rest } = job;
    const sizes = files.map(({ path, bytes }) => ({ path, size: bytes.length }));
    const head = { ...rest, files: sizes } as JobHead;
    // The pipe stays open: its end tells the child that the daemon is gone.
    for (const piece of encodeFrame(head, files.map((file) => file.bytes))) {
      this.#process.stdin?.write(piece);
    }
  }

  #finish(outcome: Outcome): void {
    const settle = this.#settle;
    this.#settle = null;
    this.kill();
    settle?.(outcome);
  }

  #listen(): Promise<void> {
    const { stdin, stderr, stdio } = this.#process;
    // A child that died before it read its job; `exit` tells what became of it.
    (stdin as Writable | null)?.on('error', () => {});
    (stderr as Readable | null)?.on('data', (chunk: Buffer) => {
      this.#diagnosis = (this.#diagnosis + chunk.toString()).slice(-DIAGNOSIS_BYTES_MAX);
    });
    (stdio[REPLY_DESCRIPTOR] as Readable | null)?.on('data', (chunk: Buffer) => {
      this.#receive(chunk);
    });
    return new Promise((resolve) => {
      const end = (code: number | null, signal: string | null): void => {
        this.#gone = true;
        this.#finish(describeExit(this.#stage, code, signal, this.#diagnosis));
        this.#removeFolder().then(resolve, resolve);
      };
      this.#process.once('exit', () => this.kill());
      this.#process.once('error', (error) => {
        this.#diagnosis = error.message;
        if (this.#process.pid === undefined) end(null, null);
      });
      this.#process.once('close', end);
    });
  }

  #receive(chunk: Buffer): void {
    let frames: Frame[];
    try {
      frames = this.#reader.push(chunk);
      for (const frame of frames) this.#reply(frame);
    } catch (cause) {
      if (this.#settle === null) return;
      this.#finish(new BuildError(
        'build_crashed', 'the builder answered nonsense', '', { cause }));
    }
  }

  /** Throws when the reply is not one. */
  #reply({ head, body }: Frame): void {
    const reply = replySchema.parse(head);
    if (reply.kind === 'ready') return;
    if (reply.kind === 'stage') {
      this.#stage = reply.stage;
      if (reply.stage === 'compiling') this.#limitCompilation();
      this.#watch?.onStage(reply.stage);
      return;
    }
    if (reply.kind === 'failed') {
      const { code, message, output } = reply.failure;
      this.#finish(new BuildError(code as ErrorCode, message, output));
      return;
    }
    if (reply.kind === 'located') {
      this.#finish({ lines: reply.lines });
      return;
    }
    const { moduleSize, artifactSize, facts, warnings } = reply;
    if (moduleSize + artifactSize !== body.length) throw new RangeError('sizes do not add up');
    this.#finish({
      module: body.subarray(0, moduleSize), artifact: body.subarray(moduleSize), facts, warnings,
    });
  }

  /** What a killed compiler leaves behind may appear a moment after its death. */
  async #removeFolder(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }
}
