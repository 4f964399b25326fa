/** Guests in the text format for the load: some work, and one for each way to fail. */

const STATUS = '(import "env" "hostcall_resp_set_response_code" ' +
  '(func $status (param i32 i32) (result i32)))';
const BODY = '(import "env" "hostcall_resp_set_body" ' +
  '(func $body (param i32 i32 i32) (result i32)))';
const DEBUG = '(import "env" "hostcall_debug" (func $debug (param i32 i32)))';

/** Answers with a status. */
export const answering = (status: number): string => `(module ${STATUS} (memory 1)
  (func (export "run") (drop (call $status (i32.const 0) (i32.const ${status})))))`;

/** Calculates for so many turns of a loop, about four units of fuel each. */
export const working = (turns: number): string => `(module ${BODY} (memory 1)
  (func (export "run") (local $left i32) (local.set $left (i32.const ${turns}))
    (loop $on (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br_if $on (local.get $left)))
    (drop (call $body (i32.const 0) (i32.const 0) (i32.const 1000)))))`;

/** Fetches a URL again and again, at most so many times. */
export const fetching = (url: string, times: number): string => `(module
  (import "env" "hostcall_req_create" (func $new (param i32 i32 i32 i32) (result i32)))
  (import "env" "hostcall_req_send" (func $send (param i32) (result i32)))
  (memory 1) (data (i32.const 0) "GET${url}")
  (func (export "run") (local $left i32) (local.set $left (i32.const ${times}))
    (loop $on
      (drop (call $send (call $new (i32.const 0) (i32.const 3) (i32.const 3)
        (i32.const ${url.length}))))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br_if $on (local.get $left)))))`;

/** Asks for the addresses of a name. */
export const resolving = (name: string): string => `(module
  (import "env" "hostcall_dns_query_ip"
    (func $query (param i32 i32 i32 i32 i32) (result i32)))
  (memory 1) (data (i32.const 16) "${name}")
  (func (export "run") (drop (call $query (i32.const 0) (i32.const 4) (i32.const 16)
    (i32.const ${name.length}) (i32.const 0)))))`;

/** Logs so many lines. */
export const chatting = (lines: number): string => `(module ${DEBUG}
  (memory 1) (data (i32.const 0) "a guest that talks")
  (func (export "run") (local $left i32) (local.set $left (i32.const ${lines}))
    (loop $on (call $debug (i32.const 0) (i32.const 18))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br_if $on (local.get $left)))))`;

/** Writes a large value to the store. */
export const hoarding = (bytes: number): string => `(module
  (import "env" "hostcall_kvstore_insert" (func $insert (param i32 i32 i32 i32) (result i32)))
  (memory 16)
  (func (export "run") (drop (call $insert (i32.const 0) (i32.const 8) (i32.const 8)
    (i32.const ${bytes})))))`;

/** Never ends, and no hostcall ever lets the thread go. */
export const STUCK = `(module (memory 32) (func (export "run") (loop $on
  (memory.fill (i32.const 0) (i32.const 1) (i32.const 0x200000)) (br $on))))`;

/** Guests that fail by themselves, by the error code of the failure. */
export const FAILING: Readonly<Record<string, string>> = {
  guest_panic: `(module (import "env" "hostcall_panic_hook" (func $panic (param i32 i32)))
    (memory 1) (data (i32.const 8) "all is lost")
    (func (export "run") (call $panic (i32.const 8) (i32.const 11))))`,
  guest_trap: '(module (func $broken unreachable) (func (export "run") (call $broken)))',
  guest_exit: `(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory 1) (func (export "run") (call $exit (i32.const 3))))`,
  guest_exception: '(module (tag $ball) (func (export "run") (throw $ball)))',
  stack_overflow:
    '(module (func $again (call $again)) (func (export "run") (call $again)))',
  bad_hostcall: `(module ${DEBUG} (memory 1)
    (func (export "run") (call $debug (i32.const 65530) (i32.const 100))))`,
  bad_response: answering(100),
  missing_allocator: `(module
    (import "env" "hostcall_req_get_method" (func $method (param i32 i32 i32)))
    (memory 1) (func (export "run") (call $method (i32.const 0) (i32.const 4) (i32.const 0))))`,
  out_of_fuel: '(module (func (export "run") (loop $on (br $on))))',
  out_of_memory: `(module (memory 1) (func (export "run")
    (loop $more (br_if $more (i32.ne (memory.grow (i32.const 8)) (i32.const -1)))) unreachable))`,
  hostcalls_exhausted: `(module (import "env" "hostcall_rng_next_u64" (func $draw (result i64)))
    (func (export "run") (loop $on (drop (call $draw)) (br $on))))`,
  hostcall_bytes_exhausted: `(module ${DEBUG} (memory 1)
    (func (export "run") (loop $on (call $debug (i32.const 0) (i32.const 8000)) (br $on))))`,
  response_too_large: `(module ${BODY} (memory 2)
    (func (export "run") (drop (call $body (i32.const 0) (i32.const 0) (i32.const 100001)))))`,
};
