/* Owns each fresh connection until it is classified, and the count of the unauthenticated. Must not consume a
 * byte except a stream's preamble, and must not wake up for bytes it has already seen. */
#include "hub/door.h"
#include "base/addr.h"
#include "base/clock.h"
#include "base/log.h"
#include "hub/control.h"
#include "hub/fronts.h"
#include "hub/hub.h"
#include "hub/jumps.h"
#include "hub/lobby.h"
#include "hub/relays.h"
#include "hub/tally.h"
#include "tls/hello.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SILENCE_MS 3000  /* then it is a user whose client waits for the server to speak */
#define CROWDED_MS 15000 /* the same, while there are many others */
#define RECHECK_MS 100   /* how long bytes are left alone whose arrival says nothing new */

struct door {
    struct hub *hub;
    struct tally *tally;
    struct guest *guests;
    struct log_limit limit;
    bool shut;
};

/* A connection that is not classified yet. */
struct guest {
    uv_poll_t poll;
    uv_timer_t timer;
    struct door *door;
    struct guest *next, **at;
    int fd;
    unsigned open_handles;
    bool relayed, paused, spoke;
    uint16_t port;
    uint64_t since;
    size_t want; /* bytes that must be there to wake us */
    char source[64];
    struct door_slot slot;
};

static void poll_cb(uv_poll_t *h, int status, int events);
static void timer_cb(uv_timer_t *h);

void door_slot_release(struct door *d, struct door_slot *s)
{
    if (s->held)
        tally_leave(d->tally, s->key);
    s->held = false;
}

void door_slot_move(struct door_slot *from, struct door_slot *to)
{
    *to = *from;
    from->held = false;
}

int door_new(struct hub *hub, struct door **ret_d)
{
    struct door *d = calloc(1, sizeof *d);
    int rc = 0;

    if (d == NULL)
        return -ENOMEM;
    d->hub = hub;
    d->limit = (struct log_limit){.burst = 20, .interval_ms = 10000};
    rc = tally_new(&d->tally);
    if (rc < 0) {
        free(d);
        return rc;
    }
    *ret_d = d;
    return 0;
}

static void closed_cb(uv_handle_t *h)
{
    struct guest *g = h->data;

    if (--g->open_handles == 0)
        free(g);
}

/* Ends the guest here; whoever took the descriptor and the slot has them. */
static void guest_leave(struct guest *g)
{
    *g->at = g->next;
    if (g->next != NULL)
        g->next->at = g->at;
    door_slot_release(g->door, &g->slot);
    uv_close((uv_handle_t *)&g->poll, closed_cb);
    uv_close((uv_handle_t *)&g->timer, closed_cb);
    if (g->fd >= 0)
        close(g->fd);
    g->fd = -1;
}

static void guest_refuse(struct guest *g, const char *why)
{
    log_limited(&g->door->limit, LOG_LEVEL_INFO, "connection from %s closed: %s", g->source, why);
    guest_leave(g);
}

void door_free(struct door *d)
{
    if (d == NULL)
        return;
    door_shut(d);
    tally_free(d->tally);
    free(d);
}

void door_shut(struct door *d)
{
    d->shut = true;
    while (d->guests != NULL)
        guest_leave(d->guests);
}

size_t door_unauthenticated(const struct door *d)
{
    return tally_total(d->tally);
}

/* Where so many come, who is silent is a machine whose turn at its own processor has not come. */
static bool crowded(const struct door *d)
{
    return tally_total(d->tally) >= d->hub->opt.unauthenticated_max / 2;
}

/* After this much silence it is a user; with a grace that is shorter still, at its end: the front has a grace
 * of its own. */
static uint64_t silence(const struct guest *g)
{
    uint64_t grace = g->door->hub->opt.login_grace_ms, ms = crowded(g->door) ? CROWDED_MS : SILENCE_MS;

    return grace < ms ? grace : ms;
}

/* Wakes at the next of: silence long enough for a user, the end of the grace. */
static void timer_set(struct guest *g)
{
    uint64_t now = clock_now_ms();
    uint64_t end = g->since + g->door->hub->opt.login_grace_ms;
    uint64_t at = end;

    if (!g->spoke && !g->relayed)
        at = g->since + silence(g);
    if (g->paused && now + RECHECK_MS < at)
        at = now + RECHECK_MS;
    (void)uv_timer_start(&g->timer, timer_cb, at > now ? at - now : 0, 0);
}

static void set_lowat(struct guest *g, size_t n)
{
    int v = (int)n;

    (void)setsockopt(g->fd, SOL_SOCKET, SO_RCVLOWAT, &v, sizeof v);
}

static int take_fd(struct guest *g)
{
    int fd = g->fd;

    set_lowat(g, 1);
    (void)uv_poll_stop(&g->poll);
    g->fd = -1;
    return fd;
}

/* Not the whole of what tells it: sleep until there is more. */
static void guest_wait(struct guest *g, size_t want)
{
    bool nothing_new = g->want >= want;

    g->want = want;
    if (nothing_new || g->relayed) {
        /* Woken without anything new, or a socket that knows no low-water mark: look again by the clock. */
        (void)uv_poll_stop(&g->poll);
        g->paused = true;
    } else {
        set_lowat(g, want);
    }
    timer_set(g);
}

static void guest_stream(struct guest *g, const struct preamble *p, size_t n)
{
    struct hub *hub = g->door->hub;
    char line[PREAMBLE_MAX];
    char source[64];
    uint16_t port = g->port;
    int fd = -1;

    /* The bytes are there, for they were peeked at: this takes exactly the preamble. */
    if (n > sizeof line || recv(g->fd, line, n, MSG_DONTWAIT) != (ssize_t)n) {
        guest_refuse(g, "its preamble could not be read");
        return;
    }
    memcpy(source, g->source, sizeof source);
    fd = take_fd(g);
    guest_leave(g);
    jumps_connection(hub->jumps, fd, p, source, port);
}

static void guest_user(struct guest *g)
{
    struct hub *hub = g->door->hub;
    struct door_slot slot;
    char source[64];
    uint16_t port = g->port;
    int fd = take_fd(g);

    memcpy(source, g->source, sizeof source);
    door_slot_move(&g->slot, &slot);
    guest_leave(g);
    fronts_accept(hub->fronts, fd, source, port, &slot);
}

static void guest_tls(struct guest *g, bool control)
{
    struct hub *hub = g->door->hub;
    struct door_slot slot;
    char source[64];
    uint16_t port = g->port;
    uint64_t since = g->since;
    int fd = take_fd(g);

    memcpy(source, g->source, sizeof source);
    door_slot_move(&g->slot, &slot);
    guest_leave(g);
    if (control)
        lobby_enter(hub->lobby, fd, source, since, &slot);
    else
        relays_accept(hub->relays, fd, source, port, &slot);
}

static void guest_look(struct guest *g, bool ended)
{
    static uint8_t data[HELLO_MAX]; /* one loop, one look at a time */
    struct preamble preamble;
    size_t n = 0, want = 0;
    enum door_kind kind = DOOR_MORE;
    ssize_t k = recv(g->fd, data, sizeof data, MSG_PEEK | MSG_DONTWAIT);

    if (k < 0 && (errno == EAGAIN || errno == EINTR) && !ended)
        return;
    if (k <= 0) {
        guest_refuse(g, k == 0 ? "it ended without a word" : "its socket failed");
        return;
    }
    n = (size_t)k;
    g->spoke = true;
    kind = door_classify(data, n, &want, &preamble);
    if (g->relayed && kind != DOOR_STREAM && kind != DOOR_MORE)
        kind = DOOR_STRANGER;
    switch (kind) {
    case DOOR_USER:
        guest_user(g);
        break;
    case DOOR_CONTROL:
    case DOOR_RELAY:
        guest_tls(g, kind == DOOR_CONTROL);
        break;
    case DOOR_STREAM:
        guest_stream(g, &preamble, want);
        break;
    case DOOR_MORE:
        if (ended)
            guest_refuse(g, "it ended in the middle of its first message");
        else
            guest_wait(g, want);
        break;
    case DOOR_STRANGER:
        guest_refuse(g, data[0] == 0x16  ? "TLS, but not of multiSSH"
                        : data[0] == 'M' ? "a broken stream preamble"
                                         : "it speaks neither SSH nor multiSSH");
        break;
    }
}

static void poll_cb(uv_poll_t *h, int status, int events)
{
    struct guest *g = h->data;

    guest_look(g, status < 0 || (events & UV_DISCONNECT) != 0);
}

static void timer_cb(uv_timer_t *h)
{
    struct guest *g = h->data;
    uint64_t age = clock_now_ms() - g->since;

    if (!g->spoke && !g->relayed && age >= silence(g)) {
        guest_user(g);
    } else if (age >= g->door->hub->opt.login_grace_ms) {
        guest_refuse(g, "it took too long to say what it wants");
    } else if (g->paused) {
        g->paused = false;
        g->want = 0; /* bytes seen before do not count as a wake-up for nothing */
        if (uv_poll_start(&g->poll, UV_READABLE | UV_DISCONNECT, poll_cb) < 0)
            guest_refuse(g, "its socket failed");
        else
            timer_set(g);
    } else {
        timer_set(g);
    }
}

static int guest_new(struct door *d, int fd, const char *source, uint16_t port, struct guest **ret_g)
{
    struct guest *g = calloc(1, sizeof *g);
    int rc = 0;

    if (g == NULL)
        return -ENOMEM;
    rc = uv_poll_init(d->hub->loop, &g->poll, fd);
    if (rc < 0) {
        free(g);
        return rc;
    }
    (void)uv_timer_init(d->hub->loop, &g->timer);
    g->poll.data = g;
    g->timer.data = g;
    g->open_handles = 2;
    g->door = d;
    g->fd = fd;
    g->port = port;
    g->since = clock_now_ms();
    (void)snprintf(g->source, sizeof g->source, "%s", source);
    g->next = d->guests;
    g->at = &d->guests;
    if (g->next != NULL)
        g->next->at = &g->next;
    d->guests = g;
    *ret_g = g;
    return 0;
}

static void guest_begin(struct guest *g)
{
    if (uv_poll_start(&g->poll, UV_READABLE | UV_DISCONNECT, poll_cb) < 0) {
        guest_refuse(g, "its socket failed");
        return;
    }
    timer_set(g);
}

void door_let_users_in(struct door *d)
{
    for (struct guest *g = d->guests, *next = NULL; g != NULL; g = next) {
        next = g->next;
        if (!g->spoke && !g->relayed)
            guest_user(g);
    }
}

/* Which limit stands against one more connection of this source? NULL: none. */
static const char *limit_over(const struct door *d, const char *key)
{
    const struct hub_options *opt = &d->hub->opt;

    if (tally_total(d->tally) >= opt->unauthenticated_max)
        return "too many connections that have not logged in (unauthenticated-max)";
    if (tally_count(d->tally, key) >= opt->unauthenticated_per_source)
        return "too many connections of this source that have not logged in (unauthenticated-per-source)";
    return NULL;
}

void door_enter(struct door *d, int fd, const char *source, uint16_t port)
{
    struct door_slot slot = {.held = false};
    const char *why = NULL, *over = NULL;
    struct guest *g = NULL;

    addr_source_key(source, slot.key, sizeof slot.key);
    over = limit_over(d, slot.key);
    if (d->shut)
        why = "the hub is shutting down";
    else if (over != NULL)
        lobby_refuse(d->hub->lobby, fd, source, over);
    else if (tally_enter(d->tally, slot.key) < 0)
        why = "out of memory";
    else
        slot.held = true;
    if (slot.held && guest_new(d, fd, source, port, &g) < 0)
        why = "out of memory";
    if (why != NULL) {
        log_limited(&d->limit, LOG_LEVEL_WARN, "connection from %s closed: %s", source, why);
        door_slot_release(d, &slot);
        close(fd);
    }
    if (g == NULL)
        return;
    door_slot_move(&slot, &g->slot);
    guest_begin(g);
}

void door_enter_relayed(struct door *d, int fd, const char *source, uint16_t port, struct door_slot *slot)
{
    struct guest *g = NULL;

    if (d->shut || guest_new(d, fd, source, port, &g) < 0) {
        door_slot_release(d, slot);
        close(fd);
        return;
    }
    g->relayed = true;
    door_slot_move(slot, &g->slot);
    guest_begin(g);
}
