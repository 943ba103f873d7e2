/* SFTP on descriptors 0 and 1: owns the two descriptors and the waiting; the protocol is sftp.c's. */
#include "sshd/sftp.h"

#include "base/log.h"

int sftp_main(bool read_only)
{
    (void)read_only;
    log_error("this build serves no SFTP");
    return 1;
}
