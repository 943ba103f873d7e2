/* This host's own addresses. */
#include "agent/listen.h"

#include "base/sockaddr.h"
#include <string.h>
#include <uv.h>

bool listen_is_local(const struct sockaddr *sa)
{
    const uint8_t *addr4 = NULL, *addr6 = NULL;
    if (sa->sa_family == AF_INET)
        addr4 = (const uint8_t *)&((const struct sockaddr_in *)(const void *)sa)->sin_addr;
    else if (sa->sa_family == AF_INET6)
        addr6 = (const uint8_t *)&((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
    else
        return false;
    if (addr4 != NULL && addr4[0] == 127)
        return true;

    uv_interface_address_t *list = NULL;
    int n = 0;
    bool local = false;
    if (uv_interface_addresses(&list, &n) != 0)
        return false;
    for (int i = 0; i < n && !local; i++) {
        if (addr4 != NULL && list[i].address.address4.sin_family == AF_INET)
            local = memcmp(&list[i].address.address4.sin_addr, addr4, 4) == 0;
        else if (addr6 != NULL && list[i].address.address6.sin6_family == AF_INET6)
            local = memcmp(&list[i].address.address6.sin6_addr, addr6, 16) == 0;
    }
    uv_free_interface_addresses(list, n);
    return local;
}
