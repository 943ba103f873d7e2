/* Host keys where processes are made by fork() and rights are modes. */
#include "ssh/hostkey.h"

#include "portable.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[256];
static char path[300], path_pub[310];

static int set_up(void **state)
{
    (void)state;
    if (portable_folder(folder, sizeof folder) != 0) {
        return -1;
    }
    (void)snprintf(path, sizeof path, "%s/key", folder);
    (void)snprintf(path_pub, sizeof path_pub, "%s.pub", path);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)unlink(path);
    (void)unlink(path_pub);
    return rmdir(folder); /* fails when a file under another name was left behind */
}

static void read_text(const char *file, char *out, size_t size)
{
    FILE *f = fopen(file, "r");
    size_t n;
    assert_non_null(f);
    n = fread(out, 1, size - 1, f);
    out[n] = '\0';
    (void)fclose(f);
}

/* Many processes that find no key end with one and the same, and the public file is that key's. */
static void test_made_by_many(void **state)
{
    enum { MAKERS = 8 };
    char lines[MAKERS][HOSTKEY_LINE_MAX];
    char text[HOSTKEY_LINE_MAX + 64];
    int start[2];
    int results[2];
    (void)state;
    assert_int_equal(pipe(start), 0);
    assert_int_equal(pipe(results), 0);
    for (int i = 0; i < MAKERS; i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            struct hostkey *key = NULL;
            struct errmsg err;
            char line[HOSTKEY_LINE_MAX] = "";
            char byte;
            close(start[1]);
            (void)!read(start[0], &byte, 1); /* returns for all at once, when the other end is closed */
            if (hostkey_load_or_make(path, "many", &key, &err) == 0) {
                (void)hostkey_line(key, line, sizeof line);
            }
            _exit(write(results[1], line, sizeof line) == (ssize_t)sizeof line ? 0 : 1);
        }
    }
    close(start[0]);
    close(start[1]);
    for (int i = 0; i < MAKERS; i++) {
        int status = 0;
        assert_int_equal(read(results[0], lines[i], HOSTKEY_LINE_MAX), HOSTKEY_LINE_MAX);
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
        assert_int_equal(strncmp(lines[i], "ssh-ed25519 ", 12), 0);
        assert_string_equal(lines[i], lines[0]);
    }
    close(results[0]);
    close(results[1]);
    read_text(path_pub, text, sizeof text);
    assert_int_equal(strncmp(text, lines[0], strlen(lines[0])), 0);
}

static void test_open_to_others(void **state)
{
    struct hostkey *key = NULL;
    struct errmsg err;
    struct stat st;
    (void)state;
    assert_int_equal(hostkey_make(path, "", &err), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(hostkey_load(path, &key, &err), -EPERM);
    assert_non_null(strstr(err.text, "chmod 600"));
    assert_null(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_made_by_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_open_to_others, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
