/* The choice between the machine's own SSH server and the built-in one. */
#include "agent/server.h"

#include "agent/agent.h"
#include "agent/builtin.h"
#include "agent/control.h"
#include "agent/keepers.h"
#include "agent/probe.h"
#include "agent/uplink.h"
#include "base/log.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct server {
    struct agent *agent;
    struct probe *probe;
    struct builtin *builtin;
    bool builtin_chosen, builtin_told, ready;
};

/* In auto the built-in one is for this host; who names a server elsewhere wants that one and no other. */
static bool wants_builtin(const struct server *s)
{
    const char *state = probe_state(s->probe);
    switch (s->agent->opt.ssh_mode) {
    case AGENT_SSH_OPENSSH:
        return false;
    case AGENT_SSH_BUILTIN:
        return true;
    default:
        return probe_is_local(s->probe) && (strcmp(state, "refused") == 0 || strcmp(state, "not-ssh") == 0);
    }
}

bool server_ready(const struct server *s)
{
    return s->ready;
}

bool server_is_builtin(const struct server *s)
{
    return s->builtin_chosen;
}

const char *server_ssh(const struct server *s)
{
    if (s->builtin_chosen)
        return "built-in";
    if (s->agent->opt.ssh_mode == AGENT_SSH_BUILTIN)
        return "none";
    return strcmp(probe_state(s->probe), "refused") == 0 ? "none" : "openssh";
}

const char *server_ssh_state(const struct server *s)
{
    if (s->builtin_chosen)
        return "ok";
    return s->agent->opt.ssh_mode == AGENT_SSH_BUILTIN ? "refused" : probe_state(s->probe);
}

const char *server_words(const struct server *s)
{
    return wants_builtin(s) ? builtin_words(s->builtin) : "";
}

const struct hostkeys *server_hostkeys(const struct server *s)
{
    return s->builtin_chosen ? builtin_hostkeys(s->builtin) : probe_hostkeys(s->probe);
}

static void announce(struct server *s)
{
    bool first = !s->ready;
    s->ready = true;
    if (s->builtin_chosen != s->builtin_told)
        log_info("users reach %s",
                 s->builtin_chosen ? "the built-in SSH server" : "the machine's own SSH server");
    s->builtin_told = s->builtin_chosen;
    if (first)
        uplink_probed(s->agent->uplink);
    control_send_state(s->agent);
}

/* Until it is known the built-in one is taken to be there: a user who comes meanwhile is told when it is not.
 */
static void choose(struct server *s)
{
    bool before = s->builtin_chosen;
    builtin_watch(s->builtin, wants_builtin(s));
    s->builtin_chosen = wants_builtin(s) && (!builtin_known(s->builtin) || builtin_there(s->builtin));
    if (before != s->builtin_chosen)
        keepers_settings(s->agent->keepers);
}

/* The choice is made; the hub is told with the host keys. */
static void settle(struct server *s)
{
    choose(s);
    if (!wants_builtin(s) || builtin_known(s->builtin))
        announce(s);
}

static void on_probe(void *arg)
{
    settle(arg);
}

static void on_builtin(void *arg)
{
    settle(arg);
}

void server_soon(struct server *s)
{
    probe_soon(s->probe);
    builtin_soon(s->builtin);
}

void server_reload(struct server *s, bool ssh)
{
    bool own = s->agent->opt.ssh_mode != AGENT_SSH_BUILTIN;
    if (!own)
        probe_stop(s->probe);
    else if (ssh || !probe_runs(s->probe))
        probe_start(s->probe);
    builtin_restart(s->builtin);
    if (s->ready && (!own || probe_ready(s->probe)))
        settle(s);
    else
        choose(s);
}

void server_start(struct server *s)
{
    choose(s);
    if (s->agent->opt.ssh_mode != AGENT_SSH_BUILTIN)
        probe_start(s->probe);
}

int server_new(struct agent *a, struct server **ret_s)
{
    struct server *s = calloc(1, sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    s->agent = a;
    int r = probe_new(a, on_probe, s, &s->probe);
    if (r == 0)
        r = builtin_new(a, on_builtin, s, &s->builtin);
    if (r != 0) {
        server_free(s);
        return r;
    }
    *ret_s = s;
    return 0;
}

void server_free(struct server *s)
{
    if (s == NULL)
        return;
    probe_free(s->probe);
    builtin_free(s->builtin);
    free(s);
}
