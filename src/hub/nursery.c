/* Owns the nursery's process and the socket to it. One that is replaced is told so by the end of what we say, answers what
 * it was asked, and ends. */
#include "hub/nursery.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "hub/program.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROGRAM "multissh-front"
#define PACKET_MAX 64
/* Processes of one nursery share the layout of their memory: what a stranger learns about it from one of them must not hold
 * for long. */
#define FORKS_MAX 500

#define SILENCE_MS 15000 /* of one that has been asked for something */

struct request {
    struct request *next;
    uint64_t id;
    int fds[NURSERY_FDS_MAX]; /* ours, as long as it waits to be sent */
    size_t count;             /* of fds; 0: sent */
};

struct stamp { /* of a file: another one is another key, or another version */
    dev_t device;
    ino_t inode;
    struct timespec changed;
};

struct nest {
    struct nest *next;
    struct nursery *owner; /* NULL: nobody wants to know any more */
    uv_process_t process;
    uv_poll_t poll;
    int fd;         /* -1: closed */
    unsigned open;  /* handles */
    unsigned forks; /* asked for */
    struct stamp program, key;
    struct request *first, **last; /* not answered yet; those that wait to be sent are behind all others */
    uint64_t waits_since;          /* ms: for an answer to the first of them */
    bool retired;                  /* nothing new for it */
};

struct nursery {
    uv_loop_t *loop;
    const char *host_key;
    nursery_born_fn *born;
    void *arg;
    struct nest *nests;
    struct nest *current; /* of them, or NULL */
};

int nursery_new(uv_loop_t *loop, const char *host_key, nursery_born_fn *born, void *arg,
                struct nursery **ret_n)
{
    struct nursery *n = calloc(1, sizeof *n);

    if (n == NULL)
        return -ENOMEM;
    n->loop = loop;
    n->host_key = host_key;
    n->born = born;
    n->arg = arg;
    *ret_n = n;
    return 0;
}

/* --- the end of one --- */

static void nest_closed_cb(uv_handle_t *h)
{
    struct nest *nest = h->data;

    if (--nest->open == 0)
        free(nest);
}

static void nest_hang_up(struct nest *nest)
{
    if (nest->fd < 0)
        return;
    uv_close((uv_handle_t *)&nest->poll, nest_closed_cb);
    (void)close(nest->fd);
    nest->fd = -1;
}

static void nest_forget(struct nest *nest)
{
    struct nursery *n = nest->owner;
    struct nest **at = &n->nests;

    while (*at != nest)
        at = &(*at)->next;
    *at = nest->next;
    if (n->current == nest)
        n->current = NULL;
    nest->owner = NULL;
}

static void request_free(struct request *r)
{
    for (size_t i = 0; i < r->count; i++)
        (void)close(r->fds[i]);
    free(r);
}

/* No more answers will come. */
static void nest_over(struct nest *nest)
{
    struct nursery *n = nest->owner;

    nest_hang_up(nest);
    nest_forget(nest);
    while (nest->first != NULL) {
        struct request *r = nest->first;

        nest->first = r->next;
        n->born(n->arg, r->id, -1, -EPIPE);
        request_free(r);
    }
}

static void exited_cb(uv_process_t *h, int64_t status, int signal)
{

    (void)status; /* it has said itself what is wrong */
    if (signal != 0)
        log_warn("the process that makes those of users' connections was ended by signal %d; there will be "
                 "another",
                 signal);
    uv_close((uv_handle_t *)h, nest_closed_cb);
}

void nursery_free(struct nursery *n)
{
    if (n == NULL)
        return;
    for (struct nest *nest = n->nests, *next = NULL; nest != NULL; nest = next) {
        next = nest->next;
        nest->owner = NULL;
        nest_hang_up(nest);
        while (nest->first != NULL) {
            struct request *r = nest->first;

            nest->first = r->next;
            request_free(r);
        }
        /* It ends by itself, and is not waited for. */
        if (!uv_is_closing((uv_handle_t *)&nest->process))
            uv_close((uv_handle_t *)&nest->process, nest_closed_cb);
    }
    free(n);
}

/* --- requests --- */

/* -EAGAIN: when the nursery has taken some, there is room again. */
static int send_request(int fd, uint64_t id, const int *fds, size_t count)
{
    char text[PACKET_MAX];
    struct iovec iov = {.iov_base = text};
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(NURSERY_FDS_MAX * sizeof(int))];
    } control;
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.room,
                       .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    struct cmsghdr *c = NULL;
    ssize_t k = 0;

    memset(&control, 0, sizeof control);
    iov.iov_len = (size_t)snprintf(text, sizeof text, "front %llu", (unsigned long long)id);
    c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(c), fds, count * sizeof(int));
    do
        k = sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (k < 0 && errno == EINTR);
    if (k >= 0)
        return 0;
    return errno == ENOBUFS || errno == ETOOMANYREFS ? -EAGAIN : -errno;
}

/* Sends what waits. What fails for good shows as the end of the socket. */
static void nest_flush(struct nest *nest)
{
    struct request *r = nest->first;

    while (r != NULL && r->count == 0)
        r = r->next;
    for (; r != NULL; r = r->next) {
        if (send_request(nest->fd, r->id, r->fds, r->count) < 0)
            return;
        for (size_t i = 0; i < r->count; i++)
            (void)close(r->fds[i]);
        r->count = 0;
    }
    if (nest->retired)
        (void)shutdown(nest->fd, SHUT_WR);
}

void nursery_renew(struct nursery *n)
{
    struct nest *nest = n->current;

    if (nest == NULL)
        return;
    n->current = NULL;
    nest->retired = true;
    nest_flush(nest);
}

void nursery_tick(struct nursery *n)
{
    uint64_t now = clock_now_ms();

    for (struct nest *nest = n->nests; nest != NULL; nest = nest->next) {
        if (nest->first == NULL || now < nest->waits_since + SILENCE_MS)
            continue;
        log_error("the process that makes those of users' connections does not answer: it is ended, there "
                  "will be another");
        (void)uv_process_kill(&nest->process,
                              SIGKILL); /* its socket ends, and with it what was asked of it */
        nest->waits_since = now;
    }
}

/* --- what it says --- */

/* Returns the length, 0 at the end, or a negative code. */
static ssize_t receive(int fd, char *text, size_t size, int *ret_fd)
{
    struct iovec iov = {.iov_base = text, .iov_len = size - 1};
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
    struct cmsghdr *c = NULL;
    ssize_t k = 0;

    do
        k = recvmsg(fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (k < 0 && errno == EINTR);
    if (k < 0)
        return -errno;
    c = CMSG_FIRSTHDR(&m);
    if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
        memcpy(ret_fd, CMSG_DATA(c), sizeof *ret_fd);
    text[k] = '\0';
    return k;
}

/* The words of an answer: `front N`, or `failed N E`. Returns 0 or the negative E, or 1 for anything else. */
static int understand(const char *text, uint64_t *ret_id)
{
    bool failed = strncmp(text, "failed ", 7) == 0;
    unsigned long long error = 0;
    char *end = NULL;

    if (!failed && strncmp(text, "front ", 6) != 0)
        return 1;
    *ret_id = strtoull(text + (failed ? 7 : 6), &end, 10);
    if (failed && *end == ' ')
        error = strtoull(end + 1, &end, 10);
    return *end == '\0' && (error > 0) == failed && error < 4096 ? -(int)error : 1;
}

/* One answer. Returns false when there is none, or none any more. */
static bool take_one(struct nest *nest)
{
    char text[PACKET_MAX + 1] = "";
    int pidfd = -1, error = 0;
    struct request *r = nest->first;
    uint64_t id = 0;
    ssize_t k = receive(nest->fd, text, sizeof text, &pidfd);

    if (k == -EAGAIN)
        return false;
    error = understand(text, &id);
    if (k <= 0 || r == NULL || error > 0 || (error == 0 && pidfd < 0) || id != r->id || r->count != 0) {
        if (pidfd >= 0)
            (void)close(pidfd);
        nest_over(nest);
        return false;
    }
    nest->first = r->next;
    if (nest->first == NULL)
        nest->last = &nest->first;
    free(r);
    nest->waits_since = clock_now_ms();
    nest_flush(nest);
    nest->owner->born(nest->owner->arg, id, pidfd, error);
    return true;
}

static void poll_cb(uv_poll_t *h, int status, int events)
{
    struct nest *nest = h->data;

    (void)events;
    if (status < 0) {
        nest_over(nest);
        return;
    }
    while (take_one(nest))
        ;
}

/* --- a new one --- */

static void stamp_take(const char *path, struct stamp *ret_stamp)
{
    struct stat st;

    memset(ret_stamp, 0, sizeof *ret_stamp);
    if (stat(path, &st) < 0)
        return;
    ret_stamp->device = st.st_dev;
    ret_stamp->inode = st.st_ino;
    ret_stamp->changed = st.st_ctim;
}

static bool stamp_same(const struct stamp *a, const struct stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->changed.tv_sec == b->changed.tv_sec &&
           a->changed.tv_nsec == b->changed.tv_nsec;
}

static void stamps_take(const struct nursery *n, struct stamp *ret_program, struct stamp *ret_key)
{
    char path[FS_PATH_MAX];

    memset(ret_program, 0, sizeof *ret_program);
    if (fs_sibling_program(PROGRAM, path, sizeof path) == 0)
        stamp_take(path, ret_program);
    stamp_take(n->host_key, ret_key);
}

static bool worn(const struct nursery *n)
{
    struct stamp program, key;

    if (n->current->forks >= FORKS_MAX)
        return true;
    stamps_take(n, &program, &key);
    return !stamp_same(&program, &n->current->program) || !stamp_same(&key, &n->current->key);
}

/* Starts the program with fd as its socket. nest's handles are to be closed in either case. */
static int start(struct nursery *n, struct nest *nest, int fd)
{
    char *args[] = {PROGRAM, "--nursery", "3", "--host-key", (char *)n->host_key, NULL};
    int rc = uv_poll_init(n->loop, &nest->poll, nest->fd);

    nest->poll.data = nest->process.data = nest;
    if (rc < 0) {
        (void)close(nest->fd);
        free(nest);
        return rc;
    }
    nest->open = 2;
    rc = program_start(n->loop, &nest->process, args, &fd, 1, exited_cb);
    if (rc == 0)
        rc = uv_poll_start(&nest->poll, UV_READABLE, poll_cb);
    if (rc < 0) {
        nest_hang_up(nest);
        uv_close((uv_handle_t *)&nest->process, nest_closed_cb);
    }
    return rc;
}

/* The one that is asked now; a new one when there is none. NULL: *ret_rc says why. */
static struct nest *current(struct nursery *n, int *ret_rc)
{
    struct nest *nest = n->current;
    int pair[2] = {-1, -1};

    *ret_rc = 0;
    if (nest != NULL)
        return nest;
    *ret_rc = -ENOMEM;
    nest = calloc(1, sizeof *nest);
    if (nest == NULL)
        return NULL;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        *ret_rc = -errno;
        free(nest);
        return NULL;
    }
    nest->fd = pair[0];
    nest->last = &nest->first;
    stamps_take(n, &nest->program, &nest->key);
    *ret_rc = start(n, nest, pair[1]);
    (void)close(pair[1]);
    if (*ret_rc < 0)
        return NULL;
    nest->owner = n;
    nest->next = n->nests;
    n->nests = n->current = nest;
    return nest;
}

int nursery_ready(struct nursery *n)
{
    int rc = 0;

    return current(n, &rc) != NULL ? 0 : rc;
}

/* Sends r, or keeps what it needs to be sent later. */
static int send_or_wait(struct nest *nest, struct request *r, const int *fds, size_t count)
{
    struct request *behind = nest->first;
    int rc = 0;

    while (behind != NULL && behind->count == 0)
        behind = behind->next;
    rc = behind != NULL ? -EAGAIN : send_request(nest->fd, r->id, fds, count);
    if (rc != -EAGAIN || nest->first == NULL) /* there is nothing whose answer could be waited for */
        return rc;
    for (rc = 0; rc == 0 && r->count < count; r->count += rc == 0 ? 1 : 0) {
        r->fds[r->count] = fcntl(fds[r->count], F_DUPFD_CLOEXEC, 3);
        rc = r->fds[r->count] < 0 ? -errno : 0;
    }
    return rc;
}

static int ask(struct nursery *n, struct request *r, const int *fds, size_t count)
{
    int rc = 0;
    struct nest *nest = current(n, &rc);

    if (nest == NULL)
        return rc < 0 ? rc : -EIO;
    rc = send_or_wait(nest, r, fds, count);
    if (rc < 0)
        return rc;
    if (nest->first == NULL)
        nest->waits_since = clock_now_ms();
    *nest->last = r;
    nest->last = &r->next;
    nest->forks++;
    return 0;
}

int nursery_ask(struct nursery *n, uint64_t id, const int *fds, size_t count)
{
    struct request *r = calloc(1, sizeof *r);
    int rc = 0;

    if (r == NULL)
        return -ENOMEM;
    r->id = id;
    if (n->current != NULL && worn(n))
        nursery_renew(n);
    rc = ask(n, r, fds, count);
    if (rc == -EPIPE || rc == -ECONNRESET) { /* it has ended, and we have not heard of it yet */
        n->current = NULL;
        rc = ask(n, r, fds, count);
    }
    if (rc < 0)
        request_free(r);
    return rc;
}
