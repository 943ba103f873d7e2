/* Takes from this process what it will not need again: rlimits and a seccomp filter. There is no way back. */
#include "base/sandbox.h"

#include "base/crypto.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define INSTRUCTIONS_MAX 4096 /* of the kernel: BPF_MAXINSNS */
/* Stands in the filter for the number of the process that it will be loaded into; no process has it (PID_MAX_LIMIT). */
#define OWN_PID UINT32_C(0x5e1f0001)

struct sandbox {
    unsigned short n; /* 0: no filter */
    struct sock_filter code[];
};

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

/* Of most arguments the kernel looks at the lower 32 bits alone. */
#define LOWER_HALF UINT64_C(0xffffffff)

static struct scmp_arg_cmp masked(unsigned argument, uint64_t mask, uint64_t value)
{
    return (struct scmp_arg_cmp){
        .arg = argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};
}

/* A call that is allowed only with one of a few values of its second argument. */
static int add_with(scmp_filter_ctx ctx, int call, const unsigned *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct scmp_arg_cmp is = masked(1, LOWER_HALF, values[i]);
        int r = add(ctx, call, 1, &is);
        if (r != 0)
            return r;
    }
    return 0;
}

static int add_conditional(scmp_filter_ctx ctx, unsigned allow)
{
    static const unsigned ioctls[] = {FIONREAD, FIONBIO};
    static const unsigned terminal_ioctls[] = {TIOCSWINSZ};
    static const unsigned fcntls[] = {F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC};
    static const unsigned levels[] = {SOL_SOCKET, IPPROTO_TCP, IPPROTO_IP, IPPROTO_IPV6};
    const struct scmp_arg_cmp not_executable = masked(2, PROT_EXEC, 0);
    const struct scmp_arg_cmp no_address = masked(4, UINT64_MAX, 0);
    const struct scmp_arg_cmp no_connection = masked(2, MSG_FASTOPEN, 0);
    const struct scmp_arg_cmp own_process = masked(0, LOWER_HALF, OWN_PID);
    const struct {
        int call;
        const struct scmp_arg_cmp *condition;
    } others[] = {
        {SCMP_SYS(mmap), &not_executable},
        {SCMP_SYS(mmap2), &not_executable},
        {SCMP_SYS(mprotect), &not_executable},
        {SCMP_SYS(sendto), &no_address},     /* as send(2) calls it: only to the connected peer */
        {SCMP_SYS(sendmsg), &no_connection}, /* the flag connects: a listener that was shut down, too */
        {SCMP_SYS(tgkill), &own_process},    /* abort(3) */
    };
    int r = add_with(ctx, SCMP_SYS(ioctl), ioctls, sizeof ioctls / sizeof ioctls[0]);
    if (r == 0 && (allow & SANDBOX_TERMINAL_SIZE) != 0)
        r = add_with(ctx, SCMP_SYS(ioctl), terminal_ioctls, 1);
    if (r == 0 && (allow & SANDBOX_SPLICE) != 0)
        r = add(ctx, SCMP_SYS(splice), 0, NULL);
    if (r == 0)
        r = add_with(ctx, SCMP_SYS(fcntl), fcntls, sizeof fcntls / sizeof fcntls[0]);
    if (r == 0)
        r = add_with(ctx, SCMP_SYS(fcntl64), fcntls, sizeof fcntls / sizeof fcntls[0]);
    if (r == 0)
        r = add_with(ctx, SCMP_SYS(setsockopt), levels, sizeof levels / sizeof levels[0]);
    for (size_t i = 0; r == 0 && i < sizeof others / sizeof others[0]; i++)
        r = add(ctx, others[i].call, 1, others[i].condition);
    return r;
}

/* In sanitizer builds no filter is loaded: the sanitizers read /proc and start a tracer at exit. */
#ifdef MULTISSH_SANITIZED
static const bool filtered = false;
#else
static const bool filtered = true;
#endif

/* As the kernel takes it. libseccomp writes it to a descriptor. */
static int read_code(scmp_filter_ctx ctx, struct sandbox **ret_sandbox)
{
    struct sandbox *s = NULL;
    struct stat st;
    int fd = memfd_create("filter", MFD_CLOEXEC);
    int r = fd < 0 ? -errno : seccomp_export_bpf(ctx, fd);
    if (r == 0 && fstat(fd, &st) != 0)
        r = -errno;
    if (r == 0 && ((size_t)st.st_size > INSTRUCTIONS_MAX * sizeof s->code[0] ||
                   (size_t)st.st_size % sizeof s->code[0] != 0))
        r = -E2BIG;
    if (r == 0)
        s = malloc(sizeof *s + (size_t)st.st_size);
    if (r == 0 && s == NULL)
        r = -ENOMEM;
    if (r == 0 && pread(fd, s->code, (size_t)st.st_size, 0) != (ssize_t)st.st_size)
        r = -EIO;
    if (r == 0) {
        s->n = (unsigned short)((size_t)st.st_size / sizeof s->code[0]);
        *ret_sandbox = s;
        s = NULL;
    }
    if (fd >= 0)
        (void)close(fd);
    free(s);
    return r;
}

static int make_filter(unsigned allow, struct sandbox **ret_sandbox)
{
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
        r = add_conditional(ctx, allow);
    if (r == 0)
        r = read_code(ctx, ret_sandbox);
    seccomp_release(ctx);
    return r;
}

/* Returns -ENOSYS when the kernel has no seccomp, or no filters. */
static int load_filter(const struct sandbox *sandbox)
{
    size_t size = sandbox->n * sizeof sandbox->code[0];
    struct sock_fprog program = {.len = sandbox->n, .filter = NULL};
    int r = 0;
    if (sandbox->n == 0)
        return filtered ? -EINVAL : 0;
    program.filter = malloc(size);
    if (program.filter == NULL)
        return -ENOMEM;
    memcpy(program.filter, sandbox->code, size);
    for (unsigned i = 0; i < sandbox->n; i++) {
        struct sock_filter *f = &program.filter[i];
        if (BPF_CLASS(f->code) == BPF_JMP && f->k == OWN_PID)
            f->k = (uint32_t)getpid();
    }
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
        r = errno == EINVAL ? -ENOSYS : -errno;
    free(program.filter);
    return r;
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

int sandbox_make(unsigned allow, struct sandbox **ret_sandbox)
{
    int r = warm_up();
    if (r != 0 || filtered)
        return r != 0 ? r : make_filter(allow, ret_sandbox);
    *ret_sandbox = calloc(1, sizeof **ret_sandbox);
    return *ret_sandbox == NULL ? -ENOMEM : 0;
}

void sandbox_free(struct sandbox *sandbox)
{
    free(sandbox);
}

int sandbox_close(const struct sandbox *sandbox)
{
    int r = 0;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        r = -errno;
    if (r == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        r = -errno;
    if (r == 0)
        r = limit(RLIMIT_CORE);
    if (r == 0)
        r = limit_file_size();
    if (r == 0)
        r = limit(RLIMIT_NPROC);
    return r == 0 ? load_filter(sandbox) : r;
}

int sandbox_enter_with(unsigned allow)
{
    struct sandbox *sandbox = NULL;
    int r = sandbox_make(allow, &sandbox);
    if (r == 0)
        r = sandbox_close(sandbox);
    sandbox_free(sandbox);
    return r;
}

int sandbox_enter(void)
{
    return sandbox_enter_with(0);
}
