/* Runs ssh-keyscan, or reads the files. */
#include "agent/hostkeys.h"

#include "agent/command.h"
#include "agent/host.h"
#include "base/fs.h"
#include "base/log.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCAN_MS 20000 /* ssh-keyscan itself gives a server 5 s for each type of key */
#define FILE_MAX 8192

struct hostkeys_scan {
    struct command *command;
    hostkeys_fn *fn;
    void *arg;
    bool local;
};

static void read_files(struct hostkeys *keys)
{
    static const char *const names[] = {"ed25519", "ecdsa", "rsa"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[FS_PATH_MAX];
        struct buf text;
        snprintf(path, sizeof path, "%s/ssh_host_%s_key.pub", host_ssh_folder(), names[i]);
        buf_init(&text, FILE_MAX);
        if (fs_read(path, &text) == 0)
            (void)hostkeys_parse(keys, (const char *)buf_data(&text), buf_len(&text), false);
        buf_release(&text);
    }
    keys->from = keys->n > 0 ? "files" : "none";
}

static void on_scanned(void *arg, const struct command_result *result)
{
    struct hostkeys_scan *s = arg;
    struct hostkeys keys = {.from = "ssh-keyscan"};
    if (result->words[0] != 0)
        log_debug("ssh-keyscan: %s", result->words);
    if (buf_len(result->text) > 0)
        (void)hostkeys_parse(&keys, (const char *)buf_data(result->text), buf_len(result->text), true);
    if (keys.n == 0) {
        keys.from = "none";
        if (s->local)
            read_files(&keys);
    }
    s->fn(s->arg, &keys);
    free(s);
}

int hostkeys_scan(uv_loop_t *loop, const struct addr_hostport *target, bool local, hostkeys_fn *fn, void *arg,
                  struct hostkeys_scan **ret_scan)
{
    char port[8], host[sizeof target->host], program[FS_PATH_MAX], time_flag[] = "-T", time[] = "5",
                                                                   port_flag[] = "-p";
    char *args[] = {program, time_flag, time, port_flag, port, host, NULL};
    struct hostkeys_scan *s = calloc(1, sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    s->fn = fn;
    s->arg = arg;
    s->local = local;
    host_ssh_keyscan(program, sizeof program);
    snprintf(port, sizeof port, "%u", target->port);
    memcpy(host, target->host, sizeof host);
    int r = command_run(loop, args, SCAN_MS, HOSTKEYS_SCAN_MAX, false, on_scanned, s, &s->command);
    if (r != 0) {
        free(s);
        return r;
    }
    *ret_scan = s;
    return 0;
}

void hostkeys_cancel(struct hostkeys_scan *s)
{
    if (s == NULL)
        return;
    command_cancel(s->command);
    free(s);
}
