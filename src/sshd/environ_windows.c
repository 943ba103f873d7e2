/* Environment blocks: what Windows gives the account, and over it what the session brings. */
#include "sshd/environ_windows.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <userenv.h>

#define OWN_PREFIX L"MULTISSH_"

struct variable {
    const wchar_t *text; /* NAME=VALUE */
    size_t name_n;
    size_t at; /* the later of two with the same name wins */
};

struct list {
    struct variable *all;
    size_t n, cap;
    wchar_t **owned; /* texts of env, owned_n of them */
    size_t owned_n;
};

/* The names of drives' current folders ("=C:=C:\x") begin with the character. */
static size_t name_length(const wchar_t *text)
{
    const wchar_t *equals = text[0] == L'\0' ? NULL : wcschr(text + 1, L'=');
    return equals == NULL ? 0 : (size_t)(equals - text);
}

static int add(struct list *list, const wchar_t *text, size_t name_n)
{
    if (list->n == list->cap) {
        size_t cap = list->cap == 0 ? 64 : 2 * list->cap;
        struct variable *all = realloc(list->all, cap * sizeof *all);
        if (all == NULL) {
            return -ENOMEM;
        }
        list->all = all;
        list->cap = cap;
    }
    list->all[list->n] = (struct variable){.text = text, .name_n = name_n, .at = list->n};
    list->n++;
    return 0;
}

static bool is_own(const wchar_t *text)
{
    const size_t n = sizeof OWN_PREFIX / sizeof(wchar_t) - 1;
    return _wcsnicmp(text, OWN_PREFIX, n) == 0;
}

static int add_base(struct list *list, const wchar_t *base)
{
    int rc = 0;
    for (; rc == 0 && base != NULL && *base != L'\0'; base += wcslen(base) + 1) {
        size_t name_n = name_length(base);
        if (name_n > 0 && !is_own(base)) {
            rc = add(list, base, name_n);
        }
    }
    return rc;
}

static int add_env(struct list *list, const char *const *env, size_t env_n, struct errmsg *err)
{
    list->owned = calloc(env_n + 1, sizeof *list->owned);
    if (list->owned == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < env_n; i++) {
        wchar_t *text;
        size_t name_n;
        int rc = win_utf16(env[i], &text);
        if (rc == -EILSEQ) {
            continue;
        }
        if (rc < 0) {
            return rc;
        }
        list->owned[list->owned_n++] = text;
        name_n = name_length(text);
        if (name_n == 0 || text[0] == L'=') {
            continue;
        }
        if (wcslen(text) > ENVIRON_VARIABLE_MAX) {
            return errmsg_set(
                err, -E2BIG, "the variable %.*s of the environment is too long: Windows allows %u characters",
                (int)(strcspn(env[i], "=") < 100 ? strcspn(env[i], "=") : 100), env[i], ENVIRON_VARIABLE_MAX);
        }
        rc = add(list, text, name_n);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* As the system sorts them: by code units, in upper case. */
static int compare_names(const struct variable *a, const struct variable *b)
{
    return CompareStringOrdinal(a->text, (int)a->name_n, b->text, (int)b->name_n, TRUE) - CSTR_EQUAL;
}

static int compare(const void *one, const void *other)
{
    const struct variable *a = one;
    const struct variable *b = other;
    int names = compare_names(a, b);
    return names != 0 ? names : (a->at > b->at) - (a->at < b->at);
}

static int write_block(const struct list *list, wchar_t **ret_block, struct errmsg *err)
{
    size_t units = 2; /* an empty block has two NULs */
    wchar_t *at;
    for (size_t i = 0; i < list->n; i++) {
        units += wcslen(list->all[i].text) + 1;
    }
    if (units > ENVIRON_UNITS_MAX) {
        return errmsg_set(err, -E2BIG, "the environment is too long: more than %u characters",
                          ENVIRON_UNITS_MAX);
    }
    at = *ret_block = calloc(units, sizeof *at);
    if (at == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < list->n; i++) {
        size_t n = wcslen(list->all[i].text) + 1;
        if (i + 1 == list->n || compare_names(&list->all[i], &list->all[i + 1]) != 0) {
            memcpy(at, list->all[i].text, n * sizeof *at);
            at += n;
        }
    }
    return 0;
}

int environ_merge(const wchar_t *base, const char *const *env, size_t env_n, wchar_t **ret_block,
                  struct errmsg *err)
{
    struct list list = {0};
    int rc = add_base(&list, base);
    if (rc == 0) {
        rc = add_env(&list, env, env_n, err);
    }
    if (rc == 0) {
        if (list.n > 0) {
            qsort(list.all, list.n, sizeof list.all[0], compare);
        }
        rc = write_block(&list, ret_block, err);
    }
    for (size_t i = 0; i < list.owned_n; i++) {
        free(list.owned[i]);
    }
    free(list.owned);
    free(list.all);
    return rc == -ENOMEM ? errmsg_set(err, rc, "no environment: out of memory") : rc;
}

int environ_build(HANDLE token, const char *const *env, size_t env_n, wchar_t **ret_block, struct errmsg *err)
{
    void *account = NULL;
    wchar_t *own = NULL;
    int rc;
    if (token != NULL && !CreateEnvironmentBlock(&account, token, FALSE)) {
        char words[256];
        DWORD error = GetLastError();
        win_words(error, words, sizeof words);
        return errmsg_set(err, win_errno(error), "the account's environment cannot be read: %s", words);
    }
    if (token == NULL && (own = GetEnvironmentStringsW()) == NULL) {
        return errmsg_set(err, -ENOMEM, "no environment: out of memory");
    }
    rc = environ_merge(token != NULL ? account : own, env, env_n, ret_block, err);
    if (account != NULL) {
        DestroyEnvironmentBlock(account);
    }
    if (own != NULL) {
        FreeEnvironmentStringsW(own);
    }
    return rc;
}
