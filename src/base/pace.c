/* Decides when a socket is paced. Must not read it. */
#include "base/pace.h"

#include "base/io.h"

/* A wait that brought less was too long. */
#define WORTH (PACE_WAKE / 4)
#define TRIES_MAX 7 /* 64 MiB until the next one */

static void judge(struct pace *p)
{
    if (p->bulk && p->late && p->turn < WORTH) {
        p->bulk = false;
        p->run = 0;
        p->tries += p->tries < TRIES_MAX ? 1 : 0;
    } else if (p->bulk && !p->late) {
        p->tries = 0;
    } else if (!p->bulk) {
        p->bulk = p->run >= (size_t)PACE_BEGIN << p->tries;
    }
}

void pace_read(struct pace *p, int fd, size_t n, bool more, uint64_t now)
{
    bool wanted;

    p->turn += n;
    p->run += n;
    if (more && p->turn < 4 * PACE_WAKE)
        return;
    judge(p);
    p->turn = 0;
    p->late = false;
    p->until = now + PACE_WAIT_MS;
    wanted = p->bulk || p->follow;
    if (wanted != p->set)
        p->set = io_wake_at(fd, wanted ? PACE_WAKE : 1) == 0 && wanted;
}

void pace_lift(struct pace *p, int fd)
{
    if (!p->set)
        return;
    p->set = false;
    (void)io_wake_at(fd, 1);
}

uint64_t pace_due(const struct pace *p)
{
    return p->set ? p->until : UINT64_MAX;
}

void pace_tick(struct pace *p, int fd, uint64_t now)
{
    if (now < pace_due(p))
        return;
    p->late = true;
    pace_lift(p, fd);
}
