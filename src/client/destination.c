/* Destinations of ssh. */
#include "client/destination.h"

#include "base/addr.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SCHEME "ssh://"
#define ANY_PORT 22 /* only so that the parser wants none */

int destination_parse(const char *text, struct destination *ret_d)
{
    struct addr_hostport hp;
    struct destination d = {.port = 0};
    char host[300];
    bool scheme = strncmp(text, SCHEME, sizeof SCHEME - 1) == 0;
    text += scheme ? sizeof SCHEME - 1 : 0;
    const char *at = strrchr(text, '@');
    if (at != NULL) {
        if ((size_t)(at - text) >= sizeof d.user)
            return -EINVAL;
        memcpy(d.user, text, (size_t)(at - text));
        if (!names_user_ok(d.user))
            return -EINVAL;
        text = at + 1;
    }
    size_t n = strlen(text);
    if (scheme && n > 0 && text[n - 1] == '/')
        n--;
    if (n >= sizeof host)
        return -EINVAL;
    memcpy(host, text, n);
    host[n] = 0;
    if (addr_parse(host, 0, false, &hp) == 0)
        d.port = hp.port;
    else if (addr_parse(host, ANY_PORT, false, &hp) != 0)
        return -EINVAL;
    if (!names_host_ok(hp.host))
        return -EINVAL;
    memcpy(d.host, hp.host, sizeof d.host);
    *ret_d = d;
    return 0;
}

void destination_add(const struct destination *d, struct words *w)
{
    if (d->port != 0) {
        words_add(w, "-p");
        words_addf(w, "%u", d->port);
    }
    if (d->user[0] != 0) {
        words_add(w, "-l");
        words_add(w, d->user);
    }
    words_add(w, "--");
    words_add(w, d->host);
}
