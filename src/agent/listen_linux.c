/* The kernel's tables of TCP sockets. Rows of listeners come first; reading stops behind them, so that a
 * machine with a hundred thousand connections costs no more. */
#include "agent/listen.h"

#include "base/sockaddr.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATE_LISTEN 0x0a

/* Exactly n hexadecimal digits. */
static bool read_hex(const char *text, size_t n, uint32_t *ret_value)
{
    char digits[9];
    if (n >= sizeof digits || strnlen(text, n) < n)
        return false;
    memcpy(digits, text, n);
    digits[n] = 0;
    if (strspn(digits, "0123456789ABCDEFabcdef") != n)
        return false;
    *ret_value = (uint32_t)strtoul(digits, NULL, 16);
    return true;
}

/* The table prints each 32-bit word of an address in the host's byte order. */
static bool read_addr(const char *hex, size_t words, uint8_t *out)
{
    for (size_t i = 0; i < words; i++) {
        uint32_t value;
        if (!read_hex(hex + 8 * i, 8, &value))
            return false;
        memcpy(out + 4 * i, &value, sizeof value);
    }
    return true;
}

static bool addr_matches(const struct listen_scan *s, const uint8_t *bound)
{
    static const uint8_t any[16];
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    size_t size = s->v6 ? 16 : 4;
    if (memcmp(bound, any, size) == 0)
        return true;
    if (s->mapped)
        return memcmp(bound, mapped, 12) == 0 &&
               (memcmp(bound + 12, s->addr, 4) == 0 || memcmp(bound + 12, any, 4) == 0);
    return memcmp(bound, s->addr, size) == 0;
}

static void scan_row(struct listen_scan *s)
{
    /* "   0: 0100007F:0016 00000000:0000 0A …" */
    size_t digits = s->v6 ? 32 : 8;
    const char *colon = strchr(s->line, ':');
    if (colon == NULL || strncmp(s->line, "  sl", 4) == 0)
        return; /* the heading */
    const char *at = colon + 1;
    at += strspn(at, " ");
    if (strlen(at) < digits * 2 + 14)
        return;
    uint8_t bound[16];
    uint32_t port, state;
    if (!read_addr(at, digits / 8, bound) || at[digits] != ':' || !read_hex(at + digits + 1, 4, &port))
        return;
    at = strchr(at, ' ');
    if (at == NULL || (at = strchr(at + 1, ' ')) == NULL || !read_hex(at + 1, 2, &state))
        return;
    if (state != STATE_LISTEN)
        s->finished = true;
    else if (port == s->port && addr_matches(s, bound))
        s->found = s->finished = true;
}

void listen_scan_feed(struct listen_scan *s, const char *data, size_t n)
{
    for (size_t i = 0; i < n && !s->finished; i++) {
        if (data[i] != '\n') {
            if (s->n < sizeof s->line - 1)
                s->line[s->n++] = data[i];
            continue;
        }
        s->line[s->n] = 0;
        s->n = 0;
        scan_row(s);
    }
}

static int scan_file(const char *path, struct listen_scan *s)
{
    char chunk[16384];
    int ret = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    while (!s->finished) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            ret = -errno;
        if (n <= 0)
            break;
        listen_scan_feed(s, chunk, (size_t)n);
    }
    close(fd);
    return ret;
}

int listen_check(const struct sockaddr *sa)
{
    struct listen_scan s4 = {0}, s6 = {.v6 = true};
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)sa;
        memcpy(s4.addr, &in->sin_addr, 4);
        memcpy(s6.addr, &in->sin_addr, 4);
        s6.mapped = true;
        s4.port = s6.port = ntohs(in->sin_port);
        int r = scan_file("/proc/net/tcp", &s4);
        if (r < 0 || s4.found)
            return r < 0 ? r : 1;
    } else if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)sa;
        memcpy(s6.addr, &in6->sin6_addr, 16);
        s6.port = ntohs(in6->sin6_port);
    } else {
        return -EAFNOSUPPORT;
    }
    int r = scan_file("/proc/net/tcp6", &s6);
    if (r == -ENOENT) /* no IPv6 in this kernel */
        return sa->sa_family == AF_INET ? 0 : r;
    return r < 0 ? r : s6.found;
}
