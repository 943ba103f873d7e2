/* Owns the BIO method that joins OpenSSL to two struct bufs. Never blocks: an empty input asks for a retry.
 */
#include "tls/session_bio.h"

#include <openssl/crypto.h>
#include <string.h>

static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
static BIO_METHOD *method;

static int wire_write(BIO *bio, const char *data, size_t n, size_t *ret_written)
{
    struct session_wire *wire = BIO_get_data(bio);
    int rc = buf_append(&wire->out, data, n);

    BIO_clear_retry_flags(bio);
    if (rc < 0) {
        wire->error = rc;
        return 0;
    }
    *ret_written = n;
    return 1;
}

static int wire_read(BIO *bio, char *out, size_t n, size_t *ret_read)
{
    struct session_wire *wire = BIO_get_data(bio);
    size_t have = buf_len(&wire->in);

    BIO_clear_retry_flags(bio);
    if (have == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    if (n > have)
        n = have;
    memcpy(out, buf_data(&wire->in), n);
    buf_consume(&wire->in, n);
    *ret_read = n;
    return 1;
}

static long wire_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP;
}

static void make_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "multissh session");

    if (m && BIO_meth_set_write_ex(m, wire_write) && BIO_meth_set_read_ex(m, wire_read) &&
        BIO_meth_set_ctrl(m, wire_ctrl)) {
        method = m;
        return;
    }
    BIO_meth_free(m);
}

BIO *session_bio_new(struct session_wire *wire)
{
    BIO *bio = NULL;

    if (CRYPTO_THREAD_run_once(&once, make_method) == 1 && method)
        bio = BIO_new(method);
    if (bio) {
        BIO_set_data(bio, wire);
        BIO_set_init(bio, 1);
    }
    return bio;
}
