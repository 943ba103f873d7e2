/* Owns how the fronts of an earlier hub are taken up: found in their folder, asked, and believed as far as vouchers and
 * tickets go. Must not wait for one of them, nor let one of them harm the others. */
#include "base/clock.h"
#include "base/json.h"
#include "hub/fronts_private.h"
#include "hub/hub_keys.h"
#include "hub/jumps.h"
#include "hub/refusals.h"
#include "hub/voucher.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MS 3000     /* before users and machines are let in all the same */
#define A_TURN 200       /* names looked at */
#define AGAIN_MS 200     /* after which a search that could not go on does */
#define TRIES_MAX 50     /* of such */
#define RESUMES_SLACK 64 /* told beyond what is believed, before a front is ended for it */

struct taking {
    uv_timer_t timer;
    struct fronts *owner;
    fronts_taken_fn *done;
    uint64_t until;
    unsigned tries;
    bool searching, told;
    size_t waiting, connections, sessions, lost;
    char why[160]; /* the first that was lost */
};

/* --- the end --- */

static void lose(struct taking *t, const char *why)
{
    t->lost++;
    if (t->why[0] == '\0')
        (void)snprintf(t->why, sizeof t->why, "%.150s", why);
}

static void report(const struct taking *t)
{
    char lost[240] = "", waiting[80] = "";

    if (t->connections + t->lost + t->waiting == 0)
        return;
    if (t->lost > 0)
        (void)snprintf(lost, sizeof lost, "; %zu did not hold (%s)", t->lost, t->why);
    if (t->waiting > 0)
        (void)snprintf(waiting, sizeof waiting, "; %zu more have not answered yet", t->waiting);
    log_info("took up %zu users' connections with %zu sessions%s%s", t->connections, t->sessions, lost,
             waiting);
}

static void timer_cb(uv_timer_t *h);

static void look_soon(struct taking *t, uint64_t ms)
{
    (void)uv_timer_start(&t->timer, timer_cb, ms, 0);
}

/* All that is known by now has been settled: the next turn says so. */
static void perhaps_over(struct taking *t)
{
    if (!t->told && !t->searching && t->waiting == 0)
        look_soon(t, 0);
}

void fronts_adopt_settled(struct front *f)
{
    struct taking *t = f->owner->taking;

    if (t == NULL || f->state >= FRONT_RUNS)
        return;
    f->state = FRONT_RUNS;
    t->waiting--;
    lose(t, "its process ended or said nothing that can be used");
    perhaps_over(t);
}

/* --- what they say --- */

static void unfit(struct front *f, int64_t protocol)
{
    struct taking *t = f->owner->taking;
    cJSON *m = json_new("unfit");

    log_warn(
        "a user's connection from a hub of another version (protocol %lld, here %d) cannot be taken up: its "
        "sessions go on without the hub",
        (long long)protocol, FRONTS_PROTOCOL);
    (void)json_add_int(m, "protocol", FRONTS_PROTOCOL);
    (void)json_add_str(m, "text",
                       "this connection is from before an update of the hub; connect again for what is new");
    (void)seqpacket_send(f->channel, m, -1);
    fronts_adopt_settled(f);
    (void)snprintf(t->why, sizeof t->why, "another version");
    fronts_part(f);
}

/* The rights of now; a user who has none any more is told so, and loses all. */
static const char *admit(struct front *f, const struct voucher *v)
{
    const struct hub *hub = f->owner->hub;
    const char *why = NULL;
    const struct policy_user *u = fronts_rights(f, v->user, v->key, &why);

    if (u != NULL && who_from_user(&f->who, u, f->source, hub->opt.admin_over_ssh) < 0)
        return "out of memory";
    f->known = true;
    if (u != NULL)
        return NULL;
    who_former(&f->who, v->user, f->source);
    log_info("%s from %s is logged out: %s", v->user, f->source, why);
    fronts_ask_to_end(f, "your key is no longer accepted by this hub");
    return NULL;
}

static const char *take_adopted(struct front *f, const cJSON *m)
{
    const char *text = json_str(m, "voucher", VOUCHER_TEXT_MAX - 1), *why = NULL;
    int64_t protocol = json_int_or(m, "protocol", 0, INT32_MAX, 0);
    struct voucher v;
    int rc = 0;

    if (protocol != FRONTS_PROTOCOL) {
        unfit(f, protocol);
        return NULL;
    }
    if (text == NULL)
        return "no voucher";
    rc = voucher_open(hub_keys_secret(f->owner->hub->keys), text, &v);
    if (rc < 0)
        return rc == -EPERM ? "a voucher that is forged, or of another hub" : "a malformed voucher";
    (void)snprintf(f->source, sizeof f->source, "%s", v.source);
    f->port = v.port;
    f->state = FRONT_RESUMES;
    if (v.user[0] != '\0')
        why = admit(f, &v);
    voucher_release(&v);
    return why;
}

/* Fills past from m. Returns NULL or what is wrong with it. */
static const char *past_of(const struct front *f, const cJSON *m, struct jumps_past *past)
{
    const struct hub_options *opt = &f->owner->hub->opt;
    int64_t id = json_int_or(m, "id", 0, FRONTS_ID_MAX, -1),
            epoch = json_int_or(m, "epoch", 0, UINT32_MAX, -1);

    past->ticket = json_str(m, "ticket", TICKET_TEXT_MAX - 1);
    if (id < 0 || past->ticket == NULL)
        return "a session without an id or a ticket";
    past->channel = (uint64_t)id;
    past->started_s = json_int_or(m, "started_s", 0, FRONTS_ID_MAX, clock_wall_s());
    past->window = (uint32_t)json_int_or(m, "window", 1, UINT32_MAX, (int64_t)opt->window);
    past->patience_ms = (uint32_t)json_int_or(m, "patience_ms", 1, UINT32_MAX, (int64_t)opt->patience_ms);
    past->epoch_seen = epoch >= 0;
    past->epoch = epoch >= 0 ? (uint32_t)epoch : 0;
    past->parked = json_bool(m, "parked", false);
    past->parked_ms = (uint64_t)json_int_or(m, "parked_ms", 0, FRONTS_ID_MAX, 0);
    return NULL;
}

static const char *take_resume(struct front *f, const cJSON *m)
{
    struct hub *hub = f->owner->hub;
    struct taking *t = f->owner->taking;
    struct jumps_past past = {0};
    char text[REFUSALS_TEXT_MAX];
    const char *why = f->known ? past_of(f, m, &past) : "a session without a user";
    int rc = 0;

    if (why != NULL)
        return why;
    if (++f->resumes > 4 * hub->opt.channels_max + RESUMES_SLACK)
        return "far too many sessions";
    if (f->resumes > 2 * hub->opt.channels_max) { /* as many run, and as many have ended meanwhile */
        (void)snprintf(text, sizeof text, "too many sessions in one connection (channels-per-connection)");
        rc = -E2BIG;
    } else {
        rc = jumps_adopt(hub->jumps, &f->caller, &past, text);
    }
    if (rc == -EEXIST)
        return "an id used twice";
    if (rc == 0) {
        f->n_taken_up++;
        return NULL;
    }
    log_limited(&f->owner->limit, LOG_LEVEL_WARN, "a session of %s from %s is not taken up: %s", f->who.name,
                f->source, text);
    lose(t, text);
    front_kill(f, past.channel, text);
    return NULL;
}

static void take_resumed(struct front *f)
{
    struct taking *t = f->owner->taking;

    f->state = FRONT_RUNS;
    f->started = clock_now_ms(); /* of the login grace, where nobody is logged in yet */
    t->waiting--;
    if (f->told_end) {
        lose(t, "a key is no longer accepted");
    } else {
        t->connections++;
        t->sessions += f->n_taken_up;
    }
    if (t->told)
        log_info("took up a late connection of %s from %s with %u sessions",
                 f->known ? f->who.name : "a user", f->source, f->n_taken_up);
    perhaps_over(t);
}

const char *fronts_adopt_message(struct front *f, const char *type, const cJSON *m)
{
    if (f->state == FRONT_ASKED)
        return strcmp(type, "adopted") == 0 ? take_adopted(f, m) : "a message before `adopted`";
    if (strcmp(type, "resume") == 0)
        return take_resume(f, m);
    if (strcmp(type, "publish") == 0)
        return f->known ? publications_add(f, m) : "a message out of place";
    if (strcmp(type, "resumed") != 0)
        return "a message before `resumed`";
    take_resumed(f);
    return NULL;
}

/* --- finding them --- */

static void found_cb(void *arg, const char *name, int fd, pid_t pid)
{
    struct taking *t = arg;
    struct fronts *o = t->owner;
    const struct hub_options *opt = &o->hub->opt;
    struct front *f = NULL;
    cJSON *m = NULL;

    if (fronts_add(o, fd, "?", 0, &f) < 0) {
        log_limited(&o->limit, LOG_LEVEL_ERROR, "a user's connection is not taken up: out of memory");
        return;
    }
    f->state = FRONT_ASKED;
    fronts_process_adopt(f, pid);
    (void)snprintf(f->berth, sizeof f->berth, "%s", name);
    t->waiting++;
    m = json_new("adopt");
    (void)json_add_int(m, "protocol", FRONTS_PROTOCOL);
    (void)json_add_int(m, "orphan_ms", (int64_t)opt->orphan_ms);
    (void)json_add_int(m, "wait_ms", (int64_t)opt->restart_wait_ms);
    (void)json_add_int(m, "channels", (int64_t)opt->channels_max);
    (void)json_add_int(m, "keepalive_ms", (int64_t)opt->front_keepalive_ms);
    (void)seqpacket_send(f->channel, m, -1);
}

/* One step. Afterwards the timer is set for the next one, or the search is over. */
static void search(struct taking *t)
{
    struct fronts *o = t->owner;
    int n = berths_search(o->berths, A_TURN, found_cb, t);

    if (n == A_TURN) {
        look_soon(t, 0);
        return;
    }
    if (n < 0 && ++t->tries < TRIES_MAX) {
        look_soon(t, AGAIN_MS);
        return;
    }
    if (n < 0)
        log_error("not all users' connections could be taken up: %s", strerror(-n));
    t->searching = false;
}

static void timer_cb(uv_timer_t *h)
{
    struct taking *t = h->data;
    uint64_t now = clock_now_ms();

    if (t->owner->left)
        return;
    if (t->searching)
        search(t);
    if (t->told)
        return;
    if ((!t->searching && t->waiting == 0) || now >= t->until) {
        t->told = true;
        report(t);
        t->done(t->owner->hub);
    } else if (!t->searching) {
        look_soon(t, t->until - now);
    }
}

int fronts_take_up(struct fronts *o, fronts_taken_fn *done)
{
    struct taking *t = calloc(1, sizeof *t);

    if (t == NULL)
        return -ENOMEM;
    t->owner = o;
    t->done = done;
    t->searching = true;
    t->until = clock_now_ms() + WAIT_MS;
    (void)uv_timer_init(o->hub->loop, &t->timer);
    t->timer.data = t;
    o->taking = t;
    look_soon(t, 0);
    return 0;
}

static void closed_cb(uv_handle_t *h)
{
    free(h->data);
}

void fronts_adopt_free(struct fronts *o)
{
    if (o->taking != NULL)
        uv_close((uv_handle_t *)&o->taking->timer, closed_cb);
    o->taking = NULL;
}
