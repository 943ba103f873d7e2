/* SFTP on descriptors 0 and 1: owns the two descriptors, the waiting and the bytes between them; the protocol
 * is sftp.c's. */
#include "sshd/sftp.h"

#include "base/log.h"
#include "sshd/sftp_fs.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define IN 0
#define OUT 1
/* Room for two of the largest packets: the rest of one is seldom moved. */
#define INPUT_BYTES (2u * SFTP_INPUT_MIN)
/* Larger is hardly faster, and what an account may have of pipes is for its other programs too. */
#define PIPE_BYTES (256 * 1024)
#define DESCRIPTORS_KEPT 16 /* not for the client's files */
#define HANDLES_MOST 4096

/* Has ended. Takes the place of the client's bytes when this process is to end. */
static int nothing_more = -1;

struct channel {
    struct sftp *sftp;
    uint8_t *input;
    size_t start, end; /* what of input is still to be worked on */
    bool ended;        /* no more comes */
};

/* Sends what the descriptor takes. Returns 0, also when not all could be sent, or a negative errno value. */
static int send_answers(struct channel *c)
{
    const uint8_t *answers = NULL;
    size_t n;
    while ((n = sftp_output(c->sftp, &answers)) > 0) {
        ssize_t sent = write(OUT, answers, n);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN ? 0 : -errno;
        sftp_sent(c->sftp, (size_t)sent);
    }
    return 0;
}

/* Answers what can be answered and sends what can be sent, until there is nothing to answer or answers have
 * to wait. Returns 0 or a negative errno value. */
static int work(struct channel *c)
{
    const uint8_t *answers = NULL;
    for (;;) {
        size_t waited = sftp_output(c->sftp, &answers);
        long done = sftp_input(c->sftp, c->input + c->start, c->end - c->start);
        if (done > 0)
            c->start += (size_t)done;
        int r = send_answers(c);
        if (done < 0)
            return (int)done;
        /* Requests are left behind when answers waited: once those are gone, it is their turn. */
        if (r != 0 || sftp_output(c->sftp, &answers) > 0 || (done == 0 && waited == 0))
            return r;
    }
}

/* Makes room behind what is there for the rest of a packet. */
static void make_room(struct channel *c)
{
    size_t left = c->end - c->start;
    if (left == 0) {
        c->start = c->end = 0;
    } else if (INPUT_BYTES - c->start < SFTP_INPUT_MIN) {
        memmove(c->input, c->input + c->start, left);
        c->start = 0;
        c->end = left;
    }
}

static int take(struct channel *c)
{
    ssize_t got = read(IN, c->input + c->end, INPUT_BYTES - c->end);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    c->ended = got == 0;
    c->end += (size_t)got;
    return 0;
}

/* Returns 0 when it is over, or a negative errno value. */
static int serve(struct channel *c)
{
    for (;;) {
        const uint8_t *answers = NULL;
        int r = work(c);
        if (r != 0)
            return r;
        bool waiting = sftp_output(c->sftp, &answers) > 0;
        if (c->ended && !waiting)
            return 0;
        make_room(c);
        /* A whole packet waits for room for its answer when answers wait; else what is there is part of one,
         * and fits. */
        bool room = !c->ended && c->end < INPUT_BYTES;
        struct pollfd fds[2] = {{.fd = room ? IN : -1, .events = POLLIN},
                                {.fd = waiting ? OUT : -1, .events = POLLOUT}};
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return -errno;
        if (fds[0].revents != 0)
            r = take(c);
        if (r != 0)
            return r;
    }
}

static unsigned handles_max(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > HANDLES_MOST + DESCRIPTORS_KEPT)
        return HANDLES_MOST;
    return limit.rlim_cur <= DESCRIPTORS_KEPT ? 1 : (unsigned)limit.rlim_cur - DESCRIPTORS_KEPT;
}

/* Non-blocking, and large when it is a pipe. Returns the flags that it had, or a negative errno value. */
static int prepare(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
        return -errno;
    if (fcntl(fd, F_GETPIPE_SZ) < PIPE_BYTES)
        (void)fcntl(fd, F_SETPIPE_SZ, PIPE_BYTES); /* refused: slower, and no more */
    return flags;
}

static void ignore_signal(int number)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(number, &ignore, NULL);
}

/* Only calls that are safe in a signal handler. A wait that has not begun yet ends at once, too. */
static void end_input(int number)
{
    int saved = errno;
    (void)number;
    (void)dup2(nothing_more, IN);
    errno = saved;
}

/* Hung up on, the session ends as if the client had ended it: what it sent is done, its files are closed, and
 * it is logged. A second signal ends the process. */
static void end_with(int number)
{
    struct sigaction end = {.sa_handler = end_input, .sa_flags = SA_RESETHAND}, was;
    if (sigaction(number, NULL, &was) == 0 && was.sa_handler != SIG_IGN)
        sigaction(number, &end, NULL);
}

static void catch_signals(void)
{
    int ends[2];
    /* A limit on the size of files is an error of the write, not the end. */
    ignore_signal(SIGXFSZ);
    ignore_signal(SIGPIPE);
    if (pipe2(ends, O_CLOEXEC) != 0)
        return; /* then a signal ends the process */
    close(ends[1]);
    nothing_more = ends[0];
    end_with(SIGHUP);
    end_with(SIGTERM);
}

/* The account and, when it came by SSH, from where. */
static void name_session(void *fs_arg, char *out, size_t size)
{
    const char *connection = getenv("SSH_CONNECTION");
    const char *name = sftp_fs_native.user_name(fs_arg, (uint32_t)getuid());
    int n = connection == NULL ? 0 : (int)strcspn(connection, " ");
    if (name[0] == '\0')
        name = "an account without a name";
    if (n > 0 && n < 64)
        (void)snprintf(out, size, "%s from %.*s", name, n, connection);
    else
        (void)snprintf(out, size, "%s", name);
}

static int exit_code(int r, const char *who)
{
    if (r == 0 || r == -EPIPE || r == -ECONNRESET)
        return 0; /* it is the client's to end the session */
    if (r != -EPROTO)
        log_error("SFTP of %s: the connection: %s", who, strerror(-r));
    return 1;
}

int sftp_main(bool read_only)
{
    struct sftp_config config = {.fs = &sftp_fs_native, .read_only = read_only, .handles_max = handles_max()};
    struct channel c = {0};
    char who[400] = "?";
    int was_in = prepare(IN), was_out = prepare(OUT);
    int r = was_in < 0 ? was_in : was_out < 0 ? was_out : 0;

    catch_signals();
    /* Whoever may only transfer files must not write into this process' memory by /proc. */
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (r == 0)
        r = sftp_fs_new(&config.fs_arg);
    if (r == 0)
        name_session(config.fs_arg, who, sizeof who);
    config.who = who;
    if (r == 0)
        r = sftp_new(&config, &c.sftp);
    c.input = malloc(INPUT_BYTES);
    if (r == 0)
        r = c.input == NULL ? -ENOMEM : serve(&c);
    if (r == 0 && c.end > c.start)
        log_warn("SFTP of %s: the client's bytes ended within a packet", who);
    sftp_free(c.sftp);
    sftp_fs_free(config.fs_arg);
    free(c.input);
    /* The flags belong to whoever shares the descriptors, too. */
    if (was_out >= 0)
        (void)fcntl(OUT, F_SETFL, was_out);
    if (was_in >= 0)
        (void)fcntl(IN, F_SETFL, was_in);
    return exit_code(r, who);
}
