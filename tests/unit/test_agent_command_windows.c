/* Programs that are run: what they print, how they end, what is left of them. With real programs: this one, told by its
 * arguments what to do. */
#include "cmocka_all.h"

#include "agent/command.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/win.h"
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct told {
    int calls, status, error;
    char text[200], words[COMMAND_WORDS_MAX];
};

static void on_told(void *arg, const struct command_result *result)
{
    struct told *t = arg;
    t->calls++;
    t->status = result->status;
    t->error = result->error;
    snprintf(t->text, sizeof t->text, "%.*s", (int)buf_len(result->text),
             (const char *)buf_data(result->text));
    snprintf(t->words, sizeof t->words, "%s", result->words);
}

/* Runs it to its end; nothing may be left that keeps the loop. */
static struct told run(const char *program, const char *what, uint64_t timeout_ms, size_t max, bool cancel)
{
    char path[FS_PATH_MAX], text[200];
    char *args[] = {path, text, NULL};
    struct told told = {0};
    struct command *command = NULL;
    uv_loop_t loop;
    if (program == NULL)
        assert_int_equal(fs_sibling_program("test_agent_command_windows", path, sizeof path), 0);
    else
        snprintf(path, sizeof path, "%s", program);
    snprintf(text, sizeof text, "%s", what);
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(command_run(&loop, args, timeout_ms, max, true, on_told, &told, &command), 0);
    assert_int_equal(told.calls, 0); /* later */
    if (cancel)
        command_cancel(command);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(told.calls, cancel ? 0 : 1);
    return told;
}

static void what_it_says(void **state)
{
    (void)state;
    struct told t = run(NULL, "say", 20000, 100, false);
    assert_int_equal(t.status, 3);
    assert_int_equal(t.error, 0);
    assert_string_equal(t.text, "one\n");
    assert_string_equal(t.words, "second ?[31m");
    t = run(NULL, "gr\xc3\xbc\xc3\x9f \"quoted\" \\", 20000, 100, false); /* it says it again */
    assert_int_equal(t.status, 0);
    assert_string_equal(t.text, "gr\xc3\xbc\xc3\x9f \"quoted\" \\");
    assert_string_equal(t.words, "");
    t = run("cmd.exe", "/?", 20000, 100000, false); /* by PATH */
    assert_int_equal(t.error, 0);
}

static void one_that_cannot_run(void **state)
{
    (void)state;
    struct told t = run("C:\\nonexistent\\program.exe", "", 20000, 100, false);
    assert_int_equal(t.status, -1);
    assert_int_equal(t.error, UV_ENOENT);
    assert_non_null(strstr(t.words, "C:\\nonexistent\\program.exe cannot be run: "));
}

static void one_that_takes_too_long(void **state)
{
    (void)state;
    uint64_t before = clock_now_ms();
    struct told t = run(NULL, "hang", 1000, 100, false);
    assert_int_equal(t.status, -1);
    assert_string_equal(t.text, "");
    assert_string_equal(t.words, "it took too long and was ended");
    assert_true(clock_now_ms() - before < 30000);
}

static void one_that_says_too_much(void **state)
{
    (void)state;
    struct told t = run(NULL, "babble", 20000, 1000, false);
    assert_int_not_equal(t.status, 0);
    assert_string_equal(t.text, "");
    assert_string_equal(t.words, "it says too much");
    /* Complaints are cut instead. */
    t = run(NULL, "complain", 20000, 1000, false);
    assert_int_equal(t.status, 0);
    assert_string_equal(t.text, "fine\n");
    assert_int_equal(strspn(t.words, "complaint "), strlen("complaint ")); /* a whole line */
}

static void cancelled(void **state)
{
    (void)state;
    uint64_t before = clock_now_ms();
    (void)run(NULL, "hang", 20000, 100, true);
    (void)run("C:\\nonexistent\\program.exe", "", 20000, 100, true);
    assert_true(clock_now_ms() - before < 15000);
}

/* As the program that is run. */
static int act(const char *what)
{
    _setmode(1, _O_BINARY);
    _setmode(2, _O_BINARY);
    if (strcmp(what, "say") == 0) {
        printf("one\n");
        fprintf(stderr, "first\nsecond \033[31m\n\n");
        return 3;
    }
    if (strcmp(what, "hang") == 0) {
        printf("partly\n");
        fflush(stdout);
        Sleep(60000);
        return 0;
    }
    if (strcmp(what, "babble") == 0) {
        while (printf("many words\n") > 0)
            continue;
        return 1;
    }
    if (strcmp(what, "complain") == 0) {
        for (int i = 0; i < 2000; i++)
            fprintf(stderr, "complaint %d\n", i);
        printf("fine\n");
        return 0;
    }
    printf("%s", what);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_it_says),
        cmocka_unit_test(one_that_cannot_run),
        cmocka_unit_test(one_that_takes_too_long),
        cmocka_unit_test(one_that_says_too_much),
        cmocka_unit_test(cancelled),
    };
    int argc;
    char **argv;
    if (win_args(&argc, &argv) != 0)
        return 2;
    if (argc > 1)
        return act(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
