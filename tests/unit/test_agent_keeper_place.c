/* Where keepers are found: what is written is read again, and what is none is passed over. */
#include "cmocka_all.h"

#include "agent/keeper_place.h"
#include "portable.h"
#include <stdlib.h>
#include <string.h>

static struct {
    char folder[FS_PATH_MAX];
    unsigned found;
    struct keeper_place last;
} t;

static void on_place(void *arg, const struct keeper_place *p)
{
    (void)arg;
    t.found++;
    t.last = *p;
}

static void look(unsigned expected)
{
    t.found = 0;
    assert_int_equal(keeper_place_each(t.folder, on_place, NULL), 0);
    assert_int_equal(t.found, expected);
}

static void put(const char *name, const char *text, unsigned mode)
{
    char sessions[FS_PATH_MAX], path[FS_PATH_MAX];
    assert_int_equal(fs_join(sessions, sizeof sessions, t.folder, "sessions"), 0);
    assert_int_equal(fs_join(path, sizeof path, sessions, name), 0);
    assert_int_equal(fs_write_atomic(path, text, strlen(text), mode), 0);
}

static void there_and_back(void **state)
{
    struct keeper_place p;
    struct errmsg err;
    uv_loop_t loop;
    uv_pipe_t pipe;
    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(uv_pipe_init(&loop, &pipe, 0), 0);
    look(0); /* there is not even a folder */
    assert_int_equal(keeper_place_new(&p, t.folder), 0);
    if (keeper_place_take(&p, &pipe, &err) != 0)
        fail_msg("%s", err.text);
    look(1);
    assert_string_equal(t.last.id, p.id);
    assert_memory_equal(t.last.token, p.token, sizeof p.token);
    assert_int_equal(t.last.pid, uv_os_getpid());
    assert_int_equal(t.last.protocol, KEEPER_PROTOCOL);
    assert_string_equal(t.last.version, MULTISSH_VERSION);
    keeper_place_remove(&p);
    look(0);
    uv_close((uv_handle_t *)&pipe, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

#define ID "0123456789abcdef0123456789abcdef"
#define TOKEN ID ID
#define FILE_OF(pid, token) "{\"protocol\":1,\"version\":\"9\",\"pid\":" pid ",\"token\":\"" token "\"}\n"

static void what_is_none(void **state)
{
    char sessions[FS_PATH_MAX];
    static const char *const texts[] = {"",
                                        "\n",
                                        "{}",
                                        "x",
                                        FILE_OF("0", TOKEN),
                                        FILE_OF("-3", TOKEN),
                                        FILE_OF("1e20", TOKEN),
                                        FILE_OF("7", ""),
                                        FILE_OF("7", ID),
                                        FILE_OF("7", TOKEN "00"),
                                        "{\"version\":\"9\",\"pid\":7,\"token\":\"" TOKEN "\"}"};
    (void)state;
    assert_int_equal(fs_join(sessions, sizeof sessions, t.folder, "sessions"), 0);
    assert_int_equal(fs_mkdir_private(sessions), 0);
    put(ID ".keeper", FILE_OF("7", TOKEN), 0600);
    look(1);
    assert_int_equal(t.last.pid, 7);
    assert_string_equal(t.last.version, "9");
    for (size_t i = 0; i < COUNT(texts); i++) {
        put(ID ".keeper", texts[i], 0600);
        look(0);
    }
    put(ID ".keeper", FILE_OF("7", TOKEN), 0644); /* others may read the token */
    look(0);
    put(ID ".keeper", FILE_OF("7", TOKEN), 0600);
    put(ID ".keepers", FILE_OF("7", TOKEN), 0600);
    put("0123456789ABCDEF0123456789ABCDEF.keeper", FILE_OF("7", TOKEN), 0600);
    put(".keeper", FILE_OF("7", TOKEN), 0600);
    put(ID ".socket", FILE_OF("7", TOKEN), 0600);
    look(1);
}

static void given(void **state)
{
    struct keeper_place p;
    (void)state;
    assert_int_equal(keeper_place_given(&p, t.folder, ID, TOKEN), 0);
    assert_int_not_equal(keeper_place_given(&p, t.folder, NULL, TOKEN), 0);
    assert_int_not_equal(keeper_place_given(&p, t.folder, ID, NULL), 0);
    assert_int_not_equal(keeper_place_given(&p, t.folder, "../../../../etc/0123456789abcdef0", TOKEN), 0);
    assert_int_not_equal(keeper_place_given(&p, t.folder, ID "0", TOKEN), 0);
    assert_int_not_equal(keeper_place_given(&p, t.folder, ID, ID), 0);
}

/* Each side's proof is its own, and for these two nonces and this token alone. */
static void proofs(void **state)
{
    struct keeper_place p, other;
    uint8_t a[KEEPER_NONCE_SIZE] = {1}, b[KEEPER_NONCE_SIZE] = {2};
    uint8_t mac[6][CRYPTO_HASH_SIZE];
    (void)state;
    assert_int_equal(keeper_place_new(&p, t.folder), 0);
    assert_int_equal(keeper_place_new(&other, t.folder), 0);
    assert_int_equal(keeper_place_proof(&p, 'c', a, b, mac[0]), 0);
    assert_int_equal(keeper_place_proof(&p, 'k', a, b, mac[1]), 0);
    assert_int_equal(keeper_place_proof(&p, 'c', b, a, mac[2]), 0);
    assert_int_equal(keeper_place_proof(&p, 'c', a, a, mac[3]), 0);
    assert_int_equal(keeper_place_proof(&other, 'c', a, b, mac[4]), 0);
    assert_int_equal(keeper_place_proof(&p, 'c', a, b, mac[5]), 0);
    for (size_t i = 1; i < 5; i++)
        assert_memory_not_equal(mac[0], mac[i], CRYPTO_HASH_SIZE);
    assert_memory_equal(mac[0], mac[5], CRYPTO_HASH_SIZE);
}

static int setup(void **state)
{
    (void)state;
    return portable_folder(t.folder, sizeof t.folder);
}

static int teardown(void **state)
{
    (void)state;
    return portable_remove(t.folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(there_and_back, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_none, setup, teardown),
        cmocka_unit_test_setup_teardown(given, setup, teardown),
        cmocka_unit_test_setup_teardown(proofs, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
