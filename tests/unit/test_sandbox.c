/* The sandbox, each case in a process of its own: what must still work, and what must not. */
#include "cmocka_all.h"

#include "base/crypto.h"
#include "base/sandbox.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef MULTISSH_SANITIZED
static const bool filtered = false;
#else
static const bool filtered = true;
#endif

static int pair[2], listener, tcp[2], accepting, standard_error;

static void check(bool holds, int line)
{
    char text[64];
    if (holds)
        return;
    int n = snprintf(text, sizeof text, "line %d does not hold, errno %d\n", line, errno);
    if (write(standard_error, text, (size_t)n) < 0)
        _exit(2);
    _exit(1);
}
#define CHECK(condition) check(condition, __LINE__)

/* Runs body in a child inside the sandbox, which is made here, with sockets made before; returns its wait status. */
static int run(void (*body)(void))
{
    struct sandbox *sandbox = NULL;
    assert_int_equal(sandbox_make(0, &sandbox), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof any;
        alarm(20);
        standard_error = dup(STDERR_FILENO);
        CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
        accepting = socket(AF_INET, SOCK_STREAM, 0);
        CHECK(bind(accepting, (struct sockaddr *)&any, len) == 0 && listen(accepting, 1) == 0);
        CHECK(getsockname(accepting, (struct sockaddr *)&any, &len) == 0);
        tcp[0] = socket(AF_INET, SOCK_STREAM, 0);
        CHECK(connect(tcp[0], (struct sockaddr *)&any, len) == 0);
        tcp[1] = accept(accepting, NULL, NULL);
        listener = socket(AF_UNIX, SOCK_SEQPACKET, 0);
        struct sockaddr_un local = {.sun_family = AF_UNIX};
        snprintf(local.sun_path + 1, sizeof local.sun_path - 1, "multissh-test-%d", (int)getpid());
        CHECK(bind(listener, (struct sockaddr *)&local, sizeof local) == 0 && listen(listener, 5) == 0);
        int client = socket(AF_UNIX, SOCK_SEQPACKET, 0);
        CHECK(connect(client, (struct sockaddr *)&local, sizeof local) == 0);
        CHECK(sandbox_close(sandbox) == 0);
        body();
        _exit(0);
    }
    sandbox_free(sandbox);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void pass_a_descriptor(void)
{
    char byte = 'x';
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.header), &tcp[1], sizeof(int));
    CHECK(sendmsg(pair[0], &message, MSG_NOSIGNAL) == 1);
    CHECK(recvmsg(pair[1], &message, MSG_CMSG_CLOEXEC) == 1);
    CHECK(control.header.cmsg_type == SCM_RIGHTS);
    memcpy(&tcp[1], CMSG_DATA(&control.header), sizeof(int));
}

static void use_what_it_has(void)
{
    char text[16];
    int waiting = 0, one = 1, error = -1;
    socklen_t len = sizeof error;
    struct sockaddr_storage peer;
    socklen_t peer_len = sizeof peer;

    pass_a_descriptor();
    CHECK(fcntl(tcp[1], F_SETFL, O_NONBLOCK) == 0 && (fcntl(tcp[1], F_GETFL) & O_NONBLOCK) != 0);
    CHECK(setsockopt(tcp[0], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0);
    CHECK(setsockopt(tcp[0], SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one) == 0);
    CHECK(getsockopt(tcp[0], SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0);
    CHECK(getpeername(tcp[0], (struct sockaddr *)&peer, &peer_len) == 0);
    CHECK(send(tcp[0], "hello", 5, MSG_NOSIGNAL) == 5 && write(tcp[0], "!", 1) == 1);
    struct pollfd readable = {.fd = tcp[1], .events = POLLIN};
    CHECK(poll(&readable, 1, 5000) == 1);
    CHECK(ioctl(tcp[1], FIONREAD, &waiting) == 0 && waiting >= 5);
    CHECK(recv(tcp[1], text, 5, 0) == 5 && memcmp(text, "hello", 5) == 0);
    CHECK(shutdown(tcp[0], SHUT_WR) == 0);
    CHECK(accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK) >= 0);
    CHECK(close(tcp[0]) == 0);
}

static void on_signal(int number)
{
    (void)number;
}

static void use_memory_time_and_random(void)
{
    unsigned char hash[CRYPTO_HASH_SIZE], bytes[64];
    struct timespec now, pause = {.tv_nsec = 1000};
    struct sigaction action = {.sa_handler = on_signal};
    const struct crypto_piece piece = {"data", 4};
    char *many[64];
    for (size_t i = 0; i < COUNT(many); i++) {
        many[i] = malloc((size_t)1 << (i % 24));
        CHECK(many[i] != NULL);
        many[i][0] = 'x';
    }
    for (size_t i = 0; i < COUNT(many); i++) {
        many[i] = realloc(many[i], ((size_t)1 << (i % 24)) * 2);
        CHECK(many[i] != NULL && many[i][0] == 'x');
    }
    for (size_t i = 0; i < COUNT(many); i++)
        free(many[i]);
    CHECK(crypto_random(bytes, sizeof bytes) == 0 && crypto_sha256(bytes, sizeof bytes, hash) == 0);
    CHECK(crypto_hmac(bytes, 32, &piece, 1, hash) == 0);
    CHECK(clock_gettime(CLOCK_BOOTTIME, &now) == 0 && nanosleep(&pause, NULL) == 0);
    CHECK(sigaction(SIGTERM, &action, NULL) == 0 && getpid() > 0);
    time_t wall = time(NULL);
    struct tm tm;
    CHECK(localtime_r(&wall, &tm) != NULL);
}

#define DENIED(call) CHECK((errno = 0, (call) == -1) && errno == EPERM)

/* TCP Fast Open connects as it sends, and a listener that was shut down is a new socket again. */
static void connect_by_sending(void)
{
    struct sockaddr_in to;
    socklen_t len = sizeof to;
    struct iovec iov = {"x", 1};
    struct msghdr message = {.msg_name = &to, .msg_iov = &iov, .msg_iovlen = 1};
    CHECK(getsockname(accepting, (struct sockaddr *)&to, &len) == 0);
    message.msg_namelen = len;
    CHECK(shutdown(accepting, SHUT_RD) == 0);
    DENIED(sendmsg(accepting, &message, MSG_FASTOPEN | MSG_NOSIGNAL));
}

static void reach_outside(void)
{
    struct stat st;
    char *const nothing[] = {NULL};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
    DENIED(open("/etc/passwd", O_RDONLY));
    DENIED(open("/dev/null", O_WRONLY));
    DENIED(syscall(SYS_open, "/etc/passwd", O_RDONLY));
    DENIED(open("/tmp", O_TMPFILE | O_RDWR, 0600));
    DENIED(stat("/etc/passwd", &st));
    DENIED(access("/etc/passwd", R_OK));
    DENIED(unlink("/nonexistent"));
    DENIED(rename("/nonexistent", "/nonexistent2"));
    DENIED(chdir("/"));
    DENIED(socket(AF_INET, SOCK_STREAM, 0));
    DENIED(socket(AF_UNIX, SOCK_STREAM, 0));
    DENIED(bind(listener, (struct sockaddr *)&to, sizeof to));
    DENIED(connect(tcp[0], (struct sockaddr *)&to, sizeof to));
    DENIED(listen(tcp[0], 1));
    DENIED(sendto(tcp[0], "x", 1, 0, (struct sockaddr *)&to, sizeof to));
    DENIED(fork());
    DENIED(execve("/bin/true", nothing, nothing));
    DENIED(kill(getppid(), 0));
    DENIED(kill(getpid(), 0));
    DENIED(syscall(SYS_tgkill, getppid(), getppid(), 0));
    DENIED(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
    DENIED(ioctl(tcp[0], TIOCSTI, "x"));
    DENIED(fcntl(tcp[0], F_SETOWN, getppid()));
    DENIED((int)(intptr_t)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    DENIED(mprotect(page, 4096, PROT_READ | PROT_EXEC));
    DENIED(syscall(SYS_ptrace, 0, 0, 0, 0));
    DENIED(syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0));
    DENIED(syscall(SYS_io_uring_setup, 1, NULL));
    DENIED(syscall(SYS_bpf, 0, NULL, 0));
    DENIED(syscall(SYS_pidfd_open, getppid(), 0));
}

static void look_at_limits(void)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max == 0);
    CHECK(getrlimit(RLIMIT_NPROC, &limit) == 0 && limit.rlim_max == 0);
    CHECK(prctl(PR_GET_DUMPABLE) == 0);
    CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
}

static void fail_an_assertion(void)
{
    abort();
}

static void what_it_has_works(void **state)
{
    (void)state;
    assert_int_equal(run(use_what_it_has), 0);
    assert_int_equal(run(use_memory_time_and_random), 0);
}

static void the_outside_is_out_of_reach(void **state)
{
    (void)state;
    if (!filtered)
        skip(); /* sanitizer builds load no filter */
    assert_int_equal(run(reach_outside), 0);
    assert_int_equal(run(connect_by_sending), 0);
}

static void abort_still_ends_it(void **state)
{
    (void)state;
    int status = run(fail_an_assertion);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_false(WCOREDUMP(status));
}

/* The child cannot ask for its limits inside the filter, so this one looks from where there is none, or at
 * /proc. */
static void limits_hold(void **state)
{
    (void)state;
    if (!filtered) {
        assert_int_equal(run(look_at_limits), 0);
        return;
    }
    int ready[2], done[2];
    char path[64], text[4096] = "", byte;
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(done), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(done[1]);
        if (sandbox_enter() != 0 || write(ready[1], "x", 1) != 1)
            _exit(1);
        _exit(read(done[0], &byte, 1) == 0 ? 0 : 1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof text - 1, file) > 0);
    fclose(file);
    assert_non_null(strstr(text, "NoNewPrivs:\t1"));
    assert_non_null(strstr(text, "Seccomp:\t2"));
    static const int zero[] = {RLIMIT_CORE, RLIMIT_NPROC};
    for (size_t i = 0; i < COUNT(zero); i++) {
        struct rlimit limit = {1, 1};
        assert_int_equal(prlimit(pid, (__rlimit_resource_t)zero[i], NULL, &limit), 0);
        assert_int_equal(limit.rlim_max, 0);
    }
    close(done[1]);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static int temporary;

static void grow_a_file(void)
{
    CHECK(write(temporary, "x", 1) == -1 && errno == EFBIG);
}

static void grow_the_log(void)
{
    CHECK(write(STDERR_FILENO, "x", 1) == 1);
}

static void only_the_log_may_grow(void **state)
{
    FILE *file = tmpfile();
    (void)state;
    assert_non_null(file);
    temporary = fileno(file);
    signal(SIGXFSZ, SIG_IGN);
    int saved = dup(STDERR_FILENO), ends[2];
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    int refused = run(grow_a_file);
    dup2(temporary, STDERR_FILENO);
    int grown = run(grow_the_log);
    dup2(saved, STDERR_FILENO);
    assert_int_equal(refused, 0);
    assert_int_equal(grown, 0);
    close(saved);
    close(ends[0]);
    close(ends[1]);
    fclose(file);
}

/* The status of a process that enters the sandbox with allow and then sets the size of a terminal. */
static int set_a_terminals_size(unsigned allow, bool works)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct winsize size = {.ws_row = 50, .ws_col = 132};
        int master = posix_openpt(O_RDWR | O_NOCTTY);
        alarm(20);
        standard_error = dup(STDERR_FILENO);
        CHECK(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
        CHECK(sandbox_enter_with(allow) == 0);
        if (works) {
            CHECK(ioctl(master, TIOCSWINSZ, &size) == 0);
        } else {
            CHECK(ioctl(master, TIOCSWINSZ, &size) == -1 && errno == EPERM);
        }
        if (filtered) {
            CHECK(ioctl(master, TIOCGWINSZ, &size) == -1 && errno == EPERM);
            CHECK(socket(AF_UNIX, SOCK_STREAM, 0) == -1 && errno == EPERM);
        }
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void a_terminals_size_only_where_allowed(void **state)
{
    (void)state;
    assert_int_equal(set_a_terminals_size(SANDBOX_TERMINAL_SIZE, true), 0);
    assert_int_equal(set_a_terminals_size(0, !filtered), 0);
}

/* Bytes from one pipe to another, without a look at them. */
static int splice_there(unsigned allow, bool works)
{
    pid_t pid = fork();
    int status = 0, from[2], to[2];
    char byte = 0;
    assert_true(pid >= 0);
    if (pid == 0) {
        alarm(20);
        standard_error = dup(STDERR_FILENO);
        CHECK(pipe(from) == 0 && pipe(to) == 0 && write(from[1], "x", 1) == 1);
        CHECK(sandbox_enter_with(allow) == 0);
        CHECK((splice(from[0], NULL, to[1], NULL, 1, SPLICE_F_NONBLOCK) == 1) == works);
        CHECK(works || errno == EPERM);
        CHECK(!works || (read(to[0], &byte, 1) == 1 && byte == 'x'));
        CHECK(!filtered || (open("/dev/null", O_RDONLY) < 0 && errno == EPERM));
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void splice_only_where_allowed(void **state)
{
    (void)state;
    assert_int_equal(splice_there(SANDBOX_SPLICE, true), 0);
    assert_int_equal(splice_there(0, !filtered), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_terminals_size_only_where_allowed),
        cmocka_unit_test(splice_only_where_allowed),
        cmocka_unit_test(what_it_has_works),
        cmocka_unit_test(the_outside_is_out_of_reach),
        cmocka_unit_test(abort_still_ends_it),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(only_the_log_may_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
