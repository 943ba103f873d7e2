/* keys_place with MoveFileExW, which fails where it is not told to replace. */
#include "tls/keys_place.h"

#include "base/win.h"
#include <stdlib.h>

int keys_place(const char *from, const char *to)
{
    wchar_t *wide_from = NULL, *wide_to = NULL;
    int rc = win_path(from, &wide_from);

    if (rc == 0)
        rc = win_path(to, &wide_to);
    if (rc == 0 && !MoveFileExW(wide_from, wide_to, MOVEFILE_WRITE_THROUGH)) {
        rc = win_errno(GetLastError());
        DeleteFileW(wide_from);
    }
    free(wide_from);
    free(wide_to);
    return rc;
}
