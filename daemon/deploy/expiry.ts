/** Removes apps whose time has come, and tells whoever holds something of them. */

import { EXPIRY_INTERVAL_MS } from '../../contract/limits.ts';
import type { Removed } from '../store/commands.ts';
import type { Store } from '../store/store.ts';

export interface ExpiryParts {
  readonly store: Pick<Store, 'expireApps'>;
  readonly onRemove: (removed: Removed) => void;
  readonly onFault: (error: unknown) => void;
  /** Removes and tells of it with one database. */
  readonly inOne?: (work: () => Promise<void>) => Promise<void>;
  readonly intervalMs?: number;
}

/** One sweep at a time, each some seconds after the one before; the timer keeps nothing alive. */
export function startExpiry(parts: ExpiryParts): { stop(): void } {
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;

  async function expire(): Promise<void> {
    for (const removed of await parts.store.expireApps(Date.now())) parts.onRemove(removed);
  }

  async function sweep(): Promise<void> {
    try {
      await (parts.inOne?.(expire) ?? expire());
    } catch (error) {
      parts.onFault(error);
    }
    schedule();
  }

  function schedule(): void {
    if (stopped) return;
    timer = setTimeout(() => void sweep(), parts.intervalMs ?? EXPIRY_INTERVAL_MS);
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
