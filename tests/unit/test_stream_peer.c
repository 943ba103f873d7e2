/* Peers that are not what they should be: thieves without the key, replays, reflections, and proven peers
 * that break the protocol. The rogue here speaks the format by hand, so that these tests also hold the format
 * fast. */
#include "stream/frame.h"
#include "test_stream_pair.h"

static void put_be(uint8_t *out, uint64_t value, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)(value >> (8 * (n - 1 - i)));
}

/* One frame, written out. */
static size_t frame_bytes(uint8_t *out, uint8_t type, const void *payload, size_t n)
{
    out[0] = type;
    put_be(out + 1, n, 4);
    if (n)
        memcpy(out + 5, payload, n);
    return 5 + n;
}

static void resume_payload(uint8_t out[48], uint8_t nonce, uint32_t epoch, uint64_t received, uint32_t window)
{
    memset(out, nonce, 32);
    put_be(out + 32, epoch, 4);
    put_be(out + 36, received, 8);
    put_be(out + 44, window, 4);
}

static void proof_payload(const uint8_t key[32], char role, const uint8_t *own, const uint8_t *peer,
                          uint8_t out[32])
{
    const struct crypto_piece pieces[] = {{"multissh proof v1", 18}, {&role, 1}, {own, 48}, {peer, 48}};

    assert_int_equal(crypto_hmac(key, 32, pieces, 4, out), 0);
}

/* An edge under test and one connection on which the test speaks. */
struct rogue {
    struct stream *s;
    int c;
    uint64_t now;
    uint8_t theirs[48]; /* the payload of the edge's RESUME */
};

static int rogue_send(struct rogue *r, const void *data, size_t n)
{
    return stream_input(r->s, r->c, data, n, r->now);
}

static int rogue_frame(struct rogue *r, uint8_t type, const void *payload, size_t n)
{
    static uint8_t bytes[5 + 300000];
    return rogue_send(r, bytes, frame_bytes(bytes, type, payload, n));
}

static int rogue_u64(struct rogue *r, uint8_t type, uint64_t value)
{
    uint8_t payload[8];

    put_be(payload, value, 8);
    return rogue_frame(r, type, payload, 8);
}

static int rogue_data(struct rogue *r, uint64_t sequence, size_t n)
{
    static uint8_t payload[300000];

    put_be(payload, sequence, 8);
    memset(payload + 8, 'd', n);
    return rogue_frame(r, FRAME_DATA, payload, 8 + n);
}

static size_t rogue_receive(struct rogue *r, uint8_t *out, size_t max)
{
    size_t n, all = 0;

    while (all < max && (n = pair_take(r->s, r->c, out + all, max - all, r->now)) > 0)
        all += n;
    return all;
}

/* Opens a connection with the given epoch and reads the edge's RESUME. */
static void rogue_attach(struct rogue *r, uint32_t epoch)
{
    uint8_t bytes[53 + 1];

    r->c = stream_attach(r->s, epoch, r->now);
    assert_true(r->c >= 0);
    assert_int_equal(rogue_receive(r, bytes, sizeof bytes), 53);
    assert_memory_equal(bytes, "\1\0\0\0\x30", 5);
    memcpy(r->theirs, bytes + 5, 48);
}

/* Handshake as role 'b'; the code of the proof is returned. */
static int rogue_prove(struct rogue *r, const uint8_t key[32], uint32_t epoch, uint64_t received,
                       uint32_t window)
{
    uint8_t resume[48], proof[32], theirs[64], expected[32];
    int code;

    resume_payload(resume, 0xbb, epoch, received, window);
    code = rogue_frame(r, FRAME_RESUME, resume, 48);
    if (code < 0)
        return code;
    assert_int_equal(rogue_receive(r, theirs, sizeof theirs), 37); /* its proof, and nothing else */
    assert_memory_equal(theirs, "\2\0\0\0\x20", 5);
    proof_payload(pair_key, 'a', r->theirs, resume, expected);
    assert_memory_equal(theirs + 5, expected, 32);
    proof_payload(key, 'b', resume, r->theirs, proof);
    return rogue_frame(r, FRAME_PROOF, proof, 32);
}

static struct rogue rogue_new(void)
{
    struct rogue r = {.now = 50000};

    r.s = pair_edge('a', false, STREAM_WINDOW_MIN, r.now);
    return r;
}

/* Proven, with 10 bytes sent by the edge and 5 by the rogue. */
static struct rogue rogue_proven(void)
{
    struct rogue r = rogue_new();
    uint8_t out[256];

    rogue_attach(&r, 0);
    assert_int_equal(rogue_prove(&r, pair_key, 0, 0, STREAM_WINDOW_MIN), 0);
    assert_int_equal(stream_live(r.s), r.c);
    pair_push(r.s, "0123456789");
    assert_int_equal(rogue_receive(&r, out, sizeof out), 13 + 13 + 10);
    assert_int_equal(out[0], FRAME_PING);
    assert_memory_equal(out + 13,
                        "\3\0\0\0\x12\0\0\0\0\0\0\0\0"
                        "0123456789",
                        23);
    assert_int_equal(rogue_data(&r, 0, 5), 0);
    assert_int_equal(rogue_u64(&r, FRAME_ACK, 4), 0);
    assert_int_equal(stream_state(r.s), STREAM_OPEN);
    assert_int_equal(stream_source_room(r.s), STREAM_WINDOW_MIN - 6);
    return r;
}

/* The stream failed for the reason given, and says so to the peer. */
static void rogue_expect_failed(struct rogue *r, int code, const char *why)
{
    uint8_t out[512];
    size_t n;

    assert_int_equal(code, 0);
    assert_int_equal(stream_state(r->s), STREAM_FAILED);
    assert_string_equal(stream_reason(r->s), why);
    n = rogue_receive(r, out, sizeof out);
    assert_true(n >= 7 + strlen(why));
    n -= 7 + strlen(why);
    assert_int_equal(out[n], FRAME_RESET);
    assert_memory_equal(out + n + 5, "\0\1", 2);
    assert_memory_equal(out + n + 7, why, strlen(why));
    assert_true(stream_wants_close(r->s, r->c));
    stream_free(r->s);
}

#define BREAKS(why, send)                                                                                    \
    do {                                                                                                     \
        struct rogue r = rogue_proven();                                                                     \
        int code = (send);                                                                                   \
        rogue_expect_failed(&r, code, "protocol error: " why);                                               \
    } while (0)

static void test_proven_peer_breaks_the_protocol(void **state)
{
    static uint8_t zeros[300000];
    uint8_t resume[48] = {0};

    (void)state;
    BREAKS("an acknowledgement came for what was never sent", rogue_u64(&r, FRAME_ACK, 11));
    BREAKS("an acknowledgement came for what was never sent", rogue_u64(&r, FRAME_ACK, UINT64_MAX));
    BREAKS("an acknowledgement went back", rogue_u64(&r, FRAME_ACK, 3));
    BREAKS("data came out of order", rogue_data(&r, 6, 1));
    BREAKS("data came out of order", rogue_data(&r, 4, 1));
    BREAKS("data came out of order", rogue_data(&r, UINT64_MAX, 1));
    BREAKS("data came beyond the window", rogue_data(&r, 5, STREAM_WINDOW_MIN - 4));
    BREAKS("data came after the end", (rogue_u64(&r, FRAME_EOF, 5), rogue_data(&r, 6, 1)));
    BREAKS("an end came out of order", (rogue_u64(&r, FRAME_EOF, 5), rogue_u64(&r, FRAME_EOF, 5)));
    BREAKS("an end came out of order", (rogue_u64(&r, FRAME_EOF, 5), rogue_u64(&r, FRAME_EOF, 6)));
    BREAKS("data came out of order", (rogue_u64(&r, FRAME_EOF, 5), rogue_data(&r, 5, 1)));
    BREAKS("an end came out of order", rogue_u64(&r, FRAME_EOF, 4));
    BREAKS("an end came out of order", rogue_u64(&r, FRAME_EOF, 6));
    BREAKS("the other end was done too early", rogue_frame(&r, FRAME_DONE, NULL, 0));
    BREAKS("a second handshake came", rogue_frame(&r, FRAME_RESUME, resume, 48));
    BREAKS("a second handshake came", rogue_frame(&r, FRAME_PROOF, resume, 32));
    BREAKS("a frame has an impossible length", rogue_data(&r, 5, 0));
    BREAKS("a frame has an impossible length", rogue_data(&r, 5, FRAME_DATA_MAX + 1));
    BREAKS("a frame has an impossible length", rogue_frame(&r, FRAME_DATA, zeros, 7));
    BREAKS("a frame has an impossible length", rogue_frame(&r, FRAME_ACK, zeros, 7));
    BREAKS("a frame has an impossible length", rogue_frame(&r, FRAME_EOF, NULL, 0));
    BREAKS("a frame has an impossible length", rogue_frame(&r, FRAME_PING, zeros, 9));
    BREAKS("a frame has an impossible length", rogue_frame(&r, FRAME_PONG, zeros, 16));
    BREAKS("a frame has an impossible length", rogue_frame(&r, FRAME_RESET, zeros, 1));
    BREAKS("a frame has an impossible length", rogue_frame(&r, FRAME_RESET, zeros, 203));
    BREAKS("a frame has an impossible length", rogue_frame(&r, FRAME_DONE, zeros, 1));
    BREAKS("a frame has an impossible length", rogue_frame(&r, 77, zeros, 4097));
    BREAKS("a frame has an impossible length", rogue_send(&r, "\4\xff\xff\xff\xff", 5));
}

/* On a later connection: an EOF at another place, data behind a known EOF, ACKs that go back. */
static void test_breaks_after_a_resume(void **state)
{
    (void)state;
    for (int what = 0; what < 5; what++) {
        struct rogue r = rogue_proven();
        int code = 0;
        static const char *const why[] = {
            "protocol error: an end came out of order",
            "protocol error: data came after the end",
            "protocol error: data came out of order",
            "protocol error: an acknowledgement went back",
            "protocol error: the other end claims to have received what was never sent",
        };
        assert_int_equal(rogue_u64(&r, FRAME_EOF, 5), 0);
        stream_detach(r.s, r.c, r.now);
        rogue_attach(&r, 1);
        code = rogue_prove(&r, pair_key, 1, what == 4 ? 11 : 10, STREAM_WINDOW_MIN);
        assert_int_equal(code, 0);
        if (what == 0)
            code = rogue_u64(&r, FRAME_EOF, 4);
        else if (what == 1)
            code = rogue_data(&r, 6, 1);
        else if (what == 2)
            code = rogue_data(&r, 4, 1); /* below what was announced: it was told that this had come */
        else if (what == 3)
            code = rogue_u64(&r, FRAME_ACK, 3);
        rogue_expect_failed(&r, code, why[what]);
    }
}

static void test_small_unknown_frames_are_skipped(void **state)
{
    struct rogue r = rogue_proven();
    uint8_t zeros[4096] = {0};

    (void)state;
    assert_int_equal(rogue_frame(&r, 77, zeros, sizeof zeros), 0);
    assert_int_equal(rogue_frame(&r, 0, NULL, 0), 0);
    assert_int_equal(rogue_frame(&r, 255, zeros, 1), 0);
    assert_int_equal(rogue_u64(&r, FRAME_PONG, 1), 0);          /* a PONG that was not asked for */
    assert_int_equal(rogue_u64(&r, FRAME_PONG, UINT64_MAX), 0); /* means nothing */
    assert_int_equal(rogue_data(&r, 5, 1), 0);
    assert_int_equal(stream_state(r.s), STREAM_OPEN);
    pair_expect(r.s, "dddddd");
    stream_free(r.s);
}

static void test_byte_by_byte(void **state)
{
    struct rogue r = rogue_proven();
    uint8_t bytes[64];
    size_t n = 0;

    (void)state;
    n += frame_bytes(bytes + n, FRAME_DATA, "\0\0\0\0\0\0\0\5xyz", 11);
    n += frame_bytes(bytes + n, 99, "??", 2);
    n += frame_bytes(bytes + n, FRAME_EOF, "\0\0\0\0\0\0\0\x8", 8);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(rogue_send(&r, bytes + i, 1), 0);
    pair_expect(r.s, "dddddxyz");
    assert_true(stream_sink_eof(r.s));
    stream_free(r.s);
}

static void test_ping_flood_piles_nothing_up(void **state)
{
    struct rogue r = rogue_proven();
    uint8_t out[256];

    (void)state;
    for (uint64_t i = 0; i < 10000; i++)
        assert_int_equal(rogue_u64(&r, FRAME_PING, i), 0);
    assert_int_equal(rogue_receive(&r, out, sizeof out), 13);
    assert_memory_equal(out, "\7\0\0\0\x8\0\0\0\0\0\0\x27\x0f", 13);
    stream_free(r.s);
}

/* Frames that come before the proof, on a second connection, leave the live one and the stream as they were.
 */
static void test_unproven_changes_nothing(void **state)
{
    struct rogue live = rogue_proven(), thief = live;
    uint8_t payload[64] = {0}, proof[32] = {0}, out[256];
    static const uint8_t wrong[32] = {7, 7, 8};
    struct stream_stats before, after;

    (void)state;
    stream_get_stats(live.s, &before);
    for (int what = 0; what < 14; what++) {
        int code = 0, expected = -EPROTO;

        rogue_attach(&thief, 5 + (uint32_t)what);
        assert_true(thief.c != live.c);
        resume_payload(payload, 1, 5, 3, STREAM_WINDOW_MIN);
        switch (what) {
        case 0:
            code = rogue_u64(&thief, FRAME_ACK, 10);
            break;
        case 1:
            code = rogue_data(&thief, 5, 10);
            break;
        case 2:
            code = rogue_frame(&thief, FRAME_RESET, "\0\1die", 5);
            break;
        case 3:
            code = rogue_frame(&thief, FRAME_PROOF, proof, 32);
            break;
        case 4:
            code = rogue_send(&thief, "GET / HTTP/1.1\r\n", 16);
            break;
        case 5:
            resume_payload(payload, 1, 5, 3, STREAM_WINDOW_MIN - 1);
            code = rogue_frame(&thief, FRAME_RESUME, payload, 48);
            break;
        case 6:
            resume_payload(payload, 1, 5, 3, STREAM_WINDOW_MAX + 1);
            code = rogue_frame(&thief, FRAME_RESUME, payload, 48);
            break;
        case 7:
            resume_payload(payload, 1, 11 + STREAM_EPOCH_LEAP + 3, 3, STREAM_WINDOW_MIN);
            code = rogue_frame(&thief, FRAME_RESUME, payload, 48);
            break;
        case 8:
            code = rogue_frame(&thief, FRAME_RESUME, payload, 47);
            break;
        case 9: /* RESUME twice */
            assert_int_equal(rogue_frame(&thief, FRAME_RESUME, payload, 48), 0);
            code = rogue_frame(&thief, FRAME_RESUME, payload, 48);
            break;
        case 10:
            code = rogue_frame(&thief, 77, NULL, 0);
            break;
        case 11: /* the ticket line only: no key at all */
            assert_int_equal(rogue_frame(&thief, FRAME_RESUME, payload, 48), 0);
            code = rogue_frame(&thief, FRAME_PROOF, proof, 32);
            expected = -EACCES;
            break;
        case 12:
            code = rogue_prove(&thief, wrong, 17, 10, STREAM_WINDOW_MIN);
            expected = -EACCES;
            break;
        case 13: /* data between RESUME and PROOF */
            assert_int_equal(rogue_frame(&thief, FRAME_RESUME, payload, 48), 0);
            code = rogue_data(&thief, 5, 10);
            break;
        }
        assert_int_equal(code, expected);
        assert_int_equal(stream_input(thief.s, thief.c, "x", 1, thief.now), -EINVAL); /* it is detached */
        assert_int_equal(stream_output(thief.s, thief.c, (struct stream_iov[1]){{0}}, 1, thief.now), 0);
        assert_int_equal(stream_live(live.s), live.c);
    }
    stream_get_stats(live.s, &after);
    assert_int_equal(before.sent, after.sent);
    assert_int_equal(before.received, after.received);
    assert_int_equal(before.resumes, after.resumes);
    assert_int_equal(before.held, after.held);
    assert_int_equal(rogue_data(&live, 5, 2), 0);
    assert_int_equal(rogue_u64(&live, FRAME_ACK, 10), 0);
    pair_expect(live.s, "ddddddd");
    assert_int_equal(rogue_receive(&live, out, sizeof out), 0);
    assert_int_equal(stream_source_room(live.s), STREAM_WINDOW_MIN);
    stream_free(live.s);
}

/* Before the peer's proof, an edge says RESUME and PROOF, whatever it has to say. */
static void test_nothing_is_told_before_the_proof(void **state)
{
    struct rogue r = rogue_new();
    uint8_t payload[48], out[256];

    (void)state;
    pair_push(r.s, "secret");
    stream_source_eof(r.s);
    rogue_attach(&r, 0);
    resume_payload(payload, 9, 0, 0, STREAM_WINDOW_MIN);
    assert_int_equal(rogue_frame(&r, FRAME_RESUME, payload, 48), 0);
    assert_int_equal(rogue_receive(&r, out, sizeof out), 37);
    stream_tick(r.s, r.now += 5000);
    assert_int_equal(rogue_receive(&r, out, sizeof out), 0);
    stream_free(r.s);
}

/* A listener recorded a whole connection of b and plays it to a again, and one of a to b. */
static void test_replay(void **state)
{
    uint8_t from_b[4096], from_a[4096], out[256];
    size_t nb = 0, na = 0, n;
    uint64_t now = 1;
    struct stream *a = pair_edge('a', false, 0, now), *b = pair_edge('b', true, 0, now);
    int ca = stream_attach(a, 0, now), cb = stream_attach(b, 0, now);

    (void)state;
    pair_push(b, "rm -rf /\n");
    for (int i = 0; i < 4; i++) {
        n = pair_take(b, cb, from_b + nb, sizeof from_b - nb, now);
        assert_int_equal(stream_input(a, ca, from_b + nb, n, now), 0);
        nb += n;
        n = pair_take(a, ca, from_a + na, sizeof from_a - na, now);
        assert_int_equal(stream_input(b, cb, from_a + na, n, now), 0);
        na += n;
    }
    pair_expect(a, "rm -rf /\n");
    stream_detach(a, ca, now);
    stream_detach(b, cb, now);
    assert_int_equal(stream_attach(a, 0, now), -ESTALE);
    ca = stream_attach(a, 1, now);
    cb = stream_attach(b, 1, now);
    assert_int_equal(stream_input(a, ca, from_b, nb, now), -EACCES);
    assert_int_equal(stream_input(b, cb, from_a, na, now), -EACCES);
    /* a fresh edge (the same ticket after a restart, say) is no better a victim */
    struct stream *fresh = pair_edge('a', false, 0, now);
    ca = stream_attach(fresh, 0, now);
    pair_take(fresh, ca, out, sizeof out, now);
    assert_int_equal(stream_input(fresh, ca, from_b, nb, now), -EACCES);
    assert_false(stream_ever_live(fresh));
    stream_free(fresh);
    stream_free(a);
    stream_free(b);
}

/* An edge's own words, sent back to it: on the same connection, and crossed between two. */
static void test_reflection(void **state)
{
    struct stream *a = pair_edge('a', false, 0, 1);
    uint8_t bytes[256], other[256];
    int c = stream_attach(a, 0, 1), d, code;
    size_t n;

    (void)state;
    n = pair_take(a, c, bytes, sizeof bytes, 1);
    assert_int_equal(stream_input(a, c, bytes, n, 1), 0);
    n = pair_take(a, c, bytes, sizeof bytes, 1);
    assert_int_equal(n, 37);
    assert_int_equal(stream_input(a, c, bytes, n, 1), -EACCES);

    c = stream_attach(a, 1, 1);
    d = stream_attach(a, 2, 1);
    n = pair_take(a, c, bytes, sizeof bytes, 1);
    assert_int_equal(pair_take(a, d, other, sizeof other, 1), n);
    assert_int_equal(stream_input(a, c, other, n, 1), 0);
    assert_int_equal(stream_input(a, d, bytes, n, 1), 0);
    n = pair_take(a, c, bytes, sizeof bytes, 1);
    code = stream_input(a, d, bytes, n, 1);
    assert_int_equal(code, -EACCES);
    assert_int_equal(stream_live(a), -1);
    stream_free(a);
}

/* Somebody between the edges changes one byte of what a RESUME or PROOF says. */
static void test_changes_on_the_way(void **state)
{
    (void)state;
    for (size_t at = 5; at < 5 + 48 + 5 + 32; at++) {
        struct stream *a = pair_edge('a', false, 0, 1), *b = pair_edge('b', true, 0, 1);
        int ca = stream_attach(a, 0x01000000, 1), cb = stream_attach(b, 0x01000000, 1), code = 0;
        uint8_t bytes[256];
        size_t n = pair_take(b, cb, bytes, sizeof bytes, 1);

        if (at >= 53 && at < 58) { /* the PROOF's head: a broken frame, elsewhere */
            stream_free(a);
            stream_free(b);
            continue;
        }
        pair_move(a, ca, b, cb, 1, &code);
        n += pair_take(b, cb, bytes + n, sizeof bytes - n, 1);
        assert_int_equal(n, 53 + 37);
        bytes[at] ^= 1;
        code = stream_input(a, ca, bytes, n, 1);
        assert_true(code == -EACCES || (code == -EPROTO && at >= 5 + 32 && at < 5 + 48));
        assert_false(stream_ever_live(a));
        stream_free(a);
        stream_free(b);
    }
}

static void test_stale_epochs(void **state)
{
    struct stream *a = pair_edge('a', false, 0, 1), *b = pair_edge('b', true, 0, 1);
    int a3, b3, a4, b4, code;

    (void)state;
    a3 = stream_attach(a, 3, 1);
    b3 = stream_attach(b, 3, 1);
    a4 = stream_attach(a, 4, 1);
    b4 = stream_attach(b, 4, 1);
    /* b's RESUME and PROOF of 3 are on their way to a while 4 is proven */
    pair_move(a, a3, b, b3, 1, &code);
    pair_run(a, a4, b, b4, 1);
    assert_int_equal(stream_live(a), a4);
    assert_int_equal(stream_live(b), b4);
    assert_true(stream_wants_close(a, a3)); /* superseded before it was proven */
    pair_move(b, b3, a, a3, 1, &code);
    assert_int_equal(stream_live(a), a4);
    assert_int_equal(stream_attach(a, 4, 1), -ESTALE);
    assert_int_equal(stream_attach(a, 2, 1), -ESTALE);
    stream_detach(a, a4, 1);
    assert_int_equal(stream_attach(a, 4, 1), -ESTALE); /* also when it is gone */
    stream_free(a);
    stream_free(b);
}

/* Two of the same epoch: the first that is proven wins, the other is refused when its proof comes. */
static void test_same_epoch_twice(void **state)
{
    struct rogue r = rogue_new(), twin;
    uint8_t resume[48], proof[32], out[64];

    (void)state;
    rogue_attach(&r, 0);
    twin = r;
    rogue_attach(&twin, 0);
    resume_payload(resume, 0xcc, 0, 0, STREAM_WINDOW_MIN);
    assert_int_equal(rogue_frame(&twin, FRAME_RESUME, resume, 48), 0);
    rogue_receive(&twin, out, sizeof out);
    assert_int_equal(rogue_prove(&r, pair_key, 0, 0, STREAM_WINDOW_MIN), 0);
    assert_int_equal(stream_live(r.s), r.c);
    proof_payload(pair_key, 'b', resume, twin.theirs, proof);
    assert_int_equal(rogue_frame(&twin, FRAME_PROOF, proof, 32), -ESTALE);
    assert_int_equal(stream_live(r.s), r.c);
    stream_free(r.s);
}

/* Where both edges dial, each with epochs of its own, the larger one counts, for both. */
static void test_unequal_epochs(void **state)
{
    struct stream *a = pair_edge('a', true, 0, 1), *b = pair_edge('b', true, 0, 1);
    int ca = stream_attach(a, 7, 1), cb = stream_attach(b, 2, 1);
    uint32_t epoch;

    (void)state;
    pair_run(a, ca, b, cb, 1);
    assert_int_equal(stream_live(a), ca);
    assert_int_equal(stream_live(b), cb);
    assert_int_equal(stream_attach(b, 7, 1), -ESTALE);
    stream_detach(a, ca, 2);
    stream_detach(b, cb, 2);
    assert_true(stream_wants_dial(a, 2, &epoch));
    assert_int_equal(epoch, 8);
    assert_true(stream_wants_dial(b, 2, &epoch));
    assert_int_equal(epoch, 8);
    stream_free(a);
    stream_free(b);
}

static void test_slots(void **state)
{
    struct rogue r = rogue_proven();
    int first, c;

    (void)state;
    first = stream_attach(r.s, 1, r.now);
    assert_true(stream_attach(r.s, 2, r.now) >= 0 && stream_attach(r.s, 3, r.now) >= 0);
    assert_int_equal(stream_attach(r.s, 4, r.now), -EBUSY);
    for (c = 0; c < STREAM_CONNS; c++)
        assert_false(stream_wants_close(r.s, c));
    r.now += 2000;
    assert_int_equal(stream_attach(r.s, 4, r.now), -EBUSY);
    assert_true(stream_wants_close(r.s, first));
    assert_int_equal(stream_live(r.s), r.c);
    stream_detach(r.s, first, r.now);
    stream_detach(r.s, first, r.now);
    stream_detach(r.s, -1, r.now);
    stream_detach(r.s, STREAM_CONNS, r.now);
    assert_int_equal(stream_attach(r.s, 4, r.now), first);
    assert_true(stream_next_tick(r.s) <= r.now + 8000);
    stream_tick(r.s, r.now + 10000);
    for (c = 0; c < STREAM_CONNS; c++)
        assert_true(stream_wants_close(r.s, c) == (c != r.c));
    stream_free(r.s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_proven_peer_breaks_the_protocol),
        cmocka_unit_test(test_breaks_after_a_resume),
        cmocka_unit_test(test_small_unknown_frames_are_skipped),
        cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_ping_flood_piles_nothing_up),
        cmocka_unit_test(test_unproven_changes_nothing),
        cmocka_unit_test(test_nothing_is_told_before_the_proof),
        cmocka_unit_test(test_replay),
        cmocka_unit_test(test_reflection),
        cmocka_unit_test(test_changes_on_the_way),
        cmocka_unit_test(test_stale_epochs),
        cmocka_unit_test(test_same_epoch_twice),
        cmocka_unit_test(test_unequal_epochs),
        cmocka_unit_test(test_slots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
