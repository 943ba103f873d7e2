/* The clock of libuv's timers goes on while the host sleeps, and the network comes back when it wakes (net/netwatch.h). */
#include "client/wake.h"

#include <errno.h>

int wake_new(uv_loop_t *loop, wake_fn *fn, void *arg, struct wake **ret_w)
{
    (void)loop;
    (void)fn;
    (void)arg;
    (void)ret_w;
    return -ENOSYS;
}

void wake_free(struct wake *w)
{
    (void)w;
}
