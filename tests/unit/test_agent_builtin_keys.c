/* The built-in server's host key, asked of a program and of a service; both are small stand-ins here that misbehave
 * in ways that the real ones should not. */
#include "cmocka_all.h"

#include "agent/builtin_keys.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMALitY/KyGLRU/XBQfGN6lCm+jU+8LumQVO5fo1oYKg"

struct told {
    int calls;
    bool fault;
    char words[300], key[HOSTKEYS_LINE_MAX + 1], from[20];
    unsigned n;
};

static char folder[64];

static int make(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/test-builtin-XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int clean(void **state)
{
    static const char *const names[] = {"program", "host-key"};
    char path[100];
    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    return rmdir(folder);
}

static void on_keys(void *arg, const char *fault, struct hostkeys *keys)
{
    struct told *t = arg;
    t->calls++;
    t->fault = fault != NULL;
    t->n = keys->n;
    snprintf(t->words, sizeof t->words, "%s", fault != NULL ? fault : "");
    snprintf(t->from, sizeof t->from, "%s", keys->from);
    snprintf(t->key, sizeof t->key, "%s", keys->n > 0 ? keys->key[0] : "");
    hostkeys_release(keys);
}

static struct told of_program(const char *script)
{
    char path[100];
    struct told told = {0};
    struct builtin_keys *k = NULL;
    uv_loop_t loop;
    snprintf(path, sizeof path, "%s/program", folder);
    if (script != NULL) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fprintf(file, "#!/bin/sh\n%s\n", script);
        fclose(file);
        assert_int_equal(chmod(path, 0700), 0);
    }
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(builtin_keys_of_program(&loop, path, "/the/state", on_keys, &told, &k), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(told.calls, 1);
    return told;
}

static void programs(void **state)
{
    (void)state;
    struct told t = of_program(NULL);
    assert_true(t.fault);
    assert_non_null(strstr(t.words, "is not installed"));
    t = of_program("[ \"$*\" = '--print-host-key --state /the/state' ] && echo '" KEY "'");
    assert_false(t.fault);
    assert_string_equal(t.key, KEY);
    assert_string_equal(t.from, "built-in");
    t = of_program("echo '" KEY "'; echo 'sshd.conf:1: no such option' >&2; exit 2");
    assert_true(t.fault);
    assert_int_equal(t.n, 0);
    assert_string_equal(t.words, "sshd.conf:1: no such option");
    t = of_program("exit 7");
    assert_true(t.fault);
    assert_non_null(strstr(t.words, "ended with status 7"));
    t = of_program("echo ssh-ed25519 nonsense; echo '-----BEGIN OPENSSH PRIVATE KEY-----'");
    assert_false(t.fault);
    assert_int_equal(t.n, 0);
    assert_string_equal(t.from, "none");
}

struct service {
    const char *says;
    int listener;
};

static void serve(void *arg)
{
    struct service *s = arg;
    int client = accept(s->listener, NULL, NULL);
    if (client < 0)
        return;
    for (size_t n = strlen(s->says), at = 0; at < n;) {
        ssize_t r = send(client, s->says + at, n - at, MSG_NOSIGNAL);
        if (r <= 0)
            break;
        at += (size_t)r;
    }
    close(client);
}

static struct told of_service(const char *says, bool cancel)
{
    char path[100];
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct told told = {0};
    struct service service = {.says = says};
    struct builtin_keys *k = NULL;
    uv_thread_t thread;
    uv_loop_t loop;
    snprintf(at.sun_path, sizeof at.sun_path, "%s/host-key", folder);
    snprintf(path, sizeof path, "%s/socket", folder);
    if (says != NULL) {
        service.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(service.listener, (struct sockaddr *)&at, sizeof at), 0);
        assert_int_equal(listen(service.listener, 4), 0);
        assert_int_equal(uv_thread_create(&thread, serve, &service), 0);
    }
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(builtin_keys_of_service(&loop, path, on_keys, &told, &k), 0);
    assert_int_equal(told.calls, 0);
    if (cancel)
        builtin_keys_cancel(k);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(told.calls, cancel ? 0 : 1);
    if (says != NULL) {
        uv_thread_join(&thread);
        close(service.listener);
        unlink(at.sun_path);
    }
    return told;
}

/* Whatever the service says: it is there, only its key is not known. */
static void services(void **state)
{
    static char much[40000];
    (void)state;
    struct told t = of_service(KEY "\n", false);
    assert_false(t.fault);
    assert_string_equal(t.key, KEY);
    assert_string_equal(t.from, "built-in");
    t = of_service(NULL, false);
    assert_false(t.fault);
    assert_string_equal(t.from, "none");
    t = of_service("", false);
    assert_int_equal(t.n, 0);
    memset(much, 'x', sizeof much - 1);
    t = of_service(much, false);
    assert_int_equal(t.n, 0);
    (void)of_service(KEY "\n", true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(programs, make, clean),
        cmocka_unit_test_setup_teardown(services, make, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
