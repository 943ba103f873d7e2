/* Who reads standard error: systemd's journal says so itself. */
#include "base/log_journal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* The variable is inherited by whatever a service or a desktop starts, so it counts only when it names
 * standard error: systemd.exec(5), $JOURNAL_STREAM. */
bool log_journal_reads(void)
{
    const char *text = getenv("JOURNAL_STREAM");
    char *end = NULL;
    struct stat st;
    if (text == NULL)
        return false;
    uintmax_t device = strtoumax(text, &end, 10);
    if (*end != ':')
        return false;
    uintmax_t inode = strtoumax(end + 1, NULL, 10);
    return fstat(fileno(stderr), &st) == 0 && (uintmax_t)st.st_dev == device && (uintmax_t)st.st_ino == inode;
}
