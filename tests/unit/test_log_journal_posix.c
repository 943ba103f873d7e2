/* The log under systemd's journal: a priority in front of each line, when it is the journal that reads standard
 * error. */
#include "cmocka_all.h"

#include "base/log.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int capture_fd = -1;

static const char *logged(void)
{
    static char text[4096];
    ssize_t n = pread(capture_fd, text, sizeof text - 1, 0);
    assert_true(n >= 0);
    text[n] = '\0';
    assert_int_equal(ftruncate(capture_fd, 0), 0);
    assert_int_equal(lseek(STDERR_FILENO, 0, SEEK_SET), 0);
    return text;
}

static void journal_prefix_only_for_the_journal(void **state)
{
    char stream[64];
    struct stat st;
    (void)state;
    FILE *file = tmpfile();
    int saved = dup(STDERR_FILENO);
    assert_non_null(file);
    capture_fd = fileno(file);
    assert_true(dup2(capture_fd, STDERR_FILENO) >= 0);
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
    assert_non_null(strstr(logged(), "Z prog INFO i\n"));
    setenv("JOURNAL_STREAM", "rubbish", 1);
    log_init("prog");
    log_info("i");
    assert_non_null(strstr(logged(), "Z prog INFO i\n"));
    dup2(saved, STDERR_FILENO);
    close(saved);
    fclose(file);
    unsetenv("JOURNAL_STREAM");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(journal_prefix_only_for_the_journal)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
