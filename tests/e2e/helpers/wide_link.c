/* A link with distance: joins a TUN device in one network namespace with one in another, and carries what goes from
 * one to the other with a delay, at a rate, through a queue of bounded length, and loses some of it at random.
 *
 * A packet that enters first waits until the line is free (rate; what does not fit the queue is dropped, the newest
 * first), takes its time to be sent, is perhaps lost, travels for as long as the delay says, and comes out; order is
 * kept. Each direction has a line, a queue, and random numbers of its own. Memory is bounded, and set aside at the
 * start. Nothing spins: packets are awaited with epoll, moments with a timerfd. Needs root; knows nothing of what it
 * carries. For tests and measurements. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/if_tun.h>
#include <math.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NS 1000000000ull
#define EARLY_NS 20000u /* what is due so soon goes out at once: less than a timer is exact */
#define BATCH 64        /* packets of one direction before the other one has its turn */
#define TXQUEUE 10000   /* packets that the kernel keeps while this program has no core to run on */
#define MTU_MAX 9000
#define MEMORY_MAX 1024

struct settings {
    double delay_ms, loss_percent, rate_mbit, queue_kib, memory_mib;
    double mtu;
    uint64_t seed;
    bool has_seed;
    const char *ends[2];
};

/* One packet on its way, in the ring; its bytes follow. */
struct packet {
    uint64_t due;  /* ns, monotonic */
    uint32_t n;    /* bytes; 0: nothing more up to the end of the ring */
    uint32_t size; /* of the whole record */
};

struct line {
    const char *name;
    int from, to, timer;
    uint64_t delay_ns, queue_bytes, loss; /* loss: of 2^64 */
    bool loses_all;
    double ns_per_byte; /* 0: no limit */
    double free_at;     /* when the line has sent everything that it took; ns, monotonic */
    uint64_t seed, random, armed;
    uint8_t *ring;
    size_t size, head, tail;
    bool wrapped; /* the tail is behind the head only in the next round */
    /* counted */
    uint64_t carried, bytes, lost, over_queue, over_memory, refused, latest_ns;
};

__attribute__((format(printf, 2, 3), noreturn)) static void die(int code, const char *fmt, ...)
{
    va_list args;

    fputs("wide_link: ", stderr);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    exit(code);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec;
}

/* splitmix64: every seed is good, also 0. */
static uint64_t line_random(struct line *l)
{
    uint64_t z = l->random += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* --- the packets under way: a ring of records --- */

static bool line_empty(const struct line *l)
{
    return l->head == l->tail && !l->wrapped;
}

/* Room for a record of that size, or NULL when the ring is full. */
static struct packet *line_room(struct line *l, size_t size)
{
    if (line_empty(l))
        l->head = l->tail = 0;
    if (!l->wrapped && l->size - l->tail < size) {
        if (l->head < size)
            return NULL;
        if (l->size - l->tail >= sizeof(struct packet))
            ((struct packet *)(void *)(l->ring + l->tail))->n = 0;
        l->tail = 0;
        l->wrapped = true;
    }
    if (l->wrapped && l->head - l->tail < size)
        return NULL;
    return (struct packet *)(void *)(l->ring + l->tail);
}

static void line_put(struct line *l, const void *data, size_t n, uint64_t due)
{
    size_t size = (sizeof(struct packet) + n + 15) & ~(size_t)15;
    struct packet *p = line_room(l, size);

    if (!p) {
        l->over_memory++;
        return;
    }
    *p = (struct packet){due, (uint32_t)n, (uint32_t)size};
    memcpy(p + 1, data, n);
    l->tail += size;
}

static struct packet *line_first(struct line *l)
{
    struct packet *p = (struct packet *)(void *)(l->ring + l->head);

    if (line_empty(l))
        return NULL;
    if (l->wrapped && (l->size - l->head < sizeof *p || p->n == 0)) {
        l->head = 0;
        l->wrapped = false;
        return line_first(l);
    }
    return p;
}

/* --- the line --- */

static void line_take(struct line *l, const void *data, size_t n)
{
    uint64_t now = now_ns();
    double begin = l->free_at > (double)now ? l->free_at : (double)now;

    if (l->ns_per_byte > 0) {
        if ((begin - (double)now) / l->ns_per_byte + (double)n > (double)l->queue_bytes) {
            l->over_queue++;
            return;
        }
        l->free_at = begin + (double)n * l->ns_per_byte;
        begin = l->free_at;
    }
    if (l->loses_all || (l->loss > 0 && line_random(l) < l->loss)) {
        l->lost++;
        return;
    }
    line_put(l, data, n, (uint64_t)begin + l->delay_ns);
}

/* Returns false when the device is gone. */
static bool line_read(struct line *l)
{
    uint8_t data[MTU_MAX];

    for (int i = 0; i < BATCH; i++) {
        ssize_t n = read(l->from, data, sizeof data);
        if (n > 0)
            line_take(l, data, (size_t)n);
        else if (n < 0 && errno == EINTR)
            continue;
        else
            return n < 0 && errno == EAGAIN;
    }
    return true;
}

static void line_deliver(struct line *l)
{
    struct itimerspec at = {0};
    struct packet *p;

    while ((p = line_first(l)) != NULL) {
        uint64_t now = now_ns();
        if (p->due > now + EARLY_NS)
            break;
        if (now > p->due && now - p->due > l->latest_ns)
            l->latest_ns = now - p->due;
        if (write(l->to, p + 1, p->n) == (ssize_t)p->n) {
            l->carried++;
            l->bytes += p->n;
        } else {
            l->refused++; /* the interface is down, or what was sent is no packet */
        }
        l->head += p->size;
    }
    if (p == NULL || p->due == l->armed)
        return;
    l->armed = p->due;
    at.it_value.tv_sec = (time_t)(p->due / NS);
    at.it_value.tv_nsec = (long)(p->due % NS);
    if (timerfd_settime(l->timer, TFD_TIMER_ABSTIME, &at, NULL) < 0)
        die(1, "no timer: %s", strerror(errno));
}

static void line_show(const struct line *l)
{
    printf("%s: carried %" PRIu64 " packets, %" PRIu64 " bytes; lost %" PRIu64 ", over the queue %" PRIu64
           ", over the memory %" PRIu64 ", refused %" PRIu64 "; at most %.3f ms late\n",
           l->name, l->carried, l->bytes, l->lost, l->over_queue, l->over_memory, l->refused,
           (double)l->latest_ns / 1e6);
}

static void line_init(struct line *l, const char *name, const struct settings *s, unsigned which)
{
    double loss = s->loss_percent / 100;

    l->name = name;
    l->delay_ns = (uint64_t)(s->delay_ms * 1e6);
    l->ns_per_byte = s->rate_mbit > 0 ? 8000 / s->rate_mbit : 0;
    l->queue_bytes = (uint64_t)(s->queue_kib * 1024);
    l->loses_all = loss >= 1;
    l->loss = l->loses_all ? 0 : (uint64_t)ldexp(loss, 64);
    l->random = l->seed = s->seed ^ (which ? 0x6a09e667f3bcc908u : 0);
    l->size = (size_t)(s->memory_mib * (1 << 20)) & ~(size_t)15;
    l->ring = malloc(l->size);
    l->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (!l->ring || l->timer < 0)
        die(1, "no memory or timer for a line: %s", strerror(errno));
}

/* --- devices --- */

static void device_set(int s, struct ifreq *of, unsigned long what, const char *words)
{
    if (ioctl(s, what, of) < 0)
        die(1, "%s: %s: %s", of->ifr_name, words, strerror(errno));
}

/* Makes the device that "NAMESPACE:DEVICE" names, up, and returns its descriptor. Leaves the caller in that namespace.
 */
static int device_open(const char *end, int mtu)
{
    const char *colon = strrchr(end, ':');
    struct ifreq r = {0};
    char path[4096];
    int fd, n = (int)(colon ? colon - end : 0);

    if (n == 0 || colon[1] == '\0' || strlen(colon + 1) >= sizeof r.ifr_name)
        die(2, "'%s' is not NAMESPACE:DEVICE", end);
    if (snprintf(path, sizeof path, "%s%.*s", memchr(end, '/', (size_t)n) ? "" : "/run/netns/", n, end) >=
        (int)sizeof path)
        die(2, "the name of the namespace is too long");
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        die(1, "there is no network namespace %s: %s; make it with 'ip netns add'", path, strerror(errno));
    if (setns(fd, CLONE_NEWNET) < 0)
        die(1, "cannot enter %s: %s%s", path, strerror(errno), errno == EPERM ? "; this needs root" : "");
    close(fd);
    fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        die(1, "/dev/net/tun: %s; this kernel or container has no TUN devices", strerror(errno));
    memcpy(r.ifr_name, colon + 1, strlen(colon + 1));
    r.ifr_flags = IFF_TUN | IFF_NO_PI;
    device_set(fd, &r, TUNSETIFF, "no such TUN device to be had");
    n = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    r.ifr_mtu = mtu;
    device_set(n, &r, SIOCSIFMTU, "cannot set the MTU");
    r.ifr_qlen = TXQUEUE;
    device_set(n, &r, SIOCSIFTXQLEN, "cannot set the length of the queue");
    device_set(n, &r, SIOCGIFFLAGS, "cannot read its flags");
    r.ifr_flags |= IFF_UP;
    device_set(n, &r, SIOCSIFFLAGS, "cannot bring it up");
    close(n);
    return fd;
}

/* --- the program --- */

static void help(void)
{
    fputs(
        "usage: wide_link [OPTION]... NAMESPACE:DEVICE NAMESPACE:DEVICE\n"
        "Makes a TUN device in each of two network namespaces and joins them by a link with distance.\n"
        "NAMESPACE is a name of 'ip netns', or a path. The devices are up, and have no address yet.\n"
        "Everything holds for each direction by itself.\n\n"
        "  --delay MS      how long a packet travels, 0 to 10000; half the round trip (default 0)\n"
        "  --loss PERCENT  how many packets are lost, at random, 0 to 100 (default 0)\n"
        "  --rate MBIT     how much passes in a second, up to 100000 (default 0: no limit)\n"
        "  --queue KIB     how much may wait where there is a rate (default: what passes in 100 ms,\n"
        "                  at least 64)\n"
        "  --memory MIB    for what is under way, 1 to 1024; what is more is lost (default: enough for\n"
        "                  the rate; 32 without)\n"
        "  --mtu BYTES     of the devices, 576 to 9000 (default 1500)\n"
        "  --seed NUMBER   of the random numbers (default: a fresh one; it is printed)\n"
        "  --help          this\n\n"
        "Says 'ready' with its settings when the devices are there. SIGUSR1: says what it carried and lost "
        "so\n"
        "far. SIGUSR2: its random numbers begin anew, so that what comes now meets the losses that met what\n"
        "came first; says 'again'. SIGTERM, SIGINT: says what it carried and ends (status 0). It also ends "
        "when\n"
        "a device goes away (status 1). Bad usage: status 2.\n",
        stdout);
}

static double number(const char *name, const char *text, double min, double max)
{
    char *end;
    double value;

    errno = 0;
    value = strtod(text, &end);
    if (end == text || *end != '\0' || errno != 0 || !(value >= min && value <= max))
        die(2, "--%s: '%s' is not a number from %g to %g", name, text, min, max);
    return value;
}

static uint64_t seed_number(const char *text)
{
    char *end;
    uint64_t value;

    errno = 0;
    value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0)
        die(2, "--seed: '%s' is not a number from 0 to 2^64-1", text);
    return value;
}

static void finish_settings(struct settings *s)
{
    double under_way = s->rate_mbit * 125000 * s->delay_ms / 1000, needed;

    if (s->queue_kib < 0)
        s->queue_kib = fmax(64, s->rate_mbit * 125000 / 10 / 1024);
    if (s->rate_mbit > 0 && s->queue_kib * 1024 < s->mtu)
        die(2, "--queue: %g KiB do not hold one packet of %g bytes", s->queue_kib, s->mtu);
    needed = fmax(1, ceil((under_way + s->queue_kib * 1024) * 1.25 / (1 << 20)));
    if (s->memory_mib < 0)
        s->memory_mib = s->rate_mbit > 0 ? needed : 32;
    if (s->memory_mib > MEMORY_MAX || (s->rate_mbit > 0 && needed > s->memory_mib))
        die(2, "--memory: %g MiB are needed for what is under way at that rate, delay and queue%s", needed,
            needed > MEMORY_MAX ? ", and that is too much" : "");
    if (!s->has_seed && getrandom(&s->seed, sizeof s->seed, 0) != (ssize_t)sizeof s->seed)
        die(1, "no random seed: %s", strerror(errno));
}

static void parse(int argc, char **argv, struct settings *s)
{
    static const struct option options[] = {
        {"delay", required_argument, NULL, 'd'},
        {"loss", required_argument, NULL, 'l'},
        {"rate", required_argument, NULL, 'r'},
        {"queue", required_argument, NULL, 'q'},
        {"memory", required_argument, NULL, 'm'},
        {"mtu", required_argument, NULL, 'u'},
        {"seed", required_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int c;

    *s = (struct settings){.queue_kib = -1, .memory_mib = -1, .mtu = 1500};
    while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (c) {
        case 'd':
            s->delay_ms = number("delay", optarg, 0, 10000);
            break;
        case 'l':
            s->loss_percent = number("loss", optarg, 0, 100);
            break;
        case 'r':
            s->rate_mbit = number("rate", optarg, 0, 100000);
            break;
        case 'q':
            s->queue_kib = number("queue", optarg, 0, 1 << 20);
            break;
        case 'm':
            s->memory_mib = number("memory", optarg, 1, MEMORY_MAX);
            break;
        case 'u':
            s->mtu = floor(number("mtu", optarg, 576, MTU_MAX));
            break;
        case 's':
            s->seed = seed_number(optarg), s->has_seed = true;
            break;
        case 'h':
            help();
            exit(0);
        default:
            die(2, "see --help");
        }
    }
    if (argc - optind != 2)
        die(2, "two ends are needed, each NAMESPACE:DEVICE; see --help");
    s->ends[0] = argv[optind];
    s->ends[1] = argv[optind + 1];
    finish_settings(s);
}

static void watch(int epoll, int fd, uint32_t what)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = what};

    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        die(1, "epoll: %s", strerror(errno));
}

static int signals_open(void)
{
    sigset_t set;
    int fd;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        die(1, "signalfd: %s", strerror(errno));
    return fd;
}

/* What an event is about: a line (0, 1) and whether its timer is meant, or the signals. */
enum { EVENT_READ = 0, EVENT_TIMER = 2, EVENT_SIGNAL = 4 };

/* Returns false when it is to end. */
static bool signalled(struct line lines[2], const struct signalfd_siginfo *signal)
{
    if (signal->ssi_signo == SIGUSR2) {
        for (int i = 0; i < 2; i++)
            lines[i].random = lines[i].seed + (uint32_t)signal->ssi_int;
        puts("again");
        return true;
    }
    line_show(&lines[0]);
    line_show(&lines[1]);
    return signal->ssi_signo == SIGUSR1;
}

/* Until a signal ends it (0) or a device is gone (1). */
static int run(struct line lines[2], int epoll, int signals)
{
    struct epoll_event events[8];
    struct signalfd_siginfo signal;
    uint64_t fired;

    for (;;) {
        int n = epoll_wait(epoll, events, 8, -1);
        for (int i = 0; i < n; i++) {
            uint32_t what = events[i].data.u32;
            struct line *l = &lines[what & 1];
            if (what == EVENT_SIGNAL) {
                if (read(signals, &signal, sizeof signal) == (ssize_t)sizeof signal &&
                    !signalled(lines, &signal))
                    return 0;
            } else if (what >= EVENT_TIMER) {
                (void)!read(l->timer, &fired, sizeof fired);
                l->armed = 0;
            } else if (!line_read(l)) {
                fprintf(stderr, "wide_link: the device of line %s is gone\n", l->name);
                return 1;
            }
        }
        line_deliver(&lines[0]);
        line_deliver(&lines[1]);
    }
}

int main(int argc, char **argv)
{
    struct line lines[2] = {{0}, {0}};
    struct settings s;
    int signals, epoll, status;

    setvbuf(stdout, NULL, _IOLBF, 0);
    parse(argc, argv, &s);
    signals = signals_open();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    line_init(&lines[0], "a>b", &s, 0);
    line_init(&lines[1], "b>a", &s, 1);
    lines[0].from = lines[1].to = device_open(s.ends[0], (int)s.mtu);
    lines[1].from = lines[0].to = device_open(s.ends[1], (int)s.mtu);
    watch(epoll, signals, EVENT_SIGNAL);
    for (uint32_t i = 0; i < 2; i++) {
        watch(epoll, lines[i].from, EVENT_READ + i);
        watch(epoll, lines[i].timer, EVENT_TIMER + i);
    }
    printf("ready: delay %g ms, loss %g %%, rate %g Mbit/s, queue %.0f KiB, seed %" PRIu64 "\n", s.delay_ms,
           s.loss_percent, s.rate_mbit, s.rate_mbit > 0 ? s.queue_kib : 0, s.seed);
    status = run(lines, epoll, signals);
    free(lines[0].ring);
    free(lines[1].ring);
    return status;
}
