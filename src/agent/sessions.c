/* Asks all keepers, at the same time, for their sessions, or for their end. */
#include "agent/sessions.h"

#include "agent/agent.h"
#include "agent/keeper_call.h"
#include "agent/keeper_session.h"
#include "agent/process.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define END_MS 10000 /* for keepers to end, whose streams have last words */
#define STOP_MS 15000
#define STOP_LOOK_MS 50
#define SESSIONS_MAX 100000

struct asked {
    struct round *round;
    struct asked *next;
    struct keeper_place place;
    struct keeper_call *call; /* NULL: it is done */
    uv_timer_t timer;         /* bounds it */
    bool listed;
};

/* One round of questions. */
struct round {
    uv_loop_t *loop;
    const char *end; /* the reason, when they are to end */
    struct asked *asked;
    struct keeper_session *sessions;
    size_t n, room;
    unsigned mute; /* did not answer */
};

static int add_session(struct round *r, const struct keeper_session *s)
{
    if (r->n == r->room) {
        size_t room = r->room > 0 ? 2 * r->room : 16;
        struct keeper_session *sessions = realloc(r->sessions, room * sizeof *sessions);
        if (sessions == NULL)
            return -ENOMEM;
        r->sessions = sessions;
        r->room = room;
    }
    r->sessions[r->n++] = *s;
    return 0;
}

static void done(struct asked *q)
{
    keeper_call_free(q->call);
    q->call = NULL;
    if (!uv_is_closing((uv_handle_t *)&q->timer))
        uv_close((uv_handle_t *)&q->timer, NULL);
}

static void on_ready(void *arg, const char *version, long pid)
{
    struct asked *q = arg;
    (void)version;
    q->place.pid = pid;
    keeper_call_send(q->call, json_new("list"));
}

static const char *on_message(void *arg, const char *type, const cJSON *m)
{
    struct asked *q = arg;
    struct keeper_session s;
    if (strcmp(type, "session") == 0) {
        const char *fault = keeper_session_read(m, &s);
        if (fault != NULL)
            return fault;
        return q->round->n < SESSIONS_MAX && add_session(q->round, &s) == 0 ? NULL
                                                                            : "it has too many sessions";
    }
    if (strcmp(type, "listed") != 0 || q->listed)
        return NULL;
    q->listed = true;
    if (q->round->end == NULL) {
        done(q);
        return NULL;
    }
    cJSON *end = json_new("end");
    json_add_str(end, "reason", q->round->end);
    keeper_call_send(q->call, end);
    return NULL;
}

static void on_ended(void *arg, bool gone, const char *words)
{
    struct asked *q = arg;
    if (gone)
        keeper_place_remove(&q->place);
    else if (!q->listed)
        log_error("the keeper of sessions (process %ld) cannot be asked: %s", q->place.pid, words);
    q->round->mute += !gone && !q->listed;
    done(q);
}

static const struct keeper_call_calls calls = {.ready = on_ready, .message = on_message, .ended = on_ended};

static void on_timer(uv_timer_t *timer)
{
    struct asked *q = timer->data;
    log_error("the keeper of sessions (process %ld) does not %s", q->place.pid,
              q->round->end != NULL ? "end" : "answer");
    q->round->mute++;
    done(q);
}

static void on_place(void *arg, const struct keeper_place *place)
{
    struct round *r = arg;
    struct asked *q = calloc(1, sizeof *q);
    if (q == NULL || place->protocol != KEEPER_PROTOCOL) {
        log_error("process %ld keeps sessions for an agent of version %s, and cannot be asked for them",
                  place->pid, place->version);
        r->mute++;
        free(q);
        return;
    }
    q->round = r;
    q->place = *place;
    q->next = r->asked;
    r->asked = q;
    uv_timer_init(r->loop, &q->timer);
    q->timer.data = q;
    uv_timer_start(&q->timer, on_timer, END_MS, 0);
    if (keeper_call_new(r->loop, place, false, &calls, q, &q->call) != 0) {
        r->mute++;
        done(q);
    }
}

/* Returns 0 or a negative errno code. To be released. */
static int ask(const struct agent *a, const char *end, struct round *ret_r)
{
    struct round *r = ret_r;
    *r = (struct round){.loop = uv_default_loop(), .end = end};
    int rc = keeper_place_each(a->state_dir, on_place, r);
    uv_run(r->loop, UV_RUN_DEFAULT);
    return rc;
}

static void release(struct round *r)
{
    while (r->asked != NULL) {
        struct asked *q = r->asked;
        r->asked = q->next;
        crypto_wipe(&q->place, sizeof q->place);
        free(q);
    }
    free(r->sessions);
}

/* --- the commands --- */

static int there(const struct agent *a, struct errmsg *err)
{
    uv_fs_t req;
    int r = uv_fs_stat(NULL, &req, a->state_dir, NULL);
    uv_fs_req_cleanup(&req);
    return r == 0 ? 0
                  : errmsg_set(err, r, "the state folder %s: %s (choose another with --state)", a->state_dir,
                               uv_strerror(r));
}

static int by_age(const void *a, const void *b)
{
    const struct keeper_session *x = a, *y = b;
    return x->age_ms < y->age_ms ? 1 : x->age_ms > y->age_ms ? -1 : 0;
}

static void print(struct round *r)
{
    char since[40];
    int user = 4, source = 4;
    if (r->n == 0) {
        printf("no sessions\n");
        return;
    }
    for (size_t i = 0; i < r->n; i++) {
        if ((int)strlen(r->sessions[i].user) > user)
            user = (int)strlen(r->sessions[i].user);
        if ((int)strlen(r->sessions[i].source) > source)
            source = (int)strlen(r->sessions[i].source);
    }
    printf("%-*s  %-*s  %-12s  %-8s  %s\n", user, "USER", source, "FROM", "SINCE", "STATE", "STREAM");
    qsort(r->sessions, r->n, sizeof *r->sessions, by_age);
    for (size_t i = 0; i < r->n; i++) {
        const struct keeper_session *s = &r->sessions[i];
        clock_format_ago(s->age_ms, since, sizeof since);
        printf("%-*s  %-*s  %-12s  %-8s  %s\n", user, s->user, source, s->source, since,
               keeper_session_state(s), s->stream);
    }
}

int sessions_show(struct agent *a, struct errmsg *err)
{
    struct round r;
    int rc = there(a, err);
    if (rc != 0)
        return rc;
    rc = ask(a, NULL, &r);
    if (rc != 0)
        errmsg_set(err, rc, "the sessions in %s cannot be looked for: %s", a->state_dir, uv_strerror(rc));
    else
        print(&r);
    if (rc == 0 && r.mute > 0)
        rc = errmsg_set(err, -EIO, "%u of the processes that keep sessions cannot be asked", r.mute);
    release(&r);
    return rc;
}

/* Waits until nobody holds the lock of the state folder; it is then this process'. Returns 0 or a negative errno code. */
static int await_end(struct agent *a, const char *path, long *ret_pid)
{
    uint64_t until = clock_now_ms() + STOP_MS;
    int r;
    while ((r = process_lock(path, &a->lock_fd, ret_pid)) == -EBUSY && clock_now_ms() < until)
        uv_sleep(STOP_LOOK_MS);
    return r;
}

/* Returns 0 or a negative errno code with err filled; *ret_pid: the agent that ran, or 0. */
static int stop_agent(struct agent *a, bool all, long *ret_pid, struct errmsg *err)
{
    char path[FS_PATH_MAX];
    uv_fs_t req;
    long other = 0;
    *ret_pid = 0;
    int r = fs_join(path, sizeof path, a->state_dir, "agent.lock");
    if (r == 0)
        r = uv_fs_stat(NULL, &req, path, NULL);
    if (r == UV_ENOENT)
        return 0; /* no agent ever ran here */
    uv_fs_req_cleanup(&req);
    if (r == 0)
        r = process_lock(path, &a->lock_fd, ret_pid);
    if (r == -EBUSY && *ret_pid > 0) {
        r = process_end(*ret_pid, all);
        if (r == 0)
            r = await_end(a, path, &other);
        if (r == -EBUSY)
            return errmsg_set(err, r,
                              other != *ret_pid
                                  ? "the agent (process %ld) has ended, and another one runs already: "
                                    "stop the service that starts it"
                                  : "the agent (process %ld) has not ended within 15 s",
                              *ret_pid);
        if (r != 0)
            return errmsg_set(err, r, "the agent (process %ld) cannot be ended: %s", *ret_pid, strerror(-r));
    }
    return r == 0 ? 0 : errmsg_set(err, r, "cannot lock the state folder %s: %s", a->state_dir, strerror(-r));
}

int sessions_end(struct agent *a, size_t *ret_n, struct errmsg *err)
{
    struct round r;
    int rc = ask(a, "the machine's agent is ending", &r);
    *ret_n = r.n;
    if (rc != 0)
        errmsg_set(err, rc, "the sessions in %s cannot be looked for: %s", a->state_dir, uv_strerror(rc));
    else if (r.mute > 0)
        rc = errmsg_set(err, -EIO, "%u of the processes that keep sessions go on", r.mute);
    release(&r);
    return rc;
}

static void say(long pid, bool all, size_t n)
{
    if (pid > 0)
        printf("stopped the agent (process %ld)", pid);
    else
        printf("no agent was running");
    if (all)
        printf("; %zu session%s ended\n", n, n == 1 ? "" : "s");
    else if (n > 0)
        printf("; %zu session%s on without it\n", n, n == 1 ? " goes" : "s go");
    else
        printf("\n");
}

int sessions_stop(struct agent *a, bool all, struct errmsg *err)
{
    struct round before, after = {0};
    long pid = 0;
    int r = there(a, err);
    if (r != 0)
        return r;
    (void)ask(a, NULL, &before); /* to say how many they were */
    r = stop_agent(a, all, &pid, err);
    if (r == 0 && ask(a, all ? "the machine's agent is ending" : NULL, &after) != 0)
        r = errmsg_set(err, -EIO, "the sessions in %s cannot be looked for", a->state_dir);
    if (r == 0)
        say(pid, all, all ? before.n : after.n);
    if (r == 0 && all && after.mute > 0)
        r = errmsg_set(err, -EIO, "%u of the processes that keep sessions go on", after.mute);
    release(&before);
    release(&after);
    return r;
}
