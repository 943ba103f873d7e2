/* The refusal's bytes. Pure functions. */
#include "front/refusal.h"

#include "base/utf8.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MSG_DISCONNECT 1
#define DISCONNECT_BY_APPLICATION 11

static int append_u32(struct buf *out, uint32_t value)
{
    uint8_t bytes[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                        (uint8_t)value};
    return buf_append(out, bytes, sizeof bytes);
}

static int append_u8(struct buf *out, uint8_t value)
{
    return buf_append(out, &value, 1);
}

void refusal_clean(const char *text, char *out, size_t size)
{
    size_t n = strlen(text);
    size_t at = 0;
    size_t used = 0;
    while (at < n) {
        uint32_t code = 0;
        size_t step = utf8_next(text + at, n - at, &code);
        bool good = step > 0 && !utf8_unsafe(code);
        size_t need = good ? step : 1;
        if (used + need + 1 > size) {
            break;
        }
        if (good) {
            memcpy(out + used, text + at, step);
        } else {
            out[used] = code == '\n' || code == '\t' ? ' ' : '?';
        }
        used += need;
        at += step > 0 ? step : 1;
    }
    out[used] = '\0';
}

int refusal_append(struct buf *out, const char *text)
{
    static const uint8_t padding[16] = {0};
    char clean[REFUSAL_TEXT_MAX + 1];
    uint32_t text_n, payload_n;
    uint8_t padding_n;
    int rc;
    refusal_clean(text, clean, sizeof clean);
    text_n = (uint32_t)strlen(clean);
    payload_n = 1 + 4 + 4 + text_n + 4;
    /* Length, padding length, payload and padding together are a multiple of 8; at least 4 bytes of padding.
     */
    padding_n = (uint8_t)(8 - (4 + 1 + payload_n) % 8);
    if (padding_n < 4) {
        padding_n = (uint8_t)(padding_n + 8);
    }
    rc = buf_append_str(out, "SSH-2.0-multiSSH\r\n");
    rc = rc < 0 ? rc : append_u32(out, 1 + payload_n + padding_n);
    rc = rc < 0 ? rc : append_u8(out, padding_n);
    rc = rc < 0 ? rc : append_u8(out, MSG_DISCONNECT);
    rc = rc < 0 ? rc : append_u32(out, DISCONNECT_BY_APPLICATION);
    rc = rc < 0 ? rc : append_u32(out, text_n);
    rc = rc < 0 ? rc : buf_append(out, clean, text_n);
    rc = rc < 0 ? rc : append_u32(out, 0);
    return rc < 0 ? rc : buf_append(out, padding, padding_n);
}
