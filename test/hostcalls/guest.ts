/**
 * Runs a guest as the pool does: the module rewritten, its memory imported, start first, then
 * `run`. Memory is filled with `?` before (the data of the test aside), so that a test can compare
 * all of it afterwards. A guest is given as text, or as the list of hostcalls that it is to make.
 */

import { MessageChannel } from 'node:worker_threads';
import type { Test } from 'tap';
import initWabt from 'wabt';
import { REQUEST_LIMITS_DEFAULT, type RequestLimits } from '../../contract/limits.ts';
import type { Failure, GuestLogLine, RequestMessage, Usage } from '../../contract/messages.ts';
import { HOSTCALL_NUMBERS } from '../../hostcalls/numbers.ts';
import {
  createHost, createServices, inspectModule, type Guest, type GuestAnswer,
  type GuestOwner, type Host, type StreamedBody,
} from '../../hostcalls/index.ts';
import type { InstanceParts } from '../../hostcalls/host.ts';
import type { Services } from '../../hostcalls/services/index.ts';
import { HOSTCALLS } from '../../hostcalls/tables.ts';
import { rewrite } from '../../pool/rewrite/index.ts';
import { MemoryStore } from './memory-store.ts';

const wabt = await initWabt();

export const PAGE = 65_536;
/** Where the bump allocator of `steps` begins; it hands out multiples of 16. */
export const HEAP = 4_096;

export function assemble(text: string): Uint8Array {
  const module = wabt.parseWat('guest.wat', text, {
    exceptions: true, mutable_globals: true, bulk_memory: true, tail_call: true,
  });
  return module.toBinary({}).buffer;
}

/** An argument: a number, or the result of an earlier step. */
type Argument = number | bigint | { readonly result: number };
/** Name and arguments of a hostcall; `wasi:` before the name for WASI's. */
export type Step = readonly [name: string, ...args: Argument[]];

function moduleOf(step: Step): { module: string; name: string } {
  const [name] = step;
  return name.startsWith('wasi:')
    ? { module: 'wasi_snapshot_preview1', name: name.slice(5) } : { module: 'env', name };
}

const BUMP = `(func $malloc (param i32) (result i32)
  global.get $heap
  global.get $heap local.get 0 i32.const 15 i32.add i32.const -16 i32.and i32.add global.set $heap
  global.get $allocations i32.const 1 i32.add global.set $allocations)`;

export interface StepOptions {
  /** Register the allocator first. Default true. */
  readonly initMm?: boolean;
  /** `(func $malloc …)`; by default a bump allocator. */
  readonly malloc?: string;
  readonly pages?: number;
  /** The guest's memory from 0 on is its answer, to this address; the step results come last. */
  readonly answersTo?: number;
  /** What is there at the start, among `?` up to `answersTo`. */
  readonly segments?: Data;
}

/** Imports, fields and code of a guest that answers with its memory. */
function answering({ answersTo, segments = {} }: StepOptions, steps: readonly Step[]) {
  if (answersTo === undefined) return { memory: '', code: '' };
  const bytes = Buffer.alloc(answersTo, '?');
  for (const [at, content] of Object.entries(segments)) bytes.set(bytesOf(content), Number(at));
  const escaped = [...bytes].map((byte) => `\\${byte.toString(16).padStart(2, '0')}`).join('');
  const results = steps.flatMap((step, index) => {
    const type = hostcallOf(step).result;
    if (type === null) return [];
    const at = `(i32.const ${answersTo + 8 * index})`;
    return [`(i64.store ${at} ${type === 'i64' ? '' : '(i64.extend_i32_s'} (global.get $r${index})`
      + `${type === 'i64' ? '' : ')'})`];
  });
  const length = answersTo + 8 * steps.length;
  return {
    memory: `(data (i32.const 0) "${escaped}")`,
    code: `${results.join('\n')}
      (drop (call $hostcall_resp_set_body (i32.const 0) (i32.const 0) (i32.const ${length})))`,
  };
}

function hostcallOf(step: Step) {
  const { module, name } = moduleOf(step);
  const called = HOSTCALLS.get(module)?.get(name);
  if (called === undefined) throw new Error(`no hostcall ${module} ${name}`);
  return called;
}

/** The text of a guest that makes these hostcalls and keeps their results in `r0`, `r1`, … */
export function stepsText(steps: readonly Step[], options: StepOptions = {}): string {
  const { initMm = true, malloc = BUMP, pages = 1 } = options;
  const imports = new Map<string, string>();
  const globals: string[] = [];
  const code: string[] = [];
  steps.forEach((step, index) => {
    const { module, name } = moduleOf(step);
    const called = hostcallOf(step);
    const types = called.parameters.map((parameter) => parameter.type);
    const params = types.length > 0 ? `(param ${types.join(' ')})` : '';
    const result = called.result === null ? '' : `(result ${called.result})`;
    imports.set(name, `(import "${module}" "${name}" (func $${name} ${params} ${result}))`);
    const args = step.slice(1).map((argument, position) => typeof argument === 'object'
      ? `(global.get $r${(argument as { result: number }).result})`
      : `(${types[position]}.const ${argument})`);
    const call = `(call $${name} ${args.join(' ')})`;
    if (called.result === null) {
      code.push(call);
    } else {
      globals.push(`(global $r${index} (export "r${index}") (mut ${called.result}) `
        + `(${called.result}.const 0))`);
      code.push(`(global.set $r${index} ${call})`);
    }
  });
  const told = answering(options, steps);
  if (told.code !== '') {
    imports.set('hostcall_resp_set_body', '(import "env" "hostcall_resp_set_body" '
      + '(func $hostcall_resp_set_body (param i32 i32 i32) (result i32)))');
  }
  return `(module
    (import "env" "hostcall_init_mm" (func $init_mm (param i32 i32)))
    ${[...imports.values()].filter((line) => !line.includes('$hostcall_init_mm ')).join('\n')}
    (memory ${pages}) ${told.memory}
    (table 4 funcref) (elem (i32.const 1) $malloc $free)
    (global $heap (mut i32) (i32.const ${HEAP}))
    (global $allocations (export "allocations") (mut i32) (i32.const 0))
    ${globals.join('\n')}
    ${malloc}
    (func $free (param i32))
    (func (export "run")
      ${initMm ? '(call $init_mm (i32.const 1) (i32.const 2))' : ''}
      ${code.join('\n').replaceAll('$hostcall_init_mm', '$init_mm')}
      ${told.code}
      (global.set $done (i32.const 1)))
    (global $done (export "done") (mut i32) (i32.const 0)))`;
}

export type Data = Readonly<Record<number, string | Uint8Array | readonly number[]>>;

export interface RunOptions extends StepOptions {
  readonly steps?: readonly Step[];
  readonly text?: string;
  /** A module of its own, whose memory is left as it is. */
  readonly module?: Uint8Array;
  readonly data?: Data;
  readonly request?: Partial<RequestMessage>;
  /** The request's body, piece by piece. */
  readonly body?: StreamedBody;
  readonly limits?: Partial<RequestLimits>;
  readonly services?: Partial<Services>;
  readonly owner?: Partial<GuestOwner>;
  /** Used in place of one of its own, with its services. */
  readonly host?: Host;
  /** Pages that the memory has beyond what the guest sees. */
  readonly hiddenPages?: number;
  /** Called once the guest waits or is done. */
  readonly during?: (guest: Guest) => void | Promise<void>;
}

export interface Ran {
  /** What the entry threw; null if it returned. */
  readonly thrown: unknown;
  readonly failure: Failure | null;
  readonly exited: boolean;
  readonly usage: Usage;
  readonly lastHostcall: string | null;
  /** The answer, or what `answer` threw. */
  readonly answer: GuestAnswer | null;
  readonly answerError: unknown;
  /** Results of the steps, and globals that the guest exports. */
  readonly globals: Readonly<Record<string, number | bigint>>;
  /** All of the memory afterwards. */
  readonly memory: Buffer;
  readonly before: Buffer;
  readonly logs: readonly GuestLogLine[];
  readonly internalErrors: readonly unknown[];
}

/** Real services but for stores and secrets; loopback may be reached. */
export function testServices(t: Test, logs: GuestLogLine[]): Services {
  const { port1, port2 } = new MessageChannel();
  const services = createServices({
    settings: { databasePath: ':memory:', egressAllow: ['127.0.0.0/8'], dnsServers: [] },
    storePort: port1,
    log: (line) => logs.push(line),
  });
  t.teardown(async () => {
    await services.close();
    port1.close();
    port2.close();
  });
  return { ...services, kv: new MemoryStore(), secrets: { get: () => null } };
}

export const REQUEST: RequestMessage = {
  sequence: 1, requestId: 'request-1', versionId: 7, generation: 1, method: 'GET', target: '/a?b=1',
  host: 'hello.localhost', headers: ['host', 'hello.localhost'], body: null,
  clientAddress: '192.0.2.7', secure: false, deadlineAt: 0, streamed: false,
};

export const OWNER: GuestOwner = {
  tenantId: 3, appId: 5, versionId: 7, label: 'hello', environment: new Map(),
  namespaces: new Map(),
};

export interface Started {
  readonly host: Host;
  readonly guest: Guest;
  readonly exports: Record<string, WebAssembly.Global & (() => void)>;
  readonly memory: WebAssembly.Memory | null;
  readonly logs: GuestLogLine[];
  readonly internalErrors: unknown[];
  readonly suspends: boolean;
  readonly before: Buffer;
}

function bytesOf(content: Data[number]): Uint8Array | readonly number[] {
  return typeof content === 'string' ? Buffer.from(content, 'latin1') : content;
}

function fillMemory(memory: WebAssembly.Memory, data: Data): Buffer {
  const bytes = Buffer.from(memory.buffer);
  // Active segments of the guest stay: only what is still zero becomes `?`.
  for (let at = 0; at < bytes.length; at++) if (bytes[at] === 0) bytes[at] = 0x3f;
  for (const [at, content] of Object.entries(data)) {
    bytes.set(bytesOf(content), Number(at));
  }
  return Buffer.from(bytes);
}

/** Everything up to the first call into the guest. */
export function start(t: Test, options: RunOptions): Started {
  const source = options.module
    ?? assemble(options.text ?? stepsText(options.steps ?? [], options));
  const limits = { ...REQUEST_LIMITS_DEFAULT, ...options.limits };
  const rewritten = rewrite(source, {
    memoryBytesMax: limits.memoryBytes, numbers: HOSTCALL_NUMBERS,
  });
  const inspection = inspectModule(rewritten.imports, rewritten.exports);
  t.same(inspection.violations, [], 'the guest may be deployed');
  const logs: GuestLogLine[] = [];
  const internalErrors: unknown[] = [];
  const host = options.host ?? createHost({
    services: { ...testServices(t, logs), ...options.services },
    onInternalError: (error) => internalErrors.push(error),
  });
  const guest = host.open({ ...REQUEST, ...options.request },
    { ...OWNER, ...options.owner }, limits, options.body ?? null);
  const shape = rewritten.memory;
  const memory = shape === null ? null : new WebAssembly.Memory({
    initial: shape.initialPages + (options.hiddenPages ?? 0), maximum: shape.maximumPages,
  });
  const module = new WebAssembly.Module(rewritten.bytes);
  const instance = new WebAssembly.Instance(module, {
    ...host.imports,
    ...(memory === null ? {} : { 'wardian:host': { ...host.imports['wardian:host'], memory } }),
  } as WebAssembly.Imports);
  const exports = instance.exports as Started['exports'];
  const before = memory === null || options.module !== undefined ? Buffer.alloc(0)
    : fillMemory(memory, options.data ?? {});
  exports['wardian:fuel']!.value = BigInt(limits.fuel);
  exports['wardian:context']!.value = guest.context;
  guest.attach({
    memory,
    table: (exports['wardian:table'] as unknown as WebAssembly.Table | undefined) ?? null,
    call: (exports['wardian:call'] as unknown as InstanceParts['call'] | undefined) ?? null,
    listedEntries: rewritten.listedEntries,
    fuel: exports['wardian:fuel']!,
    pages: exports['wardian:pages'] ?? null,
    exports: instance.exports,
  });
  return {
    host, guest, exports, memory, logs, internalErrors, before, suspends: inspection.suspends,
  };
}

async function callEntry({ exports, suspends }: Started): Promise<unknown> {
  try {
    for (const name of ['wardian:start', 'run']) {
      const entry = exports[name];
      if (entry === undefined) continue;
      if (suspends) await WebAssembly.promising(entry)();
      else entry();
    }
    return null;
  } catch (error) {
    return error ?? new Error('threw undefined');
  }
}

function globalsOf(exports: Started['exports']): Record<string, number | bigint> {
  const globals: Record<string, number | bigint> = {};
  for (const [name, value] of Object.entries(exports)) {
    if (value instanceof WebAssembly.Global) globals[name] = value.value as number | bigint;
  }
  return globals;
}

export async function run(t: Test, options: RunOptions): Promise<Ran> {
  const started = start(t, options);
  const { guest, host, exports, memory, logs, internalErrors, before } = started;
  const finished = callEntry(started);
  await options.during?.(guest);
  const thrown = await finished;
  let answer: GuestAnswer | null = null;
  let answerError: unknown = null;
  try {
    answer = guest.answer();
  } catch (error) {
    answerError = error;
  }
  const usage = { ...guest.usage };
  guest.close();
  if (options.host === undefined) t.equal(host.openCount, 0, 'the context is free again');
  return {
    thrown, failure: guest.failure, exited: guest.exited, usage, lastHostcall: guest.lastHostcall,
    answer, answerError, globals: globalsOf(exports), before, logs, internalErrors,
    memory: memory === null ? Buffer.alloc(0) : Buffer.from(Buffer.from(memory.buffer)),
  };
}

export function u32(...values: number[]): number[] {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, index) => bytes.writeUInt32LE(value >>> 0, index * 4));
  return [...bytes];
}

/** Compares all of the memory: as it was before, but for `changes`. */
export function memoryIs(t: Test, ran: Ran, changes: Data, message = 'memory is exact'): void {
  const expected = Buffer.from(ran.before);
  for (const [at, content] of Object.entries(changes)) {
    expected.set(bytesOf(content), Number(at));
  }
  if (ran.memory.equals(expected)) {
    t.pass(message);
    return;
  }
  let at = 0;
  while (ran.memory[at] === expected[at]) at++;
  const from = Math.max(0, at - 8);
  t.same(ran.memory.subarray(from, at + 56).toString('latin1'),
    expected.subarray(from, at + 56).toString('latin1'), `${message}, from ${from} on`);
}
