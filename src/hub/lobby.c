/* Owns the connections that wait, and what is known of the hub's pace. Must not have more than IN_WORK_MAX handshakes in work at a
 * time, nor begin them for longer than TURN_MS in one turn of the loop, in which everybody else waits. */
#include "hub/lobby.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/log.h"
#include "hub/control.h"
#include "hub/farewells.h"
#include "hub/hub.h"
#include "hub/tally.h"
#include "tls/busy.h"
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IN_WORK_MAX 96
#define IN_WORK_SOURCE 32 /* of one source, so that one alone cannot stand in everybody's way */
#define STALL_MS 2000 /* a handshake that takes longer waits for its network, and is not counted any more */
#define TURN_MS 4
#define WAIT_MAX_MS 2500 /* who would wait for longer is told to come again */
#define STALE_MS 6000    /* and so is who has: a machine gives up after 10 s */
#define LOOK_MS 100
#define PACE_FIRST 1000 /* machines a second, before anything is known */
#define PACE_MIN 50
#define PACE_MAX 5000
#define AGAIN_MIN_MS 1000
#define AGAIN_MAX_MS 30000
#define FAREWELLS 512  /* beyond that many, the line is sent and nobody waits until it has arrived */
#define TRIM_AFTER 200 /* handshakes in a row, whose memory is then given back */

struct waiting {
    struct waiting *next;
    uint64_t since;
    struct door_slot slot;
    int fd;
    char source[];
};

struct lobby {
    struct hub *hub;
    struct tally *sources; /* of those in work */
    struct farewells *farewells;
    struct waiting *first, **last;
    size_t n;
    struct lobby_place *work, **work_last; /* the oldest first */
    size_t n_work;
    uint64_t pace; /* machines a second */
    uint64_t turn_us;
    unsigned turn_n, n_row;
    uint64_t again_us; /* the time that was given last, in µs */
    uv_idle_t idle;
    uv_timer_t timer;
    unsigned open_handles;
    bool shut;
    struct log_limit limit;
};

/* --- what is in work --- */

static void place_leave(struct lobby *l, struct lobby_place *p)
{
    *p->at = p->next;
    if (p->next != NULL)
        p->next->at = p->at;
    else
        l->work_last = p->at;
    l->n_work--;
    tally_leave(l->sources, p->source);
    p->owner = NULL;
}

/* Those that stall do not count any more. */
static void let_go(struct lobby *l, uint64_t now)
{
    while (l->work != NULL && now - l->work->since > STALL_MS)
        place_leave(l, l->work);
}

void lobby_work(struct lobby *l, struct lobby_place *p, const char *source)
{
    if (tally_enter(l->sources, source) < 0)
        return; /* then it is not counted */
    p->owner = l;
    p->source = source;
    p->since = clock_now_ms();
    p->next = NULL;
    p->at = l->work_last;
    *p->at = p;
    l->work_last = &p->next;
    l->n_work++;
}

/* --- the pace --- */

/* By the hub's own time alone, from one turn of work to the next with nothing between: those who stall, and who is slow at the
 * other end, say nothing of it. */
static void measure(struct lobby *l, unsigned n)
{
    uint64_t now_us = uv_hrtime() / 1000, us = now_us - l->turn_us;

    if (l->turn_n > 0 && us > 0) {
        uint64_t pace = l->turn_n * 1000000ull / us;

        l->pace = (7 * l->pace + pace) / 8;
        l->pace = l->pace < PACE_MIN ? PACE_MIN : l->pace > PACE_MAX ? PACE_MAX : l->pace;
    }
    l->turn_us = now_us;
    l->turn_n = n;
}

static uint64_t wait_ms(const struct lobby *l)
{
    return l->n * 1000 / l->pace;
}

/* When this one is to come: behind all that were told before, as fast as the hub works. */
static uint32_t again_ms(struct lobby *l, uint64_t now)
{
    uint64_t wait = wait_ms(l), soonest = now + (wait > AGAIN_MIN_MS ? wait : AGAIN_MIN_MS);
    uint32_t dice = 0;

    if (l->again_us < soonest * 1000)
        l->again_us = soonest * 1000;
    if (l->again_us / 1000 - now < AGAIN_MAX_MS) {
        /* Somewhat faster than the hub works: not all do come, and all come late. */
        l->again_us += 1000000 * 2 / (3 * l->pace);
        return (uint32_t)(l->again_us / 1000 - now);
    }
    (void)crypto_random(&dice, sizeof dice);
    return AGAIN_MAX_MS / 2 + dice % (AGAIN_MAX_MS / 2);
}

void lobby_refuse(struct lobby *l, int fd, const char *source, const char *why)
{
    char line[BUSY_LINE_MAX];
    uint32_t ms = again_ms(l, clock_now_ms());

    if (l->shut) {
        close(fd);
        return;
    }
    log_limited(&l->limit, LOG_LEVEL_WARN, "connection from %s told to come again in %lu ms: %s", source,
                (unsigned long)ms, why);
    farewells_add(l->farewells, fd, line, busy_line(ms, line));
}

/* --- who waits --- */

static bool hung_up(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};

    return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

static void let_in(struct lobby *l, struct waiting *w, uint64_t now)
{
    struct hub *hub = l->hub;

    if (hung_up(w->fd)) { /* nobody is there any more who could be let in */
        door_slot_release(hub->door, &w->slot);
        close(w->fd);
    } else if (now - w->since > STALE_MS) {
        door_slot_release(hub->door, &w->slot);
        lobby_refuse(l, w->fd, w->source, "it has waited for its TLS handshake for too long");
    } else {
        controls_accept(hub->controls, w->fd, w->source, w->since, &w->slot);
        l->n_row++;
    }
    free(w);
}

/* The first one whose source has not had its share already. */
static struct waiting *take_one(struct lobby *l)
{
    struct waiting **at = &l->first;

    if (l->n_work >= IN_WORK_MAX)
        return NULL;
    while (*at != NULL && tally_count(l->sources, (*at)->slot.key) >= IN_WORK_SOURCE)
        at = &(*at)->next;
    if (*at == NULL)
        return NULL;
    struct waiting *w = *at;

    *at = w->next;
    if (w->next == NULL)
        l->last = at;
    l->n--;
    return w;
}

/* What a crowd's handshakes took stays with the allocator otherwise, and is much for a hub of idle machines. */
static void tidy(struct lobby *l)
{
    if (l->n_row >= TRIM_AFTER)
        (void)malloc_trim(0);
    l->n_row = 0;
}

static void idle_cb(uv_idle_t *h)
{
    struct lobby *l = h->data;
    uint64_t now = clock_now_ms(), end = now + TURN_MS;
    struct waiting *w = NULL;
    unsigned n = 0;

    let_go(l, now);
    for (; now < end && (w = take_one(l)) != NULL; n++) {
        let_in(l, w, now);
        now = clock_now_ms();
    }
    if (w == NULL) { /* nobody is left, or only those that have to wait for others */
        (void)uv_idle_stop(&l->idle);
        n = 0;
    }
    measure(l, n);
}

/* Looks again at the next turn of the loop, now that something has changed. */
static void look(struct lobby *l)
{
    if (l->n > 0 && !l->shut)
        (void)uv_idle_start(&l->idle, idle_cb);
}

/* For those in work that stall, and for the quiet after a crowd. */
static void timer_cb(uv_timer_t *h)
{
    struct lobby *l = h->data;

    let_go(l, clock_now_ms());
    look(l);
    if (l->n > 0 || l->n_work > 0)
        return;
    (void)uv_timer_stop(h);
    tidy(l);
}

void lobby_enter(struct lobby *l, int fd, const char *source, uint64_t since, struct door_slot *slot)
{
    size_t n = strlen(source) + 1;
    struct waiting *w = NULL;
    const char *why = NULL;

    if (l->shut) {
        door_slot_release(l->hub->door, slot);
        close(fd);
        return;
    }
    if (wait_ms(l) > WAIT_MAX_MS)
        why = "many others wait for their TLS handshake";
    else if ((w = malloc(sizeof *w + n)) == NULL)
        why = "out of memory";
    if (why != NULL) {
        door_slot_release(l->hub->door, slot);
        lobby_refuse(l, fd, source, why);
        return;
    }
    w->next = NULL;
    w->since = since;
    w->fd = fd;
    memcpy(w->source, source, n);
    door_slot_move(slot, &w->slot);
    *l->last = w;
    l->last = &w->next;
    l->n++;
    if (!uv_is_active((uv_handle_t *)&l->timer))
        (void)uv_timer_start(&l->timer, timer_cb, LOOK_MS, LOOK_MS);
    look(l);
}

void lobby_done(struct lobby_place *p)
{
    struct lobby *l = p->owner;

    if (l == NULL)
        return;
    place_leave(p->owner, p);
    look(l);
}

size_t lobby_count(const struct lobby *l)
{
    return l->n;
}

/* --- life --- */

int lobby_new(struct hub *hub, struct lobby **ret_l)
{
    struct lobby *l = calloc(1, sizeof *l);
    int rc = 0;

    if (l == NULL)
        return -ENOMEM;
    rc = tally_new(&l->sources);
    if (rc == 0)
        rc = farewells_new(hub->loop, FAREWELLS, &l->farewells);
    if (rc < 0) {
        tally_free(l->sources);
        free(l);
        return rc;
    }
    l->hub = hub;
    l->last = &l->first;
    l->work_last = &l->work;
    l->pace = PACE_FIRST;
    l->limit = (struct log_limit){.burst = 3, .interval_ms = 10000};
    (void)uv_idle_init(hub->loop, &l->idle);
    (void)uv_timer_init(hub->loop, &l->timer);
    l->idle.data = l->timer.data = l;
    l->open_handles = 2;
    *ret_l = l;
    return 0;
}

void lobby_shut(struct lobby *l)
{
    l->shut = true;
    for (struct waiting *w = l->first, *next = NULL; w != NULL; w = next) {
        next = w->next;
        door_slot_release(l->hub->door, &w->slot);
        close(w->fd);
        free(w);
    }
    l->first = NULL;
    l->last = &l->first;
    l->n = 0;
}

static void closed_cb(uv_handle_t *h)
{
    struct lobby *l = h->data;

    if (--l->open_handles > 0)
        return;
    tally_free(l->sources);
    free(l);
}

void lobby_free(struct lobby *l)
{
    if (l == NULL)
        return;
    lobby_shut(l);
    while (l->work != NULL)
        place_leave(l, l->work);
    farewells_free(l->farewells);
    uv_close((uv_handle_t *)&l->idle, closed_cb);
    uv_close((uv_handle_t *)&l->timer, closed_cb);
}
