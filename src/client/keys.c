/* Keys of a terminal. */
#include "client/keys.h"

#include "base/utf8.h"
#include <string.h>

#define ESC 0x1b

static enum key done(struct keys *k, enum key key)
{
    k->held_n = 0;
    return key;
}

static const struct {
    const char *sequence; /* behind ESC */
    enum key key;
} sequences[] = {
    {"[A", KEY_UP},         {"OA", KEY_UP},   {"[B", KEY_DOWN}, {"OB", KEY_DOWN},  {"[5~", KEY_PAGE_UP},
    {"[6~", KEY_PAGE_DOWN}, {"[H", KEY_HOME}, {"OH", KEY_HOME}, {"[1~", KEY_HOME}, {"[7~", KEY_HOME},
    {"[F", KEY_END},        {"OF", KEY_END},  {"[4~", KEY_END}, {"[8~", KEY_END},  {"OM", KEY_ENTER},
};

static enum key sequence(struct keys *k)
{
    const char *text = k->held + 1;
    size_t n = k->held_n - 1;
    unsigned char last = (unsigned char)text[n - 1];
    bool csi = text[0] == '[', ss3 = text[0] == 'O';
    if (!csi && !ss3) /* Alt with a key */
        return done(k, KEY_OTHER);
    if (n == 1 || (csi && last < 0x40))
        return k->held_n == KEYS_SEQUENCE_MAX ? done(k, KEY_OTHER) : KEY_NONE;
    for (size_t i = 0; i < sizeof sequences / sizeof sequences[0]; i++)
        if (strlen(sequences[i].sequence) == n && memcmp(sequences[i].sequence, text, n) == 0)
            return done(k, sequences[i].key);
    return done(k, KEY_OTHER);
}

static enum key control(struct keys *k, unsigned char byte)
{
    if (byte == '\r' || byte == '\n')
        return KEY_ENTER;
    if (byte == '\t')
        return KEY_TAB;
    if (byte == 0x7f || byte == 0x08)
        return KEY_BACKSPACE;
    if (byte == 0 || byte > 26)
        return KEY_OTHER;
    k->text[0] = (char)('a' + byte - 1);
    k->text_n = 1;
    return KEY_CONTROL;
}

static size_t length_of(unsigned char first)
{
    return first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
}

static enum key character(struct keys *k)
{
    uint32_t code;
    if (k->held_n < length_of((unsigned char)k->held[0]))
        return KEY_NONE;
    size_t n = utf8_next(k->held, k->held_n, &code);
    if (n == 0 || n != k->held_n || utf8_unsafe(code))
        return done(k, KEY_OTHER);
    memcpy(k->text, k->held, n);
    k->text[n] = 0;
    k->text_n = n;
    return done(k, KEY_CHARACTER);
}

enum key keys_feed(struct keys *k, unsigned char byte)
{
    bool escaped = k->held_n > 0 && k->held[0] == ESC;
    if (k->held_n > 0 && !escaped && (byte & 0xc0) != 0x80)
        k->held_n = 0; /* a character that was cut short */
    if (k->held_n == 1 && escaped && byte == ESC)
        return done(k, KEY_ESCAPE);
    if (k->held_n == 0 && byte != ESC && (byte < 0x20 || byte == 0x7f))
        return control(k, byte);
    k->held[k->held_n++] = (char)byte;
    if (escaped)
        return sequence(k);
    return byte == ESC && k->held_n == 1 ? KEY_NONE : character(k);
}

bool keys_waiting(const struct keys *k)
{
    return k->held_n > 0 && k->held[0] == ESC;
}

enum key keys_idle(struct keys *k)
{
    if (!keys_waiting(k))
        return KEY_NONE;
    return done(k, k->held_n == 1 ? KEY_ESCAPE : KEY_OTHER);
}
