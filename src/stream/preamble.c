/* The preamble of a stream connection: written by the edge that dials, read (peeked) by the hub. Pure
 * functions.
 *
 * The parser sees a stranger's first bytes, again and again while they trickle in: it keeps nothing between
 * calls, and says no as soon as the bytes can never become a preamble. */
#include "stream/preamble.h"
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char magic[] = "MULTISSH/1 ";
#define MAGIC_N (sizeof magic - 1)

/* The terminating NUL is part of the label: it separates it from what follows. */
static const char label[] = "multissh preamble v1";

/* A ticket is two base64url words with a dot between them; whether it is a true one is ticket_open's
 * business. */
static bool preamble_ticket_ok(const char *text, size_t n)
{
    if (n == 0 || n >= TICKET_TEXT_MAX)
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
              c == '_' || c == '.'))
            return false;
    }
    return true;
}

static bool preamble_ok(const struct preamble *p)
{
    return (p->edge == 'a' || p->edge == 'b') &&
           preamble_ticket_ok(p->ticket, strnlen(p->ticket, sizeof p->ticket));
}

/* Neither the edge nor the epoch varies in length, and the ticket is the rest: the encoding is unambiguous. */
static int preamble_mac(const struct preamble *p, const uint8_t key[TICKET_KEY_SIZE],
                        uint8_t out[PREAMBLE_MAC_SIZE])
{
    const uint8_t head[] = {(uint8_t)p->edge, (uint8_t)(p->epoch >> 24), (uint8_t)(p->epoch >> 16),
                            (uint8_t)(p->epoch >> 8), (uint8_t)p->epoch};
    const struct crypto_piece pieces[] = {
        {label, sizeof label}, {head, sizeof head}, {p->ticket, strlen(p->ticket)}};

    return crypto_hmac(key, TICKET_KEY_SIZE, pieces, sizeof pieces / sizeof *pieces, out);
}

int preamble_sign(struct preamble *p, const uint8_t key[TICKET_KEY_SIZE])
{
    return preamble_ok(p) ? preamble_mac(p, key, p->mac) : -EINVAL;
}

bool preamble_verify(const struct preamble *p, const uint8_t key[TICKET_KEY_SIZE])
{
    uint8_t expected[PREAMBLE_MAC_SIZE];
    bool holds = preamble_ok(p) && preamble_mac(p, key, expected) == 0 &&
                 crypto_equal(expected, p->mac, sizeof expected);

    crypto_wipe(expected, sizeof expected);
    return holds;
}

int preamble_format(const struct preamble *p, char *out, size_t size)
{
    char mac[PREAMBLE_MAC_SIZE * 4 / 3 + 3];
    int n;

    if (!preamble_ok(p) || crypto_b64url_encode(p->mac, sizeof p->mac, mac, sizeof mac) < 0)
        return -EINVAL;
    n = snprintf(out, size, "%sticket=%s edge=%c epoch=%" PRIu32 " mac=%s\n", magic, p->ticket, p->edge,
                 p->epoch, mac);
    if (n < 0 || (size_t)n >= size || n > PREAMBLE_MAX)
        return -ENOBUFS;
    return n;
}

/* Decimal, no sign, no leading zero, at most UINT32_MAX. */
static bool preamble_epoch(const char *text, size_t n, uint32_t *ret)
{
    uint64_t value = 0;

    if (n == 0 || n > 10 || (n > 1 && text[0] == '0'))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    if (value > UINT32_MAX)
        return false;
    *ret = (uint32_t)value;
    return true;
}

struct preamble_seen {
    bool ticket, edge, epoch, mac;
};

static bool preamble_word(const char *word, size_t n, struct preamble *p, struct preamble_seen *seen)
{
    const char *eq = memchr(word, '=', n), *value;
    size_t key_n, value_n;

    if (!eq || eq == word)
        return false;
    key_n = (size_t)(eq - word);
    value = eq + 1;
    value_n = n - key_n - 1;
    if (key_n == 6 && memcmp(word, "ticket", 6) == 0) {
        if (seen->ticket || !preamble_ticket_ok(value, value_n))
            return false;
        seen->ticket = true;
        memcpy(p->ticket, value, value_n);
        p->ticket[value_n] = '\0';
    } else if (key_n == 4 && memcmp(word, "edge", 4) == 0) {
        if (seen->edge || value_n != 1 || (value[0] != 'a' && value[0] != 'b'))
            return false;
        seen->edge = true;
        p->edge = value[0];
    } else if (key_n == 5 && memcmp(word, "epoch", 5) == 0) {
        if (seen->epoch || !preamble_epoch(value, value_n, &p->epoch))
            return false;
        seen->epoch = true;
    } else if (key_n == 3 && memcmp(word, "mac", 3) == 0) {
        if (seen->mac || crypto_b64url_decode(value, value_n, p->mac, sizeof p->mac) != sizeof p->mac)
            return false;
        seen->mac = true;
    }
    return true;
}

int preamble_parse(const char *data, size_t n, struct preamble *ret_p)
{
    size_t look = n < PREAMBLE_MAX ? n : PREAMBLE_MAX, end;
    struct preamble p;
    struct preamble_seen seen = {false, false, false, false};

    if (look == 0)
        return -EAGAIN;
    if (memcmp(data, magic, look < MAGIC_N ? look : MAGIC_N) != 0)
        return -EPROTO;
    for (end = 0; end < look && data[end] != '\n'; end++)
        if (data[end] < 0x20 || data[end] > 0x7e)
            return -EPROTO;
    if (end == look)
        return look == PREAMBLE_MAX ? -EPROTO : -EAGAIN;
    memset(&p, 0, sizeof p);
    for (size_t at = MAGIC_N; at <= end;) {
        const char *space = memchr(data + at, ' ', end - at);
        size_t word_n = (space ? (size_t)(space - data) : end) - at;

        if (!preamble_word(data + at, word_n, &p, &seen))
            return -EPROTO;
        at += word_n + 1;
    }
    if (!seen.ticket || !seen.edge || !seen.epoch || !seen.mac)
        return -EPROTO;
    *ret_p = p;
    return (int)(end + 1);
}
