/* Network addresses as text: HOST:PORT, sources, CIDR. No sockets and no name look-ups here. */
#ifndef MULTISSH_BASE_ADDR_H
#define MULTISSH_BASE_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sockaddr;

struct addr_hostport {
    char host[254]; /* without brackets; "" where allow_any let "*" or ":PORT" through */
    uint16_t port;
};

/* "host", "host:22", "1.2.3.4:22", "[::1]:22", "::1" (a bare IPv6 address). default_port 0 makes the port
 * required. With allow_any, ":22", "*:22" and "*" are accepted too. Returns 0 or -EINVAL. */
int addr_parse(const char *text, uint16_t default_port, bool allow_any, struct addr_hostport *ret);
/* The inverse: brackets where needed; without the port when it is omit_port. */
void addr_format(const struct addr_hostport *hp, uint16_t omit_port, char *out, size_t size);

/* The numeric IP of a socket address, without port (an IPv4-mapped IPv6 address as IPv4); "unix" for AF_UNIX,
 * "?" otherwise. */
void addr_ip(const struct sockaddr *sa, char *out, size_t size);
uint16_t addr_port(const struct sockaddr *sa);
/* Is it in 127.0.0.0/8? */
bool addr_is_loopback4(const struct sockaddr *sa);

/* Does the numeric ip match the list of OpenSSH's from=: patterns with * and ?, CIDR blocks, '!' negations;
 * comma-separated? Host names in the list never match (no reverse look-ups). */
bool addr_match_list(const char *ip, const char *list);
/* Is the list well-formed? */
bool addr_list_ok(const char *list);
/* The key under which a source is limited: an IPv4 address whole, an IPv6 address as its /64. */
void addr_source_key(const char *ip, char *out, size_t size);

#endif
