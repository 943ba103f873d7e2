/* Any bytes as a peeked ClientHello: every answer is one of the four, and longer input never undoes a settled
 * one. */
#include "tls/hello.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* A copy of exactly n bytes, so that reading past them is seen. */
static int ask(const uint8_t *data, size_t n, size_t *ret_need)
{
    uint8_t *copy = malloc(n > 0 ? n : 1);
    int rc;

    if (!copy)
        abort();
    if (n > 0)
        memcpy(copy, data, n);
    rc = hello_alpn(copy, n, ret_need);
    free(copy);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    size_t need = 0, shorter = n > 0 ? data[n - 1] * n / 256 : 0;
    int whole = ask(data, n, &need), part;

    if (whole != HELLO_CONTROL && whole != HELLO_STREAM && whole != -EPROTO && whole != -EAGAIN)
        abort();
    if (whole == -EAGAIN && (need <= n || need > HELLO_MAX))
        abort();
    part = ask(data, shorter, &need);
    if (part != -EAGAIN && part != whole)
        abort();
    return 0;
}
