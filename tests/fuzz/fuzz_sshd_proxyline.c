/* The PROXY line: what is taken ends in CR LF, is short enough, and gives addresses that are some. */
#include "sshd/proxyline.h"
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static bool is_ip(const char *text)
{
    unsigned char address[16];
    return inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct proxyline line;
    int rc = proxyline_parse((const char *)data, n, &line);
    require(rc == 0 || rc == -EINVAL);
    if (rc < 0)
        return 0;
    require(n <= PROXYLINE_MAX && memcmp(data + n - 2, "\r\n", 2) == 0);
    require(line.peer_port <= 65535 && line.local_port <= 65535);
    require((line.peer[0] == '\0' && line.local[0] == '\0') || (is_ip(line.peer) && is_ip(line.local)));
    return 0;
}
