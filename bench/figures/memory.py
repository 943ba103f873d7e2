"""What stays in memory: at the hub for a user who is connected and idle, at the machine for being reachable."""
import contextlib
import os
import select
import subprocess
import time

from frame import Failed, Figure
from report import bound_row, ratio_row
from sides import Openssh, Ours

from figures.transfer import source

AT_ONCE = 10
WAIT = 60


def _open(side, argv):
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=side.bench.env(), start_new_session=True)


def _first_byte(popen, argv):
    ready, _, _ = select.select([popen.stdout], [], [], WAIT)
    if not ready or not os.read(popen.stdout.fileno(), 256):
        raise Failed(f"'{' '.join(argv)}' was not answered within {WAIT} s (status {popen.poll()})")


def _close(opened):
    for popen in opened:
        popen.stdin.close()
    for popen in opened:
        try:
            popen.wait(WAIT)
        except subprocess.TimeoutExpired:
            popen.kill()
            popen.wait()
        popen.stdout.close()


@contextlib.contextmanager
def idle_users(side, count):
    """So many user connections, each with a jump that has had its first bytes and then says nothing."""
    opened, argv = [], side.hop()
    try:
        while len(opened) < count:
            some = [_open(side, argv) for _ in range(min(AT_ONCE, count - len(opened)))]
            opened += some
            for popen in some:
                _first_byte(popen, argv)
        yield
    finally:
        _close(opened)


def at_rest(read):
    """What read() says when it has not fallen for three seconds: memory is given back some time after it was needed."""
    value, still = read(), 0
    for _ in range(30):
        time.sleep(1)
        before, value = value, read()
        still = still + 1 if value > before * 0.995 else 0
        if still == 3:
            break
    return value


def users(context):
    """KiB of the hub's side for each idle user connection."""
    count = 5 if context.quick else 200
    used = {}
    for name, make in (("OpenSSH", Openssh), ("multiSSH", Ours)):
        with make(context) as side:
            with idle_users(side, 1):
                pass  # what the first one makes once
            side.settle()
            before = at_rest(side.hub_pss)
            context.say(f"{count} idle users, {name}")
            with idle_users(side, count):
                used[name] = (at_rest(side.hub_pss) - before) / count
            side.settle()
    return [ratio_row(f"hub memory (PSS) per idle user, {count} of them", [used["OpenSSH"]], [used["multiSSH"]], "KiB", bound=0.35)]


def agent(context):
    """MiB that only the machine's side has, without a session and with one that has moved data."""
    size = min(context.size, 64 << 20)
    path = source(context)
    used = {}
    for name, make in (("OpenSSH", Openssh), ("multiSSH", Ours)):
        with make(context) as side:
            used[("idle", name)] = at_rest(side.machine_private) / 1024
            argv = side.ssh(f"head -c {size} {path}; exec cat", cipher="aes128-gcm")
            session = _open(side, argv)
            try:
                left = size
                while left:
                    ready, _, _ = select.select([session.stdout], [], [], WAIT)
                    data = os.read(session.stdout.fileno(), min(left, 1 << 16)) if ready else b""
                    if not data:
                        raise Failed(f"'{' '.join(argv)}' stopped {left} bytes before its end (status {session.poll()})")
                    left -= len(data)
                used[("session", name)] = at_rest(side.machine_private) / 1024
            finally:
                _close([session])
    return [bound_row(title, [used[(state, "multiSSH")]], "MiB", bound=4, openssh=[used[(state, "OpenSSH")]])
            for state, title in (("idle", "agent's private memory, no session"), ("session", "agent's private memory, a session that moved data"))]


FIGURES = [
    Figure("user-memory", "the hub's memory for idle users", "≤ 0.35 of OpenSSH's two processes", users),
    Figure("agent-memory", "the agent's memory", "≤ 4 MB private", agent),
]
