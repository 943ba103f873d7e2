"""Sessions on Windows outlive the agent: ended by hand, by the service's stop and restart, by a new version; and end when they are to end."""
import os
import re
import shutil
import signal

import pytest
from conftest import PROBE, setup
from kit.wait import wait_for
from kit.wine import INSTALLED, WinAgent

bench, hub, alice, winbox = setup("function")


class Talk:
    """A program on the machine that says again what it hears."""

    def __init__(self, user, machine):
        self.popen = user.jump_popen(machine, f"{PROBE} cat")
        self.said = 0
        self.talk()

    def talk(self):
        self.said += 1
        self.popen.stdin.write(b"%d\n" % self.said)
        assert self.popen.stdout.readline() == b"%d\n" % self.said, self.popen.stderr.read()

    def leave(self):
        self.popen.stdin.close()
        assert self.popen.stdout.read() == b"" and self.popen.wait(30) == 0

    def ended(self):
        """By others."""
        assert self.popen.stdout.read() == b""
        return self.popen.wait(30), self.popen.stderr.read().decode()


def rows(agent):
    """What `sessions` shows: (user, state) each."""
    lines = agent.command("sessions").out.splitlines()
    return [] if lines == ["no sessions"] else [(line.split()[0], line.split()[-2]) for line in lines[1:]]


def test_sessions_go_on_without_the_agent(winbox, hub, alice, prefix):
    first = Talk(alice, "winbox")
    assert rows(winbox) == [("alice", "open")]
    winbox.process.kill()
    hub.wait_offline("winbox")
    first.talk()
    assert rows(winbox) == [("alice", "open")]
    winbox.ssh = None
    winbox.run()
    hub.wait_online("winbox")
    winbox.wait_log("took over 1 session ")
    first.talk()
    # A new one beside it, in a keeper of the new agent's own.
    winbox.wait_ssh("built-in", "ok")
    second = Talk(alice, "winbox")
    assert len(winbox.keepers()) == 2 and rows(winbox) == [("alice", "open")] * 2
    first.leave()
    wait_for(lambda: len(winbox.keepers()) == 1, 30, winbox.processes)
    second.talk()
    second.leave()
    wait_for(lambda: rows(winbox) == [], 20)


def test_ended_through_the_next_agent(winbox, hub, alice):
    talk = Talk(alice, "winbox")
    winbox.process.kill()
    winbox.ssh = None
    winbox.run()
    hub.wait_online("winbox")
    winbox.wait_log("took over 1 session ")
    number = re.search(r"^\s*(\d+)\s", hub.command("sessions").out, re.M).group(1)
    hub.command("kill", number)
    assert talk.ended()[0] == 255
    wait_for(lambda: rows(winbox) == [] and not winbox.servers(), 20, winbox.processes)


def test_stop(winbox, hub, alice, prefix):
    talk = Talk(alice, "winbox")
    assert re.search("no agent was running|stopped the agent", winbox.command("stop").out)
    hub.wait_offline("winbox")
    assert not winbox.process.running()
    talk.talk()
    done = winbox.command("stop", "--all")
    assert re.fullmatch(r"no agent was running; 1 session ended\s*", done.out), done
    assert talk.ended()[0] == 255
    wait_for(lambda: not winbox.processes(), 20, winbox.processes)
    assert winbox.keepers() == [] and rows(winbox) == []


def test_stop_of_all_with_the_agent(winbox, hub, alice):
    talks = [Talk(alice, "winbox") for _ in range(3)]
    done = winbox.command("stop", "--all")
    assert re.fullmatch(r"stopped the agent \(process \d+\); 3 sessions ended\s*", done.out), done
    assert [talk.ended()[0] for talk in talks] == [255] * 3
    wait_for(lambda: not winbox.processes(), 20, winbox.processes)
    hub.wait_offline("winbox")


def test_a_keeper_that_dies(winbox, hub, alice, prefix):
    talk = Talk(alice, "winbox")
    keeper, = [pid for pid in prefix.find("multissh-agent") if pid != winbox.process.pid]
    os.kill(keeper, signal.SIGKILL)
    assert talk.ended()[0] == 255
    wait_for(lambda: not winbox.servers(), 20, winbox.processes)
    # The next session has a new one, and what the dead one left is cleared away.
    Talk(alice, "winbox").leave()
    assert rows(winbox) == []
    wait_for(lambda: len(winbox.keepers()) == 1, 20)


def test_without_an_agent_for_too_long(bench, hub, alice, prefix):
    agent = WinAgent(bench, hub, prefix, "winbox", users=[alice], conf="orphan-patience = 1\n")
    agent.wait_ssh("built-in", "ok")
    talk = Talk(alice, "winbox")
    agent.process.kill()
    status, err = talk.ended()
    assert status == 255
    wait_for(lambda: not agent.processes(), 20, agent.processes)


# --- the service ---

@pytest.fixture
def service(bench, hub, alice, prefix):
    """WORDS... for a service that is installed, and its state folder."""
    state = prefix.folder("service")
    prefix.authorize(alice)

    def run(*words, program="multissh-agent", **options):
        given = ["--state", prefix.windows(state)] if words[0] in ("install", "sessions") else []
        verb = [] if words[0] == "sessions" else ["service"]
        return prefix.run(bench, program, *given, *verb, *words, timeout=90, **options)

    def end():
        run("remove")
        prefix.wait_gone([pid for name in ("multissh-agent", "multissh-sshd", "probe") for pid in prefix.find(name)])

    run.state, run.pids = state, lambda: prefix.find("multissh-agent")
    run.keepers = lambda: sorted((state / "sessions").glob("*.keeper"))
    bench.closers.append(end)
    run("install", hub.invite("service"), "--name", "service", "--ssh", "127.0.0.1:1").ok()
    wait_for(lambda: hub.is_online("service") and hub.machines()["service"].get("ssh_state") == "ok", 40)
    return run


def test_the_service_is_restarted(service, hub, alice):
    talk = Talk(alice, "service")
    service("restart").ok()
    hub.wait_online("service", 30)
    talk.talk()
    service("stop").ok()
    hub.wait_offline("service")
    talk.talk()
    assert "alice" in service("sessions").ok().out
    service("start").ok()
    hub.wait_online("service", 30)
    talk.talk()
    wait_for(lambda: hub.machines()["service"].get("ssh_state") == "ok", 20)
    Talk(alice, "service").leave()
    talk.leave()


def test_it_is_restarted_by_a_session_of_its_own(service, hub, alice):
    talk = Talk(alice, "service")
    done = alice.jump("service", f'"{INSTALLED}\\multissh-agent.exe" service restart& echo still here')
    assert done.status == 0 and "is restarted" in done.out and done.out.endswith("still here\r\n"), done
    hub.wait_online("service", 30)
    talk.talk()
    talk.leave()


def test_a_new_version(service, prefix, bench, hub, alice):
    """Installed from another folder: the session goes on in the old one, new ones are in the new one."""
    talk = Talk(alice, "service")
    folder = prefix.c / "Program Files" / "multiSSH 2"
    folder.mkdir()
    try:
        for name in ("multissh-agent", "multissh-sshd"):
            shutil.copy(prefix.unix(f"{INSTALLED}\\{name}.exe"), folder)
        service("install", program="C:\\Program Files\\multiSSH 2\\multissh-agent.exe").ok()
        hub.wait_online("service", 30)
        talk.talk()
        wait_for(lambda: hub.machines()["service"].get("ssh_state") == "ok", 20)
        second = Talk(alice, "service")
        assert len(service.keepers()) == 2
        talk.leave()
        second.talk()
        second.leave()
        service("remove").ok()
        prefix.wait_gone(service.pids())
    finally:
        shutil.rmtree(folder)


def test_stop_of_all_stops_the_service(service, prefix, bench, hub, alice):
    """And it stays so: to the Service Control Manager it is no failure."""
    talk = Talk(alice, "service")
    done = prefix.run(bench, "multissh-agent", "--state", prefix.windows(service.state), "stop", "--all", timeout=60).ok()
    assert re.search(r"stopped the agent \(process \d+\); 1 session ended", done.out), done
    assert talk.ended()[0] == 255
    assert "exit status 0" in service("status").failed(3).out
    prefix.wait_gone(service.pids())


def test_removed_with_its_sessions(service, prefix, hub, alice):
    talks = [Talk(alice, "service"), Talk(alice, "service")]
    done = service("remove").ok()
    assert "2 sessions ended" in done.out, done
    assert [talk.ended()[0] for talk in talks] == [255] * 2
    prefix.wait_gone([*service.pids(), *prefix.find("multissh-sshd"), *prefix.find("probe")])
    assert not service.keepers()
