/* The kernel's tables of sockets: recorded ones, in any pieces. */
#include "cmocka_all.h"

#include "agent/listen.h"
#include <string.h>

#define HEAD                                                                                                 \
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
#define REST " 00000000:00000000 00:00000000 00000000     0        0 32474 1 0000000000000000 100 0 0 10 0\n"
#define ROW(n, local, remote, state) "   " n ": " local " " remote " " state REST
#define ZERO6 "00000000000000000000000000000000"

static const char tcp4[] = HEAD ROW("0", "00000000:0016", "00000000:0000", "0A")
    ROW("1", "0100007F:0277", "00000000:0000", "0A") ROW("2", "0200007F:1F90", "00000000:0000", "0A")
        ROW("3", "0100007F:2328", "0100007F:9C40", "01") ROW("4", "00000000:270F", "00000000:0000", "0A");
static const char tcp6[] = HEAD ROW("0", ZERO6 ":0050", ZERO6 ":0000", "0A")
    ROW("1", "00000000000000000000000001000000:01BB", ZERO6 ":0000", "0A")
        ROW("2", "0000000000000000FFFF00000100007F:15B3", ZERO6 ":0000", "0A");

static bool scan(const char *table, bool v6, bool mapped, const uint8_t *addr, size_t n, uint16_t port,
                 size_t piece)
{
    struct listen_scan s = {.v6 = v6, .mapped = mapped, .port = port};
    memcpy(s.addr, addr, n);
    for (size_t at = 0, len = strlen(table); at < len; at += piece)
        listen_scan_feed(&s, table + at, len - at < piece ? len - at : piece);
    return s.found;
}

static void recorded(void **state)
{
    static const uint8_t local[4] = {127, 0, 0, 1}, other[4] = {127, 0, 0, 2}, six[16] = {[15] = 1},
                         six2[16] = {[15] = 2};
    (void)state;
    for (size_t piece = 1; piece < 400; piece += 57) {
        assert_true(scan(tcp4, false, false, local, 4, 22, piece));   /* on every address */
        assert_true(scan(tcp4, false, false, local, 4, 631, piece));  /* on this one */
        assert_false(scan(tcp4, false, false, other, 4, 631, piece)); /* on another one only */
        assert_true(scan(tcp4, false, false, other, 4, 8080, piece));
        assert_false(scan(tcp4, false, false, local, 4, 9000, piece)); /* a connection listens to nobody */
        assert_false(
            scan(tcp4, false, false, local, 4, 9999, piece)); /* behind the listeners nothing is read */
        assert_true(scan(tcp6, true, false, six, 16, 80, piece));
        assert_true(scan(tcp6, true, false, six, 16, 443, piece));
        assert_false(scan(tcp6, true, false, six2, 16, 443, piece));
        assert_true(scan(tcp6, true, true, local, 4, 80, piece)); /* :: takes IPv4 too */
        assert_false(scan(tcp6, true, true, local, 4, 443, piece));
        assert_true(scan(tcp6, true, true, local, 4, 5555, piece)); /* ::ffff:127.0.0.1 */
        assert_false(scan(tcp6, true, true, other, 4, 5555, piece));
    }
}

static void nonsense(void **state)
{
    static const char *const tables[] = {"",
                                         "\n\n",
                                         "::::\n",
                                         HEAD "   0: 0100007F\n",
                                         HEAD "   0: ZZZZZZZZ:0016 0 0A\n",
                                         HEAD "   0: 0100007F:0016 00000000:0000\n"};
    static const uint8_t local[4] = {127, 0, 0, 1};
    char long_line[2000];
    (void)state;
    for (size_t i = 0; i < COUNT(tables); i++)
        assert_false(scan(tables[i], false, false, local, 4, 22, 7));
    memset(long_line, 'A', sizeof long_line - 1);
    long_line[sizeof long_line - 1] = 0;
    assert_false(scan(long_line, false, false, local, 4, 22, 100));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded),
        cmocka_unit_test(nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
