/* The keeper's life: it goes on as long as somebody needs it. */
#include "agent/keeper.h"

#include "agent/jumps.h"
#include "agent/process.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "net/edge.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LAST_WORDS_MS 3000
#define UNTOLD_MAX 100

static const int end_signals[] = {SIGTERM, SIGINT};

static void on_closed(uv_handle_t *handle)
{
    struct keeper *k = handle->data;
    k->open--;
}

static void finish(struct keeper *k)
{
    if (k->over)
        return;
    k->over = true;
    if (k->placed)
        keeper_place_remove(&k->place); /* first: nobody is to find it any more */
    jumps_end_all(k->jumps);
    keeper_peers_close(k->peers);
    k->agent = NULL;
    for (size_t i = 0; i < sizeof end_signals / sizeof end_signals[0]; i++)
        if (!uv_is_closing((uv_handle_t *)&k->signals[i]))
            uv_close((uv_handle_t *)&k->signals[i], on_closed);
    uv_close((uv_handle_t *)&k->timer, on_closed);
}

static void review(struct keeper *k);

static void on_timer(uv_timer_t *timer)
{
    review(timer->data);
}

static void look_at(struct keeper *k, uint64_t at, uint64_t now)
{
    uv_timer_start(&k->timer, on_timer, at > now ? at - now : 0, 0);
}

static void review(struct keeper *k)
{
    char reason[STREAM_TEXT_MAX], lasted[40];
    uint64_t now = clock_now_ms(), orphan_end = k->orphan_at + k->set.orphan_ms;
    bool idle = jumps_count(k->jumps) == 0, orphan = k->agent == NULL && !keeper_peers_expected(k->peers);
    if (k->over)
        return;
    if ((idle && (k->end_at != 0 || k->drains || orphan)) || (k->end_at != 0 && now >= k->end_at)) {
        finish(k);
    } else if (k->end_at != 0) {
        look_at(k, k->end_at, now);
    } else if (k->agent == NULL && now >= orphan_end) {
        clock_format_ago(k->set.orphan_ms, lasted, sizeof lasted);
        snprintf(reason, sizeof reason, "the machine's agent has not come back within %s (orphan-patience)",
                 lasted);
        keeper_end(k, reason);
    } else if (k->agent == NULL) {
        look_at(k, orphan_end, now);
    }
}

void keeper_look(struct keeper *k)
{
    if (!k->over)
        look_at(k, 0, 0);
}

void keeper_end(struct keeper *k, const char *reason)
{
    size_t n = jumps_count(k->jumps);
    if (k->over || k->end_at != 0)
        return;
    k->end_at = clock_now_ms() + LAST_WORDS_MS;
    if (n > 0)
        log_info("ending %zu session%s: %s", n, n == 1 ? "" : "s", reason);
    jumps_reset_all(k->jumps, reason);
    keeper_look(k);
}

void keeper_agent_came(struct keeper *k, struct keeper_link *link, bool list)
{
    k->agent = link;
    if (!list)
        return;
    log_info("an agent has come for the sessions that this process keeps");
    keeper_list(k, link);
    for (size_t i = 0; i < k->untold.n; i++)
        keeper_link_send(link, keeper_session_write(&k->untold.item[i], "closed"));
    k->untold.n = 0;
}

void keeper_agent_left(struct keeper *k)
{
    size_t n;
    if (k->over)
        return;
    k->agent = NULL;
    k->orphan_at = clock_now_ms();
    jumps_agent_left(k->jumps);
    process_be_alone();
    n = jumps_count(k->jumps);
    if (n > 0)
        log_info("the agent has gone; %zu session%s go%s on without it", n, n == 1 ? "" : "s",
                 n == 1 ? "es" : "");
    keeper_look(k);
}

void keeper_set(struct keeper *k)
{
    log_set_level((enum log_level)k->set.log_level);
}

void keeper_needs_tls(struct keeper *k)
{
    k->set.streams_tls = true;
    if (k->agent != NULL)
        keeper_link_send(k->agent, json_new("streams_tls"));
}

SSL_CTX *keeper_tls(struct keeper *k)
{
    if (k->tls == NULL && session_client_ctx(NULL, NULL, &k->tls) != 0)
        k->tls = NULL;
    return k->tls;
}

/* --- to the agent --- */

void keeper_say_dialled(struct keeper *k, uint64_t id)
{
    cJSON *m = json_new("dialled");
    json_add_int(m, "id", (int64_t)id);
    if (k->agent != NULL && id != 0)
        keeper_link_send(k->agent, m);
    else
        cJSON_Delete(m);
}

void keeper_say_failed(struct keeper *k, uint64_t id, const char *code, const char *reason)
{
    cJSON *m = json_new("failed");
    json_add_int(m, "id", (int64_t)id);
    json_add_str(m, "code", code);
    json_add_str(m, "reason", reason);
    if (k->agent != NULL)
        keeper_link_send(k->agent, m);
    else
        cJSON_Delete(m);
}

void keeper_say_closed(struct keeper *k, const struct keeper_session *s)
{
    if (k->agent != NULL) {
        keeper_link_send(k->agent, keeper_session_write(s, "closed"));
        return;
    }
    keeper_session_log_end(s);
    keeper_untold_add(&k->untold, s); /* the next agent tells the hub */
}

void keeper_say_look(struct keeper *k)
{
    if (k->agent != NULL)
        keeper_link_send(k->agent, json_new("look"));
}

/* --- start --- */

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    keeper_end(handle->data, "the machine is ending its sessions");
}

static int start(struct keeper *k)
{
    k->scratch = malloc(EDGE_SCRATCH);
    int r = k->scratch != NULL ? jumps_new(k, &k->jumps) : -ENOMEM;
    if (r == 0)
        r = keeper_peers_new(k, &k->peers);
    if (r != 0)
        return r;
    uv_timer_init(k->loop, &k->timer);
    k->timer.data = k;
    k->open = 1;
    for (size_t i = 0; i < sizeof end_signals / sizeof end_signals[0]; i++) {
        uv_signal_init(k->loop, &k->signals[i]);
        k->signals[i].data = k;
        k->open++;
        r = uv_signal_start(&k->signals[i], on_signal, end_signals[i]);
        if (r != 0)
            return r;
    }
    return 0;
}

int keeper_run(const char *state_dir, struct errmsg *err)
{
    static struct keeper k; /* there is one a process */
    k.loop = uv_default_loop();
    keeper_untold_init(&k.untold, UNTOLD_MAX);
    keeper_settings_init(&k.set);
    snprintf(k.state_dir, sizeof k.state_dir, "%s", state_dir);
    keeper_set(&k);
    int r = start(&k);
    if (r == 0)
        uv_run(k.loop, UV_RUN_DEFAULT);
    else if (r == UV_ENOTSOCK)
        errmsg_set(err, -EINVAL, "--keeper: multissh-agent starts this itself, when the first session comes");
    else
        errmsg_set(err, r, "the keeper of sessions cannot start: %s", uv_strerror(r));
    keeper_peers_free(k.peers);
    jumps_free(k.jumps);
    SSL_CTX_free(k.tls);
    free(k.scratch);
    keeper_untold_release(&k.untold);
    crypto_wipe(&k.set, sizeof k.set);
    crypto_wipe(k.place.token, sizeof k.place.token);
    return r == UV_ENOTSOCK ? -EINVAL : r;
}
