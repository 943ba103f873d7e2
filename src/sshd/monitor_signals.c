/* The self-pipe. Handlers and not a blocked mask, for programs that PAM's modules start inherit the mask. */
#include "sshd/monitor_signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static const int caught[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP};
#define CAUGHT (sizeof caught / sizeof caught[0])
/* SIGXFSZ: the limits that PAM sets for the account are this process' too, and records are files. */
static const int ignored[] = {SIGPIPE, SIGXFSZ};
#define IGNORED (sizeof ignored / sizeof ignored[0])

static int write_end = -1; /* a handler has no argument */
static struct sigaction before[CAUGHT], ignored_before[IGNORED];

static void on_signal(int sig)
{
    int error = errno;
    unsigned char byte = (unsigned char)sig;
    if (write(write_end, &byte, 1) < 0) {
        /* It is full of the same. */
    }
    errno = error;
}

int monitor_signals_open(int *ret_fd)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    int fds[2];
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0)
        return -errno;
    write_end = fds[1];
    for (size_t i = 0; i < CAUGHT; i++)
        (void)sigaction(caught[i], &action, &before[i]);
    for (size_t i = 0; i < IGNORED; i++)
        (void)sigaction(ignored[i], &ignore, &ignored_before[i]);
    *ret_fd = fds[0];
    return 0;
}

void monitor_signals_take(int fd, bool *ret_child, bool *ret_end)
{
    unsigned char bytes[64];
    ssize_t n;
    *ret_child = *ret_end = false;
    while ((n = read(fd, bytes, sizeof bytes)) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            *ret_child |= bytes[i] == SIGCHLD;
            *ret_end |= bytes[i] != SIGCHLD;
        }
    }
}

void monitor_signals_close(int fd)
{
    for (size_t i = 0; i < CAUGHT; i++)
        (void)sigaction(caught[i], &before[i], NULL);
    for (size_t i = 0; i < IGNORED; i++)
        (void)sigaction(ignored[i], &ignored_before[i], NULL);
    (void)close(write_end);
    (void)close(fd);
    write_end = -1;
}
