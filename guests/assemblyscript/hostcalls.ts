/**
 * The hostcalls as the host declares them. Everything else in this package is built on these.
 *
 * Addresses and lengths are numbers; a length counts bytes, a count counts elements. Where the host
 * stores through out-pointers, it allocates with the function given to `hostcall_init_mm`.
 */

// @ts-ignore: decorator
@external("env", "hostcall_init_mm")
export declare function hostcall_init_mm(malloc: u32, free: u32): void;

// @ts-ignore: decorator
@external("env", "hostcall_panic_hook")
export declare function hostcall_panic_hook(message: usize, length: usize): void;

// @ts-ignore: decorator
@external("env", "hostcall_debug")
export declare function hostcall_debug(message: usize, length: usize): void;

// @ts-ignore: decorator
@external("env", "hostcall_req_get_method")
export declare function hostcall_req_get_method(textOut: usize, lengthOut: usize, request: i32): void;

// @ts-ignore: decorator
@external("env", "hostcall_req_get_path")
export declare function hostcall_req_get_path(textOut: usize, lengthOut: usize, request: i32): void;

// @ts-ignore: decorator
@external("env", "hostcall_req_get_headers")
export declare function hostcall_req_get_headers(namesOut: usize, countOut: usize, request: i32): void;

// @ts-ignore: decorator
@external("env", "hostcall_req_get_header")
export declare function hostcall_req_get_header(
  valuesOut: usize, countOut: usize, request: i32, name: usize, nameLength: usize,
): void;

// @ts-ignore: decorator
@external("env", "hostcall_req_get_body")
export declare function hostcall_req_get_body(bodyOut: usize, lengthOut: usize, request: i32): void;

// @ts-ignore: decorator
@external("env", "hostcall_req_create")
export declare function hostcall_req_create(
  method: usize, methodLength: usize, url: usize, urlLength: usize,
): i32;

// @ts-ignore: decorator
@external("env", "hostcall_req_set_header")
export declare function hostcall_req_set_header(
  request: i32, name: usize, nameLength: usize, values: usize, count: usize,
): i32;

// @ts-ignore: decorator
@external("env", "hostcall_req_set_body")
export declare function hostcall_req_set_body(request: i32, body: usize, length: usize): i32;

// @ts-ignore: decorator
@external("env", "hostcall_req_send")
export declare function hostcall_req_send(request: i32): i32;

// @ts-ignore: decorator
@external("env", "hostcall_req_send_async")
export declare function hostcall_req_send_async(request: i32): i32;

// @ts-ignore: decorator
@external("env", "hostcall_pending_req_poll")
export declare function hostcall_pending_req_poll(pending: i32): i32;

// @ts-ignore: decorator
@external("env", "hostcall_pending_req_wait")
export declare function hostcall_pending_req_wait(pending: i32): i32;

// @ts-ignore: decorator
@external("env", "hostcall_pending_req_select")
export declare function hostcall_pending_req_select(
  pendings: usize, count: usize, finishedOut: usize,
): i32;

// @ts-ignore: decorator
@external("env", "hostcall_resp_get_response_code")
export declare function hostcall_resp_get_response_code(response: i32): i32;

// @ts-ignore: decorator
@external("env", "hostcall_resp_get_headers")
export declare function hostcall_resp_get_headers(
  namesOut: usize, countOut: usize, response: i32,
): void;

// @ts-ignore: decorator
@external("env", "hostcall_resp_get_header")
export declare function hostcall_resp_get_header(
  valuesOut: usize, countOut: usize, response: i32, name: usize, nameLength: usize,
): void;

// @ts-ignore: decorator
@external("env", "hostcall_resp_get_body")
export declare function hostcall_resp_get_body(bodyOut: usize, lengthOut: usize, response: i32): void;

// @ts-ignore: decorator
@external("env", "hostcall_resp_set_response_code")
export declare function hostcall_resp_set_response_code(response: i32, code: i32): i32;

// @ts-ignore: decorator
@external("env", "hostcall_resp_set_header")
export declare function hostcall_resp_set_header(
  response: i32, name: usize, nameLength: usize, values: usize, count: usize,
): i32;

// @ts-ignore: decorator
@external("env", "hostcall_resp_set_body")
export declare function hostcall_resp_set_body(response: i32, body: usize, length: usize): i32;

// @ts-ignore: decorator
@external("env", "hostcall_kvstore_insert")
export declare function hostcall_kvstore_insert(
  key: usize, keyLength: usize, value: usize, valueLength: usize,
): i32;

// @ts-ignore: decorator
@external("env", "hostcall_kvstore_upsert")
export declare function hostcall_kvstore_upsert(
  key: usize, keyLength: usize, value: usize, valueLength: usize,
): i32;

// @ts-ignore: decorator
@external("env", "hostcall_kvstore_append")
export declare function hostcall_kvstore_append(
  key: usize, keyLength: usize, value: usize, valueLength: usize,
): i32;

// @ts-ignore: decorator
@external("env", "hostcall_kvstore_get")
export declare function hostcall_kvstore_get(
  valueOut: usize, lengthOut: usize, key: usize, keyLength: usize,
): i32;

// @ts-ignore: decorator
@external("env", "hostcall_kvstore_remove")
export declare function hostcall_kvstore_remove(key: usize, keyLength: usize): i32;

// @ts-ignore: decorator
@external("env", "hostcall_env_get")
export declare function hostcall_env_get(
  valueOut: usize, lengthOut: usize, name: usize, nameLength: usize,
): i32;

// @ts-ignore: decorator
@external("env", "hostcall_secret_get")
export declare function hostcall_secret_get(
  valueOut: usize, lengthOut: usize, name: usize, nameLength: usize,
): i32;

// @ts-ignore: decorator
@external("env", "hostcall_kv_open")
export declare function hostcall_kv_open(name: usize, nameLength: usize): i32;

// @ts-ignore: decorator
@external("env", "hostcall_kv_get")
export declare function hostcall_kv_get(
  valueOut: usize, lengthOut: usize, revisionOut: usize, store: i32, key: usize,
  keyLength: usize,
): i32;

// @ts-ignore: decorator
@external("env", "hostcall_kv_put")
export declare function hostcall_kv_put(
  revisionOut: usize, store: i32, key: usize, keyLength: usize, value: usize,
  valueLength: usize, ttl: u64,
): i32;

// @ts-ignore: decorator
@external("env", "hostcall_kv_insert")
export declare function hostcall_kv_insert(
  revisionOut: usize, store: i32, key: usize, keyLength: usize, value: usize,
  valueLength: usize, ttl: u64,
): i32;

// @ts-ignore: decorator
@external("env", "hostcall_kv_compare_and_set")
export declare function hostcall_kv_compare_and_set(
  revisionOut: usize, store: i32, key: usize, keyLength: usize, revision: u64,
  value: usize, valueLength: usize, ttl: u64,
): i32;

// @ts-ignore: decorator
@external("env", "hostcall_kv_compare_and_delete")
export declare function hostcall_kv_compare_and_delete(
  store: i32, key: usize, keyLength: usize, revision: u64,
): i32;

// @ts-ignore: decorator
@external("env", "hostcall_kv_append")
export declare function hostcall_kv_append(
  revisionOut: usize, store: i32, key: usize, keyLength: usize, value: usize,
  valueLength: usize, ttl: u64,
): i32;

// @ts-ignore: decorator
@external("env", "hostcall_kv_increment")
export declare function hostcall_kv_increment(
  sumOut: usize, store: i32, key: usize, keyLength: usize, delta: i64,
): i32;

// @ts-ignore: decorator
@external("env", "hostcall_kv_delete")
export declare function hostcall_kv_delete(store: i32, key: usize, keyLength: usize): i32;

// @ts-ignore: decorator
@external("env", "hostcall_kv_list")
export declare function hostcall_kv_list(
  keysOut: usize, countOut: usize, store: i32, prefix: usize, prefixLength: usize,
  cursor: usize, cursorLength: usize, limit: u32,
): i32;

// @ts-ignore: decorator
@external("env", "hostcall_req_send_head")
export declare function hostcall_req_send_head(request: i32): i32;

// @ts-ignore: decorator
@external("env", "hostcall_resp_body_read")
export declare function hostcall_resp_body_read(
  response: i32, buffer: usize, bufferLength: usize,
): i32;

// @ts-ignore: decorator
@external("env", "hostcall_req_body_read")
export declare function hostcall_req_body_read(
  request: i32, buffer: usize, bufferLength: usize,
): i32;

// @ts-ignore: decorator
@external("env", "hostcall_resp_set_body_from")
export declare function hostcall_resp_set_body_from(response: i32, received: i32): i32;

// @ts-ignore: decorator
@external("env", "hostcall_req_set_body_from")
export declare function hostcall_req_set_body_from(request: i32, incoming: i32): i32;

// @ts-ignore: decorator
@external("env", "hostcall_rng_next_u64")
export declare function hostcall_rng_next_u64(): u64;

// @ts-ignore: decorator
@external("env", "hostcall_time_now")
export declare function hostcall_time_now(nanosecondsOut: usize): u64;

// @ts-ignore: decorator
@external("env", "hostcall_dns_query_ip")
export declare function hostcall_dns_query_ip(
  addressesOut: usize, countOut: usize, name: usize, nameLength: usize, ipv6: i32,
): i32;

// @ts-ignore: decorator
@external("env", "hostcall_dns_query_raw")
export declare function hostcall_dns_query_raw(
  answerOut: usize, lengthOut: usize, query: usize, queryLength: usize,
): i32;
