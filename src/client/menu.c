/* The machines to pick from: drawn on a terminal, numbered where there is none. */
#include "client/menu.h"

#include "base/clock.h"
#include "base/names.h"
#include "client/ask.h"
#include "client/forward.h"
#include "client/picker.h"
#include "client/say.h"
#include "client/ssh.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_FAILED 255
#define EXIT_SIGNAL 143
#define LINE_SIZE 256

struct fetched {
    int status;
    struct machines machines;
    struct errmsg err;
    const struct client_options *opt;
};

static void on_list(void *arg, int status, struct buf *text)
{
    struct fetched *f = arg;
    f->status = status;
    if (status == 0)
        f->status = machines_parse((const char *)buf_data(text), buf_len(text), &f->machines, &f->err);
    else if (status < 0 || status >= ASK_NO_COMMAND)
        ask_failure(f->opt, status, "list the machines", &f->err);
}

static int fetch(const struct client_options *o, uv_loop_t *loop, struct fetched *f)
{
    struct destination hub;
    struct words w = {0};
    struct ask *ask;
    *f = (struct fetched){.opt = o, .status = -EIO};
    int r = client_options_hub(o, &hub, &f->err);
    if (r == 0)
        r = ask_allowed(&f->err);
    if (r != 0)
        return r;
    ask_words(o, &hub, &w);
    words_add(&w, "list");
    words_add(&w, "--json");
    r = ask_run(loop, &w, MACHINES_TEXT_MAX, on_list, f, &ask);
    words_release(&w);
    if (r != 0)
        return errmsg_set(&f->err, r, "cannot run %s: %s", o->ssh, strerror(-r));
    uv_run(loop, UV_RUN_DEFAULT);
    return f->status;
}

/* --- numbered --- */

int menu_answer(const struct machines *m, const char *line, const char **ret_name, bool *ret_forward)
{
    *ret_forward = false;
    if (line[0] == 'f' && line[1] == ' ') {
        *ret_forward = true;
        line += 2;
    }
    while (*line == ' ')
        line++;
    for (size_t i = 0; i < m->n; i++) { /* a machine may be called 7 */
        if (names_same(m->item[i].name, line)) {
            *ret_name = m->item[i].name;
            return 0;
        }
    }
    size_t n = strspn(line, "0123456789");
    if (n > 0 && n < 8 && line[n] == 0) {
        unsigned long number = strtoul(line, NULL, 10);
        if (number < 1 || number > m->n)
            return -EINVAL;
        *ret_name = m->item[number - 1].name;
        return 0;
    }
    return -EINVAL;
}

/* A line of standard input and nothing behind it, for the rest is the session's. Returns its length, or -1. */
static int read_line(char *line, size_t size)
{
    size_t n = 0;
    for (;;) {
        char c;
        uv_fs_t req;
        uv_buf_t buf = uv_buf_init(&c, 1);
        int r = uv_fs_read(NULL, &req, 0, &buf, 1, -1, NULL);
        uv_fs_req_cleanup(&req);
        if (r <= 0 && n == 0)
            return -1;
        if (r <= 0 || c == '\n')
            break;
        if (n + 1 < size)
            line[n++] = c;
    }
    while (n > 0 && isspace((unsigned char)line[n - 1]))
        n--;
    line[n] = 0;
    return (int)n;
}

static int ask_for_number(const struct machines *m, char *name, bool *ret_forward)
{
    char line[LINE_SIZE], clean[LINE_SIZE], since[64];
    const char *found = NULL;
    int64_t now_s = clock_wall_s();
    for (size_t i = 0; i < m->n; i++) {
        machines_since(&m->item[i], now_s, since, sizeof since);
        printf("%4zu  %-24s  %-18s  %s\n", i + 1, m->item[i].name, since, m->item[i].os);
    }
    printf("Number or name (f in front forwards it): ");
    fflush(stdout);
    if (read_line(line, sizeof line) < 1) {
        printf("\n");
        say("nothing was chosen");
        return -ENOENT;
    }
    printf("\n");
    fflush(stdout);
    int r = menu_answer(m, line, &found, ret_forward);
    if (r == 0) {
        snprintf(name, NAMES_MACHINE_MAX + 1, "%s", found);
        return 0;
    }
    say_clean(line, clean, sizeof clean);
    say("%s: no machine of the list has that number or name", clean);
    return r;
}

/* --- both --- */

static int go(const struct client_options *o, char *name, bool forward)
{
    struct errmsg err = {""};
    char *argv[] = {name, NULL};
    if (forward)
        return forward_run(o, name);
    int r = ssh_run(o, 1, argv, &err);
    if (r < 0)
        say("%s", err.text);
    return r < 0 ? EXIT_FAILED : r;
}

int menu_run(const struct client_options *o)
{
    uv_loop_t *loop = uv_default_loop();
    struct fetched f;
    char name[NAMES_MACHINE_MAX + 1] = "";
    bool forward = false;
    int choice = PICKER_LEFT, r = fetch(o, loop, &f);
    if (r != 0) {
        if (f.err.text[0] != 0)
            say("%s", f.err.text);
        return r > 0 && r < 128 ? r : EXIT_FAILED;
    }
    if (f.machines.n == 0) {
        say("there is no machine that you may use: an admin of the hub invites one with `multissh-hub invite "
            "NAME`");
        return EXIT_FAILED;
    }
    if (uv_guess_handle(0) == UV_TTY && uv_guess_handle(1) == UV_TTY) {
        choice = picker_run(loop, &f.machines, o->hub, name);
        forward = choice == PICKER_FORWARD;
    } else {
        r = ask_for_number(&f.machines, name, &forward);
        choice = r == 0 ? PICKER_SSH : r;
    }
    machines_release(&f.machines);
    if (choice == PICKER_LEFT)
        return 0;
    if (choice == PICKER_ENDED)
        return EXIT_SIGNAL;
    return choice < 0 ? EXIT_FAILED : go(o, name, forward);
}
