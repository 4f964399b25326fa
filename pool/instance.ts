/**
 * One request in a worker: its memory, its instance, its run and its end.
 *
 *   arrived ─begin─▶ running ◀──▶ waiting (JSPI: the stack is suspended, the thread is not)
 *      │               │             │
 *      │               └──ends───────┤
 *      └──kill──────────────────────▶└▶ settled: the reply is made, memory released or dropped
 */

import { WardianError } from '../contract/errors.ts';
import type { Failure, ReplyMessage, RequestMessage, Usage } from '../contract/messages.ts';
import {
  CALL_EXPORT, CONTEXT_EXPORT, FUEL_EXPORT, PAGES_EXPORT, REFUSED_EXPORT, START_EXPORT,
  TABLE_EXPORT,
} from '../contract/reserved.ts';
import type { GuestTrace } from '../contract/trace.ts';
import type { Guest, Host, InstanceParts, Relay, StreamedBody } from '../hostcalls/index.ts';
import { classify, failureOf } from './failure.ts';
import { epochNow, type Heartbeat } from './heartbeat.ts';
import type { HeapGuard } from './heap-guard.ts';
import type { Lease, MemoryPool } from './memory-pool.ts';
import type { Served } from './module-cache.ts';
import { NO_USAGE } from './replies.ts';

/** What all runs of a worker share. */
export interface Thread {
  readonly host: Host;
  readonly memories: MemoryPool;
  readonly heap: HeapGuard;
  readonly heartbeat: Heartbeat;
  /** Called once when the reply is made. */
  readonly settled: (run: GuestRun) => void;
  /** Errors of ours. */
  readonly onInternalError: (error: unknown) => void;
}

type Entry = () => unknown;
type Promising = () => Promise<unknown>;

export class GuestRun {
  readonly message: RequestMessage;
  /** Set at the end, whatever the end is. */
  reply: ReplyMessage | null = null;
  /** The body of the reply, where it is relayed. */
  relay: Relay | null = null;
  /** The request's body, where it is streamed. */
  readonly #body: StreamedBody | null;
  readonly #thread: Thread;
  /** When it had its turn: with its module still to be loaded, or when it began. */
  #turnAt = 0;
  #startedAt = 0;
  #served: Served | null = null;
  #guest: Guest | null = null;
  #lease: Lease | null = null;
  #exports: WebAssembly.Exports | null = null;
  #entry: Promising | null = null;
  #killedAt = 0;
  /** Its tables, as `HeapGuard` counts them. */
  #tableBytes = 0;

  constructor(thread: Thread, message: RequestMessage, body: StreamedBody | null) {
    this.#thread = thread;
    this.#body = body;
    this.message = message;
  }

  /** Its module is loaded first, which is part of making the instance. */
  awaitModule(): void {
    this.#turnAt = performance.now();
  }

  /** Runs the guest up to its end or its first wait. Nothing once it was killed. Never throws. */
  begin(served: Served): void {
    if (this.reply !== null) return;
    if (this.#turnAt === 0) this.#turnAt = performance.now();
    this.#served = served;
    const { heartbeat } = this.#thread;
    const { sequence } = this.message;
    // Instantiation is the guest's time as well: the watchdog ends a thread that is held by it.
    heartbeat.enter(sequence, this.message.deadlineAt, epochNow());
    try {
      this.#guest = this.#thread.host.open(
        this.message, served.owner, served.limits, this.#body);
      if (!this.#instantiate(served, this.#guest)) return heartbeat.leave(sequence);
    } catch (error) {
      this.#end(error);
      return heartbeat.leave(sequence);
    }
    this.#startedAt = performance.now();
    if (served.facts.suspends) this.#runSuspending(served);
    else this.#runPlain(served);
    heartbeat.leave(sequence);
  }

  /**
   * Ends the guest, whatever it does. A guest that waits is settled in the microtasks that follow;
   * one that has not begun, now. The first call counts.
   */
  kill(failure: Failure): void {
    if (this.reply !== null || this.#killedAt !== 0) return;
    this.#killedAt = performance.now();
    if (this.#guest === null) this.#settle(failure, null);
    else this.#guest.kill(failure);
  }

  /** Settles a killed guest that has not settled by itself: nothing waits for ever. */
  forceEnd(): void {
    if (this.#killedAt === 0 || this.reply !== null || this.#guest === null) return;
    this.#settle(this.#guest.failure ?? failureOf('internal', 'an internal error'), null);
  }

  get killed(): boolean {
    return this.#killedAt !== 0;
  }

  /** What the guest is at, for the message of a deadline. */
  get activity(): string {
    if (this.#guest === null) return 'its module was being loaded';
    const { lastHostcall } = this.#guest;
    if (this.#guest.waiting) return `it was waiting in ${lastHostcall ?? 'a hostcall'}`;
    return lastHostcall === null ? 'it was running' : `it was running, after ${lastHostcall}`;
  }

  get lastHostcall(): string | null {
    return this.#guest?.lastHostcall ?? null;
  }

  get deadlineAt(): number {
    return this.#guest?.deadlineAt ?? this.message.deadlineAt;
  }

  get deadlineMs(): number | null {
    return this.#served?.limits.deadlineMs ?? null;
  }

  /** False when it ended in a refusal, which is then settled. */
  #instantiate(served: Served, guest: Guest): boolean {
    const { facts, compiled } = served;
    const { memories, heap } = this.#thread;
    if (served.fuelAtStart < 0n) {
      this.#settle(failureOf('out_of_fuel', `instantiation costs ${facts.fuelAtInstantiation} `
        + `units of fuel, the limit is ${served.limits.fuel} per request`), null);
      return false;
    }
    heap.admit(performance.now());
    if (facts.hasTable) this.#tableBytes = heap.hold(facts.tableEntries);
    let imports = memories.importsWithoutMemory;
    if (facts.memory !== null) {
      const { initialPages } = facts.memory;
      if (initialPages > served.maximumPages) {
        this.#settle(failureOf('out_of_memory', `memory and tables begin with ${initialPages} `
          + `pages of memory and ${facts.tableEntries} table entries, more than the limit of `
          + `${served.limits.memoryBytes} bytes`), null);
        return false;
      }
      this.#lease = memories.acquire(initialPages, served.maximumPages, served.recycleMemory);
      imports = this.#lease.imports;
    }
    const { exports } = new WebAssembly.Instance(compiled.module, imports);
    this.#exports = exports;
    const fuel = exports[FUEL_EXPORT] as WebAssembly.Global;
    fuel.value = served.fuelAtStart;
    (exports[CONTEXT_EXPORT] as WebAssembly.Global).value = guest.context;
    let pages: WebAssembly.Global | null = null;
    if (facts.memory !== null) {
      pages = exports[PAGES_EXPORT] as WebAssembly.Global;
      pages.value = facts.memory.initialPages;
    }
    guest.attach({
      memory: this.#lease === null ? null : this.#lease.memory,
      bytes: this.#lease === null ? null : this.#lease.bytes,
      table: facts.hasTable ? exports[TABLE_EXPORT] as WebAssembly.Table : null,
      call: (exports[CALL_EXPORT] as InstanceParts['call'] | undefined) ?? null,
      listedEntries: facts.listedEntries,
      tableBytes: served.tableBytes,
      fuel, pages, exports,
    });
    return true;
  }

  #runPlain({ facts }: Served): void {
    const exports = this.#exports as WebAssembly.Exports;
    try {
      if (facts.hasStart) (exports[START_EXPORT] as Entry)();
      (exports[facts.entry] as Entry)();
    } catch (error) {
      this.#end(error);
      return;
    }
    this.#finish();
  }

  #runSuspending({ facts }: Served): void {
    const exports = this.#exports as WebAssembly.Exports;
    try {
      const entry = WebAssembly.promising(exports[facts.entry] as Entry) as Promising;
      if (facts.hasStart) {
        this.#entry = entry;
        const start = WebAssembly.promising(exports[START_EXPORT] as Entry) as Promising;
        start().then(this.#runEntry).then(this.#finish, this.#end);
      } else {
        entry().then(this.#finish, this.#end);
      }
    } catch (error) {
      this.#end(error);
    }
  }

  readonly #runEntry = (): Promise<unknown> => {
    if (this.#entry === null || this.reply !== null) return Promise.resolve();
    const { heartbeat } = this.#thread;
    const { sequence } = this.message;
    heartbeat.enter(sequence, this.deadlineAt, epochNow());
    const ended = this.#entry();
    heartbeat.leave(sequence);
    return ended;
  };

  readonly #finish = (): void => {
    if (this.reply !== null) return;
    const guest = this.#guest as Guest;
    if (guest.failure !== null) {
      this.#settle(guest.failure, null);
      return;
    }
    try {
      this.#settle(null, guest.answer());
    } catch (error) {
      this.#end(error);
    }
  };

  readonly #end = (error: unknown): void => {
    if (this.reply !== null) return;
    const guest = this.#guest;
    if (guest !== null && guest.failure !== null) {
      this.#settle(guest.failure, null);
    } else if (guest !== null && guest.exited && error instanceof WebAssembly.RuntimeError) {
      this.#finish();
    } else {
      const failure = this.#classify(error);
      if (failure.code === 'internal') this.#thread.onInternalError(error);
      this.#settle(failure, null);
    }
  };

  #classify(error: unknown): Failure {
    const served = this.#served;
    if (served === null) {
      return error instanceof WardianError ? failureOf(error.code, error.message)
        : failureOf('internal', 'an internal error');
    }
    const exports = this.#exports;
    const refused = exports?.[REFUSED_EXPORT] as WebAssembly.Global | undefined;
    return classify(error, {
      limits: served.limits,
      fuelLeft: exports === null ? null
        : Number((exports[FUEL_EXPORT] as WebAssembly.Global).value as bigint),
      refusedPages: refused === undefined ? 0 : refused.value as number >>> 0,
      maximumPages: served.maximumPages,
      tableBytes: served.tableBytes,
      lastHostcall: this.lastHostcall,
    });
  }

  #traced({ spans, dropped }: NonNullable<Guest['spans']>): GuestTrace {
    return { turnAt: performance.timeOrigin + this.#turnAt, spans, dropped };
  }

  #settle(failure: Failure | null, answer: ReturnType<Guest['answer']> | null): void {
    const guest = this.#guest;
    const lease = this.#lease;
    const endedAt = performance.now();
    let usage: Usage = NO_USAGE;
    if (guest !== null) {
      guest.close();
      usage = guest.usage;
      usage.recycled = lease !== null && lease.recycled;
      usage.instantiateUs = ((this.#startedAt || endedAt) - this.#turnAt) * 1_000;
      usage.runUs = this.#startedAt === 0 ? 0 : (endedAt - this.#startedAt) * 1_000;
    }
    if (lease !== null) {
      const { memories } = this.#thread;
      if (failure === null && this.#served?.recycleMemory === true) memories.release(lease);
      else memories.drop(lease);
    }
    this.#thread.heap.release(this.#tableBytes);
    this.#lease = null;
    this.#exports = null;
    this.#entry = null;
    const trace = guest === null || guest.spans === null ? null : this.#traced(guest.spans);
    this.reply = answer === null
      ? { status: 0, headers: [], body: null, relay: null, usage, failure, trace }
      : this.#replyOf(answer, usage, trace);
    this.#thread.settled(this);
  }

  #replyOf(
    answer: ReturnType<Guest['answer']>, usage: Usage, trace: GuestTrace | null,
  ): ReplyMessage {
    const { status, headers, body, relay } = answer;
    this.relay = relay;
    const head = relay === null ? null : {
      contentLength: relay.contentLength, takesBody: relay.takesBody,
    };
    return { status, headers, body, relay: head, usage, failure: null, trace };
  }
}

/** The failure of a guest past its deadline. */
export function deadlineFailure(run: GuestRun): Failure {
  const limit = run.deadlineMs === null ? 'its deadline' : `the limit of ${run.deadlineMs} ms`;
  const late = Math.max(Math.round(epochNow() - run.deadlineAt), 0);
  return failureOf('deadline', `over ${limit} by ${late} ms; ${run.activity}`, run.lastHostcall);
}
