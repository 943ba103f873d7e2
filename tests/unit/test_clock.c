/* Durations, moments and how they are written. */
#include "cmocka_all.h"

#include "base/clock.h"
#include "base/io.h"
#include "portable.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAUSE_MS 50

/* Hours to be added for UTC. The old C library of Windows has the summer time of America alone. */
#ifdef _WIN32
#define ZONE "EST5EDT"
#define ZONE_WINTER 5
#define ZONE_SUMMER 4
#else
#define ZONE "CET-1CEST,M3.5.0,M10.5.0/3"
#define ZONE_WINTER (-1)
#define ZONE_SUMMER (-2)
#endif

static void durations(void **state)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {
        {"0", 0},        {"90", 90000},   {"90s", 90000},
        {"15m", 900000}, {"1h", 3600000}, {"7d", 604800000},
        {"250ms", 250},  {"007s", 7000},  {"3653d", UINT64_C(315619200000)},
        {"0d", 0},
    };
    static const char *const bad[] = {"",   "s",    "-1",    "+1", " 1",   "1 s", "1x",
                                      "1S", "1.5h", "1h30m", "ms", "0x10", "1sm"};
    static const char *const too_long[] = {
        "3654d",     "99999999999999999999", "18446744073709551617", "18446744073709551616d",
        "315619201", "315619200001ms"};
    uint64_t ms;
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        ms = 12345;
        assert_int_equal(clock_parse_duration(good[i].text, &ms), 0);
        assert_int_equal(ms, good[i].ms);
    }
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(clock_parse_duration(bad[i], &ms), -EINVAL);
    for (size_t i = 0; i < COUNT(too_long); i++)
        assert_int_equal(clock_parse_duration(too_long[i], &ms), -ERANGE);
}

static void agos(void **state)
{
    static const struct {
        uint64_t ms;
        const char *text;
    } cases[] = {
        {0, "0 s"},          {3999, "3 s"},    {59999, "59 s"},    {60000, "1 min"},    {840000, "14 min"},
        {3599999, "59 min"}, {7200000, "2 h"}, {86399999, "23 h"}, {86400000, "1 day"}, {172800000, "2 days"},
    };
    char out[32];
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        clock_format_ago(cases[i].ms, out, sizeof out);
        assert_string_equal(out, cases[i].text);
    }
}

static void utc_agrees_with_libc(void **state)
{
    char ours[32], theirs[32];
    (void)state;
    /* Every day for 700 years and odd seconds, among them the ends of leap years. */
    for (int64_t t = 0; t < INT64_C(700) * 366 * 86400; t += 86400 - 1) {
        time_t when = (time_t)t;
        clock_format_utc(t, ours, sizeof ours);
        const struct tm *tm = gmtime(&when);
        assert_non_null(tm);
        strftime(theirs, sizeof theirs, "%Y-%m-%dT%H:%M:%SZ", tm);
        assert_string_equal(ours, theirs);
    }
    clock_format_utc(INT64_C(1795350363), ours, sizeof ours);
    assert_string_equal(ours, "2026-11-22T12:26:03Z");
    clock_format_utc(-5, ours, sizeof ours);
    assert_string_equal(ours, "1970-01-01T00:00:00Z");
    clock_format_utc(INT64_MAX, ours, sizeof ours);
    assert_string_equal(ours, "9999-12-31T23:59:59Z");
}

static void expiry(void **state)
{
    static const struct {
        const char *text;
        int64_t at;
    } good[] = {
        {"19700101Z", 0},
        {"20261122Z", 1795305600},
        {"202611221226Z", 1795350360},
        {"20261122122603z", 1795350363},
        {"20240229Z", 1709164800},
        {"21000301Z", 4107542400},
    };
    static const char *const bad[] = {
        "",
        "Z",
        "2026",
        "2026112",
        "202611221",
        "20261122122",
        "20261322Z",
        "20260229Z",
        "20261100Z",
        "20260431Z",
        "202611222400Z",
        "202611221260Z",
        "20261122122660Z",
        "20261122ZZ",
        "20261122+1",
        " 20261122",
        "2026-11-22",
        "19691231Z",
        "21000229Z",
        "202611221226031",
    };
    int64_t at = 0;
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_int_equal(clock_parse_expiry(good[i].text, &at), 0);
        assert_int_equal(at, good[i].at);
    }
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(clock_parse_expiry(bad[i], &at), -EINVAL);
    /* Without Z in the local zone, summer time included. */
    setenv("TZ", ZONE, 1);
    tzset();
    assert_int_equal(clock_parse_expiry("20261122", &at), 0);
    assert_int_equal(at, 1795305600 + ZONE_WINTER * 3600);
    assert_int_equal(clock_parse_expiry("202607011200", &at), 0);
    assert_int_equal(at, 1782907200 + ZONE_SUMMER * 3600);
}

static void clocks_run(void **state)
{
    (void)state;
    uint64_t before = clock_now_ms();
    assert_int_equal(io_poll(NULL, 0, PAUSE_MS), 0);
    uint64_t passed = clock_now_ms() - before;
    assert_in_range(passed, PAUSE_MS - 16, 5000); /* a tick of the coarsest clock */
    int64_t wall = clock_wall_s();
    assert_in_range(wall, time(NULL) - 1, time(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations), cmocka_unit_test(agos),       cmocka_unit_test(utc_agrees_with_libc),
        cmocka_unit_test(expiry),    cmocka_unit_test(clocks_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
