/**
 * What the daemon does by itself in the background: apps whose time has come go, old versions are
 * collected, modules of an older rewriter are rewritten, secrets of an older key are sealed anew.
 */

import { WardianError } from '../contract/errors.ts';
import { GARBAGE_INTERVAL_MS } from '../contract/limits.ts';
import type { Changeover } from './changeover.ts';
import { startExpiry } from './deploy/expiry.ts';
import { rebuildOutdated } from './deploy/outdated.ts';
import type { OutdatedParts } from './deploy/outdated.ts';
import type { Removed } from './store/commands.ts';
import type { Store } from './store/store.ts';

export interface UpkeepParts {
  readonly store: Store;
  readonly outdated: Omit<OutdatedParts, 'store'>;
  /** Newest versions of each app that stay. */
  readonly keepVersions: number;
  readonly onRemove: (removed: Removed) => void;
  readonly onCollect: (versionIds: readonly number[]) => void;
  readonly onFault: (error: unknown) => void;
  /** Told which keys of secrets are in use, by their ids, once all that opens has the newest. */
  readonly onResealed?: (used: ReadonlySet<string>) => void;
  readonly garbageIntervalMs?: number;
  /** Absent: no backup is restored meanwhile. */
  readonly changeover?: Pick<Changeover, 'run'>;
}

/** Steps that know ids from the ones before, in one database. */
function inOne<T>({ changeover }: Pick<UpkeepParts, 'changeover'>, work: () => Promise<T>) {
  return changeover === undefined ? work() : changeover.run('work in the background', work);
}

/** One round at a time, each an interval after the one before; the timer keeps nothing alive. */
function startCollecting(parts: UpkeepParts): { stop(): void } {
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;

  async function round(): Promise<void> {
    try {
      await inOne(parts, async () => {
        const { versionIds } = await parts.store.garbageCollect(parts.keepVersions);
        if (versionIds.length > 0) parts.onCollect(versionIds);
      });
    } catch (error) {
      parts.onFault(error);
    }
    schedule();
  }

  function schedule(): void {
    if (stopped) return;
    timer = setTimeout(() => void round(), parts.garbageIntervalMs ?? GARBAGE_INTERVAL_MS);
    timer.unref();
  }

  schedule();
  return {
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}

/** Seals what an older key sealed; whoever operates the node is told of what no key opens. */
async function rotate({ store, onFault, onResealed }: UpkeepParts): Promise<void> {
  const { unopened } = await store.environment.rotate();
  const used = store.environment.keys().filter(({ values }) => values > 0);
  onResealed?.(new Set(used.map(({ keyId }) => keyId)));
  if (unopened.size === 0) return;
  const keys = [...unopened].map(([keyId, values]) => `${values} of the key ${keyId}`);
  onFault(new WardianError('store_failed',
    `values of secrets cannot be opened and stay as they are: ${keys.join(', ')}`));
}

async function catchUp(parts: UpkeepParts, isStopped: () => boolean): Promise<void> {
  const steps = [
    () => inOne(parts, () => rotate(parts)),
    // By hashes, which name the same in every database.
    () => rebuildOutdated({ ...parts.outdated, store: parts.store }),
  ];
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      // What is cut off by the end of the daemon goes on at the next start.
      if (!isStopped()) parts.onFault(error);
    }
  }
}

export interface Upkeep {
  /** Modules of an older rewriter, secrets of an older key: at the start, and after a restore. */
  catchUp(): void;
  stop(): void;
}

export function startUpkeep(parts: UpkeepParts): Upkeep {
  let stopped = false;
  const { store, onRemove, onFault } = parts;
  const expiry = startExpiry({
    store, onRemove, onFault, inOne: (work) => inOne(parts, work),
  });
  const collecting = startCollecting(parts);
  let catchingUp = catchUp(parts, () => stopped);
  return {
    catchUp() {
      catchingUp = catchingUp.then(() => (stopped ? undefined : catchUp(parts, () => stopped)));
    },
    stop() {
      stopped = true;
      expiry.stop();
      collecting.stop();
    },
  };
}
