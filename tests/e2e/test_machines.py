"""Machines: invited or approved, names as leases, clones, revoke and rename."""
import re
import time

import pytest
from kit.bench import program
from kit.parts import Agent, Hub, Sshd
from kit.wait import free_port, wait_for
from kit.wire import Control, certificate_of


def nowhere():
    return f"127.0.0.1:{free_port()}"


def test_invite_prints_one_line_to_paste(hub):
    done = hub.command("invite", "web01")
    lines = [line for line in done.out.splitlines() if "join" in line]
    assert len(lines) == 1 and re.fullmatch(rf"\s*multissh-agent join {re.escape(hub.public)}/\S+\s*", lines[0]), done


def test_invited_machine_joins_remembers_and_runs_again(bench, hub, alice):
    ssh = Sshd(bench).allow(alice)
    agent = Agent(bench, hub, "web01", ssh=ssh)
    assert agent.stop() == 0
    hub.wait_offline("web01")
    agent.ssh = None  # it is remembered
    agent.run()
    hub.wait_online("web01")
    assert alice.jump("web01", "echo back").ok().out == "back\n"


def test_join_no_run(bench, hub):
    agent = Agent(bench, hub, "web01", ssh=nowhere(), start=False)
    bench.run(*agent.argv_join("--no-run"), timeout=20).ok()
    agent.run()
    hub.wait_online("web01")


def test_an_invitation_is_used_once(bench, hub):
    code = hub.invite("web01")
    Agent(bench, hub, "web01", ssh=nowhere(), target=code)
    second = Agent(bench, hub, "web02", ssh=nowhere(), target=code, wait=False)
    second.wait_log(r"invitation|token|used")
    assert set(hub.machines()) == {"web01"}


def test_an_invitation_with_uses(bench, hub):
    code = hub.invite("--uses", "2")
    for name in ("a1", "a2"):
        Agent(bench, hub, name, ssh=nowhere(), target=code)
    third = Agent(bench, hub, "a3", ssh=nowhere(), target=code, wait=False)
    third.wait_log(r"invitation|token|used")
    assert not hub.is_online("a3")


def test_an_invitation_expires(bench, hub):
    code = hub.invite("web01", "--expires", "1s")
    end = time.monotonic() + 2.1
    wait_for(lambda: time.monotonic() > end, 5)  # its lifetime is in whole seconds
    agent = Agent(bench, hub, "web01", ssh=nowhere(), target=code, wait=False)
    agent.wait_log(r"expired|invitation|token")
    assert not hub.is_online("web01")


def test_a_spoilt_code_is_named(bench, hub):
    agent = Agent(bench, hub, "web01", ssh=nowhere(), start=False)
    agent.target = hub.public + "/notacode"
    bench.run(*agent.argv_join(), timeout=20).failed().says("code|invitation")
    good = hub.invite("web01")
    agent.target = good[:-1]
    bench.run(*agent.argv_join(), timeout=20).failed().says("code|invitation")


def test_another_hub_with_the_same_address_is_not_believed(bench, hub):
    """The pin of the hub's key is in the code."""
    code = hub.invite("web01")
    hub.end()
    impostor = Hub(bench, port=hub.port)
    agent = Agent(bench, impostor, "web01", ssh=nowhere(), target=code, wait=False)
    agent.wait_log(r"pin|another hub|not the hub|fingerprint|not trusted|different")
    assert impostor.machines() == {}


def test_approval_without_an_invitation(bench, hub, alice):
    ssh = Sshd(bench).allow(alice)
    agent = Agent(bench, hub, "web01", ssh=ssh, invite=False, wait=False)
    agent.wait_log(r"approv")
    assert "approve" in agent.log() and "web01" in agent.log(), "it says what the admin has to type"
    assert not hub.is_online("web01")
    alice.jump("web01", "true").failed(255)
    wrong = "SHA256:" + "A" * 43
    hub.command("approve", "web01", wrong, check=False).failed(1)
    fingerprint = bench.run(program("multissh-agent"), "--state", agent.state, "fingerprint").ok().out.strip()
    assert fingerprint in agent.log()
    hub.command("approve", "web01", fingerprint)
    hub.wait_online("web01")
    assert alice.jump("web01", "echo approved").ok().out == "approved\n"


def test_the_hub_shows_who_waits(bench, hub):
    agent = Agent(bench, hub, "web01", ssh=nowhere(), invite=False, wait=False)
    agent.wait_log(r"approv")
    hub.wait_log(r"web01.*SHA256:|SHA256:.*web01")
    text = hub.command("list", "-l").out
    assert "web01" in text and "SHA256:" in text and re.search("approv|pending|wait", text), text


def test_pending_machines_are_capped(bench):
    hub = Hub(bench, "--pending-max", "2")
    waiting = [Control(bench, hub, f"p{n}").hello() for n in range(2)]
    for one in waiting:
        assert one.receive()["type"] == "held"
    refused = Control(bench, hub, "p3").hello().receive()
    assert (refused["type"], refused["code"]) == ("refused", "full")


def test_pending_machines_expire(bench):
    hub = Hub(bench, "--pending-expires", "2s")
    one = Control(bench, hub, "p1").hello()
    assert one.receive()["type"] == "held"
    assert one.closed(15)
    assert hub.machines() == {}


@pytest.mark.parametrize("name", ["-web", "web_", "a" * 64, "web.01", "wéb", "", "a b"])
def test_names_that_cannot_be(hub, name):
    hub.command("invite", name, check=False).failed()


def test_the_same_key_takes_over_at_once(bench, hub, alice):
    """A machine whose old connection hangs comes back: no waiting for a timeout."""
    code = hub.invite("raw01")
    old = Control(bench, hub, "raw01", code).welcomed()
    new = Control(bench, hub, "raw01", cert=(old.cert, old.fingerprint))
    # A new start of the agent, the old one answers no more.
    new.hello()
    assert new.receive()["type"] == "welcome"
    assert old.receive("bye")["code"] == "replaced"
    assert old.closed(5)
    assert hub.is_online("raw01")


def test_another_key_is_refused_and_told_so(bench, hub):
    Agent(bench, hub, "web01", ssh=nowhere())
    other = Control(bench, hub, "web01", hub.invite())
    answer = other.hello().receive()
    assert answer["type"] == "refused" and answer["code"] == "name-taken", answer
    assert "web01" in answer["reason"]
    assert hub.is_online("web01")


def test_an_invitation_for_the_name_moves_the_lease(bench, hub, alice):
    """The machine was reinstalled: its key is gone."""
    ssh = Sshd(bench).allow(alice)
    old = Agent(bench, hub, "web01", ssh=nowhere())
    new = Agent(bench, hub, "web01", ssh=ssh, target=hub.invite("web01"), wait=False)
    new.wait_log("welcome|joined|online|connected")
    wait_for(lambda: alice.jump("web01", "echo moved").out == "moved\n", 15, "the name belongs to the new one")
    # The old key has lost the name, also after a restart.
    old.stop()
    mark = new.mark()
    old.run()
    old.wait_log("taken|held|approv|refused|another")
    assert alice.jump("web01", "echo still").ok().out == "still\n"
    assert "replaced" not in new.log(mark)


def test_a_clone_is_held_back_and_shown(bench, hub, alice):
    """An image with the key was copied: the copy that comes later takes over once, the one that comes back is held, with no ping-pong."""
    ssh = Sshd(bench).allow(alice)
    agent = Agent(bench, hub, "web01", ssh=ssh)
    agent.stop()
    first = Control(bench, hub, "web01", cert=certificate_of(agent)).welcomed()
    agent.run()
    assert first.receive("bye")["code"] == "replaced"
    hub.wait_online("web01")
    mark = agent.mark()
    answer = first.connect().hello().receive()
    assert answer["type"] == "held" and re.search("clone|another|same key", answer["reason"], re.I), answer
    assert answer["fingerprint"] == first.fingerprint
    for words in (["why", "web01"], ["list", "-l"]):
        assert re.search("clone|another instance", hub.command(*words).out, re.I), words
    assert alice.jump("web01", "echo works").ok().out == "works\n"
    assert "replaced" not in agent.log(mark), "the one in force was not disturbed"
    # When that one goes, the held one may come.
    agent.stop()
    wait_for(lambda: not hub.is_online("web01"), 10)
    assert first.connect().hello().receive()["type"] == "welcome"


def test_an_instance_that_returns_when_its_replacement_is_dead(bench, hub):
    """… is no clone: the other one does not answer."""
    code = hub.invite("raw01")
    first = Control(bench, hub, "raw01", code).welcomed()
    second = Control(bench, hub, "raw01", cert=(first.cert, first.fingerprint)).welcomed()
    assert first.receive("bye")["code"] == "replaced"
    answer = first.connect().hello().receive("welcome", "held", timeout=20)
    assert answer["type"] == "welcome", "the second one, mute, was asked and gave no answer"
    assert second.closed(5)


def test_revoke(bench, web01, alice, hub):
    session = alice.jump_popen("web01", "echo up; cat")
    assert session.stdout.readline() == b"up\n"
    hub.command("revoke", "web01")
    assert session.wait(15) == 255, "its sessions end"
    wait_for(lambda: "web01" not in hub.machines() or not hub.is_online("web01"), 10)
    web01.wait_log("revoked|approv")
    alice.jump("web01", "true").failed(255)
    hub.command("revoke", "web01", check=False).failed(1)
    # Another machine may have the name now.
    again = Agent(bench, hub, "web01", ssh=web01.sshd, state=bench.folder("fresh"), target=hub.invite("web01"))
    assert again and alice.jump("web01", "echo new").ok().out == "new\n"


def test_rename(bench, web01, alice, hub):
    session = alice.jump_popen("web01", "echo up; cat")
    assert session.stdout.readline() == b"up\n"
    hub.command("rename", "web01", "db01")
    hub.wait_online("db01")
    assert alice.jump("db01", "echo renamed").ok().out == "renamed\n"
    alice.jump("web01", "true").failed(255)
    session.stdin.write(b"lives\n")
    assert session.stdout.readline() == b"lives\n"
    web01.stop()
    web01.ssh = None
    web01.run()
    hub.wait_online("db01")
    hub.command("rename", "nosuch", "x1", check=False).failed(1)
    Agent(bench, hub, "other", ssh=nowhere())
    hub.command("rename", "other", "db01", check=False).failed(1)


def test_machines_survive_a_restart_of_the_hub(web01, alice, hub):
    hub.restart()
    hub.wait_online("web01", 20)
    assert alice.jump("web01", "echo again").ok().out == "again\n"


def test_machines_max(bench):
    hub = Hub(bench, "--machines-max", "2")
    for name in ("m1", "m2"):
        Control(bench, hub, name, hub.invite(name)).welcomed()
    answer = Control(bench, hub, "m3", hub.invite("m3")).hello().receive()
    assert (answer["type"], answer["code"]) == ("refused", "full"), answer


def test_agent_without_a_hub_says_so(bench):
    done = bench.run(program("multissh-agent"), "--state", bench.folder("agent"), "run", timeout=10).failed()
    assert "join" in done.err, done


def test_the_agents_key_is_private(web01):
    keys = [p for p in web01.state.iterdir() if "key" in p.name and p.suffix != ".pub"]
    assert keys
    for path in keys:
        assert path.stat().st_mode & 0o077 == 0, path
