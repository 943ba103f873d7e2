/* Loaded into multiSSH's programs (LD_PRELOAD) to count what they do; kit/counts.py builds and reads it. In the folder that COUNTS_FOLDER
 * names, each process has a file, named by its number, that shows its counters while it runs.
 *
 * Built with COUNTS_VALGRIND it is for a process under callgrind: SIGUSR2 writes what was counted since the last time into the next
 * file; and no system call filter is loaded, for it would stop valgrind's own calls.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#ifdef COUNTS_VALGRIND
#include <seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <valgrind/callgrind.h>
#endif

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *p);

struct counters {
    _Atomic uint64_t allocations; /* that gave out memory; a realloc is one */
    _Atomic int64_t live;         /* bytes, as the allocator rounds them up */
    _Atomic uint64_t copied;      /* bytes, by memcpy and memmove */
};

static struct counters nowhere, *counters = &nowhere;

/* A process that was forked has counters of its own, from nothing. However that was done: this page is empty in it. */
static volatile bool *opened;

static void open_counters(void)
{
    const char *folder = getenv("COUNTS_FOLDER");
    char path[4096];
    void *page = MAP_FAILED;
    int fd = -1;

    counters = &nowhere;
    if (opened != NULL)
        *opened = true;
    if (folder == NULL)
        return;
    (void)snprintf(path, sizeof path, "%s/%d", folder, (int)getpid());
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    if (ftruncate(fd, sizeof *counters) == 0)
        page = mmap(NULL, sizeof *counters, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (page != MAP_FAILED)
        counters = page;
}

static struct counters *mine(void)
{
    if (opened != NULL && !*opened)
        open_counters();
    return counters;
}

static void *took(void *p)
{
    if (p != NULL) {
        atomic_fetch_add_explicit(&mine()->allocations, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&mine()->live, (int64_t)malloc_usable_size(p), memory_order_relaxed);
    }
    return p;
}

static void gives(void *p)
{
    if (p != NULL)
        atomic_fetch_sub_explicit(&mine()->live, (int64_t)malloc_usable_size(p), memory_order_relaxed);
}

void *malloc(size_t size)
{
    return took(__libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
    return took(__libc_calloc(count, size));
}

void *realloc(void *p, size_t size)
{
    int64_t before = p != NULL ? (int64_t)malloc_usable_size(p) : 0;
    void *q = __libc_realloc(p, size);

    if (q != NULL || size == 0)
        atomic_fetch_sub_explicit(&mine()->live, before, memory_order_relaxed);
    return took(q);
}

void *memalign(size_t alignment, size_t size)
{
    return took(__libc_memalign(alignment, size));
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return took(__libc_memalign(alignment, size));
}

int posix_memalign(void **ret_p, size_t alignment, size_t size)
{
    void *p = took(__libc_memalign(alignment, size));

    if (p == NULL)
        return ENOMEM;
    *ret_p = p;
    return 0;
}

void free(void *p)
{
    gives(p);
    __libc_free(p);
}

typedef void *copy_fn(void *to, const void *from, size_t size);

static void *copy_plainly(void *to, const void *from, size_t size)
{
    const volatile unsigned char *f = from;
    volatile unsigned char *t = to;

    if (t < f)
        for (size_t i = 0; i < size; i++)
            t[i] = f[i];
    else
        for (size_t i = size; i > 0; i--)
            t[i - 1] = f[i - 1];
    return to;
}

/* The C library's, once it is known. */
static copy_fn *real_memmove = copy_plainly;

static void *copy(void *to, const void *from, size_t size)
{
    atomic_fetch_add_explicit(&mine()->copied, size, memory_order_relaxed);
    return real_memmove(to, from, size);
}

void *memcpy(void *to, const void *from, size_t size)
{
    return copy(to, from, size);
}

void *memmove(void *to, const void *from, size_t size)
{
    return copy(to, from, size);
}

/* The same where the compiler knew how much room there is. */
void *__memcpy_chk(void *to, const void *from, size_t size, size_t room);
void *__memcpy_chk(void *to, const void *from, size_t size, size_t room)
{
    if (size > room)
        abort();
    return copy(to, from, size);
}

void *__memmove_chk(void *to, const void *from, size_t size, size_t room);
void *__memmove_chk(void *to, const void *from, size_t size, size_t room)
{
    return __memcpy_chk(to, from, size, room);
}

#ifdef COUNTS_VALGRIND
static void dump(int number)
{
    (void)number;
    CALLGRIND_DUMP_STATS;
}

static void begin_valgrind(void)
{
    struct sigaction action = {.sa_handler = dump, .sa_flags = SA_RESTART};

    (void)sigaction(SIGUSR2, &action, NULL);
}

/* To the kernel that link is valgrind; readlink(2) is valgrind's own, and says what it runs. */
int execvp(const char *file, char *const argv[])
{
    static const char self[] = "/proc/self/exe";
    char path[4096] = "";

    if (strcmp(file, self) == 0 && readlink(self, path, sizeof path - 1) > 0)
        file = path;
    return execvpe(file, argv, environ);
}

/* The program believes that it has its filter, whichever way it takes. */
long syscall(long number, ...)
{
    long (*real)(long, ...) = NULL;
    long a[6];
    void *found = dlsym(RTLD_NEXT, "syscall");
    va_list words;

    va_start(words, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(words, long);
    va_end(words);
    memcpy(&real, &found, sizeof real);
    return number == SYS_seccomp ? 0 : real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

scmp_filter_ctx seccomp_init(uint32_t action)
{
    (void)action;
    return &nowhere;
}

int seccomp_attr_set(scmp_filter_ctx ctx, enum scmp_filter_attr attribute, uint32_t value)
{
    (void)ctx, (void)attribute, (void)value;
    return 0;
}

int seccomp_rule_add_array(scmp_filter_ctx ctx, uint32_t action, int call, unsigned count,
                           const struct scmp_arg_cmp *conditions)
{
    (void)ctx, (void)action, (void)call, (void)count, (void)conditions;
    return 0;
}

int seccomp_export_bpf(const scmp_filter_ctx ctx, int fd)
{
    static const uint64_t allow = 0x7fff000000000006; /* one instruction: return SECCOMP_RET_ALLOW */

    (void)ctx;
    return write(fd, &allow, sizeof allow) == sizeof allow ? 0 : -EIO;
}

int seccomp_load(const scmp_filter_ctx ctx)
{
    (void)ctx;
    return 0;
}

void seccomp_release(scmp_filter_ctx ctx)
{
    (void)ctx;
}
#endif

__attribute__((constructor)) static void begin(void)
{
    void *found = dlsym(RTLD_NEXT, "memmove");

    if (found != NULL)
        memcpy(&real_memmove, &found, sizeof found);
    opened = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (opened == MAP_FAILED || madvise((void *)opened, 1, MADV_WIPEONFORK) != 0)
        abort();
    open_counters();
#ifdef COUNTS_VALGRIND
    begin_valgrind();
#endif
}
