/* The dialer on loopback: which address it takes, and in which order. */
#include "cmocka_all.h"

#include "net/dialer.h"
#include <stdlib.h>
#include <string.h>

static uv_loop_t loop;
static uv_tcp_t server;
static uint16_t port;
static unsigned accepted;

/* What came of a dial. */
struct outcome {
    struct dialer *d;
    bool told;
    int status;
    char words[300];
    uint16_t port;
    int family;
    bool proxied;
};

static void on_dialed(void *arg, int status, uv_tcp_t *tcp, const char *words)
{
    struct outcome *o = arg;
    assert_false(o->told);
    o->told = true;
    o->status = status;
    o->family = dialer_peer(o->d)->sa_family;
    o->port = addr_port(dialer_peer(o->d));
    o->proxied = dialer_proxied(o->d);
    assert_int_equal(dialer_proxy(o->d)->on, o->proxied);
    strncpy(o->words, words, sizeof o->words - 1);
    if (tcp != NULL)
        uv_close((uv_handle_t *)tcp, (uv_close_cb)free);
}

static struct outcome dial(const struct dialer_config *config)
{
    struct outcome o = {.told = false};
    assert_int_equal(dialer_new(config, on_dialed, &o, &o.d), 0);
    dialer_next(o.d);
    assert_false(o.told);
    while (!o.told)
        uv_run(&loop, UV_RUN_ONCE);
    dialer_free(o.d);
    return o;
}

static void on_written(uv_write_t *req, int status)
{
    (void)status;
    free(req);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    static char space[4096];
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(space, sizeof space);
}

/* To whoever speaks, it is a proxy that opens everything. */
static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    static char yes[] = "HTTP/1.1 200 Go on\r\n\r\n";
    uv_buf_t out = uv_buf_init(yes, sizeof yes - 1);
    if (n < 0) {
        uv_close((uv_handle_t *)stream, (uv_close_cb)free);
    } else if (n > 0) {
        uv_write_t *req = calloc(1, sizeof *req);
        assert_non_null(req);
        assert_memory_equal(buf->base, "CONNECT hub.example.com:443 ", 28);
        assert_int_equal(uv_write(req, stream, &out, 1, on_written), 0);
    }
}

static void on_accept(uv_stream_t *listener, int status)
{
    uv_tcp_t *tcp = calloc(1, sizeof *tcp);
    assert_int_equal(status, 0);
    assert_non_null(tcp);
    uv_tcp_init(&loop, tcp);
    assert_int_equal(uv_accept(listener, (uv_stream_t *)tcp), 0);
    assert_int_equal(uv_read_start((uv_stream_t *)tcp, on_alloc, on_read), 0);
    accepted++;
}

static int setup(void **state)
{
    struct sockaddr_storage at;
    int size = sizeof at;
    (void)state;
    accepted = 0;
    uv_loop_init(&loop);
    uv_tcp_init(&loop, &server);
    if (uv_ip4_addr("127.0.0.1", 0, (struct sockaddr_in *)(void *)&at) != 0 ||
        uv_tcp_bind(&server, (struct sockaddr *)&at, 0) != 0 ||
        uv_listen((uv_stream_t *)&server, 16, on_accept) != 0 ||
        uv_tcp_getsockname(&server, (struct sockaddr *)&at, &size) != 0)
        return -1;
    port = addr_port((struct sockaddr *)&at);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    uv_close((uv_handle_t *)&server, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop);
}

static struct sockaddr_in here(uint16_t at_port)
{
    struct sockaddr_in at;
    assert_int_equal(uv_ip4_addr("127.0.0.1", at_port, &at), 0);
    return at;
}

static void fixed_address(void **state)
{
    struct sockaddr_in at = here(port);
    struct dialer_config config = {
        .loop = &loop, .to = {.host = "hub.invalid", .port = 443}, .fixed = (struct sockaddr *)&at};
    struct addr_hostport other = {.host = "127.0.0.1", .port = port};
    (void)state;
    struct outcome o = dial(&config);
    assert_int_equal(o.status, 0);
    assert_int_equal(o.port, port);
    /* what is fixed for another host, or another port of it, is not for this one */
    config.to = other;
    config.fixed_for = &other;
    other.port = 1;
    at = here(1);
    o = dial(&config);
    assert_int_equal(o.status, 0);
    assert_int_equal(o.port, port);
}

static void fallback(void **state)
{
    struct sockaddr_in at = here(port);
    struct proxy proxy = {.on = true, .at = {.host = "proxy.invalid", .port = 3128}};
    struct dialer_config config = {
        .loop = &loop, .to = {.host = "hub.invalid", .port = 443}, .fallback = (struct sockaddr *)&at};
    struct outcome o;
    (void)state;
    o = dial(&config);
    assert_int_equal(o.status, 0);
    assert_int_equal(o.port, port);
    /* its failure is what is told */
    at = here(1);
    o = dial(&config);
    assert_int_not_equal(o.status, 0);
    assert_non_null(strstr(o.words, "127.0.0.1"));
    /* a name that is known is preferred */
    config.to = (struct addr_hostport){.host = "localhost", .port = port};
    o = dial(&config);
    assert_int_equal(o.status, 0);
    assert_int_equal(o.port, port);
    /* it is not the proxy's */
    config.proxy = &proxy;
    at = here(port);
    o = dial(&config);
    assert_int_not_equal(o.status, 0);
    assert_non_null(strstr(o.words, "proxy.invalid"));
}

static void fixed_address_of_a_proxy(void **state)
{
    struct sockaddr_in at = here(port);
    struct proxy proxy = {.on = true, .at = {.host = "proxy.invalid", .port = 3128}};
    struct dialer_config config = {.loop = &loop,
                                   .to = {.host = "hub.example.com", .port = 443},
                                   .proxy = &proxy,
                                   .fixed = (struct sockaddr *)&at,
                                   .fixed_for = &proxy.at};
    (void)state;
    struct outcome o = dial(&config);
    assert_int_equal(o.status, 0);
    assert_true(o.proxied);
    assert_int_equal(accepted, 1);
    /* the hub's own is of no use where a proxy is */
    config.fixed_for = NULL;
    o = dial(&config);
    assert_int_not_equal(o.status, 0);
    assert_non_null(strstr(o.words, "proxy.invalid"));
    assert_int_equal(accepted, 1);
}

/* Where a name has two addresses, the one that is tried last tells which was tried first. */
static void begins_where_it_is_told(void **state)
{
    struct dialer_config config = {.loop = &loop, .to = {.host = "localhost", .port = 1}};
    struct outcome o[5];
    (void)state;
    for (unsigned i = 0; i < COUNT(o); i++) {
        config.first = i;
        o[i] = dial(&config);
        assert_int_not_equal(o[i].status, 0);
    }
    if (o[0].family == o[1].family && o[1].family == o[2].family) {
        print_message("localhost has one address here\n");
        skip();
    }
    for (size_t i = 2; i < COUNT(o); i++)
        assert_int_equal(o[i].family, o[i - 2].family);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(fixed_address), TEST(fallback), TEST(fixed_address_of_a_proxy),
                                       TEST(begins_where_it_is_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
