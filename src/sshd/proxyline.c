/* PROXY protocol version 1: parsing. */
#include "sshd/proxyline.h"

#include "base/sockaddr.h"
#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* The word at *at, which one space or the end follows; moves *at behind that. */
static bool take_word(const char **at, char *out, size_t size)
{
    size_t n = strcspn(*at, " ");
    if (n == 0 || n >= size) {
        return false;
    }
    memcpy(out, *at, n);
    out[n] = '\0';
    *at += n;
    if (**at == ' ') {
        (*at)++;
    }
    return true;
}

static bool take_ip(const char **at, int family, char out[PROXYLINE_IP_SIZE])
{
    unsigned char address[16];
    return take_word(at, out, PROXYLINE_IP_SIZE) && inet_pton(family, out, address) == 1;
}

static bool take_port(const char **at, unsigned *ret_port)
{
    char word[6];
    unsigned value = 0;
    if (!take_word(at, word, sizeof word)) {
        return false;
    }
    for (const char *c = word; *c != '\0'; c++) {
        if (*c < '0' || *c > '9') {
            return false;
        }
        value = value * 10 + (unsigned)(*c - '0');
    }
    *ret_port = value;
    return value <= 65535 && (word[0] != '0' || word[1] == '\0');
}

int proxyline_parse(const char *line, size_t n, struct proxyline *ret_line)
{
    char text[PROXYLINE_MAX + 1];
    char word[8];
    const char *at = text;
    struct proxyline got = {.peer = ""};
    int family;
    if (n < 2 || n > PROXYLINE_MAX || memcmp(line + n - 2, "\r\n", 2) != 0 || memchr(line, 0, n) != NULL) {
        return -EINVAL;
    }
    memcpy(text, line, n - 2);
    text[n - 2] = '\0';
    if (!take_word(&at, word, sizeof word) || strcmp(word, "PROXY") != 0 || at == text + 5 ||
        !take_word(&at, word, sizeof word)) {
        return -EINVAL;
    }
    if (strcmp(word, "UNKNOWN") == 0) {
        *ret_line = got; /* whatever follows does not count */
        return 0;
    }
    family = strcmp(word, "TCP4") == 0 ? AF_INET : strcmp(word, "TCP6") == 0 ? AF_INET6 : AF_UNSPEC;
    if (family == AF_UNSPEC || !take_ip(&at, family, got.peer) || !take_ip(&at, family, got.local) ||
        !take_port(&at, &got.peer_port) || !take_port(&at, &got.local_port) || *at != '\0' ||
        text[n - 3] == ' ') {
        return -EINVAL;
    }
    *ret_line = got;
    return 0;
}
