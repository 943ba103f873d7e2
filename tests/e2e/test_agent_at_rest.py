"""An agent that waits costs nothing, and gives nothing away."""
import select
import time

import pytest
from conftest import setup
from kit import proc
from test_lying_hub import EdgeA, World

bench, _, _, _, sshd, _ = setup("module")


@pytest.mark.parametrize("streams", ["auto", "plain", "tls"])
def test_streams_that_are_not_answered_cost_nothing(bench, sshd, streams):
    """A connection on which nothing comes is given up after a while, and others are tried meanwhile; none of it takes computing."""
    world = World(bench, sshd, "--streams", streams)
    world.link.dial(id=1)
    world.hub.stream()
    before = proc.cpu_seconds(world.pid)
    for _ in range(3):
        world.hub.accept(20)
    used = proc.cpu_seconds(world.pid) - before
    assert used < 1, f"{used} s of computing while waiting"


def test_the_invitation_is_not_shown_with_the_command_line(bench, sshd):
    """ps shows the command line to everybody on the machine, and the invitation may be good for more machines."""
    world = World(bench, sshd)
    secret = world.hub.code.rpartition("/")[2]
    shown = proc.command_of(world.pid)
    assert world.hub.public in shown and secret not in shown, shown


def test_a_tls_handshake_that_is_not_answered_is_given_up(bench, sshd):
    """Also when the connection before it has come back to life, and no other one is wanted."""
    world = World(bench, sshd, "--streams", "tls")
    key = world.link.dial(id=1)
    stream = world.hub.stream().prove(key)
    stream.until(b"SSH-2.0-OpenSSH")
    silent = world.hub.accept(10)  # nothing is answered on the first one
    began, ended = time.monotonic(), False
    stream.sock.settimeout(0.2)
    while not ended and time.monotonic() - began < 20:
        try:
            kind, payload = stream.next()
            if kind == EdgeA.PING:
                stream.frame(EdgeA.PONG, payload)
        except TimeoutError:
            pass
        while not ended and select.select([silent], [], [], 0)[0]:
            ended = silent.recv(65536) == b""
    assert ended, "it waits for an answer for ever"
    stream.sock.settimeout(10)
    stream.end()
    assert "enough" in world.link.receive("closed")["reason"]
