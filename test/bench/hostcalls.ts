/**
 * What the hostcalls cost on the host's side: opening and closing a guest, and calls of a guest in
 * a loop, the rewritten module's own part included. `node test/bench/hostcalls.ts [--json]`.
 */

import type { Test } from 'tap';
import { REQUEST_LIMITS_DEFAULT } from '../../contract/limits.ts';
import type { GuestLogLine } from '../../contract/messages.ts';
import { createHost } from '../../hostcalls/index.ts';
import { OWNER, REQUEST, assemble, testServices } from '../hostcalls/guest.ts';
import { rewrite } from '../../pool/rewrite/index.ts';

const CALLS = 200_000;
const ROUNDS = 5;

const LIMITS = {
  ...REQUEST_LIMITS_DEFAULT, fuel: 1e12, hostcalls: 1e9, hostcallBytes: 1e12, kvOperations: 1e9,
};

/** Import of the hostcall as `$h`, and one call of it. A header's name is at 0, its value at 40. */
const LOOPS: Readonly<Record<string, readonly [signature: string, call: string]>> = {
  hostcall_resp_get_response_code: ['(param i32) (result i32)', '(drop (call $h (i32.const 0)))'],
  hostcall_resp_set_body: ['(param i32 i32 i32) (result i32)',
    '(drop (call $h (i32.const 0) (i32.const 0) (i32.const 13)))'],
  hostcall_resp_set_header: ['(param i32 i32 i32 i32 i32) (result i32)',
    '(drop (call $h (i32.const 0) (i32.const 0) (i32.const 13) (i32.const 40) (i32.const 1)))'],
  hostcall_req_get_path: ['(param i32 i32 i32)',
    '(call $h (i32.const 64) (i32.const 68) (i32.const 0))'],
  hostcall_req_get_header: ['(param i32 i32 i32 i32 i32)',
    '(call $h (i32.const 64) (i32.const 68) (i32.const 0) (i32.const 48) (i32.const 4))'],
  hostcall_rng_next_u64: ['(result i64)', '(drop (call $h))'],
  // Suspending, but answered at once: the handle is none.
  hostcall_pending_req_poll: ['(param i32) (result i32)', '(drop (call $h (i32.const 1)))'],
};

function guestText(name: string, [signature, call]: readonly [string, string]): string {
  return `(module
    (import "env" "hostcall_init_mm" (func $init (param i32 i32)))
    (import "env" "${name}" (func $h ${signature}))
    (memory 1) (table 2 funcref) (elem (i32.const 0) $malloc $free)
    (data (i32.const 0) "x-header-nametext/plain")
    (data (i32.const 40) "\\0d\\00\\00\\00\\0a\\00\\00\\00host")
    (func $malloc (param i32) (result i32) (i32.const 4096)) (func $free (param i32))
    (func (export "run") (local i32)
      (call $init (i32.const 0) (i32.const 1))
      (loop $again ${call}
        (local.set 0 (i32.add (local.get 0) (i32.const 1)))
        (br_if $again (i32.lt_u (local.get 0) (i32.const ${CALLS}))))))`;
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

const teardowns: (() => unknown)[] = [];
const logs: GuestLogLine[] = [];
const teardown = { teardown: (end: () => unknown) => teardowns.push(end) } as unknown as Test;
const host = createHost({
  services: testServices(teardown, logs),
  onInternalError: (error) => { throw error; },
});

function nanosPerOpen(): number {
  const began = process.hrtime.bigint();
  for (let turn = 0; turn < CALLS; turn++) host.open(REQUEST, OWNER, LIMITS).close();
  return Number(process.hrtime.bigint() - began) / CALLS;
}

async function nanosPerCall(module: WebAssembly.Module): Promise<number> {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1_024 });
  const guest = host.open(REQUEST, OWNER, LIMITS);
  const imports = { ...host.imports, 'wardian:host': { memory } } as WebAssembly.Imports;
  const { exports } = new WebAssembly.Instance(module, imports);
  const fuel = exports['wardian:fuel'] as WebAssembly.Global;
  fuel.value = BigInt(LIMITS.fuel);
  (exports['wardian:context'] as WebAssembly.Global).value = guest.context;
  guest.attach({
    call: null, listedEntries: 0,
    memory, fuel, exports, table: exports['wardian:table'] as WebAssembly.Table,
    pages: exports['wardian:pages'] as WebAssembly.Global,
  });
  const began = process.hrtime.bigint();
  await WebAssembly.promising(exports['run'] as Function)();
  const nanos = Number(process.hrtime.bigint() - began) / CALLS;
  if (guest.failure !== null) throw new Error(guest.failure.message);
  guest.close();
  return nanos;
}

const results: Record<string, number> = {};
const opens = Array.from({ length: ROUNDS + 1 }, nanosPerOpen);
results['open and close'] = median(opens.slice(1));
for (const [name, loop] of Object.entries(LOOPS)) {
  const { bytes } = rewrite(assemble(guestText(name, loop)), { memoryBytesMax: 1_024 * 65_536 });
  const module = new WebAssembly.Module(bytes);
  const rounds: number[] = [];
  for (let round = 0; round <= ROUNDS; round++) rounds.push(await nanosPerCall(module));
  results[name] = median(rounds.slice(1));
}
if (process.argv.includes('--json')) {
  console.log(JSON.stringify({ nanoseconds: results }));
} else {
  for (const [name, nanos] of Object.entries(results)) {
    console.log(`${name.padEnd(34)} ${nanos.toFixed(0).padStart(6)} ns`);
  }
}
for (const end of teardowns) await end();
