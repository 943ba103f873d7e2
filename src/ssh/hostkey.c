/* Host keys: made, written and read through libssh. */
#include "ssh/hostkey.h"

#include "base/crypto.h"
#include "base/fs.h"
#include "ssh/ssh_internal.h"
#include "ssh/ssh_os.h"
#include "tls/keys_place.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX (64u << 10) /* a private key with its comment; RSA of 16,384 bits has 13 KiB */

struct hostkey {
    ssh_key key;
};

static int format_line(ssh_key key, char *out, size_t size)
{
    char *base64 = NULL;
    int n;
    if (ssh_pki_export_pubkey_base64(key, &base64) != SSH_OK) {
        return -ENOMEM;
    }
    n = snprintf(out, size, "%s %s", ssh_key_type_to_char(ssh_key_type(key)), base64);
    ssh_string_free_char(base64);
    return n < 0 || (size_t)n >= size ? -ENOBUFS : 0;
}

static int write_public(const char *path, ssh_key key, const char *comment, struct errmsg *err)
{
    char file[FS_PATH_MAX];
    char line[HOSTKEY_LINE_MAX];
    char text[HOSTKEY_LINE_MAX + 256];
    int n;
    int rc = format_line(key, line, sizeof line);
    if (rc < 0) {
        return errmsg_set(err, rc, "cannot write the public key as text");
    }
    n = snprintf(file, sizeof file, "%s.pub", path);
    if (n < 0 || (size_t)n >= sizeof file) {
        return errmsg_set(err, -ENAMETOOLONG, "the path %s.pub is too long", path);
    }
    n = snprintf(text, sizeof text, "%s %.200s\n", line, comment);
    rc = fs_write_atomic(file, text, (size_t)n, 0644);
    if (rc < 0) {
        return errmsg_set(err, rc, "cannot write %s: %s", file, strerror(-rc));
    }
    return 0;
}

/* Is there anything at all called path? */
static bool is_there(const char *path)
{
    struct buf text;
    int rc;
    buf_init(&text, FILE_MAX);
    rc = fs_read(path, &text);
    buf_wipe(&text);
    return rc != -ENOENT;
}

/* Under another name first, and then put where it never replaces what is there. */
static int write_private(const char *path, const char *text, struct errmsg *err)
{
    char file[FS_PATH_MAX];
    int n = snprintf(file, sizeof file, "%s.new-%ld", path, (long)getpid());
    int rc;
    if (n < 0 || (size_t)n >= sizeof file) {
        return errmsg_set(err, -ENAMETOOLONG, "the path %s is too long", path);
    }
    rc = fs_write_atomic(file, text, strlen(text), 0600);
    if (rc < 0) {
        return errmsg_set(err, rc, "cannot write %s: %s", file, strerror(-rc));
    }
    rc = keys_place(file, path);
    return rc < 0 ? errmsg_set(err, rc, "cannot make %s: %s", path, strerror(-rc)) : 0;
}

int hostkey_make(const char *path, const char *comment, struct errmsg *err)
{
    ssh_key key = NULL;
    char *text = NULL;
    int rc;
    rc = ssh_os_init();
    if (rc < 0) {
        return errmsg_set(err, rc, "cannot ready the SSH library");
    }
    if (is_there(path)) {
        return errmsg_set(err, -EEXIST, "%s is there already and is left as it is", path);
    }
    if (ssh_pki_generate(SSH_KEYTYPE_ED25519, 0, &key) != SSH_OK ||
        ssh_pki_export_privkey_base64(key, NULL, NULL, NULL, &text) != SSH_OK) {
        rc = errmsg_set(err, -EIO, "cannot make an Ed25519 key");
        goto out;
    }
    rc = write_private(path, text, err);
    if (rc == 0) {
        rc = write_public(path, key, comment, err);
    }
out:
    if (text != NULL) {
        crypto_wipe(text, strlen(text));
        ssh_string_free_char(text);
    }
    ssh_key_free(key);
    return rc;
}

/* By ourselves, for libssh opens files by names in an encoding of the system's. */
static int import(const char *path, ssh_key *ret_key, struct errmsg *err)
{
    struct buf text;
    const char *words = NULL;
    int rc;
    buf_init(&text, FILE_MAX);
    rc = fs_read(path, &text);
    if (rc < 0) {
        (void)errmsg_set(err, rc, "cannot read %s: %s", path, strerror(-rc));
        goto out;
    }
    words = buf_str(&text);
    if (words == NULL) {
        rc = errmsg_set(err, -ENOMEM, "out of memory");
    } else if (ssh_pki_import_privkey_base64(words, NULL, NULL, NULL, ret_key) != SSH_OK) {
        rc = errmsg_set(err, -EINVAL, "%s is not an OpenSSH private key without a passphrase", path);
    }
out:
    buf_wipe(&text);
    return rc;
}

int hostkey_load(const char *path, struct hostkey **ret_key, struct errmsg *err)
{
    struct hostkey *key;
    int rc = ssh_os_init();
    if (rc < 0) {
        return errmsg_set(err, rc, "cannot ready the SSH library");
    }
    rc = fs_check_private(path);
    if (rc == -EPERM) {
        return errmsg_set(err, rc, "%s can be read by others: %s, or make a new key", path,
                          fs_private_advice);
    }
    if (rc < 0) {
        return errmsg_set(err, rc, "cannot read %s: %s", path, strerror(-rc));
    }
    key = calloc(1, sizeof *key);
    if (key == NULL) {
        return errmsg_set(err, -ENOMEM, "out of memory");
    }
    rc = import(path, &key->key, err);
    if (rc < 0) {
        free(key);
        return rc;
    }
    *ret_key = key;
    return 0;
}

int hostkey_load_or_make(const char *path, const char *comment, struct hostkey **ret_key, struct errmsg *err)
{
    if (!is_there(path)) {
        int rc = hostkey_make(path, comment, err);
        if (rc < 0 && rc != -EEXIST) {
            return rc;
        }
    }
    return hostkey_load(path, ret_key, err);
}

void hostkey_free(struct hostkey *key)
{
    if (key != NULL) {
        ssh_key_free(key->key);
        free(key);
    }
}

int hostkey_line(const struct hostkey *key, char *out, size_t size)
{
    return format_line(key->key, out, size);
}

ssh_key hostkey_copy(const struct hostkey *key)
{
    return ssh_key_dup(key->key);
}
