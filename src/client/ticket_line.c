/* The line of a ticket. */
#include "client/ticket_line.h"

#include "stream/stream.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MAGIC "MULTISSH-TICKET/1 "
#define PIN_MAGIC "SHA256:"
#define PIN_CHARS 43
#define PATIENCE_MIN_MS 1000
#define PATIENCE_MAX_MS (7u * 24 * 3600 * 1000)

/* A decimal number without a sign or leading zeros. Returns 0 or -EPROTO. */
static int take_number(const char *value, uint32_t min, uint32_t max, uint32_t *ret)
{
    uint64_t sum = 0;
    size_t n = strspn(value, "0123456789");
    if (n == 0 || n > 10 || value[n] != 0 || (n > 1 && value[0] == '0'))
        return -EPROTO;
    for (size_t i = 0; i < n; i++)
        sum = sum * 10 + (uint64_t)(value[i] - '0');
    if (sum < min || sum > max)
        return -EPROTO;
    *ret = (uint32_t)sum;
    return 0;
}

static int take_text(const char *value, char *out, size_t size)
{
    size_t n = strlen(value);
    if (n == 0 || n >= size)
        return -EPROTO;
    memcpy(out, value, n + 1);
    return 0;
}

static int take_ticket(const char *value, struct ticket_line *t)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
    return value[strspn(value, alphabet)] == 0 ? take_text(value, t->ticket, sizeof t->ticket) : -EPROTO;
}

static int take_key(const char *value, struct ticket_line *t)
{
    size_t n = strlen(value);
    return n == 2 * sizeof t->key && crypto_hex_decode(value, n, t->key, sizeof t->key) == sizeof t->key
               ? 0
               : -EPROTO;
}

static int take_pin(const char *value, struct ticket_line *t)
{
    char padded[PIN_CHARS + 2];
    size_t magic = strlen(PIN_MAGIC);
    if (strncmp(value, PIN_MAGIC, magic) != 0 || strlen(value) != magic + PIN_CHARS)
        return -EPROTO;
    snprintf(padded, sizeof padded, "%s=", value + magic);
    return crypto_b64_decode(padded, strlen(padded), t->pin, sizeof t->pin) == sizeof t->pin ? 0 : -EPROTO;
}

static int take_host(const char *value, struct ticket_line *t)
{
    return names_host_ok(value) ? take_text(value, t->at.host, sizeof t->at.host) : -EPROTO;
}

static int take_port(const char *value, struct ticket_line *t)
{
    uint32_t port;
    int r = take_number(value, 1, 65535, &port);
    if (r == 0)
        t->at.port = (uint16_t)port;
    return r;
}

static int take_machine(const char *value, struct ticket_line *t)
{
    return names_machine_ok(value) ? take_text(value, t->machine, sizeof t->machine) : -EPROTO;
}

static int take_window(const char *value, struct ticket_line *t)
{
    return take_number(value, STREAM_WINDOW_MIN, STREAM_WINDOW_MAX, &t->window);
}

static int take_patience(const char *value, struct ticket_line *t)
{
    return take_number(value, PATIENCE_MIN_MS, PATIENCE_MAX_MS, &t->patience_ms);
}

static const struct {
    const char *name;
    int (*take)(const char *value, struct ticket_line *t);
} known[] = {
    {"machine", take_machine}, {"host", take_host},     {"port", take_port}, {"ticket", take_ticket},
    {"key", take_key},         {"window", take_window}, {"pin", take_pin},   {"patience_ms", take_patience},
};
#define KNOWN (sizeof known / sizeof known[0])

/* word is NUL-terminated. */
static int take_word(char *word, struct ticket_line *t, unsigned *seen, struct errmsg *err)
{
    char *equals = strchr(word, '=');
    if (equals == NULL || equals == word)
        return errmsg_set(err, -EPROTO,
                          "the ticket that the hub gave is not fit: a word in it is no NAME=VALUE");
    *equals = 0;
    for (size_t i = 0; i < KNOWN; i++) {
        if (strcmp(word, known[i].name) != 0)
            continue;
        if ((*seen & 1u << i) != 0)
            return errmsg_set(err, -EPROTO, "the ticket that the hub gave is not fit: it says %s twice",
                              known[i].name);
        *seen |= 1u << i;
        return known[i].take(equals + 1, t) == 0
                   ? 0
                   : errmsg_set(err, -EPROTO, "the ticket that the hub gave is not fit: its %s cannot be one",
                                known[i].name);
    }
    return 0;
}

static int take_words(char *words, struct ticket_line *t, struct errmsg *err)
{
    unsigned seen = 0;
    for (char *word = words; word != NULL;) {
        char *next = strchr(word, ' ');
        if (next != NULL)
            *next++ = 0;
        int r = take_word(word, t, &seen, err);
        if (r != 0)
            return r;
        word = next;
    }
    for (size_t i = 0; i < KNOWN; i++)
        if ((seen & 1u << i) == 0)
            return errmsg_set(err, -EPROTO, "the ticket that the hub gave is not fit: it says no %s",
                              known[i].name);
    return 0;
}

/* Is it the machine that was asked for: NAME, or NAME.DOMAIN? */
static bool is_machine(const char *machine, const char *name)
{
    char label[NAMES_MACHINE_MAX + 1];
    size_t n = strcspn(name, ".");
    if (n >= sizeof label)
        return false;
    memcpy(label, name, n);
    label[n] = 0;
    return names_same(label, machine);
}

int ticket_line_parse(const char *text, size_t n, const char *name, struct ticket_line *ret_t,
                      struct errmsg *err)
{
    char line[TICKET_LINE_MAX];
    const char *end = n > 0 ? memchr(text, '\n', n) : NULL;
    size_t magic = strlen(MAGIC);
    int r = 0;
    memset(ret_t, 0, sizeof *ret_t);
    if (n == 0)
        return errmsg_set(err, -EPROTO, "the hub gave no ticket and said nothing");
    if (n < magic || memcmp(text, MAGIC, magic) != 0)
        return errmsg_set(err, -EPROTO,
                          "what answered is no multiSSH hub, or one that is too old to know tickets: "
                          "look at `ssh HUB help`");
    if (n > TICKET_LINE_MAX || end == NULL || end + 1 != text + n || memchr(text, 0, n) != NULL)
        return errmsg_set(err, -EPROTO,
                          "the ticket that the hub gave is not fit: it is not one line of at most %d bytes",
                          TICKET_LINE_MAX);
    memcpy(line, text + magic, n - magic - 1);
    line[n - magic - 1] = 0;
    r = take_words(line, ret_t, err);
    crypto_wipe(line, sizeof line);
    if (r == 0 && !is_machine(ret_t->machine, name))
        r = errmsg_set(err, -EPROTO, "the ticket that the hub gave is for %s, and not for %s", ret_t->machine,
                       name);
    if (r != 0)
        ticket_line_wipe(ret_t);
    return r;
}

void ticket_line_wipe(struct ticket_line *t)
{
    crypto_wipe(t, sizeof *t);
}
