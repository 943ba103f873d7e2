/* Takes from this process what it will not need again: rlimits and a seccomp filter. There is no way back. */
#include "base/sandbox.h"

#include "base/crypto.h"
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* What polls, moves bytes over descriptors at hand, asks for memory, time and random bytes, and ends. Calls
 * that an architecture does not have are skipped. */
static const int allowed[] = {
    SCMP_SYS(read),
    SCMP_SYS(readv),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(recv),
    SCMP_SYS(send),

    SCMP_SYS(sendmsg),
    SCMP_SYS(shutdown),
    SCMP_SYS(close),
    SCMP_SYS(accept4),
    SCMP_SYS(accept),
    SCMP_SYS(getsockopt),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
    SCMP_SYS(fstat),
    SCMP_SYS(fstat64),
    SCMP_SYS(lseek),
    SCMP_SYS(_llseek),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(ppoll_time64),
    SCMP_SYS(select),
    SCMP_SYS(_newselect),
    SCMP_SYS(pselect6),
    SCMP_SYS(pselect6_time64),
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_pwait2),
    SCMP_SYS(eventfd2),
    SCMP_SYS(pipe2),
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(futex),
    SCMP_SYS(futex_time64),
    SCMP_SYS(sched_yield),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_gettime64),
    SCMP_SYS(clock_getres),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(clock_nanosleep_time64),
    SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(getrandom),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(getppid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(getuid32),
    SCMP_SYS(geteuid32),
    SCMP_SYS(getgid32),
    SCMP_SYS(getegid32),
    SCMP_SYS(uname),
    SCMP_SYS(getrusage),
    SCMP_SYS(times),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigpending),
    SCMP_SYS(rt_sigtimedwait),
    SCMP_SYS(sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(restart_syscall),
};

static int add(scmp_filter_ctx ctx, int call, unsigned count, const struct scmp_arg_cmp *conditions)
{
    int r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, call, count, conditions);
    return r == -EDOM ? 0 : r; /* not on this architecture */
}

static int add_plain(scmp_filter_ctx ctx)
{
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++) {
        int r = add(ctx, allowed[i], 0, NULL);
        if (r != 0)
            return r;
    }
    return 0;
}

/* Calls that are allowed only with one of a few values of one argument. */
static int add_with(scmp_filter_ctx ctx, int call, unsigned argument, const unsigned long *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        /* The kernel looks at the lower 32 bits of these arguments alone. */
        struct scmp_arg_cmp is = SCMP_CMP32(argument, SCMP_CMP_EQ, (unsigned)values[i]);
        int r = add(ctx, call, 1, &is);
        if (r != 0)
            return r;
    }
    return 0;
}

static int add_conditional(scmp_filter_ctx ctx)
{
    static const unsigned long ioctls[] = {FIONREAD, FIONBIO};
    static const unsigned long fcntls[] = {F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC};
    static const unsigned long levels[] = {SOL_SOCKET, 6 /* IPPROTO_TCP */, 0 /* IPPROTO_IP */,
                                           41 /* IPPROTO_IPV6 */};
    struct scmp_arg_cmp not_executable = SCMP_A2_32(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
    struct scmp_arg_cmp no_address = SCMP_A4_64(SCMP_CMP_EQ, 0);
    struct scmp_arg_cmp own_process = SCMP_A0_32(SCMP_CMP_EQ, (unsigned)getpid());
    int r = add_with(ctx, SCMP_SYS(ioctl), 1, ioctls, sizeof ioctls / sizeof ioctls[0]);
    if (r == 0)
        r = add_with(ctx, SCMP_SYS(fcntl), 1, fcntls, sizeof fcntls / sizeof fcntls[0]);
    if (r == 0)
        r = add_with(ctx, SCMP_SYS(fcntl64), 1, fcntls, sizeof fcntls / sizeof fcntls[0]);
    if (r == 0)
        r = add_with(ctx, SCMP_SYS(setsockopt), 1, levels, sizeof levels / sizeof levels[0]);
    if (r == 0)
        r = add(ctx, SCMP_SYS(mmap), 1, &not_executable);
    if (r == 0)
        r = add(ctx, SCMP_SYS(mmap2), 1, &not_executable);
    if (r == 0)
        r = add(ctx, SCMP_SYS(mprotect), 1, &not_executable);
    /* Only to the peer that the descriptor is connected to: send(2) passes no address. */
    if (r == 0)
        r = add(ctx, SCMP_SYS(sendto), 1, &no_address);
    /* abort(3) signals its own process. */
    if (r == 0)
        r = add(ctx, SCMP_SYS(tgkill), 1, &own_process);
    return r;
}

/* In sanitizer builds no filter is loaded: the sanitizers read /proc and start a tracer at exit. */
#ifdef MULTISSH_SANITIZED
static const bool filtered = false;
#else
static const bool filtered = true;
#endif

static int load_filter(void)
{
    if (!filtered)
        return 0;
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (ctx == NULL)
        return -ENOMEM;
    /* A call by another architecture's numbers (32-bit on 64-bit) can only come from injected code. */
    int r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (r == 0)
        r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (r == 0)
        r = add_plain(ctx);
    if (r == 0)
        r = add_conditional(ctx);
    if (r == 0)
        r = seccomp_load(ctx);
    seccomp_release(ctx);
    /* libseccomp: ECANCELED when the kernel refused, for want of seccomp or of a filter. */
    return r == -ECANCELED ? -ENOSYS : r;
}

static int limit(int resource)
{
    const struct rlimit none = {0, 0};
    return setrlimit((__rlimit_resource_t)resource, &none) == 0 ? 0 : -errno;
}

/* A file cannot be opened any more, so this only keeps from growing one that was inherited. The log has to
 * grow. */
static int limit_file_size(void)
{
    struct stat st;
    if (fstat(STDERR_FILENO, &st) == 0 && S_ISREG(st.st_mode))
        return 0;
    return limit(RLIMIT_FSIZE);
}

/* What libraries open by name on first use: OpenSSL its configuration and random source, libc the time zone.
 */
static int warm_up(void)
{
    unsigned char byte;
    tzset();
    return crypto_random(&byte, sizeof byte);
}

int sandbox_enter(void)
{
    int r = warm_up();
    if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        r = -errno;
    if (r == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        r = -errno;
    if (r == 0)
        r = limit(RLIMIT_CORE);
    if (r == 0)
        r = limit_file_size();
    if (r == 0)
        r = limit(RLIMIT_NPROC);
    return r == 0 ? load_filter() : r;
}
