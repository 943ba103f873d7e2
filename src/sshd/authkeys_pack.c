/* Rights as bytes: flags, expiry, command, then three lists, each a count and its texts; a text is a length
 * and bytes without NUL. Numbers are 32 bits in network order, the expiry 64. Whoever wrote the bytes is not
 * believed. */
#include "sshd/authkeys.h"

#include "base/buf.h"
#include "sshd/authkeys_options.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    FLAG_NO_PTY = 1,
    FLAG_NO_PORT = 2,
    FLAG_NO_AGENT = 4,
    FLAG_NO_RC = 8,
    FLAG_COMMAND = 16,
    FLAGS_ALL = 31
};

/* --- writing --- */

static int put_number(struct buf *out, uint64_t value, size_t size)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> (8 * (size - 1 - i)));
    return buf_append(out, bytes, size);
}

static int put_text(struct buf *out, const char *text)
{
    int rc = put_number(out, strlen(text), 4);
    return rc < 0 ? rc : buf_append_str(out, text);
}

static int put_list(struct buf *out, char *const *list, size_t n)
{
    int rc = put_number(out, n, 4);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = put_text(out, list[i]);
    return rc;
}

int authkeys_pack(const struct authkeys_rights *rights, struct buf *out)
{
    size_t before = buf_len(out);
    unsigned flags = (rights->no_pty ? FLAG_NO_PTY : 0) | (rights->no_port_forwarding ? FLAG_NO_PORT : 0) |
                     (rights->no_agent_forwarding ? FLAG_NO_AGENT : 0) |
                     (rights->no_user_rc ? FLAG_NO_RC : 0) | (rights->command != NULL ? FLAG_COMMAND : 0);
    int rc = put_number(out, flags, 4);
    if (rc == 0)
        rc = put_number(out, (uint64_t)rights->expiry_s, 8);
    if (rc == 0)
        rc = put_text(out, rights->command != NULL ? rights->command : "");
    if (rc == 0)
        rc = put_list(out, rights->env, rights->env_n);
    if (rc == 0)
        rc = put_list(out, rights->permit_open, rights->permit_open_n);
    if (rc == 0)
        rc = put_list(out, rights->permit_listen, rights->permit_listen_n);
    if (rc < 0)
        buf_truncate(out, before);
    return rc;
}

/* --- reading --- */

struct reader {
    const uint8_t *at;
    size_t left;
};

static bool take_number(struct reader *in, size_t size, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (in->left < size)
        return false;
    for (size_t i = 0; i < size; i++)
        value = value << 8 | in->at[i];
    in->at += size;
    in->left -= size;
    *ret_value = value;
    return true;
}

static bool take_text(struct reader *in, char **ret_text)
{
    uint64_t n;
    if (!take_number(in, 4, &n) || n > in->left || n > AUTHKEYS_LINE_MAX ||
        memchr(in->at, '\0', (size_t)n) != NULL)
        return false;
    char *text = malloc((size_t)n + 1);
    if (text == NULL)
        return false;
    memcpy(text, in->at, (size_t)n);
    text[n] = '\0';
    in->at += n;
    in->left -= (size_t)n;
    *ret_text = text;
    return true;
}

static bool permit_ok(const char *text)
{
    char host[AUTHKEYS_OPTIONS_HOST];
    unsigned port;
    return authkeys_options_permit(text, host, &port) == 0;
}

static bool take_list(struct reader *in, char **list, size_t max, bool (*ok)(const char *text), size_t *ret_n)
{
    uint64_t n;
    if (!take_number(in, 4, &n) || n > max)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!take_text(in, &list[i]))
            return false;
        *ret_n = i + 1;
        if (!ok(list[i]))
            return false;
    }
    return true;
}

static bool take_rights(struct reader *in, struct authkeys_rights *r)
{
    uint64_t flags, expiry;
    if (!take_number(in, 4, &flags) || flags > FLAGS_ALL || !take_number(in, 8, &expiry) ||
        expiry > INT64_MAX)
        return false;
    r->no_pty = (flags & FLAG_NO_PTY) != 0;
    r->no_port_forwarding = (flags & FLAG_NO_PORT) != 0;
    r->no_agent_forwarding = (flags & FLAG_NO_AGENT) != 0;
    r->no_user_rc = (flags & FLAG_NO_RC) != 0;
    r->expiry_s = (int64_t)expiry;
    if (!take_text(in, &r->command))
        return false;
    if ((flags & FLAG_COMMAND) == 0) {
        if (r->command[0] != '\0')
            return false;
        free(r->command);
        r->command = NULL;
    }
    return take_list(in, r->env, AUTHKEYS_ENV_MAX, authkeys_options_env_ok, &r->env_n) &&
           take_list(in, r->permit_open, AUTHKEYS_PERMIT_MAX, permit_ok, &r->permit_open_n) &&
           take_list(in, r->permit_listen, AUTHKEYS_PERMIT_MAX, permit_ok, &r->permit_listen_n) &&
           in->left == 0;
}

int authkeys_unpack(const void *data, size_t n, struct authkeys_rights *ret_rights)
{
    struct reader in = {data, n};
    struct authkeys_rights rights = {0};
    if (!take_rights(&in, &rights)) {
        authkeys_rights_release(&rights);
        return -EBADMSG;
    }
    *ret_rights = rights;
    return 0;
}
