/* Owns the results of commands until they are read. Must not begin a command while
 * EXECS_HELD_MAX of them or more are held in all. */
#include "hub/execs.h"
#include "base/json.h"
#include "hub/commands.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct exec {
    struct exec *next;
    uint64_t id;
    size_t held;
    bool waits; /* for `more` */
    struct commands_result result;
};

static size_t held_in_all; /* one hub a process */

void execs_init(struct execs *x, struct hub *hub, struct seqpacket *channel)
{
    *x = (struct execs){.hub = hub, .channel = channel};
}

static void exec_free(struct execs *x, struct exec *e)
{
    struct exec **at = &x->list;

    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    x->n--;
    held_in_all -= e->held;
    commands_result_release(&e->result);
    free(e);
}

void execs_release(struct execs *x)
{
    while (x->list != NULL)
        exec_free(x, x->list);
}

static struct exec *find(const struct execs *x, uint64_t id)
{
    struct exec *e = x->list;

    while (e != NULL && e->id != id)
        e = e->next;
    return e;
}

bool execs_has(const struct execs *x, uint64_t id)
{
    return find(x, id) != NULL;
}

static void send_exit(struct execs *x, uint64_t id, int status)
{
    cJSON *m = json_new("exit");

    (void)json_add_int(m, "id", (int64_t)id);
    (void)json_add_int(m, "status", status);
    (void)seqpacket_send(x->channel, m, -1);
}

static int send_output(struct execs *x, uint64_t id, const char *text, bool error, bool last)
{
    cJSON *m = json_new("output");

    (void)json_add_int(m, "id", (int64_t)id);
    (void)json_add_str(m, "data", text);
    (void)json_add_bool(m, "error", error);
    (void)json_add_bool(m, "last", last);
    return seqpacket_send(x->channel, m, -1);
}

/* How many bytes to take so that no character is cut in two. */
static size_t piece_of(const uint8_t *data, size_t n)
{
    size_t k = n < EXECS_PIECE ? n : EXECS_PIECE;

    if (k == n)
        return k;
    for (size_t back = 0; back < 4 && back < k; back++) {
        if ((data[k - back] & 0xc0) != 0x80)
            return k - back;
    }
    return k;
}

/* Sends the next piece, or the end. */
static void exec_go_on(struct execs *x, struct exec *e)
{
    static char text[EXECS_PIECE + 1];
    bool error = buf_len(&e->result.out) == 0;
    struct buf *from = error ? &e->result.err : &e->result.out;
    size_t n = piece_of(buf_data(from), buf_len(from));
    bool last = false;

    if (n > 0) {
        memcpy(text, buf_data(from), n);
        text[n] = '\0';
        buf_consume(from, n);
        last = buf_len(&e->result.out) == 0 && buf_len(&e->result.err) == 0;
        e->waits = !last;
        if (send_output(x, e->id, text, error, last) < 0 || !last)
            return;
    }
    send_exit(x, e->id, e->result.status);
    exec_free(x, e);
}

static void refuse(struct execs *x, uint64_t id, const char *text)
{
    if (send_output(x, id, text, true, true) == 0)
        send_exit(x, id, 1);
}

const char *execs_start(struct execs *x, const struct who *who, const cJSON *message)
{
    const char *command = json_str(message, "command", EXECS_COMMAND_MAX);
    int64_t id = 0, columns = json_int_or(message, "columns", 0, 10000, 0);
    struct exec *e = NULL;

    if (json_int(message, "id", 0, INT64_C(1) << 53, &id) < 0)
        return "a command without an id";
    if (execs_has(x, (uint64_t)id))
        return "an id used twice";
    if (command == NULL) {
        refuse(x, (uint64_t)id, "the command is too long: 4096 bytes at most\n");
        return NULL;
    }
    if (x->n >= EXECS_MAX || held_in_all >= EXECS_HELD_MAX) {
        refuse(x, (uint64_t)id, "too many commands run at once; try again\n");
        return NULL;
    }
    e = calloc(1, sizeof *e);
    if (e == NULL || commands_run(x->hub, who, command, (unsigned)columns, &e->result) < 0) {
        free(e);
        refuse(x, (uint64_t)id, "the hub is out of memory; try again later\n");
        return NULL;
    }
    e->id = (uint64_t)id;
    e->held = buf_len(&e->result.out) + buf_len(&e->result.err);
    held_in_all += e->held;
    e->next = x->list;
    x->list = e;
    x->n++;
    exec_go_on(x, e);
    return NULL;
}

void execs_more(struct execs *x, uint64_t id)
{
    struct exec *e = find(x, id);

    if (e != NULL && e->waits)
        exec_go_on(x, e);
}

void execs_close(struct execs *x, uint64_t id)
{
    struct exec *e = find(x, id);

    if (e != NULL)
        exec_free(x, e);
}
