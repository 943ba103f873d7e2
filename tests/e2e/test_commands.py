"""The commands: over ssh, and on the hub's own socket."""
import json
import os
import re
import signal
import subprocess

import pytest
from kit.bench import program
from kit.parts import ME, Agent, Hub, Sshd, User, public_key
from kit.wait import free_port, wait_for

MESSAGE = "This is a message from the remoteServer. Here are all available localServers:"


@pytest.fixture
def fleet(bench, hub, alice):
    """localServer1 and localServer2 online, without an SSH server worth the name; gone01 offline."""
    for name in ("localServer2", "localServer1", "gone01"):
        agent = Agent(bench, hub, name, ssh=f"127.0.0.1:{free_port()}", command_flags=["--ssh-mode", "openssh"])
    agent.stop()
    hub.wait_offline("gone01")
    return hub


def test_bare_ssh_prints_the_message_and_the_names(fleet, alice):
    done = alice.hub_says().ok()
    assert done.out == f"{MESSAGE}\nlocalServer1\nlocalServer2\n"


def test_bare_ssh_with_no_machine(hub, alice):
    assert alice.hub_says().ok().out == f"{MESSAGE}\n"


def test_the_message_is_an_option(bench):
    hub = Hub(bench, "--message", "Welcome to the farm:")
    user = User(bench).knows(hub)
    hub.add_user(user)
    assert user.hub_says().ok().out == "Welcome to the farm:\n"


def test_with_a_terminal_lines_end_in_cr_lf(fleet, alice):
    done = alice.ssh("-tt", "hub", input=b"").ok()
    assert done.out == f"{MESSAGE}\r\nlocalServer1\r\nlocalServer2\r\n"


def test_list(fleet, alice):
    assert alice.hub_says("list").ok().out == "localServer1\nlocalServer2\n"
    assert alice.hub_says("list", "'*1'").ok().out == "localServer1\n"
    assert "gone01" in alice.hub_says("list", "-a").ok().out.split()
    rows = json.loads(alice.hub_says("list", "--json").ok().out)
    assert [row["name"] for row in rows] == ["gone01", "localServer1", "localServer2"]
    assert [row["online"] for row in rows] == [False, True, True]
    table = alice.hub_says("list", "-l").ok().out
    for name, state in (("gone01", "offline"), ("localServer1", "online"), ("localServer2", "online")):
        assert re.search(rf"^{name}\b.*{state}", table, re.M), table


def test_list_sorts_numbers_as_numbers(bench, hub, alice):
    for n in (10, 9, 1):
        Agent(bench, hub, f"n{n}", ssh=f"127.0.0.1:{free_port()}", wait=False)
    for n in (10, 9, 1):
        hub.wait_online(f"n{n}")
    assert alice.hub_says("list").ok().out == "n1\nn9\nn10\n"


def test_why(bench, fleet, alice):
    alice.hub_says("why", "gone01").says("offline")
    alice.hub_says("why", "localServer1").says("online").says(r"SSH")
    ssh = Sshd(bench).allow(alice)
    Agent(bench, fleet, "good", ssh=ssh)
    done = alice.hub_says("why", "good").ok()
    assert "online" in done.out


def test_why_names_the_missing_ssh_server(fleet, alice):
    alice.hub_says("why", "localServer2").says(r"no SSH server|refused|does not answer|not running")


def test_known_hosts_is_what_the_machine_really_has(web01, alice, hub):
    done = alice.hub_says("known-hosts", "web01").ok()
    key = public_key(web01.sshd.host_key)
    assert key in done.out, done
    for name in ("web01", f"web01.{hub.domain}"):
        assert re.search(rf"^(\S+,)?{re.escape(name)}[, ]", done.out, re.M), done
    assert alice.hub_says("known-hosts").ok().out == done.out


def home_config(alice, hub, bench, *flags):
    """A fresh ~/.ssh/config made as the README says; returns the ssh command that uses it. No StrictHostKeyChecking of ours for the machines."""
    block = alice.hub_says("config", *flags).ok().out
    assert block.startswith("\n"), "a file that does not end in a newline must not be spoilt"
    config = bench.path(f"config.{bench.number()}")
    config.write_text(f"Host {hub.address}\n  StrictHostKeyChecking accept-new\n  UserKnownHostsFile {bench.home()}/hub_known\n"
                      f"Host *\n  IdentityFile {alice.key}\n  IdentitiesOnly yes\n  IdentityAgent none\n  BatchMode yes\n"
                      f"  GlobalKnownHostsFile /dev/null\n  User alice" + block)
    return block, ["ssh", "-F", str(config)]


@pytest.fixture
def user_is_me(bench, hub, web01):
    """~ in ssh_config is the home of the password database, not $HOME: the paths in the block are rewritten to the test's own folder."""
    def rewrite(command, block):
        path = command[2]
        with open(path, encoding="utf-8") as file:
            text = file.read()
        text = text.replace("~/.ssh/", f"{bench.home()}/")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return command
    return rewrite


def test_config_needs_no_j_and_asks_nothing(web01, alice, hub, bench, user_is_me):
    block, command = home_config(alice, hub, bench)
    assert re.search(rf"^Host \*\.{re.escape(hub.domain)} !", block, re.M), block
    assert "accept-new" in block and "UserKnownHostsFile" in block
    command = user_is_me(command, block)
    done = bench.run(*command, f"{ME}@web01.{hub.domain}", "echo no J").ok()
    assert done.out == "no J\n"
    # The first key is pinned: another one is caught.
    web01.sshd.stop()
    other = Sshd(bench, port=web01.sshd.port).allow(alice)
    assert public_key(other.host_key) != public_key(web01.sshd.host_key)
    done = bench.run(*command, f"{ME}@web01.{hub.domain}", "echo fooled").failed(255)
    assert "fooled" not in done.out and re.search("REMOTE HOST IDENTIFICATION HAS CHANGED|Host key verification failed", done.err), done


def test_config_two_machines_never_clash(web01, alice, hub, bench, user_is_me):
    Agent(bench, hub, "web02", ssh=Sshd(bench).allow(alice))
    block, command = home_config(alice, hub, bench)
    command = user_is_me(command, block)
    for name in ("web01", "web02", "web01", "web02"):
        done = bench.run(*command, f"{ME}@{name}.{hub.domain}", "echo", name).ok()
        assert done.out == f"{name}\n" and "CHANGED" not in done.err


def test_config_trust_hub(web01, alice, hub, bench, user_is_me):
    block, command = home_config(alice, hub, bench, "--trust-hub")
    assert re.search(r"^\s*IgnoreUnknown .*KnownHostsCommand", block, re.M), block
    assert re.search(r"^\s*KnownHostsCommand /", block, re.M), f"the path must be absolute: {block}"
    # The KnownHostsCommand runs ssh without -F: give it this test's file, as ~/.ssh/config would be.
    command = user_is_me(command, block)
    path = command[2]
    with open(path, encoding="utf-8") as file:
        text = file.read()
    text = re.sub(r"(KnownHostsCommand /\S*ssh)\b", rf"\1 -F {path}", text)
    text = re.sub(r"(StrictHostKeyChecking) accept-new(?=[\s\S]*KnownHostsCommand)", r"\1 accept-new", text)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    done = bench.run(*command, f"{ME}@web01.{hub.domain}", "echo trusted", timeout=30).ok()
    assert done.out == "trusted\n"
    # The hub is the authority: after a change of the machine's key that its agent has reported, no question and no error.
    web01.sshd.stop()
    wait_for(lambda: re.search("agent's own", alice.hub_says("why", "web01").out), 30, "the agent sees that it is gone")
    other = Sshd(bench, port=web01.sshd.port).allow(alice)
    wait_for(lambda: public_key(other.host_key) in alice.hub_says("known-hosts", "web01").out, 30, "the agent reports the new key")
    done = bench.run(*command, f"{ME}@web01.{hub.domain}", "echo trusted again", timeout=30).ok()
    assert done.out == "trusted again\n"


def test_whoami(alice, hub):
    done = alice.hub_says("whoami").ok()
    fingerprint = subprocess.run(["ssh-keygen", "-lf", alice.key], capture_output=True, text=True, check=True).stdout.split()[1]
    assert "alice" in done.out and fingerprint in done.out and "*" in done.out


def test_help_lists_what_one_may_give(alice, admin):
    plain, full = alice.hub_says("help").ok().out, admin.hub_says("help").ok().out
    for word in ("list", "why", "known-hosts", "config", "whoami"):
        assert word in plain and word in full
    for word in ("invite", "approve", "revoke", "rename", "sessions", "kill", "log"):
        assert re.search(rf"^\s*{word}\b", full, re.M), f"{word}: {full}"
        assert not re.search(rf"^\s*{word}\b", plain, re.M), f"{word}: {plain}"


@pytest.mark.parametrize("word", ["frobnicate", "list --frob", "why"])
def test_usage_errors_exit_2(alice, word):
    done = alice.hub_says(*word.split()).failed(2)
    assert done.err.strip() and done.out == ""


def test_unknown_command_names_the_known_ones(alice, hub):
    done = alice.hub_says("frobnicate").failed(2)
    for word in ("list", "why", "whoami", "help"):
        assert word in done.err
    done = hub.command("frobnicate", check=False).failed(2)
    assert "list" in done.err


@pytest.mark.parametrize("word", ["invite", "approve x SHA256:x", "revoke web01", "rename web01 web02", "sessions", "kill 1", "log"])
def test_admin_commands_need_an_admin(web01, alice, hub, word):
    before = hub.machines()["web01"]["name"]
    done = alice.hub_says(*word.split())
    assert done.status in (1, 2) and done.out == "", done
    assert hub.machines()["web01"]["name"] == before


def test_admin_commands(bench, web01, alice, admin, hub):
    line = admin.hub_says("invite", "web07").ok().out
    code = re.search(r"join (\S+)", line).group(1)
    Agent(bench, hub, "web07", target=code, ssh=f"127.0.0.1:{free_port()}")
    session = alice.jump_popen("web01", "echo up; cat")
    assert session.stdout.readline() == b"up\n"
    sessions = admin.hub_says("sessions").ok().out
    row = next(line for line in sessions.splitlines() if "alice" in line and "web01" in line)
    number = re.search(r"\d+", row).group(0)
    admin.hub_says("kill", number).ok()
    assert session.wait(15) != 0
    wait_for(lambda: "alice" not in admin.hub_says("sessions").out, 10, "the killed session is gone from the list")
    admin.hub_says("kill", "999999").failed(1)
    admin.hub_says("rename", "web07", "web08").ok()
    hub.wait_online("web08")
    admin.hub_says("revoke", "web08").ok()
    wait_for(lambda: not hub.is_online("web08"), 10)
    text = admin.hub_says("log").ok().out
    for word in ("web07", "alice", "web01", "rename", "revoke", "kill"):
        assert word in text, text


def test_admin_over_ssh_can_be_switched_off(bench):
    hub = Hub(bench, "--admin-over-ssh", "no")
    user = User(bench, "boss").knows(hub)
    hub.add_user(user, "admin")
    assert user.hub_says("sessions").status != 0
    hub.command("sessions")


def test_the_local_socket_has_the_same_table(fleet, alice, admin):
    for words in (["list"], ["list", "-l"], ["why", "gone01"], ["known-hosts"], ["list", "--json"]):
        here, there = fleet.command(*words).out, admin.hub_says(*words).ok().out
        blank = re.compile(r"\d+ (s|sec|seconds?|min)( ago)?|\d+")
        assert blank.sub("#", here) == blank.sub("#", there), words
    help_here, help_there = fleet.command("help").out, admin.hub_says("help").ok().out
    for word in ("list", "why", "invite", "approve", "revoke", "rename", "sessions", "kill", "log"):
        assert word in help_here and word in help_there


def test_the_local_socket_is_private(hub):
    sockets = [p for p in hub.state.iterdir() if p.is_socket()]
    assert sockets and hub.state.stat().st_mode & 0o077 == 0
    for path in sockets:
        assert path.stat().st_mode & 0o007 == 0, path


def test_commands_without_a_hub(bench):
    done = bench.run(program("multissh-hub"), "--state", bench.folder("nohub"), "list").failed()
    assert re.search(r"not running|no hub|cannot (connect|reach)", done.err, re.I), done


def test_quotes_and_long_lines(hub, alice):
    assert alice.hub_says("list", "\"'unclosed\"").status in (0, 1, 2)
    done = alice.hub_says("list", "'\"unclosed'").failed(2)
    assert done.err.strip()
    alice.hub_says("x" * 5000).failed()
    alice.hub_says("whoami").ok()


# --- the program itself ---

def test_first_start_prints_the_next_steps(bench):
    hub = Hub(bench)
    text = hub.log()
    assert "authorized_users" in text and "invite" in text and str(hub.port) in text
    for name in ("ca.key", "tls.key", "ssh_host_ed25519_key", "secret"):
        assert (hub.state / name).stat().st_mode & 0o077 == 0, name


def test_options_check_and_help(bench):
    state = bench.folder("hub")
    out = bench.run(program("multissh-hub"), "--help").ok().out
    for name in ("--listen", "--public", "--login-grace", "--sessions-per-user"):
        assert name in out
    (state / "hub.conf").write_text("# fine\nlogin-grace = 30s\n\nno-such-option = 1\n")
    bench.run(program("multissh-hub"), "--state", state, "--check").failed().says(r"hub\.conf.*4|line 4").says("no-such-option")
    (state / "hub.conf").write_text("login-grace = never\n")
    bench.run(program("multissh-hub"), "--state", state, "--check").failed().says("login-grace")
    (state / "hub.conf").write_text("login-grace = 30s\n")
    (state / "authorized_users").write_text("bob nonsense\n")
    bench.run(program("multissh-hub"), "--state", state, "--check").failed().says(r"authorized_users.*1")
    (state / "authorized_users").write_text("# nobody\n")
    bench.run(program("multissh-hub"), "--state", state, "--check").ok()
    bench.run(program("multissh-hub"), "--login-grace", "1000000d", "--state", state, "--check").failed(2)
    bench.run(program("multissh-hub"), "--no-such-flag").failed(2)


def test_every_program_says_its_version_and_help(bench):
    for name in ("multissh-hub", "multissh-agent", "multissh-front", "multissh-relay"):
        assert re.search(r"\d+\.\d+", bench.run(program(name), "--version").ok().out)
        assert name in bench.run(program(name), "--help").ok().out


def test_a_second_hub_on_the_same_state_is_refused(hub, bench):
    done = bench.run(program("multissh-hub"), "--state", hub.state, "--listen", f"127.0.0.1:{free_port()}", timeout=10).failed()
    assert re.search(r"lock|already|running", done.err, re.I), done
    hub.command("list")


def test_a_port_in_use_is_named(hub, bench):
    done = bench.run(program("multissh-hub"), "--state", bench.folder("hub"), "--listen", f"127.0.0.1:{hub.port}", timeout=10).failed()
    assert str(hub.port) in done.err and re.search("in use", done.err, re.I), done


def test_sighup_reloads_options_and_an_error_keeps_the_old(bench):
    hub = Hub(bench, config="message = one\n")
    user = User(bench).knows(hub)
    hub.add_user(user)
    assert user.hub_says().ok().out == "one\n"
    (hub.state / "hub.conf").write_text("message = two\n")
    hub.process.send(signal.SIGHUP)
    wait_for(lambda: user.hub_says().out == "two\n", 10, "the new message")
    mark = hub.mark()
    (hub.state / "hub.conf").write_text("message = three\nlogin-grace = soon\n")
    hub.process.send(signal.SIGHUP)
    hub.wait_log(r"hub\.conf.*login-grace|login-grace.*hub\.conf", since=mark)
    assert user.hub_says().ok().out == "two\n"


def test_clean_end(bench, hub, alice):
    assert hub.process.stop() == 0
    assert not [p for p in os.listdir(hub.state) if p.endswith(".tmp")]


def test_stop_all_ends_the_sessions(web01, alice, hub):
    session = alice.jump_popen("web01", "echo up; cat")
    assert session.stdout.readline() == b"up\n"
    hub.command("stop", "--all")
    assert hub.process.popen.wait(15) == 0
    assert session.wait(15) == 255
