/* A loopback address for each user. */
#include "cmocka_all.h"

#include "agent/loopback.h"
#include <stdio.h>
#include <string.h>
#include <uv.h>

static void stays_in_its_range(void **state)
{
    char user[32], ip[32], again[32];
    unsigned different = 0;
    char last[32] = "";
    (void)state;
    for (unsigned i = 0; i < 70000; i++) {
        snprintf(user, sizeof user, "user%u", i);
        assert_int_equal(loopback_for_user(user, ip, sizeof ip), 0);
        struct sockaddr_in in;
        uint8_t at[4];
        assert_int_equal(uv_ip4_addr(ip, 22, &in), 0);
        memcpy(at, &in.sin_addr, sizeof at);
        assert_int_equal(at[0], 127);
        assert_true(at[1] != 0 || at[2] != 0); /* 127.0.0.0/24 belongs to the host */
        assert_in_range(at[3], 1, 254);
        different += strcmp(ip, last) != 0;
        snprintf(last, sizeof last, "%s", ip);
    }
    assert_int_equal(different, 70000);
    assert_int_equal(loopback_for_user("user69999", again, sizeof again), 0);
    assert_string_equal(again, last); /* the same user has the same one */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(stays_in_its_range)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
