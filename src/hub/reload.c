/* Owns the watch over the two files and hub_reload. Must leave in force what a broken file would replace. */
#include "hub/reload.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/fs.h"
#include "base/log.h"
#include "hub/activation.h"
#include "hub/config.h"
#include "hub/fronts.h"
#include "hub/hub.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define POLL_MS 500
#define FRESH_S 2 /* a file changed so lately may change again within the same tick of its clock */
#define FILE_MAX (16u << 20)
#define COMPLAINTS_MAX 65536
#define COMPLAINTS_LOGGED 50

struct look { /* what tells one state of a file from another */
    bool there;
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec mtime, ctime;
    bool fresh;
    uint8_t hash[CRYPTO_HASH_SIZE]; /* of the contents, where the rest would not tell */
};

struct reload {
    struct hub *hub;
    uv_timer_t timer;
    uv_signal_t on_hup;
    struct look conf, users;
    unsigned open_handles;
};

static void hash_file(const char *path, uint8_t hash[CRYPTO_HASH_SIZE])
{
    struct buf text;

    buf_init(&text, FILE_MAX);
    if (fs_read(path, &text) == 0)
        (void)crypto_sha256(buf_data(&text), buf_len(&text), hash);
    buf_release(&text);
}

static struct look look_at(const char *path)
{
    struct look l;
    struct stat st;

    memset(&l, 0, sizeof l);
    if (stat(path, &st) < 0)
        return l;
    l.there = true;
    l.dev = st.st_dev;
    l.ino = st.st_ino;
    l.size = st.st_size;
    l.mtime = st.st_mtim;
    l.ctime = st.st_ctim;
    l.fresh = clock_wall_s() - (int64_t)st.st_ctim.tv_sec < FRESH_S;
    if (l.fresh)
        hash_file(path, l.hash);
    return l;
}

static bool differs(const struct look *a, const struct look *b)
{
    return a->there != b->there || a->dev != b->dev || a->ino != b->ino || a->size != b->size ||
           a->mtime.tv_sec != b->mtime.tv_sec || a->mtime.tv_nsec != b->mtime.tv_nsec ||
           a->ctime.tv_sec != b->ctime.tv_sec || a->ctime.tv_nsec != b->ctime.tv_nsec;
}

/* --- reading again --- */

static void say(struct buf *complaints, const char *line)
{
    log_error("%s", line);
    if (complaints != NULL)
        (void)buf_appendf(complaints, "%s\n", line);
}

/* What takes effect only at the next start keeps its value, and is told. */
static void keep_unreloadable(const struct hub_options *old, struct hub_options *new)
{
    struct errmsg err = {""};

    options_begin(hub_options_table, hub_options_count, new);
    for (size_t i = 0; i < hub_options_count; i++) {
        const struct option *o = &hub_options_table[i];
        char *was = NULL, *is = NULL;

        if (o->reloads)
            continue;
        was = options_show(o, old);
        is = options_show(o, new);
        if (was != NULL && is != NULL && strcmp(was, is) != 0) {
            log_warn("%s = %s takes effect at the next start; it is %s until then", o->name, is, was);
            (void)options_set(hub_options_table, hub_options_count, new, o->name, was, &err);
        }
        free(was);
        free(is);
    }
}

static int reload_options(struct hub *hub, struct buf *complaints)
{
    struct registry_limits limits;
    struct hub_options new;
    struct errmsg err = {""};
    int rc = 0;

    memset(&new, 0, sizeof new);
    rc = config_options(hub->config, &new, &err);
    if (rc < 0) {
        say(complaints, err.text);
        return rc;
    }
    keep_unreloadable(&hub->opt, &new);
    options_release(hub_options_table, hub_options_count, &hub->opt);
    hub->opt = new;
    limits = (struct registry_limits){
        .machines_max = new.machines_max, .pending_max = new.pending_max, .pending_ms = new.pending_ms};
    registry_set_limits(hub->registry, &limits);
    log_set_level((enum log_level) new.log_level);
    return 0;
}

static void say_lines(struct buf *lines, struct buf *complaints)
{
    const char *at = buf_str(lines);
    unsigned n = 0;

    for (; at != NULL && *at != '\0'; n++) {
        size_t k = strcspn(at, "\n");

        if (n < COMPLAINTS_LOGGED)
            log_error("%.*s", (int)k, at);
        if (complaints != NULL)
            (void)buf_appendf(complaints, "%.*s\n", (int)k, at);
        at += k + (at[k] == '\n' ? 1 : 0);
    }
    if (n > COMPLAINTS_LOGGED)
        log_error("… and %u lines more; multissh-hub --check shows all", n - COMPLAINTS_LOGGED);
}

int reload_read_users(struct hub *hub, struct buf *complaints, struct errmsg *err)
{
    struct policy *p = NULL;
    struct buf lines;
    int rc = 0;

    buf_init(&lines, COMPLAINTS_MAX);
    rc = config_policy(hub->config, &lines, &p, err);
    if (rc == 0) {
        say_lines(&lines, complaints);
        policy_free(hub->policy);
        hub->policy = p;
    }
    buf_release(&lines);
    return rc;
}

static int reload_users(struct hub *hub, struct buf *complaints)
{
    struct errmsg err = {""};
    int rc = reload_read_users(hub, complaints, &err);

    if (rc < 0) {
        char text[700];

        (void)snprintf(text, sizeof text, "%s; the users that were read before stay in force%s", err.text,
                       rc == -ENOENT ? " (empty the file to remove them all)" : "");
        say(complaints, text);
        return rc;
    }
    log_info("%s: read; lines of users in force: %zu", hub->config->users, policy_count(hub->policy));
    fronts_policy_changed(hub->fronts);
    return 0;
}

int hub_reload(struct hub *hub, struct buf *complaints)
{
    int a = reload_options(hub, complaints), b = reload_users(hub, complaints);

    /* admin-over-ssh is part of everybody's rights. */
    if (a == 0 && b < 0)
        fronts_policy_changed(hub->fronts);
    if (hub->reload != NULL) {
        hub->reload->conf = look_at(hub->config->file);
        hub->reload->users = look_at(hub->config->users);
    }
    return a < 0 ? a : b;
}

/* --- noticing --- */

/* Looks, and says whether there is something to read. */
static bool changed(const char *path, struct look *last)
{
    struct look now = look_at(path);
    bool yes = differs(&now, last);

    if (!yes && last->fresh && now.there) {
        /* Written again within one tick of the file system's clock? */
        if (!now.fresh)
            hash_file(path, now.hash);
        yes = memcmp(now.hash, last->hash, sizeof now.hash) != 0;
    }
    *last = now;
    return yes;
}

static void timer_cb(uv_timer_t *h)
{
    struct reload *r = h->data;
    struct hub *hub = r->hub;
    bool conf = changed(hub->config->file, &r->conf), users = changed(hub->config->users, &r->users);

    if (hub->stopping)
        return;
    if (conf) {
        log_info("%s has changed: reading it again", hub->config->file);
        if (reload_options(hub, NULL) == 0 && !users)
            fronts_policy_changed(hub->fronts);
    }
    if (users)
        (void)reload_users(hub, NULL);
}

static void hup_cb(uv_signal_t *h, int signal)
{
    struct reload *r = h->data;

    (void)signal;
    log_info("SIGHUP: reading %s and %s again", r->hub->config->file, r->hub->config->users);
    activation_notify_reloading();
    (void)hub_reload(r->hub, NULL);
    activation_notify("READY=1");
}

int reload_new(struct hub *hub, struct reload **ret_r)
{
    struct reload *r = calloc(1, sizeof *r);

    if (r == NULL)
        return -ENOMEM;
    r->hub = hub;
    r->conf = look_at(hub->config->file);
    r->users = look_at(hub->config->users);
    (void)uv_timer_init(hub->loop, &r->timer);
    (void)uv_signal_init(hub->loop, &r->on_hup);
    r->timer.data = r->on_hup.data = r;
    r->open_handles = 2;
    (void)uv_timer_start(&r->timer, timer_cb, POLL_MS, POLL_MS);
    (void)uv_signal_start(&r->on_hup, hup_cb, SIGHUP);
    *ret_r = r;
    return 0;
}

static void closed_cb(uv_handle_t *h)
{
    struct reload *r = h->data;

    if (--r->open_handles == 0)
        free(r);
}

void reload_free(struct reload *r)
{
    if (r == NULL)
        return;
    uv_close((uv_handle_t *)&r->timer, closed_cb);
    uv_close((uv_handle_t *)&r->on_hup, closed_cb);
}
