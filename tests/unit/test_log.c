/* The log: the form of a line, what is escaped, the rate limit, the journal. Lines are read back from the
 * real standard error. */
#include "cmocka_all.h"

#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int saved_stderr = -1;
static int capture_fd = -1;

static int capture_begin(void **state)
{
    (void)state;
    FILE *file = tmpfile();
    if (file == NULL)
        return -1;
    capture_fd = dup(fileno(file));
    fclose(file);
    saved_stderr = dup(STDERR_FILENO);
    log_set_level(LOG_LEVEL_INFO);
    return dup2(capture_fd, STDERR_FILENO) < 0 ? -1 : 0;
}

static int capture_end(void **state)
{
    (void)state;
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    close(capture_fd);
    log_set_sink(NULL, NULL);
    unsetenv("JOURNAL_STREAM");
    return 0;
}

/* What has been logged since the last call. */
static const char *logged(void)
{
    static char text[16384];
    ssize_t n = pread(capture_fd, text, sizeof text - 1, 0);
    assert_true(n >= 0);
    text[n] = '\0';
    assert_int_equal(ftruncate(capture_fd, 0), 0);
    assert_int_equal(lseek(STDERR_FILENO, 0, SEEK_SET), 0);
    return text;
}

static bool matches(const char *text, const char *expression)
{
    regex_t regex;
    assert_int_equal(regcomp(&regex, expression, REG_EXTENDED | REG_NOSUB), 0);
    bool matched = regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    return matched;
}

static void a_line(void **state)
{
    (void)state;
    log_init("prog");
    errno = EPERM;
    log_warn("web%02d is %s", 1, "gone");
    assert_int_equal(errno, EPERM);
    assert_true(matches(logged(), "^20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]\\.[0-9]{"
                                  "3}Z prog WARN web01 is gone\n$"));
    log_error("a");
    log_info("b");
    assert_true(matches(logged(), "^[^\n]* ERROR a\n[^\n]* INFO b\n$"));
}

static void levels_filter(void **state)
{
    enum log_level level = LOG_LEVEL_ERROR;
    (void)state;
    log_debug("hidden");
    assert_string_equal(logged(), "");
    assert_int_equal(log_parse_level("debug", &level), 0);
    log_set_level(level);
    assert_int_equal(log_level(), LOG_LEVEL_DEBUG);
    log_debug("seen");
    assert_non_null(strstr(logged(), "DEBUG seen\n"));
    assert_int_equal(log_parse_level("error", &level), 0);
    log_set_level(level);
    log_warn("hidden");
    log_at(LOG_LEVEL_INFO, "hidden");
    assert_string_equal(logged(), "");
    assert_int_equal(log_parse_level("verbose", &level), -EINVAL);
    assert_int_equal(log_parse_level("", &level), -EINVAL);
}

static void a_peer_cannot_forge_a_line(void **state)
{
    (void)state;
    log_info("name '%s'", "x\n2026-01-01 prog ERROR fake\r\x1b[2J\x7f");
    const char *text = logged();
    assert_non_null(strstr(text, "name 'x\\x0A2026-01-01 prog ERROR fake\\x0D\\x1B[2J\\x7F'\n"));
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
    log_info("%s|%s|%s|%s", "\xff", "\xc3\x28", "\xc2\x9b", "\xe2\x80\xae");
    assert_non_null(strstr(logged(), "INFO \\xFF|\\xC3(|\\xC2\\x9B|\\xE2\\x80\\xAE\n"));
    log_info("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \\n");
    assert_non_null(strstr(logged(), "INFO gr\xc3\xbc\xc3\x9f \xe2\x82\xac \\n\n"));
}

static void a_line_is_cut(void **state)
{
    static const char *const units[] = {"a", "\n", "\xe2\x82\xac", "\xff"};
    char *text = malloc(100001);
    (void)state;
    for (size_t u = 0; u < COUNT(units); u++) {
        size_t len = strlen(units[u]);
        for (size_t i = 0; i + len <= 100000; i += len)
            memcpy(text + i, units[u], len + 1);
        log_info("%s", text);
        const char *line = logged();
        assert_in_range(strlen(line), 1990, 2000);
        assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
        assert_true(matches(line, u == 0   ? "INFO a+\n$"
                                  : u == 1 ? "INFO (\\\\x0A)+\n$"
                                  : u == 2 ? "INFO (\xe2\x82\xac)+\n$"
                                           : "INFO (\\\\xFF)+\n$"));
    }
    free(text);
}

static void journal_prefix_only_for_the_journal(void **state)
{
    char stream[64];
    struct stat st;
    (void)state;
    assert_int_equal(fstat(STDERR_FILENO, &st), 0);
    snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    log_set_level(LOG_LEVEL_DEBUG);
    log_init("prog");
    log_error("e");
    log_warn("w");
    log_info("i");
    log_debug("d");
    assert_string_equal(logged(), "<3>e\n<4>w\n<6>i\n<7>d\n");
    /* Inherited, but standard error has since been sent elsewhere. */
    snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino + 1);
    setenv("JOURNAL_STREAM", stream, 1);
    log_init("prog");
    log_info("i");
    assert_true(matches(logged(), "^20.* prog INFO i\n$"));
    setenv("JOURNAL_STREAM", "rubbish", 1);
    log_init("prog");
    log_info("i");
    assert_true(matches(logged(), "^20.* prog INFO i\n$"));
}

static void rate_limit(void **state)
{
    struct log_limit limit = {.burst = 3, .interval_ms = 10000};
    (void)state;
    for (int i = 0; i < 10; i++)
        log_limited(&limit, LOG_LEVEL_WARN, "line %d", i);
    assert_true(matches(logged(), "^[^\n]*line 0\n[^\n]*line 1\n[^\n]*line 2\n$"));
    limit.window_start -= 10000;
    log_limited(&limit, LOG_LEVEL_WARN, "next");
    log_limited(&limit, LOG_LEVEL_WARN, "not this");
    assert_true(matches(logged(), "^[^\n]*next \\(7 like it were not logged\\)\n$"));
    /* After a long silence the whole burst is back. */
    limit.window_start -= 40000;
    for (int i = 0; i < 5; i++)
        log_limited(&limit, LOG_LEVEL_WARN, "again %d", i);
    assert_true(
        matches(logged(), "^[^\n]*again 0 \\(1 like it were not logged\\)\n[^\n]*again 1\n[^\n]*again 2\n$"));
    /* A level that is not shown uses nothing up. */
    struct log_limit quiet = {.burst = 1, .interval_ms = 10000};
    log_limited(&quiet, LOG_LEVEL_DEBUG, "hidden");
    log_limited(&quiet, LOG_LEVEL_WARN, "shown");
    assert_true(matches(logged(), "^[^\n]*shown\n$"));
}

static void keep(void *arg, enum log_level level, const char *text)
{
    snprintf(arg, 100, "%d:%s", (int)level, text);
    errno = EIO;
}

static void sink(void **state)
{
    char line[100] = "";
    (void)state;
    log_set_sink(keep, line);
    errno = EPERM;
    log_warn("to\tthe sink");
    assert_int_equal(errno, EPERM); /* a caller may log before it returns -errno */
    assert_string_equal(line, "1:to\\x09the sink");
    log_set_sink(NULL, NULL);
    log_warn("here");
    assert_string_equal(line, "1:to\\x09the sink");
    assert_non_null(strstr(logged(), "WARN here\n"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, capture_begin, capture_end)

int main(void)
{
    unsetenv("JOURNAL_STREAM");
    const struct CMUnitTest tests[] = {
        CASE(a_line),
        CASE(levels_filter),
        CASE(a_peer_cannot_forge_a_line),
        CASE(a_line_is_cut),
        CASE(journal_prefix_only_for_the_journal),
        CASE(rate_limit),
        CASE(sink),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
