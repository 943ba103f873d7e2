/* The hub's refusal of a stream connection: any text can be said by it, and nobody without the key says anything. */
#include "stream/preamble.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const uint8_t key[TICKET_KEY_SIZE] = {7};
    struct preamble p = {.ticket = "t.m", .edge = n % 2 == 0 ? 'a' : 'b', .epoch = (uint32_t)n};
    struct preamble_refusal r = {.text = ""};
    char line[PREAMBLE_MAX + 1], text[1000];
    int len = preamble_refuse_parse((const char *)data, n, &p, key, &r);
    size_t k = n < sizeof text - 1 ? n : sizeof text - 1;

    require(len == -EAGAIN || len == -EPROTO || len == -EPERM);
    if (len == -EAGAIN)
        require(n < PREAMBLE_MAX);
    memcpy(text, data, k);
    text[k] = '\0';
    len = preamble_refuse_format(&p, key, n % 3 == 0, text, line, sizeof line);
    require(len > 0 && len <= PREAMBLE_MAX);
    for (int i = 0; i < len; i++)
        require(preamble_refuse_parse(line, (size_t)i, &p, key, &r) == -EAGAIN);
    require(preamble_refuse_parse(line, (size_t)len, &p, key, &r) == len);
    require(r.final == (n % 3 == 0) && strlen(r.text) <= PREAMBLE_TEXT_MAX);
    p.epoch++;
    require(preamble_refuse_parse(line, (size_t)len, &p, key, &r) == -EPERM);
    return 0;
}
