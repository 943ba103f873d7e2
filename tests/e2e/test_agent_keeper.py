"""Sessions outlive the agent: stopped, killed, restarted, upgraded; and end when they are to end."""
import os
import re
import signal
import subprocess

import pytest
from kit import proc
from kit.bench import program
from kit.parts import ME, SLOW, Agent, User
from kit.wait import wait_for

pytestmark = pytest.mark.usefixtures("web01")
MB = 50


class Shell:
    """A conversation with a shell on the machine."""

    def __init__(self, user, machine):
        self.popen = user.jump_popen(machine, "echo ready; while read -r line; do echo \"heard $line\"; done; echo over")
        assert self.popen.stdout.readline() == b"ready\n", self.popen.stderr.read()
        self.said = 0

    def talk(self):
        self.said += 1
        self.popen.stdin.write(b"%d\n" % self.said)
        assert self.popen.stdout.readline() == b"heard %d\n" % self.said, self.popen.stderr.read()

    def leave(self):
        self.popen.stdin.close()
        assert self.popen.stdout.read() == b"over\n"
        assert self.popen.wait(30) == 0

    def ended(self, timeout=30):
        """It ends by itself: its status and what was said."""
        out, err = self.popen.stdout.read(), self.popen.stderr.read().decode()
        status = self.popen.wait(timeout * SLOW)
        return status, out, err


def rows(agent):
    """What `multissh-agent sessions` shows: (user, state, stream) each."""
    lines = agent.command("sessions").out.splitlines()
    if lines == ["no sessions"]:
        return []
    assert lines[0].split() == ["USER", "FROM", "SINCE", "STATE", "STREAM"]
    return [(line.split()[0], line.split()[-2], line.split()[-1]) for line in lines[1:]]


def gone(*pids):
    wait_for(lambda: not any(proc.command_of(pid) for pid in pids), 30, lambda: f"gone: {[(pid, proc.command_of(pid)) for pid in pids]}")


def transfer(user, machine):
    return user.popen("-J", "hub", f"{ME}@{machine}", f"head -c {MB << 20} /dev/zero")


def count_bytes(popen, until=None):
    total = 0
    while until is None or total < until:
        data = popen.stdout.read(65536)
        if not data:
            break
        assert data.count(0) == len(data)
        total += len(data)
    return total


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_sessions_go_on(hub, alice, admin, web01, number):
    shell = Shell(alice, "web01")
    shell.talk()
    moving = transfer(alice, "web01")
    half = count_bytes(moving, MB << 19)  # the rest waits: the pipe is full
    keeper, = web01.keepers()
    web01.process.stop(number=number)
    hub.wait_offline("web01")
    shell.talk()
    assert {row[:2] for row in rows(web01)} == {("alice", "open")} and len(rows(web01)) == 2
    web01.run()
    hub.wait_online("web01")
    web01.wait_log(rf"took over 2 sessions of an earlier agent \(process {keeper},")
    shell.talk()
    assert half + count_bytes(moving) == MB << 20 and moving.wait(30) == 0
    # A new one beside the old one, in a keeper of the new agent's own.
    other = Shell(alice, "web01")
    other.talk()
    assert len(web01.keepers()) == 2 and len(rows(web01)) == 2
    shell.talk()
    shell.leave()
    gone(keeper)
    other.talk()
    other.leave()
    wait_for(lambda: rows(web01) == [], 20, "no sessions")
    assert len(web01.keepers()) == 1, "the agent's own waits for the next one"


def test_an_agent_that_is_killed_again_and_again(hub, alice, web01):
    shell = Shell(alice, "web01")
    for _ in range(4):
        web01.process.kill()
        web01.run()
        shell.talk()
    hub.wait_online("web01")
    shell.talk()
    assert len(web01.keepers()) == 1 and len(rows(web01)) == 1
    shell.leave()
    wait_for(lambda: not web01.keepers(), 20, "the keeper of a dead agent ends with its last session")


def test_a_session_is_ended_from_the_hub_by_way_of_the_next_agent(hub, alice, admin, web01):
    shell = Shell(alice, "web01")
    keeper, = web01.keepers()
    web01.process.kill()
    web01.run()
    hub.wait_online("web01")
    web01.wait_log("took over 1 session ")
    out = admin.hub_says("sessions").ok().out
    number = re.search(r"^\s*(\d+)\s", out, re.M).group(1)
    admin.hub_says("kill", number).ok()
    status, out, err = shell.ended()
    assert status == 255 and b"over" not in out
    gone(keeper)
    web01.wait_log("alice from 127.0.0.1: session ended")
    assert rows(web01) == []


def test_sessions_of_all_agents_count(bench, hub, alice, web01):
    first = Shell(alice, "web01")
    web01.stop()
    web01.run("--sessions-max", "2")
    hub.wait_online("web01")
    web01.wait_log("took over 1 session ")
    second = Shell(alice, "web01")
    alice.jump("web01", "true").failed(255).says("as many sessions as its agent takes")
    first.leave()
    wait_for(lambda: len(rows(web01)) == 1, 20, "one is left")
    third = Shell(alice, "web01")
    for shell in (second, third):
        shell.talk()
        shell.leave()


def test_a_keeper_that_dies(hub, alice, web01):
    shell = Shell(alice, "web01")
    keeper, = web01.keepers()
    os.kill(keeper, signal.SIGKILL)
    status, _, err = shell.ended()
    assert status == 255
    web01.wait_log(rf"the keeper of sessions \(process {keeper}\) has died, and 1 session with it")
    assert alice.jump("web01", "echo again").ok().out == "again\n"
    assert web01.keepers() != [keeper]
    assert "died" in err, err


def test_a_keeper_that_dies_while_no_agent_is_there(hub, alice, web01):
    Shell(alice, "web01")
    keeper, = web01.keepers()
    web01.process.kill()
    os.kill(keeper, signal.SIGKILL)
    gone(keeper)
    assert web01.command("sessions").out == "no sessions\n"
    web01.run()
    hub.wait_online("web01")
    assert os.listdir(web01.state / "sessions") == []
    assert alice.jump("web01", "echo again").ok().out == "again\n"


@pytest.mark.parametrize("how", ["ctrl-c", "stop --all", "stop --all, of a dead one"])
def test_everything_ends(hub, alice, web01, how):
    shell = Shell(alice, "web01")
    web01.stop()
    web01.run()
    hub.wait_online("web01")
    other = Shell(alice, "web01")
    keepers = web01.keepers()
    assert len(keepers) == 2
    agent = web01.process.pid
    if how == "ctrl-c":
        assert web01.process.stop(number=signal.SIGINT) == 0
        assert "2 sessions end with it" in web01.log()
    elif how == "stop --all":
        assert web01.command("stop", "--all").out == f"stopped the agent (process {agent}); 2 sessions ended\n"
        assert web01.process.popen.wait(10) == 0
    else:
        web01.process.kill()
        assert web01.command("stop", "--all").out == "no agent was running; 2 sessions ended\n"
    for session in (shell, other):
        status, _, _ = session.ended()
        assert status == 255
    gone(*keepers)
    assert os.listdir(web01.state / "sessions") == []


def test_stop_leaves_the_sessions(hub, alice, web01):
    shell = Shell(alice, "web01")
    pid = web01.process.pid
    assert web01.command("stop").out == f"stopped the agent (process {pid}); 1 session goes on without it\n"
    assert web01.process.popen.wait(10) == 0
    assert web01.command("stop").out == "no agent was running; 1 session goes on without it\n"
    shell.talk()
    shell.leave()
    wait_for(lambda: not web01.keepers(), 20, "the keeper ends with its last session")


def test_sessions_without_an_agent_end_some_time(hub, alice, web01):
    web01.stop()
    web01.run("--orphan-patience", "1s")
    hub.wait_online("web01")
    shell = Shell(alice, "web01")
    keepers = web01.keepers()
    web01.process.kill()
    status, _, err = shell.ended()
    assert status == 255
    gone(*keepers)


def test_the_built_in_server_goes_on(bench, hub, alice):
    from test_builtin import Builtin

    machine = Builtin(bench, hub, "nas", [alice])
    machine.wait_ssh("built-in", "ok")
    shell = Shell(alice, "nas")
    shell.talk()
    servers = machine.processes()
    assert len(servers) == 1
    machine.process.kill()
    machine.run()
    hub.wait_online("nas")
    shell.talk()
    assert machine.processes() == servers
    shell.leave()
    gone(*servers)


def test_a_terminal_is_let_go(bench, hub, alice, web01):
    """Who reads what the agent writes is not kept waiting by sessions that go on."""
    web01.stop()
    popen = subprocess.Popen([program("multissh-agent"), "--state", web01.state, "--ssh", web01.ssh, "run"], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=bench.env())
    bench.closers.append(lambda: (popen.kill(), popen.wait(), popen.stdout.close()))
    hub.wait_online("web01")
    shell = Shell(alice, "web01")
    popen.terminate()
    text, _ = popen.communicate(timeout=30)
    assert b"1 session goes on without it" in text
    shell.talk()
    shell.leave()


def test_wrong_words(bench, web01, tmp_path):
    assert web01.command("stop", "now", check=False).failed(2)
    assert web01.command("run", "--all", check=False).failed(2).says("--all: this is for stop")
    for words in (["sessions"], ["stop"], ["stop", "--all"]):
        bench.run(program("multissh-agent"), "--state", tmp_path / "none", *words).failed(1).says("choose another with --state")
    assert not (tmp_path / "none").exists()
