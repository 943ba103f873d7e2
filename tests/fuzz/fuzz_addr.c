/* Addresses and lists of them: what is accepted is well-formed, and means the same when written and read
 * again. */
#include "base/addr.h"
#include "base/names.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void hostport(const char *text, uint16_t default_port, bool allow_any)
{
    struct addr_hostport hp, again;
    char written[300];
    if (addr_parse(text, default_port, allow_any, &hp) != 0)
        return;
    require(hp.port != 0);
    require(hp.host[0] == '\0' ? allow_any : names_host_ok(hp.host));
    addr_format(&hp, 0, written, sizeof written);
    require(addr_parse(written, 0, allow_any, &again) == 0);
    require(strcmp(hp.host, again.host) == 0 && hp.port == again.port);
}

/* data: an IP address, a NUL byte, and a list. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char key[64];
    char *text = malloc(n + 2);
    if (text == NULL)
        return 0;
    memcpy(text, data, n);
    text[n] = text[n + 1] = '\0';
    const char *list = text + strlen(text) + 1;

    hostport(text, 0, false);
    hostport(text, 0, true);
    hostport(text, 22, false);
    hostport(text, 22, true);
    if (addr_match_list(text, list))
        require(addr_list_ok(list));
    if (addr_list_ok(text))
        addr_match_list("192.0.2.7", text);
    addr_source_key(text, key, sizeof key);
    names_match(list, text);
    if (names_list_ok(text))
        names_match_list("web01", text);
    free(text);
    return 0;
}
