/* Owns the connections and the one clock of them all: a wheel of seconds in which each stands where it is
 * next due. Must not call the registry or the jumps from inside a call of theirs. */
#include "base/clock.h"
#include "base/log.h"
#include "hub/control_private.h"
#include "hub/jumps.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TICK_MS 500
#define BACK_MS 500            /* after the hub ended: when the first machine may come back */
#define BACK_SPREAD_MIN_MS 500 /* and how much later the last one, 1 ms for each */
#define BACK_SPREAD_MAX_MS 10000

static void tick_cb(uv_timer_t *h);
static void soon_cb(uv_timer_t *h);

int controls_new(struct hub *hub, struct controls **ret_c)
{
    struct controls *c = calloc(1, sizeof *c);

    if (c == NULL)
        return -ENOMEM;
    c->hub = hub;
    c->limit = (struct log_limit){.burst = 20, .interval_ms = 5000};
    c->wheel_second = clock_now_ms() / 1000;
    (void)uv_timer_init(hub->loop, &c->tick);
    (void)uv_timer_init(hub->loop, &c->soon);
    c->tick.data = c->soon.data = c;
    c->open_handles = 2;
    (void)uv_timer_start(&c->tick, tick_cb, TICK_MS, TICK_MS);
    registry_on_approved(hub->registry, control_link_approved, c);
    *ret_c = c;
    return 0;
}

static void closed_cb(uv_handle_t *h)
{
    struct controls *c = h->data;

    if (--c->open_handles == 0)
        free(c);
}

void controls_free(struct controls *c)
{
    if (c == NULL || c->dying)
        return;
    c->dying = true;
    while (c->all != NULL)
        control_close(c->all, "the hub is shutting down");
    uv_close((uv_handle_t *)&c->tick, closed_cb);
    uv_close((uv_handle_t *)&c->soon, closed_cb);
}

size_t controls_count(const struct controls *c)
{
    return c->n;
}

const char *control_name(const struct control *c)
{
    return c->name[0] != '\0' ? c->name : c->source;
}

/* --- the wheel --- */

static void unlink_due(struct control *c)
{
    if (c->at == NULL)
        return;
    *c->at = c->next;
    if (c->next != NULL)
        c->next->at = c->at;
    c->at = NULL;
}

static void link_due(struct control *c, struct control **list)
{
    unlink_due(c);
    c->next = *list;
    c->at = list;
    if (c->next != NULL)
        c->next->at = &c->next;
    *list = c;
}

/* In the slot of the first tick at or after `at`, at most a round of the wheel away. */
void control_schedule(struct control *c, uint64_t at)
{
    struct controls *o = c->owner;
    uint64_t second = at / 1000 + 1;

    if (second <= o->wheel_second)
        second = o->wheel_second + 1;
    if (second >= o->wheel_second + CONTROL_WHEEL)
        second = o->wheel_second + CONTROL_WHEEL - 1;
    link_due(c, &o->wheel[second % CONTROL_WHEEL]);
}

void control_soon(struct control *c)
{
    link_due(c, &c->owner->due);
    if (!uv_is_active((uv_handle_t *)&c->owner->soon))
        (void)uv_timer_start(&c->owner->soon, soon_cb, 0, 0);
}

void control_reschedule(struct control *c)
{
    uint64_t ping = c->ping_ms;

    if (c->failure != NULL || c->again) {
        control_soon(c);
    } else if (c->state == CONTROL_HELD || c->state == CONTROL_ONLINE) {
        uint64_t dead = c->heard + ping + CONTROL_SLACK_MS;

        control_schedule(c, c->pinged + ping < dead ? c->pinged + ping : dead);
    } else {
        control_schedule(c, c->deadline);
    }
}

static void check(struct control *c, uint64_t now)
{
    uint64_t ping = c->ping_ms;

    switch (c->state) {
    case CONTROL_FRESH:
        if (now >= c->deadline) {
            control_close(c, "no hello within login-grace");
            return;
        }
        break;
    case CONTROL_PROBING:
        if (now >= c->deadline) {
            /* Nothing came from the present link: it is dead, whatever TCP thinks. */
            control_messages_unprobe(c);
            control_messages_ask(c, true);
            return;
        }
        break;
    case CONTROL_HELD:
    case CONTROL_ONLINE:
        if (now >= c->heard + ping + CONTROL_SLACK_MS) {
            control_close(c, "keepalive lost");
            return;
        }
        if (now >= c->pinged + ping) {
            if (c->state == CONTROL_ONLINE && now >= c->resume_at)
                control_messages_resume(c);
            control_messages_ping(c);
        }
        break;
    case CONTROL_CLOSING:
        if (now >= c->deadline) {
            control_close(c, "closed");
            return;
        }
        break;
    case CONTROL_DEAD:
        return;
    }
    control_reschedule(c);
}

/* Takes the list over first: whoever is put back goes to another one. */
static void run_list(struct control **list, void (*fn)(struct control *c, uint64_t now), uint64_t now)
{
    struct control *mine = *list;

    *list = NULL;
    if (mine != NULL)
        mine->at = &mine;
    while (mine != NULL) {
        struct control *c = mine;

        unlink_due(c);
        fn(c, now);
    }
}

static void tick_cb(uv_timer_t *h)
{
    struct controls *o = h->data;
    uint64_t now = clock_now_ms();

    if (now / 1000 > o->wheel_second + CONTROL_WHEEL)
        o->wheel_second = now / 1000 - CONTROL_WHEEL; /* the host slept: one round meets everybody */
    while (o->wheel_second < now / 1000) {
        o->wheel_second++;
        run_list(&o->wheel[o->wheel_second % CONTROL_WHEEL], check, now);
    }
}

static void do_soon(struct control *c, uint64_t now)
{
    if (c->state == CONTROL_DEAD)
        return;
    if (c->failure != NULL) {
        control_close(c, c->failure);
    } else if (c->again) {
        c->again = false;
        control_messages_ask(c, false);
    } else {
        check(c, now);
    }
}

static void soon_cb(uv_timer_t *h)
{
    struct controls *o = h->data;

    run_list(&o->due, do_soon, clock_now_ms());
}

/* --- one connection --- */

void controls_accept(struct controls *o, int fd, const char *source, uint64_t since, struct door_slot *slot)
{
    struct control *c = calloc(1, sizeof *c);
    unsigned user_timeout = (unsigned)(o->hub->opt.ping_ms + CONTROL_SLACK_MS);
    int rc = -ENOMEM;

    if (c == NULL)
        goto out;
    c->link.ops = &control_link_ops;
    c->owner = o;
    c->fd = fd;
    c->state = CONTROL_FRESH;
    c->ping_ms = (uint32_t)o->hub->opt.ping_ms;
    c->since = since;
    c->heard = c->pinged = clock_now_ms();
    c->deadline = since + o->hub->opt.login_grace_ms;
    (void)snprintf(c->source, sizeof c->source, "%s", source);
    buf_init(&c->plain, 4 * CONTROL_LINE_MAX);
    buf_init(&c->out, 2 * CONTROL_OUTPUT_MAX);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout, sizeof user_timeout);
    rc = session_new_server(hub_tls(o->hub), &c->tls);
    if (rc == 0)
        rc = uv_poll_init(o->hub->loop, &c->poll, fd);
    if (rc < 0)
        goto out;
    c->poll.data = c;
    c->all_next = o->all;
    c->all_at = &o->all;
    if (c->all_next != NULL)
        c->all_next->all_at = &c->all_next;
    o->all = c;
    o->n++;
    door_slot_move(slot, &c->slot);
    lobby_work(o->hub->lobby, &c->place, c->slot.key);
    control_reschedule(c);
    rc = control_io_start(c);
    if (rc < 0)
        control_close(c, "its socket failed");
    return;
out:
    log_limited(&o->limit, LOG_LEVEL_ERROR, "control connection from %s closed: %s", source, uv_strerror(rc));
    door_slot_release(o->hub->door, slot);
    close(fd);
    if (c != NULL)
        session_free(c->tls);
    free(c);
}

static void control_closed_cb(uv_handle_t *h)
{
    struct control *c = h->data;

    buf_wipe(&c->plain);
    buf_wipe(&c->out);
    session_free(c->tls);
    cJSON_Delete(c->hello);
    free(c);
}

void control_close(struct control *c, const char *reason)
{
    struct controls *o = c->owner;
    enum control_state was = c->state;

    if (was == CONTROL_DEAD)
        return;
    c->state = CONTROL_DEAD;
    lobby_done(&c->place);
    unlink_due(c);
    *c->all_at = c->all_next;
    if (c->all_next != NULL)
        c->all_next->all_at = c->all_at;
    o->n--;
    uv_close((uv_handle_t *)&c->poll, control_closed_cb);
    close(c->fd);
    c->fd = -1;
    door_slot_release(o->hub->door, &c->slot);
    if (was == CONTROL_ONLINE)
        control_messages_offline(c, reason);
    else if (was != CONTROL_CLOSING)
        log_limited(&o->limit, LOG_LEVEL_INFO, "control connection from %s closed: %s", c->source, reason);
    control_messages_unprobe(c);
    c->machine = NULL;
    registry_gone(o->hub->registry, &c->link, reason, clock_wall_s());
    jumps_link_gone(o->hub->jumps, &c->link);
}

void controls_expire(struct controls *o)
{
    registry_expire(o->hub->registry, clock_wall_s(), control_link_expired, o);
}

void controls_bye(struct controls *o)
{
    uint64_t n = o->n, i = 0;
    /* When each comes back: soon, and one behind the other, for a thousand handshakes take a second. */
    uint64_t spread = n < BACK_SPREAD_MIN_MS   ? BACK_SPREAD_MIN_MS
                      : n > BACK_SPREAD_MAX_MS ? BACK_SPREAD_MAX_MS
                                               : n;

    for (struct control *c = o->all; c != NULL; c = c->all_next) {
        if (c->state == CONTROL_HELD || c->state == CONTROL_ONLINE || c->state == CONTROL_PROBING) {
            /* Here, for the end of the connection that follows would be told as the agent's doing. */
            c->machine = NULL;
            registry_gone(o->hub->registry, &c->link, REGISTRY_HUB_STOPPED, clock_wall_s());
            control_messages_bye(c, "shutdown", "the hub is shutting down",
                                 (int64_t)(BACK_MS + i++ * spread / n));
        } else if (c->state == CONTROL_FRESH) {
            c->failure = "the hub is shutting down";
            control_soon(c);
        }
    }
}
