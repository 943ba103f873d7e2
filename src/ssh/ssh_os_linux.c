/* Linux: socket options and the CPU guard. */
#include "ssh/ssh_os.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

int ssh_os_init(void)
{
    return 0; /* libssh does it itself */
}

int ssh_os_dup(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    int copy;
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        return -errno;
    }
    copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return copy < 0 ? -errno : copy;
}

bool ssh_os_no_delay(int fd)
{
    int on = 1;
    return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0;
}

void ssh_os_quick_ack(int fd)
{
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

uint64_t ssh_os_peer_silence(int fd)
{
    struct tcp_info info;
    socklen_t size = sizeof info, domain_size = sizeof(int);
    int domain = AF_UNSPEC;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &domain_size) == 0 && domain == AF_UNIX) {
        return 0; /* the peer's kernel is this one; whoever is behind it has keepalives of its own */
    }
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 ||
        size < offsetof(struct tcp_info, tcpi_last_ack_recv) + sizeof info.tcpi_last_ack_recv) {
        return UINT64_MAX;
    }
    /* A stopped peer whose window is full is only asked by window probes, up to two minutes apart: it owes an answer once
     * a probe has been followed by another. (TCP_USER_TIMEOUT would end the connection of such a peer though it answers
     * each of them.) */
    return info.tcpi_unacked > 0 || info.tcpi_probes > 1 ? info.tcpi_last_ack_recv : 0;
}

static volatile sig_atomic_t guarded, overdue;

static void on_cpu_second(int number)
{
    static const char text[] = "ended: a call into the SSH library did not return\n";
    (void)number;
    if (guarded && overdue) {
        ssize_t n = write(STDERR_FILENO, text, sizeof text - 1);
        _exit(n < 0 ? 71 : 70);
    }
    overdue = guarded;
}

void ssh_os_guard_start(void)
{
    struct sigaction action = {.sa_handler = on_cpu_second, .sa_flags = SA_RESTART};
    struct itimerval second = {.it_interval = {.tv_sec = 1}, .it_value = {.tv_sec = 1}};
    (void)sigaction(SIGVTALRM, &action, NULL);
    (void)setitimer(ITIMER_VIRTUAL, &second, NULL);
}

void ssh_os_guard(bool on)
{
    overdue = 0;
    guarded = on;
}
