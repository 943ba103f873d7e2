/* rtnetlink(7): addresses and routes. */
#include "net/netwatch.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct netwatch {
    uv_poll_t poll;
    uv_timer_t timer;
    netwatch_fn *fn;
    void *arg;
    int fd;
    unsigned open; /* handles not yet closed */
};

static void on_timer(uv_timer_t *timer)
{
    struct netwatch *w = timer->data;
    w->fn(w->arg);
}

static bool is_change(const char *data, size_t n)
{
    const struct nlmsghdr *h = (const struct nlmsghdr *)(const void *)data;
    for (; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n))
        if (h->nlmsg_type == RTM_NEWADDR || h->nlmsg_type == RTM_DELADDR || h->nlmsg_type == RTM_NEWROUTE ||
            h->nlmsg_type == RTM_DELROUTE)
            return true;
    return false;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct netwatch *w = poll->data;
    _Alignas(struct nlmsghdr) char data[8192];
    bool change = false;
    (void)events;
    if (status < 0)
        return;
    for (int i = 0; i < 64; i++) {
        ssize_t n = recv(w->fd, data, sizeof data, MSG_DONTWAIT);
        if (n < 0 && errno == ENOBUFS) { /* some were dropped: certainly a change */
            change = true;
            continue;
        }
        if (n <= 0)
            break;
        change = is_change(data, (size_t)n) || change;
    }
    if (change && !uv_is_active((uv_handle_t *)&w->timer))
        uv_timer_start(&w->timer, on_timer, NETWATCH_QUIET_MS, 0);
}

int netwatch_new(uv_loop_t *loop, netwatch_fn *fn, void *arg, struct netwatch **ret_w)
{
    struct sockaddr_nl addr = {.nl_family = AF_NETLINK,
                               .nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
                                            RTMGRP_IPV6_ROUTE};
    struct netwatch *w = calloc(1, sizeof *w);
    if (w == NULL)
        return -ENOMEM;
    w->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    int r = w->fd < 0 ? -errno : 0;
    if (r == 0 && bind(w->fd, (struct sockaddr *)&addr, sizeof addr) != 0)
        r = -errno;
    if (r == 0)
        r = uv_poll_init(loop, &w->poll, w->fd);
    if (r != 0) {
        if (w->fd >= 0)
            close(w->fd);
        free(w);
        return r;
    }
    w->fn = fn;
    w->arg = arg;
    w->poll.data = w->timer.data = w;
    w->open = 2;
    uv_timer_init(loop, &w->timer);
    uv_unref((uv_handle_t *)&w->poll);
    uv_unref((uv_handle_t *)&w->timer);
    r = uv_poll_start(&w->poll, UV_READABLE, on_readable);
    if (r != 0) {
        netwatch_free(w);
        return r;
    }
    *ret_w = w;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    struct netwatch *w = handle->data;
    if (--w->open > 0)
        return;
    close(w->fd);
    free(w);
}

void netwatch_free(struct netwatch *w)
{
    if (w == NULL)
        return;
    uv_close((uv_handle_t *)&w->poll, on_closed);
    uv_close((uv_handle_t *)&w->timer, on_closed);
}
