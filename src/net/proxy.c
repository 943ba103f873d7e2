/* HTTP CONNECT without a socket. */
#include "net/proxy.h"

#include "base/crypto.h"
#include "base/names.h"
#include "net/proxy_system.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define URL_MAX 700
#define PORT_DEFAULT 80

static int percent_decode(const char *in, size_t n, char *out, size_t size)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        char c = in[i];
        if (c == '%') {
            if (i + 2 >= n || crypto_hex_decode(in + i + 1, 2, &c, 1) != 1)
                return -EINVAL;
            i += 2;
        }
        if (at + 1 >= size || (unsigned char)c < 0x20)
            return -EINVAL;
        out[at++] = c;
    }
    out[at] = 0;
    return (int)at;
}

static int parse_url(const char *url, struct proxy *p, struct errmsg *err)
{
    static const char scheme[] = "http://";
    char host[300], plain[PROXY_AUTH_MAX + 1];
    if (strncasecmp(url, scheme, sizeof scheme - 1) == 0)
        url += sizeof scheme - 1;
    else if (strstr(url, "://") != NULL)
        return errmsg_set(err, -EINVAL,
                          "only http:// proxies are known: write http://[USER:PASSWORD@]HOST:PORT");
    size_t n = strcspn(url, "/?#");
    if (n >= URL_MAX)
        return errmsg_set(err, -EINVAL, "the address of the proxy is too long");
    const char *at = NULL;
    for (size_t i = 0; i < n; i++)
        if (url[i] == '@')
            at = url + i;
    if (at != NULL) {
        int len = percent_decode(url, (size_t)(at - url), plain, sizeof plain);
        if (len >= 0)
            len = crypto_b64_encode(plain, (size_t)len, p->auth, sizeof p->auth);
        crypto_wipe(plain, sizeof plain);
        if (len < 0)
            return errmsg_set(err, -EINVAL,
                              "the proxy's USER:PASSWORD is not to be understood, or over %d bytes",
                              PROXY_AUTH_MAX);
        n -= (size_t)(at + 1 - url);
        url = at + 1;
    }
    if (n >= sizeof host)
        return errmsg_set(err, -EINVAL, "the proxy's host name is too long");
    memcpy(host, url, n);
    host[n] = 0;
    if (addr_parse(host, PORT_DEFAULT, false, &p->at) != 0 || !names_host_ok(p->at.host))
        return errmsg_set(err, -EINVAL,
                          "'%s' is not the address of a proxy: write http://[USER:PASSWORD@]HOST:PORT", host);
    p->on = true;
    return 0;
}

static const char *environment(const char *lower, const char *upper)
{
    const char *value = getenv(lower);
    if (value == NULL || *value == 0)
        value = getenv(upper);
    return value != NULL && *value != 0 ? value : NULL;
}

bool proxy_excepted(const char *list, const char *host)
{
    size_t host_n = strlen(host);
    while (*list != 0) {
        size_t n = strcspn(list, ", ");
        const char *item = list;
        list += n + strspn(list + n, ", ");
        if (n == 1 && *item == '*')
            return true;
        while (n > 0 && *item == '.') {
            item++;
            n--;
        }
        if (n == 0 || n > host_n || strncasecmp(host + host_n - n, item, n) != 0)
            continue;
        if (n == host_n || host[host_n - n - 1] == '.')
            return true;
    }
    return false;
}

int proxy_choose(const char *text, const char *to_host, struct proxy *ret_p, struct errmsg *err)
{
    memset(ret_p, 0, sizeof *ret_p);
    if (text == NULL || *text == 0 || strcmp(text, "none") == 0)
        return 0;
    if (strcmp(text, "system") == 0) {
        ret_p->ask = proxy_system_there;
        return proxy_system_there
                   ? 0
                   : errmsg_set(err, -EINVAL,
                                "system is for Windows: write http://[USER:PASSWORD@]HOST:PORT, env "
                                "or none");
    }
    if (strcmp(text, "env") == 0) {
        const char *except = environment("no_proxy", "NO_PROXY");
        text = environment("https_proxy", "HTTPS_PROXY");
        if (text == NULL)
            text = environment("all_proxy", "ALL_PROXY");
        if (text == NULL || (except != NULL && proxy_excepted(except, to_host)))
            return 0;
    }
    return parse_url(text, ret_p, err);
}

int proxy_request(const struct proxy *p, const struct addr_hostport *to, struct buf *out)
{
    char host[300];
    addr_format(to, 0, host, sizeof host);
    int r = buf_appendf(out, "CONNECT %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: multissh-agent/%s\r\n", host,
                        host, MULTISSH_VERSION);
    if (r == 0 && p->auth[0] != 0)
        r = buf_appendf(out, "Proxy-Authorization: Basic %s\r\n", p->auth);
    return r != 0 ? r : buf_append_str(out, "\r\n");
}

/* "HTTP/1.1 200 Connection established" */
static int read_status(struct proxy_answer *a, struct errmsg *err)
{
    const char *l = a->line;
    bool shape = strncmp(l, "HTTP/1.", 7) == 0 && isdigit((unsigned char)l[7]) && l[8] == ' ' &&
                 isdigit((unsigned char)l[9]) && isdigit((unsigned char)l[10]) &&
                 isdigit((unsigned char)l[11]) && (l[12] == ' ' || l[12] == 0);
    if (!shape)
        return errmsg_set(err, -EPROTO,
                          "the proxy does not speak HTTP (is it an HTTP proxy, and is the port right?)");
    a->status = (l[9] - '0') * 100 + (l[10] - '0') * 10 + (l[11] - '0');
    a->status_seen = true;
    const char *words = l[12] == ' ' ? l + 13 : "";
    size_t i = 0;
    for (; words[i] != 0 && i < sizeof a->words - 1; i++)
        a->words[i] = words[i] >= 0x20 && words[i] < 0x7f ? words[i] : '.';
    a->words[i] = 0;
    return 0;
}

static int refusal(const struct proxy_answer *a, struct errmsg *err)
{
    const char *words = a->words;
    switch (a->status) {
    case 407:
    case 401:
        return errmsg_set(err, -EACCES,
                          "the proxy wants a name and a password, or others (%d %s): set proxy = "
                          "http://USER:PASSWORD@HOST:PORT",
                          a->status, words);
    case 403:
    case 405:
        return errmsg_set(err, -EACCES, "the proxy forbids connections to this host and port (%d %s)",
                          a->status, words);
    case 502:
    case 503:
    case 504:
        return errmsg_set(err, -ECONNREFUSED, "the proxy cannot reach the hub (%d %s)", a->status, words);
    default:
        return errmsg_set(err, -ECONNREFUSED, "the proxy refused with %d %s", a->status, words);
    }
}

/* A whole line of the header is in a->line. Returns as proxy_answer_feed. */
static int header_line(struct proxy_answer *a, struct errmsg *err)
{
    if (!a->status_seen)
        return read_status(a, err);
    if (a->line[0] != 0)
        return 0;
    if (a->status >= 100 && a->status < 200) { /* an interim answer: the real one follows */
        a->status_seen = false;
        return 0;
    }
    return a->status >= 200 && a->status < 300 ? 1 : refusal(a, err);
}

int proxy_answer_feed(struct proxy_answer *a, const char *data, size_t n, size_t *ret_used,
                      struct errmsg *err)
{
    for (size_t i = 0; i < n; i++) {
        if (++a->total > PROXY_HEADER_MAX)
            return errmsg_set(err, -EPROTO, "the proxy's answer is longer than %d bytes", PROXY_HEADER_MAX);
        if (data[i] != '\n') {
            if (a->n < sizeof a->line - 1)
                a->line[a->n++] = data[i];
            continue;
        }
        if (a->n > 0 && a->line[a->n - 1] == '\r')
            a->n--;
        a->line[a->n] = 0;
        a->n = 0;
        int r = header_line(a, err);
        if (r != 0) {
            *ret_used = i + 1;
            return r;
        }
    }
    *ret_used = n;
    return 0;
}
