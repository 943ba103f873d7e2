/* Time: a monotonic clock for timers (ms) and a wall clock for what people read (s). */
#ifndef MULTISSH_BASE_CLOCK_H
#define MULTISSH_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

uint64_t clock_now_ms(
    void); /* monotonic; keeps counting while the host is suspended where the OS can (CLOCK_BOOTTIME) */
int64_t clock_wall_s(void); /* seconds since 1970, UTC */
int64_t clock_wall_ms(void);

/* "90", "90s", "15m", "1h", "7d", "250ms" → ms. A bare number is in seconds. Returns 0, -EINVAL, or -ERANGE
 * (over 10 years). */
int clock_parse_duration(const char *text, uint64_t *ret_ms);
/* 840000 → "14 min", 3000 → "3 s", 7200000 → "2 h", 172800000 → "2 days": one unit, rounded down, for
 * sentences. */
void clock_format_ago(uint64_t ms, char *out, size_t size);
/* Wall seconds → "2026-11-22T12:46:00Z". */
void clock_format_utc(int64_t wall_s, char *out, size_t size);
/* OpenSSH's expiry-time: YYYYMMDD[Z], YYYYMMDDHHMM[SS][Z]; without Z it is local time. Returns 0 or -EINVAL.
 */
int clock_parse_expiry(const char *text, int64_t *ret_wall_s);

#endif
