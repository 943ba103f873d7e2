/* The SSH server's side of a jump: the banner, and then bytes both ways with half-close, over TCP and pipes
 * alike. What it sends is read straight into the stream's memory. */
#include "agent/jump.h"

#include "base/clock.h"
#include "base/log.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is asked for at once: doubled when it was filled. */
#define READ_MIN 16384u
#define READ_MAX PACE_WAKE

static void on_closed(uv_handle_t *handle)
{
    struct jump *j = handle->data;
    free(handle);
    j->open--;
    jump_unref(j);
}

void jump_target_close(struct jump *j)
{
    struct jump_target *t = &j->target;
    dialer_free(t->dialer);
    t->dialer = NULL;
    if (t->stream != NULL)
        uv_close((uv_handle_t *)t->stream, on_closed);
    t->stream = NULL;
    t->pace = (struct pace){0};
    jump_builtin_leave(j);
}

static void set_broken(struct jump_target *t)
{
    if (!t->broken)
        t->broken_at = clock_now_ms();
    t->broken = true;
}

uint64_t jump_target_due(const struct jump *j)
{
    const struct jump_target *t = &j->target;
    if (stream_state(j->stream) != STREAM_OPEN || !t->open || t->stream == NULL)
        return UINT64_MAX; /* nobody would do what is due */
    uint64_t at = t->broken ? t->broken_at + JUMP_LINGER_MS : UINT64_MAX;
    return at < pace_due(&t->pace) ? at : pace_due(&t->pace);
}

/* --- from the stream to the server --- */

static void on_written(uv_write_t *req, int status)
{
    struct jump *j = req->data;
    struct jump_target *t = &j->target;
    t->writing = false;
    if (j->over || t->stream == NULL)
        return;
    if (status < 0)
        set_broken(t);
    else
        stream_sink_consumed(j->stream, t->stage_n);
    jump_turn(j);
}

/* The socket did not take all: a copy of the next piece waits for it. The piece counts as delivered when it
 * was taken. */
static int stage(struct jump *j, const uint8_t *at, size_t n)
{
    struct jump_target *t = &j->target;
    if (t->stage == NULL)
        t->stage = malloc(JUMP_STAGE);
    if (t->stage == NULL)
        return UV_ENOMEM;
    t->stage_n = n < JUMP_STAGE ? n : JUMP_STAGE;
    memcpy(t->stage, at, t->stage_n);
    uv_buf_t out = uv_buf_init(t->stage, (unsigned)t->stage_n);
    t->write.data = j;
    t->writing = true;
    int r = uv_write(&t->write, t->stream, &out, 1, on_written);
    if (r != 0)
        t->writing = false;
    return r;
}

static int socket_of(const struct jump_target *t)
{
    uv_os_fd_t fd;
    return uv_fileno((const uv_handle_t *)t->stream, &fd) == 0 ? (int)(intptr_t)fd : -1;
}

/* Bulk data that this process does not look at. */
static void write_unseen(struct jump *j)
{
    struct jump_target *t = &j->target;
    bool free = !t->writing && !t->broken && t->stream->type == UV_TCP;
    if (free && edge_give(j->edge, socket_of(t)) < 0) {
        set_broken(t);
        free = false;
    }
    edge_pass(j->edge, free);
}

static void write_sink(struct jump *j)
{
    struct jump_target *t = &j->target;
    const uint8_t *at;
    size_t n;
    write_unseen(j);
    while (!t->writing && !t->broken && (n = stream_sink_peek(j->stream, &at)) > 0) {
        uv_buf_t out = uv_buf_init((char *)(uintptr_t)at, (unsigned)n);
        int r = uv_try_write(t->stream, &out, 1);
        size_t taken = r > 0 ? (size_t)r : 0;
        if (r == UV_EAGAIN || r >= 0)
            r = taken < n ? stage(j, at + taken, n - taken) : 0;
        if (taken > 0)
            stream_sink_consumed(j->stream, taken);
        if (r < 0)
            set_broken(t);
    }
    while (t->broken && !t->writing && (n = stream_sink_peek(j->stream, &at)) > 0)
        stream_sink_consumed(j->stream, n);
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
    (void)req;
    (void)status;
}

static void write_eof(struct jump *j)
{
    struct jump_target *t = &j->target;
    if (t->shut || t->writing || !stream_sink_eof(j->stream))
        return;
    t->shut = true;
    if (!t->broken && uv_shutdown(&t->shutdown, t->stream, on_shutdown) != 0)
        set_broken(t);
    stream_sink_eof_delivered(j->stream);
}

/* --- from the server to the stream --- */

/* Bulk data goes into the stream without being looked at, where that can be done. */
static bool take_unseen(struct jump *j)
{
    struct jump_target *t = &j->target;
    if (!t->pace.bulk || t->stream->type != UV_TCP)
        return false;
    t->unseen = edge_take(j->edge, socket_of(t), READ_MAX);
    if (t->unseen == -ENOTSUP)
        t->unseen = 0;
    return t->unseen != 0; /* the end is libuv's to tell */
}

/* libuv reads at once after this call, so the stream's memory stays where it is: on Windows, too, where it waits with
 * a read of nothing. (That holds for sockets; a pipe of Windows would need a buffer of its own here.) */
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct jump *j = handle->data;
    uint8_t *at = NULL;
    size_t n = 0;
    (void)suggested;
    j->target.unseen = 0;
    if (j->over || take_unseen(j) || stream_source_reserve(j->stream, j->target.read_size, &at, &n) != 0)
        n = 0;
    *buf = uv_buf_init((char *)at, (unsigned)n);
}

void jump_target_not_ssh(struct jump *j)
{
    const struct jump_target *t = &j->target;
    char what[KEEPER_SETTINGS_SSH_MAX + 60] = "what answers as the machine's built-in SSH server";
    keeper_say_look(j->keeper);
    if (!t->builtin)
        snprintf(what, sizeof what, "what answers at %s of the machine", j->keeper->set.ssh);
    jump_fail(j, "not-ssh",
              t->read_ended ? "%s said \"%s\" and closed the connection"
                            : "%s is no SSH server: it said \"%s\"",
              what, t->banner.first);
}

void jump_target_mute(struct jump *j)
{
    const struct jump_target *t = &j->target;
    char name[KEEPER_SETTINGS_SSH_MAX + 60];
    keeper_say_look(j->keeper);
    jump_target_name(j, name, sizeof name);
    if (t->child_end[0] != 0)
        jump_fail(j, "not-ssh", "the %s ended before it said a word: %s", name, t->child_end);
    else
        jump_fail(j, "not-ssh", "the %s closed the connection without a word", name);
}

static void read_end(struct jump *j, int status)
{
    struct jump_target *t = &j->target;
    if (!t->ready) {
        (void)banner_end(&t->banner);
        uv_read_stop(t->stream);
        t->reading = false;
        t->read_ended = true;
        if (t->banner.first[0] != 0)
            jump_target_not_ssh(j);
        else if (t->child == NULL) /* else how it ends is told soon */
            jump_target_mute(j);
        return;
    }
    uv_read_stop(t->stream);
    t->reading = false;
    t->read_ended = true;
    if (status != UV_EOF)
        set_broken(t);
    stream_source_eof(j->stream);
    jump_turn(j);
}

/* Returns false when it turned out that no SSH server is there. */
static bool take_banner(struct jump *j, const char *data, size_t n)
{
    struct jump_target *t = &j->target;
    enum banner_verdict verdict = banner_feed(&t->banner, data, n);
    if (verdict == BANNER_NOT_SSH) {
        jump_target_not_ssh(j);
        return false;
    }
    if (verdict == BANNER_SSH) {
        t->ready = true;
        jump_answer(j);
    }
    return true;
}

static void note_read(struct jump_target *t, struct edge *edge, size_t n, size_t asked)
{
    if (n >= t->read_size && t->read_size < READ_MAX)
        t->read_size *= 2;
    else if (n < READ_MIN)
        t->read_size = READ_MIN;
    t->pace.follow = edge_bulk(edge);
    pace_read(&t->pace, socket_of(t), n, n == asked, clock_now_ms());
    edge_follow(edge, t->pace.bulk);
}

/* libuv says that it had no memory to read into: it was not to. */
static void took_unseen(struct jump *j)
{
    struct jump_target *t = &j->target;
    long n = t->unseen;
    if (n == -EAGAIN)
        return;
    if (n > 0) {
        note_read(t, j->edge, (size_t)n, READ_MAX);
    } else if (n == -EBUSY) {
        uv_read_stop(t->stream);
        t->reading = false;
    } else {
        read_end(j, (int)n);
        return;
    }
    jump_turn(j);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct jump *j = stream->data;
    struct jump_target *t = &j->target;
    if (n == 0 || j->over || t->stream == NULL)
        return;
    if (n == UV_ENOBUFS && t->unseen != 0) {
        took_unseen(j);
        return;
    }
    if (n ==
        UV_ENOBUFS) { /* no room: jump_turn reads on when there is some, unless memory is what is missing */
        uv_read_stop(stream);
        t->reading = false;
        if (stream_source_room(j->stream) > 0)
            stream_reset(j->stream, STREAM_CODE_MEMORY, "the machine's agent is out of memory");
        jump_turn(j);
        return;
    }
    if (n < 0) {
        read_end(j, (int)n);
        return;
    }
    note_read(t, j->edge, (size_t)n, buf->len);
    stream_source_commit(j->stream, (size_t)n);
    if (!t->ready && !take_banner(j, buf->base, (size_t)n))
        return;
    jump_turn(j);
}

/* Reads while there is room. A full window stops it, and some room is awaited before it goes on. */
static void set_reading(struct jump *j)
{
    struct jump_target *t = &j->target;
    size_t room = edge_room(j->edge);
    if (t->read_ended)
        return;
    if (t->reading && room == 0) {
        uv_read_stop(t->stream);
        t->reading = false;
    } else if (!t->reading && room >= STREAM_WINDOW_MIN) {
        t->reading = uv_read_start(t->stream, on_alloc, on_read) == 0;
    }
}

void jump_target_pump(struct jump *j)
{
    struct jump_target *t = &j->target;
    if (!t->open || t->stream == NULL)
        return;
    if (t->ready) {
        write_sink(j);
        write_eof(j);
    }
    set_reading(j);
    pace_tick(&t->pace, socket_of(t), clock_now_ms());
    if (t->broken && clock_now_ms() >= t->broken_at + JUMP_LINGER_MS)
        stream_reset(j->stream, STREAM_CODE_LOCAL, "the machine's SSH server closed the connection");
}

void jump_target_opened(struct jump *j)
{
    j->target.open = true;
    j->target.read_size = READ_MIN;
    jump_turn(j);
}
