/**
 * One request's state on the host's side, whatever its ABI: identity, usage, memory, response,
 * allocator, and the one suspension that a guest can be in. ABI folders keep what is theirs in
 * slots (`guestSlot`).
 *
 *   running ──wait──▶ waiting ──settled──▶ running
 *      │                 │
 *      └──── end ────────┴──▶ ended: fuel −1, the suspended call rejected with a genuine trap,
 *                             every later hostcall traps
 */

import type { RequestLimits } from '../contract/limits.ts';
import { WardianError, type ErrorCode } from '../contract/errors.ts';
import type { Failure, RequestMessage, Usage } from '../contract/messages.ts';
import { Allocator } from './allocator.ts';
import { GuestResponse, relayedAnswer, validateAnswer } from './answer.ts';
import type { Contexts } from './contexts.ts';
import { Deadline } from './deadline.ts';
import type { Hostcall } from './define.ts';
import type {
  Guest, GuestAnswer, GuestOwner, HostOptions, InstanceParts, StreamedBody,
} from './host.ts';
import { GuestMemory } from './memory.ts';
import { Meter } from './meter.ts';
import { PiecewiseBody } from './piecewise-body.ts';
import { requestHeaders } from './request.ts';
import { openSpans } from './services/index.ts';
import type { GuestLog, Services, SpanList, SubrequestScope } from './services/index.ts';
import { genuineTrap, guestFrames } from './trap.ts';

/** A guest's stack, suspended in one hostcall. */
interface Suspension {
  readonly reject: (reason: unknown) => void;
  /** Stops the work that is waited for; null if that is not needed. */
  readonly cancel: (() => void) | null;
  readonly called: Hostcall | null;
}

/** What all guests of a worker share. */
export interface Shared {
  readonly options: HostOptions;
  readonly contexts: Contexts<GuestState>;
}

export class GuestState implements Guest {
  readonly context: number;
  readonly request: RequestMessage;
  readonly owner: GuestOwner;
  readonly meter: Meter;
  readonly memory: GuestMemory;
  readonly allocator: Allocator;
  readonly response = new GuestResponse();
  failure: Failure | null = null;
  exited = false;
  /**
   * The hostcall entered last; while the guest's allocator runs for one, the calls it makes itself.
   */
  current: Hostcall | null = null;
  /** States of ABIs, by slot number. */
  readonly slots: unknown[] = [];
  readonly spans: SpanList | null;
  readonly services: Services;
  #suspension: Suspension | null = null;
  #suspendedAt = 0;
  #headers: string[] | null = null;
  #log: GuestLog | null = null;
  #scope: SubrequestScope | null = null;
  #closed = false;
  readonly deadline: Deadline;
  #streamed: StreamedBody | null;
  #body: PiecewiseBody | null = null;
  readonly #shared: Shared;

  constructor(
    shared: Shared, request: RequestMessage, owner: GuestOwner, limits: RequestLimits,
    streamed: StreamedBody | null,
  ) {
    this.#shared = shared;
    this.#streamed = streamed;
    this.deadline = new Deadline(request.deadlineAt);
    this.context = shared.contexts.reserve();
    this.request = request;
    this.spans = openSpans(request);
    this.owner = owner;
    this.meter = new Meter(limits);
    this.memory = new GuestMemory(this.meter);
    this.allocator = new Allocator(this);
    // Last: who fails before has nothing to leave.
    const { services, join } = shared.options;
    this.services = join === undefined ? services : join();
    shared.contexts.place(this);
  }

  get limits(): RequestLimits {
    return this.meter.limits;
  }

  get usage(): Usage {
    if (!this.ended && !this.#closed) this.#refreshUsage();
    return this.meter.usage;
  }

  get lastHostcall(): string | null {
    return this.current === null ? null : this.current.name;
  }

  get waiting(): boolean {
    return this.#suspension !== null;
  }

  /** No hostcall may do anything for this guest any more. */
  get ended(): boolean {
    return this.failure !== null || this.exited;
  }

  /** The client's request headers, with the client's address as the platform knows it. */
  get requestHeaders(): string[] {
    return this.#headers ??= requestHeaders(this.request);
  }

  get deadlineAt(): number {
    return this.deadline.at;
  }

  /** The request's body, piece by piece. */
  get body(): PiecewiseBody {
    return this.#body ??= new PiecewiseBody(this.request.body, this.#streamed);
  }

  get log(): GuestLog {
    return this.#log ??= this.services.openLog(
      this.owner.versionId, this.request.requestId, this.limits.logBytes);
  }

  /** The guest's budget of the network. */
  get scope(): SubrequestScope {
    return this.#scope ??= this.services.openSubrequests(this.owner.tenantId, this.limits, this);
  }

  attach(parts: InstanceParts): void {
    this.meter.attach(parts.fuel, parts.pages, parts.tableBytes ?? 0);
    this.memory.attach(parts.memory, parts.pages, parts.bytes ?? null);
    this.allocator.attach(parts);
    if (this.ended) this.meter.exhaust();
  }

  kill(failure: Failure): void {
    if (this.ended || this.#closed) return;
    this.#refreshUsage();
    this.failure = failure;
    this.#stop();
  }

  /**
   * Ends the guest well. The caller must throw what this returns. Throws WardianError `out_of_fuel`
   * if what the guest owes is more than it has left.
   */
  exit(): WebAssembly.RuntimeError {
    if (!this.ended) {
      this.meter.settle();
      this.#refreshUsage();
      this.exited = true;
      this.#stop();
    }
    return genuineTrap();
  }

  /**
   * Ends the guest with a failure of its own making. The caller must throw (or reject with) what
   * this returns.
   */
  fail(code: ErrorCode, message: string, frames?: readonly string[]): WebAssembly.RuntimeError {
    const trap = genuineTrap();
    this.kill({
      code,
      message,
      // The innermost wasm frame is the trap module's own.
      backtrace: frames ?? guestFrames(trap, 1),
      lastHostcall: this.lastHostcall,
    });
    return trap;
  }

  /**
   * What a hostcall must throw in place of `error`: always something that no guest handler can
   * catch. The guest has ended then, except after a trap of its own in its allocator, which the
   * pool sees as it sees every trap.
   */
  failed(error: unknown): unknown {
    if (error instanceof WebAssembly.RuntimeError) return error;
    const hostcall = this.lastHostcall ?? 'the host';
    if (error instanceof WardianError) {
      return this.fail(error.code, `${hostcall}: ${error.message}`);
    }
    if (error instanceof WebAssembly.Exception) {
      return this.fail('guest_exception', `${hostcall}: malloc threw an exception`);
    }
    if (error instanceof RangeError && error.message.startsWith('Maximum call stack size')) {
      return this.fail('stack_overflow', `${hostcall}: no stack left`, guestFrames(error));
    }
    const trap = this.fail('internal', `${hostcall}: an internal error`);
    this.#shared.options.onInternalError(error);
    return trap;
  }

  /**
   * Suspends the guest until `work` settles; then `finish` (or `recover`) makes the hostcall's
   * result of it, unless the guest has been ended meanwhile: nothing touches a guest after a wait
   * but these two.
   */
  wait<T, R extends number | bigint>(
    work: Promise<T>,
    finish: (value: T) => R,
    recover: ((error: unknown) => R) | null = null,
    cancel: (() => void) | null = null,
  ): Promise<R> {
    return new Promise<R>((resolve, reject) => {
      const suspension: Suspension = { reject, cancel, called: this.current };
      const settle = (result: () => R): void => {
        if (this.#suspension !== suspension) return;
        this.#suspension = null;
        this.#resumed(suspension);
        this.#entered();
        try {
          this.#shared.options.mayResume?.();
          const value = result();
          // The stack goes on in the microtask behind this one; others may have run by then.
          queueMicrotask(() => this.#entered());
          resolve(value);
        } catch (error) {
          reject(this.failed(error));
        }
      };
      this.#suspension = suspension;
      this.#suspendedAt = performance.now();
      this.deadline.waiting = true;
      this.#shared.options.onSuspend?.(this.owner.tenantId, this.request.sequence);
      work.then((value) => settle(() => finish(value)), (error: unknown) => settle(() => {
        if (recover === null) throw error;
        return recover(error);
      }));
    });
  }

  /** Adds the time of a wait to where it belongs. */
  #resumed({ called }: Suspension): void {
    const now = performance.now();
    const { usage } = this.meter;
    const ms = now - this.#suspendedAt;
    usage.waitedUs += ms * 1_000;
    if (called !== null) {
      if (called.times !== undefined) usage[called.times] += ms;
      this.spans?.add({
        kind: 'wait', name: called.name, startAt: performance.timeOrigin + now - ms,
        endAt: performance.timeOrigin + now,
      });
    }
    this.deadline.waiting = false;
    this.#shared.options.onResume?.(this.owner.tenantId);
  }

  #entered(): void {
    if (!this.#closed) this.#shared.options.onEnter?.(this.request.sequence, this.deadlineAt);
  }

  answer(): GuestAnswer {
    if (this.failure !== null) throw new WardianError(this.failure.code, this.failure.message);
    if (!this.exited) this.meter.settle();
    const { relay } = this.response;
    if (relay === null) return validateAnswer(this.response, this.request, this.limits);
    const streamed = this.#streamed;
    const upload = { givenAway: this.#body?.givenAway === true, end: () => streamed?.cancel() };
    const answer = relayedAnswer(this.response, relay, this.request, this.limits, upload);
    // What the guest pipes to the upstream may go on for as long as that answers.
    if (answer.relay?.takesBody === true) this.#streamed = null;
    return answer;
  }

  close(): void {
    if (this.#closed) return;
    if (!this.ended) this.#refreshUsage();
    this.#closed = true;
    this.#stop();
    if (this.#scope !== null) {
      this.meter.usage.subrequestMs = this.#scope.endedMs;
      this.meter.usage.subrequestFailures = this.#scope.failures;
    }
    this.#log?.close();
    this.meter.countLog(this.#log);
    this.#streamed?.cancel();
    this.memory.detach();
    this.allocator.attach(null);
    this.services.leave?.();
    this.#shared.contexts.release(this);
  }

  #refreshUsage(): void {
    this.meter.refresh();
    const usage = this.meter.usage;
    this.meter.countLog(this.#log);
    if (this.#scope === null) return;
    usage.subrequests = this.#scope.subrequests;
    usage.dnsQueries = this.#scope.dnsQueries;
  }

  /** The order matters: what resumes must find no fuel. */
  #stop(): void {
    if (this.failure !== null || this.exited) this.meter.exhaust();
    this.#scope?.abort();
    const suspension = this.#suspension;
    if (suspension === null) return;
    this.meter.exhaust();
    this.#suspension = null;
    this.#resumed(suspension);
    suspension.cancel?.();
    suspension.reject(genuineTrap());
  }
}
