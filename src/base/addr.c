/* Network addresses as text. No sockets and no name look-ups here. */
#include "base/addr.h"

#include "base/names.h"
#include "base/sockaddr.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LIST_MAX 4096

/* A numeric address: 4 or 16 bytes in network order. */
struct ip {
    size_t n;
    uint8_t bytes[16];
};

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* An IPv4-mapped IPv6 address becomes the IPv4 address it is. */
static bool ip_parse(const char *text, struct ip *ret)
{
    struct ip ip = {0};
    if (inet_pton(AF_INET, text, ip.bytes) == 1) {
        ip.n = 4;
    } else if (inet_pton(AF_INET6, text, ip.bytes) == 1) {
        ip.n = 16;
        if (memcmp(ip.bytes, mapped_prefix, sizeof mapped_prefix) == 0) {
            memmove(ip.bytes, ip.bytes + 12, 4);
            ip.n = 4;
        }
    } else {
        return false;
    }
    *ret = ip;
    return true;
}

static bool is_ipv6(const char *text)
{
    struct in6_addr unused;
    return inet_pton(AF_INET6, text, &unused) == 1;
}

/* A number without sign, spaces or leading zeros, at most max. */
static bool number_parse(const char *text, unsigned max, unsigned *ret)
{
    size_t n = strspn(text, "0123456789");
    unsigned value = 0;
    if (n == 0 || n > 5 || text[n] != '\0' || (n > 1 && text[0] == '0'))
        return false;
    for (size_t i = 0; i < n; i++)
        value = value * 10 + (unsigned)(text[i] - '0');
    if (value > max)
        return false;
    *ret = value;
    return true;
}

/* A name whose last label is a number can only be meant as an IPv4 address (RFC 1123 §2.1). */
static bool host_ok(const char *host)
{
    struct in_addr unused;
    if (!names_host_ok(host))
        return false;
    if (strchr(host, ':') != NULL)
        return is_ipv6(host);
    const char *dot = strrchr(host, '.');
    const char *last = dot == NULL ? host : dot + 1;
    if (*last != '\0' && last[strspn(last, "0123456789")] == '\0')
        return inet_pton(AF_INET, host, &unused) == 1;
    return true;
}

/* Where the host and the port (NULL: none) are in text. */
static bool split(const char *text, const char **ret_host, size_t *ret_host_n, const char **ret_port)
{
    const char *colon = strchr(text, ':');
    const char *host = text, *port = NULL;
    size_t n = strlen(text);
    if (text[0] == '[') {
        const char *end = strchr(text, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':'))
            return false;
        host = text + 1;
        n = (size_t)(end - host);
        port = end[1] == ':' ? end + 2 : NULL;
    } else if (colon != NULL && strchr(colon + 1, ':') == NULL) {
        n = (size_t)(colon - text);
        port = colon + 1;
    }
    *ret_host = host;
    *ret_host_n = n;
    *ret_port = port;
    return true;
}

int addr_parse(const char *text, uint16_t default_port, bool allow_any, struct addr_hostport *ret)
{
    struct addr_hostport hp = {0};
    const char *host, *port_text;
    size_t host_n;
    unsigned port = default_port;

    if (!split(text, &host, &host_n, &port_text) || host_n >= sizeof hp.host)
        return -EINVAL;
    if (port_text != NULL && !number_parse(port_text, UINT16_MAX, &port))
        return -EINVAL;
    if (port == 0)
        return -EINVAL;
    memcpy(hp.host, host, host_n);
    hp.port = (uint16_t)port;
    bool any = text[0] != '[' && ((host_n == 0 && port_text != NULL) || strcmp(hp.host, "*") == 0);
    if (any && allow_any) {
        hp.host[0] = '\0';
    } else if (any || (text[0] == '[' && !is_ipv6(hp.host)) || !host_ok(hp.host)) {
        return -EINVAL;
    }
    *ret = hp;
    return 0;
}

void addr_format(const struct addr_hostport *hp, uint16_t omit_port, char *out, size_t size)
{
    const char *host = hp->host[0] == '\0' ? "*" : hp->host;
    bool six = strchr(host, ':') != NULL;
    if (hp->port == omit_port)
        snprintf(out, size, "%s", host);
    else
        snprintf(out, size, six ? "[%s]:%u" : "%s:%u", host, (unsigned)hp->port);
}

void addr_ip(const struct sockaddr *sa, char *out, size_t size)
{
    char text[INET6_ADDRSTRLEN] = "?";
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, sa, sizeof in);
        inet_ntop(AF_INET, &in.sin_addr, text, sizeof text);
    } else if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sa, sizeof in6);
        const uint8_t *bytes = in6.sin6_addr.s6_addr;
        if (memcmp(bytes, mapped_prefix, sizeof mapped_prefix) == 0)
            inet_ntop(AF_INET, bytes + 12, text, sizeof text);
        else
            inet_ntop(AF_INET6, bytes, text, sizeof text);
    } else if (sa->sa_family == AF_UNIX) {
        snprintf(text, sizeof text, "unix");
    }
    snprintf(out, size, "%s", text);
}

uint16_t addr_port(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, sa, sizeof in);
        return ntohs(in.sin_port);
    }
    if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sa, sizeof in6);
        return ntohs(in6.sin6_port);
    }
    return 0;
}

bool addr_is_loopback4(const struct sockaddr *sa)
{
    struct sockaddr_in in;
    if (sa->sa_family != AF_INET)
        return false;
    memcpy(&in, sa, sizeof in);
    return ntohl(in.sin_addr.s_addr) >> 24 == 127;
}

static bool prefix_equal(const struct ip *a, const struct ip *b, unsigned bits)
{
    if (a->n != b->n || memcmp(a->bytes, b->bytes, bits / 8) != 0)
        return false;
    unsigned rest = bits % 8;
    return rest == 0 || ((a->bytes[bits / 8] ^ b->bytes[bits / 8]) >> (8 - rest)) == 0;
}

/* "10.0.0.0/8": the address and its bits. Bits set behind the prefix are a slip of the pen and refused, as
 * OpenSSH does. */
static bool cidr_parse(const char *text, struct ip *ret_ip, unsigned *ret_bits)
{
    char host[INET6_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    size_t n = (size_t)(slash - text);
    if (n >= sizeof host)
        return false;
    memcpy(host, text, n);
    host[n] = '\0';
    if (!ip_parse(host, ret_ip) || !number_parse(slash + 1, (unsigned)ret_ip->n * 8, ret_bits))
        return false;
    for (size_t bit = *ret_bits; bit < ret_ip->n * 8; bit++) {
        if ((ret_ip->bytes[bit / 8] >> (7 - bit % 8) & 1) != 0)
            return false;
    }
    return true;
}

/* One entry of a list, without its '!'. */
static bool entry_ok(const char *entry)
{
    struct ip net;
    unsigned bits;
    if (strchr(entry, '/') != NULL)
        return cidr_parse(entry, &net, &bits);
    return entry[0] != '\0' && entry[strspn(entry, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                                   "0123456789.:*?_-")] == '\0';
}

static bool entry_matches(const char *text, const struct ip *ip, const char *entry)
{
    struct ip other;
    unsigned bits;
    if (strchr(entry, '/') != NULL)
        return cidr_parse(entry, &other, &bits) && prefix_equal(ip, &other, bits);
    if (ip_parse(entry, &other))
        return prefix_equal(ip, &other, (unsigned)other.n * 8);
    return names_match(text, entry);
}

/* Copies the next entry and steps over it; false at the end of the list (*list is then NULL) or when it does
 * not fit. */
static bool next_entry(const char **list, char *out, size_t size)
{
    if (*list == NULL)
        return false;
    size_t n = strcspn(*list, ",");
    if (n >= size)
        return false;
    memcpy(out, *list, n);
    out[n] = '\0';
    *list = (*list)[n] == '\0' ? NULL : *list + n + 1;
    return true;
}

bool addr_list_ok(const char *list)
{
    char entry[256];
    if (strnlen(list, LIST_MAX + 1) > LIST_MAX)
        return false;
    while (next_entry(&list, entry, sizeof entry)) {
        if (!entry_ok(entry[0] == '!' ? entry + 1 : entry))
            return false;
    }
    return list == NULL;
}

bool addr_match_list(const char *ip, const char *list)
{
    char entry[256], text[INET6_ADDRSTRLEN];
    struct ip parsed;
    bool matched = false;
    /* A list that cannot be read in full might have hidden a '!'. */
    if (!ip_parse(ip, &parsed) || !addr_list_ok(list))
        return false;
    inet_ntop(parsed.n == 4 ? AF_INET : AF_INET6, parsed.bytes, text, sizeof text);
    while (next_entry(&list, entry, sizeof entry)) {
        bool negated = entry[0] == '!';
        if (!entry_matches(text, &parsed, entry + negated))
            continue;
        if (negated)
            return false;
        matched = true;
    }
    return matched;
}

void addr_source_key(const char *ip, char *out, size_t size)
{
    struct ip parsed;
    char text[INET6_ADDRSTRLEN];
    if (!ip_parse(ip, &parsed)) {
        snprintf(out, size, "%s", ip);
        return;
    }
    if (parsed.n == 16)
        memset(parsed.bytes + 8, 0, 8);
    inet_ntop(parsed.n == 4 ? AF_INET : AF_INET6, parsed.bytes, text, sizeof text);
    snprintf(out, size, "%s%s", text, parsed.n == 16 ? "/64" : "");
}
