/* There is no such setting. */
#include "net/proxy_system.h"

#include <errno.h>
#include <string.h>

const bool proxy_system_there = false;

int proxy_system(const struct addr_hostport *to, struct proxy *ret_p, struct errmsg *err)
{
    (void)to;
    memset(ret_p, 0, sizeof *ret_p);
    return errmsg_set(err, -ENOSYS, "this system has no setting for a proxy");
}
