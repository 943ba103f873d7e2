/* The line by which a forwarder says for whom it connects: the PROXY protocol, version 1 (HAProxy's
 * proxy-protocol.txt, section 2.1). Pure: text in, addresses out. */
#ifndef MULTISSH_SSHD_PROXYLINE_H
#define MULTISSH_SSHD_PROXYLINE_H

#include <stddef.h>

#define PROXYLINE_MAX 107 /* with CR LF */
#define PROXYLINE_IP_SIZE 46

struct proxyline {
    char peer[PROXYLINE_IP_SIZE], local[PROXYLINE_IP_SIZE]; /* "" when the line says UNKNOWN */
    unsigned peer_port, local_port;
};

/* line: n bytes that end in CR LF. Returns 0 or -EINVAL. */
int proxyline_parse(const char *line, size_t n, struct proxyline *ret_line);

#endif
