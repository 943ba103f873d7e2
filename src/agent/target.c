/* Errors of connecting, as the hub is told them. */
#include "agent/target.h"

#include <string.h>
#include <uv.h>

const char *target_code(int status)
{
    switch (status) {
    case UV_ECONNREFUSED:
        return "refused";
    case UV_ETIMEDOUT:
        return "timeout";
    case UV_EHOSTUNREACH:
    case UV_ENETUNREACH:
    case UV_ENETDOWN:
    case UV_EADDRNOTAVAIL:
    case UV_EAI_NONAME:
    case UV_EAI_NODATA:
    case UV_EAI_AGAIN:
    case UV_EAI_FAIL:
        return "unreachable";
    case UV_EMFILE:
    case UV_ENFILE:
    case UV_ENOMEM:
    case UV_ENOBUFS:
        return "busy";
    default:
        return "other";
    }
}

const char *target_state(int status)
{
    return strcmp(target_code(status), "refused") == 0 ? "refused" : "timeout";
}
