/* Keys where processes are made by fork() and rights are modes. */
#include "tls/keys.h"

#include "portable.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[256];

static int setup(void **state)
{
    (void)state;
    return portable_folder(dir, sizeof(dir));
}

static int teardown(void **state)
{
    static const char *const names[] = {"open", "race"};
    char path[300];

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        unlink(path);
    }
    return rmdir(dir); /* fails when a temporary file was left behind */
}

static const char *in_dir(const char *name)
{
    static char path[300];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static void test_open_to_others(void **state)
{
    EVP_PKEY *key = NULL;
    struct errmsg err = {""};
    struct stat st;

    (void)state;
    assert_int_equal(keys_load_or_make(in_dir("open"), &key, &err), 0);
    EVP_PKEY_free(key);
    key = NULL;
    assert_int_equal(stat(in_dir("open"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_nlink, 1);
    assert_int_equal(chmod(in_dir("open"), 0644), 0);
    assert_int_equal(keys_load(in_dir("open"), &key, &err), -EPERM);
    assert_non_null(strstr(err.text, "open to other users: chmod 600"));
    assert_null(key);
}

/* Many processes find no key at the same moment: all must end with the same one. */
static void test_race_has_one_winner(void **state)
{
    enum { PROCESSES = 8 };
    pid_t child[PROCESSES];
    int go[2], result[2];
    uint8_t pin[CRYPTO_HASH_SIZE], one[CRYPTO_HASH_SIZE];
    char start;

    (void)state;
    assert_int_equal(pipe(go), 0);
    assert_int_equal(pipe(result), 0);
    for (int i = 0; i < PROCESSES; i++) {
        child[i] = fork();
        assert_true(child[i] >= 0);
        if (child[i] == 0) {
            EVP_PKEY *key = NULL;
            X509 *cert = NULL;
            int ok;

            close(go[1]);
            (void)!read(go[0], &start, 1); /* all wake together, at end of file */
            ok = keys_load_or_make(in_dir("race"), &key, NULL) == 0 &&
                 keys_self_sign(key, "x", 0, &cert) == 0 && keys_pin(cert, pin) == 0 &&
                 write(result[1], pin, sizeof(pin)) == (ssize_t)sizeof(pin);
            X509_free(cert);
            EVP_PKEY_free(key);
            _exit(ok ? 0 : 1);
        }
    }
    close(go[0]);
    close(go[1]);
    close(result[1]);
    for (int i = 0; i < PROCESSES; i++) {
        int status;

        assert_int_equal(read(result[0], one, sizeof(one)), sizeof(one));
        if (i == 0)
            memcpy(pin, one, sizeof(pin));
        assert_memory_equal(pin, one, sizeof(pin));
        assert_int_equal(waitpid(child[i], &status, 0), child[i]);
        assert_int_equal(status, 0);
    }
    close(result[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_to_others),
        cmocka_unit_test(test_race_has_one_winner),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
