"""Sessions of the built-in SSH server, as root and as a user: terminals, commands, signals, many at once, and how they end.

MULTISSH_TEST_SERVER=openssh runs them against OpenSSH's server, which passes what is not about a difference that multissh-sshd(8) names."""
import asyncio
import contextlib
import hashlib
import os
import re
import signal
import struct
import subprocess
import threading

import pytest
from conftest import worlds
from kit import builtin as kit
from kit.builtin import Visitor
from kit.parts import SLOW
from kit.wait import wait_for

MIB = 1 << 20
bench, world = worlds()
PROMPT = r"^ready> "


@pytest.fixture(scope="module")
def server(world):
    return kit.server(world)


@pytest.fixture(scope="module")
def alice(server):
    server.world.write_home("alice", ".profile", "PS1='ready> '\n")
    server.world.write_home("alice", ".inputrc", "set enable-bracketed-paste off\n")
    return Visitor(server, "alice")


@pytest.fixture
def master(alice, bench):
    """Options of a connection that is there already: its sessions take milliseconds."""
    path = bench.path(f"cm{bench.number()}")
    options = ("-o", f"ControlPath={path}")
    alice.run("true", options=(*options, "-o", "ControlMaster=yes", "-o", "ControlPersist=60")).ok()
    yield options
    alice.run(options=(*options, "-O", "exit"))


def asyncssh_options(visitor):
    return {"host": visitor.server.address, "port": visitor.server.port, "username": visitor.login, "known_hosts": None,
            "client_keys": [str(visitor.key)], "agent_path": None, "config": None}


def in_asyncssh(visitor, talk):
    import asyncssh

    async def run():
        async with asyncssh.connect(**asyncssh_options(visitor)) as connection:
            return await talk(connection)

    return asyncio.run(asyncio.wait_for(run(), 60 * SLOW))


# --- terminals ---

def test_a_login_shell_on_a_terminal(alice):
    terminal = alice.terminal(rows=40, columns=100, env={"TERM": "vt220"})
    terminal.expect(PROMPT)
    for typed, shown in (("echo name $0", "name -bash"), ("echo $TERM", "vt220"), ("stty size", "40 100"),
                         ("[ $SSH_TTY = $(tty) ] && echo same", "same"), ("echo $SSH_CONNECTION", rf"127\.0\.0\.1 \d+ 127\.0\.0\.1 {alice.server.port}"),
                         ("pwd; id -un", r"/home/alice\r\nalice")):
        terminal.send(typed + "\r")
        terminal.expect(re.escape(typed))  # its echo
        terminal.expect(rf"^{shown}\r\n")
        terminal.expect(PROMPT)
    assert "no job control" not in terminal.shown
    terminal.send("exit 7\r")
    assert terminal.wait() == 7


def test_keys_that_interrupt_stop_and_end(alice, world):
    terminal = alice.terminal()
    terminal.expect(PROMPT)
    terminal.send("sleep 1001\r")
    # Once it is executed it is in the foreground; a key before that is bash's own.
    wait_for(lambda: world.find("^sleep 1001"), 10)
    terminal.send("\x03")
    terminal.expect(PROMPT)
    terminal.send("echo status $?\r")
    terminal.expect(r"^status 130\r\n")
    terminal.expect(PROMPT)
    terminal.send("sleep 1002\r")
    wait_for(lambda: world.find("^sleep 1002"), 10)
    terminal.send("\x1a")
    terminal.expect(r"Stopped +sleep 1002")
    terminal.expect(PROMPT)
    terminal.send("kill %1; wait; (exit 9)\r")
    terminal.expect(PROMPT)
    terminal.send("\x04")
    assert terminal.wait() == 9


# A shell's trap may wait for what else it does.
SHOW_SIZES = """stty -echo; exec /usr/bin/python3 -uc '
import os, signal
signal.signal(signal.SIGWINCH, lambda *_: print(os.get_terminal_size(0).lines, os.get_terminal_size(0).columns))
print("up")
while os.read(0, 1):
    pass'"""


def test_the_window_changes(alice):
    terminal = alice.terminal(SHOW_SIZES, options=("-tt",), rows=24, columns=80)
    terminal.expect(r"^up\r\n")
    for rows, columns in ((50, 132), (10, 20), (1000, 500)):
        terminal.resize(rows, columns)
        terminal.send("x")  # a client that was about to wait does not see the signal before the next key
        terminal.expect(rf"^{rows} {columns}\r\n")
    terminal.send("\x03")
    terminal.wait()


def test_a_terminal_without_one_at_the_client(alice):
    done = alice.run("tty; stty size; echo $TERM; echo err >&2", options=("-tt",), env={"TERM": "xterm"}).ok()
    assert re.fullmatch(r"/dev/pts/\d+\r\n0 0\r\nxterm\r\nerr\r\n", done.out), done


def test_the_terminal_belongs_to_the_account(alice):
    done = alice.run("stat -c '%U %a' $(tty); [ -w $SSH_TTY ] && : </dev/tty && echo usable", options=("-tt",)).ok()
    owner, mode = done.out.split()[:2]
    # A user's server cannot change the owner, and need not: an unprivileged namespace shows its own user only.
    assert int(mode, 8) & 0o7 == 0 and (owner == "alice" or not alice.server.world.root), done
    assert "usable" in done.out


def test_no_terminal_when_none_is_wanted(alice):
    done = alice.run(options=("-T",), input="echo name $0\ntty\nexit 4\n")
    # What PAM says (the message of the day) comes first; OpenSSH shows it without a terminal, too.
    assert done.status == 4 and done.out.endswith("name -bash\nnot a tty\n"), done


def test_all_that_a_terminal_shows_arrives(alice):
    done = alice.run("seq 30000", options=("-tt",)).ok()
    assert done.out == "".join(f"{n}\r\n" for n in range(1, 30001))


def test_every_byte_passes_a_raw_terminal(alice, bench):
    data = bytes(range(256)) * 64
    terminal = alice.terminal("stty raw -echo; echo up; head -c 16384 | sha256sum; exit 3", options=("-tt",))
    terminal.expect("up")
    # ~ after a newline is ssh's own escape.
    terminal.send(data.replace(b"\n~", b"\n.").replace(b"\r~", b"\r."))
    expected = hashlib.sha256(data.replace(b"\n~", b"\n.").replace(b"\r~", b"\r.")).hexdigest()
    terminal.expect(expected)
    assert terminal.wait() == 3


# --- environment, output, input, status ---

def test_the_environment(alice):
    done = alice.run("env -0", options=("-o", "SendEnv LANG LC_* OTHER"), env={"LANG": "de_DE.UTF-8", "LC_TIME": "C", "OTHER": "x", "TERM": "xterm"}).ok()
    env = dict(line.split("=", 1) for line in done.out.split("\0") if line)
    for name, value in (("USER", "alice"), ("LOGNAME", "alice"), ("HOME", "/home/alice"), ("SHELL", "/bin/bash"), ("LANG", "de_DE.UTF-8"),
                        ("LC_TIME", "C")):
        assert env.get(name) == value, (name, env)
    port = alice.server.port
    assert re.fullmatch(rf"127\.0\.0\.1 \d+ {port}", env["SSH_CLIENT"]), env
    assert re.fullmatch(rf"127\.0\.0\.1 \d+ 127\.0\.0\.1 {port}", env["SSH_CONNECTION"]), env
    assert "/usr/bin" in env["PATH"].split(":")
    for absent in ("OTHER", "TERM", "SSH_TTY", "SSH_ORIGINAL_COMMAND", "SSH_AUTH_SOCK", "UBSAN_OPTIONS"):
        assert absent not in env, env


def test_output_and_errors_apart(alice):
    # Without what ssh itself says when it meets a host key for the first time.
    done = alice.run("echo out; echo err >&2; echo out2; echo err2 >/dev/stderr; exit 42", options=("-o", "LogLevel=ERROR"))
    assert (done.status, done.out, done.err) == (42, "out\nout2\n", "err\nerr2\n"), done


def test_the_end_of_the_input(alice):
    assert alice.run("cat; echo end", input="data").ok().out == "dataend\n"
    assert alice.run("cat; echo end", options=("-n",)).ok().out == "end\n"
    # The command closes its input first, what the client still sends is not an error.
    assert alice.run("exec <&-; echo closed; exit 6", input=b"x" * 3 * MIB).status == 6


def test_every_exit_status(alice):
    async def talk(connection):
        for first in range(0, 256, 16):
            results = await asyncio.gather(*(connection.run(f"exit {n}") for n in range(first, first + 16)))
            assert [result.exit_status for result in results] == list(range(first, first + 16))

    in_asyncssh(alice, talk)


def test_a_command_that_a_signal_ends(alice):
    done = alice.run("echo before; kill -TERM $$")
    assert (done.status, done.out) == (255, "before\n"), done

    async def talk(connection):
        for name in ("TERM", "KILL", "HUP", "USR1", "INT"):
            result = await connection.run(f"kill -{name} $$")
            assert result.exit_signal is not None and result.exit_signal[:2] == (name, False), (name, result)
        result = await connection.run("ulimit -c 0; kill -SEGV $$")
        assert result.exit_signal[0] == "SEGV"

    in_asyncssh(alice, talk)


def test_signals_from_the_client(alice):
    async def talk(connection):
        for name in ("TERM", "INT", "HUP", "USR1"):
            process = await connection.create_process(f"trap 'echo got {name}; exit 5' {name}; echo up; while :; do sleep 0.05; done")
            assert await process.stdout.readline() == "up\n"
            process.send_signal(name)
            result = await process.wait()
            assert (result.stdout, result.exit_status) == (f"got {name}\n", 5), (name, result)
        process = await connection.create_process("echo up; exec sleep 1000")
        assert await process.stdout.readline() == "up\n"
        process.send_signal("XYZ@none")  # unknown ones are no end of anything
        process.kill()
        result = await process.wait()
        assert result.exit_signal[0] == "KILL"

    in_asyncssh(alice, talk)


def test_binary_both_ways(alice):
    data = bytes(range(256)) * 4096 + b"\0" * 100000 + b"\xff" * 3 + b"\r\n\x04\x03\x1a~."
    assert alice.run("cat", input=data).ok().raw == data
    done = alice.run("cat >&2", input=data).ok()
    assert (done.raw, done.raw_err) == (b"", data)


# --- without a command, behind, several ---

def test_no_session_at_all(alice, server):
    popen = alice.talk(options=("-N", "-v"))
    seen = b""
    while b"Authenticated to" not in seen:
        line = popen.stderr.readline()
        assert line, seen
        seen += line
    assert len(server.live()) == 1 and popen.poll() is None
    popen.terminate()
    popen.wait(10)
    server.wait_idle()


def test_ssh_in_the_background(alice, world):
    path = world.path("/home/alice/behind")
    with open(os.devnull, "r+b") as null:
        popen = subprocess.Popen(["ssh", *alice.options(), "-f", "box", "until [ -e go ]; do sleep 0.02; done; echo done >behind"], stdin=null,
                                 stdout=null, stderr=null, env=alice.bench.env(), cwd=alice.bench.root)
    assert popen.wait(20) == 0, "ssh has gone to the background"
    assert not path.exists()
    world.write("/home/alice/go", "", owner="alice")
    wait_for(path.exists, 10)
    alice.server.wait_idle()


def test_twenty_sessions_at_once_on_one_connection(alice, server, master):
    count = len(server.connections)
    popens = [alice.talk(f"echo {n}; read line; echo {n} $line; exit {n}", options=master) for n in range(20)]
    for n, popen in enumerate(popens):
        assert popen.stdout.readline() == f"{n}\n".encode()
    for popen in reversed(popens):
        popen.stdin.write(b"said\n")
    for n, popen in enumerate(popens):
        out, err = popen.communicate(timeout=30)
        assert (popen.returncode, out) == (n, f"{n} said\n".encode()), err
    assert len(server.connections) == count, "all over the one connection"


def test_a_session_that_is_not_read_stops_no_other(alice, master):
    """The client of one reads nothing: its command waits, those beside it do not."""
    still = alice.talk("yes", options=master)
    assert still.stdout.read(2) == b"y\n"
    for n in range(20):
        assert alice.run(f"echo {n}", options=master).ok().out == f"{n}\n"
    still.kill()


def test_several_kinds_on_one_connection(alice, master, bench):
    terminal = alice.terminal(options=master)
    terminal.expect(PROMPT)
    cat = alice.talk("cat", options=master)
    done = bench.run("sftp", "-b", "-", *alice.options(), *master, "box", input="pwd\n").ok()
    assert "/home/alice" in done.out
    cat.stdin.write(b"still\n")
    assert cat.stdout.readline() == b"still\n"
    terminal.send("exit 2\r")
    assert terminal.wait() == 2
    cat.stdin.close()
    assert cat.wait(10) == 0


@pytest.mark.slow
@pytest.mark.parametrize("rekey", [False, True])
def test_100_mb_each_way(alice, world, bench, rekey):
    size = (100 if SLOW == 1 else 24) * MIB
    source = bench.path("source")
    with open(source, "wb") as out:
        for _ in range(size // MIB):
            out.write(os.urandom(MIB))
    with open(source, "rb") as data:
        digest = hashlib.file_digest(data, "sha256").hexdigest()
    options = ("-o", "RekeyLimit=1M") if rekey else ()
    # Up, and at the same time down again.
    with open(source, "rb") as data, open(bench.path("back"), "wb") as back:
        popen = subprocess.Popen(["ssh", *alice.options(), *options, "box", "tee there | sha256sum >sum; exec cat there" if not rekey else "cat"], stdin=data,
                                 stdout=back, env=bench.env(), cwd=bench.root)
        assert popen.wait(120 * SLOW) == 0
    with open(bench.path("back"), "rb") as back:
        assert hashlib.file_digest(back, "sha256").hexdigest() == digest
    if not rekey:
        assert world.read("/home/alice/sum").split()[0] == digest
        world.path("/home/alice/there").unlink()
    bench.path("back").unlink()


# --- what holds a session, and what ends it ---

def test_a_background_process_with_closed_output_does_not_hold_the_session(alice, world):
    try:
        done = alice.run("sleep 1111 >/dev/null 2>&1 & echo behind").ok()
        assert done.out == "behind\n"
        alice.server.wait_idle()
        assert world.find("^sleep 1111"), "the session ended in order, and what it left behind lives on"
    finally:
        world.end_processes()


def test_a_background_process_that_holds_the_output_holds_the_session(alice, world):
    popen = alice.talk("sleep 1112 & echo $!")
    pid = int(popen.stdout.readline())
    with pytest.raises(subprocess.TimeoutExpired):
        popen.wait(0.7)
    os.kill(pid, signal.SIGTERM)
    assert popen.wait(10) == 0


def test_a_terminal_does_not_wait_for_what_is_behind(alice):
    terminal = alice.terminal()
    terminal.expect(PROMPT)
    terminal.send("trap '' HUP; sleep 1113 & disown; exit 8\r")
    assert terminal.wait() == 8
    alice.server.wait_idle()
    alice.server.world.end_processes()


def sessions_to_kill(alice):
    sftp = ["-s", "sftp"]
    return {"command": ((), ["echo up; sleep 1114; :"]), "terminal": (("-tt",), ["echo up; sleep 1114; :"]), "sftp": ((), sftp),
            "shell": (("-T",), []), "busy": ((), ["echo up; yes"])}


@pytest.mark.parametrize("kind", ["command", "terminal", "sftp", "shell", "busy"])
@pytest.mark.parametrize("ending", ["killed", "vanished"])
def test_nothing_is_left_when_the_client_is_gone(alice, server, world, kind, ending):
    """Killed: the kernel closes its connection. Vanished: it closes in the middle of everything, with a reset."""
    if kit.REAL and kind in ("command", "shell"):
        pytest.skip("OpenSSH lets a command without a terminal run on")
    server.wait_idle()
    options, words = sessions_to_kill(alice)[kind]
    before = set(world.processes())
    if ending == "killed":
        gone = contextlib.nullcontext()
        port = None
    else:
        gone = Relay(server)
        port = gone.port
    with gone:
        popen = alice.talk(*words, options=(*options, *(("-o", f"Port={port}", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null") if port else ())))
        if kind == "sftp":
            popen.stdin.write(struct.pack(">IBI", 5, 1, 3))
            assert popen.stdout.read(5)[4] == 2
        elif kind == "shell":
            popen.stdin.write(b"echo up; sleep 1114\n")
        if kind != "sftp":
            assert popen.stdout.readline().strip() == b"up"
        assert set(world.processes()) - before, "the session has processes"
        if ending == "killed":
            popen.kill()
            popen.wait()
        else:
            gone.reset()
        server.wait_idle(15)
        wait_for(lambda: set(world.processes()) <= before, 15, lambda: f"left behind: {world.processes()}\n{server.log()[-2000:]}")


class Relay:
    """Between client and server; can reset both."""

    def __init__(self, server):
        import socket

        self.server, self.pairs = server, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        import socket

        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                there = socket.create_connection((self.server.address, self.server.port))
                self.pairs.append((client, there))
                for one, other in ((client, there), (there, client)):
                    threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    @staticmethod
    def _pump(one, other):
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(1)

    def reset(self):
        import socket

        for pair in self.pairs:
            for sock in pair:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    sock.shutdown(socket.SHUT_RD)  # wakes the thread that reads it
                    sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
        self.reset()


def test_a_nohupd_one_lives(alice, server, world):
    server.wait_idle()
    popen = alice.talk("nohup sleep 1115 >/dev/null 2>&1 & echo up; sleep 1116")
    assert popen.stdout.readline() == b"up\n"
    wait_for(lambda: world.find("^sleep 1115"), 5)
    popen.kill()
    server.wait_idle(15)
    try:
        if not kit.REAL:
            wait_for(lambda: not world.find("^sleep 1116"), 15)
        assert world.find("^sleep 1115")
    finally:
        world.end_processes()


def test_no_zombies_while_a_connection_lives(alice, server, world, master):
    for _ in range(5):
        alice.run("(sleep 0.01 &) ; exit 1", options=master)
    alice.run("true", options=("-tt", *master))
    wait_for(lambda: not world.zombies(), 5, lambda: f"dead and not reaped: {world.zombies()}")


def test_the_server_is_told_to_end(alice, server, world):
    """SIGTERM to the process that inetd or systemd started: the sessions end with it, and nobody waits for ever."""
    if kit.REAL:
        pytest.skip("OpenSSH leaves the commands")
    server.wait_idle()
    command = alice.talk("echo up; sleep 1117")
    assert command.stdout.readline() == b"up\n"
    server.latest().send_signal(signal.SIGTERM)
    assert command.wait(15) == 255
    server.wait_idle(15)
    wait_for(lambda: not world.find("sleep 1117"), 15)
    assert not world.processes(), "the process that spoke SSH has gone, too"


def test_the_server_ends_with_its_client(alice, server, world):
    server.wait_idle()
    wait_for(lambda: not world.processes(), 10, lambda: f"left behind by an earlier test: {world.processes()}\n{server.log()[-2000:]}")
    alice.run("true").ok()
    ours = server.latest()
    server.wait_idle()
    if not kit.REAL:
        assert ours.returncode == 0, server.log()[-2000:]
    wait_for(lambda: not world.processes(), 10, lambda: f"left behind: {world.processes()}\n{server.log()[-2000:]}")
