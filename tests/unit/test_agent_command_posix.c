/* Programs that are run: what they print, how they end, what is left of them. With real programs. */
#include "cmocka_all.h"

#include "agent/command.h"
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* Runs it to its end; nothing may be left of it: no handle that keeps the loop, and no process, be it a dead
 * one. */
static struct told run(const char *program, const char *script, uint64_t timeout_ms, size_t max, bool cancel)
{
    char path[100], flag[] = "-c", text[200];
    char *args[] = {path, flag, text, NULL};
    struct told told = {0};
    struct command *command = NULL;
    uv_loop_t loop;
    snprintf(path, sizeof path, "%s", program);
    snprintf(text, sizeof text, "%s", script);
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(command_run(&loop, args, timeout_ms, max, true, on_told, &told, &command), 0);
    assert_int_equal(told.calls, 0); /* later */
    if (cancel)
        command_cancel(command);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    assert_int_equal(told.calls, cancel ? 0 : 1);
    return told;
}

static void what_it_says(void **state)
{
    (void)state;
    struct told t =
        run("sh", "echo one; echo first >&2; printf 'second \\033[31m\\n\\n' >&2; exit 3", 20000, 100, false);
    assert_int_equal(t.status, 3);
    assert_int_equal(t.error, 0);
    assert_string_equal(t.text, "one\n");
    assert_string_equal(t.words, "second ?[31m");
    t = run("/bin/sh", "true", 20000, 100, false);
    assert_int_equal(t.status, 0);
    assert_string_equal(t.text, "");
    assert_string_equal(t.words, "");
    t = run("sh", "echo; kill -9 $$", 20000, 100, false);
    assert_int_equal(t.status, 128 + 9);
}

static void one_that_is_not_there(void **state)
{
    (void)state;
    struct told t = run("/nonexistent/program", "", 20000, 100, false);
    assert_int_equal(t.status, -1);
    assert_int_equal(t.error, UV_ENOENT);
    assert_non_null(strstr(t.words, "/nonexistent/program cannot be run: no such file"));
}

static void one_that_takes_too_long(void **state)
{
    (void)state;
    struct told t = run("sh", "echo partly; exec sleep 60", 300, 100, false);
    assert_int_equal(t.status, -1);
    assert_string_equal(t.text, "");
    assert_string_equal(t.words, "it took too long and was ended");
}

static void one_that_says_too_much(void **state)
{
    (void)state;
    struct told t = run("sh", "while :; do echo many words; done", 20000, 1000, false);
    assert_int_not_equal(t.status, 0);
    assert_string_equal(t.text, "");
    assert_string_equal(t.words, "it says too much");
    /* Complaints are cut instead. */
    t = run("sh", "i=0; while [ $i -lt 2000 ]; do echo complaint $i >&2; i=$((i+1)); done; echo fine", 20000,
            1000, false);
    assert_int_equal(t.status, 0);
    assert_string_equal(t.text, "fine\n");
    assert_int_equal(strspn(t.words, "complaint "), strlen("complaint ")); /* a whole line */
}

static void cancelled(void **state)
{
    (void)state;
    (void)run("sh", "exec sleep 60", 20000, 100, true);
    (void)run("/nonexistent/program", "", 20000, 100, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_it_says),
        cmocka_unit_test(one_that_is_not_there),
        cmocka_unit_test(one_that_takes_too_long),
        cmocka_unit_test(one_that_says_too_much),
        cmocka_unit_test(cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
