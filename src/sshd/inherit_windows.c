/* The attributes of a new process: the list of what it inherits, and its pseudo console. */
#include "sshd/inherit_windows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ATTRIBUTES 2u

static int failed(struct errmsg *err)
{
    const DWORD error = GetLastError();
    char words[256];
    win_words(error, words, sizeof words);
    return errmsg_set(err, win_errno(error), "nothing was started: %s", words);
}

static int take_std(struct inherit *inherit, const HANDLE std[3], struct errmsg *err)
{
    int rc = 0;
    if (std != NULL) {
        memcpy(inherit->std, std, sizeof inherit->std);
    } else {
        rc = conpty_std_handles(inherit->console, &inherit->std[0], &inherit->std[1], err);
        inherit->std[2] = inherit->std[1];
        inherit->std_owned = true;
    }
    return rc;
}

static void list(struct inherit *inherit, HANDLE handle)
{
    if (handle != NULL) {
        inherit->listed[inherit->listed_n++] = handle;
    }
}

static int make_attributes(struct inherit *inherit, struct errmsg *err)
{
    SIZE_T size = 0;
    (void)InitializeProcThreadAttributeList(NULL, ATTRIBUTES, 0, &size);
    inherit->attributes = malloc(size);
    if (inherit->attributes == NULL) {
        return errmsg_set(err, -ENOMEM, "nothing was started: out of memory");
    }
    if (!InitializeProcThreadAttributeList(inherit->attributes, ATTRIBUTES, 0, &size)) {
        int rc = failed(err);
        free(inherit->attributes);
        inherit->attributes = NULL;
        return rc;
    }
    return 0;
}

static bool set(struct inherit *inherit, DWORD_PTR which, void *value, size_t size)
{
    return UpdateProcThreadAttribute(inherit->attributes, 0, which, value, size, NULL, NULL);
}

static int set_attributes(struct inherit *inherit, struct errmsg *err)
{
    const size_t n = inherit->listed_n;
    if (n > 0 && !set(inherit, PROC_THREAD_ATTRIBUTE_HANDLE_LIST, inherit->listed, n * sizeof(HANDLE))) {
        return failed(err);
    }
    if (inherit->console != NULL &&
        !set(inherit, PROC_THREAD_ATTRIBUTE_PSEUDOCONSOLE, conpty_handle(inherit->console), sizeof(HANDLE))) {
        return failed(err);
    }
    return 0;
}

int inherit_init(struct inherit *inherit, const HANDLE std[3], HANDLE more, const struct conpty *console,
                 struct errmsg *err)
{
    int rc;
    *inherit = (struct inherit){.console = console};
    rc = take_std(inherit, std, err);
    for (int i = 0; rc == 0 && i < (inherit->std_owned ? 2 : 3); i++) { /* each once */
        list(inherit, inherit->std[i]);
    }
    if (rc == 0) {
        list(inherit, more);
        rc = make_attributes(inherit, err);
    }
    if (rc == 0) {
        rc = set_attributes(inherit, err);
    }
    if (rc < 0) {
        inherit_release(inherit);
    }
    return rc;
}

void inherit_release(struct inherit *inherit)
{
    for (int i = 0; inherit->std_owned && i < 2; i++) {
        if (inherit->std[i] != NULL) {
            CloseHandle(inherit->std[i]);
        }
    }
    if (inherit->attributes != NULL) {
        DeleteProcThreadAttributeList(inherit->attributes);
        free(inherit->attributes);
    }
    *inherit = (struct inherit){0};
}

STARTUPINFOEXW inherit_startup(const struct inherit *inherit)
{
    /* Null handles with a console: so that it does not get this process' own, and the console's are put there. */
    return (STARTUPINFOEXW){.StartupInfo = {.cb = sizeof(STARTUPINFOEXW),
                                            .dwFlags = STARTF_USESTDHANDLES,
                                            .hStdInput = inherit->std[0],
                                            .hStdOutput = inherit->std[1],
                                            .hStdError = inherit->std[2]},
                            .lpAttributeList = inherit->attributes};
}

bool inherit_any(const struct inherit *inherit)
{
    return inherit->listed_n > 0;
}
