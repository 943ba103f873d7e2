/* Windows' settings: the user's, by hand or by a script (PAC), which may have to be looked for in the network (WPAD);
 * else the machine's, as netsh winhttp sets it. */
#include "net/proxy_system.h"

#include "base/clock.h"
#include "base/win.h"
#include "net/proxy_list.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <winhttp.h>

#define STEP_MS 3000           /* for each step of getting a script */
#define SEARCH_PAUSE_MS 600000 /* between searches of the network that find no script */

const bool proxy_system_there = true;

/* Takes the proxy of a list. Returns 1, 0 (none for this way) or a negative code with err filled. */
static int take(const wchar_t *wide, const wchar_t *wide_bypass, const struct addr_hostport *to,
                struct proxy *ret_p, struct errmsg *err)
{
    char *list = NULL, *bypass = NULL, text[320];
    int r = wide != NULL ? win_utf8(wide, &list) : -ENOENT;
    if (r == 0 && wide_bypass != NULL)
        r = win_utf8(wide_bypass, &bypass);
    if (r == 0 && proxy_list_bypasses(bypass, to))
        r = -ENOENT;
    if (r == 0)
        r = proxy_list_pick(list, text, sizeof text);
    if (r == 0) {
        struct errmsg why;
        r = proxy_choose(text, to->host, ret_p, &why);
        if (r != 0)
            errmsg_set(err, r, "the proxy of Windows' settings: %s", why.text);
    } else if (r != -ENOENT) {
        errmsg_set(err, r, "Windows' settings of the proxy cannot be read: %s", strerror(-r));
    }
    free(list);
    free(bypass);
    return r == 0 ? 1 : r == -ENOENT ? 0 : r;
}

/* The system's table of messages has none of these. */
static void script_words(DWORD error, char *out, size_t size)
{
    switch (error) {
    case ERROR_WINHTTP_UNABLE_TO_DOWNLOAD_SCRIPT:
        snprintf(out, size, "it cannot be downloaded");
        break;
    case ERROR_WINHTTP_BAD_AUTO_PROXY_SCRIPT:
        snprintf(out, size, "it is faulty");
        break;
    case ERROR_WINHTTP_LOGIN_FAILURE:
        snprintf(out, size, "its server wants a login");
        break;
    default:
        win_words(error, out, size);
    }
}

/* Asks a script: the one at url, or (NULL) the one that the network names. Returns as take, with err filled when no
 * script could be asked. */
static int ask_script(wchar_t *url, const struct addr_hostport *to, struct proxy *ret_p, struct errmsg *err)
{
    WINHTTP_AUTOPROXY_OPTIONS options = {
        .dwFlags = url != NULL ? WINHTTP_AUTOPROXY_CONFIG_URL : WINHTTP_AUTOPROXY_AUTO_DETECT,
        .dwAutoDetectFlags = url != NULL ? 0 : WINHTTP_AUTO_DETECT_TYPE_DHCP | WINHTTP_AUTO_DETECT_TYPE_DNS_A,
        .lpszAutoConfigUrl = url,
        /* To a server that the settings name; to whoever answers for WPAD in this network, never. */
        .fAutoLogonIfChallenged = url != NULL};
    WINHTTP_PROXY_INFO info = {0};
    char where[300], text[320], words[200];
    wchar_t *target = NULL;
    int r = 0;
    addr_format(to, 0, where, sizeof where);
    snprintf(text, sizeof text, "https://%s/", where);
    HINTERNET session = WinHttpOpen(L"multissh-agent", WINHTTP_ACCESS_TYPE_NO_PROXY, NULL, NULL, 0);
    if (session != NULL && win_utf16(text, &target) == 0 &&
        WinHttpSetTimeouts(session, STEP_MS, STEP_MS, STEP_MS, STEP_MS) &&
        WinHttpGetProxyForUrl(session, target, &options, &info)) {
        if (info.dwAccessType == WINHTTP_ACCESS_TYPE_NAMED_PROXY)
            r = take(info.lpszProxy, info.lpszProxyBypass, to, ret_p, err);
    } else {
        DWORD error = GetLastError();
        char *at = NULL;
        script_words(error, words, sizeof words);
        if (url != NULL && win_utf8(url, &at) == 0)
            errmsg_set(err, 0, "the script that names the proxy, %.200s, cannot be asked: %s", at, words);
        free(at);
        r = -ENOENT;
    }
    free(target);
    if (session != NULL)
        WinHttpCloseHandle(session);
    if (info.lpszProxy != NULL)
        GlobalFree(info.lpszProxy);
    if (info.lpszProxyBypass != NULL)
        GlobalFree(info.lpszProxyBypass);
    return r;
}

/* Windows has this on when nobody set anything: that there is no script is what is to be expected. */
static int search(const struct addr_hostport *to, struct proxy *ret_p)
{
    static _Atomic uint64_t again_at;
    struct errmsg err = {""};
    if (clock_now_ms() < atomic_load(&again_at))
        return 0;
    int r = ask_script(NULL, to, ret_p, &err);
    if (r < 0)
        atomic_store(&again_at, clock_now_ms() + SEARCH_PAUSE_MS);
    return r > 0;
}

static int ask_user(const struct addr_hostport *to, struct proxy *ret_p, bool *ret_set, struct errmsg *err)
{
    WINHTTP_CURRENT_USER_IE_PROXY_CONFIG c = {0};
    int r = 0;
    if (!WinHttpGetIEProxyConfigForCurrentUser(&c))
        return 0;
    bool script_fits = !proxy_list_bypasses(NULL, to);
    *ret_set = c.lpszProxy != NULL || c.lpszAutoConfigUrl != NULL;
    if (c.lpszAutoConfigUrl != NULL && script_fits)
        r = ask_script(c.lpszAutoConfigUrl, to, ret_p, err);
    else if (c.fAutoDetect && script_fits)
        r = search(to, ret_p);
    if (r <= 0 && c.lpszProxy != NULL)
        r = take(c.lpszProxy, c.lpszProxyBypass, to, ret_p, err);
    if (c.lpszAutoConfigUrl != NULL)
        GlobalFree(c.lpszAutoConfigUrl);
    if (c.lpszProxy != NULL)
        GlobalFree(c.lpszProxy);
    if (c.lpszProxyBypass != NULL)
        GlobalFree(c.lpszProxyBypass);
    return r == -ENOENT ? 0 : r;
}

static int ask_machine(const struct addr_hostport *to, struct proxy *ret_p, struct errmsg *err)
{
    WINHTTP_PROXY_INFO info = {0};
    int r = 0;
    if (!WinHttpGetDefaultProxyConfiguration(&info))
        return 0;
    if (info.dwAccessType == WINHTTP_ACCESS_TYPE_NAMED_PROXY)
        r = take(info.lpszProxy, info.lpszProxyBypass, to, ret_p, err);
    if (info.lpszProxy != NULL)
        GlobalFree(info.lpszProxy);
    if (info.lpszProxyBypass != NULL)
        GlobalFree(info.lpszProxyBypass);
    return r;
}

int proxy_system(const struct addr_hostport *to, struct proxy *ret_p, struct errmsg *err)
{
    bool set = false;
    memset(ret_p, 0, sizeof *ret_p);
    err->text[0] = 0;
    int r = ask_user(to, ret_p, &set, err);
    if (r == 0 && !set)
        r = ask_machine(to, ret_p, err);
    return r < 0 ? r : 0;
}
