/**
 * All builder children of the daemon: a bounded number at once, a bounded queue before them, and
 * one that is started ahead, so that a deploy does not wait for a process to come up.
 */

import { readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { BuildError } from '../../contract/build.ts';
import type { Job } from '../../contract/build.ts';
import {
  BUILD_MEMORY_BYTES_MAX, BUILD_MS, BUILDER_IDLE_MS, BUILDS_CONCURRENT_MAX, BUILDS_QUEUED_MAX,
  COMPILE_MS,
} from '../../contract/limits.ts';
import { BuilderChild } from './builder-child.ts';
import type { ChildOptions, JobWatch, ResultOf } from './builder-child.ts';

export interface BuildersOptions extends Partial<Omit<ChildOptions, 'folderPrefix'>> {
  readonly concurrentMax?: number;
  readonly queuedMax?: number;
  /** How long a child that was started ahead may wait for work; 0: none is started ahead. */
  readonly idleMs?: number;
}

const FOLDER_PREFIX = 'wardian-build-';

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Removes what builds of daemons that were killed have left in the temporary folder. */
export function removeLeftovers(): void {
  for (const name of readdirSync(tmpdir())) {
    const pid = new RegExp(`^${FOLDER_PREFIX}(\\d+)-`).exec(name)?.[1];
    if (pid === undefined || isAlive(Number(pid))) continue;
    rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
}

export class Builders {
  readonly #child: ChildOptions;
  readonly #concurrentMax: number;
  readonly #queuedMax: number;
  readonly #idleMs: number;
  readonly #children = new Set<BuilderChild>();
  readonly #queue: (() => void)[] = [];
  #running = 0;
  #warm: BuilderChild | null = null;
  #idleTimer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: BuildersOptions = {}) {
    this.#child = {
      folderPrefix: join(tmpdir(), `${FOLDER_PREFIX}${process.pid}-`),
      cacheFolder: options.cacheFolder ?? '',
      buildMs: options.buildMs ?? BUILD_MS,
      compileMs: options.compileMs ?? COMPILE_MS,
      memoryBytesMax: options.memoryBytesMax ?? BUILD_MEMORY_BYTES_MAX,
    };
    this.#concurrentMax = options.concurrentMax ?? BUILDS_CONCURRENT_MAX;
    this.#queuedMax = options.queuedMax ?? BUILDS_QUEUED_MAX;
    this.#idleMs = options.idleMs ?? BUILDER_IDLE_MS;
  }

  /** Builds under way and waiting. */
  get load(): { readonly running: number; readonly queued: number } {
    return { running: this.#running, queued: this.#queue.length };
  }

  /** Rejects with BuildError, `overloaded` when the queue is full. */
  async run<J extends Job>(job: J, watch: JobWatch): Promise<ResultOf<J>> {
    await this.#turn();
    try {
      if (this.#closed) throw new BuildError('draining', 'no builds are started any more');
      const child = this.#take();
      const result = await child.run(job, watch);
      this.#startAhead();
      return result;
    } finally {
      this.#running -= 1;
      this.#queue.shift()?.();
    }
  }

  #turn(): Promise<void> | undefined {
    if (this.#running < this.#concurrentMax) {
      this.#running += 1;
      return undefined;
    }
    if (this.#queue.length >= this.#queuedMax) {
      throw new BuildError('overloaded', `${this.#queue.length} builds are waiting already`);
    }
    return new Promise((resolve) => {
      this.#queue.push(() => {
        this.#running += 1;
        resolve();
      });
    });
  }

  #start(): BuilderChild {
    const child = new BuilderChild(this.#child);
    this.#children.add(child);
    void this.#forgetWhenGone(child);
    return child;
  }

  async #forgetWhenGone(child: BuilderChild): Promise<void> {
    await child.ended;
    this.#children.delete(child);
    if (this.#warm === child) this.#warm = null;
  }

  #take(): BuilderChild {
    clearTimeout(this.#idleTimer);
    const child = this.#warm ?? this.#start();
    this.#warm = null;
    return child;
  }

  /** Deploys come in rows: somebody edits, deploys, looks, edits. */
  #startAhead(): void {
    if (this.#idleMs === 0 || this.#closed || this.#warm !== null) return;
    this.#warm = this.#start();
    this.#warm.unref();
    this.#idleTimer = setTimeout(() => {
      this.#warm?.kill();
      this.#warm = null;
    }, this.#idleMs);
    this.#idleTimer.unref();
  }

  /** Kills what is under way; resolves when every child is gone. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#idleTimer);
    for (const child of this.#children) {
      child.ref();
      child.kill();
    }
    await Promise.all([...this.#children].map((child) => child.ended));
  }
}
