"""The agent on Windows and the hub: joined by the line to paste, listed, back after faults of the network, by every way to the hub; and which SSH
server users reach."""
import os
import re
import signal

import pytest
from conftest import PROBE, need, setup
from kit.parts import Agent, Hub, Sshd
from kit.terminal import Terminal
from kit.wait import free_port, listening, wait_for
from kit.wine import WinAgent
from kit.wire import Tap

bench, hub, alice, winbox = setup("function")


def hello(alice, machine="winbox"):
    done = alice.jump(machine, "echo hello")
    return done.ok().out == "hello\r\n"


# --- joining ---

def test_joined_by_the_line_to_paste_and_listed(winbox, hub, alice, bench, prefix):
    row = winbox.row()
    assert (row["os"].lower().startswith("windows"), row["arch"]) == (True, "x86_64"), row
    host_key = prefix.run(bench, "multissh-sshd", "--state", prefix.windows(winbox.state / "sshd"), "--print-host-key").ok().out.strip()
    assert row["host_keys"] == [host_key] and (row["ssh"], row["host_keys_from"]) == ("built-in", "built-in"), row
    assert alice.hub_says("list").ok().out == "winbox\n"
    assert re.search(r"winbox +online +.* built-in ", alice.hub_says("list", "-l").ok().out)
    assert "windows" in alice.hub_says("why", "winbox").ok().out.lower()
    known = alice.hub_says("known-hosts", "winbox").ok().out
    file = bench.path("known-by-the-hub")
    file.write_text(known)
    done = alice.jump("winbox", "echo hello", options=["-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={file} {alice.known_hosts}"])
    assert done.ok().out == "hello\r\n"


def test_the_second_start_remembers(winbox, hub, alice):
    winbox.stop()
    hub.wait_offline("winbox")
    winbox.ssh = None
    winbox.run()
    hub.wait_online("winbox")
    winbox.wait_ssh("built-in", "ok")
    assert hello(alice)


def test_joined_without_running(bench, hub, alice, prefix):
    agent = WinAgent(bench, hub, prefix, "winbox", users=[alice], start=False)
    done = bench.run(*agent.argv_join("--no-run"), env=agent.env, timeout=30).ok()
    assert (agent.state / "agent.conf").exists(), done
    agent.run()
    hub.wait_online("winbox")


def test_a_spoilt_code_is_named(bench, hub, prefix):
    agent = WinAgent(bench, hub, prefix, "winbox", start=False)
    agent.target = hub.public + "/notacode"
    bench.run(*agent.argv_join(), env=agent.env).failed(2).says("code|invitation")


def test_an_impostor_is_not_believed(bench, hub, prefix):
    code = hub.invite("winbox")
    hub.end()
    impostor = Hub(bench, port=hub.port)
    agent = WinAgent(bench, impostor, prefix, "winbox", target=code, wait=False)
    agent.wait_log(r"pin|another hub|not the hub|fingerprint|not trusted|different", 20)
    assert impostor.machines() == {}
    agent.wait_log("built-in SSH server is there")  # Wine cannot end a program that has not begun yet


def test_approved_without_an_invitation(bench, hub, alice, prefix):
    agent = WinAgent(bench, hub, prefix, "winbox", users=[alice], invite=False, wait=False)
    agent.wait_log("approv", 20)
    hub.command("approve", "winbox", agent.fingerprint())
    agent.wait_ssh("built-in", "ok")
    assert hello(alice)


# --- the network ---

@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["in order", "killed"])
def test_back_when_the_hub_is(winbox, hub, alice, number):
    mark = winbox.mark()
    hub.process.stop(number=number)
    winbox.wait_log(r"again|retry|next try|reconnect", 20, since=mark)
    hub.start()
    hub.wait_online("winbox", 30)
    assert hello(alice)


def test_a_session_lives_through_a_new_connection_to_the_hub(winbox, hub, alice):
    """Streams outlive the control connection: what was typed meanwhile arrives."""
    session = alice.jump_popen("winbox", f"{PROBE} cat")
    session.stdin.write(b"before\n")
    assert session.stdout.readline() == b"before\n"
    hub.restart()
    session.stdin.write(b"meanwhile\n")
    hub.wait_online("winbox", 30)
    assert session.stdout.readline() == b"meanwhile\n"
    session.stdin.close()
    assert session.wait(20) == 0


@pytest.mark.parametrize("streams", ["plain", "tls"])
def test_streams(bench, hub, alice, prefix, streams):
    seen = Tap(bench, hub)
    code = hub.invite("winbox").rpartition("/")[2]
    agent = WinAgent(bench, hub, prefix, "winbox", users=[alice], target=f"127.0.0.1:{seen.port}/{code}", command_flags=["--streams", streams])
    agent.wait_ssh("built-in", "ok")
    data = bytes(range(256)) * 12000
    assert alice.jump("winbox", f"{PROBE} cat", input=data).ok().raw == data
    firsts = [first[:1] for first in seen.firsts]
    assert firsts[0] == b"\x16", "the control connection is TLS"
    assert set(firsts[1:]) == ({b"M"} if streams == "plain" else {b"\x16"}), seen.firsts


def test_through_a_proxy(bench, hub, alice, prefix):
    need("tinyproxy")
    port = free_port()
    config = bench.path("tinyproxy.conf")
    config.write_text(f"Port {port}\nListen 127.0.0.1\nTimeout 600\nMaxClients 50\nAllow 127.0.0.1\nConnectPort {hub.port}\nLogLevel Connect\n")
    proxy = bench.start("tinyproxy", "tinyproxy", "-d", "-c", config)
    wait_for(lambda: listening(port), 10)
    agent = WinAgent(bench, hub, prefix, "winbox", users=[alice], command_flags=["--proxy", f"http://127.0.0.1:{port}"])
    agent.wait_ssh("built-in", "ok")
    data = bytes(range(256)) * 8000
    assert alice.jump("winbox", f"{PROBE} cat", input=data).ok().raw == data
    assert proxy.log().count("CONNECT") >= 2, "control connection and stream"


def test_a_dead_proxy_is_named(bench, hub, prefix):
    port = free_port()
    agent = WinAgent(bench, hub, prefix, "winbox", wait=False, command_flags=["--proxy", f"http://127.0.0.1:{port}"])
    agent.wait_log(rf"proxy.*{port}", 20)
    assert not hub.is_online("winbox") and agent.process.running()
    assert re.search("refused", agent.log(), re.I), f"the reason in words: {agent.log()}"
    agent.wait_log("built-in SSH server is there")  # Wine cannot end a program that has not begun yet


# --- the end of the agent ---

def test_killed_with_its_keeper_all_of_it_ends(winbox, hub, alice, prefix):
    session = alice.jump_popen("winbox", f"{PROBE} tree 1")
    assert session.stdout.readline() == b"ready\n"
    wait_for(lambda: list(winbox.processes().values()).count("probe.exe") == 3, 20, lambda: winbox.processes())
    running = winbox.processes()
    winbox.process.kill()
    hub.wait_offline("winbox")
    for pid in [pid for pid, name in running.items() if name == "multissh-agent.exe" and pid in winbox.processes()]:
        os.kill(pid, signal.SIGKILL)
    prefix.wait_gone(running)


def test_ctrl_c_ends_it_in_order(bench, hub, alice, prefix):
    """In a console of its own, as somebody tries it out."""
    agent = WinAgent(bench, hub, prefix, "winbox", users=[alice], start=False)
    terminal = Terminal(bench, *agent.argv_join(), env=agent.env, columns=200)
    hub.wait_online("winbox", 30)
    agent.wait_ssh("built-in", "ok")
    running = agent.processes()
    assert "multissh-agent.exe" in running.values(), running
    terminal.send("\x03")
    assert terminal.wait(20) == 0, terminal.shown
    hub.wait_offline("winbox", 5)
    assert re.search(r"signal|stopped|shut|ended|bye|on purpose|console", hub.command("why", "winbox").out, re.I)
    prefix.wait_gone(running)


# --- which SSH server ---

def test_the_machines_own_server_comes_first(bench, hub, alice, prefix):
    port = free_port()
    own = Sshd(bench, port=port).allow(alice)
    agent = WinAgent(bench, hub, prefix, "winbox", ssh=f"127.0.0.1:{port}", users=[alice])
    agent.wait_ssh("openssh", "ok")
    assert alice.jump("winbox", "uname").ok().out == "Linux\n", "sshd of this system stands for the machine's own"
    own.stop()
    agent.wait_ssh("built-in", "ok", 60)
    alice.known_hosts.unlink()
    assert hello(alice)


def test_the_machines_own_server_alone(bench, hub, alice, prefix):
    agent = WinAgent(bench, hub, prefix, "winbox", users=[alice], command_flags=["--ssh-mode", "openssh"])
    wait_for(lambda: agent.row().get("ssh_state") not in (None, "", "ok"), 20)
    done = alice.jump("winbox", "echo hello").failed(255)
    assert "hello" not in done.out


def test_without_the_built_in_servers_program_it_says_so(bench, hub, alice, prefix):
    """The agent was copied alone."""
    folder = prefix.folder("alone")
    (folder / "multissh-agent.exe").write_bytes(prefix.unix("C:\\Program Files\\multiSSH\\multissh-agent.exe").read_bytes())
    agent = WinAgent(bench, hub, prefix, "winbox", users=[alice], start=False)
    agent.process = bench.start("agent-winbox", *prefix.argv(prefix.windows(folder / "multissh-agent.exe"), *agent.words_join()), env=agent.env)
    hub.wait_online("winbox", 30)
    wait_for(lambda: "multissh-sshd, is not installed" in hub.command("why", "winbox").out, 20, lambda: hub.command("why", "winbox").out)


# --- beside a machine of another kind ---

def test_beside_a_linux_machine(winbox, bench, hub, alice):
    sshd = Sshd(bench).allow(alice)
    Agent(bench, hub, "web01", ssh=sshd)
    assert alice.hub_says("list").ok().out == "web01\nwinbox\n"
    assert alice.jump("web01", "echo hello").ok().out == "hello\n"
    assert hello(alice)
