;; The smallest guest in the text format: every request gets the same answer.
;; The two imports are copied from guests/wat/hostcalls.wat.
(module
  (import "env" "hostcall_resp_set_header"
    (func $resp_set_header (param $response i32) (param $name i32) (param $name_len i32)
      (param $values i32) (param $count i32) (result i32)))
  (import "env" "hostcall_resp_set_body"
    (func $resp_set_body (param $response i32) (param $body i32) (param $body_len i32)
      (result i32)))

  (memory 1)
  (data (i32.const 0) "content-type")
  (data (i32.const 16) "text/plain; charset=utf-8")
  ;; An array of one slice: address 16, 25 bytes.
  (data (i32.const 48) "\10\00\00\00\19\00\00\00")
  (data (i32.const 64) "Hello from WebAssembly text\n")

  ;; Response 0 is the answer. Its status is 200 unless set.
  (func (export "run")
    (drop (call $resp_set_header
      (i32.const 0) (i32.const 0) (i32.const 12) (i32.const 48) (i32.const 1)))
    (drop (call $resp_set_body
      (i32.const 0) (i32.const 64) (i32.const 28)))))
