"""An agent that waits costs nothing."""
import pytest
from conftest import setup
from kit import proc
from test_lying_hub import World

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
