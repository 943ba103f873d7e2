/* Tells when this host, or this process, goes on after it has stood still: clocks that the loop goes by have not counted
 * meanwhile. Siblings: wake_linux.c, wake_windows.c. */
#ifndef MULTISSH_CLIENT_WAKE_H
#define MULTISSH_CLIENT_WAKE_H

#include <uv.h>

struct wake;
typedef void wake_fn(void *arg);
/* fn is called from the loop, now and then also for no reason; it keeps no loop running. Returns 0 or a negative errno
 * value (then nobody will tell). */
int wake_new(uv_loop_t *loop, wake_fn *fn, void *arg, struct wake **ret_w);
void wake_free(struct wake *w);

#endif
