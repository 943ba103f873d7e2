"""Commands on the Windows machine: their streams, statuses, environment, and their end with the client's."""
import array
import hashlib
import os
import random
import re
import signal
import threading

import paramiko
import pytest
from conftest import PROBE, setup
from kit.message import send
from kit.wait import wait_for
from kit.wine import ME, WinAgent
from paramiko.common import MSG_CHANNEL_REQUEST

bench, hub, alice, winbox = setup()


@pytest.fixture
def master(alice, bench, winbox):
    """One connection for many sessions."""
    path = bench.path(f"cm{bench.number()}")
    options = ("-o", f"ControlPath={path}")
    alice.jump("winbox", "exit 0", options=(*options, "-o", "ControlMaster=yes", "-o", "ControlPersist=60")).ok()
    yield options
    alice.ssh(*options, "-O", "exit", f"{ME}@winbox")


def counted(n):
    """The same as probe count."""
    return array.array("Q", range(n)).tobytes()


# --- streams ---

def test_output_and_errors_apart(winbox, alice):
    done = alice.jump("winbox", "echo out& echo err 1>&2")
    assert (done.status, done.out, done.err.strip()) == (0, "out\r\n", "err"), done


def test_many_lines_on_both_streams(winbox, alice):
    done = alice.jump("winbox", f"{PROBE} both 3000").ok()
    assert done.out == "".join(f"out {n}\n" for n in range(3000))
    assert done.err == "".join(f"err {n}\n" for n in range(3000))


def test_input_to_its_end(winbox, alice):
    data = random.Random(1).randbytes(3_000_000)
    done = alice.jump("winbox", f"{PROBE} sha256", input=data).ok()
    assert done.out == f"{hashlib.sha256(data).hexdigest()} {len(data)}\n"
    assert alice.jump("winbox", f"{PROBE} until-end", input="").ok().out == "reading\nended after 0\n"


def test_filters(winbox, alice):
    """Of Wine's own programs there are few."""
    assert alice.jump("winbox", "more", input="alpha\nbeta\n").ok().out.split() == ["alpha", "beta"]
    assert alice.jump("winbox", f"{PROBE} count 1000 | {PROBE} cat | {PROBE} sha256").ok().out.split()[0] == hashlib.sha256(counted(1000)).hexdigest()


def test_bytes_as_they_are(winbox, alice):
    data = bytes(range(256)) * 700 + b"\x1a\r\n\n\r\x04\x03\x00tail without an end of line"
    assert alice.jump("winbox", f"{PROBE} cat", input=data).ok().raw == data


def test_a_program_that_does_not_read(winbox, alice):
    assert alice.jump("winbox", "echo done& exit 3", input=b"x" * 5_000_000, timeout=30).failed(3).out == "done\r\n"


def test_a_client_that_does_not_read_holds_up_nobody_else(winbox, alice, master):
    slow = alice.popen(*master, f"{ME}@winbox", f"{PROBE} count 10000000")
    assert slow.stdout.read(8) == bytes(8)
    for number in range(3):
        assert alice.ssh(*master, f"{ME}@winbox", f"echo {number}", timeout=20).ok().out == f"{number}\r\n"
    slow.kill()


@pytest.mark.slow
def test_100_megabytes_each_way(winbox, alice):
    data = counted(13_107_200)
    done = alice.jump("winbox", f"{PROBE} cat", input=data, timeout=180).ok()
    assert len(done.raw) == len(data) and done.raw == data


# --- words ---

@pytest.mark.parametrize("command,out", [
    (PROBE + ' args one "two words" three', "[one]\n[two words]\n[three]\n"),
    (PROBE + r' args "a\\" b\"c', '[a\\]\n[b"c]\n'),
    (f'"{PROBE}" args "x"', "[x]\n"),
    (f"{PROBE} args % ^^ !", "[%]\n[^]\n[!]\n"),
    (f"{PROBE} args häßlich 日本語 😀", "[häßlich]\n[日本語]\n[😀]\n"),
], ids=["words", "quotes", "a quoted program", "marks", "letters"])
def test_words_arrive(winbox, alice, command, out):
    assert alice.jump("winbox", command).ok().out == out


def test_a_long_command(winbox, alice):
    """cmd takes 8191 characters."""
    word = "x" * 7000
    assert alice.jump("winbox", f"{PROBE} args {word}").ok().out == f"[{word}]\n"
    done = alice.jump("winbox", f"{PROBE} args {'x' * 40000}").failed()
    assert "x" * 40000 not in done.out and done.status != 255, "refused, and the connection lives"


def test_several_commands(winbox, alice):
    assert alice.jump("winbox", "echo one&& echo two& (echo three)").ok().out.split() == ["one", "two", "three"]
    assert alice.jump("winbox", "cd C:\\windows& cd").ok().out == "C:\\windows\r\n"


def test_it_begins_in_the_profile(winbox, alice, prefix):
    assert alice.jump("winbox", "cd").ok().out.strip().lower() == prefix.windows(prefix.profile).lower()


# --- statuses ---

def test_exit_statuses(winbox, alice, bench):
    """0 to 255, and the ones that only Windows has, which the protocol takes whole."""
    connection = paramiko_to(bench, alice)
    got = {}
    wanted = [*range(0, 256, 15), 1, 2, 127, 128, 254, 256, 1000, 0xC0000005, 0xC000013A, 0xFFFFFFFF]
    left = list(wanted)
    lock = threading.Lock()

    def some():
        while True:
            with lock:
                if not left:
                    return
                status = left.pop()
            channel = connection.get_transport().open_session()
            channel.exec_command(f"{PROBE} exit {status}")
            if channel.status_event.wait(60):
                got[status] = channel.recv_exit_status() & 0xFFFFFFFF
            channel.close()
    threads = [threading.Thread(target=some) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    connection.close()
    assert got == {status: status for status in wanted}


def paramiko_to(bench, alice, machine="winbox"):
    key = paramiko.Ed25519Key.from_private_key_file(str(alice.key))

    def client(**more):
        made = paramiko.SSHClient()
        made.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        made.connect(pkey=key, allow_agent=False, look_for_keys=False, timeout=20, **more)
        return made

    outer = client(hostname=alice.hub.address, port=alice.hub.port, username="alice")
    bench.closers.append(outer.close)
    channel = outer.get_transport().open_channel("direct-tcpip", (machine, 22), ("127.0.0.1", 0))
    return client(hostname=machine, username=ME, sock=channel)


def test_the_clients_see_the_status(winbox, alice):
    for status in (0, 1, 7, 255):
        assert alice.jump("winbox", f"exit {status}").status == status


def test_a_command_that_is_not_there(winbox, alice):
    done = alice.jump("winbox", "no-such-program")
    assert done.status not in (0, 255) and "no-such-program" in done.err, done


def test_a_crash_has_a_status(winbox, alice):
    assert alice.jump("winbox", f"{PROBE} exit 0xC0000005").status == 5, "the client's eight bits"


# --- the environment ---

def test_the_environment(winbox, alice, prefix):
    done = alice.jump("winbox", f"{PROBE} env", options=["-o", "SendEnv=LANG", "-o", "SetEnv=COLORTERM=truecolor"], env={"LANG": "de_DE.UTF-8"}).ok()
    have = {line.partition("=")[0].upper(): line.partition("=")[2] for line in done.out.splitlines()}
    assert have["LANG"] == "de_DE.UTF-8" and have["COLORTERM"] == "truecolor"
    profile = prefix.windows(prefix.profile).lower()
    assert (have["USERNAME"], have["USERPROFILE"].lower()) == (ME, profile)
    assert have["TEMP"].lower().startswith(profile) and "SYSTEMROOT" in have and "COMSPEC" in have and "PATH" in have
    client, port, _, _ = have["SSH_CONNECTION"].split()
    assert client == "127.0.0.1" and int(port) > 1023
    assert "SSH_TTY" not in have


def test_only_what_may_be_sent_is_taken(winbox, alice):
    done = alice.jump("winbox", f"{PROBE} env", options=["-o", "SetEnv=EVIL=1 PATH=C:\\evil LC_TIME=C"]).ok()
    assert "\nLC_TIME=C\n" in done.out and "EVIL=" not in done.out and "C:\\evil" not in done.out


# --- many at once ---

@pytest.mark.slow
def test_20_sessions_on_one_connection(winbox, alice, master, prefix):
    """All are there at once; each has its own words and its own status."""
    sessions = [alice.popen(*master, f"{ME}@winbox", f"{PROBE} cat & exit {n + 10}") for n in range(20)]
    for n, session in enumerate(sessions):
        session.stdin.write(f"{n}\n".encode())
    for n, session in enumerate(sessions):
        assert session.stdout.readline() == f"{n}\n".encode()
    assert list(winbox.processes().values()).count("probe.exe") == 20
    for n, session in enumerate(sessions):
        session.stdin.write(b"x" * 100000)
        session.stdin.close()
        assert session.stdout.read() == b"x" * 100000
        assert session.wait(20) == n + 10


@pytest.mark.slow
def test_20_connections(winbox, alice, prefix):
    sessions = [alice.jump_popen("winbox", f"{PROBE} cat & exit {n + 10}") for n in range(20)]
    for n, session in enumerate(sessions):
        session.stdin.write(f"{n}\n".encode())
    for n, session in enumerate(sessions):
        assert session.stdout.readline() == f"{n}\n".encode(), session.stderr.read() if session.poll() is not None else n
    assert len(winbox.servers()) == 20
    for n, session in enumerate(sessions):
        session.stdin.close()
        assert session.wait(30) == n + 10
    wait_for(lambda: not winbox.servers(), 20, lambda: f"the servers have ended: {winbox.processes()}")


# --- the end ---

@pytest.mark.parametrize("terminal", [False, True], ids=["pipes", "a terminal"])
def test_a_client_that_vanishes_leaves_no_process(winbox, alice, prefix, terminal):
    options = ["-tt"] if terminal else []
    session = alice.jump_popen("winbox", f"{PROBE} tree 2", options=options)
    wait_for(lambda: list(winbox.processes().values()).count("probe.exe") == 7, 30, lambda: f"seven: {winbox.processes()}")
    running = set(winbox.others())
    os.kill(session.pid, signal.SIGKILL)
    prefix.wait_gone(running, 20)


def test_a_session_that_is_closed_ends_its_tree_and_no_other(winbox, alice, master, prefix):
    other = alice.popen(*master, f"{ME}@winbox", f"{PROBE} cat")
    other.stdin.write(b"1\n")
    assert other.stdout.readline() == b"1\n"
    before = set(winbox.processes())
    session = alice.popen(*master, f"{ME}@winbox", f"{PROBE} tree 1")
    assert session.stdout.readline() == b"ready\n"
    wait_for(lambda: list(winbox.processes().values()).count("probe.exe") == 4, 20)
    tree = set(winbox.processes()) - before
    session.kill()
    prefix.wait_gone(tree, 20)
    other.stdin.write(b"2\n")
    assert other.stdout.readline() == b"2\n"


def test_what_a_command_leaves_behind_ends_with_the_session(winbox, alice, prefix):
    """It holds the output open, as everywhere; and does not outlive the session, for that has a job."""
    before = set(winbox.others())
    session = alice.jump_popen("winbox", f"start /b {PROBE} tree 0 >NUL 2>NUL <NUL& echo done")
    assert session.stdout.readline() == b"done\r\n"
    wait_for(lambda: "probe.exe" in winbox.processes().values(), 20)
    session.kill()
    wait_for(lambda: set(winbox.others()) <= before, 20, lambda: f"all has ended: {winbox.processes()}")


def test_signals(winbox, bench, alice, prefix):
    """A client may ask for the end of the command (RFC 4254 section 6.9)."""
    connection = paramiko_to(bench, alice)
    channel = connection.get_transport().open_session()
    channel.exec_command(f"{PROBE} tree 1")
    channel.settimeout(20)
    assert channel.makefile().readline() == "ready\n"
    tree = [pid for pid, name in winbox.processes().items() if name == "probe.exe"]
    send(channel.transport, MSG_CHANNEL_REQUEST, channel.remote_chanid, "signal", False, "KILL")  # there is no call for it
    prefix.wait_gone(tree, 20)
    assert channel.status_event.wait(20) and channel.recv_exit_status() != 0
    connection.close()


# --- another shell ---

def test_another_shell_by_its_path(bench, hub, alice, prefix):
    """It gets the command as a Unix shell does."""
    agent = WinAgent(bench, hub, prefix, users=[alice], sshd_conf="shell = C:\\probe.exe\n")
    agent.wait_ssh("built-in", "ok")
    assert alice.jump(agent.name, 'echo "a  b" & $X').ok().out == '[-c]\n[echo "a  b" & $X]\n'


@pytest.mark.parametrize("shell", ["bash", "pwsh", "C:\\no such\\shell.exe"])
def test_a_shell_that_is_not_there_is_named(bench, hub, alice, prefix, shell):
    agent = WinAgent(bench, hub, prefix, users=[alice], sshd_conf=f"shell = {shell}\n")
    agent.wait_ssh("built-in", "ok")
    done = alice.jump(agent.name, "echo hello").failed()
    assert "hello" not in done.out and re.search(re.escape(shell.rpartition("\\")[2]), done.err), done
