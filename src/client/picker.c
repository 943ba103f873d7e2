/* The picker on a terminal. */
#include "client/picker.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "client/keys.h"
#include "client/os.h"
#include "client/pick.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ESCAPE_MS 100 /* so long the rest of a key's sequence may take */
#define FRAME_MAX (1u << 20)
#define ROWS_MAX 1000
#define COLUMNS_MAX 1000
#define SIGNALS 5

struct picker {
    uv_loop_t *loop;
    uv_tty_t in, out;
    uv_timer_t timer;
    uv_signal_t signals[SIGNALS];
    unsigned n_signals;
    uv_write_t write;
    struct pick pick;
    struct keys keys;
    struct buf frame;
    const char *hub;
    size_t name_columns, since_columns;
    int rows, columns;
    bool writing, dirty, over, utf8;
    int choice;
    char *name;
    char chunk[1024];
};

/* --- drawing --- */

/* At most that many columns of text, each character one. Returns how many were used. */
static size_t put_text(struct picker *p, const char *text, size_t columns)
{
    size_t left = strlen(text), used = 0, step;
    uint32_t code;
    for (; left > 0 && used < columns; used++, text += step, left -= step) {
        step = utf8_next(text, left, &code);
        if (step > 1 && !p->utf8)
            (void)buf_append_str(&p->frame, "?");
        else
            (void)buf_append(&p->frame, step == 0 ? "?" : text, step == 0 ? 1 : step);
        step = step == 0 ? 1 : step;
    }
    return used;
}

static void pad(struct picker *p, size_t from, size_t to)
{
    for (; from < to; from++)
        (void)buf_append_str(&p->frame, " ");
}

static void go_to(struct picker *p, int row)
{
    (void)buf_appendf(&p->frame, "\033[%d;1H", row);
}

static void end_line(struct picker *p)
{
    (void)buf_append_str(&p->frame, "\033[0m\033[K");
}

static void draw_machine(struct picker *p, size_t i, int64_t now_s)
{
    const struct machine *m = &p->pick.all->item[p->pick.shown[i]];
    size_t columns = (size_t)p->columns, used;
    char since[64];
    bool chosen = i == p->pick.at;
    machines_since(m, now_s, since, sizeof since);
    if (chosen)
        (void)buf_append_str(&p->frame, "\033[7m");
    else if (!m->online)
        (void)buf_append_str(&p->frame, "\033[2m");
    used = put_text(p, chosen ? "> " : "  ", columns);
    used += put_text(p, m->name, columns - used);
    if (columns > 2 + p->name_columns + 2) {
        pad(p, used, 2 + p->name_columns + 2);
        used = 2 + p->name_columns + 2;
        used += put_text(p, since, columns - used);
    }
    if (m->os[0] != 0 && columns > 2 + p->name_columns + 2 + p->since_columns + 2) {
        pad(p, used, 2 + p->name_columns + 2 + p->since_columns + 2);
        used = 2 + p->name_columns + 2 + p->since_columns + 2;
        (void)put_text(p, m->os, columns - used);
    }
    end_line(p);
}

/* Which rows are for what: the list has what the others leave, and at least one. */
static void layout(const struct picker *p, bool *ret_head, bool *ret_filter, bool *ret_foot, int *ret_list)
{
    *ret_filter = p->rows >= 2;
    *ret_head = p->rows >= 5;
    *ret_foot = p->rows >= 6;
    *ret_list = p->rows - *ret_filter - *ret_head - *ret_foot;
}

static void draw_filter(struct picker *p, int row)
{
    const char *at = p->pick.filter;
    size_t room = p->columns > 3 ? (size_t)p->columns - 3 : 0, n = 0;
    for (const char *c = at; *c != 0; c++)
        n += ((unsigned char)*c & 0xc0) != 0x80;
    for (; n > room; n--) /* its end is what is being typed */
        do
            at++;
        while (((unsigned char)*at & 0xc0) == 0x80);
    go_to(p, row);
    (void)put_text(p, "/ ", (size_t)p->columns);
    (void)put_text(p, at, room);
    end_line(p);
}

static void draw(struct picker *p)
{
    char line[400];
    bool head, filter, foot;
    int list, row = 1;
    int64_t now_s = clock_wall_s();
    layout(p, &head, &filter, &foot, &list);
    pick_fit(&p->pick, (size_t)list);
    buf_clear(&p->frame);
    (void)buf_append_str(&p->frame, "\033[?25l\033[?7l");
    if (head) {
        go_to(p, row++);
        snprintf(line, sizeof line, "%.200s: %zu of %zu machines", p->hub, p->pick.n, p->pick.all->n);
        (void)put_text(p, line, (size_t)p->columns);
        end_line(p);
    }
    if (filter)
        draw_filter(p, row++);
    for (int i = 0; i < list; i++) {
        go_to(p, row++);
        if (p->pick.top + (size_t)i < p->pick.n)
            draw_machine(p, p->pick.top + (size_t)i, now_s);
        else if (i == 0)
            (void)put_text(p, p->pick.all->n == 0 ? "  there is no machine" : "  no machine matches",
                           (size_t)p->columns);
        end_line(p);
    }
    if (foot) {
        go_to(p, row);
        (void)buf_append_str(&p->frame, "\033[2m");
        (void)put_text(p, "Enter: ssh   Tab: forward   type: filter   Esc: leave", (size_t)p->columns);
        end_line(p);
    }
    (void)buf_append_str(&p->frame, "\033[?7h");
}

static void show(struct picker *p);

static void on_written(uv_write_t *req, int status)
{
    struct picker *p = req->data;
    p->writing = false;
    if (status == 0 && p->dirty && !p->over)
        show(p);
}

/* One picture at a time: a slow terminal is shown the last one only. */
static void show(struct picker *p)
{
    if (p->writing) {
        p->dirty = true;
        return;
    }
    p->dirty = false;
    draw(p);
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)buf_data(&p->frame), (unsigned)buf_len(&p->frame));
    p->write.data = p;
    p->writing = uv_write(&p->write, (uv_stream_t *)&p->out, &buf, 1, on_written) == 0;
}

static void measure(struct picker *p)
{
    if (uv_tty_get_winsize(&p->out, &p->columns, &p->rows) != 0 || p->rows < 1 || p->columns < 1) {
        p->rows = 24;
        p->columns = 80;
    }
    p->rows = p->rows < ROWS_MAX ? p->rows : ROWS_MAX;
    p->columns = p->columns < COLUMNS_MAX ? p->columns : COLUMNS_MAX;
}

/* --- keys --- */

static void end(struct picker *p, int choice)
{
    const struct machine *m = pick_chosen(&p->pick);
    if (p->over || (m == NULL && (choice == PICKER_SSH || choice == PICKER_FORWARD)))
        return;
    p->over = true;
    p->choice = choice;
    if (m != NULL)
        snprintf(p->name, NAMES_MACHINE_MAX + 1, "%s", m->name);
    uv_read_stop((uv_stream_t *)&p->in);
    uv_stop(p->loop);
}

static void act_on_control(struct picker *p, char letter)
{
    switch (letter) {
    case 'c':
    case 'd':
    case 'q':
        end(p, PICKER_LEFT);
        break;
    case 'f':
        end(p, PICKER_FORWARD);
        break;
    case 'u':
        pick_erase_all(&p->pick);
        break;
    case 'w':
        pick_erase_word(&p->pick);
        break;
    case 'p':
        pick_move(&p->pick, -1);
        break;
    case 'n':
        pick_move(&p->pick, 1);
        break;
    default:
        break;
    }
}

static void act(struct picker *p, enum key key)
{
    bool head, filter, foot;
    int list;
    layout(p, &head, &filter, &foot, &list);
    switch (key) {
    case KEY_CHARACTER:
        pick_type(&p->pick, p->keys.text, p->keys.text_n);
        break;
    case KEY_UP:
        pick_move(&p->pick, -1);
        break;
    case KEY_DOWN:
        pick_move(&p->pick, 1);
        break;
    case KEY_PAGE_UP:
        pick_move(&p->pick, -list);
        break;
    case KEY_PAGE_DOWN:
        pick_move(&p->pick, list);
        break;
    case KEY_HOME:
        pick_move(&p->pick, -(long)p->pick.n);
        break;
    case KEY_END:
        pick_move(&p->pick, (long)p->pick.n);
        break;
    case KEY_BACKSPACE:
        pick_erase(&p->pick);
        break;
    case KEY_ENTER:
        end(p, PICKER_SSH);
        break;
    case KEY_TAB:
        end(p, PICKER_FORWARD);
        break;
    case KEY_ESCAPE:
        end(p, PICKER_LEFT);
        break;
    case KEY_CONTROL:
        act_on_control(p, p->keys.text[0]);
        break;
    case KEY_NONE:
    case KEY_OTHER:
        break;
    }
}

static void on_escape(uv_timer_t *timer)
{
    struct picker *p = timer->data;
    act(p, keys_idle(&p->keys));
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct picker *p = handle->data;
    (void)suggested;
    *buf = uv_buf_init(p->chunk, sizeof p->chunk);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct picker *p = stream->data;
    if (n < 0)
        end(p, PICKER_LEFT);
    for (ssize_t i = 0; i < n && !p->over; i++)
        act(p, keys_feed(&p->keys, (unsigned char)buf->base[i]));
    if (p->over || n <= 0)
        return;
    if (keys_waiting(&p->keys))
        uv_timer_start(&p->timer, on_escape, ESCAPE_MS, 0);
    else
        uv_timer_stop(&p->timer);
    show(p);
}

/* --- begin and end --- */

static void on_signal(uv_signal_t *handle, int number)
{
    struct picker *p = handle->data;
    if (number == SIGWINCH) {
        measure(p);
        show(p);
        return;
    }
    if (number == os_continue_signal) { /* the shell has had the terminal meanwhile */
        (void)uv_tty_set_mode(&p->in, UV_TTY_MODE_NORMAL);
        (void)uv_tty_set_mode(&p->in, UV_TTY_MODE_RAW);
        show(p);
        return;
    }
    end(p, PICKER_ENDED);
}

/* At once, and whatever state the loop is in. */
static void say_now(struct picker *p, const char *text)
{
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)text, (unsigned)strlen(text));
    (void)uv_stream_set_blocking((uv_stream_t *)&p->out, 1);
    (void)uv_try_write((uv_stream_t *)&p->out, &buf, 1);
}

static void begin(struct picker *p)
{
    const int numbers[SIGNALS] = {SIGTERM, SIGHUP, SIGINT, SIGWINCH, os_continue_signal};
    uv_timer_init(p->loop, &p->timer);
    p->timer.data = p;
    for (size_t i = 0; i < SIGNALS && numbers[i] != 0; i++) {
        uv_signal_init(p->loop, &p->signals[p->n_signals]);
        p->signals[p->n_signals].data = p;
        (void)uv_signal_start(&p->signals[p->n_signals++], on_signal, numbers[i]);
    }
    for (size_t i = 0; i < p->pick.all->n; i++) {
        char since[64];
        size_t n = strlen(p->pick.all->item[i].name);
        machines_since(&p->pick.all->item[i], clock_wall_s(), since, sizeof since);
        p->name_columns = n > p->name_columns ? n : p->name_columns;
        p->since_columns = strlen(since) > p->since_columns ? strlen(since) : p->since_columns;
    }
    measure(p);
    say_now(p, "\033[?1049h");
    show(p);
}

int picker_run(uv_loop_t *loop, const struct machines *m, const char *hub,
               char ret_name[NAMES_MACHINE_MAX + 1])
{
    struct picker *p = calloc(1, sizeof *p);
    ret_name[0] = 0;
    if (p == NULL || pick_init(&p->pick, m) != 0) {
        free(p);
        return UV_ENOMEM;
    }
    p->loop = loop;
    p->hub = hub;
    p->name = ret_name;
    p->utf8 = os_utf8();
    p->choice = PICKER_LEFT;
    buf_init(&p->frame, FRAME_MAX);
    int r = uv_tty_init(loop, &p->in, 0, 1);
    bool in = r == 0, out = r == 0 && (r = uv_tty_init(loop, &p->out, 1, 0)) == 0;
    if (r == 0)
        r = uv_tty_set_mode(&p->in, UV_TTY_MODE_RAW);
    p->in.data = p->out.data = p;
    if (r == 0)
        r = uv_read_start((uv_stream_t *)&p->in, on_alloc, on_read);
    if (r == 0) {
        begin(p);
        uv_run(loop, UV_RUN_DEFAULT);
        say_now(p, "\033[?25h\033[?7h\033[?1049l");
        uv_close((uv_handle_t *)&p->timer, NULL);
        for (unsigned i = 0; i < p->n_signals; i++)
            uv_close((uv_handle_t *)&p->signals[i], NULL);
    }
    (void)uv_tty_reset_mode();
    if (in)
        uv_close((uv_handle_t *)&p->in, NULL);
    if (out)
        uv_close((uv_handle_t *)&p->out, NULL);
    uv_run(loop, UV_RUN_DEFAULT);
    r = r == 0 ? p->choice : r;
    buf_release(&p->frame);
    pick_release(&p->pick);
    free(p);
    return r;
}
