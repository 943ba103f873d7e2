/* What a fresh connection is, by its first bytes: the pure part, and a running hub's door with real sockets.
 */
#include "cmocka_all.h"

#include "hub/door.h"
#include "hub/fronts.h"
#include "hub_running.h"
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

static enum door_kind look(const char *text, size_t *ret_n)
{
    struct preamble p;

    return door_classify((const uint8_t *)text, strlen(text), ret_n, &p);
}

#define MAC "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" /* 32 bytes */

static void test_users(void **state)
{
    size_t n = 0;

    (void)state;
    assert_int_equal(look("", &n), DOOR_MORE);
    assert_int_equal(n, 1);
    assert_int_equal(look("S", &n), DOOR_MORE);
    assert_int_equal(n, 4);
    assert_int_equal(look("SSH", &n), DOOR_MORE);
    assert_int_equal(n, 4);
    assert_int_equal(look("SSH-", &n), DOOR_USER);
    assert_int_equal(look("SSH-2.0-OpenSSH_9.2\r\n", &n), DOOR_USER);
    assert_int_equal(look("SSX", &n), DOOR_STRANGER);
    assert_int_equal(look("Sx", &n), DOOR_STRANGER);
}

static void test_strangers(void **state)
{
    static const char *const texts[] = {"GET / HTTP/1.1\r\n", "\r\n",           "\x03",         "ssh-",
                                        "MULTISSX",           "MULTISSH/2 x\n", "MULTISSH/1\n", "\x80\x2e"};
    size_t n = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        if (look(texts[i], &n) != DOOR_STRANGER)
            fail_msg("'%s' was let in", texts[i]);
    }
    assert_int_equal(door_classify((const uint8_t *)"\0", 1, &n, NULL), DOOR_STRANGER);
}

static void test_streams(void **state)
{
    static const char head[] = "MULTISSH/1 ticket=abc.def edge=b epoch=7 mac=" MAC "\n";
    struct preamble p;
    size_t n = 0;

    (void)state;
    for (size_t k = 1; k < sizeof head - 1; k++) {
        assert_int_equal(door_classify((const uint8_t *)head, k, &n, &p), DOOR_MORE);
        assert_int_equal(n, k + 1);
    }
    assert_int_equal(door_classify((const uint8_t *)"MULTISSH/1 ticket=abc.def edge=b epoch=7 mac=" MAC "\nframes",
                                   sizeof head + 5, &n, &p),
                     DOOR_STREAM);
    assert_int_equal(n, sizeof head - 1);
    assert_string_equal(p.ticket, "abc.def");
    assert_int_equal(p.edge, 'b');
    assert_int_equal(p.epoch, 7);
}

static void test_tls(void **state)
{
    static const uint8_t begun[] = {0x16, 3, 1, 2, 0, 1}, no_hello[] = {0x16, 3, 1, 0, 4, 2, 0, 0, 0};
    struct preamble p;
    size_t n = 0;

    (void)state;
    for (size_t k = 1; k <= sizeof begun; k++) {
        assert_int_equal(door_classify(begun, k, &n, &p), DOOR_MORE);
        assert_true(n > k); /* or it would wake for what it has seen */
    }
    assert_int_equal(door_classify(no_hello, sizeof no_hello, &n, &p), DOOR_STRANGER);
}

/* --- a running hub --- */

static int make_with(void **state, const char *const *flags)
{
    struct running *r = calloc(1, sizeof *r);

    assert_non_null(r);
    running_start(r, "", flags);
    *state = r;
    return 0;
}

static int make(void **state)
{
    return make_with(state, NULL);
}

static int make_tight(void **state)
{
    static const char *const flags[] = {"--unauthenticated-per-source", "3", "--login-grace", "1s", NULL};

    return make_with(state, flags);
}

static int clean(void **state)
{
    running_end(*state);
    free(*state);
    return 0;
}

static void put(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (int)strlen(text));
}

static void test_a_stranger_is_closed(void **state)
{
    struct running *r = *state;
    int fd = running_connect(r);

    put(fd, "GET / HTTP/1.1\r\n\r\n");
    RUNNING_UNTIL(r, 2000, running_closed(fd));
    assert_int_equal(door_unauthenticated(r->hub.door), 0);
    close(fd);
}

static void test_a_forged_ticket_is_closed(void **state)
{
    struct running *r = *state;
    int fd = running_connect(r);

    put(fd, "MULTISSH/1 ticket=AQAA.AAAA edge=b epoch=0 mac=" MAC "\n");
    RUNNING_UNTIL(r, 2000, running_closed(fd));
    close(fd);
}

/* How many turns the hub's loop makes in half a second. */
static unsigned turns_of(struct running *r)
{
    uint64_t until = clock_now_ms() + 500;
    unsigned before = r->turns;

    while (clock_now_ms() < until)
        running_turn(r, until);
    return r->turns - before;
}

static void test_stalled_bytes_do_not_spin(void **state)
{
    static const char *const heads[] = {"S", "SSH", "M", "MULTISSH/1 ticket=", "\x16\x03\x01"};
    struct running *r = *state;
    int fd[COUNT(heads)];

    for (size_t i = 0; i < COUNT(heads); i++) {
        fd[i] = running_connect(r);
        put(fd[i], heads[i]);
    }
    RUNNING_UNTIL(r, 2000, door_unauthenticated(r->hub.door) == COUNT(heads));
    /* The hub's own timers turn it 15 times or so. */
    assert_in_range(turns_of(r), 1, 60);
    assert_int_equal(door_unauthenticated(r->hub.door), COUNT(heads));
    /* The rest may still come. */
    put(fd[0], "SH-2.0-x\r\n");
    RUNNING_UNTIL(r, 2000,
                  door_unauthenticated(r->hub.door) == COUNT(heads) - 1 || fronts_count(r->hub.fronts) == 1);
    for (size_t i = 0; i < COUNT(heads); i++)
        close(fd[i]);
    RUNNING_UNTIL(r, 2000, door_unauthenticated(r->hub.door) == 0);
}

static void test_half_a_message_and_the_end(void **state)
{
    struct running *r = *state;
    int fd = running_connect(r);

    put(fd, "MULTISSH/1 tick");
    RUNNING_UNTIL(r, 2000, door_unauthenticated(r->hub.door) == 1);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    RUNNING_UNTIL(r, 2000, running_closed(fd));
    close(fd);
}

static void test_one_source_and_its_share(void **state)
{
    struct running *r = *state;
    int fd[4];

    for (size_t i = 0; i < 4; i++) {
        fd[i] = running_connect(r);
        put(fd[i], "M");
    }
    /* The fourth is one too many; the others are let be. */
    RUNNING_UNTIL(r, 2000, running_closed(fd[3]));
    for (size_t i = 0; i < 3; i++)
        assert_false(running_closed(fd[i]));
    /* The grace ends them. */
    for (size_t i = 0; i < 3; i++)
        RUNNING_UNTIL(r, 3000, running_closed(fd[i]));
    assert_int_equal(door_unauthenticated(r->hub.door), 0);
    for (size_t i = 0; i < 4; i++)
        close(fd[i]);
}

static void test_shut(void **state)
{
    struct running *r = *state;
    int fd = running_connect(r);

    put(fd, "M");
    RUNNING_UNTIL(r, 2000, door_unauthenticated(r->hub.door) == 1);
    hub_stop(&r->hub, false);
    RUNNING_UNTIL(r, 2000, running_closed(fd));
    assert_int_equal(door_unauthenticated(r->hub.door), 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_users),
        cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_tls),
        cmocka_unit_test_setup_teardown(test_a_stranger_is_closed, make, clean),
        cmocka_unit_test_setup_teardown(test_a_forged_ticket_is_closed, make, clean),
        cmocka_unit_test_setup_teardown(test_stalled_bytes_do_not_spin, make, clean),
        cmocka_unit_test_setup_teardown(test_half_a_message_and_the_end, make, clean),
        cmocka_unit_test_setup_teardown(test_one_source_and_its_share, make_tight, clean),
        cmocka_unit_test_setup_teardown(test_shut, make, clean),
    };
    log_init("test_hub_door");
    log_set_level(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
