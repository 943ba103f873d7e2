"""Processes: started with their output in files, awaited by what they write, ended by pid, and searched for faults."""
import ctypes
import fcntl
import os
import re
import signal
import subprocess
import time

from . import standing
from .wait import wait_for

FAULTS = re.compile(
    r"ERROR: AddressSanitizer|ERROR: LeakSanitizer|LeakSanitizer: detected|runtime error:|AddressSanitizer:DEADLYSIGNAL"
    r"|stack smashing detected|malloc\(\)|free\(\): |double free|corrupted size|Assertion .* failed"
)
CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGSYS, signal.SIGTRAP}
PR_SET_CHILD_SUBREAPER = 36


def become_subreaper():
    """What our processes leave behind (a front outlives its hub) becomes our child, so we can end it by pid and see how it died."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children(*parents):
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and parent_of(entry) in parents:
            found.append(int(entry))
    return found


def parent_of(pid):
    try:
        stat = os.open(f"/proc/{pid}/stat", os.O_RDONLY)  # open() takes three times as long, and there are hundreds
        try:
            return int(os.read(stat, 512).rpartition(b")")[2].split(None, 2)[1])
        finally:
            os.close(stat)
    except (OSError, IndexError, ValueError):
        return None


def tree(pid):
    """The process and all below it."""
    below = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            below.setdefault(parent_of(entry), []).append(int(entry))

    def walk(top):
        found = [top]
        for child in sorted(below.get(top, ())):
            found += walk(child)
        return found
    return walk(pid)


def command_of(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as line:
            return line.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def memory_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="latin-1") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pending(pid):
    """The signals that wait for the process: bit 0 is number 1."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        return int(next(line for line in status if line.startswith("ShdPnd:")).split()[1], 16)


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def _pass(sockets):
    numbers = [s.fileno() for s in sockets]

    def arrange():
        high = [fcntl.fcntl(n, fcntl.F_DUPFD, 3 + len(numbers)) for n in numbers]
        for at, n in enumerate(high):
            os.dup2(n, 3 + at)
    return arrange


class Proc:
    """A program that runs until it is told to end."""

    def __init__(self, bench, name, argv, env=None, netns=None, stdin=subprocess.DEVNULL, cwd=None, pty=None, passed=()):
        self.name = name
        self.log_path = bench.path(f"{name}.{bench.number()}.log")
        self.argv = [str(a) for a in argv]
        if netns is not None:
            self.argv = ["ip", "netns", "exec", netns.full] + self.argv
        self.told = False
        if passed:  # sockets that become the descriptors from 3 on, as systemd passes them
            self.argv = ["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", *self.argv]
            env = {**(env or {}), "LISTEN_FDS": str(len(passed))}
        with open(self.log_path, "wb") as log:
            self.popen = subprocess.Popen(
                self.argv, stdin=stdin, stdout=log, stderr=subprocess.STDOUT, env=bench.env(env), cwd=cwd or bench.root,
                start_new_session=True, pass_fds=range(3, 3 + len(passed)), preexec_fn=_pass(passed) if passed else None)
        bench.procs.append(self)

    @property
    def pid(self):
        return self.popen.pid

    def log(self, since=0):
        with open(self.log_path, "rb") as log:
            log.seek(since)
            return log.read().decode(errors="replace")

    def log_size(self):
        return os.path.getsize(self.log_path)

    def wait_log(self, pattern, timeout=10.0, since=0):
        """Waits until the log matches the pattern (a regular expression); returns the match."""
        compiled = re.compile(pattern, re.M | re.I)

        def look():
            match = compiled.search(self.log(since))
            if match is None and self.popen.poll() is not None:
                match = compiled.search(self.log(since))
                if match is None:
                    raise AssertionError(
                        f"{self.name} ended with status {self.popen.returncode} and never wrote {pattern!r}:\n{self.log()}")
            return match

        return wait_for(look, timeout, lambda: f"{pattern!r} in the log of {self.name}:\n{self.log(since)}")

    def running(self):
        return self.popen.poll() is None

    def send(self, number):
        if self.running():
            os.kill(self.pid, number)

    def stop(self, timeout=10.0, number=signal.SIGTERM):
        """Ends it and returns its exit status."""
        self.send(number)
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise AssertionError(f"{self.name} did not end within {timeout} s of signal {number}:\n{self.log()}") from None

    def kill(self):
        self.send(signal.SIGKILL)
        self.popen.wait()

    def complaint(self):
        """What is wrong with how it ran, or None. Told once."""
        if self.told:
            return None
        self.told = True
        text = self.log()
        found = FAULTS.search(text)
        if found:
            return f"{self.name}: {found.group(0)}:\n{text[max(0, found.start() - 500):found.start() + 6000]}"
        if self.popen.returncode is not None and self.popen.returncode < 0 and -self.popen.returncode in CRASHES:
            return f"{self.name} was ended by signal {-self.popen.returncode}:\n{text[-4000:]}"
        self.told = False
        return None


class Done:
    """How a command ended."""

    def __init__(self, argv, status, out, err, took):
        self.argv, self.status, self.raw, self.raw_err, self.took = argv, status, out, err, took
        self.out, self.err = out.decode(errors="replace"), err.decode(errors="replace")

    def __repr__(self):
        return f"$ {' '.join(map(str, self.argv))}\n[status {self.status}, {self.took:.2f} s]\n--- out\n{self.out[-3000:]}\n--- err\n{self.err[-3000:]}"

    def ok(self):
        assert self.status == 0, repr(self)
        return self

    def failed(self, status=None):
        assert self.status != 0, repr(self)
        if status is not None:
            assert self.status == status, repr(self)
        return self

    def says(self, pattern):
        assert re.search(pattern, self.out + self.err, re.M | re.I), f"{pattern!r} is not in:\n{self!r}"
        return self


def run(bench, argv, input=None, timeout=60.0, env=None, netns=None, cwd=None, stdout=None):
    """Runs a command to its end."""
    argv = [str(a) for a in argv]
    if netns is not None:
        argv = ["ip", "netns", "exec", netns.full] + argv
    if isinstance(input, str):
        input = input.encode()
    started = time.monotonic()
    with subprocess.Popen(argv, stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL,
                          stdout=stdout or subprocess.PIPE, stderr=subprocess.PIPE, env=bench.env(env), cwd=cwd or bench.root,
                          start_new_session=True) as popen:
        try:
            out, err = popen.communicate(input, timeout)
        except subprocess.TimeoutExpired:
            processes = standing.table()
            try:
                os.killpg(popen.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            try:
                out, err = popen.communicate(timeout=5)
            except subprocess.TimeoutExpired:
                out, err = b"", b"(its output is still held open)"
            raise AssertionError(f"not done within {timeout} s: {Done(argv, None, out or b'', err or b'', timeout)!r}\n--- the processes\n{processes}") from None
    done = Done(argv, popen.returncode, out or b"", err or b"", time.monotonic() - started)
    found = FAULTS.search(done.err)
    assert not found, f"{found.group(0)}: {done!r}"
    assert -popen.returncode not in CRASHES, f"crashed: {done!r}"
    return done
