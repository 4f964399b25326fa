/* The smallest guest in C: every request gets the same answer. It needs no C library. */

#include "http_hostcalls.h"

static const char NAME[] = "content-type";
static const char VALUE[] = "text/plain; charset=utf-8";
static const char BODY[] = "Hello from C\n";

void run(void)
{
    const struct string_slice value = { VALUE, sizeof VALUE - 1 };

    hostcall_resp_set_header(RESPONSE_OUTGOING, NAME, sizeof NAME - 1, &value, 1);
    hostcall_resp_set_body(RESPONSE_OUTGOING, BODY, sizeof BODY - 1);
}
