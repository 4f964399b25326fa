/**
 * Random small programs: V8 alone, V8 on the rewritten module, and the counting interpreter must
 * agree on the result, the memory, the hostcalls and the fuel. `FUZZ_SECONDS` sets the time,
 * `FUZZ_SEED` repeats a run; both are printed.
 */
import t from 'tap';
import { CountingInterpreter, type Outcome } from './counting-interpreter.ts';
import { guest, PLENTY } from './host.ts';
import { encode } from './program-binary.ts';
import { generate, random, type Program } from './program.ts';
import { rewrite } from '../../../pool/rewrite/index.ts';

const seconds = Number(process.env['FUZZ_SECONDS'] ?? 8);
t.setTimeout((seconds + 60) * 1000);
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31);

/** What the host answers to a hostcall. */
const answer = (value: number): number => Math.imul(value, 31) ^ 5;

type Seen = Pick<Outcome, 'kind' | 'value' | 'hostcalls' | 'memory'>;

function observe(run: () => unknown, hostcalls: number[], memory: WebAssembly.Memory): Seen {
  let kind: Outcome['kind'] = 'return';
  let value = 0;
  try {
    value = run() as number;
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError) kind = 'trap';
    else if (error instanceof WebAssembly.Exception) kind = 'exception';
    else throw error;
  }
  return { kind, value, hostcalls, memory: new Uint8Array(memory.buffer) };
}

function plainly(source: Uint8Array<ArrayBuffer>, first: number, second: number): Seen {
  const hostcalls: number[] = [];
  const instance = new WebAssembly.Instance(new WebAssembly.Module(source), {
    e: {
      h: (value: number) => {
        hostcalls.push(value);
        return answer(value);
      },
    },
  });
  const run = instance.exports['run'] as (first: number, second: number) => number;
  return observe(() => run(first, second), hostcalls,
    instance.exports['mem'] as WebAssembly.Memory);
}

interface Metered extends Seen {
  cost: bigint;
  fuel: bigint;
}

function metered(
  source: Uint8Array, first: number, second: number, fuelUnits = PLENTY, larger = false,
): Metered {
  const hostcalls: number[] = [];
  const run = guest(source, {
    fuelUnits,
    ...(larger ? { memory: new WebAssembly.Memory({ initial: 2, maximum: 3 }) } : {}),
    imports: {
      e: {
        h: (_context, value) => {
          hostcalls.push(value as number);
          return answer(value as number);
        },
      },
    },
  });
  const seen = observe(() => run.call('run', first, second), hostcalls, run.memory!);
  const memory = seen.memory.subarray(0, run.pages() * 65_536);
  return { ...seen, memory, cost: fuelUnits - run.fuel(), fuel: run.fuel() };
}

function sameSeen(one: Seen, other: Seen): boolean {
  return one.kind === other.kind && one.value === other.value
    && one.hostcalls.join() === other.hostcalls.join()
    && Buffer.compare(one.memory, other.memory) === 0;
}

/** What is wrong with this program, or null. */
function judge(program: Program, first: number, second: number): string | null {
  const source = encode(program);
  if (!WebAssembly.validate(source)) return 'the generator made an invalid module';
  const counted = new CountingInterpreter(program, answer).run(first, second);
  if (counted.kind === 'endless') return null;
  const once = metered(source, first, second);
  const twice = metered(source, first, second, PLENTY, true);
  if (!sameSeen(plainly(source, first, second), once)) return 'metered differs from V8';
  if (!sameSeen(counted, once)) return 'the interpreter differs from V8';
  if (!sameSeen(once, twice)) return 'a larger memory shows';
  if (once.cost !== twice.cost) return `fuel differs between runs: ${once.cost}, ${twice.cost}`;
  if (counted.kind === 'return' && !counted.threw && once.cost !== BigInt(counted.cost)) {
    return `fuel ${once.cost}, counted ${counted.cost}`;
  }
  if (counted.kind === 'return' && once.cost < BigInt(counted.cost)) {
    return `fuel ${once.cost} is less than counted ${counted.cost}`;
  }
  if (counted.kind !== 'return') return null;
  const exact = metered(source, first, second, once.cost);
  if (exact.fuel !== 0n || !sameSeen(exact, once)) return 'exactly enough fuel is not enough';
  return metered(source, first, second, once.cost - 1n).fuel < 0n ? null
    : 'one unit less is enough';
}

t.test(`programs for ${seconds} s, FUZZ_SEED=${seed}`, async (t) => {
  const until = Date.now() + seconds * 1000;
  let count = 0;
  let bytes = 0;
  while (Date.now() < until) {
    const next = random(seed + count);
    const program = generate(next);
    const [first, second] = [Math.floor(next() * 1000) - 500, Math.floor(next() * 9)];
    const wrong = judge(program, first, second);
    if (wrong !== null) {
      t.fail(`FUZZ_SEED=${seed + count}: ${wrong}`);
      return;
    }
    count++;
    bytes += rewrite(encode(program), { memoryBytesMax: 2 ** 22 }).bytes.length;
  }
  t.comment(`${count} programs, ${bytes} rewritten bytes`);
  t.ok(count > 10, `${count} programs`);
});
