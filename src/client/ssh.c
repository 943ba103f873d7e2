/* ssh with this program as its ProxyCommand. No word of the user's reaches a shell but the machine's name, which is
 * checked, and the path of this program, which is quoted; settings go through the environment. */
#include "client/ssh.h"

#include "base/fs.h"
#include "base/names.h"
#include "client/os.h"
#include "client/say.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

/* Options of ssh(1) that take an argument. */
#define WITH_ARGUMENT "BbcDEeFIiJLlmOoPpQRSWw"
#define COMMAND_MAX 8192

int ssh_destination(int argc, char **argv)
{
    int i = 0;
    for (; i < argc && argv[i][0] == '-' && argv[i][1] != 0; i++) {
        const char *c = argv[i] + 1;
        if (strcmp(argv[i], "--") == 0)
            return i + 1;
        for (; *c != 0 && strchr(WITH_ARGUMENT, *c) == NULL; c++)
            ;
        if (*c != 0 && c[1] == 0)
            i++; /* its argument is the next word */
    }
    return i < argc ? i : argc;
}

/* The machine in [USER@]NAME or ssh://[USER@]NAME[:PORT], or NULL. */
static const char *machine_of(const char *destination, char *out, size_t size)
{
    const char *at = strrchr(destination, '@'), *name = at != NULL ? at + 1 : destination;
    bool scheme = strncmp(destination, "ssh://", 6) == 0;
    if (scheme && at == NULL)
        name = destination + 6;
    size_t n = scheme ? strcspn(name, ":/") : strlen(name);
    if (n >= size)
        return NULL;
    memcpy(out, name, n);
    out[n] = 0;
    return out;
}

int ssh_way(const struct client_options *o, const char *program, const char *name, struct words *w,
            struct errmsg *err)
{
    struct buf command;
    char alias[512];
    buf_init(&command, COMMAND_MAX);
    int r = os_quote(program, &command);
    if (r == 0)
        r = buf_appendf(&command, " connect %s", name);
    const char *text = r == 0 ? buf_str(&command) : NULL;
    if (text == NULL)
        r = errmsg_set(err, r != 0 ? r : -ENOMEM, "%s: a path that ssh cannot be given as its ProxyCommand",
                       program);
    if (r == 0) {
        words_add(w, "-o");
        words_addf(w, "ProxyCommand=%s", text);
        client_options_alias(o, name, alias, sizeof alias);
        words_add(w, "-o");
        words_addf(w, "HostKeyAlias=%s", alias);
        r = w->failed;
    }
    buf_release(&command);
    return r;
}

static int execute(struct words *w, struct errmsg *err)
{
    int r = w->failed != 0 ? w->failed : os_exec(w->item);
    if (r < 0) {
        errmsg_set(err, r, "%s cannot be run: %s; --ssh names the one to be used",
                   w->n > 0 ? w->item[0] : "ssh", uv_strerror(r));
        r = -1;
    }
    words_release(w);
    return r;
}

int ssh_run(const struct client_options *o, int argc, char **argv, struct errmsg *err)
{
    char name[320], program[FS_PATH_MAX], clean[200];
    struct destination hub;
    struct words w = {0};
    size_t n = sizeof program;
    int at = ssh_destination(argc, argv);
    if (at == argc) {
        errmsg_set(err, -EINVAL,
                   "ssh: say which machine: multissh ssh [SSH-OPTION]... [USER@]NAME [COMMAND]...");
        return -1;
    }
    if (machine_of(argv[at], name, sizeof name) == NULL || !names_host_ok(name)) {
        say_clean(argv[at], clean, sizeof clean);
        errmsg_set(err, -EINVAL, "%s cannot be a machine's name", clean);
        return -1;
    }
    if (client_options_hub(o, &hub, err) != 0)
        return -1;
    int r = uv_exepath(program, &n);
    if (r == 0)
        r = client_options_export(o);
    if (r != 0) {
        errmsg_set(err, -EIO, "cannot prepare ssh: %s", uv_strerror(r));
        return -1;
    }
    client_options_ssh(o, &w);
    if (ssh_way(o, program, name, &w, err) != 0) {
        words_release(&w);
        return -1;
    }
    for (int i = 0; i < argc; i++)
        words_add(&w, argv[i]);
    return execute(&w, err);
}

int ssh_list(const struct client_options *o, int argc, char **argv, struct errmsg *err)
{
    static const char fit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.*?!,";
    struct destination hub;
    struct words w = {0};
    char clean[200];
    if (client_options_hub(o, &hub, err) != 0)
        return -1;
    client_options_ssh(o, &w);
    words_add(&w, "-T");
    destination_add(&hub, &w);
    words_add(&w, "list");
    for (int i = 0; i < argc; i++) {
        if (argv[i][0] == 0 || argv[i][strspn(argv[i], fit)] != 0) {
            say_clean(argv[i], clean, sizeof clean);
            errmsg_set(err, -EINVAL, "list: %s is neither an option of `list` nor a pattern of names", clean);
            words_release(&w);
            return -1;
        }
        words_add(&w, argv[i]);
    }
    return execute(&w, err);
}
