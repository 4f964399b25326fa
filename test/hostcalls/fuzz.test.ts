/**
 * Hostcalls with any arguments, in any order: whatever a guest passes, the host has no error of its
 * own, and a guest ends by a genuine trap or not at all. Time-boxed; the seed is printed, and taken
 * from `WARDIAN_FUZZ_SEED` to repeat a run.
 */

import t from 'tap';
import type { ErrorCode } from '../../contract/errors.ts';
import { createHost } from '../../hostcalls/index.ts';
import { HOSTCALLS } from '../../hostcalls/tables.ts';
import { PAGE, run, testServices, u32, type Step } from './guest.ts';

const FUZZ_MS = 4_000;
const STEPS_MAX = 6;

const seed = Number(process.env['WARDIAN_FUZZ_SEED'] ?? Date.now() % 1_000_000_007);

/** xorshift32 */
function generator(start: number): (below: number) => number {
  let state = start | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const random = generator(seed);

function pick<T>(values: readonly T[]): T {
  return values[random(values.length)]!;
}

/** Edges first: handles, the ends of the memory, sizes that wrap, texts that are there. */
const INTERESTING = [
  0, 1, 2, 3, 4, 8, 9, 20, 64, 128, 256, 512, 1_024, 4_096, PAGE - 8, PAGE - 4, PAGE - 1, PAGE,
  PAGE + 1, -1, -2, -4, -8, 2_147_483_647, -2_147_483_648, 536_870_912, 1_073_741_824,
];

const CALLS = [...HOSTCALLS].flatMap(([module, hostcalls]) => [...hostcalls.values()]
  .map((called) => ({ name: module === 'env' ? called.name : `wasi:${called.name}`, called })));

function step(index: number): Step {
  const { name, called } = pick(CALLS);
  return [name, ...called.parameters.map((parameter) => {
    if (parameter.type === 'i64') return BigInt(pick(INTERESTING));
    if (parameter.name === 'req' && index > 0) return 1;
    return random(4) === 0 ? random(PAGE) : pick(INTERESTING);
  })];
}

/** What a guest may bring about by its arguments; `internal` is not among them. */
const ALLOWED: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'bad_hostcall', 'guest_panic', 'guest_exit', 'missing_allocator', 'response_too_large',
  'out_of_fuel', 'hostcall_bytes_exhausted', 'deadline', 'storage_full',
]);

const URL = 'http://127.0.0.1:1/';

t.test(`any arguments (seed ${seed})`, async (t) => {
  const internalErrors: unknown[] = [];
  const host = createHost({
    services: testServices(t, []), onInternalError: (error) => internalErrors.push(error),
  });
  const until = Date.now() + FUZZ_MS;
  let guests = 0;
  for (; Date.now() < until; guests++) {
    const made: Step = ['hostcall_req_create', 128, 3, 256, URL.length];
    const steps = [made, ...Array.from({ length: 1 + random(STEPS_MAX) }, (_, at) => step(at))];
    const ran = await run(t, {
      host, steps, initMm: random(4) > 0, hiddenPages: random(2),
      data: {
        0: u32(128, 3, 1, 256), 64: u32(1, 2, 3), 128: 'GET', 256: URL, 512: Buffer.alloc(256),
      },
      during: async (guest) => {
        const patience = Date.now() + 300;
        while (guest.waiting && Date.now() < patience) await new Promise(setImmediate);
        guest.kill({ code: 'deadline', message: '', backtrace: [], lastHostcall: null });
      },
    });
    const text = steps.map((one) => one.map(String).join(' ')).join('; ');
    if (internalErrors.length > 0) {
      t.fail(`seed ${seed}, guest ${guests}: ${String(internalErrors.pop())}: ${text}`);
      break;
    }
    if (ran.failure !== null && !ALLOWED.has(ran.failure.code)) {
      t.fail(`seed ${seed}, guest ${guests}: ${ran.failure.code} ${ran.failure.message}: ${text}`);
    }
    if (ran.thrown !== null && !(ran.thrown instanceof WebAssembly.RuntimeError)) {
      t.fail(`seed ${seed}, guest ${guests}: threw ${String(ran.thrown)}: ${text}`);
    }
  }
  t.equal(host.openCount, 0);
  t.ok(guests > 10, `${guests} guests`);
});
