/* How long to wait before the next try to reach the hub: 1 s at least, 4 s at most for a while, then growing to 30 s, with jitter, so that
 * a thousand agents do not come back in the same instant. Pure: the caller brings the random number. */
#ifndef MULTISSH_AGENT_BACKOFF_H
#define MULTISSH_AGENT_BACKOFF_H

#include <stdint.h>

#define BACKOFF_MIN_MS 1000u
#define BACKOFF_MAX_MS 30000u

/* Zero-initialise. */
struct backoff {
    unsigned step;
};

/* It worked: the next wait is a short one again. */
void backoff_reset(struct backoff *b);
/* It worked, but not for long: the next wait is 3 s at most. A hub that was restarted a few times in a row has its
 * machines back while its users still wait for them; one that lets in and throws out is not called without a pause. */
void backoff_had(struct backoff *b);
/* The next wait in ms: within the upper half of 2 s, 3 s, four times 4 s, 8 s, 16 s, and then 30 s. */
uint32_t backoff_next(struct backoff *b, uint32_t random);
/* What the hub asked for, so that not everybody does it at once: wanted_ms and up to a quarter more, within
 * [BACKOFF_MIN_MS / 4, 1 h and a quarter]. */
uint32_t backoff_wanted(uint64_t wanted_ms, uint32_t random);

#endif
