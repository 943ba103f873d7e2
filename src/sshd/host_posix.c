/* The machine, asked through the monitor: calls become messages of wire.h, and answers calls back. */
#include "sshd/host.h"

#include "sshd/wire.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define TEXT_MAX 4096u
#define SIGNAL_MAX 31u

struct host_child {
    struct host_child *next;
    struct host *host;
    uint32_t id;
    struct host_child_events events;
    void *arg;
    bool started;
};

struct host_wait {
    struct host_wait *next;
    struct host *host;
    uint32_t id;
    host_fd_fn *fn; /* one of the two */
    host_listen_fn *listen_fn;
    void *arg;
};

struct host {
    struct wire *wire;
    struct host_events events;
    void *arg;
    host_login_fn *login_fn; /* NULL: nothing is asked */
    void *login_arg;
    uint32_t login_id, last_id;
    unsigned rights;
    struct host_child *children;
    struct host_wait *waits;
};

/* --- answers --- */

static void on_verdict(struct host *host, struct wire_in *in)
{
    uint32_t verdict = wire_number(in);
    uint32_t rights = wire_number(in);
    char *text = wire_text(in, TEXT_MAX);
    host_login_fn *fn = host->login_fn;
    if (!wire_done(in) || verdict > HOST_FATAL || fn == NULL || in->id != host->login_id) {
        in->bad = true;
    } else {
        host->login_fn = NULL;
        host->rights = verdict == HOST_YES ? rights : 0;
        fn(host->login_arg, (enum host_verdict)verdict, text);
    }
    free(text);
}

static struct host_child *find_child(struct host *host, uint32_t id)
{
    struct host_child *c = host->children;
    while (c != NULL && c->id != id) {
        c = c->next;
    }
    return c;
}

/* Takes it out of the list; the caller frees it. */
static void forget_child(struct host_child *child)
{
    struct host_child **at = &child->host->children;
    while (*at != child) {
        at = &(*at)->next;
    }
    *at = child->next;
}

static struct host_wait *take_wait(struct host *host, uint32_t id)
{
    struct host_wait **at = &host->waits;
    struct host_wait *wait;
    while (*at != NULL && (*at)->id != id) {
        at = &(*at)->next;
    }
    wait = *at;
    if (wait != NULL) {
        *at = wait->next;
    }
    return wait;
}

static void set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0) {
        (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    }
}

static int take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    set_nonblocking(taken);
    return taken;
}

static int send_bare(struct host *host, enum wire_type type, uint32_t id)
{
    struct buf out;
    wire_begin(&out, type, id);
    return wire_send(host->wire, &out, NULL, 0);
}

/* The answer came and its descriptors found no room in this process. */
static const char out_of_fds[] =
    "this connection has as many files open as it may (too many open files): close some sessions or forwards";

static void on_started_in_vain(struct host *host, struct host_child *child)
{
    (void)send_bare(host, WIRE_CLOSE, child->id);
    forget_child(child);
    child->events.refused(child->arg, out_of_fds);
    free(child);
}

static void on_started(struct host *host, struct wire_in *in, int *fds, size_t fd_n)
{
    struct host_child *child = find_child(host, in->id);
    if (wire_done(in) && in->fds_lost && child != NULL && !child->started) {
        on_started_in_vain(host, child);
        return;
    }
    if (!wire_done(in) || (fd_n != 1 && fd_n != 3) || (child != NULL && child->started)) {
        in->bad = true;
        return;
    }
    if (child != NULL) {
        int first = take_fd(&fds[0]);
        child->started = true;
        child->events.started(child->arg, first, fd_n == 3 ? take_fd(&fds[1]) : first,
                              fd_n == 3 ? take_fd(&fds[2]) : first);
    }
}

static void on_exited(struct host *host, struct wire_in *in)
{
    uint32_t status = wire_number(in);
    uint32_t core = wire_number(in);
    char *name = wire_text(in, SIGNAL_MAX);
    struct host_child *child = find_child(host, in->id);
    if (!wire_done(in) || (child != NULL && !child->started)) {
        in->bad = true;
    } else if (child != NULL) {
        child->events.exited(child->arg, status, name[0] == '\0' ? NULL : name, core != 0);
    }
    free(name);
}

static void answer(struct host_wait *wait, int fd, int other, unsigned port, const char *text)
{
    if (wait->listen_fn != NULL) {
        wait->listen_fn(wait->arg, fd, other, port, text);
    } else {
        wait->fn(wait->arg, fd, port, text);
    }
    free(wait);
}

static void on_socket(struct host *host, struct wire_in *in, int *fds, size_t fd_n)
{
    uint32_t port = wire_number(in);
    struct host_wait *wait;
    if (!wire_done(in) || (!in->fds_lost && (fd_n < 1 || fd_n > 2)) || port > 65535) {
        in->bad = true;
        return;
    }
    wait = take_wait(host, in->id);
    if (wait != NULL && in->fds_lost) {
        answer(wait, -1, -1, 0, out_of_fds);
    } else if (wait != NULL) {
        int fd = take_fd(&fds[0]);
        answer(wait, fd, fd_n == 2 && wait->listen_fn != NULL ? take_fd(&fds[1]) : -1, port, "");
    }
}

static void on_failed(struct host *host, struct wire_in *in)
{
    char *text = wire_text(in, TEXT_MAX);
    struct host_child *child = find_child(host, in->id);
    struct host_wait *wait = take_wait(host, in->id);
    if (!wire_done(in) || (child != NULL && child->started)) {
        in->bad = true;
        free(wait);
    } else if (child != NULL) {
        forget_child(child);
        child->events.refused(child->arg, text);
        free(child);
    } else if (wait != NULL) {
        answer(wait, -1, -1, 0, text);
    }
    free(text);
}

static void on_message(void *arg, struct wire_in *in, int *fds, size_t fd_n)
{
    struct host *host = arg;
    switch (in->type) {
    case WIRE_VERDICT:
        on_verdict(host, in);
        break;
    case WIRE_STARTED:
        on_started(host, in, fds, fd_n);
        break;
    case WIRE_EXITED:
        on_exited(host, in);
        break;
    case WIRE_SOCKET:
        on_socket(host, in, fds, fd_n);
        break;
    case WIRE_FAILED:
        on_failed(host, in);
        break;
    default:
        in->bad = true;
        break;
    }
}

static void on_lost(void *arg, const char *why)
{
    struct host *host = arg;
    host->events.lost(host->arg, why);
}

/* --- the whole --- */

int host_new(struct ssh_loop *loop, const struct host_config *config, const struct host_events *events,
             void *arg, struct host **ret_host)
{
    struct host *host = calloc(1, sizeof *host);
    int rc;
    if (host == NULL) {
        close(config->monitor);
        return -ENOMEM;
    }
    host->events = *events;
    host->arg = arg;
    rc = wire_new(loop, config->monitor, on_message, on_lost, host, &host->wire);
    if (rc < 0) {
        free(host);
        return rc;
    }
    *ret_host = host;
    return 0;
}

void host_free(struct host *host)
{
    if (host == NULL) {
        return;
    }
    while (host->children != NULL) {
        struct host_child *child = host->children;
        host->children = child->next;
        free(child);
    }
    while (host->waits != NULL) {
        struct host_wait *wait = host->waits;
        host->waits = wait->next;
        free(wait);
    }
    wire_free(host->wire);
    free(host);
}

/* --- login --- */

static int ask_login(struct host *host, struct buf *out, host_login_fn *fn, void *arg)
{
    int rc = wire_send(host->wire, out, NULL, 0);
    if (rc == 0) {
        host->login_fn = fn;
        host->login_arg = arg;
        host->login_id = host->last_id;
    }
    return rc;
}

int host_ask_key(struct host *host, const char *login, const char *key, bool verified, host_login_fn *fn,
                 void *arg)
{
    struct buf out;
    if (host->login_fn != NULL) {
        return -EBUSY;
    }
    wire_begin(&out, WIRE_KEY, ++host->last_id);
    wire_put_text(&out, login);
    wire_put_text(&out, key);
    wire_put_number(&out, verified);
    return ask_login(host, &out, fn, arg);
}

int host_ask_password(struct host *host, const char *login, const char *password, host_login_fn *fn,
                      void *arg)
{
    struct buf out;
    if (host->login_fn != NULL) {
        return -EBUSY;
    }
    wire_begin(&out, WIRE_PASSWORD, ++host->last_id);
    wire_put_text(&out, login);
    wire_put_text(&out, password);
    return ask_login(host, &out, fn, arg);
}

unsigned host_rights(const struct host *host)
{
    return host->rights;
}

/* --- children --- */

static int send_env(struct host *host, const struct host_start *start)
{
    size_t all = 0;
    if (start->env_n > HOST_ENV_MAX) {
        return -E2BIG;
    }
    for (size_t i = 0; i < start->env_n; i++) {
        const char *equals = strchr(start->env[i], '=');
        char name[256];
        struct buf out;
        int rc;
        all += strlen(start->env[i]);
        if (equals == NULL || equals == start->env[i] || (size_t)(equals - start->env[i]) >= sizeof name ||
            all > HOST_ENV_BYTES) {
            return -EINVAL;
        }
        memcpy(name, start->env[i], (size_t)(equals - start->env[i]));
        name[equals - start->env[i]] = '\0';
        wire_begin(&out, WIRE_ENV, host->last_id);
        wire_put_text(&out, name);
        wire_put_text(&out, equals + 1);
        rc = wire_send(host->wire, &out, NULL, 0);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int send_start(struct host *host, const struct host_start *start)
{
    const char *command = start->command == NULL ? "" : start->command;
    struct buf out;
    if (strlen(command) > HOST_COMMAND_MAX) {
        return -E2BIG;
    }
    wire_begin(&out, WIRE_START, host->last_id);
    wire_put_number(&out, start->kind);
    wire_put_number(&out, start->pty);
    wire_put_text(&out, start->term == NULL ? "" : start->term);
    wire_put_number(&out, start->columns);
    wire_put_number(&out, start->rows);
    wire_put_number(&out, start->width);
    wire_put_number(&out, start->height);
    wire_put_text(&out, command);
    return wire_send(host->wire, &out, NULL, 0);
}

int host_start(struct host *host, const struct host_start *start, const struct host_child_events *events,
               void *arg, struct host_child **ret_child)
{
    struct host_child *child = calloc(1, sizeof *child);
    int rc;
    if (child == NULL) {
        return -ENOMEM;
    }
    child->host = host;
    child->id = ++host->last_id;
    child->events = *events;
    child->arg = arg;
    rc = send_env(host, start);
    if (rc == 0) {
        rc = send_start(host, start);
    }
    if (rc < 0) {
        free(child);
        return rc;
    }
    child->next = host->children;
    host->children = child;
    *ret_child = child;
    return 0;
}

const bool host_terminal_ends = false;

void host_child_signal(struct host_child *child, const char *name)
{
    struct buf out;
    if (strlen(name) > SIGNAL_MAX) {
        return;
    }
    wire_begin(&out, WIRE_SIGNAL, child->id);
    wire_put_text(&out, name);
    (void)wire_send(child->host->wire, &out, NULL, 0);
}

static unsigned short cut(unsigned value)
{
    return value > 0xffff ? 0xffff : (unsigned short)value;
}

void host_child_resize(struct host_child *child, int terminal, unsigned columns, unsigned rows,
                       unsigned width, unsigned height)
{
    const struct winsize size = {
        .ws_row = cut(rows), .ws_col = cut(columns), .ws_xpixel = cut(width), .ws_ypixel = cut(height)};
    (void)child;
    (void)ioctl(terminal, TIOCSWINSZ, &size);
}

void host_child_close(struct host_child *child)
{
    if (child == NULL) {
        return;
    }
    (void)send_bare(child->host, WIRE_CLOSE, child->id);
    forget_child(child);
    free(child);
}

/* --- forwards --- */

static int send_place(struct host *host, enum wire_type type, uint32_t id, const char *name, unsigned port)
{
    struct buf out;
    wire_begin(&out, type, id);
    wire_put_text(&out, name);
    wire_put_number(&out, port);
    return wire_send(host->wire, &out, NULL, 0);
}

/* name NULL: a message without fields. */
static int ask_socket(struct host *host, enum wire_type type, const char *name, unsigned port,
                      const struct host_wait *form, struct host_wait **ret_wait)
{
    struct host_wait *wait = malloc(sizeof *wait);
    int rc;
    if (wait == NULL) {
        return -ENOMEM;
    }
    *wait = *form;
    wait->host = host;
    wait->id = ++host->last_id;
    rc = name == NULL ? send_bare(host, type, wait->id) : send_place(host, type, wait->id, name, port);
    if (rc < 0) {
        free(wait);
        return rc;
    }
    wait->next = host->waits;
    host->waits = wait;
    *ret_wait = wait;
    return 0;
}

int host_connect(struct host *host, const char *name, unsigned port, host_fd_fn *fn, void *arg,
                 struct host_wait **ret_wait)
{
    return ask_socket(host, WIRE_CONNECT, name, port, &(struct host_wait){.fn = fn, .arg = arg}, ret_wait);
}

int host_listen(struct host *host, const char *name, unsigned port, host_listen_fn *fn, void *arg,
                struct host_wait **ret_wait)
{
    return ask_socket(host, WIRE_LISTEN, name, port, &(struct host_wait){.listen_fn = fn, .arg = arg},
                      ret_wait);
}

int host_agent(struct host *host, host_fd_fn *fn, void *arg, struct host_wait **ret_wait)
{
    return ask_socket(host, WIRE_AGENT, NULL, 0, &(struct host_wait){.fn = fn, .arg = arg}, ret_wait);
}

void host_wait_cancel(struct host_wait *wait)
{
    if (wait != NULL) {
        free(take_wait(wait->host, wait->id));
    }
}
