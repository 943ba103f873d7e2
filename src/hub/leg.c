/* Owns the descriptor and its poll handle. */
#include "hub/leg.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct leg {
    uv_poll_t poll;
    int fd;
    uint32_t epoch;
    leg_gone_fn *gone;
    void *arg;
};

static void closed_cb(uv_handle_t *h)
{
    free(h->data);
}

static void poll_cb(uv_poll_t *h, int status, int events)
{
    struct leg *l = h->data;

    if (status < 0 || (events & UV_DISCONNECT) != 0) {
        (void)uv_poll_stop(&l->poll);
        l->gone(l->arg, l);
    }
}

int leg_new(uv_loop_t *loop, int fd, uint32_t epoch, leg_gone_fn *gone, void *arg, struct leg **ret_l)
{
    struct leg *l = calloc(1, sizeof *l);
    int rc = 0;

    if (l == NULL)
        return -ENOMEM;
    *l = (struct leg){.fd = fd, .epoch = epoch, .gone = gone, .arg = arg};
    rc = uv_poll_init(loop, &l->poll, fd);
    if (rc < 0) {
        free(l);
        return rc;
    }
    l->poll.data = l;
    rc = uv_poll_start(&l->poll, UV_DISCONNECT, poll_cb);
    if (rc < 0) {
        (void)leg_take(l);
        return rc;
    }
    *ret_l = l;
    return 0;
}

int leg_take(struct leg *l)
{
    int fd = l->fd;

    uv_close((uv_handle_t *)&l->poll, closed_cb);
    return fd;
}

void leg_free(struct leg *l)
{
    if (l != NULL)
        close(leg_take(l));
}

uint32_t leg_epoch(const struct leg *l)
{
    return l->epoch;
}
