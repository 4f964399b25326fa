/** Clock and random numbers. */

import t from 'tap';
import { createClock } from '../../../hostcalls/services/clock.ts';
import { createRandom } from '../../../hostcalls/services/random.ts';

t.test('real time agrees with the system, with nanoseconds', async (t) => {
  const clock = createClock();
  const fractions = new Set<bigint>();
  for (let turn = 0; turn < 1_000; turn += 1) {
    const before = BigInt(Date.now()) * 1_000_000n;
    const now = clock.realtimeNanos();
    const after = BigInt(Date.now()) * 1_000_000n;
    if (now < before || now > after + 3_000_000n)
      t.fail(`${now} is not within ${before}, ${after}`);
    fractions.add(now % 1_000_000n);
  }
  t.ok(fractions.size > 10, 'finer than a millisecond');
});

t.test('real time follows the system clock when it is set', async (t) => {
  const clock = createClock();
  clock.realtimeNanos();
  const { now } = Date;
  t.teardown(() => {
    Date.now = now;
  });
  for (const offset of [3_600_000, -3_600_000]) {
    Date.now = () => now() + offset;
    const expected = BigInt(Date.now()) * 1_000_000n;
    const difference = clock.realtimeNanos() - expected;
    t.ok(difference >= 0n && difference < 1_000_000_000n, `off by ${difference} ns`);
  }
});

t.test('the monotonic clock starts near zero and never goes back', async (t) => {
  const clock = createClock();
  let last = clock.monotonicNanos();
  t.ok(last >= 0n && last < 60_000_000_000n);
  for (let turn = 0; turn < 1_000; turn += 1) {
    const now = clock.monotonicNanos();
    if (now < last) t.fail(`${now} after ${last}`);
    last = now;
  }
});

t.test('numbers cover all 64 bits and do not repeat', async (t) => {
  const random = createRandom();
  const seen = new Set<bigint>();
  let union = 0n;
  for (let turn = 0; turn < 5_000; turn += 1) {
    const value = random.nextU64();
    if (value < 0n || value >= 1n << 64n) t.fail(`${value} is out of range`);
    seen.add(value);
    union |= value;
  }
  t.equal(seen.size, 5_000);
  t.equal(union, (1n << 64n) - 1n);
});

t.test('buffers of every size are filled, and only they', async (t) => {
  const random = createRandom();
  for (const length of [0, 1, 7, 8, 1_000, 1_024, 1_025, 100_000]) {
    const memory = new Uint8Array(length + 64);
    random.fill(memory.subarray(32, 32 + length));
    t.ok(memory.subarray(0, 32).every((byte) => byte === 0));
    t.ok(memory.subarray(32 + length).every((byte) => byte === 0));
    const distinct = new Set(memory.subarray(32, 32 + length)).size;
    t.ok(distinct > Math.min(length, 256) / 3 - 1, `${distinct} different bytes of ${length}`);
  }
});

t.test('what one guest was given is not in what the next gets', async (t) => {
  const { fill, nextU64 } = createRandom();
  const words = new Set<string>();
  for (let turn = 0; turn < 4_000; turn += 1) {
    const bytes = new Uint8Array(16);
    if (turn % 3 === 0) nextU64();
    fill(bytes);
    words.add(Buffer.from(bytes).toString('hex'));
  }
  t.equal(words.size, 4_000);
});
