/* Start, reload and end of the agent, in order; what its parts share. */
#include "agent/agent.h"

#include "agent/conf.h"
#include "agent/join_code.h"
#include "agent/keepers.h"
#include "agent/server.h"
#include "agent/uplink.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/netwatch.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STOP_LOOK_MS 50
#define STOP_MS 5000 /* for the keepers to end, whose streams have last words */

/* --- before it runs --- */

int agent_paths(struct agent *a, struct errmsg *err)
{
    int r = fs_join(a->conf_path, sizeof a->conf_path, a->state_dir, "agent.conf");
    return r == 0 ? 0 : errmsg_set(err, r, "the path of the state folder is too long");
}

int agent_make_folder(const struct agent *a, struct errmsg *err)
{
    int r = fs_mkdir_private(a->state_dir);
    return r == 0 ? 0
                  : errmsg_set(err, r, "cannot make the state folder %s: %s (choose another with --state)",
                               a->state_dir, strerror(-r));
}

int agent_lock(struct agent *a, struct errmsg *err)
{
    char path[FS_PATH_MAX], who[40] = "";
    long pid = 0;
    int r = fs_join(path, sizeof path, a->state_dir, "agent.lock");
    if (r == 0)
        r = process_lock(path, &a->lock_fd, &pid);
    if (pid > 0)
        snprintf(who, sizeof who, ", process %ld", pid);
    if (r == -EBUSY)
        return errmsg_set(
            err, r,
            "another multissh-agent uses the state folder %s%s: stop it first, or choose another "
            "folder with --state",
            a->state_dir, who);
    return r == 0 ? 0 : errmsg_set(err, r, "cannot lock the state folder %s: %s", a->state_dir, strerror(-r));
}

int agent_read_options(const struct agent *a, struct agent_options *ret_opt, struct errmsg *err)
{
    int next = 0;
    const char *extra = NULL;
    int r = agent_options_load(ret_opt, a->conf_path, err);
    if (r == 0)
        r = options_args(agent_options_table, agent_options_count, ret_opt, a->flags.argc, a->flags.argv,
                         NULL, &next, &extra, err);
    if (r == 0)
        r = agent_options_check(ret_opt, err);
    if (r != 0)
        agent_options_release(ret_opt);
    return r;
}

int agent_load_key(struct agent *a, struct errmsg *err)
{
    char path[FS_PATH_MAX];
    uint8_t pin[CRYPTO_HASH_SIZE];
    int r = fs_join(path, sizeof path, a->state_dir, "agent.key");
    if (r != 0)
        return errmsg_set(err, r, "the path of the state folder is too long");
    r = keys_load_or_make(path, &a->key, err);
    if (r != 0)
        return r;
    r = keys_self_sign(a->key, "multissh-agent", 0, &a->cert);
    if (r == 0)
        r = keys_pin(a->cert, pin);
    if (r != 0)
        return errmsg_set(err, r, "cannot make a certificate: %s", strerror(-r));
    keys_pin_text(pin, a->fingerprint);
    return 0;
}

/* --- what its parts ask --- */

void agent_trust(const struct agent *a, const char *host, struct session_trust *ret_trust)
{
    memset(ret_trust, 0, sizeof *ret_trust);
    ret_trust->name = host;
    if (a->opt.trust == AGENT_TRUST_SYSTEM) {
        ret_trust->how = SESSION_TRUST_SYSTEM;
    } else if (a->pinned) {
        ret_trust->how = SESSION_TRUST_PIN;
        memcpy(ret_trust->pin, a->pin, sizeof ret_trust->pin);
    } else {
        ret_trust->how = SESSION_TRUST_ANY;
    }
}

static void remember(struct agent *a, const struct conf_change *changes, size_t n)
{
    struct errmsg err;
    if (conf_save(a->conf_path, changes, n, &err) != 0)
        log_error("%s", err.text);
}

void agent_pin_hub(struct agent *a, const uint8_t pin[CRYPTO_HASH_SIZE])
{
    char text[KEYS_FINGERPRINT_TEXT];
    if (a->pinned)
        return;
    memcpy(a->pin, pin, sizeof a->pin);
    a->pinned = true;
    keys_pin_text(pin, text);
    log_warn("first contact: the hub's key is %s; from now on only a hub with this key is believed (compare "
             "it with what "
             "the hub's admin sees)",
             text);
    remember(a, &(struct conf_change){"pin", text}, 1);
}

void agent_admitted(struct agent *a, const char *name)
{
    struct conf_change changes[] = {{"name", name}, {"token", NULL}};
    bool same = a->opt.name != NULL && strcmp(a->opt.name, name) == 0;
    snprintf(a->name, sizeof a->name, "%s", name);
    if (same && a->opt.token == NULL)
        return;
    remember(a, changes, 2);
    if (a->opt.token != NULL)
        crypto_wipe(a->opt.token, strlen(a->opt.token));
    free(a->opt.token);
    a->opt.token = NULL;
    char *copy = strdup(name);
    if (copy != NULL) {
        free(a->opt.name);
        a->opt.name = copy;
    }
}

int agent_proxy(const struct agent *a, const char *host, struct proxy *ret_proxy, struct errmsg *err)
{
    return proxy_choose(a->opt.proxy, host, ret_proxy, err);
}

/* --- reload --- */

static void take_text(char **mine, char **theirs)
{
    char *old = *mine;
    *mine = *theirs;
    *theirs = old;
}

/* Takes over what can change while running: the options that say so in the table. */
void agent_reload(struct agent *a)
{
    struct agent_options fresh;
    struct errmsg err;
    if (a->stopping)
        return;
    if (agent_read_options(a, &fresh, &err) != 0) {
        log_error("the settings stay as they were: %s", err.text);
        return;
    }
    bool target = strcmp(a->opt.ssh, fresh.ssh) != 0;
    bool server = target || a->opt.ssh_mode != fresh.ssh_mode ||
                  (fresh.sshd_socket != NULL && strcmp(a->opt.sshd_socket, fresh.sshd_socket) != 0);
    take_text(&a->opt.ssh, &fresh.ssh);
    take_text(&a->opt.sshd_socket, &fresh.sshd_socket);
    a->opt.ssh_mode = fresh.ssh_mode;
    take_text(&a->opt.proxy, &fresh.proxy);
    take_text(&a->opt.labels, &fresh.labels);
    a->opt.streams = fresh.streams;
    a->opt.patience_ms = fresh.patience_ms;
    a->opt.window = fresh.window;
    a->opt.sessions_max = fresh.sessions_max;
    a->opt.orphan_ms = fresh.orphan_ms;
    a->opt.log_level = fresh.log_level;
    a->streams_tls = false;
    log_set_level((enum log_level)a->opt.log_level);
    agent_options_release(&fresh);
    log_info("read %s again", a->conf_path);
    if (server)
        server_reload(a->server, target);
    keepers_settings(a->keepers);
}

/* --- start and end --- */

static void on_signal(uv_signal_t *signal_handle, int number)
{
    struct agent *a = signal_handle->data;
    enum process_action action = PROCESS_STOP;
    for (size_t i = 0; i < PROCESS_SIGNALS; i++)
        if (process_signals[i].number == number)
            action = process_signals[i].action;
    if (action == PROCESS_RELOAD)
        agent_reload(a);
    else
        agent_stop(a, action == PROCESS_STOP_ALL, "it was told to");
}

static void on_network(void *arg)
{
    struct agent *a = arg;
    uplink_network_changed(a->uplink);
    keepers_network_changed(a->keepers);
}

/* What earlier agents left is known: the hub may ask. */
static void on_adopted(void *arg)
{
    struct agent *a = arg;
    if (!a->stopping)
        uplink_start(a->uplink);
}

static int start_signals(struct agent *a)
{
    int r = uv_timer_init(a->loop, &a->stop_timer);
    a->stop_timer.data = a;
    a->open = 1;
    for (size_t i = 0; r == 0 && i < PROCESS_SIGNALS; i++) {
        r = uv_signal_init(a->loop, &a->signals[i]);
        if (r != 0)
            break;
        a->signals[i].data = a;
        a->open++;
        r = uv_signal_start(&a->signals[i], on_signal, process_signals[i].number);
    }
    return r;
}

static int start_parts(struct agent *a)
{
    uint8_t start_id[16];
    int r = crypto_random(start_id, sizeof start_id);
    if (r != 0)
        return r;
    crypto_hex_encode(start_id, sizeof start_id, a->start_id, sizeof a->start_id);
    host_read(&a->host);
    if (a->opt.pin != NULL)
        a->pinned = join_code_parse_pin(a->opt.pin, a->pin) == 0;
    r = session_client_ctx(a->cert, a->key, &a->control_ctx);
    if (r == 0)
        r = keepers_new(a, &a->keepers);
    if (r == 0)
        r = uplink_new(a, &a->uplink);
    if (r == 0)
        r = server_new(a, &a->server);
    return r != 0 ? r : start_signals(a);
}

static int choose_name(struct agent *a, struct errmsg *err)
{
    char host[256];
    size_t size = sizeof host;
    if (a->opt.name != NULL) {
        snprintf(a->name, sizeof a->name, "%s", a->opt.name);
        return 0;
    }
    if (uv_os_gethostname(host, &size) != 0 || names_from_host(host, a->name, sizeof a->name) != 0)
        return errmsg_set(err, -EINVAL,
                          "this host's name cannot be a machine's name: choose one with --name");
    return 0;
}

int agent_start(struct agent *a, struct errmsg *err)
{
    int r = choose_name(a, err);
    if (r != 0)
        return r;
    r = start_parts(a);
    if (r != 0)
        return errmsg_set(err, r, "cannot start: %s", strerror(-r));
    r = netwatch_new(a->loop, on_network, a, &a->netwatch);
    if (r != 0)
        log_warn("changes of the network will not be noticed at once: %s", strerror(-r));
    log_info("multissh-agent %s: machine %s, key %s, state in %s", MULTISSH_VERSION, a->name, a->fingerprint,
             a->state_dir);
    server_start(a->server);
    keepers_adopt(a->keepers, on_adopted, a);
    return 0;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct agent *a = handle->data;
    a->open--;
}

static void close_handles(struct agent *a)
{
    unsigned open = a->open; /* the timer first, then the signals */
    if (open > 0 && !uv_is_closing((uv_handle_t *)&a->stop_timer))
        uv_close((uv_handle_t *)&a->stop_timer, on_handle_closed);
    for (unsigned i = 0; i + 1 < open; i++)
        if (!uv_is_closing((uv_handle_t *)&a->signals[i]))
            uv_close((uv_handle_t *)&a->signals[i], on_handle_closed);
}

static void finish(struct agent *a)
{
    uplink_stop(a->uplink, a->stops_all ? "the agent was told to end" : "the agent stops, or restarts",
                a->stops_all);
    uplink_free(a->uplink);
    a->uplink = NULL;
    keepers_free(a->keepers);
    a->keepers = NULL;
    server_free(a->server);
    a->server = NULL;
    close_handles(a);
}

static void on_stop_timer(uv_timer_t *timer)
{
    struct agent *a = timer->data;
    if (keepers_count(a->keepers) == 0 || clock_now_ms() >= a->stop_by)
        finish(a);
}

void agent_stop(struct agent *a, bool all, const char *reason)
{
    size_t n = keepers_sessions(a->keepers);
    if (a->stopping) {
        log_warn("told twice: ending at once");
        _Exit(1);
    }
    a->stopping = true;
    a->stops_all = all;
    if (n == 0)
        log_info("ending: %s", reason);
    else
        log_info("ending: %s; %zu session%s %s", reason, n, n == 1 ? "" : "s",
                 all      ? "end with it"
                 : n == 1 ? "goes on without it"
                          : "go on without it");
    netwatch_free(a->netwatch);
    a->netwatch = NULL;
    if (!all) {
        finish(a);
        return;
    }
    keepers_end_all(a->keepers, "the machine's agent is ending");
    a->stop_by = clock_now_ms() + STOP_MS;
    uv_timer_start(&a->stop_timer, on_stop_timer, 0, STOP_LOOK_MS);
}

void agent_release(struct agent *a)
{
    netwatch_free(a->netwatch);
    uplink_free(a->uplink);
    keepers_free(a->keepers);
    server_free(a->server);
    close_handles(a);
    if (a->loop != NULL)
        uv_run(a->loop, UV_RUN_DEFAULT); /* what is closing closes */
    SSL_CTX_free(a->control_ctx);
    X509_free(a->cert);
    EVP_PKEY_free(a->key);
    agent_options_release(&a->opt);
}
