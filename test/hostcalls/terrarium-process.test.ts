/** Panics, the log, time and random numbers; and what AssemblyScript's runtime imports. */

import t from 'tap';
import { memoryIs, run, u32 } from './guest.ts';

t.test('a panic ends the guest with its message, which is logged too', async (t) => {
  const ran = await run(t, {
    steps: [['hostcall_panic_hook', 128, 6]], data: { 128: 'd\xc3\xa9j\xff!' },
  });
  t.equal(ran.failure?.code, 'guest_panic');
  t.equal(ran.failure?.message, 'déj\ufffd!');
  t.equal(ran.failure?.lastHostcall, 'hostcall_panic_hook');
  t.same(ran.logs.map(({ source, text }) => [source, text]), [['panic', 'déj\ufffd!']]);
  t.match(ran.logs[0], { versionId: 7, requestId: 'request-1', cutBytes: 0 });
  t.equal(ran.answer, null);
  t.match(ran.answerError, { code: 'guest_panic' });
});

t.test('an empty panic is one too', async (t) => {
  const ran = await run(t, { steps: [['hostcall_panic_hook', 0, 0]] });
  t.equal(ran.failure?.code, 'guest_panic');
  t.equal(ran.failure?.message, '');
});

t.test('debug lines go to the log and change nothing', async (t) => {
  const ran = await run(t, {
    steps: [['hostcall_debug', 128, 2], ['hostcall_debug', 130, 0], ['hostcall_debug', 140, 5]],
    data: { 128: 'hi', 140: 'a\nb\xffc' },
  });
  t.equal(ran.failure, null);
  t.same(ran.logs.map(({ source, text }) => [source, text]),
    [['debug', 'hi'], ['debug', ''], ['debug', 'a'], ['debug', 'b\ufffdc']]);
  t.equal(ran.usage.logBytes > 0, true);
  memoryIs(t, ran, {});
});

t.test('a length of -1 is that of a text with a NUL at its end', async (t) => {
  const ran = await run(t, {
    steps: [['hostcall_debug', 128, -1], ['hostcall_debug', 130, -1], ['hostcall_debug', 200, -1]],
    data: { 128: 'hi\0no' },
  });
  t.equal(ran.failure, null);
  t.same(ran.logs.map(({ text }) => text), ['hi', '', '?'.repeat(8_192)]);
  t.equal(ran.usage.hostcallBytes, 2 + 8_192);
  memoryIs(t, ran, {});
  const atEnd = await run(t, { steps: [['hostcall_debug', 65_533, -1]] });
  t.same(atEnd.logs.map(({ text }) => text), ['???'], 'the memory ends before the text does');
  const outside = await run(t, { steps: [['hostcall_debug', 65_536, -1]] });
  t.equal(outside.failure?.code, 'bad_hostcall');
  t.match(outside.failure?.message, /^hostcall_debug: msg: 1 bytes at 65536 are outside/);
  const other = await run(t, { steps: [['hostcall_debug', 128, -2]] });
  t.equal(other.failure?.code, 'bad_hostcall');
});

t.test('what is over the log\'s limits is cut, not an error', async (t) => {
  const ran = await run(t, {
    steps: [['hostcall_debug', 0, 60_000], ['hostcall_debug', 0, 10]], limits: { logBytes: 100 },
  });
  t.equal(ran.failure, null);
  t.equal(ran.logs[0]?.text.length, 100);
  t.equal(ran.logs[0]?.cutBytes, 59_900);
  t.equal(ran.usage.logBytes, 100);
  t.ok(ran.usage.logOverBytes > 0);
  t.match(ran.logs.at(-1), { source: 'wardian', text: /^log_bytes_exhausted: logged 100 bytes/ });
});

t.test('time: seconds as the result, nanoseconds in memory', async (t) => {
  const clock = { realtimeNanos: () => 1_700_000_001_999_999_999n, monotonicNanos: () => 1n };
  const ran = await run(t, { steps: [['hostcall_time_now', 96]], services: { clock } });
  t.equal(ran.globals['r0'], 1_700_000_001n);
  memoryIs(t, ran, { 96: u32(999_999_999) });
  const real = await run(t, { steps: [['hostcall_time_now', 96]] });
  const seconds = Number(real.globals['r0']);
  t.ok(Math.abs(seconds - Date.now() / 1_000) < 60, 'the system\'s clock');
});

t.test('random numbers have 64 bits', async (t) => {
  const random = { nextU64: () => 0xffff_ffff_ffff_fffen, fill: () => t.fail('not asked') };
  const ran = await run(t, { steps: [['hostcall_rng_next_u64']], services: { random } });
  t.equal(ran.globals['r0'], -2n, 'as an i64');
  const real = await run(t, { steps: [['hostcall_rng_next_u64'], ['hostcall_rng_next_u64']] });
  t.not(real.globals['r0'], real.globals['r1']);
});

/** An AssemblyScript string: length in bytes, then UTF-16. Its address is 4 behind `at`. */
function string(text: string): number[] {
  const units = Buffer.from(text, 'utf16le');
  return [...u32(units.length), ...units];
}

t.test('AssemblyScript: abort is a panic that says where', async (t) => {
  const ran = await run(t, {
    steps: [['abort', 132, 204, 3, 14]], data: { 128: string('löst 😀'), 200: string('a/b.ts') },
  });
  t.equal(ran.failure?.code, 'guest_panic');
  t.equal(ran.failure?.message, 'löst 😀 (a/b.ts:3:14)');
  const bare = await run(t, { steps: [['abort', 0, 0, 0, 0]] });
  t.equal(bare.failure?.message, 'abort');
});

t.test('AssemblyScript: a length outside of the memory is a bad argument', async (t) => {
  const ran = await run(t, { steps: [['abort', 132, 0, 0, 0]], data: { 128: u32(70_000) } });
  t.equal(ran.failure?.code, 'bad_hostcall');
  t.match(ran.failure?.message, /^abort: message: 70000 bytes at 132 are outside/);
});

t.test('AssemblyScript: trace, console, seed', async (t) => {
  const ran = await run(t, {
    steps: [
      ['trace', 132, 2, 1.5, 2, 3, 4, 5], ['trace', 132, 0, 0, 0, 0, 0, 0],
      ['trace', 132, 99, 1, 2, 3, 4, 5], ['console.log', 132], ['console.error', 132], ['seed'],
    ],
    data: { 128: string('at') },
  });
  t.equal(ran.failure, null);
  t.same(ran.logs.map((line) => line.text),
    ['trace: at 1.5, 2', 'trace: at', 'trace: at 1, 2, 3, 4, 5', 'at', 'at']);
  const seed = ran.globals['r5'] as number;
  t.ok(Number.isSafeInteger(seed) && seed >= 0);
});
