"""A listener that hands each accepted connection to a fresh server process as descriptors 0 and 1, as inetd does, and tells what
that process and everything it started used of the CPU. It is not in the data path."""
import ctypes
import os
import resource
import select
import signal
import socket
import time

PR_SET_CHILD_SUBREAPER = 36


def _adopt_orphans():
    """What a server leaves behind becomes this process's child, so that its time is counted and its end awaited."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _descendants(pid):
    children = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", encoding="latin-1") as stat:
                children.setdefault(int(stat.read().rpartition(")")[2].split()[1]), []).append(int(entry))
        except (OSError, IndexError):
            pass
    found, queue = [], [pid]
    while queue:
        found += children.get(queue[0], [])
        queue += children.get(queue.pop(0), [])
    return found


class Inetd:
    """argv is started for each connection to 127.0.0.1:port; its standard error goes to the file log."""

    def __init__(self, argv, log):
        self.argv, self.log = [str(word) for word in argv], log
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self.reports, write_end = os.pipe()
        self._buffer = b""
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self.reports)
                self._listen(listener, write_end)
            finally:
                os._exit(1)
        os.close(write_end)
        listener.close()

    # --- in the listener ---

    def _listen(self, listener, reports):
        # An interrupt at the terminal is the business of whoever measures: he ends this process.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: self._abort())
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                try:
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    signal.signal(signal.SIGTERM, signal.SIG_DFL)
                    listener.close()
                    self._keep(connection, reports)
                finally:
                    os._exit(1)
            connection.close()

    @staticmethod
    def _abort():
        for pid in _descendants(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        os._exit(0)

    def _keep(self, connection, reports):
        """Runs one server and waits for all that came of it."""
        _adopt_orphans()
        if os.fork() == 0:
            try:
                log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
                os.dup2(connection.fileno(), 0)
                os.dup2(connection.fileno(), 1)
                os.dup2(log, 2)
                os.closerange(3, 256)
                os.execv(self.argv[0], self.argv)
            finally:
                os._exit(127)
        connection.close()
        while True:
            try:
                os.wait()
            except ChildProcessError:
                break
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        os.write(reports, f"{used.ru_utime + used.ru_stime:.6f}\n".encode())
        os._exit(0)

    # --- in whoever measures ---

    def cpu_of_connection(self, timeout=30.0):
        """CPU seconds (user and system) of the next connection that is over."""
        end = time.monotonic() + timeout
        while b"\n" not in self._buffer:
            if not select.select([self.reports], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError(f"{self.argv[0]} is still there {timeout:.0f} s after its client went")
            data = os.read(self.reports, 4096)
            if not data:
                raise EOFError("the listener ended")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return float(line)

    def close(self):
        if self.pid:
            os.kill(self.pid, signal.SIGTERM)
            os.waitpid(self.pid, 0)
            os.close(self.reports)
            self.pid = 0
