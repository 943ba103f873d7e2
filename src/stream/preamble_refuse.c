/* The line with which the hub refuses a stream connection: written by the hub, read by the edge that dialled.
 * Pure functions.
 *
 * What is read comes from the network: nothing of it counts before its mac holds. */
#include "stream/frame.h"
#include "stream/preamble.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char head_yes[] = "MULTISSH/1 refused final=yes mac=",
                  head_no[] = "MULTISSH/1 refused final=no mac=";
static const char text_word[] = " text=";
/* The terminating NUL is part of the label: it separates it from what follows. */
static const char label[] = "multissh refused v1";

#define MAC_TEXT 43 /* base64url without padding */

_Static_assert(PREAMBLE_TEXT_MAX == FRAME_TEXT_MAX, "cleaned alike");
_Static_assert(sizeof head_yes + MAC_TEXT + sizeof text_word + PREAMBLE_TEXT_MAX <= PREAMBLE_MAX,
               "the longest refusal fits");

static int refuse_mac(const struct preamble *p, const uint8_t key[TICKET_KEY_SIZE], bool final,
                      const char *text, size_t text_n, uint8_t out[PREAMBLE_MAC_SIZE])
{
    const uint8_t head[] = {(uint8_t)p->edge,         (uint8_t)(p->epoch >> 24), (uint8_t)(p->epoch >> 16),
                            (uint8_t)(p->epoch >> 8), (uint8_t)p->epoch,         final ? 'y' : 'n'};
    const struct crypto_piece pieces[] = {{label, sizeof label}, {head, sizeof head}, {text, text_n}};

    return crypto_hmac(key, TICKET_KEY_SIZE, pieces, sizeof pieces / sizeof *pieces, out);
}

int preamble_refuse_format(const struct preamble *p, const uint8_t key[TICKET_KEY_SIZE], bool final,
                           const char *text, char *out, size_t size)
{
    uint8_t mac[PREAMBLE_MAC_SIZE];
    char clean[PREAMBLE_TEXT_MAX + 1], mac_text[MAC_TEXT + 2];
    int n;

    if (p->edge != 'a' && p->edge != 'b')
        return -EINVAL;
    frame_clean_text((const uint8_t *)text, strlen(text), clean, sizeof clean);
    n = refuse_mac(p, key, final, clean, strlen(clean), mac);
    if (n < 0)
        return n;
    if (crypto_b64url_encode(mac, sizeof mac, mac_text, sizeof mac_text) < 0)
        return -EINVAL;
    n = snprintf(out, size, "%s%s%s%s\n", final ? head_yes : head_no, mac_text, text_word, clean);
    return n < 0 || (size_t)n >= size ? -ENOBUFS : n;
}

/* Is data[0..n) the word, or the beginning of it? 1: whole, 0: so far, -1: no. */
static int refuse_begins(const char *data, size_t n, const char *word)
{
    size_t word_n = strlen(word), look = n < word_n ? n : word_n;

    if (memcmp(data, word, look) != 0)
        return -1;
    return look == word_n ? 1 : 0;
}

/* The whole line data[0..n), without its newline, behind its head. */
static int refuse_take(const char *data, size_t n, const struct preamble *p,
                       const uint8_t key[TICKET_KEY_SIZE], struct preamble_refusal *r)
{
    uint8_t mac[PREAMBLE_MAC_SIZE], expected[PREAMBLE_MAC_SIZE];
    char clean[PREAMBLE_TEXT_MAX + 1];
    const char *text = data + MAC_TEXT + sizeof text_word - 1;
    size_t text_n;
    int rc;

    if (n < MAC_TEXT + sizeof text_word - 1 ||
        memcmp(data + MAC_TEXT, text_word, sizeof text_word - 1) != 0 ||
        crypto_b64url_decode(data, MAC_TEXT, mac, sizeof mac) != sizeof mac)
        return -EPROTO;
    text_n = n - MAC_TEXT - (sizeof text_word - 1);
    if (text_n > PREAMBLE_TEXT_MAX)
        return -EPROTO;
    frame_clean_text((const uint8_t *)text, text_n, clean, sizeof clean);
    if (strlen(clean) != text_n || memcmp(clean, text, text_n) != 0)
        return -EPROTO;
    rc = refuse_mac(p, key, r->final, text, text_n, expected);
    if (rc == 0 && !crypto_equal(mac, expected, sizeof mac))
        rc = -EPERM;
    crypto_wipe(expected, sizeof expected);
    memcpy(r->text, clean, text_n + 1);
    return rc;
}

int preamble_refuse_parse(const char *data, size_t n, const struct preamble *p,
                          const uint8_t key[TICKET_KEY_SIZE], struct preamble_refusal *ret_r)
{
    size_t look = n < PREAMBLE_MAX ? n : PREAMBLE_MAX, head;
    int yes = refuse_begins(data, look, head_yes), no = refuse_begins(data, look, head_no), rc;
    struct preamble_refusal r = {.final = yes == 1};
    const char *end;

    if (yes < 0 && no < 0)
        return -EPROTO;
    if (yes != 1 && no != 1)
        return -EAGAIN;
    end = memchr(data, '\n', look);
    if (end == NULL)
        return look == PREAMBLE_MAX ? -EPROTO : -EAGAIN;
    head = r.final ? sizeof head_yes - 1 : sizeof head_no - 1;
    rc = refuse_take(data + head, (size_t)(end - data) - head, p, key, &r);
    if (rc < 0)
        return rc;
    *ret_r = r;
    return (int)(end - data) + 1;
}
