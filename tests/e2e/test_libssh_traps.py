"""What libssh is known to trip over (measured in 0.10 to 0.12): each must hurt nobody but the one who does it."""
import os
import signal
import socket
import struct
import subprocess
import threading
import time

import paramiko
import pytest
from conftest import setup
from kit import proc
from kit.message import send
from kit.parts import ME, SLOW, Agent, Hub, User
from kit.wait import wait_for
from kit.wire import Spoiler, closed_within, connect, send_quietly
from paramiko.common import (MSG_CHANNEL_DATA, MSG_CHANNEL_OPEN, MSG_CHANNEL_REQUEST, MSG_CHANNEL_WINDOW_ADJUST, MSG_GLOBAL_REQUEST,
                             MSG_USERAUTH_REQUEST)

bench, hub, alice, admin, sshd, web01 = setup("module")
FRONT_MEMORY_MAX = (40 if SLOW == 1 else 400) * 1024  # KiB


class Tame:
    """A socket whose reading can be stopped: paramiko's own thread reads without end."""

    def __init__(self, sock):
        self.sock = sock
        self.reading = threading.Event()
        self.reading.set()
        self.gone = False

    def recv(self, count):
        while not self.gone and not self.reading.wait(0.1):
            pass
        return self.sock.recv(count)

    def close(self):
        self.gone = True
        self.sock.close()

    def __getattr__(self, name):
        return getattr(self.sock, name)


class Client:
    """A paramiko connection to the hub that can send what it likes."""

    def __init__(self, bench, hub, user, login=True, receive_buffer=None):
        self.hub, self.user = hub, user
        before = set(hub.fronts())
        raw = socket.socket()
        if receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.connect((hub.address, hub.port))
        self.sock = Tame(raw)
        self.transport = paramiko.Transport(self.sock)
        self.transport.daemon = True
        bench.closers.append(self.close)
        self.transport.start_client(timeout=15)
        wait_for(lambda: set(hub.fronts()) - before, 5)
        self.front = (set(hub.fronts()) - before).pop()
        self.key = paramiko.Ed25519Key.from_private_key_file(str(user.key))
        if login:
            self.transport.auth_publickey(user.name, self.key)

    def send(self, *parts):
        send(self.transport, *parts)

    def command(self, line):
        channel = self.transport.open_session(timeout=15)
        channel.settimeout(20)
        channel.exec_command(line)
        return channel

    def close(self):
        self.sock.reading.set()
        self.sock.gone = True
        self.transport.close()


@pytest.fixture
def others(web01, alice, hub):
    """Another connection of another process: it must not notice anything."""
    session = alice.jump_popen("web01", "echo up; cat")
    assert session.stdout.readline() == b"up\n"
    yield session
    began = time.monotonic()
    session.stdin.write(b"lively\n")
    assert session.stdout.readline() == b"lively\n"
    assert time.monotonic() - began < 3
    assert alice.hub_says("whoami").ok()
    assert alice.jump("web01", "echo fresh").ok().out == "fresh\n"


def outer_ssh(inner_pid):
    """The ssh -W that ssh -J has started."""
    return wait_for(lambda: [pid for pid in proc.children(inner_pid) if "-W" in proc.command_of(pid)], 5)[0]


def test_a_user_who_stops_reading(web01, alice, hub, others, bench):
    """SIGSTOP in the middle of a transfer: the front waits with bounded memory, and goes on where it was."""
    source = bench.path("source")
    source.write_bytes(os.urandom(48 << 20))
    target = bench.path("target")
    before = set(hub.fronts())
    with open(target, "wb") as out:
        inner = subprocess.Popen(["ssh", *alice.options(), "-J", "hub", f"{ME}@web01", f"cat {source}"], stdout=out, env=bench.env(),
                                 stdin=subprocess.DEVNULL)
    wait_for(lambda: target.stat().st_size > 0, 20)
    outer = outer_ssh(inner.pid)
    os.kill(outer, signal.SIGSTOP)
    try:
        front = (set(hub.fronts()) - before).pop()
        end = time.monotonic() + 3
        while time.monotonic() < end:
            others.stdin.write(b"meanwhile\n")
            assert others.stdout.readline() == b"meanwhile\n"
            assert proc.memory_kib(front) < FRONT_MEMORY_MAX
        cpu = proc.cpu_seconds(front)
        end = time.monotonic() + 1
        wait_for(lambda: time.monotonic() > end, 3)
        assert proc.cpu_seconds(front) - cpu < 0.5, "it spins while it waits"
        assert target.stat().st_size < source.stat().st_size
    finally:
        os.kill(outer, signal.SIGCONT)
    assert inner.wait(60) == 0
    assert target.read_bytes() == source.read_bytes()


def test_a_machine_that_stops_reading(web01, alice, hub, others, bench):
    """The sink is stuck: the user's upload stops, and the pings of the stream do not take it for dead."""
    target = bench.path("target")
    gate = bench.path("gate")
    os.mkfifo(gate)
    source = os.urandom(24 << 20)
    before = set(hub.fronts())
    popen = alice.jump_popen("web01", f"read go <{gate}; cat >{target}")
    threading.Thread(target=lambda: (popen.stdin.write(source), popen.stdin.close()), daemon=True).start()
    front = wait_for(lambda: set(hub.fronts()) - before, 10).pop()
    # Longer than three of the stream's pings.
    end = time.monotonic() + 8
    while time.monotonic() < end:
        others.stdin.write(b"meanwhile\n")
        assert others.stdout.readline() == b"meanwhile\n"
        assert proc.memory_kib(front) < FRONT_MEMORY_MAX
        assert popen.poll() is None
    gate.write_text("go\n")
    assert popen.wait(60) == 0, popen.stderr.read()
    assert target.read_bytes() == source


@pytest.mark.long
def test_ten_minutes_of_a_stuck_sink(web01, alice, bench):
    target, gate = bench.path("long-target"), bench.path("long-gate")
    os.mkfifo(gate)
    source = os.urandom(24 << 20)
    popen = alice.jump_popen("web01", f"read go <{gate}; cat >{target}")
    threading.Thread(target=lambda: (popen.stdin.write(source), popen.stdin.close()), daemon=True).start()
    end = time.monotonic() + 600
    wait_for(lambda: time.monotonic() > end or popen.poll() is not None, 620)
    assert popen.poll() is None
    gate.write_text("go\n")
    assert popen.wait(60) == 0
    assert target.read_bytes() == source


@pytest.mark.parametrize("kind", ["keepalive", "channel-request"])
def test_a_flood_of_requests_that_want_a_reply(bench, alice, hub, others, kind):
    """… by a client that reads none of them."""
    client = Client(bench, hub, alice, receive_buffer=4096)
    channel = client.transport.open_session()
    client.sock.reading.clear()
    client.sock.sock.settimeout(2)
    deadline = time.monotonic() + 8
    count = 0
    try:
        while count < 60000 and time.monotonic() < deadline and client.transport.is_active():
            if kind == "keepalive":
                client.send(MSG_GLOBAL_REQUEST, "keepalive@openssh.com", True)
            else:
                client.send(MSG_CHANNEL_REQUEST, channel.remote_chanid, "nonsense@test", True)
            count += 1
    except (OSError, EOFError, paramiko.SSHException):
        pass
    assert count > 1000 or not proc.command_of(client.front)
    if proc.command_of(client.front):
        assert proc.memory_kib(client.front) < FRONT_MEMORY_MAX


# --- keys that are none ---

def blob(*parts):
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


BAD_KEYS = {
    "garbage": b"\xff" * 40, "empty": b"", "dss": blob(b"ssh-dss", b"\x01", b"\x01", b"\x01", b"\x01"), "short-ed25519": blob(b"ssh-ed25519", b"x" * 5),
    "long-ed25519": blob(b"ssh-ed25519", b"x" * 5000), "unknown-type": blob(b"ssh-frob", b"x" * 32), "length-lies": struct.pack(">I", 0xFFFFFFF0) + b"ssh-ed25519",
    "rsa-tiny": blob(b"ssh-rsa", b"\x03", b"\x05"), "rsa-zero": blob(b"ssh-rsa", b"", b""), "ecdsa-bad-point": blob(b"ecdsa-sha2-nistp256", b"nistp256", b"\x04" + b"\0" * 64),
}


def auth_request(client, algorithm, key, signature=None):
    """Sends a login request by hand. True when it was answered with a failure; False when the connection was ended instead."""
    # Opens the service, so that what follows is the server's next message.
    with pytest.raises(paramiko.BadAuthenticationType):
        client.transport.auth_none(client.user.name)
    answered = client.transport.auth_handler.auth_event = threading.Event()
    parts = [MSG_USERAUTH_REQUEST, client.user.name, "ssh-connection", "publickey", signature is not None, algorithm, key]
    if signature is not None:
        parts.append(signature)
    client.send(*parts)
    wait_for(lambda: answered.is_set() or not client.transport.is_active(), 12, "an answer, or the end")
    return client.transport.is_active()


@pytest.mark.parametrize("signed", [False, True], ids=["query", "signed"])
@pytest.mark.parametrize("kind", BAD_KEYS)
def test_malformed_keys(bench, alice, hub, others, kind, signed):
    """libssh gives no answer to some of these: the connection must not hang until the whole grace is over."""
    client = Client(bench, hub, alice, login=False)
    name = {"dss": "ssh-dss", "rsa-tiny": "ssh-rsa", "rsa-zero": "rsa-sha2-256", "ecdsa-bad-point": "ecdsa-sha2-nistp256"}.get(kind, "ssh-ed25519")
    if auth_request(client, name, BAD_KEYS[kind], b"\xee" * 70 if signed else None):
        assert not client.transport.is_authenticated()
        # It was told no, and may try a good one.
        client.transport.auth_publickey("alice", client.key)
        assert b"alice" in client.command("whoami").makefile("rb").read()


@pytest.mark.parametrize("spoil", ["flipped", "other-key", "other-session", "truncated", "empty"])
def test_bad_signatures(bench, alice, hub, others, spoil):
    client = Client(bench, hub, alice, login=False)
    key, sign = client.key, client.key.sign_ssh_data
    other = paramiko.Ed25519Key.from_private_key_file(str(User(bench, "stranger").key))

    def signature(data, algorithm=None):
        good = sign(data).asbytes()
        blob_start = 4 + len("ssh-ed25519") + 4
        text = {"flipped": good[:-1] + bytes([good[-1] ^ 1]), "other-key": other.sign_ssh_data(data).asbytes(), "truncated": good[:blob_start + 10],
                "other-session": sign(b"x" * len(data)).asbytes(), "empty": b""}[spoil]
        return paramiko.Message(text)
    key.sign_ssh_data = signature
    client.transport.auth_timeout = 15
    began = time.monotonic()
    with pytest.raises((paramiko.SSHException, EOFError, OSError)):
        client.transport.auth_publickey("alice", key)
    assert time.monotonic() - began < 12, "neither an answer nor an end"
    assert not client.transport.is_authenticated()
    if client.transport.is_active():
        # Whoever failed is nobody: no channel.
        with pytest.raises((paramiko.SSHException, EOFError, OSError)):
            client.transport.open_session(timeout=3).exec_command("list")


def test_the_true_signature_is_accepted(bench, alice, hub):
    """What the others spoil does work."""
    client = Client(bench, hub, alice)
    assert b"alice" in client.command("whoami").makefile("rb").read()


# --- channels ---

def test_a_peer_that_never_sends_close(bench, web01, alice, hub, others):
    client = Client(bench, hub, alice)
    original = paramiko.Channel._handle_close
    descriptors = proc.descriptors(client.front)
    try:
        paramiko.Channel._handle_close = lambda self, message: None
        paramiko.Channel._handle_eof, saved_eof = lambda self, message: None, paramiko.Channel._handle_eof
        for _ in range(20):
            channel = client.transport.open_session()
            channel.exec_command("whoami")
            assert b"alice" in channel.recv(4096)
        jump = client.transport.open_channel("direct-tcpip", ("web01", 22), ("127.0.0.1", 0))
        assert jump.recv(8) == b"SSH-2.0-"
        refused = client.transport.open_channel("direct-tcpip", ("nosuch", 22), ("127.0.0.1", 0))
        assert refused.recv(8) == b"SSH-2.0-"
    finally:
        paramiko.Channel._handle_close = original
        paramiko.Channel._handle_eof = saved_eof
    assert b"alice" in client.command("whoami").makefile("rb").read()
    assert proc.descriptors(client.front) <= descriptors + 4
    client.close()
    wait_for(lambda: not proc.command_of(client.front), 15, "the front is gone with its connection")


def test_a_jump_whose_user_goes_away_without_close(bench, web01, alice, hub, others):
    client = Client(bench, hub, alice)
    jump = client.transport.open_channel("direct-tcpip", ("web01", 22), ("127.0.0.1", 0))
    assert jump.recv(8) == b"SSH-2.0-"
    sessions = len(hub.command("sessions").out.splitlines())
    client.sock.sock.shutdown(socket.SHUT_RDWR)
    wait_for(lambda: len(hub.command("sessions").out.splitlines()) < sessions, 15)


def test_a_thousand_channel_opens(bench, alice, hub, others):
    """More than channels-per-connection (256) are refused one by one, and the connection goes on."""
    client = Client(bench, hub, alice)
    opened, refused = [], 0
    for _ in range(1000):
        try:
            opened.append(client.transport.open_session(timeout=20))
        except paramiko.ChannelException:
            refused += 1
    assert len(opened) == 256 and refused == 744
    assert proc.memory_kib(client.front) < FRONT_MEMORY_MAX
    for channel in opened:
        channel.close()

    def again():
        try:
            return b"alice" in client.command("whoami").makefile("rb").read()
        except paramiko.ChannelException:
            return False
    wait_for(again, 15)


def test_channels_per_connection_is_an_option(bench, sshd):
    hub = Hub(bench, "--channels-per-connection", "3")
    user = User(bench, "alice").knows(hub)
    hub.add_user(user)
    client = Client(bench, hub, user)
    kept = [client.transport.open_session() for _ in range(3)]
    with pytest.raises(paramiko.ChannelException):
        client.transport.open_session()
    assert len(kept) == 3


def open_raw(client, kind="session", window=1 << 20, packet=32768, extra=()):
    """A CHANNEL_OPEN with numbers that paramiko would not send; its own bookkeeping is used for the answer."""
    client.send(MSG_CHANNEL_OPEN, kind, 4000 + client.transport._channel_counter, window, packet, *extra)


@pytest.mark.parametrize("window,packet", [(1 << 20, 0), (0, 0), (0, 32768), (0xFFFFFFFF, 0xFFFFFFFF), (1, 1), (1 << 20, 1)])
def test_odd_windows_and_packet_sizes(bench, alice, hub, others, window, packet):
    client = Client(bench, hub, alice)
    for kind, extra in (("session", ()), ("direct-tcpip", ("web01", 22, "127.0.0.1", 1))):
        open_raw(client, kind, window, packet, extra)
    client.send(MSG_CHANNEL_REQUEST, 0, "exec", True, "help")
    end = time.monotonic() + 1.5
    cpu = proc.cpu_seconds(client.front)
    wait_for(lambda: time.monotonic() > end, 5)
    if proc.command_of(client.front):
        assert proc.cpu_seconds(client.front) - cpu < 1.0, "it spins"
        assert proc.memory_kib(client.front) < FRONT_MEMORY_MAX


def test_window_adjust_overflow(bench, web01, alice, hub, others):
    client = Client(bench, hub, alice)
    jump = client.transport.open_channel("direct-tcpip", ("web01", 22), ("127.0.0.1", 0))
    for _ in range(50):
        client.send(MSG_CHANNEL_WINDOW_ADJUST, jump.remote_chanid, 0xFFFFFFFF)
    assert jump.recv(8) == b"SSH-2.0-" or not client.transport.is_active()
    end = time.monotonic() + 0.5
    wait_for(lambda: time.monotonic() > end, 2)
    if proc.command_of(client.front):
        assert proc.memory_kib(client.front) < FRONT_MEMORY_MAX


def test_data_beyond_the_window(bench, alice, hub, others):
    """The machine does not take it, the user sends on regardless: what the front keeps stays bounded."""
    listener = socket.create_server(("127.0.0.1", 0))
    bench.closers.append(listener.close)
    kept = []

    def serve():
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(b"SSH-2.0-stuck\r\n")
            kept.append(client)
    threading.Thread(target=serve, daemon=True).start()
    Agent(bench, hub, "stuck", ssh=f"127.0.0.1:{listener.getsockname()[1]}")
    client = Client(bench, hub, alice)
    jump = client.transport.open_channel("direct-tcpip", ("stuck", 22), ("127.0.0.1", 0))
    assert jump.recv(8) == b"SSH-2.0-"
    client.sock.sock.settimeout(3)
    block = b"x" * 32000
    try:
        for _ in range(3000):
            client.send(MSG_CHANNEL_DATA, jump.remote_chanid, block)
    except (OSError, EOFError, paramiko.SSHException):
        pass
    if proc.command_of(client.front):
        assert proc.memory_kib(client.front) < FRONT_MEMORY_MAX, "data without window is kept"


def test_data_on_channels_that_are_not(bench, alice, hub, others):
    client = Client(bench, hub, alice)
    for number in (77, 0xFFFFFFFF):
        try:
            client.send(MSG_CHANNEL_DATA, number, b"hello")
            client.send(MSG_CHANNEL_WINDOW_ADJUST, number, 5)
            client.send(MSG_CHANNEL_REQUEST, number, "exec", True, "list")
        except (OSError, EOFError, paramiko.SSHException):
            break
    end = time.monotonic() + 0.5
    wait_for(lambda: time.monotonic() > end, 2)


@pytest.mark.parametrize("kind", ["shell", "subsystem", "x11", "env", "agent", "streamlocal", "unknown-channel"])
def test_requests_that_are_not_served(bench, alice, hub, others, kind):
    """A shell is the bare command; all else is refused (a subsystem: with words) and the connection goes on."""
    client = Client(bench, hub, alice)
    if kind in ("streamlocal", "unknown-channel"):
        with pytest.raises(paramiko.ChannelException):
            client.transport.open_channel({"streamlocal": "direct-streamlocal@openssh.com"}.get(kind, "frob@test"), timeout=15)
    else:
        channel = client.transport.open_session()
        channel.settimeout(15)
        if kind == "shell":
            channel.invoke_shell()
            assert b"localServers" in channel.makefile("rb").read()
        elif kind == "env":
            channel.set_environment_variable("LD_PRELOAD", "/evil.so")
            channel.exec_command("whoami")
            assert b"alice" in channel.makefile("rb").read()
        elif kind == "subsystem":
            channel.invoke_subsystem("sftp")
            assert b"sftp" in channel.makefile_stderr("rb").read() and channel.recv_exit_status() != 0
        else:
            with pytest.raises(paramiko.SSHException):
                {"x11": lambda: channel.request_x11(auth_cookie=b"0" * 32), "agent": lambda: _agent(channel)}[kind]()
    assert b"alice" in client.command("whoami").makefile("rb").read()


def _agent(channel):
    channel.request_forward_agent(lambda c: None)
    raise paramiko.SSHException("accepted without a word, as is usual")


# --- rekeying is in test_jump.py (under load, both directions); here what else may go wrong on the wire ---

def test_a_flipped_bit(bench, web01, alice, hub, others):
    """In an authenticated packet: the connection ends, and not one byte of it is believed."""
    for cipher in ("aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes128-ctr"):
        wire = Spoiler(bench, hub)
        user = User(bench, "alice", key=alice.key).knows(wire, extra_hub=[f"Ciphers {cipher}"])
        session = user.jump_popen("web01", "echo up; cat")
        assert session.stdout.readline() == b"up\n"
        wire.flip.set()
        session.stdin.write(b"spoilt\n")
        out, _ = session.communicate(timeout=20)
        assert session.returncode == 255 and b"spoilt" not in out



HANDSHAKES = {
    "version-only": b"SSH-2.0-x\r\n", "half-a-packet": b"SSH-2.0-x\r\n\x00\x00\x05\xdc\x0a\x14", "huge-packet": b"SSH-2.0-x\r\n\x7f\xff\xff\xff\x0a\x14" + b"z" * 70000,
    "zero-packet": b"SSH-2.0-x\r\n" + bytes(64), "ssh1": b"SSH-1.5-x\r\n", "long-version": b"SSH-2.0-" + b"v" * 100000, "no-newline": b"SSH-2.0-x",
    "garbage": b"SSH-2.0-x\r\n" + bytes(range(256)) * 40, "http-after": b"SSH-2.0-x\r\nGET / HTTP/1.0\r\n\r\n",
}


@pytest.mark.parametrize("kind", HANDSHAKES)
def test_stalls_and_nonsense_in_the_handshake(bench, kind):
    hub = Hub(bench, "--login-grace", "2s")
    user = User(bench, "alice").knows(hub)
    hub.add_user(user)
    sock = connect(hub)
    send_quietly(sock, HANDSHAKES[kind])
    assert user.hub_says("whoami").ok()
    assert closed_within(sock, 10), "still open after the grace"
    wait_for(lambda: not hub.fronts(), 10, "its front is gone")


def test_a_stall_between_the_keys(bench):
    """Key exchange done, then silence: the grace holds here too."""
    hub = Hub(bench, "--login-grace", "2s")
    user = User(bench, "alice").knows(hub)
    hub.add_user(user)
    client = Client(bench, hub, user, login=False)
    began = time.monotonic()
    wait_for(lambda: not client.transport.is_active(), 10)
    assert time.monotonic() - began < 8
    wait_for(lambda: not hub.fronts(), 10)


def test_a_user_who_never_reads_a_long_answer(bench, alice, hub, others):
    """help, a hundred times over, unread."""
    client = Client(bench, hub, alice, receive_buffer=4096)
    [client.command("help") for _ in range(3)]
    client.sock.reading.clear()
    client.sock.sock.settimeout(2)
    for _ in range(100):
        try:
            client.send(MSG_CHANNEL_OPEN, "session", 5000, 1 << 30, 32768)
        except (OSError, EOFError, paramiko.SSHException):
            break
    if proc.command_of(client.front):
        assert proc.memory_kib(client.front) < FRONT_MEMORY_MAX

