/**
 * Hostile guests on a daemon with one worker thread: whatever a module contains, its deploy is
 * refused or its request ends with a code of its own, and another app on the same thread keeps
 * answering correctly. The code, the time and the canary's slowest answer are printed for each.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';

import type { Daemon } from '../harness/daemon.ts';
import * as bytes from './hostile-guests.ts';
import { assemble, example, startFor, watchDelays } from './world.ts';

const MIB = 2 ** 20;
/** Of guests that are to end at it; the others have the usual one, and end by their fuel. */
const DEADLINE_MS = 3_000;
/**
 * The longest that the canary may wait, apart from what a busy machine adds: a module that was
 * refused, or a guest that waits, does not hold the thread; one that computes holds it until its
 * fuel is used up; and one that is slow for its fuel until its deadline, with a second more in
 * which the thread is replaced.
 */
const FREE_MS = 1_000;
const FUEL_MS = 2_500;
const HELD_MS = DEADLINE_MS + 1_000;

interface Fixture {
  readonly name: string;
  readonly module: Uint8Array;
  /** Codes that may come, at the deploy or at the request. */
  readonly codes: readonly string[];
  /** Requests at the same time; one by default. */
  readonly requests?: number;
  /** How long the canary may wait once the guest runs; by default `FUEL_MS`. */
  readonly canaryMs?: number;
}

const text = (
  name: string,
  body: string,
  codes: readonly string[] = ['out_of_fuel'],
  more: Pick<Fixture, 'requests' | 'canaryMs'> = {},
): Fixture => ({ name, module: assemble(`(module ${body})`), codes, ...more });
const RUN = '(func (export "run")';

const TABLES = Array.from({ length: 10 }, () => '(table 10000000 funcref)').join('');
const MALLOC = `(import "env" "hostcall_init_mm" (func $init (param i32 i32)))
  (import "env" "hostcall_req_get_path" (func $path (param i32 i32 i32)))
  (table 2 funcref) (elem (i32.const 0) $malloc $free) (memory 1)
  (func $malloc (param i32) (result i32) (loop (br 0)) (unreachable))
  (func $free (param i32))
  ${RUN} (call $init (i32.const 0) (i32.const 1))
    (call $path (i32.const 0) (i32.const 4) (i32.const 0)))`;

const WAIT = `(import "wasi_snapshot_preview1" "poll_oneoff"
  (func $poll (param i32 i32 i32 i32) (result i32))) (memory 1)
  (data (i32.const 24) "\\ff\\ff\\ff\\ff\\ff\\ff\\ff\\3f")
  (func $wait (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128))))`;
const SQRT = '(local.set $x (f64.sqrt (local.get $x)))'.repeat(20_000);
const LINES = 2 ** 20;

const FIXTURES: readonly Fixture[] = [
  ...[1, 16].map((size) =>
    text(
      `memory.fill of ${size} MiB in a loop`,
      `(memory 256) ${RUN} (loop (memory.fill (i32.const 0) (i32.const 1)
      (i32.const ${size * MIB})) (br 0)))`,
    ),
  ),
  {
    name: '50,000 locals and 2,000 ifs',
    module: bytes.localsTimesIfs(50_000, 2_000),
    codes: ['module_limit'],
  },
  text('ten tables of 10 million entries', `${TABLES} ${RUN})`, ['module_limit', 'out_of_memory']),
  { name: '6 MB of br_table', module: bytes.branchTable(6_000_000), codes: ['module_limit'] },
  { name: '100,000 blocks in each other', module: bytes.nested(100_000), codes: ['module_limit'] },
  text('recursion', '(func $f (export "run") (call $f))', ['stack_overflow', 'out_of_fuel']),
  text('a tail-call loop', '(func $f (export "run") (return_call $f))'),
  text('an empty loop', `${RUN} (loop (br 0)))`),
  text('a loop in start', `(start $s) (func $s (loop (br 0))) ${RUN})`),
  text('a loop in malloc', MALLOC),
  text('an export of a reserved name', `${RUN}) (func (export "wardian:fuel"))`, ['reserved_name']),
  text('an import of a reserved name', `(import "wardian:host" "memory" (memory 1)) ${RUN})`, [
    'reserved_name',
  ]),
  text(
    'catch_all around a failing hostcall',
    `(import "env" "hostcall_debug" (func $debug (param i32 i32))) (memory 1)
    ${RUN} (loop (try (do (call $debug (i32.const -8) (i32.const 99))) (catch_all)) (br 0)))`,
    ['bad_hostcall'],
  ),
  text(
    'catch_all around its own end',
    `(func $spin (loop (br 0))) ${RUN} (loop (try (do (call $spin)) (catch_all)) (br 0)))`,
  ),
  text(
    'growth to the limit, all of it touched, then more',
    `(memory 1) ${RUN}
      (loop (br_if 0 (i32.ne (memory.grow (i32.const 64)) (i32.const -1))))
      (memory.fill (i32.const 0) (i32.const 255) (i32.mul (memory.size) (i32.const 65536)))
      (unreachable))`,
    ['out_of_memory'],
  ),
  text(
    'a loop of hostcalls',
    `(import "env" "hostcall_rng_next_u64" (func $rng (result i64)))
    ${RUN} (loop (drop (call $rng)) (br 0)))`,
    ['hostcalls_exhausted', 'out_of_fuel'],
  ),
  text(
    'a log without end',
    `(import "env" "hostcall_debug" (func $debug (param i32 i32))) (memory 1)
    ${RUN} (loop (call $debug (i32.const 0) (i32.const 65536)) (br 0)))`,
    ['hostcalls_exhausted', 'hostcall_bytes_exhausted', 'out_of_fuel'],
  ),
  text('a wait without end', `${WAIT} ${RUN} (loop (call $wait) (br 0)))`, ['deadline'], {
    canaryMs: FREE_MS,
  }),
  text(
    'the largest table held by forty waiting guests',
    `${WAIT} (table 262144 funcref) (elem (i32.const 0) $wait)
    ${RUN} (table.set 0 (i32.const 9) (ref.func $wait)) (loop (call $wait) (br 0)))`,
    ['deadline', 'overloaded'],
    { requests: 40 },
  ),
  {
    name: '19,000 locals and 50,000 branches',
    module: bytes.localsTimesBranches(19_000, 50_000),
    codes: ['module_limit'],
  },
  text(
    'work behind the calls of a recursion',
    `(func $f (param $n i32) (local $x f64)
      (if (i32.eqz (local.get $n)) (then (return)))
      (call $f (i32.sub (local.get $n) (i32.const 1)))
      (if (local.get $n) (then ${SQRT})))
    ${RUN} (call $f (i32.const 5000)))`,
  ),
  text(
    'a chase of pointers over 64 MiB, each in a line of its own',
    `(memory 1024) ${RUN} (local $i i32) (local $at i32)
      (loop (i32.store (i32.shl (local.get $i) (i32.const 6)) (i32.shl (i32.and
          (i32.add (i32.mul (local.get $i) (i32.const 1664525)) (i32.const 1013904223))
          (i32.const ${LINES - 1})) (i32.const 6)))
        (br_if 0 (i32.ne (local.tee $i (i32.add (local.get $i) (i32.const 1)))
          (i32.const ${LINES}))))
      (loop (local.set $at (i32.load (local.get $at))) (br 0)))`,
    ['deadline', 'out_of_fuel'],
    { canaryMs: HELD_MS },
  ),
  text(
    'a loop of rethrow',
    `(tag $t) ${RUN} (loop
      (try (do (try (do (throw $t)) (catch_all (rethrow 0)))) (catch_all)) (br 0)))`,
  ),
  { name: 'a loop of throw_ref', module: bytes.THROW_REF, codes: ['out_of_fuel'] },
  {
    name: 'try_table around a failing hostcall',
    module: bytes.FAILING_HOSTCALL,
    codes: ['bad_hostcall'],
  },
  {
    name: 'try_table around the end of a wait',
    module: bytes.KILLED_IN_WAIT,
    codes: ['deadline'],
    canaryMs: FREE_MS,
  },
  {
    name: 'exceptions held by a recursion',
    module: bytes.HELD_EXCEPTIONS,
    codes: ['stack_overflow', 'out_of_fuel'],
  },
  { name: 'exceptions given up', module: bytes.DROPPED_EXCEPTIONS, codes: ['out_of_fuel'] },
  {
    name: 'exceptions in exceptions',
    module: bytes.CHAINED_EXCEPTIONS,
    codes: ['unsupported_feature'],
  },
  {
    name: 'recursion by call_ref',
    module: bytes.CALL_REF,
    codes: ['stack_overflow', 'out_of_fuel'],
  },
  { name: 'a loop by return_call_ref', module: bytes.RETURN_CALL_REF, codes: ['out_of_fuel'] },
];

interface Canary {
  stop(): Promise<{ answers: number; wrong: string[]; slowestMs: number }>;
}

interface Outcome {
  readonly refused: boolean;
  readonly codes: readonly string[];
}

/** Asks the harmless app again and again. */
function startCanary(daemon: Daemon): Canary {
  const state = { going: true };
  const result = { answers: 0, wrong: [] as string[], slowestMs: 0 };
  const done = (async () => {
    while (state.going) {
      const before = performance.now();
      const answer = await daemon.ask('canary.localhost');
      result.slowestMs = Math.max(result.slowestMs, performance.now() - before);
      result.answers += 1;
      const right = answer.status === 200 && answer.text === 'Hello from Rust\n';
      if (!right) result.wrong.push(`${answer.status} ${answer.text}`);
      await sleep(10);
    }
  })();
  return {
    async stop() {
      state.going = false;
      await done;
      return result;
    },
  };
}

async function shorten(daemon: Daemon, label: string): Promise<void> {
  const changed = await daemon.admin('PATCH', `/v1/apps/${label}`, {
    body: JSON.stringify({ limits: { deadlineMs: DEADLINE_MS } }),
    headers: { 'content-type': 'application/json' },
  });
  if (changed.status !== 200) throw new Error(`${label}: ${changed.status} ${changed.text}`);
}

/** The code that the deploy was refused with, or those that the requests ended with. */
async function outcomeOf(daemon: Daemon, label: string, fixture: Fixture): Promise<Outcome> {
  const last = (await daemon.tryDeploy(label, fixture.module)).at(-1);
  if (last?.error !== undefined) return { refused: true, codes: [last.error.code] };
  if (fixture.codes.includes('deadline')) await shorten(daemon, label);
  const answers = await Promise.all(
    Array.from({ length: fixture.requests ?? 1 }, () => daemon.ask(`${label}.localhost`)),
  );
  const codes = answers.map(({ status, headers }) => String(headers['wardian-error'] ?? status));
  return { refused: false, codes: [...new Set(codes)] };
}

t.setTimeout(240_000);

t.test('hostile guests end, and a canary on their thread keeps answering', async (t) => {
  // The canary has the usual deadline: what it waits is measured, not ended.
  const daemon = await startFor(t, { flags: ['--threads', '1'] });
  await daemon.deploy('canary', example('hello-rust'));
  for (const [index, fixture] of FIXTURES.entries()) {
    const { name } = fixture;
    const canary = startCanary(daemon);
    const delays = watchDelays(daemon);
    const before = performance.now();
    const { refused, codes } = await outcomeOf(daemon, `hostile-${index}`, fixture);
    const took = performance.now() - before;
    const { answers, wrong, slowestMs } = await canary.stop();
    const outcome = `${refused ? 'refused' : 'ended'}: ${codes.join(', ')}`;
    t.comment(
      `${name}: ${outcome} in ${took.toFixed(0)} ms; ` +
        `canary: ${answers} answers, slowest ${slowestMs.toFixed(0)} ms`,
    );
    t.strictSame(codes.filter((code) => !fixture.codes.includes(code)), [], `${name}: ${outcome}`);
    t.same(wrong, [], `${name}: the canary answered correctly`);
    const limitMs = (refused ? FREE_MS : (fixture.canaryMs ?? FUEL_MS)) + delays();
    t.ok(slowestMs < limitMs, `${name}: the canary waited at most ${limitMs.toFixed(0)} ms`);
  }
  t.equal((await daemon.ask('canary.localhost')).status, 200);
});
