/* The folder of the keepers. */
#include "agent/keeper_place.h"

#include "base/json.h"
#include "base/log.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FOLDER "sessions"
#define SUFFIX ".keeper"
#define FILE_MAX 4096
#define PID_MAX (INT64_C(1) << 31)

static int set_folder(struct keeper_place *p, const char *state_dir)
{
    memset(p, 0, sizeof *p);
    return fs_join(p->folder, sizeof p->folder, state_dir, FOLDER);
}

int keeper_place_new(struct keeper_place *ret_p, const char *state_dir)
{
    uint8_t id[KEEPER_ID_SIZE];
    int r = set_folder(ret_p, state_dir);
    if (r == 0)
        r = crypto_random(id, sizeof id);
    if (r == 0)
        r = crypto_random(ret_p->token, sizeof ret_p->token);
    if (r == 0)
        crypto_hex_encode(id, sizeof id, ret_p->id, sizeof ret_p->id);
    return r;
}

static bool id_ok(const char *id)
{
    return strlen(id) == KEEPER_ID_TEXT - 1 && strspn(id, "0123456789abcdef") == KEEPER_ID_TEXT - 1;
}

int keeper_place_given(struct keeper_place *ret_p, const char *state_dir, const char *id, const char *token)
{
    int r = set_folder(ret_p, state_dir);
    if (r != 0)
        return r;
    if (id == NULL || token == NULL || !id_ok(id) ||
        crypto_hex_decode(token, strlen(token), ret_p->token, sizeof ret_p->token) != KEEPER_TOKEN_SIZE)
        return -EINVAL;
    snprintf(ret_p->id, sizeof ret_p->id, "%s", id);
    return 0;
}

static int file_path(const struct keeper_place *p, char *out, size_t size)
{
    char name[KEEPER_ID_TEXT + sizeof SUFFIX];
    snprintf(name, sizeof name, "%s" SUFFIX, p->id);
    return fs_join(out, size, p->folder, name);
}

static int write_file(const struct keeper_place *p)
{
    char path[FS_PATH_MAX], token[2 * KEEPER_TOKEN_SIZE + 1];
    struct buf text;
    cJSON *m = cJSON_CreateObject();
    crypto_hex_encode(p->token, sizeof p->token, token, sizeof token);
    json_add_int(m, "protocol", KEEPER_PROTOCOL);
    json_add_str(m, "version", MULTISSH_VERSION);
    json_add_int(m, "pid", p->pid);
    json_add_str(m, "token", token);
    crypto_wipe(token, sizeof token);
    buf_init(&text, FILE_MAX);
    int r = json_take(m, &text);
    if (r == 0)
        r = buf_append(&text, "\n", 1);
    if (r == 0)
        r = file_path(p, path, sizeof path);
    if (r == 0)
        r = fs_write_atomic(path, buf_data(&text), buf_len(&text), 0600);
    buf_wipe(&text);
    return r;
}

int keeper_place_take(struct keeper_place *p, uv_pipe_t *pipe, struct errmsg *err)
{
    int r = fs_mkdir_private(p->folder);
    if (r != 0)
        return errmsg_set(err, r, "cannot make the folder %s: %s", p->folder, strerror(-r));
    p->pid = (long)uv_os_getpid();
    r = keeper_place_bind(p, pipe);
    if (r != 0)
        return errmsg_set(err, r, "cannot listen in %s: %s", p->folder, uv_strerror(r));
    r = write_file(p);
    if (r != 0) {
        keeper_place_unbind(p);
        return errmsg_set(err, r, "cannot write to %s: %s", p->folder, strerror(-r));
    }
    return 0;
}

void keeper_place_remove(const struct keeper_place *p)
{
    char path[FS_PATH_MAX];
    uv_fs_t req;
    keeper_place_unbind(p);
    if (file_path(p, path, sizeof path) != 0)
        return;
    (void)uv_fs_unlink(NULL, &req, path, NULL); /* it may be gone */
    uv_fs_req_cleanup(&req);
}

/* --- reading --- */

/* Returns 0 or a negative errno value. */
static int parse(struct keeper_place *p, const struct buf *text)
{
    cJSON *m = NULL;
    int64_t pid = 0, protocol = 0;
    size_t n = buf_len(text);
    const char *data = (const char *)buf_data(text);
    while (n > 0 && data[n - 1] == '\n')
        n--;
    int r = json_parse(data, n, FILE_MAX, &m);
    if (r != 0)
        return r;
    const char *token = json_str(m, "token", 2 * KEEPER_TOKEN_SIZE);
    r = json_int(m, "pid", 1, PID_MAX, &pid);
    if (r == 0)
        r = json_int(m, "protocol", 1, INT32_MAX, &protocol);
    if (r == 0 && (token == NULL ||
                   crypto_hex_decode(token, strlen(token), p->token, sizeof p->token) != KEEPER_TOKEN_SIZE))
        r = -EINVAL;
    p->pid = (long)pid;
    p->protocol = (int)protocol;
    snprintf(p->version, sizeof p->version, "%s", json_str_or(m, "version", KEEPER_VERSION_MAX, "?"));
    cJSON_Delete(m);
    return r;
}

static int read_file(struct keeper_place *p)
{
    char path[FS_PATH_MAX];
    struct buf text;
    int r = file_path(p, path, sizeof path);
    if (r != 0)
        return r;
    r = fs_check_private(path);
    if (r != 0)
        return r;
    buf_init(&text, FILE_MAX);
    r = fs_read(path, &text);
    if (r == 0)
        r = parse(p, &text);
    buf_wipe(&text);
    return r;
}

static bool take_name(struct keeper_place *p, const char *name)
{
    size_t n = strlen(name);
    if (n != KEEPER_ID_TEXT - 1 + strlen(SUFFIX) || strcmp(name + KEEPER_ID_TEXT - 1, SUFFIX) != 0)
        return false;
    memcpy(p->id, name, KEEPER_ID_TEXT - 1);
    p->id[KEEPER_ID_TEXT - 1] = 0;
    return id_ok(p->id);
}

int keeper_place_each(const char *state_dir, keeper_place_fn *fn, void *arg)
{
    struct keeper_place p;
    uv_fs_t req;
    uv_dirent_t entry;
    unsigned count = 0;
    int r = set_folder(&p, state_dir);
    if (r != 0)
        return r;
    r = uv_fs_scandir(NULL, &req, p.folder, 0, NULL);
    while (r >= 0 && count < KEEPER_PLACES_MAX && uv_fs_scandir_next(&req, &entry) == 0) {
        if (!take_name(&p, entry.name))
            continue;
        count++;
        int fault = read_file(&p);
        if (fault == 0)
            fn(arg, &p);
        else if (fault != -ENOENT)
            log_warn("%s/%s is passed over: %s", p.folder, entry.name, strerror(-fault));
        crypto_wipe(p.token, sizeof p.token);
    }
    uv_fs_req_cleanup(&req);
    return r >= 0 || r == UV_ENOENT ? 0 : r;
}

int keeper_place_proof(const struct keeper_place *p, char side, const uint8_t keeper_nonce[KEEPER_NONCE_SIZE],
                       const uint8_t nonce[KEEPER_NONCE_SIZE], uint8_t ret_mac[CRYPTO_HASH_SIZE])
{
    static const char label[] = "multissh keeper v1"; /* with its NUL */
    const struct crypto_piece pieces[] = {
        {label, sizeof label}, {&side, 1}, {keeper_nonce, KEEPER_NONCE_SIZE}, {nonce, KEEPER_NONCE_SIZE}};
    return crypto_hmac(p->token, sizeof p->token, pieces, sizeof pieces / sizeof pieces[0], ret_mac);
}
