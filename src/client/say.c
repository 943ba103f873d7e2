/* Lines for people. */
#include "client/say.h"

#include "base/utf8.h"
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <uv.h>

void say_clean(const char *text, char *out, unsigned long size)
{
    size_t left = strlen(text), at = 0, step;
    uint32_t code;
    for (; left > 0; text += step, left -= step) {
        step = utf8_next(text, left, &code);
        bool bad = step == 0 || utf8_unsafe(code);
        step = step == 0 ? 1 : step;
        if (at + (bad ? 1 : step) >= size)
            break;
        if (bad)
            out[at++] = '?';
        else
            memcpy(out + at, text, step);
        at += bad ? 0 : step;
    }
    out[at] = 0;
}

void say(const char *fmt, ...)
{
    char text[1024], clean[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    say_clean(text, clean, sizeof clean);
    fprintf(stderr, "multissh: %s%s", clean, uv_guess_handle(2) == UV_TTY ? "\r\n" : "\n");
    fflush(stderr);
}
