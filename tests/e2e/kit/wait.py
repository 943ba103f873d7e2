"""Waiting for something to become true, and finding ports."""
import os
import random
import socket
import time

from . import standing

# However short a wait is meant to be: on a loaded machine everything may take seconds, and one that ends in time does not notice.
LEAST = 20.0


class Timeout(AssertionError):
    pass


def wait_for(condition, timeout=10.0, what=None):
    """Polls, quickly at first, until condition() is true and returns what it returned. Waits longer than asked when that is short: no test of how long
    something takes."""
    timeout = max(timeout, LEAST)
    began = time.monotonic()
    end = began + timeout
    pause = 0.005
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            described = what() if callable(what) else what
            raise Timeout(f"not within {timeout} s: {described or condition}\n--- the processes\n{standing.table()}")
        time.sleep(pause)
        # Looking costs the others time: what has not come for long is looked for less often.
        pause = min(pause * 1.3, max(0.05, min((time.monotonic() - began) / 10, 0.25)))


def _worker():
    name = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    return int(name[2:]) if name[2:].isdigit() else 0


# Below the ephemeral range (32768 up), so that no outgoing connection takes one; each parallel worker has its own part.
_LOW = 12000 + 2500 * (_worker() % 8)
_next = random.randrange(2500)


def free_port():
    """A TCP port on 127.0.0.1 that nobody listens on; not given out again soon."""
    global _next
    for _ in range(2500):
        _next = (_next + 1) % 2500
        port = _LOW + _next
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise RuntimeError("no free port")


def listening(port, pid="self"):
    """Does anybody listen on that TCP port, in the network namespace of pid? Asks the kernel, so the listener sees nothing."""
    wanted = f"{port:04X}"
    for table in ("tcp", "tcp6"):
        try:
            with open(f"/proc/{pid}/net/{table}", encoding="ascii") as lines:
                for line in lines:
                    fields = line.split()
                    if len(fields) > 3 and fields[3] == "0A" and fields[1].endswith(":" + wanted):
                        return True
        except OSError:
            pass
    return False
