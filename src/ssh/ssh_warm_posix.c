/* One handshake with ourselves. Nothing of it is kept but what the libraries keep. Only fronts need it, and they are not built for Windows. */
#include "ssh/ssh_warm.h"

#include "base/io.h"
#include "ssh/ssh_internal.h"
#include <poll.h>
#include <sys/socket.h>

#define PATIENCE_MS 1000

struct warm {
    struct ssh_loop *loop;
    ssh_session client;
    ssh_key key;
    bool connected;
};

static void stop(void *arg)
{
    ssh_loop_stop(((struct warm *)arg)->loop);
}

/* The signature was looked at: that was all. */
static void on_ask(void *arg, struct ssh_ask *ask)
{
    ssh_ask_refuse(ask);
    stop(arg);
}

static void on_ended(void *arg, const char *why)
{
    (void)why;
    stop(arg);
}

static void on_ready(void *arg, short ready)
{
    (void)arg;
    (void)ready; /* the turn does it */
}

static void client_turn(void *arg)
{
    struct warm *w = arg;
    int rc = SSH_OK;
    if (!w->connected) {
        rc = ssh_connect(w->client);
        w->connected = rc == SSH_OK;
    }
    if (w->connected) {
        rc = ssh_userauth_publickey(w->client, "warm", w->key) == SSH_AUTH_AGAIN ? SSH_AGAIN : SSH_ERROR;
    }
    if (rc == SSH_ERROR) {
        stop(w);
    }
}

static bool set_up_client(struct warm *w, int fd, const struct hostkey *key)
{
    bool no = false;
    socket_t descriptor = fd;
    w->client = ssh_new();
    w->key = hostkey_copy(key);
    if (w->client == NULL || w->key == NULL ||
        ssh_options_set(w->client, SSH_OPTIONS_PROCESS_CONFIG, &no) != SSH_OK ||
        ssh_options_set(w->client, SSH_OPTIONS_HOST, "warm") != SSH_OK ||
        ssh_options_set(w->client, SSH_OPTIONS_USER, "warm") != SSH_OK ||
        /* Both of those that most clients use. */
        ssh_options_set(w->client, SSH_OPTIONS_CIPHERS_C_S, "chacha20-poly1305@openssh.com") != SSH_OK ||
        ssh_options_set(w->client, SSH_OPTIONS_CIPHERS_S_C, "aes128-gcm@openssh.com,aes128-ctr") != SSH_OK ||
        ssh_options_set(w->client, SSH_OPTIONS_FD, &descriptor) != SSH_OK) {
        return false;
    }
    ssh_set_blocking(w->client, 0);
    return true;
}

void ssh_warm(const struct hostkey *key)
{
    static const struct ssh_server_events events = {.ask = on_ask, .ended = on_ended};
    struct ssh_server_config config = {
        .fd = -1, .key = key, .software = "warm", .channels_max = 1, .tries_max = 1, .grace_ms = PATIENCE_MS};
    struct warm w = {.loop = NULL};
    struct ssh_loop_watch *watch = NULL;
    struct ssh_loop_timer *timer = NULL;
    struct ssh_server *server = NULL;
    struct errmsg err;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
        return;
    }
    config.fd = pair[0];
    if (ssh_loop_new(&w.loop) < 0) {
        io_close(pair[0]);
        goto out;
    }
    if (ssh_server_new(w.loop, &config, &events, &w, &server, &err) < 0 || !set_up_client(&w, pair[1], key) ||
        ssh_loop_watch(w.loop, pair[1], POLLIN, on_ready, &w, &watch) < 0 ||
        ssh_loop_timer(w.loop, stop, &w, &timer) < 0 || ssh_loop_hook(w.loop, client_turn, &w) < 0) {
        goto out;
    }
    ssh_loop_set(timer, ssh_loop_now(w.loop) + PATIENCE_MS);
    ssh_server_start(server);
    (void)ssh_loop_run(w.loop);
out:
    ssh_server_free(server);
    ssh_key_free(w.key);
    if (w.client != NULL) {
        ssh_silent_disconnect(w.client);
    }
    ssh_free(w.client);
    ssh_loop_free(w.loop);
    io_close(pair[1]);
}
