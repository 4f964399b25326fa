/**
 * An address or length outside of the guest's memory ends the guest, with an error that names the
 * hostcall and the argument: for every pointer that a hostcall takes, and for the size that the
 * guest sees, not the one that the memory has.
 */

import t from 'tap';
import { HEAP, PAGE, memoryIs, run, u32, type Step } from './guest.ts';

/** Each hostcall with valid arguments (some of handle 1, made first), and which are pointers. */
interface Row {
  readonly step: Step;
  /** Position of the pointer (from 1), how many bytes it is of, the name in the message. */
  readonly pointers: readonly (readonly [position: number, bytes: number, argument: string])[];
}

const OUTS = [[1, 4, 'ptr_out'], [2, 4, 'len_out']] as const;
const GET: readonly string[] = ['get_method', 'get_path', 'get_headers', 'get_body'];

const ROWS: readonly Row[] = [
  ...GET.map((name): Row => ({ step: [`hostcall_req_${name}`, 0, 4, 0], pointers: OUTS })),
  ...GET.slice(2).map((name): Row => (
    { step: [`hostcall_resp_${name}`, 0, 4, 0], pointers: OUTS })),
  { step: ['hostcall_req_get_header', 0, 4, 0, 8, 4], pointers: [...OUTS, [4, 4, 'name']] },
  { step: ['hostcall_resp_get_header', 0, 4, 0, 8, 4], pointers: [...OUTS, [4, 4, 'name']] },
  { step: ['hostcall_panic_hook', 0, 4], pointers: [[1, 4, 'msg']] },
  { step: ['hostcall_debug', 0, 4], pointers: [[1, 4, 'msg']] },
  { step: ['hostcall_time_now', 0], pointers: [[1, 4, 'nanos_out']] },
  { step: ['hostcall_req_create', 0, 3, 16, 9], pointers: [[1, 3, 'method'], [3, 9, 'url']] },
  ...['req', 'resp'].map((kind, handle): Row => ({
    step: [`hostcall_${kind}_set_header`, 1 - handle, 0, 1, 16, 2],
    pointers: [[2, 1, 'name'], [4, 16, 'slices']],
  })),
  { step: ['hostcall_req_set_body', 1, 0, 9], pointers: [[2, 9, 'ptr']] },
  { step: ['hostcall_resp_set_body', 0, 0, 9], pointers: [[2, 9, 'ptr']] },
  { step: ['hostcall_pending_req_select', 0, 2, 16], pointers: [[1, 8, 'ps'], [3, 4, 'p_out']] },
  { step: ['hostcall_req_body_read', 0, 0, 9], pointers: [[2, 9, 'ptr']] },
  { step: ['hostcall_resp_body_read', 1, 0, 9], pointers: [[2, 9, 'ptr']] },
  ...['insert', 'upsert', 'append'].map((name): Row => (
    { step: [`hostcall_kvstore_${name}`, 0, 2, 8, 3], pointers: [[1, 2, 'k'], [3, 3, 'v']] })),
  { step: ['hostcall_kvstore_get', 0, 4, 8, 3], pointers: [...OUTS, [3, 3, 'k']] },
  { step: ['hostcall_kvstore_remove', 0, 2], pointers: [[1, 2, 'k']] },
  { step: ['hostcall_dns_query_ip', 0, 4, 8, 3, 0], pointers: [...OUTS, [3, 3, 'name']] },
  { step: ['hostcall_dns_query_raw', 0, 4, 8, 3], pointers: [...OUTS, [3, 3, 'query']] },
  { step: ['wasi:args_get', 0, 64], pointers: [[1, 4, 'pointers'], [2, 6, 'buffer']] },
  { step: ['wasi:args_sizes_get', 0, 4], pointers: [[1, 4, 'count_out'], [2, 4, 'size_out']] },
  { step: ['wasi:clock_time_get', 0, 0, 8], pointers: [[3, 8, 'time_out']] },
  { step: ['wasi:clock_res_get', 0, 8], pointers: [[2, 8, 'resolution_out']] },
  { step: ['wasi:random_get', 0, 8], pointers: [[1, 8, 'buffer']] },
  { step: ['wasi:fd_write', 1, 0, 2, 32], pointers: [[2, 16, 'iovs'], [4, 4, 'written_out']] },
  { step: ['wasi:fd_read', 0, 0, 2, 32], pointers: [[2, 16, 'iovs'], [4, 4, 'read_out']] },
  { step: ['wasi:fd_fdstat_get', 1, 0], pointers: [[2, 24, 'stat_out']] },
  { step: ['wasi:fd_filestat_get', 1, 0], pointers: [[2, 64, 'stat_out']] },
  {
    step: ['wasi:poll_oneoff', 0, 128, 2, 256],
    pointers: [[1, 96, 'subscriptions'], [2, 64, 'events_out'], [4, 4, 'count_out']],
  },
];

for (const { step, pointers } of ROWS) {
  const name = step[0].replace('wasi:', '');
  t.test(name, async (t) => {
    for (const [position, bytes, argument] of pointers) {
      for (const pointer of [PAGE - bytes + 1, PAGE, -1, -2_147_483_648]) {
        const bad = step.map((value, at) => at === position ? pointer : value) as unknown as Step;
        const ran = await run(t, { steps: [bad], hiddenPages: 1 });
        t.equal(ran.failure?.code, 'bad_hostcall');
        t.equal(ran.failure?.message, `${name}: ${argument}: ${bytes} bytes at `
          + `${pointer >>> 0} are outside of the guest's memory of ${PAGE} bytes`);
        t.equal(ran.globals['done'], 0);
        t.equal(ran.internalErrors.length, 0);
      }
    }
  });
}

t.test('a length that wraps is outside, however small the sum', async (t) => {
  for (const step of [
    ['hostcall_resp_set_body', 0, 16, -8], ['hostcall_debug', 65_528, -65_520],
    ['hostcall_resp_set_header', 0, 0, 1, 0, 536_870_913], ['wasi:random_get', -4, 8],
    ['hostcall_pending_req_select', 0, 1_073_741_825, 16],
    ['hostcall_req_body_read', 0, 16, -8],
  ] as const) {
    const ran = await run(t, { steps: [step] });
    t.equal(ran.failure?.code, 'bad_hostcall', step.join(' '));
    memoryIs(t, ran, {});
  }
});

t.test('slices outside of the memory are named by their number', async (t) => {
  const ran = await run(t, {
    steps: [['hostcall_resp_set_header', 0, 8, 1, 16, 2]],
    data: { 8: 'a', 16: u32(8, 1, PAGE - 1, 2) },
  });
  t.equal(ran.failure?.message, `hostcall_resp_set_header: slices[1]: 2 bytes at ${PAGE - 1} are `
    + `outside of the guest's memory of ${PAGE} bytes`);
});

t.test('the last bytes of the memory may be used, and an empty range at its end', async (t) => {
  const ran = await run(t, {
    steps: [
      ['hostcall_resp_set_body', 0, PAGE - 1, 1], ['hostcall_resp_set_body', 0, PAGE, 0],
      ['hostcall_req_get_method', PAGE - 8, PAGE - 4, 0],
    ],
  });
  t.equal(ran.failure, null);
  memoryIs(t, ran, { [PAGE - 8]: u32(HEAP, 3), [HEAP]: 'GET\0' });
});

t.test('memory that the guest grew may be used', async (t) => {
  for (const hiddenPages of [0, 2]) {
    const ran = await run(t, {
      hiddenPages,
      text: `(module
        (import "env" "hostcall_resp_set_body" (func $set (param i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (memory 1)
        (func (export "run")
          (drop (call $random (i32.const 0) (i32.const 1)))
          (drop (memory.grow (i32.const 1)))
          (i32.store8 (i32.const ${2 * PAGE - 1}) (i32.const 33))
          (drop (call $set (i32.const 0) (i32.const ${2 * PAGE - 1}) (i32.const 1)))
          (drop (call $random (i32.const ${PAGE}) (i32.const 4)))
          (drop (call $set (i32.const 0) (i32.const ${2 * PAGE - 1}) (i32.const 2)))))`,
    });
    t.match(ran.failure?.message, /2 bytes at 131071 are outside of the guest's memory of 131072/);
  }
});
