/* Stands in for agent/server.c: all agents of the process have the same SSH server behind them, and one probe looks at it for
 * all, where each would have its own. There is no built-in server here. */
#include "agent/server.h"

#include "agent/probe.h"
#include "load_fleet.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct server {
    struct agent *agent;
};

static struct {
    struct probe *probe;
    load_server_changed_fn *changed;
    void *arg;
} the;

static void on_probe(void *arg)
{
    (void)arg;
    the.changed(the.arg);
}

int load_server_begin(struct agent *a, load_server_changed_fn *changed, void *arg)
{
    the.changed = changed;
    the.arg = arg;
    int r = probe_new(a, on_probe, NULL, &the.probe);
    if (r == 0)
        probe_start(the.probe);
    return r;
}

bool load_server_known(void)
{
    return the.probe != NULL && probe_ready(the.probe);
}

void load_server_end(void)
{
    probe_free(the.probe);
    the.probe = NULL;
}

int server_new(struct agent *a, struct server **ret_s)
{
    struct server *s = calloc(1, sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    s->agent = a;
    *ret_s = s;
    return 0;
}

void server_start(struct server *s)
{
    (void)s;
}

void server_free(struct server *s)
{
    free(s);
}

bool server_ready(const struct server *s)
{
    (void)s;
    return load_server_known();
}

const char *server_ssh(const struct server *s)
{
    return strcmp(server_ssh_state(s), "refused") == 0 ? "none" : "openssh";
}

const char *server_ssh_state(const struct server *s)
{
    (void)s;
    return load_server_known() ? probe_state(the.probe) : "timeout";
}

const char *server_words(const struct server *s)
{
    (void)s;
    return "";
}

const struct hostkeys *server_hostkeys(const struct server *s)
{
    static const struct hostkeys none = {.from = "none"};
    (void)s;
    return load_server_known() ? probe_hostkeys(the.probe) : &none;
}

bool server_is_builtin(const struct server *s)
{
    (void)s;
    return false;
}

void server_soon(struct server *s)
{
    (void)s;
    if (the.probe != NULL)
        probe_soon(the.probe);
}

void server_reload(struct server *s, bool ssh)
{
    (void)s;
    (void)ssh;
}
