/* command= of authorized_keys. */
#include "sshd/forced.h"

#include <string.h>

#define INTERNAL_SFTP "internal-sftp"

/* A key's command="internal-sftp …" is OpenSSH's way to say that it may do sftp alone. */
static bool internal_sftp(const char *command)
{
    size_t n = sizeof INTERNAL_SFTP - 1;
    return strncmp(command, INTERNAL_SFTP, n) == 0 && strchr(" \t", command[n]) != NULL;
}

/* Its arguments: -R alone can be honoured, what only concerns the log is passed over, and everything else may
 * be a restriction that would be lost. */
static bool sftp_arguments(const char *command, bool *ret_read_only)
{
    const char *at = command + sizeof INTERNAL_SFTP - 1;
    char word[16];
    bool value = false;
    *ret_read_only = false;
    for (;;) {
        at += strspn(at, " \t");
        size_t n = strcspn(at, " \t");
        if (n == 0)
            return !value;
        if (n >= sizeof word)
            return false;
        memcpy(word, at, n);
        word[n] = '\0';
        at += n;
        if (value)
            value = false;
        else if (strcmp(word, "-R") == 0)
            *ret_read_only = true;
        else if (strcmp(word, "-l") == 0 || strcmp(word, "-f") == 0)
            value = true;
        else if (strcmp(word, "-e") != 0)
            return false;
    }
}

const char *forced_choose(const char *forced, enum host_start_kind asked, const char *command,
                          struct forced *ret)
{
    *ret = (struct forced){.command = forced != NULL ? forced : command};
    if (forced != NULL && asked != HOST_SHELL)
        ret->original = asked == HOST_SFTP ? INTERNAL_SFTP : command;
    if (forced != NULL && internal_sftp(forced)) {
        if (!sftp_arguments(forced, &ret->read_only))
            return "this key's command is an internal-sftp with arguments that this server does not know";
        ret->kind = asked == HOST_SFTP ? FORCED_SFTP : FORCED_SFTP_ONLY;
    } else if (forced != NULL) {
        ret->kind = FORCED_COMMAND;
    } else {
        ret->kind = asked == HOST_SFTP ? FORCED_SFTP : asked == HOST_EXEC ? FORCED_COMMAND : FORCED_SHELL;
    }
    return NULL;
}
