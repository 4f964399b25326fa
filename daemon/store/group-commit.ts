/**
 * The writer's loop. What arrived while the last commit was on its way to the disk goes into the
 * next one (see `gather.ts`), and is answered only after it: the more writers, the more commands
 * share one sync.
 *
 *   port ──▶ queue (a lane per tenant) ──▶ transaction ──COMMIT──▶ replies
 *                      ▲                        │ fails
 *                      └── each half by itself ◀┘  down to single commands, which then fail alone
 */

import type { DatabaseSync, StatementSync } from 'node:sqlite';

import { WardianError } from '../../contract/errors.ts';
import {
  STORE_BATCH_BYTES_MAX, STORE_BATCH_COMMANDS_MAX, STORE_BATCH_MS, STORE_PENDING_BYTES_MAX,
  STORE_PENDING_TENANT_BYTES_MAX,
} from '../../contract/limits.ts';
import type { RequestLimits } from '../../contract/limits.ts';
import { applyControl } from './control.ts';
import type { WriterStats } from './commands.ts';
import { sqliteCode, storeFailure } from './failure.ts';
import { FairQueue } from './fair-queue.ts';
import { FreeSpace } from './free-space.ts';
import { Gather } from './gather.ts';
import { growthOf } from './growth.ts';
import { onlyFrees, refusalOf, sizeOf } from './kv-check.ts';
import { KvTable } from './kv.ts';
import { Purge } from './purge.ts';
import { sizeOfTask, tell } from './task.ts';
import type { ControlTask, Outcome, Task } from './task.ts';

/** While commands keep coming, removed data waits for so many commits between two steps. */
const PURGE_EVERY_COMMITS = 32;

/** The lane of the control plane; tenants' ids start at 1. */
const CONTROL_LANE = 0;

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

const NONE: WriterStats = {
  commits: 0, commands: 0, refusals: 0, failures: 0, largestCommit: 0, commitUs: 0, pending: 0,
  pendingBytes: 0,
};

export interface GroupCommitOptions {
  /** Milliseconds, for the time that a commit may take commands in; tests stop it. */
  readonly now?: () => number;
  readonly database: DatabaseSync;
  readonly databasePath: string;
  readonly limits: RequestLimits;
  readonly freeBytesMin: number;
  /** Counts go on from there. */
  readonly before?: WriterStats;
  /** Moves messages that have arrived into `add`; called right before a transaction is filled. */
  readonly drain: () => void;
  /** Called when all commands of a commit have been told their outcome. */
  readonly settled?: () => void;
}

export class GroupCommit {
  readonly #options: GroupCommitOptions;
  readonly #database: DatabaseSync;
  readonly #kv: KvTable;
  readonly #queue = new FairQueue<Task>(sizeOfTask);
  readonly #gather: Gather;
  readonly #purge: Purge;
  readonly #space: FreeSpace;
  readonly #begin: StatementSync;
  readonly #end: StatementSync;
  #scheduled = false;
  #finished = false;
  /** Bytes of values in the transaction that is being filled. */
  #filledBytes = 0;
  readonly #counts: Mutable<WriterStats>;
  readonly #now: () => number;

  constructor(options: GroupCommitOptions) {
    this.#counts = { ...options.before ?? NONE };
    this.#now = options.now ?? (() => performance.now());
    this.#gather = new Gather({ now: this.#now });
    this.#options = options;
    this.#database = options.database;
    this.#kv = new KvTable(options.database);
    this.#purge = new Purge(options.database);
    this.#space = new FreeSpace(options.database, options.databasePath, options.freeBytesMin);
    this.#begin = options.database.prepare('BEGIN IMMEDIATE');
    this.#end = options.database.prepare('COMMIT');
  }

  get stats(): WriterStats {
    return {
      ...this.#counts,
      commitUs: Math.round(this.#counts.commitUs),
      pending: this.#queue.count,
      pendingBytes: this.#queue.bytes,
    };
  }

  /** Queues a command for the next commit, or refuses it at once. */
  add(task: Task): void {
    try {
      this.#queue.push(this.#laneOf(task), task);
    } catch (error) {
      this.#counts.refusals += 1;
      task.failed(storeFailure(error, this.#options.databasePath));
      return;
    }
    this.schedule();
  }

  /** A commit at the end of this turn of the event loop, after everything that has arrived. */
  schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (this.#finished) return;
      this.#options.drain();
      if (this.#queue.count > 0) this.#commitGathered();
      else if (!this.#finished) this.purge();
      if (this.#queue.count > 0) this.schedule();
    });
  }

  #commitGathered(): void {
    this.#gather.wait(() => {
      this.#options.drain();
      return this.#queue.count;
    }, this.#queue.count);
    // Closed by what was drained: all is committed.
    if (this.#finished) return;
    const { commands, commitUs } = this.#counts;
    this.#commitNext();
    this.#options.drain();
    this.#gather.committed(
      this.#counts.commands - commands, this.#queue.count,
      (this.#counts.commitUs - commitUs) / 1_000);
  }

  /** Commits all that waits; later commands are refused. */
  finish(): void {
    while (this.#queue.count > 0) this.#commitNext();
    this.#finished = true;
  }

  #laneOf(task: Task): number {
    if (this.#finished) throw new WardianError('store_failed', 'the store is closed');
    if (task.kind === 'control') return CONTROL_LANE;
    const refusal = refusalOf(task.command);
    if (refusal !== null) throw refusal;
    const tenantId = this.#kv.tenantOf(task.command.storeId);
    if (tenantId === null) throw new WardianError('not_found', 'the store is gone');
    const size = sizeOf(task.command);
    if (this.#queue.bytesOf(tenantId) + size > STORE_PENDING_TENANT_BYTES_MAX) {
      throw new WardianError('tenant_overloaded', 'too many writes of this tenant are waiting');
    }
    if (this.#queue.bytes + size > STORE_PENDING_BYTES_MAX) {
      throw new WardianError('overloaded', 'too many writes are waiting');
    }
    return tenantId;
  }

  /** One transaction of what waits, tenants in turns, up to the bounds of a commit. */
  #commitNext(): void {
    let task = this.#queue.take();
    if (task === undefined) return;
    const tasks: Task[] = [];
    const startedAt = this.#now();
    this.#filledBytes = 0;
    this.#settle(tasks, () => {
      if (task === undefined && this.#mayTakeMore(tasks.length, startedAt)) {
        task = this.#queue.take();
      }
      const taken = task;
      task = undefined;
      if (taken !== undefined) tasks.push(taken);
      return taken;
    });
    this.#options.settled?.();
    this.#counts.commits += 1;
    this.#counts.commands += tasks.length;
    this.#counts.largestCommit = Math.max(this.#counts.largestCommit, tasks.length);
    this.#counts.commitUs += (this.#now() - startedAt) * 1_000;
    this.#purgeSometimes();
  }

  #mayTakeMore(taken: number, startedAt: number): boolean {
    return taken < STORE_BATCH_COMMANDS_MAX && this.#filledBytes < STORE_BATCH_BYTES_MAX
      && this.#now() - startedAt < STORE_BATCH_MS;
  }

  /** `tasks` holds what `next` has given. When the transaction fails, each half is tried alone. */
  #settle(tasks: readonly Task[], next: () => Task | undefined): void {
    let outcomes: readonly Outcome[];
    try {
      outcomes = this.#transact(next);
    } catch (error) {
      const failure = storeFailure(error, this.#options.databasePath);
      if (tasks.length <= 1) {
        this.#counts.failures += 1;
        for (const task of tasks) task.failed(failure);
        return;
      }
      const middle = tasks.length >> 1;
      for (const half of [tasks.slice(0, middle), tasks.slice(middle)]) {
        const again = half.values();
        this.#settle(half, () => again.next().value);
      }
      return;
    }
    for (const outcome of outcomes) tell(outcome);
  }

  #transact(next: () => Task | undefined): Outcome[] {
    const outcomes: Outcome[] = [];
    const nowMs = Date.now();
    this.#space.look();
    this.#inTransaction(() => {
      for (let task = next(); task !== undefined; task = next()) {
        outcomes.push(this.#apply(task, nowMs));
      }
      this.#kv.flush();
    });
    return outcomes;
  }

  #inTransaction(fill: () => void): void {
    try {
      this.#begin.run();
      fill();
      this.#end.run();
    } catch (error) {
      // SQLite has rolled back already after some errors, a full disk for one.
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      this.#kv.forget();
      throw error;
    }
  }

  /** A refusal is an outcome; anything else that is thrown fails the transaction. */
  #apply(task: Task, nowMs: number): Outcome {
    if (task.kind === 'control') return this.#applyControl(task, nowMs);
    try {
      if (!onlyFrees(task.command)) this.#space.assertRoomFor(sizeOf(task.command));
      const result = this.#kv.apply(task.command, nowMs);
      this.#filledBytes += result.costBytes;
      return { task, result, error: null };
    } catch (error) {
      if (!(error instanceof WardianError)) throw error;
      this.#counts.refusals += 1;
      return { task, result: null, error };
    }
  }

  #applyControl(task: ControlTask, nowMs: number): Outcome {
    this.#kv.flush();
    this.#kv.forget();
    this.#filledBytes += sizeOfTask(task);
    const { limits } = this.#options;
    this.#database.exec('SAVEPOINT command');
    try {
      const growth = growthOf(task.command);
      if (growth !== null) this.#space.assertRoomFor(growth);
      const result = applyControl({ database: this.#database, limits, nowMs }, task.command);
      this.#database.exec('RELEASE command');
      this.#purge.wake();
      return { task, result, error: null };
    } catch (error) {
      if (!(error instanceof WardianError)) throw error;
      this.#database.exec('ROLLBACK TO command; RELEASE command');
      this.#counts.refusals += 1;
      return { task, result: null, error };
    }
  }

  /** Right away when nothing waits; otherwise between every few commits, so that it gets done. */
  #purgeSometimes(): void {
    if (this.#queue.count > 0 && this.#counts.commits % PURGE_EVERY_COMMITS !== 0) return;
    this.purge();
  }

  /** One step of removing what has expired and what belonged to removed stores. */
  purge(): void {
    if (!this.#purge.due) return;
    try {
      this.#inTransaction(() => this.#purge.step(Date.now()));
    } catch (error) {
      // Nobody waits for it: it is counted, and tried again at the next tick.
      if (sqliteCode(error) === null) throw error;
      this.#counts.failures += 1;
      this.#purge.pause();
    }
    this.#kv.forget();
    if (this.#purge.due) this.schedule();
  }

  /** Called now and then: entries expire without anybody's command. */
  tick(): void {
    this.#purge.wake();
    this.schedule();
  }
}
