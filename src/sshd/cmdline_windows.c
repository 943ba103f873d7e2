/* Shells of Windows and their command lines. */
#include "sshd/cmdline_windows.h"

#include "base/buf.h"
#include "base/utf8.h"
#include "base/win.h"
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES_MAX (4u * (CMDLINE_MAX + 1u)) /* what is longer in UTF-8 is longer in UTF-16 */

enum kind {
    KIND_CMD,        /* /d: no AutoRun; /s: takes off the outer quotes and nothing else */
    KIND_POWERSHELL, /* splits its line as the C library does, and reads what is behind -Command as a script */
    KIND_UNIX,       /* of MSYS2 or Cygwin, with rules of their own (see put_unix) */
    KIND_OTHER,      /* splits its line as the C library does */
};

/* --- which program --- */

/* folder: of a variable of the environment; NULL: where Windows' own programs are. */
struct place {
    const char *folder, *path;
};
static const struct known {
    const char *name, *help;
    struct place places[3];
} known[] = {
    {"cmd", "Windows is damaged", {{NULL, "cmd.exe"}}},
    {"powershell", "install Windows PowerShell", {{NULL, "WindowsPowerShell\\v1.0\\powershell.exe"}}},
    {"pwsh", "install PowerShell 7 for all users", {{"ProgramFiles", "PowerShell\\7\\pwsh.exe"}}},
    {"bash",
     "install Git for Windows",
     {{"ProgramFiles", "Git\\bin\\bash.exe"},
      {"LOCALAPPDATA", "Programs\\Git\\bin\\bash.exe"},
      {NULL, "bash.exe"}}},
};

static char *system_folder(void)
{
    wchar_t wide[MAX_PATH];
    char *text = NULL;
    UINT n = GetSystemDirectoryW(wide, MAX_PATH);
    return n == 0 || n >= MAX_PATH || win_utf8(wide, &text) < 0 ? NULL : text;
}

static bool is_program(const char *path)
{
    wchar_t *wide;
    DWORD attributes;
    if (win_path(path, &wide) < 0) {
        return false;
    }
    attributes = GetFileAttributesW(wide);
    free(wide);
    return attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY) == 0;
}

/* NULL: there is no such folder, or no memory. */
static char *place_path(const struct place *place)
{
    char *folder = place->folder == NULL ? system_folder() : win_env(place->folder);
    size_t n = folder == NULL ? 0 : strlen(folder) + strlen(place->path) + 2;
    char *path = n == 0 ? NULL : malloc(n);
    if (path != NULL) {
        (void)snprintf(path, n, "%s\\%s", folder, place->path);
    }
    free(folder);
    return path;
}

static int find_known(const struct known *shell, char **ret_program, struct errmsg *err)
{
    char *first = NULL;
    for (size_t i = 0; i < sizeof shell->places / sizeof shell->places[0] && shell->places[i].path != NULL;
         i++) {
        char *path = place_path(&shell->places[i]);
        if (path != NULL && is_program(path)) {
            free(first);
            *ret_program = path;
            return 0;
        }
        if (first == NULL) {
            first = path;
        } else {
            free(path);
        }
    }
    (void)errmsg_set(err, -ENOENT,
                     "the shell '%s' is not on this machine (looked for %.300s): %s, or set shell",
                     shell->name, first == NULL ? "its folder" : first, shell->help);
    free(first);
    return -ENOENT;
}

static bool is_absolute(const char *path)
{
    const bool drive = ((path[0] | 0x20) >= 'a' && (path[0] | 0x20) <= 'z') && path[1] == ':';
    return (drive && (path[2] == '\\' || path[2] == '/')) || (path[0] == '\\' && path[1] == '\\');
}

int cmdline_find(const char *shell, char **ret_program, struct errmsg *err)
{
    const char *name = shell == NULL || shell[0] == '\0' ? "cmd" : shell;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (_stricmp(name, known[i].name) == 0) {
            return find_known(&known[i], ret_program, err);
        }
    }
    if (!is_absolute(name) || strchr(name, '"') != NULL) {
        return errmsg_set(
            err, -EINVAL,
            "the shell '%.200s' is not known: shell is cmd, powershell, pwsh, bash or the full path of a "
            "program",
            name);
    }
    if (!is_program(name)) {
        return errmsg_set(err, -ENOENT,
                          "the shell %.300s is not on this machine: set shell to a program that is", name);
    }
    *ret_program = _strdup(name);
    return *ret_program == NULL ? errmsg_set(err, -ENOMEM, "the command could not be started: out of memory")
                                : 0;
}

/* --- what kind it is --- */

static const char *file_name(const char *path)
{
    const char *at = path;
    for (const char *p = path; *p != '\0'; p++) {
        if (*p == '\\' || *p == '/' || *p == ':') {
            at = p + 1;
        }
    }
    return at;
}

static bool is_called(const char *program, const char *name)
{
    const char *file = file_name(program);
    size_t n = strlen(name);
    return _strnicmp(file, name, n) == 0 && (file[n] == '\0' || _stricmp(file + n, ".exe") == 0);
}

/* Windows' own bash.exe starts that of Linux, and splits its line as the C library does. */
static bool of_linux(const char *program)
{
    char *folder = system_folder();
    bool is = folder != NULL && _strnicmp(program, folder, strlen(folder)) == 0;
    free(folder);
    return is;
}

static enum kind kind_of(const char *program)
{
    static const char *const unix_shells[] = {"bash", "sh", "dash", "zsh", "ksh"};
    if (is_called(program, "cmd")) {
        return KIND_CMD;
    }
    if (is_called(program, "powershell") || is_called(program, "pwsh")) {
        return KIND_POWERSHELL;
    }
    for (size_t i = 0; i < sizeof unix_shells / sizeof unix_shells[0]; i++) {
        if (is_called(program, unix_shells[i])) {
            return of_linux(program) ? KIND_OTHER : KIND_UNIX;
        }
    }
    return KIND_OTHER;
}

/* --- lines --- */

static int put(struct buf *line, char c, size_t times)
{
    int rc = 0;
    while (rc == 0 && times-- > 0) {
        rc = buf_append(line, &c, 1);
    }
    return rc;
}

/* One argument for the C library: backslashes count for themselves, but before a quote they come in pairs. */
static int put_argument(struct buf *line, const char *text)
{
    size_t slashes = 0;
    int rc = put(line, '"', 1);
    for (; rc == 0 && *text != '\0'; text++) {
        if (*text == '\\') {
            slashes++;
            continue;
        }
        rc = put(line, '\\', *text == '"' ? 2 * slashes + 1 : slashes);
        slashes = 0;
        if (rc == 0) {
            rc = put(line, *text, 1);
        }
    }
    if (rc == 0) {
        rc = put(line, '\\', 2 * slashes);
    }
    return rc < 0 ? rc : put(line, '"', 1);
}

/* One argument for Cygwin and MSYS2, whose programs make one of every pair of backslashes between quotes; but of what
 * begins like a path with a drive, none, and then a quote could not be written: a blank before it does no harm. */
static int put_unix(struct buf *line, const char *text)
{
    int rc = put(line, '"', 1);
    if (rc == 0 && is_absolute(text)) {
        rc = put(line, ' ', 1);
    }
    for (; rc == 0 && *text != '\0'; text++) {
        rc = put(line, '\\', *text == '"' || *text == '\\' ? 1 : 0);
        if (rc == 0) {
            rc = put(line, *text, 1);
        }
    }
    return rc < 0 ? rc : put(line, '"', 1);
}

static int put_command(struct buf *line, enum kind kind, const char *command)
{
    static const char *const before[] = {" /d /s /c \"", " -NoProfile -NonInteractive -Command ", " -c ",
                                         " -c "};
    int rc = buf_append_str(line, before[kind]);
    if (rc < 0) {
        return rc;
    }
    switch (kind) {
    case KIND_CMD:
        rc = buf_append_str(line, command);
        return rc < 0 ? rc : put(line, '"', 1);
    case KIND_UNIX:
        return put_unix(line, command);
    default:
        return put_argument(line, command);
    }
}

/* Of well-formed UTF-8: what is outside of the first plane takes two. */
static size_t units(const char *text)
{
    size_t n = 0;
    for (; *text != '\0'; text++) {
        n += ((unsigned char)*text & 0xc0) != 0x80 ? 1 : 0;
        n += (unsigned char)*text >= 0xf0 ? 1 : 0;
    }
    return n;
}

/* rc: of putting the line together. */
static int take_line(struct buf *line, int rc, const char *program, size_t most, char **ret_line,
                     struct errmsg *err)
{
    const char *text = rc == 0 ? buf_str(line) : NULL;
    if (rc == -ENOBUFS || (text != NULL && units(text) > most)) {
        return errmsg_set(err, -E2BIG, "the command is too long: Windows gives %s at most %zu characters",
                          file_name(program), most);
    }
    *ret_line = text == NULL ? NULL : _strdup(text);
    return *ret_line == NULL ? errmsg_set(err, -ENOMEM, "the command could not be started: out of memory")
                             : 0;
}

int cmdline_shell(const char *program, const char *command, char **ret_line, struct errmsg *err)
{
    const enum kind kind = kind_of(program);
    struct buf line;
    int rc;
    if (command != NULL && !utf8_ok(command, strlen(command))) {
        return errmsg_set(err, -EILSEQ,
                          "the command is not UTF-8, which Windows' own characters are made of");
    }
    buf_init(&line, LINE_BYTES_MAX);
    rc = buf_appendf(&line, "\"%s\"", program);
    if (rc == 0 && command != NULL) {
        rc = put_command(&line, kind, command);
    } else if (rc == 0 && kind == KIND_UNIX) {
        rc = buf_append_str(&line, " -l");
    }
    rc = take_line(&line, rc, program, kind == KIND_CMD ? CMDLINE_CMD_MAX : CMDLINE_MAX, ret_line, err);
    buf_wipe(&line);
    return rc;
}

int cmdline_join(const char *const *argv, size_t n, char **ret_line, struct errmsg *err)
{
    struct buf line;
    int rc = 0;
    buf_init(&line, LINE_BYTES_MAX);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        rc = i == 0 ? 0 : put(&line, ' ', 1);
        if (rc == 0) {
            rc = put_argument(&line, argv[i]);
        }
    }
    rc = take_line(&line, rc, argv[0], CMDLINE_MAX, ret_line, err);
    buf_wipe(&line);
    return rc;
}
