"""A person at a terminal: a program on a real pty, what it shows awaited, keys pressed, the window resized."""
import codecs
import contextlib
import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import time


class Terminal:
    def __init__(self, bench, *argv, rows=24, columns=80, env=None):
        self.argv = [str(word) for word in argv]
        self.master, slave = os.openpty()
        self.resize(rows, columns)
        try:
            # setsid -c makes the pty its controlling terminal, so that ^C and a new size reach it.
            self.popen = subprocess.Popen(["setsid", "-c", *self.argv], stdin=slave, stdout=slave, stderr=slave, env=bench.env(env), cwd=bench.root)
        finally:
            os.close(slave)
        self.shown = ""  # all of it
        self._text = codecs.getincrementaldecoder("utf-8")(errors="replace")  # a read may end within a character
        self.at = 0  # what was expected already
        self.ended = False
        bench.closers.append(self.close)

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def send(self, text):
        data = text.encode() if isinstance(text, str) else text
        while data:
            select.select([], [self.master], [], 10)
            data = data[os.write(self.master, data[:1024]):]
            self.read(0)

    def read(self, seconds):
        """Takes what is there (or comes within that time)."""
        if self.ended or not select.select([self.master], [], [], seconds)[0]:
            return
        try:
            data = os.read(self.master, 65536)
        except OSError:  # EIO: nobody has the other side open any more
            data = b""
        if not data:
            self.ended = True
        self.shown += self._text.decode(data, final=self.ended)

    def expect(self, pattern, timeout=15.0):
        """Waits until what is shown after what was expected last matches; returns the match."""
        compiled = re.compile(pattern, re.M)
        end = time.monotonic() + timeout
        while True:
            match = compiled.search(self.shown, self.at)
            if match:
                self.at = match.end()
                return match
            left = end - time.monotonic()
            if self.ended or left <= 0:
                raise AssertionError(f"{pattern!r} {'never came' if self.ended else f'not within {timeout} s'}: {' '.join(self.argv)} showed\n{self.shown}")
            self.read(left)

    def wait(self, timeout=15.0):
        """Until the program ends: its status."""
        end = time.monotonic() + timeout
        while not self.ended and time.monotonic() < end:
            self.read(0.05)
            if self.popen.poll() is not None:
                while not self.ended and select.select([self.master], [], [], 0)[0]:
                    self.read(0)
                break
        try:
            return self.popen.wait(max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{' '.join(self.argv)} did not end within {timeout} s; it showed\n{self.shown}") from None

    def close(self):
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()
        with contextlib.suppress(OSError):
            os.close(self.master)
