/* Windows' tables of the TCP sockets that listen. */
#include "agent/listen.h"

#include "base/sockaddr.h"
#include "base/win.h"
#include <errno.h>
#include <iphlpapi.h>
#include <stdlib.h>
#include <string.h>

#define TRIES 5 /* the table may grow between the question for its size and that for itself */

/* The caller's to free. Returns 0 or a negative errno value. */
static int read_table(ULONG family, void **ret_table)
{
    DWORD size = 16384, error = ERROR_INSUFFICIENT_BUFFER;
    void *table = NULL;
    for (int i = 0; i < TRIES && error == ERROR_INSUFFICIENT_BUFFER; i++) {
        free(table);
        table = malloc(size);
        if (table == NULL)
            return -ENOMEM;
        error = GetExtendedTcpTable(table, &size, FALSE, family, TCP_TABLE_OWNER_PID_LISTENER, 0);
    }
    if (error != NO_ERROR) {
        free(table);
        return win_errno(error);
    }
    *ret_table = table;
    return 0;
}

static int check4(const uint8_t addr[4], uint16_t port)
{
    static const uint8_t any[4];
    void *data = NULL;
    int r = read_table(AF_INET, &data);
    if (data == NULL)
        return r;
    const MIB_TCPTABLE_OWNER_PID *table = data;
    for (DWORD i = 0; i < table->dwNumEntries && r == 0; i++) {
        const MIB_TCPROW_OWNER_PID *row = &table->table[i];
        r = ntohs((uint16_t)row->dwLocalPort) == port &&
            (memcmp(&row->dwLocalAddr, any, 4) == 0 || memcmp(&row->dwLocalAddr, addr, 4) == 0);
    }
    free(data);
    return r;
}

/* addr NULL: only a listener on :: counts. */
static int check6(const uint8_t *addr, uint16_t port)
{
    static const uint8_t any[16];
    void *data = NULL;
    int r = read_table(AF_INET6, &data);
    if (data == NULL)
        return r;
    const MIB_TCP6TABLE_OWNER_PID *table = data;
    for (DWORD i = 0; i < table->dwNumEntries && r == 0; i++) {
        const MIB_TCP6ROW_OWNER_PID *row = &table->table[i];
        r = ntohs((uint16_t)row->dwLocalPort) == port &&
            (memcmp(row->ucLocalAddr, any, 16) == 0 ||
             (addr != NULL && memcmp(row->ucLocalAddr, addr, 16) == 0));
    }
    free(data);
    return r;
}

/* A listener on :: is taken to accept IPv4 too: whether it does is not in the table, and a connection tells. */
int listen_check(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)sa;
        int r = check4((const uint8_t *)&in->sin_addr, ntohs(in->sin_port));
        return r != 0 ? r : check6(NULL, ntohs(in->sin_port)) > 0;
    }
    if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)sa;
        return check6((const uint8_t *)&in6->sin6_addr, ntohs(in6->sin6_port));
    }
    return -EAFNOSUPPORT;
}
