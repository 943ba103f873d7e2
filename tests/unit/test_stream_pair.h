/* Two edges of a stream and the wires between them, for the tests of the stream. */
#ifndef MULTISSH_TEST_STREAM_PAIR_H
#define MULTISSH_TEST_STREAM_PAIR_H

#include "stream/stream.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the four headers above first. */
#include <cmocka.h>

static const uint8_t pair_key[TICKET_KEY_SIZE] = {7, 7, 7};

static inline struct stream *pair_edge(char role, bool dials, uint32_t window, uint64_t now)
{
    struct stream_config config = {.role = role, .dials = dials, .window = window};
    struct stream *s = NULL;

    memcpy(config.key, pair_key, sizeof config.key);
    assert_int_equal(stream_new(&config, now, &s), 0);
    return s;
}

/* Takes at most max bytes of what s has to say on c, in one go. */
static inline size_t pair_take(struct stream *s, int c, uint8_t *out, size_t max, uint64_t now)
{
    struct stream_iov iov[8];
    size_t n = stream_output(s, c, iov, 8, now), used = 0;

    for (size_t i = 0; i < n; i++) {
        size_t part = iov[i].n < max - used ? iov[i].n : max - used;
        memcpy(out + used, iov[i].data, part);
        used += part;
        if (part < iov[i].n)
            break;
    }
    stream_sent(s, c, used, now);
    return used;
}

/* Moves what from has to say on c to to's connection d; returns the bytes moved. *ret_code as stream_input.
 */
static inline size_t pair_move(struct stream *from, int c, struct stream *to, int d, uint64_t now,
                               int *ret_code)
{
    static uint8_t wire[1 << 20];
    size_t n, all = 0;

    *ret_code = 0;
    while (*ret_code == 0 && (n = pair_take(from, c, wire, sizeof wire, now)) > 0) {
        *ret_code = stream_input(to, d, wire, n, now);
        all += n;
    }
    return all;
}

/* Both directions until all is quiet. Fails the test on a refused handshake. */
static inline void pair_run(struct stream *a, int ca, struct stream *b, int cb, uint64_t now)
{
    size_t n;
    int code;

    do {
        n = pair_move(a, ca, b, cb, now, &code);
        assert_int_equal(code, 0);
        n += pair_move(b, cb, a, ca, now, &code);
        assert_int_equal(code, 0);
    } while (n > 0);
}

static inline void pair_push(struct stream *s, const char *text)
{
    assert_int_equal(stream_source_push(s, text, strlen(text)), 0);
}

/* Takes all that the sink has now and checks it. */
static inline void pair_expect(struct stream *s, const char *text)
{
    const uint8_t *at;
    size_t n, all = strlen(text), done = 0;

    while ((n = stream_sink_peek(s, &at)) > 0) {
        assert_true(done + n <= all);
        assert_memory_equal(at, text + done, n);
        stream_sink_consumed(s, n);
        done += n;
    }
    assert_int_equal(done, all);
}

#endif
