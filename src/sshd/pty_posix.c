/* Pseudo-terminals by openpty(3). */
#include "sshd/pty.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

static unsigned short cell(unsigned n)
{
    return n > USHRT_MAX ? USHRT_MAX : (unsigned short)n;
}

/* By the descriptor, not by its name: a name in /dev can be another terminal by now. */
static int give_to(const struct account *account, int slave)
{
    const struct group *tty = getgrnam("tty");
    if (fchown(slave, account->uid, tty != NULL ? tty->gr_gid : account->gid) != 0 ||
        fchmod(slave, tty != NULL ? 0620 : 0600) != 0) {
        return -errno;
    }
    return 0;
}

static int prepare(const struct account *account, const struct pty *pty)
{
    struct termios modes;
    if (fcntl(pty->master, F_SETFD, FD_CLOEXEC) < 0 || fcntl(pty->slave, F_SETFD, FD_CLOEXEC) < 0 ||
        fcntl(pty->master, F_SETFL, O_RDWR | O_NONBLOCK) < 0 || tcgetattr(pty->slave, &modes) != 0) {
        return -errno;
    }
    modes.c_iflag |= IUTF8; /* erasing takes whole characters */
    if (tcsetattr(pty->slave, TCSANOW, &modes) != 0)
        return -errno;
    return account_privileged() ? give_to(account, pty->slave) : 0;
}

int pty_open(const struct account *account, const struct pty_size *size, struct pty *ret_pty)
{
    const struct winsize window = {.ws_col = cell(size->columns),
                                   .ws_row = cell(size->rows),
                                   .ws_xpixel = cell(size->width),
                                   .ws_ypixel = cell(size->height)};
    struct pty pty = {.master = -1, .slave = -1};
    int r;
    if (openpty(&pty.master, &pty.slave, NULL, NULL, &window) != 0)
        return errno != 0 ? -errno : -EIO;
    r = -ttyname_r(pty.slave, pty.name, sizeof pty.name);
    if (r == 0)
        r = prepare(account, &pty);
    if (r < 0)
        pty_release(&pty);
    else
        *ret_pty = pty;
    return r;
}

void pty_release(struct pty *pty)
{
    if (pty->master >= 0)
        (void)close(pty->master);
    if (pty->slave >= 0)
        (void)close(pty->slave);
    pty->master = pty->slave = -1;
}

int pty_control(int slave)
{
    return ioctl(slave, TIOCSCTTY, 0) != 0 ? -errno : 0;
}
