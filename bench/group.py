#!/usr/bin/python3
"""Runs a program and keeps what comes of it together: group.py PROGRAM [ARGUMENT]...

What the program leaves behind becomes a child of this process, so that all that was ever started below it can be found, and its CPU
time counted, also when it has ended. Signals go on to the program; its end is this process's end, with the same status."""
import ctypes
import os
import signal
import sys
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
TICK = os.sysconf("SC_CLK_TCK")


def _stat(pid):
    """The fields of /proc/PID/stat behind the name, from the state on."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="latin-1").rpartition(")")[2].split()


def below(pid):
    """All processes below this one, without itself."""
    children = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            children.setdefault(int(_stat(entry)[1]), []).append(int(entry))
        except (OSError, IndexError):
            pass
    found, queue = [], [pid]
    while queue:
        some = children.get(queue.pop(), [])
        found += some
        queue += some
    return found


def cpu(pid):
    """User and system seconds of all that is or was below this process. What ended is counted by whoever waited for it."""
    total = 0
    for one in below(pid):
        try:
            total += sum(int(field) for field in _stat(one)[11:15])
        except OSError:
            pass
    return (total + sum(int(field) for field in _stat(pid)[13:15])) / TICK


def memory(pid, *names):
    """The sum of these lines of smaps_rollup (Pss:, Private_Dirty:, ...) over all below this process: KiB."""
    total = 0
    for one in below(pid):
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text(encoding="ascii").splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith(names))
    return total


def main(argv):
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    child = os.fork()
    if child == 0:
        try:
            os.execvp(argv[0], argv)
        except OSError as error:
            print(f"{argv[0]}: {error.strerror}", file=sys.stderr)
        os._exit(127)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, lambda caught, _: os.kill(child, caught))
    while True:
        pid, status = os.wait()
        if pid == child:
            break
    if os.WIFSIGNALED(status):
        signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
