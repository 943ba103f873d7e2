"""What the built-in SSH server keeps and shows about logins: message of the day, last login, utmp, wtmp, lastlog, PAM's sessions; several accounts.

MULTISSH_TEST_SERVER=openssh runs them against OpenSSH's server."""
import contextlib
import re
import struct
import time

import pytest
from conftest import root_only, worlds
from kit import builtin as kit
from kit.builtin import BuiltIn, Visitor
from kit.wait import wait_for

bench, world = worlds()
PROMPT = r"^ready> "
USER_PROCESS, DEAD_PROCESS = 7, 8


@pytest.fixture(scope="module")
def server(world):
    return kit.server(world)


@pytest.fixture
def alice(server):
    visitor = Visitor(server, "alice")
    server.world.write_home("alice", ".profile", "PS1='ready> '\n")
    server.world.write_home("alice", ".inputrc", "set enable-bracketed-paste off\n")
    yield visitor
    with contextlib.suppress(FileNotFoundError):
        server.world.path("/home/alice/.hushlogin").unlink()
    server.world.write("/etc/motd", "")


def until_prompt(visitor, **options):
    """What a login shows before the first prompt, the terminal left at it."""
    terminal = visitor.terminal(**options)
    terminal.expect(PROMPT)
    return terminal, terminal.shown


def leave(terminal):
    terminal.send("exit\r")
    assert terminal.wait() == 0


def records(world, path):
    """utmp(5): type, pid, line, user, host, time of each entry."""
    found = []
    data = world.path(path).read_bytes()
    assert len(data) % 384 == 0, "whole records only"
    for at in range(0, len(data), 384):
        kind, pid, line, _, user, host = struct.unpack_from("=hxxi32s4s32s256s", data, at)
        seconds = struct.unpack_from("=i", data, at + 340)[0]
        found.append((kind, pid, *(text.split(b"\0")[0].decode() for text in (line, user, host)), seconds))
    return found


# --- shown at the login ---

def test_message_of_the_day(alice, world):
    world.write("/etc/motd", "Today: soup.\nAnd bread.\n")
    terminal, shown = until_prompt(alice)
    assert shown.count("Today: soup.\r\nAnd bread.\r\n") == 1, shown
    leave(terminal)
    done = alice.run("echo command", options=("-tt",)).ok()
    assert "soup" not in done.out, "not for a command"
    assert alice.run("echo command").ok().out == "command\n"


def test_no_message_of_the_day_is_no_fault(alice, world):
    world.path("/etc/motd").unlink()
    leave(until_prompt(alice)[0])


def test_hushlogin(alice, world):
    world.write("/etc/motd", "Today: soup.\n")
    if world.root:
        leave(until_prompt(alice)[0])
    world.write_home("alice", ".hushlogin", "")
    terminal, shown = until_prompt(alice)
    # What PAM's own module shows is PAM's affair; it looks for the file, too.
    assert "soup" not in shown and "Last login" not in shown, shown
    leave(terminal)


@root_only
def test_last_login(alice, world):
    leave(until_prompt(alice)[0])
    before = time.time()
    terminal, shown = until_prompt(alice)
    match = re.search(r"^Last login: (.+) from 127\.0\.0\.1\r+\n", shown, re.M)
    assert match and shown.count("Last login:") == 1, shown
    then = time.mktime(time.strptime(match.group(1), "%a %b %d %H:%M:%S %Y"))
    assert before - 20 < then <= before + 1
    leave(terminal)
    assert "Last login" not in alice.run("true", options=("-tt",)).ok().out


@pytest.mark.skipif(kit.REAL, reason="options of multissh-sshd")
def test_motd_and_last_login_switched_off(alice, world, server):
    quiet = BuiltIn(world, "--motd", "no", "--last-login", "no", "--pam", "no")
    visitor = Visitor(quiet, "alice", key=alice.key)
    world.write("/etc/motd", "Today: soup.\n")
    leave(until_prompt(visitor)[0])
    terminal, shown = until_prompt(visitor)
    assert "soup" not in shown and "Last login" not in shown, shown
    leave(terminal)


# --- utmp, wtmp, lastlog ---

@root_only
def test_who_is_here_and_who_was(alice, world, server):
    terminal, _ = until_prompt(alice)
    terminal.send("tty\r")
    line = terminal.expect(r"^/dev/(pts/\d+)\r\n").group(1)
    here = [entry for entry in records(world, "/run/utmp") if entry[2] == line and entry[0] == USER_PROCESS]
    assert [(entry[3], entry[4]) for entry in here] == [("alice", "127.0.0.1")], records(world, "/run/utmp")
    assert here[0][1] in world.processes(), "its process is there"
    assert abs(here[0][5] - time.time()) < 30
    assert re.search(rf"^alice +{line} ", world.run("who", "/run/utmp").ok().out, re.M)
    came = [entry for entry in records(world, "/var/log/wtmp") if entry[2] == line and entry[0] == USER_PROCESS]
    assert came[-1][3:5] == ("alice", "127.0.0.1")
    leave(terminal)
    server.wait_idle()
    gone = [entry for entry in records(world, "/run/utmp") if entry[2] == line]
    assert [entry[0] for entry in gone] == [DEAD_PROCESS], gone
    went = [entry for entry in records(world, "/var/log/wtmp") if entry[2] == line][-1]
    assert went[0] == DEAD_PROCESS and went[5] >= came[-1][5]
    last = world.run("last", "-f", "/var/log/wtmp", "alice").ok().out
    assert re.search(rf"^alice +{line} +127\.0\.0\.1 ", last), last


@root_only
def test_lastlog(alice, world):
    leave(until_prompt(alice)[0])
    data = world.path("/var/log/lastlog").read_bytes()
    uid = world.accounts["alice"].uid
    seconds, line, host = struct.unpack_from("=i32s256s", data, uid * 292)
    assert abs(seconds - time.time()) < 30 and host.split(b"\0")[0] == b"127.0.0.1" and line.startswith(b"pts/")


@root_only
def test_records_when_the_client_is_gone(alice, world, server):
    terminal, _ = until_prompt(alice)
    terminal.popen.kill()
    server.wait_idle(15)
    assert not [entry for entry in records(world, "/run/utmp") if entry[0] == USER_PROCESS]


@root_only
def test_commands_are_not_in_the_records(alice, world):
    before = records(world, "/var/log/wtmp")
    alice.run("true").ok()
    assert records(world, "/var/log/wtmp") == before


@root_only
def test_records_that_cannot_be_written(alice, world, server):
    """The shell counts for more than its entry."""
    moved = []
    for path in ("/run/utmp", "/var/log/wtmp", "/var/log/lastlog"):
        target = world.path(path)
        target.rename(f"{target}.away")
        moved.append(target)
    try:
        leave(until_prompt(alice)[0])
    finally:
        for target in moved:
            if target.exists():
                target.unlink()
            target.with_name(target.name + ".away").rename(target)


# --- PAM ---

LOG = "/run/pam.log"


@pytest.fixture
def pam(world):
    """Modules of our own in the service's stack: one writes down what it sees, one sets a variable, one a limit."""
    world.write("/etc/pam-log.sh", f'#!/bin/sh\necho "$PAM_TYPE $PAM_SERVICE $PAM_USER ${{PAM_RHOST:--}} ${{PAM_TTY:--}} uid=$(id -u)" >>{LOG}\n', mode=0o755)
    world.write("/etc/pam-env.conf", "FROM_PAM DEFAULT=soup\n")
    world.write("/etc/pam-limits.conf", "alice hard nofile 777\nalice soft nofile 777\n")
    saved = {}
    for service in ("sshd", "multissh-sshd"):
        path = f"/etc/pam.d/{service}"
        if world.path(path).exists():
            saved[path] = world.read(path)
            world.write(path, saved[path] + "account required pam_exec.so /etc/pam-log.sh\nsession required pam_exec.so /etc/pam-log.sh\n"
                        "session required pam_env.so conffile=/etc/pam-env.conf\nsession required pam_limits.so conf=/etc/pam-limits.conf\n")
    assert saved, "there is a service to ask"
    yield lambda: world.read(LOG).splitlines() if world.path(LOG).exists() else []
    for path, text in saved.items():
        world.write(path, text)
    world.path(LOG).unlink(missing_ok=True)


def kinds(lines):
    return [line.split()[0] for line in lines]


@root_only
@pytest.mark.parametrize("options", [(), ("-tt",)])
def test_pam_opens_and_closes_a_session(alice, world, server, pam, options):
    done = alice.run("echo $FROM_PAM; ulimit -n", options=options).ok()
    assert done.out.split() == ["soup", "777"]
    server.wait_idle()
    lines = pam()
    assert kinds(lines) == ["account", "open_session", "close_session"], lines
    for line in lines:
        assert re.fullmatch(r"\w+ (sshd|multissh-sshd) alice 127\.0\.0\.1 \S+ uid=0", line), line


@root_only
@pytest.mark.skipif(kit.REAL, reason="OpenSSH's monitor keeps to the account's limit, and is ended by it")
def test_pam_limits_the_size_of_files(alice, world, server, pam):
    """The limit is the account's, whose records in larger files are the server's to write."""
    world.write("/etc/pam-limits.conf", "alice - fsize 1\n")
    done = alice.run("ulimit -f; echo more", options=("-tt",)).ok()
    assert done.out.split() == ["1", "more"]
    server.wait_idle()
    assert kinds(pam()) == ["account", "open_session", "close_session"]


@root_only
def test_pam_has_one_session_for_a_connection(alice, world, server, pam, bench):
    options = ("-o", f"ControlPath={bench.path('cm-pam')}")
    alice.run("true", options=(*options, "-o", "ControlMaster=yes", "-o", "ControlPersist=60")).ok()
    for _ in range(3):
        assert alice.run("echo $FROM_PAM", options=options).ok().out == "soup\n"
    assert kinds(pam()) == ["account", "open_session"]
    alice.run(options=(*options, "-O", "exit"))
    server.wait_idle()
    assert kinds(pam()) == ["account", "open_session", "close_session"]


@root_only
def test_pam_closes_the_session_when_the_client_is_gone(alice, server, pam):
    popen = alice.talk("echo up; sleep 1000")
    assert popen.stdout.readline() == b"up\n"
    popen.kill()
    server.wait_idle(15)
    wait_for(lambda: kinds(pam()) == ["account", "open_session", "close_session"], 15, pam)
    server.world.end_processes()


@root_only
def test_pam_refuses_the_session(alice, world, server, pam):
    for service in ("sshd", "multissh-sshd"):
        path = f"/etc/pam.d/{service}"
        if world.path(path).exists():
            world.write(path, world.read(path) + "session required pam_deny.so\n")
    done = alice.run("echo in", timeout=20)
    # OpenSSH starts the command all the same (its monitor ignores what pam_open_session says); nobody should build on that.
    if not kit.REAL:
        assert done.status == 255 and "in\n" not in done.out, done
        server.wait_log("session")


@root_only
def test_pam_words_are_shown_on_a_terminal(alice, world, pam):
    for service in ("sshd", "multissh-sshd"):
        path = f"/etc/pam.d/{service}"
        if world.path(path).exists():
            world.write(path, world.read(path) + "session optional pam_echo.so A word of PAM.\n")
    terminal, shown = until_prompt(alice)
    assert shown.count("A word of PAM.") == 1, shown
    leave(terminal)


# --- accounts ---

@root_only
def test_several_accounts(world, server):
    visitors = {name: Visitor(server, name) for name in ("alice", "bob", "root")}
    popens = {name: visitor.talk("id -un; pwd; echo $HOME $USER $SHELL; read line; touch mine; stat -c %U mine") for name, visitor in visitors.items()}
    for name, popen in popens.items():
        account = world.accounts[name]
        out, err = popen.communicate(b"\n", timeout=20)
        assert out.decode().splitlines() == [name, account.home, f"{account.home} {name} {account.shell}", name], err
    # Nobody's key is somebody else's.
    for name, visitor in visitors.items():
        for other in visitors:
            if other != name:
                done = visitor.ssh("-l", other, "box", "id")
                assert done.status == 255 and "Permission denied" in done.err, done


@root_only
def test_groups_of_the_account(world, server):
    world.account("carol", groups=("soup", "bread"))
    done = Visitor(server, "carol").run("id -Gn; id -u; id -g; cat /proc/self/status").ok()
    lines = done.out.splitlines()
    assert lines[0].split() == ["carol", "soup", "bread"], done
    uid = world.accounts["carol"].uid
    assert re.search(rf"^Uid:\t{uid}\t{uid}\t{uid}\t{uid}$", done.out, re.M), "all four ids"
    assert re.search(rf"^Gid:\t{uid}\t{uid}\t{uid}\t{uid}$", done.out, re.M)
    assert re.search(r"^CapEff:\t0+$", done.out, re.M) and re.search(r"^CapPrm:\t0+$", done.out, re.M), "no rights of root's are left"
    # A session is no sandbox: what the process that speaks SSH may not do is its own affair.
    assert re.search(r"^Seccomp:\t0$", done.out, re.M) and re.search(r"^NoNewPrivs:\t0$", done.out, re.M), done


def test_nothing_of_the_server_reaches_a_session(world, server):
    """No descriptor but 0, 1 and 2, no signal that is ignored or blocked, a plain umask, and limits as the server's."""
    name = world.login
    done = Visitor(server, name).run("ls -l /proc/self/fd; grep Sig /proc/self/status; umask; cat /proc/self/oom_score_adj").ok()
    numbers = sorted(int(number) for number in re.findall(r" (\d+) -> ", done.out))
    assert numbers == [0, 1, 2, 3], f"3 is that of ls: {done}"
    ignored = int(re.search(r"^SigIgn:\t(\w+)$", done.out, re.M)[1], 16)
    # Signals 32 and 33 are the C library's own, which posix_spawn leaves ignored.
    assert re.search(r"^SigBlk:\t0+$", done.out, re.M) and ignored & ~0x180000000 == 0, done
    assert re.search(r"^0?022$", done.out, re.M), done


def test_a_refused_login_is_in_the_log(world, server):
    """Who wanted to be whom, from where: what an operator, or a program that bars addresses, goes by."""
    stranger = Visitor(server, world.login, authorize=False, name="stranger")
    for name in (world.login, "mallory"):
        mark = server.mark()
        done = stranger.ssh("-l", name, "box", "true")
        assert done.status == 255 and "Permission denied" in done.err, done
        server.wait_idle()
        said = server.log(mark)
        assert any(name in line and "127.0.0.1" in line for line in said.splitlines()), said


def test_a_login_is_in_the_log(world, server):
    visitor = Visitor(server, world.login)
    mark = server.mark()
    visitor.run("true").ok()
    server.wait_idle()
    fingerprint = visitor.bench.run("ssh-keygen", "-lf", f"{visitor.key}.pub").ok().out.split()[1]
    assert re.search(rf"^.*{world.login}.*$", server.log(mark), re.M) and fingerprint in server.log(mark) and "127.0.0.1" in server.log(mark)
