/**
 * The border between the pool and the hostcalls: what a worker builds once (a `Host`), what it
 * opens for every request (a `Guest`), and what the builder asks at deploy time (`inspectModule` in
 * `index.ts`).
 *
 *   opened ──attach──▶ attached ──(entry runs; waits; runs)──▶ finished ──close──▶ closed
 *                          └──────── kill(failure) ────────▶ killed ────close──▶ closed
 */

import type { Failure, FlatHeaders, RequestMessage, Usage } from '../contract/messages.ts';
import type { RequestLimits } from '../contract/limits.ts';
import type { PieceSource } from './piecewise-body.ts';
import type { Services, SpanList } from './services/index.ts';

export interface HostOptions {
  readonly services: Services;
  /** What one guest gets of them, where the database may be replaced; by default all. */
  readonly join?: () => Services;
  /** Told of every error of ours in a hostcall. The guest has failed with `internal` by then. */
  readonly onInternalError: (error: unknown) => void;
  /** A guest's stack was suspended. */
  readonly onSuspend?: (tenantId: number, sequence: number) => void;
  /** The wait of a suspended guest is over, or it has been ended while it waited. */
  readonly onResume?: (tenantId: number) => void;
  /**
   * A guest that waited has the thread from now on: told before its allocator may be called for
   * what it waited for, and once more right before its stack goes on.
   */
  readonly onEnter?: (sequence: number, deadlineAt: number) => void;
  /** Throws WardianError when a guest may not go on; it ends with that. */
  readonly mayResume?: () => void;
}

/** What the pool hands to the host once the instance exists. Absent exports are null. */
export interface InstanceParts {
  readonly memory: WebAssembly.Memory | null;
  /** All of the memory, if the caller has a view of it: making one costs as much as a hostcall. */
  readonly bytes?: Buffer | null;
  readonly table: WebAssembly.Table | null;
  /** `wardian:call`, in place of a table that was made a list of `listedEntries` entries. */
  readonly call: ((argument: number, index: number) => unknown) | null;
  readonly listedEntries: number;
  /** What its tables count into the limit of its memory; 0 by default. */
  readonly tableBytes?: number;
  /** `wardian:fuel`, an i64. */
  readonly fuel: WebAssembly.Global;
  /** `wardian:pages`, an i32: the size of the memory as the guest sees it. Null without memory. */
  readonly pages: WebAssembly.Global | null;
  readonly exports: WebAssembly.Exports;
}

/** Ids of the request's owner, from the worker's cache of served versions. */
export interface GuestOwner {
  readonly tenantId: number;
  readonly appId: number;
  readonly versionId: number;
  readonly label: string;
  /** The app's environment variables. */
  readonly environment: ReadonlyMap<string, string>;
  /** Ids of the key-value stores that the app is bound to, by the names it knows them by. */
  readonly namespaces: ReadonlyMap<string, number>;
}

/** The body of a request that comes piece by piece. */
export type StreamedBody = PieceSource;

/** The rest of an upstream's body, which outlives the guest that answered with it. */
export interface Relay {
  /** Bytes to come; null when the upstream did not say. */
  readonly contentLength: number | null;
  /** The request's body may still be on its way to an upstream. */
  readonly takesBody: boolean;
  /** The next piece, or null at the end. Rejects when the body broke off. One read at a time. */
  read(): Promise<Uint8Array | null>;
  /** Must be called unless it was read to its end. Idempotent. */
  cancel(): void;
}

export interface GuestAnswer {
  readonly status: number;
  readonly headers: FlatHeaders;
  readonly body: Uint8Array | null;
  /** In place of a body. */
  readonly relay: Relay | null;
}

/** One request's state on the host's side: handles, response, usage, suspensions. */
export interface Guest {
  /**
   * What the instance's `wardian:context` global must hold. Never the same for two guests that live
   * at once.
   */
  readonly context: number;
  /**
   * Each read brings `fuel` and `memoryBytes` up to date from the instance's globals, and settles
   * what hostcalls still owe, until the guest is killed or has exited: then they stay as they were.
   * The pool sets `recycled`, `instantiateUs` and `runUs`, nothing else.
   */
  readonly usage: Usage;
  /** Set by `kill`, a panic, an exit, a bad hostcall; null while all is well. */
  readonly failure: Failure | null;
  /**
   * True once the guest ended itself with `proc_exit(0)`: its entry then ends with a trap that is
   * no failure, and the response stands.
   */
  readonly exited: boolean;
  /** The name of the hostcall entered last, or null. */
  readonly lastHostcall: string | null;
  /** What happened while it ran, when its trace is exported; else null. */
  readonly spans: SpanList | null;
  /** True while the guest waits in a hostcall (its stack is suspended). */
  readonly waiting: boolean;
  /**
   * When its answer is due: the request's deadline, put off by the time for which it has waited for
   * the client's body. Infinity while it waits for that.
   */
  readonly deadlineAt: number;
  /** The fuel global must hold the request's fuel by now, less what instantiation cost. */
  attach(parts: InstanceParts): void;
  /**
   * Ends the guest whatever it does: fuel to −1, then the suspended call rejected with a genuine
   * trap, and every later hostcall traps. The first failure wins. Upstream requests are cancelled.
   */
  kill(failure: Failure): void;
  /**
   * The response the guest built. Throws WardianError: `bad_response`, `response_too_large`, or
   * `out_of_fuel` when what the last hostcalls copied was more than the fuel left. `content-length`
   * is in it only where the answer has no body but may announce one (HEAD, 304). A relay outlives
   * the guest: whoever gets it must read or cancel it.
   */
  answer(): GuestAnswer;
  /**
   * Cancels what is under way, frees handles and the context number. Must be called once, whatever
   * happened.
   */
  close(): void;
}

export interface Host {
  /**
   * The import objects of all ABIs, built once per worker: module name → name → function. Every
   * function takes the context number first. Those that can wait are `WebAssembly.Suspending`.
   */
  readonly imports: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** `body`: of a request that is `streamed`. */
  open(
    request: RequestMessage, owner: GuestOwner, limits: RequestLimits, body?: StreamedBody | null,
  ): Guest;
  /** Guests open now. */
  readonly openCount: number;
  close(): Promise<void>;
}
