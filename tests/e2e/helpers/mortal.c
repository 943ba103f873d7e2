/* Loaded into multissh-hub (LD_PRELOAD): ends it, as kill -9 would, at the MORTAL_AT'th message that goes over a Unix
 * SOCK_SEQPACKET socket in either direction; with MORTAL_BEFORE in the environment before that message moves, else
 * after. For tests. */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static long left = -1;

__attribute__((constructor)) static void begin(void)
{
    const char *at = getenv("MORTAL_AT");
    if (at != NULL && strcmp(program_invocation_short_name, "multissh-hub") == 0) {
        left = strtol(at, NULL, 10);
    }
}

static int counts(int fd)
{
    int type = 0;
    socklen_t n = sizeof type;
    return left > 0 && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == SOCK_SEQPACKET;
}

static void moved(void)
{
    if (--left == 0) {
        (void)kill(getpid(), SIGKILL);
    }
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    ssize_t (*real)(int, const struct msghdr *, int) = (ssize_t(*)(int, const struct msghdr *, int))dlsym(RTLD_NEXT, "sendmsg");
    ssize_t n;
    int counted = counts(fd);
    if (counted && left == 1 && getenv("MORTAL_BEFORE") != NULL) {
        moved();
    }
    n = real(fd, message, flags);
    if (counted && n >= 0) {
        moved();
    }
    return n;
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    ssize_t (*real)(int, struct msghdr *, int) = (ssize_t(*)(int, struct msghdr *, int))dlsym(RTLD_NEXT, "recvmsg");
    ssize_t n = real(fd, message, flags);
    if (n > 0 && counts(fd)) {
        moved();
    }
    return n;
}
