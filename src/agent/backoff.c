/* Waiting times with jitter. */
#include "agent/backoff.h"

#define WANTED_MAX_MS (60u * 60u * 1000u)

void backoff_reset(struct backoff *b)
{
    b->step = 0;
}

void backoff_had(struct backoff *b)
{
    if (b->step > 1)
        b->step = 1;
}

uint32_t backoff_next(struct backoff *b, uint32_t random)
{
    uint32_t top = 2 * BACKOFF_MIN_MS;
    for (unsigned i = 0; i < b->step && top < BACKOFF_MAX_MS; i++)
        top *= 2;
    if (top > BACKOFF_MAX_MS)
        top = BACKOFF_MAX_MS;
    else
        b->step++;
    return top / 2 + random % (top / 2 + 1);
}

uint32_t backoff_wanted(uint64_t wanted_ms, uint32_t random)
{
    uint32_t base = wanted_ms > WANTED_MAX_MS ? WANTED_MAX_MS : (uint32_t)wanted_ms;
    if (base < BACKOFF_MIN_MS / 4)
        base = BACKOFF_MIN_MS / 4;
    return base + random % (base / 4 + 1);
}
