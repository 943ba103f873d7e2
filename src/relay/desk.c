/* Owns the hub's channel, and the connection of who wants to be the next hub. Must not believe who comes to the listener
 * before the kernel has said that it runs as the same user, or root; nor give up a hub for one that has not spoken. */
#include "desk.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PROTOCOL 1
#define MESSAGE_MAX 16384
#define FIRST_MS 10000
#define DEAF_MS 1000
#define ORPHAN_DEFAULT_MS 3600000

/* Returns 0 with the message, -EAGAIN, -ECONNRESET (the end), or another negative code. */
static int receive(int fd, cJSON **ret_m)
{
    static char data[MESSAGE_MAX];
    ssize_t n;

    do
        n = recv(fd, data, sizeof data, MSG_DONTWAIT | MSG_TRUNC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EWOULDBLOCK ? -EAGAIN : -errno;
    if (n == 0)
        return -ECONNRESET;
    return json_parse(data, (size_t)n, sizeof data, ret_m);
}

/* One message, or none: a hub that does not read is as good as gone, and nothing here waits for it. */
static void tell(int fd, cJSON *m)
{
    struct buf text;

    buf_init(&text, MESSAGE_MAX);
    if (json_take(m, &text) == 0 && fd >= 0)
        (void)send(fd, buf_data(&text), buf_len(&text), MSG_NOSIGNAL | MSG_DONTWAIT);
    buf_wipe(&text);
}

static void set_orphan(struct desk *d, const cJSON *m)
{
    d->orphan_ms = (uint64_t)json_int_or(m, "orphan_ms", 1000, INT64_C(30) * 86400000, ORPHAN_DEFAULT_MS);
}

int desk_init(struct desk *d, int control, int listener, struct errmsg *err)
{
    struct pollfd p = {.fd = control, .events = POLLIN};
    int rc;

    *d = (struct desk){.hub = control, .listener = listener, .candidate = -1};
    if (listen(listener, 4) < 0) /* so that its process is named to who connects */
        return errmsg_set(err, -errno, "the listening socket: %s", strerror(errno));
    do
        rc = poll(&p, 1, FIRST_MS);
    while (rc < 0 && errno == EINTR);
    rc = rc <= 0 ? -ETIMEDOUT : receive(control, &d->facts);
    if (rc == 0 && strcmp(json_str_or(d->facts, "type", 16, ""), "pair") != 0)
        rc = -EPROTO;
    if (rc < 0)
        return errmsg_set(err, rc, "the hub did not say what to pair: %s", strerror(-rc));
    set_orphan(d, d->facts);
    return 0;
}

void desk_release(struct desk *d)
{
    cJSON_Delete(d->facts);
    if (d->candidate >= 0)
        close(d->candidate);
    d->facts = NULL;
    d->candidate = -1;
}

static void drop_candidate(struct desk *d)
{
    if (d->candidate >= 0)
        close(d->candidate);
    d->candidate = -1;
}

static void drop_hub(struct desk *d)
{
    if (d->hub >= 0)
        close(d->hub);
    d->hub = -1;
    d->alone_since = clock_now_ms();
}

/* Somebody is there; the newest one counts. */
static void take_in(struct desk *d)
{
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t n = sizeof peer;
    int fd = accept4(d->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0) {
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
            d->deaf_until = clock_now_ms() + DEAF_MS;
        return;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0 || (peer.uid != 0 && peer.uid != geteuid())) {
        close(fd);
        return;
    }
    drop_candidate(d);
    d->candidate = fd;
    d->candidate_until = clock_now_ms() + FIRST_MS;
}

static void send_paired(struct desk *d, const struct desk_counts *now)
{
    cJSON *m = cJSON_Duplicate(d->facts, true);
    static const char *const own[] = {"type", "protocol", "to_machine", "from_machine"};

    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        cJSON_DeleteItemFromObjectCaseSensitive(m, own[i]);
    (void)json_add_str(m, "type", "paired");
    (void)json_add_int(m, "protocol", PROTOCOL);
    (void)json_add_str(m, "version", MULTISSH_VERSION);
    (void)json_add_int(m, "to_machine", (int64_t)now->to_machine);
    (void)json_add_int(m, "from_machine", (int64_t)now->from_machine);
    tell(d->hub, m);
}

/* Who came to the listener says what it wants, or leaves. */
static void hear_candidate(struct desk *d, const struct desk_counts *now)
{
    cJSON *m = NULL;
    int rc = receive(d->candidate, &m);

    if (rc == -EAGAIN)
        return;
    if (rc < 0 || strcmp(json_str_or(m, "type", 16, ""), "adopt") != 0) {
        drop_candidate(d);
    } else {
        if (d->hub >= 0)
            close(d->hub);
        d->hub = d->candidate;
        d->candidate = -1;
        d->alone_since = 0;
        set_orphan(d, m);
        send_paired(d, now);
    }
    cJSON_Delete(m);
}

static void hear_hub(struct desk *d)
{
    cJSON *m = NULL;
    int rc = receive(d->hub, &m);

    if (rc == -EAGAIN)
        return;
    if (rc < 0)
        drop_hub(d);
    else if (strcmp(json_str_or(m, "type", 16, ""), "end") == 0)
        d->ordered = true;
    else if (strcmp(json_str_or(m, "type", 16, ""), "unfit") == 0)
        log_warn("the hub cannot take this session up: %s", json_str_or(m, "text", 200, "?"));
    cJSON_Delete(m);
}

void desk_poll(const struct desk *d, struct pollfd *fds)
{
    fds[0] = (struct pollfd){.fd = d->hub, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = clock_now_ms() < d->deaf_until ? -1 : d->listener, .events = POLLIN};
    fds[2] = (struct pollfd){.fd = d->candidate, .events = POLLIN};
}

void desk_turn(struct desk *d, const struct pollfd *fds, const struct desk_counts *now)
{
    if (d->hub >= 0 && fds[0].revents != 0)
        hear_hub(d);
    if (d->candidate >= 0 && fds[2].revents != 0)
        hear_candidate(d, now);
    else if (d->candidate >= 0 && clock_now_ms() >= d->candidate_until)
        drop_candidate(d);
    if (fds[1].revents != 0)
        take_in(d);
}

uint64_t desk_due(const struct desk *d)
{
    uint64_t at = d->alone_since != 0 ? d->alone_since + d->orphan_ms : UINT64_MAX;

    if (d->candidate >= 0 && d->candidate_until < at)
        at = d->candidate_until;
    return clock_now_ms() < d->deaf_until && d->deaf_until < at ? d->deaf_until : at;
}

bool desk_orphaned(const struct desk *d)
{
    return d->alone_since != 0 && clock_now_ms() >= d->alone_since + d->orphan_ms;
}

void desk_ending(struct desk *d, const char *reason)
{
    cJSON *m = json_new("ending");

    (void)json_add_str(m, "reason", reason);
    tell(d->hub, m);
}

void desk_ended(struct desk *d, const char *reason, bool orderly, const struct desk_counts *now)
{
    cJSON *m = json_new("ended");

    (void)json_add_str(m, "reason", reason);
    (void)json_add_bool(m, "orderly", orderly);
    (void)json_add_int(m, "to_machine", (int64_t)now->to_machine);
    (void)json_add_int(m, "from_machine", (int64_t)now->from_machine);
    tell(d->hub, m);
}
