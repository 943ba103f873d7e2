"""Sessions through multissh outlive what happens on either side, and to the hub."""
import os
import re
import time

import pytest
from conftest import need
from kit import proc, survive
from kit.bench import program
from kit.parts import ME, SLOW
from kit.screen import Screen
from kit.terminal import Terminal
from kit.wait import wait_for

ONCE = 6.0 * SLOW
FROM_USER, TO_USER = 'iifname "to-u"', 'oifname "to-u"'


class World(survive.World):
    """Where the user's ssh reaches the machine by multissh connect."""

    def __init__(self, bench, net):
        super().__init__(bench, net)
        config = self.user.config
        way = f"{program('multissh')} --hub hub --ssh-config {config} connect %n"
        config.write_text(f"Host web01\n  ProxyCommand {way}\n{config.read_text()}")
        self.words = (f"{ME}@web01",)

    def clients(self):
        """The user's ssh and multissh."""
        return [pid for pid in self.hosts["user"].pids() if "-tt" in proc.command_of(pid) or "multissh" in proc.command_of(pid).split(" ")[0]]


@pytest.fixture
def world(bench, net):
    need("ss")
    return World(bench, net)


def cut_user(world, seconds):
    return survive._cut(world, seconds, FROM_USER, TO_USER)


def cut_both(world, seconds):
    return survive._cut(world, seconds, FROM_USER, TO_USER, survive.FROM_MACHINE, survive.TO_MACHINE)


def reset_user(world, seconds):
    return survive._cut(world, seconds, f"{FROM_USER} meta l4proto tcp", f"{TO_USER} meta l4proto tcp", verdict="reject with tcp reset")


def abort_user(world, _seconds):
    began = time.monotonic()
    assert world.hosts["user"].kill_connections("dport", "=", f":{survive.HUB_PORT}") > 0
    return began, time.monotonic()


def moved_user(world, _seconds):
    """Another Wi-Fi: another address from one moment to the next."""
    began = time.monotonic()
    world.hosts["user"].readdress("eth0", "10.77.1.2/24", "10.77.1.9/24", "10.77.1.1")
    return began, time.monotonic()


def suspended_user(world, seconds):
    return survive.suspend(world.clients(), seconds)


def all_at_once(world, seconds):
    """The laptop sleeps, wakes up elsewhere, and the hub was restarted meanwhile."""
    return survive.lasting(seconds, lambda: (survive.suspend(world.clients(), 0.1), world.inet.drop(FROM_USER, TO_USER), world.hub.process.kill()),
                           lambda: (world.hub.start(), moved_user(world, 0), world.inet.undrop()))


FAULTS = {"cut_user": 5, "cut_both": 5, "reset_user": 3, "abort_user": 0, "moved_user": 0, "suspended_user": 5, "all_at_once": 5,
          "blackhole": 4, "abort_here": 0, "abort_there": 0, "rerouted": 3, "hub_killed": 2, "hub_stopped": 2}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_shell_goes_on(world, fault):
    counter = world.counter().started()
    strike = globals().get(fault) or getattr(survive, fault)
    for _ in range(2 if fault in ("cut_user", "abort_user", "hub_killed") else 1):
        began, back = strike(world, FAULTS[fault])
        counter.moves(60)
    stood = counter.stood_still(began, back)
    counter.finish()
    assert b"multissh" not in counter.stderr, counter.stderr
    assert stood <= ONCE, f"{fault}: it took {stood:.2f} s from the network's return until all was there"


@pytest.mark.slow
def test_rsync_goes_on(world):
    need("rsync")
    transfer = world.transfer(20, 10)
    transfer.middle()
    for strike, seconds in ((cut_both, 3), (abort_user, 0), (survive.hub_killed, 0), (survive.abort_there, 0)):
        strike(world, seconds)
        transfer.moves()
    transfer.finish()


@pytest.mark.slow
def test_the_line_on_the_terminal(world, bench):
    """It comes behind the cursor, counts, and goes away before anything else is shown."""
    user = world.hosts["user"]
    terminal = Terminal(bench, "ip", "netns", "exec", user.full, "ssh", *world.user.options(), "-tt", *world.words,
                        "PS1='here$ ' sh", rows=10, columns=60)
    screen, fed = Screen(10, 60), 0

    def shows(pattern, timeout=30):
        def look():
            nonlocal fed
            terminal.read(0.05)
            screen.feed(terminal.shown[fed:])
            fed = len(terminal.shown)
            return re.search(pattern, screen.text(), re.M)
        wait_for(look, timeout, lambda: f"{pattern!r} on\n{screen.text()}")

    shows(r"^here\$$")
    terminal.send("echo typed")
    shows(r"^here\$ echo typed$")
    world.inet.drop(FROM_USER, TO_USER)
    terminal.send(" more")
    shows(r"^here\$ echo typed \[web01: reconnecting \(4 s\)…\]$", 40)
    shows(r"^here\$ echo typed \[web01: reconnecting \(7 s\)…\]$", 40)
    world.inet.undrop()
    shows(r"^here\$ echo typed more$", 40)
    terminal.send("\rexit 3\r")
    assert terminal.wait() == 3
    shows(r"^typed more$")
    assert "reconnecting" not in screen.text()


@pytest.mark.slow
def test_it_says_how_it_ended(world, bench):
    """A killed session, and one that is over while the network is away."""
    counter = world.counter().started()
    listed = world.hub.command("sessions").out
    number = re.search(r"^\s*(\S+).*web01", listed, re.M).group(1)
    world.hub.command("kill", number)
    counter.over.wait(30)
    wait_for(lambda: counter.popen.poll() is not None, 30, "ssh ends")
    assert counter.popen.returncode == 255
    wait_for(lambda: re.search(rb"multissh: web01: \S+", counter.stderr), 10, lambda: counter.stderr)


@pytest.mark.slow
def test_who_hangs_up_while_it_is_cut_leaves_nothing_behind(world):
    """~. in an outage: ssh ends at once, multissh says good-bye as soon as it can, and the machine's side ends."""
    counter = world.counter().started()
    clients = world.clients()
    world.inet.drop(FROM_USER, TO_USER)
    counter.over.set()
    counter.typist.join()
    counter.popen.stdin.write(b"\r~.")
    assert counter.popen.wait(20) == 255
    world.inet.undrop()
    wait_for(lambda: not set(clients) & set(world.hosts["user"].pids()), 40, "multissh has ended")
    wait_for(lambda: "web01" not in world.hub.command("sessions").out, 20, lambda: world.hub.command("sessions").out)
