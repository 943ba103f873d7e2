/* The real multissh-relay between a real TLS client over loopback TCP and a local socket pair. */
#include "base/clock.h"
#include "base/fs.h"
#include "tls/keys.h"
#include "tls/session.h"
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
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 30000 /* an event that has not come by then will not come */
#define MIB (1u << 20)

static char dir[] = "/tmp/test-tls-relay-XXXXXX";
static char program[FS_PATH_MAX + 64], key_path[64], cert_path[64], ca_path[64];
static uint8_t ca_pin[CRYPTO_HASH_SIZE];

static int setup(void **state)
{
    EVP_PKEY *ca_key = NULL, *key = NULL;
    X509 *ca = NULL, *cert = NULL;
    const char *build = getenv("MULTISSH_BUILD");
    char self[FS_PATH_MAX] = "", ca_key_path[64];
    int rc;

    (void)state;
    signal(SIGPIPE, SIG_IGN);
    if (!build && readlink("/proc/self/exe", self, sizeof(self) - 1) > 0 && strrchr(self, '/')) {
        *strrchr(self, '/') = '\0';
        snprintf(program, sizeof(program), "%s/../multissh-relay", self);
    } else {
        snprintf(program, sizeof(program), "%s/multissh-relay", build ? build : ".");
    }
    if (!mkdtemp(dir))
        return -1;
    snprintf(key_path, sizeof(key_path), "%s/key", dir);
    snprintf(cert_path, sizeof(cert_path), "%s/cert", dir);
    snprintf(ca_path, sizeof(ca_path), "%s/ca", dir);
    snprintf(ca_key_path, sizeof(ca_key_path), "%s/ca-key", dir);
    rc = keys_load_or_make(ca_key_path, &ca_key, NULL) || keys_load_or_make(key_path, &key, NULL) ||
         keys_self_sign(ca_key, "CA", 1, &ca) || keys_sign_leaf(key, ca_key, ca, "127.0.0.1", &cert) ||
         keys_cert_save(cert_path, cert) || keys_cert_save(ca_path, ca) || keys_pin(ca, ca_pin);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(key);
    X509_free(ca);
    X509_free(cert);
    unlink(ca_key_path);
    return rc;
}

static int teardown(void **state)
{
    (void)state;
    unlink(key_path);
    unlink(cert_path);
    unlink(ca_path);
    return rmdir(dir);
}

/* One relay, its two peers and what they have seen. */
struct rig {
    pid_t pid;
    int tcp, local, errors; /* this program's ends; errors: the relay's standard error */
    struct session *client;
    struct buf to_tcp, from_tcp, to_local, from_local;
    bool read_tcp, read_local;       /* do the peers read? */
    bool client_ends, local_ends;    /* once all is sent: close_notify, shutdown */
    bool tcp_eof, local_eof, closed; /* closed: close_notify came */
    char text[4096];
};

static void set_size(int fd, int option, int size)
{
    assert_int_equal(setsockopt(fd, SOL_SOCKET, option, &size, sizeof(size)), 0);
}

/* A connected pair of TCP sockets with small buffers, so that back-pressure is soon felt. */
static void make_tcp(int *ret_ours, int *ret_theirs)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(at);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(listener >= 0);
    set_size(listener, SO_SNDBUF, 65536);
    set_size(listener, SO_RCVBUF, 65536);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &n), 0);
    *ret_ours = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(*ret_ours >= 0);
    set_size(*ret_ours, SO_SNDBUF, 65536);
    set_size(*ret_ours, SO_RCVBUF, 65536);
    assert_int_equal(connect(*ret_ours, (struct sockaddr *)&at, sizeof(at)), 0);
    *ret_theirs = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(*ret_theirs >= 0);
    close(listener);
}

static pid_t start_program(char **argv, int tcp, int local, int errors)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        int a = fcntl(tcp, F_DUPFD, 10), b = fcntl(local, F_DUPFD, 10);

        dup2(errors, 2);
        if (a < 0 || b < 0 || dup2(a, 3) < 0 || dup2(b, 4) < 0)
            _exit(126);
        close(a);
        close(b);
        unsetenv("JOURNAL_STREAM");
        execv(argv[0], argv);
        _exit(127);
    }
    return pid;
}

static void rig_start(struct rig *r, const char *grace)
{
    char *argv[] = {program,        (char *)"--key", key_path,          (char *)"--cert",         cert_path,
                    (char *)"--ca", ca_path,         (char *)"--grace", (char *)(uintptr_t)grace, NULL};
    int theirs, pair[2], errors[2];

    memset(r, 0, sizeof(*r));
    buf_init(&r->to_tcp, 64 * MIB);
    buf_init(&r->from_tcp, 64 * MIB);
    buf_init(&r->to_local, 64 * MIB);
    buf_init(&r->from_local, 64 * MIB);
    r->read_tcp = r->read_local = true;
    make_tcp(&r->tcp, &theirs);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(pipe2(errors, O_CLOEXEC), 0);
    r->local = pair[0];
    r->errors = errors[0];
    r->pid = start_program(argv, theirs, pair[1], errors[1]);
    close(theirs);
    close(pair[1]);
    close(errors[1]);
    assert_int_equal(fcntl(r->tcp, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(fcntl(r->local, F_SETFL, O_NONBLOCK), 0);
}

static void rig_client(struct rig *r, const char *alpn)
{
    struct session_trust trust = {.how = SESSION_TRUST_PIN};
    SSL_CTX *ctx = NULL;

    memcpy(trust.pin, ca_pin, sizeof(trust.pin));
    assert_int_equal(session_client_ctx(NULL, NULL, &ctx), 0);
    assert_int_equal(session_new_client(ctx, alpn, &trust, &r->client), 0);
    SSL_CTX_free(ctx);
}

static void send_some(int fd, struct buf *b)
{
    while (buf_len(b) > 0) {
        ssize_t n = send(fd, buf_data(b), buf_len(b), MSG_NOSIGNAL);

        if (n <= 0)
            return;
        buf_consume(b, (size_t)n);
    }
}

/* Returns false at the end of file, or when the socket broke. */
static bool receive_some(struct rig *r, int fd, struct buf *into, bool encrypted)
{
    uint8_t chunk[65536];
    ssize_t n = recv(fd, chunk, sizeof(chunk), 0);
    int rc;

    if (n < 0 && errno == EAGAIN)
        return true;
    if (n <= 0)
        return false;
    if (!encrypted) {
        assert_int_equal(buf_append(into, chunk, (size_t)n), 0);
        return true;
    }
    rc = session_input(r->client, chunk, (size_t)n, into, NULL);
    if (rc == -ECONNRESET)
        r->closed = true;
    else
        assert_true(rc == 0 || rc == -EPROTO);
    return true;
}

/* Lets the peers send and receive once. Returns false when nothing can happen within ms. */
static bool rig_turn(struct rig *r, int ms)
{
    struct pollfd fds[2] = {{.fd = r->tcp}, {.fd = r->local}};
    int rc;

    if (r->client) {
        assert_int_equal(session_output(r->client, &r->to_tcp), 0);
        if (r->client_ends && session_ready(r->client)) {
            session_close(r->client);
            assert_int_equal(session_output(r->client, &r->to_tcp), 0);
        }
    }
    send_some(r->tcp, &r->to_tcp);
    send_some(r->local, &r->to_local);
    if (r->local_ends && buf_len(&r->to_local) == 0) {
        shutdown(r->local, SHUT_WR);
        r->local_ends = false;
    }
    fds[0].events = (short)((r->read_tcp && !r->tcp_eof ? POLLIN : 0) | (buf_len(&r->to_tcp) ? POLLOUT : 0));
    fds[1].events =
        (short)((r->read_local && !r->local_eof ? POLLIN : 0) | (buf_len(&r->to_local) ? POLLOUT : 0));
    for (int i = 0; i < 2; i++)
        if (fds[i].events == 0)
            fds[i].fd = -1;
    rc = poll(fds, 2, ms);
    assert_true(rc >= 0);
    if (rc == 0)
        return false;
    if (fds[0].revents && r->read_tcp && !r->tcp_eof)
        r->tcp_eof = !receive_some(r, r->tcp, &r->from_tcp, r->client != NULL);
    if (fds[1].revents && r->read_local && !r->local_eof)
        r->local_eof = !receive_some(r, r->local, &r->from_local, false);
    return true;
}

#define UNTIL(r, condition)                                                                                  \
    do {                                                                                                     \
        uint64_t last_ = clock_now_ms() + PATIENCE_MS;                                                       \
        while (!(condition)) {                                                                               \
            (void)rig_turn(r, 1000);                                                                         \
            if (clock_now_ms() > last_)                                                                      \
                fail_msg("%s did not come about", #condition);                                               \
        }                                                                                                    \
    } while (0)

/* Waits for the relay's end, collects its standard error, and frees everything. Returns its exit status. */
static int rig_finish(struct rig *r)
{
    struct pollfd fd = {.fd = r->errors, .events = POLLIN};
    size_t n = 0;
    ssize_t got;
    int status;

    do {
        if (poll(&fd, 1, PATIENCE_MS) != 1)
            kill(r->pid, SIGKILL); /* our own child, not yet waited for: then its end is told below */
        got = read(r->errors, r->text + n, sizeof(r->text) - 1 - n);
        n += got > 0 ? (size_t)got : 0;
    } while (got > 0);
    r->text[n] = '\0';
    assert_int_equal(waitpid(r->pid, &status, 0), r->pid);
    close(r->errors);
    if (r->tcp >= 0)
        close(r->tcp);
    if (r->local >= 0)
        close(r->local);
    session_free(r->client);
    buf_release(&r->to_tcp);
    buf_release(&r->from_tcp);
    buf_release(&r->to_local);
    buf_release(&r->from_local);
    if (!WIFEXITED(status))
        fail_msg("the relay ended by signal %d: %s", WTERMSIG(status), r->text);
    return WEXITSTATUS(status);
}

static void expect_end(struct rig *r, int status, const char *part)
{
    int was = rig_finish(r);
    const char *newline;

    if (was != status || !strstr(r->text, part))
        fail_msg("exit status %d (wanted %d), said \"%s\" (wanted \"%s\")", was, status, r->text, part);
    newline = strchr(r->text, '\n'); /* one line, or none */
    if (newline ? newline[1] != '\0' : r->text[0] != '\0')
        fail_msg("not one line: \"%s\"", r->text);
}

static uint8_t *make_data(size_t n, uint32_t seed)
{
    uint8_t *data = malloc(n);

    assert_non_null(data);
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525 + 1013904223;
        data[i] = (uint8_t)(seed >> 24);
    }
    return data;
}

static unsigned long status_field(pid_t pid, const char *field)
{
    char path[64], line[256];
    unsigned long value = 0;
    bool found = false;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        if (strncmp(line, field, strlen(field)) == 0) {
            value = strtoul(line + strlen(field), NULL, 10);
            found = true;
        }
    }
    fclose(f);
    assert_true(found);
    return value;
}

/* The processor time of a process, in clock ticks. */
static unsigned long ticks(pid_t pid)
{
    char path[64], text[1024];
    unsigned long user = 0, system = 0;
    size_t n;
    FILE *f;
    char *at;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    f = fopen(path, "r");
    assert_non_null(f);
    n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    text[n] = '\0';
    at = strrchr(text, ')');
    assert_non_null(at);
    assert_int_equal(sscanf(at, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system), 2);
    return user + system;
}

/* For half a second in which nothing may happen: the relay must not use the processor. */
static void expect_quiet(struct rig *r)
{
    unsigned long before = ticks(r->pid);
    uint64_t end = clock_now_ms() + 500;

    while (clock_now_ms() < end)
        (void)rig_turn(r, 100);
    assert_true(ticks(r->pid) - before <= (unsigned long)sysconf(_SC_CLK_TCK) / 10);
}

static void test_bulk_both_ways(void **state)
{
    const size_t size = 8 * MIB;
    uint8_t *up = make_data(size, 1), *down = make_data(size, 2);
    struct rig r;

    (void)state;
    rig_start(&r, "10000");
    rig_client(&r, TLS_ALPN_STREAM);
    assert_int_equal(buf_append(&r.to_local, down, size), 0); /* may come before the handshake is done */
    UNTIL(&r, session_ready(r.client));
    assert_string_equal(session_alpn(r.client), TLS_ALPN_STREAM);
    assert_int_equal(session_write(r.client, up, size), 0);
    r.client_ends = r.local_ends = true;
    UNTIL(&r, r.tcp_eof && r.local_eof);
    assert_true(r.closed);
    assert_int_equal(buf_len(&r.from_local), size);
    assert_memory_equal(buf_data(&r.from_local), up, size);
    assert_int_equal(buf_len(&r.from_tcp), size);
    assert_memory_equal(buf_data(&r.from_tcp), down, size);
    expect_end(&r, 0, "");
    free(up);
    free(down);
}

static void test_half_close_by_the_client(void **state)
{
    uint8_t *data = make_data(MIB, 3);
    struct rig r;

    (void)state;
    rig_start(&r, "10000");
    rig_client(&r, TLS_ALPN_STREAM);
    UNTIL(&r, session_ready(r.client));
    assert_int_equal(session_write(r.client, "question", 8), 0);
    r.client_ends = true;
    UNTIL(&r, r.local_eof);
    assert_int_equal(buf_len(&r.from_local), 8);
    assert_memory_equal(buf_data(&r.from_local), "question", 8);
    expect_quiet(&r);
    assert_int_equal(buf_append(&r.to_local, data, MIB), 0); /* the answer comes long after */
    r.local_ends = true;
    UNTIL(&r, r.tcp_eof);
    assert_true(r.closed);
    assert_int_equal(buf_len(&r.from_tcp), MIB);
    assert_memory_equal(buf_data(&r.from_tcp), data, MIB);
    expect_end(&r, 0, "");
    free(data);
}

static void test_half_close_by_the_local_side(void **state)
{
    uint8_t *data = make_data(MIB, 4);
    struct rig r;

    (void)state;
    rig_start(&r, "10000");
    rig_client(&r, TLS_ALPN_STREAM);
    UNTIL(&r, session_ready(r.client));
    assert_int_equal(buf_append_str(&r.to_local, "question"), 0);
    r.local_ends = true;
    UNTIL(&r, r.closed && r.tcp_eof); /* close_notify, and then the end of TCP's direction */
    assert_memory_equal(buf_data(&r.from_tcp), "question", 8);
    assert_false(r.local_eof);
    expect_quiet(&r);
    assert_int_equal(session_write(r.client, data, MIB), 0);
    r.client_ends = true;
    UNTIL(&r, r.local_eof);
    assert_int_equal(buf_len(&r.from_local), MIB);
    assert_memory_equal(buf_data(&r.from_local), data, MIB);
    expect_end(&r, 0, "");
    free(data);
}

/* Turns until nothing moves any more. */
static void stall(struct rig *r)
{
    uint64_t last = clock_now_ms() + PATIENCE_MS;

    while (rig_turn(r, 300))
        assert_true(clock_now_ms() < last);
}

static void test_client_stops_reading(void **state)
{
    const size_t size = 8 * MIB;
    uint8_t *down = make_data(size, 5), *up = make_data(MIB, 6);
    unsigned long before;
    struct rig r;

    (void)state;
    rig_start(&r, "10000");
    rig_client(&r, TLS_ALPN_STREAM);
    UNTIL(&r, session_ready(r.client));
    before = status_field(r.pid, "VmRSS:");
    assert_true(before > 0);
    r.read_tcp = false;
    assert_int_equal(buf_append(&r.to_local, down, size), 0);
    stall(&r);
    assert_true(buf_len(&r.to_local) > size - 2 * MIB); /* it was stopped, and the relay did not take it in */
    expect_quiet(&r);
    assert_int_equal(session_write(r.client, up, MIB), 0); /* the other direction does not suffer */
    UNTIL(&r, buf_len(&r.from_local) == MIB);
    assert_memory_equal(buf_data(&r.from_local), up, MIB);
#ifndef MULTISSH_SANITIZED /* which keeps freed memory to watch over it */
    assert_true(status_field(r.pid, "VmRSS:") < before + 2048); /* KiB */
#endif
    r.read_tcp = true;
    r.client_ends = r.local_ends = true;
    UNTIL(&r, r.tcp_eof && r.local_eof);
    assert_int_equal(buf_len(&r.from_tcp), size);
    assert_memory_equal(buf_data(&r.from_tcp), down, size);
    expect_end(&r, 0, "");
    free(down);
    free(up);
}

static void test_local_side_stops_reading(void **state)
{
    const size_t size = 8 * MIB;
    uint8_t *up = make_data(size, 7), *down = make_data(MIB, 8);
    struct rig r;

    (void)state;
    rig_start(&r, "10000");
    rig_client(&r, TLS_ALPN_STREAM);
    UNTIL(&r, session_ready(r.client));
    r.read_local = false;
    assert_int_equal(session_write(r.client, up, size), 0);
    stall(&r);
    assert_true(buf_len(&r.to_tcp) > size - 2 * MIB);
    expect_quiet(&r);
    assert_int_equal(buf_append(&r.to_local, down, MIB), 0);
    UNTIL(&r, buf_len(&r.from_tcp) == MIB);
    assert_memory_equal(buf_data(&r.from_tcp), down, MIB);
    r.local_ends = true; /* and an end of the other direction passes too */
    UNTIL(&r, r.tcp_eof);
    assert_true(r.closed);
    expect_quiet(&r);
    r.read_local = true;
    r.client_ends = true;
    UNTIL(&r, r.local_eof);
    assert_int_equal(buf_len(&r.from_local), size);
    assert_memory_equal(buf_data(&r.from_local), up, size);
    expect_end(&r, 0, "");
    free(up);
    free(down);
}

static void test_no_handshake(void **state)
{
    uint64_t start = clock_now_ms();
    struct rig r;

    (void)state;
    rig_start(&r, "700");
    UNTIL(&r, r.local_eof && r.tcp_eof);
    assert_true(clock_now_ms() - start >= 690);
    assert_int_equal(buf_len(&r.from_tcp), 0);
    expect_end(&r, 1, "no TLS handshake within 700 ms");
    assert_non_null(strstr(r.text, "127.0.0.1"));
}

/* A byte now and then does not extend the grace. */
static void test_trickled_handshake(void **state)
{
    uint64_t end = clock_now_ms() + PATIENCE_MS;
    struct buf hello;
    struct rig r;

    (void)state;
    buf_init(&hello, 65536);
    rig_start(&r, "700");
    rig_client(&r, TLS_ALPN_STREAM);
    assert_int_equal(session_output(r.client, &hello), 0);
    while (!r.local_eof && clock_now_ms() < end) {
        if (buf_len(&hello) > 1 && buf_len(&r.to_tcp) == 0) {
            assert_int_equal(buf_append(&r.to_tcp, buf_data(&hello), 1), 0);
            buf_consume(&hello, 1);
        }
        (void)rig_turn(&r, 20);
    }
    assert_true(buf_len(&hello) > 1);
    buf_release(&hello);
    expect_end(&r, 1, "no TLS handshake within 700 ms");
}

static void test_garbage(void **state)
{
    struct rig r;

    (void)state;
    rig_start(&r, "10000");
    assert_int_equal(buf_append_str(&r.to_tcp, "GET / HTTP/1.1\r\nHost: hub\r\n\r\n"), 0);
    UNTIL(&r, r.local_eof && r.tcp_eof);
    assert_int_equal(buf_len(&r.from_local), 0);
    expect_end(&r, 1, "is not TLS");
}

static void test_garbage_in_a_session(void **state)
{
    struct rig r;

    (void)state;
    rig_start(&r, "10000");
    rig_client(&r, TLS_ALPN_STREAM);
    UNTIL(&r, session_ready(r.client));
    assert_int_equal(session_write(r.client, "good", 4), 0);
    UNTIL(&r, buf_len(&r.from_local) == 4);
    assert_int_equal(buf_append(&r.to_tcp, "\x17\x03\x03\x00\x20 this was not encrypted at all..", 37), 0);
    UNTIL(&r, r.local_eof);
    assert_int_equal(buf_len(&r.from_local), 4);
    expect_end(&r, 1, "failed");
}

static void test_control_protocol_is_refused(void **state)
{
    struct rig r;

    (void)state;
    rig_start(&r, "10000");
    rig_client(&r, TLS_ALPN_CONTROL);
    UNTIL(&r, r.local_eof && r.tcp_eof);
    assert_int_equal(buf_len(&r.from_local), 0);
    expect_end(&r, 1, "asked for multissh-control/1");
}

static void test_client_is_lost(void **state)
{
    struct rig r;

    (void)state;
    rig_start(&r, "10000");
    rig_client(&r, TLS_ALPN_STREAM);
    UNTIL(&r, session_ready(r.client));
    assert_int_equal(session_write(r.client, "last words", 10), 0);
    UNTIL(&r, session_output_len(r.client) == 0 && buf_len(&r.to_tcp) == 0);
    close(r.tcp);
    r.tcp = -1;
    r.tcp_eof = true;
    UNTIL(&r, r.local_eof);
    assert_int_equal(buf_len(&r.from_local), 10); /* what had come is passed on */
    expect_end(&r, 1, "without a TLS close");
}

static void test_client_is_lost_while_the_local_side_is_stuck(void **state)
{
    uint8_t *up = make_data(MIB, 9);
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    struct rig r;

    (void)state;
    rig_start(&r, "10000");
    rig_client(&r, TLS_ALPN_STREAM);
    UNTIL(&r, session_ready(r.client));
    r.read_local = false;
    assert_int_equal(session_write(r.client, up, MIB), 0);
    stall(&r);
    assert_int_equal(setsockopt(r.tcp, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
    close(r.tcp); /* a reset, which poll reports whether it is asked or not */
    r.tcp = -1;
    r.tcp_eof = true;
    buf_clear(&r.to_tcp);
    expect_quiet(&r);
    r.read_local = true;
    UNTIL(&r, r.local_eof);
    assert_true(buf_len(&r.from_local) > 0);
    assert_memory_equal(buf_data(&r.from_local), up, buf_len(&r.from_local));
    expect_end(&r, 1, "was lost");
    free(up);
}

static void test_local_side_closes(void **state)
{
    struct rig r;

    (void)state;
    rig_start(&r, "10000");
    rig_client(&r, TLS_ALPN_STREAM);
    UNTIL(&r, session_ready(r.client));
    assert_int_equal(buf_append_str(&r.to_local, "bye"), 0);
    UNTIL(&r, buf_len(&r.to_local) == 0);
    close(r.local);
    r.local = -1;
    r.local_eof = true;
    assert_int_equal(session_write(r.client, "nobody hears this", 17), 0);
    UNTIL(&r, r.closed);
    assert_int_equal(buf_len(&r.from_tcp), 3);
    session_close(r.client);
    UNTIL(&r, r.tcp_eof && session_output_len(r.client) == 0 && buf_len(&r.to_tcp) == 0);
    expect_end(&r, 0, "");
}

/* Its hanging up is reported for as long as it is asked about, while the client takes nothing. */
static void test_local_side_closes_while_the_client_is_stuck(void **state)
{
    const size_t size = 8 * MIB;
    uint8_t *down = make_data(size, 10);
    size_t taken;
    struct rig r;

    (void)state;
    rig_start(&r, "10000");
    rig_client(&r, TLS_ALPN_STREAM);
    UNTIL(&r, session_ready(r.client));
    r.read_tcp = false;
    assert_int_equal(buf_append(&r.to_local, down, size), 0);
    stall(&r);
    taken = size - buf_len(&r.to_local);
    buf_clear(&r.to_local);
    close(r.local);
    r.local = -1;
    r.local_eof = true;
    expect_quiet(&r);
    r.read_tcp = true;
    UNTIL(&r, r.closed); /* what it had been given arrives whole */
    assert_int_equal(buf_len(&r.from_tcp), taken);
    assert_memory_equal(buf_data(&r.from_tcp), down, taken);
    session_close(r.client);
    UNTIL(&r, r.tcp_eof && session_output_len(r.client) == 0 && buf_len(&r.to_tcp) == 0);
    expect_end(&r, 0, "");
    free(down);
}

static void test_local_side_closes_before_the_handshake(void **state)
{
    struct rig r;

    (void)state;
    rig_start(&r, "20000");
    close(r.local);
    r.local = -1;
    r.local_eof = true;
    UNTIL(&r, r.tcp_eof);
    expect_end(&r, 1, "the local side closed before");
}

static void test_confined(void **state)
{
    struct rig r;

    (void)state;
    rig_start(&r, "10000");
    rig_client(&r, TLS_ALPN_STREAM);
    UNTIL(&r, session_ready(r.client));
    assert_int_equal(status_field(r.pid, "NoNewPrivs:"), 1);
#ifndef MULTISSH_SANITIZED
    assert_int_equal(status_field(r.pid, "Seccomp:"), 2);
#endif
    r.client_ends = r.local_ends = true;
    UNTIL(&r, r.tcp_eof && r.local_eof);
    expect_end(&r, 0, "");
}

/* Runs the program with these arguments and checks how it ends. */
static void check_run(char **argv, int tcp, int local, int status, const char *part)
{
    char text[4096];
    size_t n = 0;
    ssize_t got;
    int errors[2], was;
    pid_t pid;

    assert_int_equal(pipe2(errors, O_CLOEXEC), 0);
    pid = start_program(argv, tcp, local, errors[1]);
    close(errors[1]);
    while ((got = read(errors[0], text + n, sizeof(text) - 1 - n)) > 0)
        n += (size_t)got;
    text[n] = '\0';
    close(errors[0]);
    assert_int_equal(waitpid(pid, &was, 0), pid);
    assert_true(WIFEXITED(was));
    if (WEXITSTATUS(was) != status || !strstr(text, part))
        fail_msg("exit status %d (wanted %d), said \"%s\" (wanted \"%s\")", WEXITSTATUS(was), status, text,
                 part);
}

static void test_start_errors(void **state)
{
    char *none[] = {program, NULL}, *unknown[] = {program, (char *)"--frobnicate", NULL},
         *extra[] = {program, (char *)"now", NULL},
         *grace[] = {program, (char *)"--grace", (char *)"0", NULL}, *no_key[] = {program,
                                                                                  (char *)"--key",
                                                                                  (char *)"/nonexistent",
                                                                                  (char *)"--cert",
                                                                                  cert_path,
                                                                                  (char *)"--ca",
                                                                                  ca_path,
                                                                                  NULL},
         *mixed[] = {program, (char *)"--key", key_path, (char *)"--cert",
                     ca_path, (char *)"--ca",  ca_path,  NULL},
         *good[] = {program,   (char *)"--key", key_path, (char *)"--cert",
                    cert_path, (char *)"--ca",  ca_path,  NULL};
    int pair[2], file = open("/dev/null", O_RDWR | O_CLOEXEC);

    (void)state;
    assert_true(file >= 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    check_run(none, pair[0], pair[1], 2, "--key, --cert and --ca are needed");
    check_run(unknown, pair[0], pair[1], 2, "frobnicate");
    check_run(extra, pair[0], pair[1], 2, "unexpected argument 'now'");
    check_run(grace, pair[0], pair[1], 2, "grace");
    check_run(no_key, pair[0], pair[1], 3, "/nonexistent cannot be read");
    check_run(mixed, pair[0], pair[1], 3, "does not belong to the certificate");
    check_run(good, file, pair[1], 3, "descriptor 3 is not a stream socket");
    check_run(good, pair[0], file, 3, "descriptor 4 is not a stream socket");
    close(file);
    close(pair[0]);
    close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bulk_both_ways),
        cmocka_unit_test(test_half_close_by_the_client),
        cmocka_unit_test(test_half_close_by_the_local_side),
        cmocka_unit_test(test_client_stops_reading),
        cmocka_unit_test(test_local_side_stops_reading),
        cmocka_unit_test(test_no_handshake),
        cmocka_unit_test(test_trickled_handshake),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_garbage_in_a_session),
        cmocka_unit_test(test_control_protocol_is_refused),
        cmocka_unit_test(test_client_is_lost),
        cmocka_unit_test(test_client_is_lost_while_the_local_side_is_stuck),
        cmocka_unit_test(test_local_side_closes),
        cmocka_unit_test(test_local_side_closes_while_the_client_is_stuck),
        cmocka_unit_test(test_local_side_closes_before_the_handshake),
        cmocka_unit_test(test_confined),
        cmocka_unit_test(test_start_errors),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
