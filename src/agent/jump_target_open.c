/* How the SSH server's side of a jump comes to be: dialled from the user's own loopback address where the
 * machine has a server of its own, else the built-in one. */
#include "agent/jump.h"

#include "agent/listen.h"
#include "agent/loopback.h"
#include "agent/target.h"
#include <stdio.h>

void jump_target_name(const struct jump *j, char *out, size_t size)
{
    if (j->target.builtin)
        snprintf(out, size, "built-in SSH server of the machine");
    else
        snprintf(out, size, "SSH server at %s of the machine", j->keeper->set.ssh);
}

/* The machine's own one has just refused at this address: does the built-in one take the user? Only where the address
 * is this host's. */
static bool stands_in(const struct jump *j, const struct sockaddr *at)
{
    return j->keeper->set.server == KEEPER_SERVER_STAND_IN && listen_is_local(at);
}

static void on_dialed(void *arg, int status, uv_tcp_t *tcp, const char *words)
{
    struct jump *j = arg;
    struct jump_target *t = &j->target;
    char why[KEEPER_SETTINGS_SSH_MAX + 100];
    bool stand_in = status == UV_ECONNREFUSED && stands_in(j, dialer_peer(t->dialer));
    dialer_free(t->dialer);
    t->dialer = NULL;
    if (status == 0) {
        t->stream = (uv_stream_t *)tcp;
        tcp->data = j;
        j->open++;
        jump_target_opened(j);
        return;
    }
    keeper_say_look(j->keeper);
    if (status == UV_ECONNREFUSED)
        snprintf(why, sizeof why, "no SSH server listens at %s of the machine (connection refused)",
                 j->keeper->set.ssh);
    else
        snprintf(why, sizeof why, "the machine's SSH server cannot be reached: %s", words);
    if (stand_in)
        jump_builtin_open(j, why);
    else
        jump_fail(j, target_code(status), "%s", why);
}

void jump_target_open(struct jump *j)
{
    struct dialer_config config = {.loop = j->keeper->loop};
    struct sockaddr_in source;
    char ip[32];
    if (j->keeper->set.server == KEEPER_SERVER_BUILTIN) {
        jump_builtin_open(j, NULL);
        return;
    }
    (void)addr_parse(j->keeper->set.ssh, AGENT_OPTIONS_SSH_PORT, false, &config.to);
    if (loopback_for_user(j->user, ip, sizeof ip) == 0 && uv_ip4_addr(ip, 0, &source) == 0)
        config.source = (const struct sockaddr *)&source;
    if (dialer_new(&config, on_dialed, j, &j->target.dialer) != 0) {
        jump_fail(j, "busy", "the machine's agent is out of memory");
        return;
    }
    dialer_next(j->target.dialer);
}
