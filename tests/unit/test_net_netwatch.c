/* Changes of the network: who watches keeps no loop alive, and leaves nothing behind. What is told of is seen in the
 * end-to-end tests, which make networks. */
#include "cmocka_all.h"

#include "net/netwatch.h"

static void on_change(void *arg)
{
    (void)arg;
}

static void comes_and_goes(void **state)
{
    struct netwatch *w[3] = {NULL, NULL, NULL};
    uv_loop_t loop;
    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    for (size_t i = 0; i < COUNT(w); i++)
        assert_int_equal(netwatch_new(&loop, on_change, NULL, &w[i]), 0);
    assert_false(uv_loop_alive(&loop));
    for (size_t i = 0; i < COUNT(w); i++)
        netwatch_free(w[i]);
    netwatch_free(NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(comes_and_goes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
