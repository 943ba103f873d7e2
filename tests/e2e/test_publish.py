"""Stock OpenSSH in the agent's place: ssh -N -R web01:22:localhost:22 hub."""
import re

import pytest
from conftest import need
from kit.parts import Agent, Sshd, User
from kit.wait import free_port, wait_for


@pytest.fixture
def nas(bench, hub):
    """A user who may publish, and nothing else."""
    user = User(bench, "nas").knows(hub)
    hub.add_user(user, 'publish="nas,nas-*"')
    return user


def publish(user, name, port, *more):
    return user.start_ssh("-N", "-o", "ExitOnForwardFailure=yes", *more, "-R", f"{name}:22:127.0.0.1:{port}", "hub")


def test_published_listed_and_reached(nas, alice, hub, sshd):
    sshd.allow(alice)
    publish(nas, "nas", sshd.port)
    hub.wait_online("nas")
    assert alice.hub_says("list").ok().out == "nas\n"
    assert "nas" in alice.hub_says("list", "-l").ok().out
    done = alice.jump("nas", "cat; echo end; exit 9", input=b"x" * 3000000)
    assert done.status == 9 and done.raw == b"x" * 3000000 + b"end\n"


def test_many_sessions_at_once(nas, alice, hub, sshd):
    sshd.allow(alice)
    publish(nas, "nas", sshd.port)
    hub.wait_online("nas")
    sessions = [alice.jump_popen("nas", f"echo {n}; cat") for n in range(8)]
    for n, session in enumerate(sessions):
        assert session.stdout.readline() == f"{n}\n".encode()


def test_a_name_that_is_not_theirs(nas, hub, alice):
    process = publish(nas, "web01", 22)
    assert process.popen.wait(20) != 0
    assert re.search(r"web01|publish|may not|forward", process.log()), process.log()
    assert hub.machines() == {}
    process = publish(alice, "nas", 22)
    assert process.popen.wait(20) != 0, "alice has no publish="


def test_a_name_that_an_agent_holds(bench, hub, nas):
    Agent(bench, hub, "nas", ssh=f"127.0.0.1:{free_port()}")
    process = publish(nas, "nas", 22)
    assert process.popen.wait(20) != 0
    assert hub.is_online("nas")


def test_taken_over_at_once_by_the_same_user(nas, alice, hub, bench):
    first, second = Sshd(bench).allow(alice), Sshd(bench).allow(alice)
    publish(nas, "nas", first.port)
    hub.wait_online("nas")
    publish(nas, "nas", second.port)
    wait_for(lambda: alice.jump("nas", "echo $SSH_CONNECTION").out.split()[3:4] == [str(second.port)], 15)
    assert hub.is_online("nas")


def test_offline_when_the_publisher_goes(nas, alice, hub, sshd):
    process = publish(nas, "nas", sshd.port)
    hub.wait_online("nas")
    process.stop()
    hub.wait_offline("nas")
    alice.jump("nas", "true").failed(255).says("nas is offline")


def test_the_published_service_is_not_there(nas, alice, hub):
    publish(nas, "nas", free_port())
    hub.wait_online("nas")
    done = alice.jump("nas", "true", timeout=30).failed(255)
    assert re.search(r"nas", done.err) and re.search(r"SSH|refused|connect", done.err), done


def test_several_names_and_cancel(nas, alice, hub, sshd, bench):
    sshd.allow(alice)
    path = bench.path("master")
    nas.start_ssh("-N", "-M", "-o", f"ControlPath={path}", "-R", f"nas-1:22:127.0.0.1:{sshd.port}", "-R", f"nas-2:22:127.0.0.1:{sshd.port}", "hub")
    hub.wait_online("nas-1")
    hub.wait_online("nas-2")
    nas.ssh("-o", f"ControlPath={path}", "-O", "cancel", "-R", f"nas-1:22:127.0.0.1:{sshd.port}", "hub")
    hub.wait_offline("nas-1")
    assert alice.jump("nas-2", "echo two").ok().out == "two\n"


def test_other_ports_are_refused(nas, hub, sshd):
    process = nas.start_ssh("-N", "-o", "ExitOnForwardFailure=yes", "-R", f"nas:80:127.0.0.1:{sshd.port}", "hub")
    assert process.popen.wait(20) != 0
    process = nas.start_ssh("-N", "-o", "ExitOnForwardFailure=yes", "-R", f"0:127.0.0.1:{sshd.port}", "hub")
    assert process.popen.wait(20) != 0
    assert hub.machines() == {}


def test_autossh(bench, nas, alice, hub, sshd):
    """autossh -M 0 brings it back, also after a restart of the hub."""
    need("autossh")
    sshd.allow(alice)
    bench.start("autossh", "autossh", "-M", "0", "-N", *nas.options(), "-o", "ExitOnForwardFailure=yes", "-o", "ServerAliveInterval=5", "-R",
                f"nas:22:127.0.0.1:{sshd.port}", "hub", env={"AUTOSSH_GATETIME": "0", "AUTOSSH_POLL": "5"})
    hub.wait_online("nas")
    assert alice.jump("nas", "echo one").ok().out == "one\n"
    hub.end()
    hub.start()
    wait_for(lambda: hub.is_online("nas"), 40, "autossh is back")
    assert alice.jump("nas", "echo two").ok().out == "two\n"
