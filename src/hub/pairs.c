/* Owns the processes and their channels. A pair ends by itself when one of its connections does; only what must not go on is
 * ended from here. */
#include "hub/pairs.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "hub/berths.h"
#include "hub/hub.h"
#include "hub/program.h"
#include "hub/seqpacket.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PROTOCOL 1
#define FOLDER "joins"
#define QUEUE_MAX 65536
#define LOOK_MS 50
#define LOOKS 64        /* names looked at in a turn */
#define ANSWER_MS 10000 /* for a pair that was found to say what it is */
#define DONE_MS 2000    /* for all of them, before others are let in */
#define SEARCH_MS 30000 /* for whoever cannot be asked at once */
#define COUNT_MAX (INT64_C(1) << 53)
#define REASON_MAX 200

struct pair {
    struct pairs *all;
    struct pair *next, **at;
    void *owner;               /* NULL: nobody wants to hear of it */
    struct seqpacket *channel; /* NULL: gone */
    uv_process_t *process;     /* NULL: reaped, or somebody else's child */
    uint64_t asked;            /* since when it is to say what it is; 0: known */
    bool late;                 /* it has not, and nobody waits for it any more */
    bool ordered;
    uint64_t to_machine, from_machine; /* as last heard */
    char berth[BERTHS_NAME_MAX + 1];
};

struct pairs {
    struct hub *hub;
    const struct pairs_calls *calls;
    void *arg;
    struct berths *berths;
    struct pair *list;
    size_t asked;     /* that are waited for */
    uv_timer_t timer; /* while searching, or something is asked */
    uint64_t search_until, done_by;
    bool searching;
    pairs_taken_fn *done; /* to be called yet */
    struct log_limit limit;
};

static void pair_unref(struct pair *p)
{
    if (p->channel != NULL || p->process != NULL)
        return;
    *p->at = p->next;
    if (p->next != NULL)
        p->next->at = p->at;
    free(p);
}

static void process_closed_cb(uv_handle_t *h)
{
    free(h);
}

static void exited_cb(uv_process_t *h, int64_t status, int signal)
{
    struct pair *p = h->data;

    uv_close((uv_handle_t *)h, process_closed_cb);
    if (p == NULL)
        return;
    if (status != 0 || signal != 0)
        log_limited(&p->all->limit, LOG_LEVEL_WARN, "a pair ended with status %d, signal %d", (int)status,
                    signal);
    p->process = NULL;
    pair_unref(p);
}

static void known(struct pair *p)
{
    if (p->asked != 0 && !p->late)
        p->all->asked--;
    p->asked = 0;
}

/* Its channel is done with. */
static void pair_leave(struct pair *p)
{
    known(p);
    berths_remove(p->all->berths, p->berth);
    seqpacket_free(p->channel);
    p->channel = NULL;
    p->owner = NULL;
    pair_unref(p);
}

static void pair_over(struct pair *p, const char *reason, bool orderly)
{
    void *owner = p->owner;

    p->owner = NULL;
    if (owner != NULL)
        p->all->calls->ended(owner, p, reason, orderly, p->to_machine, p->from_machine);
    pair_leave(p);
}

void pairs_end(struct pair *p)
{
    p->owner = NULL;
    if (p->channel != NULL && !p->ordered)
        (void)seqpacket_send(p->channel, json_new("end"), -1);
    p->ordered = true;
}

void pairs_end_of(struct pairs *ps, const void *owner)
{
    for (struct pair *p = ps->list; p != NULL; p = p->next)
        if (p->owner == owner)
            pairs_end(p);
}

/* --- what a pair says --- */

static void take_counts(struct pair *p, const cJSON *m)
{
    p->to_machine = (uint64_t)json_int_or(m, "to_machine", 0, COUNT_MAX, (int64_t)p->to_machine);
    p->from_machine = (uint64_t)json_int_or(m, "from_machine", 0, COUNT_MAX, (int64_t)p->from_machine);
}

/* Returns NULL, or what is wrong with it. */
static const char *read_facts(const cJSON *m, struct pair_facts *f)
{
    const char *ticket = json_str(m, "ticket", TICKET_TEXT_MAX - 1);
    int64_t a = json_int_or(m, "epoch_a", 0, UINT32_MAX, -1),
            b = json_int_or(m, "epoch_b", 0, UINT32_MAX, -1);

    if (ticket == NULL || a < 0 || b < 0)
        return "it does not say what it joins";
    memset(f, 0, sizeof *f);
    (void)snprintf(f->ticket, sizeof f->ticket, "%s", ticket);
    f->epoch_a = (uint32_t)a;
    f->epoch_b = (uint32_t)b;
    f->started_s = json_int_or(m, "started_s", 0, COUNT_MAX, clock_wall_s());
    f->port = (uint16_t)json_int_or(m, "port", 0, 65535, 0);
    (void)snprintf(f->source, sizeof f->source, "%s", json_str_or(m, "source", sizeof f->source - 1, "?"));
    return NULL;
}

static void take_paired(struct pair *p, const cJSON *m)
{
    struct pairs *ps = p->all;
    struct pair_facts f;
    const char *why = json_int_or(m, "protocol", 1, INT32_MAX, 0) != PROTOCOL ? "it speaks another version"
                                                                              : read_facts(m, &f);

    known(p);
    if (why != NULL) {
        log_limited(&ps->limit, LOG_LEVEL_WARN, "a pair of an earlier hub cannot be taken up: %s", why);
        pairs_end(p);
        return;
    }
    take_counts(p, m);
    f.to_machine = p->to_machine;
    f.from_machine = p->from_machine;
    p->owner = ps->calls->found(ps->arg, p, &f);
    if (p->owner == NULL)
        pairs_end(p);
}

static void message_cb(void *arg, const cJSON *m)
{
    struct pair *p = arg;
    const char *type = json_str_or(m, "type", 32, ""),
               *reason = json_str_or(m, "reason", REASON_MAX, "it ended");

    if (strcmp(type, "paired") == 0 && p->asked != 0) {
        take_paired(p, m);
    } else if (strcmp(type, "ending") == 0) {
        if (p->owner != NULL)
            p->all->calls->ending(p->owner, p, reason);
    } else if (strcmp(type, "ended") == 0) {
        take_counts(p, m);
        pair_over(p, reason, json_bool(m, "orderly", false));
    }
}

static void ended_cb(void *arg, const char *reason)
{
    struct pair *p = arg;

    (void)reason;
    pair_over(p, "the process that joined its connections is gone", false);
}

static const struct seqpacket_calls calls = {.message = message_cb, .ended = ended_cb};

/* --- the beginning of one --- */

static int pair_new(struct pairs *ps, int fd, struct pair **ret_p)
{
    struct pair *p = calloc(1, sizeof *p);
    int rc = 0;

    if (p == NULL)
        return -ENOMEM;
    p->all = ps;
    rc = seqpacket_new(ps->hub->loop, fd, QUEUE_MAX, &calls, p, &p->channel);
    if (rc < 0) {
        free(p);
        return rc;
    }
    p->next = ps->list;
    p->at = &ps->list;
    if (p->next != NULL)
        p->next->at = &p->next;
    ps->list = p;
    *ret_p = p;
    return 0;
}

static void say_pair(struct pair *p, const struct pair_facts *f)
{
    cJSON *m = json_new("pair");

    (void)json_add_int(m, "protocol", PROTOCOL);
    (void)json_add_int(m, "orphan_ms", (int64_t)p->all->hub->opt.orphan_ms);
    (void)json_add_str(m, "ticket", f->ticket);
    (void)json_add_int(m, "epoch_a", f->epoch_a);
    (void)json_add_int(m, "epoch_b", f->epoch_b);
    (void)json_add_int(m, "started_s", f->started_s);
    (void)json_add_str(m, "source", f->source);
    (void)json_add_int(m, "port", f->port);
    (void)json_add_int(m, "to_machine", (int64_t)f->to_machine);
    (void)json_add_int(m, "from_machine", (int64_t)f->from_machine);
    (void)seqpacket_send(p->channel, m, -1);
}

static int spawn(struct pairs *ps, const int fds[4], uv_process_t **ret_process)
{
    char *args[] = {"multissh-relay", "--pair", NULL};
    uv_process_t *process = calloc(1, sizeof *process);
    int rc = 0;

    if (process == NULL)
        return -ENOMEM;
    rc = program_start(ps->hub->loop, process, args, fds, 4, exited_cb);
    if (rc < 0) {
        uv_close((uv_handle_t *)process, process_closed_cb);
        return rc;
    }
    *ret_process = process;
    return 0;
}

int pairs_start(struct pairs *ps, const struct pair_facts *f, int user_fd, int machine_fd, void *owner,
                struct pair **ret_p)
{
    int channel[2] = {-1, -1}, listener = -1;
    char berth[BERTHS_NAME_MAX + 1] = "";
    uv_process_t *process = NULL;
    struct pair *p = NULL;
    int rc = berths_make(ps->berths, berth, &listener);

    if (rc < 0)
        goto out;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, channel) < 0) {
        rc = -errno;
        goto out;
    }
    rc = spawn(ps, (int[4]){channel[1], listener, user_fd, machine_fd}, &process);
    if (rc < 0)
        goto out;
    rc = pair_new(ps, channel[0], &p);
    process->data = p;
    if (rc < 0) {
        uv_unref((uv_handle_t *)process); /* it sees the end of its channel, and is reaped */
        goto out;
    }
    channel[0] = -1;
    p->process = process;
    p->owner = owner;
    p->to_machine = f->to_machine;
    p->from_machine = f->from_machine;
    (void)snprintf(p->berth, sizeof p->berth, "%s", berth);
    say_pair(p, f);
    *ret_p = p;
out:
    if (rc < 0)
        berths_remove(ps->berths, berth);
    if (listener >= 0)
        close(listener);
    for (int i = 0; i < 2; i++)
        if (channel[i] >= 0)
            close(channel[i]);
    return rc;
}

/* --- those of earlier hubs --- */

static void found_cb(void *arg, const char *name, int fd, pid_t pid)
{
    struct pairs *ps = arg;
    struct pair *p = NULL;
    cJSON *m = NULL;

    (void)pid;
    if (pair_new(ps, fd, &p) < 0) {
        close(fd);
        return;
    }
    (void)snprintf(p->berth, sizeof p->berth, "%s", name);
    p->asked = clock_now_ms();
    ps->asked++;
    m = json_new("adopt");
    (void)json_add_int(m, "protocol", PROTOCOL);
    (void)json_add_int(m, "orphan_ms", (int64_t)ps->hub->opt.orphan_ms);
    (void)seqpacket_send(p->channel, m, -1);
}

static void look_cb(uv_timer_t *h)
{
    struct pairs *ps = h->data;
    uint64_t now = clock_now_ms();
    int rc = 0;

    if (ps->searching) {
        rc = berths_search(ps->berths, LOOKS, found_cb, ps);
        if ((rc >= 0 && rc < LOOKS) || now >= ps->search_until)
            ps->searching = false;
    }
    for (struct pair *p = ps->list; p != NULL; p = p->next) {
        if (p->asked != 0 && !p->late && now >= p->asked + ANSWER_MS) {
            /* A stopped one, perhaps: it is taken up when it goes on. */
            log_limited(&ps->limit, LOG_LEVEL_WARN, "a pair of an earlier hub does not answer");
            p->late = true;
            ps->asked--;
        }
    }
    if (ps->done != NULL && ((!ps->searching && ps->asked == 0) || now >= ps->done_by)) {
        pairs_taken_fn *done = ps->done;

        ps->done = NULL;
        done(ps->hub);
    }
    if (!ps->searching && ps->asked == 0 && ps->done == NULL)
        (void)uv_timer_stop(&ps->timer);
}

void pairs_take_up(struct pairs *ps, pairs_taken_fn *done)
{
    ps->done = done;
    ps->done_by = clock_now_ms() + DONE_MS;
    (void)uv_timer_start(&ps->timer, look_cb, 0, LOOK_MS);
}

int pairs_new(struct hub *hub, const struct pairs_calls *to, void *arg, struct pairs **ret_p)
{
    struct pairs *ps = calloc(1, sizeof *ps);
    int rc = 0;

    if (ps == NULL)
        return -ENOMEM;
    ps->hub = hub;
    ps->calls = to;
    ps->arg = arg;
    ps->limit = (struct log_limit){.burst = 10, .interval_ms = 10000};
    rc = berths_new(hub->state_dir, FOLDER, &ps->berths);
    if (rc < 0) {
        free(ps);
        return rc;
    }
    (void)uv_timer_init(hub->loop, &ps->timer);
    ps->timer.data = ps;
    ps->searching = true;
    ps->search_until = clock_now_ms() + SEARCH_MS;
    (void)uv_timer_start(&ps->timer, look_cb, 0, LOOK_MS);
    *ret_p = ps;
    return 0;
}

static void timer_closed_cb(uv_handle_t *h)
{
    free(h->data);
}

void pairs_free(struct pairs *ps)
{
    if (ps == NULL)
        return;
    for (struct pair *p = ps->list, *next = NULL; p != NULL; p = next) {
        next = p->next;
        /* Nobody here reaps it any more. */
        if (p->process != NULL) {
            p->process->data = NULL;
            uv_close((uv_handle_t *)p->process, process_closed_cb);
        }
        p->process = NULL;
        seqpacket_free(p->channel);
        p->channel = NULL;
        pair_unref(p);
    }
    berths_free(ps->berths);
    uv_close((uv_handle_t *)&ps->timer, timer_closed_cb);
}
