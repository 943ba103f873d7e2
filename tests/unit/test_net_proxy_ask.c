/* The question for the system's proxy: one answer, later, and none after it was taken back. */
#include "cmocka_all.h"

#include "base/io.h"
#include "net/dialer.h"
#include "net/proxy_ask.h"
#include "net/proxy_system.h"
#include <string.h>

struct told {
    int calls, status;
    bool on;
    char words[512];
};

static void on_answer(void *arg, int status, const struct proxy *proxy, const char *words)
{
    struct told *t = arg;
    t->calls++;
    t->status = status;
    t->on = status == 0 && proxy->on;
    snprintf(t->words, sizeof t->words, "%s", words);
}

/* No setting of a system sends what is for this very host anywhere else; a system without such a setting says so. */
static void answers_once(void **state)
{
    struct addr_hostport to = {.host = "127.0.0.1", .port = 1};
    struct told told = {0};
    struct proxy_ask *ask = NULL;
    uv_loop_t loop;
    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(proxy_ask_begin(&loop, &to, on_answer, &told, &ask), 0);
    assert_int_equal(told.calls, 0); /* later */
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(told.calls, 1);
    if (proxy_system_there) {
        assert_int_equal(told.status, 0);
        assert_false(told.on);
    } else {
        assert_true(told.status < 0);
        assert_true(strlen(told.words) > 0);
    }
    assert_int_equal(uv_loop_close(&loop), 0); /* nothing is left */
}

static void cancelled(void **state)
{
    struct addr_hostport to = {.host = "127.0.0.1", .port = 1};
    struct told told = {0};
    struct proxy_ask *ask = NULL;
    uv_loop_t loop;
    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(proxy_ask_begin(&loop, &to, on_answer, &told, &ask), 0);
    proxy_ask_cancel(ask);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(told.calls, 0);
    assert_int_equal(uv_loop_close(&loop), 0);
    proxy_ask_cancel(NULL);
}

/* --- as a dialer asks --- */

struct dialed {
    struct dialer *dialer;
    int calls, status;
    bool proxied;
    uint16_t port;
};

static void on_dialed(void *arg, int status, uv_tcp_t *tcp, const char *words)
{
    struct dialed *d = arg;
    (void)words;
    assert_null(tcp);
    d->calls++;
    d->status = status;
    d->proxied = dialer_proxied(d->dialer);
    d->port = addr_port(dialer_peer(d->dialer));
    dialer_free(d->dialer);
}

/* Nobody listens there: refused directly, or not tried at all. */
static void dials(void **state)
{
    struct proxy proxy = {.ask = true};
    struct dialer_config config = {.to = {.host = "127.0.0.1", .port = 1}, .proxy = &proxy};
    struct dialed d = {0};
    uv_loop_t loop;
    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    config.loop = &loop;
    assert_int_equal(dialer_new(&config, on_dialed, &d, &d.dialer), 0);
    dialer_next(d.dialer);
    assert_int_equal(d.calls, 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(d.calls, 1);
    assert_true(d.status < 0);
    assert_false(d.proxied);
    assert_int_equal(d.port, proxy_system_there ? 1 : 0);
    /* Given up while the system is asked. */
    d.calls = 0;
    assert_int_equal(dialer_new(&config, on_dialed, &d, &d.dialer), 0);
    dialer_next(d.dialer);
    dialer_free(d.dialer);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(d.calls, 0);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static int start(void **state)
{
    (void)state;
    return io_start();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(answers_once), cmocka_unit_test(cancelled),
                                       cmocka_unit_test(dials)};
    return cmocka_run_group_tests(tests, start, NULL);
}
