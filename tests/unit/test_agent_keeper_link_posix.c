/* Lines between agent and keeper: bounds, garbage, last words. */
#include "cmocka_all.h"

#include "agent/keeper_link.h"
#include "base/json.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct {
    uv_loop_t loop;
    struct keeper_link *link;
    int fd; /* the other end */
    unsigned messages;
    char types[400], ended[200];
    const char *refuse; /* is returned for a message of type "bad" */
    bool free_at_first;
} t;

static const char *on_message(void *arg, const char *type, const cJSON *m)
{
    (void)arg;
    (void)m;
    t.messages++;
    size_t n = strlen(t.types);
    (void)snprintf(t.types + n, sizeof t.types - n, "%s ", type);
    if (t.free_at_first) {
        keeper_link_free(t.link);
        t.link = NULL;
    }
    return strcmp(type, "bad") == 0 ? "that was bad" : NULL;
}

static void on_ended(void *arg, const char *words)
{
    (void)arg;
    snprintf(t.ended, sizeof t.ended, "%s", words);
    keeper_link_free(t.link);
    t.link = NULL;
}

static const struct keeper_link_calls calls = {.message = on_message, .ended = on_ended};

static int setup(void **state)
{
    int fds[2];
    uv_pipe_t *pipe = calloc(1, sizeof *pipe);
    (void)state;
    memset(&t, 0, sizeof t);
    if (pipe == NULL || uv_loop_init(&t.loop) != 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0 ||
        uv_pipe_init(&t.loop, pipe, 0) != 0 || uv_pipe_open(pipe, fds[0]) != 0)
        return -1;
    t.fd = fds[1];
    return keeper_link_new((uv_stream_t *)pipe, &calls, NULL, &t.link);
}

static int teardown(void **state)
{
    (void)state;
    close(t.fd);
    keeper_link_free(t.link);
    uv_run(&t.loop, UV_RUN_DEFAULT);
    return uv_loop_close(&t.loop);
}

static void say(const char *text, size_t n)
{
    while (n > 0) {
        ssize_t k = write(t.fd, text, n < 4096 ? n : 4096);
        assert_true(k > 0);
        text += k;
        n -= (size_t)k;
        uv_run(&t.loop, UV_RUN_NOWAIT);
    }
}

static void run(void)
{
    for (int i = 0; i < 10; i++)
        uv_run(&t.loop, UV_RUN_NOWAIT);
}

static void takes_lines(void **state)
{
    static const char text[] = "{\"type\":\"one\"}\n{\"type\":\"two\",\"x\":[1]}\n{\"type\":\"th";
    (void)state;
    say(text, sizeof text - 1);
    run();
    assert_string_equal(t.types, "one two ");
    say("ree\"}\n", 6);
    run();
    assert_string_equal(t.types, "one two three ");
    assert_string_equal(t.ended, "");
}

static void garbage(void **state)
{
    (void)state;
    say("{\"type\":\"one\"}\nGET / HTTP/1.1\n{\"type\":\"two\"}\n", 45);
    run();
    assert_string_equal(t.types, "one ");
    assert_string_equal(t.ended, "what came is no message");
}

static void no_type(void **state)
{
    (void)state;
    say("{\"typ\":\"one\"}\n", 14);
    run();
    assert_string_equal(t.ended, "what came is no message");
}

static void refused(void **state)
{
    (void)state;
    say("{\"type\":\"bad\"}\n{\"type\":\"two\"}\n", 30);
    run();
    assert_string_equal(t.types, "bad ");
    assert_string_equal(t.ended, "that was bad");
}

/* The longest line that fits, and one byte more. */
static void long_lines(void **state)
{
    char *text = malloc(KEEPER_LINK_LINE_MAX + 2);
    (void)state;
    assert_non_null(text);
    memset(text, ' ', KEEPER_LINK_LINE_MAX + 1);
    memcpy(text, "{\"type\":\"one\"", 13);
    text[KEEPER_LINK_LINE_MAX - 2] = '}';
    text[KEEPER_LINK_LINE_MAX - 1] = '\n';
    say(text, KEEPER_LINK_LINE_MAX);
    run();
    assert_string_equal(t.types, "one ");
    assert_string_equal(t.ended, "");
    text[KEEPER_LINK_LINE_MAX - 2] = ' ';
    text[KEEPER_LINK_LINE_MAX - 1] = '}';
    text[KEEPER_LINK_LINE_MAX] = '\n';
    say(text, KEEPER_LINK_LINE_MAX + 1);
    run();
    assert_string_equal(t.types, "one ");
    assert_string_equal(t.ended, "a line of over 16 KiB came");
    free(text);
}

static void freed_in_a_call(void **state)
{
    (void)state;
    t.free_at_first = true;
    say("{\"type\":\"one\"}\n{\"type\":\"two\"}\n", 30);
    run();
    assert_string_equal(t.types, "one ");
    assert_string_equal(t.ended, "");
}

/* What it said before it closed is read, also when writing to it has failed by then. */
static void last_words(void **state)
{
    (void)state;
    assert_int_equal(write(t.fd, "{\"type\":\"closed\"}\n", 18), 18);
    close(t.fd);
    t.fd = -1;
    keeper_link_send(t.link, json_new("hangup"));
    run();
    assert_string_equal(t.types, "closed ");
    assert_string_not_equal(t.ended, "");
}

/* What was sent arrives, though the link is freed behind it, and then the end. */
static void own_last_words(void **state)
{
    char text[KEEPER_LINK_LINE_MAX];
    size_t total = 0, lines = 0;
    ssize_t n;
    (void)state;
    for (int i = 0; i < 20000; i++)
        keeper_link_send(t.link, json_new("session"));
    assert_string_equal(t.ended, "");
    keeper_link_free(t.link);
    t.link = NULL;
    for (;;) {
        n = recv(t.fd, text, sizeof text, MSG_DONTWAIT);
        if (n == 0)
            break;
        for (ssize_t i = 0; i < n; i++)
            lines += text[i] == '\n';
        total += n > 0 ? (size_t)n : 0;
        uv_run(&t.loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(lines, 20000);
    assert_int_equal(total, 20000 * strlen("{\"type\":\"session\"}\n"));
}

/* Who reads nothing is not waited for with ever more memory. */
static void who_does_not_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * KEEPER_LINK_PENDING_MAX / 19; i++)
        keeper_link_send(t.link, json_new("session"));
    run();
    assert_string_equal(t.ended, "it does not read what it is sent");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(takes_lines), TEST(garbage),        TEST(no_type),
        TEST(refused),     TEST(long_lines),     TEST(freed_in_a_call),
        TEST(last_words),  TEST(own_last_words), TEST(who_does_not_read),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
