/* Time as text. The clocks themselves are in the sibling files. */
#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SECOND_MS UINT64_C(1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)
#define LONGEST_MS (3653 * DAY_MS)
#define DAY_S 86400
#define FIRST_YEAR 1970
#define LAST_YEAR 9999

int64_t clock_wall_s(void)
{
    return clock_wall_ms() / 1000;
}

int clock_parse_duration(const char *text, uint64_t *ret_ms)
{
    static const struct {
        const char *suffix;
        uint64_t ms;
    } units[] = {{"", SECOND_MS},  {"s", SECOND_MS}, {"ms", 1},
                 {"m", MINUTE_MS}, {"h", HOUR_MS},   {"d", DAY_MS}};
    const char *p = text;
    uint64_t n = 0;
    bool huge = false;

    for (; *p >= '0' && *p <= '9'; p++) {
        n = n * 10 + (uint64_t)(*p - '0');
        if (n > LONGEST_MS) {
            n = LONGEST_MS + 1;
            huge = true;
        }
    }
    if (p == text)
        return -EINVAL;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(p, units[i].suffix) != 0)
            continue;
        if (huge || n > LONGEST_MS / units[i].ms)
            return -ERANGE;
        *ret_ms = n * units[i].ms;
        return 0;
    }
    return -EINVAL;
}

void clock_format_ago(uint64_t ms, char *out, size_t size)
{
    if (ms >= DAY_MS) {
        uint64_t days = ms / DAY_MS;
        snprintf(out, size, "%" PRIu64 " day%s", days, days == 1 ? "" : "s");
    } else if (ms >= HOUR_MS) {
        snprintf(out, size, "%" PRIu64 " h", ms / HOUR_MS);
    } else if (ms >= MINUTE_MS) {
        snprintf(out, size, "%" PRIu64 " min", ms / MINUTE_MS);
    } else {
        snprintf(out, size, "%" PRIu64 " s", ms / SECOND_MS);
    }
}

static bool leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && leap(year) ? 1 : 0);
}

/* Days from 1970-01-01 to the first of January. C17 has no timegm, and gmtime may read files, which a
 * sandboxed process cannot. */
static int64_t days_before_year(int year)
{
    int64_t y = year - 1;
    return 365 * ((int64_t)year - FIRST_YEAR) + (y / 4 - y / 100 + y / 400) -
           (1969 / 4 - 1969 / 100 + 1969 / 400);
}

static int64_t utc_seconds(const struct tm *tm)
{
    int year = tm->tm_year + 1900;
    int64_t days = days_before_year(year) + tm->tm_mday - 1;
    for (int month = 1; month <= tm->tm_mon; month++)
        days += days_in_month(year, month);
    return days * DAY_S + tm->tm_hour * 3600 + tm->tm_min * 60 + tm->tm_sec;
}

void clock_format_utc(int64_t wall_s, char *out, size_t size)
{
    if (wall_s < 0)
        wall_s = 0;
    if (wall_s >= days_before_year(LAST_YEAR + 1) * DAY_S)
        wall_s = days_before_year(LAST_YEAR + 1) * DAY_S - 1;
    int64_t day = wall_s / DAY_S;
    int rest = (int)(wall_s % DAY_S);
    int year = FIRST_YEAR + (int)(day / 366); /* never too late, and a few years early at most */
    while (days_before_year(year + 1) <= day)
        year++;
    int in_year = (int)(day - days_before_year(year));
    int month = 1;
    while (in_year >= days_in_month(year, month))
        in_year -= days_in_month(year, month++);
    snprintf(out, size, "%04d-%02d-%02dT%02d:%02d:%02dZ", year, month, in_year + 1, rest / 3600,
             rest / 60 % 60, rest % 60);
}

static int two_digits(const char *p)
{
    return (p[0] - '0') * 10 + (p[1] - '0');
}

int clock_parse_expiry(const char *text, int64_t *ret_wall_s)
{
    size_t n = strspn(text, "0123456789");
    bool utc = text[n] == 'Z' || text[n] == 'z';
    if ((n != 8 && n != 12 && n != 14) || text[n + (utc ? 1 : 0)] != '\0')
        return -EINVAL;

    int year = two_digits(text) * 100 + two_digits(text + 2);
    struct tm tm = {
        .tm_year = year - 1900, .tm_mon = two_digits(text + 4) - 1, .tm_mday = two_digits(text + 6)};
    if (n >= 12) {
        tm.tm_hour = two_digits(text + 8);
        tm.tm_min = two_digits(text + 10);
    }
    if (n == 14)
        tm.tm_sec = two_digits(text + 12);
    if (year < FIRST_YEAR || tm.tm_mon < 0 || tm.tm_mon > 11 || tm.tm_mday < 1 ||
        tm.tm_mday > days_in_month(year, tm.tm_mon + 1) || tm.tm_hour > 23 || tm.tm_min > 59 ||
        tm.tm_sec > 59)
        return -EINVAL;
    if (utc) {
        *ret_wall_s = utc_seconds(&tm);
        return 0;
    }
    tm.tm_isdst = -1;
    time_t local = mktime(&tm);
    if (local == (time_t)-1)
        return -EINVAL;
    *ret_wall_s = (int64_t)local;
    return 0;
}
