/* SIDs: who somebody is on Windows, whatever the name. Windows alone. */
#ifndef MULTISSH_BASE_SID_WINDOWS_H
#define MULTISSH_BASE_SID_WINDOWS_H

#include "base/win.h"
#include <stdbool.h>

#define SID_TEXT_SPACE 600 /* bytes that DOMAIN\name may take in a message */

/* NT AUTHORITY\SYSTEM, BUILTIN\Administrators, NT SERVICE\TrustedInstaller: who may do anything here anyway. */
bool sid_system(PSID sid);
/* "DOMAIN\name", or the SID in its letters where it has no name. */
void sid_text(PSID sid, char out[SID_TEXT_SPACE]);

#endif
