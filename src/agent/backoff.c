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
    /* While a hub that is started anew is to be expected, everybody asks within 4 s of its being there. */
    static const uint32_t tops[] = {2000, 3000, 4000, 4000, 4000, 4000, 8000, 16000, BACKOFF_MAX_MS};
    uint32_t top = tops[b->step];
    if (top < BACKOFF_MAX_MS)
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
