/* Frames: u8 type | u32 BE payload length | payload. Encoding, and a decoder that takes bytes as they come.
 *
 * The formats stand in stream.h. This module knows sizes and bytes; what a frame means, and whether it may
 * come now, is the stream's business. */
#ifndef MULTISSH_STREAM_FRAME_H
#define MULTISSH_STREAM_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum frame_type {
    FRAME_RESUME = 1,
    FRAME_PROOF,
    FRAME_DATA,
    FRAME_ACK,
    FRAME_EOF,
    FRAME_PING,
    FRAME_PONG,
    FRAME_RESET,
    FRAME_DONE,
};

#define FRAME_HEAD 5u
#define FRAME_NONCE 32u
#define FRAME_RESUME_SIZE (FRAME_NONCE + 4u + 8u + 4u)
#define FRAME_PROOF_SIZE 32u
#define FRAME_U64_SIZE 8u                     /* ACK, EOF, PING, PONG */
#define FRAME_DATA_HEAD (FRAME_HEAD + 8u)     /* with the sequence number */
#define FRAME_DATA_FAR 65536u                 /* what is put into one when the peer is far away */
#define FRAME_DATA_MAX 262144u                /* bytes of the stream in one DATA frame */
#define FRAME_TEXT_MAX 200u                   /* of RESET */
#define FRAME_SMALL_MAX (2u + FRAME_TEXT_MAX) /* the longest payload of a frame that is not DATA */
#define FRAME_UNKNOWN_MAX 4096u               /* a frame of an unknown type is skipped up to this payload */

struct frame_resume {
    uint8_t nonce[FRAME_NONCE];
    uint32_t epoch;
    uint64_t received;
    uint32_t window;
};

/* Write one frame (or the head of a DATA frame) to out, which has the room; return its length. */
size_t frame_put(uint8_t *out, enum frame_type type, const void *payload, size_t n);
size_t frame_put_u64(uint8_t *out, enum frame_type type, uint64_t value);
size_t frame_put_data_head(uint8_t *out, uint64_t sequence, size_t n);
size_t frame_put_reset(uint8_t *out, uint16_t code, const char *text);

/* A RESUME's payload. */
void frame_resume_encode(const struct frame_resume *r, uint8_t out[FRAME_RESUME_SIZE]);
void frame_resume_decode(const uint8_t payload[FRAME_RESUME_SIZE], struct frame_resume *ret_r);
uint64_t frame_get_u64(const uint8_t payload[FRAME_U64_SIZE]);

/* Copies n bytes of text into out (size > 0), cut at a character's end to what fits, with a NUL; what is not
 * valid UTF-8 or is a control character becomes '?'. */
void frame_clean_text(const uint8_t *text, size_t n, char *out, size_t size);

struct frame_decoder {
    bool handshake; /* only RESUME and PROOF are let in */
    uint16_t have, need;
    uint32_t left; /* bytes of the DATA frame still to come */
    uint32_t skip; /* bytes of an unknown frame still to come */
    uint8_t buf[FRAME_HEAD + FRAME_SMALL_MAX];
};

enum frame_event {
    FRAME_EVENT_MORE,  /* all input was used */
    FRAME_EVENT_WHOLE, /* a whole frame: type, payload, n */
    FRAME_EVENT_DATA,  /* a DATA frame begins: sequence, n = how many bytes will come */
    FRAME_EVENT_BYTES, /* its next bytes, pointing into the input: payload, n > 0 */
    FRAME_EVENT_BAD,   /* not a frame that may come: why. The decoder is then of no more use */
};

struct frame_in {
    enum frame_type type;
    const uint8_t *payload; /* valid until the next call, or as long as the input */
    size_t n;
    uint64_t sequence;
    const char *why;
};

void frame_decoder_init(struct frame_decoder *d);
/* Takes bytes from *data, *n (both advance) up to the next event. */
enum frame_event frame_next(struct frame_decoder *d, const uint8_t **data, size_t *n,
                            struct frame_in *ret_in);

#endif
