/* Why something failed, for the client. Owns the words of the last failure. */
#include "sshd/sftp_fs_windows.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Do POSIX's words say all of it? */
static bool is_plain(DWORD error)
{
    static const DWORD plain[] = {ERROR_FILE_NOT_FOUND, ERROR_PATH_NOT_FOUND,    ERROR_ACCESS_DENIED,
                                  ERROR_FILE_EXISTS,    ERROR_ALREADY_EXISTS,    ERROR_DIR_NOT_EMPTY,
                                  ERROR_DIRECTORY,      ERROR_NOT_ENOUGH_MEMORY, ERROR_DISK_FULL};
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        if (error == plain[i])
            return true;
    return false;
}

int sftp_fs_windows_fail(struct sftp_fs_windows *fs, DWORD error)
{
    fs->words[0] = '\0';
    if (!is_plain(error))
        win_words(error, fs->words, sizeof fs->words);
    return win_errno(error);
}

int sftp_fs_windows_refuse(struct sftp_fs_windows *fs, int r, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(fs->words, sizeof fs->words, fmt, args);
    va_end(args);
    return r;
}

const char *sftp_fs_windows_words(void *arg)
{
    struct sftp_fs_windows *fs = arg;
    memcpy(fs->told, fs->words, sizeof fs->told);
    fs->words[0] = '\0';
    return fs->told[0] == '\0' ? NULL : fs->told;
}
