/* Which keepers there are: started, found, tried again, left idle, ended. */
#include "agent/keepers_private.h"

#include "agent/keeper_settings.h"
#include "base/clock.h"
#include "base/json.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADOPT_MS 3000 /* a start waits so long for those of earlier agents */
#define ANSWER_MS 20000
#define IDLE_MS 300000 /* without sessions, for one's own */
#define UNTOLD_MAX 1000

static void look(struct keepers *k);

static void on_timer(uv_timer_t *timer)
{
    look(timer->data);
}

void keepers_wake(struct keepers *k)
{
    uv_timer_start(&k->timer, on_timer, 0, 0);
}

static struct kept *add(struct keepers *k, const struct keeper_place *place)
{
    struct kept *kept = calloc(1, sizeof *kept);
    if (kept == NULL)
        return NULL;
    kept->keepers = k;
    kept->place = *place;
    kept->pid = place->pid;
    kept->next = k->all;
    k->all = kept;
    return kept;
}

static bool call(struct kept *kept)
{
    kept->ready = kept->listed = false;
    return keeper_call_new(kept->keepers->agent->loop, &kept->place, true, &keepers_calls, kept,
                           &kept->call) == 0;
}

int keepers_own(struct keepers *k, struct kept **ret_kept, struct errmsg *err)
{
    struct keeper_place place;
    if (k->own != NULL) {
        *ret_kept = k->own;
        return 0;
    }
    int r = keeper_place_new(&place, k->agent->state_dir);
    struct kept *kept = r == 0 ? add(k, &place) : NULL;
    crypto_wipe(&place, sizeof place);
    if (kept == NULL)
        return errmsg_set(err, r != 0 ? r : -ENOMEM, "%s", strerror(r != 0 ? -r : ENOMEM));
    r = keeper_call_start(k->agent->loop, &kept->place, k->agent->state_dir, &keepers_calls, kept,
                          &kept->call, &kept->pid, err);
    if (r != 0) {
        k->all = kept->next;
        free(kept);
        return r;
    }
    log_debug("the keeper of sessions is started (process %ld)", kept->pid);
    kept->listed = true; /* it has none */
    keeper_call_send(kept->call, keeper_settings_message(k->agent));
    k->own = kept;
    *ret_kept = kept;
    return 0;
}

/* --- what is due --- */

static void sooner(uint64_t *at, uint64_t other)
{
    if (other < *at)
        *at = other;
}

/* It answers each dial within some seconds, or it is stuck. */
static uint64_t look_at_asked(struct keepers *k, uint64_t now)
{
    uint64_t at = UINT64_MAX;
    for (const struct kept_session *s = k->own->sessions; s != NULL; s = s->next)
        if (s->asked)
            sooner(&at, s->asked_at + ANSWER_MS);
    if (now < at)
        return at;
    log_error("the keeper of sessions (process %ld) does not answer: new sessions get another one",
              k->own->pid);
    k->own->drains = true;
    keeper_call_send(k->own->call, json_new("drain"));
    k->own = NULL;
    return UINT64_MAX;
}

/* Returns when it is to be looked at again. */
static uint64_t look_at_own(struct keepers *k, uint64_t now)
{
    struct kept *own = k->own;
    if (own == NULL)
        return UINT64_MAX;
    if (own->sessions != NULL)
        return look_at_asked(k, now);
    if (now < own->idle_since + IDLE_MS)
        return own->idle_since + IDLE_MS;
    own->drains = true;
    keeper_call_send(own->call, json_new("drain"));
    k->own = NULL;
    return UINT64_MAX;
}

static uint64_t look_at_done(struct keepers *k, uint64_t now)
{
    bool waits = false;
    if (k->done == NULL)
        return UINT64_MAX;
    for (const struct kept *i = k->all; i != NULL; i = i->next)
        waits = waits || (i->call != NULL && !i->listed);
    if (waits && now < k->done_by)
        return k->done_by;
    keepers_done_fn *done = k->done;
    k->done = NULL;
    done(k->done_arg);
    return UINT64_MAX;
}

static void look(struct keepers *k)
{
    uint64_t now = clock_now_ms(), at = look_at_own(k, now);
    sooner(&at, look_at_done(k, now));
    for (struct kept *i = k->all, *next; i != NULL; i = next) {
        next = i->next;
        if (i->call == NULL && now >= i->again_at && !call(i))
            i->again_at = now + KEEPER_CALL_MS;
        if (i->call == NULL)
            sooner(&at, i->again_at);
    }
    if (at != UINT64_MAX)
        uv_timer_start(&k->timer, on_timer, at > now ? at - now : 0, 0);
}

/* --- those of earlier agents --- */

static void on_place(void *arg, const struct keeper_place *place)
{
    struct keepers *k = arg;
    if (place->protocol != KEEPER_PROTOCOL) {
        log_warn("process %ld keeps sessions for an agent of version %s, which this one does not understand: "
                 "they go on, "
                 "but cannot be ended from the hub",
                 place->pid, place->version);
        return;
    }
    struct kept *kept = add(k, place);
    if (kept == NULL)
        return;
    kept->drains = true;
    if (!call(kept))
        kept->again_at = clock_now_ms() + KEEPER_CALL_MS;
}

void keepers_adopt(struct keepers *k, keepers_done_fn *done, void *arg)
{
    k->done = done;
    k->done_arg = arg;
    k->done_by = clock_now_ms() + ADOPT_MS;
    int r = keeper_place_each(k->agent->state_dir, on_place, k);
    if (r != 0)
        log_warn("the sessions of an earlier agent cannot be looked for: %s", uv_strerror(r));
    keepers_wake(k);
}

/* --- for the others --- */

void keepers_settings(struct keepers *k)
{
    for (struct kept *i = k->all; i != NULL; i = i->next)
        if (i->call != NULL && (i->ready || i == k->own))
            keeper_call_send(i->call, keeper_settings_message(k->agent));
}

void keepers_network_changed(struct keepers *k)
{
    for (struct kept *i = k->all; i != NULL; i = i->next)
        if (i->call != NULL && i->ready)
            keeper_call_send(i->call, json_new("network"));
}

size_t keepers_sessions(const struct keepers *k)
{
    size_t n = 0;
    for (const struct kept *i = k->all; i != NULL; i = i->next)
        for (const struct kept_session *s = i->sessions; s != NULL; s = s->next)
            n += s->fresh ? 0 : 1;
    return n;
}

size_t keepers_count(const struct keepers *k)
{
    size_t n = 0;
    for (const struct kept *i = k->all; i != NULL; i = i->next)
        n++;
    return n;
}

void keepers_end_all(struct keepers *k, const char *reason)
{
    k->ends = true;
    snprintf(k->end_reason, sizeof k->end_reason, "%s", reason);
    for (struct kept *i = k->all; i != NULL; i = i->next) {
        cJSON *m = json_new("end");
        json_add_str(m, "reason", reason);
        if (i->call != NULL && (i->ready || i == k->own))
            keeper_call_send(i->call, m);
        else
            cJSON_Delete(m); /* it is told when it is ready */
    }
}

int keepers_new(struct agent *a, struct keepers **ret_k)
{
    struct keepers *k = calloc(1, sizeof *k);
    if (k == NULL)
        return -ENOMEM;
    k->agent = a;
    keeper_untold_init(&k->untold, UNTOLD_MAX);
    k->refusals = k->failures = (struct log_limit){.burst = 20, .interval_ms = 1000};
    uv_timer_init(a->loop, &k->timer);
    k->timer.data = k;
    *ret_k = k;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void keepers_free(struct keepers *k)
{
    if (k == NULL)
        return;
    while (k->all != NULL) {
        struct kept *kept = k->all;
        k->all = kept->next;
        keeper_call_free(kept->call);
        while (kept->sessions != NULL)
            keepers_drop_session(kept, kept->sessions);
        crypto_wipe(&kept->place, sizeof kept->place);
        free(kept);
    }
    keeper_untold_release(&k->untold);
    uv_close((uv_handle_t *)&k->timer, on_closed);
}
