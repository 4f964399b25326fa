/** Guests in WAT for the tests of the pool. Each answers with its status, or fails. */

const IMPORTS = `
  (import "env" "hostcall_resp_set_response_code" (func $status (param i32 i32) (result i32)))
  (import "env" "hostcall_resp_set_body" (func $body (param i32 i32 i32) (result i32)))`;

/** A module with a memory of so many pages, `extra` definitions and the body of `run`. */
export function guest(run: string, extra = '', pages = '1 16'): string {
  return `(module ${IMPORTS}
    (memory ${pages})
    ${extra}
    (func $answer (param i32)
      (drop (call $status (i32.const 0) (local.get 0))))
    (func (export "run") ${run}))`;
}

export const answering = (status: number): string => guest(`(call $answer (i32.const ${status}))`);

/** Adds the import of `poll_oneoff` and a function `$sleep` of so many milliseconds. */
export function sleeping(milliseconds: number, status = 200, extra = ''): string {
  return `(module
    (import "wasi_snapshot_preview1" "poll_oneoff"
      (func $poll (param i32 i32 i32 i32) (result i32)))
    ${IMPORTS}
    (memory 1 16)
    ${extra}
    (func (export "run")
      (i64.store (i32.const 24) (i64.const ${milliseconds * 1_000_000}))
      (i32.store (i32.const 16) (i32.const 1))
      (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))
      (drop (call $status (i32.const 0) (i32.const ${status})))))`;
}

/** Never ends: each turn of the loop fills 1 MiB or more. Give it much fuel. */
export const filling = (bytes: number): string => guest(
  `(loop $again (memory.fill (i32.const 0) (i32.const 1) (i32.const ${bytes})) (br $again))`,
  '', '512 512');
