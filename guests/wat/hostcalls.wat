;; The hostcalls of Wardian, to be copied into guests written in the WebAssembly text format.
;;
;; Copy the imports that your guest calls to the top of its module: WebAssembly wants imports before
;; everything else. Then export `run`, which the host calls once per request, in a fresh instance:
;;
;;     (module
;;       (import "env" "hostcall_resp_set_body" (func $resp_set_body
;;         (param $response i32) (param $body i32) (param $body_len i32) (result i32)))
;;       (memory 1)
;;       (data (i32.const 0) "Hello\n")
;;       (func (export "run")
;;         (drop (call $resp_set_body (i32.const 0) (i32.const 0) (i32.const 6)))))
;;
;; Neither the memory nor the table need be exported.
;;
;; Handles: request 0 is the incoming one, response 0 the outgoing one. -1 stands for an error, and
;; as a response -2 stands for "not ready". A handle that was never given out ends the instance.
;;
;; Statuses are 0 for accepted and 1 for invalid. Booleans are 0 and 1. Lengths count bytes.
;;
;; A list of texts is an array of slices, eight bytes each, little-endian:
;;
;;      address       length        address       length
;;     | . . . . | . . . . | . . . . | . . . . |
;;
;; Parameters named $..._out are addresses of four bytes where the host stores an address or a
;; length (of a list: the number of slices). For what it returns the host allocates in the guest,
;; with the function whose table index was given to hostcall_init_mm, one block for each text or
;; body and one for each list. The blocks belong to the guest, and each text ends with a zero byte
;; that is not counted. When there is nothing to return the host stores 0 and 0 and allocates
;; nothing.

;; ---- The instance ----

;; Tells the host how to allocate: table indices of a function (param i32) (result i32), size to
;; address, and of one (param i32) that frees.
(import "env" "hostcall_init_mm" (func $init_mm (param $malloc i32) (param $free i32)))

;; Ends the instance; the message is the response.
(import "env" "hostcall_panic_hook" (func $panic_hook
  (param $message i32) (param $message_len i32)))

;; Writes one line to the deployment's log.
(import "env" "hostcall_debug" (func $debug
  (param $message i32) (param $message_len i32)))

;; ---- The incoming request ----

(import "env" "hostcall_req_get_method" (func $req_get_method
  (param $method_out i32) (param $len_out i32) (param $request i32)))

;; Path and query.
(import "env" "hostcall_req_get_path" (func $req_get_path
  (param $path_out i32) (param $len_out i32) (param $request i32)))

;; A list of the names, in lower case, each once.
(import "env" "hostcall_req_get_headers" (func $req_get_headers
  (param $names_out i32) (param $count_out i32) (param $request i32)))

;; A list of all values of one header, in order.
(import "env" "hostcall_req_get_header" (func $req_get_header
  (param $values_out i32) (param $count_out i32) (param $request i32)
  (param $name i32) (param $name_len i32)))

(import "env" "hostcall_req_get_body" (func $req_get_body
  (param $body_out i32) (param $len_out i32) (param $request i32)))

;; ---- Requests of the guest's own ----

;; A new request; -1 when the method or the URL is malformed.
(import "env" "hostcall_req_create" (func $req_create
  (param $method i32) (param $method_len i32) (param $url i32) (param $url_len i32)
  (result (;request;) i32)))

;; Replaces all values of one header by a list.
(import "env" "hostcall_req_set_header" (func $req_set_header
  (param $request i32) (param $name i32) (param $name_len i32)
  (param $values i32) (param $count i32) (result (;status;) i32)))

(import "env" "hostcall_req_set_body" (func $req_set_body
  (param $request i32) (param $body i32) (param $body_len i32) (result (;status;) i32)))

;; Sends and waits. The request is used up. -1 when there is no response.
(import "env" "hostcall_req_send" (func $req_send
  (param $request i32) (result (;response;) i32)))

;; Starts sending. The request is used up.
(import "env" "hostcall_req_send_async" (func $req_send_async
  (param $request i32) (result (;pending;) i32)))

;; -2 while not ready; otherwise the pending request is used up, and -1 means that there is no
;; response.
(import "env" "hostcall_pending_req_poll" (func $pending_req_poll
  (param $pending i32) (result (;response;) i32)))

;; Waits. The pending request is used up. -1 when there is no response.
(import "env" "hostcall_pending_req_wait" (func $pending_req_wait
  (param $pending i32) (result (;response;) i32)))

;; Waits for the first of an array of handles (four bytes each), stores it, and returns its
;; response, or -1 when that one failed. Only that one is used up.
(import "env" "hostcall_pending_req_select" (func $pending_req_select
  (param $pendings i32) (param $count i32) (param $finished_out i32) (result (;response;) i32)))

;; ---- Responses to the guest's requests ----

(import "env" "hostcall_resp_get_response_code" (func $resp_get_response_code
  (param $response i32) (result i32)))

(import "env" "hostcall_resp_get_headers" (func $resp_get_headers
  (param $names_out i32) (param $count_out i32) (param $response i32)))

(import "env" "hostcall_resp_get_header" (func $resp_get_header
  (param $values_out i32) (param $count_out i32) (param $response i32)
  (param $name i32) (param $name_len i32)))

(import "env" "hostcall_resp_get_body" (func $resp_get_body
  (param $body_out i32) (param $len_out i32) (param $response i32)))

;; ---- The outgoing response ----

;; 100 to 999; 200 unless set.
(import "env" "hostcall_resp_set_response_code" (func $resp_set_response_code
  (param $response i32) (param $code i32) (result (;status;) i32)))

;; Replaces all values of one header by a list. Several values become several header lines.
(import "env" "hostcall_resp_set_header" (func $resp_set_header
  (param $response i32) (param $name i32) (param $name_len i32)
  (param $values i32) (param $count i32) (result (;status;) i32)))

(import "env" "hostcall_resp_set_body" (func $resp_set_body
  (param $response i32) (param $body i32) (param $body_len i32) (result (;status;) i32)))

;; ---- The key-value store of this deployment ----

;; Sets the value. 1 when the key was absent.
(import "env" "hostcall_kvstore_insert" (func $kvstore_insert
  (param $key i32) (param $key_len i32) (param $value i32) (param $value_len i32) (result i32)))

;; Sets the value if the key is absent. 1 when it was.
(import "env" "hostcall_kvstore_upsert" (func $kvstore_upsert
  (param $key i32) (param $key_len i32) (param $value i32) (param $value_len i32) (result i32)))

;; Appends to the value, or sets it if the key is absent. 1 when it was.
(import "env" "hostcall_kvstore_append" (func $kvstore_append
  (param $key i32) (param $key_len i32) (param $value i32) (param $value_len i32) (result i32)))

;; 1 when the key was found; an empty value is then stored as an address that is not 0.
(import "env" "hostcall_kvstore_get" (func $kvstore_get
  (param $value_out i32) (param $len_out i32) (param $key i32) (param $key_len i32) (result i32)))

;; 1 when the key was there.
(import "env" "hostcall_kvstore_remove" (func $kvstore_remove
  (param $key i32) (param $key_len i32) (result i32)))

;; ---- Environment and secrets ----

;; An environment variable of the app. 1 when it is set; an empty value is then stored as an address
;; that is not 0.
(import "env" "hostcall_env_get" (func $env_get
  (param $value_out i32) (param $len_out i32) (param $name i32) (param $name_len i32)
  (result i32)))

;; A secret of the app. 1 when there is one.
(import "env" "hostcall_secret_get" (func $secret_get
  (param $value_out i32) (param $len_out i32) (param $name i32) (param $name_len i32)
  (result i32)))

;; ---- Key-value stores: namespaces that the app is bound to, and the deployment's own ----
;;
;; Store 0 is the deployment's own. What is negative is a refusal: -1 invalid, -2 full, -3 too large,
;; -4 not a number, -5 gone, -6 busy. Nothing has changed then.
;;
;; $revision_out is the address of eight bytes for the revision of the entry, 0 when it is not
;; wanted. $ttl is in milliseconds, 0 for ever.

;; The namespace that the app is bound to under this name, or -1.
(import "env" "hostcall_kv_open" (func $kv_open
  (param $name i32) (param $name_len i32) (result (;store;) i32)))

;; 1 when the key was found; an empty value is then stored as an address that is not 0.
(import "env" "hostcall_kv_get" (func $kv_get
  (param $value_out i32) (param $len_out i32) (param $revision_out i32)
  (param $store i32) (param $key i32) (param $key_len i32) (result i32)))

;; Sets the value. 1 when the key was absent.
(import "env" "hostcall_kv_put" (func $kv_put
  (param $revision_out i32) (param $store i32) (param $key i32) (param $key_len i32)
  (param $value i32) (param $value_len i32) (param $ttl i64) (result i32)))

;; Sets the value if the key is absent. 1 when it was.
(import "env" "hostcall_kv_insert" (func $kv_insert
  (param $revision_out i32) (param $store i32) (param $key i32) (param $key_len i32)
  (param $value i32) (param $value_len i32) (param $ttl i64) (result i32)))

;; Sets the value if the entry has this revision (0: if the key is absent). 1 when it had.
(import "env" "hostcall_kv_compare_and_set" (func $kv_compare_and_set
  (param $revision_out i32) (param $store i32) (param $key i32) (param $key_len i32)
  (param $revision i64) (param $value i32) (param $value_len i32) (param $ttl i64)
  (result i32)))

;; Removes the key if its entry has this revision. 1 when it had.
(import "env" "hostcall_kv_compare_and_delete" (func $kv_compare_and_delete
  (param $store i32) (param $key i32) (param $key_len i32) (param $revision i64) (result i32)))

;; Appends to the value, or sets it if the key is absent. 1 when it was.
(import "env" "hostcall_kv_append" (func $kv_append
  (param $revision_out i32) (param $store i32) (param $key i32) (param $key_len i32)
  (param $value i32) (param $value_len i32) (param $ttl i64) (result i32)))

;; Adds to a whole number in decimal text; $sum_out is the address of eight bytes, or 0. 1 when the
;; key was absent.
(import "env" "hostcall_kv_increment" (func $kv_increment
  (param $sum_out i32) (param $store i32) (param $key i32) (param $key_len i32)
  (param $delta i64) (result i32)))

;; 1 when the key was there.
(import "env" "hostcall_kv_delete" (func $kv_delete
  (param $store i32) (param $key i32) (param $key_len i32) (result i32)))

;; A list of up to $limit keys (0: 1,000) that begin with the prefix, after the cursor: the last key
;; of the page before, or empty. 1 when there are more.
(import "env" "hostcall_kv_list" (func $kv_list
  (param $keys_out i32) (param $count_out i32) (param $store i32)
  (param $prefix i32) (param $prefix_len i32) (param $cursor i32) (param $cursor_len i32)
  (param $limit i32) (result i32)))

;; ---- Bodies piece by piece ----
;;
;; Leave the two imports that name the request's body out unless your guest uses them: a guest that
;; has one of them gets a large body in no other way.

;; Sends and waits for the head of the response alone. The request is used up. -1 when there is no
;; response.
(import "env" "hostcall_req_send_head" (func $req_send_head
  (param $request i32) (result (;response;) i32)))

;; Waits for at least one byte of the body of such a response. How many were stored, 0 at the end,
;; -1 when it broke off or was passed on.
(import "env" "hostcall_resp_body_read" (func $resp_body_read
  (param $response i32) (param $buffer i32) (param $buffer_len i32) (result i32)))

;; The same for request 0.
(import "env" "hostcall_req_body_read" (func $req_body_read
  (param $request i32) (param $buffer i32) (param $buffer_len i32) (result i32)))

;; Makes what is left of the body of such a response the body of response 0.
(import "env" "hostcall_resp_set_body_from" (func $resp_set_body_from
  (param $response i32) (param $received i32) (result (;status;) i32)))

;; Makes what is left of the body of request 0 the body of a request of the guest's own.
(import "env" "hostcall_req_set_body_from" (func $req_set_body_from
  (param $request i32) (param $incoming i32) (result (;status;) i32)))

;; ---- Randomness, time, names ----

;; Fit for cryptography.
(import "env" "hostcall_rng_next_u64" (func $rng_next_u64 (result i64)))

;; Seconds since the beginning of 1970; the nanoseconds beyond them are stored as four bytes.
(import "env" "hostcall_time_now" (func $time_now (param $nanoseconds_out i32) (result i64)))

;; A list of addresses, 4 bytes each, or 16 when $ipv6 is 1. 0 when there are none.
(import "env" "hostcall_dns_query_ip" (func $dns_query_ip
  (param $addresses_out i32) (param $count_out i32) (param $name i32) (param $name_len i32)
  (param $ipv6 i32) (result i32)))

;; Query and answer in DNS wire format. 0 when there is no answer.
(import "env" "hostcall_dns_query_raw" (func $dns_query_raw
  (param $answer_out i32) (param $len_out i32) (param $query i32) (param $query_len i32)
  (result i32)))
