/* Environment blocks: sorted, without regard to case, ended by two NULs, and bounded. */
#include "cmocka_all.h"

#include "sshd/child_env.h"
#include "sshd/environ_windows.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The length of a block in units, with the NUL at its end. */
static size_t block_length(const wchar_t *block)
{
    const wchar_t *at = block;
    while (*at != L'\0') {
        at += wcslen(at) + 1;
    }
    return (size_t)(at - block) + 1;
}

static void check(const wchar_t *base, const char *const *env, size_t env_n, const wchar_t *expected,
                  size_t expected_n)
{
    struct errmsg err;
    wchar_t *block = NULL;
    assert_int_equal(environ_merge(base, env, env_n, &block, &err), 0);
    assert_int_equal(block_length(block), expected_n);
    assert_memory_equal(block, expected, expected_n * sizeof *block);
    free(block);
}

/* The literal has one NUL more than it shows: the block's last. */
#define CHECK(base, env, expected) check(base, env, COUNT(env), expected, sizeof(expected) / sizeof(wchar_t))

static void test_merge(void **state)
{
    static const char *const none[] = {""};
    static const char *const env[] = {"b=2", "PATH=new", "a=1", "A=3", "empty="};
    static const char *const bad[] = {"nothing", "=x", "=C:=C:\\", "\xff=1", "x=\xff", "", "ok=1"};
    static const char *const wide[] = {"gr\xc3\xbc\xc3\x9f=\xe4\xb8\xad"};
    static const char *const own[] = {"MULTISSH_A=of the session"};
    (void)state;
    CHECK(L"B=x\0A=y\0", none, L"A=y\0B=x\0");
    CHECK(L"Path=old\0zz=1\0=C:=C:\\x\0", env, L"=C:=C:\\x\0A=3\0b=2\0empty=\0PATH=new\0zz=1\0");
    CHECK(NULL, bad, L"ok=1\0");
    CHECK(L"GR\xdc\xdf=old\0", wide, L"gr\xfc\xdf=\x4e2d\0");
    CHECK(L"multissh_state=x\0MULTISSH_A=y\0M=z\0", none, L"M=z\0");
    CHECK(L"MULTISSH_A=of the server\0", own, L"MULTISSH_A=of the session\0");
    CHECK(L"AB=1\0A=2\0A_B=3\0", none, L"A=2\0AB=1\0A_B=3\0");
}

static void test_an_empty_block_has_two(void **state)
{
    struct errmsg err;
    wchar_t *block = NULL;
    (void)state;
    assert_int_equal(environ_merge(NULL, NULL, 0, &block, &err), 0);
    assert_int_equal(block[0], 0);
    assert_int_equal(block[1], 0);
    free(block);
}

static void test_bounds(void **state)
{
    struct errmsg err;
    wchar_t *block = NULL;
    char *text = malloc(ENVIRON_VARIABLE_MAX + 2);
    const char *env[64];
    char names[64][16];
    (void)state;
    assert_non_null(text);
    memset(text, 'x', ENVIRON_VARIABLE_MAX);
    memcpy(text, "LONG=", 5);
    text[ENVIRON_VARIABLE_MAX] = '\0';
    env[0] = text;
    assert_int_equal(environ_merge(NULL, env, 1, &block, &err), 0);
    free(block);
    text[ENVIRON_VARIABLE_MAX] = 'x';
    text[ENVIRON_VARIABLE_MAX + 1] = '\0';
    assert_int_equal(environ_merge(NULL, env, 1, &block, &err), -E2BIG);
    assert_non_null(strstr(err.text, "LONG"));
    text[ENVIRON_VARIABLE_MAX] = '\0';
    for (size_t i = 0; i < COUNT(env); i++) { /* 64 long ones of different names are too many */
        char *copy = _strdup(text);
        assert_non_null(copy);
        (void)snprintf(names[i], sizeof names[i], "N%03zu", i);
        memcpy(copy, names[i], 4);
        env[i] = copy;
    }
    assert_int_equal(environ_merge(NULL, env, COUNT(env), &block, &err), -E2BIG);
    assert_int_equal(environ_merge(NULL, env, 30, &block, &err), 0);
    free(block);
    for (size_t i = 0; i < COUNT(env); i++) {
        free((char *)env[i]);
    }
    free(text);
}

static const wchar_t *look_up(const wchar_t *block, const wchar_t *name)
{
    size_t n = wcslen(name);
    for (; *block != L'\0'; block += wcslen(block) + 1) {
        if (_wcsnicmp(block, name, n) == 0 && block[n] == L'=') {
            return block + n + 1;
        }
    }
    return NULL;
}

/* A client that may set any has no say in what the server tells, in whatever case. */
static void test_the_servers_own_counts(void **state)
{
    static char *const sent[] = {"SSH_ORIGINAL_COMMAND=a", "ssh_Original_command=b", "PATH=c", "Path=d"};
    static char *const of_key[] = {"PATH=safe"};
    struct child_env client = {0}, env = {0};
    const struct child_env_facts facts = {
        .client = &client, .key_env = of_key, .key_env_n = 1, .original_command = "asked"};
    struct errmsg err;
    wchar_t *block = NULL;
    (void)state;
    assert_int_equal(child_env_add(&client, sent, COUNT(sent)), 0);
    assert_int_equal(child_env_build(&facts, &env), 0);
    assert_null(env.list[env.n]);
    assert_int_equal(environ_merge(NULL, (const char *const *)env.list, env.n, &block, &err), 0);
    assert_int_equal(wcscmp(look_up(block, L"SSH_ORIGINAL_COMMAND"), L"asked"), 0);
    assert_int_equal(wcscmp(look_up(block, L"PATH"), L"safe"), 0);
    free(block);
    child_env_release(&env);
    child_env_release(&client);
}

static void test_own_and_account(void **state)
{
    static const char *const env[] = {"FROM_CLIENT=1"};
    struct errmsg err;
    wchar_t *block = NULL;
    HANDLE token;
    (void)state;
    assert_true(SetEnvironmentVariableW(L"OF_THIS_PROCESS", L"yes"));
    assert_true(SetEnvironmentVariableW(L"MULTISSH_SECRET", L"yes"));
    assert_int_equal(environ_build(NULL, env, 1, &block, &err), 0);
    assert_non_null(look_up(block, L"SystemRoot"));
    assert_non_null(look_up(block, L"OF_THIS_PROCESS"));
    assert_null(look_up(block, L"MULTISSH_SECRET"));
    free(block);
    assert_true(
        OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY | TOKEN_DUPLICATE | TOKEN_IMPERSONATE, &token));
    assert_int_equal(environ_build(token, env, 1, &block, &err), 0);
    assert_non_null(look_up(block, L"SystemRoot"));
    assert_non_null(look_up(block, L"FROM_CLIENT"));
    assert_null(look_up(block, L"OF_THIS_PROCESS"));
    free(block);
    CloseHandle(token);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merge),           cmocka_unit_test(test_an_empty_block_has_two),
        cmocka_unit_test(test_bounds),          cmocka_unit_test(test_the_servers_own_counts),
        cmocka_unit_test(test_own_and_account),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
