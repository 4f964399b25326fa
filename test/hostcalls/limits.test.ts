/** What a guest may use of hostcalls: their number, the bytes they copy, the fuel those cost. */

import t from 'tap';
import { HANDLES_MAX, MESSAGE_BYTES_MAX } from '../../contract/limits.ts';
import { DEBT_MAX } from '../../hostcalls/meter.ts';
import { run, type Step } from './guest.ts';

t.test('hostcalls up to the limit succeed, the next one ends the guest', async (t) => {
  const step: Step = ['hostcall_resp_get_response_code', 0];
  const within = await run(t, { steps: [step, step], initMm: false, limits: { hostcalls: 2 } });
  t.equal(within.failure, null);
  t.equal(within.usage.hostcalls, 2);
  const over = await run(t, { steps: [step, step], limits: { hostcalls: 2 } });
  t.equal(over.failure?.code, 'hostcalls_exhausted');
  t.match(over.failure?.message, /used 2 of 2 hostcalls per request and wanted one more/);
  t.equal(over.usage.hostcalls, 2);
});

t.test('bytes up to the limit are copied, one more is not', async (t) => {
  const steps = [60, 40].map((bytes): Step => ['hostcall_resp_set_body', 0, 0, bytes]);
  const within = await run(t, { steps, limits: { hostcallBytes: 100 } });
  t.equal(within.failure, null);
  t.equal(within.usage.hostcallBytes, 100);
  const over = await run(t, { steps, limits: { hostcallBytes: 99 } });
  t.equal(over.failure?.code, 'hostcall_bytes_exhausted');
  t.match(over.failure?.message, /40 bytes after 60 are over the limit of 99 bytes/);
  t.equal(over.usage.hostcallBytes, 60);
});

/** Fuel that `steps` use when there is plenty. */
async function fuelOf(t: Parameters<typeof run>[0], steps: readonly Step[]): Promise<number> {
  const ran = await run(t, { steps });
  t.equal(ran.failure, null);
  return ran.usage.fuel;
}

t.test('copies cost fuel: an eighth per byte for bulk, one for text, rounded up', async (t) => {
  const base = await fuelOf(t, [['hostcall_resp_set_body', 0, 0, 0]]);
  t.equal(await fuelOf(t, [['hostcall_resp_set_body', 0, 0, 1]]), base + 1);
  t.equal(await fuelOf(t, [['hostcall_resp_set_body', 0, 0, 8]]), base + 1);
  t.equal(await fuelOf(t, [['hostcall_resp_set_body', 0, 0, 60_001]]), base + 7_501);
  const debug = await fuelOf(t, [['hostcall_debug', 0, 0]]);
  t.equal(await fuelOf(t, [['hostcall_debug', 0, 5_000]]), debug + 5_000);
});

t.test('buffers of a vectored call are paid for, empty ones too', async (t) => {
  const data = { 16_384: new Uint8Array(8_192) };
  for (const [name, fd] of [['wasi:fd_write', 1], ['wasi:fd_read', 0]] as const) {
    const used: number[] = [];
    for (const buffers of [0, 1, 1_024]) {
      const ran = await run(t, { steps: [[name, fd, 16_384, buffers, 8]], data });
      t.equal(ran.failure, null);
      t.equal(ran.usage.hostcallBytes, 8 * buffers);
      used.push(ran.usage.fuel);
    }
    t.same(used.map((fuel) => fuel - used[0]!), [0, 8, 8_192], name);
  }
});

t.test('fuel is exact: work succeeds with what it uses and fails with one less', async (t) => {
  for (const bytes of [8, 8 * DEBT_MAX - 8, 8 * DEBT_MAX, 60_000]) {
    const steps: Step[] = [['hostcall_resp_set_body', 0, 0, bytes]];
    const fuel = await fuelOf(t, steps);
    const enough = await run(t, { steps, limits: { fuel } });
    t.equal(enough.failure, null);
    t.equal(enough.answerError, null);
    t.equal(enough.usage.fuel, fuel);
    const short = await run(t, { steps, limits: { fuel: fuel - 1 } });
    const code = short.failure?.code ?? (short.answerError as { code?: string } | null)?.code;
    const trapped = short.thrown instanceof WebAssembly.RuntimeError;
    t.ok(code === 'out_of_fuel' || trapped, `${bytes} bytes`);
    t.equal(short.usage.fuel, fuel - 1);
  }
});

t.test('a guest that exits pays first', async (t) => {
  const steps: Step[] = [['hostcall_debug', 0, 1_000], ['wasi:proc_exit', 0]];
  const { usage } = await run(t, { steps });
  const enough = await run(t, { steps, limits: { fuel: usage.fuel } });
  t.equal(enough.exited, true);
  t.equal(enough.usage.fuel, usage.fuel);
  const short = await run(t, { steps, limits: { fuel: usage.fuel - 1 } });
  t.equal(short.exited, false);
  t.equal(short.failure?.code, 'out_of_fuel');
});

t.test('a copy that is more than the fuel left is not made', async (t) => {
  const ran = await run(t, {
    steps: [['hostcall_resp_set_body', 0, 0, 60_000]], limits: { fuel: 5_000 },
  });
  t.equal(ran.failure?.code, 'out_of_fuel');
  t.match(ran.failure?.message,
    /used \d+ of 5000 units of fuel per request, and what hostcalls copied costs \d+ more/);
  t.equal(ran.usage.hostcallBytes, 0);
  t.equal(ran.usage.fuel, 5_000);
});

t.test('small debts add up until they are paid', async (t) => {
  const steps: Step[] = Array.from({ length: 200 }, () => ['hostcall_debug', 0, 100]);
  const base = await fuelOf(t, steps.map((): Step => ['hostcall_debug', 0, 0]));
  t.equal(await fuelOf(t, steps), base + 20_000);
});

t.test('key-value operations have a limit', async (t) => {
  const get: Step = ['hostcall_kvstore_get', 64, 68, 128, 1];
  const ran = await run(t, { steps: [get, get], limits: { kvOperations: 1 } });
  t.equal(ran.failure?.code, 'hostcalls_exhausted');
  t.match(ran.failure?.message, /hostcall_kvstore_get: over the limit of 1 key-value operations/);
  t.equal(ran.usage.kvOperations, 1);
});

t.test('handles run out: -1, and the guest goes on', async (t) => {
  const ran = await run(t, {
    text: `(module
      (import "env" "hostcall_req_create" (func $create (param i32 i32 i32 i32) (result i32)))
      (memory 1) (data (i32.const 128) "GEThttp://h/")
      (global $made (export "made") (mut i32) (i32.const 0))
      (func (export "run")
        (loop $again
          (if (i32.eq (call $create (i32.const 128) (i32.const 3) (i32.const 131) (i32.const 9))
                      (i32.const -1)) (then (return)))
          (global.set $made (i32.add (global.get $made) (i32.const 1)))
          (br $again))))`,
  });
  t.equal(ran.failure, null);
  t.equal(ran.globals['made'], HANDLES_MAX);
});

t.test('a panic message is cut at its limit', async (t) => {
  const ran = await run(t, { steps: [['hostcall_panic_hook', 0, MESSAGE_BYTES_MAX + 100]] });
  t.equal(ran.failure?.message, '?'.repeat(MESSAGE_BYTES_MAX));
});
