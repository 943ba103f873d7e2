"""multissh-front by itself (kit/front.py): users, machines and hubs that must hurt nobody but themselves."""
import hashlib
import os
import signal
import socket
import threading
import time

import paramiko
import pytest
from kit import proc
from kit.front import SLOW, paramiko_client, world  # noqa: F401
from kit.message import send
from kit.parts import ME
from kit.wait import wait_for


def test_a_stopped_client_costs_bounded_memory_and_no_cpu(world):
    world.with_sshd()
    source = world.bench.path("source")
    source.write_bytes(os.urandom(64 << 20))
    target = world.bench.path("target")
    live = world.popen("-o", f"ProxyCommand=ssh -F {world.config} -W %h:22 hub", "m1", "echo up; cat")
    assert live.stdout.readline() == b"up\n"
    with open(target, "wb") as out:
        popen = world.popen("-o", f"ProxyCommand=ssh -F {world.config} -W %h:22 hub", "m2", f"cat {source}", stdout=out)
    wait_for(lambda: target.stat().st_size > 1 << 20, 20 * SLOW)
    outer = wait_for(lambda: [p for p in proc.children(popen.pid) if "-W" in proc.command_of(p)], 5)[0]
    os.kill(outer, signal.SIGSTOP)
    front = world.front(2)
    end = time.monotonic() + 1.5
    wait_for(lambda: time.monotonic() > end, 5)
    cpu = proc.cpu_seconds(front.popen.pid)
    end = time.monotonic() + 2
    while time.monotonic() < end:
        live.stdin.write(b"x\n")
        live.stdin.flush()
        assert live.stdout.readline() == b"x\n"
        time.sleep(0.02)
    assert proc.cpu_seconds(front.popen.pid) - cpu < 0.2
    if SLOW == 1:
        assert proc.memory_kib(front.popen.pid) < 32 << 10
    os.kill(outer, signal.SIGCONT)
    assert popen.wait(60 * SLOW) == 0
    assert target.read_bytes() == source.read_bytes()


def narrow_machine(world):
    """A user's connection, its channel to a machine whose socket holds little, and that socket."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        world.target_port = server.getsockname()[1]
        transport = paramiko_client(world)
        channel = transport.open_channel("direct-tcpip", ("m1", 22), ("127.0.0.1", 0))
        machine, _ = server.accept()
    return transport, channel, machine


def test_a_machine_that_stops_reading(world):
    """An upload into a sink that is stuck: the front waits, and a command on the same connection is answered meanwhile."""
    transport, channel, stuck = narrow_machine(world)
    data = os.urandom(12 << 20)
    sender = threading.Thread(target=channel.sendall, args=(data,), daemon=True)
    sender.start()
    end = time.monotonic() + 3
    while time.monotonic() < end:
        session = transport.open_session(timeout=10)
        session.exec_command("")
        assert session.makefile("rb").read() == b"hello\nweb01\n"
    assert sender.is_alive()
    if SLOW == 1:
        assert proc.memory_kib(world.front().popen.pid) < 32 << 10
    got = 0
    digest = hashlib.sha256()
    while got < len(data):
        more = stuck.recv(1 << 20)
        assert more
        digest.update(more)
        got += len(more)
    assert digest.digest() == hashlib.sha256(data).digest()
    stuck.close()
    transport.close()


def test_a_machine_slower_than_its_user(world):
    """libssh opens its window with each read, however much it holds: what waits here must stay bounded, and whole."""
    world.window = 256 << 10
    transport, channel, slow = narrow_machine(world)
    data = os.urandom(24 << 20)

    def send():
        channel.sendall(data)
        channel.shutdown_write()
    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    digest, got = hashlib.sha256(), 0
    while got < len(data):
        if got < 8 << 20:
            time.sleep(0.005)  # the pace of the machine
        more = slow.recv(65536)
        assert more, f"ended after {got} bytes; {world.front().log()} {world.front().got[-3:]}"
        digest.update(more)
        got += len(more)
    assert slow.recv(1) == b""
    assert digest.digest() == hashlib.sha256(data).digest()
    if SLOW == 1:
        assert proc.memory_kib(world.front().popen.pid) < 32 << 10
    slow.close()
    transport.close()


class Deaf:
    """A socket that is written to and, once deaf, not read."""

    def __init__(self, sock):
        self.sock, self.hears = sock, threading.Event()
        self.hears.set()

    def recv(self, count):
        self.hears.wait()
        return self.sock.recv(count)

    def __getattr__(self, name):
        return getattr(self.sock, name)


@pytest.mark.parametrize("kind", ["global", "channel"])
def test_a_flood_of_pings_without_reading(world, kind):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", world.port))
    deaf = Deaf(sock)
    transport = paramiko.Transport(deaf)
    transport.start_client(timeout=20)
    transport.auth_publickey(ME, paramiko.Ed25519Key.from_private_key_file(str(world.key)))
    channel = transport.open_session()
    deaf.hears.clear()
    sent = []

    def flood():
        try:
            while len(sent) < 200000:
                if kind == "global":
                    send(transport, 80, "keepalive@openssh.com", True)
                else:
                    send(transport, 98, channel.remote_chanid, "nonsense@test", True)
                sent.append(1)
        except Exception:  # the end of the test
            pass
    threading.Thread(target=flood, daemon=True).start()
    before = 0
    while len(sent) > before or before == 0:  # until the front has stopped reading
        before = len(sent)
        end = time.monotonic() + 1.5
        wait_for(lambda: time.monotonic() > end, 5)
    assert 1000 < len(sent) < 200000
    pid = world.front().popen.pid
    if SLOW == 1:
        assert proc.memory_kib(pid) < 32 << 10
    cpu = proc.cpu_seconds(pid)
    end = time.monotonic() + 1
    wait_for(lambda: time.monotonic() > end, 5)
    assert proc.cpu_seconds(pid) - cpu < 0.3
    sock.close()
    deaf.hears.set()
    assert world.front().ended(20) == 0


def test_a_thousand_opens_one_after_the_other(world):
    transport = paramiko_client(world)
    pid = world.front().popen.pid
    memory = 0
    for n in range(1000):
        session = transport.open_session(timeout=10)
        session.exec_command("")
        assert session.makefile("rb").read() == b"hello\nweb01\n"
        session.close()
        if n == 200:
            memory = proc.memory_kib(pid)
    if SLOW == 1:
        assert proc.memory_kib(pid) < memory + 2048
    transport.close()


def test_channels_are_counted(world):
    world.start = {"channels": 10}
    transport = paramiko_client(world)
    held = [transport.open_session(timeout=10) for _ in range(10)]
    with pytest.raises(paramiko.ChannelException):
        transport.open_session(timeout=10)
    held.pop().close()

    def again():
        try:
            return transport.open_session(timeout=10)
        except paramiko.ChannelException:
            return None
    wait_for(again, 5)
    transport.close()


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 300, 0xFFFFFFFF])
def test_odd_packet_sizes(world, size):
    """A client that wants its data in crumbs, or says nonsense, costs little; 0 is not answered by libssh."""
    world.with_sshd()
    source = world.bench.path("source")
    source.write_bytes(os.urandom(1 << 20))
    transport = paramiko_client(world)
    front = world.front()
    transport._log = lambda *args: None
    channel = paramiko.Channel(77)  # so that it is not surprised by an answer
    channel._set_transport(transport)
    transport._channels.put(77, channel)
    send(transport, 90, "direct-tcpip", 77, 1 << 30, size, "m1", 22, "127.0.0.1", 1)
    if size == 0:
        session = transport.open_session(timeout=10)
        session.exec_command("")
        assert session.makefile("rb").read() == b"hello\nweb01\n"
        transport.close()
        return
    front.wait("open", timeout=5)
    if size == 10:
        # libssh 0.10 would send empty packets for ever: this connection is ended, and only this one.
        assert front.ended(30) == 70
        assert "did not return" in front.log()
        transport.close()
        return
    cpu = proc.cpu_seconds(front.popen.pid)
    end = time.monotonic() + 2
    wait_for(lambda: time.monotonic() > end, 8)
    assert front.popen.poll() is None
    assert proc.cpu_seconds(front.popen.pid) - cpu < 1
    assert SLOW > 1 or proc.memory_kib(front.popen.pid) < 32 << 10
    transport.close()


def test_more_data_than_the_window(world):
    server = socket.create_server(("127.0.0.1", 0))
    world.target_port = server.getsockname()[1]
    world.window = 65536
    transport = paramiko_client(world)
    channel = transport.open_channel("direct-tcpip", ("m1", 22), ("127.0.0.1", 0))
    stuck, _ = server.accept()
    try:
        for _ in range(2000):
            send(transport, 94, channel.remote_chanid, b"x" * 32000)
    except Exception:
        pass
    wait_for(lambda: not transport.is_active(), 20 * SLOW)
    assert world.front().ended(30) == 0
    stuck.close()


def test_the_keepalive_spares_a_client_that_is_stopped(world):
    """It says nothing, but its kernel does."""
    world.start = {"keepalive_ms": 400}
    popen = world.popen("-N", "hub")
    front = world.front()
    front.wait("auth", 2)
    os.kill(popen.pid, signal.SIGSTOP)
    end = time.monotonic() + 3
    wait_for(lambda: time.monotonic() > end, 5)
    assert front.popen.poll() is None
    os.kill(popen.pid, signal.SIGCONT)
    popen.terminate()
    assert front.ended() == 0


def test_a_stalled_handshake_and_garbage(world):
    world.start = {"grace_ms": 1500}
    for data in (b"", b"SSH-2.0-x\r\n" + b"\0" * 3, b"SSH-2.0-x\r\n" + b"\xff" * 5000, b"SSH-1.5-old\r\n", b"A" * 300, b"SSH-2.0-" + b"x" * 400 + b"\r\n"):
        with socket.create_connection(("127.0.0.1", world.port)) as sock:
            sock.sendall(data)
            sock.settimeout(8 * SLOW)
            try:
                while sock.recv(4096):
                    pass
            except ConnectionError:
                pass
    for front in world.fronts:
        assert front.ended() == 0


def test_nonsense_from_the_hub(world):
    world.listens = False
    popen = world.popen("-N", "hub")
    front = world.front()
    front.wait("auth", 2)
    for message in ({"type": "frob"}, {"type": "opened", "id": 99}, {"type": "opened", "id": "x"}, {"type": "kill"}, {"type": "output", "id": 5, "data": "x"},
                    {"type": "exit"}, {"type": "reach"}, {"type": "connection", "stream": "zz", "epoch": -1}, {"type": "refused", "id": 1e99}, {}):
        front.send(message, os.open("/dev/null", os.O_RDONLY))
    assert popen.poll() is None and front.popen.poll() is None
    front.sock.send(b"not json")
    assert front.ended() == 0
    assert popen.wait(10 * SLOW) == 255
    assert b"the hub is restarting" in popen.stderr.read()
