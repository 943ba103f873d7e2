/* Forwards, on Windows: may it be, and then a thread does it (net_windows.h). What answers late does not keep anybody
 * else waiting. */
#include "sshd/host_windows_private.h"

#include "base/io.h"
#include "sshd/net_windows.h"
#include "sshd/netops.h"
#include "sshd/verdict.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEADLINE_MS (NETOPS_CONNECT_MS + 10000)

struct opening;

struct host_wait {
    struct host_wait *next;
    struct host *host;
    struct opening *opening;
    struct ssh_loop_timer *deadline;
    host_fd_fn *fn; /* one of the two */
    host_listen_fn *listen_fn;
    void *arg;
};

/* What a thread has of a connection or listener that is asked for. */
struct opening {
    struct work work;
    struct host_wait *wait; /* the loop's thread alone; NULL: it is not wanted any more */
    bool listening, anywhere;
    char *name;
    unsigned port;
    int rc;
    struct errmsg err;
    int fds[2];
    unsigned found_port;
};

static void release_opening(struct work *work)
{
    struct opening *o = (struct opening *)work;
    io_close(o->fds[0]);
    io_close(o->fds[1]);
    free(o->name);
    free(o);
}

static void run_opening(struct work *work)
{
    struct opening *o = (struct opening *)work;
    o->rc = o->listening ? net_listen(o->name, o->port, o->anywhere, o->fds, &o->found_port, &o->err)
                         : net_connect(o->name, o->port, &o->fds[0], &o->err);
}

static void release(struct host_wait *wait)
{
    if (wait->opening != NULL) {
        wait->opening->wait = NULL;
    }
    ssh_loop_untimer(wait->deadline);
    free(wait);
}

/* Takes it out of the list and frees it. */
static void forget(struct host_wait *wait)
{
    struct host_wait **at = &wait->host->waits;
    while (*at != wait) {
        at = &(*at)->next;
    }
    *at = wait->next;
    release(wait);
}

static void answer(struct host_wait *wait, int fd, int other, unsigned port, const char *text)
{
    struct host_wait w = *wait;
    forget(wait);
    if (w.listen_fn != NULL) {
        w.listen_fn(w.arg, fd, other, port, text);
    } else {
        w.fn(w.arg, fd, port, text);
    }
}

static void on_opening_done(struct work *work)
{
    struct opening *o = (struct opening *)work;
    if (o->wait != NULL && o->rc < 0) {
        answer(o->wait, -1, -1, 0, o->err.text);
    } else if (o->wait != NULL) {
        int fd = o->fds[0];
        int other = o->fds[1];
        o->fds[0] = o->fds[1] = -1;
        answer(o->wait, fd, other, o->found_port, "");
    }
    release_opening(work);
}

static void on_late(void *arg)
{
    answer(arg, -1, -1, 0, "it took too long");
}

static int open_one(struct host *host, bool listening, const char *name, unsigned port,
                    const struct host_wait *form, struct host_wait **ret_wait)
{
    struct host_wait *wait = malloc(sizeof *wait);
    struct opening *o = calloc(1, sizeof *o);
    int rc = -ENOMEM;
    if (wait == NULL || o == NULL || (o->name = strdup(name)) == NULL) {
        goto out;
    }
    *wait = *form;
    wait->host = host;
    wait->opening = o;
    rc = ssh_loop_timer(host->loop, on_late, wait, &wait->deadline);
    if (rc < 0) {
        goto out;
    }
    o->work = (struct work){.run = run_opening, .done = on_opening_done, .release = release_opening};
    o->wait = wait;
    o->listening = listening;
    o->anywhere = host->config.options->gateway_ports;
    o->port = port;
    o->fds[0] = o->fds[1] = -1;
    rc = workers_run(host->workers, &o->work);
    o = NULL;
    if (rc < 0) {
        ssh_loop_untimer(wait->deadline);
        goto out;
    }
    ssh_loop_set(wait->deadline, ssh_loop_now(host->loop) + DEADLINE_MS);
    wait->next = host->waits;
    host->waits = wait;
    *ret_wait = wait;
    return 0;
out:
    if (o != NULL) {
        free(o->name);
        free(o);
    }
    free(wait);
    return rc;
}

static int refuse(struct host *host, const char *what, const char *name, unsigned port, const char *why)
{
    log_limited(&host->refusals, LOG_LEVEL_INFO, "%s %.255s port %u is refused to %s: %s", what, name, port,
                host->user == NULL ? "nobody" : host->user->logon->name, why);
    return -EACCES;
}

int host_connect(struct host *host, const char *name, unsigned port, host_fd_fn *fn, void *arg,
                 struct host_wait **ret_wait)
{
    const char *why = verdict_connect(host->rights, &host->key, name, port);
    return why != NULL
               ? refuse(host, "connecting to", name, port, why)
               : open_one(host, false, name, port, &(struct host_wait){.fn = fn, .arg = arg}, ret_wait);
}

int host_listen(struct host *host, const char *name, unsigned port, host_listen_fn *fn, void *arg,
                struct host_wait **ret_wait)
{
    const char *why = verdict_listen(host->rights, &host->key, name, port);
    return why != NULL
               ? refuse(host, "listening at", name, port, why)
               : open_one(host, true, name, port, &(struct host_wait){.listen_fn = fn, .arg = arg}, ret_wait);
}

int host_agent(struct host *host, host_fd_fn *fn, void *arg, struct host_wait **ret_wait)
{
    (void)host;
    (void)fn;
    (void)arg;
    (void)ret_wait;
    return -ENOSYS; /* the right to it is never given */
}

void host_wait_cancel(struct host_wait *wait)
{
    if (wait != NULL) {
        forget(wait);
    }
}

void host_waits_free(struct host *host)
{
    while (host->waits != NULL) {
        struct host_wait *wait = host->waits;
        host->waits = wait->next;
        release(wait);
    }
}
