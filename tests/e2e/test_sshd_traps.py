"""What an SSH server on libssh may trip over, against the built-in one: each must hurt nobody but the one who does it. What the front
is put through is in test_libssh_traps.py."""
import hashlib
import os
import signal
import socket
import struct
import subprocess
import threading
import time
import types
from concurrent.futures import ThreadPoolExecutor

import paramiko
import pytest
import test_libssh_traps as traps
from conftest import worlds
from kit import builtin, proc
from kit.builtin import REAL, BuiltIn, RealSshd, Visitor
from kit.parts import SLOW, keygen
from kit.wait import free_port, listening, wait_for
from kit.wire import Spoiler, closed_within, connect, send_quietly
from paramiko.common import (MSG_CHANNEL_CLOSE, MSG_CHANNEL_DATA, MSG_CHANNEL_EOF, MSG_CHANNEL_OPEN, MSG_CHANNEL_REQUEST, MSG_CHANNEL_WINDOW_ADJUST,
                             MSG_DEBUG, MSG_GLOBAL_REQUEST, MSG_IGNORE, MSG_USERAUTH_REQUEST)

bench, world = worlds(kinds=("root",))
MEMORY_MAX = (48 if SLOW == 1 else 480) * 1024  # KiB, of one process of the server
GONE = (OSError, EOFError, paramiko.SSHException)


@pytest.fixture(scope="module")
def box(world):
    return builtin.server(world)


@pytest.fixture(scope="module")
def visitor(box):
    return Visitor(box)


def serve(world, *flags, real=()):
    return RealSshd(world, *real) if REAL else BuiltIn(world, *flags)


def known_at(server, visitor):
    return Visitor(server, key=visitor.key)


class Served:
    """The server's processes for one connection."""

    def __init__(self, popen):
        self.popen = popen
        self.pid = popen.pid

    def running(self):
        return self.popen.poll() is None

    def pids(self):
        """Its own, without the account's commands."""
        return [pid for pid in proc.tree(self.pid) if "sshd" in proc.command_of(pid)] if self.running() else []

    def memory(self):
        """Of its biggest process, in KiB."""
        found = [0]
        for pid in self.pids():
            try:
                found.append(proc.memory_kib(pid))
            except OSError:
                pass
        return max(found)

    def cpu(self):
        total = 0.0
        for pid in self.pids():
            try:
                total += proc.cpu_seconds(pid)
            except OSError:
                pass
        return total

    def idle(self):
        """Does it use next to nothing of the CPU?"""
        before = self.cpu()
        settle(0.5)
        return self.cpu() - before < 0.1

    def bounded(self):
        assert REAL or self.memory() < MEMORY_MAX, f"{self.memory()} KiB"

    def wait_gone(self, timeout=15):
        wait_for(lambda: not self.running(), timeout, lambda: f"the server of the connection has ended: {[proc.command_of(pid) for pid in proc.tree(self.pid)]}")


def newest(box, count):
    """The server of the connection that came after count others."""
    wait_for(lambda: len(box.connections) > count, 10, "the server was started")
    return Served(box.connections[count])


class Client(traps.Client):
    """A paramiko connection that can send what it likes."""

    def __init__(self, bench, box, visitor, login=True, receive_buffer=None):
        count = len(box.connections)
        raw = socket.socket()
        if receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.connect((box.address, box.port))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = traps.Tame(raw)
        self.transport = paramiko.Transport(self.sock)
        self.transport.daemon = True
        self.words = []
        self.transport._log = lambda level, text, *args: self.words.append(str(text))
        bench.closers.append(self.close)
        self.transport.start_client(timeout=15 * SLOW)
        self.server = newest(box, count)
        self.user = types.SimpleNamespace(name=visitor.login)
        self.key = paramiko.Ed25519Key.from_private_key_file(str(visitor.key))
        if login:
            self.transport.auth_publickey(visitor.login, self.key)

    def says(self, line, expected):
        """A command on this connection works."""
        assert self.command(line).makefile("rb").read() == expected

    def flood(self, count, seconds, send):
        """Sends until that many are sent, that time has passed or the server has had enough; returns how many went."""
        self.sock.sock.settimeout(2)
        deadline, sent = time.monotonic() + seconds, 0
        try:
            while sent < count and time.monotonic() < deadline and self.transport.is_active():
                send(sent)
                sent += 1
        except GONE:
            pass
        return sent


@pytest.fixture
def others(visitor):
    """Another connection of another process: it must not notice anything."""
    session = visitor.talk("echo up; cat")
    assert session.stdout.readline() == b"up\n"
    yield session
    lively(session)
    assert visitor.run("echo fresh").ok().out == "fresh\n"
    session.stdin.close()
    assert session.wait(10) == 0


def lively(session, seconds=3):
    began = time.monotonic()
    session.stdin.write(b"lively\n")
    assert session.stdout.readline() == b"lively\n"
    assert time.monotonic() - began < seconds * SLOW


def settle(seconds):
    """Lets that time go by."""
    end = time.monotonic() + seconds
    wait_for(lambda: time.monotonic() >= end, seconds + 5)


@pytest.fixture
def master(visitor, box):
    """A connection that several sessions share: its options, and its server."""
    path, count = visitor.folder / f"m{visitor.bench.number()}", len(box.connections)
    visitor.start_ssh("-N", "-M", "-S", path, "box")
    wait_for(path.exists, 10 * SLOW)
    return ["-S", str(path)], newest(box, count)


# --- peers that do not read ---

@pytest.mark.slow
def test_a_client_that_stops_reading(bench, box, visitor, others):
    """SIGSTOP in the middle of a download: the server waits with bounded memory, and goes on where it was."""
    source, target = bench.path("source"), bench.path("target")
    source.write_bytes(os.urandom(48 << 20))
    bench.root.chmod(0o755)
    count = len(box.connections)
    with open(target, "wb") as out:
        client = subprocess.Popen(["ssh", *visitor.options(), "box", f"cat {source}"], stdout=out, env=bench.env(), stdin=subprocess.DEVNULL)
    server = newest(box, count)
    wait_for(lambda: target.stat().st_size > 0, 20)
    os.kill(client.pid, signal.SIGSTOP)
    try:
        end = time.monotonic() + 2
        while time.monotonic() < end:
            lively(others)
            server.bounded()
        wait_for(server.idle, 5, "it spins while it waits")
        assert target.stat().st_size < source.stat().st_size
    finally:
        os.kill(client.pid, signal.SIGCONT)
    assert client.wait(60) == 0
    assert target.read_bytes() == source.read_bytes()


def test_a_session_that_is_not_read_beside_one_that_is(master, visitor, others):
    """Two on one connection: what waits in the one does not stop the other, nor does the server hold it."""
    options, server = master
    stuck = visitor.talk("head -c 64000000 /dev/zero", options=options)
    assert stuck.stdout.read(1) == b"\0"
    beside = visitor.talk("cat", options=options)
    end = time.monotonic() + 2
    while time.monotonic() < end:
        lively(beside)
        server.bounded()
    got = 1
    while piece := stuck.stdout.read(1 << 20):
        got += len(piece)
    assert got == 64000000 and stuck.wait(20) == 0


def test_a_command_that_stops_reading(bench, world, master, visitor, others):
    """An upload into a command that waits: nothing is lost, the other session of the connection goes on."""
    options, server = master
    gate, target = f"{world.accounts[visitor.login].home}/gate", f"{world.accounts[visitor.login].home}/got"
    visitor.run(f"rm -f {gate}; mkfifo {gate}").ok()
    data = os.urandom(24 << 20)
    stuck = visitor.talk(f"read go <{gate}; cat >{target}", options=options)
    threading.Thread(target=lambda: (stuck.stdin.write(data), stuck.stdin.close()), daemon=True).start()
    beside = visitor.talk("cat", options=options)
    end = time.monotonic() + 2
    while time.monotonic() < end:
        lively(beside)
        lively(others)
        server.bounded()
        assert stuck.poll() is None
    visitor.run(f"echo go >{gate}").ok()
    assert stuck.wait(60) == 0, stuck.stderr.read()
    assert world.path(target).read_bytes() == data


def test_an_sftp_client_that_does_not_read(bench, box, visitor, others):
    """Thousands of reads are asked for and no answer is taken: bounded, and over with the connection."""
    client = Client(bench, box, visitor, receive_buffer=4096)
    sftp = client.transport.open_sftp_client()
    with sftp.open("unread", "wb") as file:
        file.write(b"r" * (1 << 20))
    handle = sftp.open("unread", "rb").handle
    channel = sftp.get_channel()
    client.sock.reading.clear()
    request = struct.pack(">BI", 5, 77) + struct.pack(">I", len(handle)) + handle + struct.pack(">QI", 0, 262144)
    packet = struct.pack(">I", len(request)) + request
    client.flood(4000, 6, lambda _: client.send(MSG_CHANNEL_DATA, channel.remote_chanid, packet * 20))
    client.server.bounded()
    wait_for(client.server.idle, 10 * SLOW, "it spins while it waits")
    client.server.bounded()
    client.close()
    client.server.wait_gone()


@pytest.mark.parametrize("kind", ["keepalive", "channel-request", "unknown-message"])
def test_a_flood_of_requests_that_want_a_reply(bench, box, visitor, others, kind):
    """… by a client that reads none of them."""
    client = Client(bench, box, visitor, receive_buffer=4096)
    channel = client.transport.open_session()
    client.sock.reading.clear()
    send = {"keepalive": lambda _: client.send(MSG_GLOBAL_REQUEST, "keepalive@openssh.com", True),
            "channel-request": lambda _: client.send(MSG_CHANNEL_REQUEST, channel.remote_chanid, "nonsense@test", True),
            "unknown-message": lambda _: client.send(199, "what is this")}[kind]
    sent = client.flood(60000, 8, send)
    assert sent > 200 or not client.server.running()
    client.server.bounded()
    lively(others)


@pytest.mark.slow
def test_a_client_that_never_reads_long_answers(bench, box, visitor, others):
    """Twenty commands that write without end."""
    client = Client(bench, box, visitor, receive_buffer=4096)
    channels = [client.command("yes") for _ in range(20)]
    client.sock.reading.clear()
    client.flood(200, 2, lambda number: client.send(MSG_CHANNEL_WINDOW_ADJUST, channels[number % 20].remote_chanid, 1 << 24))
    end = time.monotonic() + 2
    while time.monotonic() < end:
        client.server.bounded()
        lively(others)
    commands = proc.tree(client.server.pid)
    client.close()
    client.server.wait_gone()
    wait_for(lambda: not any(proc.command_of(pid) for pid in commands), 10, "the commands were hung up on")


# --- keys and signatures ---

def at_once(check, kinds):
    """Each kind in a thread of its own, for what is awaited is mostly time."""
    with ThreadPoolExecutor(len(kinds)) as pool:
        for kind, future in [(kind, pool.submit(check, kind)) for kind in kinds]:
            try:
                future.result()
            except AssertionError as error:
                raise AssertionError(f"{kind}: {error}") from error


def client_of_its_own(bench, world, visitor):
    """With a server of its own, for many at once."""
    server = serve(world)
    return server, Client(bench, server, known_at(server, visitor), login=False)


@pytest.mark.slow
@pytest.mark.parametrize("signed", [False, True], ids=["query", "signed"])
def test_malformed_keys(bench, world, visitor, others, signed):
    """libssh gives no answer to some of these: the connection must not hang until the whole grace is over, and says why it ends."""
    def check(kind):
        server, client = client_of_its_own(bench, world, visitor)
        name = {"dss": "ssh-dss", "rsa-tiny": "ssh-rsa", "rsa-zero": "rsa-sha2-256", "ecdsa-bad-point": "ecdsa-sha2-nistp256"}.get(kind, "ssh-ed25519")
        if traps.auth_request(client, name, traps.BAD_KEYS[kind], b"\xee" * 70 if signed else None):
            assert not client.transport.is_authenticated()
            client.transport.auth_publickey(visitor.login, client.key)
            client.says("echo in", b"in\n")
        else:
            client.server.wait_gone()
            assert REAL or [word for word in client.words if "Disconnect" in word and "key or its signature cannot be read here" in word], client.words
            server.wait_log("key or (its )?signature|key type|parse|libcrypto|unexpected|invalid|incomplete")
    at_once(check, list(traps.BAD_KEYS))


@pytest.mark.slow
def test_bad_signatures(bench, world, visitor, others):
    stranger = paramiko.Ed25519Key.from_private_key_file(str(keygen(bench.path(f"stranger{bench.number()}"))))

    def check(spoil):
        _, client = client_of_its_own(bench, world, visitor)
        key, sign = client.key, client.key.sign_ssh_data

        def signature(data, algorithm=None):
            good = sign(data).asbytes()
            text = {"flipped": good[:-1] + bytes([good[-1] ^ 1]), "other-key": stranger.sign_ssh_data(data).asbytes(), "truncated": good[:29],
                    "other-session": sign(b"x" * len(data)).asbytes(), "empty": b""}[spoil]
            return paramiko.Message(text)
        key.sign_ssh_data = signature
        client.transport.auth_timeout = 15
        began = time.monotonic()
        with pytest.raises(GONE):
            client.transport.auth_publickey(visitor.login, key)
        assert time.monotonic() - began < 12, "neither an answer nor an end"
        assert not client.transport.is_authenticated()
        if client.transport.is_active():
            with pytest.raises(GONE):
                client.transport.open_session(timeout=1).exec_command("id")
    at_once(check, ["flipped", "other-key", "other-session", "truncated", "empty"])


def test_the_true_signature_is_accepted(bench, box, visitor):
    """What the others spoil does work."""
    Client(bench, box, visitor).says("echo $USER", visitor.login.encode() + b"\n")


CERTIFICATES = {"good": ([], None), "expired": (["-V", "20200101:20200201"], None), "not-yet": (["-V", "20900101:20910101"], None),
                "wrong-principal": ([], "somebody-else"), "unknown-ca": ([], None), "force-command": (["-O", "force-command=echo forced"], None)}


@pytest.mark.parametrize("kind", CERTIFICATES)
def test_certificates_are_refused(bench, world, box, visitor, kind):
    """libssh verifies nothing of them but the key inside. None counts, whether its CA or its plain key is in the file."""
    options, principal = CERTIFICATES[kind]
    folder = bench.folder("certificate")
    ca, key = keygen(folder / "ca"), keygen(folder / "key")
    signer = keygen(folder / "other-ca") if kind == "unknown-ca" else ca
    bench.run("ssh-keygen", "-q", "-s", signer, "-I", "test", "-n", principal or visitor.login, *options, f"{key}.pub").ok()
    ca_line = "cert-authority " + " ".join((folder / "ca.pub").read_text().split()[:2]) + "\n"
    person = Visitor(box, key=key, authorize=False, extra=[f"CertificateFile {key}-cert.pub"])

    def by_certificate_alone():
        client = Client(bench, box, person, login=False)
        client.key.load_certificate(f"{key}-cert.pub")
        client.transport.auth_timeout = 15
        try:
            client.transport.auth_publickey(visitor.login, client.key)
        except GONE:
            pass
        return client.transport.is_authenticated()
    try:
        world.authorize(visitor.login, visitor.public, more=ca_line)
        if REAL and kind in ("good", "force-command"):
            assert by_certificate_alone()
            person.run("echo in").ok()
            return
        assert not by_certificate_alone()
        person.run("echo in").failed(255).says("Permission denied")
        world.authorize(visitor.login, visitor.public, person.public, more=ca_line)
        assert not by_certificate_alone()
        # The key by itself is in the file.
        assert person.run("echo in").ok().out == "in\n"
    finally:
        world.authorize(visitor.login, visitor.public)


def test_more_tries_than_there_may_be(bench, world, visitor, others):
    server = serve(world, "--tries-max", "3", real=["MaxAuthTries 3"])
    keys = [keygen(bench.path(f"wrong{bench.number()}")) for _ in range(6)]
    person = known_at(server, visitor)
    person.ssh(*[word for key in keys for word in ("-i", str(key))], "-o", f"IdentityFile={keys[0]}", "box", "echo in").failed(255).says(
        "Too many authentication failures|Permission denied|Too many")
    # Three wrong ones and then no right one counts.
    client = Client(bench, server, person, login=False)
    for key in keys[:4]:
        try:
            client.transport.auth_publickey(visitor.login, paramiko.Ed25519Key.from_private_key_file(str(key)))
        except GONE:
            pass
    with pytest.raises(GONE):
        client.transport.auth_publickey(visitor.login, client.key)
    client.server.wait_gone()


def test_nothing_is_served_before_the_login(bench, world, box, visitor, others):
    port, mark = free_port(), f"{world.accounts[visitor.login].home}/before-the-login"
    opening = [MSG_CHANNEL_OPEN, "session", 0, 1 << 20, 32768]
    for messages in ([opening], [opening, [MSG_CHANNEL_REQUEST, 0, "exec", True, f"touch {mark}"]], [[MSG_GLOBAL_REQUEST, "tcpip-forward", True, "127.0.0.1", port]],
                     [[MSG_CHANNEL_OPEN, "direct-tcpip", 0, 1 << 20, 32768, "127.0.0.1", box.port, "127.0.0.1", 1]], [[MSG_CHANNEL_DATA, 0, b"hello"]]):
        client, count = Client(bench, box, visitor, login=False), len(box.connections)
        client.flood(len(messages), 2, lambda number: client.send(*messages[number]))
        settle(0.2)
        assert not listening(port) and len(box.connections) == count and len(proc.tree(client.server.pid)) <= 3
        client.close()
        client.server.wait_gone()
    assert not world.path(mark).exists()


def test_two_logins_on_one_connection(bench, world, box, visitor, others):
    """Once in, nobody becomes somebody else."""
    world.authorize("bob", visitor.public)
    client = Client(bench, box, visitor)
    try:
        client.send(MSG_USERAUTH_REQUEST, "bob", "ssh-connection", "none")
        settle(0.2)
        if client.transport.is_active():
            client.says("id -un", visitor.login.encode() + b"\n")
    finally:
        world.write_home("bob", ".ssh/authorized_keys", "")


# --- channels ---

def test_a_peer_that_never_sends_close(bench, box, visitor, others, monkeypatch):
    client = Client(bench, box, visitor)
    client.says("echo first", b"first\n")
    wait_for(lambda: not [pid for pid in proc.tree(client.server.pid) if pid not in client.server.pids()], 5)
    before = {pid: proc.descriptors(pid) for pid in client.server.pids()}
    monkeypatch.setattr(paramiko.Channel, "_handle_close", lambda self, message: None)
    monkeypatch.setattr(paramiko.Channel, "_handle_eof", lambda self, message: None)
    # Held, for paramiko closes what is forgotten.
    channels = []
    for number in range(20):
        channels.append(client.command(f"echo {number}"))
        assert channels[-1].recv(100) == b"%d\n" % number
    monkeypatch.undo()
    client.says("echo more", b"more\n")
    for pid, count in before.items():
        assert proc.descriptors(pid) <= count + 4
    client.close()
    client.server.wait_gone()


def test_a_thousand_channel_opens(bench, box, visitor, others):
    """More than sessions-max (32) are refused one by one, and the connection goes on."""
    client = Client(bench, box, visitor)
    most = 100 if REAL else 32
    opened, refused = [], 0
    for _ in range(1000):
        try:
            opened.append(client.transport.open_session(timeout=20))
        except paramiko.ChannelException:
            refused += 1
    assert (len(opened), refused) == (most, 1000 - most)
    client.server.bounded()
    for channel in opened:
        channel.close()

    def again():
        try:
            return client.command("echo room").makefile("rb").read() == b"room\n"
        except paramiko.ChannelException:
            return False
    wait_for(again, 15)


def test_one_session_and_one_channel_too_many(bench, world, visitor):
    server = serve(world, "--sessions-max", "3", "--channels-max", "5", real=["MaxSessions 3"])
    person = known_at(server, visitor)
    client = Client(bench, server, person)
    kept = [client.command("cat") for _ in range(3)]
    with pytest.raises(paramiko.ChannelException):
        client.transport.open_session()
    if not REAL:
        with socket.create_server(("127.0.0.1", 0)) as target:
            port = target.getsockname()[1]
            kept += [client.transport.open_channel("direct-tcpip", ("127.0.0.1", port), ("127.0.0.1", 0)) for _ in range(2)]
            with pytest.raises(paramiko.ChannelException):
                client.transport.open_channel("direct-tcpip", ("127.0.0.1", port), ("127.0.0.1", 0))
    kept[0].sendall(b"still served\n")
    assert kept[0].recv(100) == b"still served\n"
    # The stock client's words for it.
    path = bench.path(f"m{bench.number()}")
    person.start_ssh("-N", "-M", "-S", path, "box")
    wait_for(path.exists, 10)
    talks = [person.talk("echo up; cat", options=["-S", path]) for _ in range(3)]
    for talk in talks:
        assert talk.stdout.readline() == b"up\n"
    done = person.run("echo in", options=["-S", path])
    done.says("session request failed|open failed|session open refused|mux_client")
    for talk in talks:
        lively(talk)


@pytest.mark.parametrize("window,packet", [(1 << 20, 0), (0, 0), (0, 32768), (0xFFFFFFFF, 0xFFFFFFFF), (1, 1), (1 << 20, 1), (1 << 20, 10)])
def test_odd_windows_and_packet_sizes(bench, box, visitor, others, window, packet):
    """The connection goes on or ends; it neither spins nor grows."""
    client = Client(bench, box, visitor)
    client.send(MSG_CHANNEL_OPEN, "session", 4000, window, packet)
    settle(0.1)
    for number in (0, 1):
        client.send(MSG_CHANNEL_REQUEST, number, "exec", True, "head -c 2000000 /dev/zero; cat")
    settle(1)
    cpu, began = client.server.cpu(), time.monotonic()
    # What loops without end is ended when it has used some seconds of CPU.
    end = time.monotonic() + 12
    while client.server.running() and time.monotonic() < end:
        lively(others, 5)
        client.server.bounded()
        if client.server.cpu() - cpu < 0.3 * (time.monotonic() - began) and time.monotonic() - began > 1.5:
            break
        settle(0.05)
    else:
        assert not client.server.running(), "it spins"
    pids = proc.tree(client.server.pid)
    client.close()
    client.server.wait_gone()
    wait_for(lambda: not any(proc.command_of(pid) for pid in pids), 10)


def test_window_adjust_overflow(bench, box, visitor, others):
    client = Client(bench, box, visitor)
    channel = client.command("echo out; cat")
    for _ in range(50):
        client.send(MSG_CHANNEL_WINDOW_ADJUST, channel.remote_chanid, 0xFFFFFFFF)
    settle(0.3)
    try:
        assert channel.recv(10) == b"out\n"
        channel.sendall(b"on\n")
        assert channel.recv(10) == b"on\n"
    except (*GONE, AssertionError):
        wait_for(lambda: not client.transport.is_active(), 5)
    client.server.bounded()


@pytest.mark.parametrize("sink", ["command", "forward", "sftp"])
def test_data_beyond_the_window(bench, box, visitor, others, sink):
    """Nobody takes it on the other side, and the client sends on regardless: what is kept stays bounded."""
    client = Client(bench, box, visitor)
    with socket.create_server(("127.0.0.1", 0)) as stuck:
        if sink == "forward":
            channel = client.transport.open_channel("direct-tcpip", ("127.0.0.1", stuck.getsockname()[1]), ("127.0.0.1", 0))
        elif sink == "command":
            channel = client.command("sleep 1000")
        else:
            channel = client.transport.open_session()
            channel.invoke_subsystem("sftp")
        block = b"\0\0\0\5x" * 6400
        client.flood(3000, 8, lambda _: client.send(MSG_CHANNEL_DATA, channel.remote_chanid, block))
        client.server.bounded()
        lively(others)
    pids = proc.tree(client.server.pid)
    client.close()
    client.server.wait_gone()
    # (OpenSSH's server leaves a command that does not read alone.)
    if not REAL:
        wait_for(lambda: not any(proc.command_of(pid) for pid in pids), 10)


def test_data_on_channels_that_are_not(bench, box, visitor, others):
    client = Client(bench, box, visitor)
    client.flood(10, 3, lambda number: (client.send(MSG_CHANNEL_DATA, 70 + number, b"hello"), client.send(MSG_CHANNEL_WINDOW_ADJUST, 0xFFFFFFFF, 5),
                                        client.send(MSG_CHANNEL_REQUEST, 71, "exec", True, "id"), client.send(MSG_CHANNEL_CLOSE, 72),
                                        client.send(MSG_CHANNEL_EOF, 73)))
    settle(0.3)
    client.server.bounded()
    client.close()
    client.server.wait_gone()


@pytest.mark.parametrize("order", ["twice", "shell-after-exec", "pty-after-exec", "env-after-exec", "close-twice", "data-after-eof", "data-after-close",
                                   "request-after-close", "close-at-once", "exec-and-close", "window-without-pty", "signal-without-child"])
def test_messages_out_of_order(bench, box, visitor, others, order):
    """The channel may pay for it; the connection serves the next one, or is ended, but never hangs."""
    client = Client(bench, box, visitor)
    channel = client.transport.open_session()
    far = channel.remote_chanid

    def request(kind, *parts, reply=False):
        client.send(MSG_CHANNEL_REQUEST, far, kind, reply, *parts)
    started = order not in ("close-at-once", "window-without-pty", "signal-without-child", "exec-and-close")
    if started:
        channel.exec_command("echo $TERM; cat")
    steps = {
        "twice": lambda: request("exec", "echo again"), "shell-after-exec": lambda: request("shell"),
        "pty-after-exec": lambda: request("pty-req", "vt100", 80, 24, 0, 0, ""), "env-after-exec": lambda: request("env", "LANG", "C"),
        "close-twice": lambda: (client.send(MSG_CHANNEL_CLOSE, far), client.send(MSG_CHANNEL_CLOSE, far)),
        "data-after-eof": lambda: (client.send(MSG_CHANNEL_EOF, far), client.send(MSG_CHANNEL_DATA, far, b"late")),
        "data-after-close": lambda: (client.send(MSG_CHANNEL_CLOSE, far), client.send(MSG_CHANNEL_DATA, far, b"late")),
        "request-after-close": lambda: (client.send(MSG_CHANNEL_CLOSE, far), request("signal", "TERM")),
        "close-at-once": lambda: client.send(MSG_CHANNEL_CLOSE, far),
        "exec-and-close": lambda: (request("exec", "cat"), client.send(MSG_CHANNEL_CLOSE, far)),
        "window-without-pty": lambda: request("window-change", 1, 2, 3, 4), "signal-without-child": lambda: request("signal", "KILL"),
    }
    steps[order]()
    settle(0.2)
    if client.transport.is_active():
        client.says("echo next", b"next\n")
    pids = proc.tree(client.server.pid)
    client.close()
    client.server.wait_gone()
    wait_for(lambda: not any(proc.command_of(pid) for pid in pids), 10)


def test_requests_that_are_not_served(bench, box, visitor, others):
    """Refused, and the connection goes on."""
    client = Client(bench, box, visitor)
    for kind in ("frob@test", "x11", "direct-streamlocal@openssh.com", "tun@openssh.com", "forwarded-tcpip", ""):
        ends = (("127.0.0.1", 1), ("127.0.0.1", 1)) if kind in ("forwarded-tcpip", "x11") else ()
        with pytest.raises(paramiko.ChannelException):
            client.transport.open_channel(kind, *ends, timeout=15)
    channel = client.transport.open_session()
    channel.settimeout(15)
    with pytest.raises(paramiko.SSHException):
        channel.invoke_subsystem("frob")
    client.says("echo on", b"on\n")
    with pytest.raises(paramiko.SSHException):
        client.transport.open_session().request_x11(auth_cookie=b"0" * 32)
    client.says("echo on", b"on\n")


# --- floods on a channel ---

def test_a_flood_of_variables(bench, box, visitor, others):
    """Names and values without end: what is kept is bounded, and what may be set is."""
    client = Client(bench, box, visitor)
    channel = client.transport.open_session()
    channel.settimeout(20)
    client.flood(20000, 6, lambda number: client.send(MSG_CHANNEL_REQUEST, channel.remote_chanid, "env", False, f"LC_{number}", "v" * 1000))
    client.server.bounded()
    try:
        channel.exec_command("env | grep -c ^LC_; echo over")
        assert channel.makefile("rb").read().endswith(b"over\n")
    except GONE:
        pass
    if client.transport.is_active():
        client.says("echo on", b"on\n")


def test_a_flood_of_signals(bench, box, visitor, others):
    client = Client(bench, box, visitor)
    channel = client.command("trap 'n=$((n+1))' USR1; trap '' USR2; echo ready; while :; do read line && echo got $line && exit 3; done")
    assert channel.recv(100) == b"ready\n"
    names = ("USR2", "CONT", "WINCH", "FROB", "")
    client.flood(20000, 5, lambda number: client.send(MSG_CHANNEL_REQUEST, channel.remote_chanid, "signal", False, names[number % 5]))
    client.server.bounded()
    channel.sendall(b"the line\n")
    assert channel.makefile("rb").read() == b"got the line\n" and channel.recv_exit_status() == 3


def test_a_flood_of_window_changes(bench, box, visitor, others):
    client = Client(bench, box, visitor)
    channel = client.transport.open_session()
    channel.settimeout(20)
    channel.get_pty("vt100", 80, 24)
    channel.exec_command("echo ready; read go; until [ \"$(stty size)\" = '45 123' ]; do sleep 0.05; done; stty size")
    assert channel.recv(100) == b"ready\r\n"
    sizes = [(0, 0), (0xFFFFFFFF, 0xFFFFFFFF), (65535, 65535), (65536, 1), (100, 50)]
    client.flood(20000, 5, lambda number: client.send(MSG_CHANNEL_REQUEST, channel.remote_chanid, "window-change", False, *sizes[number % 5], 0, 0))
    client.server.bounded()
    client.send(MSG_CHANNEL_REQUEST, channel.remote_chanid, "window-change", False, 123, 45, 0, 0)
    channel.sendall(b"go\n")
    assert channel.makefile("rb").read().endswith(b"45 123\r\n")


@pytest.mark.parametrize("kind", ["ignore", "debug", "eof", "empty-data", "service", "rekey"])
def test_floods_of_messages_that_mean_nothing(bench, box, visitor, others, kind):
    client = Client(bench, box, visitor)
    channel = client.command("cat")
    send = {"ignore": lambda _: client.send(MSG_IGNORE, b"i" * 30000), "debug": lambda _: client.send(MSG_DEBUG, True, "d" * 30000, ""),
            "eof": lambda _: client.send(MSG_CHANNEL_EOF, channel.remote_chanid),
            "empty-data": lambda _: client.send(MSG_CHANNEL_DATA, channel.remote_chanid, b""),
            "service": lambda _: client.send(5, "ssh-userauth"), "rekey": lambda _: client.transport.renegotiate_keys()}[kind]
    client.flood(20 if kind == "rekey" else 3000, 5, send)
    client.server.bounded()
    if kind not in ("service",) and client.transport.is_active():
        client.says("echo on", b"on\n")


def test_a_flood_of_listeners(bench, box, visitor, others):
    """tcpip-forward without end: bounded, and all gone with the connection."""
    client = Client(bench, box, visitor)
    refused = 0
    for _ in range(600):
        try:
            client.transport.request_port_forward("127.0.0.1", 0)
        except paramiko.SSHException:
            refused += 1
            if not client.transport.is_active():
                break
    if not REAL:
        assert refused > 0, "600 listeners in one connection"
    client.server.bounded()
    client.says("echo on", b"on\n")
    pids = proc.tree(client.server.pid)
    client.close()
    client.server.wait_gone()
    wait_for(lambda: not any(proc.command_of(pid) for pid in pids), 10)


def test_long_and_odd_commands(bench, box, visitor, others):
    """As long as the system takes it; more is refused with the channel; NUL and bytes that are no text."""
    client = Client(bench, box, visitor)
    client.says("echo " + "x" * 100000 + " | wc -c", b"100001\n")
    for command in (b"echo " + b"x" * 200000, b"echo a\0b", b""):
        try:
            channel = client.command(command)
            channel.makefile("rb").read()
        except GONE:
            pass
    if not client.transport.is_active():
        client = Client(bench, box, visitor)
    assert client.command(b"printf %s '\xff\xfe' | od -An -tx1").makefile("rb").read() == b" ff fe\n"


# --- any message ---

PAYLOADS = [b"", b"\0" * 4, b"\xff" * 4, b"\0" * 64, b"\xff" * 64, struct.pack(">I", 0) + b"\xff" * 60, struct.pack(">II", 0, 0xFFFFFFF0) + b"x" * 40,
            struct.pack(">I", 4) + b"exec" + b"\xff" * 20, struct.pack(">II", 0, 4) + b"exec\x01" + struct.pack(">I", 0x7FFFFFFF) + b"id",
            struct.pack(">II", 0, 7) + b"pty-req\x01" + struct.pack(">I", 5) + b"vt100" + b"\xff" * 12 + struct.pack(">I", 1000),
            struct.pack(">I", 7) + b"session" + b"\xff" * 3, struct.pack(">I", 12) + b"direct-tcpip" + b"\xff" * 40,
            struct.pack(">I", 13) + b"tcpip-forward\x01" + struct.pack(">I", 0xFFFF) + b"x"]


@pytest.mark.slow
@pytest.mark.parametrize("login", [False, True], ids=["before", "after"])
def test_messages_that_cannot_be_read(bench, world, visitor, login):
    """Each type that SSH has, empty, cut off, with lengths that lie: the connection goes on or ends, the server does not fall over."""
    server = serve(world)
    person = known_at(server, visitor)

    def check(first):
        client = None
        for kind in range(first, 128, 8):
            for payload in payloads:
                if client is None or not client.transport.is_active():
                    with lock:
                        client = Client(bench, server, person, login=login)
                    if login:
                        client.transport.open_session()
                message = paramiko.Message(bytes([kind]) + payload)
                try:
                    client.transport._send_message(message)
                    # What comes back tells that it was read, or that this was the end.
                    client.transport.completion_event = threading.Event()
                    client.send(MSG_GLOBAL_REQUEST, "probe@test", True)
                    heard = client.transport.completion_event
                    end = time.monotonic() + (0.2 if login else 0.02)
                    while not heard.wait(0.005) and client.transport.is_active() and time.monotonic() < end:
                        pass
                except GONE:
                    pass
                sent.append(kind)
            client.server.bounded()
        client.close()
    sent, payloads = [], PAYLOADS if login else PAYLOADS[::4]
    lock = threading.Lock()
    at_once(check, range(8))
    assert len(sent) == 128 * len(payloads) and len(server.connections) > 50
    assert person.run("echo on").ok().out == "on\n"
    server.wait_idle(30)
    crashed = [line for line in server.log().splitlines() if "ended by signal" in line]
    assert not crashed, crashed


# --- rekeying ---

@pytest.mark.slow
@pytest.mark.parametrize("cipher", ["chacha20-poly1305@openssh.com", "aes128-gcm@openssh.com", "aes128-ctr"])
def test_rekeying_under_load(bench, visitor, others, cipher):
    """A new key each megabyte, both directions at once, nothing lost."""
    data = os.urandom(24 << 20)
    talk = visitor.talk("cat", options=["-o", "RekeyLimit=1M", "-o", f"Ciphers={cipher}"])
    threading.Thread(target=lambda: (talk.stdin.write(data), talk.stdin.close()), daemon=True).start()
    got = b"".join(iter(lambda: talk.stdout.read(1 << 20), b""))
    assert got == data and talk.wait(20) == 0


@pytest.mark.slow
def test_rekeying_while_files_move(bench, world, visitor, others):
    data = os.urandom(16 << 20)
    source, back = bench.path("rekey-source"), bench.path("rekey-back")
    source.write_bytes(data)
    batch = f"put {source} rekeyed\nget rekeyed {back}\n"
    bench.run("sftp", "-q", "-b", "-", "-o", "RekeyLimit=1M", *visitor.options(), "box", input=batch).ok()
    assert back.read_bytes() == data and (world.home() / "rekeyed").read_bytes() == data


@pytest.mark.slow
def test_rekeying_by_paramiko(bench, box, visitor, others):
    """Another client's way to rekey."""
    data = os.urandom(8 << 20)
    client = Client(bench, box, visitor)
    client.transport.packetizer.REKEY_BYTES = 1 << 20

    session = client.transport.session_id
    channel = client.command("cat | sha256sum")
    channel.sendall(data)
    channel.shutdown_write()
    assert channel.makefile("rb").read().split()[0].decode() == hashlib.sha256(data).hexdigest()
    assert client.transport.H != session, "no key was exchanged again"


# --- the wire ---

@pytest.mark.parametrize("cipher", ["aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes128-ctr"])
def test_a_flipped_bit(bench, world, box, visitor, others, cipher):
    """In an authenticated packet: the connection ends, and not one byte of it is believed."""
    wire, count = Spoiler(bench, box), len(box.connections)
    session = visitor.talk(": >got-by-cat; echo up; cat | tee got-by-cat",
                           options=["-o", f"HostName={wire.address}", "-o", f"Port={wire.port}", "-o", f"Ciphers={cipher}"])
    assert session.stdout.readline() == b"up\n"
    server = newest(box, count)
    wire.flip.set()
    session.stdin.write(b"spoilt\n")
    out, _ = session.communicate(timeout=20)
    assert session.returncode == 255 and out == b""
    server.wait_gone()
    assert (world.home() / "got-by-cat").read_bytes() == b""


@pytest.fixture(scope="module")
def hasty(world, visitor):
    """A server with a short grace."""
    return serve(world, "--login-grace", "2s", real=["LoginGraceTime 2"])


@pytest.mark.parametrize("kind", traps.HANDSHAKES)
def test_stalls_and_nonsense_in_the_handshake(hasty, visitor, kind):
    person, count = known_at(hasty, visitor), len(hasty.connections)
    with connect(hasty) as sock:
        send_quietly(sock, traps.HANDSHAKES[kind])
        server = newest(hasty, count)
        assert person.run("echo in").ok().out == "in\n"
        server.bounded()
        assert closed_within(sock, 10), "still open after the grace"
    server.wait_gone()


@pytest.mark.parametrize("kind", ["silent", "gone", "half-closed", "reset", "half-closed-after-version"])
def test_half_open_connections(hasty, visitor, kind):
    count = len(hasty.connections)
    sock = connect(hasty)
    server = newest(hasty, count)
    if kind == "half-closed-after-version":
        sock.sendall(b"SSH-2.0-x\r\n")
    if kind.startswith("half-closed"):
        sock.shutdown(socket.SHUT_WR)
    elif kind == "reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if kind in ("gone", "reset"):
        sock.close()
    server.wait_gone(10)
    sock.close()


def test_a_stall_between_the_keys(bench, hasty, visitor):
    """Key exchange done, then silence: the grace holds here too."""
    client = Client(bench, hasty, visitor, login=False)
    began = time.monotonic()
    wait_for(lambda: not client.transport.is_active(), 10)
    assert time.monotonic() - began < 8
    client.server.wait_gone()


def test_a_login_within_the_grace_outlives_it(bench, hasty, visitor):
    session = known_at(hasty, visitor).talk("echo up; cat")
    assert session.stdout.readline() == b"up\n"
    settle(3)
    lively(session)


def test_many_half_open_ones_at_once(hasty, visitor):
    """Each is a process of its own, and each ends by itself."""
    count = len(hasty.connections)
    socks = [connect(hasty) for _ in range(30)]
    for sock in socks:
        send_quietly(sock, b"SSH-2.0-x\r\n")
    assert known_at(hasty, visitor).run("echo in").ok().out == "in\n"
    for sock in socks:
        assert closed_within(sock, 15)
        sock.close()
    wait_for(lambda: all(popen.poll() is not None for popen in hasty.connections[count:]), 15)
