/* A real monitor in a process of its own, and its speaker's end of the wire in the test's hands.
 *
 * It runs as an ordinary user: when the tests run as root, as one that is made up for them in a mount namespace
 * of this process, so that no record of the machine's is written. */
#ifndef MULTISSH_TESTS_SSHD_MONITORED_H
#define MULTISSH_TESTS_SSHD_MONITORED_H

#include "cmocka_all.h"

#include "base/log.h"
#include "sshd/host.h"
#include "sshd/monitor.h"
#include "sshd/wire.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef MULTISSH_SANITIZED
#include <sanitizer/lsan_interface.h>
#endif

#define WAIT_MS 20000
#define KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJHBXQ5NhJ5CIFDP2W21kuCOXTno+pGtyAEnLoeboRgM"
#define OTHER_KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKvVNMJvEKmQ1yJL3qJgtXVGhPgnO2cB/aYJm8GyzB3E"

struct monitored {
    pid_t pid;
    int fd, life; /* the speaker's end; closing life ends the process that stands for the speaker */
    struct sshd_options options;
};

static char scratch[64], keys_file[96], user_name[64];

static void put_file(const char *path, const char *text, mode_t mode)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, mode), 0);
}

/* As root: another passwd for this process and its children alone, and then one of its users. */
static int become_ordinary(void)
{
    char passwd[96], text[256];
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return -1;
    (void)snprintf(passwd, sizeof passwd, "%s/passwd", scratch);
    (void)snprintf(text, sizeof text, "root:x:0:0::/root:/bin/sh\ntester:x:54321:54321::%s:/bin/sh\n",
                   scratch);
    put_file(passwd, text, 0644);
    if (mount(passwd, "/etc/passwd", NULL, MS_BIND, NULL) != 0 || chown(scratch, 54321, 54321) != 0 ||
        setgroups(0, NULL) != 0 || setresgid(54321, 54321, 54321) != 0 || setresuid(54321, 54321, 54321) != 0)
        return -1;
    return prctl(PR_SET_DUMPABLE, 1); /* the sanitizers look into the process */
}

static inline int monitored_setup(void **state)
{
    const struct passwd *me;
    (void)state;
    (void)snprintf(scratch, sizeof scratch, "/tmp/multissh-monitor-XXXXXX");
    if (mkdtemp(scratch) == NULL || (geteuid() == 0 && become_ordinary() != 0))
        return -1;
    me = getpwuid(geteuid());
    if (me == NULL)
        return -1;
    (void)snprintf(user_name, sizeof user_name, "%s", me->pw_name);
    (void)snprintf(keys_file, sizeof keys_file, "%s/keys", scratch);
    return 0;
}

static inline int monitored_teardown(void **state)
{
    char command[96];
    (void)state;
    (void)snprintf(command, sizeof command, "%s", scratch);
    pid_t pid = fork();
    if (pid == 0) {
        execlp("rm", "rm", "-rf", command, (char *)NULL);
        _exit(1);
    }
    return waitpid(pid, NULL, 0) == pid ? 0 : -1;
}

/* Who stands for the process that speaks SSH: it ends when the test says so. */
static void be_speaker(int life)
{
    char byte;
    ssize_t n;
    (void)close_range(3, (unsigned)life - 1, 0);
    do {
        n = read(life, &byte, 1);
    } while (n > 0);
    _exit(0);
}

static void check_leaks(void)
{
#ifdef MULTISSH_SANITIZED
    __lsan_do_leak_check(); /* _exit does not */
#endif
}

/* line: of authorized_keys, with %s for the key. Options of m may have been changed by change. */
static inline void monitored_start(struct monitored *m, const char *line,
                                   void (*change)(struct sshd_options *))
{
    struct errmsg err = {""};
    char text[1024];
    int pair[2], life[2];
    memset(m, 0, sizeof *m);
    assert_int_equal(sshd_options_load(&m->options, "/nonexistent", false, &err), 0);
    free(m->options.authorized_keys);
    m->options.authorized_keys = strdup(keys_file);
    m->options.strict_modes = false;
    if (change != NULL)
        change(&m->options);
    (void)snprintf(text, sizeof text, "%s%s" KEY "\n", line, line[0] != '\0' ? " " : "");
    put_file(keys_file, text, 0600);
    assert_int_equal(wire_pair(pair), 0);
    assert_int_equal(pipe2(life, O_CLOEXEC), 0);
    m->pid = fork();
    assert_true(m->pid >= 0);
    if (m->pid == 0) {
        struct monitor_config config = {.options = &m->options,
                                        .speaker_fd = pair[1],
                                        .peer = "192.0.2.1",
                                        .peer_port = 4711,
                                        .local = "192.0.2.2",
                                        .local_port = 22};
        /* What the test has open is not the monitor's. */
        if (dup2(pair[1], 200) != 200 || dup2(life[0], 201) != 201 || close_range(3, 199, 0) != 0 ||
            close_range(202, ~0u, 0) != 0)
            _exit(2);
        config.speaker_fd = 200;
        log_set_level(LOG_LEVEL_ERROR);
        config.speaker = fork();
        if (config.speaker == 0)
            be_speaker(201);
        (void)close(201);
        int r = monitor_run(&config);
        sshd_options_release(&m->options);
        check_leaks();
        _exit(r == 0 ? 0 : 1);
    }
    (void)close(pair[1]);
    (void)close(life[0]);
    m->fd = pair[0];
    m->life = life[1];
}

static inline void monitored_send(struct monitored *m, struct buf *out)
{
    assert_true(buf_len(out) >= 8);
    assert_int_equal(send(m->fd, buf_data(out), buf_len(out), MSG_NOSIGNAL), buf_len(out));
    buf_release(out);
}

static inline void await(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, WAIT_MS), 1);
}

struct message {
    struct wire_in in;
    int fds[WIRE_FDS];
    size_t fd_n;
    uint8_t data[8192];
};

/* The next message; false: the monitor has closed. */
static inline bool monitored_take(struct monitored *m, struct message *ret)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(WIRE_FDS * sizeof(int))];
    } control = {0};
    struct iovec part = {.iov_base = ret->data, .iov_len = sizeof ret->data};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    await(m->fd);
    ssize_t n = recvmsg(m->fd, &message, MSG_CMSG_CLOEXEC);
    ret->fd_n = 0;
    if (n <= 0)
        return false;
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    if (c != NULL) {
        ret->fd_n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(ret->fds, CMSG_DATA(c), ret->fd_n * sizeof(int));
    }
    wire_open(&ret->in, ret->data, (size_t)n);
    return true;
}

/* The next message, which must be of this type and id. */
static inline void monitored_expect(struct monitored *m, enum wire_type type, uint32_t id,
                                    struct message *ret)
{
    assert_true(monitored_take(m, ret));
    assert_int_equal(ret->in.type, type);
    assert_int_equal(ret->in.id, id);
}

static inline void monitored_expect_failed(struct monitored *m, uint32_t id, const char *words)
{
    struct message got;
    monitored_expect(m, WIRE_FAILED, id, &got);
    char *text = wire_text(&got.in, 4096);
    assert_true(wire_done(&got.in));
    if (strstr(text, words) == NULL)
        fail_msg("'%s' does not say '%s'", text, words);
    free(text);
}

static inline enum host_verdict monitored_key(struct monitored *m, const char *name, const char *key,
                                              bool verified, unsigned *ret_rights)
{
    struct message got;
    struct buf out;
    wire_begin(&out, WIRE_KEY, 1);
    wire_put_text(&out, name);
    wire_put_text(&out, key);
    wire_put_number(&out, verified);
    monitored_send(m, &out);
    monitored_expect(m, WIRE_VERDICT, 1, &got);
    uint32_t verdict = wire_number(&got.in);
    *ret_rights = wire_number(&got.in);
    free(wire_text(&got.in, 4096));
    assert_true(wire_done(&got.in));
    return (enum host_verdict)verdict;
}

/* Started and logged in. */
static inline void monitored_login(struct monitored *m, const char *line,
                                   void (*change)(struct sshd_options *))
{
    unsigned rights;
    monitored_start(m, line, change);
    assert_int_equal(monitored_key(m, user_name, KEY, true, &rights), HOST_YES);
}

static inline void monitored_ask(struct monitored *m, uint32_t id, enum host_start_kind kind, bool pty,
                                 const char *command)
{
    struct buf out;
    wire_begin(&out, WIRE_START, id);
    wire_put_number(&out, kind);
    wire_put_number(&out, pty);
    wire_put_text(&out, "vt100");
    wire_put_number(&out, 91);
    wire_put_number(&out, 37);
    wire_put_number(&out, 0);
    wire_put_number(&out, 0);
    wire_put_text(&out, command);
    monitored_send(m, &out);
}

static inline void monitored_begin(struct monitored *m, uint32_t id, enum host_start_kind kind, bool pty,
                                   const char *command, int fds[3])
{
    struct message got;
    monitored_ask(m, id, kind, pty, command);
    monitored_expect(m, WIRE_STARTED, id, &got);
    assert_true(wire_done(&got.in));
    assert_int_equal(got.fd_n, pty ? 1 : 3);
    for (size_t i = 0; i < got.fd_n; i++) {
        assert_true((fcntl(got.fds[i], F_GETFL) & O_NONBLOCK) != 0);
        fds[i] = got.fds[i];
    }
}

static inline void monitored_say(struct monitored *m, enum wire_type type, uint32_t id, const char *text)
{
    struct buf out;
    wire_begin(&out, type, id);
    if (text != NULL)
        wire_put_text(&out, text);
    monitored_send(m, &out);
}

/* Everything until the end (a pty's is EIO), as a string. */
static inline void read_all(int fd, char *out, size_t size)
{
    size_t n = 0;
    ssize_t got = 1;
    while (got > 0) {
        assert_true(n + 1 < size);
        await(fd);
        got = read(fd, out + n, size - 1 - n);
        n += got > 0 ? (size_t)got : 0;
    }
    out[n] = '\0';
}

static inline void close_fds(int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(close(fds[i]), 0);
}

static inline void monitored_expect_exit(struct monitored *m, uint32_t id, unsigned status,
                                         const char *signal_name)
{
    struct message got;
    monitored_expect(m, WIRE_EXITED, id, &got);
    assert_int_equal(wire_number(&got.in), status);
    (void)wire_number(&got.in);
    char *name = wire_text(&got.in, 64);
    assert_true(wire_done(&got.in));
    assert_string_equal(name, signal_name);
    free(name);
}

/* Runs it to its end: standard output into out, and its status. */
static inline void monitored_run(struct monitored *m, uint32_t id, enum host_start_kind kind,
                                 const char *command, unsigned status, char *out, size_t size)
{
    int fds[3];
    monitored_begin(m, id, kind, false, command, fds);
    assert_int_equal(close(fds[0]), 0);
    read_all(fds[1], out, size);
    monitored_expect_exit(m, id, status, "");
    close_fds(fds + 1, 2);
    monitored_say(m, WIRE_CLOSE, id, NULL);
}

/* How many processes are children of pid. */
static inline unsigned children_of(pid_t pid)
{
    unsigned n = 0;
    DIR *proc = opendir("/proc");
    assert_non_null(proc);
    for (const struct dirent *e = readdir(proc); e != NULL; e = readdir(proc)) {
        char path[300], text[512];
        int parent;
        FILE *f;
        (void)snprintf(path, sizeof path, "/proc/%s/stat", e->d_name);
        if (e->d_name[0] < '0' || e->d_name[0] > '9' || (f = fopen(path, "r")) == NULL)
            continue;
        size_t got = fread(text, 1, sizeof text - 1, f);
        (void)fclose(f);
        text[got] = '\0';
        const char *after = strrchr(text, ')');
        n += after != NULL && sscanf(after, ") %*c %d", &parent) == 1 && parent == pid;
    }
    (void)closedir(proc);
    return n;
}

/* The monitor has closed the wire (the speaker broke the rules, or it ends): nothing may come before. */
static inline void monitored_expect_end(struct monitored *m)
{
    struct message got;
    assert_false(monitored_take(m, &got));
}

/* Ends the connection as a speaker does, and awaits the monitor. */
static inline void monitored_end(struct monitored *m)
{
    int status;
    (void)close(m->fd);
    (void)close(m->life);
    assert_int_equal(waitpid(m->pid, &status, 0), m->pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    sshd_options_release(&m->options);
}

#endif
