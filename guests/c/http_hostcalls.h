/*
 * The hostcalls of Wardian for guests written in C or C++.
 *
 * A guest defines `void run(void)`. The host calls it once per request, in a fresh instance: there
 * is nothing left of earlier requests, and nothing need be freed for the sake of later ones.
 *
 *     #include "http_hostcalls.h"
 *
 *     void run(void)
 *     {
 *         hostcall_resp_set_response_code(RESPONSE_OUTGOING, 200);
 *         hostcall_resp_set_body(RESPONSE_OUTGOING, "Hello\n", 6);
 *     }
 *
 * Data from the host: hostcalls with `_out` parameters allocate with the `malloc` that was given to
 * `hostcall_init_mm`, which must have been called before. What they store belongs to the guest, to
 * be freed with its `free`: one block for every text or body, and for a list one block for the
 * array and one for every element. Every block ends with a NUL beyond the length, so texts can be
 * passed to `strchr` and the like as they are. When there is nothing (no such header, an empty
 * body, an absent key) they store NULL and 0 and allocate nothing.
 *
 * Data to the host is copied before the hostcall returns. Lengths count bytes, without a NUL.
 *
 * A pointer outside the guest's memory or a handle that was never given out ends the instance with
 * an error.
 */
#ifndef HTTP_HOSTCALLS_H
#define HTTP_HOSTCALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__wasm__)
#define HOSTCALL(name) __attribute__((import_module("env"), import_name(#name))) name
#define HOSTCALL_EXPORT(name) __attribute__((export_name(#name))) name
#else
#define HOSTCALL(name) name
#define HOSTCALL_EXPORT(name) name
#endif

/* The guest. Declared here so that the linker exports it without being told. */
void HOSTCALL_EXPORT(run)(void);

/* A request: the incoming one, or one made with hostcall_req_create. -1 stands for an error. */
typedef int32_t request_t;
#define REQUEST_INCOMING ((request_t) 0)
#define REQUEST_ERROR ((request_t) -1)

/* A response: the outgoing one, or one that a sent request brought back. -1 stands for an error. */
typedef int32_t response_t;
#define RESPONSE_OUTGOING ((response_t) 0)
#define RESPONSE_ERROR ((response_t) -1)
#define RESPONSE_NOT_READY ((response_t) -2)

/* A request on its way. -1 stands for an error. */
typedef int32_t pending_request_t;
#define PENDING_REQUEST_ERROR ((pending_request_t) -1)

/* A text, `len` bytes long. */
struct string_slice {
    const char *ptr;
    size_t      len;
};

/* Bytes, `len` of them. */
struct byte_slice {
    const uint8_t *ptr;
    size_t         len;
};

/* Whether the host accepted what it was given. */
enum value_status {
    value_status_ok      = 0,
    value_status_invalid = 1
};

/* ---- The instance ---- */

/* Tells the host how to allocate in this guest: usually hostcall_init_mm(malloc, free), first
 * thing in `run`. */
void HOSTCALL(hostcall_init_mm)(void *(*malloc_function)(size_t size),
    void (*free_function)(void *block));

/* Ends the instance with a message, which is the response to the client, with a status of 5xx. */
void HOSTCALL(hostcall_panic_hook)(const char *message, size_t message_len);

/* Writes one line to the deployment's log. A length of -1 means that a NUL ends it. */
void HOSTCALL(hostcall_debug)(const char *message, size_t message_len);

/* ---- The incoming request ---- */

void HOSTCALL(hostcall_req_get_method)(char **method_out, size_t *len_out, request_t request);

/* Path and query: "/a?b=1". */
void HOSTCALL(hostcall_req_get_path)(char **path_out, size_t *len_out, request_t request);

/* The names of all headers, in lower case, each once. */
void HOSTCALL(hostcall_req_get_headers)(
    struct string_slice **names_out, size_t *count_out, request_t request);

/* All values of one header, in order. Upper and lower case in the name are the same. */
void HOSTCALL(hostcall_req_get_header)(
    struct string_slice **values_out, size_t *count_out, request_t request,
    const char *name, size_t name_len);

void HOSTCALL(hostcall_req_get_body)(uint8_t **body_out, size_t *len_out, request_t request);

/* ---- Requests of the guest's own ---- */

/* A new request. REQUEST_ERROR when the method or the URL is malformed. */
request_t HOSTCALL(hostcall_req_create)(
    const char *method, size_t method_len, const char *url, size_t url_len);

/* Replaces all values of one header. Invalid for a malformed name or value, and for
 * REQUEST_INCOMING. */
enum value_status HOSTCALL(hostcall_req_set_header)(
    request_t request, const char *name, size_t name_len,
    const struct string_slice *values, size_t count);

enum value_status HOSTCALL(hostcall_req_set_body)(
    request_t request, const void *body, size_t body_len);

/* Sends the request and waits for the response. RESPONSE_ERROR when there is none. The request
 * is used up. */
response_t HOSTCALL(hostcall_req_send)(request_t request);

/* Starts sending the request. PENDING_REQUEST_ERROR when that fails at once. The request is used
 * up. */
pending_request_t HOSTCALL(hostcall_req_send_async)(request_t request);

/* RESPONSE_NOT_READY while the response is on its way; otherwise the response, or
 * RESPONSE_ERROR, and the pending request is used up. */
response_t HOSTCALL(hostcall_pending_req_poll)(pending_request_t pending);

/* Waits. RESPONSE_ERROR when there is no response. The pending request is used up. */
response_t HOSTCALL(hostcall_pending_req_wait)(pending_request_t pending);

/* Waits for the first of `count` pending requests, stores which one it was, and returns its
 * response, or RESPONSE_ERROR when it failed. Only that one is used up. */
response_t HOSTCALL(hostcall_pending_req_select)(
    const pending_request_t *pendings, size_t count, pending_request_t *finished_out);

/* ---- Responses to the guest's requests ---- */

int32_t HOSTCALL(hostcall_resp_get_response_code)(response_t response);

void HOSTCALL(hostcall_resp_get_headers)(
    struct string_slice **names_out, size_t *count_out, response_t response);

void HOSTCALL(hostcall_resp_get_header)(
    struct string_slice **values_out, size_t *count_out, response_t response,
    const char *name, size_t name_len);

void HOSTCALL(hostcall_resp_get_body)(uint8_t **body_out, size_t *len_out, response_t response);

/* ---- The outgoing response ---- */

/* 200 unless set. Invalid outside 100 to 999. */
enum value_status HOSTCALL(hostcall_resp_set_response_code)(response_t response, int32_t code);

/* Replaces all values of one header. Several values become several header lines. */
enum value_status HOSTCALL(hostcall_resp_set_header)(
    response_t response, const char *name, size_t name_len,
    const struct string_slice *values, size_t count);

/* Replaces the body. */
enum value_status HOSTCALL(hostcall_resp_set_body)(
    response_t response, const void *body, size_t body_len);

/* ---- The key-value store of this deployment ---- */

/* Sets the value. True when the key was absent. */
bool HOSTCALL(hostcall_kvstore_insert)(
    const char *key, size_t key_len, const void *value, size_t value_len);

/* Sets the value if the key is absent. True when it was. */
bool HOSTCALL(hostcall_kvstore_upsert)(
    const char *key, size_t key_len, const void *value, size_t value_len);

/* Appends to the value, or sets it if the key is absent. True when it was. */
bool HOSTCALL(hostcall_kvstore_append)(
    const char *key, size_t key_len, const void *value, size_t value_len);

/* True when the key was found. An empty value that was found is stored as a pointer that is not
 * NULL. */
bool HOSTCALL(hostcall_kvstore_get)(
    uint8_t **value_out, size_t *len_out, const char *key, size_t key_len);

/* True when the key was there. */
bool HOSTCALL(hostcall_kvstore_remove)(const char *key, size_t key_len);

/* ---- Environment and secrets ---- */

/* True when the variable is set. An empty value is then stored as a pointer that is not NULL. */
bool HOSTCALL(hostcall_env_get)(
    char **value_out, size_t *len_out, const char *name, size_t name_len);

/* True when the app has a secret of that name. */
bool HOSTCALL(hostcall_secret_get)(
    uint8_t **value_out, size_t *len_out, const char *name, size_t name_len);

/* ---- Key-value stores: namespaces that the app is bound to, and the deployment's own ---- */

/* A store. STORE_ERROR stands for an error. */
typedef int32_t store_t;
#define STORE_OWN ((store_t) 0)
#define STORE_ERROR ((store_t) -1)

/* What the functions below return when they refuse. Nothing has changed then, nothing is stored
 * through the out-pointers, and the deployment's log tells the reason. */
enum store_refusal {
    store_invalid      = -1, /* a store, key, time to live or revision that cannot be */
    store_full         = -2, /* its keys or bytes are used up */
    store_too_large    = -3, /* the value is over the limit */
    store_not_a_number = -4, /* to be incremented, or the sum has more than 64 bits */
    store_gone         = -5, /* the namespace was deleted */
    store_busy         = -6  /* nothing can be written now; later it may work */
};

/* The namespace that the app is bound to under this name, or STORE_ERROR. */
store_t HOSTCALL(hostcall_kv_open)(const char *name, size_t name_len);

/* Wherever revision_out is, the revision of the entry is stored, 0 when there is none; NULL when it
 * is not wanted. It changes with every change of the entry and never returns. Times to live are in
 * milliseconds, 0 for ever. */

/* 1 when the key was found, 0 when not. An empty value that was found is stored as a pointer that
 * is not NULL. */
int32_t HOSTCALL(hostcall_kv_get)(
    uint8_t **value_out, size_t *len_out, uint64_t *revision_out,
    store_t store, const char *key, size_t key_len);

/* Sets the value. 1 when the key was absent, 0 when not. */
int32_t HOSTCALL(hostcall_kv_put)(
    uint64_t *revision_out, store_t store, const char *key, size_t key_len,
    const void *value, size_t value_len, uint64_t ttl_ms);

/* Sets the value if the key is absent: 1; otherwise 0. */
int32_t HOSTCALL(hostcall_kv_insert)(
    uint64_t *revision_out, store_t store, const char *key, size_t key_len,
    const void *value, size_t value_len, uint64_t ttl_ms);

/* Sets the value if the entry still has this revision (0: if the key is absent): 1; otherwise 0. */
int32_t HOSTCALL(hostcall_kv_compare_and_set)(
    uint64_t *revision_out, store_t store, const char *key, size_t key_len, uint64_t revision,
    const void *value, size_t value_len, uint64_t ttl_ms);

/* Removes the key if its entry still has this revision: 1; otherwise 0. */
int32_t HOSTCALL(hostcall_kv_compare_and_delete)(
    store_t store, const char *key, size_t key_len, uint64_t revision);

/* Appends to the value, or sets it if the key is absent. 1 when it was, 0 when not. A time to live
 * of 0 leaves the one that the entry has. */
int32_t HOSTCALL(hostcall_kv_append)(
    uint64_t *revision_out, store_t store, const char *key, size_t key_len,
    const void *value, size_t value_len, uint64_t ttl_ms);

/* Adds to a whole number in decimal text, and stores the sum. An absent key counts as 0. 1 when it
 * was absent, 0 when not. */
int32_t HOSTCALL(hostcall_kv_increment)(
    int64_t *sum_out, store_t store, const char *key, size_t key_len, int64_t delta);

/* Removes the key. 1 when it was there, 0 when not. */
int32_t HOSTCALL(hostcall_kv_delete)(store_t store, const char *key, size_t key_len);

/* Up to `limit` keys that begin with the prefix, in byte order, after `cursor`: the last key of the
 * page before, or empty. A limit of 0, or one above 1,000, is 1,000. 1 when there are more, 0 when
 * not. */
int32_t HOSTCALL(hostcall_kv_list)(
    struct string_slice **keys_out, size_t *count_out, store_t store,
    const char *prefix, size_t prefix_len, const char *cursor, size_t cursor_len, size_t limit);

/* ---- Bodies piece by piece ---- */

/* Sends the request and waits for the head of the response. Its body is read with
 * hostcall_resp_body_read, or passed on with hostcall_resp_set_body_from. RESPONSE_ERROR when there
 * is no response. The request is used up. */
response_t HOSTCALL(hostcall_req_send_head)(request_t request);

/* Waits for at least one byte, and returns how many were stored: at most buffer_len. 0 at the end,
 * -1 when the body broke off or was passed on. */
int32_t HOSTCALL(hostcall_resp_body_read)(response_t response, void *buffer, size_t buffer_len);

/* The same for REQUEST_INCOMING. A guest that has this function, or hostcall_req_set_body_from, gets
 * a large body in no other way. */
int32_t HOSTCALL(hostcall_req_body_read)(request_t request, void *buffer, size_t buffer_len);

/* Makes what is left of a body the body of RESPONSE_OUTGOING: it is passed on once the guest has
 * ended, as fast as the client takes it. */
enum value_status HOSTCALL(hostcall_resp_set_body_from)(response_t response, response_t received);

/* Makes what is left of the body of REQUEST_INCOMING the body of a request of the guest's own. */
enum value_status HOSTCALL(hostcall_req_set_body_from)(request_t request, request_t incoming);

/* ---- Randomness, time, names ---- */

/* Fit for cryptography. */
uint64_t HOSTCALL(hostcall_rng_next_u64)(void);

/* Seconds since the beginning of 1970, UTC, and the nanoseconds beyond them. */
uint64_t HOSTCALL(hostcall_time_now)(uint32_t *nanoseconds_out);

/* The addresses of a host, each 4 bytes long, or 16 when `ipv6`. NULL when there are none: with
 * true for a name that exists without one, with false for a name that does not or was not found. */
bool HOSTCALL(hostcall_dns_query_ip)(
    struct byte_slice **addresses_out, size_t *count_out,
    const char *name, size_t name_len, bool ipv6);

/* A query and its answer in DNS wire format. False, and NULL, when there is no answer. */
bool HOSTCALL(hostcall_dns_query_raw)(
    uint8_t **answer_out, size_t *len_out, const uint8_t *query, size_t query_len);

#undef HOSTCALL
#undef HOSTCALL_EXPORT

#ifdef __cplusplus
}
#endif

#endif
