/* Two edges in a bad world: connections that are cut, freeze, overlap, deliver late and in crumbs; edges that
 * sleep for minutes, or whose clock jumps; thieves that hold a ticket and no key, or what was said on an
 * earlier connection. Deterministic: SIM_SEED chooses the world (printed when it fails), SIM_STEPS how long it
 * is looked at.
 *
 * What must hold at every step: what arrives is a prefix of what was sent, each edge's memory stays within
 * its windows, no timer spins, no epoch is taken that is not above all that were proven. When the world has been at
 * peace for a while both edges live on the same connection, and on one only. And at the end of each run:
 * all of it has arrived, EOF last, and both edges are done; or, where the world does not become better, each
 * has ended by its patience and not before. */
#include "test_stream_pair.h"
#include <inttypes.h>

#define LINKS 12
#define WIRE 32768
#define CHUNKS 64
#define TABLE 65521
#define CALM_MS 60000 /* an idle edge finds out by its PINGs alone, of which there is one in 30 s */

static uint64_t rng;
static uint8_t table[TABLE]; /* byte i of what edge e sends is table[(i + e * 7919) % TABLE] */

static uint64_t rnd(uint64_t n)
{
    uint64_t z = rng += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % n;
}

/* One direction of a link: bytes that become readable at their time, in order. */
struct wire {
    uint8_t bytes[WIRE];
    size_t head, len;
    struct {
        uint64_t at;
        size_t n;
    } chunk[CHUNKS];
    size_t chunks;
    bool fin;
    uint64_t fin_at;
};

enum side { SIDE_AWAY, SIDE_COMING, SIDE_UP, SIDE_CLOSED };

struct link {
    bool used, frozen;
    enum side side[2];
    uint32_t epoch[2];
    int slot[2];
    uint64_t coming_at[2];
    uint64_t delay;
    size_t heard[2];           /* bytes that came to edge i */
    uint64_t stalled_until[2]; /* [i]: what edge i sends */
    struct wire wire[2];       /* [i]: what edge i sends */
};

struct edge {
    struct stream *s;
    uint64_t skew;         /* its clock is ahead of the world's */
    uint64_t asleep_until; /* it does nothing (the world's clock) */
    uint64_t patience, proven_at;
    int64_t proven;    /* the highest epoch that was live here */
    uint8_t said[512]; /* what the other edge said first on some earlier connection */
    size_t said_n;
    uint32_t window;
    uint64_t total, pushed, got; /* got: of the other edge's total */
    bool eof_pushed, eof_got, done;
    uint64_t done_at;
    uint64_t stuck_until; /* the sink takes nothing */
};

static struct world {
    uint64_t seed, now, steps;
    bool chaos, both_dial;
    bool jealous;     /* the hub closes what it has joined as soon as one edge dials anew */
    bool sloppy;      /* timers are late in peace too */
    bool doomed;      /* in the end nothing gets through any more */
    uint64_t peace;   /* the higher, the fewer cuts */
    uint64_t calm_at; /* since when there is no chaos */
    struct edge edge[2];
    struct link link[LINKS];
} w;

static uint64_t runs, links_made, cuts, orphans, resumes, sleeps, lost;

#define SIM_CHECK(what)                                                                                      \
    do {                                                                                                     \
        if (!(what))                                                                                         \
            fail_msg("SIM_SEED=%" PRIu64 " step %" PRIu64 ": %s", w.seed, w.steps, #what);                   \
    } while (0)

/* The time as edge e has it. */
static uint64_t edge_now(int e)
{
    return w.now + w.edge[e].skew;
}

/* --- links --- */

static void wire_push(struct wire *q, const uint8_t *data, size_t n, uint64_t at)
{
    for (size_t i = 0; i < n; i++)
        q->bytes[(q->head + q->len + i) % WIRE] = data[i];
    q->len += n;
    if (q->chunks > 0 && at < q->chunk[q->chunks - 1].at)
        at = q->chunk[q->chunks - 1].at;
    q->chunk[q->chunks].at = at;
    q->chunk[q->chunks++].n = n;
}

static size_t wire_pop(struct wire *q, uint8_t *out, size_t max)
{
    size_t n;

    if (q->chunks == 0 || q->chunk[0].at > w.now)
        return 0;
    n = q->chunk[0].n < max ? q->chunk[0].n : max;
    for (size_t i = 0; i < n; i++)
        out[i] = q->bytes[(q->head + i) % WIRE];
    q->head = (q->head + n) % WIRE;
    q->len -= n;
    q->chunk[0].n -= n;
    if (q->chunk[0].n == 0)
        memmove(q->chunk, q->chunk + 1, --q->chunks * sizeof q->chunk[0]);
    return n;
}

/* Edge e lets go of its end; the other one hears of it later. */
static void link_close(struct link *l, int e)
{
    struct wire *q = &l->wire[e];

    if (l->side[e] == SIDE_UP && w.edge[e].s)
        stream_detach(w.edge[e].s, l->slot[e], edge_now(e));
    l->side[e] = SIDE_CLOSED;
    if (w.chaos && rnd(2) == 0) { /* as a TCP reset does: what was under way is gone */
        q->len = q->chunks = 0;
        q->head = 0;
    }
    q->fin = true;
    q->fin_at = w.now + rnd(l->delay + 1);
}

static struct link *link_new(void)
{
    for (int i = 0; i < LINKS; i++) {
        struct link *l = &w.link[i];
        if (l->used && l->side[0] == SIDE_CLOSED && l->side[1] == SIDE_CLOSED)
            l->used = false;
        if (l->used)
            continue;
        memset(l, 0, offsetof(struct link, wire));
        for (int e = 0; e < 2; e++) {
            l->wire[e].head = l->wire[e].len = l->wire[e].chunks = 0;
            l->wire[e].fin = false;
        }
        l->used = true;
        l->delay = w.chaos ? (rnd(4) == 0 ? rnd(3000) : rnd(60)) : rnd(rnd(4) ? 40 : 300);
        links_made++;
        return l;
    }
    return NULL;
}

static void link_coming(struct link *l, int e, uint32_t epoch)
{
    l->side[e] = SIDE_COMING;
    l->epoch[e] = epoch;
    l->coming_at[e] = w.now + rnd(l->delay + 1);
}

/* The hub lets go of both ends of what it has joined: the edges hear of it, if the path is not dead. */
static void link_dissolve(struct link *l)
{
    for (int e = 0; e < 2; e++) {
        if (w.chaos && rnd(2) == 0)
            l->wire[e].head = l->wire[e].len = l->wire[e].chunks = 0;
        l->wire[e].fin = true;
        l->wire[e].fin_at = w.now + rnd(l->delay + 1);
    }
}

/* Edge e dials. With one dialling edge the hub gives the other end to the other edge; with two it joins what
 * both dialled. */
static void link_dial(int e, uint32_t epoch)
{
    struct link *l;

    if ((!w.edge[!e].s && !w.doomed) || (w.chaos && rnd(8) == 0) || (w.doomed && !w.chaos))
        return; /* the hub refuses, or cannot be reached */
    for (int i = 0; i < LINKS && w.jealous; i++) {
        l = &w.link[i];
        if (l->used && l->side[0] != SIDE_AWAY && l->side[1] != SIDE_AWAY &&
            !(l->wire[0].fin && l->wire[1].fin))
            link_dissolve(l);
    }
    for (int i = 0; i < LINKS && w.both_dial; i++) {
        l = &w.link[i];
        if (l->used && l->side[e] == SIDE_AWAY && l->side[!e] != SIDE_CLOSED) {
            link_coming(l, e, epoch);
            return;
        }
        if (l->used && l->side[!e] == SIDE_AWAY) { /* an older one of this edge, waiting: replaced */
            link_close(l, e);
            l->side[!e] = SIDE_CLOSED;
        }
    }
    l = link_new();
    if (!l)
        return;
    link_coming(l, e, epoch);
    if (!w.both_dial)
        link_coming(l, !e, epoch);
}

static void link_arrive(struct link *l, int e)
{
    int slot;

    if (l->side[e] != SIDE_COMING || l->coming_at[e] > w.now)
        return;
    slot = -ESHUTDOWN;
    /* One who dialled may find that it was for nothing; a hub that lets go at once would have heard of it. */
    if (w.edge[e].s &&
        ((e == 0 && !w.both_dial) || w.jealous || rnd(2) == 0 || stream_needs_conn(w.edge[e].s, edge_now(e))))
        slot = stream_attach(w.edge[e].s, l->epoch[e], edge_now(e));
    SIM_CHECK(slot >= 0 || slot == -EBUSY || slot == -ESTALE || slot == -ESHUTDOWN);
    SIM_CHECK(slot < 0 || (int64_t)l->epoch[e] > w.edge[e].proven);
    l->slot[e] = slot;
    if (slot < 0)
        link_close(l, e);
    else
        l->side[e] = SIDE_UP;
}

static void link_output(struct link *l, int e)
{
    struct wire *q = &l->wire[e];
    struct stream_iov iov[6];
    uint8_t bytes[WIRE];
    size_t n, used = 0, room = WIRE - q->len, take;

    if (l->side[e] != SIDE_UP || !w.edge[e].s)
        return;
    if (q->chunks == CHUNKS)
        room = 0;
    n = stream_output(w.edge[e].s, l->slot[e], iov, 1 + rnd(6), edge_now(e));
    take = rnd(3) == 0 ? rnd(room + 1 < 40 ? room + 1 : 40) : room; /* a short write */
    for (size_t i = 0; i < n && used < take; i++) {
        size_t part = iov[i].n < take - used ? iov[i].n : take - used;
        memcpy(bytes + used, iov[i].data, part);
        used += part;
    }
    stream_sent(w.edge[e].s, l->slot[e], used, edge_now(e));
    if (used > 0 && !q->fin) /* else nobody is there any more who takes it */
        wire_push(q, bytes, used, w.now + rnd(l->delay + 1));
}

static void edge_remember(struct edge *x, struct link *l, int e, const uint8_t *bytes, size_t n)
{
    if (n > sizeof x->said - l->heard[e])
        n = sizeof x->said - l->heard[e];
    memcpy(x->said + l->heard[e], bytes, n);
    l->heard[e] += n;
    x->said_n = l->heard[e];
}

static void edge_proven(struct edge *x, int e)
{
    for (int i = 0; i < LINKS; i++) {
        const struct link *l = &w.link[i];
        int64_t epoch = l->epoch[0] > l->epoch[1] ? l->epoch[0] : l->epoch[1];
        if (l->used && l->side[e] == SIDE_UP && l->slot[e] == stream_live(x->s) && epoch > x->proven) {
            x->proven = epoch;
            x->proven_at = edge_now(e);
        }
    }
}

static void link_deliver(struct link *l, int e)
{
    struct wire *q = &l->wire[!e];
    uint8_t bytes[WIRE];
    size_t n;
    int r;

    if (l->side[e] != SIDE_UP || l->frozen || l->stalled_until[!e] > w.now || !w.edge[e].s)
        return;
    n = wire_pop(q, bytes, rnd(2) ? 1 + rnd(40) : WIRE);
    if (n > 0) {
        if (l->heard[e] < sizeof w.edge[e].said)
            edge_remember(&w.edge[e], l, e, bytes, n);
        r = stream_input(w.edge[e].s, l->slot[e], bytes, n, edge_now(e));
        SIM_CHECK(r == 0 || r == -ESTALE);
        if (r == 0 && stream_live(w.edge[e].s) == l->slot[e])
            edge_proven(&w.edge[e], e);
        if (r < 0) {
            l->side[e] = SIDE_UP; /* it is detached already; detaching again must do no harm */
            link_close(l, e);
        }
    } else if (q->fin && q->chunks == 0 && q->fin_at <= w.now) {
        link_close(l, e);
    }
}

static void link_cut(void)
{
    struct link *l = NULL;
    uint64_t seen = 0;

    for (int i = 0; i < LINKS; i++)
        if (w.link[i].used && !w.link[i].frozen && rnd(++seen) == 0)
            l = &w.link[i];
    if (!l)
        return;
    cuts++;
    switch (rnd(7)) {
    case 6: /* the hub lets go */
        if (l->side[0] != SIDE_AWAY && l->side[1] != SIDE_AWAY)
            link_dissolve(l);
        break;
    case 4: /* silent for long enough to be given up, and then there again */
    case 5:
        l->stalled_until[0] = rnd(3) ? w.now + rnd(12000) : 0;
        l->stalled_until[1] = rnd(3) ? w.now + rnd(12000) : 0;
        break;
    case 0: /* silently: nobody hears of it */
        l->frozen = true;
        break;
    case 1:
        link_close(l, 0);
        link_close(l, 1);
        break;
    default: /* one end notices first */
        link_close(l, (int)rnd(2));
    }
}

/* --- edges --- */

static void edge_source(struct edge *x, int e)
{
    uint8_t *at, bytes[4096];
    size_t n, want = 1 + rnd(rnd(2) ? 9000 : 20);
    int r;

    if (!x->s || x->eof_pushed || stream_state(x->s) != STREAM_OPEN)
        return;
    if (x->pushed == x->total) {
        stream_source_eof(x->s);
        x->eof_pushed = true;
        return;
    }
    if (want > x->total - x->pushed)
        want = x->total - x->pushed;
    if (rnd(2)) {
        r = stream_source_reserve(x->s, want, &at, &n);
        SIM_CHECK(r == 0 ? n >= 1 && n <= want : r == -ENOBUFS && stream_source_room(x->s) == 0);
        if (r < 0)
            return;
        for (size_t i = 0; i < n; i++)
            at[i] = table[(x->pushed + i + (size_t)e * 7919) % TABLE];
        stream_source_commit(x->s, n);
    } else {
        n = want < sizeof bytes ? want : sizeof bytes;
        for (size_t i = 0; i < n; i++)
            bytes[i] = table[(x->pushed + i + (size_t)e * 7919) % TABLE];
        if (n > stream_source_room(x->s)) {
            SIM_CHECK(stream_source_push(x->s, bytes, n) == -ENOBUFS);
            return;
        }
        SIM_CHECK(stream_source_push(x->s, bytes, n) == 0);
    }
    x->pushed += n;
}

static void edge_sink(struct edge *x, int e)
{
    const uint8_t *at;
    size_t n;

    if (!x->s || x->stuck_until > w.now)
        return;
    if (w.chaos && rnd(100) == 0)
        x->stuck_until = w.now + rnd(20000);
    n = stream_sink_peek(x->s, &at);
    if (n > 0 && rnd(2))
        n = 1 + rnd(n);
    SIM_CHECK(x->got + n <= w.edge[!e].pushed);
    for (size_t i = 0; i < n; i++)
        SIM_CHECK(at[i] == table[(x->got + i + (size_t)!e * 7919) % TABLE]);
    stream_sink_consumed(x->s, n);
    x->got += n;
    if (!x->eof_got && stream_sink_eof(x->s)) {
        SIM_CHECK(w.edge[!e].eof_pushed && x->got == w.edge[!e].total);
        stream_sink_eof_delivered(x->s);
        x->eof_got = true;
    }
}

static void edge_tick(struct edge *x, int e)
{
    uint32_t epoch;

    if (!x->s)
        return;
    if (w.chaos && rnd(200) == 0)
        stream_probe(x->s, edge_now(e));
    stream_tick(x->s, edge_now(e));
    if (stream_wants_dial(x->s, edge_now(e), &epoch))
        link_dial(e, epoch);
    SIM_CHECK(stream_next_tick(x->s) > edge_now(e));
}

static void edge_over(struct edge *x)
{
    struct stream_stats stats;

    stream_get_stats(x->s, &stats);
    resumes += stats.resumes;
    x->done = true;
    x->done_at = w.now;
    stream_free(x->s);
    x->s = NULL;
    for (int i = 0; i < LINKS; i++)
        if (w.link[i].used && w.link[i].side[x - w.edge] == SIDE_UP)
            link_close(&w.link[i], (int)(x - w.edge));
}

static void edge_closes(struct edge *x, int e)
{
    bool waiting = false;

    for (int i = 0; i < LINKS && x->s; i++) {
        struct link *l = &w.link[i];
        if (!l->used || l->side[e] != SIDE_UP)
            continue;
        if (stream_wants_close(x->s, l->slot[e]))
            link_close(l, e);
        else
            waiting = true;
    }
    if (!x->s || stream_state(x->s) == STREAM_OPEN)
        return;
    if (w.doomed && stream_state(x->s) == STREAM_LOST) {
        SIM_CHECK(edge_now(e) >= x->proven_at + x->patience);
        lost++;
        edge_over(x);
        return;
    }
    if (stream_state(x->s) != STREAM_DONE)
        fail_msg("SIM_SEED=%" PRIu64 " step %" PRIu64 ": edge %c is over: %s", w.seed, w.steps, "ab"[e],
                 stream_reason(x->s));
    SIM_CHECK(x->eof_got && x->got == w.edge[!e].total && w.edge[!e].got == x->total && w.edge[!e].eof_got);
    if (waiting)
        return;
    edge_over(x);
}

/* A thief: a ticket, no key. Whatever it sends, the live connection is as before. */
static void edge_thief(struct edge *x, int e)
{
    uint8_t garbage[sizeof x->said];
    size_t n = 1 + rnd(120);
    uint32_t epoch = (uint32_t)(rnd(3) ? rnd(50) : UINT32_MAX - 1);
    int slot, r = 0, live;

    if (!x->s)
        return;
    slot = stream_attach(x->s, epoch, edge_now(e));
    SIM_CHECK((int64_t)epoch > x->proven || slot == -ESTALE || slot == -ESHUTDOWN);
    if (slot < 0)
        return;
    live = stream_live(x->s);
    for (size_t i = 0; i < n; i++)
        garbage[i] = (uint8_t)rnd(256);
    if (rnd(2)) {
        memcpy(garbage, "\1\0\0\0\x30", 5);
        if (rnd(2) && n > 58)
            memcpy(garbage + 53, "\2\0\0\0\x20", 5);
    }
    if (x->said_n > 0 && rnd(2)) { /* the other edge's own words, said again */
        n = x->said_n;
        memcpy(garbage, x->said, n);
    }
    r = stream_input(x->s, slot, garbage, n, edge_now(e));
    SIM_CHECK(stream_live(x->s) == live && slot != live);
    if (r == 0)
        stream_detach(x->s, slot, edge_now(e));
}

/* As SIGSTOP does it: nothing happens here for up to ten minutes. Or its clock alone has jumped. */
static void edge_sleeps(struct edge *x)
{
    sleeps++;
    if (rnd(2))
        x->asleep_until = w.now + rnd(rnd(2) ? 600000 : 5000);
    else
        x->skew += rnd(rnd(2) ? 600000 : 5000);
}

static void edge_check(const struct edge *x)
{
    struct stream_stats stats;

    if (!x->s)
        return;
    stream_get_stats(x->s, &stats);
    SIM_CHECK(stats.held <= 2 * (size_t)x->window);
    SIM_CHECK(stats.sent <= x->pushed);
}

/* --- runs --- */

/* When edge !e may read the next of what edge e sent, or its end. */
static uint64_t wire_ready(const struct link *l, int e)
{
    uint64_t at = l->wire[e].chunks > 0 ? l->wire[e].chunk[0].at : l->wire[e].fin_at;
    return at > l->stalled_until[e] ? at : l->stalled_until[e];
}

/* An owner that is well sends what there is to be sent before it waits. */
static bool sim_unsaid(void)
{
    for (int i = 0; i < LINKS; i++)
        for (int e = 0; e < 2; e++) {
            struct link *l = &w.link[i];
            struct stream_iov iov;
            if (!l->used || l->side[e] != SIDE_UP || !w.edge[e].s || w.edge[e].asleep_until > w.now ||
                l->wire[e].chunks == CHUNKS || l->wire[e].len == WIRE)
                continue;
            if (stream_wants_close(w.edge[e].s, l->slot[e]))
                return true;
            if (stream_output(w.edge[e].s, l->slot[e], &iov, 1, edge_now(e)) > 0) {
                stream_sent(w.edge[e].s, l->slot[e], 0, edge_now(e));
                return true;
            }
        }
    return false;
}

static void sim_sleep(void)
{
    uint64_t next = UINT64_MAX;

    if (!w.chaos && sim_unsaid())
        return;
    if ((w.chaos || w.sloppy) && rnd(2)) {
        w.now += rnd(rnd(10) ? 20 : 500);
        return;
    }
    for (int e = 0; e < 2; e++) {
        uint64_t at;
        if (!w.edge[e].s)
            continue;
        if (w.edge[e].asleep_until > w.now) {
            next = w.edge[e].asleep_until < next ? w.edge[e].asleep_until : next;
            continue;
        }
        if (stream_state(w.edge[e].s) != STREAM_OPEN && w.chaos)
            return; /* its owner has something to do */
        at = stream_next_tick(w.edge[e].s);
        if (at == UINT64_MAX)
            continue;
        at = at > w.edge[e].skew ? at - w.edge[e].skew : 0;
        if (at < next)
            next = at;
    }
    for (int i = 0; i < LINKS; i++)
        for (int e = 0; e < 2; e++) {
            const struct link *l = &w.link[i];
            if (!l->used)
                continue;
            if (l->side[e] == SIDE_COMING && l->coming_at[e] < next && w.edge[e].asleep_until <= w.now)
                next = l->coming_at[e];
            if (l->frozen || l->side[!e] != SIDE_UP || w.edge[!e].asleep_until > w.now)
                continue;
            if ((l->wire[e].chunks > 0 || l->wire[e].fin) && wire_ready(l, e) < next)
                next = wire_ready(l, e);
        }
    if (next != UINT64_MAX && next > w.now)
        w.now = next;
}

/* Without chaos for a while, everything has settled: one connection, and the same for both. */
static void sim_check_calm(void)
{
    int found = -1, ends[2] = {0, 0};

    if (w.chaos || w.doomed || w.now < w.calm_at + CALM_MS)
        return;
    for (int e = 0; e < 2; e++)
        if (!w.edge[e].s || stream_state(w.edge[e].s) != STREAM_OPEN || w.edge[e].asleep_until > w.now)
            return;
    for (int i = 0; i < LINKS; i++) {
        const struct link *l = &w.link[i];
        bool live[2];
        for (int e = 0; e < 2; e++) {
            live[e] = l->used && l->side[e] == SIDE_UP && l->slot[e] == stream_live(w.edge[e].s);
            ends[e] += live[e];
        }
        if (live[0] && live[1])
            found = i;
    }
    SIM_CHECK(found >= 0 && ends[0] == 1 && ends[1] == 1);
}

static void sim_step(void)
{
    int e = (int)rnd(2);
    struct edge *x = &w.edge[e];
    uint64_t what = rnd(100);

    w.steps++;
    if (x->asleep_until > w.now) {
        sim_sleep();
        return;
    }
    if (what < 15)
        edge_source(x, e);
    else if (what < 30)
        edge_sink(x, e);
    else if (what < 32 && w.chaos && rnd(w.peace) == 0)
        rnd(10) ? link_cut() : edge_sleeps(x);
    else if (what < 34 && w.chaos)
        edge_thief(x, e);
    else if (what < 45)
        edge_tick(x, e);
    else if (what < 50)
        sim_sleep();
    for (int i = 0; i < LINKS && what >= 50; i++) {
        struct link *l = &w.link[i];
        if (!l->used)
            continue;
        link_arrive(l, e);
        if (what < 75)
            link_output(l, e);
        else
            link_deliver(l, e);
    }
    if (!w.chaos || rnd(3) == 0)
        edge_closes(x, e);
    edge_check(&w.edge[0]);
    edge_check(&w.edge[1]);
    sim_check_calm();
}

static uint64_t sim_total(void)
{
    switch (rnd(4)) {
    case 0:
        return rnd(3);
    case 1:
        return rnd(200);
    case 2:
        return rnd(20000);
    default:
        return rnd(300000);
    }
}

/* An edge was done and left, and could not tell the other: that one has everything, and will find out by its
 * patience. */
static bool sim_orphan(void)
{
    for (int e = 0; e < 2; e++) {
        const struct edge *x = &w.edge[e], *other = &w.edge[!e];
        if (x->done && !other->done && other->s && w.now > x->done_at + 30000 && other->eof_got && x->eof_got)
            return true;
    }
    return false;
}

/* From now on nothing passes; or all is well, and no path so slow that it may be taken for a dead one. */
static void sim_peace(void)
{
    for (int i = 0; i < LINKS; i++) {
        if (w.doomed)
            w.link[i].frozen = true;
        if (w.link[i].delay > 300)
            w.link[i].delay = 300;
    }
}

static void sim_run(uint64_t seed)
{
    uint64_t chaos_steps;

    memset(&w, 0, offsetof(struct world, link));
    for (int i = 0; i < LINKS; i++)
        w.link[i].used = false;
    w.seed = rng = seed;
    w.now = 1000 + rnd(1000);
    w.both_dial = rnd(2);
    w.peace = 1 + rnd(rnd(2) ? 5 : 50);
    w.jealous = w.both_dial && rnd(2);
    w.sloppy = rnd(2);
    chaos_steps = rnd(4) == 0 ? 0 : rnd(5000);
    w.doomed = chaos_steps > 0 && rnd(8) == 0;
    w.chaos = chaos_steps > 0;
    w.calm_at = w.now;
    for (int e = 0; e < 2; e++) {
        struct stream_config config = {
            .role = "ab"[e], .dials = e == 1 || w.both_dial, .patience_ms = 86400000};
        if (w.doomed)
            config.patience_ms = (uint32_t)(1000 + rnd(rnd(2) ? 20000 : 600000));
        w.edge[e].patience = config.patience_ms;
        w.edge[e].skew = rnd(2) * rnd(1000000);
        w.edge[e].proven_at = edge_now(e);
        w.edge[e].proven = -1;
        w.edge[e].window = config.window =
            rnd(2) ? STREAM_WINDOW_MIN : (uint32_t)(STREAM_WINDOW_MIN + rnd(100000));
        w.edge[e].total = sim_total();
        memcpy(config.key, pair_key, sizeof config.key);
        assert_int_equal(stream_new(&config, edge_now(e), &w.edge[e].s), 0);
    }
    while ((!w.edge[0].done || !w.edge[1].done) && !sim_orphan()) {
        sim_step();
        if (w.chaos && w.steps >= chaos_steps) {
            w.chaos = false;
            w.edge[0].stuck_until = w.edge[1].stuck_until = 0;
            sim_peace();
            w.calm_at = w.now;
            for (int e = 0; e < 2; e++)
                if (w.edge[e].asleep_until > w.calm_at)
                    w.calm_at = w.edge[e].asleep_until;
        }
        SIM_CHECK(w.steps < chaos_steps + 200000); /* it comes to an end */
    }
    if (!w.edge[0].done || !w.edge[1].done) {
        SIM_CHECK(chaos_steps > 0);
        orphans++;
    }
    stream_free(w.edge[0].s);
    stream_free(w.edge[1].s);
    runs++;
}

static uint64_t sim_env(const char *name, uint64_t fallback)
{
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 10) : fallback;
}

static void test_simulation(void **state)
{
    uint64_t seed = sim_env("SIM_SEED", 1), want = sim_env("SIM_STEPS", 5000000), steps = 0;

    (void)state;
    rng = 42;
    for (size_t i = 0; i < TABLE; i++)
        table[i] = (uint8_t)rnd(256);
    while (steps < want) {
        sim_run(seed++);
        steps += w.steps;
    }
    print_message("%" PRIu64 " steps, %" PRIu64 " runs, %" PRIu64 " connections, %" PRIu64 " cuts, %" PRIu64
                  " resumes, %" PRIu64 " sleeps, %" PRIu64 " lost by patience, %" PRIu64
                  " left without a goodbye\n",
                  steps, runs, links_made, cuts, resumes, sleeps, lost, orphans);
    assert_true(orphans * 10 <= runs);
    if (want >= 100000)
        assert_true(resumes > runs / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_simulation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
