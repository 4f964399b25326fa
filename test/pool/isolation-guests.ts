/**
 * The two guests of the isolation test: a victim that holds one handle of each kind and waits, and
 * an attacker that makes one hostcall and then answers with all of its memory.
 */

import type { Hostcall } from '../../hostcalls/define.ts';
import { TERRARIUM_MODULE } from '../../hostcalls/terrarium/index.ts';
import { assemble } from './world.ts';

/** Where the attacker's strings are; `text` is what it would leave behind. */
export const AT = {
  key: 1_024, binding: 1_040, variable: 1_056, secret: 1_072, text: 1_088, header: 1_104,
  method: 1_120, slice: 1_136, handles: 1_152, path: 1_168, host: 1_184, wide: 1_204,
  subscription: 1_232, url: 1_296, query: 1_424,
} as const;

/** A little-endian i32 in a WAT string. */
const i32 = (value: number): string =>
  [...new Uint8Array(Int32Array.of(value).buffer)]
    .map((byte) => `\\${byte.toString(16).padStart(2, '0')}`).join('');

const wide = (text: string): string => [...text].map((char) => `${char}\\00`).join('');

/** A question for the address of `localhost`. */
const QUERY = `\\00\\01\\01\\00\\00\\01\\00\\00\\00\\00\\00\\00\\09localhost\\00\\00\\01\\00\\01`;

const ALLOCATOR = `
  (global $heap (mut i32) (i32.const 8192))
  (table 3 funcref) (elem (i32.const 1) $malloc $free)
  (func $malloc (param i32) (result i32)
    (global.get $heap)
    (global.set $heap (i32.add (global.get $heap)
      (i32.and (i32.add (local.get 0) (i32.const 15)) (i32.const -16)))))
  (func $free (param i32))`;

/** `forged` is the number in the request's body; a number or a bigint stands for itself. */
export type Argument = number | bigint | 'forged';

function value(argument: Argument, type: string): string {
  if (argument === 'forged') return '(global.get $forged)';
  return `(${type}.const ${argument})`;
}

/** The answer is the guest's memory: what the host stored, and the result at 16. */
export function attack(
  module: string, called: Hostcall, args: readonly Argument[], url: string,
): Uint8Array {
  const types = called.parameters.map(({ type }) => type).join(' ');
  const values = args.map((one, n) => value(one, called.parameters[n]?.type ?? 'i32')).join(' ');
  const result = called.result === null ? '' : `(result ${called.result})`;
  const call = `(call $tried ${values})`;
  const kept = called.result === null ? call
    : `(${called.result}.store (i32.const 16) ${call})`;
  return assemble(`(module
    (import "${module}" "${called.name}" (func $tried (param ${types}) ${result}))
    (import "${TERRARIUM_MODULE}" "hostcall_init_mm" (func $init (param i32 i32)))
    (import "${TERRARIUM_MODULE}" "hostcall_req_get_body" (func $sent (param i32 i32 i32)))
    (import "${TERRARIUM_MODULE}" "hostcall_resp_set_body"
      (func $answer (param i32 i32 i32) (result i32)))
    (memory 1) (global $forged (mut i32) (i32.const 0)) ${ALLOCATOR}
    (data (i32.const ${AT.key}) "greeting") (data (i32.const ${AT.binding}) "BOX")
    (data (i32.const ${AT.variable}) "COLOR") (data (i32.const ${AT.secret}) "PASSWORD")
    (data (i32.const ${AT.text}) "stolen\\n") (data (i32.const ${AT.header}) "x-secret")
    (data (i32.const ${AT.method}) "GET") (data (i32.const ${AT.slice}) "${i32(AT.text)}${i32(7)}")
    (data (i32.const ${AT.path}) "../wardian.db") (data (i32.const ${AT.host}) "localhost")
    (data (i32.const ${AT.wide - 4}) "${i32(12)}${wide('stolen')}")
    (data (i32.const ${AT.url}) "${url}") (data (i32.const ${AT.query}) "${QUERY}")
    (func (export "run")
      (call $init (i32.const 1) (i32.const 2))
      (call $sent (i32.const 0) (i32.const 4) (i32.const 0))
      (global.set $forged (i32.load (i32.load (i32.const 0))))
      (i32.store (i32.const ${AT.handles}) (global.get $forged))
      (i64.store (i32.const 0) (i64.const 0))
      ${kept}
      (drop (call $answer (i32.const 0) (i32.const 0) (i32.const 65536)))))`);
}

/**
 * Its handles: 1 a namespace, 2 and 3 requests (2 stays), 4 a request under way, 5 a request, 6 its
 * response. Then it waits for what `later` answers, and answers itself with all of its memory.
 */
export function victim(at: string, later: string): Uint8Array {
  return assemble(`(module
    (import "env" "hostcall_init_mm" (func $init (param i32 i32)))
    (import "env" "hostcall_kv_open" (func $open (param i32 i32) (result i32)))
    (import "env" "hostcall_kv_get" (func $get (param i32 i32 i32 i32 i32 i32) (result i32)))
    (import "env" "hostcall_req_create" (func $create (param i32 i32 i32 i32) (result i32)))
    (import "env" "hostcall_req_send" (func $send (param i32) (result i32)))
    (import "env" "hostcall_req_send_async" (func $start (param i32) (result i32)))
    (import "env" "hostcall_pending_req_wait" (func $wait (param i32) (result i32)))
    (import "env" "hostcall_req_get_path" (func $path (param i32 i32 i32)))
    (import "env" "hostcall_req_get_body" (func $sent (param i32 i32 i32)))
    (import "env" "hostcall_resp_get_body" (func $received (param i32 i32 i32)))
    (import "env" "hostcall_resp_set_response_code" (func $status (param i32 i32) (result i32)))
    (import "env" "hostcall_resp_set_body" (func $answer (param i32 i32 i32) (result i32)))
    (memory 1) ${ALLOCATOR}
    (data (i32.const 1024) "BOX") (data (i32.const 1032) "GET")
    (data (i32.const 1040) "${at}") (data (i32.const 1168) "${later}")
    (data (i32.const 1296) "greeting")
    (func $must (param i32 i32)
      (if (i32.ne (local.get 0) (local.get 1)) (then unreachable)))
    (func $ask (param i32 i32) (result i32)
      (call $create (i32.const 1032) (i32.const 3) (local.get 0) (local.get 1)))
    (func $here (result i32) (call $ask (i32.const 1040) (i32.const ${at.length})))
    (func (export "run")
      (call $init (i32.const 1) (i32.const 2))
      (call $must (call $open (i32.const 1024) (i32.const 3)) (i32.const 1))
      (call $must (call $here) (i32.const 2))
      (call $must (call $ask (i32.const 1168) (i32.const ${later.length})) (i32.const 3))
      (call $must (call $start (i32.const 3)) (i32.const 4))
      (call $must (call $here) (i32.const 5))
      (call $must (call $send (i32.const 5)) (i32.const 6))
      (drop (call $status (i32.const 0) (i32.const 201)))
      (call $must (call $wait (i32.const 4)) (i32.const 7))
      (call $received (i32.const 0) (i32.const 4) (i32.const 6))
      (call $received (i32.const 0) (i32.const 4) (i32.const 7))
      (call $path (i32.const 0) (i32.const 4) (i32.const 0))
      (call $sent (i32.const 0) (i32.const 4) (i32.const 0))
      (call $must (call $get (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 1)
        (i32.const 1296) (i32.const 8)) (i32.const 1))
      (drop (call $answer (i32.const 0) (i32.const 0) (i32.const 65536)))))`);
}
