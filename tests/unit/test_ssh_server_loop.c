/* The poll loop: descriptors, timers, hooks, and removing things in the middle of a turn. */
#include "ssh/ssh_loop.h"

#include "base/io.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct world {
    struct ssh_loop *loop;
    struct ssh_loop_watch *watches[2];
    struct ssh_loop_timer *timers[2];
    int pipe[2];
    unsigned ready, fired, turns, hooks;
    uint64_t fired_at;
};

static void stop(void *arg)
{
    struct world *w = arg;
    w->fired++;
    w->fired_at = ssh_loop_now(w->loop);
    ssh_loop_stop(w->loop);
}

static void count_turn(void *arg)
{
    ((struct world *)arg)->turns++;
}

static void count_hook(void *arg)
{
    ((struct world *)arg)->hooks++;
}

static void begin(struct world *w)
{
    *w = (struct world){0};
    assert_int_equal(ssh_loop_new(&w->loop), 0);
    assert_int_equal(io_pair(false, w->pipe), 0);
    assert_int_equal(ssh_loop_timer(w->loop, stop, w, &w->timers[0]), 0);
}

static void end(struct world *w)
{
    io_close(w->pipe[0]);
    io_close(w->pipe[1]);
    ssh_loop_free(w->loop);
}

static void on_byte(void *arg, short ready)
{
    struct world *w = arg;
    char byte;
    assert_true((ready & POLLIN) != 0);
    assert_int_equal(io_read(w->pipe[0], &byte, 1), 1);
    w->ready++;
    ssh_loop_stop(w->loop);
}

static void test_descriptor(void **state)
{
    struct world w;
    (void)state;
    begin(&w);
    assert_int_equal(ssh_loop_watch(w.loop, w.pipe[0], POLLIN, on_byte, &w, &w.watches[0]), 0);
    assert_int_equal(io_write(w.pipe[1], "x", 1), 1);
    assert_int_equal(ssh_loop_run(w.loop), 0);
    assert_int_equal(w.ready, 1);
    /* Without interest it is not heard of. */
    assert_int_equal(io_write(w.pipe[1], "x", 1), 1);
    ssh_loop_interest(w.watches[0], 0);
    ssh_loop_set(w.timers[0], ssh_loop_now(w.loop) + 30);
    assert_int_equal(ssh_loop_run(w.loop), 0);
    assert_int_equal(w.ready, 1);
    assert_int_equal(w.fired, 1);
    end(&w);
}

static void on_error(void *arg, short ready)
{
    struct world *w = arg;
    assert_true((ready & (POLLERR | POLLHUP)) != 0);
    w->ready++;
    ssh_loop_stop(w->loop);
}

/* A pair whose other end left without having read all is an error all the time: heard of without interest, and not when
 * deaf. */
static void test_deaf(void **state)
{
    struct world w;
    (void)state;
    begin(&w);
    assert_int_equal(io_write(w.pipe[1], "x", 1), 1);
    io_close(w.pipe[0]);
    assert_int_equal(ssh_loop_watch(w.loop, w.pipe[1], SSH_LOOP_DEAF, on_error, &w, &w.watches[0]), 0);
    assert_int_equal(ssh_loop_hook(w.loop, count_turn, &w), 0);
    ssh_loop_set(w.timers[0], ssh_loop_now(w.loop) + 30);
    assert_int_equal(ssh_loop_run(w.loop), 0);
    assert_int_equal(w.ready, 0);
    assert_int_equal(w.fired, 1);
    assert_true(w.turns < 5);
    ssh_loop_interest(w.watches[0], 0);
    assert_int_equal(ssh_loop_run(w.loop), 0);
    assert_int_equal(w.ready, 1);
    w.pipe[0] = -1;
    end(&w);
}

static void test_timer_fires_once_and_not_early(void **state)
{
    struct world w;
    uint64_t at;
    (void)state;
    begin(&w);
    at = ssh_loop_now(w.loop) + 40;
    ssh_loop_set(w.timers[0], at);
    assert_int_equal(ssh_loop_hook(w.loop, count_turn, &w), 0);
    assert_int_equal(ssh_loop_run(w.loop), 0);
    assert_true(w.fired_at >= at);
    assert_int_equal(w.fired, 1);
    assert_true(w.turns < 5); /* it waited, it did not spin */
    ssh_loop_again(w.loop);
    ssh_loop_set(w.timers[0], ssh_loop_now(w.loop));
    assert_int_equal(ssh_loop_run(w.loop), 0);
    assert_int_equal(w.fired, 2);
    end(&w);
}

/* Removes both watches, itself included; the other one, which is ready too, must not be called any more. */
static void on_byte_remove_all(void *arg, short ready)
{
    struct world *w = arg;
    (void)ready;
    w->ready++;
    ssh_loop_unwatch(w->watches[0]);
    ssh_loop_unwatch(w->watches[1]);
    ssh_loop_untimer(w->timers[1]);
    ssh_loop_stop(w->loop);
}

static void never(void *arg)
{
    (void)arg;
    fail_msg("a timer that was removed has fired");
}

static void test_removing_in_the_middle(void **state)
{
    struct world w;
    (void)state;
    begin(&w);
    assert_int_equal(ssh_loop_watch(w.loop, w.pipe[0], POLLIN, on_byte_remove_all, &w, &w.watches[0]), 0);
    assert_int_equal(ssh_loop_watch(w.loop, w.pipe[0], POLLIN, on_byte_remove_all, &w, &w.watches[1]), 0);
    assert_int_equal(ssh_loop_timer(w.loop, never, &w, &w.timers[1]), 0);
    ssh_loop_set(w.timers[1], ssh_loop_now(w.loop));
    assert_int_equal(io_write(w.pipe[1], "x", 1), 1);
    assert_int_equal(ssh_loop_run(w.loop), 0);
    assert_int_equal(w.ready, 1);
    end(&w);
}

static void on_byte_add(void *arg, short ready)
{
    struct world *w = arg;
    struct ssh_loop_watch *more;
    char byte;
    (void)ready;
    assert_int_equal(io_read(w->pipe[0], &byte, 1), 1);
    /* More than the tables hold: they grow under the loop's feet. */
    for (int i = 0; i < 100; i++) {
        assert_int_equal(ssh_loop_watch(w->loop, w->pipe[0], 0, on_byte, w, &more), 0);
    }
    w->ready++;
    ssh_loop_stop(w->loop);
}

static void test_adding_in_the_middle(void **state)
{
    struct world w;
    (void)state;
    begin(&w);
    assert_int_equal(ssh_loop_watch(w.loop, w.pipe[0], POLLIN, on_byte_add, &w, &w.watches[0]), 0);
    assert_int_equal(io_write(w.pipe[1], "x", 1), 1);
    assert_int_equal(ssh_loop_run(w.loop), 0);
    assert_int_equal(w.ready, 1);
    end(&w);
}

static void test_hooks(void **state)
{
    struct world w;
    struct world other = {0};
    (void)state;
    begin(&w);
    assert_int_equal(ssh_loop_hook(w.loop, count_hook, &w), 0);
    assert_int_equal(ssh_loop_hook(w.loop, count_hook, &other), 0);
    assert_int_equal(ssh_loop_hook(w.loop, count_turn, &w), 0);
    assert_int_equal(ssh_loop_hook(w.loop, count_turn, &w), 0);
    assert_true(ssh_loop_hook(w.loop, count_turn, &w) < 0);
    ssh_loop_unhook(w.loop, &other);
    ssh_loop_set(w.timers[0], ssh_loop_now(w.loop));
    assert_int_equal(ssh_loop_run(w.loop), 0);
    assert_int_equal(w.hooks, 1);
    assert_int_equal(w.turns, 2);
    assert_int_equal(other.hooks, 0);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_descriptor),
        cmocka_unit_test(test_deaf),
        cmocka_unit_test(test_timer_fires_once_and_not_early),
        cmocka_unit_test(test_removing_in_the_middle),
        cmocka_unit_test(test_adding_in_the_middle),
        cmocka_unit_test(test_hooks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
