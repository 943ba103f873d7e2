/* Owns the keys in memory and the rule that a file, once there, is never written over, save a leaf of our own
 * CA that carries an old name. Must not log a key. */
#include "hub/hub_keys.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/fs.h"
#include "base/log.h"
#include "hub/program.h"
#include "tls/keys.h"
#include "tls/session.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define LOCK_WAIT_MS 1000

struct hub_keys {
    EVP_PKEY *ca_key, *tls_key;
    X509 *ca, *leaf;
    SSL_CTX *ctx;
    uint8_t pin[CRYPTO_HASH_SIZE];
    uint8_t secret[TICKET_SECRET_SIZE];
    char host_key[FS_PATH_MAX];
};

void hub_keys_free(struct hub_keys *k)
{
    if (k == NULL)
        return;
    SSL_CTX_free(k->ctx);
    X509_free(k->ca);
    X509_free(k->leaf);
    EVP_PKEY_free(k->ca_key);
    EVP_PKEY_free(k->tls_key);
    crypto_wipe(k, sizeof *k);
    free(k);
}

static int load_ca(struct hub_keys *k, const char *dir, struct errmsg *err)
{
    char path[FS_PATH_MAX];
    int rc = fs_join(path, sizeof path, dir, HUB_KEYS_CA_KEY);

    if (rc < 0)
        return errmsg_set(err, rc, "the path of the state folder is too long");
    rc = keys_load_or_make(path, &k->ca_key, err);
    if (rc < 0)
        return rc;
    (void)fs_join(path, sizeof path, dir, HUB_KEYS_CA_CERT);
    rc = keys_cert_load(path, &k->ca, err);
    if (rc == -ENOENT) {
        rc = keys_self_sign(k->ca_key, "multiSSH hub CA", 1, &k->ca);
        if (rc == 0)
            rc = keys_cert_save(path, k->ca);
        if (rc < 0)
            return errmsg_set(err, rc, "the hub's CA cannot be made: %s: %s", path, strerror(-rc));
        log_info("made the hub's CA: %s", path);
    }
    if (rc < 0)
        return rc;
    if (X509_check_private_key(k->ca, k->ca_key) != 1)
        return errmsg_set(err, -EINVAL,
                          "%s does not belong to %s: restore the pair, or remove both (then every machine "
                          "must be invited anew)",
                          path, HUB_KEYS_CA_KEY);
    return keys_pin(k->ca, k->pin) < 0 ? errmsg_set(err, -EIO, "%s: cannot be hashed", path) : 0;
}

static bool leaf_is_ours_but_misnamed(const struct hub_keys *k, const char *name)
{
    return X509_verify(k->leaf, k->ca_key) == 1 && X509_check_host(k->leaf, name, 0, 0, NULL) != 1 &&
           X509_check_ip_asc(k->leaf, name, 0) != 1;
}

static int load_leaf(struct hub_keys *k, const char *dir, const char *name, struct errmsg *err)
{
    char path[FS_PATH_MAX];
    int rc = fs_join(path, sizeof path, dir, HUB_KEYS_TLS_KEY);

    if (rc < 0)
        return errmsg_set(err, rc, "the path of the state folder is too long");
    rc = keys_load_or_make(path, &k->tls_key, err);
    if (rc < 0)
        return rc;
    (void)fs_join(path, sizeof path, dir, HUB_KEYS_TLS_CERT);
    rc = keys_cert_load(path, &k->leaf, err);
    if (rc == -ENOENT || (rc == 0 && leaf_is_ours_but_misnamed(k, name))) {
        X509_free(k->leaf);
        k->leaf = NULL;
        rc = keys_sign_leaf(k->tls_key, k->ca_key, k->ca, name, &k->leaf);
        if (rc == 0)
            rc = keys_cert_save(path, k->leaf);
        if (rc < 0)
            return errmsg_set(err, rc, "the TLS certificate cannot be made: %s: %s", path, strerror(-rc));
        log_info("made the TLS certificate for %s: %s", name, path);
    }
    if (rc < 0)
        return rc;
    if (X509_check_private_key(k->leaf, k->tls_key) != 1)
        return errmsg_set(err, -EINVAL, "%s does not belong to %s: remove it, and a new one is made", path,
                          HUB_KEYS_TLS_KEY);
    rc = session_server_ctx(k->leaf, k->tls_key, k->ca, true, &k->ctx);
    return rc < 0 ? errmsg_set(err, rc, "TLS cannot be set up with %s", path) : 0;
}

static int load_secret(struct hub_keys *k, const char *dir, struct errmsg *err)
{
    char path[FS_PATH_MAX];
    struct buf data;
    int rc = fs_join(path, sizeof path, dir, HUB_KEYS_SECRET);

    buf_init(&data, TICKET_SECRET_SIZE);
    if (rc < 0)
        goto out;
    rc = fs_read(path, &data);
    if (rc == -ENOENT) {
        rc = crypto_random(k->secret, sizeof k->secret);
        if (rc == 0)
            rc = fs_write_atomic(path, k->secret, sizeof k->secret, 0600);
        goto out;
    }
    if (rc == 0)
        rc = fs_check_private(path);
    if (rc == 0 && buf_len(&data) != TICKET_SECRET_SIZE)
        rc = -EINVAL;
    if (rc == 0)
        memcpy(k->secret, buf_data(&data), sizeof k->secret);
out:
    buf_wipe(&data);
    if (rc < 0)
        (void)errmsg_set(err, rc, "%s: %s", path,
                         rc == -EPERM ? "others may read it: chmod 600 it"
                         : rc == -EINVAL || rc == -EFBIG
                             ? "is not 32 bytes long: remove it, and a new one is made"
                             : strerror(-rc));
    return rc;
}

/* Machines resume over restarts of the hub, with what their tickets were sealed with before. */
static int let_resume(struct hub_keys *k, struct errmsg *err)
{
    static const char label[] = "multissh resumption v1";
    const struct crypto_piece piece = {label, sizeof label};
    uint8_t secret[CRYPTO_HASH_SIZE];
    int rc = crypto_hmac(k->secret, sizeof k->secret, &piece, 1, secret);

    if (rc == 0)
        rc = session_server_resumes(k->ctx, secret);
    crypto_wipe(secret, sizeof secret);
    return rc < 0 ? errmsg_set(err, rc, "TLS cannot be set up: %s", strerror(-rc)) : 0;
}

static int load_host_key(struct hub_keys *k, const char *dir, struct errmsg *err)
{
    char *args[] = {"multissh-front", "--make-host-key", k->host_key, NULL};
    int rc = fs_join(k->host_key, sizeof k->host_key, dir, HUB_KEYS_HOST_KEY);

    if (rc < 0)
        return errmsg_set(err, rc, "the path of the state folder is too long");
    if (access(k->host_key, F_OK) == 0) {
        rc = fs_check_private(k->host_key);
        return rc < 0 ? errmsg_set(err, rc, "%s: others may read it: chmod 600 it", k->host_key) : 0;
    }
    rc = program_run(args);
    if (rc < 0)
        return errmsg_set(
            err, rc,
            "cannot run multissh-front to make the SSH host key: %s; is it installed beside multissh-hub?",
            strerror(-rc));
    if (rc > 0 || access(k->host_key, F_OK) != 0)
        return errmsg_set(err, -EIO, "multissh-front could not make the SSH host key %s (exit status %d)",
                          k->host_key, rc);
    log_info("made the SSH host key: %s", k->host_key);
    return 0;
}

int hub_keys_load(const char *state_dir, const char *name, struct hub_keys **ret_k, struct errmsg *err)
{
    struct hub_keys *k = calloc(1, sizeof *k);
    int rc = 0;

    if (k == NULL)
        return errmsg_set(err, -ENOMEM, "out of memory");
    rc = load_ca(k, state_dir, err);
    if (rc == 0)
        rc = load_leaf(k, state_dir, name, err);
    if (rc == 0)
        rc = load_secret(k, state_dir, err);
    if (rc == 0)
        rc = let_resume(k, err);
    if (rc == 0)
        rc = load_host_key(k, state_dir, err);
    if (rc < 0) {
        hub_keys_free(k);
        return rc;
    }
    *ret_k = k;
    return 0;
}

const uint8_t *hub_keys_pin(const struct hub_keys *k)
{
    return k->pin;
}

const uint8_t *hub_keys_secret(const struct hub_keys *k)
{
    return k->secret;
}

SSL_CTX *hub_keys_tls(const struct hub_keys *k)
{
    return k->ctx;
}

const char *hub_keys_host_key_path(const struct hub_keys *k)
{
    return k->host_key;
}

/* A process that the hub was about to start when it was killed still has the lock, until it is the other program. */
static int lock_soon(int fd)
{
    const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
    uint64_t until = clock_now_ms() + LOCK_WAIT_MS;

    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK || clock_now_ms() >= until)
            return -errno;
        (void)nanosleep(&pause, NULL);
    }
    return 0;
}

int hub_keys_lock(const char *state_dir, int *ret_fd, struct errmsg *err)
{
    char path[FS_PATH_MAX];
    int fd = -1;
    int rc = fs_join(path, sizeof path, state_dir, HUB_KEYS_LOCK);

    if (rc < 0)
        return errmsg_set(err, rc, "the path of the state folder is too long");
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return errmsg_set(err, -errno, "%s: %s", path, strerror(errno));
    rc = lock_soon(fd);
    if (rc < 0) {
        close(fd);
        if (rc == -EWOULDBLOCK)
            return errmsg_set(err, rc,
                              "another hub is running for %s; end it first: multissh-hub --state %s stop",
                              state_dir, state_dir);
        return errmsg_set(err, rc, "%s: %s", path, strerror(-rc));
    }
    *ret_fd = fd;
    return 0;
}
