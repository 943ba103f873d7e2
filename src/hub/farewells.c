/* Owns the connections that are about to be closed. Must not keep one beyond LINGER_MS, nor more than
 * its maximum. */
#include "hub/farewells.h"
#include "base/clock.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINGER_MS 3000
#define LOOK_MS 500
#define READS_MAX 16 /* a turn, of one connection */

struct farewell {
    uv_poll_t poll;
    struct farewells *owner;
    struct farewell *next, **at;
    uint64_t deadline;
    int fd;
};

struct farewells {
    uv_loop_t *loop;
    uv_timer_t timer;
    struct farewell *list;
    unsigned n, max;
};

static void timer_closed_cb(uv_handle_t *h)
{
    free(h->data);
}

static void closed_cb(uv_handle_t *h)
{
    free(h->data);
}

static void farewell_end(struct farewell *e)
{
    struct farewells *f = e->owner;

    *e->at = e->next;
    if (e->next != NULL)
        e->next->at = e->at;
    f->n--;
    if (f->n == 0)
        (void)uv_timer_stop(&f->timer);
    uv_close((uv_handle_t *)&e->poll, closed_cb);
    close(e->fd);
}

static void look_cb(uv_timer_t *h)
{
    struct farewells *f = h->data;
    uint64_t now = clock_now_ms();

    for (struct farewell *e = f->list, *next = NULL; e != NULL; e = next) {
        next = e->next;
        if (now >= e->deadline)
            farewell_end(e);
    }
}

static void poll_cb(uv_poll_t *h, int status, int events)
{
    struct farewell *e = h->data;
    char thrown[4096];
    ssize_t k = status < 0 ? 0 : 1;

    (void)events;
    for (int i = 0; i < READS_MAX && k > 0; i++)
        k = recv(e->fd, thrown, sizeof thrown, MSG_DONTWAIT);
    if (k == 0 || (k < 0 && errno != EAGAIN && errno != EINTR))
        farewell_end(e);
}

int farewells_new(uv_loop_t *loop, unsigned max, struct farewells **ret_f)
{
    struct farewells *f = calloc(1, sizeof *f);

    if (f == NULL)
        return -ENOMEM;
    f->loop = loop;
    f->max = max;
    (void)uv_timer_init(loop, &f->timer);
    f->timer.data = f;
    *ret_f = f;
    return 0;
}

void farewells_free(struct farewells *f)
{
    if (f == NULL)
        return;
    while (f->list != NULL)
        farewell_end(f->list);
    uv_close((uv_handle_t *)&f->timer, timer_closed_cb);
}

void farewells_add(struct farewells *f, int fd, const char *line, size_t n)
{
    struct farewell *e = NULL;
    char thrown[4096];

    if (send(fd, line, n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 || shutdown(fd, SHUT_WR) < 0 || f->n >= f->max ||
        (e = calloc(1, sizeof *e)) == NULL)
        goto fail;
    if (uv_poll_init(f->loop, &e->poll, fd) < 0)
        goto fail;
    e->poll.data = e;
    e->owner = f;
    e->fd = fd;
    e->deadline = clock_now_ms() + LINGER_MS;
    e->next = f->list;
    e->at = &f->list;
    if (e->next != NULL)
        e->next->at = &e->next;
    f->list = e;
    f->n++;
    if (!uv_is_active((uv_handle_t *)&f->timer))
        (void)uv_timer_start(&f->timer, look_cb, LOOK_MS, LOOK_MS);
    if (uv_poll_start(&e->poll, UV_READABLE | UV_DISCONNECT, poll_cb) < 0)
        farewell_end(e);
    return;
fail:
    (void)recv(fd, thrown, sizeof thrown, MSG_DONTWAIT); /* closing over bytes would reset it */
    free(e);
    close(fd);
}
