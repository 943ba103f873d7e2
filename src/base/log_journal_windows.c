/* Who reads standard error: never a journal. */
#include "base/log_journal.h"

bool log_journal_reads(void)
{
    return false;
}
