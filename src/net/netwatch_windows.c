/* IP Helper's notifications: addresses and routes. They come on threads of the system's, which do no more than wake
 * the loop. */
#include "net/netwatch.h"

#include "base/sockaddr.h"
#include "base/win.h"
#include <errno.h>
#include <iphlpapi.h>
#include <netioapi.h>
#include <stdlib.h>

struct netwatch {
    uv_async_t async;
    uv_timer_t timer;
    netwatch_fn *fn;
    void *arg;
    HANDLE addresses, routes;
    unsigned open; /* handles not yet closed */
};

static void on_timer(uv_timer_t *timer)
{
    struct netwatch *w = timer->data;
    w->fn(w->arg);
}

static void on_async(uv_async_t *async)
{
    struct netwatch *w = async->data;
    if (!uv_is_active((uv_handle_t *)&w->timer))
        uv_timer_start(&w->timer, on_timer, NETWATCH_QUIET_MS, 0);
}

static VOID WINAPI on_address(PVOID arg, PMIB_UNICASTIPADDRESS_ROW row, MIB_NOTIFICATION_TYPE type)
{
    struct netwatch *w = arg;
    (void)row;
    (void)type;
    uv_async_send(&w->async);
}

static VOID WINAPI on_route(PVOID arg, PMIB_IPFORWARD_ROW2 row, MIB_NOTIFICATION_TYPE type)
{
    struct netwatch *w = arg;
    (void)row;
    (void)type;
    uv_async_send(&w->async);
}

/* Waits until the callbacks that run have ended. */
static void cancel(HANDLE *notification)
{
    if (*notification != NULL)
        CancelMibChangeNotify2(*notification);
    *notification = NULL;
}

int netwatch_new(uv_loop_t *loop, netwatch_fn *fn, void *arg, struct netwatch **ret_w)
{
    struct netwatch *w = calloc(1, sizeof *w);
    if (w == NULL)
        return -ENOMEM;
    int r = uv_async_init(loop, &w->async, on_async);
    if (r != 0) {
        free(w);
        return r;
    }
    w->fn = fn;
    w->arg = arg;
    w->async.data = w->timer.data = w;
    w->open = 2;
    uv_timer_init(loop, &w->timer);
    uv_unref((uv_handle_t *)&w->async);
    uv_unref((uv_handle_t *)&w->timer);
    DWORD error = NotifyUnicastIpAddressChange(AF_UNSPEC, on_address, w, FALSE, &w->addresses);
    if (error == NO_ERROR)
        error = NotifyRouteChange2(AF_UNSPEC, on_route, w, FALSE, &w->routes);
    if (error != NO_ERROR) {
        netwatch_free(w);
        return win_errno(error);
    }
    *ret_w = w;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    struct netwatch *w = handle->data;
    if (--w->open == 0)
        free(w);
}

void netwatch_free(struct netwatch *w)
{
    if (w == NULL)
        return;
    cancel(&w->addresses);
    cancel(&w->routes);
    uv_close((uv_handle_t *)&w->async, on_closed);
    uv_close((uv_handle_t *)&w->timer, on_closed);
}
