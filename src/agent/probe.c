/* Looks at the SSH server: every few seconds whether it listens, and its banner only when that changed. */
#include "agent/probe.h"

#include "agent/agent.h"
#include "agent/banner.h"
#include "agent/listen.h"
#include "agent/target.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/dialer.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS 4000    /* between looks at the listening state */
#define AGAIN_MS 60000  /* between connections to a server elsewhere, or to one that was not fit */
#define BANNER_MS 10000 /* for the banner to come */
#define KEYS_MS 3600000 /* between readings of the host keys */

struct probe {
    struct agent *agent;
    probe_changed_fn *changed;
    void *arg;
    uv_timer_t look, deadline;
    struct dialer *dialer;
    uv_tcp_t *tcp;
    struct banner banner;
    struct hostkeys_scan *scan;
    struct hostkeys keys;
    const char *state; /* NULL: not known yet */
    bool runs, ready, soon;
    bool untold;                /* the server answers; its keys are awaited before that is told */
    struct sockaddr_storage at; /* family 0: not known */
    uint64_t probed_at, keys_at;
    unsigned open;
    char chunk[512];
};

bool probe_ready(const struct probe *p)
{
    return p->ready;
}

bool probe_runs(const struct probe *p)
{
    return p->runs;
}

bool probe_is_local(const struct probe *p)
{
    return p->at.ss_family != 0 && listen_is_local((const struct sockaddr *)&p->at);
}

const char *probe_state(const struct probe *p)
{
    return p->state != NULL ? p->state : "timeout";
}

const struct hostkeys *probe_hostkeys(const struct probe *p)
{
    return &p->keys;
}

static void announce(struct probe *p)
{
    p->ready = true;
    p->untold = false;
    p->changed(p->arg);
}

/* --- host keys --- */

static void on_keys(void *arg, struct hostkeys *keys)
{
    struct probe *p = arg;
    p->scan = NULL;
    bool same = hostkeys_same(&p->keys, keys);
    hostkeys_release(&p->keys);
    p->keys = *keys;
    if (!same)
        log_info("host keys of the SSH server: %u (from %s)", keys->n, keys->from);
    if (!same || !p->ready || p->untold)
        announce(p);
}

static void read_keys(struct probe *p)
{
    struct addr_hostport target;
    if (p->scan != NULL)
        return;
    agent_options_ssh(&p->agent->opt, &target);
    p->keys_at = clock_now_ms();
    (void)hostkeys_scan(p->agent->loop, &target, probe_is_local(p), on_keys, p, &p->scan);
}

/* --- one probe --- */

static void on_tcp_closed(uv_handle_t *handle)
{
    free(handle);
}

static void probe_drop(struct probe *p)
{
    dialer_free(p->dialer);
    p->dialer = NULL;
    if (p->tcp != NULL)
        uv_close((uv_handle_t *)p->tcp, on_tcp_closed);
    p->tcp = NULL;
    uv_timer_stop(&p->deadline);
}

static void found(struct probe *p, const char *state, const char *words)
{
    bool changed = p->state == NULL || strcmp(p->state, state) != 0;
    probe_drop(p);
    if (changed)
        log_at(strcmp(state, "ok") == 0 ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "SSH server at %s: %s%s%s%s",
               p->agent->opt.ssh, state, words[0] != 0 ? " (" : "", words, words[0] != 0 ? ")" : "");
    p->state = state;
    if (changed && strcmp(state, "ok") == 0)
        read_keys(p);
    p->untold = changed && strcmp(state, "ok") == 0 && p->scan != NULL;
    if (changed && !p->untold)
        announce(p);
}

static void on_deadline(uv_timer_t *timer)
{
    struct probe *p = timer->data;
    if (p->banner.first[0] != 0)
        found(p, "not-ssh", p->banner.first);
    else
        found(p, "timeout", "it does not say that it is one");
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct probe *p = handle->data;
    (void)suggested;
    *buf = uv_buf_init(p->chunk, sizeof p->chunk);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct probe *p = stream->data;
    if (n == 0 || p->tcp == NULL)
        return;
    enum banner_verdict v = n < 0 ? banner_end(&p->banner) : banner_feed(&p->banner, buf->base, (size_t)n);
    if (v == BANNER_SSH)
        found(p, "ok", p->banner.line);
    else if (v == BANNER_NOT_SSH)
        found(p, "not-ssh",
              p->banner.first[0] != 0 ? p->banner.first : "it closes the connection without a word");
}

static void on_dialed(void *arg, int status, uv_tcp_t *tcp, const char *words)
{
    struct probe *p = arg;
    memcpy(&p->at, dialer_peer(p->dialer), sizeof(struct sockaddr_in6));
    dialer_free(p->dialer);
    p->dialer = NULL;
    if (status != 0) {
        found(p, target_state(status), words);
        return;
    }
    p->tcp = tcp;
    tcp->data = p;
    int r = uv_read_start((uv_stream_t *)tcp, on_alloc, on_read);
    if (r != 0)
        found(p, "timeout", uv_strerror(r));
}

static void begin(struct probe *p)
{
    struct dialer_config config = {.loop = p->agent->loop};
    if (p->dialer != NULL || p->tcp != NULL)
        return;
    p->soon = false;
    p->probed_at = clock_now_ms();
    agent_options_ssh(&p->agent->opt, &config.to);
    memset(&p->banner, 0, sizeof p->banner);
    if (dialer_new(&config, on_dialed, p, &p->dialer) != 0)
        return; /* the next look tries again */
    uv_timer_start(&p->deadline, on_deadline, BANNER_MS, 0);
    dialer_next(p->dialer);
}

/* --- when --- */

static void on_look(uv_timer_t *timer)
{
    struct probe *p = timer->data;
    uint64_t now = clock_now_ms();
    if (p->dialer != NULL || p->tcp != NULL)
        return;
    bool ok = p->state != NULL && strcmp(p->state, "ok") == 0;
    int listening = probe_is_local(p) ? listen_check((const struct sockaddr *)&p->at) : -ENOENT;
    if (listening == 0) {
        p->soon = false;
        found(p, "refused", "nothing listens there");
    } else if (p->soon || p->state == NULL || (listening == 1 && strcmp(p->state, "refused") == 0) ||
               ((listening < 0 || !ok) && now >= p->probed_at + AGAIN_MS)) {
        begin(p);
    }
    if (ok && now >= p->keys_at + KEYS_MS)
        read_keys(p);
}

void probe_soon(struct probe *p)
{
    p->soon = true;
}

void probe_stop(struct probe *p)
{
    probe_drop(p);
    hostkeys_cancel(p->scan);
    p->scan = NULL;
    hostkeys_release(&p->keys);
    p->keys.from = "none";
    p->state = NULL;
    p->runs = p->ready = p->untold = false;
    memset(&p->at, 0, sizeof p->at);
    uv_timer_stop(&p->look);
}

void probe_start(struct probe *p)
{
    probe_stop(p); /* what is known may be another server's */
    p->runs = true;
    uv_timer_start(&p->look, on_look, LOOK_MS, LOOK_MS);
    begin(p);
}

int probe_new(struct agent *a, probe_changed_fn *changed, void *arg, struct probe **ret_p)
{
    struct probe *p = calloc(1, sizeof *p);
    if (p == NULL)
        return -ENOMEM;
    p->agent = a;
    p->changed = changed;
    p->arg = arg;
    p->keys.from = "none";
    uv_timer_init(a->loop, &p->look);
    uv_timer_init(a->loop, &p->deadline);
    p->look.data = p->deadline.data = p;
    p->open = 2;
    *ret_p = p;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    struct probe *p = handle->data;
    if (--p->open > 0)
        return;
    hostkeys_release(&p->keys);
    free(p);
}

void probe_free(struct probe *p)
{
    if (p == NULL)
        return;
    probe_drop(p);
    hostkeys_cancel(p->scan);
    p->scan = NULL;
    uv_close((uv_handle_t *)&p->look, on_closed);
    uv_close((uv_handle_t *)&p->deadline, on_closed);
}
