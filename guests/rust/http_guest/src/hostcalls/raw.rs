//! The hostcalls as the host declares them. Everything else in this crate is built on these.
//!
//! Out-pointers come first. A length counts bytes, except where the name says count. Text and bytes
//! that the host returns live in blocks from the allocator registered with `hostcall_init_mm`, one
//! block per value, and one for an array; the guest frees them.

use super::types::GuestSlice;
use std::os::raw::c_void;

#[link(wasm_import_module = "env")]
extern "C" {
    pub fn hostcall_init_mm(
        malloc: extern "C" fn(size: usize) -> *mut c_void,
        free: extern "C" fn(block: *mut c_void),
    );
    pub fn hostcall_panic_hook(message: *const u8, message_len: usize);
    pub fn hostcall_debug(message: *const u8, message_len: usize);

    pub fn hostcall_req_get_method(text: *mut *mut u8, text_len: *mut usize, request: i32);
    pub fn hostcall_req_get_path(text: *mut *mut u8, text_len: *mut usize, request: i32);
    pub fn hostcall_req_get_headers(
        names: *mut *mut GuestSlice<u8>,
        names_count: *mut usize,
        request: i32,
    );
    pub fn hostcall_req_get_header(
        values: *mut *mut GuestSlice<u8>,
        values_count: *mut usize,
        request: i32,
        name: *const u8,
        name_len: usize,
    );
    pub fn hostcall_req_get_body(body: *mut *mut u8, body_len: *mut usize, request: i32);
    pub fn hostcall_req_create(
        method: *const u8,
        method_len: usize,
        url: *const u8,
        url_len: usize,
    ) -> i32;
    pub fn hostcall_req_set_header(
        request: i32,
        name: *const u8,
        name_len: usize,
        values: *const GuestSlice<u8>,
        values_count: usize,
    ) -> i32;
    pub fn hostcall_req_set_body(request: i32, body: *const u8, body_len: usize) -> i32;
    pub fn hostcall_req_send(request: i32) -> i32;
    pub fn hostcall_req_send_async(request: i32) -> i32;

    pub fn hostcall_pending_req_poll(pending: i32) -> i32;
    pub fn hostcall_pending_req_wait(pending: i32) -> i32;
    pub fn hostcall_pending_req_select(
        pendings: *const i32,
        pendings_count: usize,
        finished: *mut i32,
    ) -> i32;

    pub fn hostcall_resp_get_response_code(response: i32) -> i32;
    pub fn hostcall_resp_get_headers(
        names: *mut *mut GuestSlice<u8>,
        names_count: *mut usize,
        response: i32,
    );
    pub fn hostcall_resp_get_header(
        values: *mut *mut GuestSlice<u8>,
        values_count: *mut usize,
        response: i32,
        name: *const u8,
        name_len: usize,
    );
    pub fn hostcall_resp_get_body(body: *mut *mut u8, body_len: *mut usize, response: i32);
    pub fn hostcall_resp_set_response_code(response: i32, code: i32) -> i32;
    pub fn hostcall_resp_set_header(
        response: i32,
        name: *const u8,
        name_len: usize,
        values: *const GuestSlice<u8>,
        values_count: usize,
    ) -> i32;
    pub fn hostcall_resp_set_body(response: i32, body: *const u8, body_len: usize) -> i32;

    pub fn hostcall_kvstore_insert(
        key: *const u8,
        key_len: usize,
        value: *const u8,
        value_len: usize,
    ) -> i32;
    pub fn hostcall_kvstore_upsert(
        key: *const u8,
        key_len: usize,
        value: *const u8,
        value_len: usize,
    ) -> i32;
    pub fn hostcall_kvstore_append(
        key: *const u8,
        key_len: usize,
        value: *const u8,
        value_len: usize,
    ) -> i32;
    pub fn hostcall_kvstore_get(
        value: *mut *mut u8,
        value_len: *mut usize,
        key: *const u8,
        key_len: usize,
    ) -> i32;
    pub fn hostcall_kvstore_remove(key: *const u8, key_len: usize) -> i32;

    pub fn hostcall_env_get(
        value: *mut *mut u8,
        value_len: *mut usize,
        name: *const u8,
        name_len: usize,
    ) -> i32;
    pub fn hostcall_secret_get(
        value: *mut *mut u8,
        value_len: *mut usize,
        name: *const u8,
        name_len: usize,
    ) -> i32;

    pub fn hostcall_kv_open(name: *const u8, name_len: usize) -> i32;
    pub fn hostcall_kv_get(
        value: *mut *mut u8,
        value_len: *mut usize,
        revision: *mut u64,
        store: i32,
        key: *const u8,
        key_len: usize,
    ) -> i32;
    pub fn hostcall_kv_put(
        revision: *mut u64,
        store: i32,
        key: *const u8,
        key_len: usize,
        value: *const u8,
        value_len: usize,
        ttl_ms: u64,
    ) -> i32;
    pub fn hostcall_kv_insert(
        revision: *mut u64,
        store: i32,
        key: *const u8,
        key_len: usize,
        value: *const u8,
        value_len: usize,
        ttl_ms: u64,
    ) -> i32;
    pub fn hostcall_kv_compare_and_set(
        revision_after: *mut u64,
        store: i32,
        key: *const u8,
        key_len: usize,
        revision: u64,
        value: *const u8,
        value_len: usize,
        ttl_ms: u64,
    ) -> i32;
    pub fn hostcall_kv_compare_and_delete(
        store: i32,
        key: *const u8,
        key_len: usize,
        revision: u64,
    ) -> i32;
    pub fn hostcall_kv_append(
        revision: *mut u64,
        store: i32,
        key: *const u8,
        key_len: usize,
        value: *const u8,
        value_len: usize,
        ttl_ms: u64,
    ) -> i32;
    pub fn hostcall_kv_increment(
        sum: *mut i64,
        store: i32,
        key: *const u8,
        key_len: usize,
        delta: i64,
    ) -> i32;
    pub fn hostcall_kv_delete(store: i32, key: *const u8, key_len: usize) -> i32;
    pub fn hostcall_kv_list(
        keys: *mut *mut GuestSlice<u8>,
        keys_count: *mut usize,
        store: i32,
        prefix: *const u8,
        prefix_len: usize,
        cursor: *const u8,
        cursor_len: usize,
        limit: usize,
    ) -> i32;

    pub fn hostcall_req_send_head(request: i32) -> i32;
    pub fn hostcall_resp_body_read(response: i32, buffer: *mut u8, buffer_len: usize) -> i32;
    pub fn hostcall_req_body_read(request: i32, buffer: *mut u8, buffer_len: usize) -> i32;
    pub fn hostcall_resp_set_body_from(response: i32, received: i32) -> i32;
    pub fn hostcall_req_set_body_from(request: i32, incoming: i32) -> i32;

    pub fn hostcall_rng_next_u64() -> u64;
    pub fn hostcall_time_now(nanoseconds: *mut u32) -> u64;

    pub fn hostcall_dns_query_ip(
        addresses: *mut *mut GuestSlice<u8>,
        addresses_count: *mut usize,
        name: *const u8,
        name_len: usize,
        ipv6: i32,
    ) -> i32;
    pub fn hostcall_dns_query_raw(
        answer: *mut *mut u8,
        answer_len: *mut usize,
        query: *const u8,
        query_len: usize,
    ) -> i32;
}

/// `hostcall_kv_put`, `hostcall_kv_insert`, `hostcall_kv_append`.
pub type KvWrite =
    unsafe extern "C" fn(*mut u64, i32, *const u8, usize, *const u8, usize, u64) -> i32;
