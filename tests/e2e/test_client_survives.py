"""Sessions through multissh outlive what happens on either side, and to the hub."""
import re
import time

import pytest
from conftest import need
from kit import survive
from kit.bench import program
from kit.parts import ME, SLOW
from kit.screen import Screen
from kit.terminal import Terminal
from kit.wait import wait_for

ONCE = 6.0 * SLOW


@pytest.fixture
def world(bench, net):
    need("ss")
    world = survive.World(bench, net, both_ends=True)
    world.struck = [world.at_user]
    return world


def cut(world):
    """Until inet.undrop."""
    world.inet.drop(*survive.from_struck(world), *survive.to_struck(world))


@pytest.mark.slow
def test_the_laptop_sleeps_and_wakes_up_elsewhere(world):
    """And the hub was restarted meanwhile. (test_survive.py has each fault alone.)"""
    counter = world.counter().started()
    began, back = survive.lasting(
        5, lambda: (survive.suspended_host(world, 0.1), cut(world), world.hub.process.kill()),
        lambda: (world.hub.start(), survive.moved(world, 0), world.inet.undrop()))
    counter.moves(60)
    stood = counter.stood_still(began, back)
    counter.finish()
    assert b"multissh" not in counter.stderr, counter.stderr
    assert stood <= ONCE, f"it took {stood:.2f} s from the network's return until all was there"


@pytest.mark.slow
def test_rsync_goes_on(world):
    need("rsync")
    user, transfer = world.hosts["user"], world.transfer(30, 10).start()
    transfer.middle()
    for strike, seconds in ((survive.blackhole, 3), (survive.abort_here, 0), (survive.hub_killed, 0), (survive.abort_there, 0)):
        # What was on its way moves on for a while: there is nothing to abort until it has come back.
        wait_for(lambda: user.run("ss", "-Htn", "state", "established", "dport", "=", f":{survive.HUB_PORT}").stdout, 30, "it is connected")
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
    cut(world)
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
    clients = world.at_user.host.pids()
    cut(world)
    counter.over.set()
    counter.typist.join()
    counter.popen.stdin.write(b"\r~.")
    assert counter.popen.wait(20) == 255
    world.inet.undrop()
    wait_for(lambda: not set(clients) & set(world.hosts["user"].pids()), 40, "multissh has ended")
    wait_for(lambda: "web01" not in world.hub.command("sessions").out, 20, lambda: world.hub.command("sessions").out)


@pytest.mark.slow
def test_a_forwarded_port_goes_on(world, bench):
    """Its sessions, and new ones, through a cut and a restarted hub; a new one that cannot be had is no harm to the others."""
    process = bench.start("forward", program("multissh"), "--hub", "hub", "--ssh-config", world.user.config, "forward", "-p", "0", "web01",
                          netns=world.hosts["user"])
    port = process.wait_log(r"is at 127\.0\.0\.1 port (\d+)").group(1)
    world.words = ("-p", port, "-o", "HostKeyAlias=web01.hub", f"{ME}@127.0.0.1")
    first = world.counter().started()
    survive.blackhole(world, 4)
    first.moves(60)
    second = world.counter().started()
    world.hub.process.kill()
    assert world.user.ssh(*world.words, "true", timeout=60).status == 255
    process.wait_log("connection 3: cannot get a ticket: .* does `ssh hub` work")
    world.hub.start()
    now = time.monotonic()
    first.moves(60, now)
    second.moves(60, now)
    first.finish()
    second.finish()
    assert process.stop() == 0
