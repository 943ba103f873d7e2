/* The monitor: forwards, signals, hanging up, and its end. Real processes and sockets of an ordinary user. */
#include "sshd_monitored.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

static void ask_place(struct monitored *m, enum wire_type type, uint32_t id, const char *host, unsigned port)
{
    struct buf out;
    wire_begin(&out, type, id);
    wire_put_text(&out, host);
    wire_put_number(&out, port);
    monitored_send(m, &out);
}

/* The descriptor of a SOCKET answer, and its port. */
static int expect_socket(struct monitored *m, uint32_t id, unsigned *ret_port)
{
    struct message got;
    monitored_expect(m, WIRE_SOCKET, id, &got);
    *ret_port = wire_number(&got.in);
    assert_true(wire_done(&got.in));
    assert_int_equal(got.fd_n, 1);
    assert_true((fcntl(got.fds[0], F_GETFL) & O_NONBLOCK) != 0);
    return got.fds[0];
}

static int listen_here(unsigned *ret_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, size), 0);
    assert_int_equal(listen(fd, 200), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

static void check_pair(int a, int b)
{
    char text[8] = "";
    assert_int_equal(write(a, "hello", 5), 5);
    await(b);
    assert_int_equal(read(b, text, sizeof text), 5);
    assert_string_equal(text, "hello");
    close_fds((int[]){a, b}, 2);
}

static void connecting(void **state)
{
    struct monitored m;
    unsigned port, none;
    int listener = listen_here(&port);
    (void)state;
    monitored_login(&m, "", NULL);
    ask_place(&m, WIRE_CONNECT, 1, "127.0.0.1", port);
    int fd = expect_socket(&m, 1, &none);
    check_pair(fd, accept(listener, NULL, NULL));
    ask_place(&m, WIRE_CONNECT, 2, "localhost", port);
    fd = expect_socket(&m, 2, &none);
    check_pair(fd, accept(listener, NULL, NULL));
    assert_int_equal(close(listener), 0);
    ask_place(&m, WIRE_CONNECT, 3, "127.0.0.1", port);
    monitored_expect_failed(&m, 3, "Connection refused");
    ask_place(&m, WIRE_CONNECT, 4, "no such host!", 22);
    monitored_expect_failed(&m, 4, "cannot find no such host!");
    ask_place(&m, WIRE_CONNECT, 5, "127.0.0.1", 70000);
    monitored_expect_failed(&m, 5, "no host and port");
    monitored_end(&m);
}

/* More than run at once: those behind wait for their turn. */
static void many_connections(void **state)
{
    enum { MANY = 150 };
    struct monitored m;
    unsigned port, none;
    bool seen[MANY] = {false};
    int listener = listen_here(&port);
    (void)state;
    monitored_login(&m, "", NULL);
    for (uint32_t i = 0; i < MANY; i++)
        ask_place(&m, WIRE_CONNECT, i, "127.0.0.1", port);
    for (unsigned i = 0; i < MANY; i++) {
        struct message got;
        assert_true(monitored_take(&m, &got));
        assert_int_equal(got.in.type, WIRE_SOCKET);
        assert_in_range(got.in.id, 0, MANY - 1);
        assert_false(seen[got.in.id]);
        seen[got.in.id] = true;
        none = wire_number(&got.in);
        assert_int_equal(none, 0);
        /* Its other end is one of those that wait, though not always the first. */
        await(listener);
        close_fds((int[]){got.fds[0], accept(listener, NULL, NULL)}, 2);
    }
    assert_int_equal(close(listener), 0);
    monitored_end(&m);
}

static void connecting_as_the_key_says(void **state)
{
    struct monitored m;
    unsigned port, none;
    int listener = listen_here(&port);
    char line[64];
    (void)state;
    (void)snprintf(line, sizeof line, "permitopen=\"127.0.0.1:%u\"", port);
    monitored_login(&m, line, NULL);
    ask_place(&m, WIRE_CONNECT, 1, "127.0.0.1", port);
    int fd = expect_socket(&m, 1, &none);
    check_pair(fd, accept(listener, NULL, NULL));
    ask_place(&m, WIRE_CONNECT, 2, "localhost", port);
    monitored_expect_failed(&m, 2, "permitopen");
    monitored_end(&m);
    monitored_login(&m, "no-port-forwarding", NULL);
    ask_place(&m, WIRE_CONNECT, 1, "127.0.0.1", port);
    monitored_expect_failed(&m, 1, "not allowed");
    ask_place(&m, WIRE_LISTEN, 2, "127.0.0.1", 0);
    monitored_expect_failed(&m, 2, "not allowed");
    monitored_end(&m);
    assert_int_equal(close(listener), 0);
}

static void listening(void **state)
{
    static const char *const hosts[] = {"", "localhost", "0.0.0.0", "*", "127.0.0.1", "192.0.2.1"};
    struct monitored m;
    (void)state;
    monitored_login(&m, "", NULL);
    for (uint32_t i = 0; i < COUNT(hosts); i++) {
        struct sockaddr_in at = {.sin_family = AF_INET};
        socklen_t size = sizeof at;
        unsigned port;
        ask_place(&m, WIRE_LISTEN, i, hosts[i], 0);
        int listener = expect_socket(&m, i, &port);
        assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &size), 0);
        assert_int_equal(at.sin_family, AF_INET);
        assert_int_equal(ntohs(at.sin_port), port);
        /* Without gateway-ports nobody but this machine gets there. */
        assert_int_equal(ntohl(at.sin_addr.s_addr), INADDR_LOOPBACK);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&at, size), 0);
        await(listener);
        check_pair(fd, accept(listener, NULL, NULL));
        ask_place(&m, WIRE_LISTEN, 100, "localhost", port);
        monitored_expect_failed(&m, 100, "Address already in use");
        assert_int_equal(close(listener), 0);
    }
    monitored_end(&m);
    monitored_login(&m, "permitlisten=\"1234\"", NULL);
    ask_place(&m, WIRE_LISTEN, 1, "localhost", 0);
    monitored_expect_failed(&m, 1, "permitlisten");
    monitored_end(&m);
}

static void agent(void **state)
{
    struct monitored m;
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct stat st;
    char path[128], folder[128];
    unsigned port;
    (void)state;
    monitored_login(&m, "", NULL);
    monitored_say(&m, WIRE_AGENT, 1, NULL);
    int listener = expect_socket(&m, 1, &port);
    monitored_say(&m, WIRE_AGENT, 2, NULL);
    monitored_expect_failed(&m, 2, "already");
    monitored_run(&m, 3, HOST_EXEC, "printf %s \"$SSH_AUTH_SOCK\"", 0, path, sizeof path);
    assert_int_equal(strncmp(path, "/tmp/ssh-", 9), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 0777, 0600);
    (void)snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
    assert_int_equal(stat(folder, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    memcpy(at.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    await(listener);
    check_pair(fd, accept(listener, NULL, NULL));
    assert_int_equal(close(listener), 0);
    monitored_end(&m);
    assert_int_equal(stat(folder, &st), -1);
    assert_int_equal(errno, ENOENT);
    monitored_login(&m, "no-agent-forwarding", NULL);
    monitored_say(&m, WIRE_AGENT, 1, NULL);
    monitored_expect_failed(&m, 1, "not allowed");
    monitored_end(&m);
}

/* --- signals and ends --- */

/* A command that says when it is ready, and then waits for a signal to end it. */
static void begin_sleeper(struct monitored *m, uint32_t id, int fds[3])
{
    char text[16] = "";
    monitored_begin(m, id, HOST_EXEC, false, "echo ready; exec sleep 1000", fds);
    await(fds[1]);
    assert_int_equal(read(fds[1], text, sizeof text - 1), 6);
    assert_string_equal(text, "ready\n");
}

static void signals(void **state)
{
    struct monitored m;
    char out[64];
    int fds[3];
    (void)state;
    monitored_login(&m, "", NULL);
    begin_sleeper(&m, 1, fds);
    monitored_say(&m, WIRE_SIGNAL, 1, "WINCH"); /* none that a client may send */
    monitored_say(&m, WIRE_SIGNAL, 7, "KILL");  /* a session that there is not */
    monitored_say(&m, WIRE_SIGNAL, 1, "USR1");
    read_all(fds[1], out, sizeof out);
    assert_string_equal(out, "");
    monitored_expect_exit(&m, 1, 0, "USR1");
    close_fds(fds, 3);
    monitored_end(&m);
}

static void a_forced_command_is_not_signalled(void **state)
{
    struct monitored m;
    char out[64];
    int fds[3];
    (void)state;
    monitored_login(&m, "command=\"trap 'echo term' TERM; cat; echo end\"", NULL);
    monitored_begin(&m, 1, HOST_EXEC, false, "x", fds);
    assert_int_equal(write(fds[0], "a\n", 2), 2);
    await(fds[1]);
    assert_int_equal(read(fds[1], out, sizeof out), 2);
    monitored_say(&m, WIRE_SIGNAL, 1, "KILL");
    monitored_run(&m, 2, HOST_EXEC, "x", 0, out, sizeof out); /* so that the signal was decided on */
    assert_int_equal(close(fds[0]), 0);
    read_all(fds[1], out, sizeof out);
    assert_string_equal(out, "end\n");
    monitored_expect_exit(&m, 1, 0, "");
    close_fds(fds + 1, 2);
    monitored_end(&m);
}

static void closing_hangs_up(void **state)
{
    struct monitored m;
    char out[64];
    int fds[3];
    (void)state;
    monitored_login(&m, "", NULL);
    begin_sleeper(&m, 1, fds);
    monitored_say(&m, WIRE_CLOSE, 1, NULL);
    read_all(fds[1], out, sizeof out);
    assert_string_equal(out, "");
    monitored_expect_exit(&m, 1, 0, "HUP");
    assert_int_equal(children_of(m.pid), 1);
    close_fds(fds, 3);
    monitored_end(&m);
}

/* However soon: the child may not even have its process group. */
static void closing_at_once_hangs_up(void **state)
{
    struct monitored m;
    int fds[3];
    (void)state;
    monitored_login(&m, "", NULL);
    for (uint32_t i = 0; i < 50; i++) {
        monitored_ask(&m, i, HOST_EXEC, i % 2 == 0, "sleep 1000");
        monitored_say(&m, WIRE_CLOSE, i, NULL);
        struct message got;
        monitored_expect(&m, WIRE_STARTED, i, &got);
        memcpy(fds, got.fds, sizeof fds);
        monitored_expect_exit(&m, i, 0, "HUP");
        close_fds(fds, got.fd_n);
    }
    monitored_end(&m);
}

static void the_end_hangs_up(void **state)
{
    struct monitored m;
    char out[64];
    int fds[3];
    (void)state;
    monitored_login(&m, "", NULL);
    begin_sleeper(&m, 1, fds);
    monitored_end(&m); /* awaits the monitor */
    read_all(fds[1], out, sizeof out);
    assert_string_equal(out, "");
    close_fds(fds, 3);
}

static void a_signal_ends_it(void **state)
{
    struct monitored m;
    char out[64];
    int fds[3];
    (void)state;
    monitored_login(&m, "", NULL);
    begin_sleeper(&m, 1, fds);
    assert_int_equal(kill(m.pid, SIGTERM), 0);
    read_all(fds[1], out, sizeof out);
    assert_string_equal(out, "");
    monitored_expect_end(&m);
    close_fds(fds, 3);
    monitored_end(&m);
}

/* Whoever cannot be hung up on lives on, and does not keep the monitor. */
static void nohup_lives_on(void **state)
{
    struct monitored m;
    char text[16] = "";
    int fds[3], status;
    (void)state;
    monitored_login(&m, "", NULL);
    monitored_begin(&m, 1, HOST_EXEC, false, "trap '' HUP; echo ready; cat", fds);
    await(fds[1]);
    assert_int_equal(read(fds[1], text, sizeof text - 1), 6);
    assert_int_equal(close(m.fd), 0);
    assert_int_equal(close(m.life), 0);
    assert_int_equal(waitpid(m.pid, &status, 0), m.pid);
    assert_int_equal(status, 0);
    assert_int_equal(write(fds[0], "alive\n", 6), 6);
    await(fds[1]);
    assert_int_equal(read(fds[1], text, sizeof text), 6);
    assert_memory_equal(text, "alive\n", 6);
    close_fds(fds, 3); /* and ends by the end of its input */
    sshd_options_release(&m.options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connecting),
        cmocka_unit_test(many_connections),
        cmocka_unit_test(connecting_as_the_key_says),
        cmocka_unit_test(listening),
        cmocka_unit_test(agent),
        cmocka_unit_test(signals),
        cmocka_unit_test(a_forced_command_is_not_signalled),
        cmocka_unit_test(closing_hangs_up),
        cmocka_unit_test(closing_at_once_hangs_up),
        cmocka_unit_test(the_end_hangs_up),
        cmocka_unit_test(a_signal_ends_it),
        cmocka_unit_test(nohup_lives_on),
    };
    return cmocka_run_group_tests(tests, monitored_setup, monitored_teardown);
}
