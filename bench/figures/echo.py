"""How soon a typed character is seen while another session on the same machine moves bulk data, on loopback and over a line as people have at home."""
import os
import random
import select
import statistics
import subprocess
import time

from far import Openssh, Ours, Place, unavailable
from frame import Failed, Figure
from report import ratio_row
from sides import together

# 30 ms there and back, and a buffer of 100 ms before the line, as routers have.
LINE = {"delay": 15, "rate": 30, "seed": 7}
KEYS = 150
PAIRS_MAX = 3
EVERY = 0.05
ANSWER_MAX = 30
# Bulk that never ends: what the machine has to send, and what it takes.
BULK = {"down": "cat /dev/zero", "up": "cat >/dev/null"}


class Typist:
    """A session with a program that gives back each byte as it comes, as a terminal does with what is typed."""

    def __init__(self, side):
        self.side = side
        self.popen = subprocess.Popen(side.ssh("cat"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=side.bench.env(),
                                      bufsize=0, start_new_session=True)
        side.bench.closers.append(lambda: end(self.popen))
        self.key()

    def key(self):
        """Types one and waits until it is seen: seconds."""
        began = time.monotonic()
        self.popen.stdin.write(b"x")
        if not select.select([self.popen.stdout], [], [], ANSWER_MAX)[0] or self.popen.stdout.read(1) != b"x":
            end(self.popen)
            raise Failed(f"{self.side.name}: what was typed was not seen within {ANSWER_MAX} s: {self.popen.stderr.read().decode(errors='replace')}")
        return time.monotonic() - began


class Bulk:
    """A session that moves as much as it can."""

    def __init__(self, side, way):
        self.side, self.way = side, way
        with open("/dev/zero" if way == "up" else os.devnull, "rb") as source:
            self.popen = subprocess.Popen(side.ssh(BULK[way]), stdin=source, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=side.bench.env(),
                                          start_new_session=True)
        side.bench.closers.append(lambda: end(self.popen))

    def moved(self):
        """Bytes that the user's ssh has read or written so far."""
        with open(f"/proc/{self.popen.pid}/io", encoding="ascii") as lines:
            fields = dict(line.split(": ") for line in lines)
        return int(fields["rchar" if self.way == "down" else "wchar"])

    def check(self):
        if self.popen.poll() is not None:
            raise Failed(f"{self.side.name}: the session that moves data ended: {self.popen.stderr.read().decode(errors='replace')}")


def end(popen):
    if popen.poll() is None:
        popen.kill()
    popen.wait()


def echo(side, way, keys):
    """Types so many while another session moves data that way: (p50, p99) in ms."""
    typist, bulk = Typist(side), Bulk(side, way)
    try:
        began = time.monotonic()
        while bulk.moved() < 1 << 20:  # it has found its speed
            bulk.check()
            if time.monotonic() > began + 60:
                raise Failed(f"{side.name}: the session that moves data does not")
            time.sleep(0.05)
        pauses = random.Random(1)
        took = []
        for _ in range(keys):
            took.append(typist.key() * 1000)
            # Not in step with anything.
            time.sleep(pauses.uniform(0.5, 1.5) * EVERY)
        bulk.check()
    finally:
        end(bulk.popen)
        end(typist.popen)
    return statistics.median(took), statistics.quantiles(took, n=100)[98]


def rows_of(context, where, sides):
    rows = []
    keys = 10 if context.quick else KEYS
    for way in ("down", "up"):
        cases = {name: lambda side=side: echo(side, way, keys) for name, side in sides.items()}
        took = context.alternate(cases, pairs=min(context.pairs, PAIRS_MAX))
        for which, words, bound in ((0, "p50", None), (1, "p99", 0.5)):
            theirs, ours, connect = ([pair[which] for pair in took[name]] for name in ("openssh", "ours", "connect"))
            rows.append(ratio_row(f"keystroke echo {where}, {words}, bulk {way}, ssh -J", theirs, ours, "ms", bound=bound))
            rows.append(ratio_row(f"keystroke echo {where}, {words}, bulk {way}, multissh connect", theirs, connect, "ms", bound=bound))
    return rows


def near(context):
    sides = together(context)
    return rows_of(context, "here", {name: sides[name] for name in ("openssh", "ours", "connect")})


def far(context):
    why = unavailable()
    if why:
        context.note(f"keystrokes far away: not measured, {why}")
        return []

    def make():
        place = Place(context, **LINE)
        ours = Ours(place)
        context.note(f"keystrokes far away: {2 * LINE['delay']} ms there and back, a line of {LINE['rate']} Mbit/s with a buffer of 100 ms")
        return {"openssh": Openssh(place), "ours": ours, "connect": Ours(place, connect=True, like=ours)}
    return rows_of(context, "far away", context.once("far echo", make))


FIGURES = [
    Figure("echo-here", "keystroke echo while another session moves data", "p99 ≤ 0.5", near),
    Figure("echo-far", "keystroke echo while another session moves data, over a line as at home", "p99 ≤ 0.5", far),
]
