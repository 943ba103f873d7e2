/* The clocks of Windows. */
#include "base/clock.h"

#include <windows.h>

#define TICKS_PER_MS 10000 /* of 100 ns */
#define TICKS_TO_1970 INT64_C(116444736000000000)

/* Counts while the machine sleeps, and does not jump when its time is set. */
uint64_t clock_now_ms(void)
{
    return GetTickCount64();
}

int64_t clock_wall_ms(void)
{
    FILETIME now;
    GetSystemTimePreciseAsFileTime(&now);
    int64_t ticks = (int64_t)now.dwHighDateTime << 32 | now.dwLowDateTime;
    return (ticks - TICKS_TO_1970) / TICKS_PER_MS;
}
