/* Work on threads: done comes in the loop, once each; what nobody waits for any more is released. */
#include "cmocka_all.h"

#include "sshd/workers_windows.h"

#include "base/win.h"
#include <stdatomic.h>
#include <stdlib.h>

#define MANY 300

struct piece {
    struct work work;
    DWORD ran_on;
    HANDLE gate; /* waited for, if there is one */
};

static struct {
    struct ssh_loop *loop;
    unsigned done, wanted;
    DWORD thread;
} here;
static atomic_uint running, most, released;

static void run(struct work *work)
{
    struct piece *p = (struct piece *)work;
    unsigned now = atomic_fetch_add(&running, 1) + 1;
    unsigned before = atomic_load(&most);
    while (now > before && !atomic_compare_exchange_weak(&most, &before, now)) {
    }
    if (p->gate != NULL)
        WaitForSingleObject(p->gate, 20000);
    p->ran_on = GetCurrentThreadId();
    atomic_fetch_sub(&running, 1);
}

static void release(struct work *work)
{
    atomic_fetch_add(&released, 1);
    free(work);
}

static void done(struct work *work)
{
    struct piece *p = (struct piece *)work;
    assert_int_equal(GetCurrentThreadId(), here.thread);
    assert_int_not_equal(p->ran_on, here.thread);
    assert_int_not_equal(p->ran_on, 0);
    free(p);
    if (++here.done == here.wanted)
        ssh_loop_stop(here.loop);
}

static struct work *new_piece(HANDLE gate)
{
    struct piece *p = calloc(1, sizeof *p);
    assert_non_null(p);
    p->work = (struct work){.run = run, .done = done, .release = release};
    p->gate = gate;
    return &p->work;
}

static int set_up(void **state)
{
    (void)state;
    here.done = here.wanted = 0;
    here.thread = GetCurrentThreadId();
    atomic_store(&released, 0);
    atomic_store(&most, 0);
    return ssh_loop_new(&here.loop);
}

static int tear_down(void **state)
{
    (void)state;
    ssh_loop_free(here.loop);
    return 0;
}

static void each_is_done_once(void **state)
{
    struct workers *workers;
    (void)state;
    assert_int_equal(workers_new(here.loop, &workers), 0);
    here.wanted = MANY;
    for (int i = 0; i < MANY; i++)
        assert_int_equal(workers_run(workers, new_piece(NULL)), 0);
    assert_int_equal(ssh_loop_run(here.loop), 0);
    assert_int_equal(here.done, MANY);
    workers_free(workers);
    assert_int_equal(atomic_load(&released), 0);
}

static void one_that_waits_does_not_keep_others(void **state)
{
    HANDLE gate = CreateEventW(NULL, TRUE, FALSE, NULL);
    struct workers *workers;
    (void)state;
    assert_int_equal(workers_new(here.loop, &workers), 0);
    assert_int_equal(workers_run(workers, new_piece(gate)), 0);
    for (int i = 0; i < 10; i++)
        assert_int_equal(workers_run(workers, new_piece(NULL)), 0);
    here.wanted = 10;
    assert_int_equal(ssh_loop_run(here.loop), 0);
    here.wanted = 11;
    SetEvent(gate);
    assert_int_equal(ssh_loop_run(here.loop), 0);
    assert_int_equal(here.done, 11);
    workers_free(workers);
    CloseHandle(gate);
}

static void not_more_threads_than_there_may_be(void **state)
{
    HANDLE gate = CreateEventW(NULL, TRUE, FALSE, NULL);
    struct workers *workers;
    (void)state;
    assert_int_equal(workers_new(here.loop, &workers), 0);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(workers_run(workers, new_piece(gate)), 0);
    while (atomic_load(&running) < 64)
        SwitchToThread();
    here.wanted = MANY;
    SetEvent(gate);
    assert_int_equal(ssh_loop_run(here.loop), 0);
    assert_int_equal(atomic_load(&most), 64);
    workers_free(workers);
    CloseHandle(gate);
}

static void what_nobody_waits_for_is_released(void **state)
{
    HANDLE gate = CreateEventW(NULL, TRUE, FALSE, NULL);
    struct workers *workers;
    (void)state;
    assert_int_equal(workers_new(here.loop, &workers), 0);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(workers_run(workers, new_piece(gate)), 0);
    workers_free(workers);
    SetEvent(gate);
    for (ULONGLONG until = GetTickCount64() + 20000;
         atomic_load(&released) < MANY && GetTickCount64() < until;)
        SwitchToThread();
    assert_int_equal(atomic_load(&released), MANY);
    assert_int_equal(here.done, 0);
    CloseHandle(gate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_is_done_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_that_waits_does_not_keep_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(not_more_threads_than_there_may_be, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_nobody_waits_for_is_released, set_up, tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
