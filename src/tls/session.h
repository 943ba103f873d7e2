/* One TLS 1.3 session without a socket: ciphertext in, ciphertext out, plaintext in, plaintext out.
 *
 * Owns the SSL object. Knows nothing of sockets, loops or messages. Bounded: plaintext is handed over as it
 * is decrypted, and the caller stops writing while session_output_len is over its own limit. */
#ifndef MULTISSH_TLS_SESSION_H
#define MULTISSH_TLS_SESSION_H

#include "base/buf.h"
#include "base/crypto.h"
#include "base/errmsg.h"
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdbool.h>

#define TLS_ALPN_CONTROL "multissh-control/1"
#define TLS_ALPN_STREAM "multissh-stream/1"

/* Contexts: TLS 1.3 only, SSL_MODE_RELEASE_BUFFERS, no renegotiation. Caller frees with SSL_CTX_free.
 * Both return 0 or -EINVAL (key and certificate do not belong together, or memory ran out). */
/* Server: leaf first, then the CA in the chain. Accepts both ALPN values above and nothing else. ask_client:
 * a client certificate is required, any self-signed Ed25519 one is accepted, and its key is the peer's
 * identity. */
int session_server_ctx(X509 *leaf, EVP_PKEY *key, X509 *ca, bool ask_client, SSL_CTX **ret_ctx);
/* Client: cert and key may be NULL (streams). */
int session_client_ctx(X509 *cert, EVP_PKEY *key, SSL_CTX **ret_ctx);

/* How a client decides that the server is the hub. */
struct session_trust {
    enum { SESSION_TRUST_PIN, SESSION_TRUST_ANY, SESSION_TRUST_SYSTEM } how;
    uint8_t pin[CRYPTO_HASH_SIZE]; /* PIN: the CA certificate's key, which must have signed the leaf that is
                                      in use */
    const char *name; /* SYSTEM: the name the certificate must carry. Else NULL or the hub's name. Copied.
                         Sent as SNI in every mode when it is no IP. */
};

struct session;
/* The session takes its own reference to ctx. alpn: one of the values above, for a client; ignored for a
 * server. Return 0, -ENOMEM or -EINVAL (a context, name or alpn that cannot be). */
int session_new_server(SSL_CTX *ctx, struct session **ret_s);
int session_new_client(SSL_CTX *ctx, const char *alpn, const struct session_trust *trust,
                       struct session **ret_s);
void session_free(struct session *s);

/* Feeds n bytes of ciphertext. Takes them all. Decrypted bytes are appended to plain, those before an end or
 * a failure too. Returns 0, -EPROTO (handshake or record failure: err says what; send what session_output
 * holds, then close), -EBUSY (a client: the hub is busy, see session_busy_ms; close), -ECONNRESET (close_notify: the peer will send no more; session_write still works),
 * -ENOBUFS (plain is full and more is there: a caller that bounds lines closes, another makes room and calls
 * again with n 0) or -ENOMEM. After -EPROTO, -EBUSY, -ENOMEM and -ECONNRESET every further call returns the same. */
int session_input(struct session *s, const void *data, size_t n, struct buf *plain, struct errmsg *err);
/* Encrypts n bytes; only after session_ready. Returns 0, -EAGAIN (not ready), -EPROTO (failed, or closed by
 * session_close), -ENOBUFS (16 MiB of output wait already; nothing was taken) or -ENOMEM. */
int session_write(struct session *s, const void *data, size_t n);
/* Sends close_notify: this side will write no more; what the peer sends is still read. Before session_ready
 * nothing happens. */
void session_close(struct session *s);

/* Ciphertext to be sent: append everything pending to out (bounded by out's maximum; the rest stays). Call
 * after every call above, and once after session_new_client. */
int session_output(struct session *s, struct buf *out);
size_t session_output_len(const struct session *s);

/* After -EBUSY: when the hub wants to be asked again, in ms from now; else 0. */
uint32_t session_busy_ms(const struct session *s);

/* Resumption of control connections: a ticket that the hub gave over an earlier one stands for the certificates of both
 * sides (an external pre-shared key with a fresh key exchange, RFC 8446 §4.2.11). The hub keeps nothing for it. A ticket that
 * cannot be used costs nothing: the handshake is a full one then. */
#define SESSION_TICKET_MAX 128
#define SESSION_TICKET_KEY 32
struct session_ticket {
    uint8_t ticket[SESSION_TICKET_MAX];
    size_t n;
    uint8_t key[SESSION_TICKET_KEY]; /* secret; wipe */
};
/* A server's context takes the tickets that were made with this secret, over its own restarts too. Returns 0 or -ENOMEM. */
int session_server_resumes(SSL_CTX *ctx, const uint8_t secret[CRYPTO_HASH_SIZE]);
/* A ticket for the client at the other end of s, which is ready: whoever resumes with it is that key again, but no longer than
 * SESSION_RESUMES_S after that key has signed a handshake. Returns 0, -EINVAL (the context does not resume, or no client's key is
 * known), -ETIME (a full handshake is due) or -EIO. */
#define SESSION_RESUMES_S (7 * 24 * 3600)
int session_ticket_make(const struct session *s, int64_t now_s, uint32_t lifetime_s,
                        struct session_ticket *ret_t);
/* A client remembers the ticket in the context of s, in place of the one before: the next control session of that context uses
 * it, where its trust would find the hub good that s found good. With SESSION_TRUST_SYSTEM that hub's certificates are looked at again. */
void session_ticket_keep(struct session *s, const struct session_ticket *t, uint32_t lifetime_s);
/* After session_ready: no certificates were shown. */
bool session_resumed(const struct session *s);

bool session_ready(const struct session *s); /* handshake done, both sides */
/* After session_ready: the pin of the peer: on a server that of the client's own certificate; on a client
 * that of the CA that signed the leaf (so that a first contact can be pinned). Returns 0 or -ENOENT. */
int session_peer_pin(const struct session *s, uint8_t out[CRYPTO_HASH_SIZE]);
/* TLS_ALPN_CONTROL or TLS_ALPN_STREAM; "" before session_ready. A server's caller looks here, not only at
 * what hello_alpn said of the first ClientHello: after a HelloRetryRequest the second one counts. */
const char *session_alpn(const struct session *s);

#endif
