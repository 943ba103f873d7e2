/* The process: its arguments, the lock of its state folder, where its state is. Other processes are this program. */
#include "cmocka_all.h"
#include "portable.h"

#include "agent/command.h"
#include "agent/process.h"
#include <errno.h>
#include <stdbool.h>

#define WORD                                                                                                 \
    "gr\xc3\xbc\xc3\x9f"                                                                                     \
    "e \"quoted\" \xe6\x97\xa5\xe6\x9c\xac"

/* --- the other process: says what it found --- */

static bool shown(const char *text)
{
#ifdef _WIN32
    wchar_t wide[64];
    swprintf(wide, 64, L"%hs", text);
    return wcsstr(GetCommandLineW(), wide) != NULL;
#else
    char line[4096];
    FILE *f = fopen("/proc/self/cmdline", "rb");
    size_t n = f != NULL ? fread(line, 1, sizeof line, f) : 0;
    if (f != NULL)
        fclose(f);
    return memmem(line, n, text, strlen(text)) != NULL;
#endif
}

static int other(int argc, char **argv)
{
    int fd = -1;
    long pid = -1;
    if (argc != 3 || argv[3] != NULL)
        return 1;
    if (strcmp(argv[1], "echo") == 0) {
        printf("%s", strcmp(argv[2], WORD) == 0 ? "same" : "other");
    } else if (strcmp(argv[1], "hide") == 0) {
        char text[32];
        snprintf(text, sizeof text, "%.31s", argv[2]);
        bool before = shown(text);
        process_hide(argv[2] + 4);
        printf("%d %d %s", before, shown(text), argv[2]);
    } else {
        int r = process_lock(argv[2], &fd, &pid);
        printf("%s %ld", r == 0 ? "taken" : r == -EBUSY ? "busy" : strerror(-r), pid);
    }
    return 0;
}

static void on_told(void *arg, const struct command_result *result)
{
    char *said = arg;
    assert_int_equal(result->status, 0);
    snprintf(said, 100, "%.*s", (int)buf_len(result->text), (const char *)buf_data(result->text));
}

/* Runs it with two words. */
static const char *ask(const char *what, const char *word)
{
    static char said[100];
    char path[1024], first[16], second[600];
    size_t size = sizeof path;
    char *args[] = {path, first, second, NULL};
    struct command *command = NULL;
    uv_loop_t loop;
    assert_int_equal(uv_exepath(path, &size), 0);
    snprintf(first, sizeof first, "%s", what);
    snprintf(second, sizeof second, "%s", word);
    said[0] = 0;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(command_run(&loop, args, 20000, 1000, true, on_told, said, &command), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    return said;
}

/* --- the tests --- */

static void arguments(void **state)
{
    (void)state;
    assert_string_equal(ask("echo", WORD), "same");
    assert_string_equal(ask("echo", "nothing"), "other");
}

static void hidden(void **state)
{
    (void)state;
    assert_string_equal(ask("hide", "hub/SECRETCODE"), "1 0 hub/");
}

static void lock(void **state)
{
    char dir[300], path[400], expected[64];
    int fd = -1;
    long pid = -1;
    (void)state;
    assert_int_equal(portable_folder(dir, sizeof dir), 0);
    snprintf(path, sizeof path, "%s/agent.lock", dir);
    assert_int_equal(process_lock(path, &fd, &pid), 0);
    snprintf(expected, sizeof expected, "busy %ld", (long)uv_os_getpid());
    assert_string_equal(ask("lock", path), expected);
    process_unlock(fd);
    assert_string_equal(ask("lock", path), "taken 0"); /* and its end gives it back */
    assert_int_equal(process_lock(path, &fd, &pid), 0);
    process_unlock(fd);
    snprintf(path, sizeof path, "%s/nowhere/agent.lock", dir);
    assert_true(process_lock(path, &fd, &pid) < 0);
    assert_int_equal(portable_remove(dir), 0);
}

static void places(void **state)
{
    char path[4096], small[4];
    (void)state;
    assert_int_equal(process_state_dir(path, sizeof path), 0);
    assert_non_null(strstr(path, "multissh-agent"));
    assert_int_equal(process_state_dir(small, sizeof small), -ENAMETOOLONG);
    bool shell = process_has_shell(path, sizeof path);
    assert_int_equal(shell, path[0] == 0);
    assert_false(process_socket_usable("/nowhere/at/all"));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(arguments), cmocka_unit_test(hidden),
                                       cmocka_unit_test(lock), cmocka_unit_test(places)};
    process_prepare();
    if (process_args(&argc, &argv) != 0)
        return 1;
    return argc > 1 ? other(argc, argv) : cmocka_run_group_tests(tests, NULL, NULL);
}
