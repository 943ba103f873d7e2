/* The real multissh-relay --pair between real sockets; the test is the hub and both edges. */
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 30000 /* an event that has not come by then will not come */
#define MIB (1u << 20)
#define FACTS                                                                                                \
    "\"protocol\":1,\"ticket\":\"t.m\",\"epoch_a\":3,\"epoch_b\":4,\"started_s\":1700000000,"                \
    "\"source\":\"192.0.2.7\",\"port\":4711,\"colour\":\"blue\","

static char program[FS_PATH_MAX + 64], dir[] = "/tmp/test-relay-pair-XXXXXX";

static int setup(void **state)
{
    const char *build = getenv("MULTISSH_BUILD");
    char self[FS_PATH_MAX] = "";

    (void)state;
    signal(SIGPIPE, SIG_IGN);
    if (!build && readlink("/proc/self/exe", self, sizeof(self) - 1) > 0 && strrchr(self, '/')) {
        *strrchr(self, '/') = '\0';
        snprintf(program, sizeof(program), "%s/../multissh-relay", self);
    } else {
        snprintf(program, sizeof(program), "%s/multissh-relay", build ? build : ".");
    }
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return rmdir(dir);
}

struct rig {
    pid_t pid;
    int hub, a, b; /* the test's ends */
    cJSON *m;      /* the last message to the hub */
    char address[100];
};

static void make_tcp(int *ret_ours, int *ret_theirs)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    int size = 65536, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(listener >= 0);
    /* Small ones, so that back-pressure is soon felt. */
    assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
    assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &size, sizeof size), 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &n), 0);
    *ret_ours = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(*ret_ours >= 0);
    assert_int_equal(setsockopt(*ret_ours, SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
    assert_int_equal(setsockopt(*ret_ours, SOL_SOCKET, SO_RCVBUF, &size, sizeof size), 0);
    assert_int_equal(connect(*ret_ours, (struct sockaddr *)&at, sizeof at), 0);
    *ret_theirs = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(*ret_theirs >= 0);
    close(listener);
}

static pid_t start_program(const int fds[4])
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        char *argv[] = {program, "--pair", NULL};
        int high[4];

        for (int i = 0; i < 4; i++)
            high[i] = fcntl(fds[i], F_DUPFD, 20);
        for (int i = 0; i < 4; i++)
            dup2(high[i], 3 + i);
        for (int i = 0; i < 4; i++)
            close(high[i]);
        execv(program, argv);
        _exit(127);
    }
    return pid;
}

static void say(int hub, const char *text)
{
    assert_int_equal(send(hub, text, strlen(text), 0), (ssize_t)strlen(text));
}

static void make_listener(struct rig *r, int *ret_fd)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};

    snprintf(r->address, sizeof r->address, "%s/%d", dir, (int)getpid());
    snprintf(at.sun_path, sizeof at.sun_path, "%s", r->address);
    *ret_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_true(*ret_fd >= 0);
    assert_int_equal(bind(*ret_fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(*ret_fd, 4), 0);
}

/* unix_b: the machine's connection is a local socket, as that of a relay that ends TLS. */
static void rig_start(struct rig *r, bool unix_b, const char *first)
{
    int control[2], local[2], fds[4];

    memset(r, 0, sizeof *r);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control), 0);
    r->hub = control[0];
    fds[0] = control[1];
    make_listener(r, &fds[1]);
    make_tcp(&r->a, &fds[2]);
    if (unix_b) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, local), 0);
        r->b = local[0];
        fds[3] = local[1];
    } else {
        make_tcp(&r->b, &fds[3]);
    }
    if (first != NULL)
        say(r->hub, first);
    r->pid = start_program(fds);
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    assert_int_equal(fcntl(r->a, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(fcntl(r->b, F_SETFL, O_NONBLOCK), 0);
}

static void start(struct rig *r, bool unix_b)
{
    rig_start(r, unix_b,
              "{\"type\":\"pair\"," FACTS "\"orphan_ms\":60000,\"to_machine\":1000,\"from_machine\":0}");
}

/* The exit status. */
static int rig_end(struct rig *r)
{
    uint64_t until = clock_now_ms() + PATIENCE_MS;
    int status = 0;

    while (waitpid(r->pid, &status, WNOHANG) == 0) {
        if (clock_now_ms() >= until) {
            kill(r->pid, SIGKILL);
            fail_msg("it does not end");
        }
        poll(NULL, 0, 5);
    }
    unlink(r->address);
    cJSON_Delete(r->m);
    if (r->hub >= 0)
        close(r->hub);
    if (r->a >= 0)
        close(r->a);
    if (r->b >= 0)
        close(r->b);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* The next message to the hub is of this type; "": the channel is closed. */
static void expect(struct rig *r, int hub, const char *type)
{
    struct pollfd p = {.fd = hub, .events = POLLIN};
    char data[16384];
    ssize_t n;

    if (poll(&p, 1, PATIENCE_MS) <= 0)
        fail_msg("no '%s' comes", type);
    n = recv(hub, data, sizeof data, 0);
    cJSON_Delete(r->m);
    r->m = NULL;
    if (type[0] == '\0') {
        assert_true(n <= 0);
        return;
    }
    assert_true(n > 0);
    assert_int_equal(json_parse(data, (size_t)n, sizeof data, &r->m), 0);
    assert_string_equal(json_str_or(r->m, "type", 32, ""), type);
}

static int64_t number(const struct rig *r, const char *name)
{
    return json_int_or(r->m, name, 0, INT64_C(1) << 53, -1);
}

static uint8_t byte_at(size_t i, unsigned seed)
{
    return (uint8_t)(i * 2654435761u >> 13 ^ seed);
}

/* Sends n bytes from one socket to the other; returns when they are there. More than one way at once by calling with both. */
struct flow {
    int from, to;
    size_t n, sent, got;
    unsigned seed;
};

static bool flow_step(struct flow *f)
{
    static uint8_t data[65536];
    ssize_t k;
    bool any = false;

    if (f->sent < f->n) {
        size_t part = f->n - f->sent < sizeof data ? f->n - f->sent : sizeof data;

        for (size_t i = 0; i < part; i++)
            data[i] = byte_at(f->sent + i, f->seed);
        k = send(f->from, data, part, MSG_DONTWAIT);
        any = k > 0;
        f->sent += k > 0 ? (size_t)k : 0;
    }
    k = recv(f->to, data, sizeof data, MSG_DONTWAIT);
    for (ssize_t i = 0; i < k; i++)
        if (data[i] != byte_at(f->got + (size_t)i, f->seed))
            fail_msg("byte %zu is another", f->got + (size_t)i);
    f->got += k > 0 ? (size_t)k : 0;
    return any || k > 0;
}

static void flows(struct flow *f, size_t count)
{
    uint64_t until = clock_now_ms() + PATIENCE_MS;
    bool done = false;

    while (!done) {
        bool any = false;

        done = true;
        for (size_t i = 0; i < count; i++) {
            any = flow_step(&f[i]) || any;
            done = done && f[i].got == f[i].n;
        }
        if (any)
            until = clock_now_ms() + PATIENCE_MS;
        else if (!done && clock_now_ms() >= until)
            fail_msg("nothing moves: %zu of %zu bytes came", f[0].got, f[0].n);
        else if (!done)
            poll(NULL, 0, 1);
    }
}

/* Waits for the end of what comes on fd; returns how many bytes came before it, or -1 when it was a reset. */
static ssize_t to_the_end(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char data[65536];
    ssize_t k = 1, n = 0;

    while (k > 0) {
        if (poll(&p, 1, PATIENCE_MS) <= 0)
            fail_msg("no end comes");
        k = recv(fd, data, sizeof data, 0);
        n += k > 0 ? k : 0;
    }
    return k < 0 ? -1 : n;
}

static void both_ways(bool unix_b)
{
    struct rig r;

    start(&r, unix_b);
    struct flow f[] = {{.from = r.a, .to = r.b, .n = 8 * MIB, .seed = 1},
                       {.from = r.b, .to = r.a, .n = 5 * MIB, .seed = 2}};
    flows(f, 2);
    /* The user's side ends; the machine's may still speak. */
    assert_int_equal(shutdown(r.a, SHUT_WR), 0);
    expect(&r, r.hub, "ending");
    assert_string_equal(json_str(r.m, "reason", 200), "the user's connection was closed");
    assert_int_equal(to_the_end(r.b), 0);
    f[1].n += 1000;
    flows(f + 1, 1);
    close(r.b);
    r.b = -1;
    assert_int_equal(to_the_end(r.a), 0);
    expect(&r, r.hub, "ended");
    assert_true(json_bool(r.m, "orderly", false));
    assert_int_equal(number(&r, "to_machine"), 1000 + 8 * MIB);
    assert_int_equal(number(&r, "from_machine"), 5 * MIB + 1000);
    expect(&r, r.hub, "");
    assert_int_equal(rig_end(&r), 0);
}

static void test_both_ways(void **state)
{
    (void)state;
    both_ways(false);
}

static void test_a_local_socket(void **state)
{
    (void)state;
    both_ways(true);
}

static void test_a_reset(void **state)
{
    const struct linger at_once = {1, 0};
    struct rig r;

    (void)state;
    start(&r, false);
    struct flow f = {.from = r.a, .to = r.b, .n = 100000, .seed = 3};
    flows(&f, 1);
    assert_int_equal(setsockopt(r.b, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    close(r.b);
    r.b = -1;
    expect(&r, r.hub, "ending");
    assert_non_null(strstr(json_str(r.m, "reason", 200), "the machine's connection was lost"));
    assert_int_equal(to_the_end(r.a), 0); /* told at once, and in order */
    shutdown(r.a, SHUT_WR);
    expect(&r, r.hub, "ended");
    assert_false(json_bool(r.m, "orderly", true));
    assert_int_equal(number(&r, "to_machine"), 1000 + 100000);
    assert_int_equal(rig_end(&r), 0);
}

/* What a side sent before it went arrives, however slowly the other reads. */
static void test_last_words(void **state)
{
    struct rig r;

    (void)state;
    start(&r, false);
    struct flow f = {.from = r.b, .to = r.a, .n = 100000, .seed = 4};
    while (f.sent < f.n) {
        uint8_t data[1000];

        for (size_t i = 0; i < sizeof data; i++)
            data[i] = byte_at(f.sent + i, f.seed);
        assert_int_equal(send(r.b, data, sizeof data, 0), sizeof data);
        f.sent += sizeof data;
    }
    close(r.b);
    r.b = -1;
    expect(&r, r.hub, "ending");
    flows(&f, 1);
    assert_int_equal(to_the_end(r.a), 0);
    close(r.a);
    r.a = -1;
    expect(&r, r.hub, "ended");
    assert_true(json_bool(r.m, "orderly", false));
    assert_int_equal(number(&r, "from_machine"), 100000);
    assert_int_equal(rig_end(&r), 0);
}

static void test_back_pressure(void **state)
{
    static uint8_t data[65536];
    struct rig r;
    size_t sent = 0;
    struct pollfd p;

    (void)state;
    start(&r, false);
    p = (struct pollfd){.fd = r.a, .events = POLLOUT};
    /* Until it takes nothing for a while: nobody reads at the other end. */
    while (sent < 64 * MIB && poll(&p, 1, 1000) > 0) {
        ssize_t k = send(r.a, data, sizeof data, MSG_DONTWAIT);

        sent += k > 0 ? (size_t)k : 0;
    }
    assert_in_range(sent, 1, 4 * MIB);
    /* The other way is not held up by it. */
    struct flow f = {.from = r.b, .to = r.a, .n = MIB, .seed = 5};
    flows(&f, 1);
    say(r.hub, "{\"type\":\"end\"}");
    expect(&r, r.hub, "ended");
    assert_string_equal(json_str(r.m, "reason", 200), "the hub ended it");
    assert_int_equal(number(&r, "from_machine"), MIB);
    assert_int_equal(rig_end(&r), 0);
}

static int come(const struct rig *r)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    snprintf(at.sun_path, sizeof at.sun_path, "%s", r->address);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

static void test_the_next_hub(void **state)
{
    struct rig r;
    struct ucred peer;
    socklen_t n = sizeof peer;
    int next = -1, other = -1;

    (void)state;
    start(&r, false);
    struct flow f[] = {{.from = r.a, .to = r.b, .n = 1000, .seed = 6},
                       {.from = r.b, .to = r.a, .n = 2000, .seed = 7}};
    flows(f, 2);
    /* Whoever looks in, or speaks nonsense, changes nothing. */
    close(come(&r));
    other = come(&r);
    say(other, "{\"type\":\"end\"}");
    expect(&r, other, "");
    close(other);
    other = come(&r);
    say(other, "nonsense");
    expect(&r, other, "");
    close(other);
    close(r.hub);
    r.hub = -1;
    f[0].n += 500;
    flows(f, 2);
    next = come(&r);
    assert_int_equal(getsockopt(next, SOL_SOCKET, SO_PEERCRED, &peer, &n), 0);
    assert_int_equal(peer.pid, r.pid);
    say(next, "{\"type\":\"adopt\",\"protocol\":1,\"orphan_ms\":60000}");
    expect(&r, next, "paired");
    assert_int_equal(number(&r, "protocol"), 1);
    assert_string_equal(json_str(r.m, "ticket", 100), "t.m");
    assert_int_equal(number(&r, "epoch_a"), 3);
    assert_int_equal(number(&r, "epoch_b"), 4);
    assert_int_equal(number(&r, "started_s"), 1700000000);
    assert_string_equal(json_str(r.m, "source", 100), "192.0.2.7");
    assert_int_equal(number(&r, "port"), 4711);
    assert_string_equal(json_str(r.m, "colour", 100), "blue"); /* what a newer hub may say of it */
    assert_int_equal(number(&r, "to_machine"), 1000 + 1500);
    assert_int_equal(number(&r, "from_machine"), 2000);
    /* A third one takes over while the second is still there. */
    other = come(&r);
    say(other, "{\"type\":\"adopt\",\"protocol\":1,\"orphan_ms\":60000}");
    expect(&r, other, "paired");
    expect(&r, next, "");
    close(next);
    say(other, "{\"type\":\"end\"}");
    expect(&r, other, "ended");
    close(other);
    assert_int_equal(rig_end(&r), 0);
}

static void test_no_hub_any_more(void **state)
{
    struct rig r;

    (void)state;
    rig_start(&r, false, "{\"type\":\"pair\"," FACTS "\"orphan_ms\":1000}");
    struct flow f = {.from = r.a, .to = r.b, .n = 1000, .seed = 8};
    flows(&f, 1);
    close(r.hub);
    r.hub = -1;
    assert_true(to_the_end(r.a) <= 0);
    assert_true(to_the_end(r.b) <= 0);
    assert_int_equal(rig_end(&r), 0);
}

static void test_what_it_cannot_begin(void **state)
{
    static const char *const first[] = {"nonsense", "{\"type\":\"adopt\"}", "{}"};
    struct rig r;

    (void)state;
    for (size_t i = 0; i < sizeof first / sizeof *first; i++) {
        rig_start(&r, false, first[i]);
        assert_int_equal(rig_end(&r), 3);
    }
    rig_start(&r, false, NULL);
    close(r.hub);
    r.hub = -1;
    assert_int_equal(rig_end(&r), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ways),       cmocka_unit_test(test_a_local_socket),
        cmocka_unit_test(test_a_reset),         cmocka_unit_test(test_last_words),
        cmocka_unit_test(test_back_pressure),   cmocka_unit_test(test_the_next_hub),
        cmocka_unit_test(test_no_hub_any_more), cmocka_unit_test(test_what_it_cannot_begin),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
