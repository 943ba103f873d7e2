/* Host keys: made, written, read, and refused. */
#include "ssh/hostkey.h"

#include "base/fs.h"
#include "portable.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
    FILE *f = fopen(file, "rb");
    size_t n;
    assert_non_null(f);
    n = fread(out, 1, size - 1, f);
    out[n] = '\0';
    (void)fclose(f);
}

static void test_make_and_load(void **state)
{
    struct hostkey *key = NULL;
    struct errmsg err;
    char line[HOSTKEY_LINE_MAX];
    char text[1024];
    (void)state;
    assert_int_equal(hostkey_make(path, "a comment", &err), 0);
    assert_int_equal(fs_check_private(path), 0);
    assert_int_equal(hostkey_load(path, &key, &err), 0);
    assert_int_equal(hostkey_line(key, line, sizeof line), 0);
    assert_int_equal(strncmp(line, "ssh-ed25519 AAAA", 16), 0);
    assert_int_equal(hostkey_line(key, line, 10), -ENOBUFS);
    assert_int_equal(hostkey_line(key, line, sizeof line), 0);
    read_text(path_pub, text, sizeof text);
    assert_int_equal(strncmp(text, line, strlen(line)), 0);
    assert_string_equal(text + strlen(line), " a comment\n");
    read_text(path, text, sizeof text);
    assert_int_equal(strncmp(text, "-----BEGIN OPENSSH PRIVATE KEY-----\n", 36), 0);
    hostkey_free(key);
}

static void test_never_overwrites(void **state)
{
    struct errmsg err;
    char before[1024];
    char after[1024];
    (void)state;
    assert_int_equal(hostkey_make(path, "", &err), 0);
    read_text(path, before, sizeof before);
    assert_int_equal(hostkey_make(path, "", &err), -EEXIST);
    assert_non_null(strstr(err.text, path));
    read_text(path, after, sizeof after);
    assert_string_equal(before, after);
}

static void test_refused_files(void **state)
{
    struct hostkey *key = NULL;
    struct errmsg err;
    (void)state;
    assert_int_equal(hostkey_load(path, &key, &err), -ENOENT);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(fs_write_atomic(path, "no key at all\n", 14, 0600), 0);
    assert_int_equal(hostkey_load(path, &key, &err), -EINVAL);
    assert_null(key);
}

static void test_no_such_folder(void **state)
{
    struct errmsg err;
    (void)state;
    assert_true(hostkey_make("/nonexistent/folder/key", "", &err) < 0);
    assert_non_null(strstr(err.text, "/nonexistent/folder/key"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_make_and_load, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_never_overwrites, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused_files, set_up, tear_down),
        cmocka_unit_test(test_no_such_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
