/*
 * Keeps notes on the key-value store, one for each path: PUT a body, GET it back, DELETE it.
 * No C library: freestanding.h has the little that is needed.
 */

#include "freestanding.h"
#include "http_hostcalls.h"

/* A literal and its length, as hostcalls take them. */
#define TEXT(literal) (literal), (sizeof(literal) - 1)

static void answer(int32_t status, const void *body, size_t body_len)
{
    const struct string_slice type = { TEXT("text/plain; charset=utf-8") };

    hostcall_resp_set_response_code(RESPONSE_OUTGOING, status);
    hostcall_resp_set_header(RESPONSE_OUTGOING, TEXT("content-type"), &type, 1);
    hostcall_resp_set_body(RESPONSE_OUTGOING, body, body_len);
}

static bool is(const char *method, size_t method_len, const char *name, size_t name_len)
{
    return method_len == name_len && memcmp(method, name, name_len) == 0;
}

static void get(const char *key, size_t key_len)
{
    uint8_t *note;
    size_t   note_len;

    if (hostcall_kvstore_get(&note, &note_len, key, key_len)) {
        answer(200, note, note_len);
    } else {
        answer(404, TEXT("No note here\n"));
    }
}

static void put(const char *key, size_t key_len)
{
    uint8_t *note;
    size_t   note_len;

    hostcall_req_get_body(&note, &note_len, REQUEST_INCOMING);
    if (hostcall_kvstore_insert(key, key_len, note, note_len)) {
        answer(201, TEXT("Noted\n"));
    } else {
        answer(200, TEXT("Noted anew\n"));
    }
}

void run(void)
{
    char * method;
    char * path;
    size_t method_len;
    size_t path_len;

    /* Whatever the host returns is allocated with this malloc. */
    hostcall_init_mm(malloc, free);
    hostcall_req_get_method(&method, &method_len, REQUEST_INCOMING);
    hostcall_req_get_path(&path, &path_len, REQUEST_INCOMING);

    if (is(method, method_len, TEXT("GET"))) {
        get(path, path_len);
    } else if (is(method, method_len, TEXT("PUT"))) {
        put(path, path_len);
    } else if (is(method, method_len, TEXT("DELETE"))) {
        if (hostcall_kvstore_remove(path, path_len)) {
            answer(200, TEXT("Forgotten\n"));
        } else {
            answer(404, TEXT("No note here\n"));
        }
    } else {
        const struct string_slice allowed = { TEXT("GET, PUT, DELETE") };

        hostcall_resp_set_header(RESPONSE_OUTGOING, TEXT("allow"), &allowed, 1);
        answer(405, TEXT("GET, PUT or DELETE a note\n"));
    }
}
