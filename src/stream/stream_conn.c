/* The connections of a stream: their slots, the handshake, and which of them is live.
 *
 * An unproven connection owns its slot (a few hundred bytes) and nothing else. It touches the rest of the
 * stream in one place, stream_conn_proven, after the peer's PROOF held. */
#include "stream/stream_impl.h"
#include <errno.h>
#include <string.h>

static const char proof_label[] = "multissh proof v1"; /* the NUL is part of what is covered */

static bool conn_unproven(const struct conn *k)
{
    return k->phase == CONN_HELLO || k->phase == CONN_PROVING;
}

static void conn_queue(struct conn *k, const uint8_t *frame, size_t n)
{
    memcpy(k->ctl + k->ctl_len, frame, n);
    k->ctl_len += n;
}

void stream_conn_close(struct stream *s, int c)
{
    s->conns[c].phase = CONN_CLOSING;
    s->conns[c].plan_n = 0;
    if (s->live == c) {
        s->live = -1;
        stream_release_acked(s);
    }
}

/* Tells the oldest unproven connection to close when all slots are taken, so that one who holds a ticket but
 * no key cannot keep the true peer out for long. A young one is left alone: it may be the true peer. */
void stream_conn_make_room(struct stream *s)
{
    int oldest = -1;

    for (int c = 0; c < STREAM_CONNS; c++) {
        if (!conn_unproven(&s->conns[c])) {
            if (s->conns[c].phase != CONN_LIVE)
                return; /* free, or soon */
            continue;
        }
        if (oldest < 0 || s->conns[c].attached_at < s->conns[oldest].attached_at)
            oldest = c;
    }
    if (oldest >= 0 && s->now - s->conns[oldest].attached_at >= STREAM_EVICT_MS)
        stream_conn_close(s, oldest);
}

int stream_attach(struct stream *s, uint32_t epoch, uint64_t now)
{
    struct frame_resume resume = {.epoch = epoch, .window = s->window};
    uint8_t frame[FRAME_HEAD + FRAME_RESUME_SIZE];
    struct conn *k;
    int c = 0, r;

    stream_clock(s, now);
    if (s->state != STREAM_OPEN)
        return -ESHUTDOWN;
    if ((int64_t)epoch <= s->epoch_floor)
        return -ESTALE;
    while (c < STREAM_CONNS && s->conns[c].phase != CONN_FREE)
        c++;
    if (c == STREAM_CONNS) {
        stream_conn_make_room(s);
        return -EBUSY;
    }
    r = crypto_random(resume.nonce, sizeof resume.nonce);
    if (r < 0)
        return r;
    resume.received = s->received;
    k = &s->conns[c];
    k->phase = CONN_HELLO;
    k->own_epoch = epoch;
    k->attached_at = s->now;
    k->ctl_off = k->ctl_len = k->plan_n = 0;
    frame_decoder_init(&k->decoder);
    frame_resume_encode(&resume, k->own_resume);
    conn_queue(k, frame, frame_put(frame, FRAME_RESUME, k->own_resume, FRAME_RESUME_SIZE));
    stream_conn_make_room(s);
    return c;
}

void stream_detach(struct stream *s, int c, uint64_t now)
{
    stream_clock(s, now);
    if (c < 0 || c >= STREAM_CONNS || s->conns[c].phase == CONN_FREE)
        return;
    if (s->live == c && s->lost_at == STREAM_NEVER)
        s->lost_at = s->await_since != STREAM_NEVER ? s->await_since : s->now;
    stream_conn_close(s, c);
    crypto_wipe(&s->conns[c], sizeof s->conns[c]);
    s->conns[c].phase = CONN_FREE;
}

static int conn_proof(const struct stream *s, char role, const uint8_t *first, const uint8_t *second,
                      uint8_t out[FRAME_PROOF_SIZE])
{
    const struct crypto_piece pieces[] = {
        {proof_label, sizeof proof_label},
        {&role, 1},
        {first, FRAME_RESUME_SIZE},
        {second, FRAME_RESUME_SIZE},
    };
    return crypto_hmac(s->key, sizeof s->key, pieces, sizeof pieces / sizeof *pieces, out);
}

/* The epoch of a connection whose RESUMEs are both known. */
static uint32_t conn_epoch(const struct conn *k, const struct frame_resume *peer)
{
    return k->own_epoch > peer->epoch ? k->own_epoch : peer->epoch;
}

/* Remembers the peer's RESUME and answers with our PROOF. What it says is not believed yet. */
static int conn_take_resume(struct stream *s, struct conn *k, const uint8_t *payload)
{
    uint8_t proof[FRAME_PROOF_SIZE], frame[FRAME_HEAD + FRAME_PROOF_SIZE];
    struct frame_resume peer;
    uint32_t apart;
    int r;

    frame_resume_decode(payload, &peer);
    apart = peer.epoch > k->own_epoch ? peer.epoch - k->own_epoch : k->own_epoch - peer.epoch;
    if (peer.window < STREAM_WINDOW_MIN || peer.window > STREAM_WINDOW_MAX || apart > STREAM_EPOCH_LEAP)
        return -EPROTO;
    if ((int64_t)conn_epoch(k, &peer) <= s->epoch_floor)
        return -ESTALE;
    memcpy(k->peer_resume, payload, FRAME_RESUME_SIZE);
    r = conn_proof(s, s->role, k->own_resume, k->peer_resume, proof);
    if (r < 0)
        return r;
    k->phase = CONN_PROVING;
    k->resume_at = s->now;
    conn_queue(k, frame, frame_put(frame, FRAME_PROOF, proof, sizeof proof));
    return 0;
}

/* The peer is who it says it is: connection c takes over. */
static void stream_conn_proven(struct stream *s, int c, const struct frame_resume *peer)
{
    struct conn *k = &s->conns[c];
    struct frame_resume own;
    uint32_t epoch = conn_epoch(k, peer);

    for (int other = 0; other < STREAM_CONNS; other++)
        if (other == s->live || (conn_unproven(&s->conns[other]) && s->conns[other].own_epoch < k->own_epoch))
            stream_conn_close(s, other);
    frame_resume_decode(k->own_resume, &own);
    k->phase = CONN_LIVE;
    k->decoder.handshake = false;
    k->out_pos = peer->received;
    k->in_min = k->in_pos = own.received;
    s->live = c;
    s->epoch_floor = epoch;
    if (s->next_epoch <= epoch)
        s->next_epoch = (uint64_t)epoch + 1;
    s->proofs++;
    s->peer_window = peer->window;
    s->lost_at = STREAM_NEVER;
    s->await_since = s->probe_at = STREAM_NEVER;
    s->heard_at = s->ping_at = s->now;
    s->ack_due = s->delivered > 0; /* the last ACK may have been lost with the connection before */
    s->pong_due = false;
    s->done_due = stream_complete(s);
    s->ping_due = true; /* the first round trip is worth knowing */
    s->ping_value = s->now - s->born;
    stream_arm(s);
    if (peer->received > s->sent_max)
        stream_fail(s, STREAM_CODE_PROTOCOL, "the other end claims to have received what was never sent");
}

int stream_conn_handshake(struct stream *s, int c, const struct frame_in *in)
{
    struct conn *k = &s->conns[c];
    uint8_t proof[FRAME_PROOF_SIZE];
    struct frame_resume peer;
    int r;

    if (k->phase == CONN_HELLO)
        return in->type == FRAME_RESUME ? conn_take_resume(s, k, in->payload) : -EPROTO;
    if (in->type != FRAME_PROOF)
        return -EPROTO;
    /* The peer's role is the other one: our own proof, sent back to us, does not hold. */
    r = conn_proof(s, s->role == 'a' ? 'b' : 'a', k->peer_resume, k->own_resume, proof);
    if (r < 0)
        return r;
    r = crypto_equal(proof, in->payload, sizeof proof) ? 0 : -EACCES;
    crypto_wipe(proof, sizeof proof);
    if (r < 0)
        return r;
    frame_resume_decode(k->peer_resume, &peer);
    if ((int64_t)conn_epoch(k, &peer) <= s->epoch_floor)
        return -ESTALE; /* a newer one was proven meanwhile */
    stream_conn_proven(s, c, &peer);
    return 0;
}

bool stream_wants_close(const struct stream *s, int c)
{
    if (c < 0 || c >= STREAM_CONNS || s->conns[c].phase == CONN_FREE)
        return false;
    if (s->conns[c].phase == CONN_CLOSING)
        return true;
    return s->state != STREAM_OPEN && (stream_flushed(s) || s->now - s->end_at >= STREAM_FLUSH_MS);
}
