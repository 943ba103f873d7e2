/* A whole hub in the test's own process, on a free port of 127.0.0.1 and a folder of its own; the test turns
 * its loop. */
#ifndef MULTISSH_TESTS_HUB_RUNNING_H
#define MULTISSH_TESTS_HUB_RUNNING_H

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "hub/config.h"
#include "hub/hub.h"
#include "hub/hub_keys.h"
#include "hub_keys_samples.h"
#include "hub_scratch.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct running {
    struct scratch scratch;
    struct config config;
    struct hub hub;
    uv_loop_t loop;
    uint16_t port;
    char listen[32]; /* the configuration points at it */
    unsigned turns;  /* of the loop */
};

static inline uint16_t running_free_port(void)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof sa;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&sa, sizeof sa) == 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
    close(fd);
    return ntohs(sa.sin_port);
}

static inline void running_put(const struct running *r, const char *name, const char *text)
{
    char path[160];

    snprintf(path, sizeof path, "%s/%s", r->scratch.folder, name);
    assert_int_equal(fs_write_atomic(path, text, strlen(text), 0600), 0);
}

/* Removes a folder of the state folder, and the files in it. */
static inline void running_empty(const struct running *r, const char *folder)
{
    char path[160];
    DIR *d = NULL;

    snprintf(path, sizeof path, "%s/%s", r->scratch.folder, folder);
    d = opendir(path);
    for (struct dirent *e = d != NULL ? readdir(d) : NULL; e != NULL; e = readdir(d))
        (void)unlinkat(dirfd(d), e->d_name, 0);
    if (d != NULL)
        closedir(d);
    (void)rmdir(path);
}

/* Ends the hub at once, and leaves its folder. */
static inline void running_stop(struct running *r)
{
    hub_release(&r->hub);
    uv_run(&r->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&r->loop), 0);
    config_release(&r->config);
}

static inline void running_end(struct running *r)
{
    DIR *d = NULL;

    running_stop(r);
    running_empty(r, "fronts");
    d = opendir(r->scratch.folder);
    for (struct dirent *e = d != NULL ? readdir(d) : NULL; e != NULL; e = readdir(d))
        if (unlinkat(dirfd(d), e->d_name, 0) < 0)
            (void)unlinkat(dirfd(d), e->d_name,
                           AT_REMOVEDIR); /* empty: what a test leaves there is its fault */
    if (d != NULL)
        closedir(d);
    assert_int_equal(rmdir(r->scratch.folder), 0);
}

static inline void running_wake(uv_timer_t *t)
{
    (void)t;
}

/* One turn of the loop that waits for an event, but not past `until` (ms, monotonic). */
static inline void running_turn(struct running *r, uint64_t until)
{
    uint64_t now = clock_now_ms();
    uv_timer_t t;

    uv_timer_init(&r->loop, &t);
    uv_timer_start(&t, running_wake, until > now ? until - now : 0, 0);
    uv_run(&r->loop, UV_RUN_ONCE);
    r->turns++;
    uv_close((uv_handle_t *)&t, NULL);
    uv_run(&r->loop, UV_RUN_NOWAIT);
}

/* Turns the loop until expr holds; fails after ms. */
#define RUNNING_UNTIL(r, ms, expr)                                                                           \
    do {                                                                                                     \
        uint64_t running_end_at = clock_now_ms() + (ms);                                                     \
        while (!(expr)) {                                                                                    \
            if (clock_now_ms() >= running_end_at)                                                            \
                fail_msg("not within %d ms: %s", (int)(ms), #expr);                                          \
            running_turn(r, running_end_at);                                                                 \
        }                                                                                                    \
    } while (0)

/* A hub in the folder that r->scratch names; r is zeroed but for it. It may still be looking for what the last one left.
 * flags: further words of the command line, NULL-terminated. */
static inline void running_start_in(struct running *r, const char *users, const char *const *flags)
{
    char *argv[32] = {
        "multissh-hub",         "--state",  r->scratch.folder, "--listen",    r->listen, "--public",
        "hub.example.com:2244", "--domain", "machines.test",   "--log-level", "error"};
    int argc = 11;
    struct errmsg err = {""};

    r->port = running_free_port();
    snprintf(r->listen, sizeof r->listen, "127.0.0.1:%u", (unsigned)r->port);
    for (; flags != NULL && *flags != NULL; flags++)
        argv[argc++] = (char *)*flags;
    running_put(r, HUB_KEYS_HOST_KEY, ""); /* the front's business, and no front is started here */
    running_put(r, "authorized_users", users);
    assert_int_equal(uv_loop_init(&r->loop), 0);
    if (config_init(&r->config, argc, argv, &err) < 0)
        fail_msg("%s", err.text);
    r->hub.loop = &r->loop;
    r->hub.config = &r->config;
    if (hub_start(&r->hub, &err) < 0)
        fail_msg("%s", err.text);
}

static inline void running_start(struct running *r, const char *users, const char *const *flags)
{
    memset(r, 0, sizeof *r);
    scratch_make(&r->scratch);
    running_start_in(r, users, flags);
    RUNNING_UNTIL(r, 3000, r->hub.begun);
}

/* A non-blocking connection to the hub. */
/* host: of 127.0.0.0/8, in host order: where it comes from. */
static inline int running_connect_from(const struct running *r, uint32_t host)
{
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(host)};
    struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_port = htons(r->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof from), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static inline int running_connect(const struct running *r)
{
    return running_connect_from(r, INADDR_LOOPBACK);
}

/* Has the hub closed it without another word? */
static inline bool running_hung_up(int fd)
{
    char data[4096];
    ssize_t k = recv(fd, data, sizeof data - 1, MSG_DONTWAIT);

    if (k > 0) {
        data[k] = '\0';
        fail_msg("the hub said %s", data);
    }
    return k == 0 || (errno != EAGAIN && errno != EINTR);
}

/* Has the hub closed it? What it wrote before is thrown away. */
static inline bool running_closed(int fd)
{
    char data[4096];
    ssize_t k = 0;

    do
        k = recv(fd, data, sizeof data, MSG_DONTWAIT);
    while (k > 0);
    return k == 0 || (errno != EAGAIN && errno != EINTR);
}

#endif
