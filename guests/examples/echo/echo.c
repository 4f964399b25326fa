/*
 * Answers with the request as text: method, path, headers, body. It uses a C library (wasi-libc),
 * whose imports and the hostcalls stand side by side; what is printed goes to the deployment's log.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http_hostcalls.h"

static void print_headers(FILE *out)
{
    struct string_slice *names;
    struct string_slice *values;
    size_t               name_count;
    size_t               value_count;

    hostcall_req_get_headers(&names, &name_count, REQUEST_INCOMING);
    for (size_t i = 0; i < name_count; i++) {
        hostcall_req_get_header(
            &values, &value_count, REQUEST_INCOMING, names[i].ptr, names[i].len);
        for (size_t j = 0; j < value_count; j++) {
            fprintf(out, "%s: %.*s\n", names[i].ptr, (int) values[j].len, values[j].ptr);
        }
    }
}

void run(void)
{
    const struct string_slice type = { "text/plain; charset=utf-8", 25 };
    char *                    method;
    char *                    path;
    uint8_t *                 body;
    char *                    text;
    size_t                    method_len;
    size_t                    path_len;
    size_t                    body_len;
    size_t                    text_len;
    FILE *                    out;

    hostcall_init_mm(malloc, free);
    hostcall_req_get_method(&method, &method_len, REQUEST_INCOMING);
    hostcall_req_get_path(&path, &path_len, REQUEST_INCOMING);
    hostcall_req_get_body(&body, &body_len, REQUEST_INCOMING);
    printf("echoing %s %s\n", method, path);

    out = open_memstream(&text, &text_len);
    if (out == NULL) {
        hostcall_panic_hook("out of memory", strlen("out of memory"));
        return;
    }
    fprintf(out, "%s %s\n", method, path);
    print_headers(out);
    fputc('\n', out);
    fwrite(body, 1, body_len, out);
    if (fclose(out) != 0) {
        hostcall_panic_hook("out of memory", strlen("out of memory"));
        return;
    }

    hostcall_resp_set_header(RESPONSE_OUTGOING, "content-type", strlen("content-type"), &type, 1);
    hostcall_resp_set_body(RESPONSE_OUTGOING, text, text_len);
}
