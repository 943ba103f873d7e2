/* A TLS connection over a connected TCP socket: plaintext in, plaintext out, bounded both ways. For the
 * control connection and for streams in TLS. Knows nothing of what is said over it. */
#ifndef MULTISSH_NET_TLS_PIPE_H
#define MULTISSH_NET_TLS_PIPE_H

#include "base/buf.h"
#include "tls/session.h"
#include <uv.h>

struct tls_pipe;

/* All are called from the loop, never from within a call of this module; each may call tls_pipe_free. */
struct tls_pipe_calls {
    void (*ready)(void *arg); /* the handshake is done and the hub is trusted */
    void (*input)(
        void *arg,
        struct buf *plain); /* bytes came; consume those that are used, the rest stays for the next call */
    void (*drained)(void *arg); /* what was pending has been taken by the socket */
    void (*ended)(void *arg, int status,
                  const char *words); /* last call: the other side closed (UV_EOF) or it failed */
};

/* Takes tcp (heap, connected) when it returns 0. plain_max bounds what input leaves unconsumed; it has to be
 * well over the 64 KiB that are read at once. Returns 0 or a negative code. */
int tls_pipe_new(uv_tcp_t *tcp, SSL_CTX *ctx, const char *alpn, const struct session_trust *trust,
                 size_t plain_max, const struct tls_pipe_calls *calls, void *arg, struct tls_pipe **ret_p);

/* Only after ready. Returns 0, or a negative code: then ended will be called. */
int tls_pipe_write(struct tls_pipe *p, const void *data, size_t n);
/* Ciphertext that the socket has not taken yet: the caller writes no more while it is too much. */
size_t tls_pipe_pending(const struct tls_pipe *p);
/* After ready: the pin of the hub's CA. Returns 0 or -ENOENT. */
int tls_pipe_peer_pin(const struct tls_pipe *p, uint8_t ret_pin[CRYPTO_HASH_SIZE]);

/* After ready: remembers what the next connection of the same context may resume with (session.h). */
void tls_pipe_ticket_keep(struct tls_pipe *p, const struct session_ticket *t, uint32_t lifetime_s);
/* After an end with UV_EBUSY: when the hub wants to be asked again, in ms. */
uint32_t tls_pipe_busy_ms(const struct tls_pipe *p);

/* Ends it without further calls. What was written is still sent, as far as the other side takes it within a
 * second. NULL-safe. */
void tls_pipe_free(struct tls_pipe *p);

#endif
