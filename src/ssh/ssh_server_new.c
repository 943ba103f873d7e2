/* Setting a session up and taking it down: algorithms, options, descriptors. */
#include "base/io.h"
#include "ssh/ssh_internal.h"
#include "ssh/ssh_os.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What a version of libssh does not know it leaves out. No group exchange, which reads a file. SSH_SERVER_KEX: sntrup761,
 * where it was asked for. */
static const char kex_list[] = "mlkem768x25519-sha256," SSH_SERVER_KEX
                               "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,"
                               "ecdh-sha2-nistp384,ecdh-sha2-nistp521,diffie-hellman-group14-sha256,"
                               "diffie-hellman-group16-sha512";
static const char cipher_list[] =
    "chacha20-poly1305@openssh.com," SSH_SERVER_GCM "aes256-ctr,aes192-ctr,aes128-ctr";
static const char mac_list[] =
    "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,hmac-sha2-512";
static const char key_list[] =
    "ssh-ed25519,sk-ssh-ed25519@openssh.com,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,"
    "ecdsa-sha2-nistp521,sk-ecdsa-sha2-nistp256@openssh.com,rsa-sha2-512,rsa-sha2-256";

static int set_up_session(struct ssh_server *s, int fd, const struct hostkey *key)
{
    bool no = false;
    int rc = -ENOMEM;
    ssh_key copy = hostkey_copy(key);
    ssh_bind bind = ssh_bind_new();
    s->session = ssh_new();
    if (bind == NULL || s->session == NULL || copy == NULL) {
        ssh_key_free(copy);
        goto out;
    }
    rc = -EINVAL;
    if (ssh_bind_options_set(bind, SSH_BIND_OPTIONS_PROCESS_CONFIG, &no) != SSH_OK ||
        ssh_options_set(s->session, SSH_OPTIONS_PROCESS_CONFIG, &no) != SSH_OK ||
        ssh_bind_options_set(bind, SSH_BIND_OPTIONS_IMPORT_KEY, copy) != SSH_OK) {
        ssh_key_free(copy);
        goto out;
    }
    if (ssh_bind_options_set(bind, SSH_BIND_OPTIONS_BANNER, s->config.software) != SSH_OK ||
        ssh_bind_options_set(bind, SSH_BIND_OPTIONS_KEY_EXCHANGE, kex_list) != SSH_OK ||
        ssh_bind_options_set(bind, SSH_BIND_OPTIONS_CIPHERS_C_S, cipher_list) != SSH_OK ||
        ssh_bind_options_set(bind, SSH_BIND_OPTIONS_CIPHERS_S_C, cipher_list) != SSH_OK ||
        ssh_bind_options_set(bind, SSH_BIND_OPTIONS_HMAC_C_S, mac_list) != SSH_OK ||
        ssh_bind_options_set(bind, SSH_BIND_OPTIONS_HMAC_S_C, mac_list) != SSH_OK ||
        ssh_bind_options_set(bind, SSH_BIND_OPTIONS_PUBKEY_ACCEPTED_KEY_TYPES, key_list) != SSH_OK ||
        ssh_options_set(s->session, SSH_OPTIONS_COMPRESSION, "no") != SSH_OK ||
        ssh_bind_accept_fd(bind, s->session, fd) != SSH_OK) {
        goto out;
    }
    ssh_set_auth_methods(s->session, s->config.passwords
                                         ? SSH_AUTH_METHOD_PUBLICKEY | SSH_AUTH_METHOD_PASSWORD
                                         : SSH_AUTH_METHOD_PUBLICKEY);
    ssh_set_blocking(s->session, 0);
    ssh_set_counters(s->session, &s->wire, &s->packets);
    rc = 0;
out:
    ssh_bind_free(bind);
    return rc;
}

int ssh_server_new(struct ssh_loop *loop, const struct ssh_server_config *config,
                   const struct ssh_server_events *events, void *arg, struct ssh_server **ret_server,
                   struct errmsg *err)
{
    int fd = config->fd;
    int rc = -ENOMEM;
    struct ssh_server *s = calloc(1, sizeof *s);
    if (s == NULL) {
        io_close(fd);
        return errmsg_set(err, rc, "out of memory");
    }
    s->loop = loop;
    s->config = *config;
    s->events = *events;
    s->arg = arg;
    s->take_agents = config->agent_requests;
    s->grace_at = s->short_at = s->keepalive_at = s->closing_at = SSH_LOOP_NEVER;
    s->fd = ssh_os_dup(fd);
    if (s->fd < 0) {
        rc = errmsg_set(err, s->fd, "cannot use descriptor %d as a connection: %s", fd, strerror(-s->fd));
        goto out;
    }
    s->tcp = ssh_os_no_delay(fd);
    ssh_os_guard_start();
    /* From here on the session closes fd. */
    rc = set_up_session(s, fd, config->key);
    if (rc == 0) {
        rc = ssh_loop_watch(loop, s->fd, 0, ssh_server_ready, s, &s->watch);
    }
    if (rc == 0) {
        rc = ssh_loop_timer(loop, ssh_server_timer, s, &s->timer);
    }
    if (rc == 0) {
        rc = ssh_loop_hook(loop, ssh_server_turn, s);
    }
    if (rc < 0) {
        (void)errmsg_set(err, rc, "cannot set up an SSH session: %s", strerror(-rc));
        goto out;
    }
    *ret_server = s;
    return 0;
out:
    if (s->session == NULL || (int)ssh_get_fd(s->session) != fd) {
        io_close(fd);
    }
    ssh_server_free(s);
    return rc;
}

void ssh_server_free(struct ssh_server *server)
{
    if (server == NULL) {
        return;
    }
    ssh_loop_unhook(server->loop, server);
    ssh_loop_unwatch(server->watch);
    ssh_loop_untimer(server->timer);
    ssh_ask_drop_all(server);
    ssh_chan_orphan_all(server);
    ssh_chan_free_all(server);
    ssh_free(server->session);
    io_close(server->fd);
    free(server);
}

void ssh_server_start(struct ssh_server *server)
{
    uint64_t now = ssh_loop_now(server->loop);
    server->phase = SSH_PHASE_KEX;
    server->grace_at = now + server->config.grace_ms;
    ssh_server_kick(server);
}

/* Called by ssh_ask_accept. */
void ssh_server_log_in(struct ssh_server *server)
{
    server->logged_in = true;
    server->phase = SSH_PHASE_OPEN;
    server->grace_at = server->short_at = SSH_LOOP_NEVER;
    if (server->config.keepalive_ms > 0) {
        server->keepalive_at = ssh_loop_now(server->loop) + (server->config.keepalive_ms + 1) / 2;
    }
}
