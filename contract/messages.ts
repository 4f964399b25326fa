/**
 * Everything that crosses a thread: requests and replies of the pool, the control channel of each
 * worker, and the commands of the store's writer. Plain data only: what structured clone takes
 * without surprises.
 */

import type { ErrorCode } from './errors.ts';
import type { GuestTrace } from './trace.ts';

/** Name, value, name, value, …; names in lower case, repeated names in the order received. */
export type FlatHeaders = readonly string[];

/** One request on its way to a worker. */
export interface RequestMessage {
  /** Unique in this process; what an abort names. */
  readonly sequence: number;
  readonly requestId: string;
  /** The version that serves; immutable, so a worker may cache everything it loads by it. */
  readonly versionId: number;
  /**
   * Changes whenever limits or settings of the app or tenant change: the other half of the worker's
   * cache key.
   */
  readonly generation: number;
  /** The `StoreEpoch` of the two numbers before; absent: the first. */
  readonly epoch?: number;
  readonly method: string;
  /** Origin form with the query: `/a?b=1`. */
  readonly target: string;
  readonly host: string;
  readonly headers: FlatHeaders;
  /** Transferred. Null when the request has no body, or when it is `streamed`. */
  readonly body: Uint8Array | null;
  /** The body comes piece by piece, as the worker asks for it with `pull`. */
  readonly streamed: boolean;
  readonly clientAddress: string;
  readonly secure: boolean;
  /**
   * Milliseconds since the epoch (`performance.timeOrigin + performance.now()`): when the answer is
   * due.
   */
  readonly deadlineAt: number;
  /** The request's own span as a `traceparent`; null or absent when nothing is traced here. */
  readonly trace?: string | null;
}

/** What a request used, whatever became of it. */
export interface Usage {
  /** Fuel units burnt. */
  fuel: number;
  /**
   * Linear memory at its largest, as the guest saw it, and its tables: what counts into the limit
   * `memoryBytes`. Tables count with what they may grow to.
   */
  memoryBytes: number;
  hostcalls: number;
  hostcallBytes: number;
  /** Bytes of text logged. */
  logBytes: number;
  /** Bytes of text that were cut because they were over the limit `logBytes`. */
  logOverBytes: number;
  subrequests: number;
  dnsQueries: number;
  kvOperations: number;
  /** Milliseconds of all subrequests together, from their start to the end of their bodies. */
  subrequestMs: number;
  /** Subrequests that got no whole answer, other than by the guest's own end or will. */
  subrequestFailures: number;
  /** Milliseconds in hostcalls of the key-value store and of DNS, waiting included. */
  kvMs: number;
  dnsMs: number;
  /** True when the instance got a memory that was used before. */
  recycled: boolean;
  /**
   * Microseconds from the request's turn in the worker to the guest's first instruction; loading
   * and compiling its module included.
   */
  instantiateUs: number;
  /** Microseconds from the guest's first instruction to its end, waiting included. */
  runUs: number;
  /** Of these, the microseconds in which it waited and others had the thread. */
  waitedUs: number;
}

export interface Failure {
  readonly code: ErrorCode;
  /** For the client: no paths, no stacks of ours. */
  readonly message: string;
  /** Guest frames, innermost first: `name@offset`, from the trap's stack. */
  readonly backtrace: readonly string[];
  /** The last hostcall the guest entered, or null. */
  readonly lastHostcall: string | null;
  /**
   * A trap at a place where the fuel may be in a local of the guest (docs/fuel.md): the usage's
   * fuel is the least that was used. Absent: it is exact.
   */
  readonly fuelIsAtLeast?: boolean;
}

export interface ReplyMessage {
  readonly status: number;
  readonly headers: FlatHeaders;
  /** Transferred. Null when the body is relayed. */
  readonly body: Uint8Array | null;
  /** The body follows piece by piece, as the main thread gives credit. Null: `body` is all. */
  readonly relay: RelayHead | null;
  readonly usage: Usage;
  /**
   * Set when the guest failed; status, headers and body are then empty and the main thread writes
   * the answer.
   */
  readonly failure: Failure | null;
  /** Of a request whose trace is exported. */
  readonly trace?: GuestTrace | null;
  /** The main thread's own answer for a guest that held its thread and never came back. */
  readonly held?: boolean;
}

/** A body that is relayed from an upstream once its guest has ended. */
export interface RelayHead {
  /** Bytes to come; null when the upstream did not say. */
  readonly contentLength: number | null;
  /** The request's body may still be on its way to an upstream; otherwise nobody takes it. */
  readonly takesBody: boolean;
}

/** A piece of a body, either way. Transferred. */
export interface BodyPiece {
  readonly kind: 'body';
  readonly sequence: number;
  /** Null at the end. */
  readonly bytes: Uint8Array | null;
  /** Why there will be no more although the end was not reached; '' otherwise. */
  readonly broken: string;
}

/** One line a guest logged. Control characters are escaped by whoever prints it. */
export interface GuestLogLine {
  readonly atMs: number;
  readonly versionId: number;
  readonly requestId: string;
  /** `wardian`: what the host has to say of the guest's log. */
  readonly source: 'debug' | 'stdout' | 'stderr' | 'panic' | 'wardian';
  readonly text: string;
  /** Bytes cut off because of a line or request limit. */
  readonly cutBytes: number;
}

/** Worker to main, on the control port. */
export type WorkerNotice =
  | { readonly kind: 'logs'; readonly lines: readonly GuestLogLine[] }
  /** Replies that the results of Piscina's tasks did not bring, laid out in `pool/wire.ts`. */
  | { readonly kind: 'replies'; readonly wire: unknown[] }
  /** Of an answer that is relayed. Only ever as many bytes as there is credit for. */
  | BodyPiece
  /** So many more bytes of a request's body may come. */
  | { readonly kind: 'pull'; readonly sequence: number; readonly bytes: number }
  /** An error of ours, with its stack, for the operator's log alone. */
  | { readonly kind: 'internal'; readonly text: string };

/** Main to worker, on the control port. */
export type WorkerOrder =
  /** Ends the guest, or the relaying of its answer. */
  | { readonly kind: 'abort'; readonly sequence: number }
  /** Of a request's body: never before it was pulled, so that it cannot overtake its request. */
  | BodyPiece
  /** So many more bytes of an answer that is relayed may come. */
  | { readonly kind: 'credit'; readonly sequence: number; readonly bytes: number }
  | { readonly kind: 'forget'; readonly versionId: number };

/** The first message of a worker, through Piscina's `message` event. */
export interface WorkerHello {
  readonly kind: 'hello';
  readonly threadId: number;
  /** The main thread's end of the control channel. */
  readonly control: import('node:worker_threads').MessagePort;
  /** The store writer's end of the worker's store channel. */
  readonly store: import('node:worker_threads').MessagePort;
  /** The worker's heartbeat and counters, laid out in `pool/heartbeat.ts`. */
  readonly heartbeat: SharedArrayBuffer;
  /** What was begun and who waits, laid out in `pool/ledger.ts`. */
  readonly ledger: SharedArrayBuffer;
}

/** What all workers are started with. */
export interface WorkerSettings {
  readonly databasePath: string;
  readonly limits: import('./limits.ts').RequestLimits;
  /** Of all threads together. */
  readonly moduleCacheBytesMax: number;
  readonly memoryPoolBytesMax: number;
  readonly guestsPerWorkerMax: number;
  /** Steps that workers stand back behind the main thread, 0 to 19. */
  readonly niceness: number;
  /** Threads of the pool: what else is bounded per process is divided by it. */
  readonly threads: number;
  /** CIDR ranges that guests may reach although the egress policy denies them by default. */
  readonly egressAllow: readonly string[];
  /** `address:port` of resolvers; empty for the system's. */
  readonly dnsServers: readonly string[];
  /**
   * The memory of a `KeyRing`: keys that open sealed secrets, and those that are still to come.
   * Never logged. Absent: guests have no secrets.
   */
  readonly secretKeys?: SharedArrayBuffer;
  /** The memory of the `StoreEpoch`. Absent: the database is never replaced. */
  readonly storeEpoch?: SharedArrayBuffer;
}

/** What a thread of one crew is started with (Piscina `workerData`). */
export interface WorkerData extends WorkerSettings {
  /** Who holds which module, laid out in `pool/module-holders.ts`. */
  readonly moduleHolders: SharedArrayBuffer;
}

/**
 * A write to the key-value store. Keys and values are bytes; the writer answers once the commit is
 * durable.
 */
export type StoreCommand =
  | {
      readonly op: 'kv_put';
      readonly storeId: number;
      readonly key: Uint8Array;
      readonly value: Uint8Array;
      /** `always` replaces, `absent` only inserts, `append` appends or inserts. */
      readonly mode: 'always' | 'absent' | 'append';
      /** Milliseconds until the entry expires. Absent: never; an append then leaves it as it is. */
      readonly ttlMs?: number;
    }
  | {
      /** Puts or deletes if the entry still has that revision. */
      readonly op: 'kv_compare';
      readonly storeId: number;
      readonly key: Uint8Array;
      /** What a read or reply said; 0: only if the key is absent. */
      readonly revision: number;
      /** Null deletes. */
      readonly value: Uint8Array | null;
      readonly ttlMs?: number;
    }
  | {
      /**
       * Adds to a whole number in decimal text, -2^63 to 2^63 - 1; an absent one counts as 0. Its
       * time to live stays.
       */
      readonly op: 'kv_increment';
      readonly storeId: number;
      readonly key: Uint8Array;
      readonly delta: bigint;
    }
  | { readonly op: 'kv_delete'; readonly storeId: number; readonly key: Uint8Array };

/**
 * A worker may have many commands under way; replies carry the command's id and come in any order.
 */
export interface StoreRequest {
  readonly id: number;
  readonly command: StoreCommand;
  /** The `StoreEpoch` that the guest belongs to. */
  readonly epoch: number;
}

export type StoreReply =
  | {
      readonly id: number;
      readonly ok: true;
      /** True when the key was absent before. */
      readonly absent: boolean;
      /** False: the condition (`absent`, `kv_compare`) did not hold and nothing changed. */
      readonly stored?: boolean;
      /** The entry's revision now, 0 when it is absent. Never the same for two changes of a key. */
      readonly revision?: number;
      /** The sum, of `kv_increment`. */
      readonly value?: bigint;
    }
  | { readonly id: number; readonly ok: false; readonly code: ErrorCode; readonly message: string };
