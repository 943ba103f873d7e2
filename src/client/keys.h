/* Keys out of the bytes of a terminal: characters of UTF-8, control characters, and the sequences that begin with ESC
 * (ECMA-48, as xterm and libuv on Windows send them). Pure. */
#ifndef MULTISSH_CLIENT_KEYS_H
#define MULTISSH_CLIENT_KEYS_H

#include <stdbool.h>
#include <stddef.h>

enum key {
    KEY_NONE, /* more bytes are wanted */
    KEY_OTHER,
    KEY_CHARACTER, /* a character to be typed: keys.text, keys.text_n */
    KEY_UP,
    KEY_DOWN,
    KEY_PAGE_UP,
    KEY_PAGE_DOWN,
    KEY_HOME,
    KEY_END,
    KEY_ENTER,
    KEY_TAB,
    KEY_ESCAPE,
    KEY_BACKSPACE,
    KEY_CONTROL, /* with a letter: keys.text[0], 'a' to 'z' */
};

#define KEYS_SEQUENCE_MAX 32

/* Zero-initialise. */
struct keys {
    char text[5];
    size_t text_n;
    char held[KEYS_SEQUENCE_MAX]; /* private: the beginning of a key */
    size_t held_n;
};

/* Takes one byte. */
enum key keys_feed(struct keys *k, unsigned char byte);
/* Nothing has come for a while: an ESC that was the beginning of nothing is the key. */
enum key keys_idle(struct keys *k);
/* Is keys_idle to be called? */
bool keys_waiting(const struct keys *k);

#endif
