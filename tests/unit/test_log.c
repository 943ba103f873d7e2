/* The log: the form of a line, what is escaped, the rate limit. Lines are read back from the
 * real standard error. */
#include "cmocka_all.h"

#include "base/log.h"
#include "portable.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef O_BINARY
#define O_BINARY 0
#endif

static int saved_stderr = -1;
static int capture_fd = -1;
static char dir[256];

static int capture_begin(void **state)
{
    char path[300];
    (void)state;
    if (portable_folder(dir, sizeof dir) != 0)
        return -1;
    snprintf(path, sizeof path, "%s/log", dir);
    capture_fd = open(path, O_RDWR | O_CREAT | O_BINARY, 0600);
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
    return portable_remove(dir);
}

/* What has been logged since the last call. */
static const char *logged(void)
{
    static char text[16384];
    assert_int_equal(lseek(capture_fd, 0, SEEK_SET), 0);
    ssize_t n = read(capture_fd, text, sizeof text - 1);
    assert_true(n >= 0);
    text[n] = '\0';
    assert_int_equal(ftruncate(capture_fd, 0), 0);
    assert_int_equal(lseek(STDERR_FILENO, 0, SEEK_SET), 0);
    return text;
}

/* Is text of the form: '9' is any digit, '*' any run within a line? */
static bool matches(const char *text, const char *form)
{
    for (; *form != '\0' && *form != '*'; text++, form++) {
        if (*form == '9' ? *text < '0' || *text > '9' : *text != *form)
            return false;
    }
    if (*form == '\0')
        return *text == '\0';
    for (;; text++) {
        if (matches(text, form + 1))
            return true;
        if (*text == '\0' || *text == '\n')
            return false;
    }
}

/* Is the line's text one thing again and again? */
static bool repeats(const char *line, const char *what)
{
    const char *at = strstr(line, " INFO ") + strlen(" INFO ");
    size_t n = 0;
    for (; strncmp(at, what, strlen(what)) == 0; n++)
        at += strlen(what);
    return n > 0 && strcmp(at, "\n") == 0;
}

static void a_line(void **state)
{
    (void)state;
    log_init("prog");
    errno = EPERM;
    log_warn("web%02d is %s", 1, "gone");
    assert_int_equal(errno, EPERM);
    assert_true(matches(logged(), "2999-99-99T99:99:99.999Z prog WARN web91 is gone\n"));
    log_error("a");
    log_info("b");
    assert_true(matches(logged(), "* ERROR a\n* INFO b\n"));
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
    static const char *const shown[] = {"a", "\\x0A", "\xe2\x82\xac", "\\xFF"};
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
        assert_true(repeats(line, shown[u]));
    }
    free(text);
}

static void rate_limit(void **state)
{
    struct log_limit limit = {.burst = 3, .interval_ms = 10000};
    (void)state;
    for (int i = 0; i < 10; i++)
        log_limited(&limit, LOG_LEVEL_WARN, "line %d", i);
    assert_true(matches(logged(), "*line 0\n*line 1\n*line 2\n"));
    limit.window_start -= 10000;
    log_limited(&limit, LOG_LEVEL_WARN, "next");
    log_limited(&limit, LOG_LEVEL_WARN, "not this");
    assert_true(matches(logged(), "*next (7 like it were not logged)\n"));
    /* After a long silence the whole burst is back. */
    limit.window_start -= 40000;
    for (int i = 0; i < 5; i++)
        log_limited(&limit, LOG_LEVEL_WARN, "again %d", i);
    assert_true(matches(logged(), "*again 0 (1 like it were not logged)\n*again 1\n*again 2\n"));
    /* A level that is not shown uses nothing up. */
    struct log_limit quiet = {.burst = 1, .interval_ms = 10000};
    log_limited(&quiet, LOG_LEVEL_DEBUG, "hidden");
    log_limited(&quiet, LOG_LEVEL_WARN, "shown");
    assert_true(matches(logged(), "*shown\n"));
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
        CASE(a_line),        CASE(levels_filter), CASE(a_peer_cannot_forge_a_line),
        CASE(a_line_is_cut), CASE(rate_limit),    CASE(sink),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
