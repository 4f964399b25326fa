/**
 * What waits for a commit: a command, and who is told of its outcome.
 */

import type { WardianError } from '../../contract/errors.ts';
import type { StoreCommand } from '../../contract/messages.ts';
import type { ControlCommand } from './commands.ts';
import { growthOf } from './growth.ts';
import { sizeOf } from './kv-check.ts';
import type { KvOutcome } from './kv.ts';

/** One command, and who is told of its outcome. Exactly one of the two is called, once. */
export interface KvTask {
  readonly kind: 'kv';
  readonly command: StoreCommand;
  done(outcome: KvOutcome): void;
  failed(error: WardianError): void;
}

export interface ControlTask {
  readonly kind: 'control';
  readonly command: ControlCommand;
  done(result: unknown): void;
  failed(error: WardianError): void;
}

export type Task = KvTask | ControlTask;

export interface Outcome {
  readonly task: Task;
  readonly result: unknown;
  readonly error: WardianError | null;
}

/** What a command holds fills the commit, modules for one. */
export function sizeOfTask(task: Task): number {
  return task.kind === 'kv' ? sizeOf(task.command) : growthOf(task.command) ?? 0;
}

export function tell({ task, result, error }: Outcome): void {
  if (error !== null) task.failed(error);
  else if (task.kind === 'kv') task.done(result as KvOutcome);
  else task.done(result);
}
