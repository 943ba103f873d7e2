/* Waiting for descriptors, on Windows: by select(), which tells of a connection that cannot be made (WSAPoll does not
 * before Windows 10 2004) and does not wake those for whom the other side's end of writing is no news. */
#include "base/io.h"

#include "base/win.h"
#include <errno.h>
#include <stdlib.h>

#define PLAIN_MAX 64
#define RESET_MS 1000 /* how often it is looked whether a connection that is not read was reset */

/* As fd_set, which is made for 64. */
struct set {
    u_int n;
    SOCKET sockets[];
};

/* One waiting. */
struct waiting {
    struct pollfd *fds;
    size_t n;
    struct set *sets[3]; /* to read, to write, failed */
    bool deaf;           /* one does not read, and waits for its reset alone */
};

static fd_set *as_fd_set(struct set *set)
{
    return set->n > 0 ? (fd_set *)(void *)set : NULL;
}

static void add(struct set *set, SOCKET s)
{
    set->sockets[set->n++] = s;
}

static void fill(struct waiting *w)
{
    w->deaf = false;
    for (size_t k = 0; k < 3; k++)
        w->sets[k]->n = 0;
    for (size_t i = 0; i < w->n; i++) {
        struct pollfd *p = &w->fds[i];
        SOCKET s = p->fd;
        p->revents = 0;
        if ((int)s < 0)
            continue;
        if ((p->events & POLLIN) != 0)
            add(w->sets[0], s);
        else
            w->deaf = true;
        if ((p->events & POLLOUT) != 0) {
            add(w->sets[1], s);
            add(w->sets[2], s);
        }
    }
}

static bool has(const struct set *set, SOCKET s)
{
    for (u_int i = 0; i < set->n; i++) {
        if (set->sockets[i] == s)
            return true;
    }
    return false;
}

/* Urgent data is told in the set of the failed too; SO_ERROR stays for who began the connection. */
static bool has_failed(SOCKET s)
{
    struct sockaddr_storage peer;
    int size = sizeof peer;
    return getpeername(s, (struct sockaddr *)&peer, &size) != 0;
}

/* That the other side writes no more is no news for who does not read. */
static bool was_reset(SOCKET s)
{
    WSAPOLLFD one = {.fd = s};
    char unused;
    if (WSAPoll(&one, 1, 0) <= 0)
        return false;
    if ((one.revents & POLLERR) != 0)
        return true;
    return (one.revents & POLLHUP) != 0 && recv(s, &unused, 1, MSG_PEEK) == SOCKET_ERROR &&
           WSAGetLastError() == WSAECONNRESET;
}

static int gather(struct waiting *w)
{
    int ready = 0;
    for (size_t i = 0; i < w->n; i++) {
        struct pollfd *p = &w->fds[i];
        SOCKET s = p->fd;
        if ((int)s < 0)
            continue;
        if ((p->events & POLLIN) != 0 && has(w->sets[0], s))
            p->revents |= POLLIN & p->events;
        if ((p->events & POLLOUT) != 0 && has(w->sets[1], s))
            p->revents |= POLLOUT & p->events;
        if ((p->events & POLLOUT) != 0 && has(w->sets[2], s) && has_failed(s))
            p->revents |= (POLLOUT & p->events) | POLLERR | POLLHUP;
        if (w->deaf && (p->events & POLLIN) == 0 && p->revents == 0 && was_reset(s))
            p->revents |= POLLERR | POLLHUP;
        ready += p->revents != 0;
    }
    return ready;
}

/* At most time_ms; -1: for ever. Returns how many are ready or a negative errno value. */
static int wait_once(struct waiting *w, int time_ms)
{
    struct timeval time = {.tv_sec = time_ms / 1000, .tv_usec = time_ms % 1000 * 1000};
    if (w->sets[0]->n == 0 && w->sets[1]->n == 0) {
        Sleep(time_ms < 0 ? INFINITE : (DWORD)time_ms);
    } else {
        int r = select(0, as_fd_set(w->sets[0]), as_fd_set(w->sets[1]), as_fd_set(w->sets[2]),
                       time_ms < 0 ? NULL : &time);
        if (r == SOCKET_ERROR)
            return win_errno((DWORD)WSAGetLastError());
        if (r == 0)
            w->sets[0]->n = w->sets[1]->n = w->sets[2]->n = 0;
    }
    return gather(w);
}

static int wait(struct waiting *w, int timeout_ms)
{
    ULONGLONG begun = GetTickCount64(), passed = 0;
    for (;;) {
        int left = timeout_ms < 0 ? -1 : timeout_ms - (int)passed;
        fill(w);
        int ready = wait_once(w, w->deaf && (left < 0 || left > RESET_MS) ? RESET_MS : left);
        passed = GetTickCount64() - begun;
        if (ready != 0 || (timeout_ms >= 0 && passed >= (ULONGLONG)timeout_ms))
            return ready;
    }
}

int io_poll(struct pollfd *fds, size_t n, int timeout_ms)
{
    struct {
        u_int n;
        SOCKET sockets[PLAIN_MAX];
    } plain[3];
    struct waiting w = {.fds = fds, .n = n};
    void *heap = NULL;
    if (n > PLAIN_MAX) {
        size_t size = sizeof(struct set) + n * sizeof(SOCKET);
        heap = malloc(3 * size);
        if (heap == NULL)
            return -ENOMEM;
        for (size_t k = 0; k < 3; k++)
            w.sets[k] = (struct set *)(void *)((char *)heap + k * size);
    } else {
        for (size_t k = 0; k < 3; k++)
            w.sets[k] = (struct set *)(void *)&plain[k];
    }
    int ready = wait(&w, timeout_ms);
    free(heap);
    return ready;
}
