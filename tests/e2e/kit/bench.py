"""One test's world: a temporary folder, the processes in it, and what is done with them at the end."""
import itertools
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

from . import proc

ROOT = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("MULTISSH_BUILD", "build"))
if not BUILD.is_absolute():
    BUILD = ROOT / BUILD


def program(name):
    return BUILD / name


def sanitized():
    cache = BUILD / "CMakeCache.txt"
    return cache.exists() and "MULTISSH_SANITIZE:BOOL=ON" in cache.read_text()


class Bench:
    def __init__(self, root=None):
        # Short: the path of a unix socket has 107 bytes.
        self.root = Path(root or tempfile.mkdtemp(prefix="ms-", dir="/tmp"))
        self.procs = []
        self.past = []
        self.closers = []
        self.late_closers = []
        self.users = []
        self.shared = False
        self._numbers = itertools.count(1)

    def number(self):
        return next(self._numbers)

    def path(self, name):
        return self.root / name

    def folder(self, name):
        path = self.root / f"{name}.{self.number()}"
        path.mkdir(mode=0o700)
        return path

    def env(self, extra=None):
        """The environment of everything that is started: no SSH agent, no settings of whoever runs the tests."""
        env = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin",
            "HOME": str(self.home()),
            "LANG": "C.UTF-8",
            "TERM": "xterm",
            "LOGNAME": os.environ.get("LOGNAME", "root"),
            "UBSAN_OPTIONS": "print_stacktrace=1",
        }
        env.update(extra or {})
        return env

    def home(self):
        home = self.root / "home"
        home.mkdir(exist_ok=True, mode=0o700)
        return home

    def run(self, *argv, **options):
        return proc.run(self, argv, **options)

    def start(self, name, *argv, **options):
        return proc.Proc(self, name, argv, **options)

    def replace(self, old, new):
        """The new process is the old one started again: it lives as long as that was to."""
        self.procs.remove(new)
        self.procs[self.procs.index(old)] = new
        self.past.append(old)

    def mark(self):
        """For close: what there is already."""
        return len(self.procs), len(self.closers), len(self.late_closers)

    def close(self, mark=None):
        """Ends everything (since the mark); returns what is wrong with how the processes ended, or run so far."""
        first_proc, first_closer, first_late = mark or (0, 0, 0)
        complaints = []
        for closer in reversed(self.closers[first_closer:]):
            try:
                closer()
            except Exception as error:  # everything else must still be ended
                complaints.append(f"at the end: {error}")
        for running in reversed(self.procs[first_proc:]):
            if running.running():
                try:
                    running.stop(15)
                except AssertionError as error:
                    complaints.append(str(error))
        if mark is None:
            complaints += self._orphans()
        for closer in reversed(self.late_closers[first_late:]):
            closer()
        for process in self.past + self.procs:
            complaint = process.complaint()
            if complaint:
                complaints.append(complaint)
            elif mark and process in self.procs[:first_proc] and not process.running():
                complaints.append(f"{process.name}, which all tests of the file share, ended with {process.popen.returncode}:\n{process.log()[-3000:]}")
        if mark:
            del self.procs[first_proc:], self.closers[first_closer:], self.late_closers[first_late:]
        return complaints

    def _orphans(self):
        """What our processes left behind has become our child (see become_subreaper): ended by pid."""
        complaints = []
        ours = {p.pid for p in self.procs}
        marker = str(self.root)
        end = time.monotonic() + 5
        while True:
            left = [pid for pid in proc.children(os.getpid()) if pid not in ours and self._mine(pid, marker)]
            if not left:
                return complaints
            for pid in left:
                number = signal.SIGTERM if time.monotonic() < end - 3 else signal.SIGKILL
                try:
                    os.kill(pid, number)
                    done, status = os.waitpid(pid, os.WNOHANG)
                except (ProcessLookupError, ChildProcessError):
                    continue
                if done and os.WIFSIGNALED(status) and os.WTERMSIG(status) in proc.CRASHES:
                    complaints.append(f"a process left behind was ended by signal {os.WTERMSIG(status)}")
            time.sleep(0.02)

    @staticmethod
    def _mine(pid, marker):
        """Only this bench's orphans: they run in its folder or carry its home; one that is already dead is anybody's to reap."""
        try:
            with open(f"/proc/{pid}/stat", encoding="latin-1") as stat:
                if stat.read().rpartition(")")[2].split()[0] == "Z":
                    return True
            if marker in os.readlink(f"/proc/{pid}/cwd"):
                return True
            with open(f"/proc/{pid}/environ", "rb") as environ:
                return marker.encode() in environ.read()
        except (OSError, IndexError):
            return False

    def logs(self):
        parts = []
        for process in self.past[-1:] + self.procs:
            text = process.log()
            if len(text) > 12000:
                text = text[:3000] + "\n[…]\n" + text[-9000:]
            parts.append(f"--- {process.name} (pid {process.pid}, status {process.popen.returncode}): {' '.join(process.argv)}\n{text}")
        return "\n".join(parts)

    def remove(self):
        shutil.rmtree(self.root, ignore_errors=True)
