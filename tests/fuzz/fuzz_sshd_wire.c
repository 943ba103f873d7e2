/* Messages between speaker and monitor: reading any bytes in any order stays within them, and what was bad
 * once stays bad; what is read whole is written again as it was. */
#include "sshd/wire.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* The first byte says in which order texts (1) and numbers (0) are read. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct wire_in in;
    struct buf out;
    unsigned order;
    if (n == 0)
        return 0;
    order = data[0];
    wire_open(&in, data + 1, n - 1);
    require(in.bad == (n - 1 < 8));
    wire_begin(&out, (enum wire_type)in.type, in.id);
    for (unsigned i = 0; i < 8 && !in.bad && in.left > 0; i++) {
        if ((order >> i & 1) != 0) {
            size_t before = in.left;
            char *text = wire_text(&in, 64);
            require((text == NULL) == in.bad);
            if (text != NULL) {
                require(strlen(text) <= 64 && before - in.left == strlen(text) + 4);
                wire_put_text(&out, text);
            }
            free(text);
        } else {
            wire_put_number(&out, wire_number(&in));
        }
    }
    if (wire_done(&in)) {
        require(buf_len(&out) == n - 1 && memcmp(buf_data(&out), data + 1, n - 1) == 0);
    } else if (in.bad) {
        require(wire_number(&in) == 0 && wire_text(&in, SIZE_MAX) == NULL);
    }
    buf_wipe(&out);
    return 0;
}
