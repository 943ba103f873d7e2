"""Sessions survive what happens to the network and to the programs between: nothing is lost or doubled, and they move again soon.

The bound is 3 s from the network's return. A loaded machine may take a little longer now and then, so each single case here has twice
that; the long tests look at the median of many, which has to keep the bound."""
import os
import statistics
import time

import pytest
from conftest import need
from kit import proc, survive
from kit.bench import sanitized
from kit.parts import SLOW

pytestmark = pytest.mark.slow

BOUND = 3.0
ONCE = 2 * BOUND * SLOW
ROUNDS = int(os.environ.get("SURVIVE_ROUNDS", "20"))

# What happens, and for how long in the short test and in the long one.
FAULTS = {
    "blackhole": (4, 8),
    "deaf": (4, 8),
    "mute": (4, 8),
    "reset": (3, 8),
    "abort_here": (0, 0),
    "abort_there": (0, 0),
    "moved": (0, 0),
    "readdressed": (3, 8),
    "rerouted": (3, 8),
    "suspended_programs": (4, 60),
    "suspended_host": (4, 60),
    "suspended_hub": (4, 60),
    "hub_killed": (2, 5),
    "hub_stopped": (2, 5),
    "agent_killed": (2, 5),
    "agent_stopped": (2, 5),
    "all_at_once": (4, 8),
}
RESTARTS = ("hub_killed", "hub_stopped", "agent_killed", "agent_stopped", "all_at_once")


@pytest.fixture
def world(bench, net):
    need("ss")
    return survive.World(bench, net)


def strike(world, name, seconds, *loads):
    """The fault; then everything moves again. Returns how long each stood still after the network's return."""
    began, back = getattr(survive, name)(world, seconds)
    now = time.monotonic()
    for load in loads:
        load.moves(60, now)
    return [load.stood_still(began, back) for load in loads if isinstance(load, survive.Counter)]


# abort_here comes behind each restart.
@pytest.mark.slow
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "abort_here"])
def test_a_shell_goes_on(world, fault):
    counter = world.counter().started()
    stood = strike(world, fault, FAULTS[fault][0], counter)
    if fault in RESTARTS:  # whoever is new there can do it, too
        stood += strike(world, "abort_here", 0, counter)
    counter.finish()
    assert max(stood) <= ONCE, f"{fault}: it took {stood} s from the network's return until all was there"


# The user's side, and both at once; a selection, for the stream is the same.
@pytest.mark.slow
@pytest.mark.parametrize("fault,who", [
    ("blackhole", "user"), ("reset", "user"), ("abort_here", "both"), ("moved", "user"), ("rerouted", "both"), ("suspended_host", "user"),
    ("hub_killed", "user"), ("agent_killed", "both"), ("all_at_once", "both"),
])
def test_a_shell_of_multissh_connect_goes_on(bench, net, fault, who):
    world = survive.World(bench, net, both_ends=True)
    world.struck = {"user": [world.at_user], "both": [world.at_user, world.at_machine]}[who]
    counter = world.counter().started()
    stood = strike(world, fault, FAULTS[fault][0], counter)
    if fault in RESTARTS:
        stood += strike(world, "abort_here", 0, counter)
    counter.finish()
    assert max(stood) <= ONCE, f"{fault}: it took {stood} s from the network's return until all was there"


@pytest.mark.slow
def test_rsync_goes_on(world):
    need("rsync")
    transfer = world.transfer(20, 10).start()
    transfer.middle()
    strike(world, "blackhole", 3, transfer)
    strike(world, "abort_there", 0, transfer)
    transfer.finish()


def used(world):
    """Memory (KiB) and descriptors of the programs that carry sessions, by name."""
    pids = {"hub": [world.hub.process.pid], "front": world.hub_programs("multissh-front"), "agent": world.at_machine.programs()}
    return {f"{name} {pid}": (proc.memory_kib(pid), proc.descriptors(pid)) for name, all_of in pids.items() for pid in all_of}


def cut_and_resume(world, counters, rounds):
    for number in range(rounds):
        strike(world, "abort_here" if number % 2 else "abort_there", 0, *counters)


@pytest.mark.slow
@pytest.mark.skipif(sanitized(), reason="the sanitizers' allocator keeps what is freed")
@pytest.mark.parametrize("count,rounds", [(20, 5), pytest.param(20, 50, marks=pytest.mark.long)])
def test_memory_stays_flat(world, count, rounds):
    """Many streams in one front, each cut and resumed again and again."""
    counters = world.counters(count, one_front=True)
    cut_and_resume(world, counters, 2)
    before = used(world)
    cut_and_resume(world, counters, rounds)
    after = used(world)
    for counter in counters:
        counter.finish()
    assert set(after) == set(before) and any(name.startswith("front") for name in before), (before, after)
    for name, (memory, descriptors) in after.items():
        assert descriptors <= before[name][1], f"{name} has {descriptors} descriptors, and had {before[name][1]}"
        grown = memory - before[name][0]
        assert grown <= 1024, f"{name} grew by {grown} KiB over {count * rounds} resumed connections"


# --- the long ones ---

@pytest.mark.long
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("both_ends", [False, True], ids=["stock", "connect"])
def test_everything_at_once_survives(bench, net, both_ends, fault):
    """A large rsync, a shell and twenty sessions, all at once under the same fault; with `multissh connect` it is on both sides."""
    need("ss", "rsync")
    world, way = survive.World(bench, net, both_ends=both_ends), "multissh connect" if both_ends else "ssh -J"
    if both_ends:
        world.struck = [world.at_user, world.at_machine]
    shell = world.counter().started()
    others = world.counters(20)
    transfer = world.transfer(200, 40)
    alone, crowd = [], []
    for number in range(ROUNDS):
        transfer.start()
        transfer.middle()
        stood = strike(world, fault, FAULTS[fault][1], shell, transfer, *others)
        transfer.finish()
        alone.append(stood[0])
        crowd += stood[1:]
        survive.progress(f"{fault}, {way}: round {number + 1} of {ROUNDS}: the shell {stood[0]:.2f} s, the slowest of all {max(stood):.2f} s")
    for counter in (shell, *others):
        counter.finish()
    survive.progress(f"{fault}, {way}: the shell, {survive.describe(alone)}; twenty sessions, {survive.describe(crowd)}")
    assert statistics.median(alone) <= BOUND and statistics.median(crowd) <= BOUND, (alone, crowd)
    assert max(alone + crowd) <= 4 * BOUND, (alone, crowd)
