/**
 * The daemon's parts as far as metrics look at them: shapes that `daemon/main.ts` fills with the
 * parts themselves, so that ops imports none of them.
 */

export interface WorkerSource {
  readonly inFlight: number;
  readonly waiting: number;
  readonly lagMs: number;
  readonly busyMs: number;
  readonly threadId: number;
  readonly get: (field: WorkerField) => number;
}

/** Fields of a worker's heartbeat that are read here. */
export type WorkerField =
  | 'modulesCached' | 'moduleBytesCached' | 'moduleHits' | 'moduleMisses' | 'moduleEvictions'
  | 'memoriesPooled' | 'memoryBytesPooled' | 'memoriesLive' | 'logLinesDropped'
  | 'gcScavengeMs' | 'gcScavenges' | 'gcMinorMs' | 'gcMinors' | 'gcMarkSweepMs' | 'gcMarkSweeps'
  | 'gcIncrementalMs' | 'gcIncrementals' | 'gcWeakMs' | 'gcWeaks';

export interface PoolSource {
  stats(): { readonly threads: number; readonly restarts: number;
    readonly relays: { readonly request: number; readonly answer: number };
    readonly workers: readonly WorkerSource[]; };
}

export interface AdmissionSource {
  readonly inFlight: number;
  readonly queued: number;
  readonly shed: number;
}

export interface StoreSource {
  readonly databasePath: string;
  stats(): Promise<{
    readonly commits: number; readonly commands: number; readonly refusals: number;
    readonly failures: number; readonly commitUs: number; readonly pending: number;
    readonly pendingBytes: number;
  }>;
}

export interface Sources {
  readonly pool: PoolSource;
  readonly admission: AdmissionSource;
  readonly store: StoreSource;
  readonly router: { readonly size: number };
  /** Open client connections. */
  readonly connections: () => number;
  readonly isReady: () => boolean;
}

/** What the settings say that metrics show. */
export interface Maxima {
  readonly threads: number;
  readonly guestsInFlight: number;
  readonly queueLength: number;
  readonly moduleCacheBytes: number;
  readonly memoryPoolBytes: number;
}
