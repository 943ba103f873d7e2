/* What the first bytes of a connection are. Pure: no socket, no state. */
#include "hub/door.h"
#include "tls/hello.h"
#include <errno.h>
#include <string.h>

static enum door_kind classify_tls(const uint8_t *data, size_t n, size_t *ret_n)
{
    size_t need = 0;
    int rc = hello_alpn(data, n, &need);

    if (rc == HELLO_CONTROL)
        return DOOR_CONTROL;
    if (rc == HELLO_STREAM)
        return DOOR_RELAY;
    if (rc != -EAGAIN || need > HELLO_MAX || n >= HELLO_MAX)
        return DOOR_STRANGER;
    *ret_n = need > n ? need : n + 1;
    return DOOR_MORE;
}

enum door_kind door_classify(const uint8_t *data, size_t n, size_t *ret_n, struct preamble *ret_preamble)
{
    static const char ssh[] = "SSH-";
    int rc = 0;

    *ret_n = n + 1;
    if (n == 0)
        return DOOR_MORE;
    if (data[0] == 0x16)
        return classify_tls(data, n, ret_n);
    if (data[0] == 'S') {
        size_t k = n < sizeof ssh - 1 ? n : sizeof ssh - 1;

        *ret_n = sizeof ssh - 1;
        if (memcmp(data, ssh, k) != 0)
            return DOOR_STRANGER;
        return k == sizeof ssh - 1 ? DOOR_USER : DOOR_MORE;
    }
    if (data[0] != 'M')
        return DOOR_STRANGER;
    rc = preamble_parse((const char *)data, n, ret_preamble);
    if (rc == -EAGAIN)
        return DOOR_MORE;
    if (rc <= 0)
        return DOOR_STRANGER;
    *ret_n = (size_t)rc;
    return DOOR_STREAM;
}
