/* Who reads standard error. Siblings: log_journal_posix.c, log_journal_windows.c. */
#ifndef MULTISSH_BASE_LOG_JOURNAL_H
#define MULTISSH_BASE_LOG_JOURNAL_H

#include <stdbool.h>

/* Is it systemd's journal? */
bool log_journal_reads(void);

#endif
