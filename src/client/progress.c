/* The line of progress.
 *
 * The cursor stands where the session has left it, maybe in raw mode and in the middle of a line: saved and restored
 * around the text (ESC 7, ESC 8), which does not wrap (ESC [?7l) and is cleared to the end of the line. */
#include "client/progress.h"

#include "client/os.h"
#include <stdio.h>
#include <string.h>
#include <uv.h>

void progress_init(struct progress *p, bool wanted, const char *name)
{
    memset(p, 0, sizeof *p);
    p->on = wanted && uv_guess_handle(2) == UV_TTY;
    p->utf8 = os_utf8();
    snprintf(p->name, sizeof p->name, "%s", name);
}

void progress_text(const char *name, uint64_t ms, enum progress_what what, bool utf8, char *out, size_t size)
{
    unsigned long long s = ms / 1000;
    if (what == PROGRESS_BACK)
        snprintf(out, size, "%s: connected again after %llu s", name, s);
    else
        snprintf(out, size, "%s: %s (%llu s)%s", name,
                 what == PROGRESS_CONNECTING ? "connecting" : "reconnecting", s,
                 utf8 ? "\xe2\x80\xa6" : "...");
}

static void draw(struct progress *p, uint64_t ms, enum progress_what what)
{
    char text[160];
    progress_text(p->name, ms, what, p->utf8, text, sizeof text);
    fprintf(stderr, "\0337\033[?7l [%s]\033[K\033[?7h\0338", text);
    fflush(stderr);
    p->drawn = true;
}

void progress_clear(struct progress *p)
{
    p->back_at = 0;
    if (!p->drawn)
        return;
    p->drawn = false;
    fputs("\033[K", stderr);
    fflush(stderr);
}

static uint64_t update_back(struct progress *p, uint64_t now)
{
    if (p->trouble_since != 0 && p->drawn) {
        draw(p, now - p->trouble_since, PROGRESS_BACK);
        p->back_at = now;
    }
    p->trouble_since = 0;
    if (p->back_at == 0)
        return UINT64_MAX;
    if (now - p->back_at < PROGRESS_BACK_MS)
        return p->back_at + PROGRESS_BACK_MS;
    progress_clear(p);
    return UINT64_MAX;
}

uint64_t progress_update(struct progress *p, uint64_t trouble_since, uint64_t now)
{
    if (!p->on)
        return UINT64_MAX;
    if (trouble_since == 0)
        return update_back(p, now);
    uint64_t ms = now > trouble_since ? now - trouble_since : 0;
    p->trouble_since = trouble_since;
    p->back_at = 0;
    if (ms < PROGRESS_AFTER_MS)
        return trouble_since + PROGRESS_AFTER_MS;
    if (!p->drawn || p->last_s != ms / 1000) {
        p->last_s = (unsigned)(ms / 1000);
        draw(p, ms, p->first ? PROGRESS_CONNECTING : PROGRESS_RECONNECTING);
    }
    return trouble_since + (ms / 1000 + 1) * 1000;
}
